/* Events of other servers come in. */
#include "config.h"

#include "core/room/doctor.h"

#include "tests/unit/room/covers.h"
#include "tests/unit/room/garbage.h"
#include "tests/unit/room/remote.h"


static const char *gina, *hugo;		/* of server 0 and 1 */

/* alice's room with gina and hugo in it. */
static struct mx_room *
guest_room(struct remote **last)
{
	struct mx_room *room = house_room("12", "shared");
	struct remote *start = remote_of(room), *join;

	gina = remote_user(0, "gina");
	hugo = remote_user(1, "hugo");
	join = remote_member(room, 0, gina, gina, "join", start);
	remote_accepted(room, join);
	*last = remote_member(room, 1, hugo, hugo, "join", join);
	remote_accepted(room, *last);
	return room;
}

static struct mx_event *
stored(const struct remote *r)
{
	struct mx_event *ev;

	unit_ok(mx_event_get(rooms, conn, mx_event_id(r->ev), &ev));
	return ev;
}

static void
has_topic(struct mx_room *room, const char *topic)
{
	MX_AUTO(mx_event) *ev = NULL;
	MX_AUTO_JSON *content = NULL;

	unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.topic"), MX_S(""), &ev));
	if (topic == NULL) {
		assert_null(ev);
		return;
	}
	assert_non_null(ev);
	content = mx_event_content_parse(ev);
	assert_string_equal(json_string_value(json_object_get(content, "topic")), topic);
}

static void
in_timeline(struct mx_room *room, const struct remote *r, bool wanted)
{
	struct mx_events l = { 0 };
	bool more, found = false;

	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, 1000, false, &l, &more));
	for (size_t i = 0; i < l.n; i++)
		found |= mx_str_eq(mx_event_id(l.v[i]), mx_event_id(r->ev));
	mx_events_clear(&l);
	assert_int_equal(found, wanted);
}

static size_t
extremities(struct mx_room *room)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str *ids;
	size_t n;

	unit_ok(mx_room_extremities(rooms, conn, room, a, &ids, &n));
	return n;
}

/* ---- */

static void
a_line_of_events_is_taken_in(void **state)
{
	struct remote *last, *line[5];
	struct mx_arrival v[5];
	struct mx_room *room = guest_room(&last);

	(void)state;
	line[0] = remote_say(room, 0, gina, last);
	line[1] = remote_say(room, 1, hugo, line[0]);
	line[2] = remote_member(room, 1, hugo, hugo, "leave", line[1]);
	line[3] = remote_say(room, 0, gina, line[2]);
	line[4] = remote_say(room, 0, gina, line[3]);
	/* in any order */
	struct remote *mixed[5] = { line[3], line[1], line[4], line[0], line[2] };

	remote_hand_in(room, mixed, 5, v);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(v[i].fate, MX_FATE_ACCEPTED);
		assert_int_equal(v[i].reason, MX_REASON_NONE);
		in_timeline(room, mixed[i], true);
	}
	mx_arrivals_clear(v, 5);
	assert_int_equal(mx_room_joined_count(room), 2);
	assert_int_equal(extremities(room), 1);
	/* once more: they are known */
	remote_fate(room, line[2], MX_FATE_ACCEPTED, MX_REASON_KNOWN);
	/* and what is said here follows the last of them */
	MX_AUTO(mx_event) *ev = house_say(room, &alice, "yes");
	struct mx_event_ids it = mx_event_prev(ev);
	mx_str prev;

	assert_true(mx_event_ids_next(&it, &prev));
	assert_true(mx_str_eq(prev, mx_event_id(line[4]->ev)));
	assert_false(mx_event_ids_next(&it, &prev));
	mx_room_unref(&room);
}

static void
branches_come_together(void **state)
{
	struct remote *last, *a, *b;
	struct mx_room *room = guest_room(&last);
	struct mx_event *ev;

	(void)state;
	/* Two servers write at the same time. */
	a = remote_say(room, 0, gina, last);
	b = remote_say(room, 1, hugo, last);
	remote_accepted(room, a);
	remote_accepted(room, b);
	assert_int_equal(extremities(room), 2);
	ev = house_say(room, &alice, "both");
	assert_int_equal(mx_event_prev_count(ev), 2);
	assert_int_equal(mx_event_depth(ev), mx_event_depth(a->ev) + 1);
	assert_int_equal(extremities(room), 1);
	mx_event_unref(&ev);
	ev = house_say(room, &alice, "next");
	assert_int_equal(mx_event_prev_count(ev), 1);
	mx_event_unref(&ev);
	mx_room_unref(&room);
}

static void
branches_survive_a_restart(void **state)
{
	struct remote *last, *a, *b, *c;
	struct mx_room *room = guest_room(&last);
	MX_AUTO(mx_buf) *id = mx_buf_new(0);

	(void)state;
	a = remote_say(room, 0, gina, last);
	b = remote_say(room, 1, hugo, last);
	c = remote_event(room, (struct remote_spec){ .server = 1, .sender = hugo,
						     .type = "m.room.message", .content = "{}",
						     .prev = { a, b } });
	remote_accepted(room, a);
	remote_accepted(room, b);
	mx_buf_str(id, mx_room_id(room));
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_buf_view(id), &room));
	assert_int_equal(extremities(room), 2);
	remote_accepted(room, c);
	assert_int_equal(extremities(room), 1);
	in_timeline(room, a, true);
	in_timeline(room, b, true);
	in_timeline(room, c, true);
	mx_room_unref(&room);
}

/* Power for all three. */
static struct remote *
share_power(struct mx_room *room)
{
	char content[512];

	snprintf(content, sizeof(content),
		 "{\"users\":{\"%s\":50,\"%s\":50},\"state_default\":50,\"redact\":50,\"ban\":50,"
		 "\"kick\":50}",
		 gina, hugo);
	unit_ok(house_send(room, &alice, "m.room.power_levels", "", content, NULL));
	return remote_of(room);
}

static void
a_conflict_is_resolved(void **state)
{
	struct remote *last, *a, *b;
	struct mx_room *room = guest_room(&last);
	struct mx_event *ev;

	(void)state;
	last = share_power(room);
	a = remote_topic(room, 0, gina, "older", last);
	b = remote_topic(room, 1, hugo, "newer", last);
	remote_accepted(room, b);
	has_topic(room, "newer");
	/* It loses against the newer one, whichever comes first. */
	remote_accepted(room, a);
	has_topic(room, "newer");
	assert_int_equal(extremities(room), 2);
	in_timeline(room, a, true);
	/* The events keep their own states. */
	ev = stored(a);
	MX_AUTO(mx_event) *topic = NULL;

	unit_ok(mx_state_get(rooms, conn, mx_event_root_after(ev), MX_S("m.room.topic"), MX_S(""),
			     &topic));
	assert_true(mx_str_eq(mx_event_id(topic), mx_event_id(a->ev)));
	mx_event_unref(&ev);
	/* Who sends here builds on what came out of it. */
	ev = house_say(room, &alice, "so be it");
	mx_event_unref(&topic);
	unit_ok(mx_state_get(rooms, conn, mx_event_root_before(ev), MX_S("m.room.topic"), MX_S(""),
			     &topic));
	assert_true(mx_str_eq(mx_event_id(topic), mx_event_id(b->ev)));
	assert_true(mx_root_eq(mx_event_root_after(ev), mx_room_root(room)));
	mx_event_unref(&ev);
	mx_room_unref(&room);
}

/* What a client that reckons the state from the timeline may be shown of the newest n events. */
static size_t
lasting(struct mx_room *room, size_t n, mx_str *newest)
{
	struct mx_events l = { 0 };
	static char id[64];
	bool more;

	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, n, true, &l, &more));
	for (size_t i = 0; i < l.n / 2; i++) {
		struct mx_event *ev = l.v[i];

		l.v[i] = l.v[l.n - 1 - i];
		l.v[l.n - 1 - i] = ev;
	}
	unit_ok(mx_events_drop_lost(rooms, conn, mx_room_root(room), &l));
	size_t left = l.n;

	assert_true(left > 0);
	snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_event_id(l.v[left - 1])));
	*newest = mx_str_of(id);
	mx_events_clear(&l);
	return left;
}

