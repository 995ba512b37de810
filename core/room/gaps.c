/* Where our knowledge of a room's past ends: events that were taken in although their prev_events are
 * missing, with a state that another server told. From there it can be asked for what was before. */
#include "config.h"

#include "core/room/intake.h"

static const struct mx_sql PUT =
	MX_SQL("INSERT INTO event_gap (event, id, id_hash, room) VALUES ($1, $2, $3, $4) "
	       "ON CONFLICT (event, id) DO NOTHING");
static const struct mx_sql WHO = MX_SQL(
	"SELECT g.event FROM event_gap g JOIN event e ON e.nid = g.event WHERE g.id_hash = $1 AND g.id "
	"= $2 AND g.room = $3 AND e.flags & " MX_EVENT_NOT_ACCEPTED " = 0 LIMIT 1");
static const struct mx_sql END = MX_SQL("DELETE FROM event_gap WHERE id_hash = $1 AND id = $2 AND room = $3");
static const struct mx_sql BEFORE =
	MX_SQL("SELECT DISTINCT g.event, e.id FROM event_gap g JOIN event e ON e.nid = g.event WHERE "
	       "g.room = $1 AND g.event <= $2 ORDER BY g.event DESC LIMIT $3");

mx_error *
mx_gaps_put(struct mx_txn *tx, const struct mx_stored *v)
{
	for (size_t i = 0; i < v->gaps_n; i++) {
		struct mx_query *q = mx_query(mx_txn_conn(tx), &PUT);

		mx_bind_int(q, 1, v->gaps_of != 0 ? v->gaps_of : v->event->nid);
		mx_bind_str(q, 2, v->gaps[i]);
		mx_bind_int(q, 3, mx_event_id_hash(v->gaps[i]));
		mx_bind_int(q, 4, v->event->room);
		MX_TRY(mx_query_run(q));
	}
	return NULL;
}

mx_error *
mx_gap_end(struct mx_txn *tx, const struct mx_event *filled)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &END);

	mx_bind_int(q, 1, mx_event_id_hash(mx_event_id(filled)));
	mx_bind_str(q, 2, mx_event_id(filled));
	mx_bind_int(q, 3, filled->room);
	return mx_query_run(q);
}

mx_error *
mx_gap_filled(struct mx_intake *in, mx_str id, mx_nid *by)
{
	struct mx_query *q = mx_query(in->conn, &WHO);

	mx_bind_int(q, 1, mx_event_id_hash(id));
	mx_bind_str(q, 2, id);
	mx_bind_int(q, 3, in->room->nid);
	*by = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	return mx_query_end(q);
}

void
mx_gaps_find(struct mx_intake *in, const struct mx_arriving *a, struct mx_stored *s)
{
	mx_str *gaps = mx_arena_alloc(in->arena, MX_EVENT_MAX_PREV * sizeof(*gaps)), id;
	struct mx_event_ids it = mx_event_prev(a->v->event);

	s->gaps_n = 0;
	while (s->gaps_n < MX_EVENT_MAX_PREV && mx_event_ids_next(&it, &id)) {
		bool there = false;

		for (size_t i = 0; i < a->prev_n && !there; i++)
			there = mx_str_eq(mx_event_id(a->prev[i]), id);
		if (!there)
			gaps[s->gaps_n++] = id;
	}
	s->gaps = gaps;
}

mx_error *
mx_room_gaps(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_nid upto,
	     struct mx_arena *a, size_t limit, mx_str **out, size_t *n)
{
	struct mx_query *q = mx_query(c, &BEFORE);

	(void)rs;
	*out = mx_arena_alloc(a, (limit + 1) * sizeof(**out));
	*n = 0;
	mx_bind_int(q, 1, r->nid);
	mx_bind_int(q, 2, upto);
	mx_bind_int(q, 3, (int64_t)limit);
	while (*n < limit && mx_query_next(q))
		(*out)[(*n)++] = mx_arena_str(a, mx_col_str(q, 1));
	return mx_query_end(q);
}
