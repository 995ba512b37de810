/* What the database alone can do, to hold our own numbers against: a bare program that writes the
 * rows of a message (an event of 800 bytes under two indexes, and a transaction id) to SQLite, 64
 * messages a commit, synchronous=FULL.
 *
 *	limits DIRECTORY [MESSAGES [BATCH]] */
#include "config.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <time.h>

#include "tests/bench/rows.h"

static void
must(sqlite3 *db, int rc)
{
	if (rc == SQLITE_OK || rc == SQLITE_DONE)
		return;
	fprintf(stderr, "limits: %s\n", sqlite3_errmsg(db));
	exit(1);
}

static sqlite3_stmt *
prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;

	must(db, sqlite3_prepare_v2(db, sql, -1, &st, NULL));
	return st;
}

static void
run(sqlite3 *db, sqlite3_stmt *st)
{
	must(db, sqlite3_step(st));
	must(db, sqlite3_reset(st));
}

int
main(int argc, char **argv)
{
	long messages = argc > 2 ? atol(argv[2]) : 50000, batch = argc > 3 ? atol(argv[3]) : 64;
	char path[4096], event[BENCH_EVENT_BYTES], id[64];
	sqlite3 *db;

	if (argc < 2 || messages < 1 || batch < 1) {
		fprintf(stderr, "usage: limits DIRECTORY [MESSAGES [BATCH]]\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/limits.db", argv[1]);
	remove(path);
	must(NULL, sqlite3_open(path, &db));
	must(db, sqlite3_exec(db,
			      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA "
			      "cache_size = -4096;" BENCH_TABLES_SQLITE,
			      NULL, NULL, NULL));
	sqlite3_stmt *begin = prepare(db, "BEGIN IMMEDIATE"), *commit = prepare(db, "COMMIT");
	sqlite3_stmt *add_event = prepare(db, BENCH_ADD_EVENT("?")),
		     *add_txn = prepare(db, BENCH_ADD_TXN("?"));

	bench_event(event);
	struct bench_clock c = bench_start();
	for (long i = 0; i < messages; i++) {
		if (i % batch == 0)
			run(db, begin);
		bench_id(id, i);
		sqlite3_bind_int64(add_event, 1, i + 1);
		sqlite3_bind_int64(add_event, 2, i % 50);
		sqlite3_bind_text(add_event, 3, id, -1, SQLITE_TRANSIENT);
		sqlite3_bind_blob(add_event, 4, event, sizeof(event), SQLITE_TRANSIENT);
		run(db, add_event);
		sqlite3_bind_int64(add_txn, 1, i % 64);
		sqlite3_bind_text(add_txn, 2, id + 1, -1, SQLITE_TRANSIENT);
		sqlite3_bind_int64(add_txn, 3, i + 1);
		run(db, add_txn);
		if (i % batch == batch - 1 || i == messages - 1)
			run(db, commit);
	}
	bench_print("bare SQLite", messages, &c);
	sqlite3_finalize(begin);
	sqlite3_finalize(commit);
	sqlite3_finalize(add_event);
	sqlite3_finalize(add_txn);
	sqlite3_close(db);
	return 0;
}
