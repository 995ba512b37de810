/* The cache of authenticated tokens: shards by the token's hash, each an LRU list under its own
 * lock.
 *
 * Forgetting a user does not search for its entries. Each user has a generation, which it shares
 * with the few users that fall on the same counter; an entry is good while the generation is the
 * one that it was read in. A counter for all says whether anything was forgotten while an entry was
 * being read: such an entry is used once and not kept. */
#include "config.h"

#include "core/account/internal.h"

#include <stdlib.h>

enum { SHARDS = 16, GENERATIONS = 4096 };

struct shard {
	pthread_mutex_t lock;
	struct auth_entry **buckets;
	struct auth_entry *newest, *oldest;
	size_t count;
};

struct auth_cache {
	struct shard shards[SHARDS];
	size_t capacity, mask;		/* of a shard: entries; buckets - 1 */
	_Atomic(uint64_t) epoch;
	_Atomic(uint32_t) generations[GENERATIONS];
};

static _Atomic(uint32_t) *
generation_of(struct auth_cache *c, mx_nid user)
{
	return &c->generations[((uint64_t)user * UINT64_C(0x9e3779b97f4a7c15)) >> 52];
}

struct auth_cache *
auth_cache_new(size_t capacity)
{
	struct auth_cache *c = mx_alloc(sizeof(*c));
	size_t buckets = 16;

	c->capacity = (capacity + SHARDS - 1) / SHARDS;
	while (buckets < c->capacity)
		buckets *= 2;
	c->mask = buckets - 1;
	struct auth_entry **all = mx_alloc(buckets * SHARDS * sizeof(*all));
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&c->shards[i].lock, NULL);
		c->shards[i].buckets = all + i * buckets;
	}
	return c;
}

static void
entry_unref(struct auth_entry *e)
{
	if (atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1)
		free(e);
}

void
auth_cache_free(struct auth_cache **cp)
{
	struct auth_cache *c = *cp;

	if (c == NULL)
		return;
	for (size_t i = 0; i < SHARDS; i++) {
		struct auth_entry *next;

		for (struct auth_entry *e = c->shards[i].newest; e != NULL; e = next) {
			next = e->older;
			entry_unref(e);
		}
		pthread_mutex_destroy(&c->shards[i].lock);
	}
	free(c->shards[0].buckets);
	free(c);
	*cp = NULL;
}

static struct shard *
shard_of(struct auth_cache *c, const unsigned char hash[MX_SHA256_SIZE],
	 struct auth_entry ***bucket)
{
	struct shard *s = &c->shards[hash[0] % SHARDS];
	uint32_t h;

	memcpy(&h, hash + 4, sizeof(h));
	*bucket = &s->buckets[h & c->mask];
	return s;
}

static void
list_remove(struct shard *s, struct auth_entry *e)
{
	if (e->newer != NULL)
		e->newer->older = e->older;
	else
		s->newest = e->older;
	if (e->older != NULL)
		e->older->newer = e->newer;
	else
		s->oldest = e->newer;
}

static void
list_push(struct shard *s, struct auth_entry *e)
{
	e->newer = NULL;
	e->older = s->newest;
	if (s->newest != NULL)
		s->newest->newer = e;
	else
		s->oldest = e;
	s->newest = e;
}

/* Takes e out of its shard, whose lock is held, and drops the shard's reference. */
static void
drop(struct auth_cache *c, struct shard *s, struct auth_entry *e)
{
	struct auth_entry **at;

	(void)shard_of(c, e->hash, &at);
	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	list_remove(s, e);
	s->count--;
	entry_unref(e);
}

static struct auth_entry *
bucket_find(struct auth_entry *const *bucket, const unsigned char hash[MX_SHA256_SIZE])
{
	struct auth_entry *e = *bucket;

	while (e != NULL && memcmp(e->hash, hash, MX_SHA256_SIZE) != 0)
		e = e->chain;
	return e;
}

static bool
entry_current(const struct auth_entry *e, mx_msec now)
{
	return e->generation == atomic_load_explicit(generation_of(e->cache, e->auth.user),
						     memory_order_acquire) &&
	       (e->expires == 0 || now < e->expires);
}

struct auth_entry *
auth_cache_find(struct auth_cache *c, const unsigned char hash[MX_SHA256_SIZE], mx_msec now)
{
	struct auth_entry **bucket;
	struct shard *s = shard_of(c, hash, &bucket);

	pthread_mutex_lock(&s->lock);
	struct auth_entry *e = bucket_find(bucket, hash);
	if (e != NULL && !entry_current(e, now)) {
		drop(c, s, e);
		e = NULL;
	}
	if (e != NULL) {
		atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
		if (s->newest != e) {
			list_remove(s, e);
			list_push(s, e);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return e;
}

uint64_t
auth_cache_epoch(const struct auth_cache *c)
{
	return atomic_load(&c->epoch);
}

struct auth_entry *
auth_entry_new(struct auth_cache *c, const struct mx_auth *auth,
	       const unsigned char hash[MX_SHA256_SIZE], mx_msec expires)
{
	struct auth_entry *e = mx_alloc(sizeof(*e) + auth->user_id.n + auth->device_id.n);
	char *strings = (char *)(e + 1);

	e->auth = *auth;
	memcpy(strings, auth->user_id.p, auth->user_id.n);
	e->auth.user_id.p = strings;
	if (auth->device_id.n > 0)
		memcpy(strings + auth->user_id.n, auth->device_id.p, auth->device_id.n);
	e->auth.device_id.p = strings + auth->user_id.n;
	atomic_init(&e->refs, 1);
	e->cache = c;
	e->generation = atomic_load(generation_of(c, auth->user));
	e->expires = expires;
	memcpy(e->hash, hash, MX_SHA256_SIZE);
	return e;
}

void
auth_cache_keep(struct auth_cache *c, struct auth_entry *e, uint64_t epoch)
{
	struct auth_entry **bucket;
	struct shard *s = shard_of(c, e->hash, &bucket);

	pthread_mutex_lock(&s->lock);
	struct auth_entry *old = bucket_find(bucket, e->hash);
	if (old != NULL)
		drop(c, s, old);
	if (auth_cache_epoch(c) == epoch) {
		atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
		e->chain = *bucket;
		*bucket = e;
		list_push(s, e);
		if (++s->count > c->capacity)
			drop(c, s, s->oldest);
	} else {
		e->generation--;	/* nobody else has it yet: it is current no more */
	}
	pthread_mutex_unlock(&s->lock);
}

void
auth_cache_forget(struct auth_cache *c, mx_nid user)
{
	/* The epoch first: who still finds the old one has taken the old generation before. */
	atomic_fetch_add(&c->epoch, 1);
	atomic_fetch_add(generation_of(c, user), 1);
}

size_t
auth_cache_count(struct auth_cache *c)
{
	size_t n = 0;

	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&c->shards[i].lock);
		n += c->shards[i].count;
		pthread_mutex_unlock(&c->shards[i].lock);
	}
	return n;
}

const struct mx_auth *
mx_auth_ref(const struct mx_auth *auth)
{
	struct auth_entry *e = (struct auth_entry *)(uintptr_t)auth;

	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
	return auth;
}

void
mx_auth_release(const struct mx_auth *auth)
{
	if (auth != NULL)
		entry_unref((struct auth_entry *)(uintptr_t)auth);
}

bool
mx_auth_current(const struct mx_auth *auth)
{
	return entry_current((const struct auth_entry *)(const void *)auth, mx_now());
}
