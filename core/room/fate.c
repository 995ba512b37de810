#include "config.h"

#include "core/room/engine.h"

static const struct mx_sql PUT =
	MX_SQL("INSERT INTO event_fate (nid, reason, decided, words) VALUES ($1, $2, $3, $4) "
	       "ON CONFLICT (nid) DO UPDATE SET reason = excluded.reason, "
	       "decided = excluded.decided, words = excluded.words");

static const struct mx_sql GET = MX_SQL("SELECT reason FROM event_fate WHERE nid = $1");

mx_error *
mx_fate_reason(struct mx_conn *c, mx_nid nid, enum mx_reason *out)
{
	struct mx_query *q = mx_query(c, &GET);

	mx_bind_int(q, 1, nid);
	*out = mx_query_next(q) ? (enum mx_reason)mx_col_int(q, 0) : MX_REASON_NONE;
	return mx_query_end(q);
}

mx_error *
mx_fate_put(struct mx_txn *tx, const struct mx_arrival *v)
{
	if (v->reason == MX_REASON_NONE || v->reason == MX_REASON_KNOWN)
		return NULL;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PUT);

	mx_bind_int(q, 1, v->event->nid);
	mx_bind_int(q, 2, v->reason);
	mx_bind_int(q, 3, mx_now());
	mx_bind_str(q, 4, mx_str_of(v->words));
	return mx_query_run(q);
}
