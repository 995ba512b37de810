/* Making events. What was prepared is built on the room's tip and handed to the writer under the
 * tip's lock; then the sender waits until it is durable. So the events of a room form one chain in
 * the order in which they were handed in, however many send at once. */
#include "config.h"

#include "core/room/send_private.h"

#include <errno.h>
#include <stdlib.h>

#define MAX_ATTEMPTS 50
#define EARLY_ATTEMPTS 3	/* of these, on what the room was when they were built */

static void held_end(struct send *s);

/* ---- landing ---- */

static mx_error *
write_events(struct mx_txn *tx, void *arg)
{
	struct send *s = arg;

	MX_TRY(mx_store_write(tx, &s->store));
	if (s->other != NULL)
		MX_TRY(mx_store_write(tx, &s->other->store));
	if (s->along != NULL && s->along->write != NULL)
		return s->along->write(tx, s->store.room, s->along->arg);
	return NULL;
}

static void
landed(void *arg, mx_error *e)
{
	struct send *s = arg;

	s->error = e;
	if (s->rq != NULL)
		held_end(s);
	else
		sem_post(&s->landed);
}

static bool
redacts_state(const struct send *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->store.v[i].redacted != NULL && s->store.v[i].target->state)
			return true;
	return false;
}

/* Builds on the tip and moves it. The last of the sends that go together hands them all to the
 * writer, with the lock still held. *handed: the writer has them, and whoever nobody waits for may be
 * gone already. Neither that nor an error: the room is too crowded (mx_send_crowded). */
static mx_error *
build_on_tip(struct send *s, struct send *whole, bool *handed)
{
	struct mx_room *r = s->store.room;
	struct last last;

	*handed = false;
	pthread_mutex_lock(&r->tip.lock);
	mx_error *e = mx_tip_meet(r, s->conn, s->needs, s->needs_n, &s->crowded);

	if (e == NULL && s->crowded && (s->n > 1 || s != whole || s->other != NULL))
		e = mx_error_new(MX_E_UNAVAILABLE,
				 "the room has more branches than an event may join, and nobody "
				 "here may join them");
	if (e == NULL && !s->crowded)
		e = mx_send_build(s, &last);
	if (e == NULL && !s->crowded) {
		s->store.seq = r->tip.seq + 1;
		mx_send_move_tip(s, &last);
		atomic_fetch_add(&r->tip.in_flight, 1);
		if (whole != NULL && whole->rq != NULL)
			mx_request_hold(whole->rq, whole->then);
		*handed = whole != NULL;
		if (*handed)
			mx_write_later(s->rs->db, write_events, landed, whole);
	}
	pthread_mutex_unlock(&r->tip.lock);
	return e;
}

/* What was built has become durable, or hasn't. */
static void
settle(struct send *s, const mx_error *error)
{
	struct mx_room *r = s->store.room;
	struct mx_tip *t = &r->tip;

	if (mx_error_is(error, MX_E_UNCERTAIN))
		atomic_fetch_add(&r->foreign, 1);	/* what is durable must be read again */
	if (error != NULL || redacts_state(s)) {
		pthread_mutex_lock(&t->lock);
		/* What was built late has moved the tip only if it is stored. */
		if (error != NULL && !s->late && s->generation == t->generation)
			mx_tip_reset(t);
		else if (error == NULL && t->loaded)
			mx_tip_sweep(r);
		pthread_mutex_unlock(&t->lock);
	}
	if (s->late)
		mx_tip_leave_late(r);
	else
		mx_tip_landed(t);
	s->late = false;
}

/* The events of the other room are asked for once the id of a new room is known. */
static mx_error *
prepare_other(const struct send *s)
{
	struct send *o = s->other;
	const struct mx_draft *drafts;
	size_t n;

	if (!o->prepared) {
		MX_TRY(s->along->drafts(s->store.room, s->along->arg, &drafts, &n));
		MX_TRY(mx_send_check(drafts, n, MX_SEND_MAX));
		o->n = n;
		o->prepared = true;
		MX_TRY(mx_send_begin(o, drafts, NULL));
	}
	return mx_room_refresh(o->store.room, o->conn);
}

