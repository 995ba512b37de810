/* The engine on a real database: making rooms, sending, state, members, redactions, transaction
 * ids, failures. */
#include "config.h"

#include "tests/unit/room/house.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t
length(struct mx_room *room, struct mx_events *l)
{
	bool more;

	mx_events_clear(l);
	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, 10000, false, l, &more));
	assert_false(more);
	return l->n;
}

/* Every event names the one before it and only that: no forks, no gaps. */
static void
assert_chain(const struct mx_events *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct mx_event_ids it = mx_event_prev(l->v[i]);
		mx_str id;

		assert_int_equal(mx_event_prev_count(l->v[i]), i == 0 ? 0 : 1);
		assert_int_equal(mx_event_depth(l->v[i]), (int64_t)i + 1);
		if (i > 0) {
			assert_true(mx_event_ids_next(&it, &id));
			assert_true(mx_str_eq(id, mx_event_id(l->v[i - 1])));
			assert_true(mx_event_nid(l->v[i]) > mx_event_nid(l->v[i - 1]));
		}
	}
}

/* ---- rooms ---- */

static void
a_new_room_has_its_state_and_can_be_found(void **state)
{
	static const char *const versions[] = { "10", "11", "12" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		MX_AUTO(mx_room) *room = house_room(versions[i], "shared"), *again = NULL,
				 *by_nid = NULL;
		struct mx_events l = { 0 };
		char id[256];

		assert_int_equal(length(room, &l), 5);
		assert_chain(&l);
		assert_int_equal(mx_room_joined_count(room), 1);
		assert_int_equal(mx_room_last(room), mx_event_nid(l.v[4]));
		unit_text(mx_room_version_name(mx_room_version(room)), versions[i]);
		unit_ok(mx_room_get(rooms, conn, mx_room_id(room), &again));
		assert_ptr_equal(again, room);
		snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
		mx_nid nid = mx_room_nid(room);

		mx_room_unref(&room);
		mx_room_unref(&again);
		mx_events_clear(&l);
		house_again();
		unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &again));
		unit_ok(mx_room_by_nid(rooms, conn, nid, &by_nid));
		assert_ptr_equal(again, by_nid);
		unit_text(mx_room_id(again), id);
		assert_int_equal(mx_room_joined_count(again), 1);
		assert_int_equal(length(again, &l), 5);
		assert_chain(&l);
		unit_text(mx_event_room_id(l.v[0]), id);
		mx_events_clear(&l);
	}
}

static void
an_unknown_room_is_not_found(void **state)
{
	struct mx_room *room;

	(void)state;
	unit_refused(mx_room_get(rooms, conn, MX_S("!nowhere:" HOUSE_SERVER), &room),
		     MX_E_NOT_FOUND);
	unit_refused(mx_room_get(rooms, conn, MX_S("nonsense"), &room), MX_E_NOT_FOUND);
	unit_refused(mx_room_get(rooms, conn, mx_str_of(alice.id), &room), MX_E_NOT_FOUND);
	unit_refused(mx_room_by_nid(rooms, conn, 999999999, &room), MX_E_NOT_FOUND);
}

static void
a_room_that_is_refused_leaves_nothing(void **state)
{
	MX_AUTO_JSON *create = house_json("{}");
	MX_AUTO_JSON *join = house_json("{\"membership\":\"join\"}");
	struct mx_draft d[] = {
		house_draft(&alice, "m.room.create", "", create),
		house_draft(&bob, "m.room.member", bob.id, join),	/* not the creator */
	};
	struct mx_room *room;
	mx_pos head = mx_stream_head(stream).pos;

	(void)state;
	unit_refused(mx_room_create(rooms, conn, mx_room_version_find(MX_S("12")), d, 2, &room),
		     MX_E_FORBIDDEN);
	assert_null(room);
	assert_int_equal(mx_stream_head(stream).pos, head);
}

static void
two_rooms_made_in_one_moment_are_two(void **state)
{
	MX_AUTO(mx_room) *a = house_room("12", "shared"), *b = house_room("12", "shared");

	(void)state;
	assert_false(mx_str_eq(mx_room_id(a), mx_room_id(b)));
}

/* ---- sending ---- */

static void
a_message_is_found_by_id_and_position_also_after_a_restart(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_event) *ev = house_say(room, &alice, "hello"), *by_id = NULL, *by_nid = NULL;
	struct mx_event *none;

	(void)state;
	mx_room_unref(&room);
	for (int i = 0; i < 2; i++) {
		unit_ok(mx_event_get(rooms, conn, mx_event_id(ev), &by_id));
		unit_ok(mx_event_by_nid(rooms, conn, mx_event_nid(ev), &by_nid));
		assert_true(mx_str_eq(mx_event_json(by_id), mx_event_json(ev)));
		assert_true(mx_str_eq(mx_event_json(by_nid), mx_event_json(ev)));
		assert_true(mx_root_eq(mx_event_root_before(by_id), mx_event_root_before(ev)));
		assert_true(mx_root_eq(mx_event_root_after(by_id), mx_event_root_after(ev)));
		assert_int_equal(by_id->sender_nid, alice.nid);
		mx_event_unref(&by_id);
		mx_event_unref(&by_nid);
		house_again();
	}
	unit_refused(mx_event_get(rooms, conn, MX_S("$unknown"), &none), MX_E_NOT_FOUND);
	unit_refused(mx_event_get(rooms, conn, MX_S("hello"), &none), MX_E_NOT_FOUND);
}

static void
who_is_not_in_the_room_may_not_send(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	struct mx_events l = { 0 };

	(void)state;
	unit_refused(house_send(room, &bob, "m.room.message", NULL, "{\"body\":\"x\"}", NULL),
		     MX_E_FORBIDDEN);
	unit_refused(house_send(room, &bob, "m.room.name", "", "{\"name\":\"x\"}", NULL),
		     MX_E_FORBIDDEN);
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(house_send(room, &bob, "m.room.message", NULL, "{\"body\":\"x\"}", NULL));
	unit_refused(house_send(room, &bob, "m.room.name", "", "{\"name\":\"x\"}", NULL),
		     MX_E_FORBIDDEN);
	unit_ok(house_member(room, &alice, &bob, "ban"));
	unit_refused(house_send(room, &bob, "m.room.message", NULL, "{\"body\":\"x\"}", NULL),
		     MX_E_FORBIDDEN);
	unit_refused(house_member(room, &bob, &bob, "join"), MX_E_FORBIDDEN);
	assert_int_equal(length(room, &l), 8);
	assert_chain(&l);
	mx_events_clear(&l);
}

