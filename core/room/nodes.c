/* The nodes of state trees in memory. */
#include "config.h"

#include "core/room/event_cache.h"
#include "core/room/tree.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#define SHARDS 8u

struct shard {
	pthread_mutex_t lock;
	struct mx_node **table;
	size_t n, room;			/* room: a power of two */
	struct mx_node *newest, *oldest;
	size_t bytes;
	uint64_t hits, misses;
};

struct mx_node_cache {
	size_t shard_limit;
	struct shard shards[SHARDS];
};

static const struct mx_sql GET_NODE = MX_SQL("SELECT data FROM state_node WHERE hash = $1");

static const struct mx_sql GET_NODES =
	MX_SQL("SELECT data FROM state_node WHERE hash IN "
	       "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)");

#define MANY 16			/* parameters of GET_NODES */

static struct shard *
shard_of(struct mx_node_cache *c, const unsigned char hash[16])
{
	return &c->shards[hash[15] % SHARDS];
}

static size_t
bucket(const struct shard *s, const unsigned char hash[16])
{
	uint64_t h;

	memcpy(&h, hash, sizeof(h));
	return (size_t)h & (s->room - 1);
}

static size_t
weight(const struct mx_node *n)
{
	return sizeof(*n) + n->n + sizeof(void *);
}

/* ---- with the shard's lock held ---- */

static struct mx_node *
find(struct shard *s, const unsigned char hash[16])
{
	struct mx_node *n = s->table[bucket(s, hash)];

	while (n != NULL && memcmp(n->hash, hash, sizeof(n->hash)) != 0)
		n = n->chain;
	return n;
}

static void
lru_unlink(struct shard *s, struct mx_node *n)
{
	*(n->newer != NULL ? &n->newer->older : &s->newest) = n->older;
	*(n->older != NULL ? &n->older->newer : &s->oldest) = n->newer;
}

static void
lru_push(struct shard *s, struct mx_node *n)
{
	n->newer = NULL;
	n->older = s->newest;
	*(s->newest != NULL ? &s->newest->newer : &s->oldest) = n;
	s->newest = n;
}

static void
drop_ref(struct mx_node *n)
{
	if (--n->refs == 0)
		free(n);
}

static void
evict(struct shard *s, struct mx_node *n)
{
	struct mx_node **p = &s->table[bucket(s, n->hash)];

	while (*p != n)
		p = &(*p)->chain;
	*p = n->chain;
	lru_unlink(s, n);
	s->n--;
	s->bytes -= weight(n);
	n->cached = false;
	drop_ref(n);
}

static void
trim(struct shard *s, size_t limit)
{
	struct mx_node *n = s->oldest;

	for (int steps = 0; n != NULL && s->bytes > limit && steps < 64; steps++) {
		struct mx_node *newer = n->newer;

		if (n->pins == 0)
			evict(s, n);
		n = newer;
	}
}

/* What nobody has asked for in a while goes, though there were room; as far as it is not pinned. */
static void
age(struct shard *s, int64_t now)
{
	while (s->oldest != NULL && now - s->oldest->used > MX_CACHE_IDLE && s->oldest->pins == 0)
		evict(s, s->oldest);
}

static void
grow(struct shard *s)
{
	size_t old = s->room;
	struct mx_node **table = s->table;

	s->room *= 2;
	s->table = mx_realloc(NULL, s->room, sizeof(*s->table));
	memset(s->table, 0, s->room * sizeof(*s->table));
	for (size_t i = 0; i < old; i++)
		for (struct mx_node *n = table[i], *next; n != NULL; n = next) {
			size_t b = bucket(s, n->hash);

			next = n->chain;
			n->chain = s->table[b];
			s->table[b] = n;
		}
	free(table);
}

/* The node as the cache has it, or n itself, now cached; with one more reference for the caller.
 * Takes n. */
