/* Rooms in which anything may happen, and what their states resolve to by the definitions of the
 * specification, written down as plainly as they are there. */
#ifndef TESTS_UNIT_ROOM_PLAIN_H
#define TESTS_UNIT_ROOM_PLAIN_H

#include "tests/unit/room/plain_v1.h"

#define JOIN "{\"membership\":\"join\"}"
#define MEMBER(who, by, how) "m.room.member", "@" who ":a", by, "{\"membership\":\"" how "\"}"
#define TOPIC(by, text) "m.room.topic", "", by, "{\"topic\":\"" text "\"}"

/* Alice makes a public room; Bob and Zara join. */
static inline void
begin(struct graph *g, const char *version)
{
	*g = (struct graph){ .version = version };
	graph_add(g, "$create", "m.room.create", "", "alice", "{\"creator\":\"@alice:a\"}", NULL,
		  NULL);
	graph_add(g, "$alice", MEMBER("alice", "alice", "join"), NULL, NULL);
	graph_add(g, "$levels", "m.room.power_levels", "", "alice",
		  strcmp(version, "12") == 0 ? "{\"users\":{}}" : "{\"users\":{\"@alice:a\":100}}",
		  NULL, NULL);
	graph_add(g, "$rules", "m.room.join_rules", "", "alice", "{\"join_rule\":\"public\"}", NULL,
		  NULL);
	graph_add(g, "$bob", MEMBER("bob", "bob", "join"), NULL, NULL);
	graph_add(g, "$zara", MEMBER("zara", "zara", "join"), NULL, NULL);
}

static const char *const versions[] = { "10", "11", "12" };

/* ---- the definitions, plainly ---- */

struct plain {
	const struct graph *g;
	uint64_t chain[GRAPH_MAX];
	bool v21;
	struct graph_state state;
};

static inline bool
has_type(const struct graph *g, int e, const char *type)
{
	return mx_str_eq(mx_event_type(g->ev[e]), mx_str_of(type));
}

static inline bool
is_power(const struct graph *g, int e)
{
	const struct mx_event *ev = g->ev[e];

	return has_type(g, e, "m.room.power_levels") || has_type(g, e, "m.room.join_rules") ||
	       (has_type(g, e, "m.room.member") &&
		(ev->membership == MX_MEMBER_LEAVE || ev->membership == MX_MEMBER_BAN) &&
		!mx_str_eq(mx_event_sender(ev), mx_event_state_key(ev)));
}

static inline int
levels_of(const struct graph *g, int e)
{
	for (int i = 0; i < g->n; i++)
		if ((g->auth[e] >> i & 1) != 0 && has_type(g, i, "m.room.power_levels"))
			return i;
	return -1;
}

static inline int64_t
level_of_sender(const struct graph *g, int e)
{
	int l = levels_of(g, e);
	MX_AUTO(mx_power) *p = mx_power_parse(l < 0 ? NULL : g->ev[l], g->ev[0]);

	return mx_power_of_user(p, mx_event_sender(g->ev[e]));
}

static inline bool
later(const struct graph *g, int a, int b)
{
	return g->ev[a]->ts != g->ev[b]->ts
		       ? g->ev[a]->ts > g->ev[b]->ts
		       : mx_str_cmp(mx_event_id(g->ev[a]), mx_event_id(g->ev[b])) > 0;
}

static inline const struct mx_event *
plain_get(void *arg, mx_str type, mx_str key)
{
	void **args = arg;
	struct plain *p = args[0];
	int e = graph_at(p->g, &p->state, type, key), me = *(int *)args[1];

	for (int i = 0; e < 0 && i < p->g->n; i++)
		if ((p->g->auth[me] >> i & 1) != 0 && mx_str_eq(mx_event_type(p->g->ev[i]), type) &&
		    mx_str_eq(mx_event_state_key(p->g->ev[i]), key))
			e = i;
	return e >= 0 ? p->g->ev[e] : mx_str_eq(type, MX_S("m.room.create")) ? p->g->ev[0] : NULL;
}

static inline void
plain_check(struct plain *p, int e)
{
	void *args[2] = { p, &e };
	struct mx_rules_state s = { .get = plain_get, .arg = args };

	if (!mx_error_drop(mx_rules_check(p->g->ev[e], &s)))
		graph_put(p->g, &p->state, e);
}

static inline uint64_t
full_set(struct plain *p, const struct graph_state *const *sets, size_t n,
	 const struct graph_state *agreed)
{
	uint64_t some = 0, all = UINT64_MAX, conflicted = 0, between = 0;

	for (int e = 0; e < p->g->n; e++)
		for (int a = 0; a < e; a++)
			if ((p->g->auth[e] >> a & 1) != 0)
				p->chain[e] |= UINT64_C(1) << a | p->chain[a];
	for (size_t s = 0; s < n; s++) {
		uint64_t chain = 0;

		for (int i = 0; i < sets[s]->n; i++) {
			int e = sets[s]->v[i];

			chain |= p->chain[e];
			if (graph_at(p->g, agreed, mx_event_type(p->g->ev[e]),
				     mx_event_state_key(p->g->ev[e])) < 0)
				conflicted |= UINT64_C(1) << e;
		}
		some |= chain;
		all &= chain;
	}
	for (int e = 0; p->v21 && e < p->g->n; e++)
		for (int c = 0; c < p->g->n; c++)
			if ((conflicted >> c & 1) != 0 && (p->chain[c] >> e & 1) != 0 &&
			    (p->chain[e] & conflicted) != 0)
				between |= UINT64_C(1) << e;
	return conflicted | (some & ~all) | between;
}

