/* Who may see which event: every visibility against every way of having been in the room. */
#include "config.h"

#include "tests/unit/room/house.h"

/* What bob does, in order, with a message of alice's before and after each step. */
struct story {
	const char *steps[4];		/* "invite", "join", "leave", "kick", "ban", NULL */
	const char *seen[4];		/* by visibility world_readable, shared, invited, joined: '1' for each message bob may see */
};

static const struct story STORIES[] = {
	{ { NULL }, { "1", "0", "0", "0" } },
	{ { "invite" }, { "11", "00", "01", "00" } },
	{ { "join" }, { "11", "11", "01", "01" } },
	{ { "invite", "join" }, { "111", "111", "011", "001" } },
	{ { "join", "leave" }, { "111", "110", "010", "010" } },
	{ { "join", "ban" }, { "111", "110", "010", "010" } },
	{ { "invite", "leave" }, { "111", "000", "010", "000" } },
	{ { "join", "leave", "join" }, { "1111", "1111", "0101", "0101" } },
	{ { "invite", "join", "kick" }, { "1111", "1110", "0110", "0010" } },
};
static const char *const VISIBILITIES[] = { "world_readable", "shared", "invited", "joined" };

static void
bob_does(struct mx_room *room, const char *step)
{
	if (strcmp(step, "invite") == 0 || strcmp(step, "ban") == 0)
		unit_ok(house_member(room, &alice, &bob, step));
	else if (strcmp(step, "kick") == 0)
		unit_ok(house_member(room, &alice, &bob, "leave"));
	else
		unit_ok(house_member(room, &bob, &bob, step));
}

static void
each_visibility_shows_what_it_should(void **state)
{
	(void)state;
	for (size_t v = 0; v < 4; v++)
		for (size_t s = 0; s < sizeof(STORIES) / sizeof(STORIES[0]); s++) {
			MX_AUTO(mx_room) *room = house_room("12", VISIBILITIES[v]);
			struct mx_events said = { 0 };
			char seen[8] = "";

			mx_events_add(&said, house_say(room, &alice, "0"));
			for (size_t i = 0; i < 4 && STORIES[s].steps[i] != NULL; i++) {
				bob_does(room, STORIES[s].steps[i]);
				mx_events_add(&said, house_say(room, &alice, "x"));
			}
			for (size_t i = 0; i < said.n; i++) {
				bool visible;

				unit_ok(mx_event_visible(rooms, conn, room, said.v[i], bob.nid,
							 mx_str_of(bob.id), &visible));
				seen[i] = visible ? '1' : '0';
			}
			if (strcmp(seen, STORIES[s].seen[v]) != 0)
				fail_msg("%s, story %zu: %s instead of %s", VISIBILITIES[v], s,
					 seen, STORIES[s].seen[v]);
			size_t n = 0;

			for (size_t i = 0; i < said.n; i++)
				n += seen[i] == '1';
			unit_ok(mx_events_filter_visible(rooms, conn, room, &said, bob.nid,
							 mx_str_of(bob.id)));
			assert_int_equal(said.n, n);
			mx_events_clear(&said);
		}
}

static bool
sees(struct mx_room *room, const struct house_user *who, const struct mx_event *ev)
{
	bool visible;

	unit_ok(mx_event_visible(rooms, conn, room, ev, who->nid, mx_str_of(who->id), &visible));
	return visible;
}

