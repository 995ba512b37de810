/* Rooms with more forward extremities than an event may name, where nobody here may join them. */
#include "config.h"

#include "tests/unit/room/covers.h"
#include "tests/unit/room/garbage.h"
#include "tests/unit/room/remote.h"

#include "core/room/doctor.h"

static const char *gina, *hugo;		/* of server 0, which means harm, and of server 1 */
static struct mx_room *room;

/* gina's room in the end: alice may send messages in it, and nothing else. */
static struct remote *
make_room(void)
{
	struct remote *last;
	char content[256];

	gina = remote_user(0, "gina");
	hugo = remote_user(1, "hugo");
	room = house_room("11", "shared");
	last = remote_member(room, 0, gina, gina, "join", remote_of(room));
	remote_accepted(room, last);
	remote_accepted(room, remote_member(room, 1, hugo, hugo, "join", last));
	snprintf(content, sizeof(content),
		 "{\"users\":{\"%s\":100},\"events_default\":50,\"state_default\":50,"
		 "\"events\":{\"m.room.message\":0}}",
		 gina);
	unit_ok(house_send(room, &alice, "m.room.power_levels", "", content, NULL));
	return remote_of(room);
}

static size_t
extremities(mx_str wanted, bool *found)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str *ids;
	size_t n;

	unit_ok(mx_room_extremities(rooms, conn, room, a, &ids, &n));
	for (size_t i = 0; found != NULL && i < n; i++)
		*found |= mx_str_eq(ids[i], wanted);
	return n;
}

static size_t
count_extremities(void)
{
	return extremities((mx_str){ NULL, 0 }, NULL);
}

static bool
is_extremity(const struct remote *r)
{
	bool found = false;

	extremities(mx_event_id(r->ev), &found);
	return found;
}

static void
sound(void)
{
	struct mx_checkup up = { .signatures = true };

	unit_ok(mx_room_checkup(rooms, conn, room, &up));
	if (up.found > 0)
		fail_msg("%s", up.v[0].words);
}

/* gina's nth event upon prev: a message, or another name of hers. */
static struct remote *
branch(struct remote *prev, unsigned n, bool state)
{
	char content[96];

	if (!state)
		return remote_say(room, 0, gina, prev);
	snprintf(content, sizeof(content), "{\"membership\":\"join\",\"displayname\":\"%u\"}", n);
	return remote_event(room, (struct remote_spec){ .server = 0, .sender = gina,
							.type = "m.room.member", .key = gina,
							.content = content, .prev = { prev } });
}

static void
flood(struct remote *prev, unsigned n, bool state, enum mx_fate fate)
{
	enum { AT_ONCE = 100 };
	struct mx_arrival v[AT_ONCE];
	struct remote *some[AT_ONCE];

	for (unsigned done = 0; done < n;) {
		size_t mark = remote_used, k = 0;

		while (k < AT_ONCE && done < n)
			some[k++] = branch(prev, done++, state);
		remote_hand_in(room, some, k, v);
		for (size_t i = 0; i < k; i++)
			if (v[i].fate != fate)
				fail_msg("%s: %s", mx_fate_name(v[i].fate), v[i].words);
		mx_arrivals_clear(v, k);
		while (remote_used > mark)
			mx_event_unref(&remote_pool[--remote_used].ev);
	}
}

static void
an_event_joins_what_it_can_name(void **state)
{
	(void)state;
	for (int with_state = 0; with_state < 2; with_state++) {
		struct remote *last = make_room();
		size_t left = 60;

		flood(last, 60, with_state, MX_FATE_ACCEPTED);
		assert_int_equal(count_extremities(), 60);
		unit_refused(house_send(room, &alice, "m.room.topic", "", "{}", NULL), MX_E_FORBIDDEN);
		assert_int_equal(count_extremities(), 60);
		while (left > 1) {
			struct mx_event *ev = house_say(room, &alice, "still here");
			size_t prev = mx_event_prev_count(ev);

			assert_int_equal(prev, left < 20 ? left : 20);
			left = left - prev + 1;
			assert_int_equal(count_extremities(), left);
			mx_event_unref(&ev);
			if (left == 41) {	/* it is no matter of memory */
				char id[256];

				snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
				mx_room_unref(&room);
				house_again();
				unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
				assert_int_equal(count_extremities(), left);
			}
		}
		sound();
		mx_room_unref(&room);
	}
}