static inline uint64_t
plain_power(struct plain *p, uint64_t full)
{
	uint64_t x = 0, before, left;

	for (int e = 0; e < p->g->n; e++)
		if ((full >> e & 1) != 0 && is_power(p->g, e))
			x |= UINT64_C(1) << e;
	do {
		before = x;
		for (int e = 0; e < p->g->n; e++)
			if ((x >> e & 1) != 0)
				x |= p->g->auth[e] & full;
	} while (x != before);
	for (left = x; left != 0;) {
		int best = -1;

		for (int e = 0; e < p->g->n; e++) {
			if ((left >> e & 1) == 0 || (p->g->auth[e] & left) != 0)
				continue;
			if (best < 0 || level_of_sender(p->g, e) > level_of_sender(p->g, best) ||
			    (level_of_sender(p->g, e) == level_of_sender(p->g, best) &&
			     later(p->g, best, e)))
				best = e;
		}
		left &= ~(UINT64_C(1) << best);
		plain_check(p, best);
	}
	return x;
}

static inline void
plain_rest(struct plain *p, uint64_t rest)
{
	int line[GRAPH_MAX], n = 0, place[GRAPH_MAX];

	for (int l = graph_at(p->g, &p->state, MX_S("m.room.power_levels"), MX_S("")); l >= 0;
	     l = levels_of(p->g, l))
		line[n++] = l;
	for (int e = 0; e < p->g->n; e++) {
		place[e] = INT32_MAX;
		for (int l = levels_of(p->g, e); l >= 0 && place[e] == INT32_MAX;
		     l = levels_of(p->g, l))
			for (int i = 0; i < n; i++)
				if (line[i] == l)
					place[e] = i;
	}
	while (rest != 0) {
		int best = -1;

		for (int e = 0; e < p->g->n; e++)
			if ((rest >> e & 1) != 0 &&
			    (best < 0 || place[e] > place[best] ||
			     (place[e] == place[best] && later(p->g, best, e))))
				best = e;
		rest &= ~(UINT64_C(1) << best);
		plain_check(p, best);
	}
}

static inline struct graph_state
plain_resolve(const struct graph *g, const struct graph_state *const *sets, size_t n)
{
	struct plain p = { .g = g, .v21 = strcmp(g->version, "12") == 0 };
	struct graph_state agreed, keys;
	uint64_t full, x;

	if (strcmp(g->version, "1") == 0)
		return plain_first(g, sets, n);
	graph_split(g, sets, n, &agreed, &keys);
	full = full_set(&p, sets, n, &agreed);
	if (!p.v21)
		p.state = agreed;
	x = plain_power(&p, full);
	plain_rest(&p, full & ~x);
	for (int i = 0; i < agreed.n; i++)
		graph_put(g, &p.state, agreed.v[i]);
	return p.state;
}

/* ---- random rooms ---- */

static uint32_t seed;

static inline uint32_t
roll(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % n;
}

static const char *const people[] = { "alice", "bob", "zara", "eve", "dan" };

/* Somebody does something, after one to three of the latest events; what the rules forbid there
 * stays out of the state. */
static inline void
random_event(struct graph *g)
{
	static const char *const rules[] = { "public", "invite", "knock" };
	static const char *const memberships[] = { "join", "leave", "ban", "invite" };
	const char *who = people[roll(5)], *whom = people[roll(5)];
	char id[16], key[32], content[256], prev[64] = "";
	bool allowed;

	snprintf(id, sizeof(id), "$%c%02d", 'a' + (char)roll(26), g->n);
	for (uint32_t i = 0, n = 1 + roll(3); i < n; i++) {
		mx_str after =
			mx_event_id(g->ev[g->n - 1 - (int)roll(g->n < 6 ? (uint32_t)g->n : 6)]);

		snprintf(prev + strlen(prev), sizeof(prev) - strlen(prev), "%s%.*s",
			 i != 0 ? " " : "", MX_SFMT(after));
	}
	g->ts = 1000 + roll(8);	/* clocks are no help */
	switch (roll(6)) {
	case 0:
		snprintf(content, sizeof(content), "{\"users\":{%s\"@bob:a\":%d,\"@zara:a\":%d}}",
			 strcmp(g->version, "12") == 0 ? "" : "\"@alice:a\":100,",
			 50 * (int)roll(3), 25 * (int)roll(5));
		graph_add(g, id, "m.room.power_levels", "", who, content, prev, &allowed);
		break;
	case 1:
		snprintf(content, sizeof(content), "{\"join_rule\":\"%s\"}", rules[roll(3)]);
		graph_add(g, id, "m.room.join_rules", "", who, content, prev, &allowed);
		break;
	case 2:
		snprintf(content, sizeof(content), "{\"topic\":\"%s\"}", id);
		graph_add(g, id, "m.room.topic", "", who, content, prev, &allowed);
		break;
	case 3:
		snprintf(key, sizeof(key), "@%s:a", who);
		graph_add(g, id, "m.room.member", key, who, JOIN, prev, &allowed);
		break;
	default:
		snprintf(key, sizeof(key), "@%s:a", whom);
		snprintf(content, sizeof(content), "{\"membership\":\"%s\"}", memberships[roll(4)]);
		graph_add(g, id, "m.room.member", key, who, content, prev, &allowed);
		break;
	}
}

#endif