static void
a_change_of_visibility_counts_from_then_on(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "joined");
	MX_AUTO(mx_event) *hidden = house_say(room, &alice, "hidden"), *change = NULL, *open = NULL,
			  *closed = NULL, *world = NULL;

	(void)state;
	unit_ok(house_send(room, &alice, "m.room.history_visibility", "",
			   "{\"history_visibility\":\"shared\"}", &change));
	open = house_say(room, &alice, "open");
	unit_ok(house_member(room, &bob, &bob, "join"));
	assert_false(sees(room, &bob, hidden));
	assert_true(sees(room, &bob, change));
	assert_true(sees(room, &bob, open));
	unit_ok(house_send(room, &alice, "m.room.history_visibility", "",
			   "{\"history_visibility\":\"invited\"}", NULL));
	closed = house_say(room, &alice, "closed");
	unit_ok(house_member(room, &carol, &carol, "join"));
	assert_true(sees(room, &bob, closed));
	assert_false(sees(room, &carol, closed));
	assert_true(sees(room, &carol, open));
	unit_ok(house_send(room, &alice, "m.room.history_visibility", "",
			   "{\"history_visibility\":\"world_readable\"}", NULL));
	world = house_say(room, &alice, "world");
	struct house_user nobody = { .id = "", .nid = 0 };

	assert_true(sees(room, &nobody, world));
	assert_false(sees(room, &nobody, open));
}

static void
an_unknown_visibility_is_shared(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "org.example.nonsense");
	MX_AUTO(mx_event) *ev = house_say(room, &alice, "x");

	(void)state;
	assert_false(sees(room, &bob, ev));
	unit_ok(house_member(room, &bob, &bob, "join"));
	assert_true(sees(room, &bob, ev));
}

static void
ones_own_membership_is_always_visible(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "joined");
	MX_AUTO(mx_event) *kicked = NULL;

	(void)state;
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(house_member(room, &alice, &bob, "ban"));
	unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.member"), mx_str_of(bob.id),
			      &kicked));
	assert_true(sees(room, &bob, kicked));
	assert_false(sees(room, &carol, kicked));
}

static void
who_left_reads_the_room_as_it_was(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared"),
			 *world = house_room("12", "world_readable");
	struct mx_member m;
	mx_pos until;
	bool now;

	(void)state;
	unit_ok(mx_room_readable(rooms, conn, room, bob.nid, mx_str_of(bob.id), &now, &until));
	assert_false(now);
	assert_int_equal(until, 0);
	unit_ok(house_member(room, &alice, &bob, "invite"));
	unit_ok(mx_room_readable(rooms, conn, room, bob.nid, mx_str_of(bob.id), &now, &until));
	assert_false(now || until != 0);
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(mx_room_readable(rooms, conn, room, bob.nid, mx_str_of(bob.id), &now, &until));
	assert_true(now);
	unit_ok(house_member(room, &bob, &bob, "leave"));
	unit_ok(mx_room_member(rooms, conn, room, bob.nid, &m));
	unit_ok(mx_room_readable(rooms, conn, room, bob.nid, mx_str_of(bob.id), &now, &until));
	assert_false(now);
	assert_int_equal(until, m.event);
	unit_ok(mx_room_readable(rooms, conn, world, 0, MX_S(""), &now, &until));
	assert_true(now);
}

static void
a_shared_history_costs_no_statement(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_events said = { 0 };
	struct mx_member *list;
	size_t n;

	(void)state;
	unit_ok(mx_user_rooms(rooms, conn, alice.nid, a, &list, &n));
	for (int i = 0; i < 20; i++)
		mx_events_add(&said, house_say(room, &alice, "x"));
	unit_ok(mx_events_filter_visible(rooms, conn, room, &said, alice.nid, mx_str_of(alice.id)));
	mx_conn_statements(conn);
	unit_ok(mx_events_filter_visible(rooms, conn, room, &said, alice.nid, mx_str_of(alice.id)));
	assert_int_equal(said.n, 20);
	assert_int_equal(mx_conn_statements(conn), 0);
	mx_events_clear(&said);
}

/* ---- what is shown of a room ---- */

