/* A batch of the writer: its functions in one transaction, with a savepoint each, and one commit; what
 * became of it when that is not certain; and who is told. On the writer's thread. */
#include "config.h"

#include <stdlib.h>
#include <time.h>

#include <myelin/log.h>

#include "core/sql/impl.h"

#define BACK_OFF_FIRST 20000	/* microseconds between two attempts to connect; doubled each time */
#define BACK_OFF_LAST 2000000

static const struct mx_sql READ_POSITION =
	MX_SQL("SELECT pos, {now}, who, batch FROM stream WHERE one = 1");
static const struct mx_sql MOVE_POSITION =
	MX_SQL("UPDATE stream SET pos = $1, who = $2, batch = $3 WHERE one = 1");

/* Where a connection can be lost in a commit, each batch leaves its number behind, so that it can
 * be found out whether it was committed. */
static const struct mx_sql MARK_BATCH =
	MX_SQL("INSERT INTO writer (id, batch, seen) VALUES ($1, $2, {now}) "
	       "ON CONFLICT (id) DO UPDATE SET batch = excluded.batch, seen = excluded.seen");
static const struct mx_sql READ_BATCH = MX_SQL("SELECT batch FROM writer WHERE id = $1");

/* ---- the connection ---- */

static bool
sleep_until(struct mx_writer *w, int64_t us)
{
	struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };

	pthread_mutex_lock(&w->lock);
	w->idle = false;
	while (!w->stop && mx_monotonic_us() < us)
		pthread_cond_timedwait(&w->work, &w->lock, &t);
	bool stopping = w->stop;
	pthread_mutex_unlock(&w->lock);
	return !stopping;
}

/* Sees to a connection, until `deadline`. */
static mx_error *
writer_connect(struct mx_db *db, int64_t deadline)
{
	struct mx_writer *w = &db->writer;

	while (w->conn == NULL) {
		int64_t now = mx_monotonic_us();
		if (w->next_attempt > now) {
			int64_t until = w->next_attempt < deadline ? w->next_attempt : deadline;
			if (until <= now || !sleep_until(w, until) || w->next_attempt > deadline)
				return mx_db_unavailable("the database cannot be reached");
		}
		mx_error *e = mx_conn_open(db, true, &w->conn);
		if (e == NULL) {
			if (w->back_off != 0)
				mx_log("sql", MX_INFO, "SQL004", "the database is back");
			/* It may be another server now. */
			mx_conn_pool_renew(&db->readers);
			mx_conn_pool_renew(&db->asides);
			mx_follow_renew(db);
			w->back_off = w->next_attempt = 0;
			break;
		}
		if (w->back_off == 0)
			mx_log("sql", MX_ERROR, "SQL003", "the database cannot be reached",
			       mx_fe(e));
		mx_error_free(&e);
		w->back_off = w->back_off == 0 ? BACK_OFF_FIRST : w->back_off * 2;
		if (w->back_off > BACK_OFF_LAST)
			w->back_off = BACK_OFF_LAST;
		w->next_attempt = mx_monotonic_us() + w->back_off;
	}
	return NULL;
}

static void
writer_disconnect(struct mx_db *db)
{
	mx_conn_close(&db->writer.conn);
	db->writer.current = false;
}

/* ---- one transaction ---- */

/* Reads the position under the lock of the batch, and lets the watcher read what it has missed. */
static mx_error *
catch_up(struct mx_db *db, struct mx_conn *c)
{
	struct mx_writer *w = &db->writer;
	mx_pos known = atomic_load_explicit(&db->position, memory_order_relaxed), now = 0;

	struct mx_query *q = mx_query(c, &READ_POSITION);
	bool found = mx_query_next(q);
	now = mx_col_int(q, 0);
	mx_msec time = mx_col_int(q, 1);
	struct mx_batch_mark mark = { now, mx_col_int(q, 2), mx_col_int(q, 3) };
	MX_TRY(mx_query_end(q));
	mx_skew_see(db, time);
	if (!found || now < known) {
		mx_lineage_break(db, known, now);
		return mx_db_unavailable("the database's stream went backwards");
	}
	mx_lineage_note(db, mark);
	if (now > known) {
		if (db->watch.caught_up != NULL)
			MX_TRY(db->watch.caught_up(db->watch.arg, c, known, now));
		atomic_store_explicit(&db->position, now, memory_order_release);
		if (db->watch.published != NULL)
			db->watch.published(db->watch.arg, now);
		mx_fresh_shown(db, now);
	}
	w->pos = now;
	w->current = true;
	return NULL;
}

