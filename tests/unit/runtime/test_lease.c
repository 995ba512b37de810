/* What one process of several may do: who may, and what becomes of those who may no more, on each
 * kind of database. */
#include "config.h"

#include "tests/unit/sql/common.h"
#include "tests/unit/sql/place.h"

#include "core/base/clock.h"
#include "core/runtime/lease.h"
#include "core/sql/db.h"

#include <myelin/module.h>
#include <semaphore.h>
#include <time.h>

enum { LEASE = 400, HOUR = 3600000 };

static struct mx_db *db;
static struct mx_leases *one, *two;	/* two processes */

static const struct mx_sql MAKE = MX_SQL("CREATE TABLE done (n BIGINT NOT NULL)"),
			   DO = MX_SQL("INSERT INTO done (n) VALUES (1)"),
			   DONE = MX_SQL("SELECT count(*) FROM done"),
			   FORGET = MX_SQL("DELETE FROM done"),
			   FREE = MX_SQL("DELETE FROM job_lease"),
			   END = MX_SQL("UPDATE job_lease SET until = {now} - 1"),
			   FAR_AWAY = MX_SQL("UPDATE job_lease SET until = {now} + 100000000");

static mx_error *
run(const struct mx_sql *sql)
{
	struct do_sql what = { sql };

	return mx_write(db, do_sql_fn, &what);
}

static struct mx_lease *
take(struct mx_leases *ls, mx_msec *wait)
{
	struct mx_lease *l;

	assert_ok(mx_lease_take(ls, "m/job", HOUR, &l, wait));
	return l;
}

/* As soon as it can be had. */
static struct mx_lease *
take_over(struct mx_leases *ls)
{
	struct mx_lease *l;
	mx_msec wait;

	while ((l = take(ls, &wait)) == NULL)
		usleep((unsigned)wait * 1000);
	return l;
}

static int
begin(void **state)
{
	(void)state;
	one = mx_leases_new(db, LEASE);
	two = mx_leases_new(db, LEASE);
	assert_ok(run(&FREE));
	assert_ok(run(&FORGET));
	return 0;
}

static int
end(void **state)
{
	(void)state;
	mx_leases_free(&one);
	mx_leases_free(&two);
	return 0;
}

static void
one_process_has_it_as_long_as_it_lives(void **state)
{
	mx_msec wait;
	struct mx_lease *l = take(one, &wait), *other;
	int64_t until = mx_monotonic_us() + 3 * LEASE * 1000;

	(void)state;
	assert_non_null(l);
	/* Also beyond the end it had when it was taken. */
	while (mx_monotonic_us() < until) {
		assert_null(take(two, &wait));
		assert_in_range(wait, 1, LEASE + 1);
		usleep((unsigned)wait * 1000);
	}
	assert_ok(mx_lease_give(one, &l, 0));
	other = take_over(two);
	assert_null(take(one, &wait));
	assert_ok(mx_lease_give(two, &other, 0));
}

static void
what_is_given_back_rests(void **state)
{
	mx_msec wait;
	struct mx_lease *l = take(one, &wait);

	(void)state;
	assert_ok(mx_lease_give(one, &l, HOUR));
	assert_null(take(one, &wait));
	assert_in_range(wait, HOUR - 60000, HOUR + 1);
	assert_null(take(two, &wait));
	assert_in_range(wait, HOUR - 60000, HOUR + 1);
}

static mx_msec
far_off_ms(void *arg)
{
	(void)arg;
	return 10000000000000;
}

static int64_t
real_us(void *arg)
{
	struct timespec t;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void
clock_of_the_process_does_not_count(void **state)
{
	static const struct mx_clock clock = { far_off_ms, real_us, NULL };
	mx_msec wait;
	struct mx_lease *l;

	(void)state;
	mx_clock_replace(&clock);
	l = take(one, &wait);
	assert_non_null(l);
	assert_ok(mx_lease_give(one, &l, HOUR));
	mx_clock_replace(NULL);
	assert_null(take(two, &wait));
	assert_in_range(wait, HOUR - 60000, HOUR + 1);
}

static void
an_end_that_nobody_can_have_meant_does_not_count(void **state)
{
	mx_msec wait;
	struct mx_lease *l = take(one, &wait);

	(void)state;
	assert_ok(mx_lease_give(one, &l, HOUR));
	/* The database's clock was ahead, and is put right. */
	assert_ok(run(&FAR_AWAY));
	l = take(two, &wait);
	assert_non_null(l);
	assert_ok(mx_lease_give(two, &l, 0));
}

/* Counts what is done when its fate is known. */
static void
landed(void *arg, mx_error *e)
{
	sem_t *done = arg;

	assert_true(mx_error_is(e, MX_E_UNAVAILABLE));
	mx_error_free(&e);
	sem_post(done);
}

static void
who_has_lost_it_writes_nothing_more(void **state)
{
	mx_msec wait;
	struct mx_lease *l = take(one, &wait), *other;
	struct do_sql sql = { &DO };
	sem_t done;

	(void)state;
	sem_init(&done, 0, 0);
	mx_lease_enter(l);
	assert_ok(run(&DO));
	assert_true(mx_run_is_ours());
	/* As if it had been paused. */
	mx_lease_leave();
	while ((other = take(two, &wait)) == NULL)
		assert_ok(run(&END));
	mx_lease_enter(l);
	assert_code(run(&DO), MX_E_UNAVAILABLE);
	assert_code(mx_write_aside(db, do_sql_fn, &sql), MX_E_UNAVAILABLE);
	mx_write_later(db, do_sql_fn, landed, &done);
	sem_wait(&done);
	/* It is told so, too, without writing. */
	while (mx_run_is_ours())
		usleep(1000);
	mx_lease_leave();
	assert_true(mx_run_is_ours());
	assert_ok(mx_lease_give(one, &l, HOUR));

	/* That did not give the other's away. */
	mx_lease_enter(other);
	assert_ok(run(&DO));
	mx_lease_leave();
	assert_ok(mx_lease_give(two, &other, 0));
	assert_int_equal(ask_int(db, &DONE), 2);
	sem_destroy(&done);
}

static void
count_name(void *arg, mx_str name)
{
	assert_true(mx_str_eq(name, MX_S("m/job")));
	++*(int *)arg;
}

static void
who_comes_sees_what_is_in_hand(void **state)
{
	mx_msec wait;
	struct mx_lease *l = take(one, &wait);
	int n = 0;

	(void)state;
	assert_ok(mx_leases_held(two, count_name, &n));
	assert_int_equal(n, 1);
	assert_ok(mx_lease_give(one, &l, HOUR));
	assert_ok(mx_leases_held(two, count_name, &n));
	assert_int_equal(n, 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_process_has_it_as_long_as_it_lives, begin, end),
		cmocka_unit_test_setup_teardown(what_is_given_back_rests, begin, end),
		cmocka_unit_test_setup_teardown(clock_of_the_process_does_not_count, begin, end),
		cmocka_unit_test_setup_teardown(an_end_that_nobody_can_have_meant_does_not_count,
						begin, end),
		cmocka_unit_test_setup_teardown(who_has_lost_it_writes_nothing_more, begin, end),
		cmocka_unit_test_setup_teardown(who_comes_sees_what_is_in_hand, begin, end),
	};
	int failed;

	if (!place_start()) {
		printf("1..0 # SKIP this kind of database is not installed\n");
		return 0;
	}
	assert_ok(place_open(&db, NULL));
	assert_ok(mx_migrate_set(db, &mx_lease_tables));
	assert_ok(run(&MAKE));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	mx_db_close(&db);
	place_stop();
	return failed;
}
