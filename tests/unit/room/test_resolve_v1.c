/* State resolution 1: what it makes of forks, by hand. (Random rooms are in test_resolve.c.) */
#include "tests/unit/room/plain.h"

static void
expect(const struct graph *g, const struct graph_state *s, const char *type, const char *key,
       const char *id)
{
	int e = graph_at(g, s, mx_str_of(type), mx_str_of(key));

	if (id == NULL ? e >= 0 : e < 0 || !mx_str_eq(mx_event_id(g->ev[e]), mx_str_of(id)))
		fail_msg("%s is %.*s, not %s", type, e < 0 ? 4 : (int)mx_event_id(g->ev[e]).n,
			 e < 0 ? "none" : mx_event_id(g->ev[e]).p, id != NULL ? id : "none");
}

/* The resolution of the states after these events, whatever the order they come in. */
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

#define LEVELS(by, others)                                                                         \
	"m.room.power_levels", "", by, "{\"users\":{\"@alice:a\":100" others "}}"

static void
of_other_state_the_deepest_that_is_allowed_wins(void **state)
{
	struct graph g;
	struct graph_state s;

	(void)state;
	begin(&g, "1");
	graph_add(&g, "$t1", TOPIC("alice", "1"), "$zara", NULL);
	graph_add(&g, "$n", "m.room.message", NULL, "alice", "{}", "$zara", NULL);
	graph_add(&g, "$t2", TOPIC("alice", "2"), "$n", NULL);
	s = merge(&g, "$t1", "$t2");
	expect(&g, &s, "m.room.topic", "", "$t2");
	graph_clear(&g);

	/* of one depth: the least hash, 29… of $t2 before 94… of $t1 */
	begin(&g, "1");
	graph_add(&g, "$t1", TOPIC("alice", "1"), "$zara", NULL);
	graph_add(&g, "$t2", TOPIC("alice", "2"), "$zara", NULL);
	s = merge(&g, "$t1", "$t2");
	expect(&g, &s, "m.room.topic", "", "$t2");
	graph_clear(&g);
}

static void
what_is_not_allowed_any_more_loses(void **state)
{
	struct graph g;
	struct graph_state s;

	(void)state;
	begin(&g, "1");
	graph_add(&g, "$p1", LEVELS("alice", ",\"@bob:a\":50"), "$zara", NULL);
	/* bob names the room, deeper down, while alice takes his power away */
	graph_add(&g, "$t1", TOPIC("alice", "1"), "$p1", NULL);
	graph_add(&g, "$p2", LEVELS("alice", ""), "$t1", NULL);
	graph_add(&g, "$n", "m.room.message", NULL, "bob", "{}", "$t1", NULL);
	graph_add(&g, "$n2", "m.room.message", NULL, "bob", "{}", "$n", NULL);
	graph_add(&g, "$t3", TOPIC("bob", "3"), "$n2", NULL);
	s = merge(&g, "$p2", "$t3");
	/* both levels stand in the states: alice's, the deeper, follows on the first */
	expect(&g, &s, "m.room.power_levels", "", "$p2");
	expect(&g, &s, "m.room.topic", "", "$t1");
	graph_clear(&g);
}

static void
when_none_is_allowed_the_oldest_stays(void **state)
{
	struct graph g;
	struct graph_state s;

	(void)state;
	begin(&g, "1");
	graph_add(&g, "$p1", LEVELS("alice", ",\"@bob:a\":50"), "$zara", NULL);
	graph_add(&g, "$p2", LEVELS("alice", ""), "$p1", NULL);
	graph_add(&g, "$t1", TOPIC("bob", "1"), "$p1", NULL);
	graph_add(&g, "$n", "m.room.message", NULL, "bob", "{}", "$p1", NULL);
	graph_add(&g, "$t2", TOPIC("bob", "2"), "$n", NULL);
	{
		const struct graph_state *sets[3] = { &g.after[graph_find(&g, MX_S("$p2"))],
						      &g.after[graph_find(&g, MX_S("$t1"))],
						      &g.after[graph_find(&g, MX_S("$t2"))] };

		unit_ok(graph_resolve(&g, sets, 3, &s));
	}
	expect(&g, &s, "m.room.power_levels", "", "$p2");
	expect(&g, &s, "m.room.topic", "", "$t1");
	graph_clear(&g);
}

