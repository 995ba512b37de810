/* What the writer makes of it: the same rows as in limits.c, each message an mx_write of its own,
 * from 1, 16 and 64 threads.
 *
 *	writes DIRECTORY [MESSAGES]            on SQLite
 *	writes postgres:CONNINFO [MESSAGES]    on PostgreSQL, in a database that may be emptied */
#include "config.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/sql/db.h"
#include "tests/bench/rows.h"

#ifdef BENCH_SQLITE
extern const struct mx_storage_ops sqlite_ops;
#endif
#ifdef BENCH_POSTGRES
extern const struct mx_storage_ops postgres_ops;
#endif

static const struct mx_migration migrations[] = {
	{ 1, "tables", BENCH_TABLES("{key}", "{blob}", "{unkeyed}") },
};
static const struct mx_sql ADD_EVENT = MX_SQL(BENCH_ADD_EVENT("$"));
static const struct mx_sql ADD_TXN = MX_SQL(BENCH_ADD_TXN("$"));

struct caller {
	struct mx_db *db;
	pthread_t thread;
	long first, count, now;
	int64_t *latency;		/* microseconds, count of them */
};

static char event[BENCH_EVENT_BYTES];

static mx_error *
write_message(struct mx_txn *tx, void *arg)
{
	struct caller *c = arg;
	char id[64];

	bench_id(id, c->now);
	mx_pos pos = mx_txn_pos(tx);
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ADD_EVENT);
	mx_bind_int(q, 1, pos);
	mx_bind_int(q, 2, c->now % 50);
	mx_bind_str(q, 3, mx_str_of(id));
	mx_bind_blob(q, 4, event, sizeof(event));
	MX_TRY(mx_query_run(q));
	q = mx_query(mx_txn_conn(tx), &ADD_TXN);
	mx_bind_int(q, 1, c->now % 64);
	mx_bind_str(q, 2, mx_str_of(id + 1));
	mx_bind_int(q, 3, pos);
	return mx_query_run(q);
}

static void
must(mx_error *e)
{
	if (e == NULL)
		return;
	fprintf(stderr, "writes: %s\n", mx_error_text(e));
	exit(1);
}

static void *
call(void *arg)
{
	struct caller *c = arg;

	for (long i = 0; i < c->count; i++) {
		c->now = c->first + i;
		int64_t start = mx_monotonic_us();
		must(mx_write(c->db, write_message, c));
		c->latency[i] = mx_monotonic_us() - start;
	}
	return NULL;
}

static int
by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void
measure(struct mx_db *db, long first, long messages, int callers)
{
	struct caller c[64];
	int64_t *latency = mx_alloc((size_t)messages * sizeof(int64_t));
	long each = messages / callers;
	struct mx_sql_stats before, after;
	char what[32];

	mx_sql_stats(db, &before);
	struct bench_clock clock = bench_start();
	for (int i = 0; i < callers; i++) {
		c[i] = (struct caller){ .db = db,
					.first = first + i * each,
					.count = each,
					.latency = latency + i * each };
		pthread_create(&c[i].thread, NULL, call, &c[i]);
	}
	for (int i = 0; i < callers; i++)
		pthread_join(c[i].thread, NULL);
	snprintf(what, sizeof(what), "mx_write, %d callers", callers);
	bench_print(what, each * callers, &clock);
	mx_sql_stats(db, &after);
	qsort(latency, (size_t)(each * callers), sizeof(int64_t), by_size);
	printf("    %.1f in a batch; p50 %.2f ms, p99 %.2f ms\n",
	       (double)(after.writes - before.writes) / (double)(after.batches - before.batches),
	       (double)latency[each * callers / 2] / 1e3,
	       (double)latency[each * callers * 99 / 100] / 1e3);
	free(latency);
}

static mx_error *
open_where(const char *where, struct mx_db **db)
{
	char path[4096];

#ifdef BENCH_POSTGRES
	if (strncmp(where, "postgres:", 9) == 0)
		return mx_db_open(&postgres_ops, NULL, mx_str_of(where + 9), NULL, db);
#endif
#ifdef BENCH_SQLITE
	snprintf(path, sizeof(path), "%s/writes.db", where);
	remove(path);
	return mx_db_open(&sqlite_ops, NULL, mx_str_of(path), NULL, db);
#endif
	return mx_error_new(MX_E_CONFIG, "no driver for %s", where);
}

int
main(int argc, char **argv)
{
	long messages = argc > 2 ? atol(argv[2]) : 50000;
	struct mx_db *db;
	int64_t size;

	if (argc < 2 || messages < 64) {
		fprintf(stderr, "usage: writes DIRECTORY|postgres:CONNINFO [MESSAGES]\n");
		return 2;
	}
	bench_event(event);
	must(open_where(argv[1], &db));
	must(mx_migrate(db, "bench", migrations, 1));
	measure(db, 0, messages / 8, 1);
	measure(db, messages, messages, 16);
	measure(db, 2 * messages, messages, 64);
	must(mx_db_disk_size(db, &size));
	printf("%.1f MiB for 10,000 messages\n",
	       (double)size / 1048576 / (double)(messages * 17 / 8) * 10000);
	mx_db_close(&db);
	return 0;
}
