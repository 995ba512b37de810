/* The room doctor: each kind of damage is named, and mended where it can be. */
#include "config.h"

#include "core/room/doctor.h"
#include "tests/unit/room/remote.h"

static struct mx_room *room;
static struct mx_event *topic, *said, *joined;

/* A room with a little history. */
static void
make_room(const char *version)
{
	room = house_room(version, "shared");
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(house_send(room, &alice, "m.room.topic", "", "{\"topic\":\"one\"}", &topic));
	said = house_say(room, &bob, "hello");
	for (int i = 0; i < 40; i++) {
		char content[64];

		snprintf(content, sizeof(content), "{\"topic\":\"number %d\"}", i);
		unit_ok(house_send(room, &alice, "m.room.topic", "", content, NULL));
	}
	unit_ok(house_member(room, &alice, &carol, "invite"));
	unit_ok(house_member(room, &bob, &bob, "leave"));
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.member"), mx_str_of(bob.id), &joined));
	mx_event_unref(&(struct mx_event *){ house_say(room, &bob, "bye") });
}

static void
end_room(void)
{
	mx_event_unref(&topic);
	mx_event_unref(&said);
	mx_event_unref(&joined);
	mx_room_unref(&room);
}

/* As after a restart: what was read before the damage does not hide it. */
static void
restart(void)
{
	char *id = mx_str_dup(mx_room_id(room));

	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
	free(id);
}

static mx_error *
run_sql(struct mx_txn *tx, void *arg)
{
	const struct mx_sql s = { arg };

	return mx_query_run(mx_query(mx_txn_conn(tx), &s));
}

static void __attribute__((format(printf, 1, 2)))
damage(const char *format, ...)
{
	/* Statements are found again by their address. */
	char *sql = NULL;
	va_list args;

	va_start(args, format);
	assert_true(vasprintf(&sql, format, args) > 0);
	va_end(args);
	unit_ok(mx_write(db, run_sql, sql));
	free(sql);
	restart();
}

static struct mx_checkup
check(bool repair)
{
	struct mx_checkup c = { .repair = repair, .signatures = true };

	unit_ok(mx_room_checkup(rooms, conn, room, &c));
	return c;
}

static void
healthy_(int line)
{
	struct mx_checkup c = check(false);

	if (c.found > 0) {
		print_error("%s of %s: %s\n", mx_ailment_name(c.v[0].what), c.v[0].id, c.v[0].words);
		_fail(__FILE__, line);
	}
}
#define healthy() healthy_(__LINE__)

/* The damage is what is found first, at this event; mending it makes the room whole. */
static void
found_and_mended_(enum mx_ailment what, const struct mx_event *at, bool mends, int line)
{
	struct mx_checkup c = check(false);

	if (c.found == 0 || c.v[0].what != what || c.mended != 0 ||
	    (at != NULL && !mx_str_eq(mx_str_of(c.v[0].id), mx_event_id(at)))) {
		print_error("found %llu, the first: %s of %s: %s\n", (unsigned long long)c.found,
			    c.n > 0 ? mx_ailment_name(c.v[0].what) : "", c.n > 0 ? c.v[0].id : "",
			    c.n > 0 ? c.v[0].words : "");
		_fail(__FILE__, line);
	}
	c = check(true);
	if (c.found == 0 || (c.mended == c.found) != mends) {
		print_error("found %llu, mended %llu\n", (unsigned long long)c.found,
			    (unsigned long long)c.mended);
		_fail(__FILE__, line);
	}
	restart();
	if (mends)
		healthy_(line);
}
#define found_and_mended(what, at, mends) found_and_mended_(what, at, mends, __LINE__)

static void
a_healthy_room_is_found_healthy(void **state)
{
	struct mx_checkup c;

	(void)state;
	make_room("11");
	c = check(false);
	assert_int_equal(c.found, 0);
	assert_int_equal(c.events, 52);
	assert_int_equal(c.members, 3);
	assert_int_equal(c.untold, 0);
	c = check(true);
	assert_int_equal(c.found, 0);
	assert_int_equal(c.mended, 0);
	end_room();
	make_room("12");
	healthy();
	end_room();
	make_room("1");
	healthy();
	end_room();
}

