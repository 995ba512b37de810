/* Other processes, and a database that goes away. */
#include "config.h"

#include "tests/unit/sql/rules.h"

#include <semaphore.h>

#include "core/base/clock.h"

/* ---- another process writes too ---- */

struct neighbour {
	struct mx_db *db;
	mx_pos seen;			/* everything up to here was published or caught up with */
	int64_t base;
	mx_nid nids[20];
	atomic_int gaps, caught_up;
	pthread_t thread;
};

static mx_error *
neighbour_caught_up(void *arg, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	struct neighbour *n = arg;
	static const struct mx_sql POS = MX_SQL("SELECT pos FROM stream");

	n->gaps += since != n->seen || upto <= since;
	n->caught_up++;
	struct mx_query *q = mx_query(c, &POS);
	n->gaps += !mx_query_next(q) || mx_col_int(q, 0) != upto;
	return mx_query_end(q);
}

static void
neighbour_published(void *arg, mx_pos upto)
{
	struct neighbour *n = arg;

	n->gaps += upto <= n->seen;
	n->seen = upto;
}

static void *
neighbour_write(void *arg)
{
	struct neighbour *n = arg;
	char text[32];

	for (int i = 0; i < 100; i++) {
		struct add a = { .id = n->base + i,
				 .position = true,
				 .fail = i % 5 == 0 ? MX_E_AGAIN : 0 };
		mx_error *e = mx_write(n->db, add, &a);
		if ((e != NULL) != (i % 5 == 0))
			abort();
		mx_error_free(&e);
		snprintf(text, sizeof(text), "!%d:shared.example", i / 5);
		struct intern in = { text, 0, false };
		if (mx_error_drop(mx_write(n->db, intern, &in)))
			abort();
		n->nids[i / 5] = in.nid;
	}
	return NULL;
}

