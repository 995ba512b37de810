#include "config.h"

#include "core/room/event_cache.h"

#include <pthread.h>
#include <stdlib.h>

struct entry {
	struct mx_event *event;
	uint64_t id_hash;
	struct entry *nid_chain, *alias_chain, *id_chain, *newer, *older;
	size_t weight;
	int64_t used;			/* mx_monotonic_us */
};

struct mx_event_cache {
	pthread_mutex_t lock;
	struct entry **by_nid, **by_alias, **by_id;
	size_t n, room, bytes, limit;	/* room: a power of two */
	struct entry *newest, *oldest;
	uint64_t hits, misses;
	uint64_t links;			/* moves when what was noted counts no longer */
};

struct mx_event_cache *
mx_event_cache_new(size_t bytes)
{
	struct mx_event_cache *c = mx_alloc(sizeof(*c));

	pthread_mutex_init(&c->lock, NULL);
	c->limit = bytes;
	c->room = 256;
	c->by_nid = mx_alloc(c->room * sizeof(struct entry *));
	c->by_alias = mx_alloc(c->room * sizeof(struct entry *));
	c->by_id = mx_alloc(c->room * sizeof(struct entry *));
	return c;
}

/* ---- with the lock held ---- */

static size_t
nid_bucket(const struct mx_event_cache *c, mx_nid nid)
{
	return (size_t)(((uint64_t)nid * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (c->room - 1);
}

static struct entry *
find(struct mx_event_cache *c, mx_nid nid)
{
	struct entry *e = c->by_nid[nid_bucket(c, nid)];

	while (e != NULL && e->event->nid != nid)
		e = e->nid_chain;
	if (e != NULL || nid > 0)
		return e;
	for (e = c->by_alias[nid_bucket(c, nid)]; e != NULL && e->event->alias != nid;)
		e = e->alias_chain;
	return e;
}

static void
lru_unlink(struct mx_event_cache *c, struct entry *e)
{
	*(e->newer != NULL ? &e->newer->older : &c->newest) = e->older;
	*(e->older != NULL ? &e->older->newer : &c->oldest) = e->newer;
}

static void
lru_push(struct mx_event_cache *c, struct entry *e)
{
	e->newer = NULL;
	e->older = c->newest;
	*(c->newest != NULL ? &c->newest->newer : &c->oldest) = e;
	c->newest = e;
}

/* now: when, in mx_monotonic_us. */
static struct mx_event *
use(struct mx_event_cache *c, struct entry *e, int64_t now)
{
	if (e == NULL) {
		c->misses++;
		return NULL;
	}
	c->hits++;
	e->used = now;
	if (c->newest != e) {
		lru_unlink(c, e);
		lru_push(c, e);
	}
	return mx_event_ref(e->event);
}

static void
link_entry(struct mx_event_cache *c, struct entry *e)
{
	size_t b = nid_bucket(c, e->event->nid);

	e->nid_chain = c->by_nid[b];
	c->by_nid[b] = e;
	if (e->event->alias != 0) {
		b = nid_bucket(c, e->event->alias);
		e->alias_chain = c->by_alias[b];
		c->by_alias[b] = e;
	}
	b = (size_t)e->id_hash & (c->room - 1);
	e->id_chain = c->by_id[b];
	c->by_id[b] = e;
}

static void
drop(struct mx_event_cache *c, struct entry *e)
{
	struct entry **p = &c->by_nid[nid_bucket(c, e->event->nid)];

	while (*p != e)
		p = &(*p)->nid_chain;
	*p = e->nid_chain;
	if (e->event->alias != 0) {
		p = &c->by_alias[nid_bucket(c, e->event->alias)];
		while (*p != e)
			p = &(*p)->alias_chain;
		*p = e->alias_chain;
	}
	p = &c->by_id[(size_t)e->id_hash & (c->room - 1)];
	while (*p != e)
		p = &(*p)->id_chain;
	*p = e->id_chain;
	lru_unlink(c, e);
	c->n--;
	c->bytes -= e->weight;
	mx_event_unref(&e->event);
	free(e);
}

static void
grow(struct mx_event_cache *c)
{
	c->room *= 2;
	free(c->by_nid);
	free(c->by_alias);
	free(c->by_id);
	c->by_nid = mx_alloc(c->room * sizeof(struct entry *));
	c->by_alias = mx_alloc(c->room * sizeof(struct entry *));
	c->by_id = mx_alloc(c->room * sizeof(struct entry *));
	for (struct entry *e = c->newest; e != NULL; e = e->older)
		link_entry(c, e);
}

/* What nobody has asked for in a while goes, though there were room. */
static void
age(struct mx_event_cache *c, int64_t now)
{
	while (c->oldest != NULL && now - c->oldest->used > MX_CACHE_IDLE)
		drop(c, c->oldest);
}

static void
insert(struct mx_event_cache *c, struct mx_event *ev)
{
	struct entry *e = mx_alloc(sizeof(*e));
	mx_str id = mx_event_id(ev);

	e->used = mx_monotonic_us();
	age(c, e->used);
	if (c->n >= c->room)
		grow(c);
	e->event = mx_event_ref(ev);
	e->id_hash = mx_hash(id.p, id.n);
	/* What stands behind the JSON is short: ids and decoded strings. */
	e->weight = sizeof(*e) + sizeof(*ev) + ev->json_n + 128;
	link_entry(c, e);
	lru_push(c, e);
	c->n++;
	c->bytes += e->weight;
	while (c->bytes > c->limit && c->oldest != c->newest)
		drop(c, c->oldest);
}

/* ---- without it ---- */

void
mx_event_cache_age(struct mx_event_cache *c, int64_t now)
{
	pthread_mutex_lock(&c->lock);
	age(c, now);
	pthread_mutex_unlock(&c->lock);
}

void
mx_event_cache_drop(struct mx_event_cache *c, mx_nid nid)
{
	pthread_mutex_lock(&c->lock);
	struct entry *e = find(c, nid);

	if (e != NULL)
		drop(c, e);
	pthread_mutex_unlock(&c->lock);
}

void
mx_event_cache_clear(struct mx_event_cache *c)
{
	pthread_mutex_lock(&c->lock);
	while (c->newest != NULL)
		drop(c, c->newest);
	pthread_mutex_unlock(&c->lock);
}

void
mx_event_cache_free(struct mx_event_cache **cp)
{
	struct mx_event_cache *c = *cp;

	if (c == NULL)
		return;
	mx_event_cache_clear(c);
	pthread_mutex_destroy(&c->lock);
	free(c->by_nid);
	free(c->by_alias);
	free(c->by_id);
	free(c);
	*cp = NULL;
}

struct mx_event *
mx_event_cache_get(struct mx_event_cache *c, mx_nid nid)
{
	pthread_mutex_lock(&c->lock);
	struct mx_event *ev = use(c, find(c, nid), mx_monotonic_us());

	pthread_mutex_unlock(&c->lock);
	return ev;
}

struct mx_event *
mx_event_cache_find(struct mx_event_cache *c, mx_str id)
{
	uint64_t h = mx_hash(id.p, id.n);

	pthread_mutex_lock(&c->lock);
	struct entry *e = c->by_id[(size_t)h & (c->room - 1)];

	while (e != NULL && (e->id_hash != h || !mx_str_eq(mx_event_id(e->event), id)))
		e = e->id_chain;
	struct mx_event *ev = use(c, e, mx_monotonic_us());

	pthread_mutex_unlock(&c->lock);
	return ev;
}

size_t
mx_event_cache_get_many(struct mx_event_cache *c, const mx_nid *nids, size_t n,
			struct mx_event **out)
{
	int64_t now = mx_monotonic_us();
	size_t missing = 0;

	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < n; i++) {
		out[i] = use(c, find(c, nids[i]), now);
		missing += out[i] == NULL;
	}
	pthread_mutex_unlock(&c->lock);
	return missing;
}

/* With the lock held. What is in front of number 0 is added to backwards, and not noted. */
static void
note(const struct mx_event_cache *c, struct mx_event *ev, mx_nid earlier)
{
	if (earlier > 0 && earlier < ev->nid) {
		ev->earlier = earlier;
		ev->links = c->links;
	}
}

/* With the lock held. */
static mx_nid
earlier_of(const struct mx_event_cache *c, const struct mx_event *ev)
{
	return ev->links == c->links ? ev->earlier : 0;
}

void
mx_event_cache_link(struct mx_event_cache *c, struct mx_event *ev, mx_nid earlier)
{
	pthread_mutex_lock(&c->lock);
	note(c, ev, earlier);
	pthread_mutex_unlock(&c->lock);
}

uint64_t
mx_event_cache_links(struct mx_event_cache *c)
{
	pthread_mutex_lock(&c->lock);
	uint64_t links = c->links;

	pthread_mutex_unlock(&c->lock);
	return links;
}

void
mx_event_cache_link_read(struct mx_event_cache *c, struct mx_event *const *v, size_t n,
			 bool newest_first, uint64_t links)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = 1; links == c->links && i < n; i++)
		note(c, v[newest_first ? i - 1 : i], v[newest_first ? i : i - 1]->nid);
	pthread_mutex_unlock(&c->lock);
}

