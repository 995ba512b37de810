/* Sessions of user-interactive authentication between processes: what one has begun another may go
 * on with. Written beside the stream: nobody observes them. */
#include "config.h"

#include "core/account/internal.h"

static const struct mx_sql PUT =
	MX_SQL("INSERT INTO uia_session (id, expires, data) VALUES ($1, $2, $3) ON CONFLICT (id) DO "
	       "UPDATE SET expires = excluded.expires, data = excluded.data");
static const struct mx_sql GET = MX_SQL("SELECT data FROM uia_session WHERE id = $1 AND expires > $2");
static const struct mx_sql DROP = MX_SQL("DELETE FROM uia_session WHERE id = $1 OR expires < $2");

struct stored {
	mx_str id, data;
	mx_msec expires;
};

static mx_error *
put(struct mx_txn *tx, void *arg)
{
	const struct stored *s = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PUT);

	mx_bind_str(q, 1, s->id);
	mx_bind_int(q, 2, s->expires);
	mx_bind_str(q, 3, s->data);
	return mx_query_run(q);
}

mx_error *
uia_put(struct mx_accounts *as, mx_str id, const json_t *data)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	mx_json_dump(data, b);
	return mx_write_aside(as->db, put,
			      &(struct stored){ id, mx_buf_view(b),
						mx_now() + as->options->uia_timeout.ms });
}

static mx_error *
drop(struct mx_txn *tx, void *arg)
{
	const struct stored *s = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DROP);

	mx_bind_str(q, 1, s->id);
	mx_bind_int(q, 2, mx_now());
	return mx_query_run(q);
}

mx_error *
uia_drop(struct mx_accounts *as, mx_str id)
{
	return mx_write_aside(as->db, drop, &(struct stored){ .id = id });
}

mx_error *
uia_get(struct mx_conn *c, mx_str id, json_t **out)
{
	struct mx_query *q = mx_query(c, &GET);

	*out = NULL;
	mx_bind_str(q, 1, id);
	mx_bind_int(q, 2, mx_now());
	/* One that is damaged is not there. */
	if (mx_query_next(q) && mx_error_drop(mx_json_parse(mx_col_str(q, 0), out)))
		*out = NULL;
	return mx_query_end(q);
}
