/* State resolution, definition by definition. */
#include "config.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/oracle_private.h"
#include "tests/sim/sha1.h"

struct resolution {
	struct oracle *o;
	const struct oracle_state *const *states;
	int n;
	struct oracle_state unconflicted;
	struct oracle_set conflicted, full, power;
	oracle_level level[ORACLE_EVENTS]; /* in version 2: of the sender, by its auth events */
	int position[ORACLE_EVENTS];	   /* on the mainline */
	struct oracle_state result;
};

static int
most_keys(const struct resolution *r)
{
	int most = 0;

	for (int s = 0; s < r->n; s++)
		if (r->states[s]->n > most)
			most = r->states[s]->n;
	return most;
}

/* v1_like: a key that some states have with one event and the others lack does not conflict. */
static void
split(struct resolution *r, bool v1_like)
{
	int keys = most_keys(r);

	for (int k = 0; k < keys; k++) {
		bool agreed = true;
		int first = ORACLE_NONE;

		for (int s = 0; s < r->n; s++) {
			int e = oracle_at(r->states[s], k);

			if (e == ORACLE_NONE && v1_like)
				continue;
			if (first == ORACLE_NONE && e != ORACLE_NONE && (v1_like || s == 0))
				first = e;
			agreed = agreed && e == first;
		}
		if (agreed && first != ORACLE_NONE)
			oracle_put(&r->unconflicted, k, first);
		for (int s = 0; s < r->n; s++)
			if (!agreed && oracle_at(r->states[s], k) != ORACLE_NONE)
				oracle_set_add(&r->conflicted, oracle_at(r->states[s], k));
	}
}

/* ---- version 2 ---- */

static void
add_auth_difference(struct resolution *r)
{
	struct oracle_set all = { { 0 } }, every = { { 0 } };

	for (int s = 0; s < r->n; s++) {
		struct oracle_set chain = { { 0 } };

		for (int k = 0; k < r->states[s]->n; k++)
			if (r->states[s]->v[k] != ORACLE_NONE)
				oracle_set_union(&chain, oracle_chain(r->o, r->states[s]->v[k]));
		for (int i = 0; i < ORACLE_WORDS; i++) {
			all.w[i] |= chain.w[i];
			every.w[i] = s == 0 ? chain.w[i] : every.w[i] & chain.w[i];
		}
	}
	for (int i = 0; i < ORACLE_WORDS; i++)
		r->full.w[i] |= all.w[i] & ~every.w[i];
}

/* 2.1: what lies on a path from a conflicted event to another: behind the one, before the other. */
static void
add_subgraph(struct resolution *r)
{
	for (int e = 0; e < r->o->n; e++) {
		bool from = oracle_has(&r->conflicted, e), to = from;

		for (int c = 0; c < r->o->n; c++) {
			if (!oracle_has(&r->conflicted, c))
				continue;
			from = from || oracle_has(oracle_chain(r->o, c), e);
			to = to || oracle_has(oracle_chain(r->o, e), c);
		}
		if (from && to)
			oracle_set_add(&r->full, e);
	}
}

/* The text names power_levels and join_rules with any state key; every server that is known takes
 * those with an empty one alone, and so must we. */
static bool
is_power_event(struct oracle *o, int e)
{
	const struct oracle_event *ev = &o->v[e];
	const char *m = json_string_value(json_object_get(ev->content, "membership"));

	if (oracle_is_type(o, e, "m.room.power_levels", "") ||
	    oracle_is_type(o, e, "m.room.join_rules", ""))
		return true;
	return ev->state_key != NULL && strcmp(ev->type, "m.room.member") == 0 && m != NULL &&
	       (strcmp(m, "leave") == 0 || strcmp(m, "ban") == 0) &&
	       strcmp(ev->sender, ev->state_key) != 0;
}

/* The text says "the events in the auth chain of P which also belong to the full conflicted set".
 * Where a chain leaves that set and comes back to it, every server that is known does not follow
 * it: so here too. */
static void
add_power(struct resolution *r, int e)
{
	if (oracle_has(&r->power, e))
		return;
	oracle_set_add(&r->power, e);
	for (int i = 0; i < r->o->v[e].auth_n; i++)
		if (oracle_has(&r->full, r->o->v[e].auth[i]))
			add_power(r, r->o->v[e].auth[i]);
}

