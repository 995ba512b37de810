/* Transactions: on the writer's connection every command but the commit goes out without waiting.
 */
#include "config.h"

#include "postgres.h"

mx_error *
postgres_begin(struct mx_storage_conn *c, bool write)
{
	if (!c->writer)
		return postgres_simple(
			c->pg, write ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
	c->sent_count = c->collected_count = 0;
	c->guarded = false;
	mx_error_free(&c->deferred);
	MX_TRY(pipeline_prepared(c, "begin", (struct sent){ 0 }));
	c->within = true;
	postgres_drop_buried(c);
	return NULL;
}

/* Every statement behind it sees what the holder before us has committed, for each takes a snapshot
 * of its own. */
mx_error *
postgres_lock(struct mx_storage_conn *c)
{
	return pipeline_prepared(c, "lock", (struct sent){ 0 });
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
		e = pipeline_prepared(c, "rollback", (struct sent){ 0 });
	if (e == NULL)
		e = pipeline_sync(c);
	/* A connection that is lost says so at the next begin. */
	mx_error_free(&e);
	mx_error_free(&c->deferred);
}

mx_error *
postgres_commit(struct mx_storage_conn *c)
{
	if (!c->writer)
		return postgres_simple(c->pg, "COMMIT");
	if (c->deferred != NULL)
		return pipeline_error(c);
	MX_TRY(pipeline_prepared(c, "commit", (struct sent){ .commits = true }));
	mx_error *e = pipeline_sync(c);
	if (c->deferred != NULL) {
		mx_error_free(&e);
		e = pipeline_error(c);
	} else if (e != NULL && c->pending_count == 0) {
		/* The answer to the commit was there; what was lost came behind it. */
		mx_error_free(&e);
	}
	if (e == NULL) {
		c->within = c->guarded = false;
		return NULL;
	}
	if (!mx_error_is(e, MX_E_UNAVAILABLE))
		return e;
	mx_error *uncertain = mx_error_new(MX_E_UNCERTAIN, "%s", mx_error_text(e));
	mx_error_free(&e);
	return uncertain;
}

/* ---- savepoints ---- */

mx_error *
postgres_savepoint(struct mx_storage_conn *c)
{
	if (c->deferred != NULL)
		return pipeline_error(c);
	c->savepoint_at = c->sent_count;
	c->guarded = true;
	return pipeline_prepared(c, "savepoint", (struct sent){ 0 });
}

mx_error *
postgres_release(struct mx_storage_conn *c)
{
	if (c->deferred != NULL)
		return pipeline_error(c);
	c->guarded = false;
	return pipeline_prepared(c, "release", (struct sent){ 0 });
}

/* An error of a command before the savepoint belongs to a function that was believed to have
 * succeeded: then this function's failure may be only its consequence, and the whole batch is in
 * doubt. */
mx_error *
postgres_rollback_to(struct mx_storage_conn *c)
{
	MX_TRY(pipeline_sync(c));
	if (c->deferred != NULL && c->deferred_at <= c->savepoint_at + 1)
		return pipeline_error(c);
	mx_error_free(&c->deferred);
	c->guarded = false;
	MX_TRY(pipeline_prepared(c, "rollback_to", (struct sent){ 0 }));
	return pipeline_prepared(c, "release", (struct sent){ 0 });
}

mx_error *
postgres_patience(struct mx_storage_conn *c, mx_msec ms)
{
	char sql[64];

	snprintf(sql, sizeof(sql), "SET LOCAL lock_timeout = %lld", (long long)ms);
	return c->writer ? pipeline_command(c, sql, (struct sent){ 0 }) : postgres_simple(c->pg, sql);
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
