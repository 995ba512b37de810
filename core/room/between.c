/* Parts of a room's graph, as other servers ask for them. */
#include "config.h"

#include "core/room/cover.h"
#include "core/room/engine.h"

#include <stdlib.h>

/* Events of one call, each once; the list owns them. */
struct walk {
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_room *room;
	struct mx_events seen;		/* in the order in which they were found */
	uint32_t *slots;		/* by id: place + 1 */
	size_t slots_n;
};

static uint32_t *
slot(const struct walk *w, mx_str id)
{
	for (size_t i = (size_t)mx_hash(id.p, id.n) & (w->slots_n - 1);;
	     i = (i + 1) & (w->slots_n - 1))
		if (w->slots[i] == 0 || mx_str_eq(mx_event_id(w->seen.v[w->slots[i] - 1]), id))
			return &w->slots[i];
}

static void
add(struct walk *w, struct mx_event *ev)
{
	if (2 * (w->seen.n + 1) > w->slots_n) {
		w->slots_n = w->slots_n == 0 ? 64 : 2 * w->slots_n;
		free(w->slots);
		w->slots = mx_alloc(w->slots_n * sizeof(*w->slots));
		for (size_t i = 0; i < w->seen.n; i++)
			*slot(w, mx_event_id(w->seen.v[i])) = (uint32_t)i + 1;
	}
	*slot(w, mx_event_id(ev)) = (uint32_t)w->seen.n + 1;
	mx_events_add(&w->seen, ev);
}

/* Adds an event of the room's graph, if we have it and have not met it. */
static mx_error *
meet(struct walk *w, mx_str id)
{
	struct mx_event *ev = NULL;

	if (w->slots_n > 0 && *slot(w, id) != 0)
		return NULL;
	mx_error *e = mx_event_get(w->rs, w->conn, id, &ev);

	if (mx_error_is(e, MX_E_NOT_FOUND))
		mx_error_free(&e);
	if (e != NULL || ev == NULL)
		return e;
	if (ev->room == w->room->nid && !ev->outlier)
		add(w, ev);
	else
		mx_event_unref(&ev);
	return NULL;
}

static mx_error *
meet_prev(struct walk *w, const struct mx_event *ev)
{
	struct mx_event_ids it = mx_event_prev(ev);
	mx_str id;

	while (mx_event_ids_next(&it, &id))
		MX_TRY(meet(w, id));
	return NULL;
}

static int
by_place(const void *a, const void *b)
{
	const struct mx_event *x = *(struct mx_event *const *)a, *y = *(struct mx_event *const *)b;

	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return (x->nid > y->nid) - (x->nid < y->nid);
}

/* Walks back from those that were met first (which the asker has) until `want` others are found. */
static mx_error *
walk_back(struct walk *w, const mx_str *stop, size_t stop_n, size_t have, size_t want,
	  struct mx_events *out)
{
	enum { MAX_SEEN = 10000 };	/* of which rejected ones may be many */
	size_t found = 0;

	for (size_t at = 0; at < w->seen.n && found < want && w->seen.n < MAX_SEEN; at++) {
		struct mx_event *ev = w->seen.v[at];
		bool end = false;

		for (size_t i = 0; i < stop_n && !end; i++)
			end = mx_str_eq(stop[i], mx_event_id(ev));
		if (end)
			continue;
		if (at >= have && !ev->rejected) {
			mx_events_add(out, mx_event_ref(ev));
			found++;
		}
		MX_TRY(meet_prev(w, ev));
	}
	return NULL;
}

mx_error *
mx_room_between(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const mx_str *earliest,
		size_t earliest_n, const mx_str *latest, size_t latest_n, size_t limit,
		struct mx_events *out)
{
	struct walk w = { .rs = rs, .conn = c, .room = r };
	size_t base = out->n;
	mx_error *e = NULL;

	for (size_t i = 0; e == NULL && i < latest_n; i++)
		e = meet(&w, latest[i]);
	if (e == NULL)
		e = walk_back(&w, earliest, earliest_n, w.seen.n, limit, out);
	free(w.slots);
	mx_events_clear(&w.seen);
	if (e == NULL && out->n > base)
		qsort(out->v + base, out->n - base, sizeof(struct mx_event *), by_place);
	return e;
}

mx_error *
mx_events_auth_chain(struct mx_rooms *rs, struct mx_conn *c, struct mx_event *const *evs, size_t n,
		     struct mx_events *out)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid *of = mx_arena_alloc(a, (n + 1) * sizeof(*of)), *chain;
	size_t chain_n;

	for (size_t i = 0; i < n; i++)
		of[i] = mx_event_state_nid(evs[i]);
	MX_TRY(mx_cover_chain(rs, c, of, n, a, &chain, &chain_n));
	return mx_events_load(rs, c, chain, chain_n, out);
}