static struct mx_node *
put(struct shard *s, struct mx_node *n, size_t limit)
{
	struct mx_node *have = find(s, n->hash);

	if (have != NULL) {
		free(n);
		have->refs++;
		return have;
	}
	n->used = mx_monotonic_us();
	age(s, n->used);
	if (s->n >= s->room)
		grow(s);
	size_t b = bucket(s, n->hash);

	n->chain = s->table[b];
	s->table[b] = n;
	lru_push(s, n);
	s->n++;
	s->bytes += weight(n);
	n->cached = true;
	n->refs = 2;
	trim(s, limit);
	return n;
}

/* ---- the cache ---- */

struct mx_node_cache *
mx_node_cache_new(size_t bytes)
{
	struct mx_node_cache *c = mx_alloc(sizeof(*c));

	c->shard_limit = bytes / SHARDS;
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&c->shards[i].lock, NULL);
		c->shards[i].room = 64;
		c->shards[i].table = mx_alloc(64 * sizeof(struct mx_node *));
	}
	return c;
}

void
mx_node_cache_free(struct mx_node_cache **cp)
{
	struct mx_node_cache *c = *cp;

	for (size_t i = 0; c != NULL && i < SHARDS; i++) {
		while (c->shards[i].newest != NULL)
			evict(&c->shards[i], c->shards[i].newest);
		free(c->shards[i].table);
		pthread_mutex_destroy(&c->shards[i].lock);
	}
	free(c);
	*cp = NULL;
}

void
mx_node_cache_age(struct mx_node_cache *c, int64_t now)
{
	for (size_t i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&c->shards[i].lock);
		age(&c->shards[i], now);
		pthread_mutex_unlock(&c->shards[i].lock);
	}
}

void
mx_node_cache_stats(struct mx_node_cache *c, uint64_t *hits, uint64_t *misses, size_t *bytes)
{
	*hits = *misses = 0;
	*bytes = 0;
	for (size_t i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];

		pthread_mutex_lock(&s->lock);
		*hits += s->hits;
		*misses += s->misses;
		*bytes += s->bytes;
		pthread_mutex_unlock(&s->lock);
	}
}

static struct mx_node *
node_new(const unsigned char hash[16], const void *bytes, size_t n)
{
	struct mx_node *node = mx_alloc(sizeof(*node) + n);

	memcpy(node->hash, hash, sizeof(node->hash));
	memcpy(node->bytes, bytes, n);
	node->n = (uint32_t)n;
	return node;
}

static void
node_unref(struct mx_node_cache *c, struct mx_node *n)
{
	struct shard *s = shard_of(c, n->hash);

	pthread_mutex_lock(&s->lock);
	drop_ref(n);
	pthread_mutex_unlock(&s->lock);
}

/* ---- what a tree holds: valid until mx_tree_done ---- */

/* The place of the node in the table, or the free one where it would be. */
static uint32_t *
held_place(const struct mx_tree *t, const unsigned char hash[16])
{
	uint64_t h;

	memcpy(&h, hash, sizeof(h));
	for (size_t i = (size_t)h & (t->held_at_room - 1);; i = (i + 1) & (t->held_at_room - 1))
		if (t->held_at[i] == 0 || memcmp(t->held[t->held_at[i] - 1]->hash, hash, 16) == 0)
			return &t->held_at[i];
}

static struct mx_node *
held_find(const struct mx_tree *t, const unsigned char hash[16])
{
	const uint32_t *place = t->held_at_room != 0 ? held_place(t, hash) : NULL;

	return place != NULL && *place != 0 ? t->held[*place - 1] : NULL;
}

/* Takes a reference. */
static void
hold(struct mx_tree *t, struct mx_node *n)
{
	if (t->held_n == t->held_room) {
		t->held_room = t->held_room == 0 ? 16 : 2 * t->held_room;
		t->held = mx_realloc(t->held, t->held_room, sizeof(struct mx_node *));
	}
	t->held[t->held_n++] = n;
	if (2 * t->held_n > t->held_at_room) {
		free(t->held_at);
		t->held_at_room = 4 * t->held_room;
		t->held_at = mx_alloc(t->held_at_room * sizeof(*t->held_at));
		for (size_t i = 0; i < t->held_n; i++)
			*held_place(t, t->held[i]->hash) = (uint32_t)i + 1;
	} else {
		*held_place(t, n->hash) = (uint32_t)t->held_n;
	}
}

