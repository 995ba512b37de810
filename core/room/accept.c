/* The way in for events of other servers. Server-Server API, "Checks performed on receipt of a PDU". */
#include "config.h"

#include "core/room/intake.h"

#include <stdlib.h>

#define ATTEMPTS 50

/* ---- life ---- */

static void
let_go(struct mx_arriving *a)
{
	for (size_t i = 0; i < a->prev_n; i++)
		mx_event_unref(&a->prev[i]);
	for (size_t i = 0; i < a->auth_n; i++)
		mx_event_unref(&a->auth[i]);
	a->prev_n = a->auth_n = 0;
}

static void
forget(struct mx_arriving *a)
{
	let_go(a);
	mx_events_clear(&a->reveals);
}

static void
drop_line(struct mx_intake *in)
{
	for (size_t i = 0; i < in->line_n; i++) {
		mx_event_unref(&in->store[i].event);
		mx_event_unref(&in->store[i].target);
		mx_event_unref(&in->store[i].redacted);
	}
	in->line_n = 0;
	in->line_redacts = false;
}

/* What the room is now, read from its view. */
static mx_error *
look(struct mx_intake *in)
{
	struct mx_room *r = in->room;
	struct mx_extremities forks;
	mx_error *e = NULL;
	mx_nid last;

	pthread_mutex_lock(&r->lock);
	in->seq = r->view.seq;
	in->root = r->view.root;
	last = r->view.last;
	forks = mx_extremities_copy(&r->view.forks);
	pthread_mutex_unlock(&r->lock);
	in->ends = mx_alloc((forks.n + 1) * sizeof(struct mx_event *));
	for (size_t i = 0; e == NULL && i < forks.n; i++) {
		e = mx_event_by_nid(in->rs, in->conn, forks.v[i].nid, &in->ends[in->ends_n]);
		in->ends_n += e == NULL;
	}
	if (forks.n == 0 && last != 0) {
		e = mx_event_by_nid(in->rs, in->conn, last, &in->ends[0]);
		in->ends_n = e == NULL;
	}
	mx_extremities_clear(&forks);
	if (e == NULL)
		e = mx_state_get(in->rs, in->conn, in->root, MX_S("m.room.create"), MX_S(""),
				 &in->create);
	if (e == NULL && in->create == NULL)
		e = mx_error_new(MX_E_UNKNOWN, "the room has no m.room.create");
	return e;
}

mx_error *
mx_intake_begin(struct mx_intake *in, struct mx_rooms *rs, struct mx_conn *c,
		struct mx_room *r)
{
	in->rs = rs;
	in->conn = c;
	in->room = r;
	in->arena = mx_arena_new();
	in->fresh = (struct mx_fresh_nodes){ .cache = rs->nodes };
	mx_tip_close(r);
	MX_TRY(mx_room_refresh(r, c));
	MX_TRY(mx_waiting_any(c, r, &in->any_waiting));
	return look(in);
}

void
mx_intake_end(struct mx_intake *in)
{
	drop_line(in);
	for (size_t i = 0; i < in->n; i++) {
		forget(in->v[i]);
		if (in->v[i]->v == &in->v[i]->own && in->v[i]->done && !in->v[i]->ours)
			mx_arrivals_count(in->rs, in->v[i]->v, 1);
		mx_event_unref(&in->v[i]->own.event);
	}
	for (size_t i = 0; i < in->ends_n; i++)
		mx_event_unref(&in->ends[i]);
	mx_intake_forget(in);
	mx_power_unref(&in->power);
	mx_event_unref(&in->power_event);
	mx_event_unref(&in->create);
	mx_fresh_nodes_done(&in->fresh);
	free(in->ends);
	free(in->v);
	free(in->slots);
	free(in->stored);
	free(in->told);
	mx_arena_free(&in->arena);
	mx_tip_open(in->room);
}

/* ---- writing ---- */

