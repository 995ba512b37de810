/* What was redacted, kept for a while for those who look after the server: [rooms] keep_redacted. */
#include "config.h"

#include "core/room/engine.h"

#define PURGE_AT_ONCE 500

static const struct mx_sql PUT =
	MX_SQL("INSERT INTO redacted_content (id, at, json) VALUES ($1, $2, $3) "
	       "ON CONFLICT (id) DO NOTHING");
static const struct mx_sql GET = MX_SQL("SELECT json FROM redacted_content WHERE id = $1 AND at > $2");
static const struct mx_sql PURGE =
	MX_SQL("DELETE FROM redacted_content WHERE id IN (SELECT id FROM redacted_content "
	       "WHERE at <= $1 ORDER BY at LIMIT $2) RETURNING at");

static mx_msec
oldest(const struct mx_rooms *rs)
{
	return mx_now() - rs->opt.keep_redacted.ms;
}

mx_error *
mx_redacted_keep(struct mx_txn *tx, struct mx_rooms *rs, const struct mx_event *target)
{
	struct mx_query *q;

	if (rs->opt.keep_redacted.ms == 0)
		return NULL;
	q = mx_query(mx_txn_conn(tx), &PUT);
	mx_bind_str(q, 1, mx_event_id(target));
	mx_bind_int(q, 2, mx_now());
	mx_bind_str(q, 3, mx_event_json(target));
	return mx_query_run(q);
}

mx_error *
mx_redacted_get(struct mx_rooms *rs, struct mx_conn *c, mx_str event_id, struct mx_arena *a,
		mx_str *out)
{
	struct mx_query *q = mx_query(c, &GET);

	*out = (mx_str){ NULL, 0 };
	mx_bind_str(q, 1, event_id);
	mx_bind_int(q, 2, oldest(rs));
	if (mx_query_next(q))
		*out = mx_arena_str(a, mx_col_str(q, 0));
	MX_TRY(mx_query_end(q));
	return out->p != NULL ? NULL :
				mx_error_new(MX_E_NOT_FOUND, "no redacted content of such an event is kept");
}

struct purge {
	mx_msec upto;
	size_t gone;
};

static mx_error *
purge(struct mx_txn *tx, void *arg)
{
	struct purge *p = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PURGE);

	p->gone = 0;
	mx_bind_int(q, 1, p->upto);
	mx_bind_int(q, 2, PURGE_AT_ONCE);
	while (mx_query_next(q))
		p->gone++;
	return mx_query_end(q);
}

mx_error *
mx_rooms_purge(struct mx_rooms *rs)
{
	struct purge p = { .upto = oldest(rs) };

	do
		MX_TRY(mx_write_aside(rs->db, purge, &p));
	while (p.gone == PURGE_AT_ONCE);
	return NULL;
}
