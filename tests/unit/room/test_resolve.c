/* State resolution: known races with known outcomes; what version 2.1 mends; and random rooms,
 * against the definitions of the specification written down as plainly as they are there. */
#include "tests/unit/room/plain.h"

/* Levels as an event of this version may have them: version 12 does not name the creator. */
static int
levels(struct graph *g, const char *id, const char *by, const char *others, const char *prev)
{
	char content[256];

	snprintf(content, sizeof(content), "{\"users\":{%s%s}}",
		 strcmp(g->version, "12") == 0 ? ""
		 : others[0] != 0              ? "\"@alice:a\":100,"
					       : "\"@alice:a\":100",
		 others);
	return graph_add(g, id, "m.room.power_levels", "", by, content, prev, NULL);
}

static void
expect(const struct graph *g, const struct graph_state *s, const char *type, const char *key,
       const char *id)
{
	int e = graph_at(g, s, mx_str_of(type), mx_str_of(key));

	if (id == NULL && e >= 0)
		fail_msg("version %s: %s is %.*s, and should be nothing", g->version, type,
			 MX_SFMT(mx_event_id(g->ev[e])));
	if (id != NULL && (e < 0 || !mx_str_eq(mx_event_id(g->ev[e]), mx_str_of(id))))
		fail_msg("version %s: %s is %.*s, not %s", g->version, type,
			 e < 0 ? 4 : (int)mx_event_id(g->ev[e]).n,
			 e < 0 ? "none" : mx_event_id(g->ev[e]).p, id);
}

/* The resolution of the states after two events, which must not depend on their order. */
static struct graph_state
merge(const struct graph *g, const char *a, const char *b)
{
	const struct graph_state *sets[2] = { &g->after[graph_find(g, mx_str_of(a))],
					      &g->after[graph_find(g, mx_str_of(b))] };
	const struct graph_state *swapped[2] = { sets[1], sets[0] };
	struct graph_state one, two;

	unit_ok(graph_resolve(g, sets, 2, &one));
	unit_ok(graph_resolve(g, swapped, 2, &two));
	assert_int_equal(one.n, two.n);
	for (int i = 0; i < one.n; i++)
		assert_int_equal(graph_at(g, &two, mx_event_type(g->ev[one.v[i]]),
					  mx_event_state_key(g->ev[one.v[i]])),
				 one.v[i]);
	return one;
}

#define EACH_VERSION(g)                                                                            \
	for (size_t version = 0; version < 3 && (begin(&(g), versions[version]), true);            \
	     graph_clear(&(g)), version++)

/* ---- races ---- */

static void
a_ban_beats_what_the_banned_did_meanwhile(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;

		levels(&g, "$pa", "alice", "\"@bob:a\":50", "$zara");
		graph_add(&g, "$ma", MEMBER("alice", "alice", "join"), "$pa", NULL);
		graph_add(&g, "$mb", MEMBER("bob", "alice", "ban"), "$ma", NULL);
		levels(&g, "$pb", "bob", "\"@bob:a\":50,\"@zara:a\":1", "$pa");
		s = merge(&g, "$mb", "$pb");
		expect(&g, &s, "m.room.power_levels", "", "$pa");
		expect(&g, &s, "m.room.member", "@bob:a", "$mb");
		expect(&g, &s, "m.room.member", "@alice:a", "$ma");
	}
}

static void
nobody_joins_past_a_new_join_rule(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;

		graph_add(&g, "$jr", "m.room.join_rules", "", "alice", "{\"join_rule\":\"invite\"}",
			  "$zara", NULL);
		graph_add(&g, "$eve", MEMBER("eve", "eve", "join"), "$zara", NULL);
		s = merge(&g, "$jr", "$eve");
		expect(&g, &s, "m.room.join_rules", "", "$jr");
		expect(&g, &s, "m.room.member", "@eve:a", NULL);
	}
}

