/* A disk that is full or fails: what was acknowledged is there, what was refused is not, and when the
 * disk works again, so does everything else. */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "core/sql/db.h"
#include "modules/storage-sqlite/sqlite.h"
#include "tests/unit/support/unit.h"

enum { THREADS = 6, MOST = 200000 };

static char dir[] = "/tmp/myelin-disk-XXXXXX";
static char path[64];
static struct mx_db *db;

static const struct mx_migration migrations[] = {
	{ 1, "a table", "CREATE TABLE thing (n BIGINT NOT NULL, bytes {blob} NOT NULL)" },
};
static const struct mx_sql ADD = MX_SQL("INSERT INTO thing (n, bytes) VALUES ($1, $2)");
static const struct mx_sql HAS = MX_SQL("SELECT COUNT(*) FROM thing WHERE n = $1");
static const struct mx_sql COUNT = MX_SQL("SELECT COUNT(*) FROM thing");
static const struct mx_sql INDEX = MX_SQL("CREATE INDEX thing_n ON thing (n)");

/* ---- the disk: SQLite's own files, whose writes fail when they are told to ---- */

enum fault { WORKS = 0, FULL = 1, HALF_FULL = 2, NO_SYNC = 3, BROKEN = 4 };

static _Atomic int fault;
/* Of the database and of its log. */
static const sqlite3_io_methods *originals[2];
static sqlite3_io_methods faulty[2];

static const sqlite3_io_methods *
original_of(const sqlite3_file *file)
{
	return originals[file->pMethods == &faulty[1]];
}

static int
faulty_write(sqlite3_file *file, const void *bytes, int n, sqlite3_int64 at)
{
	const sqlite3_io_methods *original = original_of(file);

	switch (atomic_load(&fault)) {
	case FULL:
		return SQLITE_FULL;
	case HALF_FULL:
		/* As a file system does that has a block left. */
		(void)original->xWrite(file, bytes, n / 2, at);
		return SQLITE_FULL;
	case BROKEN:
		return SQLITE_IOERR_WRITE;
	default:
		return original->xWrite(file, bytes, n, at);
	}
}

static int
faulty_sync(sqlite3_file *file, int flags)
{
	int now = atomic_load(&fault);

	return now == NO_SYNC || now == BROKEN ? SQLITE_IOERR_FSYNC
						 : original_of(file)->xSync(file, flags);
}

static int
faulty_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *out)
{
	sqlite3_vfs *system = vfs->pAppData;
	int rc = system->xOpen(system, name, file, flags, out);
	size_t which = (flags & SQLITE_OPEN_WAL) != 0;

	if (rc != SQLITE_OK || (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) == 0)
		return rc;
	/* The first ones are opened before there is a second thread. */
	if (originals[which] == NULL) {
		faulty[which] = *file->pMethods;
		faulty[which].xWrite = faulty_write;
		faulty[which].xSync = faulty_sync;
		originals[which] = file->pMethods;
	}
	if (file->pMethods != originals[which])
		abort();
	file->pMethods = &faulty[which];
	return rc;
}

static sqlite3_vfs vfs;

static void
use_disk(void)
{
	sqlite3_vfs *system = sqlite3_vfs_find(NULL);

	vfs = *system;
	vfs.zName = "faulty";
	vfs.pNext = NULL;
	vfs.pAppData = system;
	vfs.xOpen = faulty_open;
	assert_int_equal(sqlite3_vfs_register(&vfs, 1), SQLITE_OK);
}

/* ---- the database ---- */

static void
open_all(void)
{
	static const struct sqlite_options o = { .synchronous = "full",
						 .reader_cache = { 64 << 10 },
						 .writer_cache = { 64 << 10 },
						 .wal = { 256 << 10 },
						 .busy = { 5000 } };

	unit_ok(mx_db_open(&sqlite_ops, &o, mx_str_of(path), NULL, &db));
	unit_ok(mx_migrate(db, "test", migrations, 1));
}

static void
remove_all(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };
	char name[80];

	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		unlink(name);
	}
}

static int64_t
ask(const struct mx_sql *sql, int64_t n)
{
	MX_AUTO(mx_conn) *c = NULL;
	struct mx_query *q;
	int64_t got;

	unit_ok(mx_conn_get(db, &c));
	q = mx_query(c, sql);
	if (sql == &HAS)
		mx_bind_int(q, 1, n);
	assert_true(mx_query_next(q));
	got = mx_col_int(q, 0);
	unit_ok(mx_query_end(q));
	return got;
}

static mx_error *
add_index(struct mx_txn *tx, void *arg)
{
	(void)arg;
	return mx_query_run(mx_query(mx_txn_conn(tx), &INDEX));
}

struct thing {
	int64_t n;
	size_t bytes, times;
};

static mx_error *
add(struct mx_txn *tx, void *arg)
{
	static const char bytes[4096];
	const struct thing *t = arg;

	for (size_t i = 0; i < t->times; i++) {
		struct mx_query *q = mx_query(mx_txn_conn(tx), &ADD);

		mx_bind_int(q, 1, t->n);
		mx_bind_blob(q, 2, bytes, t->bytes);
		MX_TRY(mx_query_run(q));
	}
	(void)mx_txn_pos(tx);
	return NULL;
}

