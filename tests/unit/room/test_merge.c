/* States that come together, in a database: random rooms against the definitions; what is stored of
 * it; what it costs. */
#include "config.h"

#include "tests/unit/room/forks.h"

/* The state as the database has it is the one that the definitions say. */
static void
expect_state(const struct forks *f, struct mx_state_root root, const struct graph_state *should)
{
	struct mx_events is = { 0 };

	unit_ok(mx_state_all(rooms, conn, root, &is));
	assert_int_equal(is.n, should->n);
	for (size_t i = 0; i < is.n; i++) {
		int e = graph_find(f->g, mx_event_id(is.v[i]));

		if (graph_at(f->g, should, mx_event_type(is.v[i]), mx_event_state_key(is.v[i])) !=
		    e)
			fail_msg("version %s: %.*s of %.*s should not be there", f->g->version,
				 MX_SFMT(mx_event_id(is.v[i])), MX_SFMT(mx_event_type(is.v[i])));
	}
	mx_events_clear(&is);
}

static struct mx_state_root
merge(const struct forks *f, const struct mx_state_root *roots, size_t n,
      struct mx_fresh_nodes *fresh)
{
	struct mx_state_root out;

	unit_ok(mx_merge_roots(rooms, conn, f->room, roots, n, fresh, &out));
	return out;
}

static void
merge_some(const struct forks *f)
{
	const struct graph_state *sets[3];
	struct mx_state_root roots[3], one, two;
	struct mx_fresh_nodes fresh = { 0 };
	struct graph_state should;
	size_t n = 2 + roll(2);

	for (size_t s = 0; s < n; s++) {
		int e = f->g->n - 1 - (int)roll(16);

		sets[s] = &f->g->after[e];
		roots[n - 1 - s] = f->after[e];
	}
	should = plain_resolve(f->g, sets, n);
	one = merge(f, roots, n, &fresh);
	expect_state(f, one, &should);
	/* whatever the order, and however often */
	struct mx_state_root swapped[3] = { roots[1], roots[0], roots[n - 1] };

	two = merge(f, swapped, 3, &fresh);
	assert_true(mx_root_eq(one, two));
	mx_fresh_nodes_done(&fresh);
}

static void
random_rooms_merge_as_the_definitions_say(void **state)
{
	(void)state;
	for (uint32_t round = 0; round < 30; round++) {
		struct forks f;
		struct graph g;

		seed = 54321 + round * 7919;
		begin(&g, versions[round % 3]);
		while (g.n < 40)
			random_event(&g);
		forks_store(&f, &g);
		for (int k = 0; k < 20; k++)
			merge_some(&f);
		mx_room_unref(&f.room);
		graph_clear(&g);
	}
}

int
main(void)
{
	const struct CMUnitTest merge_tests[] = {
		house_case(random_rooms_merge_as_the_definitions_say),
	};

	return HOUSE_MAIN(merge_tests);
}
