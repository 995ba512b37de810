/* Building an index while others write to its table: CREATE INDEX CONCURRENTLY, which is outside of
 * any transaction, and leaves an invalid one behind where it was ended. */
#include "config.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>

#include "postgres.h"

enum { ASK_EVERY_MS = 100 };

struct parts {
	mx_str head, name, rest;	/* "CREATE UNIQUE INDEX", "note_day", " ON note (day)" */
};

static bool
take_apart(mx_str sql, struct parts *out)
{
	static const char *const heads[] = { "CREATE INDEX ", "CREATE UNIQUE INDEX " };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		size_t n = strlen(heads[i]), k = n;

		if (!mx_str_starts(sql, mx_str_of(heads[i])))
			continue;
		while (k < sql.n && (isalnum((unsigned char)sql.p[k]) || sql.p[k] == '_'))
			k++;
		*out = (struct parts){ { sql.p, n - 1 }, { sql.p + n, k - n }, { sql.p + k, sql.n - k } };
		return out->name.n > 0 && out->rest.n > 0;
	}
	return false;
}

static void
cancel(PGconn *pg)
{
	PGcancel *request = PQgetCancel(pg);
	char why[256];

	if (request != NULL)
		PQcancel(request, why, sizeof(why));
	PQfreeCancel(request);
}

/* Runs one statement for as long as it takes, unless it is to stop. */
static mx_error *
run(PGconn *pg, const char *sql, bool (*stop)(void *arg), void *arg)
{
	struct pollfd p = { .fd = PQsocket(pg), .events = POLLIN };
	bool stopped = false;
	mx_error *e = NULL;
	PGresult *r;

	if (PQsendQuery(pg, sql) != 1)
		return postgres_failed(pg, NULL);
	while (PQisBusy(pg) == 1) {
		if (poll(&p, 1, ASK_EVERY_MS) < 0 && errno != EINTR)
			break;
		if (!stopped && stop(arg)) {
			stopped = true;
			cancel(pg);
		}
		if (PQconsumeInput(pg) != 1)
			break;
	}
	while ((r = PQgetResult(pg)) != NULL) {
		if (e == NULL && !postgres_result_ok(r))
			e = postgres_failed(pg, r);
		PQclear(r);
	}
	if (e == NULL || !stopped)
		return e;
	mx_error_free(&e);
	return mx_error_new(MX_E_AGAIN, "building the index was stopped");
}

/* *invalid: it is there, but was not finished. */
static mx_error *
find(PGconn *pg, mx_str name, bool *valid, bool *invalid)
{
	MX_AUTO(mx_buf) *sql = mx_buf_new(0);

	mx_buf_printf(sql, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('%.*s')",
		      MX_SFMT(name));
	PGresult *r = PQexec(pg, mx_buf_cstr(sql));
	mx_error *e = postgres_result_ok(r) ? NULL : postgres_failed(pg, r);

	*valid = e == NULL && PQntuples(r) == 1 && PQgetvalue(r, 0, 0)[0] == 't';
	*invalid = e == NULL && PQntuples(r) == 1 && !*valid;
	PQclear(r);
	return e;
}

static mx_error *
build(PGconn *pg, const struct parts *parts, bool (*stop)(void *arg), void *arg)
{
	MX_AUTO(mx_buf) *sql = mx_buf_new(0);
	bool valid, invalid;

	/* It waits for transactions that began before, and keeps nobody waiting meanwhile. */
	MX_TRY(postgres_simple(pg, "SET lock_timeout = 0"));
	MX_TRY(find(pg, parts->name, &valid, &invalid));
	if (valid)
		return NULL;
	if (invalid) {
		mx_buf_printf(sql, "DROP INDEX CONCURRENTLY %.*s", MX_SFMT(parts->name));
		MX_TRY(run(pg, mx_buf_cstr(sql), stop, arg));
		mx_buf_truncate(sql, 0);
	}
	mx_buf_printf(sql, "%.*s CONCURRENTLY %.*s%.*s", MX_SFMT(parts->head), MX_SFMT(parts->name),
		      MX_SFMT(parts->rest));
	return run(pg, mx_buf_cstr(sql), stop, arg);
}

mx_error *
postgres_index(struct mx_storage_conn *c, const char *text, bool (*stop)(void *arg), void *arg)
{
	MX_AUTO(mx_buf) *sql = mx_buf_new(0);
	struct parts parts;

	MX_TRY(mx_storage_dialect(text, '$', postgres_words, postgres_word_count, sql));
	if (!take_apart(mx_buf_view(sql), &parts))
		return mx_error_new(MX_E_CONFIG,
				    "an index is made by CREATE INDEX name ON table (…), and nothing else");
	if (c->writer && PQexitPipelineMode(c->pg) != 1)
		return postgres_failed(c->pg, NULL);
	mx_error *e = build(c->pg, &parts, stop, arg);
	if (c->writer && PQenterPipelineMode(c->pg) != 1 && e == NULL)
		e = postgres_failed(c->pg, NULL);
	return e;
}