static bool
is_shared(const struct mx_db *db)
{
	return (db->ops->caps & MX_STORAGE_NOTIFY) != 0;
}

/* Whether the database is behind a connection that can be lost in a commit: then it is locked by
 * hand, too. */
static bool
is_remote(const struct mx_db *db)
{
	return db->ops->lock != NULL;
}

/* A transaction that holds the lock of the batch. */
static mx_error *
txn_begin(struct mx_db *db, struct mx_conn *c)
{
	MX_TRY(mx_conn_check(c, c->ops->begin(c->storage, true)));
	if (is_remote(db))
		MX_TRY(mx_conn_check(c, c->ops->lock(c->storage)));
	return NULL;
}

static mx_error *
txn_open(struct mx_db *db, struct mx_conn *c)
{
	struct mx_writer *w = &db->writer;
	int64_t asked = mx_monotonic_us();

	w->locked_at = 0;
	MX_TRY(txn_begin(db, c));
	mx_error *e = w->follows && (is_shared(db) || !w->current) ? catch_up(db, c) : NULL;
	/* What catching up read came once the lock was there. */
	w->locked_at = mx_monotonic_us();
	atomic_fetch_add_explicit(&db->lock_wait_us, (uint64_t)(w->locked_at - asked),
				  memory_order_relaxed);
	return e;
}

static void
count_lock(struct mx_db *db)
{
	int64_t since = db->writer.locked_at;

	if (since != 0)
		atomic_fetch_add_explicit(&db->lock_us, (uint64_t)(mx_monotonic_us() - since),
					  memory_order_relaxed);
}

static mx_error *
txn_close(struct mx_db *db, struct mx_conn *c)
{
	struct mx_writer *w = &db->writer;

	mx_pos since = atomic_load_explicit(&db->position, memory_order_relaxed);
	bool marked = w->follows && is_remote(db);

	w->batches += marked;
	if (w->pos != since) {
		struct mx_query *q = mx_query(c, &MOVE_POSITION);
		mx_bind_int(q, 1, w->pos);
		mx_bind_int(q, 2, marked ? w->id : 0);
		mx_bind_int(q, 3, marked ? w->batches : 0);
		MX_TRY(mx_query_run(q));
		if (mx_db_tells(db)) {
			if (db->watch.closing != NULL)
				MX_TRY(db->watch.closing(db->watch.arg, c, since, w->pos));
			MX_TRY(mx_follow_note_batch(db, c));
		}
	}
	if (marked) {
		struct mx_query *q = mx_query(c, &MARK_BATCH);
		mx_bind_int(q, 1, w->id);
		mx_bind_int(q, 2, w->batches);
		MX_TRY(mx_query_run(q));
	}
	return mx_conn_check(c, c->ops->commit(c->storage));
}

/* Runs one function. guarded: within a savepoint, which is undone when it fails; otherwise it is
 * alone in the transaction, and the caller undoes that. An error that is returned is the batch's;
 * the function's own is in job->error. */
static mx_error *
run_one(struct mx_txn *tx, struct mx_job *job, bool guarded)
{
	struct mx_conn *c = tx->conn;
	struct mx_after **mark = tx->after_end;
	mx_pos before = tx->db->writer.pos;

	if (guarded)
		MX_TRY(mx_conn_check(c, c->ops->savepoint(c->storage)));
	job->error = mx_txn_run(tx, job->guard, job->fn, job->arg);
	mx_conn_tidy(c);
	if (c->lost)
		return mx_db_unavailable("the connection to the database was lost");
	if (mx_error_is(job->error, MX_E_STORAGE)) {
		/* Nobody's fault, and perhaps the end of the whole transaction. */
		mx_error *e = job->error;
		job->error = NULL;
		return e;
	}
	if (job->error == NULL)
		return guarded ? mx_conn_check(c, c->ops->release(c->storage)) : NULL;
	tx->db->writer.pos = before;
	if (!guarded)
		return NULL;
	MX_TRY(mx_conn_check(c, c->ops->rollback_to(c->storage)));
	mx_txn_call_after(tx, mark, false);
	return NULL;
}

static void
publish(struct mx_db *db)
{
	mx_pos pos = db->writer.pos;

	if (pos == atomic_load_explicit(&db->position, memory_order_relaxed))
		return;
	mx_lineage_note(db, (struct mx_batch_mark){ pos, db->writer.id, db->writer.batches });
	atomic_store_explicit(&db->position, pos, memory_order_release);
	if (db->watch.published != NULL)
		db->watch.published(db->watch.arg, pos);
	mx_fresh_shown(db, pos);
}