void
mx_tree_done(struct mx_tree *t)
{
	for (size_t i = 0; i < t->held_n; i++)
		node_unref(t->cache, t->held[i]);
	free(t->held);
	free(t->held_at);
	mx_chain_free(&t->chain);
	*t = (struct mx_tree){ .cache = t->cache, .conn = t->conn };
}

/* ---- damage: a node comes from our own database, but a broken disk must not become a broken process ---- */

static bool
well_formed(const unsigned char *p, size_t n)
{
	if (n < 2)
		return false;
	if (p[0] == 'L')
		return p[1] > 0 && p[1] <= MX_TREE_LEAF && n == 2 + (size_t)p[1] * 24;
	return p[0] == 'B' && n >= 8 &&
	       n == 8 + 16 * (size_t)__builtin_popcount((unsigned)p[2] << 8 | p[3]) &&
	       (p[2] | p[3]) != 0;
}

static mx_error *
read_node(struct mx_tree *t, const unsigned char hash[16], struct mx_node **out)
{
	struct mx_query *q = mx_query(t->conn, &GET_NODE);
	unsigned char check[16];

	*out = NULL;
	mx_bind_int(q, 1, mx_node_number(hash));
	while (*out == NULL && mx_query_next(q)) {
		mx_str data = mx_col_str(q, 0);

		if (data.n > 0 && data.p[0] == 'D')
			continue;	/* a root that is stored as a delta */
		crypto_generichash(check, sizeof(check), (const unsigned char *)data.p, data.n,
				   NULL, 0);
		if (memcmp(check, hash, sizeof(check)) == 0 &&
		    well_formed((const unsigned char *)data.p, data.n))
			*out = node_new(hash, data.p, data.n);
	}
	MX_TRY(mx_query_end(q));
	return *out != NULL ? NULL
			    : mx_error_new(MX_E_NOT_FOUND, "a node of a state tree is not stored");
}

