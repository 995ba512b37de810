/* Events from before what we know of a room. They stand in front of the timeline: their numbers are
 * negative, the older the lower. Nothing of the room's present changes by them. Server-Server API,
 * "Backfilling and retrieving missing events". */
#include "config.h"

#include "core/room/intake.h"

#include <stdlib.h>

#define ATTEMPTS 10

static const struct mx_sql OLDEST =
	MX_SQL("SELECT nid FROM event WHERE nid > $1 ORDER BY nid LIMIT 1");

/* Events that are written together. */
struct queue {
	struct mx_arriving *a[MX_LINE];
	struct mx_stored v[MX_LINE];
	struct mx_store stores[MX_LINE];
	size_t n;
};

struct backfill {
	struct mx_intake *in;
	struct queue *queue;
	struct mx_arriving *oldest;	/* whose state was told; NULL: none was, or it is known */
	struct mx_state_root told;
	mx_nid next;			/* number */
};

static void
drop(struct mx_arrival *v, enum mx_reason reason, const char *words)
{
	v->fate = MX_FATE_DROPPED;
	v->reason = reason;
	mx_arrival_words(v, words);
}

/* Numbers for n events before all that are there. */
static mx_error *
numbers(struct backfill *b, size_t n)
{
	struct mx_query *q = mx_query(b->in->conn, &OLDEST);
	mx_nid oldest;

	mx_bind_int(q, 1, MX_OUTLIER_NID);
	oldest = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	b->next = (oldest < 0 ? oldest : 0) - (mx_nid)n;
	return mx_query_end(q);
}

/* The state before it; false when it is not known. */
static mx_error *
state_before(struct backfill *b, const struct mx_arriving *a, struct mx_placing *p, bool *known)
{
	static const struct mx_state_root none;

	*known = true;
	a->v->event->told = a == b->oldest && a->lacks_prev;
	if (a->v->event->told) {
		p->before = b->told;
		p->before_of = b->in->root;
		p->before_new = true;
		return NULL;
	}
	if (mx_event_prev_count(a->v->event) == 0) {
		*known = a->v->event->create;
		p->before = none;
		return NULL;
	}
	*known = !a->lacks_prev;
	if (!*known)
		return NULL;
	p->before_of = a->prev[0]->after;
	p->before_new = true;
	return mx_place_merge(b->in, a->prev, a->prev_n, &p->before);
}

static mx_error *
judge(struct backfill *b, const struct mx_arriving *a, struct mx_state_root before)
{
	struct mx_arrival *v = a->v;
	enum mx_reason reason;
	mx_error *why = mx_judge_auth(b->in, a, &reason);

	v->fate = MX_FATE_ACCEPTED;
	if (why == NULL) {
		reason = MX_REASON_AUTH;
		MX_TRY(mx_judge(b->in, v->event, before, 0, &why));
	}
	v->event->rejected = why != NULL;
	if (why == NULL)
		return NULL;
	v->fate = MX_FATE_REJECTED;
	v->reason = reason;
	mx_arrival_words(v, mx_error_text(why));
	mx_error_free(&why);
	return NULL;
}

static void
drop_queue(struct queue *q)
{
	for (size_t i = 0; i < q->n; i++) {
		mx_event_unref(&q->v[i].event);
		mx_event_unref(&q->v[i].target);
		mx_event_unref(&q->v[i].redacted);
		mx_placing_free(&q->v[i].placing);
		q->a[i]->on_line = false;
	}
	q->n = 0;
}

static mx_error *
write_all(struct mx_txn *tx, void *arg)
{
	struct queue *q = arg;

	for (size_t i = 0; i < q->n; i++)
		MX_TRY(mx_store_write(tx, &q->stores[i]));
	return NULL;
}

static mx_error *
flush(struct backfill *b)
{
	struct mx_intake *in = b->in;
	struct mx_room *r = in->room;
	struct queue *q = b->queue;

	if (q->n == 0)
		return NULL;
	for (size_t i = 0; i < q->n; i++)
		q->stores[i] = (struct mx_store){ .room = r, .v = &q->v[i], .n = 1,
						  .seq = in->seq + 1 + i };
	mx_error *e = mx_write(in->rs->db, write_all, q);

	mx_fresh_nodes_done(&in->fresh);
	if (mx_error_is(e, MX_E_UNCERTAIN))
		atomic_fetch_add(&r->foreign, 1);	/* what is durable must be read again */
	if (e == NULL)
		in->seq += q->n;
	for (size_t i = 0; e == NULL && i < q->n; i++)
		mx_intake_stored(in, q->a[i]);
	drop_queue(q);
	return e;
}

/* Takes p. What follows a state event needs the state after it, which has a number only once it is
 * written; what is redacted must be a row: so these end what is written together. */