static void
bytes_that_are_no_event_and_ids_of_others_are_named(void **state)
{
	(void)state;
	make_room("11");
	damage("UPDATE event SET json = '{\"type\":' WHERE nid = %lld", (long long)said->nid);
	found_and_mended(MX_AIL_BYTES, said, false);
	damage("UPDATE event SET json = '%.*s' WHERE nid = %lld", MX_SFMT(mx_event_json(said)),
	       (long long)said->nid);
	healthy();
	damage("UPDATE event SET json = REPLACE(json, '\"depth\":', '\"depth\":1') WHERE nid = %lld",
	       (long long)said->nid);
	found_and_mended(MX_AIL_ID, said, false);
	end_room();
}

static void
content_that_is_not_what_was_hashed_is_redacted(void **state)
{
	struct mx_event *got;

	(void)state;
	make_room("11");
	damage("UPDATE event SET json = REPLACE(json, 'hello', 'jello') WHERE nid = %lld",
	       (long long)said->nid);
	found_and_mended(MX_AIL_CONTENT, said, true);
	unit_ok(mx_event_get(rooms, conn, mx_event_id(said), &got));
	assert_true(mx_event_redacted(got));
	unit_text(mx_event_content(got), "{}");
	mx_event_unref(&got);
	end_room();
}

static void
columns_follow_the_event(void **state)
{
	static const char *const columns[] = { "type = type + 1",     "sender = 1",
					       "depth = depth + 1",   "ts = 5",
					       "id_hash = id_hash + 1", "state_key = NULL" };

	(void)state;
	make_room("11");
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++) {
		damage("UPDATE event SET %s WHERE nid = %lld", columns[i], (long long)topic->nid);
		found_and_mended(MX_AIL_COLUMNS, topic, true);
	}
	end_room();
}

static void
auth_chains_follow_from_the_events(void **state)
{
	(void)state;
	make_room("12");
	damage("DELETE FROM cover WHERE nid = %lld", (long long)topic->nid);
	found_and_mended(MX_AIL_COVER, topic, true);
	damage("DELETE FROM cover_above WHERE above = %lld", (long long)joined->nid);
	found_and_mended(MX_AIL_COVER, joined, true);
	damage("UPDATE cover SET auth = (SELECT root FROM event WHERE nid = %lld) WHERE nid = %lld",
	       (long long)topic->nid, (long long)topic->nid);
	found_and_mended(MX_AIL_COVER, topic, true);
	damage("UPDATE cover SET auth = (SELECT auth FROM cover WHERE nid = %lld) WHERE nid = %lld",
	       (long long)topic->nid, (long long)joined->nid);
	found_and_mended(MX_AIL_COVER, joined, true);
	end_room();
}

static void
states_follow_from_the_events(void **state)
{
	(void)state;
	make_room("11");
	/* The state after the topic is what it was before it. */
	damage("UPDATE event SET root = root_before WHERE nid = %lld", (long long)topic->nid);
	found_and_mended(MX_AIL_AFTER, topic, true);
	damage("UPDATE event SET root_before = NULL WHERE nid = %lld", (long long)topic->nid);
	found_and_mended(MX_AIL_BEFORE, topic, true);
	/* A message that is said to change the state, and one that has none. */
	damage("UPDATE event SET root_before = (SELECT root FROM event WHERE nid = %lld) WHERE nid = %lld",
	       (long long)joined->nid, (long long)said->nid);
	found_and_mended(MX_AIL_BEFORE, said, true);
	damage("UPDATE event SET root = NULL WHERE nid = %lld", (long long)said->nid);
	found_and_mended(MX_AIL_BEFORE, said, true);
	/* The room's state was another than its only extremity says. */
	damage("UPDATE event SET root_room = (SELECT root FROM event WHERE nid = %lld) WHERE nid = %lld",
	       (long long)topic->nid, (long long)joined->nid);
	found_and_mended(MX_AIL_ROOM, joined, true);
	end_room();
}

