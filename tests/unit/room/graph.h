/* Rooms for tests of state resolution: up to 64 events, each a bit, each with the state after it.
 * An event is made as a server would make it: its auth_events are chosen from the state before it,
 * which is resolved when it has several predecessors. */
#ifndef TESTS_UNIT_ROOM_GRAPH_H
#define TESTS_UNIT_ROOM_GRAPH_H

#include "tests/unit/room/events.h"

#include "core/room/difference.h"
#include "core/room/resolve.h"

#define GRAPH_MAX 64

struct graph_state {
	int v[GRAPH_MAX];	/* events, one a key */
	int n;
};

struct graph {
	const char *version;
	struct mx_event *ev[GRAPH_MAX];
	struct graph_state after[GRAPH_MAX];
	uint64_t auth[GRAPH_MAX];	/* of each, as bits */
	uint64_t hidden;		/* events that the server does not have */
	int n;
	size_t max_events;
	mx_msec ts;		/* of the next event; 0: as the events come */
};

static inline bool
graph_same_key(const struct graph *g, int a, int b)
{
	return mx_str_eq(mx_event_type(g->ev[a]), mx_event_type(g->ev[b])) &&
	       mx_str_eq(mx_event_state_key(g->ev[a]), mx_event_state_key(g->ev[b]));
}

static inline int
graph_find(const struct graph *g, mx_str id)
{
	for (int i = 0; i < g->n; i++)
		if (mx_str_eq(mx_event_id(g->ev[i]), id))
			return i;
	return -1;
}

/* The event of the state at a key; -1. */
static inline int
graph_at(const struct graph *g, const struct graph_state *s, mx_str type, mx_str key)
{
	for (int i = 0; i < s->n; i++)
		if (mx_str_eq(mx_event_type(g->ev[s->v[i]]), type) &&
		    mx_str_eq(mx_event_state_key(g->ev[s->v[i]]), key))
			return s->v[i];
	return -1;
}

static inline void
graph_put(const struct graph *g, struct graph_state *s, int e)
{
	for (int i = 0; i < s->n; i++) {
		if (graph_same_key(g, s->v[i], e)) {
			s->v[i] = e;
			return;
		}
	}
	s->v[s->n++] = e;
}

/* ---- resolving with the code under test ---- */

struct graph_call {
	const struct graph *g;
	const struct graph_state *agreed;
};

static inline mx_error *
graph_event(void *arg, mx_str id, const struct mx_event **out)
{
	const struct graph_call *c = arg;
	int i = graph_find(c->g, id);

	*out = i < 0 || (c->g->hidden >> i & 1) != 0 ? NULL : c->g->ev[i];
	return NULL;
}

static inline mx_error *
graph_agreed(void *arg, mx_str type, mx_str key, mx_str *id)
{
	const struct graph_call *c = arg;
	int i = graph_at(c->g, c->agreed, type, key);

	*id = i < 0 ? (mx_str){ NULL, 0 } : mx_event_id(c->g->ev[i]);
	return NULL;
}

/* Numbers in the graph of auth events: one more than the place. */
static inline mx_error *
graph_rows(void *arg, struct mx_auth_row *v, size_t n)
{
	const struct graph_call *c = arg;

	for (size_t i = 0; i < n; i++) {
		int e = (int)v[i].nid - 1;

		v[i].height = v[i].nid;
		for (int k = 0; k < c->g->n; k++)
			if ((c->g->hidden >> e & 1) == 0 && (c->g->auth[e] >> k & 1) != 0)
				v[i].auth[v[i].n++] = k + 1;
	}
	return NULL;
}

/* Page by page, newest first; what nobody rests on last. */
static inline mx_error *
graph_above(void *arg, mx_nid nid, struct mx_above *page)
{
	const struct graph_call *c = arg;
	bool leaf = page->begun && page->last.leaf;
	int from = page->begun ? (int)page->last.nid - 2 : c->g->n - 1;

	for (int pass = leaf; pass < 2; pass++, from = c->g->n - 1)
		for (int e = from; e >= 0 && page->n < MX_ABOVE; e--)
			if ((c->g->auth[e] >> (nid - 1) & 1) != 0 &&
			    !mx_rules_is_auth_type(c->g->ev[e]) == pass) {
				page->v[page->n].nid = e + 1;
				page->v[page->n++].leaf = pass;
			}
	return NULL;
}