/* A new room is nobody else's yet: its tip may wait, moved, until the other room's is. */
static mx_error *
hand_in_both(struct send *s)
{
	mx_error *e;
	bool handed;

	MX_TRY(build_on_tip(s, NULL, &handed));
	e = prepare_other(s);
	if (e == NULL)
		e = build_on_tip(s->other, s, &handed);
	if (e != NULL)
		settle(s, e);
	return e;
}

/* Hands it in, to be built when its turn comes. */
static void
hand_in_late(struct send *s)
{
	mx_tip_enter_late(s->store.room);
	s->late = true;
	mx_write_later(s->rs->db, mx_send_write_late, landed, s);
}

/* Builds and hands in, and waits until it is durable. */
static mx_error *
attempt(struct send *s, bool late)
{
	bool handed = true;

	if (late)
		hand_in_late(s);
	else if (s->other != NULL)
		MX_TRY(hand_in_both(s));
	else
		MX_TRY(build_on_tip(s, s, &handed));
	if (!handed)
		return mx_send_crowded(s);
	while (sem_wait(&s->landed) != 0 && errno == EINTR)
		continue;
	if (s->other != NULL)
		settle(s->other, s->error);
	settle(s, s->error);
	return s->error;
}

mx_error *
mx_send_attempts(struct send *s)
{
	mx_error *e;

	for (int i = 0;; i++) {
		bool late = mx_send_contended(s) || (i >= EARLY_ATTEMPTS && mx_send_may_be_late(s));

		if (!s->store.create && !late)
			MX_TRY(mx_room_refresh(s->store.room, s->conn));
		e = attempt(s, late);
		if (!mx_error_is(e, MX_E_AGAIN) || i == MAX_ATTEMPTS)
			break;
		mx_error_free(&e);
		if (!late && i + 1 == EARLY_ATTEMPTS)
			mx_send_contend(s->store.room);
		atomic_fetch_add_explicit(&s->rs->conflicts, 1, memory_order_relaxed);
		mx_send_drop(s);
		if (s->other != NULL && s->other->prepared)
			mx_send_drop(s->other);
	}
	if (mx_error_is(e, MX_E_AGAIN)) {
		mx_error_free(&e);
		return mx_error_with(mx_error_new(MX_E_UNAVAILABLE, "the room is too busy"),
				     "retry_after_ms", json_integer(1000));
	}
	return e;
}

/* ---- the three entries ---- */

static mx_error *
send_all(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const struct mx_draft *drafts,
	 size_t n, struct mx_event **out)
{
	struct send s = { .rs = rs, .conn = c, .n = n, .store.room = r };
	mx_error *e = mx_send_begin(&s, drafts, NULL);

	if (e == NULL)
		e = mx_send_attempts(&s);
	for (size_t i = 0; e == NULL && out != NULL && i < n; i++)
		out[i] = mx_event_ref(s.store.v[i].event);
	mx_send_end(&s);
	return e;
}

static bool
has_txn(const struct mx_draft *d)
{
	return d->device != 0 && d->txn_id.n > 0;
}

/* The same transaction id makes one event: whoever comes second waits for the first, or finds what
 * it made. No event and no error: the id is the caller's now, who settles it. */
static mx_error *
claim_txn(struct mx_rooms *rs, struct mx_conn *c, const struct mx_draft *d, struct mx_event **made)
{
	mx_error *e = NULL;
	mx_nid nid;
	bool old;

	if (!mx_txn_claim(rs->txns, d->device, d->txn_id, &nid, &old))
		return mx_event_by_nid(rs, c, nid, made);
	if (old)
		e = mx_room_txn(rs, c, d->device, d->txn_id, made);
	if (e != NULL || *made != NULL)
		mx_txn_settle(rs->txns, d->device, d->txn_id, e == NULL ? (*made)->nid : 0);
	return e;
}

/* When another process has made an event of the transaction id meanwhile, it is that one. Takes e. */
static mx_error *
made_elsewhere(struct mx_rooms *rs, struct mx_conn *c, const struct mx_draft *d, mx_error *e,
	       struct mx_event **made)
{
	if (!mx_error_is(e, MX_E_EXISTS))
		return e;
	mx_error_free(&e);
	e = mx_room_txn(rs, c, d->device, d->txn_id, made);
	if (e == NULL && *made == NULL)
		e = mx_error_new(MX_E_UNKNOWN, "the event could not be stored");
	return e;
}