static int
auth_levels(struct oracle *o, int e)
{
	(void)oracle_link(o, e);
	for (int i = 0; i < o->v[e].auth_n; i++)
		if (o->v[e].auth[i] != ORACLE_NONE &&
		    oracle_is_type(o, o->v[e].auth[i], "m.room.power_levels", ""))
			return o->v[e].auth[i];
	return ORACLE_NONE;
}

static bool
less_by_time(struct oracle *o, int x, int y)
{
	if (o->v[x].ts != o->v[y].ts)
		return o->v[x].ts < o->v[y].ts;
	return strcmp(o->v[x].id, o->v[y].id) < 0;
}

static bool
less_by_power(struct resolution *r, int x, int y)
{
	if (r->level[x] != r->level[y])
		return r->level[x] > r->level[y];
	return less_by_time(r->o, x, y);
}

static bool
is_ready(struct resolution *r, const struct oracle_set *done, int e)
{
	for (int i = 0; i < r->o->v[e].auth_n; i++)
		if (oracle_has(&r->power, r->o->v[e].auth[i]) &&
		    !oracle_has(done, r->o->v[e].auth[i]))
			return false;
	return true;
}

static int
power_order(struct resolution *r, int *list)
{
	struct oracle_set done = { { 0 } };
	int n = 0, best;

	for (int e = 0; e < r->o->n; e++)
		if (oracle_has(&r->power, e))
			r->level[e] =
				oracle_user_level(r->o, auth_levels(r->o, e), r->o->v[e].sender);
	do {
		best = ORACLE_NONE;
		for (int e = 0; e < r->o->n; e++)
			if (oracle_has(&r->power, e) && !oracle_has(&done, e) &&
			    is_ready(r, &done, e) &&
			    (best == ORACLE_NONE || less_by_power(r, e, best)))
				best = e;
		if (best != ORACLE_NONE) {
			oracle_set_add(&done, best);
			list[n++] = best;
		}
	} while (best != ORACLE_NONE);
	return n;
}

static void
iterative_auth_checks(struct resolution *r, const int *list, int n)
{
	for (int i = 0; i < n; i++) {
		struct oracle_lookup l = { &r->result, list[i] };

		if (oracle_rules(r->o, list[i], &l))
			oracle_put(&r->result, r->o->v[list[i]].key, list[i]);
	}
}

static void
find_positions(struct resolution *r, int levels)
{
	int line[ORACLE_EVENTS], n = 0;

	for (int p = levels; p != ORACLE_NONE && n < ORACLE_EVENTS; p = auth_levels(r->o, p))
		line[n++] = p;
	for (int e = 0; e < r->o->n; e++) {
		int steps = 0;

		r->position[e] = ORACLE_EVENTS; /* infinite */
		for (int p = auth_levels(r->o, e);
		     p != ORACLE_NONE && r->position[e] == ORACLE_EVENTS && steps < ORACLE_EVENTS;
		     p = auth_levels(r->o, p), steps++)
			for (int i = n - 1; i >= 0; i--)
				if (line[i] == p)
					r->position[e] = i;
	}
}

static int
mainline_order(struct resolution *r, int *list)
{
	int n = 0;

	find_positions(r, oracle_at(&r->result, oracle_key(r->o, "m.room.power_levels", "")));
	for (int e = 0; e < r->o->n; e++) {
		int at;

		if (!oracle_has(&r->full, e) || oracle_has(&r->power, e))
			continue;
		for (at = n; at > 0; at--) {
			int y = list[at - 1];

			if (r->position[e] != r->position[y] ? r->position[e] < r->position[y]
							     : !less_by_time(r->o, e, y))
				break;
			list[at] = y;
		}
		list[at] = e;
		n++;
	}
	return n;
}

static void
resolve_2(struct resolution *r)
{
	int list[ORACLE_EVENTS], n;

	split(r, false);
	r->full = r->conflicted;
	add_auth_difference(r);
	if (r->o->version >= 12)
		add_subgraph(r);
	for (int e = 0; e < r->o->n; e++)
		if (oracle_has(&r->full, e) && is_power_event(r->o, e))
			add_power(r, e);
	if (r->o->version < 12)
		oracle_copy(&r->result, &r->unconflicted);
	n = power_order(r, list);
	iterative_auth_checks(r, list, n);
	n = mainline_order(r, list);
	iterative_auth_checks(r, list, n);
	for (int k = 0; k < r->unconflicted.n; k++)
		if (r->unconflicted.v[k] != ORACLE_NONE)
			oracle_put(&r->result, k, r->unconflicted.v[k]);
}