static void
bad_content_is_refused_and_stores_nothing(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO_JSON *list = json_array();
	char *big = mx_alloc(70001);
	MX_AUTO_JSON *large = json_object();
	struct mx_draft d = house_draft(&alice, "m.room.message", NULL, list);
	mx_pos last = mx_room_last(room);

	(void)state;
	memset(big, 'x', 70000);
	json_object_set_new(large, "body", json_string(big));
	free(big);
	unit_refused(mx_room_send(rooms, conn, room, &d, 1, NULL), MX_E_BAD_JSON);
	d.content = large;
	unit_refused(mx_room_send(rooms, conn, room, &d, 1, NULL), MX_E_TOO_LARGE);
	unit_refused(house_send(room, &alice, "m.room.message", NULL, "{\"n\":1.5}", NULL),
		     MX_E_BAD_JSON);
	unit_refused(
		house_send(room, &alice, "m.room.message", NULL, "{\"n\":9007199254740992}", NULL),
		MX_E_BAD_JSON);
	unit_refused(mx_room_send(rooms, conn, room, &d, 0, NULL), MX_E_BAD_REQUEST);
	d = house_draft(&alice, "org.example.x", "", large);
	json_object_clear(large);
	d.state_key = (mx_str){ "a\0b", 3 };
	unit_refused(mx_room_send(rooms, conn, room, &d, 1, NULL), MX_E_INVALID_PARAM);
	d.state_key = MX_S("\xff\xfe");
	unit_refused(mx_room_send(rooms, conn, room, &d, 1, NULL), MX_E_INVALID_PARAM);
	assert_int_equal(mx_room_last(room), last);
}

static void
several_events_are_stored_together_or_not_at_all(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO_JSON *name = house_json("{\"name\":\"n\"}");
	MX_AUTO_JSON *join = house_json("{\"membership\":\"join\"}");
	MX_AUTO_JSON *text = house_json("{\"body\":\"t\"}");
	struct mx_draft good[] = {
		house_draft(&alice, "m.room.name", "", name),
		house_draft(&bob, "m.room.member", bob.id, join),
		house_draft(&bob, "m.room.message", NULL, text),	/* allowed by the one before it */
	};
	struct mx_draft bad[] = { house_draft(&alice, "m.room.topic", "", name),
				  house_draft(&carol, "m.room.message", NULL, text) };
	struct mx_event *out[3], *topic;
	struct mx_events l = { 0 };

	(void)state;
	unit_refused(mx_room_send(rooms, conn, room, bad, 2, out), MX_E_FORBIDDEN);
	unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.topic"), MX_S(""), &topic));
	assert_null(topic);
	unit_ok(mx_room_send(rooms, conn, room, good, 3, out));
	assert_int_equal(mx_event_nid(out[2]), mx_event_nid(out[0]) + 2);
	for (int i = 0; i < 3; i++)
		mx_event_unref(&out[i]);
	assert_int_equal(length(room, &l), 8);
	assert_chain(&l);
	mx_events_clear(&l);
}

static void
allowed_tells_what_sending_would(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO_JSON *text = house_json("{\"body\":\"t\"}");
	struct mx_draft a = house_draft(&alice, "m.room.message", NULL, text),
			b = house_draft(&bob, "m.room.message", NULL, text);
	mx_pos last = mx_room_last(room);

	(void)state;
	unit_ok(mx_room_allowed(rooms, conn, room, &a));
	unit_refused(mx_room_allowed(rooms, conn, room, &b), MX_E_FORBIDDEN);
	assert_int_equal(mx_room_last(room), last);
}

/* ---- state ---- */

static void
state_is_as_it_was_at_each_event(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_event) *before = house_say(room, &alice, "before"), *after = NULL, *ev = NULL;
	struct mx_events diff = { 0 }, all = { 0 };
	struct mx_state_root at;

	(void)state;
	unit_ok(house_send(room, &alice, "m.room.name", "", "{\"name\":\"one\"}", NULL));
	unit_ok(house_send(room, &alice, "m.room.name", "", "{\"name\":\"two\"}", NULL));
	after = house_say(room, &alice, "after");
	unit_ok(mx_state_get(rooms, conn, mx_event_root_after(before), MX_S("m.room.name"),
			     MX_S(""), &ev));
	assert_null(ev);
	unit_ok(mx_state_get(rooms, conn, mx_event_root_after(after), MX_S("m.room.name"), MX_S(""),
			     &ev));
	assert_true(mx_str_eq(mx_event_content(ev), MX_S("{\"name\":\"two\"}")));
	assert_true(mx_root_eq(mx_event_root_after(after), mx_room_root(room)));
	unit_ok(mx_state_diff(rooms, conn, mx_event_root_after(before), mx_room_root(room), &diff));
	assert_int_equal(diff.n, 1);
	assert_ptr_equal(diff.v[0], ev);
	unit_ok(mx_state_all(rooms, conn, mx_room_root(room), &all));
	assert_int_equal(all.n, 6);
	for (int i = 0; i < 2; i++) {
		unit_ok(mx_room_root_at(rooms, conn, room, mx_event_nid(before), &at));
		assert_true(mx_root_eq(at, mx_event_root_after(before)));
		unit_ok(mx_room_root_at(rooms, conn, room, mx_event_nid(ev) - 1, &at));
		assert_true(mx_root_eq(at, mx_event_root_before(ev)));
		unit_ok(mx_room_root_at(rooms, conn, room, INT64_MAX, &at));
		assert_true(mx_root_eq(at, mx_room_root(room)));
		unit_ok(mx_room_root_at(rooms, conn, room, 0, &at));
		assert_true(mx_root_none(at));
		/* and once more from the database */
		char id[256];

		snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
		mx_room_unref(&room);
		house_again();
		unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
	}
	mx_events_clear(&diff);
	mx_events_clear(&all);
}

static void
power_levels_count_from_the_next_event_on(void **state)
{
	MX_AUTO(mx_room) *room = house_room("11", "shared");
	char content[256];

	(void)state;
	unit_ok(house_member(room, &bob, &bob, "join"));
	assert_int_equal(mx_room_power(rooms, conn, room, mx_str_of(bob.id)), 0);
	assert_int_equal(mx_room_power(rooms, conn, room, mx_str_of(alice.id)), 100);
	unit_refused(house_send(room, &bob, "m.room.topic", "", "{\"topic\":\"t\"}", NULL),
		     MX_E_FORBIDDEN);
	snprintf(content, sizeof(content), "{\"users\":{\"%s\":100,\"%s\":50}}", alice.id, bob.id);
	unit_ok(house_send(room, &alice, "m.room.power_levels", "", content, NULL));
	assert_int_equal(mx_room_power(rooms, conn, room, mx_str_of(bob.id)), 50);
	unit_ok(house_send(room, &bob, "m.room.topic", "", "{\"topic\":\"t\"}", NULL));
	snprintf(content, sizeof(content), "{\"users\":{\"%s\":100},\"events_default\":10}",
		 alice.id);
	unit_ok(house_send(room, &alice, "m.room.power_levels", "", content, NULL));
	unit_refused(house_send(room, &bob, "m.room.message", NULL, "{\"body\":\"t\"}", NULL),
		     MX_E_FORBIDDEN);
}