static void
who_may_send_nothing_may_leave(void **state)
{
	struct mx_member m;

	(void)state;
	flood(make_room(), 50, true, MX_FATE_ACCEPTED);
	unit_ok(house_member(room, &alice, &alice, "leave"));
	unit_ok(mx_room_member(rooms, conn, room, alice.nid, &m));
	assert_int_equal(m.membership, MX_MEMBER_LEAVE);
	sound();
	mx_room_unref(&room);
}

static void
a_transaction_id_is_kept(void **state)
{
	MX_AUTO_JSON *content = house_json("{\"body\":\"once\"}");
	MX_AUTO(mx_event) *first = NULL, *second = NULL;

	(void)state;
	flood(make_room(), 50, false, MX_FATE_ACCEPTED);
	struct mx_draft d = house_draft(&alice, "m.room.message", NULL, content);

	d.device = alice.nid;
	d.txn_id = MX_S("t");
	unit_ok(mx_room_send(rooms, conn, room, &d, 1, &first));
	unit_ok(mx_room_send(rooms, conn, room, &d, 1, &second));
	assert_true(mx_str_eq(mx_event_id(first), mx_event_id(second)));
	assert_int_equal(count_extremities(), 31);
	mx_room_unref(&room);
}

/* Messages do not count to what hurts: each of these has a state of its own. */
static void
a_flood_pushes_out_only_itself(void **state)
{
	struct mx_rooms_stats before, after;
	struct remote *last = make_room(), *honest;

	(void)state;
	mx_rooms_stats(rooms, &before);
	honest = remote_say(room, 1, hugo, last);
	remote_accepted(room, honest);
	int64_t start = mx_monotonic_us();

	flood(last, 2000, false, MX_FATE_ACCEPTED);
	int64_t plain = mx_monotonic_us() - start;

	flood(last, 300, true, MX_FATE_ACCEPTED);
	print_message("2000 messages in %lld ms, 300 states in %lld ms\n", (long long)plain / 1000,
		      (long long)(mx_monotonic_us() - start - plain) / 1000);
	assert_int_equal(count_extremities(), 100);
	assert_true(is_extremity(honest));
	/* The others go on, and so do we. */
	honest = remote_say(room, 1, hugo, honest);
	remote_accepted(room, honest);
	assert_true(is_extremity(honest));
	MX_AUTO(mx_event) *ev = house_say(room, &alice, "and so on");

	assert_int_equal(mx_event_prev_count(ev), 20);
	mx_rooms_stats(rooms, &after);
	assert_int_equal(after.arrived[MX_FATE_SOFT_FAILED][MX_REASON_LIMIT],
			 before.arrived[MX_FATE_SOFT_FAILED][MX_REASON_LIMIT]);
	sound();
	mx_room_unref(&room);
}

static int
flood_end(void **state)
{
	covers_check(1);
	garbage_check();
	remote_clear();
	return house_end(state);
}
#define flood_case(fn) cmocka_unit_test_setup_teardown(fn, house_begin, flood_end)

int
main(void)
{
	const struct CMUnitTest flood_tests[] = {
		flood_case(an_event_joins_what_it_can_name),
		flood_case(who_may_send_nothing_may_leave),
		flood_case(a_transaction_id_is_kept),
		flood_case(a_flood_pushes_out_only_itself),
	};

	guests_come();
	int failed = HOUSE_MAIN(flood_tests);

	guests_go();
	return failed;
}