static void
the_newer_levels_of_one_line_stay(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;

		levels(&g, "$pa", "alice", "\"@bob:a\":50", "$zara");
		levels(&g, "$pb", "bob", "\"@bob:a\":50,\"@zara:a\":50", "$pa");
		levels(&g, "$pc", "zara", "\"@bob:a\":50,\"@zara:a\":0", "$pb");
		s = merge(&g, "$pc", "$pa");
		expect(&g, &s, "m.room.power_levels", "", "$pc");
	}
}

static void
a_topic_falls_with_the_levels_that_allowed_it(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;

		graph_add(&g, "$t1", TOPIC("alice", "1"), "$zara", NULL);
		levels(&g, "$pa1", "alice", "\"@bob:a\":50", "$t1");
		graph_add(&g, "$t2", TOPIC("alice", "2"), "$pa1", NULL);
		levels(&g, "$pa2", "alice", "\"@bob:a\":0", "$t2");
		levels(&g, "$pb", "bob", "\"@bob:a\":50,\"@zara:a\":1", "$pa1");
		graph_add(&g, "$t3", TOPIC("bob", "3"), "$pb", NULL);
		s = merge(&g, "$pa2", "$t3");
		expect(&g, &s, "m.room.power_levels", "", "$pa2");
		expect(&g, &s, "m.room.topic", "", "$t2");
	}
}

static void
a_topic_of_the_banned_gives_way_to_the_one_before(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;

		graph_add(&g, "$t1", TOPIC("alice", "1"), "$zara", NULL);
		levels(&g, "$pa", "alice", "\"@bob:a\":50", "$t1");
		graph_add(&g, "$t2", TOPIC("bob", "2"), "$pa", NULL);
		graph_add(&g, "$mb", MEMBER("bob", "alice", "ban"), "$t2", NULL);
		s = merge(&g, "$mb", "$t1");
		expect(&g, &s, "m.room.topic", "", "$t1");
		expect(&g, &s, "m.room.member", "@bob:a", "$mb");
		expect(&g, &s, "m.room.power_levels", "", "$pa");
	}
}

static void
the_topic_set_by_the_newest_mainline_wins(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;

		graph_add(&g, "$t1", TOPIC("alice", "1"), "$zara", NULL);
		levels(&g, "$pa1", "alice", "\"@bob:a\":50", "$t1");
		graph_add(&g, "$t2", TOPIC("alice", "2"), "$pa1", NULL);
		levels(&g, "$pa2", "alice", "\"@bob:a\":0", "$t2");
		levels(&g, "$pb", "bob", "\"@bob:a\":50,\"@zara:a\":1", "$pa1");
		graph_add(&g, "$t3", TOPIC("bob", "3"), "$pb", NULL);
		graph_add(&g, "$text", "m.room.message", NULL, "zara", "{}", "$pa2 $t3", NULL);
		graph_add(&g, "$t4", TOPIC("alice", "4"), "$text", NULL);
		s = merge(&g, "$t4", "$t3");
		expect(&g, &s, "m.room.topic", "", "$t4");
		expect(&g, &s, "m.room.power_levels", "", "$pa2");
	}
}

static void
of_equals_the_later_is_applied_last(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;

		graph_add(&g, "$x1", TOPIC("alice", "1"), "$zara", NULL);
		graph_add(&g, "$x2", TOPIC("alice", "2"), "$zara", NULL);
		s = merge(&g, "$x1", "$x2");
		expect(&g, &s, "m.room.topic", "", "$x2");
		/* and of those of one moment, the one with the greater id */
		g.ev[graph_find(&g, MX_S("$x1"))]->ts = g.ev[graph_find(&g, MX_S("$x2"))]->ts = 5;
		s = merge(&g, "$x1", "$x2");
		expect(&g, &s, "m.room.topic", "", "$x2");
	}
}

static void
what_only_one_state_has_is_judged_too(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;

		graph_add(&g, "$topic", TOPIC("alice", "1"), "$zara", NULL);
		graph_add(&g, "$text", "m.room.message", NULL, "zara", "{}", "$zara", NULL);
		s = merge(&g, "$topic", "$text");
		expect(&g, &s, "m.room.topic", "", "$topic");
	}
}

/* ---- what 2.1 mends ---- */

/* Alice set the levels twice, then left. Two servers disagree about the levels, and agree that she
 * left. */