static void
a_room_has_no_more_state_than_allowed(void **state)
{
	struct mx_rooms_options small = { .event_cache = { 1 << 20 },
					  .state_cache = { 1 << 20 },
					  .room_cache = 10,
					  .room_tail = 8,
					  .max_state = 100 };
	struct mx_event *ev;
	char key_text[32];

	(void)state;
	house_down();
	house_up(&small);
	MX_AUTO(mx_room) *room = house_room("12", "shared");

	for (int i = 0; i < 95; i++) {
		snprintf(key_text, sizeof(key_text), "k%d", i);
		unit_ok(house_send(room, &alice, "org.example.many", key_text, "{}", NULL));
	}
	unit_refused(house_send(room, &alice, "org.example.many", "one too many", "{}", NULL),
		     MX_E_TOO_LARGE);
	unit_ok(house_send(room, &alice, "org.example.many", "k3", "{\"again\":1}", NULL));
	ev = house_say(room, &alice, "goes on");
	mx_event_unref(&ev);
}

/* ---- members ---- */

static void
members_are_counted_and_listed(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_member *list, one;
	bool share;
	size_t n;

	(void)state;
	unit_ok(mx_user_rooms(rooms, conn, bob.nid, a, &list, &n));
	assert_int_equal(n, 0);
	unit_ok(house_member(room, &alice, &bob, "invite"));
	assert_int_equal(mx_room_invited_count(room), 1);
	unit_ok(mx_users_share(rooms, conn, alice.nid, bob.nid, &share));
	assert_false(share);
	unit_ok(house_member(room, &bob, &bob, "join"));
	assert_int_equal(mx_room_joined_count(room), 2);
	assert_int_equal(mx_room_invited_count(room), 0);
	for (int i = 0; i < 2; i++) {	/* from memory, which has followed, and from the database */
		unit_ok(mx_user_rooms(rooms, conn, bob.nid, a, &list, &n));
		assert_int_equal(n, 1);
		assert_int_equal(list[0].room, mx_room_nid(room));
		assert_int_equal(list[0].membership, MX_MEMBER_JOIN);
		unit_ok(mx_room_member(rooms, conn, room, bob.nid, &one));
		assert_int_equal(one.membership, MX_MEMBER_JOIN);
		assert_int_equal(one.event, list[0].event);
		unit_ok(mx_room_member(rooms, conn, room, carol.nid, &one));
		assert_int_equal(one.membership, MX_MEMBER_NONE);
		unit_ok(mx_room_members(rooms, conn, room, MX_MEMBER_JOIN, a, &list, &n));
		assert_int_equal(n, 2);
		unit_ok(mx_users_share(rooms, conn, alice.nid, bob.nid, &share));
		assert_true(share);
		char id[256];

		snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
		mx_room_unref(&room);
		house_again();
		unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
		assert_int_equal(mx_room_joined_count(room), 2);
	}
	unit_ok(house_member(room, &alice, &bob, "leave"));
	assert_int_equal(mx_room_joined_count(room), 1);
	unit_ok(mx_users_share(rooms, conn, alice.nid, bob.nid, &share));
	assert_false(share);
}

static void
a_room_is_forgotten_after_leaving_only(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_member *list, one;
	size_t n;

	(void)state;
	unit_refused(mx_room_forget(rooms, conn, room, bob.nid), MX_E_NOT_FOUND);
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(mx_user_rooms(rooms, conn, bob.nid, a, &list, &n));
	unit_refused(mx_room_forget(rooms, conn, room, bob.nid), MX_E_BAD_REQUEST);
	unit_ok(house_member(room, &bob, &bob, "leave"));
	unit_ok(mx_room_forget(rooms, conn, room, bob.nid));
	unit_ok(mx_room_member(rooms, conn, room, bob.nid, &one));
	assert_true(one.forgotten);
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(mx_room_member(rooms, conn, room, bob.nid, &one));
	assert_false(one.forgotten);
}

static void
events_reach_the_stream_with_whom_they_are_about(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_member *list;
	struct mx_item items[8];
	bool complete;
	size_t n;

	(void)state;
	unit_ok(mx_user_rooms(rooms, conn, bob.nid, a, &list, &n));
	struct mx_token start = mx_stream_head(stream);
	struct mx_event *ev = house_say(room, &alice, "not for bob");

	mx_event_unref(&ev);
	unit_ok(house_member(room, &alice, &bob, "invite"));
	n = mx_stream_since(stream, bob.nid, start, mx_stream_head(stream), items, 8, &complete);
	assert_true(complete);
	assert_int_equal(n, 2);
	assert_int_equal(items[0].kind, MX_ITEM_EVENT);
	assert_int_equal(items[0].user, bob.nid);
	assert_int_equal(mx_event_membership(items[0].event), MX_MEMBER_INVITE);
	assert_int_equal(items[1].kind, MX_ITEM_MEMBERSHIP);
	mx_items_release(items, n);
	unit_ok(house_member(room, &bob, &bob, "join"));
	start = mx_stream_head(stream);
	ev = house_say(room, &alice, "for bob");
	n = mx_stream_since(stream, bob.nid, start, mx_stream_head(stream), items, 8, &complete);
	assert_int_equal(n, 1);
	assert_ptr_equal(items[0].event, ev);
	mx_items_release(items, n);
	mx_event_unref(&ev);
}

/* ---- redactions ---- */

static mx_error *
redact(struct mx_room *room, const struct house_user *who, const struct mx_event *target)
{
	MX_AUTO_JSON *content = house_json("{\"reason\":\"why\"}");
	struct mx_draft d = house_draft(who, "m.room.redaction", NULL, content);

	d.redacts = mx_event_id(target);
	return mx_room_send(rooms, conn, room, &d, 1, NULL);
}

static void
a_redaction_takes_the_content_away_for_ever(void **state)
{
	static const char *const versions[] = { "10", "12" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		MX_AUTO(mx_room) *room = house_room(versions[i], "shared");
		MX_AUTO(mx_event) *ev = house_say(room, &alice, "secret"), *now = NULL, *by = NULL;

		unit_ok(redact(room, &alice, ev));
		for (int k = 0; k < 2; k++) {
			unit_ok(mx_event_get(rooms, conn, mx_event_id(ev), &now));
			assert_true(mx_event_redacted(now));
			assert_true(mx_str_eq(mx_event_content(now), MX_S("{}")));
			assert_true(mx_str_eq(mx_event_id(now), mx_event_id(ev)));
			unit_ok(mx_event_redaction(rooms, conn, now, &by));
			assert_true(mx_str_eq(mx_event_redacts(by), mx_event_id(ev)));
			mx_event_unref(&now);
			mx_event_unref(&by);
			if (k == 0) {
				mx_room_unref(&room);
				house_again();
			}
		}
	}
}