/* Undoes the batch, in the database and in memory. */
static void
batch_undo(struct mx_txn *tx, struct mx_job **jobs, size_t n, bool outcome_known)
{
	struct mx_db *db = tx->db;

	if (tx->conn != NULL && !tx->conn->lost)
		tx->conn->ops->rollback(tx->conn->storage);
	db->writer.pos = atomic_load_explicit(&db->position, memory_order_relaxed);
	if (!outcome_known)
		db->writer.current = false;
	for (size_t i = 0; i < n; i++)
		mx_error_free(&jobs[i]->error);
	mx_txn_call_after(tx, &tx->after, false);
}

/* ---- what became of a commit during which the connection was lost ---- */

static mx_error *
read_batch(struct mx_db *db, struct mx_conn *c, bool *committed)
{
	/* Under the lock: whoever held it has ended, the lost transaction too. */
	MX_TRY(txn_begin(db, c));
	struct mx_query *q = mx_query(c, &READ_BATCH);
	mx_bind_int(q, 1, db->writer.id);
	*committed = mx_query_next(q) && mx_col_int(q, 0) == db->writer.batches;
	mx_error *e = mx_query_end(q);
	if (!c->lost)
		c->ops->rollback(c->storage);
	return e;
}

/* Looks for the batch's number until `deadline`. NULL: it was committed; MX_E_UNAVAILABLE: it was
 * not. Takes why. */
static mx_error *
settle(struct mx_db *db, int64_t deadline, mx_error *why)
{
	bool known = false, committed = false;

	writer_disconnect(db);
	while (is_remote(db) && db->writer.follows && !known && mx_monotonic_us() < deadline) {
		if (mx_error_drop(writer_connect(db, deadline)))
			break;
		known = !mx_error_drop(read_batch(db, db->writer.conn, &committed));
		if (!known)
			writer_disconnect(db);
	}
	if (is_remote(db))
		mx_log("sql", MX_WARN, "SQL006", "the connection was lost in a commit",
		       mx_fz("outcome", !known      ? "unknown"
					: committed ? "committed"
						    : "not committed"),
		       mx_fe(why));
	if (!known)
		return why;
	mx_error_free(&why);
	return committed ? NULL : mx_db_unavailable("the connection was lost in a commit");
}

/* ---- the disk ---- */

/* Told once, until a batch succeeds: a log that fills the same disk would be no help. */
static void
disk_fails(struct mx_db *db, const mx_error *e)
{
	if (!db->writer.failing)
		mx_log("sql", MX_ERROR, "SQL011",
		       "nothing can be stored: make room on the database's disk, or see whether it "
		       "fails (dmesg); the server goes on by itself",
		       mx_fe(e));
	db->writer.failing = true;
}

static void
disk_works(struct mx_db *db)
{
	if (db->writer.failing)
		mx_log("sql", MX_INFO, "SQL012", "the database can be written again");
	db->writer.failing = false;
}

/* ---- a batch ---- */

/* One transaction of n functions. NULL: each one's fate is in its error; otherwise nothing has
 * happened (or, with MX_E_UNCERTAIN, perhaps everything). */
static mx_error *
batch_try(struct mx_db *db, struct mx_job **jobs, size_t n, int64_t deadline)
{
	struct mx_conn *c = db->writer.conn;
	struct mx_txn tx;

	mx_txn_init(&tx, c);
	mx_error *e = txn_open(db, c);
	for (size_t i = 0; e == NULL && i < n; i++)
		e = run_one(&tx, jobs[i], n > 1);
	bool undone = e == NULL && n == 1 && jobs[0]->error != NULL;
	if (undone)
		c->ops->rollback(c->storage);
	else if (e == NULL)
		e = txn_close(db, c);
	count_lock(db);
	if (mx_error_is(e, MX_E_UNCERTAIN)) {
		mx_txn_detach(&tx);
		e = settle(db, deadline, e);
	}
	if (e != NULL) {
		batch_undo(&tx, jobs, n, !mx_error_is(e, MX_E_UNCERTAIN));
	} else {
		if (!undone && is_remote(db))
			mx_lineage_note_ours(db, db->writer.batches);
		mx_txn_call_after(&tx, &tx.after, !undone);
		publish(db);
	}
	mx_txn_end(&tx);
	atomic_fetch_add_explicit(&db->batches, 1, memory_order_relaxed);
	return e;
}