static void
what_did_not_last_is_left_out_of_a_timeline(void **state)
{
	struct remote *last, *a, *b, *said;
	struct mx_room *room = guest_room(&last);
	mx_str newest;

	(void)state;
	last = share_power(room);
	a = remote_topic(room, 0, gina, "older", last);
	said = remote_say(room, 0, gina, a);
	b = remote_topic(room, 1, hugo, "newer", last);
	remote_accepted(room, b);
	remote_accepted(room, a);
	has_topic(room, "newer");
	/* The older one came last, and is not in the state: the newest that may be shown is b. */
	assert_int_equal(lasting(room, 2, &newest), 1);
	assert_true(mx_str_eq(newest, mx_event_id(b->ev)));
	/* Messages are no matter of state, whatever branch they stand on. */
	remote_accepted(room, said);
	assert_int_equal(lasting(room, 3, &newest), 2);
	assert_true(mx_str_eq(newest, mx_event_id(said->ev)));
	/* What the next one replaces is shown: who reads in order ends right. */
	unit_ok(house_send(room, &alice, "m.room.topic", "", "{\"topic\":\"third\"}", NULL));
	assert_int_equal(lasting(room, 4, &newest), 4);
	mx_room_unref(&room);
}

static void
members_move_with_the_resolution(void **state)
{
	struct remote *last, *ban, *say, *join, *both;
	struct mx_room *room = guest_room(&last);
	struct mx_member m;
	mx_nid nid;

	(void)state;
	last = share_power(room);
	const char *ivan = remote_user(2, "ivan");

	/* ivan joins on one branch, is banned on the other. */
	ban = remote_member(room, 0, gina, ivan, "ban", last);
	join = remote_member(room, 2, ivan, ivan, "join", last);
	remote_accepted(room, join);
	assert_int_equal(mx_room_joined_count(room), 4);
	remote_accepted(room, ban);
	assert_int_equal(mx_room_joined_count(room), 3);
	unit_ok(mx_name_find(conn, mx_str_of(ivan), &nid));
	unit_ok(mx_room_member(rooms, conn, room, nid, &m));
	assert_int_equal(m.membership, MX_MEMBER_BAN);
	/* What ivan still says on his branch is kept, and not shown. */
	say = remote_say(room, 2, ivan, join);
	remote_fate(room, say, MX_FATE_SOFT_FAILED, MX_REASON_CURRENT_STATE);
	in_timeline(room, say, false);
	assert_int_equal(extremities(room), 2);
	/* Somebody builds on it: the ban holds. */
	both = remote_event(room, (struct remote_spec){ .server = 0, .sender = gina,
							.type = "m.room.message", .content = "{}",
							.prev = { ban, say } });
	remote_accepted(room, both);
	assert_int_equal(extremities(room), 1);
	assert_int_equal(mx_room_joined_count(room), 3);
	mx_room_unref(&room);
}

static void
what_is_forbidden_is_rejected(void **state)
{
	struct remote *last, *topic, *after, *bad;
	struct mx_room *room = guest_room(&last);
	MX_AUTO(mx_event) *ev = NULL;

	(void)state;
	topic = remote_topic(room, 0, gina, "mine", last);
	remote_fate(room, topic, MX_FATE_REJECTED, MX_REASON_AUTH);
	remote_fate(room, topic, MX_FATE_REJECTED, MX_REASON_KNOWN);
	in_timeline(room, topic, false);
	has_topic(room, NULL);
	ev = stored(topic);
	assert_true(mx_root_eq(mx_event_root_before(ev), mx_event_root_after(ev)));
	/* What comes after it stands, and joins what it named. */
	after = remote_say(room, 0, gina, topic);
	remote_accepted(room, after);
	assert_int_equal(extremities(room), 1);
	/* An auth event that was rejected. */
	bad = remote_event(room, (struct remote_spec){ .server = 0, .sender = gina,
						       .type = "m.room.message", .content = "{}",
						       .prev = { after }, .more_auth = topic });
	remote_fate(room, bad, MX_FATE_REJECTED, MX_REASON_AUTH_EVENTS);
	/* Too few. */
	bad = remote_event(room, (struct remote_spec){ .server = 0, .sender = gina,
						       .type = "m.room.message", .content = "{}",
						       .prev = { after }, .fewer_auth = 1 });
	remote_fate(room, bad, MX_FATE_REJECTED, MX_REASON_AUTH);
	mx_room_unref(&room);
}

static void
what_is_missing_is_waited_for(void **state)
{
	struct remote *last, *line[4];
	struct mx_room *room = guest_room(&last);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_buf) *id = mx_buf_new(0);
	mx_str *lacks;
	size_t n;

	(void)state;
	line[0] = remote_say(room, 0, gina, last);
	line[1] = remote_say(room, 0, gina, line[0]);
	line[2] = remote_say(room, 1, hugo, line[1]);
	line[3] = remote_say(room, 1, hugo, line[2]);
	remote_fate(room, line[3], MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	remote_fate(room, line[1], MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	remote_fate(room, line[1], MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	unit_ok(mx_room_lacks(rooms, conn, room, a, 10, &lacks, &n));
	assert_int_equal(n, 2);
	mx_buf_str(id, mx_room_id(room));
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_buf_view(id), &room));
	remote_fate(room, line[2], MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	unit_ok(mx_room_lacks(rooms, conn, room, a, 10, &lacks, &n));
	assert_int_equal(n, 1);
	assert_true(mx_str_eq(lacks[0], mx_event_id(line[0]->ev)));
	in_timeline(room, line[3], false);
	/* The missing one brings all of them. */
	remote_accepted(room, line[0]);
	for (int i = 0; i < 4; i++)
		in_timeline(room, line[i], true);
	unit_ok(mx_room_lacks(rooms, conn, room, a, 10, &lacks, &n));
	assert_int_equal(n, 0);
	assert_int_equal(extremities(room), 1);
	mx_room_unref(&room);
}

static void
forgeries_are_dropped(void **state)
{
	struct remote *last, *ok;
	struct mx_room *room = guest_room(&last), *other = house_room("12", "shared");
	struct mx_arrival v[5];
	mx_str pdus[5];

	(void)state;
	ok = remote_say(room, 0, gina, last);
	/* signed by another server */
	struct remote *forged = remote_event(
		room, (struct remote_spec){ .server = 1, .sender = gina, .type = "m.room.message",
					    .content = "{}", .prev = { last } });
	/* another content than what was signed */
	MX_AUTO_JSON *changed = json_loadb(mx_event_json(ok->ev).p, mx_event_json(ok->ev).n, 0, NULL);

	json_object_set_new(json_object_get(changed, "content"), "body", json_string("evil"));
	char *evil = json_dumps(changed, JSON_COMPACT);
	struct remote *foreign = remote_say(other, 0, gina, remote_of(other));

	pdus[0] = MX_S("{\"type\":");
	pdus[1] = mx_event_json(forged->ev);
	pdus[2] = mx_str_of(evil);
	pdus[3] = mx_event_json(foreign->ev);
	pdus[4] = mx_event_json(ok->ev);
	unit_ok(mx_room_accept(rooms, conn, room, (mx_str){ NULL, 0 }, pdus, 5, v));
	assert_int_equal(v[0].reason, MX_REASON_MALFORMED);
	assert_int_equal(v[1].reason, MX_REASON_SIGNATURE);
	assert_int_equal(v[3].reason, MX_REASON_ROOM);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(v[i].fate, i == 2 ? MX_FATE_ACCEPTED : MX_FATE_DROPPED);
		assert_int_equal(v[i].event == NULL, i != 2);
	}
	/* The first of two copies counts: here the one whose content had to go. */
	assert_int_equal(v[2].reason, MX_REASON_HASH);
	assert_true(mx_event_redacted(v[2].event));
	assert_int_equal(v[4].fate, MX_FATE_ACCEPTED);
	assert_int_equal(v[4].reason, MX_REASON_KNOWN);
	mx_arrivals_clear(v, 5);
	free(evil);
	mx_room_unref(&room);
	mx_room_unref(&other);
}

static unsigned keys_held_up;

/* Needs every connection that there is. */
static bool
greedy_key(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	enum { ALL = 24 };	/* [database] readers */
	struct mx_conn *all[ALL];
	size_t n = 0;

	while (n < ALL && !mx_error_drop(mx_conn_get(db, &all[n])))
		n++;
	keys_held_up += n < ALL;
	while (n > 0)
		mx_conn_put(&all[--n]);
	return guest_key(arg, server, key_id, at, out);
}

static void
no_connection_is_held_while_keys_are_asked_for(void **state)
{
	struct remote *last;
	struct mx_room *room = guest_room(&last);
	struct mx_arrival v;

	(void)state;
	keys_held_up = 0;
	rooms->verify_key = greedy_key;
	struct remote *said = remote_say(room, 0, gina, last), *next = remote_say(room, 1, hugo, said);
	mx_str pdu = mx_event_json(next->ev);

	remote_accepted(room, said);
	unit_ok(mx_outliers_store(rooms, conn, room, &pdu, 1, &v));
	mx_arrivals_clear(&v, 1);
	unit_ok(mx_room_backfill(rooms, conn, room, &pdu, 1, NULL, 0, NULL, 0, &v));
	mx_arrivals_clear(&v, 1);
	assert_int_equal(keys_held_up, 0);
	mx_room_unref(&room);
}