void
mx_event_cache_unlink(struct mx_event_cache *c)
{
	pthread_mutex_lock(&c->lock);
	c->links++;
	pthread_mutex_unlock(&c->lock);
}

size_t
mx_event_cache_earlier(struct mx_event_cache *c, const struct mx_event *from, mx_nid after,
		       size_t max, struct mx_event **out, bool *whole)
{
	enum { PIECE = 32 };
	const struct mx_event *at = from;
	int64_t now = mx_monotonic_us();
	size_t n = 0, stop;
	mx_nid nid;

	do {
		stop = max - n > PIECE ? n + PIECE : max;
		pthread_mutex_lock(&c->lock);
		nid = earlier_of(c, at);
		while (n < stop && nid > 0 && nid > after) {
			struct entry *e = find(c, nid);

			if (e == NULL || !mx_event_shown(e->event))
				break;
			at = out[n++] = use(c, e, now);
			nid = earlier_of(c, at);
		}
		pthread_mutex_unlock(&c->lock);
	} while (n == stop && n < max);
	*whole = nid > 0 && nid <= after;
	return n;
}

void
mx_event_cache_add(struct mx_event_cache *c, struct mx_event **ev)
{
	pthread_mutex_lock(&c->lock);
	struct entry *e = find(c, (*ev)->nid);

	if (e == NULL) {
		insert(c, *ev);
	} else {
		struct mx_event *mine = *ev;

		*ev = mx_event_ref(e->event);
		mx_event_unref(&mine);
	}
	pthread_mutex_unlock(&c->lock);
}

void
mx_event_cache_put(struct mx_event_cache *c, struct mx_event *ev)
{
	pthread_mutex_lock(&c->lock);
	struct entry *e = find(c, ev->nid);

	if (e != NULL) {
		note(c, ev, earlier_of(c, e->event));
		drop(c, e);
	}
	/* The outlier that it was. */
	e = ev->alias != 0 ? find(c, ev->alias) : NULL;
	if (e != NULL)
		drop(c, e);
	insert(c, ev);
	pthread_mutex_unlock(&c->lock);
}

void
mx_event_cache_stats(struct mx_event_cache *c, uint64_t *hits, uint64_t *misses, size_t *bytes)
{
	pthread_mutex_lock(&c->lock);
	*hits = c->hits;
	*misses = c->misses;
	*bytes = c->bytes;
	pthread_mutex_unlock(&c->lock);
}
