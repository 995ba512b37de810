/* How states are stored: as deltas and whole trees, readable for ever, each change small. */
#include "config.h"

#include "tests/unit/room/garbage.h"
#include "tests/unit/room/house.h"

enum { KEYS = 300, STEPS = 420, MANY = 900 };

static mx_nid made[STEPS];		/* the event of each step */
static int what[STEPS];			/* its key */
static unsigned seed;

static unsigned
dice(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (unsigned)((uint64_t)(seed >> 4) * n >> 28);
}

/* Every other key is a member. */
static struct mx_draft
draft_of(int i, char name[64], json_t *member, json_t *other)
{
	bool is_member = i % 2 == 1;

	snprintf(name, 64, is_member ? "@user%d:elsewhere.example.org" : "key%d", i);
	return house_draft(&alice, is_member ? "m.room.member" : "org.example.thing", name,
			   is_member ? member : other);
}

static void
change(struct mx_room *room, int step)
{
	MX_AUTO_JSON *member = json_pack("{s:s}", "membership", "invite");
	MX_AUTO_JSON *other = json_pack("{s:i}", "step", step);
	MX_AUTO(mx_event) *ev = NULL;
	char name[64];

	what[step] = (int)dice(KEYS);
	struct mx_draft d = draft_of(what[step], name, member, other);

	unit_ok(mx_room_send(rooms, conn, room, &d, 1, &ev));
	made[step] = ev->nid;
}

/* The state of a step by what happened until then: the number of entries that steps have made, and
 * each key's event. */
static size_t
replay(int step, mx_nid map[KEYS], size_t *others)
{
	size_t n = 0;

	memset(map, 0, KEYS * sizeof(*map));
	*others = 0;
	for (int i = 0; i <= step; i++) {
		if (map[what[i]] == 0) {
			n++;
			*others += what[i] % 2 == 0;
		}
		map[what[i]] = made[i];
	}
	return n;
}

static bool
in_map(const mx_nid map[KEYS], mx_nid nid)
{
	for (int i = 0; i < KEYS; i++)
		if (map[i] == nid)
			return true;
	return false;
}

static struct mx_state_root
root_of(int step)
{
	MX_AUTO(mx_event) *ev = NULL;

	unit_ok(mx_event_by_nid(rooms, conn, made[step], &ev));
	return ev->after;
}

/* How many of the events belong to the map; every one of the room's own five comes on top. */
static size_t
known(const struct mx_events *l, const mx_nid map[KEYS])
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += in_map(map, l->v[i]->nid);
	return n;
}

static void
check_step(int step)
{
	struct mx_state_root root = root_of(step);
	struct mx_events all = { 0 }, others = { 0 };
	mx_nid map[KEYS];
	size_t n_others, n = replay(step, map, &n_others);
	char name[64];

	for (int i = 0; i < 4; i++) {
		MX_AUTO(mx_event) *ev = NULL;
		int k = (int)dice(KEYS);
		struct mx_draft d = draft_of(k, name, NULL, NULL);

		unit_ok(mx_state_get(rooms, conn, root, d.type, d.state_key, &ev));
		assert_int_equal(ev != NULL ? ev->nid : 0, map[k]);
	}
	unit_ok(mx_state_all(rooms, conn, root, &all));
	assert_int_equal(all.n, n + 5);
	assert_int_equal(known(&all, map), n);
	unit_ok(mx_state_no_members(rooms, conn, root, &others));
	assert_int_equal(others.n, n_others + 4);
	for (size_t i = 0; i < others.n; i++)
		assert_false(mx_str_eq(mx_event_type(others.v[i]), MX_S("m.room.member")));
	mx_events_clear(&all);
	mx_events_clear(&others);
}

