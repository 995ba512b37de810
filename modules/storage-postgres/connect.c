/* Connections to PostgreSQL, and the table of the driver's functions. */
#include "config.h"

#include <stdlib.h>

#include <myelin/log.h>

#include "postgres.h"

const struct mx_storage_word postgres_words[] = {
	{ "blob", "BYTEA" },
	{ "key", "BIGINT PRIMARY KEY" },
	{ "unkeyed", "" },
	{ "now", "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)" },
};
const size_t postgres_word_count = sizeof(postgres_words) / sizeof(postgres_words[0]);

/* ---- errors ---- */

/* By SQLSTATE: PostgreSQL's manual, appendix A. */
static enum mx_code
code_of(const char *state)
{
	static const struct {
		const char *state;
		enum mx_code code;
	} codes[] = {
		{ "23505", MX_E_EXISTS },	/* unique violation */
		{ "22021", MX_E_INVALID_PARAM },	/* not UTF-8 */
		{ "25006", MX_E_UNAVAILABLE },	/* read-only: it has become a standby */
		{ "55P03", MX_E_UNAVAILABLE },	/* the lock did not come */
		{ "57P", MX_E_UNAVAILABLE },	/* shutting down, terminated */
		{ "53100", MX_E_STORAGE },	/* the disk is full */
		{ "53", MX_E_UNAVAILABLE },	/* out of memory, connections */
		{ "58", MX_E_UNAVAILABLE },	/* input or output failed */
		{ "08", MX_E_UNAVAILABLE },	/* connection */
	};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strncmp(state, codes[i].state, strlen(codes[i].state)) == 0)
			return codes[i].code;
	return MX_E_UNKNOWN;
}

/* The status may be good for a while after the server is gone, but the server's own errors have an
 * SQLSTATE. */
bool
postgres_is_lost(PGconn *pg, const PGresult *r)
{
	return PQstatus(pg) == CONNECTION_BAD ||
	       (PQresultStatus(r) == PGRES_FATAL_ERROR && r != NULL &&
		PQresultErrorField(r, PG_DIAG_SQLSTATE) == NULL);
}

mx_error *
postgres_failed(PGconn *pg, const PGresult *r)
{
	const char *state = r != NULL ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
	const char *text = r != NULL ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	enum mx_code code = state != NULL ? code_of(state) : MX_E_UNKNOWN;

	if (postgres_is_lost(pg, r))
		code = MX_E_UNAVAILABLE;
	if (text == NULL)
		text = PQerrorMessage(pg);
	size_t n = strcspn(text, "\n");
	return mx_error_new(code, "PostgreSQL: %.*s%s%s", (int)n, text, state != NULL ? ", " : "",
			    state != NULL ? state : "");
}

