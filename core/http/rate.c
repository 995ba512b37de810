#include "config.h"

#include "core/http/rate.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A bucket is the time at which it will be full again: one number says how many tokens it has at
 * any moment. */
struct bucket {
	uint64_t key;
	int64_t full_at;
	int64_t untold;		/* tokens that were taken here, and that the others do not know of */
};

enum { WAYS = 8, LOCKS = 64, TELL_SHARE = 16, TELL_DOWN = 4 };

struct set {
	struct bucket buckets[WAYS];
};

struct mx_rates {
	struct {
		_Atomic int64_t every_us, burst;
	} classes[MX_RATE_CLASSES];
	unsigned char secret[MX_RATE_SECRET];
	void (*tell)(void *arg, mx_str text);
	void *tell_arg;
	pthread_mutex_t locks[LOCKS];
	size_t sets;		/* a power of two, at least LOCKS */
	struct set v[];
};

struct mx_rates *
mx_rates_new(size_t buckets)
{
	size_t sets = LOCKS;
	struct mx_rates *r;

	while (sets * WAYS < buckets && sets < (size_t)1 << 24)
		sets *= 2;
	r = mx_alloc(sizeof(*r) + sets * sizeof(r->v[0]));
	r->sets = sets;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_init(&r->locks[i], NULL);
	mx_random(r->secret, sizeof(r->secret));
	return r;
}

void
mx_rates_share(struct mx_rates *r, const unsigned char secret[MX_RATE_SECRET],
	       void (*tell)(void *arg, mx_str text), void *arg)
{
	memcpy(r->secret, secret, sizeof(r->secret));
	r->tell = tell;
	r->tell_arg = arg;
}

uint64_t
mx_rates_key(const struct mx_rates *r, const void *p, size_t n)
{
	uint64_t h;

	_Static_assert(crypto_shorthash_KEYBYTES == MX_RATE_SECRET, "SipHash takes 128 bits");
	crypto_shorthash((unsigned char *)&h, p, n, r->secret);
	return h & INT64_MAX;
}

void
mx_rates_free(struct mx_rates **r)
{
	if (*r == NULL)
		return;
	for (size_t i = 0; i < LOCKS; i++)
		pthread_mutex_destroy(&(*r)->locks[i]);
	free(*r);
	*r = NULL;
}

void
mx_rates_set(struct mx_rates *r, enum mx_rate_class c, struct mx_rate rate)
{
	atomic_store_explicit(&r->classes[c].every_us, rate.every_us, memory_order_relaxed);
	atomic_store_explicit(&r->classes[c].burst, rate.burst > 0 ? rate.burst : 1,
			      memory_order_relaxed);
}

static struct bucket *
find(struct set *s, uint64_t key)
{
	struct bucket *fullest = &s->buckets[0];

	for (size_t i = 0; i < WAYS; i++) {
		if (s->buckets[i].key == key)
			return &s->buckets[i];
		if (s->buckets[i].full_at < fullest->full_at)
			fullest = &s->buckets[i];
	}
	*fullest = (struct bucket){ .key = key };
	return fullest;
}

/* The classes of one key are separate buckets; 0 marks the free ones. */
static uint64_t
key_in(enum mx_rate_class c, uint64_t key)
{
	return (key ^ (uint64_t)c * UINT64_C(0x9e3779b97f4a7c15)) | 1;
}

static size_t
set_of(const struct mx_rates *r, uint64_t key)
{
	return (size_t)(key >> 20) & (r->sets - 1);
}

/* Of a bucket that has just given a token: how many to tell the others of now. */
static int64_t
to_tell(struct bucket *b, int64_t every, int64_t burst, int64_t now_us)
{
	int64_t down = (b->full_at - now_us + every - 1) / every, n;

	b->untold++;
	if (b->untold < burst / TELL_SHARE || down * TELL_DOWN < burst)
		return 0;
	/* What has come back meanwhile needs no telling. */
	n = b->untold < down ? b->untold : down;
	b->untold = 0;
	return n;
}

static void
tell(const struct mx_rates *r, enum mx_rate_class c, uint64_t key, int64_t n)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%d %lld %lld", (int)c, (long long)key, (long long)n);

	r->tell(r->tell_arg, (mx_str){ text, (size_t)len });
}

mx_msec
mx_rates_take(struct mx_rates *r, enum mx_rate_class c, uint64_t key, int64_t now_us)
{
	int64_t every, burst, start, over, n = 0;
	uint64_t own = key_in(c, key);
	size_t at = set_of(r, own);
	struct bucket *b;

	every = atomic_load_explicit(&r->classes[c].every_us, memory_order_relaxed);
	burst = atomic_load_explicit(&r->classes[c].burst, memory_order_relaxed);
	if (c == MX_RATE_NONE || every == 0)
		return 0;
	pthread_mutex_lock(&r->locks[at % LOCKS]);
	b = find(&r->v[at], own);
	if (b->full_at <= now_us)
		b->untold = 0;
	start = b->full_at > now_us ? b->full_at : now_us;
	over = start + every - now_us - burst * every;
	if (over <= 0) {
		b->full_at = start + every;
		n = r->tell != NULL ? to_tell(b, every, burst, now_us) : 0;
	}
	pthread_mutex_unlock(&r->locks[at % LOCKS]);
	if (n > 0)
		tell(r, c, key, n);
	return over <= 0 ? 0 : (over + 999) / 1000;
}

void
mx_rates_told(struct mx_rates *r, mx_str text, int64_t now_us)
{
	mx_str class, name;
	int64_t c, key, n, every, burst, most;
	struct bucket *b;

	if (!mx_str_cut(text, ' ', &class, &text) || !mx_str_cut(text, ' ', &name, &text) ||
	    !mx_str_int(class, 0, MX_RATE_CLASSES - 1, &c) ||
	    !mx_str_int(name, 0, INT64_MAX, &key) || !mx_str_int(text, 1, INT32_MAX, &n))
		return;
	every = atomic_load_explicit(&r->classes[c].every_us, memory_order_relaxed);
	burst = atomic_load_explicit(&r->classes[c].burst, memory_order_relaxed);
	if (every == 0)
		return;
	n = n < burst ? n : burst;
	uint64_t own = key_in((enum mx_rate_class)c, (uint64_t)key);
	size_t at = set_of(r, own);

	most = now_us + burst * every;
	pthread_mutex_lock(&r->locks[at % LOCKS]);
	b = find(&r->v[at], own);
	b->full_at = (b->full_at > now_us ? b->full_at : now_us) + n * every;
	/* Both may have granted the last one: no more is owed than a whole burst. */
	b->full_at = b->full_at < most ? b->full_at : most;
	pthread_mutex_unlock(&r->locks[at % LOCKS]);
}
