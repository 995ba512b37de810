/* Coming into rooms of other servers by the answer of /send_join. */
#include "config.h"

#include "tests/unit/room/covers.h"
#include "tests/unit/room/far.h"
#include "tests/unit/room/versions.h"

/* What is true of the room once alice is in it. */
static void
check_room(struct mx_room *room, size_t others)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_events timeline = { 0 }, state = { 0 };
	struct mx_member *mine;
	size_t n;
	bool more;

	assert_int_equal(mx_room_joined_count(room), others + 2);
	assert_int_equal(members(room, MX_MEMBER_JOIN), others + 2);
	assert_true(has_state(room, "m.room.create", "", far.create));
	assert_true(has_state(room, "m.room.power_levels", "", far.levels));
	assert_true(has_state(room, "m.room.member", alice.id, far.join));
	for (size_t i = 0; i < far.crowd_n; i++) {
		mx_str user = mx_event_sender(far.crowd[i]);
		MX_AUTO(mx_event) *got = NULL;

		unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.member"), user, &got));
		assert_true(mx_str_eq(mx_event_id(got), mx_event_id(far.crowd[i])));
		assert_true(got->outlier);
	}
	unit_ok(mx_state_all(rooms, conn, mx_room_root(room), &state));
	assert_int_equal(state.n, others + 6);
	unit_ok(mx_room_timeline(rooms, conn, room, INT64_MIN, INT64_MAX, 100, true, &timeline,
				 &more));
	assert_false(more);
	assert_int_equal(timeline.n, 1);
	assert_true(mx_str_eq(mx_event_id(timeline.v[0]), mx_event_id(far.join)));
	assert_true(timeline.v[0]->nid > 0);
	unit_ok(mx_events_filter_visible(rooms, conn, room, &timeline, alice.nid,
					 mx_str_of(alice.id)));
	assert_int_equal(timeline.n, 1);
	unit_ok(mx_user_rooms(rooms, conn, alice.nid, a, &mine, &n));
	assert_int_equal(n, 1);
	assert_int_equal(mine[0].room, room->nid);
	mx_events_clear(&timeline);
	mx_events_clear(&state);
	check_health(room);
}

/* Where nothing may be left. */
static void
check_nothing(void)
{
	struct mx_room *room;

	unit_refused(mx_room_get(rooms, conn, mx_str_of(far.id), &room), MX_E_NOT_FOUND);
	check_rest();
}

static void
the_room_is_there_with_its_state_and_one_can_talk(void **state)
{
	struct mx_room *room;
	struct mx_event *ev;

	(void)state;
	far_room("public");
	join_crowd(CROWD);
	unit_ok(enter(answer(), &room));
	check_room(room, CROWD);
	ev = house_say(room, &alice, "hello");
	assert_true(mx_str_eq(mx_event_room_id(ev), mx_str_of(far.id)));
	mx_event_unref(&ev);
	assert_int_equal(number("SELECT COUNT(*) FROM entry"), 0);
	mx_room_unref(&room);
	far_end();
}

static void
rooms_that_their_create_event_names_are_entered_too(void **state)
{
	struct mx_room *room;

	(void)state;
	far_version = "12";
	far_room("public");
	join_crowd(20);
	unit_ok(enter(answer(), &room));
	check_room(room, 20);
	mx_event_unref(&(struct mx_event *){ house_say(room, &alice, "hello") });
	mx_room_unref(&room);
	/* Without the event that the room's id names there is no room. */
	char *text;

	assert_true(asprintf(&text, "{\"state\":[%.*s]}", MX_SFMT(mx_event_json(far.owner))) > 0);
	far_end();
	house_tests += 1000;
	far_room("public");
	unit_refused(enter(text, &room), MX_E_BAD_JSON);
	house_tests -= 1000;
	check_nothing();
	far_end();
	far_version = "11";
}

