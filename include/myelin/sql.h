/* The database as everything above it sees it: statements, reads, and the one writer.
 *
 * A change is a function run inside a transaction on the writer: mx_write(db, fn, arg) returns when
 * the batch that held fn is durable. The writer runs all waiting functions in one transaction, a
 * savepoint each, and commits once. Do everything costly before, against what you read; fn checks
 * that its premises still hold and returns MX_E_AGAIN when they don't. fn runs on the writer's
 * thread: it must not block on anything but the database, take no lock that is held across a write,
 * and may run again if the batch is repeated. After an error of a statement it returns: PostgreSQL
 * does nothing more in that function.
 *
 * SQL is the subset that SQLite >= 3.40 and PostgreSQL >= 13 share: parameters $1 … $n, UPSERT,
 * RETURNING, common table expressions, window functions. Dialect words, replaced by the driver:
 * {blob} (the type of bytes), {key} (an integer primary key that is the table's order: "nid {key}";
 * a plain BIGINT PRIMARY KEY costs SQLite a second tree), {unkeyed} (WITHOUT ROWID, or nothing),
 * {now} (Unix time in milliseconds). Integers are BIGINT. A parameter's type is what is bound to
 * it; where that may be NULL, PostgreSQL must see it from the first place where the parameter
 * stands:
 * "$1 = a OR $1 IS NULL", not the other way round. */
#ifndef MYELIN_SQL_H
#define MYELIN_SQL_H

#include <myelin/error.h>

struct mx_db;
struct mx_conn;		/* a connection for reading; one thread at a time */
struct mx_query;	/* a statement being run on a connection */

/* A statement, declared once as a constant: static const struct mx_sql GET = MX_SQL("SELECT …");
 * It is prepared once a connection and found again by its address. */
struct mx_sql {
	const char *text;
};
#define MX_SQL(text) { text }

/* ---- running a statement ----
 *	struct mx_query *q = mx_query(conn, &GET_NAME);
 *	mx_bind_int(q, 1, nid);
 *	while (mx_query_next(q))
 *		use(mx_col_str(q, 0));			// borrowed until the next call on q
 *	mx_error *e = mx_query_end(q);
 * An error sticks: the calls between do nothing, and mx_query_end returns it. A statement may be
 * open several times at once on one connection. Parameters count from 1, columns from 0; strings are
 * copied at bind. */
MX_API struct mx_query *mx_query(struct mx_conn *c, const struct mx_sql *s);
MX_API void mx_bind_int(struct mx_query *q, int i, int64_t v);
MX_API void mx_bind_str(struct mx_query *q, int i, mx_str v);	/* p == NULL binds NULL; no NUL bytes in it */
MX_API void mx_bind_blob(struct mx_query *q, int i, const void *p, size_t n);	/* p == NULL binds NULL */
MX_API void mx_bind_null(struct mx_query *q, int i);
MX_API bool mx_query_next(struct mx_query *q);
MX_API bool mx_col_null(const struct mx_query *q, int i);
MX_API int64_t mx_col_int(const struct mx_query *q, int i);	/* NULL reads as 0 */
MX_API mx_str mx_col_str(const struct mx_query *q, int i);	/* NULL reads as {NULL, 0}; bytes too */
MX_API mx_error *mx_query_end(struct mx_query *q) MX_MUST_USE;
/* For a statement without rows: runs and ends it. On a transaction's connection the driver may send
 * it without waiting for the answer; its error then fails the function's savepoint or the batch,
 * which is run again function by function: for a conflict that may well happen use ON CONFLICT, not
 * the error. */
MX_API mx_error *mx_query_run(struct mx_query *q) MX_MUST_USE;

/* ---- reading ---- */

/* A connection of the pool, outside any transaction; waits for a free one. A thread holds one at a
 * time: handlers use mx_request_conn. */
MX_API mx_error *mx_conn_get(struct mx_db *db, struct mx_conn **out) MX_MUST_USE;
MX_API void mx_conn_put(struct mx_conn **c);
/* One snapshot for several reads on c, until mx_snapshot_end. */
MX_API mx_error *mx_snapshot_begin(struct mx_conn *c) MX_MUST_USE;
MX_API void mx_snapshot_end(struct mx_conn *c);

/* Before something that may take long and needs no database (another server's answer): gives the
 * connection back to the pool. c stays what it is, and takes another one when it is used next; then
 * that may wait, and fail, as mx_conn_get does. Inside of a snapshot or with a query open it keeps
 * what it has. */
MX_API void mx_conn_rest(struct mx_conn *c);

static inline void mx_conn_auto(struct mx_conn **c) { mx_conn_put(c); }

/* ---- writing ---- */

struct mx_txn;		/* the running batch, as one function of it sees it */

typedef mx_error *mx_write_fn(struct mx_txn *tx, void *arg);

/* Blocks until the batch with fn is durable, or fn failed (its changes are undone, the batch goes
 * on), or the batch failed. MX_E_UNCERTAIN: the commit's outcome is unknown; look again. Call with
 * no lock held. */
