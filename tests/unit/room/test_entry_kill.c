/* A server that is killed while it comes into a room: afterwards it is in, or nothing of it is there,
 * and it can come in. */
#include "config.h"

#include "tests/unit/room/far.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 8

static int acks;	/* where the child writes a byte for each step; a second one when it is in */

static void
step(char what)
{
	if (write(acks, &what, 1) != 1)
		_exit(3);
}

/* The server that will be killed. */
static void
come_in(const char *text)
{
	struct mx_entry *e;
	struct mx_room *room;
	size_t n = strlen(text), piece = n / 20 + 1;

	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	unit_ok(begin(&e));
	for (size_t at = 0; at < n; at += piece) {
		unit_ok(mx_entry_feed(e, (mx_str){ text + at, n - at < piece ? n - at : piece }));
		step('.');
	}
	unit_ok(mx_entry_finish(e, conn, &room));
	step('!');
	pause();
}

/* Kills it once it has made so many steps; whether it was in. */
static bool
kill_after(const char *text, size_t steps)
{
	int ends[2], status;
	bool in = false;
	char what;

	assert_int_equal(pipe(ends), 0);
	/* Nothing of the database is open and no other thread runs: the child may have both. */
	pid_t child = fork();

	if (child == 0) {
		close(ends[0]);
		acks = ends[1];
		come_in(text);
		_exit(1);
	}
	close(ends[1]);
	for (size_t i = 0; i < steps && read(ends[0], &what, 1) == 1; i++)
		in = what == '!';
	kill(child, SIGKILL);
	while (read(ends[0], &what, 1) == 1)
		in = what == '!';
	close(ends[0]);
	waitpid(child, &status, 0);
	assert_true(WIFSIGNALED(status));
	return in;
}

/* *in: it is known to be in. */
static void
check(char *text, bool in)
{
	static struct mx_sql long_ago = MX_SQL("UPDATE entry SET at = 1");
	struct mx_room *room = NULL;
	mx_error *e;

	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	e = mx_room_get(rooms, conn, mx_str_of(far.id), &room);
	if (mx_error_is(e, MX_E_NOT_FOUND) && !in) {
		mx_error_free(&e);
		unit_ok(mx_write(db, run_sql, &long_ago));
		unit_ok(enter(text, &room));
	} else {
		unit_ok(e);
		free(text);
	}
	check_health(room);
	assert_int_equal(mx_room_joined_count(room), CROWD + 2);
	assert_int_equal(members(room, MX_MEMBER_JOIN), CROWD + 2);
	mx_event_unref(&(struct mx_event *){ house_say(room, &alice, "hello") });
	check_rest();
	mx_room_unref(&room);
	house_down();
	mx_db_close(&db);
}

static void
a_server_that_is_killed_is_in_or_can_come_in(void **state)
{
	/* Of twenty pieces; the last is once it is in, the one before while it finishes. */
	static const size_t steps[ROUNDS] = { 1, 4, 8, 12, 16, 19, 20, 21 };

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		house_tests = (unsigned)i + 1;
		unit_ok(place_open(&db, NULL));
		house_up(NULL);
		house_user(&alice, "alice");
		house_down();
		mx_db_close(&db);
		far_room("public");
		join_crowd(CROWD);
		char *text = answer();

		check(text, kill_after(text, steps[i]));
		far_end();
	}
}

int
main(void)
{
	const struct CMUnitTest kill_tests[] = {
		unit_case(a_server_that_is_killed_is_in_or_can_come_in),
	};

	if (!place_start())
		return 77;
	key = mx_signing_key_generate();
	guests_come();
	int failed = cmocka_run_group_tests(kill_tests, NULL, NULL);

	guests_go();
	mx_signing_key_free(&key);
	place_stop();
	return failed;
}
