/* The events of a room in the order of the stream. The newest are known by number from memory, and
 * events in memory know what stands in front of them; what that does not reach is one statement. */
#include "config.h"

#include "core/room/engine.h"

#include <stdlib.h>

static const struct mx_sql BACKWARDS =
	MX_SQL("SELECT " MX_EVENT_COLUMNS " FROM event e WHERE e.room = $1 AND e.nid > $2 AND e.nid < $3 AND e.flags & " MX_EVENT_NOT_SHOWN " = 0 "
	       "ORDER BY e.nid DESC LIMIT $4");
static const struct mx_sql FORWARDS =
	MX_SQL("SELECT " MX_EVENT_COLUMNS " FROM event e WHERE e.room = $1 AND e.nid > $2 AND e.nid < $3 AND e.flags & " MX_EVENT_NOT_SHOWN " = 0 "
	       "ORDER BY e.nid LIMIT $4");

/* What the view was when the tail was looked at. */
struct seen {
	mx_pos last;
	uint32_t backfills;
};

/* Copies what the tail has of the range, in the order that is asked for, at most max. *floor: what
 * is above it is known. */
static size_t
from_tail(struct mx_room *r, mx_nid after, mx_nid before, bool backwards, mx_nid *out, size_t max,
	  mx_nid *floor, struct seen *seen)
{
	size_t n = 0;

	pthread_mutex_lock(&r->lock);
	const struct mx_room_view *v = &r->view;

	*floor = v->tail_floor;
	*seen = (struct seen){ v->last, v->backfills };
	if (backwards) {
		for (size_t i = v->tail_n; i-- > 0 && n < max && v->tail[i] > after;)
			if (v->tail[i] < before)
				out[n++] = v->tail[i];
	} else if (after >= v->tail_floor) {
		for (size_t i = 0; i < v->tail_n && n < max && v->tail[i] < before; i++)
			if (v->tail[i] > after)
				out[n++] = v->tail[i];
	}
	pthread_mutex_unlock(&r->lock);
	return n;
}

/* What was read from the newest event backwards becomes the tail, when nothing has come in between.
 */
static void
fill_tail(struct mx_room *r, struct mx_event *const *newest_first, size_t n, bool complete,
	  mx_nid after, const struct seen *seen)
{
	size_t max = (size_t)r->rs->opt.room_tail;

	/* What the view does not have yet will be added when it has. */
	if (n == 0 || newest_first[0]->nid > seen->last)
		return;
	if (n > max)
		complete = false;
	n = n > max ? max : n;
	pthread_mutex_lock(&r->lock);
	struct mx_room_view *v = &r->view;

	if (v->last == seen->last && v->backfills == seen->backfills && v->tail_n < n) {
		if (v->tail_room < n) {
			v->tail = mx_realloc(v->tail, n, sizeof(*v->tail));
			v->tail_room = n;
		}
		for (size_t i = 0; i < n; i++)
			v->tail[i] = newest_first[n - 1 - i]->nid;
		v->tail_n = n;
		v->tail_floor = complete ? after : v->tail[0] - 1;
	}
	pthread_mutex_unlock(&r->lock);
}

/* Adds what memory has of the range in front of an event of the room, at most max. True: that is all
 * there is, or max. */
static bool
from_memory(struct mx_room *r, const struct mx_event *from, mx_nid after, size_t max,
	    struct mx_events *out)
{
	bool whole;

	mx_events_reserve(out, max);
	size_t n = mx_event_cache_earlier(r->rs->events, from, after, max, out->v + out->n,
					  &whole);

	out->n += n;
	return whole || n == max;
}

