/* The write of an event that is not simply the next in a line: it forks the room or joins its forks, is
 * not accepted, or was known as an outlier before. What it does to the room was found out before
 * (placing.c); here it becomes rows. */
#include "config.h"

#include "core/room/cover.h"
#include "core/room/hash.h"
#include "core/room/intake.h"
#include "core/room/merge.h"

#include <stdlib.h>

static const struct mx_sql FIND =
	MX_SQL("SELECT nid FROM event WHERE id_hash = $1 AND id = $2 AND nid <> $3 LIMIT 1");
static const struct mx_sql FREE_OUTLIER = MX_SQL("DELETE FROM event WHERE nid = $1");
static const struct mx_sql FREE_FATE = MX_SQL("DELETE FROM event_fate WHERE nid = $1");
static const struct mx_sql PLACE =
	MX_SQL("UPDATE event SET alias = $2, root_room = $3 WHERE nid = $1");
static const struct mx_sql REDACTED_BY = MX_SQL("UPDATE event SET redacted_by = $2 WHERE nid = $1");
static const struct mx_sql PUT_PENDING = MX_SQL(
	"INSERT INTO redaction_pending (redaction, room, id, id_hash) VALUES ($1, $2, $3, $4)");
static const struct mx_sql REVEAL =
	MX_SQL("UPDATE event SET flags = flags - 16 WHERE nid = $1 AND flags & 16 <> 0");
static const struct mx_sql NO_LONGER_PENDING =
	MX_SQL("DELETE FROM redaction_pending WHERE redaction = $1");

void
mx_placing_free(struct mx_placing **pp)
{
	struct mx_placing *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	for (size_t i = 0; i < p->moved_n; i++)
		mx_event_unref(&p->moved[i].event);
	free(p->moved);
	mx_extremities_clear(&p->others);
	free(p);
}

/* ---- rows ---- */

static mx_error *
put_pending(struct mx_txn *tx, const struct mx_event *ev)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PUT_PENDING);

	mx_bind_int(q, 1, ev->nid);
	mx_bind_int(q, 2, ev->room);
	mx_bind_str(q, 3, mx_event_redacts(ev));
	mx_bind_int(q, 4, mx_event_id_hash(mx_event_redacts(ev)));
	return mx_query_run(q);
}

mx_error *
mx_arrival_guard(struct mx_txn *tx, const struct mx_event *ev, mx_nid but)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &FIND);

	mx_bind_int(q, 1, mx_event_id_hash(mx_event_id(ev)));
	mx_bind_str(q, 2, mx_event_id(ev));
	mx_bind_int(q, 3, but);
	bool there = mx_query_next(q);

	MX_TRY(mx_query_end(q));
	return there ? mx_error_new(MX_E_AGAIN, "the event was stored meanwhile") : NULL;
}

static mx_error *
run_on(struct mx_txn *tx, const struct mx_sql *sql, mx_nid nid)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), sql);

	mx_bind_int(q, 1, nid);
	return mx_query_run(q);
}

/* They wait no longer for what they redact. */
static mx_error *
put_reveals(struct mx_txn *tx, const struct mx_events *l)
{
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		MX_TRY(run_on(tx, &REVEAL, l->v[i]->nid));
		MX_TRY(run_on(tx, &NO_LONGER_PENDING, l->v[i]->nid));
	}
	return NULL;
}

mx_error *
mx_arrival_put(struct mx_txn *tx, struct mx_stored *v)
{
	struct mx_query *q;

	MX_TRY(mx_fate_put(tx, v->arrival));
	if (v->waiting != 0)
		MX_TRY(mx_waiting_end(tx, v->waiting));
	if (v->awaits)
		MX_TRY(put_pending(tx, v->event));
	MX_TRY(mx_gaps_put(tx, v));
	if (v->redaction == 0)
		return NULL;
	q = mx_query(mx_txn_conn(tx), &REDACTED_BY);
	mx_bind_int(q, 1, v->event->nid);
	mx_bind_int(q, 2, v->redaction);
	MX_TRY(mx_query_run(q));
	MX_TRY(put_reveals(tx, v->reveals));
	return run_on(tx, &NO_LONGER_PENDING, v->redaction);
}