static mx_error *
write_events(struct mx_txn *tx, void *arg)
{
	return mx_store_write(tx, arg);
}

mx_error *
mx_intake_write(struct mx_intake *in, size_t n)
{
	struct mx_room *r = in->room;
	struct mx_store s = { .room = r, .v = in->store, .n = n, .seq = in->seq + 1 };

	pthread_mutex_lock(&r->lock);
	/* A line comes after the one extremity, which need not be the newest event. */
	s.joins = in->store[0].placing == NULL && r->view.forks.n > 0;
	pthread_mutex_unlock(&r->lock);
	mx_error *e = mx_write(in->rs->db, write_events, &s);

	mx_fresh_nodes_done(&in->fresh);
	if (mx_error_is(e, MX_E_UNCERTAIN))
		atomic_fetch_add(&r->foreign, 1);	/* what is durable must be read again */
	if (e != NULL)
		return e;
	struct mx_state_root now = mx_room_root(r);

	in->seq = s.seq;
	/* A line's events are what the state differs by; otherwise it may be anything. */
	if (in->store[0].placing != NULL && !mx_root_eq(now, in->root))
		mx_intake_forget(in);
	in->root = now;
	for (size_t i = 0; i < n; i++)
		if (in->store[i].placing == NULL && in->store[i].event->state)
			mx_intake_learn(in, in->store[i].event);
	return NULL;
}

static void
push(struct mx_arriving ***list, size_t *n, size_t *room, struct mx_arriving *a)
{
	if (*n == *room) {
		*room = *room == 0 ? 32 : 2 * *room;
		*list = mx_realloc(*list, *room, sizeof(struct mx_arriving *));
	}
	(*list)[(*n)++] = a;
}

void
mx_intake_stored(struct mx_intake *in, struct mx_arriving *a)
{
	a->done = true;
	push(&in->stored, &in->stored_n, &in->stored_room, a);
}

void
mx_intake_tell(struct mx_intake *in, struct mx_arriving *a)
{
	if (!a->told)
		push(&in->told, &in->told_n, &in->told_room, a);
	a->told = true;
}

mx_error *
mx_intake_flush(struct mx_intake *in)
{
	if (in->line_n == 0)
		return NULL;
	mx_error *e = mx_intake_write(in, in->line_n);

	for (size_t i = 0; e == NULL && i < in->line_n; i++)
		mx_intake_stored(in, in->line[i]);
	if (e == NULL) {
		for (size_t i = 0; i < in->ends_n; i++)
			mx_event_unref(&in->ends[i]);
		in->ends[0] = mx_event_ref(in->store[in->line_n - 1].event);
		in->ends_n = 1;
	}
	drop_line(in);
	return e;
}

/* ---- is its past here? ---- */

mx_error *
mx_intake_lookup(struct mx_intake *in, mx_str id, struct mx_event **out)
{
	mx_error *e = mx_event_get(in->rs, in->conn, id, out);

	if (mx_error_is(e, MX_E_NOT_FOUND))
		mx_error_free(&e);
	return e;
}

static mx_error *
find(struct mx_intake *in, mx_str id, struct mx_event **out)
{
	struct mx_arriving *near = mx_intake_find(in, id);

	/* On the line, or written just now. */
	if (near != NULL && (near->done || near->on_line)) {
		*out = mx_event_ref(near->v->event);
		return NULL;
	}
	return mx_intake_lookup(in, id, out);
}