static void
an_invitation_shows_the_room_and_who_invites(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *list = NULL;
	size_t members = 0, i;
	json_t *ev;

	(void)state;
	unit_ok(house_send(room, &alice, "m.room.name", "", "{\"name\":\"n\"}", NULL));
	unit_ok(house_send(room, &alice, "org.example.secret", "", "{\"x\":1}", NULL));
	unit_ok(house_member(room, &alice, &bob, "invite"));
	unit_ok(mx_room_stripped(rooms, conn, room, bob.nid, b));
	unit_ok(mx_json_parse(mx_buf_view(b), &list));
	assert_int_equal(json_array_size(list), 5);	/* create, join rules, name, bob, alice */
	json_array_foreach(list, i, ev) {
		members += mx_str_eq(mx_json_str(ev, "type"), MX_S("m.room.member"));
		assert_false(mx_str_eq(mx_json_str(ev, "type"), MX_S("org.example.secret")));
		assert_null(json_object_get(ev, "event_id"));
	}
	assert_int_equal(members, 2);
}

static void
a_summary_says_what_the_state_says(void **state)
{
	MX_AUTO(mx_room) *room = house_room("12", "world_readable");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_room_summary s;

	(void)state;
	unit_ok(house_send(room, &alice, "m.room.name", "", "{\"name\":\"n\"}", NULL));
	unit_ok(house_send(room, &alice, "m.room.topic", "", "{\"topic\":5}", NULL));
	unit_ok(house_send(room, &alice, "m.room.guest_access", "",
			   "{\"guest_access\":\"can_join\"}", NULL));
	unit_ok(mx_room_summary(rooms, conn, room, a, &s));
	unit_text(s.name, "n");
	unit_text(s.topic, "");
	unit_text(s.join_rule, "public");
	unit_text(s.history_visibility, "world_readable");
	unit_text(s.encryption, "");
	assert_true(s.world_readable && s.guest_can_join && s.federate);
	assert_int_equal(s.joined, 1);
}

static mx_str
name_of(struct mx_room *room, struct mx_arena *a, size_t joined)
{
	struct mx_room_summary s;

	unit_ok(mx_room_summary(rooms, conn, room, a, &s));
	assert_int_equal(s.joined, joined);
	unit_text(s.join_rule, "public");
	return s.name;
}

static void
a_summary_is_kept_while_it_is_true(void **state)
{
	enum { LONG = 3000 };
	MX_AUTO(mx_room) *room = house_room("12", "shared");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_event) *name = NULL;
	char content[LONG + 64], redacts[128];
	struct mx_room_summary s;

	(void)state;
	unit_ok(house_send(room, &alice, "m.room.name", "", "{\"name\":\"first\"}", NULL));
	unit_text(name_of(room, a, 1), "first");
	unit_text(name_of(room, a, 1), "first");
	/* Members are counted anew, a new state is looked at. */
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_text(name_of(room, a, 2), "first");
	unit_ok(house_send(room, &alice, "m.room.name", "", "{\"name\":\"second\"}", &name));
	unit_text(name_of(room, a, 2), "second");
	/* A redaction changes what the state says, but not the state. */
	snprintf(redacts, sizeof(redacts), "{\"redacts\":\"%.*s\"}", MX_SFMT(mx_event_id(name)));
	unit_ok(house_send(room, &alice, "m.room.redaction", NULL, redacts, NULL));
	unit_text(name_of(room, a, 2), "");
	/* Long texts are not kept, but told. */
	snprintf(content, sizeof(content), "{\"topic\":\"%0*d\"}", LONG, 7);
	unit_ok(house_send(room, &alice, "m.room.topic", "", content, NULL));
	for (int i = 0; i < 2; i++) {
		unit_ok(mx_room_summary(rooms, conn, room, a, &s));
		assert_int_equal(s.topic.n, LONG);
	}
}

int
main(void)
{
	const struct CMUnitTest visibility[] = {
		house_case(each_visibility_shows_what_it_should),
		house_case(a_change_of_visibility_counts_from_then_on),
		house_case(an_unknown_visibility_is_shared),
		house_case(ones_own_membership_is_always_visible),
		house_case(who_left_reads_the_room_as_it_was),
		house_case(a_shared_history_costs_no_statement),
		house_case(an_invitation_shows_the_room_and_who_invites),
		house_case(a_summary_says_what_the_state_says),
		house_case(a_summary_is_kept_while_it_is_true),
	};

	return HOUSE_MAIN(visibility);
}