/* ---- version 1 ---- */

static bool
is_earlier(struct oracle *o, int x, int y)
{
	if (o->v[x].depth != o->v[y].depth)
		return o->v[x].depth < o->v[y].depth;
	return sha1_compare(o->v[x].id, o->v[y].id) > 0;
}

/* The conflicting events at a key, by ascending depth and then descending sha1. */
static int
conflict_at(struct resolution *r, int key, int *list)
{
	int n = 0, at;

	for (int e = 0; e < r->o->n; e++) {
		if (!oracle_has(&r->conflicted, e) || r->o->v[e].key != key)
			continue;
		for (at = n; at > 0 && is_earlier(r->o, e, list[at - 1]); at--)
			list[at] = list[at - 1];
		list[at] = e;
		n++;
	}
	return n;
}

/* Whether a key is of the round: the text's passes. */
static bool
is_of_round(struct oracle *o, int key, int round)
{
	const char *type = o->keys[key].type;
	int is = strcmp(type, "m.room.power_levels") == 0 && o->keys[key].name[0] == 0 ? 0
		 : strcmp(type, "m.room.join_rules") == 0			       ? 1
		 : strcmp(type, "m.room.member") == 0				       ? 2
										       : 3;

	return is == round;
}

/* The first, then each that is allowed in R with the one before it, until one is not. */
static int
pick_last(struct resolution *r, int key, const int *list, int n)
{
	struct oracle_state s;
	int picked = list[0];

	oracle_copy(&s, &r->result);
	for (int i = 1; i < n; i++) {
		struct oracle_lookup l = { &s, ORACLE_NONE };

		oracle_put(&s, key, picked);
		if (!oracle_rules(r->o, list[i], &l))
			break;
		picked = list[i];
	}
	oracle_state_clear(&s);
	return picked;
}

/* The text does not say what happens when none passes: the servers that hold such rooms then keep
 * the one with the least depth. */
static int
pick_newest(struct resolution *r, const int *list, int n)
{
	struct oracle_lookup l = { &r->result, ORACLE_NONE };

	while (n > 1 && !oracle_rules(r->o, list[n - 1], &l))
		n--;
	return list[n - 1];
}

/* Nor does it say in which order the keys of one pass come: those servers let none of them see what
 * became of the others. */
static void
resolve_round(struct resolution *r, int round)
{
	struct oracle_state picked = { NULL, 0 };
	int list[ORACLE_EVENTS], n, keys = r->o->keys_n;

	for (int k = 0; k < keys; k++) {
		n = is_of_round(r->o, k, round) ? conflict_at(r, k, list) : 0;
		if (n != 0)
			oracle_put(&picked, k,
				   round < 3 ? pick_last(r, k, list, n) : pick_newest(r, list, n));
	}
	for (int k = 0; k < picked.n; k++)
		if (picked.v[k] != ORACLE_NONE)
			oracle_put(&r->result, k, picked.v[k]);
	oracle_state_clear(&picked);
}

static void
resolve_1(struct resolution *r)
{
	split(r, true);
	oracle_copy(&r->result, &r->unconflicted);
	for (int round = 0; round < 4; round++)
		resolve_round(r, round);
}

void
oracle_resolve(struct oracle *o, const struct oracle_state *const *states, int n,
	       struct oracle_state *out)
{
	struct resolution *r;
	bool one = true;

	*out = (struct oracle_state){ NULL, 0 };
	for (int s = 1; s < n; s++)
		one = one && oracle_same(states[0], states[s]);
	if (one) {
		if (n > 0)
			oracle_copy(out, states[0]);
		return;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		abort();
	r->o = o;
	r->states = states;
	r->n = n;
	if (o->version == 1)
		resolve_1(r);
	else
		resolve_2(r);
	oracle_copy(out, &r->result);
	oracle_state_clear(&r->result);
	oracle_state_clear(&r->unconflicted);
	free(r);
}
