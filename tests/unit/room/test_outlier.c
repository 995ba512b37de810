/* Events outside of the timeline: verified in bulk. */
#include "config.h"

#include "tests/unit/room/guests.h"

#define MANY 64

static const struct mx_room_version *
eleven(void)
{
	return mx_room_version_find(MX_S("11"));
}

static struct mx_event *
message(unsigned server, unsigned n)
{
	char sender[64], content[64];

	snprintf(sender, sizeof(sender), "@u%u:server-%u.example.org", n, server);
	snprintf(content, sizeof(content), "{\"body\":\"number %u\",\"msgtype\":\"m.text\"}", n);
	return guest_event((struct guest_event){ .room_id = "!r:server-0.example.org",
						 .server = server,
						 .sender = sender,
						 .type = "m.room.message",
						 .content = content });
}

/* A copy in which `from` stands as `to`. */
static char *
changed(const struct mx_event *ev, const char *from, const char *to)
{
	mx_str json = mx_event_json(ev);
	char *text = mx_str_dup(json), *at = strstr(text, from), *out;

	assert_non_null(at);
	assert_true(asprintf(&out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
	free(text);
	return out;
}

static void
all_are_verified_and_each_key_is_asked_for_once(void **state)
{
	struct mx_event *made[MANY];
	struct mx_arrival v[MANY];
	mx_str pdus[MANY];

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		made[i] = message(i % GUEST_SERVERS, i);
		pdus[i] = mx_event_json(made[i]);
	}
	atomic_store(&guests.asked, 0);
	unit_ok(mx_verify_events(rooms, eleven(), pdus, MANY, v));
	assert_int_equal(atomic_load(&guests.asked), GUEST_SERVERS);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(v[i].fate, MX_FATE_ACCEPTED);
		assert_int_equal(v[i].reason, MX_REASON_NONE);
		assert_string_equal(v[i].words, "");
		assert_true(mx_str_eq(mx_event_id(v[i].event), mx_event_id(made[i])));
		mx_event_unref(&made[i]);
	}
	mx_arrivals_clear(v, MANY);
	unit_ok(mx_verify_events(rooms, eleven(), NULL, 0, NULL));
}

static void
what_is_wrong_is_dropped_with_its_reason_and_the_rest_stays(void **state)
{
	struct mx_event *good = message(1, 1), *ours = NULL;
	char *forged = changed(good, "\"depth\":1", "\"depth\":2"),
	     *tampered = changed(good, "number 1", "number 2"),
	     *stranger = changed(good, "server-1.example.org", "elsewhere.example"),
	     *unsigned_text = changed(good, "\"signatures\":{\"server-1",
				      "\"signatures\":{\"server-2"),
	     *crowded;
	MX_AUTO(mx_buf) *many = mx_buf_new(0);
	struct mx_arrival v[9];

	(void)state;
	for (int i = 0; i < 21; i++)
		mx_buf_printf(many, "%s\"$p%d\"", i > 0 ? "," : "\"prev_events\":[", i);
	crowded = changed(good, "\"prev_events\":[", mx_buf_cstr(many));
	struct mx_room *room = house_room("11", "shared");

	ours = house_say(room, &alice, "hello");
	const mx_str pdus[9] = { mx_event_json(good),
				 mx_str_of(forged),
				 mx_str_of(tampered),
				 mx_str_of(stranger),
				 mx_str_of(unsigned_text),
				 MX_S("{\"type\":"),
				 MX_S("[]"),
				 mx_str_of(crowded),
				 mx_event_json(ours) };
	static const struct {
		enum mx_fate fate;
		enum mx_reason reason;
	} expected[9] = {
		{ MX_FATE_ACCEPTED, MX_REASON_NONE },      { MX_FATE_DROPPED, MX_REASON_SIGNATURE },
		{ MX_FATE_ACCEPTED, MX_REASON_HASH },      { MX_FATE_DROPPED, MX_REASON_SIGNATURE },
		{ MX_FATE_DROPPED, MX_REASON_SIGNATURE },  { MX_FATE_DROPPED, MX_REASON_MALFORMED },
		{ MX_FATE_DROPPED, MX_REASON_MALFORMED },  { MX_FATE_DROPPED, MX_REASON_SIZE },
		{ MX_FATE_ACCEPTED, MX_REASON_NONE },
	};

	unit_ok(mx_verify_events(rooms, eleven(), pdus, 9, v));
	for (size_t i = 0; i < 9; i++) {
		assert_int_equal(v[i].fate, expected[i].fate);
		assert_int_equal(v[i].reason, expected[i].reason);
		assert_int_equal(v[i].event != NULL, v[i].fate == MX_FATE_ACCEPTED);
		assert_int_equal(v[i].words[0] != '\0', v[i].fate == MX_FATE_DROPPED);
	}
	assert_true(mx_event_redacted(v[2].event));
	unit_text(mx_event_content(v[2].event), "{}");
	mx_arrivals_clear(v, 9);
	mx_event_unref(&good);
	mx_event_unref(&ours);
	mx_room_unref(&room);
	free(forged);
	free(tampered);
	free(stranger);
	free(unsigned_text);
	free(crowded);
}