static void
an_auth_event_that_is_missing_is_waited_for(void **state)
{
	struct remote *last, *invite, *join, *gap;
	struct mx_room *room = guest_room(&last);
	const char *ivan = remote_user(2, "ivan");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str *lacks;
	size_t n;

	(void)state;
	/* ivan is invited and joins on a branch of which we get only his join, upon our own event. */
	gap = remote_say(room, 0, gina, last);
	invite = remote_member(room, 0, gina, ivan, "invite", gap);
	struct remote_spec spec = { .server = 2, .sender = ivan, .type = "m.room.member",
				    .key = ivan, .content = "{\"membership\":\"join\"}",
				    .prev = { last } };

	spec.prev[0] = remote_new(mx_event_ref(last->ev), invite);	/* its auth events are those after the invite */
	join = remote_event(room, spec);
	remote_fate(room, join, MX_FATE_WAITING, MX_REASON_MISSING_AUTH);
	unit_ok(mx_room_lacks(rooms, conn, room, a, 10, &lacks, &n));
	assert_int_equal(n, 1);
	assert_true(mx_str_eq(lacks[0], mx_event_id(invite->ev)));
	/* The invite has no place yet, but it is an auth event all the same. */
	remote_fate(room, invite, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	remote_fate(room, join, MX_FATE_ACCEPTED, MX_REASON_KNOWN);
	in_timeline(room, join, true);
	in_timeline(room, invite, false);
	unit_ok(mx_room_lacks(rooms, conn, room, a, 10, &lacks, &n));
	assert_int_equal(n, 1);
	assert_true(mx_str_eq(lacks[0], mx_event_id(gap->ev)));
	/* Then its place is found; by then ivan is in the room, and nobody may invite him. */
	remote_accepted(room, gap);
	remote_fate(room, invite, MX_FATE_SOFT_FAILED, MX_REASON_KNOWN);
	assert_int_equal(extremities(room), 2);
	mx_room_unref(&room);
}

static void
an_event_comes_with_the_state_before_it(void **state)
{
	struct remote *last, *lost, *topic, *late;
	struct mx_room *room = guest_room(&last);
	mx_str pdus[REMOTE_STATE];
	struct mx_arrival v;
	size_t n = 0;

	(void)state;
	last = share_power(room);
	topic = remote_topic(room, 0, gina, "lost", last);
	lost = remote_say(room, 0, gina, topic);
	late = remote_say(room, 0, gina, lost);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	for (size_t i = 0; i < lost->state_n; i++)
		pdus[n++] = mx_event_json(lost->state[i]->ev);
	unit_ok(mx_room_accept_at(rooms, conn, room, mx_event_id(late->ev), pdus, n, NULL, 0, &v));
	assert_int_equal(v.fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(&v, 1);
	in_timeline(room, late, true);
	in_timeline(room, topic, false);
	has_topic(room, "lost");
	assert_int_equal(extremities(room), 2);
	unit_refused(mx_room_accept_at(rooms, conn, room, mx_event_id(late->ev), pdus, n, NULL, 0,
				       &v),
		     MX_E_NOT_FOUND);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str *gaps;
	size_t gaps_n;

	unit_ok(mx_room_gaps(rooms, conn, room, INT64_MAX, a, 10, &gaps, &gaps_n));
	assert_int_equal(gaps_n, 1);
	assert_true(mx_str_eq(gaps[0], mx_event_id(late->ev)));
	/* What was missing comes after all: it is behind the event that names it. */
	remote_accepted(room, topic);
	remote_accepted(room, lost);
	in_timeline(room, topic, true);
	assert_int_equal(extremities(room), 1);
	has_topic(room, "lost");
	unit_ok(mx_room_gaps(rooms, conn, room, INT64_MAX, a, 10, &gaps, &gaps_n));
	assert_int_equal(gaps_n, 0);
	MX_AUTO(mx_event) *ev = house_say(room, &alice, "so");
	struct mx_event_ids it = mx_event_prev(ev);
	mx_str prev;

	assert_int_equal(mx_event_prev_count(ev), 1);
	assert_true(mx_event_ids_next(&it, &prev));
	assert_true(mx_str_eq(prev, mx_event_id(late->ev)));
	mx_room_unref(&room);
}

/* The state after prev, as its server tells it, for an event in waiting. */
static void
accept_told(struct mx_room *room, const struct remote *ev, const struct remote *prev,
	    enum mx_fate fate)
{
	mx_str pdus[REMOTE_STATE];
	struct mx_arrival v;

	for (size_t i = 0; i < prev->state_n; i++)
		pdus[i] = mx_event_json(prev->state[i]->ev);
	unit_ok(mx_room_accept_at(rooms, conn, room, mx_event_id(ev->ev), pdus, prev->state_n, NULL,
				  0, &v));
	assert_int_equal(v.fate, fate);
	mx_arrivals_clear(&v, 1);
}

static void
a_state_that_is_told_counts_beside_a_past_that_is_here(void **state)
{
	struct remote *last, *topic, *lost, *late;
	struct mx_room *room = guest_room(&last);
	struct remote_spec s = { .sender = gina, .type = "m.room.message", .content = "{}" };

	(void)state;
	last = share_power(room);
	topic = remote_topic(room, 0, gina, "lost", last);
	lost = remote_say(room, 0, gina, topic);
	/* The other one is the room's newest event. */
	s.prev[0] = lost;
	s.prev[1] = last;
	late = remote_event(room, s);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, lost, MX_FATE_ACCEPTED);
	has_topic(room, "lost");
	assert_int_equal(extremities(room), 1);
	remote_accepted(room, topic);
	remote_accepted(room, lost);
	assert_int_equal(extremities(room), 1);
	mx_room_unref(&room);
}

static void
the_newest_event_need_not_be_where_the_next_goes(void **state)
{
	struct remote *last, *lost, *late, *next;
	struct mx_room *room = guest_room(&last);

	(void)state;
	lost = remote_say(room, 0, gina, last);
	late = remote_event(room, (struct remote_spec){ .sender = gina, .type = "m.room.message",
							.content = "{}", .prev = { lost, last } });
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, lost, MX_FATE_ACCEPTED);
	remote_accepted(room, lost);
	next = remote_say(room, 0, gina, late);
	remote_accepted(room, next);
	assert_int_equal(extremities(room), 1);
	MX_AUTO(mx_event) *ev = house_say(room, &alice, "so");
	struct mx_event_ids it = mx_event_prev(ev);
	mx_str prev;

	assert_true(mx_event_ids_next(&it, &prev));
	assert_true(mx_str_eq(prev, mx_event_id(next->ev)));
	mx_room_unref(&room);
}

/* Somebody has built on it before it came and was soft-failed: that holds for what is below it. */
static void
a_gap_goes_on_below_a_soft_failure(void **state)
{
	struct remote *last, *leave, *first, *lost, *late;
	struct mx_room *room = guest_room(&last);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str *gaps;
	size_t gaps_n;

	(void)state;
	leave = remote_member(room, 1, hugo, hugo, "leave", last);
	first = remote_say(room, 0, gina, last);
	lost = remote_say(room, 1, hugo, first);
	late = remote_say(room, 0, gina, lost);
	remote_accepted(room, leave);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, lost, MX_FATE_ACCEPTED);
	assert_int_equal(extremities(room), 2);
	remote_fate(room, lost, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, lost, first, MX_FATE_SOFT_FAILED);
	unit_ok(mx_room_gaps(rooms, conn, room, INT64_MAX, a, 10, &gaps, &gaps_n));
	assert_int_equal(gaps_n, 1);
	assert_true(mx_str_eq(gaps[0], mx_event_id(late->ev)));
	remote_accepted(room, first);
	assert_int_equal(extremities(room), 2);
	unit_ok(mx_room_gaps(rooms, conn, room, INT64_MAX, a, 10, &gaps, &gaps_n));
	assert_int_equal(gaps_n, 0);
	mx_room_unref(&room);
}

/* Nobody builds on it, but somebody builds on what builds on it. */
static void
what_is_behind_a_soft_failure_is_no_extremity(void **state)
{
	struct remote *last, *leave, *lost, *late, *top;
	struct mx_room *room = guest_room(&last);

	(void)state;
	leave = remote_member(room, 1, hugo, hugo, "leave", last);
	lost = remote_member(room, 1, hugo, hugo, "join", leave);
	late = remote_say(room, 1, hugo, lost);
	top = remote_say(room, 0, gina, late);
	remote_accepted(room, leave);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, lost, MX_FATE_SOFT_FAILED);
	remote_accepted(room, top);
	assert_int_equal(extremities(room), 2);
	remote_accepted(room, lost);
	assert_int_equal(extremities(room), 1);
	mx_room_unref(&room);
}