static void
levels_survive_that_their_sender_left(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state old, new, s;
		const struct graph_state *sets[2] = { &old, &new };

		levels(&g, "$p1", "alice", "\"@bob:a\":50", "$zara");
		levels(&g, "$p2", "alice", "\"@bob:a\":50,\"@zara:a\":50", "$p1");
		graph_add(&g, "$left", MEMBER("alice", "alice", "leave"), "$p2", NULL);
		old = new = g.after[graph_find(&g, MX_S("$left"))];
		graph_put(&g, &old, graph_find(&g, MX_S("$p1")));
		unit_ok(graph_resolve(&g, sets, 2, &s));
		expect(&g, &s, "m.room.member", "@alice:a", "$left");
		/* version 2 judges them in a state where she is gone: the room has no levels any
		 * more */
		expect(&g, &s, "m.room.power_levels", "",
		       strcmp(g.version, "12") == 0 ? "$p2" : NULL);
	}
}

/* The levels between two that conflict are in the auth chains of both states, by the topic. */
static void
levels_between_conflicting_ones_are_applied(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state old, new, s;
		const struct graph_state *sets[2] = { &old, &new };

		levels(&g, "$p1", "alice", "", "$zara");
		levels(&g, "$p2", "alice", "\"@bob:a\":50", "$p1");
		graph_add(&g, "$topic", TOPIC("bob", "1"), "$p2", NULL);
		levels(&g, "$p3", "bob", "\"@bob:a\":50,\"@zara:a\":50", "$topic");
		old = new = g.after[graph_find(&g, MX_S("$p3"))];
		graph_put(&g, &old, graph_find(&g, MX_S("$p1")));
		unit_ok(graph_resolve(&g, sets, 2, &s));
		/* version 2 leaves out the middle, without which Bob may not send the last */
		expect(&g, &s, "m.room.power_levels", "",
		       strcmp(g.version, "12") == 0 ? "$p3" : "$p1");
	}
}

/* ---- what is not as it should be ---- */

static void
an_event_that_is_not_there_counts_for_nothing(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;
		const struct graph_state *sets[2];

		graph_add(&g, "$t1", TOPIC("alice", "1"), "$zara", NULL);
		graph_add(&g, "$t2", TOPIC("alice", "2"), "$zara", NULL);
		g.hidden = UINT64_C(1) << graph_find(&g, MX_S("$t2"));
		sets[0] = &g.after[g.n - 2];
		sets[1] = &g.after[g.n - 1];
		unit_ok(graph_resolve(&g, sets, 2, &s));
		expect(&g, &s, "m.room.topic", "", "$t1");
	}
}

static void
a_rejected_auth_event_is_not_used(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;
		const struct graph_state *sets[2] = { &g.after[6], &g.after[5] };

		graph_add(&g, "$topic", TOPIC("alice", "1"), "$zara", NULL);
		unit_ok(graph_resolve(&g, sets, 2, &s));
		expect(&g, &s, "m.room.topic", "", "$topic");
		/* version 2.1 takes Alice's membership from the topic's auth_events; version 2 from
		 * the state */
		g.ev[graph_find(&g, MX_S("$alice"))]->rejected = true;
		unit_ok(graph_resolve(&g, sets, 2, &s));
		expect(&g, &s, "m.room.topic", "", strcmp(g.version, "12") == 0 ? NULL : "$topic");
	}
}

static void
work_is_limited(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s;
		const struct graph_state *sets[2] = { &g.after[6], &g.after[5] };

		graph_add(&g, "$topic", TOPIC("alice", "1"), "$zara", NULL);
		g.max_events = 1;
		unit_refused(graph_resolve(&g, sets, 2, &s), MX_E_LIMIT_EXCEEDED);
	}
}

static void
states_that_agree_come_out_as_they_are(void **state)
{
	struct graph g;

	(void)state;
	EACH_VERSION(g) {
		struct graph_state s = merge(&g, "$zara", "$zara");

		assert_int_equal(s.n, 6);
	}
}