static mx_error *
store(struct backfill *b, struct mx_arriving *a, struct mx_placing *p)
{
	struct mx_intake *in = b->in;
	struct queue *q = b->queue;
	struct mx_event *ev = a->v->event;
	bool last = ev->state || mx_is_redaction(ev);
	struct mx_stored *s = &q->v[q->n];
	mx_error *e = NULL;

	p->past = b->next++;
	p->outlier = a->outlier;
	*s = (struct mx_stored){ .placing = p, .arrival = a->v, .redaction = a->redaction,
				 .waiting = a->waiting, .event = mx_event_ref(ev) };
	q->a[q->n++] = a;
	a->on_line = true;
	if (!ev->state)
		ev->before = ev->after = p->before;
	if (a->v->fate == MX_FATE_ACCEPTED)
		s->reveals = &a->reveals;
	if (a->lacks_prev)
		mx_gaps_find(in, a, s);
	if (a->v->fate == MX_FATE_ACCEPTED)
		e = mx_find_target(in, ev, p->before, 0, s);
	return e == NULL && (last || q->n == MX_LINE) ? flush(b) : e;
}

static mx_error *
take_in(struct backfill *b, struct mx_arriving *a)
{
	struct mx_placing *p;
	bool known;
	mx_error *e;

	if (mx_is_redaction(a->v->event))
		MX_TRY(flush(b));
	MX_TRY(mx_intake_past(b->in, a));
	if (a->lacks_auth) {
		MX_TRY(flush(b));
		MX_TRY(mx_supply_auth(b->in, a));
	}
	if (a->lacks_auth) {
		drop(a->v, MX_REASON_MISSING_AUTH,
		     "events that it names in auth_events are not here");
		return NULL;
	}
	MX_TRY(mx_find_redaction(b->in, a));
	p = mx_alloc(sizeof(*p));
	e = state_before(b, a, p, &known);
	if (e == NULL && !known)
		drop(a->v, MX_REASON_MISSING_PREV, "the state before it is not known");
	if (e == NULL && known)
		e = judge(b, a, p->before);
	if (e == NULL && known) {
		e = store(b, a, p);
		p = NULL;
	}
	mx_placing_free(&p);
	return e;
}

static mx_error *
run(struct backfill *b, struct mx_arriving *all, size_t n, const struct mx_arrival *told,
    size_t told_n)
{
	struct mx_intake *in = b->in;
	struct mx_arriving **order;

	/* The last of them is the oldest; the state before it is that of no other. */
	if (n > 0 && told_n > 0 && all[n - 1].v->event != NULL) {
		b->oldest = all[n - 1].first != NULL ? all[n - 1].first : &all[n - 1];
		if (b->oldest->done)
			b->oldest = NULL;
	}
	if (b->oldest != NULL)
		MX_TRY(mx_told_state(in, told, told_n, &b->told));
	MX_TRY(numbers(b, in->n));
	order = mx_intake_order(in, in->v, in->n);
	for (size_t i = 0; i < in->n; i++)
		if (!order[i]->done)
			MX_TRY(take_in(b, order[i]));
	MX_TRY(flush(b));
	return mx_intake_wake(in);
}

static mx_error *
attempt(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_arriving *all,
	struct mx_arrival *v, size_t n, const struct mx_arrival *told, size_t told_n, bool again)
{
	struct mx_intake *in = mx_alloc(sizeof(*in));
	struct backfill b = { .in = in, .queue = mx_alloc(sizeof(*b.queue)) };
	mx_error *e = mx_intake_begin(in, rs, c, r);

	in->again = again;
	if (e == NULL)
		e = mx_intake_sort_out(in, all, v, n);
	if (e == NULL)
		e = run(&b, all, n, told, told_n);
	if (e == NULL)
		mx_intake_answer_twins(all, n);
	drop_queue(b.queue);
	mx_intake_end(in);
	free(b.queue);
	free(in);
	return e;
}

static mx_error *
attempts(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_arrival *v, size_t n,
	 const struct mx_arrival *told, size_t told_n)
{
	struct mx_arriving *all = mx_alloc((n + 1) * sizeof(*all));
	mx_error *e = NULL;

	for (int i = 0; i < ATTEMPTS; i++) {
		mx_error_free(&e);
		e = attempt(rs, c, r, all, v, n, told, told_n, i > 0);
		if (!mx_error_is(e, MX_E_AGAIN))
			break;
	}
	free(all);
	return e;
}

mx_error *
mx_room_backfill(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const mx_str *pdus,
		 size_t n, const mx_str *state, size_t state_n, const mx_str *auth, size_t auth_n,
		 struct mx_arrival *v)
{
	struct mx_arrival *told = mx_alloc((state_n + auth_n + 1) * sizeof(*told));
	mx_error *e = mx_told_store(rs, c, r, state, state_n, auth, auth_n, told);
	size_t told_n = e == NULL ? state_n + auth_n : 0;

	memset(v, 0, n * sizeof(*v));
	mx_conn_rest(c);
	if (e == NULL)
		e = mx_verify_events(rs, r->version, pdus, n, v);
	if (e == NULL) {
		mx_intake_check_room(r, v, n);
		e = attempts(rs, c, r, v, n, told, state_n);
	}
	mx_arrivals_clear(told, told_n);
	free(told);
	for (size_t i = 0; i < n; i++)
		if (e != NULL || v[i].fate == MX_FATE_DROPPED)
			mx_event_unref(&v[i].event);
	if (e == NULL)
		mx_arrivals_count(rs, v, n);
	return e;
}
