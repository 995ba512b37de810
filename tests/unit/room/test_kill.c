/* A server that is killed while it sends: what it has acknowledged is there, once, and nothing else
 * is half there. */
#include "config.h"

#include "tests/unit/room/house.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define TALKERS 8
#define ROUNDS 4

struct ack {
	char event[64];
};

static char room_id[256];
static int acks;			/* where a talker writes what was acknowledged */

static void *
talk(void *arg)
{
	const struct house_user *who = arg;
	struct mx_room *room;
	struct mx_conn *c;

	unit_ok(mx_conn_get(db, &c));
	unit_ok(mx_room_get(rooms, c, mx_str_of(room_id), &room));
	for (;;) {
		MX_AUTO_JSON *content = house_json("{\"body\":\"x\"}");
		struct mx_draft d = house_draft(who, "m.room.message", NULL, content);
		struct ack ack = { "" };
		struct mx_event *ev;

		if (mx_error_drop(mx_room_send(rooms, c, room, &d, 1, &ev)))
			_exit(2);
		snprintf(ack.event, sizeof(ack.event), "%.*s", MX_SFMT(mx_event_id(ev)));
		mx_event_unref(&ev);
		if (write(acks, &ack, sizeof(ack)) != sizeof(ack))
			_exit(3);
	}
	return NULL;
}

/* The server that will be killed, with these at work. */
static void
serve(void *(*work)(void *))
{
	pthread_t threads[TALKERS];

	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	house_user(&alice, "alice");
	for (int i = 0; i < TALKERS; i++)
		pthread_create(&threads[i], NULL, work, &alice);
	pthread_join(threads[0], NULL);
}

static void
check(const struct ack *acked, size_t n)
{
	struct mx_events l = { 0 };
	struct mx_room *room;
	char *report = NULL;
	bool more;

	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	unit_ok(mx_room_get(rooms, conn, mx_str_of(room_id), &room));
	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, 10000, false, &l, &more));
	for (size_t i = 1; i < l.n; i++) {
		struct mx_event_ids it = mx_event_prev(l.v[i]);
		mx_str prev;

		assert_true(mx_event_ids_next(&it, &prev));
		assert_true(mx_str_eq(prev, mx_event_id(l.v[i - 1])));
	}
	for (size_t k = 0; k < n; k++) {
		size_t times = 0;

		for (size_t i = 0; i < l.n; i++)
			times += mx_str_eq(mx_event_id(l.v[i]), mx_str_of(acked[k].event));
		assert_int_equal(times, 1);
	}
	/* and it goes on */
	house_user(&alice, "alice");
	struct mx_event *ev = house_say(room, &alice, "back");

	mx_event_unref(&ev);
	mx_events_clear(&l);
	mx_room_unref(&room);
	house_down();
	unit_ok(mx_db_check(db, &report));
	free(report);
	mx_db_close(&db);
}

/* A server that is killed once `stop` things were acknowledged; the new n. */
static size_t
kill_after(void *(*work)(void *), struct ack *acked, size_t max, size_t n, size_t stop)
{
	int ends[2], status;

	assert_int_equal(pipe(ends), 0);
	/* Nothing of the database is open and no other thread runs: the child may have both. */
	pid_t child = fork();

	if (child == 0) {
		close(ends[0]);
		acks = ends[1];
		serve(work);
		_exit(1);
	}
	close(ends[1]);
	while (n < stop && read(ends[0], &acked[n], sizeof(acked[n])) == sizeof(acked[n]))
		n++;
	assert_int_equal(n, stop);
	kill(child, SIGKILL);
	while (n < max && read(ends[0], &acked[n], sizeof(acked[n])) == sizeof(acked[n]))
		n++;
	close(ends[0]);
	waitpid(child, &status, 0);
	assert_true(WIFSIGNALED(status));
	return n;
}

static void
what_was_acknowledged_survives_being_killed(void **state)
{
	static struct ack acked[ROUNDS * 400];
	size_t n = 0;

	(void)state;
	house_tests = 1;
	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	house_user(&alice, "alice");
	struct mx_room *room = house_room("12", "shared");

	snprintf(room_id, sizeof(room_id), "%.*s", MX_SFMT(mx_room_id(room)));
	mx_room_unref(&room);
	house_down();
	mx_db_close(&db);
	for (int round = 0; round < ROUNDS; round++) {
		n = kill_after(talk, acked, sizeof(acked) / sizeof(acked[0]), n,
			       n + 100 + 37 * (size_t)round);
		check(acked, n);
	}
}