static void
random_rooms_resolve_as_the_definitions_say(void **state)
{
	size_t conflicts = 0;

	(void)state;
	for (uint32_t round = 0; round < 300; round++) {
		struct graph g;

		seed = 12345 + round * 7919;
		begin(&g, all_versions[round % ALL_VERSIONS]);
		while (g.n < 40)
			random_event(&g);
		for (int k = 0; k < 20; k++) {
			const struct graph_state *sets[3];
			struct graph_state is, should;
			size_t n = 2 + roll(2);

			for (size_t s = 0; s < n; s++)
				sets[s] = &g.after[g.n - 1 - (int)roll(16)];
			unit_ok(graph_resolve(&g, sets, n, &is));
			should = plain_resolve(&g, sets, n);
			if (is.n != should.n)
				fail_msg("round %u: %d entries, not %d", round, is.n, should.n);
			for (int i = 0; i < should.n; i++) {
				int e = should.v[i];
				int got = graph_at(&g, &is, mx_event_type(g.ev[e]),
						   mx_event_state_key(g.ev[e]));

				if (got != e)
					fail_msg("round %u, version %s: %.*s is event %d, not %d",
						 round, g.version, MX_SFMT(mx_event_type(g.ev[e])),
						 got, e);
			}
			conflicts += sets[0] != sets[1];
		}
		graph_clear(&g);
	}
	assert_true(conflicts > 1000);
}

/* ---- a large room ---- */

#define LINE 300	/* power levels, one upon the other */
#define CROWD 5000

struct large {
	struct mx_event *ev[4 + LINE + CROWD];
	int n;
	size_t loads;
};

static int
large_add(struct large *l, const char *version, const char *type, const char *key,
	  const char *sender, const char *content, const char *auth)
{
	char id[16];

	snprintf(id, sizeof(id), l->n == 0 ? "$create" : "$e%d", l->n);
	l->ev[l->n] = make_event((struct spec){ .version = version,
						.id = id,
						.type = type,
						.key = key,
						.sender = sender,
						.content = content,
						.auth = auth,
						.ts = 1000 + l->n,
						.depth = 1 + l->n });
	return l->n++;
}

static mx_error *
large_event(void *arg, mx_str id, const struct mx_event **out)
{
	struct large *l = arg;
	int64_t i;

	l->loads++;
	if (!mx_str_int((mx_str){ id.p + 2, id.n - 2 }, 0, 99999, &i))	/* "$e12" */
		i = 0;
	assert_true(i < l->n);
	*out = l->ev[i];
	return NULL;
}

/* The two states agree on the create event, Alice and the join rules: the first three. */
static mx_error *
large_agreed(void *arg, mx_str type, mx_str key, mx_str *id)
{
	struct large *l = arg;

	*id = (mx_str){ NULL, 0 };
	for (int i = 0; i < 3; i++)
		if (mx_str_eq(mx_event_type(l->ev[i]), type) &&
		    mx_str_eq(mx_event_state_key(l->ev[i]), key))
			*id = mx_event_id(l->ev[i]);
	return NULL;
}

static void
large_fill(struct large *l, const char *version)
{
	const char *create = strcmp(version, "12") == 0 ? "" : "\"$create\",";
	char auth[64], key[32];

	large_add(l, version, "m.room.create", "", "alice", "{\"creator\":\"@alice:a\"}", NULL);
	snprintf(auth, sizeof(auth), "%s\"$e1\"", create);
	large_add(l, version, "m.room.member", "alice", "alice", JOIN,
		  strcmp(version, "12") == 0 ? NULL : "\"$create\"");
	large_add(l, version, "m.room.join_rules", "", "alice", "{\"join_rule\":\"public\"}", auth);
	for (int i = 0; i < LINE; i++) {
		snprintf(auth, sizeof(auth), "%s\"$e1\"", create);
		if (i > 0)
			snprintf(auth + strlen(auth), sizeof(auth) - strlen(auth), ",\"$e%d\"",
				 l->n - 1);
		large_add(l, version, "m.room.power_levels", "", "alice",
			  strcmp(version, "12") == 0 ? "{}" : "{\"users\":{\"@alice:a\":100}}",
			  auth);
	}
	for (int i = 0; i < CROWD; i++) {
		snprintf(auth, sizeof(auth), "%s\"$e2\",\"$e%d\"", create, 3 + i % LINE);
		snprintf(key, sizeof(key), "@u%05d:a", i);
		large_add(l, version, "m.room.member", key, key, JOIN, auth);
	}
}