static void
two_processes_make_one_stream(void **state)
{
	struct neighbour n[2] = { { .db = db, .base = 1000 }, { .base = 2000 } };
	mx_pos before = mx_db_position(db);

	(void)state;
	assert_ok(place_open(&n[1].db, NULL));
	for (int i = 0; i < 2; i++) {
		n[i].seen = before;
		mx_db_set_watch(n[i].db, &(struct mx_db_watch){ .published = neighbour_published,
								.caught_up = neighbour_caught_up,
								.arg = &n[i] });
		pthread_create(&n[i].thread, NULL, neighbour_write, &n[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(n[i].thread, NULL);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(n[i].gaps, 0);
		/* One more write, and each has seen everything. */
		assert_ok(mx_write(n[i].db, intern, &(struct intern){ "x", 0, false }));
		assert_int_equal(mx_db_position(n[i].db), before + 160);
	}
	assert_true(n[0].caught_up + n[1].caught_up > 0);
	assert_memory_equal(n[0].nids, n[1].nids, sizeof(n[0].nids));
	assert_int_equal(ask_int(db, &COUNT), 160);
	mx_db_close(&n[1].db);
}

/* ---- who only listens ---- */

struct listener {
	pthread_mutex_t lock;
	pthread_cond_t news;
	mx_pos seen;
	char told[64];
	unsigned tellings;
};

static void
listener_published(void *arg, mx_pos upto)
{
	struct listener *l = arg;

	pthread_mutex_lock(&l->lock);
	l->seen = upto;
	pthread_cond_broadcast(&l->news);
	pthread_mutex_unlock(&l->lock);
}

static void
listener_told(void *arg, mx_str text)
{
	struct listener *l = arg;

	pthread_mutex_lock(&l->lock);
	snprintf(l->told, sizeof(l->told), "%.*s", MX_SFMT(text));
	l->tellings++;
	pthread_cond_broadcast(&l->news);
	pthread_mutex_unlock(&l->lock);
}

/* A second process that writes nothing and looks by itself every `poll` ms. */
static struct mx_db *
listener_open(struct listener *l, mx_msec poll)
{
	struct mx_db_options o;
	struct mx_db *other;

	*l = (struct listener){ .lock = PTHREAD_MUTEX_INITIALIZER,
				.news = PTHREAD_COND_INITIALIZER };
	mx_db_options_default(&o);
	o.poll.ms = poll;
	assert_ok(place_open(&other, &o));
	l->seen = mx_db_position(other);
	mx_db_set_watch(other, &(struct mx_db_watch){ .published = listener_published,
						      .told = listener_told,
						      .arg = l });
	assert_ok(mx_db_follow(other, &(struct mx_db_peers){ .facts = MX_S("") }));
	return other;
}

static void
listener_wait(struct listener *l, mx_pos seen, unsigned tellings)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 60;
	pthread_mutex_lock(&l->lock);
	while (l->seen < seen || l->tellings < tellings)
		if (pthread_cond_timedwait(&l->news, &l->lock, &until) != 0)
			fail_msg("heard of %lld of %lld, told %u times of %u", (long long)l->seen,
				 (long long)seen, l->tellings, tellings);
	pthread_mutex_unlock(&l->lock);
}

static void
who_writes_nothing_hears_of_what_others_write(void **state)
{
	struct listener l;

	(void)state;
	if (!mx_db_tells(db))
		skip();
	struct mx_db *other = listener_open(&l, 600000);

	for (int i = 0; i < 20; i++) {
		assert_ok(mx_write(db, add, &(struct add){ .id = i, .position = true }));
		listener_wait(&l, mx_db_position(db), 0);
	}
	mx_db_close(&other);
}

static void
what_is_told_in_passing_reaches_the_others_only(void **state)
{
	struct listener l, own;

	(void)state;
	if (!mx_db_tells(db))
		skip();
	struct mx_db *other = listener_open(&l, 600000), *teller = listener_open(&own, 600000);

	/* Until it listens it may miss what is told. */
	for (bool heard = false; !heard;) {
		pthread_mutex_lock(&l.lock);
		heard = l.tellings > 0;
		pthread_mutex_unlock(&l.lock);
		mx_db_tell(teller, MX_S("are you there"));
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	mx_db_tell(teller, MX_S("the last word"));
	pthread_mutex_lock(&l.lock);
	while (strcmp(l.told, "the last word") != 0)
		pthread_cond_wait(&l.news, &l.lock);
	pthread_mutex_unlock(&l.lock);
	mx_db_close(&other);
	mx_db_close(&teller);
	assert_int_equal(own.tellings, 0);
}

struct sleeper {
	struct add add;
	sem_t asleep, wake;
	int runs;
	mx_error *error;
	struct mx_db *db;
};

/* Has the lock of the batch, and is paused. */
static mx_error *
sleep_within(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql ONE = MX_SQL("SELECT 1");
	struct sleeper *s = arg;

	MX_TRY(add(tx, &s->add));
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ONE);
	mx_query_next(q);
	MX_TRY(mx_query_end(q));
	if (s->runs++ == 0) {
		sem_post(&s->asleep);
		sem_wait(&s->wake);
	}
	return NULL;
}

static void *
write_asleep(void *arg)
{
	struct sleeper *s = arg;

	s->error = mx_write(s->db, sleep_within, s);
	return NULL;
}

static void
who_sleeps_over_its_batch_stops_nobody(void **state)
{
	struct sleeper s = { .add = { .id = 7, .position = true } };
	struct add a = { .id = 1, .position = true };
	pthread_t thread;

	(void)state;
	if (!mx_db_tells(db))
		skip();
	sem_init(&s.asleep, 0, 0);
	sem_init(&s.wake, 0, 0);
	assert_ok(place_open(&s.db, NULL));
	assert_int_equal(pthread_create(&thread, NULL, write_asleep, &s), 0);
	sem_wait(&s.asleep);
	assert_ok(mx_write(db, add, &a));
	sem_post(&s.wake);
	pthread_join(thread, NULL);
	/* It has done it again, behind ours. */
	assert_ok(s.error);
	assert_int_equal(s.runs, 2);
	assert_int_equal(s.add.pos, a.pos + 1);
	assert_int_equal(ask_int(db, &COUNT), 2);
	mx_db_close(&s.db);
	sem_destroy(&s.asleep);
	sem_destroy(&s.wake);
}

/* The system's clock, as somebody sets it. */
static _Atomic mx_msec clock_set_by;

static mx_msec
set_clock_ms(void *arg)
{
	struct timespec t;

	(void)arg;
	clock_gettime(CLOCK_REALTIME, &t);
	return (mx_msec)t.tv_sec * 1000 + t.tv_nsec / 1000000 + clock_set_by;
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
who_serves_beside_others_keeps_the_time_when_its_clock_is_set(void **state)
{
	static const struct mx_clock clock = { set_clock_ms, real_us, NULL };
	static const mx_msec set[] = { 3600000, -86400000, 5000, -5000, 0 };
	struct listener l[2];
	int next = 10;

	(void)state;
	if (!mx_db_tells(db))
		skip();
	clock_set_by = 0;
	mx_clock_replace(&clock);
	struct mx_db *one = listener_open(&l[0], 600000), *two = listener_open(&l[1], 50);

	assert_false(mx_db_alone(two));
	assert_ok(mx_db_fresh(two));
	for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
		clock_set_by = set[i];
		/* Its own writes tell it as well as the question before each request. */
		if (i % 2 == 0)
			assert_ok(mx_db_fresh(two));
		else
			assert_ok(mx_write(two, add, &(struct add){ .id = (int)i }));
		assert_in_range(mx_now() - (set_clock_ms(NULL) - set[i]) + 2000, 0, 4000);
		assert_ok(mx_db_fresh(two));
		assert_in_range(mx_now() - (set_clock_ms(NULL) - set[i]) + 2000, 0, 4000);
	}
	/* Who is alone goes by its own clock, to which it returns. */
	clock_set_by = 3600000;
	assert_ok(mx_db_fresh(two));
	assert_int_not_equal(mx_clock_shifted(), 0);
	mx_db_close(&one);
	while (mx_clock_shifted() != 0) {
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		assert_ok(mx_write(two, add, &(struct add){ .id = next++ }));
	}
	mx_db_close(&two);
	mx_clock_replace(NULL);
}

static void
who_could_not_hear_for_a_while_misses_nothing(void **state)
{
	struct listener l;

	(void)state;
	if (!mx_db_tells(db))
		skip();
	struct mx_db *other = listener_open(&l, 600000);

	assert_true(place_restart());
	assert_ok(mx_write(db, add, &(struct add){ .id = 1, .position = true }));
	listener_wait(&l, mx_db_position(db), 0);
	mx_db_close(&other);
}

/* ---- a database that goes away ---- */

static void
a_database_that_was_away_is_found_again(void **state)
{
	(void)state;
	assert_ok(mx_write(db, add, &(struct add){ .id = 1 }));
	assert_int_equal(ask_int(db, &COUNT), 1);
	if (!place_restart())
		skip();
	assert_ok(mx_write(db, add, &(struct add){ .id = 2, .position = true }));
	/* Connections for reading are not used again after the writer has lost its own. */
	assert_int_equal(ask_int(db, &COUNT), 2);
}

static void
while_the_database_is_away_a_write_is_answered(void **state)
{
	MX_AUTO(mx_buf) *json = mx_buf_new(0);
	struct mx_db_options o;
	struct add a = { .id = 1, .position = true };

	(void)state;
	mx_db_close(&db);
	mx_db_options_default(&o);
	o.write_wait.ms = 200;
	assert_ok(place_open(&db, &o));
	mx_pos before = mx_db_position(db);
	place_down();
	int64_t start = mx_monotonic_us();
	for (int i = 0; i < 3; i++) {
		mx_error *e = mx_write(db, add, &a);
		assert_true(mx_error_is(e, MX_E_UNAVAILABLE));
		mx_error_json(e, json);
		mx_error_free(&e);
	}
	assert_true(mx_monotonic_us() - start < 10 * 1000000);
	assert_non_null(strstr(mx_buf_cstr(json), "\"retry_after_ms\":"));
	assert_int_equal(a.after_true, 0);
	place_up();
	mx_error *e;
	while ((e = mx_write(db, add, &a)) != NULL)
		assert_code(e, MX_E_UNAVAILABLE);
	assert_int_equal(a.pos, before + 1);
	/* A reader's connection may not have noticed yet. */
	struct mx_conn *c = NULL;
	assert_ok(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, &COUNT);
	mx_query_next(q);
	e = mx_query_end(q);
	mx_error_free(&e);
	mx_conn_put(&c);
	assert_int_equal(ask_int(db, &COUNT), 1);
}

static mx_error *
add_and_restart(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql ONE = MX_SQL("SELECT 1");
	struct add *a = arg;

	MX_TRY(add(tx, a));
	if (a->after_false == 0)
		place_restart();
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ONE);
	mx_query_next(q);
	return mx_query_end(q);
}

static void
a_batch_whose_connection_is_lost_runs_again(void **state)
{
	struct add a = { .id = 1, .position = true };
	struct mx_sql_stats stats;

	(void)state;
	if (!place_restart())
		skip();
	assert_ok(mx_write(db, add_and_restart, &a));
	assert_int_equal(a.after_false, 1);
	assert_int_equal(a.after_true, 1);
	mx_sql_stats(db, &stats);
	assert_int_not_equal(stats.retries, 0);
	assert_int_equal(mx_db_position(db), a.pos);
}

int
sharing_rules(void)
{
	const struct CMUnitTest tests[] = {
		RULE(two_processes_make_one_stream),
		RULE(who_writes_nothing_hears_of_what_others_write),
		RULE(what_is_told_in_passing_reaches_the_others_only),
		RULE(who_sleeps_over_its_batch_stops_nobody),
		RULE(who_serves_beside_others_keeps_the_time_when_its_clock_is_set),
		RULE(who_could_not_hear_for_a_while_misses_nothing),
		RULE(a_database_that_was_away_is_found_again),
		RULE(while_the_database_is_away_a_write_is_answered),
		RULE(a_batch_whose_connection_is_lost_runs_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
