/* Interned strings and their cache. A name that is committed never changes, so what is cached needs
 * no invalidation: only the names of a transaction have to wait for its commit before they may
 * enter. */
#include "config.h"

#include <stdlib.h>

#include "core/sql/impl.h"

static const struct mx_sql FIND = MX_SQL("SELECT nid FROM name WHERE text = $1");
static const struct mx_sql TEXT = MX_SQL("SELECT text FROM name WHERE nid = $1");
static const struct mx_sql LAST = MX_SQL("SELECT COALESCE(MAX(nid), 0) FROM name");
static const struct mx_sql ADD = MX_SQL("INSERT INTO name (nid, text) VALUES ($1, $2)");

/* ---- the cache: two hash tables over the same entries, and a clock that says who leaves ---- */

struct name {
	struct name *by_text, *by_nid;	/* the next one in its bucket */
	mx_nid nid;
	uint64_t hash;
	atomic_bool used;		/* since the hand of the clock was last here */
	uint32_t n;
	char text[];
};

struct mx_name_cache {
	pthread_rwlock_t lock;
	size_t max, count, hand;
	size_t buckets;			/* a power of two; grows with count */
	struct name **by_text, **by_nid;
	struct name **clock;		/* count entries of max */
};

struct mx_name_cache *
mx_name_cache_new(int64_t max)
{
	struct mx_name_cache *nc = mx_alloc(sizeof(*nc));

	pthread_rwlock_init(&nc->lock, NULL);
	nc->max = (size_t)max;
	nc->buckets = 64;
	nc->by_text = mx_alloc(nc->buckets * sizeof(struct name *));
	nc->by_nid = mx_alloc(nc->buckets * sizeof(struct name *));
	return nc;
}

void
mx_name_cache_free(struct mx_name_cache **ncp)
{
	struct mx_name_cache *nc = *ncp;

	if (nc == NULL)
		return;
	*ncp = NULL;
	for (size_t i = 0; i < nc->count; i++)
		free(nc->clock[i]);
	free(nc->clock);
	free(nc->by_text);
	free(nc->by_nid);
	pthread_rwlock_destroy(&nc->lock);
	free(nc);
}

static struct name **
text_slot(struct mx_name_cache *nc, uint64_t hash)
{
	return &nc->by_text[hash & (nc->buckets - 1)];
}

static struct name **
nid_slot(struct mx_name_cache *nc, mx_nid nid)
{
	return &nc->by_nid[(uint64_t)nid & (nc->buckets - 1)];
}

static struct name *
look_up_text(struct mx_name_cache *nc, uint64_t hash, mx_str text)
{
	struct name *e = *text_slot(nc, hash);

	while (e != NULL && (e->hash != hash || !mx_str_eq(text, (mx_str){ e->text, e->n })))
		e = e->by_text;
	return e;
}

static struct name *
look_up_nid(struct mx_name_cache *nc, mx_nid nid)
{
	struct name *e = *nid_slot(nc, nid);

	while (e != NULL && e->nid != nid)
		e = e->by_nid;
	return e;
}

static void
link_name(struct mx_name_cache *nc, struct name *e)
{
	struct name **text = text_slot(nc, e->hash), **nid = nid_slot(nc, e->nid);

	e->by_text = *text;
	*text = e;
	e->by_nid = *nid;
	*nid = e;
}

static void
unlink_name(struct mx_name_cache *nc, struct name *e)
{
	struct name **at;

	for (at = text_slot(nc, e->hash); *at != e; at = &(*at)->by_text)
		continue;
	*at = e->by_text;
	for (at = nid_slot(nc, e->nid); *at != e; at = &(*at)->by_nid)
		continue;
	*at = e->by_nid;
}

/* Doubles the tables. */
static void
grow(struct mx_name_cache *nc)
{
	free(nc->by_text);
	free(nc->by_nid);
	nc->buckets *= 2;
	nc->by_text = mx_alloc(nc->buckets * sizeof(struct name *));
	nc->by_nid = mx_alloc(nc->buckets * sizeof(struct name *));
	size_t room = nc->buckets < nc->max ? nc->buckets : nc->max;
	nc->clock = mx_realloc(nc->clock, room, sizeof(struct name *));
	for (size_t i = 0; i < nc->count; i++)
		link_name(nc, nc->clock[i]);
}

/* The place in the clock of an entry that was not used for a whole turn; it is gone. */
static size_t
evict(struct mx_name_cache *nc)
{
	for (;;) {
		struct name *e = nc->clock[nc->hand];
		size_t place = nc->hand;
		nc->hand = (nc->hand + 1) % nc->count;
		if (atomic_exchange_explicit(&e->used, false, memory_order_relaxed))
			continue;
		unlink_name(nc, e);
		free(e);
		return place;
	}
}