void
mx_job_deliver(struct mx_job *job)
{
	if (!job->heap) {
		sem_post(&job->woken);	/* from here on it may be gone: it is on its caller's stack */
		return;
	}
	if (job->done != NULL)
		job->done(job->arg, job->error);
	else
		mx_error_free(&job->error);
	free((void *)(uintptr_t)job->guard);
	free(job);
}

static void
deliver_all(struct mx_db *db, struct mx_job **jobs, size_t n)
{
	atomic_fetch_add_explicit(&db->writes, n, memory_order_relaxed);
	for (size_t i = 0; i < n; i++)
		mx_job_deliver(jobs[i]);
}

/* The same failure for all of them; takes e. */
static void
fail_all(struct mx_db *db, struct mx_job **jobs, size_t n, mx_error *e)
{
	for (size_t i = 0; i < n; i++) {
		mx_error_free(&jobs[i]->error);
		if (mx_error_is(e, MX_E_UNAVAILABLE))
			jobs[i]->error = mx_db_unavailable(mx_error_text(e));
		else if (mx_error_is(e, MX_E_STORAGE))
			jobs[i]->error = mx_db_disk_fails();
		else if (mx_error_is(e, MX_E_UNCERTAIN))
			jobs[i]->error = mx_db_uncertain();
		else
			jobs[i]->error = mx_error_new(mx_error_code(e), "%s", mx_error_text(e));
	}
	mx_error_free(&e);
	deliver_all(db, jobs, n);
}

/* What the batch as a whole failed with may be the fault of one function: alone, each has its own
 * error only. */
static void
batch_run_singly(struct mx_db *db, struct mx_job **jobs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mx_batch_run(db, &jobs[i], 1);
}

void
mx_batch_run(struct mx_db *db, struct mx_job **jobs, size_t n)
{
	struct mx_writer *w = &db->writer;
	int64_t deadline = jobs[0]->since + db->options.write_wait.ms * 1000;
	mx_error *e = NULL;

	for (int attempt = 1; attempt <= MX_BATCH_ATTEMPTS; attempt++) {
		mx_error_free(&e);
		e = writer_connect(db, deadline);
		if (e != NULL)
			break;
		e = mx_lineage_broken(db) ? mx_lineage_fall(db, w->conn)
					  : batch_try(db, jobs, n, deadline);
		if (e == NULL) {
			disk_works(db);
			deliver_all(db, jobs, n);
			return;
		}
		/* Each of them would fail the same way. */
		if (mx_error_is(e, MX_E_STORAGE) ||
		    (mx_error_is(e, MX_E_UNCERTAIN) && !is_remote(db))) {
			disk_fails(db, e);
			break;
		}
		mx_log("sql", mx_error_is(e, MX_E_EXISTS) ? MX_DEBUG : MX_WARN, "SQL005",
		       "a transaction failed", mx_fi("functions", n), mx_fi("attempt", attempt),
		       mx_fe(e));
		/* Undone because the connection is gone: that is nobody's fault, so the same again.
		 */
		bool lost = w->conn == NULL || w->conn->lost || mx_error_is(e, MX_E_UNAVAILABLE);
		if (lost)
			writer_disconnect(db);
		if (mx_error_is(e, MX_E_UNCERTAIN) || (!lost && n == 1) ||
		    (lost && mx_monotonic_us() > deadline))
			break;
		if (!lost || (n > 1 && attempt + 1 == MX_BATCH_ATTEMPTS)) {
			atomic_fetch_add_explicit(&db->retries, 1, memory_order_relaxed);
			mx_error_free(&e);
			batch_run_singly(db, jobs, n);
			return;
		}
		atomic_fetch_add_explicit(&db->retries, 1, memory_order_relaxed);
	}
	fail_all(db, jobs, n, e);
}

/* ---- what others have written ---- */

mx_error *
mx_batch_look(struct mx_db *db)
{
	struct mx_writer *w = &db->writer;

	MX_TRY(writer_connect(db, mx_monotonic_us() + db->options.write_wait.ms * 1000));
	if (mx_lineage_broken(db)) {
		mx_error *fell = mx_lineage_fall(db, w->conn);
		writer_disconnect(db);
		return fell;
	}
	mx_error *e = mx_conn_check(w->conn, w->conn->ops->begin(w->conn->storage, false));
	if (e == NULL && w->follows)
		e = catch_up(db, w->conn);
	mx_conn_tidy(w->conn);
	if (!w->conn->lost)
		w->conn->ops->rollback(w->conn->storage);
	if (w->conn->lost || mx_error_is(e, MX_E_UNAVAILABLE))
		writer_disconnect(db);
	return e;
}