bool
postgres_result_ok(const PGresult *r)
{
	ExecStatusType status = PQresultStatus(r);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

mx_error *
postgres_simple(PGconn *pg, const char *sql)
{
	PGresult *r = PQexec(pg, sql);
	mx_error *e = postgres_result_ok(r) ? NULL : postgres_failed(pg, r);

	PQclear(r);
	return e;
}

/* ---- connecting ---- */

static void
ignore_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

mx_error *
postgres_connect(struct mx_storage *s, PGconn **out)
{
	char wait[24];
	/* What stands in the connection string wins: it comes last. */
	const char *keys[] = { "application_name", "connect_timeout", "tcp_user_timeout",
			       "keepalives_idle",  "dbname",          NULL };
	const char *values[] = { "myelin", wait, "15000", "30", s->conninfo, NULL };

	snprintf(wait, sizeof(wait), "%lld", (long long)(s->options.connect_wait.ms + 999) / 1000);
	*out = PQconnectdbParams(keys, values, 1);
	if (PQstatus(*out) == CONNECTION_OK) {
		PQsetNoticeReceiver(*out, ignore_notice, NULL);
		return NULL;
	}
	const char *text = PQerrorMessage(*out);
	mx_error *e =
		mx_error_new(MX_E_UNAVAILABLE, "PostgreSQL: %.*s", (int)strcspn(text, "\n"), text);
	PQfinish(*out);
	*out = NULL;
	return e;
}

/* Our SQL compares and sorts text by its bytes, as SQLite does. */
static mx_error *
check_collation(PGconn *pg)
{
	PGresult *r = PQexec(pg, "SELECT pg_encoding_to_char(encoding), datcollate FROM pg_database "
				 "WHERE datname = current_database()");
	mx_error *e = NULL;

	if (!postgres_result_ok(r) || PQntuples(r) != 1) {
		e = postgres_failed(pg, r);
	} else {
		const char *encoding = PQgetvalue(r, 0, 0), *collation = PQgetvalue(r, 0, 1);
		bool bytes = strcmp(collation, "C") == 0 || strcmp(collation, "POSIX") == 0 ||
			     strncmp(collation, "C.", 2) == 0;
		if (strcmp(encoding, "UTF8") != 0 || !bytes)
			e = mx_error_new(
				MX_E_CONFIG,
				"the database has encoding %s and collation %s, and needs UTF8 and "
				"C: CREATE DATABASE … "
				"ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
				encoding, collation);
	}
	PQclear(r);
	return e;
}

/* What every batch sends is parsed once. */
static mx_error *
prepare_commands(PGconn *pg)
{
	static const char *const commands[][2] = {
		{ "begin", "BEGIN" },
		{ "commit", "COMMIT" },
		{ "rollback", "ROLLBACK" },
		{ "savepoint", "SAVEPOINT f" },
		{ "release", "RELEASE f" },
		{ "rollback_to", "ROLLBACK TO f" },
		{ "lock", "SELECT pg_advisory_xact_lock(" LOCK_OF_THE_BATCH ")" },
		{ "notify", "SELECT pg_notify('" CHANNEL "', $1)" },
	};
	mx_error *e = NULL;

	for (size_t i = 0; e == NULL && i < sizeof(commands) / sizeof(commands[0]); i++) {
		PGresult *r = PQprepare(pg, commands[i][0], commands[i][1], 0, NULL);
		if (!postgres_result_ok(r))
			e = postgres_failed(pg, r);
		PQclear(r);
	}
	return e;
}

/* Who has the lock of the batch and has said nothing for long has been paused, or his machine is
 * gone: his batch is undone, so that others can go on. When he wakes he finds his connection lost,
 * and does it again. Where that is not allowed we wait like before. */
static void
end_who_sleeps(const struct mx_storage *s, PGconn *pg)
{
	char sql[640];
	PGresult *r;

	snprintf(sql, sizeof(sql),
		 "SELECT pg_terminate_backend(a.pid) FROM pg_locks l JOIN pg_stat_activity a "
		 "ON a.pid = l.pid WHERE l.locktype = 'advisory' AND l.classid = 0 "
		 "AND l.objid = " LOCK_OF_THE_BATCH " AND l.objsubid = 1 AND l.granted "
		 "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
		 "AND a.wait_event = 'ClientRead' "
		 "AND a.state_change < clock_timestamp() - interval '%lld milliseconds'",
		 (long long)s->options.lock_wait.ms / 2);
	r = PQexec(pg, sql);
	if (PQntuples(r) > 0)
		mx_log("storage-postgres", MX_WARN, "PG001",
		       "another process has slept over its batch; it is undone");
	PQclear(r);
}

static mx_error *
set_up(struct mx_storage_conn *c)
{
	char sql[80];

	/* Pages of a timeline are read in the order of an index. The plan of a prepared statement does
	 * not know how much lies between its borders, and would rather collect and sort all of it:
	 * ten times the work in a large room. */
	if (!c->writer)
		return postgres_first(c->storage, c->pg,
				      "SET default_transaction_read_only = on;"
				      "SET enable_bitmapscan = off",
				      NULL);
	snprintf(sql, sizeof(sql), "SET lock_timeout = %lld",
		 (long long)c->storage->options.lock_wait.ms);
	MX_TRY(postgres_first(c->storage, c->pg, sql, NULL));
	MX_TRY(postgres_check_pooler(c->storage, c->pg));
	MX_TRY(check_collation(c->pg));
	end_who_sleeps(c->storage, c->pg);
	MX_TRY(prepare_commands(c->pg));
	return PQenterPipelineMode(c->pg) == 1 ? NULL : postgres_failed(c->pg, NULL);
}

void
postgres_disconnect(struct mx_storage_conn **cp)
{
	struct mx_storage_conn *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	PQfreemem(c->heard);
	PQfinish(c->pg);
	mx_error_free(&c->deferred);
	free(c->pending);
	free(c->dead);
	free(c);
}

static mx_error *
op_connect(struct mx_storage *s, bool writer, struct mx_storage_conn **out)
{
	struct mx_storage_conn *c = mx_alloc(sizeof(*c));

	c->storage = s;
	c->writer = writer;
	mx_error *e = postgres_connect(s, &c->pg);
	if (e == NULL)
		e = set_up(c);
	if (e != NULL)
		postgres_disconnect(&c);
	*out = c;
	return e;
}

/* What libpq says of a malformed one quotes it, and it may hold a password. */
static mx_error *
check_conninfo(const char *conninfo)
{
	PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);

	if (parsed == NULL)
		return mx_error_new(MX_E_CONFIG,
				    "[database] url: what stands behind postgres: is malformed; it "
				    "is a connection string of PostgreSQL, such as host=/run/postgresql "
				    "dbname=myelin, or //USER@HOST/NAME");
	PQconninfoFree(parsed);
	return NULL;
}