static mx_error *
send_once(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const struct mx_draft *d,
	  struct mx_event **out)
{
	struct mx_event *ev = NULL;
	mx_error *e = claim_txn(rs, c, d, &ev);

	if (e == NULL && ev == NULL) {
		e = made_elsewhere(rs, c, d, send_all(rs, c, r, d, 1, &ev), &ev);
		mx_txn_settle(rs->txns, d->device, d->txn_id, ev != NULL ? ev->nid : 0);
	}
	if (e == NULL && out != NULL)
		*out = ev;
	else
		mx_event_unref(&ev);
	return e;
}

mx_error *
mx_room_send(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
	     const struct mx_draft *drafts, size_t n, struct mx_event **out)
{
	MX_TRY(mx_send_check(drafts, n, MX_SEND_MAX));
	if (n == 1 && has_txn(drafts))
		return send_once(rs, c, r, drafts, out);
	return send_all(rs, c, r, drafts, n, out);
}

/* ---- without waiting ---- */

/* On the writer's thread. */
static void
held_end(struct send *s)
{
	struct mx_request *rq = s->rq;
	struct mx_room *room = s->store.room;
	struct mx_event *ev = s->store.v[0].event;
	mx_str txn_id = mx_event_txn_id(ev);
	mx_error *e = s->error;

	settle(s, e);
	if (ev->device != 0 && txn_id.n > 0)
		mx_txn_settle(s->rs->txns, ev->device, txn_id, e == NULL ? ev->nid : 0);
	if (mx_error_is(e, MX_E_AGAIN))
		atomic_fetch_add_explicit(&s->rs->conflicts, 1, memory_order_relaxed);
	/* Who waits looks for the event that has the transaction id already. */
	if (mx_error_is(e, MX_E_EXISTS)) {
		mx_error_free(&e);
		e = mx_error_new(MX_E_AGAIN, "the transaction id was used");
	}
	*s->out = (struct mx_sent){ .error = e, .event = e == NULL ? mx_event_ref(ev) : NULL };
	mx_send_end(s);
	free(s);
	mx_room_unref(&room);
	mx_request_resume(rq);
}

mx_error *
mx_room_send_held(struct mx_rooms *rs, struct mx_request *rq, struct mx_room *r,
		  const struct mx_draft *draft, mx_handler *then, struct mx_sent *out)
{
	struct mx_conn *c = mx_request_conn(rq);

	*out = (struct mx_sent){ .error = NULL };
	MX_TRY(mx_send_check(draft, 1, 1));
	if (has_txn(draft))
		MX_TRY(claim_txn(rs, c, draft, &out->event));
	if (out->event != NULL) {
		mx_request_hold(rq, then);
		mx_request_resume(rq);
		return NULL;
	}

	struct send *s = mx_alloc(sizeof(*s));

	*s = (struct send){ .rs = rs, .conn = c, .n = 1, .store.room = mx_room_ref(r),
			    .rq = rq, .then = then, .out = out };
	mx_error *e = mx_send_begin(s, draft, NULL);

	/* What is built late needs the draft for as long, and that is the caller's. */
	bool late = mx_send_contended(s), handed = false;

	if (e == NULL && !late)
		e = mx_room_refresh(r, c);
	if (e == NULL && !late)
		e = build_on_tip(s, s, &handed);
	if (handed)
		return NULL;
	s->rq = NULL;	/* it is made here and now */
	if (e == NULL)
		e = mx_send_attempts(s);
	if (e == NULL)
		out->event = mx_event_ref(s->store.v[0].event);
	e = made_elsewhere(rs, c, draft, e, &out->event);
	if (has_txn(draft))
		mx_txn_settle(rs->txns, draft->device, draft->txn_id,
			      e == NULL ? out->event->nid : 0);
	if (e == NULL) {
		mx_request_hold(rq, then);
		mx_request_resume(rq);
	}
	mx_send_end(s);
	free(s);
	mx_room_unref(&r);
	return e;
}
