/* Events from before what we know of a room. They stand in front of the timeline: their numbers are
 * negative, the older the lower. Nothing of the room's present changes by them. Server-Server API,
 * "Backfilling and retrieving missing events". */
#include "config.h"

#include "core/room/intake.h"

#include <stdlib.h>

#define ATTEMPTS 10

static const struct mx_sql OLDEST =
	MX_SQL("SELECT nid FROM event WHERE nid > $1 ORDER BY nid LIMIT 1");

struct backfill {
	struct mx_intake *in;
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
	if (a == b->oldest) {
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

static mx_error *
store(struct backfill *b, struct mx_arriving *a, struct mx_placing *p)
{
	struct mx_intake *in = b->in;
	struct mx_stored *s = &in->store[0];

	p->past = b->next++;
	p->outlier = a->outlier;
	*s = (struct mx_stored){ .placing = p, .arrival = a->v, .redaction = a->redaction,
				 .waiting = a->waiting, .event = mx_event_ref(a->v->event) };
	if (a->v->fate == MX_FATE_ACCEPTED)
		s->reveals = &a->reveals;
	if (a->lacks_prev)
		mx_gaps_find(in, a, s);
	mx_error *e = a->v->fate == MX_FATE_ACCEPTED
			      ? mx_find_target(in, a->v->event, p->before, 0, s)
			      : NULL;

	if (e == NULL)
		e = mx_intake_write(in, 1);
	if (e == NULL)
		mx_intake_stored(in, a);
	mx_event_unref(&s->event);
	mx_event_unref(&s->target);
	mx_event_unref(&s->redacted);
	return e;
}

static mx_error *
take_in(struct backfill *b, struct mx_arriving *a)
{
	struct mx_placing *p;
	bool known;
	mx_error *e;

	MX_TRY(mx_intake_past(b->in, a));
	if (a->lacks_auth)
		MX_TRY(mx_supply_auth(b->in, a));
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
	if (e == NULL && known)
		e = store(b, a, p);
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
	return mx_intake_wake(in);
}

static mx_error *
attempt(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_arriving *all,
	struct mx_arrival *v, size_t n, const struct mx_arrival *told, size_t told_n, bool again)
{
	struct mx_intake *in = mx_alloc(sizeof(*in));
	struct backfill b = { .in = in };
	mx_error *e = mx_intake_begin(in, rs, c, r);

	in->again = again;
	if (e == NULL)
		e = mx_intake_sort_out(in, all, v, n);
	if (e == NULL)
		e = run(&b, all, n, told, told_n);
	if (e == NULL)
		mx_intake_answer_twins(all, n);
	mx_intake_end(in);
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
