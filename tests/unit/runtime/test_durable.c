/* The durable hook: every event, in order, from where the module was told last, whatever happened
 * in between. */
#include "config.h"

#include "tests/unit/room/house.h"
#include "tests/unit/runtime/fake_plain.h"

#include <sys/wait.h>
#include <unistd.h>

#include "core/runtime/durable.h"
#include "core/runtime/hooks.h"
#include "core/runtime/lease.h"
#include "core/sql/db.h"

enum { TOLD_MAX = 4096, LEASE_MS = 1500 };

/* What the module was told, and how it is to behave. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t news;
	mx_pos told[TOLD_MAX];
	size_t n;
	unsigned fail;			/* the next times */
	bool hold, held;		/* the handler waits; it does */
	size_t exit_at;			/* the process ends in this call; 0: never */
	int tell;			/* a pipe */
} m = { .lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER, .tell = -1 };

static mx_error *
after(struct mx_module_self *self, struct mx_event *event, mx_pos position)
{
	bool fail;

	(void)self;
	assert_int_equal(mx_event_nid(event), position);
	pthread_mutex_lock(&m.lock);
	m.told[m.n++ % TOLD_MAX] = position;
	if (m.tell >= 0 && write(m.tell, &position, sizeof(position)) != sizeof(position))
		_exit(3);
	if (m.n == m.exit_at)
		_exit(9);
	m.held = m.hold;
	pthread_cond_broadcast(&m.news);
	while (m.hold)
		pthread_cond_wait(&m.news, &m.lock);
	m.held = false;
	fail = m.fail > 0;
	m.fail -= fail;
	pthread_mutex_unlock(&m.lock);
	return fail ? mx_error_new(MX_E_UNAVAILABLE, "not now") : NULL;
}
static const char *const topics[] = { "m.room.topic", NULL };
static const struct mx_hook_row all_hooks[] = { MX_ON(event_after, MX_PRIO_NORMAL, after) };
static const struct mx_hook_row topic_hooks[] = { MX_ON_TYPES(event_after, MX_PRIO_NORMAL, after,
							      topics) };
/* Each test has a module, and so a cursor, of its own; the database is the same. */
static char name[32];
static const struct mx_module all = { MX_MODULE_HEAD(name, "1", ""), .hooks = MX_TABLE(all_hooks) };
static const struct mx_module topic = { MX_MODULE_HEAD(name, "1", ""),
					.hooks = MX_TABLE(topic_hooks) };

static struct mx_core *core;
static struct mx_module_self *self;

static void
wait_told(size_t n)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&m.lock);
	while (m.n < n)
		if (pthread_cond_timedwait(&m.news, &m.lock, &until) != 0)
			fail_msg("told of %zu events, not of %zu", m.n, n);
	pthread_mutex_unlock(&m.lock);
}

static void
server_up(const struct mx_module *descriptor)
{
	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	core = mx_core_new("x");
	core->db = db;
	core->stream = stream;
	core->rooms = rooms;
	rooms->event_stored = mx_hooks_event_stored;
	rooms->arg = core;
	/* On PostgreSQL as one of several processes, each of which may tell. */
	core->shared = SHARED;
	if (core->shared) {
		unit_ok(mx_migrate_set(db, &mx_lease_tables));
		core->leases = mx_leases_new(db, LEASE_MS);
	}
	unit_ok(mx_migrate_set(db, &mx_durable_tables));
	mx_durable_new(core, mx_events_after);
	if (core->shared)
		mx_stream_follow(core->stream, mx_durable_foreign, core);
	if (descriptor != NULL) {
		self = plain_module(core, descriptor);
		unit_ok(mx_durable_adopt(core, self));
		plain_publish(core, self);
	}
	unit_ok(mx_durable_start(core));
}

static void
server_down(void)
{
	mx_durable_stop(core);
	plain_unpublish(core);
	if (core->shared)
		mx_stream_unfollow(stream, core);
	mx_leases_free(&core->leases);
	house_down();
	mx_db_close(&db);
	mx_durable_free(core);
	if (self != NULL)
		plain_free(&self);
	mx_core_free(&core);
}

static int
begin(void **state)
{
	house_tests++;
	snprintf(name, sizeof(name), "t-%u", house_tests);
	m.n = m.fail = 0;
	m.hold = false;
	unit_ok(place_open(&db, NULL));
	house_up(NULL);
	house_user(&alice, "alice");
	house_down();
	mx_db_close(&db);
	return unit_log_begin_(state);
}

static mx_pos
say(struct mx_room *room)
{
	struct mx_event *ev = house_say(room, &alice, "x");
	mx_pos pos = mx_event_nid(ev);

	mx_event_unref(&ev);
	return pos;
}

static void
module_is_told_of_every_event_in_order_from_its_load_on(void **state)
{
	enum { N = 300 };
	static mx_pos sent[N];

	(void)state;
	server_up(NULL);
	struct mx_room *room = house_room("12", "shared");

	say(room);
	self = plain_module(core, &all);
	unit_ok(mx_durable_adopt(core, self));
	plain_publish(core, self);
	unit_ok(mx_durable_changed(core));
	for (size_t i = 0; i < N; i++)
		sent[i] = say(room);
	wait_told(N);
	assert_int_equal(m.n, N);
	assert_memory_equal(m.told, sent, sizeof(sent));
	mx_room_unref(&room);
	server_down();
}

static void
module_gets_only_the_types_that_it_named(void **state)
{
	struct mx_event *ev;

	(void)state;
	server_up(&topic);
	struct mx_room *room = house_room("12", "shared");

	for (int i = 0; i < 100; i++)
		say(room);
	unit_ok(house_send(room, &alice, "m.room.topic", "", "{\"topic\":\"x\"}", &ev));
	wait_told(1);
	assert_int_equal(m.told[0], mx_event_nid(ev));
	mx_event_unref(&ev);
	mx_room_unref(&room);
	server_down();
}