static void
parts_of_states_that_are_lost_are_stored_again(void **state)
{
	(void)state;
	make_room("11");
	/* All that this room has written: its events' numbers. */
	for (int i = 0; i < 3; i++) {
		struct mx_checkup c;

		damage("DELETE FROM state_node WHERE nid >= %lld AND nid %% 3 <> %d",
		       (long long)topic->nid * MX_NODES_PER_EVENT, i);
		c = check(false);
		assert_true(c.found > 0);
		assert_int_equal(c.v[0].what, MX_AIL_NODES);
		check(true);
		restart();
		healthy();
	}
	damage("UPDATE state_node SET data = (SELECT data FROM state_node ORDER BY nid LIMIT 1) "
	       "WHERE nid >= %lld", (long long)topic->nid * MX_NODES_PER_EVENT);
	found_and_mended(MX_AIL_NODES, topic, true);
	unit_ok(house_send(room, &alice, "m.room.topic", "", "{\"topic\":\"after\"}", NULL));
	healthy();
	end_room();
}

static void
members_and_counts_follow_from_the_state(void **state)
{
	(void)state;
	make_room("11");
	damage("DELETE FROM membership WHERE room = %lld AND \"user\" = %lld", (long long)room->nid,
	       (long long)bob.nid);
	found_and_mended(MX_AIL_MEMBERS, NULL, true);
	damage("UPDATE membership SET membership = 5 WHERE room = %lld AND \"user\" = %lld",
	       (long long)room->nid, (long long)bob.nid);
	found_and_mended(MX_AIL_MEMBERS, NULL, true);
	damage("UPDATE membership SET event = 1 WHERE room = %lld AND \"user\" = %lld",
	       (long long)room->nid, (long long)bob.nid);
	found_and_mended(MX_AIL_MEMBERS, NULL, true);
	damage("INSERT INTO membership (room, \"user\", membership, event, forgotten, local) "
	       "SELECT %lld, nid, 2, 1, 0, 0 FROM name WHERE nid <> %lld AND nid <> %lld AND nid <> %lld "
	       "ORDER BY nid LIMIT 1",
	       (long long)room->nid, (long long)alice.nid, (long long)bob.nid, (long long)carol.nid);
	found_and_mended(MX_AIL_MEMBERS, NULL, true);
	damage("UPDATE room SET joined = 7, invited = 0 WHERE nid = %lld", (long long)room->nid);
	found_and_mended(MX_AIL_COUNTS, NULL, true);
	assert_int_equal(mx_room_joined_count(room), 2);
	assert_int_equal(mx_room_invited_count(room), 1);
	damage("UPDATE room SET extremities = '%lld' WHERE nid = %lld", (long long)said->nid,
	       (long long)room->nid);
	found_and_mended(MX_AIL_EXTREMITIES, NULL, true);
	end_room();
}

