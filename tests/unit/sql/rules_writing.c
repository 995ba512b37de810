/* The writer. */
#include "config.h"

#include "tests/unit/sql/rules.h"

/* ---- writing ---- */

static void
who_wrote_reads_what_it_wrote(void **state)
{
	(void)state;
	for (int i = 1; i <= 50; i++) {
		struct add a = { .id = i };
		assert_ok(mx_write(db, add, &a));
		assert_int_equal(a.after_true, 1);
		assert_int_equal(a.after_false, 0);
		assert_int_equal(ask_int(db, &COUNT), i);
	}
}

static void
a_failed_function_leaves_nothing(void **state)
{
	struct add a = { .id = 1, .fail = MX_E_FORBIDDEN, .position = true };
	mx_pos before = mx_db_position(db);

	(void)state;
	assert_code(mx_write(db, add, &a), MX_E_FORBIDDEN);
	assert_int_equal(a.after_false, 1);
	assert_int_equal(a.after_true, 0);
	assert_int_equal(ask_int(db, &COUNT), 0);
	assert_int_equal(mx_db_position(db), before);
	a = (struct add){ .id = 1, .position = true };
	assert_ok(mx_write(db, add, &a));
	assert_int_equal(a.pos, before + 1);
	assert_int_equal(mx_db_position(db), before + 1);
}

/* Holds the writer until told, so that what is handed in meanwhile becomes one batch. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool entered, open;
};

static mx_error *
pass_gate(struct mx_txn *tx, void *arg)
{
	struct gate *g = arg;

	(void)tx;
	pthread_mutex_lock(&g->lock);
	g->entered = true;
	pthread_cond_broadcast(&g->changed);
	while (!g->open)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static void
gate_close(struct gate *g)
{
	*g = (struct gate){ .open = false };
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->changed, NULL);
	mx_write_later(db, pass_gate, NULL, g);
	pthread_mutex_lock(&g->lock);
	while (!g->entered)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void
gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

struct later {
	struct add add;
	atomic_int *left;
	enum mx_code code;
	bool failed;
	int *order;
	int done_at;
};

static mx_error *
later_fn(struct mx_txn *tx, void *arg)
{
	return add(tx, &((struct later *)arg)->add);
}

static void
later_done(void *arg, mx_error *e)
{
	struct later *l = arg;

	l->failed = e != NULL;
	l->code = e != NULL ? mx_error_code(e) : 0;
	l->done_at = ++*l->order;
	mx_error_free(&e);
	atomic_fetch_sub(l->left, 1);
}

static void
hand_in(struct later *l, int n)
{
	static atomic_int left;
	static int order;
	struct gate g;

	order = 0;
	atomic_store(&left, n);
	gate_close(&g);
	for (int i = 0; i < n; i++) {
		l[i].left = &left;
		l[i].order = &order;
		mx_write_later(db, later_fn, later_done, &l[i]);
	}
	gate_open(&g);
	while (atomic_load(&left) > 0)
		usleep(500);
}

static void
functions_of_a_batch_fail_alone(void **state)
{
	struct later l[5] = { { .add = { .id = 1, .position = true } },
			      { .add = { .id = 2, .position = true, .fail = MX_E_AGAIN } },
			      { .add = { .id = 3, .position = true } },
			      { .add = { .id = 4, .position = true, .fail = MX_E_FORBIDDEN } },
			      { .add = { .id = 5, .position = true } } };
	struct mx_sql_stats before, after;
	mx_pos pos = mx_db_position(db);

	(void)state;
	mx_sql_stats(db, &before);
	hand_in(l, 5);
	mx_sql_stats(db, &after);
	assert_int_equal(after.batches - before.batches, 2);
	assert_int_equal(after.writes - before.writes, 6);
	assert_int_equal(ask_int(db, &COUNT), 3);
	assert_int_equal(l[1].code, MX_E_AGAIN);
	assert_int_equal(l[3].code, MX_E_FORBIDDEN);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(l[i].add.after_true, i % 2 == 0);
		assert_int_equal(l[i].add.after_false, i % 2 == 1);
		assert_int_equal(l[i].done_at, i + 1);
	}
	/* Positions of those that failed are given to the next. */
	assert_int_equal(l[0].add.pos, pos + 1);
	assert_int_equal(l[2].add.pos, pos + 2);
	assert_int_equal(l[4].add.pos, pos + 3);
	assert_int_equal(mx_db_position(db), pos + 3);
}

static void
a_constraint_is_the_fault_of_one_function(void **state)
{
	struct later l[4] = { { .add = { .id = 1, .name = "a", .position = true } },
			      { .add = { .id = 2, .name = "a", .position = true } },
			      { .add = { .id = 3, .name = "b", .position = true, .read = true } },
			      { .add = { .id = 3, .name = "c", .position = true, .read = true } } };

	(void)state;
	hand_in(l, 4);
	assert_false(l[0].failed);
	assert_true(l[1].failed);
	assert_int_equal(l[1].code, MX_E_EXISTS);
	assert_false(l[2].failed);
	assert_int_equal(l[3].code, MX_E_EXISTS);
	assert_int_equal(ask_int(db, &COUNT), 2);
	assert_int_equal(l[2].add.pos, l[0].add.pos + 1);
	assert_int_equal(mx_db_position(db), l[2].add.pos);
}

