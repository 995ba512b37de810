/* The newest receipt of each reader, kind and thread. */
#include "receipts.h"

static const struct mx_sql PUT = MX_SQL(
	"INSERT INTO client_receipt (room, reader, private, thread, event_id, event, ts, pos) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8) "
	"ON CONFLICT (room, reader, private, thread) DO UPDATE SET event_id = excluded.event_id, "
	"event = excluded.event, ts = excluded.ts, pos = excluded.pos");
static const struct mx_sql GET =
	MX_SQL("SELECT event FROM client_receipt WHERE room = $1 AND reader = $2 AND private = $3 AND thread = $4");

struct put {
	struct mx_core *core;
	const struct receipt *r;
};

static mx_error *
read_so_far(struct mx_conn *c, const struct receipt *r, bool *found, mx_nid *event)
{
	struct mx_query *q = mx_query(c, &GET);

	mx_bind_int(q, 1, r->room);
	mx_bind_int(q, 2, r->reader);
	mx_bind_int(q, 3, r->private);
	mx_bind_str(q, 4, r->thread);
	*found = mx_query_next(q);
	if (*found)
		*event = mx_col_int(q, 0);
	return mx_query_end(q);
}

static mx_error *
put(struct mx_txn *tx, void *arg)
{
	const struct put *p = arg;
	const struct receipt *r = p->r;
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_item item = { .kind = r->private ? MX_ITEM_PRIVATE_RECEIPT : MX_ITEM_RECEIPT,
				.room = r->room,
				.user = r->reader };
	struct mx_query *q;
	bool found;
	mx_nid event;

	MX_TRY(read_so_far(c, r, &found, &event));
	if (found && event >= r->event)
		return NULL;
	item.pos = mx_txn_pos(tx);
	q = mx_query(c, &PUT);
	mx_bind_int(q, 1, r->room);
	mx_bind_int(q, 2, r->reader);
	mx_bind_int(q, 3, r->private);
	mx_bind_str(q, 4, r->thread);
	mx_bind_str(q, 5, r->event_id);
	mx_bind_int(q, 6, r->event);
	mx_bind_int(q, 7, r->ts);
	mx_bind_int(q, 8, item.pos);
	MX_TRY(mx_query_run(q));
	mx_stream_publish(mx_core_stream(p->core), tx, &item);
	return NULL;
}

mx_error *
receipt_put(struct mx_core *core, const struct receipt *r)
{
	struct put p = { core, r };

	return mx_write(mx_core_db(core), put, &p);
}