static void
the_past_is_filled_in(void **state)
{
	struct remote *last, *past[3], *late;
	struct mx_room *room = guest_room(&last);
	mx_str pdus[3], told[REMOTE_STATE];
	struct mx_arrival v[3];
	struct mx_events l = { 0 };
	bool more, visible;

	(void)state;
	last = share_power(room);
	past[2] = remote_say(room, 0, gina, last);
	past[1] = remote_topic(room, 0, gina, "long ago", past[2]);
	past[0] = remote_say(room, 0, gina, past[1]);
	late = remote_say(room, 0, gina, past[0]);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, past[0], MX_FATE_ACCEPTED);
	for (size_t i = 0; i < last->state_n; i++)
		told[i] = mx_event_json(last->state[i]->ev);
	for (size_t i = 0; i < 3; i++)
		pdus[i] = mx_event_json(past[i]->ev);
	/* The second and third alone lead nowhere. */
	unit_ok(mx_room_backfill(rooms, conn, room, pdus, 2, NULL, 0, NULL, 0, v));
	assert_int_equal(v[0].fate, MX_FATE_DROPPED);
	assert_int_equal(v[1].reason, MX_REASON_MISSING_PREV);
	mx_arrivals_clear(v, 2);
	mx_pos head = mx_stream_head(stream).pos;

	unit_ok(mx_room_timeline(rooms, conn, room, INT64_MIN, INT64_MAX, 100, true, &l, &more));
	size_t before = l.n;

	mx_events_clear(&l);
	unit_ok(mx_room_backfill(rooms, conn, room, pdus, 3, told, last->state_n, NULL, 0, v));
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(v[i].fate, MX_FATE_ACCEPTED);
		assert_true(mx_event_nid(v[i].event) < 0);
		assert_true(i == 0 || mx_event_nid(v[i].event) < mx_event_nid(v[i - 1].event));
		unit_ok(mx_event_visible(rooms, conn, room, v[i].event, alice.nid,
					 mx_str_of(alice.id), &visible));
		assert_true(visible);
	}
	mx_arrivals_clear(v, 3);
	/* Nothing of the present has changed, and nobody is told. */
	assert_int_equal(mx_stream_head(stream).pos, head);
	assert_int_equal(extremities(room), 2);
	has_topic(room, "long ago");
	/* Who pages back meets them last, in their order. */
	unit_ok(mx_room_timeline(rooms, conn, room, INT64_MIN, INT64_MAX, 100, true, &l, &more));
	assert_int_equal(l.n, before + 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(mx_str_eq(mx_event_id(l.v[before + i]), mx_event_id(past[i]->ev)));
	mx_events_clear(&l);
	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, 100, true, &l, &more));
	assert_int_equal(l.n, before);
	mx_events_clear(&l);
	struct mx_event *ev = stored(past[0]);
	MX_AUTO(mx_event) *topic = NULL;

	unit_ok(mx_state_get(rooms, conn, mx_event_root_before(ev), MX_S("m.room.topic"), MX_S(""),
			     &topic));
	assert_true(mx_str_eq(mx_event_id(topic), mx_event_id(past[1]->ev)));
	mx_event_unref(&ev);
	/* Once more: they are there. */
	unit_ok(mx_room_backfill(rooms, conn, room, pdus, 3, told, last->state_n, NULL, 0, v));
	assert_int_equal(v[1].reason, MX_REASON_KNOWN);
	mx_arrivals_clear(v, 3);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str *gaps;
	size_t n;

	unit_ok(mx_room_gaps(rooms, conn, room, INT64_MAX, a, 10, &gaps, &n));
	assert_int_equal(n, 0);
	mx_room_unref(&room);
}

static int64_t
waiting(void)
{
	static const struct mx_sql COUNT = MX_SQL("SELECT COUNT(*) FROM event_waiting");
	struct mx_query *q = mx_query(conn, &COUNT);
	int64_t n = mx_query_next(q) ? mx_col_int(q, 0) : -1;

	unit_ok(mx_query_end(q));
	return n;
}

static void
what_waits_for_the_past_is_taken_in_with_it(void **state)
{
	struct remote *last, *past[2], *late, *aside;
	struct mx_room *room = guest_room(&last);
	mx_str pdus[2], told[REMOTE_STATE];
	struct mx_arrival v[2];

	(void)state;
	past[1] = remote_say(room, 0, gina, last);
	past[0] = remote_say(room, 0, gina, past[1]);
	late = remote_say(room, 0, gina, past[0]);
	aside = remote_say(room, 0, gina, past[0]);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, past[0], MX_FATE_ACCEPTED);
	int64_t others = waiting();

	remote_fate(room, past[0], MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	remote_fate(room, aside, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	for (size_t i = 0; i < last->state_n; i++)
		told[i] = mx_event_json(last->state[i]->ev);
	for (size_t i = 0; i < 2; i++)
		pdus[i] = mx_event_json(past[i]->ev);
	unit_ok(mx_room_backfill(rooms, conn, room, pdus, 2, told, last->state_n, NULL, 0, v));
	assert_int_equal(v[0].fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(v, 2);
	remote_fate(room, aside, MX_FATE_ACCEPTED, MX_REASON_KNOWN);
	assert_int_equal(waiting(), others);
	mx_room_unref(&room);
}

/* Whose state was told is here already: no other event is judged by that. */
static void
a_state_before_the_past_is_that_of_its_oldest_event_alone(void **state)
{
	struct remote *last, *past[3], *late;
	struct mx_room *room = guest_room(&last);
	mx_str pdus[3], told[REMOTE_STATE];
	struct mx_arrival v[3];

	(void)state;
	last = share_power(room);
	past[2] = remote_say(room, 0, gina, last);
	past[1] = remote_topic(room, 0, gina, "long ago", past[2]);
	past[0] = remote_say(room, 0, gina, past[1]);
	late = remote_say(room, 0, gina, past[0]);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, past[0], MX_FATE_ACCEPTED);
	remote_accepted(room, past[2]);
	for (size_t i = 0; i < last->state_n; i++)
		told[i] = mx_event_json(last->state[i]->ev);
	pdus[0] = mx_event_json(past[0]->ev);
	pdus[1] = mx_event_json(past[2]->ev);
	unit_ok(mx_room_backfill(rooms, conn, room, pdus, 2, told, last->state_n, NULL, 0, v));
	assert_int_equal(v[0].fate, MX_FATE_DROPPED);
	assert_int_equal(v[0].reason, MX_REASON_MISSING_PREV);
	mx_arrivals_clear(v, 2);
	mx_room_unref(&room);
}

/* Known without a place, as part of a state that was told; then its redaction and it come at once. */
static void
a_redaction_may_come_just_before_the_place_of_what_it_redacts(void **state)
{
	struct remote *last, *topic, *late, *redaction;
	struct mx_room *room = guest_room(&last);
	struct mx_arrival v[2];

	(void)state;
	last = share_power(room);
	topic = remote_topic(room, 0, gina, "rude", last);
	late = remote_say(room, 0, gina, topic);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, topic, MX_FATE_ACCEPTED);
	redaction = remote_event(room, (struct remote_spec){ .sender = gina,
							     .type = "m.room.redaction",
							     .content = "{}",
							     .prev = { last },
							     .redacts = mx_event_id(topic->ev).p });
	struct remote *both[2] = { redaction, topic };

	remote_hand_in(room, both, 2, v);
	assert_int_equal(v[0].fate, MX_FATE_ACCEPTED);
	assert_int_equal(v[1].fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(v, 2);
	MX_AUTO(mx_event) *ev = stored(topic);

	assert_false(ev->outlier);
	assert_true(ev->redacted);
	mx_room_unref(&room);
}

/* A server that told of a state had altered it, so it is here in its redacted form. */
static void
a_redaction_of_what_was_altered_holds_for_the_whole(void **state)
{
	struct remote *last, *topic, *late, *redaction;
	struct mx_room *room = guest_room(&last);
	mx_str told[REMOTE_STATE];
	struct mx_arrival v;

	(void)state;
	last = share_power(room);
	topic = remote_topic(room, 0, gina, "rude", last);
	late = remote_say(room, 0, gina, topic);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	MX_AUTO(mx_event) *altered = mx_event_redact(topic->ev);

	for (size_t i = 0; i < topic->state_n; i++)
		told[i] = mx_event_json(topic->state[i] == topic ? altered : topic->state[i]->ev);
	unit_ok(mx_room_accept_at(rooms, conn, room, mx_event_id(late->ev), told, topic->state_n,
				  NULL, 0, &v));
	assert_int_equal(v.fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(&v, 1);
	MX_AUTO(mx_event) *before = stored(topic);

	assert_true(before->outlier && before->redacted);
	redaction = remote_event(room, (struct remote_spec){ .sender = gina,
							     .type = "m.room.redaction",
							     .content = "{}",
							     .prev = { late },
							     .redacts = mx_event_id(topic->ev).p });
	remote_accepted(room, redaction);
	remote_accepted(room, topic);
	MX_AUTO(mx_event) *after = stored(topic);

	assert_false(after->outlier);
	assert_true(after->redacted);
	mx_room_unref(&room);
}

/* What comes in behind an event that is here is no forward extremity, and the doctor knows. */
static void
a_gap_that_is_filled_leaves_the_room_well(void **state)
{
	struct remote *last, *early, *late;
	struct mx_room *room = guest_room(&last);
	struct mx_checkup c = { .signatures = true };

	(void)state;
	last = share_power(room);
	early = remote_event(room, (struct remote_spec){ .sender = gina,
							 .type = "m.room.topic",
							 .key = "",
							 .content = "{\"topic\":\"early\"}",
							 .prev = { last },
							 .ts = 1700001000000 });
	late = remote_topic(room, 0, gina, "late", early);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, early, MX_FATE_ACCEPTED);
	MX_AUTO(mx_event) *ours = house_say(room, &alice, "beside it");
	struct remote *beside = remote_say(room, 0, gina, last);

	(void)ours;
	remote_accepted(room, beside);
	remote_accepted(room, early);
	has_topic(room, "late");
	unit_ok(mx_room_checkup(rooms, conn, room, &c));
	if (c.found > 0)
		fail_msg("%s of %s: %s", mx_ailment_name(c.v[0].what), c.v[0].id, c.v[0].words);
	mx_room_unref(&room);
}

/* It takes the place of no other where there are as many as there may be. */
static void
what_fills_a_gap_drives_no_extremity_out(void **state)
{
	int64_t most = rooms->opt.max_extremities;
	struct remote *last, *early, *late;
	struct mx_room *room = guest_room(&last);
	struct mx_checkup c = { .signatures = true };

	(void)state;
	early = remote_say(room, 0, gina, last);
	late = remote_say(room, 0, gina, early);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, early, MX_FATE_ACCEPTED);
	assert_int_equal(extremities(room), 2);
	remote_accepted(room, remote_say(room, 1, hugo, last));
	remote_accepted(room, remote_say(room, 0, gina, last));
	assert_int_equal(extremities(room), 3);
	rooms->opt.max_extremities = 3;
	remote_accepted(room, early);
	assert_int_equal(extremities(room), 3);
	unit_ok(mx_room_checkup(rooms, conn, room, &c));
	rooms->opt.max_extremities = most;
	if (c.found > 0)
		fail_msg("%s of %s: %s", mx_ailment_name(c.v[0].what), c.v[0].id, c.v[0].words);
	mx_room_unref(&room);
}

