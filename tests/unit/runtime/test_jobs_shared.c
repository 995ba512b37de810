/* A job of one process among several: real processes on one PostgreSQL, of which one is killed,
 * paused, or slow while it is at work. The job is the worst there is: it looks whether there is
 * something to do, waits, and then does it without looking again. */
#include "config.h"

#include "tests/unit/support/unit.h"

#include "tests/unit/runtime/fake_plain.h"
#include "tests/unit/sql/place.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/runtime/jobs.h"
#include "core/runtime/lease.h"
#include "core/sql/db.h"

enum { LEASE = 800, EVERY = 100, HOUR = 3600000, PATIENCE = 60000 };

static const struct mx_sql MAKE = MX_SQL("CREATE TABLE work (done BIGINT NOT NULL)"),
			   FORGET = MX_SQL("DELETE FROM work"),
			   FREE = MX_SQL("DELETE FROM job_lease"),
			   NEW = MX_SQL("INSERT INTO work (done) VALUES (0)"),
			   OPEN = MX_SQL("SELECT count(*) FROM work WHERE done = 0"),
			   DO = MX_SQL("UPDATE work SET done = done + 1"),
			   MOST = MX_SQL("SELECT max(done) FROM work"),
			   DEAD = MX_SQL("INSERT INTO job_lease (name, holder, until, epoch, held) "
					 "VALUES ('worker/work', 'somebody', {now} + 500, 1, 1)");

static mx_error *
run_sql(struct mx_txn *tx, void *arg)
{
	return mx_query_run(mx_query(mx_txn_conn(tx), arg));
}

static mx_error *
run(struct mx_db *db, const struct mx_sql *sql)
{
	return mx_write(db, run_sql, (void *)(uintptr_t)sql);
}

static mx_error *
ask(struct mx_db *db, const struct mx_sql *sql, int64_t *out)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, sql);

	*out = mx_query_next(q) ? mx_col_int(q, 0) : -1;
	return mx_query_end(q);
}

/* ---- a process ---- */

static int orders = -1, reports = -1;
static bool waits;			/* for an order, before it does what it has begun */

static void
say(char what)
{
	if (write(reports, &what, 1) != 1)
		_exit(3);
}

static bool
ordered(void)
{
	char order;

	return read(orders, &order, 1) == 1;
}

static mx_error *
work(struct mx_module_self *self)
{
	struct mx_db *db = mx_self_core(self)->db;
	int64_t open;
	mx_error *e;

	MX_TRY(ask(db, &OPEN, &open));
	if (open == 0)
		return NULL;
	say('b');
	if (waits && !ordered())
		_exit(4);
	e = run(db, &DO);
	say(e == NULL ? 'd' : mx_error_is(e, MX_E_UNAVAILABLE) ? 'r' : 'x');
	waits = false;
	return e;
}

static const struct mx_job_row often[] = { { "work", EVERY, MX_ONE_PROCESS, work } },
			       seldom[] = { { "work", HOUR, MX_ONE_PROCESS, work } };
static const struct mx_module often_module = { MX_MODULE_HEAD("worker", "1", ""),
					       .jobs = MX_TABLE(often) },
			      seldom_module = { MX_MODULE_HEAD("worker", "1", ""),
						.jobs = MX_TABLE(seldom) };

struct process {
	pid_t pid;
	int orders, reports;
};

static void
live(const struct mx_module *descriptor)
{
	struct mx_core *core = mx_core_new("x");
	struct mx_module_self *self;

	if (mx_error_drop(place_open(&core->db, NULL)))
		_exit(5);
	core->shared = true;
	core->leases = mx_leases_new(core->db, LEASE);
	self = plain_module(core, descriptor);
	mx_jobs_new(core);
	plain_publish(core, self);
	if (mx_error_drop(mx_jobs_start(core)))
		_exit(6);
	while (true)
		pause();
}

/* Nothing of the database is open and no other thread runs: the child may have both. */
static struct process
start(const struct mx_module *descriptor, bool waiting)
{
	int to[2], from[2];
	struct process p;

	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	p.pid = fork();
	if (p.pid == 0) {
		close(to[1]);
		close(from[0]);
		orders = to[0];
		reports = from[1];
		waits = waiting;
		live(descriptor);
	}
	close(to[0]);
	close(from[1]);
	p.orders = to[1];
	p.reports = from[0];
	return p;
}

