/* States that come together, in a database: random rooms against the definitions; what is stored of
 * it; what it costs. */
#include "config.h"

#include <time.h>

#include "tests/unit/room/forks.h"

#include "tests/unit/room/covers.h"

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

/* ---- what is stored of it ---- */

/* A room of alice's in which people come and go. */
static struct mx_room *
lively_room(const char *version, int steps)
{
	struct mx_room *room = house_room(version, "shared");

	unit_ok(house_member(room, &bob, &bob, "join"));
	for (int i = 0; i < steps; i++) {
		char topic[64];

		unit_ok(house_member(room, &carol, &carol, i % 2 == 0 ? "join" : "leave"));
		snprintf(topic, sizeof(topic), "{\"topic\":\"%d\"}", i);
		unit_ok(house_send(room, &alice, "m.room.topic", "", topic, NULL));
		if (i % 7 == 6)
			unit_ok(house_send(room, &alice, "m.room.join_rules", "",
					   "{\"join_rule\":\"public\"}", NULL));
	}
	return room;
}

/* As the migration leaves a database that had events. */
static mx_error *
forget_covers(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql sql[] = {
		MX_SQL("DELETE FROM cover"),
		MX_SQL("DELETE FROM cover_above"),
		MX_SQL("INSERT INTO cover_fill (done, upto) SELECT 0, MAX(nid) FROM event"),
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++)
		MX_TRY(mx_query_run(mx_query(mx_txn_conn(tx), &sql[i])));
	return NULL;
}

static mx_error *
clear_all(struct mx_txn *tx, void *arg)
{
	(void)arg;
	return forks_clear(tx);
}

static char *
dump_covers(void)
{
	static const struct mx_sql covers = MX_SQL("SELECT nid, auth FROM cover ORDER BY nid");
	static const struct mx_sql above =
		MX_SQL("SELECT below, above FROM cover_above ORDER BY below, above");
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_query *q = mx_query(conn, &covers);

	while (mx_query_next(q)) {
		mx_str auth = mx_col_str(q, 1);

		mx_buf_printf(b, "%lld", (long long)mx_col_int(q, 0));
		for (size_t i = 0; i < auth.n; i++)
			mx_buf_printf(b, " %02x", (unsigned char)auth.p[i]);
		mx_buf_printf(b, "\n");
	}
	unit_ok(mx_query_end(q));
	q = mx_query(conn, &above);
	while (mx_query_next(q))
		mx_buf_printf(b, "%lld %lld\n", (long long)mx_col_int(q, 0),
			      (long long)mx_col_int(q, 1));
	unit_ok(mx_query_end(q));
	return mx_str_dup(mx_buf_view(b));
}

static void
rooms_from_before_there_were_covers_get_them(void **state)
{
	static const struct mx_sql left = MX_SQL("SELECT COUNT(*) FROM cover_fill");

	(void)state;
	unit_ok(mx_write(db, clear_all, NULL));
	house_again();
	for (size_t i = 0; i < 3; i++) {
		struct mx_room *room = lively_room(i == 0 ? "6" : i == 1 ? "10" : "12", 160);

		mx_room_unref(&room);
	}
	assert_in_range(covers_check(7), 1000, COVERS_MOST);
	char *before = dump_covers();

	house_down();
	unit_ok(mx_write(db, forget_covers, NULL));
	house_up(NULL);
	assert_int_equal(covers_count(&left), 0);
	char *now = dump_covers();

	assert_string_equal(now, before);
	free(before);
	free(now);
}

/* ---- forks of a real room ---- */

/* The state with these entries set, not stored. */
static struct mx_state_root
with(struct mx_state_root root, struct mx_tree_entry *v, size_t n, struct mx_fresh_nodes *fresh)
{
	struct mx_tree t = mx_rooms_tree(rooms, conn);
	struct mx_state_root out;

	qsort(v, n, sizeof(*v), forks_by_key);
	unit_ok(mx_tree_set_all(&t, root, v, n, fresh, &out));
	mx_tree_done(&t);
	return out;
}

static struct mx_tree_entry
entry_of(const struct mx_event *ev)
{
	return (struct mx_tree_entry){ mx_tree_key(mx_event_type(ev), mx_event_state_key(ev)),
				       mx_event_state_nid(ev) };
}