static void
check_difference(int from, int to)
{
	struct mx_events l = { 0 };
	mx_nid a[KEYS], b[KEYS];
	size_t ignored, expected = 0;

	replay(from, a, &ignored);
	replay(to, b, &ignored);
	for (int i = 0; i < KEYS; i++)
		expected += a[i] != b[i] && b[i] != 0;
	unit_ok(mx_state_diff(rooms, conn, root_of(from), root_of(to), &l));
	assert_int_equal(l.n, expected);
	mx_events_clear(&l);
}

static void
every_state_of_the_past_is_read_as_it_was(void **state)
{
	static const struct mx_rooms_options tiny = { .event_cache = { 65536 },
						      .state_cache = { 65536 },
						      .room_cache = 1,
						      .room_tail = 8,
						      .max_state = 100000 };

	(void)state;
	/* With everything in memory, with hardly anything, and with a restart in between: the
	 * stored form may not depend on it. */
	for (int way = 0; way < 3; way++) {
		seed = 11 + (unsigned)way;
		if (way == 1) {
			house_down();
			house_up(&tiny);
		}
		struct mx_room *room = house_room("12", "shared");
		MX_AUTO(mx_buf) *id = mx_buf_new(0);

		mx_buf_str(id, mx_room_id(room));
		for (int i = 0; i < STEPS; i++) {
			if (way == 2 && i % 13 == 12) {
				mx_room_unref(&room);
				house_again();
				unit_ok(mx_room_get(rooms, conn, mx_buf_view(id), &room));
			}
			change(room, i);
		}
		mx_room_unref(&room);
		for (int i = 0; i < STEPS; i += 7) {
			if (i % 3 == 0)
				house_again();
			check_step(i);
			check_difference(i, (int)dice(STEPS));
		}
		house_again();
	}
	assert_in_range(garbage_check(), 1000, 100000);
}

static int64_t
bytes_stored(void)
{
	static const struct mx_sql sum = MX_SQL("SELECT sum(length(data)) FROM state_node");
	struct mx_query *q = mx_query(conn, &sum);
	int64_t n = mx_query_next(q) ? mx_col_int(q, 0) : 0;

	unit_ok(mx_query_end(q));
	return n;
}

/* A room with many members, made in few writes: each is judged by more state than the tip keeps. */
static struct mx_room *
big_room(void)
{
	static char names[MANY][64];
	static struct mx_draft d[MANY];
	MX_AUTO_JSON *member = json_pack("{s:s}", "membership", "invite");
	struct mx_room *room = house_room("12", "shared");

	for (int batch = 0; batch < 4; batch++) {
		for (int i = 0; i < MANY; i++)
			d[i] = draft_of(2 * (batch * MANY + i) + 1, names[i], member, NULL);
		unit_ok(mx_room_send(rooms, conn, room, d, MANY, NULL));
	}
	return room;
}

static void
a_change_of_a_large_state_stores_little(void **state)
{
	enum { CHANGES = 192 };
	MX_AUTO(mx_room) *room = big_room();
	int64_t before = bytes_stored();

	(void)state;
	seed = 5;
	for (int i = 0; i < CHANGES; i++) {
		MX_AUTO_JSON *member = json_pack("{s:s, s:i}", "membership", "invite", "n", i);
		char name[64];
		struct mx_draft d = draft_of((int)(2 * dice(4 * MANY) + 1), name, member, NULL);

		unit_ok(mx_room_send(rooms, conn, room, &d, 1, NULL));
	}
	assert_in_range(bytes_stored() - before, 1, CHANGES * 500);
}

static void
the_state_without_members_costs_nothing_for_members(void **state)
{
	struct mx_room *room = big_room();
	struct mx_state_root root = mx_room_root(room);
	struct mx_events l = { 0 };

	(void)state;
	mx_room_unref(&room);
	house_again();
	mx_conn_statements(conn);
	unit_ok(mx_state_no_members(rooms, conn, root, &l));
	assert_int_equal(l.n, 4);
	/* Root and deltas; at worst those branches that changed since the last whole tree; the
	 * events. */
	assert_in_range(mx_conn_statements(conn), 1, 2 * MX_DELTA_FAR * (MX_DELTA_ENTRIES + 2));
	mx_events_clear(&l);
	unit_ok(mx_state_no_members(rooms, conn, root, &l));
	assert_int_equal(mx_conn_statements(conn), 0);
	mx_events_clear(&l);
}