/* A room of ours with guests, whose graph forks and comes together. */
static void
rooms_that_fork_are_healthy(void **state)
{
	struct mx_event *create, *levels, *rule, *join, *forks[4], *last = NULL;
	struct mx_arrival v[5];
	mx_str pdus[5];
	char *id;

	(void)state;
	make_room("11");
	id = mx_str_dup(mx_room_id(room));
	unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.create"), MX_S(""), &create));
	unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.power_levels"), MX_S(""), &levels));
	unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.join_rules"), MX_S(""), &rule));
	last = house_say(room, &alice, "come in");
	join = guest_event((struct guest_event){
		.room_id = id, .server = 1, .sender = "@g:server-1.example.org",
		.type = "m.room.member", .state_key = "@g:server-1.example.org",
		.content = "{\"membership\":\"join\"}", .prev = last, .auth = { create, levels, rule } });
	for (int i = 0; i < 4; i++) {
		char content[64];

		snprintf(content, sizeof(content), "{\"membership\":\"join\",\"displayname\":\"%d\"}", i);
		forks[i] = guest_event((struct guest_event){
			.room_id = id, .server = 1, .sender = "@g:server-1.example.org",
			.type = "m.room.member", .state_key = "@g:server-1.example.org",
			.content = content, .prev = i == 3 ? forks[0] : join,
			.auth = { create, levels, rule, i == 3 ? forks[0] : join } });
		pdus[i + 1] = mx_event_json(forks[i]);
	}
	pdus[0] = mx_event_json(join);
	unit_ok(mx_room_accept(rooms, conn, room, MX_S("server-1.example.org"), pdus, 5, v));
	for (int i = 0; i < 5; i++)
		assert_int_equal(v[i].fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(v, 5);
	healthy();
	damage("UPDATE event SET root_room = (SELECT root FROM event WHERE nid = %lld) "
	       "WHERE nid = (SELECT MAX(nid) FROM event WHERE room = %lld)",
	       (long long)topic->nid, (long long)room->nid);
	found_and_mended(MX_AIL_ROOM, NULL, true);
	mx_event_unref(&(struct mx_event *){ house_say(room, &alice, "together") });
	healthy();
	mx_event_unref(&create);
	mx_event_unref(&levels);
	mx_event_unref(&rule);
	mx_event_unref(&join);
	mx_event_unref(&last);
	for (int i = 0; i < 4; i++)
		mx_event_unref(&forks[i]);
	free(id);
	end_room();
}

/* An event that others have told the state for; then comes what it names, and is not accepted. Which
 * events were the room's ends was decided without it. */
static void
what_came_later_has_decided_nothing(void **state)
{
	const char *gina, *hugo;
	struct remote *last, *leave, *first, *lost, *late;
	struct remote_spec spec = { .type = "m.room.topic", .key = "" };
	mx_str pdus[REMOTE_STATE];
	struct mx_arrival v;
	char levels[256];
	struct mx_checkup c;

	(void)state;
	room = house_room("11", "shared");
	spec.sender = gina = remote_user(0, "gina");
	hugo = remote_user(1, "hugo");
	snprintf(levels, sizeof(levels), "{\"users\":{\"%s\":50}}", gina);
	unit_ok(house_send(room, &alice, "m.room.power_levels", "", levels, NULL));
	last = remote_member(room, 0, gina, gina, "join", remote_of(room));
	remote_accepted(room, last);
	last = remote_member(room, 1, hugo, hugo, "join", last);
	remote_accepted(room, last);
	leave = remote_member(room, 1, hugo, hugo, "leave", last);
	spec.content = "{\"topic\":\"what the room has as long as this is an end\"}";
	spec.ts = 1750000000000;
	spec.prev[0] = last;
	first = remote_event(room, spec);
	lost = remote_say(room, 1, hugo, first);
	spec.content = "{\"topic\":\"older by its clock\"}";
	spec.ts = 1700000000000;
	spec.prev[0] = lost;
	late = remote_event(room, spec);
	remote_accepted(room, leave);
	remote_accepted(room, first);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	for (size_t i = 0; i < lost->state_n; i++)
		pdus[i] = mx_event_json(lost->state[i]->ev);
	unit_ok(mx_room_accept_at(rooms, conn, room, mx_event_id(late->ev), pdus, lost->state_n,
				  NULL, 0, &v));
	assert_int_equal(v.fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(&v, 1);
	healthy();
	remote_fate(room, lost, MX_FATE_SOFT_FAILED, MX_REASON_CURRENT_STATE);
	healthy();
	c = check(false);
	assert_int_equal(c.untold, 1);
	mx_event_unref(&(struct mx_event *){ house_say(room, &alice, "together") });
	healthy();
	remote_clear();
	end_room();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		house_case(a_healthy_room_is_found_healthy),
		house_case(bytes_that_are_no_event_and_ids_of_others_are_named),
		house_case(content_that_is_not_what_was_hashed_is_redacted),
		house_case(columns_follow_the_event),
		house_case(auth_chains_follow_from_the_events),
		house_case(states_follow_from_the_events),
		house_case(parts_of_states_that_are_lost_are_stored_again),
		house_case(members_and_counts_follow_from_the_state),
		house_case(rooms_that_fork_are_healthy),
		house_case(what_came_later_has_decided_nothing),
	};

	guests_come();
	int failed = HOUSE_MAIN(tests);

	guests_go();
	return failed;
}