/* n things, each with an earlier and a later event. */
static void
make_things(struct mx_room *room, int n, struct mx_tree_entry *early, struct mx_tree_entry *late)
{
	for (int k = 0; k < 2; k++) {
		mx_msec now = mx_now();

		for (int i = 0; i < n; i++) {
			char content[32], key_[32];
			struct mx_event *ev;

			snprintf(key_, sizeof(key_), "thing%d", i);
			snprintf(content, sizeof(content), "{\"n\":%d}", k);
			unit_ok(house_send(room, &alice, "org.example.thing", key_, content, &ev));
			(k == 0 ? early : late)[i] = entry_of(ev);
			now = mx_event_ts(ev);
			mx_event_unref(&ev);
		}
		/* Of one millisecond the greater id would be the later. */
		while (mx_now() <= now)
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
}

struct storing {
	struct mx_state_root near, root;
	mx_nid nid;
};

static mx_error *
store_root(struct mx_txn *tx, void *arg)
{
	struct storing *s = arg;

	s->nid = mx_txn_pos(tx);
	return mx_merge_store(tx, rooms, s->near, s->root, s->nid);
}

static int64_t
nodes_stored(void)
{
	static const struct mx_sql count = MX_SQL("SELECT COUNT(*) FROM state_node");

	return covers_count(&count);
}

/* Two states that differ in n entries each way come together, are stored, and read back. */
static void
merge_and_store(int n, int64_t rows)
{
	struct mx_room *room = house_room("12", "shared");
	struct mx_tree_entry early[256], late[256], mixed[256];
	struct mx_fresh_nodes fresh = { .cache = rooms->nodes };
	struct mx_state_root root, roots[2], out;
	struct mx_events l = { 0 };

	make_things(room, n, early, late);
	root = mx_room_root(room);
	memcpy(mixed, early, sizeof(mixed));
	/* one of them is the newer in one state, all others in the other */
	mixed[0] = late[0];
	roots[0] = with(root, mixed, (size_t)n, &fresh);
	memcpy(mixed, late, sizeof(mixed));
	mixed[0] = early[0];
	roots[1] = with(root, mixed, (size_t)n, &fresh);
	unit_ok(mx_merge_roots(rooms, conn, room, roots, 2, &fresh, &out));
	assert_true(mx_root_eq(out, root));
	/* something that never was a state of the room: all but the last as they were */
	memcpy(mixed, early, sizeof(mixed));
	mixed[n - 1] = late[n - 1];
	out = with(root, mixed, (size_t)n, &fresh);
	struct storing s = { root, out, 0 };
	int64_t before = nodes_stored();

	unit_ok(mx_write(db, store_root, &s));
	assert_in_range(nodes_stored() - before, 1, rows);
	before = nodes_stored();
	unit_ok(mx_write(db, store_root, &s));
	assert_int_equal(nodes_stored(), before);
	mx_fresh_nodes_done(&fresh);
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_state_all(rooms, conn, out, &l));
	assert_int_equal(l.n, n + 5);
	for (size_t i = 0; i < l.n; i++)
		for (int k = 0; k < n - 1; k++)
			assert_int_not_equal(l.v[i]->nid, late[k].nid);
	mx_events_clear(&l);
}

static void
a_merged_state_is_stored_by_what_differs(void **state)
{
	(void)state;
	merge_and_store(2, 1);
	merge_and_store(MX_DELTA_ENTRIES + 1, 1);
	merge_and_store(100, 40);
}

static void
two_merges_of_one_event_are_both_stored(void **state)
{
	struct mx_room *room = house_room("12", "shared");
	struct mx_tree_entry early[64], late[64];
	struct mx_fresh_nodes fresh = { .cache = rooms->nodes };
	struct mx_state_root root;

	(void)state;
	make_things(room, 64, early, late);
	root = mx_room_root(room);
	for (size_t n = 1; n <= 64; n *= 2) {
		struct storing s = { root, with(root, early, n, &fresh), 0 };

		unit_ok(mx_write(db, store_root, &s));
	}
	mx_fresh_nodes_done(&fresh);
	mx_room_unref(&room);
}

/* Reads what the state was after each of these: more than there is memory for. */
static void
fill_memory(const struct mx_tree_entry *v, size_t n)
{
	struct mx_events l = { 0 };

	for (size_t i = 0; i < n; i++) {
		MX_AUTO(mx_event) *ev = NULL;

		unit_ok(mx_event_by_nid(rooms, conn, v[i].nid, &ev));
		unit_ok(mx_state_all(rooms, conn, ev->after, &l));
		mx_events_clear(&l);
	}
}

/* Between the merge and the write everything that is not pinned may leave the memory. */
static void
a_merged_state_can_be_stored_when_nothing_is_in_memory(void **state)
{
	static const struct mx_rooms_options tiny = { .event_cache = { 65536 },
						      .state_cache = { 65536 },
						      .room_cache = 8,
						      .room_tail = 8,
						      .max_state = 100000 };
	struct mx_tree_entry early[256], late[256], mixed[256], others[256];
	struct mx_room *room, *other;
	struct mx_events l = { 0 };

	(void)state;
	house_down();
	house_up(&tiny);
	other = house_room("12", "shared");
	make_things(other, 200, others, others);
	room = house_room("12", "shared");
	make_things(room, 200, early, late);
	make_things(room, 200, mixed, mixed);	/* the room goes on; these forks are of its past */
	for (int first = 0; first < 2; first++) {
		struct mx_fresh_nodes fresh = { .cache = rooms->nodes };
		struct mx_state_root roots[2], out;
		struct storing s[2];

		for (int k = 0; k < 2; k++) {
			for (int i = 0; i < 6; i++)
				mixed[i] = (i % 2 == k ? early : late)[30 * i + first];
			s[k] = (struct storing){ mx_room_root(room),
						 with(mx_room_root(room), mixed, 6, &fresh), 0 };
			unit_ok(mx_write(db, store_root, &s[k]));
		}
		mx_fresh_nodes_done(&fresh);
		fresh.cache = rooms->nodes;
		roots[0] = s[first].root;
		roots[1] = s[!first].root;
		unit_ok(mx_merge_roots(rooms, conn, room, roots, 2, &fresh, &out));
		fill_memory(others, 200);
		struct storing merged = { roots[0], out, 0 };

		unit_ok(mx_write(db, store_root, &merged));
		mx_fresh_nodes_done(&fresh);
		unit_ok(mx_state_all(rooms, conn, out, &l));
		assert_int_equal(l.n, 205);
		mx_events_clear(&l);
	}
	mx_room_unref(&room);
	mx_room_unref(&other);
}

