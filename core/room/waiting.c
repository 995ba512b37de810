/* Events whose prev_events or auth_events are not here yet: kept, so that a restart forgets none, until
 * what they lack arrives. How many there may be is limited; the oldest go first, and come again when
 * somebody asks for what later events name. */
#include "config.h"

#include "core/room/intake.h"

#include <stdlib.h>

static const struct mx_sql ANY = MX_SQL("SELECT 1 FROM event_waiting WHERE room = $1 LIMIT 1");
static const struct mx_sql BY_ID =
	MX_SQL("SELECT nid FROM event_waiting WHERE id_hash = $1 AND id = $2 AND room = $3");
static const struct mx_sql GET = MX_SQL("SELECT json, unvouched FROM event_waiting WHERE nid = $1");
static const struct mx_sql SIGNED =
	MX_SQL("UPDATE event_waiting SET json = $2, unvouched = 0 WHERE nid = $1 AND unvouched <> 0");
static const struct mx_sql PUT =
	MX_SQL("INSERT INTO event_waiting (nid, room, id, id_hash, at, json, unvouched) "
	       "SELECT COALESCE(MAX(nid), 0) + 1, $1, $2, $3, $4, $5, $6 FROM event_waiting "
	       "RETURNING nid");
static const struct mx_sql PUT_LACK =
	MX_SQL("INSERT INTO event_lack (waiting, auth, id, id_hash, room) VALUES ($1, $2, $3, $4, $5) "
	       "ON CONFLICT (waiting, auth, id) DO NOTHING");
static const struct mx_sql END = MX_SQL("DELETE FROM event_waiting WHERE nid = $1");
static const struct mx_sql END_LACKS = MX_SQL("DELETE FROM event_lack WHERE waiting = $1");
static const struct mx_sql WHO_LACKS =
	MX_SQL("SELECT DISTINCT waiting FROM event_lack WHERE id_hash = $1 AND id = $2 AND room = $3 "
	       "AND auth >= $4");
static const struct mx_sql COUNT_ROOM =
	MX_SQL("SELECT COUNT(*), MIN(nid) FROM event_waiting WHERE room = $1");
static const struct mx_sql COUNT_ALL = MX_SQL("SELECT COUNT(*), MIN(nid) FROM event_waiting");
/* What is waiting itself need not be fetched. */
static const struct mx_sql LACKS =
	MX_SQL("SELECT l.id, l.auth, MIN(l.waiting) FROM event_lack l WHERE l.room = $1 AND NOT EXISTS "
	       "(SELECT 1 FROM event_waiting w WHERE w.id_hash = l.id_hash AND w.id = l.id AND w.room = "
	       "l.room) GROUP BY l.id, l.auth ORDER BY 3 DESC");

/* ---- who waits ---- */

mx_error *
mx_waiting_any(struct mx_conn *c, struct mx_room *r, bool *out)
{
	struct mx_query *q = mx_query(c, &ANY);

	mx_bind_int(q, 1, r->nid);
	*out = mx_query_next(q);
	return mx_query_end(q);
}

mx_error *
mx_waiting_find(struct mx_intake *in, struct mx_arriving *a)
{
	mx_str id = mx_event_id(a->v->event);
	struct mx_query *q = mx_query(in->conn, &BY_ID);

	mx_bind_int(q, 1, mx_event_id_hash(id));
	mx_bind_str(q, 2, id);
	mx_bind_int(q, 3, in->room->nid);
	a->waiting = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	return mx_query_end(q);
}

/* The event of a row, as it was when it was put there. */
static mx_error *
load(struct mx_intake *in, mx_nid nid, struct mx_arriving *a)
{
	struct mx_query *q = mx_query(in->conn, &GET);
	mx_error *e = NULL;

	mx_bind_int(q, 1, nid);
	if (mx_query_next(q))
		e = mx_event_from_bytes(in->room->version, mx_col_str(q, 0), &a->own.event);
	if (a->own.event != NULL)
		a->own.event->unvouched = mx_col_int(q, 1) != 0;
	mx_error *end = mx_query_end(q);

	a->v = &a->own;
	a->waiting = nid;
	if (e != NULL) {
		mx_error_free(&end);
		return mx_error_wrap(e, "an event in waiting");
	}
	if (end == NULL && a->own.event != NULL && !mx_verify_hash(a->own.event)) {
		a->own.event->redacted = true;
		a->own.reason = MX_REASON_HASH;
	}
	return end;
}