/* The node in memory, with a reference for the caller, or NULL. */
static struct mx_node *
in_memory(struct mx_tree *t, const unsigned char hash[16])
{
	struct shard *s = shard_of(t->cache, hash);
	int64_t now = mx_monotonic_us();
	struct mx_node *n;

	pthread_mutex_lock(&s->lock);
	n = find(s, hash);
	if (n != NULL) {
		n->refs++;
		n->used = now;
		s->hits++;
		if (s->newest != n) {
			lru_unlink(s, n);
			lru_push(s, n);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

mx_error *
mx_node_load(struct mx_tree *t, const unsigned char hash[16], unsigned depth,
	     const struct mx_node **out)
{
	if (depth >= 2 * MX_TREE_KEY)
		return mx_error_new(MX_E_UNKNOWN, "a state tree is damaged: it is too deep");
	struct mx_node *n = in_memory(t, hash);

	if (n == NULL && (*out = held_find(t, hash)) != NULL)
		return NULL;
	if (n == NULL) {
		struct shard *s = shard_of(t->cache, hash);

		if (t->conn == NULL)
			return mx_error_new(MX_E_AGAIN, "a node of a state tree is not in memory");
		MX_TRY(read_node(t, hash, &n));
		pthread_mutex_lock(&s->lock);
		s->misses++;
		n = put(s, n, t->cache->shard_limit);
		pthread_mutex_unlock(&s->lock);
	}
	hold(t, n);
	*out = n;
	return NULL;
}

/* ---- many at once ---- */

static bool
is_here(struct mx_tree *t, const unsigned char hash[16])
{
	struct shard *s = shard_of(t->cache, hash);

	pthread_mutex_lock(&s->lock);
	bool here = find(s, hash) != NULL;

	pthread_mutex_unlock(&s->lock);
	return here || held_find(t, hash) != NULL;
}

/* A row that was asked for, perhaps: its number is that of one that was. */
static void
take_row(struct mx_tree *t, const unsigned char *const *hashes, size_t n, mx_str data)
{
	unsigned char hash[16];
	struct shard *s;
	struct mx_node *node;
	size_t i = 0;

	if (data.n == 0 || data.p[0] == 'D' ||
	    !well_formed((const unsigned char *)data.p, data.n))
		return;
	crypto_generichash(hash, sizeof(hash), (const unsigned char *)data.p, data.n, NULL, 0);
	while (i < n && memcmp(hashes[i], hash, sizeof(hash)) != 0)
		i++;
	if (i == n || is_here(t, hash))
		return;
	s = shard_of(t->cache, hash);
	node = node_new(hash, data.p, data.n);
	pthread_mutex_lock(&s->lock);
	s->misses++;
	node = put(s, node, t->cache->shard_limit);
	pthread_mutex_unlock(&s->lock);
	hold(t, node);
}

static mx_error *
read_many(struct mx_tree *t, const unsigned char *const *hashes, size_t n)
{
	struct mx_query *q = mx_query(t->conn, &GET_NODES);

	for (size_t i = 0; i < MANY; i++)
		mx_bind_int(q, (int)i + 1, mx_node_number(hashes[i < n ? i : 0]));
	while (mx_query_next(q))
		take_row(t, hashes, n, mx_col_str(q, 0));
	return mx_query_end(q);
}

mx_error *
mx_nodes_fetch(struct mx_tree *t, const unsigned char *const *hashes, size_t n)
{
	const unsigned char *wanted[MANY];
	size_t wanted_n = 0;

	for (size_t i = 0; t->conn != NULL && i < n; i++) {
		if (hashes[i] != NULL && !is_here(t, hashes[i]))
			wanted[wanted_n++] = hashes[i];
		if (wanted_n == MANY || (i + 1 == n && wanted_n > 1)) {
			MX_TRY(read_many(t, wanted, wanted_n));
			wanted_n = 0;
		}
	}
	return NULL;
}

/* ---- fresh ones ---- */

const struct mx_node *
mx_node_make(struct mx_fresh_nodes *f, const unsigned char *bytes, size_t n)
{
	unsigned char hash[16];

	crypto_generichash(hash, sizeof(hash), bytes, n, NULL, 0);
	struct shard *s = shard_of(f->cache, hash);
	struct mx_node *node = node_new(hash, bytes, n);

	pthread_mutex_lock(&s->lock);
	node = put(s, node, f->cache->shard_limit);
	node->pins++;
	pthread_mutex_unlock(&s->lock);
	if (f->n == f->room) {
		f->room = f->room == 0 ? 8 : 2 * f->room;
		f->v = mx_realloc(f->v, f->room, sizeof(struct mx_node *));
	}
	f->v[f->n++] = node;
	return node;
}

void
mx_fresh_nodes_done(struct mx_fresh_nodes *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct shard *s = shard_of(f->cache, f->v[i]->hash);

		pthread_mutex_lock(&s->lock);
		f->v[i]->pins--;
		drop_ref(f->v[i]);
		pthread_mutex_unlock(&s->lock);
	}
	free(f->v);
	f->v = NULL;
	f->n = f->room = 0;
}

void
mx_fresh_nodes_hold(struct mx_fresh_nodes *f, struct mx_tree *t)
{
	for (size_t i = 0; i < f->n; i++) {
		struct shard *s = shard_of(f->cache, f->v[i]->hash);

		pthread_mutex_lock(&s->lock);
		f->v[i]->pins--;
		pthread_mutex_unlock(&s->lock);
		hold(t, f->v[i]);
	}
	free(f->v);
	f->v = NULL;
	f->n = f->room = 0;
}

int64_t
mx_node_number(const unsigned char hash[16])
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | hash[i];
	return (int64_t)n;
}

mx_str
mx_node_bytes(const struct mx_node *n)
{
	return (mx_str){ (const char *)n->bytes, n->n };
}