static void
others_messages_are_redacted_with_power_or_from_the_same_server(void **state)
{
	MX_AUTO(mx_room) *room = house_room("11", "shared"), *other = house_room("11", "shared");
	MX_AUTO(mx_event) *mine = NULL, *hers = house_say(room, &alice, "x"),
			  *elsewhere = house_say(other, &alice, "y");

	(void)state;
	unit_ok(house_member(room, &bob, &bob, "join"));
	mine = house_say(room, &bob, "z");
	unit_ok(redact(room, &alice, mine));
	unit_ok(redact(room, &bob, mine));	/* again: changes nothing */
	unit_ok(redact(room, &bob, hers));	/* of the same server */
	unit_refused(redact(room, &alice, elsewhere), MX_E_NOT_FOUND);
}

static void
redacted_state_counts_redacted(void **state)
{
	MX_AUTO(mx_room) *room = house_room("11", "shared");
	MX_AUTO(mx_event) *rule = NULL, *name = NULL;
	struct mx_room_summary s;
	MX_AUTO(mx_arena) *a = mx_arena_new();

	(void)state;
	unit_ok(house_send(room, &alice, "m.room.name", "", "{\"name\":\"n\"}", &name));
	unit_ok(mx_room_summary(rooms, conn, room, a, &s));
	unit_text(s.name, "n");
	unit_ok(redact(room, &alice, name));
	unit_ok(mx_room_summary(rooms, conn, room, a, &s));
	unit_text(s.name, "");
	/* a restricted room whose rule loses what it allowed */
	unit_ok(house_send(room, &alice, "m.room.power_levels", "",
			   "{\"users_default\":100,\"events_default\":0,\"invite\":100}", &rule));
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(house_member(room, &bob, &carol, "invite"));
	assert_int_equal(mx_room_power(rooms, conn, room, mx_str_of(bob.id)), 100);
}

/* ---- transaction ids ---- */

static mx_error *
send_txn(struct mx_conn *c, struct mx_room *room, mx_nid device, const char *txn,
	 struct mx_event **out)
{
	MX_AUTO_JSON *content = house_json("{\"body\":\"once\"}");
	struct mx_draft d = house_draft(&alice, "m.room.message", NULL, content);

	d.device = device;
	d.txn_id = mx_str_of(txn);
	return mx_room_send(rooms, c, room, &d, 1, out);
}

static void
old_transaction_ids_are_suspected_and_new_ones_are_not(void **state)
{
	enum { DEVICES = 50, IDS = 6000 };
	struct mx_txn_table *t = mx_txn_table_new(100);
	int suspected = 0;
	char id[32];
	mx_nid nid;
	bool old;

	(void)state;
	for (int i = 0; i < IDS; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		assert_true(mx_txn_claim(t, 1 + i % DEVICES, mx_str_of(id), &nid, &old));
		/* Of a device that nothing is known of, everything may be old. */
		assert_true(i >= DEVICES || old);
		suspected += i >= DEVICES && old;
		mx_txn_settle(t, 1 + i % DEVICES, mx_str_of(id), 1000 + i);
	}
	assert_in_range(suspected, 0, IDS / 100);
	for (int i = 0; i < IDS; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		if (mx_txn_claim(t, 1 + i % DEVICES, mx_str_of(id), &nid, &old)) {
			assert_true(old);
			mx_txn_settle(t, 1 + i % DEVICES, mx_str_of(id), 0);
		} else {
			assert_int_equal(nid, 1000 + i);
			assert_true(i >= IDS - 100);
		}
	}
	mx_txn_table_free(&t);
}

static void
a_transaction_id_makes_one_event_also_across_a_restart(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_event) *a = NULL, *b = NULL, *other = NULL;
	mx_nid device = 1000 + house_tests;
	struct mx_events l = { 0 };
	struct mx_sql_stats before, after;
	char id[256];

	(void)state;
	unit_ok(mx_room_txn(rooms, conn, device, MX_S("t1"), &a));
	assert_null(a);
	unit_ok(send_txn(conn, room, device, "t1", &a));
	unit_ok(send_txn(conn, room, device, "t1", &b));
	assert_ptr_equal(a, b);
	unit_ok(send_txn(conn, room, device + 500000, "t1", &other));
	assert_ptr_not_equal(a, other);
	mx_event_unref(&b);
	snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
	unit_ok(mx_room_txn(rooms, conn, device, MX_S("t1"), &b));
	assert_true(mx_str_eq(mx_event_id(a), mx_event_id(b)));
	mx_event_unref(&b);
	/* Found before it is stored again, which would have cost others a repeated batch. */
	mx_sql_stats(db, &before);
	unit_ok(send_txn(conn, room, device, "t1", &b));
	mx_sql_stats(db, &after);
	assert_int_equal(after.writes, before.writes);
	assert_true(mx_str_eq(mx_event_id(a), mx_event_id(b)));
	assert_true(mx_str_eq(mx_event_txn_id(b), MX_S("t1")));
	assert_int_equal(length(room, &l), 7);
	assert_chain(&l);
	/* a failed one may be tried again */
	unit_refused(house_send(room, &bob, "m.room.message", NULL, "{}", NULL), MX_E_FORBIDDEN);
	mx_events_clear(&l);
}

struct sender {
	pthread_t thread;
	struct mx_room *room;
	struct house_user user;
	int number, count;
	mx_nid device;
	bool failed;
	char event[64];
};

static void *
send_same(void *arg)
{
	struct sender *s = arg;
	struct mx_conn *c;
	struct mx_event *ev = NULL;

	s->failed = mx_error_drop(mx_conn_get(db, &c));
	if (!s->failed) {
		s->failed = mx_error_drop(send_txn(c, s->room, s->device, "same", &ev));
		mx_conn_put(&c);
	}
	if (ev != NULL)
		snprintf(s->event, sizeof(s->event), "%.*s", MX_SFMT(mx_event_id(ev)));
	mx_event_unref(&ev);
	return NULL;
}

static void
five_at_once_with_one_transaction_id_make_one_event(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	struct sender s[5];
	struct mx_events l = { 0 };

	(void)state;
	for (int i = 0; i < 5; i++)
		s[i] = (struct sender){ .room = room, .device = 3000000 + house_tests };
	for (int i = 0; i < 5; i++)
		pthread_create(&s[i].thread, NULL, send_same, &s[i]);
	for (int i = 0; i < 5; i++)
		pthread_join(s[i].thread, NULL);
	for (int i = 0; i < 5; i++) {
		assert_false(s[i].failed);
		assert_string_equal(s[i].event, s[0].event);
	}
	assert_int_equal(length(room, &l), 6);
	mx_events_clear(&l);
}

/* ---- many at once ---- */

#define SENDERS 16
#define EACH 60

