/* State resolution 1 as its page says it, written down as plainly: slow, and without the code under
 * test but for the auth rules and SHA-1. Where the page is silent: what is resolved of one type is
 * resolved against the state from before that type, and when no event passes, the last in the list
 * stays. */
#ifndef TESTS_UNIT_ROOM_PLAIN_V1_H
#define TESTS_UNIT_ROOM_PLAIN_V1_H

#include "tests/unit/room/graph.h"

#include "core/crypto/sha1.h"

/* Ascending depth, then descending sha1(event_id). */
static inline bool
first_before(const struct graph *g, int a, int b)
{
	unsigned char x[MX_SHA1_SIZE], y[MX_SHA1_SIZE];
	mx_str id_a = mx_event_id(g->ev[a]), id_b = mx_event_id(g->ev[b]);

	if (mx_event_depth(g->ev[a]) != mx_event_depth(g->ev[b]))
		return mx_event_depth(g->ev[a]) < mx_event_depth(g->ev[b]);
	assert_true(mx_sha1(id_a.p, id_a.n, x) && mx_sha1(id_b.p, id_b.n, y));
	return memcmp(x, y, sizeof(x)) > 0;
}

/* The events that the states have at the key of e, in that order. */
static inline int
first_list(const struct graph *g, const struct graph_state *const *sets, size_t n, int e,
	   int out[GRAPH_MAX])
{
	int count = 0;

	for (size_t s = 0; s < n; s++) {
		int at = graph_at(g, sets[s], mx_event_type(g->ev[e]), mx_event_state_key(g->ev[e])),
		    i = 0;

		while (i < count && out[i] != at)
			i++;
		if (at < 0 || i < count)
			continue;
		for (i = count++; i > 0 && first_before(g, at, out[i - 1]); i--)
			out[i] = out[i - 1];
		out[i] = at;
	}
	return count;
}

static inline bool
first_allows(const struct graph *g, const struct graph_state *s, int e)
{
	struct graph_lookup lookup = { g, s };
	struct mx_rules_state state = { .get = graph_get, .arg = &lookup };

	return !mx_error_drop(mx_rules_check(g->ev[e], &state));
}

/* Which event of the list is added to r. */
static inline int
first_pick(const struct graph *g, struct graph_state r, const int *list, int count, bool in_order)
{
	int best = list[0];

	if (in_order) {
		for (int i = 0; i < count; i++) {
			if (i > 0 && !first_allows(g, &r, list[i]))
				break;
			best = list[i];
			graph_put(g, &r, best);
		}
		return best;
	}
	for (int i = count - 1; i >= 0; i--)
		if (first_allows(g, &r, list[i]))
			return list[i];
	return best;
}

static inline struct graph_state
plain_first(const struct graph *g, const struct graph_state *const *sets, size_t n)
{
	static const char *const types[] = { "m.room.power_levels", "m.room.join_rules",
					     "m.room.member", NULL };
	struct graph_state r, keys, before;
	int list[GRAPH_MAX];
	bool done[GRAPH_MAX] = { false };

	graph_split(g, sets, n, &r, &keys);
	for (int k = 0; k < keys.n; k++) {
		done[k] = first_list(g, sets, n, keys.v[k], list) == 1;
		if (done[k])
			graph_put(g, &r, list[0]);
	}
	for (size_t t = 0; t < 4; t++) {
		before = r;
		for (int k = 0; k < keys.n; k++) {
			int count;

			if (done[k] || (types[t] != NULL && !mx_str_eq(mx_event_type(g->ev[keys.v[k]]),
								       mx_str_of(types[t]))))
				continue;
			count = first_list(g, sets, n, keys.v[k], list);
			graph_put(g, &r, first_pick(g, before, list, count, types[t] != NULL));
			done[k] = true;
		}
	}
	return r;
}

#endif