static void
without_a_key_nothing_of_others_is_taken(void **state)
{
	struct mx_event *ev = message(0, 1);
	mx_str pdu = mx_event_json(ev);
	struct mx_arrival v;

	(void)state;
	guests.away = true;
	unit_ok(mx_verify_events(rooms, eleven(), &pdu, 1, &v));
	guests.away = false;
	assert_int_equal(v.fate, MX_FATE_DROPPED);
	assert_int_equal(v.reason, MX_REASON_SIGNATURE);
	mx_event_unref(&ev);
}

/* ---- keys that others must be asked for ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned asked, inside;
} asking = { .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER };

/* The first takes its time; each of the rest waits until three are asked for at once. */
static bool
slow_key(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	pthread_mutex_lock(&asking.lock);
	if (asking.asked++ == 0) {
		int64_t start = mx_monotonic_us();

		while (mx_monotonic_us() - start < 5000)
			continue;
	} else {
		asking.inside++;
		pthread_cond_broadcast(&asking.more);
		while (asking.inside < 3)
			pthread_cond_wait(&asking.more, &asking.lock);
	}
	pthread_mutex_unlock(&asking.lock);
	return guest_key(arg, server, key_id, at, out);
}

static void
one_server_that_is_slow_does_not_hold_up_asking_the_others(void **state)
{
	struct mx_event *made[GUEST_SERVERS];
	struct mx_arrival v[GUEST_SERVERS];
	mx_str pdus[GUEST_SERVERS];

	(void)state;
	for (unsigned i = 0; i < GUEST_SERVERS; i++) {
		made[i] = message(i, i);
		pdus[i] = mx_event_json(made[i]);
	}
	rooms->verify_key = slow_key;
	unit_ok(mx_verify_events(rooms, eleven(), pdus, GUEST_SERVERS, v));
	assert_int_equal(asking.asked, GUEST_SERVERS);
	for (unsigned i = 0; i < GUEST_SERVERS; i++) {
		assert_int_equal(v[i].fate, MX_FATE_ACCEPTED);
		mx_event_unref(&made[i]);
	}
	mx_arrivals_clear(v, GUEST_SERVERS);
}

static void
long_words_are_cut_between_characters(void **state)
{
	struct mx_arrival v = { .event = NULL };
	char text[300];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + 198, "\xc3\xa9", 2);
	text[299] = '\0';
	mx_arrival_words(&v, text);
	assert_int_equal(strlen(v.words), 198);
	memset(text + 198, 'a', 2);
	mx_arrival_words(&v, text);
	assert_int_equal(strlen(v.words), 199);
	for (unsigned i = 0; i < MX_REASON_COUNT; i++)
		assert_string_not_equal(mx_reason_name((enum mx_reason)i), "unknown");
	for (unsigned i = 0; i < MX_FATE_COUNT; i++)
		assert_string_not_equal(mx_fate_name((enum mx_fate)i), "unknown");
}

