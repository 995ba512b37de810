/* What may stand between us and PostgreSQL. A pooler is good as long as it gives each connection a
 * session of its own for as long as it lives: prepared statements, SET, LISTEN and session locks are
 * kept there. One that lends sessions for a transaction or a statement would lose them without an
 * error, so it is refused. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "postgres.h"

static const char NEEDS[] =
	"[database] url leads to a pooler that lends a connection for one transaction only, and "
	"Myelin needs a session for each of its own (prepared statements, LISTEN): set pool_mode = "
	"session for this database in pgbouncer, or name PostgreSQL itself";

/* ---- asking, but not for ever: a pooler lets who finds no session free wait for minutes ---- */

static mx_error *
wait_answer(PGconn *pg, int64_t deadline)
{
	struct pollfd p = { .fd = PQsocket(pg), .events = POLLIN };

	while (PQisBusy(pg)) {
		int64_t left = (deadline - mx_monotonic_us()) / 1000;

		if (left <= 0)
			return mx_error_new(MX_E_UNAVAILABLE,
					    "PostgreSQL: no answer on a new connection; a pooler needs "
					    "[database] readers + 4 sessions for each process");
		if (poll(&p, 1, (int)(left < 1000 ? left + 1 : 1000)) < 0 && errno != EINTR)
			return mx_error_new(MX_E_UNAVAILABLE, "poll: %s", strerror(errno));
		if (p.revents != 0 && PQconsumeInput(pg) != 1)
			return postgres_failed(pg, NULL);
	}
	return NULL;
}

mx_error *
postgres_first(struct mx_storage *s, PGconn *pg, const char *sql, PGresult **out)
{
	int64_t deadline = mx_monotonic_us() + s->options.connect_wait.ms * 1000;
	PGresult *last = NULL, *r;
	mx_error *e = PQsendQuery(pg, sql) == 1 ? NULL : postgres_failed(pg, NULL);

	while (e == NULL) {
		e = wait_answer(pg, deadline);
		r = e == NULL ? PQgetResult(pg) : NULL;
		if (r == NULL)
			break;
		PQclear(last);
		last = r;
		if (!postgres_result_ok(r))
			e = postgres_failed(pg, r);
	}
	if (out != NULL && e == NULL)
		*out = last;
	else
		PQclear(last);
	return e;
}

/* ---- who is behind it ---- */

static mx_error *
backend(struct mx_storage *s, PGconn *pg, int64_t *pid)
{
	PGresult *r = NULL;

	MX_TRY(postgres_first(s, pg, "SELECT pg_backend_pid()", &r));
	*pid = PQntuples(r) == 1 ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : 0;
	PQclear(r);
	return NULL;
}

/* Within a transaction on `other`. Whoever lends `ours` its session only when it is asked gives the
 * one it had to the other, or it another one. */
static mx_error *
changes_within(struct mx_storage *s, PGconn *ours, PGconn *other, int64_t was, bool *changes)
{
	int64_t theirs, now, later;

	MX_TRY(postgres_first(s, other, "BEGIN", NULL));
	MX_TRY(backend(s, other, &theirs));
	*changes = theirs == was;
	if (*changes)
		return NULL;
	MX_TRY(backend(s, ours, &now));
	MX_TRY(postgres_first(s, other, "COMMIT", NULL));
	/* Where they take turns, who comes next gets what came back first. */
	MX_TRY(backend(s, other, &later));
	*changes = now != was || later != theirs;
	return NULL;
}

/* PostgreSQL itself says on connecting which process serves us; a pooler does not know it yet. */
mx_error *
postgres_check_pooler(struct mx_storage *s, PGconn *pg)
{
	PGconn *other = NULL;
	bool changes = false;
	int64_t pid;

	MX_TRY(backend(s, pg, &pid));
	if (pid == PQbackendPID(pg))
		return NULL;
	MX_TRY(postgres_connect(s, &other));
	mx_error *e = changes_within(s, pg, other, pid, &changes);

	PQfinish(other);
	/* pgbouncer's word for BEGIN where every statement may go elsewhere; it hangs up with it. */
	if (e != NULL && strstr(mx_error_text(e), "statement pooling") != NULL) {
		mx_error_free(&e);
		changes = true;
	}
	if (e == NULL && changes)
		e = mx_error_new(MX_E_CONFIG, "%s", NEEDS);
	return e;
}
