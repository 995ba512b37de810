/* Events of other servers come in while people here talk, and while the server is killed. */
#include "config.h"

#include "tests/unit/room/remote.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define TALKERS 3
#define SERVERS 3
#define EVENTS 24		/* of each server */
#define ROUNDS 3

static const struct mx_sql TWICE =
	MX_SQL("SELECT id FROM event GROUP BY id HAVING COUNT(*) > 1 LIMIT 1");

static struct mx_event *theirs[SERVERS][EVENTS];
static char room_id[256];

/* ---- events of servers that do not hear each other ---- */

/* A room where the users of all servers are and may set the topic; and a line of events of each. */
static struct mx_room *
busy_room(void)
{
	struct mx_room *room = house_room("12", "shared");
	struct remote *last = remote_of(room);
	MX_AUTO(mx_buf) *content = mx_buf_new(0);

	mx_buf_str(content, MX_S("{\"state_default\":50,\"users\":{"));
	for (unsigned i = 0; i < SERVERS; i++) {
		const char *who = remote_user(i, "guest");

		last = remote_member(room, i, who, who, "join", last);
		remote_accepted(room, last);
		mx_buf_printf(content, "%s\"%s\":50", i > 0 ? "," : "", who);
	}
	mx_buf_str(content, MX_S("}}"));
	unit_ok(house_send(room, &alice, "m.room.power_levels", "", mx_buf_cstr(content), NULL));
	last = remote_of(room);
	for (unsigned i = 0; i < SERVERS; i++) {
		const char *who = remote_user(i, "guest");
		struct remote *at = last;

		for (unsigned k = 0; k < EVENTS; k++) {
			at = k % 4 == 1 ? remote_topic(room, i, who, "busy", at) :
					  remote_say(room, i, who, at);
			theirs[i][k] = mx_event_ref(at->ev);
		}
	}
	snprintf(room_id, sizeof(room_id), "%.*s", MX_SFMT(mx_room_id(room)));
	return room;
}

static void
busy_end(void)
{
	for (unsigned i = 0; i < SERVERS; i++)
		for (unsigned k = 0; k < EVENTS; k++)
			mx_event_unref(&theirs[i][k]);
	remote_clear();
}

static void
accept_some(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *room, unsigned server,
	    unsigned from, unsigned n)
{
	struct mx_arrival v[EVENTS];
	mx_str pdus[EVENTS] = { { NULL, 0 } };

	for (unsigned i = 0; i < n; i++)
		pdus[i] = mx_event_json(theirs[server][from + i]);
	mx_error *e;
	int tries = 0;

	/* Where the room moves on faster than the events are judged, they are to be handed in again. */
	do
		e = mx_room_accept(rs, c, room, (mx_str){ NULL, 0 }, pdus, n, v);
	while (mx_error_is(e, MX_E_UNAVAILABLE) && ++tries < 100 && mx_error_drop(e));
	unit_ok(e);
	for (unsigned i = 0; i < n; i++)
		if (v[i].fate != MX_FATE_ACCEPTED)
			fail_msg("%s: %s", mx_fate_name(v[i].fate), v[i].words);
	mx_arrivals_clear(v, n);
}

/* Every event of theirs is there, once; each event comes after those that it names; the room's state
 * is that of its extremities, whoever asks. */
static void
check_room(struct mx_room *room, size_t least)
{
	struct mx_events l = { 0 };
	bool more;

	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, 10000, false, &l, &more));
	assert_true(l.n >= least);
	for (size_t i = 0; i < l.n; i++) {
		struct mx_event_ids it = mx_event_prev(l.v[i]);
		mx_str id;

		while (mx_event_ids_next(&it, &id)) {
			MX_AUTO(mx_event) *prev = NULL;

			unit_ok(mx_event_get(rooms, conn, id, &prev));
			assert_true(mx_event_nid(prev) < mx_event_nid(l.v[i]));
		}
	}
	mx_events_clear(&l);
	/* What is said next joins everything. */
	MX_AUTO(mx_event) *ev = house_say(room, &alice, "all");
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str *ends;
	size_t n;

	unit_ok(mx_room_extremities(rooms, conn, room, a, &ends, &n));
	assert_int_equal(n, 1);
	assert_true(mx_str_eq(ends[0], mx_event_id(ev)));
	assert_true(mx_root_eq(mx_event_root_after(ev), mx_room_root(room)));
}