/* ---- storing ---- */

#define ALICE "@alice:server-0.example.org"
#define BOB "@bob:server-1.example.org"

/* A room of another server: 0 create, 1 alice's join, 2 power levels, 3 public, 4 bob's join,
 * 5 bob's topic (which he may not set), 6 alice's name of the room. */
enum { CREATE, JOIN, LEVELS, PUBLIC, BOB_JOIN, TOPIC, NAME, HOUSE };

static void
make_house(struct mx_event *ev[HOUSE], const char *room_id)
{
	const struct guest_event all[HOUSE] = {
		{ .type = "m.room.create", .state_key = "", .content = "{\"room_version\":\"11\"}" },
		{ .type = "m.room.member", .state_key = ALICE,
		  .content = "{\"membership\":\"join\"}" },
		{ .type = "m.room.power_levels", .state_key = "",
		  .content = "{\"users\":{\"" ALICE "\":100}}" },
		{ .type = "m.room.join_rules", .state_key = "",
		  .content = "{\"join_rule\":\"public\"}" },
		{ .type = "m.room.member", .state_key = BOB, .sender = BOB, .server = 1,
		  .content = "{\"membership\":\"join\"}" },
		{ .type = "m.room.topic", .state_key = "", .sender = BOB, .server = 1,
		  .content = "{\"topic\":\"mine\"}" },
		{ .type = "m.room.name", .state_key = "", .content = "{\"name\":\"House\"}" },
	};
	static const int auth[HOUSE][5] = {
		{ -1 }, { CREATE, -1 }, { CREATE, JOIN, -1 }, { CREATE, JOIN, LEVELS, -1 },
		{ CREATE, LEVELS, PUBLIC, -1 }, { CREATE, LEVELS, BOB_JOIN, -1 },
		{ CREATE, LEVELS, JOIN, -1 },
	};

	for (int i = 0; i < HOUSE; i++) {
		struct guest_event g = all[i];

		g.room_id = room_id;
		if (g.sender == NULL)
			g.sender = ALICE;
		g.prev = i > 0 ? ev[i - 1] : NULL;
		for (int k = 0; auth[i][k] >= 0; k++)
			g.auth[k] = ev[auth[i][k]];
		ev[i] = guest_event(g);
	}
}

static void
end_house(struct mx_event *ev[HOUSE])
{
	for (int i = 0; i < HOUSE; i++)
		mx_event_unref(&ev[i]);
}

/* In memory a room of ours has the name that the guests' events have. */
static void
call_room(struct mx_room *room, const char *id)
{
	free(room->id);
	room->id = mx_str_dup(mx_str_of(id));
	room->id_n = strlen(id);
}

static struct mx_room *
guest_room(const char *id)
{
	struct mx_room *room = house_room("11", "shared");

	call_room(room, id);
	return room;
}

