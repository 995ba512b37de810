#include "config.h"

#include "core/http/rate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A bucket is the time at which it will be full again: one number says how many tokens it has at
 * any moment. */
struct bucket {
	uint64_t key;
	int64_t full_at;
};

enum { WAYS = 8, LOCKS = 64 };

struct set {
	struct bucket buckets[WAYS];
};

struct mx_rates {
	struct {
		_Atomic int64_t every_us, burst;
	} classes[MX_RATE_CLASSES];
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
	return r;
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

mx_msec
mx_rates_take(struct mx_rates *r, enum mx_rate_class c, uint64_t key, int64_t now_us)
{
	int64_t every, burst, start, over;
	struct bucket *b;
	size_t at;

	every = atomic_load_explicit(&r->classes[c].every_us, memory_order_relaxed);
	burst = atomic_load_explicit(&r->classes[c].burst, memory_order_relaxed);
	if (c == MX_RATE_NONE || every == 0)
		return 0;
	/* The classes of one key are separate buckets; 0 marks the free ones. */
	key = (key ^ (uint64_t)c * UINT64_C(0x9e3779b97f4a7c15)) | 1;
	at = (size_t)(key >> 20) & (r->sets - 1);
	pthread_mutex_lock(&r->locks[at % LOCKS]);
	b = find(&r->v[at], key);
	start = b->full_at > now_us ? b->full_at : now_us;
	over = start + every - now_us - burst * every;
	if (over <= 0)
		b->full_at = start + every;
	pthread_mutex_unlock(&r->locks[at % LOCKS]);
	return over <= 0 ? 0 : (over + 999) / 1000;
}