static inline mx_error *
graph_is_agreed(void *arg, mx_nid nid, bool leaf, bool *out)
{
	const struct graph_call *c = arg;

	assert_int_equal(leaf, !mx_rules_is_auth_type(c->g->ev[nid - 1]));
	for (int i = 0; i < c->agreed->n; i++)
		*out = *out || c->agreed->v[i] == (int)nid - 1;
	return NULL;
}

/* What all states have alike, and one event of each key at which they differ. */
static inline void
graph_split(const struct graph *g, const struct graph_state *const *sets, size_t n,
	    struct graph_state *agreed, struct graph_state *keys)
{
	*agreed = *keys = (struct graph_state){ .n = 0 };
	for (size_t s = 0; s < n; s++) {
		for (int i = 0; i < sets[s]->n; i++) {
			int e = sets[s]->v[i];
			bool same = true;

			for (size_t t = 0; t < n; t++)
				same = same && graph_at(g, sets[t], mx_event_type(g->ev[e]),
							mx_event_state_key(g->ev[e])) == e;
			graph_put(g, same ? agreed : keys, e);
		}
	}
}

/* The auth difference, and the subgraph in version 12. */
static inline const mx_str *
graph_others(struct graph_call *call, const struct graph_state *const *sets, size_t n,
	     struct mx_arena *a, size_t *out_n)
{
	const struct graph *g = call->g;
	struct mx_auth_graph asked = { graph_rows, graph_above, graph_is_agreed, call, GRAPH_MAX };
	struct mx_conflicted v[GRAPH_MAX];
	size_t conflicted = 0;
	mx_nid *nids;
	mx_str *ids;

	for (int e = 0; e < g->n; e++) {
		v[conflicted] = (struct mx_conflicted){ e + 1, 0,
							!mx_rules_is_auth_type(g->ev[e]) };
		for (size_t s = 0; s < n; s++)
			if (graph_at(g, sets[s], mx_event_type(g->ev[e]),
				     mx_event_state_key(g->ev[e])) == e)
				v[conflicted].states |= UINT64_C(1) << s;
		if (v[conflicted].states != 0 && v[conflicted].states != (UINT64_C(1) << n) - 1)
			conflicted++;
	}
	unit_ok(mx_auth_difference(&asked, v, conflicted, n, strcmp(g->version, "12") == 0, a,
				   &nids, out_n));
	ids = mx_arena_alloc(a, (*out_n + 1) * sizeof(*ids));
	for (size_t i = 0; i < *out_n; i++)
		ids[i] = mx_event_id(g->ev[nids[i] - 1]);
	return ids;
}

static inline mx_error *
graph_resolve(const struct graph *g, const struct graph_state *const *sets, size_t n,
	      struct graph_state *out)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct graph_state agreed, keys;
	struct mx_resolve_conflict conflicts[GRAPH_MAX];
	mx_str ids[GRAPH_MAX][8];
	struct graph_call call = { .g = g, .agreed = &agreed };
	struct mx_resolve in = { .version = version_of(g->version),
				 .create = g->ev[0],
				 .states = n,
				 .conflicts = conflicts,
				 .event = graph_event,
				 .agreed = graph_agreed,
				 .arg = &call,
				 .max_events = g->max_events };
	struct mx_resolved *resolved;
	size_t count;

	graph_split(g, sets, n, &agreed, &keys);
	in.conflicts_n = (size_t)keys.n;
	for (int k = 0; k < keys.n; k++) {
		conflicts[k] = (struct mx_resolve_conflict){ mx_event_type(g->ev[keys.v[k]]),
							     mx_event_state_key(g->ev[keys.v[k]]),
							     ids[k] };
		for (size_t s = 0; s < n; s++) {
			int e = graph_at(g, sets[s], conflicts[k].type, conflicts[k].key);

			ids[k][s] = e < 0 ? (mx_str){ NULL, 0 } : mx_event_id(g->ev[e]);
		}
	}
	in.others = graph_others(&call, sets, n, a, &in.others_n);
	MX_TRY(mx_resolve_state(&in, a, &resolved, &count));
	*out = agreed;
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			assert_true(mx_str_cmp(resolved[i - 1].type, resolved[i].type) < 0 ||
				    (mx_str_eq(resolved[i - 1].type, resolved[i].type) &&
				     mx_str_cmp(resolved[i - 1].key, resolved[i].key) < 0));
		if (resolved[i].id.p != NULL)
			graph_put(g, out, graph_find(g, resolved[i].id));
	}
	return NULL;
}