mx_error *
mx_intake_past(struct mx_intake *in, struct mx_arriving *a)
{
	struct mx_event_ids it = mx_event_prev(a->v->event);
	mx_str id;

	let_go(a);
	a->lacks_prev = a->lacks_auth = false;
	while (a->prev_n < MX_EVENT_MAX_PREV && mx_event_ids_next(&it, &id)) {
		struct mx_event *ev;

		MX_TRY(find(in, id, &ev));
		if (ev == NULL || ev->outlier) {
			a->lacks_prev = true;
			mx_event_unref(&ev);
			continue;
		}
		a->prev[a->prev_n++] = ev;
	}
	it = mx_event_auth(a->v->event);
	while (a->auth_n < MX_EVENT_MAX_AUTH && mx_event_ids_next(&it, &id)) {
		MX_TRY(find(in, id, &a->auth[a->auth_n]));
		if (a->auth[a->auth_n] == NULL)
			a->lacks_auth = true;
		else
			a->auth_n++;
	}
	return NULL;
}

/* ---- one event ---- */

static bool
follows(const struct mx_intake *in, const struct mx_arriving *a)
{
	const struct mx_event *tail = NULL;

	if (in->line_n > 0)
		tail = in->store[in->line_n - 1].event;
	else if (in->ends_n == 1 && mx_root_eq(in->ends[0]->after, in->root))
		tail = in->ends[0];
	return tail != NULL && a->prev_n == 1 && !a->given && a->outlier == 0 &&
	       a->prev[0] == tail;
}

static mx_error *
state_has_room(struct mx_intake *in, const struct mx_event *ev, bool *out)
{
	struct mx_tree tree = mx_rooms_tree(in->rs, in->conn);
	size_t count = 0;
	mx_error *e = ev->state ? mx_tree_count(&tree, in->root, &count) : NULL;

	mx_tree_done(&tree);
	*out = count + MX_LINE < (size_t)in->rs->opt.max_state;
	return e;
}

/* Puts it at the end of the line if it may stand there; *taken. */
static mx_error *
join_line(struct mx_intake *in, struct mx_arriving *a, bool *taken)
{
	struct mx_event *ev = a->v->event;
	struct mx_stored *s;
	enum mx_reason reason;
	mx_error *why;
	bool room;

	*taken = false;
	MX_TRY(state_has_room(in, ev, &room));
	if (!room)
		return NULL;
	why = mx_judge_auth(in, a, &reason);
	if (why == NULL)
		MX_TRY(mx_judge(in, ev, in->root, in->line_n, &why));
	if (mx_error_drop(why))
		return NULL;
	/* What it redacts must be a row already. */
	if (mx_is_redaction(ev))
		MX_TRY(mx_intake_flush(in));
	s = &in->store[in->line_n];
	*s = (struct mx_stored){ .arrival = a->v, .redaction = a->redaction,
				 .reveals = &a->reveals, .waiting = a->waiting };
	if (ev->state && mx_str_eq(mx_event_type(ev), MX_S("m.room.member")))
		MX_TRY(mx_intake_member(in, ev, in->line_n, &s->was));
	ev->rejected = ev->soft_failed = ev->hidden = false;
	MX_TRY(mx_find_target(in, ev, in->root, in->line_n, s));
	s->event = mx_event_ref(ev);
	in->line[in->line_n++] = a;
	a->v->fate = MX_FATE_ACCEPTED;
	a->on_line = *taken = true;
	return in->line_n == MX_LINE ? mx_intake_flush(in) : NULL;
}

static mx_error *
take_in(struct mx_intake *in, struct mx_arriving *a)
{
	bool taken = false;

	MX_TRY(mx_intake_past(in, a));
	if (a->lacks_auth && (!a->lacks_prev || a->given))
		MX_TRY(mx_supply_auth(in, a));
	if ((a->lacks_prev && !a->given) || a->lacks_auth) {
		MX_TRY(mx_intake_flush(in));
		return mx_wait(in, a);
	}
	MX_TRY(mx_find_redaction(in, a));
	if (follows(in, a))
		MX_TRY(join_line(in, a, &taken));
	if (!taken) {
		/* The roots of those on the line are known once they are written. */
		MX_TRY(mx_intake_flush(in));
		MX_TRY(mx_place(in, a));
	}
	return NULL;
}

/* ---- all of them ---- */