static mx_error *
one_of_many(struct sender *s, struct mx_conn *c, int i)
{
	MX_AUTO_JSON *content = NULL;
	struct mx_draft d;

	if (i == 0) {
		content = house_json("{\"membership\":\"join\"}");
		d = house_draft(&s->user, "m.room.member", s->user.id, content);
	} else if (i % 10 == 5) {	/* profile changes: state in between */
		content = json_pack("{s:s, s:s+}", "membership", "join", "displayname", "d",
				    s->user.id);
		d = house_draft(&s->user, "m.room.member", s->user.id, content);
	} else {
		content = house_json("{\"body\":\"x\"}");
		d = house_draft(&s->user, "m.room.message", NULL, content);
	}
	return mx_room_send(rooms, c, s->room, &d, 1, NULL);
}

static void *
send_many(void *arg)
{
	struct sender *s = arg;
	struct mx_conn *c;

	for (int i = 0; i < EACH && !s->failed; i++) {
		s->failed = mx_error_drop(mx_conn_get(db, &c));
		if (!s->failed) {
			s->failed = mx_error_drop(one_of_many(s, c, i));
			mx_conn_put(&c);
		}
		s->count += !s->failed;
	}
	return NULL;
}

static void
many_senders_make_one_chain_without_gaps(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	static struct sender s[SENDERS];
	struct mx_events l = { 0 };
	char name[32];

	(void)state;
	for (int i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){ .room = room, .number = i };
		snprintf(name, sizeof(name), "many%d", i);
		house_user(&s[i].user, name);
	}
	for (int i = 0; i < SENDERS; i++)
		pthread_create(&s[i].thread, NULL, send_many, &s[i]);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(s[i].thread, NULL);
	for (int i = 0; i < SENDERS; i++)
		assert_int_equal(s[i].count, EACH);
	assert_int_equal(length(room, &l), 5 + SENDERS * EACH);
	assert_chain(&l);
	assert_int_equal(mx_room_joined_count(room), 1 + SENDERS);
	mx_events_clear(&l);
	char id[256];

	snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
	assert_int_equal(length(room, &l), 5 + SENDERS * EACH);
	assert_chain(&l);
	assert_int_equal(mx_room_joined_count(room), 1 + SENDERS);
	mx_events_clear(&l);
}

/* ---- failures ---- */

static char break_text[128];
static const struct mx_sql BREAK = MX_SQL(break_text);
static const struct mx_sql MEND = MX_SQL("DROP INDEX event_broken");

static mx_error *
run_fn(struct mx_txn *tx, void *arg)
{
	return mx_query_run(mx_query(mx_txn_conn(tx), arg));
}