/* Adds up to limit events of the range from the database. */
static mx_error *
from_database(struct mx_room *r, struct mx_conn *c, mx_nid after, mx_nid before, size_t limit,
	      bool backwards, struct mx_events *out)
{
	struct mx_query *q = mx_query(c, backwards ? &BACKWARDS : &FORWARDS);
	mx_error *e = NULL;

	mx_bind_int(q, 1, r->nid);
	mx_bind_int(q, 2, after);
	mx_bind_int(q, 3, before);
	mx_bind_int(q, 4, (int64_t)limit);
	while (e == NULL && mx_query_next(q)) {
		struct mx_event *ev = mx_event_cache_get(r->rs->events, mx_col_int(q, 0));

		if (ev == NULL) {
			e = mx_event_of_row(q, r->version, &ev);
			if (e == NULL)
				mx_event_cache_add(r->rs->events, &ev);
		}
		if (e == NULL)
			mx_events_add(out, ev);
	}
	return mx_error_first(e, mx_query_end(q));
}

/* A reading of a range, on its way. */
struct range {
	mx_nid after, before;
	size_t want, base;		/* base: what stood in the list before */
	bool backwards;
};

/* Adds what the tail does not have. */
static mx_error *
read_rest(struct mx_room *r, struct mx_conn *c, struct range g, struct mx_events *out)
{
	MX_AUTO(mx_event) *edge = NULL;	/* the page goes on in front of it */
	size_t n = out->n - g.base;
	uint64_t links = mx_event_cache_links(r->rs->events);

	if (n > 0)
		edge = mx_event_ref(out->v[out->n - 1]);
	else if (g.backwards && g.before > 0)
		edge = mx_event_cache_get(r->rs->events, g.before);
	if (edge != NULL && n == 0 &&
	    (edge->nid != g.before || edge->room != r->nid || !mx_event_shown(edge)))
		mx_event_unref(&edge);
	if (edge != NULL && g.backwards && from_memory(r, edge, g.after, g.want - n, out))
		return NULL;
	if (out->n > g.base && g.backwards)
		g.before = out->v[out->n - 1]->nid;
	else if (out->n > g.base)
		g.after = out->v[out->n - 1]->nid;
	n = out->n;
	MX_TRY(from_database(r, c, g.after, g.before, g.want - (n - g.base), g.backwards, out));
	n = n > g.base ? n - 1 : n;
	mx_event_cache_link_read(r->rs->events, out->v + n, out->n - n, g.backwards, links);
	if (edge != NULL && n == g.base && out->n > n && g.backwards)
		mx_event_cache_link_read(r->rs->events, (struct mx_event *[]){ edge, out->v[n] }, 2,
					 true, links);
	return NULL;
}

mx_error *
mx_room_timeline(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_nid after,
		 mx_nid before, size_t limit, bool backwards, struct mx_events *out, bool *more)
{
	enum { MAX = 10000 };
	struct range g = { .want = (limit < MAX ? limit : MAX) + 1,	/* one more, to know whether there is more */
			   .base = out->n, .before = before, .backwards = backwards,
			   .after = after < MX_OUTLIER_NID ? MX_OUTLIER_NID : after };
	size_t at_hand = g.want < (size_t)rs->opt.room_tail ? g.want : (size_t)rs->opt.room_tail;
	mx_nid *nids = mx_alloc(at_hand * sizeof(*nids)), floor;
	struct seen seen;
	size_t n = from_tail(r, g.after, before, backwards, nids, at_hand, &floor, &seen);
	mx_error *e = mx_events_load(rs, c, nids, n, out);

	free(nids);
	/* The tail had it all when it is full, or when it reaches down to where the range begins.
	 */
	bool known = n == g.want || (g.after >= floor && n < at_hand);

	if (e == NULL && !known) {
		e = read_rest(r, c, g, out);
		if (e == NULL && n == 0 && before > seen.last && backwards)
			fill_tail(r, out->v + g.base, out->n - g.base,
				  out->n - g.base < g.want, g.after, &seen);
	}
	if (e != NULL)
		return e;
	*more = out->n - g.base == g.want;
	if (*more)
		mx_event_unref(&out->v[--out->n]);
	return NULL;
}
