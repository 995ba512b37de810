#include "config.h"

#include "core/room/cover.h"

#include <myelin/log.h>

#define AT_ONCE 500

static const struct mx_sql GET = MX_SQL("SELECT done, upto FROM cover_fill");
static const struct mx_sql NEXT =
	MX_SQL("SELECT nid FROM event WHERE nid > $1 AND nid <= $2 AND state_key IS NOT NULL "
	       "ORDER BY nid LIMIT $3");
static const struct mx_sql MOVE = MX_SQL("UPDATE cover_fill SET done = $1");
static const struct mx_sql END = MX_SQL("DELETE FROM cover_fill");

struct fill {
	struct mx_rooms *rs;
	mx_nid done, upto;
	bool left;		/* there is something to do */
};

static mx_error *
where(struct mx_conn *c, struct fill *f)
{
	struct mx_query *q = mx_query(c, &GET);

	f->left = mx_query_next(q);
	if (f->left) {
		f->done = mx_col_int(q, 0);
		f->upto = mx_col_int(q, 1);
	}
	return mx_query_end(q);
}

static mx_error *
next(struct mx_conn *c, const struct fill *f, mx_nid nids[AT_ONCE], size_t *n)
{
	struct mx_query *q = mx_query(c, &NEXT);

	mx_bind_int(q, 1, f->done);
	mx_bind_int(q, 2, f->upto);
	mx_bind_int(q, 3, AT_ONCE);
	for (*n = 0; *n < AT_ONCE && mx_query_next(q);)
		nids[(*n)++] = mx_col_int(q, 0);
	return mx_query_end(q);
}

static mx_error *
put(struct mx_txn *tx, struct mx_rooms *rs, const mx_nid *nids, size_t n)
{
	struct mx_events l = { 0 };
	mx_error *e = mx_events_load(rs, mx_txn_conn(tx), nids, n, &l);

	for (size_t i = 0; e == NULL && i < l.n; i++)
		e = mx_cover_put(tx, rs, l.v[i]);
	mx_events_clear(&l);
	return e;
}

static mx_error *
some(struct mx_txn *tx, void *arg)
{
	struct fill *f = arg;
	mx_nid nids[AT_ONCE];
	size_t n;

	MX_TRY(where(mx_txn_conn(tx), f));
	if (!f->left)
		return NULL;	/* another process was here */
	MX_TRY(next(mx_txn_conn(tx), f, nids, &n));
	MX_TRY(put(tx, f->rs, nids, n));
	f->left = n == AT_ONCE;
	struct mx_query *q = mx_query(mx_txn_conn(tx), f->left ? &MOVE : &END);

	if (f->left)
		mx_bind_int(q, 1, nids[n - 1]);
	return mx_query_run(q);
}

mx_error *
mx_cover_fill(struct mx_rooms *rs)
{
	struct fill f = { .rs = rs };
	struct mx_conn *c;

	MX_TRY(mx_conn_get(rs->db, &c));
	mx_error *e = where(c, &f);

	mx_conn_put(&c);
	if (e == NULL && f.left)
		mx_log("room", MX_INFO, "RENG001", "finding the auth chains of stored events",
		       mx_fi("upto", f.upto));
	while (e == NULL && f.left)
		e = mx_write(rs->db, some, &f);
	return e;
}