/* The event of a row, onto its way if it is not yet; *out NULL when it is done. */
static mx_error *
fetch(struct mx_intake *in, mx_nid nid, struct mx_arriving **out)
{
	struct mx_arriving *a = mx_arena_alloc(in->arena, sizeof(*a)), *there;
	MX_AUTO(mx_event) *stored = NULL;

	*out = NULL;
	MX_TRY(load(in, nid, a));
	if (a->own.event == NULL)
		return NULL;
	there = mx_intake_find(in, mx_event_id(a->own.event));
	if (there != NULL) {
		mx_event_unref(&a->own.event);
		*out = there->done ? NULL : there;
		return NULL;
	}
	mx_intake_add(in, a);
	*out = a;
	MX_TRY(mx_intake_lookup(in, mx_event_id(a->own.event), &stored));
	return stored != NULL && stored->outlier ? mx_intake_meet_outlier(in, a, stored) : NULL;
}

mx_error *
mx_waiting_get(struct mx_intake *in, mx_str id, struct mx_arriving **out)
{
	struct mx_query *q = mx_query(in->conn, &BY_ID);

	*out = NULL;
	mx_bind_int(q, 1, mx_event_id_hash(id));
	mx_bind_str(q, 2, id);
	mx_bind_int(q, 3, in->room->nid);
	mx_nid nid = mx_query_next(q) ? mx_col_int(q, 0) : 0;

	MX_TRY(mx_query_end(q));
	return nid != 0 ? fetch(in, nid, out) : NULL;
}

/* What lacks nothing any more. */
static const struct mx_sql READY = MX_SQL(
	"SELECT w.nid FROM event_waiting w WHERE w.room = $1 AND NOT EXISTS (SELECT 1 FROM event_lack l "
	"WHERE l.waiting = w.nid AND NOT EXISTS (SELECT 1 FROM event e WHERE e.id_hash = l.id_hash AND "
	"e.id = l.id AND (l.auth = 1 OR e.flags & 8 = 0)))");

struct lackers {
	mx_nid *v;
	size_t n, room;
};

static void
add_lacker(struct lackers *l, mx_nid waiting)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 64 : 2 * l->room;
		l->v = mx_realloc(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = waiting;
}

static mx_error *
find_ready(struct mx_intake *in, struct lackers *l)
{
	struct mx_query *q = mx_query(in->conn, &READY);

	mx_bind_int(q, 1, in->room->nid);
	while (mx_query_next(q))
		add_lacker(l, mx_col_int(q, 0));
	return mx_query_end(q);
}

/* Who lacks it; auth: as an auth event. */
static mx_error *
find_lackers(struct mx_intake *in, mx_str id, bool auth, struct lackers *l)
{
	struct mx_query *q = mx_query(in->conn, &WHO_LACKS);

	mx_bind_int(q, 1, mx_event_id_hash(id));
	mx_bind_str(q, 2, id);
	mx_bind_int(q, 3, in->room->nid);
	mx_bind_int(q, 4, auth);
	while (mx_query_next(q))
		add_lacker(l, mx_col_int(q, 0));
	return mx_query_end(q);
}

mx_error *
mx_waiting_wake(struct mx_intake *in, struct mx_arriving ***list, size_t *n)
{
	struct lackers l = { 0 };
	mx_error *e = NULL;

	*n = 0;
	if (in->again)
		e = find_ready(in, &l);
	in->again = false;
	for (; e == NULL && in->stored_from < in->stored_n; in->stored_from++)
		e = find_lackers(in, mx_event_id(in->stored[in->stored_from]->v->event), false, &l);
	for (; e == NULL && in->told_from < in->told_n; in->told_from++)
		if (!in->told[in->told_from]->done)
			e = find_lackers(in, mx_event_id(in->told[in->told_from]->v->event), true,
					 &l);
	*list = mx_arena_alloc(in->arena, (l.n + 1) * sizeof(**list));
	for (size_t i = 0; e == NULL && i < l.n; i++) {
		struct mx_arriving *a;

		e = fetch(in, l.v[i], &a);
		if (e == NULL && a != NULL && !a->awake) {
			a->awake = true;
			(*list)[(*n)++] = a;
		}
	}
	free(l.v);
	return e;
}

/* ---- waiting ---- */

mx_error *
mx_waiting_end(struct mx_txn *tx, mx_nid waiting)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &END);

	mx_bind_int(q, 1, waiting);
	MX_TRY(mx_query_run(q));
	q = mx_query(mx_txn_conn(tx), &END_LACKS);
	mx_bind_int(q, 1, waiting);
	return mx_query_run(q);
}

/* Makes room for one more. */
static mx_error *
make_room(struct mx_txn *tx, const struct mx_sql *count, mx_nid room, int64_t max)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), count);

	if (room != 0)
		mx_bind_int(q, 1, room);
	bool full = mx_query_next(q) && mx_col_int(q, 0) >= max;
	mx_nid oldest = mx_col_int(q, 1);

	MX_TRY(mx_query_end(q));
	return full ? mx_waiting_end(tx, oldest) : NULL;
}

