/* A job of one process among several: who may run it, on each kind of database. */
#include "config.h"

#include "tests/unit/sql/common.h"
#include "tests/unit/sql/place.h"

#include "core/base/clock.h"
#include "core/runtime/jobs.h"
#include "core/sql/db.h"

static mx_msec now = 1000000;
static struct mx_db *db;

static mx_msec
clock_ms(void *arg)
{
	(void)arg;
	return now;
}

static int64_t
clock_us(void *arg)
{
	(void)arg;
	return now * 1000;
}

static const struct mx_sql STEAL = MX_SQL("UPDATE job_lease SET holder = 'another'");

static bool
take(void)
{
	bool mine;

	assert_ok(mx_lease_take(db, "m/job", 60000, &mine));
	return mine;
}

static void
steal(void)
{
	struct do_sql sql = { &STEAL };

	assert_ok(mx_write(db, do_sql_fn, &sql));
}

static void
a_lease_belongs_to_one_process_until_it_ends(void **state)
{
	(void)state;
	assert_true(take());
	assert_true(take());	/* its holder may have it again */
	steal();
	assert_false(take());
	now += 60000;
	assert_false(take());
	now += 1;
	assert_true(take());
}

static void
giving_it_back_keeps_the_others_waiting(void **state)
{
	(void)state;
	assert_true(take());
	assert_ok(mx_lease_give(db, "m/job", 5000));
	steal();
	now += 5000;
	assert_false(take());
	now += 1;
	assert_true(take());
}

static void
only_its_holder_gives_it_back(void **state)
{
	(void)state;
	assert_true(take());
	steal();
	assert_ok(mx_lease_give(db, "m/job", 0));
	now += 1;
	assert_false(take());
	now += 60000;
}

int
main(void)
{
	static const struct mx_clock clock = { clock_ms, clock_us, NULL };
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lease_belongs_to_one_process_until_it_ends),
		cmocka_unit_test(giving_it_back_keeps_the_others_waiting),
		cmocka_unit_test(only_its_holder_gives_it_back),
	};
	int failed;

	if (!place_start()) {
		printf("1..0 # SKIP this kind of database is not installed\n");
		return 0;
	}
	assert_ok(place_open(&db, NULL));
	assert_ok(mx_migrate_set(db, &mx_lease_tables));
	mx_clock_replace(&clock);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	mx_clock_replace(NULL);
	mx_db_close(&db);
	place_stop();
	return failed;
}
