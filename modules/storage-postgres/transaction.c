/* Transactions: on the writer's connection every command but the commit goes out without waiting. */
#include "config.h"

#include <stdlib.h>
#include <time.h>

#include "postgres.h"

#define LOCK_OF_THE_BATCH "1299801452"	/* "Myel" */

mx_error *
postgres_begin(struct mx_storage_conn *c, bool write)
{
	if (!c->writer)
		return postgres_simple(c->pg, write ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
	c->sent_count = c->collected_count = 0;
	c->guarded = false;
	c->xid[0] = '\0';
	mx_error_free(&c->deferred);
	MX_TRY(pipeline_command(c, "BEGIN", (struct sent){ 0 }));
	c->within = true;
	postgres_drop_buried(c);
	return NULL;
}

/* Every statement behind it sees what the holder before us has committed, for each takes a snapshot of its own. */
mx_error *
postgres_lock(struct mx_storage_conn *c)
{
	return pipeline_command(c, "SELECT pg_current_xact_id() FROM pg_advisory_xact_lock(" LOCK_OF_THE_BATCH ")",
				(struct sent){ .tells_xid = true });
}

/* Back to an idle connection, whatever was under way. */
void
postgres_rollback(struct mx_storage_conn *c)
{
	mx_error *e;

	if (!c->writer) {
		e = postgres_simple(c->pg, "ROLLBACK");
		mx_error_free(&e);
		return;
	}
	if (!c->within)
		return;
	c->within = c->guarded = false;
	e = pipeline_sync(c);
	if (e == NULL && PQtransactionStatus(c->pg) != PQTRANS_IDLE)
		e = pipeline_command(c, "ROLLBACK", (struct sent){ 0 });
	if (e == NULL)
		e = pipeline_sync(c);
	/* A connection that is lost says so at the next begin. */
	mx_error_free(&e);
	mx_error_free(&c->deferred);
}

/* ---- commit, and what became of one whose answer did not come ---- */

static void
pause_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

enum fate { FATE_UNKNOWN, FATE_COMMITTED, FATE_ABORTED };

static enum fate
ask_fate(PGconn *pg, const char *xid, int backend)
{
	const char *params[] = { xid };
	enum fate fate = FATE_UNKNOWN;
	char sql[64];

	PGresult *r = PQexecParams(pg, "SELECT pg_xact_status($1::xid8)", 1, NULL, params, NULL, NULL, 0);
	if (postgres_result_ok(r) && PQntuples(r) == 1) {
		const char *status = PQgetvalue(r, 0, 0);
		if (strcmp(status, "committed") == 0)
			fate = FATE_COMMITTED;
		else if (strcmp(status, "aborted") == 0)
			fate = FATE_ABORTED;
	}
	PQclear(r);
	if (fate == FATE_UNKNOWN) {
		/* The server has not noticed yet that we are gone. */
		snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d)", backend);
		PQclear(PQexec(pg, sql));
	}
	return fate;
}

/* The server remembers a transaction's fate: asked on a new connection, for as long as settle_wait. */
static mx_error *
settle(struct mx_storage_conn *c, mx_error *why)
{
	int64_t until = mx_monotonic_us() + c->storage->options.settle_wait.ms * 1000;
	int backend = PQbackendPID(c->pg);
	enum fate fate = FATE_UNKNOWN;
	PGconn *pg = NULL;

	while (c->xid[0] != '\0' && fate == FATE_UNKNOWN && mx_monotonic_us() < until) {
		mx_error *e = pg == NULL ? postgres_connect(c->storage, &pg) : NULL;
		if (e == NULL)
			fate = ask_fate(pg, c->xid, backend);
		mx_error_free(&e);
		if (fate == FATE_UNKNOWN)
			pause_ms(50);
		if (pg != NULL && PQstatus(pg) == CONNECTION_BAD) {
			PQfinish(pg);
			pg = NULL;
		}
	}
	PQfinish(pg);
	if (fate == FATE_COMMITTED) {
		mx_error_free(&why);
		return NULL;
	}
	if (fate == FATE_ABORTED)
		return why;
	mx_error *e = mx_error_new(MX_E_UNCERTAIN, "%s", mx_error_text(why));
	mx_error_free(&why);
	return e;
}

mx_error *
postgres_commit(struct mx_storage_conn *c)
{
	if (!c->writer)
		return postgres_simple(c->pg, "COMMIT");
	if (c->deferred != NULL)
		return pipeline_error(c);
	MX_TRY(pipeline_command(c, "COMMIT", (struct sent){ .commits = true }));
	mx_error *e = pipeline_sync(c);
	if (e == NULL && c->deferred != NULL)
		e = pipeline_error(c);
	/* The answer to the commit was there, and what was lost is only what came behind it. */
	else if (e != NULL && c->pending_count == 0 && c->deferred == NULL)
		mx_error_free(&e);
	if (mx_error_is(e, MX_E_UNAVAILABLE) && (c->deferred == NULL || mx_error_is(c->deferred, MX_E_UNAVAILABLE)))
		e = settle(c, e);
	if (e == NULL)
		c->within = c->guarded = false;
	return e;
}

/* ---- savepoints ---- */

mx_error *
postgres_savepoint(struct mx_storage_conn *c)
{
	if (c->deferred != NULL)
		return pipeline_error(c);
	c->savepoint_at = c->sent_count;
	c->guarded = true;
	return pipeline_command(c, "SAVEPOINT f", (struct sent){ 0 });
}

mx_error *
postgres_release(struct mx_storage_conn *c)
{
	if (c->deferred != NULL)
		return pipeline_error(c);
	c->guarded = false;
	return pipeline_command(c, "RELEASE f", (struct sent){ 0 });
}

/* An error of a command before the savepoint belongs to a function that was believed to have succeeded: then this
 * function's failure may be only its consequence, and the whole batch is in doubt. */
mx_error *
postgres_rollback_to(struct mx_storage_conn *c)
{
	MX_TRY(pipeline_sync(c));
	if (c->deferred != NULL && c->deferred_at <= c->savepoint_at + 1)
		return pipeline_error(c);
	mx_error_free(&c->deferred);
	c->guarded = false;
	MX_TRY(pipeline_command(c, "ROLLBACK TO f", (struct sent){ 0 }));
	return pipeline_command(c, "RELEASE f", (struct sent){ 0 });
}

/* ---- scripts: several statements in one message are outside of what a pipeline can do ---- */

mx_error *
postgres_exec(struct mx_storage_conn *c, const char *script)
{
	MX_AUTO(mx_buf) *sql = mx_buf_new(0);

	MX_TRY(mx_storage_dialect(script, '$', postgres_words, postgres_word_count, sql));
	if (!c->writer)
		return postgres_simple(c->pg, mx_buf_cstr(sql));
	MX_TRY(pipeline_sync(c));
	if (c->deferred != NULL)
		return pipeline_error(c);
	if (PQexitPipelineMode(c->pg) != 1)
		return postgres_failed(c->pg, NULL);
	mx_error *e = postgres_simple(c->pg, mx_buf_cstr(sql));
	if (PQenterPipelineMode(c->pg) != 1 && e == NULL)
		e = postgres_failed(c->pg, NULL);
	return e;
}