static mx_error *
put_row(struct mx_txn *tx, const struct mx_placing *p, const struct mx_event *ev,
	struct mx_state_root room)
{
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_query *q;

	if (p->outlier != 0) {
		MX_TRY(run_on(tx, &FREE_OUTLIER, p->outlier));
		MX_TRY(run_on(tx, &FREE_FATE, p->outlier));
	}
	MX_TRY(mx_event_put_row(tx, ev));
	if (p->outlier == 0 && mx_root_eq(room, ev->after))
		return NULL;
	q = mx_query(c, &PLACE);
	mx_bind_int(q, 1, ev->nid);
	if (p->outlier != 0)
		mx_bind_int(q, 2, p->outlier);
	else
		mx_bind_null(q, 2);
	if (mx_root_eq(room, ev->after))
		mx_bind_null(q, 3);
	else
		mx_bind_blob(q, 3, room.h, sizeof(room.h));
	return mx_query_run(q);
}

static mx_error *
put_moved(struct mx_txn *tx, struct mx_store *s, struct mx_placing *p, const struct mx_event *ev)
{
	int joined = 0, invited = 0;

	for (size_t i = 0; i < p->moved_n; i++) {
		struct mx_moved *m = &p->moved[i];

		MX_TRY(mx_name_intern(tx, mx_event_state_key(m->event), &m->user));
		MX_TRY(mx_member_put(tx, s->room, m, m->user, ev->nid));
		joined += mx_member_change(m->was, m->now, MX_MEMBER_JOIN);
		invited += mx_member_change(m->was, m->now, MX_MEMBER_INVITE);
	}
	return mx_members_count(mx_txn_conn(tx), s->room, joined, invited);
}

static void
publish(struct mx_txn *tx, const struct mx_store *s, const struct mx_placing *p, struct mx_event *ev)
{
	struct mx_stream *stream = s->room->rs->stream;
	struct mx_item item = { .pos = ev->nid, .kind = MX_ITEM_EVENT, .room = s->room->nid,
				.event = ev };

	for (size_t i = 0; i < p->moved_n; i++)
		if (p->moved[i].event == ev)
			item.user = p->moved[i].user;
	if (!ev->hidden)
		mx_stream_publish(stream, tx, &item);
	item.kind = MX_ITEM_MEMBERSHIP;
	item.event = NULL;
	for (size_t i = 0; i < p->moved_n; i++) {
		const struct mx_moved *m = &p->moved[i];

		if (m->was == MX_MEMBER_JOIN && m->now == MX_MEMBER_JOIN)
			continue;
		item.user = m->user;
		mx_stream_publish(stream, tx, &item);
	}
}

/* The state before it and after it. */
static mx_error *
put_states(struct mx_txn *tx, struct mx_store *s, struct mx_placing *p, struct mx_event *ev,
	   struct mx_state_root now)
{
	struct mx_state_root root = p->before;

	if (p->before_new)
		MX_TRY(mx_merge_store(tx, s->room->rs, p->before_of, p->before, ev->nid));
	if (!mx_root_eq(root, now))
		s->stored_known = false;
	ev->before = root;
	if (ev->state && !ev->rejected)
		MX_TRY(mx_state_move(s, mx_txn_conn(tx), ev, &root));
	ev->after = root;
	return NULL;
}

mx_error *
mx_place_write(struct mx_txn *tx, struct mx_store *s, struct mx_stored *v,
	       struct mx_state_root *root)
{
	struct mx_placing *p = v->placing;
	struct mx_event *ev = v->event;
	bool accepted = !ev->rejected && !ev->soft_failed && p->past == 0;
	struct mx_state_root room = *root;