struct damage {
	struct mx_state_root root;
	int at;			/* which byte */
};

static mx_error *
damage(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql get = MX_SQL("SELECT data FROM state_node WHERE hash = $1");
	static const struct mx_sql set = MX_SQL("UPDATE state_node SET data = $2 WHERE hash = $1");
	const struct damage *d = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &get);
	unsigned char bytes[MX_DELTA_MAX];
	size_t n = 0;

	mx_bind_int(q, 1, mx_node_number(d->root.h));
	while (mx_query_next(q)) {
		n = mx_col_str(q, 0).n;
		assert_in_range(n, 28, sizeof(bytes));
		memcpy(bytes, mx_col_str(q, 0).p, n);
	}
	MX_TRY(mx_query_end(q));
	assert_int_equal(bytes[0], 'D');
	bytes[d->at] ^= 1;
	q = mx_query(mx_txn_conn(tx), &set);
	mx_bind_int(q, 1, mx_node_number(d->root.h));
	mx_bind_blob(q, 2, bytes, n);
	return mx_query_run(q);
}

static void
a_damaged_row_is_an_error_and_not_another_state(void **state)
{
	static const int places[] = { 1, 2, 5, 12, 30, 50 };
	struct mx_room *room = house_room("12", "shared");
	struct mx_events l = { 0 };

	(void)state;
	seed = 3;
	for (int i = 0; i < 40; i++)
		change(room, i);
	mx_room_unref(&room);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct damage d = { .root = root_of(39), .at = places[i] };
		MX_AUTO(mx_event) *ev = NULL;

		unit_ok(mx_write(db, damage, &d));
		house_again();
		unit_refused(
			mx_state_get(rooms, conn, d.root, MX_S("m.room.create"), MX_S(""), &ev),
			MX_E_UNKNOWN);
		unit_refused(mx_state_all(rooms, conn, d.root, &l), MX_E_UNKNOWN);
		mx_events_clear(&l);
		unit_ok(mx_write(db, damage, &d));
		house_again();
		check_step(39);
	}
}

static mx_error *
count_one(void *arg, struct mx_tree_key at, mx_nid from, mx_nid to)
{
	(void)at;
	(void)from;
	(void)to;
	++*(int *)arg;
	return NULL;
}

/* A state that was just made out of another is not stored, and what it is compared with may not be
 * in memory: only that can be made again. */
static void
a_state_that_is_not_stored_yet_can_be_compared(void **state)
{
	struct mx_room *room = house_room("10", "shared");
	struct mx_state_root base, old, made_now;
	int n = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		change(room, i);
	mx_room_unref(&room);
	old = root_of(10);
	base = root_of(39);
	house_again();
	struct mx_tree tree = mx_rooms_tree(rooms, conn);
	struct mx_fresh_nodes fresh = { .cache = rooms->nodes };

	unit_ok(mx_tree_set(&tree, base, mx_tree_key(MX_S("org.example.new"), MX_S("")), made[0],
			    &fresh, &made_now));
	unit_ok(mx_tree_diff(&tree, old, made_now, count_one, &n));
	assert_true(n > 1);
	mx_tree_done(&tree);
	mx_fresh_nodes_done(&fresh);
}

int
main(void)
{
	const struct CMUnitTest stored_state[] = {
		house_case(every_state_of_the_past_is_read_as_it_was),
		house_case(a_change_of_a_large_state_stores_little),
		house_case(the_state_without_members_costs_nothing_for_members),
		house_case(a_state_that_is_not_stored_yet_can_be_compared),
		house_case(a_damaged_row_is_an_error_and_not_another_state),
	};

	return HOUSE_MAIN(stored_state);
}