static void
levels_are_followed_until_one_is_refused(void **state)
{
	struct graph g;
	struct graph_state s;

	(void)state;
	/* Two forks of one depth: the greater hash begins (d8… of $x1, b3… of $x2), and the other
	 * follows it if it may: alice may. */
	begin(&g, "1");
	graph_add(&g, "$x1", LEVELS("alice", ",\"@bob:a\":50"), "$zara", NULL);
	graph_add(&g, "$x2", LEVELS("alice", ",\"@zara:a\":50"), "$zara", NULL);
	s = merge(&g, "$x1", "$x2");
	expect(&g, &s, "m.room.power_levels", "", "$x2");
	graph_clear(&g);

	/* bob, who lost his power in the one that begins, may not */
	begin(&g, "1");
	graph_add(&g, "$p1", LEVELS("alice", ",\"@bob:a\":50"), "$zara", NULL);
	graph_add(&g, "$x1", LEVELS("alice", ""), "$p1", NULL);
	graph_add(&g, "$x2", LEVELS("bob", ",\"@bob:a\":50,\"@zara:a\":10"), "$p1", NULL);
	s = merge(&g, "$x1", "$x2");
	expect(&g, &s, "m.room.power_levels", "", "$x1");
	graph_clear(&g);
}

/* The state that is known to reset: who joined one room's fork after being banned in the other. */
static void
members_are_resolved_after_levels_and_join_rules(void **state)
{
	struct graph g;
	struct graph_state s;

	(void)state;
	begin(&g, "1");
	graph_add(&g, "$e1", MEMBER("eve", "eve", "join"), "$zara", NULL);
	graph_add(&g, "$ban", MEMBER("eve", "alice", "ban"), "$e1", NULL);
	graph_add(&g, "$n", "m.room.message", NULL, "eve", "{}", "$e1", NULL);
	graph_add(&g, "$e2", MEMBER("eve", "eve", "leave"), "$n", NULL);
	s = merge(&g, "$ban", "$e2");
	/* by depth the ban comes first, and then she may not leave */
	expect(&g, &s, "m.room.member", "@eve:a", "$ban");
	graph_clear(&g);

	/* a join rule that changed in the other fork counts for the members */
	begin(&g, "1");
	graph_add(&g, "$i", "m.room.join_rules", "", "alice", "{\"join_rule\":\"invite\"}", "$zara",
		  NULL);
	graph_add(&g, "$e1", MEMBER("eve", "eve", "join"), "$zara", NULL);
	s = merge(&g, "$i", "$e1");
	/* … but only in a conflict: that one of the states has nothing is none */
	expect(&g, &s, "m.room.join_rules", "", "$i");
	expect(&g, &s, "m.room.member", "@eve:a", "$e1");
	graph_clear(&g);
}

static void
what_is_not_there_or_was_rejected_does_not_compete(void **state)
{
	struct graph g;
	struct graph_state s;

	(void)state;
	begin(&g, "1");
	graph_add(&g, "$t1", TOPIC("alice", "1"), "$zara", NULL);
	graph_add(&g, "$n", "m.room.message", NULL, "alice", "{}", "$zara", NULL);
	graph_add(&g, "$t2", TOPIC("alice", "2"), "$n", NULL);
	g.hidden = UINT64_C(1) << graph_find(&g, MX_S("$t2"));
	s = merge(&g, "$t1", "$t2");
	expect(&g, &s, "m.room.topic", "", "$t1");
	g.hidden = 0;
	g.ev[graph_find(&g, MX_S("$t2"))]->rejected = true;
	s = merge(&g, "$t1", "$t2");
	expect(&g, &s, "m.room.topic", "", "$t1");
	g.ev[graph_find(&g, MX_S("$t1"))]->rejected = true;
	s = merge(&g, "$t1", "$t2");
	expect(&g, &s, "m.room.topic", "", NULL);
	graph_clear(&g);
}

static void
work_is_limited(void **state)
{
	struct graph g;
	struct graph_state s;
	const struct graph_state *sets[2];

	(void)state;
	begin(&g, "1");
	graph_add(&g, "$t1", TOPIC("alice", "1"), "$zara", NULL);
	graph_add(&g, "$t2", TOPIC("alice", "2"), "$zara", NULL);
	sets[0] = &g.after[graph_find(&g, MX_S("$t1"))];
	sets[1] = &g.after[graph_find(&g, MX_S("$t2"))];
	g.max_events = 1;
	unit_refused(graph_resolve(&g, sets, 2, &s), MX_E_LIMIT_EXCEEDED);
	graph_clear(&g);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(of_other_state_the_deepest_that_is_allowed_wins),
		unit_case(what_is_not_allowed_any_more_loses),
		unit_case(when_none_is_allowed_the_oldest_stays),
		unit_case(levels_are_followed_until_one_is_refused),
		unit_case(members_are_resolved_after_levels_and_join_rules),
		unit_case(what_is_not_there_or_was_rejected_does_not_compete),
		unit_case(work_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
