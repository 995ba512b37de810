/* Commands under way: libpq's pipeline mode, with a note of each command until its answer is there.
 */
#include "config.h"

#include <stdlib.h>

#include "postgres.h"

/* Answers wait in memory until they are collected. */
#define PENDING_MAX 2000

mx_error *
pipeline_error(const struct mx_storage_conn *c)
{
	return mx_error_new(mx_error_code(c->deferred), "%s", mx_error_text(c->deferred));
}

static mx_error *
lost(struct mx_storage_conn *c)
{
	return mx_error_new(MX_E_UNAVAILABLE, "PostgreSQL: the connection was lost: %.*s",
			    (int)strcspn(PQerrorMessage(c->pg), "\n"), PQerrorMessage(c->pg));
}

static void
pending_push(struct mx_storage_conn *c, struct sent what)
{
	if (c->pending_count == c->pending_room) {
		size_t room = c->pending_room * 2 + 64;
		struct sent *grown = mx_realloc(NULL, room, sizeof(*grown));
		for (size_t i = 0; i < c->pending_count; i++)
			grown[i] = c->pending[(c->pending_first + i) % c->pending_room];
		free(c->pending);
		c->pending = grown;
		c->pending_first = 0;
		c->pending_room = room;
	}
	c->pending[(c->pending_first + c->pending_count++) % c->pending_room] = what;
	c->sent_count++;
}

mx_error *
pipeline_sent(struct mx_storage_conn *c, int sent, struct sent what)
{
	if (sent != 1)
		return PQstatus(c->pg) == CONNECTION_BAD ? lost(c) : postgres_failed(c->pg, NULL);
	pending_push(c, what);
	return c->pending_count >= PENDING_MAX ? pipeline_collect(c, NULL) : NULL;
}

mx_error *
pipeline_command(struct mx_storage_conn *c, const char *sql, struct sent what)
{
	return pipeline_sent(c, PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0), what);
}

mx_error *
pipeline_prepared(struct mx_storage_conn *c, const char *name, struct sent what)
{
	return pipeline_sent(c, PQsendQueryPrepared(c->pg, name, 0, NULL, NULL, NULL, 0), what);
}

static void
note_answer(struct mx_storage_conn *c, struct sent what, const PGresult *r)
{
	c->collected_count++;
	if (postgres_result_ok(r)) {
		/* PostgreSQL "commits" a failed transaction by undoing it. */
		if (what.commits && strcmp(PQcmdStatus((PGresult *)r), "COMMIT") != 0 &&
		    c->deferred == NULL) {
			c->deferred = mx_error_new(MX_E_UNKNOWN,
						   "PostgreSQL: the transaction was rolled back");
			c->deferred_at = c->collected_count;
		}
		return;
	}
	if (what.prepares != NULL)
		postgres_prepare_failed(what.prepares);
	/* Of what the server skipped after an error, only the error itself is worth telling. */
	if (PQresultStatus(r) == PGRES_PIPELINE_ABORTED || c->deferred != NULL)
		return;
	c->deferred = postgres_failed(c->pg, r);
	c->deferred_at = c->collected_count;
}

/* The answers to the commands that are under way, once the server was asked to send them. */
static mx_error *
collect(struct mx_storage_conn *c, PGresult **last)
{
	while (c->pending_count > 0) {
		PGresult *r = PQgetResult(c->pg), *more;
		if (r == NULL || postgres_is_lost(c->pg, r)) {
			mx_error *e = lost(c);
			PQclear(r);
			return e;
		}
		struct sent what = c->pending[c->pending_first];
		c->pending_first = (c->pending_first + 1) % c->pending_room;
		c->pending_count--;
		note_answer(c, what, r);
		while ((more = PQgetResult(c->pg)) != NULL)
			PQclear(more);
		if (c->pending_count == 0 && last != NULL)
			*last = r;
		else
			PQclear(r);
	}
	return NULL;
}

mx_error *
pipeline_collect(struct mx_storage_conn *c, PGresult **last)
{
	if (c->pending_count == 0)
		return NULL;
	if (PQsendFlushRequest(c->pg) != 1)
		return lost(c);
	return collect(c, last);
}

mx_error *
pipeline_sync(struct mx_storage_conn *c)
{
	if (PQpipelineSync(c->pg) != 1)
		return lost(c);
	MX_TRY(collect(c, NULL));
	PGresult *r = PQgetResult(c->pg);
	bool synced = PQresultStatus(r) == PGRES_PIPELINE_SYNC;
	PQclear(r);
	return synced ? NULL : lost(c);
}