static void
hand_in(struct mx_room *room, const struct mx_event *ev, enum mx_fate fate)
{
	mx_str pdu = mx_event_json(ev);
	struct mx_arrival v;

	unit_ok(mx_room_accept(rooms, conn, room, (mx_str){ NULL, 0 }, &pdu, 1, &v));
	if (v.fate != fate)
		fail_msg("%s: %s", mx_fate_name(v.fate), v.words);
	mx_arrivals_clear(&v, 1);
}

/* What one does in a room of each version: come in, talk, and hear the others. */
static void
rooms_of_every_version_are_entered(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		struct mx_room *room;
		struct mx_event *said;

		far_version = all_versions[i];
		house_tests += 1000;
		far_room("public");
		join_crowd(20);
		unit_ok(enter(answer(), &room));
		assert_int_equal(mx_room_joined_count(room), 22);
		assert_int_equal(members(room, MX_MEMBER_JOIN), 22);
		assert_true(has_state(room, "m.room.create", "", far.create));
		assert_true(has_state(room, "m.room.member", alice.id, far.join));
		check_health(room);
		mx_event_unref(&(struct mx_event *){ house_say(room, &alice, "hello") });
		said = guest_event((struct guest_event){
			.version = far_version, .room_id = far.id, .sender = OWNER,
			.type = "m.room.message", .content = "{\"body\":\"welcome\"}",
			.prev = far.join, .auth = { far.create, far.levels, far.owner } });
		hand_in(room, said, MX_FATE_ACCEPTED);
		mx_event_unref(&said);
		unit_ok(house_member(room, &alice, &alice, "leave"));
		/* One whose join the state forbids does not come in. */
		mx_room_unref(&room);
		far_end();
		house_tests += 1000;
		far_room("invite");
		unit_refused(enter(answer(), &room), MX_E_FORBIDDEN);
		check_nothing();
		far_end();
	}
	house_tests -= 2000 * (unsigned)ALL_VERSIONS;
	far_version = "11";
}

static void
it_is_there_after_a_restart(void **state)
{
	struct mx_room *room;

	(void)state;
	far_room("public");
	join_crowd(20);
	unit_ok(enter(answer(), &room));
	check_room(room, 20);
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_str_of(far.id), &room));
	check_room(room, 20);
	mx_event_unref(&(struct mx_event *){ house_say(room, &alice, "hello") });
	mx_room_unref(&room);
	far_end();
}

