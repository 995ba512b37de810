/* What the processes that share a database tell each other: NOTIFY and LISTEN. */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "postgres.h"

mx_error *
postgres_notify(struct mx_storage_conn *c, mx_str text)
{
	MX_AUTO(mx_buf) *z = mx_buf_new(text.n + 1);
	const char *params[1];

	mx_buf_str(z, text);
	params[0] = mx_buf_cstr(z);
	if (c->writer)
		return pipeline_sent(
			c, PQsendQueryPrepared(c->pg, "notify", 1, params, NULL, NULL, 0),
			(struct sent){ 0 });
	PGresult *r = PQexecParams(c->pg, "SELECT pg_notify('" CHANNEL "', $1)", 1, NULL, params,
				   NULL, NULL, 0);
	mx_error *e = postgres_result_ok(r) ? NULL : postgres_failed(c->pg, r);

	PQclear(r);
	return e;
}

mx_error *
postgres_listen(struct mx_storage *s, struct mx_storage_conn **out)
{
	struct mx_storage_conn *c = mx_alloc(sizeof(*c));

	c->storage = s;
	mx_error *e = postgres_connect(s, &c->pg);
	if (e == NULL)
		e = postgres_first(s, c->pg,
				   "LISTEN " CHANNEL
				   "; SELECT pg_advisory_lock_shared(" LOCK_OF_WHO_LISTENS ")",
				   NULL);
	if (e != NULL)
		postgres_disconnect(&c);
	*out = c;
	return e;
}

mx_error *
postgres_others(struct mx_storage_conn *c, int64_t *out)
{
	PGresult *r = PQexec(c->pg, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
				    "AND classid = 0 AND objid = " LOCK_OF_WHO_LISTENS
				    " AND objsubid = 1 AND pid <> pg_backend_pid() AND database = "
				    "(SELECT oid FROM pg_database WHERE datname = current_database())");
	mx_error *e = postgres_result_ok(r) ? NULL : postgres_failed(c->pg, r);

	*out = e == NULL ? strtoll(PQgetvalue(r, 0, 0), NULL, 10) : 0;
	PQclear(r);
	return e;
}

mx_error *
postgres_hear(struct mx_storage_conn *c, int wake_fd, int ms, mx_str *text)
{
	struct pollfd fds[2] = { { .fd = PQsocket(c->pg), .events = POLLIN },
				 { .fd = wake_fd, .events = POLLIN } };

	*text = (mx_str){ NULL, 0 };
	PQfreemem(c->heard);
	c->heard = PQnotifies(c->pg);
	/* What has come without being looked at is told first. */
	if (c->heard == NULL) {
		if (poll(fds, 2, ms) < 0 && errno != EINTR)
			return mx_error_new(MX_E_UNAVAILABLE, "poll: %s", strerror(errno));
		if (fds[0].revents != 0 && PQconsumeInput(c->pg) != 1)
			return postgres_failed(c->pg, NULL);
		c->heard = PQnotifies(c->pg);
	}
	if (c->heard != NULL)
		*text = mx_str_of(c->heard->extra);
	return NULL;
}