static void
each_is_judged_after_its_auth_events_whatever_the_order(void **state)
{
	struct mx_room *room = house_room("11", "shared");
	mx_nid nid = mx_room_nid(room);
	struct mx_event *ev[HOUSE];
	struct mx_arrival v[HOUSE + 1];
	mx_str pdus[HOUSE + 1];

	(void)state;
	/* Alice is of server 0, and so is the room that the events say they are of. */
	make_house(ev, "!r:server-0.example.org");
	for (int i = 0; i < HOUSE; i++)
		pdus[i] = mx_event_json(ev[HOUSE - 1 - i]);
	unit_ok(mx_outliers_store(rooms, conn, room, pdus, HOUSE, v));
	for (int i = 0; i < HOUSE; i++)
		assert_int_equal(v[i].reason, MX_REASON_ROOM);
	mx_arrivals_clear(v, HOUSE);
	call_room(room, "!r:server-0.example.org");
	pdus[HOUSE] = pdus[0];
	unit_ok(mx_outliers_store(rooms, conn, room, pdus, HOUSE + 1, v));
	for (int i = 0; i < HOUSE; i++) {
		struct mx_arrival *a = &v[HOUSE - 1 - i];

		if (i == TOPIC) {
			assert_int_equal(a->fate, MX_FATE_REJECTED);
			assert_int_equal(a->reason, MX_REASON_AUTH);
			assert_non_null(strstr(a->words, "power"));
		} else {
			assert_int_equal(a->fate, MX_FATE_ACCEPTED);
			assert_int_equal(a->reason, MX_REASON_NONE);
		}
		assert_true(a->event->nid < MX_OUTLIER_NID);
		assert_true(a->event->outlier);
	}
	assert_int_equal(v[HOUSE].reason, MX_REASON_KNOWN);
	assert_int_equal(v[HOUSE].fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(v, HOUSE + 1);

	/* They are there after a restart, with what they are, and known when they come again. */
	mx_room_unref(&room);
	house_again();
	for (int i = 0; i < HOUSE; i++) {
		MX_AUTO(mx_event) *got = NULL;

		unit_ok(mx_event_get(rooms, conn, mx_event_id(ev[i]), &got));
		assert_true(got->outlier);
		assert_int_equal(got->rejected, i == TOPIC);
		assert_true(mx_str_eq(mx_event_json(got), mx_event_json(ev[i])));
	}
	unit_ok(mx_room_by_nid(rooms, conn, nid, &room));
	call_room(room, "!r:server-0.example.org");
	unit_ok(mx_outliers_store(rooms, conn, room, pdus, HOUSE, v));
	for (int i = 0; i < HOUSE; i++) {
		assert_int_equal(v[i].reason, MX_REASON_KNOWN);
		assert_int_equal(v[i].fate,
				 HOUSE - 1 - i == TOPIC ? MX_FATE_REJECTED : MX_FATE_ACCEPTED);
	}
	mx_arrivals_clear(v, HOUSE);
	end_house(ev);
	mx_room_unref(&room);
}

static void
what_lacks_an_auth_event_is_not_kept(void **state)
{
	static const char id[] = "!lacks:server-0.example.org";
	struct mx_room *room = guest_room(id);
	struct mx_event *ev[HOUSE];
	struct mx_arrival v[HOUSE];
	mx_str pdus[HOUSE];
	size_t n = 0;

	(void)state;
	make_house(ev, id);
	for (int i = 0; i < HOUSE; i++)
		if (i != LEVELS)
			pdus[n++] = mx_event_json(ev[i]);
	unit_ok(mx_outliers_store(rooms, conn, room, pdus, n, v));
	for (size_t i = 0; i < n; i++) {
		bool rests = i > JOIN;	/* all later ones rest on the power levels */

		assert_int_equal(v[i].fate, rests ? MX_FATE_DROPPED : MX_FATE_ACCEPTED);
		assert_int_equal(v[i].reason, rests ? MX_REASON_MISSING_AUTH : MX_REASON_NONE);
		assert_int_equal(v[i].event == NULL, rests);
	}
	mx_arrivals_clear(v, n);
	/* Another time they come with it. */
	for (int i = 0; i < HOUSE; i++)
		pdus[i] = mx_event_json(ev[i]);
	unit_ok(mx_outliers_store(rooms, conn, room, pdus, HOUSE, v));
	for (int i = 0; i < HOUSE; i++)
		assert_int_equal(v[i].fate, i == TOPIC ? MX_FATE_REJECTED : MX_FATE_ACCEPTED);
	assert_int_equal(v[JOIN].reason, MX_REASON_KNOWN);
	assert_int_equal(v[LEVELS].reason, MX_REASON_NONE);
	mx_arrivals_clear(v, HOUSE);
	end_house(ev);
	mx_room_unref(&room);
}

static void
what_rests_on_a_rejected_event_is_rejected(void **state)
{
	static const char id[] = "!rests:server-0.example.org";
	struct mx_room *room = guest_room(id);
	struct mx_event *ev[HOUSE], *levels, *rests;
	struct mx_arrival v[HOUSE + 2];
	mx_str pdus[HOUSE + 2];

	(void)state;
	make_house(ev, id);
	levels = guest_event((struct guest_event){
		.room_id = id, .server = 1, .sender = BOB, .type = "m.room.power_levels",
		.state_key = "", .content = "{\"users\":{\"" BOB "\":100}}", .prev = ev[NAME],
		.auth = { ev[CREATE], ev[LEVELS], ev[BOB_JOIN] } });
	rests = guest_event((struct guest_event){
		.room_id = id, .server = 1, .sender = BOB, .type = "m.room.topic",
		.state_key = "", .content = "{\"topic\":\"mine\"}", .prev = levels,
		.auth = { ev[CREATE], levels, ev[BOB_JOIN] } });
	for (int i = 0; i < HOUSE; i++)
		pdus[i] = mx_event_json(ev[i]);
	pdus[HOUSE] = mx_event_json(rests);
	pdus[HOUSE + 1] = mx_event_json(levels);
	unit_ok(mx_outliers_store(rooms, conn, room, pdus, HOUSE + 2, v));
	/* bob's topic, his power levels */
	assert_int_equal(atomic_load(&rooms->arrived[MX_FATE_REJECTED][MX_REASON_AUTH]), 2);
	assert_int_equal(atomic_load(&rooms->arrived[MX_FATE_REJECTED][MX_REASON_AUTH_EVENTS]), 1);
	assert_int_equal(v[HOUSE + 1].fate, MX_FATE_REJECTED);
	assert_int_equal(v[HOUSE + 1].reason, MX_REASON_AUTH);
	assert_int_equal(v[HOUSE].fate, MX_FATE_REJECTED);
	assert_int_equal(v[HOUSE].reason, MX_REASON_AUTH_EVENTS);
	mx_arrivals_clear(v, HOUSE + 2);
	mx_event_unref(&levels);
	mx_event_unref(&rests);
	end_house(ev);
	mx_room_unref(&room);
}

static mx_error *
move_lowest(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql MOVE =
		MX_SQL("UPDATE event SET alias = nid, nid = $1 WHERE nid = $2");
	struct mx_query *q = mx_query(mx_txn_conn(tx), &MOVE);

	mx_bind_int(q, 1, mx_txn_pos(tx));
	mx_bind_int(q, 2, *(mx_nid *)arg);
	return mx_query_run(q);
}

/* An outlier that comes into the timeline keeps its number as an alias. */
static void
a_number_is_given_out_once(void **state)
{
	static const char id[] = "!once:server-0.example.org";
	struct mx_room *room = guest_room(id);
	struct mx_event *ev[HOUSE];
	struct mx_arrival v;
	mx_nid first, second;
	mx_str pdu;

	(void)state;
	make_house(ev, id);
	pdu = mx_event_json(ev[CREATE]);
	unit_ok(mx_outliers_store(rooms, conn, room, &pdu, 1, &v));
	first = v.event->nid;
	mx_arrivals_clear(&v, 1);
	unit_ok(mx_write(db, move_lowest, &first));
	pdu = mx_event_json(ev[JOIN]);
	unit_ok(mx_outliers_store(rooms, conn, room, &pdu, 1, &v));
	second = v.event->nid;
	mx_arrivals_clear(&v, 1);
	assert_true(second < first);
	end_house(ev);
	mx_room_unref(&room);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		house_case(all_are_verified_and_each_key_is_asked_for_once),
		house_case(what_is_wrong_is_dropped_with_its_reason_and_the_rest_stays),
		house_case(without_a_key_nothing_of_others_is_taken),
		house_case(each_is_judged_after_its_auth_events_whatever_the_order),
		house_case(what_lacks_an_auth_event_is_not_kept),
		house_case(what_rests_on_a_rejected_event_is_rejected),
		house_case(a_number_is_given_out_once),
		house_case(one_server_that_is_slow_does_not_hold_up_asking_the_others),
		house_case(long_words_are_cut_between_characters),
	};

	guests_come();
	int failed = HOUSE_MAIN(tests);

	guests_go();
	return failed;
}