static void
nothing_is_left_out_while_the_module_was_away(void **state)
{
	enum { AWAY = 150 };
	mx_pos first, sent[AWAY];
	char id[256];

	(void)state;
	server_up(&all);
	struct mx_room *room = house_room("12", "shared");

	snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
	first = say(room);
	/* The events of the room's creation came before. */
	wait_told(6);
	assert_int_equal(m.told[5], first);
	mx_room_unref(&room);
	server_down();

	server_up(NULL);
	unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &room));
	for (size_t i = 0; i < AWAY; i++)
		sent[i] = say(room);
	mx_room_unref(&room);
	server_down();
	assert_int_equal(m.n, 6);

	server_up(&all);
	wait_told(6 + AWAY);
	assert_memory_equal(&m.told[6], sent, sizeof(sent));
	server_down();
}

static void
failed_event_is_told_again_before_those_behind_it(void **state)
{
	(void)state;
	server_up(NULL);
	struct mx_room *room = house_room("12", "shared");

	self = plain_module(core, &all);
	unit_ok(mx_durable_adopt(core, self));
	plain_publish(core, self);
	m.fail = 1;
	unit_ok(mx_durable_changed(core));
	mx_pos one = say(room), two = say(room);

	wait_told(3);
	assert_int_equal(m.told[0], one);
	assert_int_equal(m.told[1], one);
	assert_int_equal(m.told[2], two);
	unit_expect_log("RUN030");
	mx_room_unref(&room);
	server_down();
}

static void
module_that_leaves_ends_after_the_event_in_hand(void **state)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	(void)state;
	server_up(NULL);
	struct mx_room *room = house_room("12", "shared");

	self = plain_module(core, &all);
	unit_ok(mx_durable_adopt(core, self));
	plain_publish(core, self);
	m.hold = true;
	unit_ok(mx_durable_changed(core));
	say(room);
	wait_told(1);
	/* As an unload does it: out of the registry first; it may be freed once the pin is gone. */
	plain_publish(core, NULL);
	/* Others who looked at the registry before it changed let go soon; the handler's call does not. */
	for (int i = 0; i < 10000 && atomic_load(&self->pins) > 1; i++)
		nanosleep(&ms, NULL);
	assert_int_equal(atomic_load(&self->pins), 1);
	say(room);
	pthread_mutex_lock(&m.lock);
	m.hold = false;
	pthread_cond_broadcast(&m.news);
	pthread_mutex_unlock(&m.lock);
	while (atomic_load(&self->pins) != 0)
		nanosleep(&ms, NULL);
	plain_free(&self);
	say(room);
	assert_int_equal(m.n, 1);

	/* It comes back, and is told of what it has missed. */
	self = plain_module(core, &all);
	unit_ok(mx_durable_adopt(core, self));
	plain_publish(core, self);
	unit_ok(mx_durable_changed(core));
	wait_told(3);
	assert_int_equal(m.told[0] + 1, m.told[1]);
	assert_int_equal(m.told[1] + 1, m.told[2]);
	mx_room_unref(&room);
	server_down();
}

/* A server that ends, as when it is killed, in the 100th call of the handler. */
static void
crash(int tell)
{
	m.tell = tell;
	m.exit_at = 100;
	server_up(&all);
	house_user(&alice, "alice");
	struct mx_room *room = house_room("12", "shared");

	for (;;)
		say(room);
}

static void
event_whose_handler_a_crash_cut_off_is_told_again(void **state)
{
	static mx_pos before[101];
	int ends[2], status;
	size_t n = 0;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	/* Nothing of the database is open and no other thread runs: the child may have both. */
	pid_t child = fork();

	if (child == 0) {
		close(ends[0]);
		crash(ends[1]);
		_exit(1);
	}
	close(ends[1]);
	while (n < 101 && read(ends[0], &before[n], sizeof(before[n])) == sizeof(before[n]))
		n++;
	close(ends[0]);
	waitpid(child, &status, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	assert_int_equal(n, 100);

	server_up(&all);
	wait_told(1);
	/* At least once: again from somewhere in the batch, without a gap to what was told for
	 * good. */
	assert_true(m.told[0] <= before[99]);
	assert_true(m.told[0] > before[0]);
	wait_told((size_t)(before[99] - m.told[0]) + 1);
	/* What was said behind the last that the dead one was told of may still be coming. */
	server_down();
	for (size_t i = 0; i + 1 < m.n; i++)
		assert_int_equal(m.told[i] + 1, m.told[i + 1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(event_whose_handler_a_crash_cut_off_is_told_again,
						begin, unit_log_end_),
		cmocka_unit_test_setup_teardown(
			module_is_told_of_every_event_in_order_from_its_load_on, begin,
			unit_log_end_),
		cmocka_unit_test_setup_teardown(module_gets_only_the_types_that_it_named, begin,
						unit_log_end_),
		cmocka_unit_test_setup_teardown(nothing_is_left_out_while_the_module_was_away,
						begin, unit_log_end_),
		cmocka_unit_test_setup_teardown(failed_event_is_told_again_before_those_behind_it,
						begin, unit_log_end_),
		cmocka_unit_test_setup_teardown(module_that_leaves_ends_after_the_event_in_hand,
						begin, unit_log_end_),
	};

	if (!place_start())
		return 77;
	key = mx_signing_key_generate();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	mx_signing_key_free(&key);
	place_stop();
	return failed;
}
