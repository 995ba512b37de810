/* Users who are erased, and what was redacted and is kept for a while. */
#include "config.h"

#include "tests/unit/room/house.h"

/* What the user is given of the event: its content; NULL when nothing. In the arena. */
static const char *
given(struct mx_room *room, const struct house_user *who, const struct mx_event *what,
      struct mx_arena *a)
{
	struct mx_event *ev;
	struct mx_events l = { 0 };
	const char *out = NULL;
	bool visible;

	unit_ok(mx_event_get(rooms, conn, mx_event_id(what), &ev));
	mx_events_add(&l, mx_event_ref(ev));
	unit_ok(mx_event_as_seen(rooms, conn, room, &ev, who->nid, mx_str_of(who->id), &visible));
	unit_ok(mx_events_filter_visible(rooms, conn, room, &l, who->nid, mx_str_of(who->id)));
	assert_int_equal(l.n, visible);
	if (visible) {
		assert_true(mx_str_eq(mx_event_json(ev), mx_event_json(l.v[0])));
		out = mx_arena_str(a, mx_event_content(ev)).p;
	}
	mx_events_clear(&l);
	mx_event_unref(&ev);
	return out;
}

static void
who_comes_after_an_erasure_is_given_redacted_events(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_room *room = house_room("11", "shared");
	struct house_user dave, erin;
	struct mx_event *said, *by_bob;
	mx_pos at;

	(void)state;
	house_user(&dave, "dave");
	house_user(&erin, "erin");
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(house_member(room, &erin, &erin, "join"));
	said = house_say(room, &alice, "secret");
	by_bob = house_say(room, &bob, "open");
	unit_ok(house_member(room, &erin, &erin, "leave"));
	unit_ok(house_member(room, &dave, &dave, "join"));
	unit_ok(house_member(room, &alice, &alice, "leave"));
	unit_ok(mx_user_erased(rooms, conn, alice.nid, &at));
	assert_int_equal(at, 0);
	unit_ok(mx_user_erase(rooms, alice.nid));
	unit_ok(mx_user_erased(rooms, conn, alice.nid, &at));
	assert_true(at > said->nid);
	unit_ok(house_member(room, &carol, &carol, "join"));
	for (int round = 0; round < 2; round++) {
		/* Who was there then, who came before the erasure, who has left since. */
		assert_non_null(strstr(given(room, &bob, said, a), "secret"));
		assert_non_null(strstr(given(room, &dave, said, a), "secret"));
		assert_non_null(strstr(given(room, &erin, said, a), "secret"));
		assert_string_equal(given(room, &carol, said, a), "{}");
		assert_non_null(strstr(given(room, &carol, by_bob, a), "open"));
		/* A new name is no new member. */
		unit_ok(house_send(room, &dave, "m.room.member", dave.id,
				   "{\"membership\":\"join\",\"displayname\":\"D\"}", NULL));
		house_again();
		mx_room_unref(&room);
		unit_ok(mx_room_by_nid(rooms, conn, said->room, &room));
	}
	/* The event itself is as it was. */
	struct mx_event *got;

	unit_ok(mx_event_get(rooms, conn, mx_event_id(said), &got));
	assert_false(mx_event_redacted(got));
	mx_event_unref(&got);
	/* Once more changes nothing: who has come meanwhile is still after it. */
	unit_ok(mx_user_erase(rooms, alice.nid));
	assert_string_equal(given(room, &carol, said, a), "{}");
	mx_event_unref(&said);
	mx_event_unref(&by_bob);
	mx_room_unref(&room);
}

static void
who_is_in_no_room_is_given_the_redacted_event(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_room *room = house_room("11", "world_readable");
	struct house_user nobody = { .nid = 0 };
	struct mx_event *said = house_say(room, &alice, "secret");

	(void)state;
	assert_non_null(strstr(given(room, &nobody, said, a), "secret"));
	unit_ok(mx_user_erase(rooms, alice.nid));
	assert_string_equal(given(room, &nobody, said, a), "{}");
	mx_event_unref(&said);
	mx_room_unref(&room);
}

/* ---- what was redacted ---- */

static void
redact(struct mx_room *room, const struct mx_event *ev)
{
	MX_AUTO_JSON *empty = house_json("{}");
	struct mx_draft d = house_draft(&alice, "m.room.redaction", NULL, empty);

	d.redacts = mx_event_id(ev);
	unit_ok(mx_room_send(rooms, conn, room, &d, 1, NULL));
}

static mx_error *
run_sql(struct mx_txn *tx, void *arg)
{
	return mx_query_run(mx_query(mx_txn_conn(tx), arg));
}

static void
with_keeping(mx_msec keep)
{
	struct mx_rooms_options o = { .event_cache = { 1 << 20 }, .state_cache = { 1 << 20 },
				      .room_cache = 100, .room_tail = 64, .max_state = 1000,
				      .max_extremities = 100, .keep_redacted = { keep } };

	house_down();
	house_up(&o);
}

static void
what_was_redacted_is_kept_for_as_long_as_is_wished(void **state)
{
	static struct mx_sql hour_ago = MX_SQL("UPDATE redacted_content SET at = at - 3600000");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_room *room = house_room("11", "shared");
	struct mx_event *first = house_say(room, &alice, "one"),
			*second = house_say(room, &alice, "two");
	mx_str json;

	(void)state;
	redact(room, first);
	unit_refused(mx_redacted_get(rooms, conn, mx_event_id(first), a, &json), MX_E_NOT_FOUND);
	mx_room_unref(&room);
	with_keeping(1800000);
	unit_ok(mx_room_by_nid(rooms, conn, second->room, &room));
	redact(room, second);
	unit_ok(mx_redacted_get(rooms, conn, mx_event_id(second), a, &json));
	assert_true(mx_str_eq(json, mx_event_json(second)));
	unit_ok(mx_rooms_purge(rooms));
	unit_ok(mx_redacted_get(rooms, conn, mx_event_id(second), a, &json));

	/* Its time is over, whether the job has come by or not. */
	unit_ok(mx_write(db, run_sql, &hour_ago));
	unit_refused(mx_redacted_get(rooms, conn, mx_event_id(second), a, &json), MX_E_NOT_FOUND);
	with_keeping(7200000);
	unit_ok(mx_redacted_get(rooms, conn, mx_event_id(second), a, &json));
	with_keeping(1800000);
	unit_ok(mx_rooms_purge(rooms));
	with_keeping(7200000);
	unit_refused(mx_redacted_get(rooms, conn, mx_event_id(second), a, &json), MX_E_NOT_FOUND);
	mx_event_unref(&first);
	mx_event_unref(&second);
	mx_room_unref(&room);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		house_case(who_comes_after_an_erasure_is_given_redacted_events),
		house_case(who_is_in_no_room_is_given_the_redacted_event),
		house_case(what_was_redacted_is_kept_for_as_long_as_is_wished),
	};

	return HOUSE_MAIN(tests);
}