MX_API mx_error *mx_write(struct mx_db *db, mx_write_fn *fn, void *arg) MX_MUST_USE;
/* Hands fn in without waiting; done(arg, e) is called on the writer's thread once its fate is
 * known, and takes e (MX_E_UNAVAILABLE without a run when too many wait). done may be NULL. The
 * functions of one thread run in the order in which they were handed in. */
MX_API void mx_write_later(struct mx_db *db, mx_write_fn *fn, void (*done)(void *arg, mx_error *e),
			   void *arg);

MX_API struct mx_conn *mx_txn_conn(struct mx_txn *tx);
/* The next position of the stream; positions become visible in order, with the commit. */
MX_API mx_pos mx_txn_pos(struct mx_txn *tx);
/* Has fn(arg, committed) called on the writer's thread when the batch's fate (or that of this
 * function) is known and before any caller of mx_write returns: caches follow here, so that who
 * wrote reads what it wrote. Calls come in the order of the batch. */
MX_API void mx_txn_after(struct mx_txn *tx, void (*fn)(void *arg, bool committed), void *arg);
/* An arena that lives until the batch is over, the `after` calls included. */
MX_API struct mx_arena *mx_txn_arena(struct mx_txn *tx);

/* Writes that no one can observe (last-seen times, fetched keys): an ordinary transaction of its
 * own, in no order with the writer's: no position of the stream, no new names, and `after` is
 * called on the caller's thread. SQLite runs them through the writer all the same. */
MX_API mx_error *mx_write_aside(struct mx_db *db, mx_write_fn *fn, void *arg) MX_MUST_USE;

/* ---- interned strings: user ids, event types and state keys as integers. Names are never removed,
 * so a nid may be kept for ever. Both directions are cached; the returned string is borrowed for
 * the life of db (the cache of names keeps what was handed out while it is in use: copy it to keep
 * it beyond the request). ---- */

/* 0 when the string was never interned. */
MX_API mx_error *mx_name_find(struct mx_conn *c, mx_str text, mx_nid *out) MX_MUST_USE;
/* Interns it in the transaction when it is new. */
MX_API mx_error *mx_name_intern(struct mx_txn *tx, mx_str text, mx_nid *out) MX_MUST_USE;
/* Copies the text of a nid into the arena. MX_E_NOT_FOUND. */
MX_API mx_error *mx_name_text(struct mx_conn *c, mx_nid nid, struct mx_arena *a,
			      mx_str *out) MX_MUST_USE;

/* ---- migrations: numbered from 1, forward only, recorded by owner ----
 * Each is one transaction (of a new owner, all are one), when the server or the module starts; a
 * process that does not know it must have ended before, and cannot start afterwards. That is right for new tables, and for small
 * ones. What is to go on while processes of the version before run beside this one, or takes long,
 * is done in phases, each a migration of its own whose SQL begins with a word (since 1.3):
 *
 *	{ 2, "the day of each message", MX_EXPAND "ALTER TABLE note ADD COLUMN day BIGINT;\n" },
 *	{ 3, "the days of old messages",
 *	  MX_BACKFILL "UPDATE note SET day = at / 86400000 WHERE id IN (SELECT id FROM note WHERE "
 *	  "id > $1 AND day IS NULL ORDER BY id LIMIT $2) RETURNING id" },
 *	{ 4, "messages by day", MX_INDEX "CREATE INDEX note_day ON note (day)" },
 *	{ 5, "the hour goes", MX_CONTRACT "ALTER TABLE note DROP COLUMN hour;\n" },
 *
 * Expanding happens at the start, must be quick, and must not disturb who does not know of it: a
 * column that may be NULL or has a constant default, a table. No table is waited for long: it is
 * tried again. The rest happens behind the start, in order, in one process at a time, and is gone on
 * with after a restart: until then, look at mx_col_null. A backfill is one statement, run again and
 * again in a small transaction: $1 is the largest integer key that the last run returned, $2 the most
 * rows; it must skip what is filled, and is over when it returns no row. While processes of an older
 * version write, it begins anew once they have gone. An index is built while others write (SQLite:
 * while others read). Contracting waits until all before it is done and no process that does not
 * know of it is there. Expanding runs ahead of what is still open; one without a word waits for it,
 * at the start. */
#define MX_EXPAND "-- expand\n"
#define MX_BACKFILL "-- backfill\n"
#define MX_INDEX "-- index\n"
#define MX_CONTRACT "-- contract\n"

struct mx_migration {
	uint32_t number;
	const char *what;		/* one line */
	const char *sql;		/* statements separated by ";\n"; a backfill and an index: one */
};
MX_API mx_error *mx_migrate(struct mx_db *db, const char *owner, const struct mx_migration *m,
			    size_t n) MX_MUST_USE;

/* ---- counters, for tests and metrics ---- */
struct mx_sql_stats {
	uint64_t statements, reads, batches, writes, retries;
	/* Microseconds in which the writer's lock was held by this process, and in which it waited
	 * for it. */
	uint64_t lock_us, lock_wait_us;
};
MX_API void mx_sql_stats(const struct mx_db *db, struct mx_sql_stats *out);
/* The statements that this connection has run since mx_conn_get or the last call: tests count what
 * a request costs. */
MX_API uint64_t mx_conn_statements(struct mx_conn *c);

#endif