static void
cache_add(struct mx_name_cache *nc, mx_nid nid, mx_str text)
{
	uint64_t hash = mx_hash(text.p, text.n);
	struct name *e = mx_alloc(sizeof(*e) + text.n);

	e->nid = nid;
	e->hash = hash;
	e->n = (uint32_t)text.n;
	memcpy(e->text, text.p, text.n);
	atomic_init(&e->used, true);

	pthread_rwlock_wrlock(&nc->lock);
	if (look_up_text(nc, hash, text) != NULL) {
		pthread_rwlock_unlock(&nc->lock);
		free(e);
		return;
	}
	if (nc->clock == NULL || (nc->count == nc->buckets && nc->count < nc->max))
		grow(nc);
	size_t place = nc->count < nc->max ? nc->count++ : evict(nc);
	nc->clock[place] = e;
	link_name(nc, e);
	pthread_rwlock_unlock(&nc->lock);
}

static mx_nid
cache_find(struct mx_name_cache *nc, mx_str text)
{
	uint64_t hash = mx_hash(text.p, text.n);
	mx_nid nid = 0;

	pthread_rwlock_rdlock(&nc->lock);
	struct name *e = look_up_text(nc, hash, text);
	if (e != NULL) {
		nid = e->nid;
		atomic_store_explicit(&e->used, true, memory_order_relaxed);
	}
	pthread_rwlock_unlock(&nc->lock);
	return nid;
}

static bool
cache_text(struct mx_name_cache *nc, mx_nid nid, struct mx_arena *a, mx_str *out)
{
	pthread_rwlock_rdlock(&nc->lock);
	struct name *e = look_up_nid(nc, nid);
	if (e != NULL) {
		*out = mx_arena_str(a, (mx_str){ e->text, e->n });
		atomic_store_explicit(&e->used, true, memory_order_relaxed);
	}
	pthread_rwlock_unlock(&nc->lock);
	return e != NULL;
}

/* ---- a name that a transaction has seen: it may be its own, so it is cached with the commit ---- */

struct pending {
	struct mx_db *db;
	mx_nid nid;
	mx_str text;
};

static void
pending_after(void *arg, bool committed)
{
	struct pending *p = arg;

	if (committed)
		cache_add(p->db->names, p->nid, p->text);
}

/* Caches what was read or made through c, as soon as that is true for everyone. */
static void
remember(struct mx_conn *c, mx_nid nid, mx_str text)
{
	if (c->txn == NULL) {
		cache_add(c->db->names, nid, text);
		return;
	}
	struct pending *p = mx_arena_alloc(c->txn->arena, sizeof(*p));
	*p = (struct pending){ c->db, nid, mx_arena_str(c->txn->arena, text) };
	mx_txn_after(c->txn, pending_after, p);
}

/* ---- the interface ---- */

mx_error *
mx_name_find(struct mx_conn *c, mx_str text, mx_nid *out)
{
	if (text.p == NULL)
		text = MX_S("");
	*out = cache_find(c->db->names, text);
	if (*out != 0)
		return NULL;
	struct mx_query *q = mx_query(c, &FIND);
	mx_bind_str(q, 1, text);
	mx_nid nid = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	if (nid != 0)
		remember(c, nid, text);
	*out = nid;
	return NULL;
}

/* Brings db->name_max up to date, once a transaction where others write too. */
static mx_error *
know_last(struct mx_txn *tx)
{
	struct mx_db *db = tx->db;

	if (tx->names_known || (db->name_max != 0 && (db->ops->caps & MX_STORAGE_NOTIFY) == 0))
		return NULL;
	struct mx_query *q = mx_query(tx->conn, &LAST);
	mx_nid last = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	/* What was allotted in a transaction that failed is not allotted again: it costs nothing.
	 */
	if (last > db->name_max)
		db->name_max = last;
	tx->names_known = true;
	return NULL;
}

mx_error *
mx_name_intern(struct mx_txn *tx, mx_str text, mx_nid *out)
{
	*out = 0;
	if (tx->aside)
		mx_sql_misuse("mx_name_intern in a write aside");
	if (text.p == NULL)
		text = MX_S("");
	MX_TRY(mx_name_find(tx->conn, text, out));
	if (*out != 0)
		return NULL;
	MX_TRY(know_last(tx));
	mx_nid nid = tx->db->name_max + 1;
	struct mx_query *q = mx_query(tx->conn, &ADD);
	mx_bind_int(q, 1, nid);
	mx_bind_str(q, 2, text);
	MX_TRY(mx_query_run(q));
	tx->db->name_max = nid;
	remember(tx->conn, nid, text);
	*out = nid;
	return NULL;
}

mx_error *
mx_name_text(struct mx_conn *c, mx_nid nid, struct mx_arena *a, mx_str *out)
{
	*out = (mx_str){ NULL, 0 };
	if (cache_text(c->db->names, nid, a, out))
		return NULL;
	struct mx_query *q = mx_query(c, &TEXT);
	mx_bind_int(q, 1, nid);
	bool found = mx_query_next(q);
	if (found)
		*out = mx_arena_str(a, mx_col_str(q, 0));
	MX_TRY(mx_query_end(q));
	if (!found)
		return mx_error_new(MX_E_NOT_FOUND, "no name has the number %lld", (long long)nid);
	remember(c, nid, *out);
	return NULL;
}