static mx_error *
op_open(const void *options, mx_str where, struct mx_storage **out)
{
	struct mx_storage *s = mx_alloc(sizeof(*s));
	MX_AUTO(mx_buf) *conninfo = mx_buf_new(0);

	/* "postgres://user@host/name" is cut at its first colon, and libpq wants it whole. */
	if (mx_str_starts(where, MX_S("//")))
		mx_buf_str(conninfo, MX_S("postgresql:"));
	mx_buf_str(conninfo, where);
	s->conninfo = mx_str_dup(mx_buf_view(conninfo));
	s->options = (struct postgres_options){ { 5000 }, { 4000 } };
	if (options != NULL)
		s->options = *(const struct postgres_options *)options;
	*out = s;
	return check_conninfo(s->conninfo);
}

static void
op_close(struct mx_storage **sp)
{
	struct mx_storage *s = *sp;

	if (s == NULL)
		return;
	*sp = NULL;
	free(s->conninfo);
	free(s);
}

/* ---- names of prepared statements ---- */

void
postgres_bury(struct mx_storage_conn *c, uint64_t name)
{
	if (c->dead_count == c->dead_room) {
		c->dead_room = c->dead_room * 2 + 16;
		c->dead = mx_realloc(c->dead, c->dead_room, sizeof(c->dead[0]));
	}
	c->dead[c->dead_count++] = name;
}

void
postgres_drop_buried(struct mx_storage_conn *c)
{
	char sql[48];
	mx_error *e = NULL;

	while (c->dead_count > 0 && e == NULL) {
		snprintf(sql, sizeof(sql), "DEALLOCATE s%llu",
			 (unsigned long long)c->dead[--c->dead_count]);
		e = c->writer ? pipeline_command(c, sql, (struct sent){ 0 })
			      : postgres_simple(c->pg, sql);
	}
	mx_error_free(&e);
}

/* ---- looking after it ---- */

static mx_error *
op_disk_size(struct mx_storage_conn *c, int64_t *out)
{
	PGresult *r = PQexec(c->pg, "SELECT pg_database_size(current_database())");
	mx_error *e = postgres_result_ok(r) ? NULL : postgres_failed(c->pg, r);

	*out = e == NULL ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : 0;
	PQclear(r);
	return e;
}

/* With the extension amcheck every index is compared with its table; without it PostgreSQL offers
 * nothing. */
static mx_error *
op_check(struct mx_storage_conn *c, char **report)
{
	PGresult *r = PQexec(c->pg, "SELECT 1 FROM pg_extension WHERE extname = 'amcheck'");
	mx_error *e = postgres_result_ok(r) ? NULL : postgres_failed(c->pg, r);
	bool can = e == NULL && PQntuples(r) == 1;

	*report = NULL;
	PQclear(r);
	if (e != NULL)
		return e;
	if (!can) {
		*report = mx_str_dup(MX_S("not checked: CREATE EXTENSION amcheck lets PostgreSQL "
					  "check its indexes\n"));
		return NULL;
	}
	e = postgres_simple(
		c->pg, "SELECT bt_index_check(i.indexrelid, true) FROM pg_index i "
		       "JOIN pg_class k ON k.oid = i.indexrelid JOIN pg_am a ON a.oid = k.relam "
		       "WHERE a.amname = 'btree' AND k.relpersistence = 'p' AND i.indisvalid "
		       "AND k.relnamespace = current_schema()::regnamespace");
	if (mx_error_is(e, MX_E_UNAVAILABLE))
		return e;
	*report = mx_str_dup(e != NULL ? mx_str_of(mx_error_text(e)) : MX_S("ok\n"));
	mx_error_free(&e);
	return NULL;
}

const struct mx_storage_ops postgres_ops = {
	.size = sizeof(struct mx_storage_ops),
	.caps = MX_STORAGE_NOTIFY | MX_STORAGE_DEFERS | MX_STORAGE_ASIDE,
	.open = op_open,
	.close = op_close,
	.connect = op_connect,
	.disconnect = postgres_disconnect,
	.prepare = postgres_prepare,
	.finalize = postgres_finalize,
	.bind_int = postgres_bind_int,
	.bind_text = postgres_bind_text,
	.bind_blob = postgres_bind_blob,
	.bind_null = postgres_bind_null,
	.step = postgres_step,
	.run = postgres_run,
	.reset = postgres_reset,
	.col_null = postgres_col_null,
	.col_int = postgres_col_int,
	.col_str = postgres_col_str,
	.begin = postgres_begin,
	.lock = postgres_lock,
	.commit = postgres_commit,
	.rollback = postgres_rollback,
	.savepoint = postgres_savepoint,
	.release = postgres_release,
	.rollback_to = postgres_rollback_to,
	.exec = postgres_exec,
	.disk_size = op_disk_size,
	.check = op_check,
	.notify = postgres_notify,
	.listen = postgres_listen,
	.hear = postgres_hear,
	.others = postgres_others,
	.patience = postgres_patience,
	.index = postgres_index,
};