struct wait {
	struct mx_intake *in;
	struct mx_arriving *a;
};

static mx_error *
put_lacks(struct mx_txn *tx, const struct wait *w, mx_nid waiting, bool auth)
{
	const struct mx_event *ev = w->a->v->event;
	struct mx_event_ids it = auth ? mx_event_auth(ev) : mx_event_prev(ev);
	struct mx_event *const *there = auth ? w->a->auth : w->a->prev;
	size_t n = auth ? w->a->auth_n : w->a->prev_n;
	mx_str id;

	while (mx_event_ids_next(&it, &id)) {
		bool lacks = true;

		for (size_t i = 0; i < n && lacks; i++)
			lacks = !mx_str_eq(mx_event_id(there[i]), id);
		if (!lacks)
			continue;
		struct mx_query *q = mx_query(mx_txn_conn(tx), &PUT_LACK);

		mx_bind_int(q, 1, waiting);
		mx_bind_int(q, 2, auth);
		mx_bind_str(q, 3, id);
		mx_bind_int(q, 4, mx_event_id_hash(id));
		mx_bind_int(q, 5, w->in->room->nid);
		MX_TRY(mx_query_run(q));
	}
	return NULL;
}

static mx_error *
put(struct mx_txn *tx, void *arg)
{
	const struct wait *w = arg;
	const struct mx_rooms_options *opt = &w->in->rs->opt;
	mx_nid room = w->in->room->nid, nid;
	mx_str id = mx_event_id(w->a->v->event);

	MX_TRY(make_room(tx, &COUNT_ROOM, room, opt->max_waiting_room));
	MX_TRY(make_room(tx, &COUNT_ALL, 0, opt->max_waiting));
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PUT);

	mx_bind_int(q, 1, room);
	mx_bind_str(q, 2, id);
	mx_bind_int(q, 3, mx_event_id_hash(id));
	mx_bind_int(q, 4, mx_now());
	mx_bind_str(q, 5, mx_event_json(w->a->v->event));
	mx_bind_int(q, 6, w->a->v->event->unvouched);
	nid = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	MX_TRY(put_lacks(tx, w, nid, false));
	MX_TRY(put_lacks(tx, w, nid, true));
	w->a->waiting = nid;
	return NULL;
}

/* A copy with the signature that the one in waiting was without. */
static mx_error *
put_signed(struct mx_txn *tx, void *arg)
{
	const struct mx_arriving *a = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &SIGNED);

	mx_bind_int(q, 1, a->waiting);
	mx_bind_str(q, 2, mx_event_json(a->v->event));
	return mx_query_run(q);
}

mx_error *
mx_wait(struct mx_intake *in, struct mx_arriving *a)
{
	struct wait w = { in, a };

	if (a->waiting == 0)
		MX_TRY(mx_write(in->rs->db, put, &w));
	else if (a->v != &a->own && in->room->version->join_restricted &&
		 a->v->event->membership == MX_MEMBER_JOIN && !a->v->event->unvouched)
		MX_TRY(mx_write(in->rs->db, put_signed, a));
	in->any_waiting = true;
	mx_intake_tell(in, a);
	a->v->fate = MX_FATE_WAITING;
	a->v->reason = a->lacks_prev ? MX_REASON_MISSING_PREV : MX_REASON_MISSING_AUTH;
	mx_arrival_words(a->v, a->lacks_prev
				       ? "events that it names in prev_events are not here"
				       : "events that it names in auth_events are not here");
	return NULL;
}

/* ---- what they lack ---- */

mx_error *
mx_room_lacks(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_arena *a,
	      size_t limit, mx_str **out, size_t *n)
{
	struct mx_query *q = mx_query(c, &LACKS);
	mx_error *e = NULL;
	mx_str last = { NULL, 0 };

	*out = mx_arena_alloc(a, (limit + 1) * sizeof(**out));
	*n = 0;
	mx_bind_int(q, 1, r->nid);
	while (e == NULL && *n < limit && mx_query_next(q)) {
		MX_AUTO(mx_event) *stored = NULL;
		mx_str id = mx_arena_str(a, mx_col_str(q, 0));
		bool auth = mx_col_int(q, 1) != 0;

		e = mx_event_get(rs, c, id, &stored);
		if (mx_error_is(e, MX_E_NOT_FOUND))
			mx_error_free(&e);
		/* One that is lacked as both comes twice. */
		if (e == NULL && (stored == NULL || (!auth && stored->outlier)) &&
		    !mx_str_eq(id, last))
			(*out)[(*n)++] = last = id;
	}
	return mx_error_first(e, mx_query_end(q));
}
