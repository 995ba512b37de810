/* Statements: parameters, running, columns.
 *
 * A statement is prepared at its first run, with the types that were bound: left to guess, the
 * server takes a parameter for text wherever the place says nothing else ("INSERT … SELECT $1"). */
#include "config.h"

#include <stdlib.h>

#include "postgres.h"

enum { TYPE_UNKNOWN = 0, TYPE_BYTES = 17, TYPE_INT = 20, TYPE_TEXT = 25 };

struct param {
	char *value;			/* room bytes */
	size_t room;
};

struct mx_storage_stmt {
	struct mx_storage_conn *conn;
	char *sql;
	uint64_t name;
	bool prepared;
	int count, room;		/* parameters that were ever bound */
	struct param *params;
	Oid *bound;			/* what is bound now; TYPE_UNKNOWN: NULL */
	Oid *types;			/* what it was prepared with */
	const char **values;
	int *lengths, *formats;

	PGresult *result;
	int row;			/* the current one; -1 before the first */
	char (*digits)[24];		/* numbers as text, one for each column */
	int digits_room;
};

mx_error *
postgres_prepare(struct mx_storage_conn *c, const char *text, struct mx_storage_stmt **out)
{
	MX_AUTO(mx_buf) *sql = mx_buf_new(0);

	*out = NULL;
	MX_TRY(mx_storage_dialect(text, '$', postgres_words, postgres_word_count, sql));
	struct mx_storage_stmt *st = mx_alloc(sizeof(*st));
	st->conn = c;
	st->sql = mx_str_dup(mx_buf_view(sql));
	st->row = -1;
	*out = st;
	return NULL;
}

void
postgres_finalize(struct mx_storage_stmt **stp)
{
	struct mx_storage_stmt *st = *stp;

	if (st == NULL)
		return;
	*stp = NULL;
	struct mx_storage_conn *c = st->conn;
	for (size_t i = 0; i < c->pending_count; i++) {
		struct sent *s = &c->pending[(c->pending_first + i) % c->pending_room];
		if (s->prepares == st)
			s->prepares = NULL;
	}
	if (st->prepared)
		postgres_bury(c, st->name);
	PQclear(st->result);
	for (int i = 0; i < st->room; i++)
		free(st->params[i].value);
	free(st->params);
	free(st->bound);
	free(st->types);
	free(st->values);
	free(st->lengths);
	free(st->formats);
	free(st->digits);
	free(st->sql);
	free(st);
}

void
postgres_prepare_failed(struct mx_storage_stmt *st)
{
	st->prepared = false;
}

/* ---- parameters ---- */

static void
params_grow(struct mx_storage_stmt *st, int room)
{
	size_t n = (size_t)room;

	st->params = mx_realloc(st->params, n, sizeof(st->params[0]));
	st->bound = mx_realloc(st->bound, n, sizeof(st->bound[0]));
	st->types = mx_realloc(st->types, n, sizeof(st->types[0]));
	st->values = mx_realloc(st->values, n, sizeof(st->values[0]));
	st->lengths = mx_realloc(st->lengths, n, sizeof(st->lengths[0]));
	st->formats = mx_realloc(st->formats, n, sizeof(st->formats[0]));
	for (int i = st->room; i < room; i++) {
		st->params[i] = (struct param){ NULL, 0 };
		st->bound[i] = st->types[i] = TYPE_UNKNOWN;
		st->values[i] = NULL;
		st->lengths[i] = 0;
		st->formats[i] = 1;
	}
	st->room = room;
}

static void
bind_value(struct mx_storage_stmt *st, int i, Oid type, const void *p, size_t n)
{
	if (i < 1 || i > 1000)
		return;
	if (i > st->room)
		params_grow(st, i + 4);
	if (i > st->count)
		st->count = i;
	i--;
	st->bound[i] = type;
	st->values[i] = NULL;
	st->lengths[i] = 0;
	if (type == TYPE_UNKNOWN)
		return;
	struct param *param = &st->params[i];
	if (n > param->room || param->value == NULL) {
		param->room = n < 16 ? 16 : n;
		param->value = mx_realloc(param->value, param->room, 1);
	}
	if (n != 0)
		memcpy(param->value, p, n);
	st->values[i] = param->value;
	st->lengths[i] = (int)n;
}

void
postgres_bind_int(struct mx_storage_stmt *st, int i, int64_t v)
{
	unsigned char bytes[8];

	for (int k = 0; k < 8; k++)
		bytes[k] = (unsigned char)((uint64_t)v >> (56 - 8 * k));
	bind_value(st, i, TYPE_INT, bytes, sizeof(bytes));
}

void
postgres_bind_text(struct mx_storage_stmt *st, int i, mx_str v)
{
	bind_value(st, i, TYPE_TEXT, v.p, v.n);
}

void
postgres_bind_blob(struct mx_storage_stmt *st, int i, const void *p, size_t n)
{
	bind_value(st, i, TYPE_BYTES, p, n);
}

void
postgres_bind_null(struct mx_storage_stmt *st, int i)
{
	bind_value(st, i, TYPE_UNKNOWN, NULL, 0);
}

/* ---- running ---- */

/* Whether it was prepared with the types that are bound now; a NULL goes for any. */
static bool
types_fit(const struct mx_storage_stmt *st)
{
	for (int i = 0; i < st->count; i++)
		if (st->bound[i] != TYPE_UNKNOWN && st->bound[i] != st->types[i])
			return false;
	return true;
}

static void
name_of(const struct mx_storage_stmt *st, char out[24])
{
	snprintf(out, 24, "s%llu", (unsigned long long)st->name);
}