/* The state before an event stays what was told, also when what it names comes in with another. */
static void
a_told_state_is_not_made_anew_by_the_past(void **state)
{
	struct remote *last, *topic, *past, *late, *page[2];
	struct mx_room *room = guest_room(&last);
	struct mx_checkup c = { .signatures = true };
	mx_str pdu, told[REMOTE_STATE];
	struct mx_arrival v;

	(void)state;
	last = share_power(room);
	topic = remote_topic(room, 0, gina, "long ago", last);
	past = remote_say(room, 0, gina, topic);
	late = remote_say(room, 0, gina, past);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, last, MX_FATE_ACCEPTED);
	for (size_t i = 0; i < last->state_n; i++)
		told[i] = mx_event_json(last->state[i]->ev);
	page[0] = past;
	page[1] = topic;
	for (size_t i = 0; i < 2; i++) {
		pdu = mx_event_json(page[i]->ev);
		unit_ok(mx_room_backfill(rooms, conn, room, &pdu, 1, told, last->state_n, NULL, 0,
					 &v));
		assert_int_equal(v.fate, MX_FATE_ACCEPTED);
		mx_arrivals_clear(&v, 1);
	}
	unit_ok(mx_room_checkup(rooms, conn, room, &c));
	if (c.found > 0)
		fail_msg("%s of %s: %s", mx_ailment_name(c.v[0].what), c.v[0].id, c.v[0].words);
	mx_room_unref(&room);
}

static void
the_past_is_written_in_batches(void **state)
{
	enum { N = 100 };
	struct remote *last, *past[N], *late;
	struct mx_room *room = guest_room(&last);
	mx_str pdus[N];
	struct mx_arrival v[N];
	struct mx_sql_stats before, after;
	struct mx_events l = { 0 };
	bool more;

	(void)state;
	last = share_power(room);
	for (size_t i = N; i-- > 0;)
		past[i] = i == 50 ? remote_topic(room, 0, gina, "in the middle", i + 1 < N ? past[i + 1] : last)
				  : remote_say(room, i % 2, i % 2 == 0 ? gina : hugo,
					       i + 1 < N ? past[i + 1] : last);
	late = remote_say(room, 0, gina, past[0]);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	accept_told(room, late, past[0], MX_FATE_ACCEPTED);
	for (size_t i = 0; i < N; i++)
		pdus[i] = mx_event_json(past[i]->ev);
	mx_sql_stats(db, &before);
	unit_ok(mx_room_backfill(rooms, conn, room, pdus, N, NULL, 0, NULL, 0, v));
	mx_sql_stats(db, &after);
	assert_in_range(after.writes - before.writes, 1, 5);
	unit_ok(mx_room_timeline(rooms, conn, room, INT64_MIN, 0, 1000, true, &l, &more));
	assert_int_equal(l.n, N);
	for (size_t i = 0; i < N; i++) {
		MX_AUTO(mx_event) *topic = NULL;

		assert_int_equal(v[i].fate, MX_FATE_ACCEPTED);
		assert_true(mx_str_eq(mx_event_id(l.v[i]), mx_event_id(past[i]->ev)));
		unit_ok(mx_state_get(rooms, conn, mx_event_root_after(l.v[i]), MX_S("m.room.topic"),
				     MX_S(""), &topic));
		assert_int_equal(topic != NULL, i <= 50);
	}
	mx_events_clear(&l);
	mx_arrivals_clear(v, N);
	mx_room_unref(&room);
}

static void
many_branches_are_joined(void **state)
{
	struct remote *last, *branch[60];
	struct mx_arrival v[60];
	struct mx_room *room;
	struct mx_rooms_options none = { .default_version = "12", .event_cache = { 1 << 20 },
					 .state_cache = { 1 << 20 }, .room_cache = 16,
					 .room_tail = 64, .max_state = 1000, .dummy_events = 0 };

	(void)state;
	house_down();
	house_up(&none);
	room = guest_room(&last);
	for (size_t i = 0; i < 60; i++)
		branch[i] = remote_say(room, i % 2, i % 2 == 0 ? gina : hugo, last);
	remote_hand_in(room, branch, 60, v);
	mx_arrivals_clear(v, 60);
	assert_int_equal(extremities(room), 60);
	/* More than an event may name: somebody here joins them first. */
	MX_AUTO(mx_event) *ev = house_say(room, &alice, "all of you");

	assert_int_equal(extremities(room), 1);
	assert_in_range(mx_event_prev_count(ev), 2, 20);
	struct mx_events l = { 0 };
	bool more;

	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, 1000, false, &l, &more));
	for (size_t i = 0; i < l.n; i++)
		assert_false(mx_str_eq(mx_event_type(l.v[i]), MX_S("org.matrix.dummy_event")));
	mx_events_clear(&l);
	mx_room_unref(&room);
	house_again();
}

static void
branches_beyond_the_option_are_joined_at_once(void **state)
{
	struct remote *last, *branch[30];
	struct mx_arrival v[30];
	struct mx_room *room = guest_room(&last);

	(void)state;
	for (size_t i = 0; i < 30; i++)
		branch[i] = remote_say(room, i % 2, i % 2 == 0 ? gina : hugo, last);
	remote_hand_in(room, branch, 30, v);
	mx_arrivals_clear(v, 30);
	assert_in_range(extremities(room), 1, 10);
	for (size_t i = 0; i < 30; i++)
		in_timeline(room, branch[i], true);
	mx_room_unref(&room);
}

static struct remote *
redaction(struct mx_room *room, unsigned server, const char *who, const struct remote *target,
	  struct remote *prev)
{
	char content[128];