/* ---- at the same time ---- */

static void *
talk(void *arg)
{
	struct mx_room *room;
	struct mx_conn *c;

	(void)arg;
	unit_ok(mx_conn_get(db, &c));
	unit_ok(mx_room_get(rooms, c, mx_str_of(room_id), &room));
	for (int i = 0; i < EVENTS; i++) {
		MX_AUTO_JSON *content = house_json("{\"body\":\"x\"}");
		struct mx_draft d = house_draft(&alice, "m.room.message", NULL, content);

		unit_ok(mx_room_send(rooms, c, room, &d, 1, NULL));
	}
	mx_room_unref(&room);
	mx_conn_put(&c);
	return NULL;
}

static void *
bring(void *arg)
{
	unsigned server = (unsigned)(uintptr_t)arg;
	struct mx_room *room;
	struct mx_conn *c;

	unit_ok(mx_conn_get(db, &c));
	unit_ok(mx_room_get(rooms, c, mx_str_of(room_id), &room));
	for (unsigned i = 0; i < EVENTS; i += 3)
		accept_some(rooms, c, room, server, i, 3);
	mx_room_unref(&room);
	mx_conn_put(&c);
	return NULL;
}

static void
people_here_talk_while_others_events_come(void **state)
{
	struct mx_room *room = busy_room();
	pthread_t threads[TALKERS + SERVERS];

	(void)state;
	for (size_t i = 0; i < TALKERS + SERVERS; i++)
		pthread_create(&threads[i], NULL, i < TALKERS ? talk : bring,
			       (void *)(uintptr_t)(i - TALKERS));
	for (size_t i = 0; i < TALKERS + SERVERS; i++)
		pthread_join(threads[i], NULL);
	check_room(room, (TALKERS + SERVERS) * EVENTS);
	mx_room_unref(&room);
	house_again();
	unit_ok(mx_room_get(rooms, conn, mx_str_of(room_id), &room));
	check_room(room, (TALKERS + SERVERS) * EVENTS);
	mx_room_unref(&room);
	busy_end();
}

/* ---- two processes ---- */

struct porter {
	struct neighbour *where;
	unsigned first;
	pthread_t thread;
};

/* All events of all servers, from another server first. */
static void *
bring_all(void *arg)
{
	const struct porter *p = arg;
	struct neighbour *n = p->where;
	struct mx_room *room;

	unit_ok(mx_room_get(n->rooms, n->conn, mx_str_of(room_id), &room));
	for (unsigned k = 0; k < EVENTS; k += 4)
		for (unsigned i = 0; i < SERVERS; i++)
			accept_some(n->rooms, n->conn, room, (p->first + i) % SERVERS, k, 4);
	mx_room_unref(&room);
	return NULL;
}

static void
two_processes_get_the_same_events(void **state)
{
	struct neighbour here = { .rooms = rooms, .conn = conn }, there = { .sent = 0 };
	struct porter porters[2] = { { .where = &here }, { .where = &there, .first = 1 } };
	struct mx_room *room = busy_room();
	struct mx_events l = { 0 };
	bool more;

	(void)state;
	neighbour_open(&there);
	for (int i = 0; i < 2; i++)
		pthread_create(&porters[i].thread, NULL, bring_all, &porters[i]);
	for (int i = 0; i < 2; i++)
		pthread_join(porters[i].thread, NULL);
	neighbour_close(&there);
	check_room(room, SERVERS * EVENTS);
	/* Each once, in the timeline and beside it. */
	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, 10000, false, &l, &more));
	for (size_t i = 0; i < l.n; i++)
		for (size_t k = 0; k < i; k++)
			assert_false(mx_str_eq(mx_event_id(l.v[i]), mx_event_id(l.v[k])));
	mx_events_clear(&l);
	struct mx_query *q = mx_query(conn, &TWICE);

	assert_false(mx_query_next(q));
	unit_ok(mx_query_end(q));
	mx_room_unref(&room);
	busy_end();
}