/* One state has the newest levels and everybody, the other the oldest levels and nobody. */
static void
large_resolve(struct large *l, const char *version)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_resolve_conflict *conflicts = mx_arena_alloc(a, (CROWD + 1) * sizeof(*conflicts));
	mx_str (*ids)[2] = mx_arena_alloc(a, (CROWD + 1) * sizeof(*ids));
	mx_str between[LINE - 2];
	struct mx_resolve in = { .version = version_of(version),
				 .create = l->ev[0],
				 .states = 2,
				 .conflicts = conflicts,
				 .conflicts_n = CROWD + 1,
				 .event = large_event,
				 .agreed = large_agreed,
				 .others = between,
				 .others_n = LINE - 2,
				 .arg = l };
	struct mx_resolved *out;
	size_t n;

	for (int i = 0; i < CROWD; i++) {
		ids[i][0] = mx_event_id(l->ev[3 + LINE + i]);
		conflicts[i] = (struct mx_resolve_conflict){
			MX_S("m.room.member"), mx_event_state_key(l->ev[3 + LINE + i]), ids[i]
		};
	}
	ids[CROWD][0] = mx_event_id(l->ev[3 + LINE - 1]);
	ids[CROWD][1] = mx_event_id(l->ev[3]);
	conflicts[CROWD] =
		(struct mx_resolve_conflict){ MX_S("m.room.power_levels"), MX_S(""), ids[CROWD] };
	for (int i = 0; i < LINE - 2; i++)
		between[i] = mx_event_id(l->ev[4 + i]);
	unit_ok(mx_resolve_state(&in, a, &out, &n));
	assert_int_equal(n, CROWD + 1);
	for (size_t i = 0; i < n; i++)
		if (out[i].id.p == NULL)
			fail_msg("version %s: nothing at %.*s %.*s", version, MX_SFMT(out[i].type),
				 MX_SFMT(out[i].key));
	assert_true(mx_str_eq(out[n - 1].id, ids[CROWD][0]));
	/* each event is loaded once, however often others name it */
	assert_true(l->loads <= (size_t)l->n);
}

static void
a_large_room_is_resolved_in_one_pass(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct large l = { .n = 0 };

		large_fill(&l, versions[i]);
		large_resolve(&l, versions[i]);
		for (int k = 0; k < l.n; k++)
			mx_event_unref(&l.ev[k]);
	}
}

static void
more_than_64_states_are_refused(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_resolve in = { .version = version_of("12"), .states = 65 };
	struct mx_resolved *out;
	size_t n;

	(void)state;
	unit_refused(mx_resolve_state(&in, a, &out, &n), MX_E_LIMIT_EXCEEDED);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(a_ban_beats_what_the_banned_did_meanwhile),
		unit_case(nobody_joins_past_a_new_join_rule),
		unit_case(the_newer_levels_of_one_line_stay),
		unit_case(a_topic_falls_with_the_levels_that_allowed_it),
		unit_case(a_topic_of_the_banned_gives_way_to_the_one_before),
		unit_case(the_topic_set_by_the_newest_mainline_wins),
		unit_case(of_equals_the_later_is_applied_last),
		unit_case(what_only_one_state_has_is_judged_too),
		unit_case(levels_survive_that_their_sender_left),
		unit_case(levels_between_conflicting_ones_are_applied),
		unit_case(an_event_that_is_not_there_counts_for_nothing),
		unit_case(a_rejected_auth_event_is_not_used),
		unit_case(work_is_limited),
		unit_case(states_that_agree_come_out_as_they_are),
		unit_case(random_rooms_resolve_as_the_definitions_say),
		unit_case(a_large_room_is_resolved_in_one_pass),
		unit_case(more_than_64_states_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