static mx_error *
run(struct mx_intake *in, struct mx_arriving **list, size_t n)
{
	/* What is stored may be what others have waited for: those come next, and so on. */
	while (n > 0) {
		struct mx_arriving **order;

		order = mx_intake_order(in, list, n);
		for (size_t i = 0; i < n; i++) {
			order[i]->awake = false;
			MX_TRY(take_in(in, order[i]));
		}
		MX_TRY(mx_intake_flush(in));
		for (size_t i = 0; i < n; i++)
			list[i]->listed = false;
		n = 0;
		if (in->any_waiting)
			MX_TRY(mx_waiting_wake(in, &list, &n));
	}
	return NULL;
}

mx_error *
mx_intake_run(struct mx_intake *in)
{
	struct mx_arriving **list = mx_arena_alloc(in->arena, (in->n + 1) * sizeof(*list));

	if (in->n > 0)
		memcpy(list, in->v, in->n * sizeof(*list));
	MX_TRY(run(in, list, in->n));
	return in->again ? mx_intake_wake(in) : NULL;
}

mx_error *
mx_intake_wake(struct mx_intake *in)
{
	struct mx_arriving **list;
	size_t n = 0;

	if (in->any_waiting)
		MX_TRY(mx_waiting_wake(in, &list, &n));
	return n > 0 ? run(in, list, n) : NULL;
}

static void
known(struct mx_arrival *v, struct mx_event *stored)
{
	struct mx_event *mine = v->event;

	/* Where servers choose the ids, two events may have one. */
	if (stored->version->event_id == MX_EVENT_ID_CHOSEN && !mx_event_same(mine, stored)) {
		v->fate = MX_FATE_DROPPED;
		mx_arrival_words(v, "another event of this id is here already");
		mx_event_unref(&v->event);
		mx_event_unref(&stored);
	} else {
		v->event = stored;
		v->fate = stored->rejected      ? MX_FATE_REJECTED
			  : stored->soft_failed ? MX_FATE_SOFT_FAILED
						: MX_FATE_ACCEPTED;
		v->words[0] = '\0';
		mx_event_unref(&mine);
	}
	v->reason = MX_REASON_KNOWN;
}

/* A join that was rejected because its voucher's server had not signed that copy of it: who passes
 * events on can leave a signature out, which is no part of the event. A copy that has it is taken in
 * anew. */
static mx_error *
signed_now(struct mx_intake *in, const struct mx_event *ev, const struct mx_event *stored, bool *out)
{
	enum mx_reason reason;

	*out = false;
	if (!stored->rejected || stored->alias != 0 || ev->unvouched ||
	    ev->membership != MX_MEMBER_JOIN)
		return NULL;
	MX_TRY(mx_fate_reason(in->conn, stored->nid, &reason));
	*out = reason == MX_REASON_VOUCHER;
	return NULL;
}

static mx_error *
sort_out_one(struct mx_intake *in, struct mx_arriving *a)
{
	MX_AUTO(mx_event) *stored = NULL;

	/* Of an earlier attempt, which the room has moved on from; rests was in its arena. */
	a->on_line = a->redaction_known = a->told = a->listed = a->awake = false;
	a->redaction = 0;
	a->rests = NULL;
	a->rests_n = a->rests_room = 0;
	a->first = mx_intake_find(in, mx_event_id(a->v->event));
	if (a->first != NULL)
		return NULL;
	MX_TRY(mx_intake_lookup(in, mx_event_id(a->v->event), &stored));
	if (stored != NULL && !stored->outlier) {
		bool anew;

		MX_TRY(signed_now(in, a->v->event, stored, &anew));
		if (!anew) {
			known(a->v, mx_event_ref(stored));
			a->done = true;
			return NULL;
		}
	}
	mx_intake_add(in, a);
	if (stored != NULL)
		MX_TRY(mx_intake_meet_outlier(in, a, stored));
	MX_TRY(mx_find_redaction(in, a));
	return in->any_waiting ? mx_waiting_find(in, a) : NULL;
}

