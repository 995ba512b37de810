/* SQLite's log is written by the piece (log_file.c): others see each commit whole, and nothing of
 * what was undone. */
#include "config.h"

#include <unistd.h>

#include "core/sql/db.h"
#include "modules/storage-sqlite/sqlite.h"
#include "tests/unit/support/unit.h"

static char dir[] = "/tmp/myelin-log-XXXXXX";
static char path[64];
static struct mx_db *db;
static sqlite3 *other;			/* a program of its own */

static const struct mx_migration migrations[] = {
	{ 1, "a table", "CREATE TABLE thing (n BIGINT NOT NULL, bytes {blob} NOT NULL)" },
};
static const struct mx_sql ADD = MX_SQL("INSERT INTO thing (n, bytes) VALUES ($1, $2)");
static const struct mx_sql COUNT = MX_SQL("SELECT COUNT(*), SUM(n) FROM thing");

/* ---- the database ---- */

static void
open_all(const char *synchronous)
{
	static struct sqlite_options o;

	/* A cache so small that transactions write before they end. */
	o = (struct sqlite_options){ .synchronous = synchronous,
				     .reader_cache = { 64 << 10 },
				     .writer_cache = { 64 << 10 },
				     .wal = { 1 << 20 },
				     .busy = { 5000 } };
	unit_ok(mx_db_open(&sqlite_ops, &o, mx_str_of(path), NULL, &db));
	unit_ok(mx_migrate(db, "test", migrations, 1));
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	sqlite3_busy_timeout(other, 5000);
}

static void
close_all(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char name[80];

	sqlite3_close(other);
	mx_db_close(&db);
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
}

static void
other_says(const char *sql, const char *expected)
{
	sqlite3_stmt *st;

	assert_int_equal(sqlite3_prepare_v2(other, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), expected);
	sqlite3_finalize(st);
}

/* ---- what is written ---- */

struct rows {
	int from, n;
	bool fail;
};

static mx_error *
write_rows(struct mx_txn *tx, void *arg)
{
	const struct rows *r = arg;
	char bytes[1000];

	memset(bytes, 'x', sizeof(bytes));
	for (int i = r->from; i < r->from + r->n; i++) {
		struct mx_query *q = mx_query(mx_txn_conn(tx), &ADD);

		mx_bind_int(q, 1, i);
		mx_bind_blob(q, 2, bytes, sizeof(bytes));
		MX_TRY(mx_query_run(q));
	}
	if (r->fail)
		return mx_error_new(MX_E_FORBIDDEN, "on purpose");
	/* What is not in the cache any more is read back from the log. */
	struct mx_query *q = mx_query(mx_txn_conn(tx), &COUNT);

	assert_true(mx_query_next(q));
	assert_true(mx_col_int(q, 0) >= r->n);
	return mx_query_end(q);
}

static void
others_see_each_commit(void **state)
{
	static const char *const modes[] = { "full", "relaxed" };
	static const int sizes[] = { 1, 7, 64, 500, 3000 };

	(void)state;
	for (int m = 0; m < 2; m++) {
		char expected[32];
		int all = 0;

		open_all(modes[m]);
		for (int round = 0; round < 4; round++) {
			for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
				struct rows r = { .from = all, .n = sizes[i] };

				unit_ok(mx_write(db, write_rows, &r));
				all += sizes[i];
				(void)snprintf(expected, sizeof(expected), "%d", all);
				other_says("SELECT COUNT(*) FROM thing", expected);
			}
		}
		other_says("PRAGMA integrity_check", "ok");
		close_all();
	}
}

static void
what_was_undone_does_not_come_back(void **state)
{
	(void)state;
	open_all("full");
	for (int round = 0; round < 20; round++) {
		/* It has written up to some place in the log when it fails … */
		struct rows bad = { .from = 1000000, .n = 90 + round * 7, .fail = true };
		struct rows good = { .from = 0, .n = 10 };

		unit_refused(mx_write(db, write_rows, &bad), MX_E_FORBIDDEN);
		/* … and another writes there. */
		assert_int_equal(sqlite3_exec(other,
					      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT "
					      "n + 1 FROM c LIMIT 300) INSERT INTO thing SELECT n, "
					      "zeroblob(900) FROM c",
					      NULL, NULL, NULL),
				 SQLITE_OK);
		unit_ok(mx_write(db, write_rows, &good));
		other_says("PRAGMA integrity_check", "ok");
	}
	other_says("SELECT COUNT(*) FROM thing", "6200");
	other_says("SELECT COUNT(*) FROM thing WHERE n >= 1000000", "0");
	close_all();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(others_see_each_commit),
		unit_case(what_was_undone_does_not_come_back),
	};
	int failed;

	if (mkdtemp(dir) == NULL)
		return 77;
	(void)snprintf(path, sizeof(path), "%s/test.db", dir);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