static void
more_writes_than_may_wait_are_refused(void **state)
{
	struct mx_db_options o;
	struct later l[6] = { { .add = { .id = 1 } }, { .add = { .id = 2 } },
			      { .add = { .id = 3 } }, { .add = { .id = 4 } },
			      { .add = { .id = 5 } }, { .add = { .id = 6 } } };

	(void)state;
	mx_db_close(&db);
	mx_db_options_default(&o);
	o.queue = 4;
	assert_ok(place_open(&db, &o));
	hand_in(l, 6);
	for (int i = 0; i < 4; i++)
		assert_false(l[i].failed);
	assert_int_equal(l[4].code, MX_E_UNAVAILABLE);
	assert_int_equal(l[5].code, MX_E_UNAVAILABLE);
	assert_int_equal(ask_int(db, &COUNT), 4);
}

static void *
many_writes(void *arg)
{
	int64_t base = *(int64_t *)arg;

	for (int i = 0; i < 100; i++) {
		struct add a = { .id = base + i,
				 .position = true,
				 .fail = i % 7 == 0 ? MX_E_AGAIN : 0 };
		mx_error *e = mx_write(db, add, &a);
		if ((e != NULL) != (i % 7 == 0) || (e == NULL && mx_db_position(db) < a.pos))
			abort();
		mx_error_free(&e);
	}
	return NULL;
}

static void
many_callers_write_without_gaps(void **state)
{
	pthread_t t[16];
	int64_t base[16];
	mx_pos before = mx_db_position(db);

	(void)state;
	for (int i = 0; i < 16; i++) {
		base[i] = i * 1000 + 1;
		pthread_create(&t[i], NULL, many_writes, &base[i]);
	}
	for (int i = 0; i < 16; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(ask_int(db, &COUNT), 16 * 85);
	assert_int_equal(mx_db_position(db) - before, 16 * 85);
	mx_db_close(&db);
	assert_ok(place_open(&db, NULL));
	assert_int_equal(mx_db_position(db) - before, 16 * 85);
}

struct watch {
	mx_pos published;
	int calls;
};

static void
published(void *arg, mx_pos upto)
{
	struct watch *w = arg;

	w->published = upto;
	w->calls++;
}

static void
the_watcher_hears_of_each_batch_that_moved_the_stream(void **state)
{
	struct watch w = { 0 };

	(void)state;
	mx_db_set_watch(db, &(struct mx_db_watch){ .published = published, .arg = &w });
	assert_ok(mx_write(db, add, &(struct add){ .id = 1 }));
	assert_int_equal(w.calls, 0);
	struct add a = { .id = 2, .position = true };
	assert_ok(mx_write(db, add, &a));
	assert_int_equal(w.calls, 1);
	assert_int_equal(w.published, a.pos);
}

static void
a_write_aside_is_durable_too(void **state)
{
	struct add a = { .id = 1 };

	(void)state;
	assert_ok(mx_write_aside(db, add, &a));
	assert_int_equal(a.after_true, 1);
	assert_int_equal(ask_int(db, &COUNT), 1);
	a = (struct add){ .id = 2, .fail = MX_E_FORBIDDEN };
	assert_code(mx_write_aside(db, add, &a), MX_E_FORBIDDEN);
	assert_int_equal(a.after_false, 1);
	assert_int_equal(ask_int(db, &COUNT), 1);
}

static void
a_database_that_is_away_does_not_hold_up_the_end(void **state)
{
	struct later l = { .add = { .id = 1 } };
	atomic_int left = 1;
	int order = 0;

	(void)state;
	l.left = &left;
	l.order = &order;
	place_down();
	mx_write_later(db, later_fn, later_done, &l);
	int64_t start = mx_monotonic_us();
	mx_db_close(&db);
	assert_true(mx_monotonic_us() - start < 4 * 1000000);
	assert_int_equal(atomic_load(&left), 0);
	assert_int_equal(l.code, MX_E_UNAVAILABLE);
	place_up();
	assert_ok(place_open(&db, NULL));
}

int
writing_rules(void)
{
	const struct CMUnitTest tests[] = {
		RULE(who_wrote_reads_what_it_wrote),
		RULE(a_failed_function_leaves_nothing),
		RULE(functions_of_a_batch_fail_alone),
		RULE(a_constraint_is_the_fault_of_one_function),
		RULE(more_writes_than_may_wait_are_refused),
		RULE(many_callers_write_without_gaps),
		RULE(the_watcher_hears_of_each_batch_that_moved_the_stream),
		RULE(a_write_aside_is_durable_too),
		RULE(a_database_that_is_away_does_not_hold_up_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