/* What it says next; 0: nothing in so long. */
static char
hear(const struct process *p, int ms)
{
	struct pollfd fd = { .fd = p->reports, .events = POLLIN };
	char what;

	if (poll(&fd, 1, ms) != 1 || read(p->reports, &what, 1) != 1)
		return 0;
	return what;
}

static void
order(const struct process *p)
{
	assert_int_equal(write(p->orders, "g", 1), 1);
}

static void
finish(struct process *p)
{
	kill(p->pid, SIGKILL);
	waitpid(p->pid, NULL, 0);
	close(p->orders);
	close(p->reports);
}

/* ---- the tests ---- */

static void
prepare(const struct mx_sql *more)
{
	struct mx_db *db;

	unit_ok(place_open(&db, NULL));
	unit_ok(run(db, &FREE));
	unit_ok(run(db, &FORGET));
	unit_ok(run(db, &NEW));
	if (more != NULL)
		unit_ok(run(db, more));
	mx_db_close(&db);
}

static int64_t
times_done(void)
{
	struct mx_db *db;
	int64_t n;

	unit_ok(place_open(&db, NULL));
	unit_ok(ask(db, &MOST, &n));
	mx_db_close(&db);
	return n;
}

static void
work_of_a_process_that_is_killed_is_taken_over(void **state)
{
	struct process one, two;
	int64_t began;

	(void)state;
	prepare(NULL);
	one = start(&often_module, true);
	assert_int_equal(hear(&one, PATIENCE), 'b');
	two = start(&often_module, false);
	assert_int_equal(hear(&two, 2 * LEASE), 0);
	began = mx_monotonic_us();
	kill(one.pid, SIGKILL);
	assert_int_equal(hear(&two, PATIENCE), 'b');
	print_message("taken over after %lld ms with leases of %d ms\n",
		      (long long)(mx_monotonic_us() - began) / 1000, LEASE);
	assert_int_equal(hear(&two, PATIENCE), 'd');
	finish(&one);
	finish(&two);
	assert_int_equal(times_done(), 1);
}

static void
who_was_paused_beyond_its_lease_does_no_harm(void **state)
{
	struct process one, two;

	(void)state;
	prepare(NULL);
	one = start(&often_module, true);
	assert_int_equal(hear(&one, PATIENCE), 'b');
	kill(one.pid, SIGSTOP);
	two = start(&often_module, false);
	assert_int_equal(hear(&two, PATIENCE), 'b');
	assert_int_equal(hear(&two, PATIENCE), 'd');
	kill(one.pid, SIGCONT);
	order(&one);
	assert_int_equal(hear(&one, PATIENCE), 'r');
	finish(&two);
	assert_int_equal(times_done(), 1);
	/* It is as good as any other from then on. */
	prepare(NULL);
	assert_int_equal(hear(&one, PATIENCE), 'b');
	assert_int_equal(hear(&one, PATIENCE), 'd');
	finish(&one);
}

static void
who_is_slow_is_left_alone(void **state)
{
	struct process one, two;

	(void)state;
	prepare(NULL);
	one = start(&often_module, true);
	assert_int_equal(hear(&one, PATIENCE), 'b');
	two = start(&often_module, false);
	assert_int_equal(hear(&two, 4 * LEASE), 0);
	order(&one);
	assert_int_equal(hear(&one, PATIENCE), 'd');
	assert_int_equal(hear(&two, 2 * LEASE), 0);
	finish(&one);
	finish(&two);
	assert_int_equal(times_done(), 1);
}

static void
who_starts_goes_on_with_what_a_dead_one_left(void **state)
{
	struct process one;

	(void)state;
	prepare(&DEAD);
	one = start(&seldom_module, false);
	assert_int_equal(hear(&one, 20000), 'b');
	assert_int_equal(hear(&one, PATIENCE), 'd');
	finish(&one);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(work_of_a_process_that_is_killed_is_taken_over),
		unit_case(who_was_paused_beyond_its_lease_does_no_harm),
		unit_case(who_is_slow_is_left_alone),
		unit_case(who_starts_goes_on_with_what_a_dead_one_left),
	};
	struct mx_db *db;

	if (!place_start())
		return 77;
	unit_ok(place_open(&db, NULL));
	unit_ok(mx_migrate_set(db, &mx_lease_tables));
	unit_ok(run(db, &MAKE));
	mx_db_close(&db);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	place_stop();
	return failed;
}