/* What was before our join comes in after all, from its beginning on: that changes nothing. */
static void
the_past_comes_after_the_join(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_room *room;
	struct mx_event *said;
	struct mx_arrival v;
	mx_str *ends;
	size_t n;

	(void)state;
	far_room("public");
	unit_ok(enter(answer(), &room));
	hand_in(room, far.create, MX_FATE_ACCEPTED);
	assert_true(has_state(room, "m.room.create", "", far.create));
	said = by_owner("m.room.message", NULL, "{}", far.join);
	hand_in(room, said, MX_FATE_ACCEPTED);
	mx_event_unref(&said);
	hand_in(room, far.levels, MX_FATE_WAITING);
	mx_str before[] = { mx_event_json(far.create), mx_event_json(far.owner),
			    mx_event_json(far.old_levels) };

	unit_ok(mx_room_accept_at(rooms, conn, room, mx_event_id(far.levels), before, 3, NULL, 0, &v));
	assert_int_equal(v.fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(&v, 1);
	unit_ok(mx_room_extremities(rooms, conn, room, a, &ends, &n));
	assert_int_equal(n, 1);
	assert_true(has_state(room, "m.room.member", alice.id, far.join));
	mx_room_unref(&room);
	far_end();
}

static void
what_the_rules_refuse_is_left_out_of_the_state(void **state)
{
	struct mx_event *topic, *by_topic, *member;
	struct mx_room *room;

	(void)state;
	far_room("public");
	join_crowd(10);
	/* What an ordinary member may not set, and what rests on it. */
	topic = guest_event((struct guest_event){
		.room_id = far.id, .server = 1, .sender = "@u1:server-1.example.org",
		.type = "m.room.topic", .state_key = "", .content = "{\"topic\":\"mine\"}",
		.prev = far.rule, .auth = { far.create, far.levels, far.crowd[1] } });
	by_topic = guest_event((struct guest_event){
		.room_id = far.id, .server = 1, .sender = "@u1:server-1.example.org",
		.type = "m.room.power_levels", .state_key = "",
		.content = "{\"users\":{\"@u1:server-1.example.org\":100}}", .prev = far.rule,
		.auth = { far.create, far.levels, far.crowd[1] } });
	member = guest_event((struct guest_event){
		.room_id = far.id, .server = 1, .sender = "@late:server-1.example.org",
		.type = "m.room.member", .state_key = "@late:server-1.example.org",
		.content = "{\"membership\":\"join\"}", .prev = far.rule,
		.auth = { far.create, by_topic, far.rule } });
	add(far.state, member);
	add(far.state, topic);
	add(far.chain, by_topic);
	unit_ok(enter(answer(), &room));
	assert_int_equal(atomic_load(&rooms->arrived[MX_FATE_REJECTED][MX_REASON_AUTH]), 2);
	assert_int_equal(atomic_load(&rooms->arrived[MX_FATE_REJECTED][MX_REASON_AUTH_EVENTS]), 1);
	assert_int_equal(atomic_load(&rooms->arrived[MX_FATE_ACCEPTED][MX_REASON_NONE]), 16);
	check_room(room, 10);
	assert_true(has_state(room, "m.room.topic", "", NULL));
	assert_int_equal(members(room, MX_MEMBER_NONE), 12);
	for (int i = 0; i < 3; i++) {
		const struct mx_event *all[] = { topic, by_topic, member };
		MX_AUTO(mx_event) *got = NULL;

		unit_ok(mx_event_get(rooms, conn, mx_event_id(all[i]), &got));
		assert_true(got->rejected);
	}
	assert_int_equal(number("SELECT COUNT(*) FROM event_fate f JOIN event e ON e.nid = f.nid "
				"WHERE f.reason IN (10, 11)"), 3);
	mx_event_unref(&topic);
	mx_event_unref(&by_topic);
	mx_event_unref(&member);
	mx_room_unref(&room);
	far_end();
}

static void
what_is_not_signed_or_lacks_an_auth_event_is_not_kept(void **state)
{
	struct mx_event *unknown, *member;
	struct mx_room *room;
	char *text, *at;

	(void)state;
	far_room("public");
	join_crowd(10);
	unknown = by_owner("m.room.power_levels", "", "{\"invite\":7}", far.rule);
	member = guest_event((struct guest_event){
		.room_id = far.id, .server = 1, .sender = "@late:server-1.example.org",
		.type = "m.room.member", .state_key = "@late:server-1.example.org",
		.content = "{\"membership\":\"join\"}", .prev = far.rule,
		.auth = { far.create, unknown, far.rule } });
	add(far.state, member);
	text = answer();
	/* One of the crowd says something else than it has signed. */
	at = strstr(text, "@u3:server-3");
	assert_non_null(at);
	at[2] = '9';
	assert_true(mx_event_id(far.crowd[9]).n > 0);
	unit_ok(enter(text, &room));
	assert_int_equal(atomic_load(&rooms->arrived[MX_FATE_DROPPED][MX_REASON_SIGNATURE]), 1);
	assert_int_equal(atomic_load(&rooms->arrived[MX_FATE_DROPPED][MX_REASON_MISSING_AUTH]), 1);
	assert_int_equal(mx_room_joined_count(room), 11);
	assert_int_equal(members(room, MX_MEMBER_NONE), 11);
	assert_true(has_state(room, "m.room.member", "@u3:server-3.example.org", NULL));
	assert_true(has_state(room, "m.room.member", "@late:server-1.example.org", NULL));
	struct mx_event *got;

	unit_refused(mx_event_get(rooms, conn, mx_event_id(member), &got), MX_E_NOT_FOUND);
	mx_event_unref(&unknown);
	mx_event_unref(&member);
	mx_room_unref(&room);
	far_end();
}

static void
a_state_that_is_none_is_refused_and_nothing_stays(void **state)
{
	struct mx_event *second;
	struct mx_room *room;
	char *text, *cut;

	(void)state;
	far_room("public");
	join_crowd(300);
	second = by_owner("m.room.join_rules", "", "{\"join_rule\":\"invite\"}", far.levels);
	/* Two events at one key. */
	size_t n = mx_buf_view(far.state).n;

	add(far.state, second);
	unit_refused(enter(answer(), &room), MX_E_BAD_JSON);
	check_nothing();
	/* No create event in the state. */
	mx_buf_truncate(far.state, n);
	assert_true(asprintf(&text, "{\"state\":[%s],\"auth_chain\":[%s]}", mx_buf_cstr(far.state),
			     mx_buf_cstr(far.chain)) > 0);
	unit_refused(enter(text, &room), MX_E_BAD_JSON);
	check_nothing();
	/* An answer that ends too early, one with a part of the state, one with another's join. */
	text = answer();
	text[strlen(text) - 1] = '\0';
	unit_refused(enter(text, &room), MX_E_NOT_JSON);
	check_nothing();
	text = answer();
	cut = strstr(text, "\"members_omitted\":false");
	memcpy(cut, "\"members_omitted\":true ", 23);
	unit_refused(enter(text, &room), MX_E_BAD_JSON);
	check_nothing();
	assert_true(asprintf(&text, "{\"event\":%.*s}", MX_SFMT(mx_event_json(far.crowd[0]))) > 0);
	unit_refused(enter(text, &room), MX_E_BAD_JSON);
	check_nothing();
	/* Then it works all the same. */
	mx_buf_truncate(far.state, n);
	unit_ok(enter(answer(), &room));
	check_room(room, 300);
	mx_room_unref(&room);
	mx_event_unref(&second);
	far_end();
}

static void
a_join_that_the_state_forbids_is_refused(void **state)
{
	struct mx_room *room;

	(void)state;
	far_room("invite");
	unit_refused(enter(answer(), &room), MX_E_FORBIDDEN);
	check_nothing();
	far_end();
}

static void
only_one_enters_and_what_a_killed_one_left_goes(void **state)
{
	static struct mx_sql long_ago = MX_SQL("UPDATE entry SET at = 1");
	struct mx_entry *first, *second;
	struct mx_room *room;
	char *text;

	(void)state;
	far_room("public");
	join_crowd(CROWD);
	text = answer();
	unit_ok(begin(&first));
	unit_ok(feed(first, text, 4096));
	unit_refused(begin(&second), MX_E_UNAVAILABLE);
	unit_refused(mx_room_get(rooms, conn, mx_str_of(far.id), &room), MX_E_NOT_FOUND);
	/* Its process is gone. */
	first->claimed = false;
	mx_entry_free(&first);
	assert_true(number("SELECT COUNT(*) FROM event e LEFT JOIN room r ON r.nid = e.room "
			   "WHERE r.nid IS NULL") > CROWD / 2);
	unit_ok(mx_write(db, run_sql, &long_ago));
	unit_ok(enter(text, &room));
	check_room(room, CROWD);
	check_rest();
	mx_room_unref(&room);
	far_end();
}

/* One that was taken for dead and comes back does no harm. */
static void
who_is_too_slow_loses_to_who_came_later(void **state)
{
	static struct mx_sql long_ago = MX_SQL("UPDATE entry SET at = 1");
	struct mx_entry *slow;
	struct mx_room *room, *none;
	char *text;

	(void)state;
	far_room("public");
	join_crowd(CROWD);
	text = answer();
	unit_ok(begin(&slow));
	unit_ok(feed(slow, text, 4096));
	unit_ok(mx_write(db, run_sql, &long_ago));
	unit_ok(enter(strdup(text), &room));
	unit_refused(mx_entry_finish(slow, conn, &none), MX_E_UNAVAILABLE);
	mx_entry_free(&slow);
	check_room(room, CROWD);
	mx_room_unref(&room);
	free(text);
	far_end();
}

static void
state_may_stand_in_the_auth_chain_before(void **state)
{
	struct mx_room *room;
	char *text;

	(void)state;
	far_room("public");
	join_crowd(CROWD);
	add(far.state, far.levels);
	add(far.state, far.visibility);
	add(far.state, far.create);
	/* All of it twice, in either order, and our join besides. */
	assert_true(asprintf(&text, "{\"auth_chain\":[%s,%s],\"state\":[%s,%.*s,%s]}",
			     mx_buf_cstr(far.state), mx_buf_cstr(far.chain), mx_buf_cstr(far.state),
			     MX_SFMT(mx_event_json(far.join)), mx_buf_cstr(far.state)) > 0);
	unit_ok(enter(text, &room));
	check_room(room, CROWD);
	mx_room_unref(&room);
	far_end();
}

static void
who_left_comes_back_to_what_has_become_of_the_room(void **state)
{
	struct mx_room *room, *again;
	struct mx_event *leave, *topic;
	mx_pos left;

	(void)state;
	far_room("public");
	join_crowd(40);
	size_t n = mx_buf_view(far.state).n;

	unit_ok(enter(answer(), &room));
	mx_event_unref(&(struct mx_event *){ house_say(room, &alice, "hello") });
	unit_ok(house_member(room, &alice, &alice, "leave"));
	left = mx_room_last(room);

	/* Meanwhile somebody has gone, somebody has come, and there is a topic. */
	mx_buf_truncate(far.state, n);
	leave = guest_event((struct guest_event){
		.room_id = far.id, .server = 1, .sender = "@new:server-1.example.org",
		.type = "m.room.member", .state_key = "@new:server-1.example.org",
		.content = "{\"membership\":\"join\"}", .prev = far.rule,
		.auth = { far.create, far.levels, far.rule } });
	topic = by_owner("m.room.topic", "", "{\"topic\":\"back\"}", far.levels);
	add(far.state, leave);
	add(far.state, topic);
	mx_event_unref(&far.join);
	far.join = our_join(&bob);
	unit_ok(enter(answer(), &again));
	assert_ptr_equal(room, again);
	assert_int_equal(mx_room_joined_count(room), 43);
	assert_int_equal(members(room, MX_MEMBER_JOIN), 43);
	assert_true(has_state(room, "m.room.topic", "", topic));
	assert_true(has_state(room, "m.room.member", bob.id, far.join));
	assert_true(has_state(room, "m.room.member", alice.id, NULL));
	assert_true(mx_room_last(room) > left);
	mx_event_unref(&(struct mx_event *){ house_say(room, &bob, "hello") });
	check_rest();
	house_again();
	mx_room_unref(&room);
	mx_room_unref(&again);
	unit_ok(mx_room_get(rooms, conn, mx_str_of(far.id), &room));
	assert_int_equal(mx_room_joined_count(room), 43);
	assert_int_equal(members(room, MX_MEMBER_JOIN), 43);
	assert_true(has_state(room, "m.room.topic", "", topic));
	mx_event_unref(&(struct mx_event *){ house_say(room, &bob, "hello") });
	assert_in_range(covers_check(1), 50, COVERS_MOST);
	mx_event_unref(&leave);
	mx_event_unref(&topic);
	mx_room_unref(&room);
	far_end();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		house_case(the_room_is_there_with_its_state_and_one_can_talk),
		house_case(rooms_that_their_create_event_names_are_entered_too),
		house_case(rooms_of_every_version_are_entered),
		house_case(it_is_there_after_a_restart),
		house_case(the_past_comes_after_the_join),
		house_case(what_the_rules_refuse_is_left_out_of_the_state),
		house_case(what_is_not_signed_or_lacks_an_auth_event_is_not_kept),
		house_case(a_state_that_is_none_is_refused_and_nothing_stays),
		house_case(a_join_that_the_state_forbids_is_refused),
		house_case(only_one_enters_and_what_a_killed_one_left_goes),
		house_case(who_is_too_slow_loses_to_who_came_later),
		house_case(state_may_stand_in_the_auth_chain_before),
		house_case(who_left_comes_back_to_what_has_become_of_the_room),
	};

	guests_come();
	int failed = HOUSE_MAIN(tests);

	guests_go();
	return failed;
}