	snprintf(content, sizeof(content), "{\"redacts\":\"%.*s\"}",
		 MX_SFMT(mx_event_id(target->ev)));
	return remote_event(room, (struct remote_spec){ .server = server, .sender = who,
							.type = "m.room.redaction",
							.content = content, .prev = { prev } });
}

static bool
is_redacted(const struct remote *r)
{
	struct mx_event *ev = stored(r);
	bool redacted = mx_event_redacted(ev);

	mx_event_unref(&ev);
	return redacted;
}

static void
redactions_apply_by_power_or_server(void **state)
{
	struct remote *last, *said, *other, *red;
	struct mx_room *room = guest_room(&last);

	(void)state;
	said = remote_say(room, 0, gina, last);
	other = remote_say(room, 1, hugo, said);
	remote_accepted(room, said);
	remote_accepted(room, other);
	/* hugo may not redact gina's; it is kept, and clients do not see it. */
	red = redaction(room, 1, hugo, said, other);
	remote_accepted(room, red);
	assert_false(is_redacted(said));
	in_timeline(room, red, false);
	red = redaction(room, 1, hugo, other, red);
	remote_accepted(room, red);
	assert_true(is_redacted(other));
	in_timeline(room, red, true);
	mx_room_unref(&room);
}

static void
a_redaction_comes_before_what_it_redacts(void **state)
{
	struct remote *last, *said, *theirs, *red, *not_red;
	struct mx_room *room = guest_room(&last);

	(void)state;
	said = remote_say(room, 0, gina, last);
	theirs = remote_say(room, 1, hugo, last);
	red = redaction(room, 0, gina, said, last);
	not_red = redaction(room, 0, gina, theirs, red);
	remote_accepted(room, red);
	remote_accepted(room, not_red);
	in_timeline(room, red, false);
	remote_accepted(room, said);
	remote_accepted(room, theirs);
	assert_true(is_redacted(said));
	assert_false(is_redacted(theirs));
	struct mx_event *ev = stored(said), *by;

	unit_ok(mx_event_redaction(rooms, conn, ev, &by));
	assert_non_null(by);
	assert_true(mx_str_eq(mx_event_id(by), mx_event_id(red->ev)));
	mx_event_unref(&by);
	mx_event_unref(&ev);
	mx_room_unref(&room);
}

/* How the timeline has them, from this process and from another one. */
static void
both_see(struct mx_room *room, struct neighbour *n, const struct remote *r, bool wanted)
{
	struct mx_room *theirs;
	struct mx_events l = { 0 };
	bool more, found = false;

	in_timeline(room, r, wanted);
	unit_ok(mx_room_get(n->rooms, n->conn, mx_room_id(room), &theirs));
	unit_ok(mx_room_refresh(theirs, n->conn));
	unit_ok(mx_room_timeline(n->rooms, n->conn, theirs, 0, INT64_MAX, 1000, true, &l, &more));
	for (size_t i = 0; i < l.n; i++)
		found |= mx_str_eq(mx_event_id(l.v[i]), mx_event_id(r->ev));
	mx_events_clear(&l);
	mx_room_unref(&theirs);
	assert_int_equal(found, wanted);
}

/* Whether it is on the page in front of another event. */
static void
in_front_of(struct mx_room *room, const struct remote *later, const struct remote *r, bool wanted)
{
	struct mx_event *edge = stored(later);
	struct mx_events l = { 0 };
	bool more, found = false;

	unit_ok(mx_room_timeline(rooms, conn, room, 0, edge->nid, 1000, true, &l, &more));
	for (size_t i = 0; i < l.n; i++)
		found |= mx_str_eq(mx_event_id(l.v[i]), mx_event_id(r->ev));
	mx_events_clear(&l);
	mx_event_unref(&edge);
	assert_int_equal(found, wanted);
}

static mx_error *
nothing(struct mx_txn *tx, void *arg)
{
	(void)tx;
	(void)arg;
	return NULL;
}

/* Beside each other: nothing says that what is redacted comes first. */
static void
a_redaction_comes_in_one_batch_with_what_it_redacts(void **state)
{
	struct remote *last, *said, *both[2];
	struct mx_room *room = guest_room(&last);
	struct mx_arrival v[2];

	(void)state;
	said = remote_say(room, 0, gina, last);
	both[0] = redaction(room, 0, gina, said, last);
	both[1] = said;
	remote_hand_in(room, both, 2, v);
	assert_int_equal(v[0].fate, MX_FATE_ACCEPTED);
	assert_int_equal(v[1].fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(v, 2);
	MX_AUTO(mx_event) *ev = stored(said);

	assert_true(ev->redacted);
	in_timeline(room, both[0], true);
	mx_room_unref(&room);
}

static void
a_redaction_is_shown_once_it_applies(void **state)
{
	struct remote *last, *said, *red, *again, *next, *not_red[40];
	struct mx_room *room = guest_room(&last);
	struct mx_arrival v[40];
	struct neighbour n = { 0 };

	(void)state;
	neighbour_open(&n);
	said = remote_say(room, 0, gina, last);
	/* Very many who may not come before the one who may. */
	for (size_t i = 0; i < 40; i++)
		not_red[i] = redaction(room, 1, hugo, said, i > 0 ? not_red[i - 1] : last);
	remote_hand_in(room, not_red, 40, v);
	mx_arrivals_clear(v, 40);
	red = redaction(room, 0, gina, said, not_red[39]);
	again = redaction(room, 0, gina, said, red);
	remote_accepted(room, red);
	remote_accepted(room, again);
	both_see(room, &n, red, false);
	struct mx_event *ev = stored(red);

	assert_false(mx_event_shown(ev));
	mx_event_unref(&ev);
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_event_room_id(said->ev), &room));
	in_timeline(room, red, false);
	/* Neighbours know each other here and there, and then something is shown between them. */
	next = remote_say(room, 1, hugo, again);
	remote_accepted(room, next);
	unit_ok(mx_write(n.db, nothing, NULL));
	for (int i = 0; i < 2; i++)
		both_see(room, &n, next, true);
	in_front_of(room, next, red, false);
	remote_accepted(room, said);
	unit_ok(mx_write(n.db, nothing, NULL));	/* it looks at what others have written */
	in_front_of(room, next, red, true);
	in_front_of(room, next, again, true);
	both_see(room, &n, said, true);
	both_see(room, &n, red, true);
	both_see(room, &n, again, true);
	for (size_t i = 0; i < 40; i++)
		in_timeline(room, not_red[i], false);
	assert_true(is_redacted(said));
	/* In the other order it is the same. */
	said = remote_say(room, 0, gina, again);
	remote_accepted(room, said);
	red = redaction(room, 0, gina, said, said);
	remote_accepted(room, red);
	unit_ok(mx_write(n.db, nothing, NULL));
	both_see(room, &n, red, true);
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_event_room_id(said->ev), &room));
	in_timeline(room, red, true);
	neighbour_close(&n);
	mx_room_unref(&room);
}

static void
a_redaction_of_what_is_rejected_stays_hidden(void **state)
{
	struct remote *last, *bad, *red;
	struct mx_room *room = guest_room(&last);

	(void)state;
	bad = remote_topic(room, 0, gina, "she may not", last);
	red = redaction(room, 0, gina, bad, last);
	remote_accepted(room, red);
	remote_fate(room, bad, MX_FATE_REJECTED, MX_REASON_AUTH);
	in_timeline(room, red, false);
	mx_room_unref(&room);
}