/* ---- killed ---- */

static int acks;

/* The server that will be killed: each server's events come one by one, from where they were. */
static void
serve(const unsigned *from)
{
	struct mx_room *room;

	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	unit_ok(mx_room_get(rooms, conn, mx_str_of(room_id), &room));
	for (unsigned k = 0; k < EVENTS; k++)
		for (unsigned i = 0; i < SERVERS; i++) {
			if (k < from[i])
				continue;
			accept_some(rooms, conn, room, i, k, 1);
			if (write(acks, &i, sizeof(i)) != sizeof(i))
				_exit(3);
		}
	for (;;)
		pause();
}

static void
check_acked(const unsigned *acked)
{
	struct mx_room *room;
	char *report = NULL;

	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	house_user(&alice, "alice");
	unit_ok(mx_room_get(rooms, conn, mx_str_of(room_id), &room));
	for (unsigned i = 0; i < SERVERS; i++)
		for (unsigned k = 0; k < acked[i]; k++) {
			MX_AUTO(mx_event) *ev = NULL;

			unit_ok(mx_event_get(rooms, conn, mx_event_id(theirs[i][k]), &ev));
			assert_true(mx_event_shown(ev));
		}
	check_room(room, acked[0] + acked[1] + acked[2]);
	mx_room_unref(&room);
	house_down();
	unit_ok(mx_db_check(db, &report));
	free(report);
	mx_db_close(&db);
}

static void
what_was_taken_in_survives_being_killed(void **state)
{
	unsigned acked[SERVERS] = { 0 }, all = 0, i;
	struct mx_room *room;

	(void)state;
	unit_ok(place_open(&db, NULL));
	house_tests = 1;
	house_up(NULL);
	house_user(&alice, "alice");
	room = busy_room();
	mx_room_unref(&room);
	house_down();
	mx_db_close(&db);
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned stop = all + 11 + 5 * round;
		int ends[2], status;

		assert_int_equal(pipe(ends), 0);
		/* Nothing of the database is open and no other thread runs. */
		pid_t child = fork();

		if (child == 0) {
			close(ends[0]);
			acks = ends[1];
			serve(acked);
			_exit(1);
		}
		close(ends[1]);
		for (; all < stop && read(ends[0], &i, sizeof(i)) == sizeof(i); all++)
			acked[i]++;
		assert_int_equal(all, stop);
		kill(child, SIGKILL);
		for (; read(ends[0], &i, sizeof(i)) == sizeof(i); all++)
			acked[i]++;
		close(ends[0]);
		waitpid(child, &status, 0);
		assert_true(WIFSIGNALED(status));
		check_acked(acked);
	}
	busy_end();
}

int
main(void)
{
	const struct CMUnitTest busy_tests[] = {
		house_case(people_here_talk_while_others_events_come),
		house_case(two_processes_get_the_same_events),
	};
	const struct CMUnitTest kill_tests[] = {
		cmocka_unit_test(what_was_taken_in_survives_being_killed),
	};

	if (!place_start())
		return 77;
	guests_come();
	key = mx_signing_key_generate();
	int failed = cmocka_run_group_tests(kill_tests, NULL, NULL);

	unit_ok(place_open(&db, NULL));
	failed += cmocka_run_group_tests(busy_tests, NULL, NULL);
	mx_db_close(&db);
	mx_signing_key_free(&key);
	place_stop();
	guests_go();
	return failed;
}