static void
too_much_conflict_is_refused(void **state)
{
	static const struct mx_rooms_options narrow = { .event_cache = { 1 << 20 },
							.state_cache = { 1 << 20 },
							.room_cache = 8,
							.room_tail = 8,
							.max_state = 100000,
							.max_conflict = 100 };
	struct mx_room *room;
	struct mx_tree_entry early[120], late[120];
	struct mx_fresh_nodes fresh = { .cache = NULL };
	struct mx_state_root roots[2], out;

	(void)state;
	house_down();
	house_up(&narrow);
	fresh.cache = rooms->nodes;
	room = house_room("12", "shared");
	make_things(room, 101, early, late);
	roots[0] = mx_room_root(room);
	roots[1] = with(roots[0], early, 100, &fresh);
	unit_ok(mx_merge_roots(rooms, conn, room, roots, 2, &fresh, &out));
	roots[1] = with(roots[0], early, 101, &fresh);
	unit_refused(mx_merge_roots(rooms, conn, room, roots, 2, &fresh, &out),
		     MX_E_LIMIT_EXCEEDED);
	mx_fresh_nodes_done(&fresh);
	mx_room_unref(&room);
}

/* ---- what it costs ---- */

/* Two members differ; the state that both share is `size` members. */
static uint64_t
statements_of_a_merge(int size)
{
	struct mx_room *room = house_room("12", "shared");
	static struct mx_draft d[900];
	static char names[900][64];
	MX_AUTO_JSON *content = house_json("{\"membership\":\"invite\"}");
	struct mx_fresh_nodes fresh = { .cache = rooms->nodes };
	struct mx_state_root roots[2], out;
	struct mx_room *again;
	MX_AUTO(mx_buf) *id = mx_buf_new(0);

	for (int i = 0; i < size; i++) {
		snprintf(names[i], sizeof(names[i]), "@guest%d:elsewhere.example.org", i);
		d[i] = house_draft(&alice, "m.room.member", names[i], content);
	}
	unit_ok(mx_room_send(rooms, conn, room, d, (size_t)size, NULL));
	roots[0] = mx_room_root(room);
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(house_send(room, &alice, "m.room.topic", "", "{\"topic\":\"t\"}", NULL));
	roots[1] = mx_room_root(room);
	mx_buf_str(id, mx_room_id(room));
	mx_room_unref(&room);
	house_again();
	fresh.cache = rooms->nodes;
	unit_ok(mx_room_get(rooms, conn, mx_buf_view(id), &again));
	mx_conn_statements(conn);
	unit_ok(mx_merge_roots(rooms, conn, again, roots, 2, &fresh, &out));
	uint64_t n = mx_conn_statements(conn);

	assert_true(mx_root_eq(out, roots[1]));
	/* and it is remembered, whatever the order */
	struct mx_state_root swapped[2] = { roots[1], roots[0] };

	unit_ok(mx_merge_roots(rooms, conn, again, swapped, 2, &fresh, &out));
	assert_true(mx_root_eq(out, roots[1]));
	assert_int_equal(mx_conn_statements(conn), 0);
	mx_fresh_nodes_done(&fresh);
	mx_room_unref(&again);
	return n;
}

static void
what_a_merge_reads_does_not_grow_with_the_room(void **state)
{
	uint64_t small = statements_of_a_merge(30), large = statements_of_a_merge(900);

	(void)state;
	/* Some nodes for each change since a whole tree was stored, many at once. */
	assert_in_range(large, 1, small + 24);
}

int
main(void)
{
	const struct CMUnitTest merge_tests[] = {
		house_case(random_rooms_merge_as_the_definitions_say),
		house_case(rooms_from_before_there_were_covers_get_them),
		house_case(a_merged_state_is_stored_by_what_differs),
		house_case(two_merges_of_one_event_are_both_stored),
		house_case(a_merged_state_can_be_stored_when_nothing_is_in_memory),
		house_case(too_much_conflict_is_refused),
		house_case(what_a_merge_reads_does_not_grow_with_the_room),
	};

	return HOUSE_MAIN(merge_tests);
}
