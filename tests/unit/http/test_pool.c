#include "config.h"

#include "tests/unit/http/harness.h"

#include "core/runtime/pool.h"

static atomic_int done, running, most;
static atomic_bool hold;

static void
count(void *arg)
{
	atomic_fetch_add(&done, (int)(intptr_t)arg);
}

static void
block(void *arg)
{
	int now = atomic_fetch_add(&running, 1) + 1, before = atomic_load(&most);

	(void)arg;
	while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
		continue;
	while (atomic_load(&hold))
		usleep(500);
	atomic_fetch_sub(&running, 1);
	atomic_fetch_add(&done, 1);
}

static void
reset(void)
{
	atomic_store(&done, 0);
	atomic_store(&running, 0);
	atomic_store(&most, 0);
	atomic_store(&hold, false);
}

static void
what_is_queued_is_run_before_the_end(void **state)
{
	struct mx_pool *p = mx_pool_new("test", 3, 1);

	(void)state;
	reset();
	for (int i = 0; i < 5000; i++)
		assert_true(mx_pool_submit(p, count, (void *)1));
	mx_pool_stop(&p);
	assert_null(p);
	assert_int_equal(atomic_load(&done), 5000);
}

static void
jobs_that_block_run_side_by_side(void **state)
{
	struct mx_pool *p = mx_pool_new("test", 8, 0);
	struct mx_pool_stats s;

	(void)state;
	reset();
	atomic_store(&hold, true);
	for (int i = 0; i < 20; i++)
		assert_true(mx_pool_submit(p, block, NULL));
	EVENTUALLY(atomic_load(&running) == 8);
	mx_pool_stats(p, &s);
	assert_int_equal(s.busy, 8);
	assert_int_equal(s.queued, 12);
	assert_int_equal(s.threads, 8);
	atomic_store(&hold, false);
	mx_pool_stop(&p);
	assert_int_equal(atomic_load(&done), 20);
	assert_int_equal(atomic_load(&most), 8);
}

static void
a_full_queue_refuses(void **state)
{
	struct mx_pool *p = mx_pool_new("test", 1, 0);

	(void)state;
	reset();
	atomic_store(&hold, true);
	mx_pool_set_limit(p, 2);
	assert_true(mx_pool_submit(p, block, NULL));
	EVENTUALLY(atomic_load(&running) == 1);
	assert_true(mx_pool_submit(p, count, (void *)1));
	assert_true(mx_pool_submit(p, count, (void *)1));
	assert_false(mx_pool_submit(p, count, (void *)1));
	atomic_store(&hold, false);
	mx_pool_stop(&p);
	assert_int_equal(atomic_load(&done), 3);
}

enum { AGAIN = 100 };
static struct mx_pool_job again[AGAIN];
static atomic_int ran_again, fresh_seen_by_last;

static void
run_again(struct mx_pool_job *job)
{
	(void)job;
	if (atomic_fetch_add(&ran_again, 1) == AGAIN - 1)
		atomic_store(&fresh_seen_by_last, atomic_load(&done));
}

static void
what_comes_again_lets_others_go_first_but_not_for_ever(void **state)
{
	struct mx_pool *p = mx_pool_new("test", 1, 0);

	(void)state;
	reset();
	atomic_store(&hold, true);
	assert_true(mx_pool_submit(p, block, NULL));
	EVENTUALLY(atomic_load(&running) == 1);
	for (int i = 0; i < AGAIN; i++) {
		again[i].run = run_again;
		mx_pool_push(p, &again[i], MX_LANE_AGAIN);
	}
	for (int i = 0; i < 10 * AGAIN; i++)
		assert_true(mx_pool_submit(p, count, (void *)1));
	atomic_store(&hold, false);
	mx_pool_stop(&p);
	assert_int_equal(atomic_load(&ran_again), AGAIN);
	assert_in_range(atomic_load(&fresh_seen_by_last), 2 * AGAIN, 4 * AGAIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_queued_is_run_before_the_end),
		cmocka_unit_test(jobs_that_block_run_side_by_side),
		cmocka_unit_test(a_full_queue_refuses),
		cmocka_unit_test(what_comes_again_lets_others_go_first_but_not_for_ever),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