	ev->alias = p->outlier;
	MX_TRY(put_states(tx, s, p, ev, *root));
	if (accepted) {
		room = p->alone ? ev->after : p->room;
		if (!p->alone && p->room_new)
			MX_TRY(mx_merge_store(tx, s->room->rs, p->room_of, room, ev->nid));
	}
	ev->inner = accepted && p->inner;
	ev->forked = accepted && (!mx_root_eq(room, ev->after) || !mx_root_eq(*root, ev->before));
	MX_TRY(put_row(tx, p, ev, accepted ? room : ev->after));
	MX_TRY(mx_cover_put(tx, s->room->rs, ev));
	MX_TRY(mx_arrival_put(tx, v));
	if (v->redacted != NULL)
		MX_TRY(mx_redaction_put(tx, s->room->rs, v));
	if (!accepted) {
		s->stored_known = false;
		return p->past != 0 || v->gaps_of != 0 ? mx_gap_end(tx, ev) : NULL;
	}
	if (p->inner)
		MX_TRY(mx_gap_end(tx, ev));
	MX_TRY(mx_extremities_put(mx_txn_conn(tx), s->room, &p->others,
				  p->alone || p->inner ? 0 : ev->nid));
	MX_TRY(put_moved(tx, s, p, ev));
	publish(tx, s, p, ev);
	if (!mx_root_eq(room, ev->after))
		s->stored_known = false;
	*root = room;
	return NULL;
}

/* ---- what the commit changes in memory ---- */

void
mx_place_view(struct mx_store *s)
{
	struct mx_placing *p = s->v[0].placing;
	struct mx_event *ev = s->v[0].event;
	struct mx_room_view *view = &s->room->view;
	mx_str id = mx_event_id(ev);

	if (p->facts || (s->v[0].target != NULL && s->v[0].target->state))
		mx_view_forget_facts(s->room);
	if (p->past != 0) {
		view->backfills++;
		if (view->tail_floor < 0)
			view->tail_floor = 0;
	}
	if (ev->rejected || ev->soft_failed || p->past != 0)
		return;
	view->root = p->alone ? ev->after : p->room;
	view->last = ev->nid;
	view->depth = ev->depth;
	memcpy(view->last_id, id.p, id.n);
	view->last_id[id.n] = '\0';
	if (ev->version->refs_with_hashes)
		mx_event_reference_hash(ev->version, mx_event_json(ev), view->last_hash);
	mx_extremities_clear(&view->forks);
	if (!p->alone) {
		view->forks = mx_extremities_copy(&p->others);
		if (!p->inner)
			mx_extremities_add(&view->forks, ev);
	}
	for (size_t i = 0; i < view->forks.n; i++)
		if (view->forks.v[i].depth > view->depth)
			view->depth = view->forks.v[i].depth;
	for (size_t i = 0; i < p->moved_n; i++) {
		view->joined += mx_member_change(p->moved[i].was, p->moved[i].now, MX_MEMBER_JOIN);
		view->invited +=
			mx_member_change(p->moved[i].was, p->moved[i].now, MX_MEMBER_INVITE);
	}
	if (!ev->hidden) {
		mx_view_push(s->room, ev);
	} else if (ev->forked) {
		/* Who looks for the state of a position finds it by the tail, where this is not. */
		view->tail_n = 0;
		view->tail_floor = ev->nid;
	}
}

void
mx_place_members(struct mx_store *s)
{
	const struct mx_placing *p = s->v[0].placing;

	for (size_t i = 0; i < p->moved_n; i++)
		mx_stream_member_changed(
			s->room->rs->stream,
			&(struct mx_member){ .user = p->moved[i].user,
					     .room = s->room->nid,
					     .membership = p->moved[i].now,
					     .event = p->moved[i].event->nid,
					     .changed = p->moved[i].event == s->v[0].event
								? 0
								: s->v[0].event->nid });
}