/* ---- growing a room ---- */

struct graph_lookup {
	const struct graph *g;
	const struct graph_state *s;
};

static inline const struct mx_event *
graph_get(void *arg, mx_str type, mx_str key)
{
	const struct graph_lookup *l = arg;
	int e = graph_at(l->g, l->s, type, key);

	return e < 0 ? NULL : l->g->ev[e];
}

/* Adds an event after prev (ids, separated by spaces; none: after the last one). Returns its
 * number; *allowed, which may be NULL, says whether the rules allow it where it stands: otherwise
 * it does not change the state. */
static inline int
graph_add(struct graph *g, const char *id, const char *type, const char *key, const char *sender,
	  const char *content, const char *prev, bool *allowed)
{
	struct graph_state before = { .n = 0 };
	const struct graph_state *sets[8];
	MX_AUTO(mx_buf) *auth_ids = mx_buf_new(0);
	MX_AUTO(mx_buf) *prev_ids = mx_buf_new(0);
	MX_AUTO(mx_event) *draft = NULL;
	struct mx_auth_types types;
	struct graph_lookup lookup = { g, &before };
	struct mx_rules_state state = { .get = graph_get, .arg = &lookup };
	uint64_t auth = 0;
	size_t n = 0;
	mx_str rest = mx_str_of(prev), one;
	int me = g->n, depth = 0;
	bool good;

	assert_true(g->n < GRAPH_MAX);
	if (prev == NULL && g->n != 0)
		rest = mx_event_id(g->ev[g->n - 1]);
	while (rest.n != 0) {
		int p;

		if (!mx_str_cut(rest, ' ', &one, &rest))
			rest.n = 0;
		p = graph_find(g, one);
		if (p < 0 || n == 8)
			fail_msg("no event %.*s", MX_SFMT(one));
		sets[n++] = &g->after[p];
		if (mx_event_depth(g->ev[p]) > depth)
			depth = (int)mx_event_depth(g->ev[p]);
		mx_buf_printf(prev_ids, "%s\"%.*s\"", n > 1 ? "," : "", MX_SFMT(one));
	}
	if (n == 1)
		before = *sets[0];
	else if (n > 1)
		unit_ok(graph_resolve(g, sets, n, &before));

	draft = make_event((struct spec){ .version = g->version,
					  .id = id,
					  .type = type,
					  .key = key,
					  .sender = sender,
					  .content = content });
	mx_rules_auth_types_of(draft, &types);
	for (size_t i = 0; i < types.n; i++) {
		int e = graph_at(g, &before, types.v[i].type, types.v[i].key);

		if (e < 0)
			continue;
		mx_buf_printf(auth_ids, "%s\"%.*s\"", auth != 0 ? "," : "",
			      MX_SFMT(mx_event_id(g->ev[e])));
		auth |= UINT64_C(1) << e;
	}
	g->ev[me] = make_event((struct spec){ .version = g->version,
					      .id = id,
					      .type = type,
					      .key = key,
					      .sender = sender,
					      .content = content,
					      .prev = mx_buf_cstr(prev_ids),
					      .auth = mx_buf_cstr(auth_ids),
					      .ts = g->ts != 0 ? g->ts : 1000 + me,
					      .depth = depth + 1 });
	g->auth[me] = auth;
	g->n++;
	good = !mx_error_drop(mx_rules_check(g->ev[me], &state));
	if (allowed != NULL)
		*allowed = good;
	else if (!good)
		fail_msg("%s is not allowed where it stands", id);
	g->after[me] = before;
	if (good && g->ev[me]->state)
		graph_put(g, &g->after[me], me);
	return me;
}

static inline void
graph_clear(struct graph *g)
{
	for (int i = 0; i < g->n; i++)
		mx_event_unref(&g->ev[i]);
	g->n = 0;
}

#endif