/* An index that some of the rows cannot satisfy stands for a database that fails now and then. */
static void
a_failed_write_fails_its_sender_and_the_room_goes_on(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	static struct sender s[4];
	struct mx_events l = { 0 };
	struct mx_event *ev;
	char name[32];
	int sent = 0;

	(void)state;
	snprintf(break_text, sizeof(break_text),
		 "CREATE UNIQUE INDEX event_broken ON event (sender) WHERE room = %lld AND depth > "
		 "20 AND depth < 40",
		 (long long)mx_room_nid(room));
	unit_ok(mx_write(db, run_fn, (void *)(uintptr_t)&BREAK));
	for (int i = 0; i < 4; i++) {
		s[i] = (struct sender){ .room = room };
		snprintf(name, sizeof(name), "some%d", i);
		house_user(&s[i].user, name);
	}
	for (int i = 0; i < 4; i++)
		pthread_create(&s[i].thread, NULL, send_many, &s[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(s[i].thread, NULL);
	unit_ok(mx_write(db, run_fn, (void *)(uintptr_t)&MEND));
	for (int i = 0; i < 4; i++)
		sent += s[i].count;
	assert_true(sent < 4 * EACH);
	assert_int_equal(length(room, &l), 5 + (size_t)sent);
	assert_chain(&l);
	ev = house_say(room, &alice, "goes on");
	mx_event_unref(&ev);
	assert_int_equal(length(room, &l), 6 + (size_t)sent);
	assert_chain(&l);
	mx_events_clear(&l);
}

static void
after_others_have_written_the_room_is_read_again(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	struct mx_events l = { 0 };
	struct mx_event *ev = house_say(room, &alice, "one");

	(void)state;
	mx_event_unref(&ev);
	mx_rooms_touched(rooms, mx_room_nid(room));
	ev = house_say(room, &alice, "two");
	mx_event_unref(&ev);
	mx_rooms_touched(rooms, 0);
	ev = house_say(room, &alice, "three");
	mx_event_unref(&ev);
	assert_int_equal(length(room, &l), 8);
	assert_chain(&l);
	mx_events_clear(&l);
}

static void *
neighbour_talk(void *arg)
{
	struct neighbour *n = arg;
	MX_AUTO(mx_room) *room = NULL;
	MX_AUTO_JSON *content = json_object();
	struct mx_draft d = house_draft(&alice, "m.room.message", NULL, content);

	if (mx_error_drop(mx_room_get(n->rooms, n->conn, mx_str_of(n->room_id), &room)))
		return NULL;
	for (int i = 0; i < 40; i++)
		n->sent += !mx_error_drop(mx_room_send(n->rooms, n->conn, room, &d, 1, NULL));
	return NULL;
}

static void
two_processes_write_one_room_as_one_chain(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_room) *theirs = NULL;
	MX_AUTO(mx_event) *secret = house_say(room, &alice, "secret"), *now = NULL;
	char id[256];
	struct neighbour n[2] = {
		{ .db = db, .stream = stream, .rooms = rooms, .conn = conn, .room_id = id },
		{ .room_id = id }
	};
	struct mx_events l = { 0 };
	struct mx_member *list;
	size_t count;

	(void)state;
	snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
	neighbour_open(&n[1]);
	for (int i = 0; i < 2; i++)
		pthread_create(&n[i].thread, NULL, neighbour_talk, &n[i]);
	for (int i = 0; i < 2; i++) {
		pthread_join(n[i].thread, NULL);
		assert_int_equal(n[i].sent, 40);
	}
	/* What one redacts and who joins there, the other knows when it next writes. */
	unit_ok(mx_event_get(n[1].rooms, n[1].conn, mx_event_id(secret), &now));
	assert_false(mx_event_redacted(now));
	mx_event_unref(&now);
	unit_ok(mx_user_rooms(n[1].rooms, n[1].conn, bob.nid, a, &list, &count));
	assert_int_equal(count, 0);
	unit_ok(redact(room, &alice, secret));
	unit_ok(house_member(room, &bob, &bob, "join"));
	neighbour_talk(&n[1]);
	unit_ok(mx_event_get(n[1].rooms, n[1].conn, mx_event_id(secret), &now));
	assert_true(mx_event_redacted(now));
	unit_ok(mx_user_rooms(n[1].rooms, n[1].conn, bob.nid, a, &list, &count));
	assert_int_equal(count, 1);
	unit_ok(mx_room_get(n[1].rooms, n[1].conn, mx_str_of(id), &theirs));
	assert_int_equal(mx_room_joined_count(theirs), 2);
	mx_room_unref(&theirs);
	mx_events_clear(&l);
	{
		struct mx_event *ev = house_say(room, &alice, "last");

		mx_event_unref(&ev);
	}
	assert_int_equal(length(room, &l), 5 + 1 + 80 + 2 + 40 + 1);
	assert_chain(&l);
	mx_events_clear(&l);
	neighbour_close(&n[1]);
}

static void
small_caches_change_nothing_but_time(void **state)
{
	struct mx_rooms_options tiny = { .event_cache = { 65536 },
					 .state_cache = { 65536 },
					 .room_cache = 1,
					 .room_tail = 8,
					 .max_state = 100000 };
	struct mx_room *many[8];
	struct mx_events l = { 0 };

	(void)state;
	house_down();
	house_up(&tiny);
	for (int i = 0; i < 8; i++)
		many[i] = house_room("12", "shared");
	unit_ok(house_member(many[0], &bob, &bob, "join"));
	for (int k = 0; k < 60; k++)
		for (int i = 0; i < 8; i++) {
			struct mx_event *ev = house_say(many[i], &alice, "x");

			mx_event_unref(&ev);
		}
	for (int i = 0; i < 8; i++) {
		assert_int_equal(length(many[i], &l), (size_t)(i == 0 ? 66 : 65));
		assert_chain(&l);
		mx_room_unref(&many[i]);
	}
	mx_events_clear(&l);
}

/* ---- the timeline ---- */

static void
the_timeline_pages_both_ways_without_loss(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	struct mx_events all = { 0 }, page = { 0 };
	char id[256];

	(void)state;
	for (int i = 0; i < 200; i++) {
		struct mx_event *ev = house_say(room, &alice, "x");

		mx_event_unref(&ev);
	}
	snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
	for (int cold = 0; cold < 2; cold++) {
		assert_int_equal(length(room, &all), 205);
		for (size_t step = 1; step < 120; step += 17) {
			mx_nid at = INT64_MAX;
			bool more = true;
			size_t n = 0;

			while (more) {
				unit_ok(mx_room_timeline(rooms, conn, room, 0, at, step, true,
							 &page, &more));
				for (size_t i = 0; i < page.n; i++, n++)
					assert_int_equal(page.v[i]->nid, all.v[204 - n]->nid);
				at = page.v[page.n - 1]->nid;
				mx_events_clear(&page);
			}
			assert_int_equal(n, 205);
			for (at = 0, n = 0, more = true; more;) {
				unit_ok(mx_room_timeline(rooms, conn, room, at, INT64_MAX, step,
							 false, &page, &more));
				for (size_t i = 0; i < page.n; i++, n++)
					assert_int_equal(page.v[i]->nid, all.v[n]->nid);
				at = page.v[page.n - 1]->nid;
				mx_events_clear(&page);
			}
			assert_int_equal(n, 205);
			unit_ok(mx_room_timeline(rooms, conn, room, all.v[100]->nid,
						 all.v[103]->nid, step, true, &page, &more));
			assert_int_equal(page.n, step < 2 ? 1 : 2);
			assert_int_equal(page.v[0]->nid, all.v[102]->nid);
			mx_events_clear(&page);
		}
		mx_events_clear(&all);
		mx_room_unref(&room);
		house_again();
		unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
	}
}

static void
the_newest_events_cost_no_statement(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	struct mx_events l = { 0 };
	struct mx_state_root root;
	bool more;

	(void)state;
	struct mx_event *a = house_say(room, &alice, "x"), *b = house_say(room, &alice, "y");

	mx_conn_statements(conn);
	unit_ok(mx_room_timeline(rooms, conn, room, a->nid, mx_room_last(room) + 1, 20, true, &l,
				 &more));
	unit_ok(mx_room_root_at(rooms, conn, room, a->nid, &root));
	assert_int_equal(l.n, 1);
	assert_ptr_equal(l.v[0], b);
	assert_false(more);
	assert_int_equal(mx_conn_statements(conn), 0);
	mx_events_clear(&l);
	mx_event_unref(&a);
	mx_event_unref(&b);
}

/* A page of the past, as numbers; how many statements it took. */
static uint64_t
page_of(struct mx_room *room, mx_nid after, mx_nid before, size_t limit, mx_nid *nids, size_t *n,
	bool *more)
{
	struct mx_events l = { 0 };

	mx_conn_statements(conn);
	unit_ok(mx_room_timeline(rooms, conn, room, after, before, limit, true, &l, more));
	uint64_t took = mx_conn_statements(conn);

	*n = l.n;
	for (size_t i = 0; i < l.n; i++)
		nids[i] = l.v[i]->nid;
	mx_events_clear(&l);
	return took;
}

static void
a_page_of_events_in_memory_costs_no_statement(void **state)
{
	enum { N = 300, PAGE = 70 };
	MX_AUTO(mx_room) *room = house_room("12", "shared"), *other = house_room("12", "shared");
	mx_nid said[N], got[PAGE], between = 0;
	size_t n;
	bool more;
	char id[256];

	(void)state;
	for (size_t i = 0; i < N; i++) {
		struct mx_event *ev = house_say(room, &alice, "x"), *elsewhere;

		said[i] = ev->nid;
		mx_event_unref(&ev);
		if (i != 150)
			continue;
		elsewhere = house_say(other, &alice, "y");
		between = elsewhere->nid;
		mx_event_unref(&elsewhere);
	}
	snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
	for (int round = 0; round < 3; round++) {
		mx_nid before = said[N - 1] + 1;

		for (size_t last = N; last > PAGE; last -= PAGE) {
			uint64_t took = page_of(room, 0, before, PAGE, got, &n, &more);

			/* Anew after a restart: one for each page, and never again. */
			assert_int_equal(took, round == 1);
			assert_int_equal(n, PAGE);
			assert_true(more);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(got[i], said[last - 1 - i]);
			before = got[n - 1];
		}
		/* A range that begins within what is known is known to be all. */
		assert_int_equal(page_of(room, said[100], said[120], PAGE, got, &n, &more), 0);
		assert_int_equal(n, 19);
		assert_false(more);
		/* The numbers between are other rooms': they lead nowhere. */
		assert_int_equal(page_of(room, 0, between, 5, got, &n, &more), 1);
		assert_int_equal(n, 5);
		assert_int_equal(got[0], said[150]);
		if (round != 0)
			continue;
		mx_room_unref(&room);
		mx_room_unref(&other);
		house_again();
		unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
	}
}

static uint64_t
statements_of(struct mx_room *room, size_t n)
{
	MX_AUTO_JSON *content = house_json("{\"body\":\"x\"}");
	struct mx_draft d[11];
	struct mx_sql_stats before, after;

	for (size_t i = 0; i < n; i++) {
		d[i] = house_draft(&alice, "m.room.message", NULL, content);
		d[i].ts = 1000 + (mx_msec)i;
	}
	mx_sql_stats(db, &before);
	unit_ok(mx_room_send(rooms, conn, room, d, n, NULL));
	mx_sql_stats(db, &after);
	return after.statements - before.statements;
}

static void
a_cold_state_is_read_sixteen_events_a_statement(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	struct mx_events l = { 0 };
	char id[256], k[16];

	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(k, sizeof(k), "%d", i);
		unit_ok(house_send(room, &alice, "org.example.many", k, "{}", NULL));
	}
	snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
	mx_conn_statements(conn);
	unit_ok(mx_state_all(rooms, conn, mx_room_root(room), &l));
	assert_int_equal(l.n, 45);
	/* three for the events, the rest are nodes of the tree */
	assert_true(mx_conn_statements(conn) <= 3 + 17);
	for (size_t i = 0; i < l.n; i++)
		assert_true(mx_event_is_state(l.v[i]));
	mx_events_clear(&l);
	unit_refused(
		mx_events_load(rooms, conn, (const mx_nid[]){ 1, 888888888, 888888889 }, 3, &l),
		MX_E_NOT_FOUND);
	mx_events_clear(&l);
}

