/* When jobs run, on a clock of the test's own. */
#include "config.h"

#include "tests/unit/runtime/fake.h"

#include <stdatomic.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/runtime/jobs.h"

static _Atomic int64_t now_us;
static _Atomic unsigned runs;
static _Atomic bool failing, held;

static int64_t
clock_us(void *arg)
{
	(void)arg;
	return now_us;
}

static mx_msec
clock_ms(void *arg)
{
	(void)arg;
	return now_us / 1000;
}

static void
no_chance(void *arg, void *p, size_t n)
{
	(void)arg;
	memset(p, 0, n);
}

static mx_error *
run(struct mx_module_self *self)
{
	(void)self;
	while (held)
		usleep(100);
	runs++;
	return failing ? mx_error_new(MX_E_UNAVAILABLE, "not now") : NULL;
}

static const struct mx_job_row JOBS[] = { { "work", 10000, MX_EVERY_PROCESS, run } };
static const struct mx_module WORKER = { MX_MODULE_HEAD("worker", "1", ""),
					 .jobs = MX_TABLE(JOBS) };

struct world {
	struct mx_core *core;
	struct mx_module_self *m;
};

static struct world
begin(void)
{
	static const struct mx_clock clock = { clock_ms, clock_us, NULL };
	static const struct mx_chance chance = { no_chance, NULL };
	struct world w = { .core = mx_core_new("x") };

	mx_clock_replace(&clock);
	mx_chance_replace(&chance);
	now_us = 1000000;
	runs = 0;
	failing = held = false;
	w.m = fake_module(w.core, &WORKER);
	mx_jobs_new(w.core);
	fake_publish(w.core, &w.m, 1);
	return w;
}

static void
end(struct world *w)
{
	mx_jobs_stop(w->core);
	mx_registry_publish(w->core, NULL);
	fake_free(&w->m);
	mx_core_free(&w->core);
	mx_clock_replace(NULL);
	mx_chance_replace(NULL);
}

static void
look(void *arg, const struct mx_job_stats *st)
{
	*(struct mx_job_stats *)arg = *st;
}

static struct mx_job_stats
stats(struct world *w)
{
	struct mx_job_stats st = { 0 };

	mx_jobs_each(w->core, look, &st);
	return st;
}

/* Steps, and waits until what that began is done. */
static int64_t
step(struct world *w, int64_t ms)
{
	int64_t next;

	now_us += ms * 1000;
	next = mx_jobs_step(w->core, now_us);
	while (stats(w).running)
		usleep(100);
	return next;
}

static void
a_job_runs_at_its_interval_from_end_to_start(void **state)
{
	struct world w = begin();

	(void)state;
	assert_int_equal(step(&w, 0), now_us + 5000000);	/* the first time after half of it */
	assert_int_equal(runs, 0);
	step(&w, 4999);
	assert_int_equal(runs, 0);
	step(&w, 1);
	assert_int_equal(runs, 1);
	step(&w, 9999);
	assert_int_equal(runs, 1);
	step(&w, 1);
	assert_int_equal(runs, 2);
	assert_int_equal(stats(&w).due_in, 10000);
	end(&w);
}

static void
the_pause_doubles_while_it_fails_up_to_an_hour(void **state)
{
	static const mx_msec pauses[] = { 20000,  40000,   80000,   160000,  320000,
					  640000, 1280000, 2560000, 3600000, 3600000 };
	struct world w = begin();

	(void)state;
	failing = true;
	step(&w, 0);
	step(&w, 5000);
	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		unit_expect_log("RUN020");
		assert_int_equal(stats(&w).due_in, pauses[i]);
		step(&w, pauses[i] - 1);
		assert_int_equal(runs, i + 1);
		if (i + 1 == sizeof(pauses) / sizeof(pauses[0]))
			failing = false;
		step(&w, 1);
		assert_int_equal(runs, i + 2);
	}
	assert_int_equal(stats(&w).due_in, 10000);
	end(&w);
}

static void
an_overrun_is_told_once_and_never_runs_twice_at_a_time(void **state)
{
	struct world w = begin();

	(void)state;
	held = true;
	mx_jobs_step(w.core, now_us);
	now_us += 5000000;
	mx_jobs_step(w.core, now_us);
	assert_true(stats(&w).running);
	for (int i = 0; i < 5; i++) {
		now_us += 10000001;
		mx_jobs_step(w.core, now_us);
	}
	unit_expect_log("RUN021");
	held = false;
	while (stats(&w).running)
		usleep(100);
	assert_int_equal(runs, 1);
	end(&w);
}

static void
a_job_of_a_module_that_left_is_forgotten(void **state)
{
	struct world w = begin();

	(void)state;
	step(&w, 0);
	assert_string_equal(stats(&w).name, "work");
	mx_registry_publish(w.core, NULL);
	step(&w, 100000);
	assert_null(stats(&w).name);
	assert_int_equal(runs, 0);
	end(&w);
}

static void
the_scheduler_ends_while_a_job_waits(void **state)
{
	struct world w = begin();

	(void)state;
	mx_clock_replace(NULL);
	unit_ok(mx_jobs_start(w.core));
	mx_jobs_poke(w.core);
	end(&w);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(a_job_runs_at_its_interval_from_end_to_start),
		unit_case(the_pause_doubles_while_it_fails_up_to_an_hour),
		unit_case(an_overrun_is_told_once_and_never_runs_twice_at_a_time),
		unit_case(a_job_of_a_module_that_left_is_forgotten),
		unit_case(the_scheduler_ends_while_a_job_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