/* ---- two rooms at once ---- */

static mx_error *
link_drafts(struct mx_room *room, void *arg, const struct mx_draft **out, size_t *n)
{
	struct mx_draft *d = arg;
	static __thread char id[256];

	snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
	d->state_key = mx_str_of(id);
	*out = d;
	*n = 1;
	return NULL;
}

/* Makes rooms, each of which the first room names in its state. */
static void *
found(void *arg)
{
	const struct house_user *who = arg;
	struct mx_room *room;
	struct mx_conn *c;

	unit_ok(mx_conn_get(db, &c));
	unit_ok(mx_room_get(rooms, c, mx_str_of(room_id), &room));
	for (;;) {
		MX_AUTO_JSON *empty = house_json("{}");
		MX_AUTO_JSON *join = house_json("{\"membership\":\"join\"}");
		struct mx_draft d[] = { house_draft(who, "m.room.create", "", empty),
					house_draft(who, "m.room.member", who->id, join) };
		struct mx_draft child = house_draft(who, "m.space.child", "", empty);
		struct mx_along along = { .size = sizeof(along), .arg = &child, .other = room,
					  .drafts = link_drafts };
		struct ack ack = { "" };
		struct mx_room *new;

		if (mx_error_drop(mx_room_create_along(rooms, c, mx_room_version_find(MX_S("12")),
						       d, 2, &along, &new)))
			_exit(2);
		snprintf(ack.event, sizeof(ack.event), "%.*s", MX_SFMT(mx_room_id(new)));
		mx_room_unref(&new);
		if (write(acks, &ack, sizeof(ack)) != sizeof(ack))
			_exit(3);
	}
	return NULL;
}

static void
check_links(const struct ack *acked, size_t n)
{
	struct mx_events state = { 0 };
	struct mx_room *first;
	size_t links = 0, made = 0;

	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	unit_ok(mx_room_get(rooms, conn, mx_str_of(room_id), &first));
	unit_ok(mx_state_all(rooms, conn, mx_room_root(first), &state));
	for (size_t i = 0; i < state.n; i++) {
		struct mx_room *child;

		if (!mx_str_eq(mx_event_type(state.v[i]), MX_S("m.space.child")))
			continue;
		links++;
		unit_ok(mx_room_get(rooms, conn, mx_event_state_key(state.v[i]), &child));
		assert_int_equal(mx_room_joined_count(child), 1);
		mx_room_unref(&child);
	}
	for (mx_nid nid = mx_room_nid(first);;) {
		unit_ok(mx_rooms_next(rooms, conn, nid, &nid));
		if (nid == 0)
			break;
		made++;
	}
	assert_int_equal(links, made);
	for (size_t k = 0; k < n; k++) {
		MX_AUTO(mx_event) *ev = NULL;

		unit_ok(mx_room_state(rooms, conn, first, MX_S("m.space.child"),
				      mx_str_of(acked[k].event), &ev));
		assert_non_null(ev);
	}
	mx_events_clear(&state);
	mx_room_unref(&first);
	house_down();
	mx_db_close(&db);
}

static void
what_belongs_together_is_there_together(void **state)
{
	static struct ack acked[ROUNDS * 200];
	size_t n = 0;

	(void)state;
	house_tests = 2;
	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	house_user(&alice, "alice");
	struct mx_room *room = house_room("12", "shared");

	snprintf(room_id, sizeof(room_id), "%.*s", MX_SFMT(mx_room_id(room)));
	mx_room_unref(&room);
	house_down();
	mx_db_close(&db);
	for (int round = 0; round < ROUNDS; round++) {
		n = kill_after(found, acked, sizeof(acked) / sizeof(acked[0]), n,
			       n + 40 + 17 * (size_t)round);
		check_links(acked, n);
	}
}

int
main(void)
{
	const struct CMUnitTest kill_tests[] = {
		cmocka_unit_test(what_was_acknowledged_survives_being_killed),
		cmocka_unit_test(what_belongs_together_is_there_together),
	};

	if (!place_start())
		return 77;
	key = mx_signing_key_generate();
	int failed = cmocka_run_group_tests(kill_tests, NULL, NULL);

	mx_signing_key_free(&key);
	place_stop();
	return failed;
}