static void
a_message_is_one_statement(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");

	(void)state;
	statements_of(room, 1);
	mx_conn_statements(conn);
	/* What else there is, is once a batch. */
	assert_int_equal(statements_of(room, 11) - statements_of(room, 1), 10);
	assert_int_equal(mx_conn_statements(conn), 0);
}

static void
covers_are_eight_to_a_statement(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO_JSON *content = house_json("{\"body\":\"x\"}");
	struct mx_draft d[8];
	struct mx_sql_stats before, after;
	char keys[8][2];

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		snprintf(keys[i], sizeof(keys[i]), "%zu", i);
		d[i] = house_draft(&alice, "org.example.many", keys[i], content);
		d[i].ts = 1000 + (mx_msec)i;
	}
	/* The second time, their keys have names already, and the tree's rows are as many. */
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < 8; i++)
			d[i].ts++;
		mx_sql_stats(db, &before);
		unit_ok(mx_room_send(rooms, conn, room, d, 8, NULL));
		mx_sql_stats(db, &after);
	}
	/* A row of the event and one of the tree for each, two for all covers; what is once a batch. */
	assert_true(after.statements - before.statements <= 2 * 8 + 2 + 6);
}

static void
an_idle_room_takes_no_memory(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	uint64_t hits, misses;
	size_t events, nodes;

	(void)state;
	statements_of(room, 3);
	mx_event_cache_stats(rooms->events, &hits, &misses, &events);
	mx_node_cache_stats(rooms->nodes, &hits, &misses, &nodes);
	assert_true(events > 0 && nodes > 0);
	/* Whatever was used just now stays. */
	mx_event_cache_age(rooms->events, mx_monotonic_us());
	mx_event_cache_stats(rooms->events, &hits, &misses, &events);
	assert_true(events > 0);
	mx_event_cache_age(rooms->events, mx_monotonic_us() + MX_CACHE_IDLE + 1);
	mx_node_cache_age(rooms->nodes, mx_monotonic_us() + MX_CACHE_IDLE + 1);
	mx_event_cache_stats(rooms->events, &hits, &misses, &events);
	mx_node_cache_stats(rooms->nodes, &hits, &misses, &nodes);
	assert_int_equal(events, 0);
	assert_int_equal(nodes, 0);
	unit_ok(house_send(room, &alice, "m.room.message", NULL, "{}", NULL));
}

/* ---- what is written along ---- */

static const struct mx_sql NOTE = MX_SQL("UPDATE room SET invited = $2 WHERE nid = $1");	/* any row will do */
static const struct mx_sql NOTED = MX_SQL("SELECT invited FROM room WHERE nid = $1");

struct succession {
	struct mx_room *old;
	const struct house_user *who;	/* who ends the old room */
	enum mx_code refuse;	/* what the write says; 0: nothing */
	int refusals;			/* how often; 0: always */
	struct mx_draft drafts[2];
	json_t *content;
	int asked, written;
};

static mx_error *
end_old(struct mx_room *room, void *arg, const struct mx_draft **out, size_t *n)
{
	struct succession *s = arg;

	s->asked++;
	json_decref(s->content);
	s->content = json_pack("{s:s%}", "replacement_room", mx_room_id(room).p,
			       mx_room_id(room).n);
	s->drafts[0] = house_draft(s->who, "m.room.tombstone", "", s->content);
	s->drafts[1] = house_draft(s->who, "org.example.last", NULL, s->content);
	*out = s->drafts;
	*n = 2;
	return NULL;
}

static mx_error *
note(struct mx_txn *tx, struct mx_room *room, void *arg)
{
	struct succession *s = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &NOTE);

	s->written++;
	assert_true(mx_room_nid(room) != 0);
	mx_bind_int(q, 1, mx_room_nid(room));
	mx_bind_int(q, 2, 4711);
	MX_TRY(mx_query_run(q));
	if (s->refuse != 0 && (s->refusals == 0 || s->written <= s->refusals))
		return mx_error_new(s->refuse, "not this time");
	return NULL;
}

static bool
noted(mx_nid room)
{
	struct mx_query *q = mx_query(conn, &NOTED);
	bool is;

	mx_bind_int(q, 1, room);
	is = mx_query_next(q) && mx_col_int(q, 0) == 4711;
	unit_ok(mx_query_end(q));
	return is;
}

static mx_error *
succeed(struct succession *s, const char *version, struct mx_room **out)
{
	MX_AUTO_JSON *create = house_json("{}");
	MX_AUTO_JSON *join = house_json("{\"membership\":\"join\"}");
	struct mx_draft d[] = { house_draft(&alice, "m.room.create", "", create),
				house_draft(&alice, "m.room.member", alice.id, join) };
	struct mx_along along = { .size = sizeof(along), .write = note, .arg = s,
				  .other = s->old, .drafts = end_old };
	mx_error *e = mx_room_create_along(rooms, conn, mx_room_version_find(mx_str_of(version)),
					   d, 2, &along, out);

	json_decref(s->content);
	s->content = NULL;
	return e;
}

static void
assert_ended_for(struct mx_room *old, const struct mx_room *new)
{
	MX_AUTO(mx_event) *ev = NULL;
	MX_AUTO_JSON *content = NULL;

	unit_ok(mx_room_state(rooms, conn, old, MX_S("m.room.tombstone"), MX_S(""), &ev));
	assert_non_null(ev);
	content = mx_event_content_parse(ev);
	assert_true(mx_str_eq(mx_json_str(content, "replacement_room"), mx_room_id(new)));
}