mx_error *
mx_intake_sort_out(struct mx_intake *in, struct mx_arriving *all, struct mx_arrival *v, size_t n)
{
	mx_error *e = NULL;

	/* One snapshot: a statement of its own locks and unlocks the database each time. */
	if (n > 1)
		MX_TRY(mx_snapshot_begin(in->conn));
	for (size_t i = 0; e == NULL && i < n; i++) {
		all[i].v = &v[i];
		if (!all[i].done && v[i].event != NULL)
			e = sort_out_one(in, &all[i]);
	}
	if (n > 1)
		mx_snapshot_end(in->conn);
	return e;
}

void
mx_intake_answer_twins(struct mx_arriving *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct mx_arriving *a = &all[i];
		const struct mx_arrival *first = a->first != NULL ? a->first->v : NULL;

		if (first == NULL || a->v->event == NULL)
			continue;
		if (first->event != NULL)
			known(a->v, mx_event_ref(first->event));
		else
			mx_arrival_drop(a->v, first->reason, first->words);
		if (a->v->event != NULL)
			a->v->fate = first->fate;
	}
}

static mx_error *
attempt(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_arriving *all,
	struct mx_arrival *v, size_t n, bool again)
{
	struct mx_intake *in = mx_alloc(sizeof(*in));

	mx_error *e = mx_intake_begin(in, rs, c, r);

	in->again = again;
	if (e == NULL)
		e = mx_intake_sort_out(in, all, v, n);
	if (e == NULL)
		e = mx_intake_run(in);
	if (e == NULL && rs->opt.dummy_events > 0)
		e = mx_ends_join(in, (size_t)rs->opt.dummy_events);
	if (e == NULL)
		mx_intake_answer_twins(all, n);
	mx_intake_end(in);
	free(in);
	return e;
}

void
mx_intake_check_room(struct mx_room *r, struct mx_arrival *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].event != NULL &&
		    !mx_str_eq(mx_event_room_id(v[i].event), mx_room_id(r)))
			mx_arrival_drop(&v[i], MX_REASON_ROOM, "the event is of another room");
}

static mx_error *
denied(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_str origin, bool *out)
{
	bool allowed = true;

	if (origin.n > 0)
		MX_TRY(mx_room_server_allowed(rs, c, r, origin, &allowed));
	*out = !allowed;
	return NULL;
}

mx_error *
mx_room_accept(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_str origin,
	       const mx_str *pdus, size_t n, struct mx_arrival *v)
{
	struct mx_arriving *all;
	mx_error *e = NULL;
	bool acl;

	memset(v, 0, n * sizeof(*v));
	if (n == 0)
		return NULL;
	MX_TRY(mx_room_refresh(r, c));
	MX_TRY(denied(rs, c, r, origin, &acl));
	if (acl) {
		for (size_t i = 0; i < n; i++)
			mx_arrival_drop(&v[i], MX_REASON_ACL,
					"the room's access control list denies the server");
		mx_arrivals_count(rs, v, n);
		return NULL;
	}
	mx_conn_rest(c);	/* keys may have to be asked for */
	MX_TRY(mx_verify_events(rs, r->version, pdus, n, v));
	mx_intake_check_room(r, v, n);
	all = mx_alloc(n * sizeof(*all));
	for (int i = 0; i < ATTEMPTS; i++) {
		mx_error_free(&e);
		e = attempt(rs, c, r, all, v, n, i > 0);
		if (!mx_error_is(e, MX_E_AGAIN))
			break;
	}
	if (mx_error_is(e, MX_E_AGAIN)) {
		mx_error_free(&e);
		e = mx_error_new(MX_E_UNAVAILABLE, "the room is too busy");
	}
	free(all);
	if (e != NULL)
		mx_arrivals_clear(v, n);
	else
		mx_arrivals_count(rs, v, n);
	return e;
}