static void
parts_of_the_graph_are_told(void **state)
{
	struct remote *last, *line[6], *bad;
	struct mx_room *room = guest_room(&last);
	struct mx_events l = { 0 };
	mx_str from, to;

	(void)state;
	line[0] = remote_say(room, 0, gina, last);
	bad = remote_topic(room, 0, gina, "no", line[0]);
	line[1] = remote_say(room, 1, hugo, bad);
	for (size_t i = 2; i < 6; i++)
		line[i] = remote_say(room, 1, hugo, line[i - 1]);
	remote_accepted(room, line[0]);
	remote_fate(room, bad, MX_FATE_REJECTED, MX_REASON_AUTH);
	for (size_t i = 1; i < 6; i++)
		remote_accepted(room, line[i]);
	from = mx_event_id(line[0]->ev);
	to = mx_event_id(line[5]->ev);
	unit_ok(mx_room_between(rooms, conn, room, &from, 1, &to, 1, 10, &l));
	assert_int_equal(l.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_true(mx_str_eq(mx_event_id(l.v[i]), mx_event_id(line[i + 1]->ev)));
	mx_events_clear(&l);
	unit_ok(mx_room_between(rooms, conn, room, &from, 1, &to, 1, 2, &l));
	assert_int_equal(l.n, 2);
	assert_true(mx_str_eq(mx_event_id(l.v[1]), mx_event_id(line[4]->ev)));
	mx_events_clear(&l);

	/* hugo's message rests on his join, the power levels, the join rules and alice's join. */
	struct mx_event *one = stored(line[5]);

	unit_ok(mx_events_auth_chain(rooms, conn, &one, 1, &l));
	assert_int_equal(l.n, 4);
	for (size_t i = 0; i < l.n; i++) {
		assert_true(mx_event_is_state(l.v[i]));
		for (size_t k = 0; k < i; k++)
			assert_false(mx_str_eq(mx_event_id(l.v[i]), mx_event_id(l.v[k])));
	}
	mx_events_clear(&l);
	mx_event_unref(&one);
	mx_room_unref(&room);
}

/* The same events in every order in which they may come make the same room. */
static void
any_order_makes_the_same_room(void **state)
{
	enum { N = 5, ORDERS = 120 };

	(void)state;
	for (int version = 0; version < 2; version++) {
		for (unsigned order = 0; order < ORDERS; order += 7) {
			struct mx_room *room;
			struct remote *last, *all[N], *one;
			MX_AUTO(mx_event) *ev = NULL;
			unsigned left = order;

			remote_clear();
			room = house_room(version == 0 ? "6" : "12", "shared");
			gina = remote_user(0, "gina");
			hugo = remote_user(1, "hugo");
			one = remote_member(room, 0, gina, gina, "join", remote_of(room));
			remote_accepted(room, one);
			last = remote_member(room, 1, hugo, hugo, "join", one);
			remote_accepted(room, last);
			last = share_power(room);
			all[0] = remote_topic(room, 0, gina, "one", last);
			all[1] = remote_topic(room, 1, hugo, "two", last);
			all[2] = remote_member(room, 0, gina, "@x:server-3.example.org", "ban", all[0]);
			all[3] = remote_topic(room, 1, hugo, "three", all[1]);
			all[4] = remote_event(room, (struct remote_spec){
							    .server = 0, .sender = gina,
							    .type = "m.room.message", .content = "{}",
							    .prev = { all[2], all[3] } });
			for (unsigned n = N; n > 0; n--) {	/* the order-th permutation */
				unsigned pick = left % n;
				struct mx_arrival v;

				left /= n;
				remote_hand_in(room, &all[pick], 1, &v);
				assert_int_not_equal(v.fate, MX_FATE_DROPPED);
				assert_int_not_equal(v.fate, MX_FATE_REJECTED);
				mx_arrivals_clear(&v, 1);
				memmove(all + pick, all + pick + 1, (n - pick - 1) * sizeof(all[0]));
			}
			assert_int_equal(extremities(room), 1);
			has_topic(room, "three");
			unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.member"),
					      MX_S("@x:server-3.example.org"), &ev));
			assert_int_equal(mx_event_membership(ev), MX_MEMBER_BAN);
			assert_int_equal(mx_room_joined_count(room), 3);
			mx_room_unref(&room);
		}
	}
}

/* In old room versions servers choose the ids. */
static void
a_second_event_of_an_id_is_dropped(void **state)
{
	struct mx_room *room = house_room("1", "shared");
	struct remote *join, *said;
	struct mx_arrival v;
	mx_str pdu;

	(void)state;
	gina = remote_user(0, "gina");
	join = remote_member(room, 0, gina, gina, "join", remote_of(room));
	remote_accepted(room, join);
	/* With an empty content a redaction changes nothing, so that all of it is signed. */
	said = remote_event(room, (struct remote_spec){ .sender = gina, .type = "m.room.message",
							.content = "{}", .prev = { join } });
	remote_accepted(room, said);
	remote_fate(room, said, MX_FATE_ACCEPTED, MX_REASON_KNOWN);
	MX_AUTO_JSON *other = json_loadb(mx_event_json(said->ev).p, mx_event_json(said->ev).n, 0, NULL);
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_buf) *base64 = mx_buf_new(0);
	unsigned char sha[MX_SHA256_SIZE];

	json_object_set_new(other, "depth", json_integer(77));
	json_object_del(other, "hashes");
	json_object_del(other, "signatures");
	unit_ok(mx_json_canonical(other, false, b));
	mx_event_content_hash(mx_buf_view(b), sha);
	mx_base64(base64, sha, sizeof(sha));
	json_object_set_new(other, "hashes", json_pack("{s:s}", "sha256", mx_buf_cstr(base64)));
	unit_ok(mx_sign_json(other, false, MX_S("server-0.example.org"), guests.key[0]));
	char *text = json_dumps(other, JSON_COMPACT | JSON_SORT_KEYS);

	pdu = mx_str_of(text);
	unit_ok(mx_room_accept(rooms, conn, room, (mx_str){ NULL, 0 }, &pdu, 1, &v));
	assert_int_equal(v.fate, MX_FATE_DROPPED);
	assert_int_equal(v.reason, MX_REASON_KNOWN);
	mx_arrivals_clear(&v, 1);
	free(text);
	mx_room_unref(&room);
}

static void
what_waits_is_limited(void **state)
{
	struct mx_rooms_options few = { .default_version = "12", .event_cache = { 1 << 20 },
					.state_cache = { 1 << 20 }, .room_cache = 16,
					.room_tail = 64, .max_state = 1000, .max_waiting_room = 10 };
	struct remote *last, *lost, *late[14];
	struct mx_room *room;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_explanation why;

	(void)state;
	house_down();
	house_up(&few);
	room = guest_room(&last);
	for (size_t i = 0; i < 14; i++) {
		lost = remote_say(room, 0, gina, last);
		late[i] = remote_say(room, 0, gina, lost);
		remote_fate(room, late[i], MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	}
	/* The oldest have gone. */
	for (size_t i = 0; i < 14; i++) {
		mx_error *e = mx_event_explain(rooms, conn, mx_event_id(late[i]->ev), a, &why);

		assert_int_equal(mx_error_is(e, MX_E_NOT_FOUND), i < 4);
		mx_error_free(&e);
	}
	mx_room_unref(&room);
	house_again();
}

static void
explained(const struct remote *r, enum mx_fate fate, enum mx_reason reason, const char *words)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_explanation why;

	unit_ok(mx_event_explain(rooms, conn, mx_event_id(r->ev), a, &why));
	assert_int_equal(why.fate, fate);
	assert_int_equal(why.reason, reason);
	if (strstr(why.words.p, words) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why.words.p, words);
	assert_int_equal(why.position > 0, fate != MX_FATE_WAITING);
	assert_int_equal(why.when > 0, reason != MX_REASON_NONE);
}