static void
a_room_is_made_with_what_ends_another(void **state)
{
	static const char *const versions[] = { "10", "12" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		MX_AUTO(mx_room) *old = house_room("11", "shared"), *new = NULL;
		struct succession s = { .old = old, .who = &alice };
		struct mx_events l = { 0 };
		mx_pos last;

		unit_ok(succeed(&s, versions[i], &new));
		assert_int_equal(s.asked, 1);
		assert_true(noted(mx_room_nid(new)));
		assert_ended_for(old, new);
		assert_int_equal(length(old, &l), 7);
		assert_chain(&l);
		last = mx_event_nid(l.v[6]);
		assert_int_equal(length(new, &l), 2);
		assert_chain(&l);
		assert_true(mx_event_nid(l.v[0]) < last && last - mx_event_nid(l.v[0]) == 3);
		mx_event_unref(&(struct mx_event *){ house_say(old, &alice, "goes on") });
		mx_event_unref(&(struct mx_event *){ house_say(new, &alice, "begins") });
		assert_int_equal(length(old, &l), 8);
		assert_chain(&l);
		mx_events_clear(&l);
	}
}

static void
assert_nothing_came_of_it(struct mx_room *old, size_t before)
{
	MX_AUTO(mx_event) *ev = NULL;
	struct mx_events l = { 0 };

	unit_ok(mx_room_state(rooms, conn, old, MX_S("m.room.tombstone"), MX_S(""), &ev));
	assert_null(ev);
	mx_event_unref(&(struct mx_event *){ house_say(old, &alice, "goes on") });
	assert_int_equal(length(old, &l), before + 1);
	assert_chain(&l);
	mx_events_clear(&l);
}

static void
what_is_refused_along_leaves_nothing(void **state)
{
	MX_AUTO(mx_room) *old = house_room("12", "shared");
	struct mx_room *new = NULL;
	struct succession stranger = { .old = old, .who = &bob };
	struct succession write = { .old = old, .who = &alice, .refuse = MX_E_ROOM_IN_USE };

	(void)state;
	unit_refused(succeed(&stranger, "12", &new), MX_E_FORBIDDEN);
	assert_null(new);
	assert_int_equal(stranger.written, 0);
	assert_nothing_came_of_it(old, 5);
	unit_refused(succeed(&write, "12", &new), MX_E_ROOM_IN_USE);
	assert_null(new);
	assert_true(write.written > 0);
	assert_nothing_came_of_it(old, 6);
}

static void
what_is_written_along_may_ask_to_begin_anew(void **state)
{
	MX_AUTO(mx_room) *old = house_room("12", "shared"), *new = NULL;
	struct succession s = { .old = old, .who = &alice, .refuse = MX_E_AGAIN, .refusals = 2 };
	struct mx_events l = { 0 };

	(void)state;
	unit_ok(succeed(&s, "12", &new));
	assert_int_equal(s.asked, 1);
	assert_true(s.written >= 3);
	assert_ended_for(old, new);
	assert_int_equal(length(old, &l), 7);
	assert_chain(&l);
	mx_events_clear(&l);
}

/* Many rooms succeed one at once, while others talk in it. */

struct successor {
	struct mx_room *old;
	bool talks;
};

static void *
keep_busy(void *arg)
{
	const struct successor *how = arg;
	MX_AUTO_JSON *create = house_json("{}");
	MX_AUTO_JSON *join = house_json("{\"membership\":\"join\"}");
	struct mx_draft d[] = { house_draft(&alice, "m.room.create", "", create),
				house_draft(&alice, "m.room.member", alice.id, join),
				house_draft(&alice, "org.example.talk", NULL, create) };
	struct mx_conn *c;

	unit_ok(mx_conn_get(db, &c));
	for (int i = 0; i < 40; i++) {
		struct succession s = { .old = how->old, .who = &alice };
		struct mx_along along = { .size = sizeof(along), .arg = &s, .other = s.old,
					  .drafts = end_old };
		MX_AUTO(mx_room) *new = NULL;

		if (how->talks)
			unit_ok(mx_room_send(rooms, c, how->old, &d[2], 1, NULL));
		else
			unit_ok(mx_room_create_along(rooms, c, mx_room_version_find(MX_S("12")), d,
						     2, &along, &new));
		json_decref(s.content);
	}
	mx_conn_put(&c);
	return NULL;
}

static void
rooms_are_made_along_a_busy_one(void **state)
{
	MX_AUTO(mx_room) *old = house_room("12", "shared");
	struct successor how[] = { { old, false }, { old, true }, { old, false }, { old, true } };
	pthread_t threads[4];
	struct mx_events l = { 0 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, keep_busy, &how[i]);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(length(old, &l), 5 + 2 * 40 + 2 * 40 * 2);
	assert_chain(&l);
	mx_events_clear(&l);
}

int
main(void)
{
	const struct CMUnitTest engine[] = {
		house_case(a_new_room_has_its_state_and_can_be_found),
		house_case(an_unknown_room_is_not_found),
		house_case(a_room_that_is_refused_leaves_nothing),
		house_case(two_rooms_made_in_one_moment_are_two),
		house_case(a_message_is_found_by_id_and_position_also_after_a_restart),
		house_case(who_is_not_in_the_room_may_not_send),
		house_case(bad_content_is_refused_and_stores_nothing),
		house_case(several_events_are_stored_together_or_not_at_all),
		house_case(allowed_tells_what_sending_would),
		house_case(state_is_as_it_was_at_each_event),
		house_case(power_levels_count_from_the_next_event_on),
		house_case(a_room_has_no_more_state_than_allowed),
		house_case(members_are_counted_and_listed),
		house_case(a_room_is_forgotten_after_leaving_only),
		house_case(events_reach_the_stream_with_whom_they_are_about),
		house_case(a_redaction_takes_the_content_away_for_ever),
		house_case(others_messages_are_redacted_with_power_or_from_the_same_server),
		house_case(redacted_state_counts_redacted),
		house_case(a_transaction_id_makes_one_event_also_across_a_restart),
		house_case(old_transaction_ids_are_suspected_and_new_ones_are_not),
		house_case(five_at_once_with_one_transaction_id_make_one_event),
		house_case(many_senders_make_one_chain_without_gaps),
		house_case(a_failed_write_fails_its_sender_and_the_room_goes_on),
		house_case(after_others_have_written_the_room_is_read_again),
		house_case(two_processes_write_one_room_as_one_chain),
		house_case(small_caches_change_nothing_but_time),
		house_case(the_timeline_pages_both_ways_without_loss),
		house_case(the_newest_events_cost_no_statement),
		house_case(a_page_of_events_in_memory_costs_no_statement),
		house_case(a_cold_state_is_read_sixteen_events_a_statement),
		house_case(a_message_is_one_statement),
		house_case(covers_are_eight_to_a_statement),
		house_case(an_idle_room_takes_no_memory),
		house_case(a_room_is_made_with_what_ends_another),
		house_case(what_is_refused_along_leaves_nothing),
		house_case(what_is_written_along_may_ask_to_begin_anew),
		house_case(rooms_are_made_along_a_busy_one),
	};

	return HOUSE_MAIN(engine);
}