/* Sees to the server's statement; on the writer's connection without waiting. */
static mx_error *
ready(struct mx_storage_stmt *st)
{
	struct mx_storage_conn *c = st->conn;
	char name[24];

	if (st->prepared && types_fit(st))
		return NULL;
	if (st->prepared)
		postgres_bury(c, st->name);
	for (int i = 0; i < st->count; i++)
		if (st->bound[i] != TYPE_UNKNOWN)
			st->types[i] = st->bound[i];
	st->name = ++c->names;
	name_of(st, name);
	st->prepared = true;
	if (c->writer)
		return pipeline_sent(c, PQsendPrepare(c->pg, name, st->sql, st->count, st->types),
				     (struct sent){ .prepares = st });
	if (PQtransactionStatus(c->pg) == PQTRANS_IDLE)
		postgres_drop_buried(c);
	PGresult *r = PQprepare(c->pg, name, st->sql, st->count, st->types);
	mx_error *e = postgres_result_ok(r) ? NULL : postgres_failed(c->pg, r);
	st->prepared = e == NULL;
	PQclear(r);
	return e;
}

static int
send_run(struct mx_storage_stmt *st)
{
	char name[24];

	name_of(st, name);
	return PQsendQueryPrepared(st->conn->pg, name, st->count, st->values, st->lengths,
				   st->formats, 1);
}

/* A migration while we run makes plans invalid: the statement has to be prepared anew. */
static bool
is_stale(const PGresult *r)
{
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	return state != NULL && (strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0);
}

static mx_error *
read_now(struct mx_storage_stmt *st)
{
	struct mx_storage_conn *c = st->conn;
	char name[24];
	PGresult *r = NULL;

	for (int attempt = 0; attempt < 2; attempt++) {
		PQclear(r);
		MX_TRY(ready(st));
		name_of(st, name);
		r = PQexecPrepared(c->pg, name, st->count, st->values, st->lengths, st->formats, 1);
		if (postgres_result_ok(r)) {
			st->result = r;
			return NULL;
		}
		if (!is_stale(r))
			break;
		postgres_bury(c, st->name);
		st->prepared = false;
		if (PQtransactionStatus(c->pg) != PQTRANS_IDLE)
			break;
	}
	mx_error *e = postgres_failed(c->pg, r);
	PQclear(r);
	return e;
}

/* Sends it behind what is under way and waits for all the answers. */
static mx_error *
read_in_pipeline(struct mx_storage_stmt *st)
{
	struct mx_storage_conn *c = st->conn;
	PGresult *r = NULL;

	if (c->deferred != NULL)
		return pipeline_error(c);
	MX_TRY(ready(st));
	MX_TRY(pipeline_sent(c, send_run(st), (struct sent){ 0 }));
	MX_TRY(pipeline_collect(c, &r));
	if (c->deferred == NULL) {
		st->result = r;
		return NULL;
	}
	if (is_stale(r))
		st->prepared = false;
	PQclear(r);
	return pipeline_error(c);
}

mx_error *
postgres_step(struct mx_storage_stmt *st, bool *row)
{
	*row = false;
	if (st->result == NULL) {
		MX_TRY(st->conn->writer ? read_in_pipeline(st) : read_now(st));
		st->row = -1;
		int columns = PQnfields(st->result);
		if (columns > st->digits_room) {
			st->digits = mx_realloc(st->digits, (size_t)columns, sizeof(st->digits[0]));
			st->digits_room = columns;
		}
	}
	if (st->row + 1 < PQntuples(st->result)) {
		st->row++;
		*row = true;
	}
	return NULL;
}

mx_error *
postgres_run(struct mx_storage_stmt *st)
{
	struct mx_storage_conn *c = st->conn;
	mx_error *e = NULL;
	bool row;

	if (!c->writer) {
		e = postgres_step(st, &row);
	} else if (c->deferred != NULL) {
		e = pipeline_error(c);
	} else {
		e = ready(st);
		if (e == NULL)
			e = pipeline_sent(c, send_run(st), (struct sent){ 0 });
	}
	postgres_reset(st);
	return e;
}

void
postgres_reset(struct mx_storage_stmt *st)
{
	PQclear(st->result);
	st->result = NULL;
	st->row = -1;
	for (int i = 0; i < st->count; i++) {
		st->bound[i] = TYPE_UNKNOWN;
		st->values[i] = NULL;
	}
}

/* ---- columns ---- */

static bool
is_there(const struct mx_storage_stmt *st, int i)
{
	return st->result != NULL && st->row >= 0 && i >= 0 && i < PQnfields(st->result);
}

bool
postgres_col_null(const struct mx_storage_stmt *st, int i)
{
	return !is_there(st, i) || PQgetisnull(st->result, st->row, i);
}

int64_t
postgres_col_int(const struct mx_storage_stmt *st, int i)
{
	return postgres_col_null(st, i) ? 0 : result_int(st->result, st->row, i);
}

mx_str
postgres_col_str(const struct mx_storage_stmt *st, int i)
{
	if (postgres_col_null(st, i))
		return (mx_str){ NULL, 0 };
	if (!result_is_number(st->result, i))
		return (mx_str){ PQgetvalue(st->result, st->row, i),
				 (size_t)PQgetlength(st->result, st->row, i) };
	int n = snprintf(st->digits[i], sizeof(st->digits[i]), "%lld",
			 (long long)result_int(st->result, st->row, i));
	return (mx_str){ st->digits[i], (size_t)n };
}