static void
what_became_of_events_is_explained(void **state)
{
	struct remote *last, *ok, *bad, *ban, *soft, *late;
	struct mx_room *room = guest_room(&last);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_explanation why;
	struct mx_rooms_stats before, after;

	(void)state;
	last = share_power(room);
	mx_rooms_stats(rooms, &before);
	ok = remote_say(room, 0, gina, last);
	bad = remote_event(room, (struct remote_spec){
					 .server = 1, .sender = hugo, .type = "m.room.power_levels",
					 .key = "", .content = "{\"users\":{}}", .prev = { last } });
	ban = remote_member(room, 0, gina, "@nobody:server-3.example.org", "ban", ok);
	soft = remote_member(room, 1, hugo, "@nobody:server-3.example.org", "invite", ok);
	late = remote_say(room, 1, hugo, remote_say(room, 1, hugo, ban));
	remote_accepted(room, ok);
	remote_fate(room, bad, MX_FATE_REJECTED, MX_REASON_AUTH);
	remote_accepted(room, ban);
	remote_fate(room, soft, MX_FATE_SOFT_FAILED, MX_REASON_CURRENT_STATE);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	explained(ok, MX_FATE_ACCEPTED, MX_REASON_NONE, "");
	explained(bad, MX_FATE_REJECTED, MX_REASON_AUTH, "power");
	explained(soft, MX_FATE_SOFT_FAILED, MX_REASON_CURRENT_STATE, "banned");
	explained(late, MX_FATE_WAITING, MX_REASON_MISSING_PREV, "prev_events");
	unit_refused(mx_event_explain(rooms, conn,
				      MX_S("$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), a, &why),
		     MX_E_NOT_FOUND);
	mx_rooms_stats(rooms, &after);
#define CAME(f, k) (after.arrived[f][k] - before.arrived[f][k])
	assert_int_equal(CAME(MX_FATE_ACCEPTED, MX_REASON_NONE), 2);
	assert_int_equal(CAME(MX_FATE_REJECTED, MX_REASON_AUTH), 1);
	assert_int_equal(CAME(MX_FATE_SOFT_FAILED, MX_REASON_CURRENT_STATE), 1);
	assert_int_equal(CAME(MX_FATE_WAITING, MX_REASON_MISSING_PREV), 1);
	mx_room_unref(&room);
}

/* How bob's sync sees the room: by its stream items, its memberships and its state at positions. */
static void
a_ban_is_undone_by_the_resolution(void **state)
{
	struct remote *last, *ban, *demote;
	struct mx_room *room = guest_room(&last);
	struct mx_state_root root;
	struct mx_member m, list;
	char content[256];
	bool visible;

	(void)state;
	unit_ok(house_member(room, &bob, &bob, "join"));
	snprintf(content, sizeof(content), "{\"users\":{\"%s\":50,\"%s\":90},\"ban\":50}", gina,
		 hugo);
	unit_ok(house_send(room, &alice, "m.room.power_levels", "", content, NULL));
	last = remote_of(room);
	unit_ok(mx_room_member(rooms, conn, room, bob.nid, &m));
	mx_nid join = m.event;
	size_t joined = mx_room_joined_count(room);

	ban = remote_member(room, 0, gina, bob.id, "ban", last);
	remote_accepted(room, ban);
	assert_int_equal(mx_room_joined_count(room), joined - 1);
	/* At the same time hugo had taken gina's power away. */
	snprintf(content, sizeof(content), "{\"users\":{\"%s\":0,\"%s\":90},\"ban\":50}", gina, hugo);
	demote = remote_event(room, (struct remote_spec){ .server = 1, .sender = hugo,
							  .type = "m.room.power_levels", .key = "",
							  .content = content, .prev = { last } });
	remote_accepted(room, demote);
	assert_int_equal(mx_room_joined_count(room), joined);
	struct mx_event *ev = stored(demote);

	/* The same from memory, from the database, and after a restart. */
	for (int i = 0; i < 2; i++) {
		MX_AUTO(mx_arena) *a = mx_arena_new();
		struct mx_member *all;
		size_t n;

		unit_ok(mx_room_member(rooms, conn, room, bob.nid, &m));
		assert_int_equal(m.membership, MX_MEMBER_JOIN);
		assert_int_equal(m.event, join);
		assert_int_equal(m.changed, mx_event_nid(ev));
		unit_ok(mx_user_rooms(rooms, conn, bob.nid, a, &all, &n));
		assert_int_equal(n, 1);
		list = all[0];
		assert_int_equal(list.changed, m.changed);
		assert_int_equal(mx_member_since(&list), mx_event_nid(ev));
		if (i == 0) {
			mx_room_unref(&room);
			house_again();
			unit_ok(mx_room_get(rooms, conn, mx_event_room_id(ev), &room));
		}
	}
	/* The room's state by position: banned in between. */
	MX_AUTO(mx_event) *was = NULL;
	MX_AUTO(mx_event) *now = NULL;

	assert_true(mx_event_forked(ev));
	unit_ok(mx_room_root_at(rooms, conn, room, mx_event_nid(ev) - 1, &root));
	unit_ok(mx_state_get(rooms, conn, root, MX_S("m.room.member"), mx_str_of(bob.id), &was));
	assert_int_equal(mx_event_membership(was), MX_MEMBER_BAN);
	unit_ok(mx_room_root_at(rooms, conn, room, mx_event_nid(ev), &root));
	assert_true(mx_root_eq(root, mx_room_root(room)));
	unit_ok(mx_state_get(rooms, conn, root, MX_S("m.room.member"), mx_str_of(bob.id), &now));
	assert_int_equal(mx_event_membership(now), MX_MEMBER_JOIN);
	unit_ok(mx_event_visible(rooms, conn, room, ev, bob.nid, mx_str_of(bob.id), &visible));
	assert_true(visible);
	mx_event_unref(&ev);
	mx_room_unref(&room);
}

static void
clients_see_nothing_of_what_was_refused(void **state)
{
	struct remote *last, *bad, *ban, *soft;
	struct mx_room *room = guest_room(&last);
	struct mx_events all = { 0 };
	struct mx_token head;

	(void)state;
	last = share_power(room);
	head = mx_stream_head(stream);
	bad = remote_event(room, (struct remote_spec){
					 .server = 1, .sender = hugo, .type = "m.room.power_levels",
					 .key = "", .content = "{\"users\":{}}", .prev = { last } });
	remote_fate(room, bad, MX_FATE_REJECTED, MX_REASON_AUTH);
	ban = remote_member(room, 0, gina, "@nobody:server-3.example.org", "ban", last);
	soft = remote_member(room, 1, hugo, "@nobody:server-3.example.org", "invite", last);
	remote_accepted(room, ban);
	remote_fate(room, soft, MX_FATE_SOFT_FAILED, MX_REASON_CURRENT_STATE);
	const struct remote *refused[] = { bad, soft };

	for (size_t i = 0; i < 2; i++) {
		struct mx_event *ev = stored(refused[i]);
		bool visible = true;

		in_timeline(room, refused[i], false);
		unit_ok(mx_event_visible(rooms, conn, room, ev, alice.nid, mx_str_of(alice.id),
					 &visible));
		assert_false(visible);
		mx_events_add(&all, ev);
	}
	unit_ok(mx_events_filter_visible(rooms, conn, room, &all, alice.nid, mx_str_of(alice.id)));
	assert_int_equal(all.n, 0);
	mx_events_clear(&all);
	unit_ok(mx_events_after(rooms, conn, head.pos, 10, &all));
	assert_int_equal(all.n, 1);
	assert_true(mx_str_eq(mx_event_id(all.v[0]), mx_event_id(ban->ev)));
	mx_events_clear(&all);
	unit_ok(mx_state_all(rooms, conn, mx_room_root(room), &all));
	for (size_t i = 0; i < all.n; i++)
		assert_true(mx_event_shown(all.v[i]));
	mx_events_clear(&all);
	mx_room_unref(&room);
}

static int
accept_begin(void **state)
{
	return house_begin(state);
}

static int
accept_end(void **state)
{
	covers_check(1);
	garbage_check();
	remote_clear();
	return house_end(state);
}
#define accept_case(fn) cmocka_unit_test_setup_teardown(fn, accept_begin, accept_end)

int
main(void)
{
	const struct CMUnitTest accept_tests[] = {
		accept_case(a_line_of_events_is_taken_in),
		accept_case(branches_come_together),
		accept_case(branches_survive_a_restart),
		accept_case(a_conflict_is_resolved),
		accept_case(what_did_not_last_is_left_out_of_a_timeline),
		accept_case(members_move_with_the_resolution),
		accept_case(what_is_forbidden_is_rejected),
		accept_case(what_is_missing_is_waited_for),
		accept_case(forgeries_are_dropped),
		accept_case(no_connection_is_held_while_keys_are_asked_for),
		accept_case(an_auth_event_that_is_missing_is_waited_for),
		accept_case(an_event_comes_with_the_state_before_it),
		accept_case(a_state_that_is_told_counts_beside_a_past_that_is_here),
		accept_case(the_newest_event_need_not_be_where_the_next_goes),
		accept_case(what_is_behind_a_soft_failure_is_no_extremity),
		accept_case(the_past_is_filled_in),
		accept_case(the_past_is_written_in_batches),
		accept_case(a_gap_goes_on_below_a_soft_failure),
		accept_case(what_waits_for_the_past_is_taken_in_with_it),
		accept_case(a_state_before_the_past_is_that_of_its_oldest_event_alone),
		accept_case(a_redaction_may_come_just_before_the_place_of_what_it_redacts),
		accept_case(a_redaction_of_what_was_altered_holds_for_the_whole),
		accept_case(a_told_state_is_not_made_anew_by_the_past),
		accept_case(a_gap_that_is_filled_leaves_the_room_well),
		accept_case(what_fills_a_gap_drives_no_extremity_out),
		accept_case(many_branches_are_joined),
		accept_case(branches_beyond_the_option_are_joined_at_once),
		accept_case(redactions_apply_by_power_or_server),
		accept_case(a_redaction_comes_before_what_it_redacts),
		accept_case(a_redaction_comes_in_one_batch_with_what_it_redacts),
		accept_case(a_redaction_is_shown_once_it_applies),
		accept_case(a_redaction_of_what_is_rejected_stays_hidden),
		accept_case(parts_of_the_graph_are_told),
		accept_case(a_ban_is_undone_by_the_resolution),
		accept_case(clients_see_nothing_of_what_was_refused),
		accept_case(what_became_of_events_is_explained),
		accept_case(any_order_makes_the_same_room),
		accept_case(a_second_event_of_an_id_is_dropped),
		accept_case(what_waits_is_limited),
	};

	guests_come();
	int failed = HOUSE_MAIN(accept_tests);

	guests_go();
	return failed;
}