/* ---- many who write while it fails ---- */

struct worker {
	pthread_t thread;
	int64_t first, acked[MOST], refused[MOST], unknown[MOST];
	size_t acked_n, refused_n, unknown_n;
};

static struct worker workers[THREADS];
static _Atomic bool stop;
static _Atomic uint64_t acked, refused, unknown;

static void *
work(void *arg)
{
	struct worker *w = arg;

	for (int64_t n = w->first; !atomic_load(&stop) && n < w->first + MOST; n++) {
		struct thing t = { n, 100, 1 };
		mx_error *e = mx_write(db, add, &t);

		if (e == NULL) {
			w->acked[w->acked_n++] = n;
			atomic_fetch_add(&acked, 1);
		} else if (mx_error_is(e, MX_E_STORAGE)) {
			w->refused[w->refused_n++] = n;
			atomic_fetch_add(&refused, 1);
		} else if (mx_error_is(e, MX_E_UNCERTAIN)) {
			w->unknown[w->unknown_n++] = n;
			atomic_fetch_add(&unknown, 1);
		} else {
			fprintf(stderr, "%s\n", mx_error_text(e));
			abort();
		}
		mx_error_free(&e);
	}
	return NULL;
}

static void
more(_Atomic uint64_t *count, uint64_t n)
{
	uint64_t until = atomic_load(count) + n;

	for (int i = 0; i < 20000 && atomic_load(count) < until; i++)
		usleep(1000);
	assert_true(atomic_load(count) >= until);
}

static void
check_rows(void)
{
	for (int i = 0; i < THREADS; i++) {
		const struct worker *w = &workers[i];

		for (size_t k = 0; k < w->acked_n; k++)
			assert_int_equal(ask(&HAS, w->acked[k]), 1);
		for (size_t k = 0; k < w->refused_n; k++)
			assert_int_equal(ask(&HAS, w->refused[k]), 0);
		for (size_t k = 0; k < w->unknown_n; k++)
			assert_in_range(ask(&HAS, w->unknown[k]), 0, 1);
	}
	assert_int_equal(mx_db_position(db), ask(&COUNT, 0));
}

static void
what_was_acknowledged_survives_a_disk_that_fails(void **state)
{
	static const enum fault faults[] = { FULL, HALF_FULL, NO_SYNC, BROKEN, FULL };
	char *report;

	(void)state;
	open_all();
	unit_ok(mx_write(db, add_index, NULL));
	for (int i = 0; i < THREADS; i++) {
		workers[i].first = (i + 1) * INT64_C(1000000);
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	}
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		more(&acked, 500);
		atomic_store(&fault, faults[i]);
		more(faults[i] == NO_SYNC || faults[i] == BROKEN ? &unknown : &refused, 50);
		/* Who reads is not concerned. */
		assert_true(ask(&COUNT, 0) > 0);
		atomic_store(&fault, WORKS);
		more(&acked, 1);
		/* Once, with what to do. */
		assert_non_null(strstr(unit_expect_log("SQL011"), "make room"));
		(void)unit_expect_log("SQL012");
	}
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	check_rows();
	unit_ok(mx_db_check(db, &report));
	assert_string_equal(report, "ok\n");
	free(report);
	mx_db_close(&db);
	/* And after a restart. */
	open_all();
	check_rows();
	mx_db_close(&db);
	remove_all();
	/* Copying the log fails as well, sooner or later. */
	unit_allow_log("SQLITE001");
}

/* A transaction that does not fit into memory fails before its commit, and SQLite ends it. */
static void
a_large_transaction_fails_as_a_whole(void **state)
{
	struct thing large = { 1, 4096, 200 }, small = { 2, 10, 1 };
	mx_error *e;

	(void)state;
	open_all();
	atomic_store(&fault, FULL);
	e = mx_write(db, add, &large);
	assert_true(mx_error_is(e, MX_E_STORAGE));
	assert_int_equal(mx_error_status(e), 507);
	{
		MX_AUTO(mx_buf) *b = mx_buf_new(0);

		mx_error_json(e, b);
		assert_non_null(strstr(mx_buf_cstr(b), "\"retry_after_ms\":10000"));
	}
	mx_error_free(&e);
	unit_refused(mx_write(db, add, &small), MX_E_STORAGE);
	atomic_store(&fault, WORKS);
	assert_int_equal(ask(&COUNT, 0), 0);
	unit_ok(mx_write(db, add, &small));
	unit_ok(mx_write(db, add, &large));
	assert_int_equal(ask(&COUNT, 0), 201);
	(void)unit_expect_log("SQL011");
	(void)unit_expect_log("SQL012");
	mx_db_close(&db);
	remove_all();
}

static int
set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/test.db", dir);
	use_disk();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	return rmdir(dir);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(what_was_acknowledged_survives_a_disk_that_fails),
		unit_case(a_large_transaction_fails_as_a_whole),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
