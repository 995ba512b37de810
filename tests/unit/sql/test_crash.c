/* What was acknowledged is there, once, whatever ends in between: the server's process (kill -9 at
 * moments that are drawn), or the database's. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include <myelin/log.h>

#include "tests/unit/sql/common.h"
#include "tests/unit/sql/place.h"

#define THREADS 8
#define ROUNDS 8

/* No unique key: a row that is written twice is seen. */
static const struct mx_migration migrations[] = {
	{ 1, "rows", "CREATE TABLE written (id BIGINT NOT NULL, pos BIGINT NOT NULL);\n" },
};
static const struct mx_sql ADD = MX_SQL("INSERT INTO written (id, pos) VALUES ($1, $2)");
static const struct mx_sql HAS = MX_SQL("SELECT COUNT(*) FROM written WHERE id = $1");
static const struct mx_sql TOTAL = MX_SQL("SELECT COUNT(*) FROM written");
static const struct mx_sql TWICE =
	MX_SQL("SELECT COUNT(*) FROM (SELECT id FROM written GROUP BY id HAVING COUNT(*) > 1) AS t");
static const struct mx_sql HIGHEST = MX_SQL("SELECT COALESCE(MAX(pos), 0) FROM written");
static const struct mx_sql POSITIONS = MX_SQL("SELECT COUNT(DISTINCT pos) FROM written");
static const struct mx_sql INDEX = MX_SQL("CREATE INDEX IF NOT EXISTS written_id ON written (id)");

struct writer {
	struct mx_db *db;
	pthread_t thread;
	int64_t id;
	int acks;			/* a pipe: the ids that were acknowledged */
	atomic_bool *stop;
	int64_t acked[100000], unknown;
	size_t acked_count;
};

static mx_error *
add(struct mx_txn *tx, void *arg)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ADD);

	mx_bind_int(q, 1, ((struct writer *)arg)->id);
	mx_bind_int(q, 2, mx_txn_pos(tx));
	return mx_query_run(q);
}

/* ---- the process is killed ---- */

static void *
write_for_ever(void *arg)
{
	struct writer *w = arg;

	for (;; w->id++) {
		mx_error *e = mx_write(w->db, add, w);
		if (e != NULL || write(w->acks, &w->id, sizeof(w->id)) != sizeof(w->id))
			_exit(3);
	}
	return NULL;
}

static void
child(int acks, int64_t first)
{
	static struct writer w[THREADS];
	struct mx_db *db;

	mx_error *e = place_open(&db, NULL);
	if (e != NULL)
		_exit(2);
	for (int i = 0; i < THREADS; i++) {
		w[i].db = db;
		w[i].acks = acks;
		w[i].id = first + i * 1000000;
		pthread_create(&w[i].thread, NULL, write_for_ever, &w[i]);
	}
	for (;;)
		pause();
}

static void
check_rows(struct mx_db *db)
{
	int64_t total = ask_int(db, &TOTAL);

	assert_int_equal(ask_int(db, &TWICE), 0);
	assert_int_equal(ask_int(db, &POSITIONS), total);
	assert_int_equal(ask_int(db, &HIGHEST), total);
	assert_int_equal(mx_db_position(db), total);
}

static int64_t
has_row(struct mx_conn *c, int64_t id)
{
	struct mx_query *q = mx_query(c, &HAS);

	mx_bind_int(q, 1, id);
	assert_true(mx_query_next(q));
	int64_t n = mx_col_int(q, 0);
	assert_ok(mx_query_end(q));
	return n;
}

static void
what_was_acknowledged_survives_kill_9(void **state)
{
	struct mx_db *db;
	int64_t id;

	(void)state;
	assert_ok(place_open(&db, NULL));
	assert_ok(mx_migrate(db, "test", migrations, 1));
	assert_ok(mx_write(db, do_sql_fn, &(struct do_sql){ &INDEX }));
	mx_db_close(&db);
	for (int round = 0; round < ROUNDS; round++) {
		int64_t first = (round + 1) * INT64_C(100000000), acked = 0;
		unsigned char draw;
		int acks[2], status;

		assert_int_equal(pipe(acks), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			child(acks[1], first);
		close(acks[1]);
		/* Somewhere between the first acknowledgement and some hundred later. */
		mx_random(&draw, 1);
		static int64_t ids[1000000];
		while (acked <= draw * 4 && read(acks[0], &id, sizeof(id)) == sizeof(id))
			ids[acked++] = id;
		assert_true(acked > draw * 4);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		while (read(acks[0], &id, sizeof(id)) == sizeof(id))
			ids[acked++] = id;
		close(acks[0]);

		MX_AUTO(mx_conn) *c = NULL;
		assert_ok(place_open(&db, NULL));
		assert_ok(mx_conn_get(db, &c));
		for (int64_t i = 0; i < acked; i++)
			assert_int_equal(has_row(c, ids[i]), 1);
		mx_conn_put(&c);
		check_rows(db);
		mx_db_close(&db);
	}
}

/* ---- the database is killed ---- */

static void *
write_until_told(void *arg)
{
	struct writer *w = arg;

	for (; !atomic_load(w->stop) && w->acked_count < sizeof(w->acked) / sizeof(w->acked[0]);
	     w->id++) {
		mx_error *e = mx_write(w->db, add, w);
		if (e == NULL)
			w->acked[w->acked_count++] = w->id;
		else if (mx_error_is(e, MX_E_UNCERTAIN))
			w->unknown++;
		else if (!mx_error_is(e, MX_E_UNAVAILABLE))
			abort();
		mx_error_free(&e);
	}
	return NULL;
}

static void
what_was_acknowledged_survives_the_end_of_the_database(void **state)
{
	static struct writer w[THREADS];
	atomic_bool stop = false;
	int64_t acked = 0, unknown = 0;
	struct mx_db *db;

	(void)state;
	if (!place_restart())
		skip();
	assert_ok(place_open(&db, NULL));
	int64_t before = ask_int(db, &TOTAL);
	for (int i = 0; i < THREADS; i++) {
		w[i] = (struct writer){ .db = db, .stop = &stop, .id = (i + 1) * INT64_C(1000000) };
		pthread_create(&w[i].thread, NULL, write_until_told, &w[i]);
	}
	for (int round = 0; round < 4; round++) {
		int64_t reached = mx_db_position(db) + 200;
		while (mx_db_position(db) < reached)
			usleep(1000);
		place_restart();
	}
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		acked += w[i].acked_count;
		unknown += w[i].unknown;
	}
	mx_db_close(&db);

	MX_AUTO(mx_conn) *c = NULL;
	assert_ok(place_open(&db, NULL));
	assert_ok(mx_conn_get(db, &c));
	for (int i = 0; i < THREADS; i++)
		for (size_t k = 0; k < w[i].acked_count; k++)
			assert_int_equal(has_row(c, w[i].acked[k]), 1);
	mx_conn_put(&c);
	check_rows(db);
	print_message("%lld rows, %lld uncertain\n", (long long)acked, (long long)unknown);
	/* Nothing that was answered "not done" was done. */
	int64_t rows = ask_int(db, &TOTAL) - before;
	assert_true(rows >= acked && rows <= acked + unknown);
	mx_db_close(&db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_acknowledged_survives_kill_9),
		cmocka_unit_test(what_was_acknowledged_survives_the_end_of_the_database),
	};

	if (!place_start())
		return 77;
	assert_ok(mx_log_levels("error"));
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	place_stop();
	return failed;
}
