/* Where an event goes that does not simply follow the one before it, and what the room is then.
 * Server-Server API, "Checks performed on receipt of a PDU", 4 to 6, "Soft failure". */
#include "config.h"

#include "core/room/intake.h"
#include "core/room/merge.h"

#include <stdlib.h>

#define MAX_ENDS_BEHIND 256	/* events that are looked at behind soft-failed ones */

struct place {
	struct mx_intake *in;
	struct mx_arriving *a;
	struct mx_event *ev;		/* borrowed */
	struct mx_placing *p;
	bool *gone;			/* of each of in->ends: the event, or what it builds on, names it */
	size_t behind;
	mx_str gaps[MX_EVENT_MAX_PREV];	/* what those that were not accepted name and we do not have */
	size_t gaps_n;
};

/* ---- merging ---- */

/* *out: what the n roots resolve to; *is_new: nobody has stored that. */
static mx_error *
merge(struct mx_intake *in, const struct mx_state_root *roots, size_t n, struct mx_state_root *out,
      bool *is_new)
{
	MX_TRY(mx_merge_roots(in->rs, in->conn, in->room, roots, n, &in->fresh, out));
	*is_new = !mx_root_eq(*out, in->root);
	for (size_t i = 0; i < n; i++)
		*is_new = *is_new && !mx_root_eq(*out, roots[i]);
	return NULL;
}

mx_error *
mx_place_merge(struct mx_intake *in, struct mx_event *const *evs, size_t n,
	       struct mx_state_root *out)
{
	struct mx_state_root *roots = mx_arena_alloc(in->arena, (n + 1) * sizeof(*roots));
	bool is_new;

	for (size_t i = 0; i < n; i++)
		roots[i] = evs[i]->after;
	return merge(in, roots, n, out, &is_new);
}

static mx_error *
state_before(struct place *w)
{
	struct mx_state_root roots[MX_EVENT_MAX_PREV];

	for (size_t i = 0; i < w->a->prev_n; i++)
		roots[i] = w->a->prev[i]->after;
	w->p->before_of = roots[0];
	return merge(w->in, roots, w->a->prev_n, &w->p->before, &w->p->before_new);
}

/* ---- the forward extremities ---- */

static mx_error *
name(struct place *w, mx_str id, const struct mx_event *prev)
{
	struct mx_intake *in = w->in;
	MX_AUTO(mx_event) *found = NULL;
	struct mx_event_ids it;
	mx_str next;

	for (size_t i = 0; i < in->ends_n; i++)
		if (mx_str_eq(mx_event_id(in->ends[i]), id)) {
			w->gone[i] = true;
			return NULL;
		}
	if (w->behind++ > MAX_ENDS_BEHIND)
		return NULL;
	if (prev == NULL) {
		mx_error *e = mx_event_get(in->rs, in->conn, id, &found);

		if (mx_error_is(e, MX_E_NOT_FOUND))
			mx_error_free(&e);
		if (e != NULL)
			return e;
		if ((found == NULL || found->outlier) && w->gaps_n < MX_EVENT_MAX_PREV)
			w->gaps[w->gaps_n++] = mx_arena_str(in->arena, id);
		prev = found;
	}
	/* What was not accepted is no extremity, but what it names is none either once somebody builds
	 * on it. */
	if (prev == NULL || (!prev->rejected && !prev->soft_failed))
		return NULL;
	it = mx_event_prev(prev);
	while (mx_event_ids_next(&it, &next))
		MX_TRY(name(w, next, NULL));
	return NULL;
}

static mx_error *
find_others(struct place *w)
{
	struct mx_intake *in = w->in;
	size_t left = 0;
	mx_nid by = 0;

	w->gone = mx_arena_alloc(in->arena, (in->ends_n + 1) * sizeof(*w->gone));
	for (size_t i = 0; i < w->a->prev_n; i++)
		MX_TRY(name(w, mx_event_id(w->a->prev[i]), w->a->prev[i]));
	for (size_t i = 0; i < in->ends_n; i++)
		left += !w->gone[i];
	if (left > 0)
		MX_TRY(mx_gap_filled(in, mx_event_id(w->ev), &by));
	w->p->inner = by != 0;
	for (; left > 0 && left + !w->p->inner > (size_t)in->rs->opt.max_extremities; left--)
		w->gone[mx_extremity_to_give_up(in->ends, in->ends_n, w->gone)] = true;
	for (size_t i = 0; i < in->ends_n; i++)
		if (!w->gone[i])
			mx_extremities_add(&w->p->others, in->ends[i]);
	w->p->alone = left == 0;
	return NULL;
}

/* What is missing below those that were not accepted is missing like what the event names itself. */
static void
add_gaps(struct place *w, struct mx_stored *s)
{
	mx_str *all = mx_arena_alloc(w->in->arena, (s->gaps_n + w->gaps_n + 1) * sizeof(*all));

	if (s->gaps_n > 0)
		memcpy(all, s->gaps, s->gaps_n * sizeof(*all));
	if (w->gaps_n > 0)
		memcpy(all + s->gaps_n, w->gaps, w->gaps_n * sizeof(*all));
	s->gaps = all;
	s->gaps_n += w->gaps_n;
}

/* An event that is not accepted fills a gap below one that was: what is missing below it is now
 * missing there. */
static mx_error *
pass_gap_on(struct place *w, struct mx_stored *s)
{
	struct mx_intake *in = w->in;

	MX_TRY(mx_gap_filled(in, mx_event_id(w->ev), &s->gaps_of));
	if (s->gaps_of == 0)
		return NULL;
	w->gone = mx_arena_alloc(in->arena, (in->ends_n + 1) * sizeof(*w->gone));
	for (size_t i = 0; i < w->a->prev_n; i++)
		MX_TRY(name(w, mx_event_id(w->a->prev[i]), w->a->prev[i]));
	add_gaps(w, s);
	return NULL;
}

/* ---- the number of a state event, before it has a position ---- */

struct outlier {
	struct mx_room *room;
	struct mx_event *event;
};

static mx_error *
put_outlier(struct mx_txn *tx, void *arg)
{
	struct outlier *o = arg;

	return mx_supply_put(tx, o->room, o->event);
}

/* States name events by number, and a position is given to an event only when it is written. What
 * the room is once its state is one of several must be known before that: so the event is stored as
 * an outlier first. */
static mx_error *
number(struct place *w)
{
	struct outlier o = { .room = w->in->room };

	if (w->a->outlier != 0)
		return NULL;
	o.event = mx_event_copy(w->ev);
	mx_error *e = mx_write(w->in->rs->db, put_outlier, &o);

	if (e == NULL) {
		w->a->outlier = o.event->nid;
		mx_event_cache_put(w->in->rs->events, o.event);
	}
	mx_event_unref(&o.event);
	return e;
}

static mx_error *
state_after(struct place *w, struct mx_state_root *out)
{
	struct mx_tree tree = mx_rooms_tree(w->in->rs, w->in->conn);

	*out = w->p->before;
	if (!w->ev->state)
		return NULL;
	MX_TRY(number(w));
	mx_error *e = mx_tree_set(&tree, w->p->before,
				  mx_tree_key(mx_event_type(w->ev), mx_event_state_key(w->ev)),
				  w->a->outlier, &w->in->fresh, out);

	mx_tree_done(&tree);
	return e;
}

/* The room's state with the event as one of its extremities. */
static mx_error *
state_of_room(struct place *w)
{
	struct mx_placing *p = w->p;
	struct mx_state_root *roots =
		mx_arena_alloc(w->in->arena, (p->others.n + 1) * sizeof(*roots));
	size_t n = p->others.n;

	p->room = w->in->root;
	if (p->inner && n == w->in->ends_n)
		return NULL;
	if (!p->inner)
		MX_TRY(state_after(w, &roots[n++]));
	for (size_t i = 0; i < p->others.n; i++)
		roots[i] = p->others.v[i].after;
	p->room_of = roots[0];
	return merge(w->in, roots, n, &p->room, &p->room_new);
}

/* ---- whose membership is another then ---- */

static void
add_moved(struct mx_placing *p, struct mx_event *ev, enum mx_membership was,
	  enum mx_membership now)
{
	p->moved = mx_realloc(p->moved, p->moved_n + 1, sizeof(*p->moved));
	p->moved[p->moved_n++] =
		(struct mx_moved){ .event = mx_event_ref(ev), .was = was, .now = now };
}

struct differ {
	struct place *w;
	struct mx_tree_key own;		/* of the event itself */
	bool skip_own;
};

static mx_error *
differs(void *arg, struct mx_tree_key key, mx_nid from, mx_nid to)
{
	struct differ *d = arg;
	struct place *w = d->w;
	MX_AUTO(mx_event) *was = NULL;
	MX_AUTO(mx_event) *now = NULL;

	if (key.h[0] >> 4 == 0) {	/* no member (tree.h) */
		w->p->facts = true;
		return NULL;
	}
	if (d->skip_own && memcmp(key.h, d->own.h, sizeof(key.h)) == 0)
		return NULL;
	if (from != 0)
		MX_TRY(mx_event_by_nid(w->in->rs, w->in->conn, from, &was));
	if (to != 0)
		MX_TRY(mx_event_by_nid(w->in->rs, w->in->conn, to, &now));
	/* Who has no member event any more has left. */
	if (now == NULL)
		add_moved(w->p, was, was->membership, MX_MEMBER_LEAVE);
	else if (w->a->outlier != 0 && to == w->a->outlier)
		add_moved(w->p, w->ev, was != NULL ? was->membership : MX_MEMBER_NONE,
			  w->ev->membership);
	else
		add_moved(w->p, now, was != NULL ? was->membership : MX_MEMBER_NONE,
			  now->membership);
	return NULL;
}

static mx_error *
find_moved(struct place *w)
{
	struct mx_intake *in = w->in;
	struct mx_tree tree = mx_rooms_tree(in->rs, in->conn);
	struct differ d = { .w = w };
	struct mx_state_root to = w->p->alone ? w->p->before : w->p->room;
	bool member = w->ev->state && mx_str_eq(mx_event_type(w->ev), MX_S("m.room.member"));
	mx_error *e = NULL;

	if (w->ev->state)
		d.own = mx_tree_key(mx_event_type(w->ev), mx_event_state_key(w->ev));
	d.skip_own = w->ev->state && w->p->alone;
	if (!mx_root_eq(in->root, to))
		e = mx_tree_diff(&tree, in->root, to, differs, &d);
	mx_tree_done(&tree);
	if (e != NULL || !w->p->alone || !w->ev->state)
		return e;
	w->p->facts = true;
	if (!member)
		return NULL;
	enum mx_membership was;

	MX_TRY(mx_intake_member(in, w->ev, 0, &was));
	add_moved(w->p, w->ev, was, w->ev->membership);
	return NULL;
}

/* ---- the checks ---- */

static void
refuse(struct place *w, enum mx_fate fate, enum mx_reason reason, mx_error *why)
{
	struct mx_arrival *v = w->a->v;

	v->fate = fate;
	v->reason = reason;
	mx_arrival_words(v, mx_error_text(why));
	mx_error_free(&why);
	v->event->rejected = fate == MX_FATE_REJECTED;
	v->event->soft_failed = fate == MX_FATE_SOFT_FAILED;
}

/* Too much of something: e is freed, and the event refused. */
static bool
too_much(struct place *w, mx_error **e, enum mx_fate fate)
{
	if (!mx_error_is(*e, MX_E_LIMIT_EXCEEDED))
		return false;
	refuse(w, fate, MX_REASON_LIMIT, *e);
	*e = NULL;
	return true;
}

static mx_error *
check_size(struct place *w)
{
	struct mx_tree tree = mx_rooms_tree(w->in->rs, w->in->conn);
	size_t count = 0;
	mx_nid old = 0;
	mx_error *e = mx_tree_count(&tree, w->p->before, &count);

	if (e == NULL && count >= (size_t)w->in->rs->opt.max_state)
		e = mx_tree_get(&tree, w->p->before,
				mx_tree_key(mx_event_type(w->ev), mx_event_state_key(w->ev)),
				&old);
	mx_tree_done(&tree);
	if (e == NULL && count >= (size_t)w->in->rs->opt.max_state && old == 0)
		refuse(w, MX_FATE_REJECTED, MX_REASON_LIMIT,
		       mx_error_new(MX_E_TOO_LARGE,
				    "the room has as many state events as this server allows"));
	return e;
}

/* Sets its fate. */
static mx_error *
check(struct place *w)
{
	struct mx_intake *in = w->in;
	enum mx_reason reason;
	mx_error *why;

	if (w->a->prev_n == 0 && !w->a->given) {
		refuse(w, MX_FATE_REJECTED, MX_REASON_AUTH,
		       mx_error_new(MX_E_FORBIDDEN, "the room has begun already"));
		return NULL;
	}
	why = mx_judge_auth(in, w->a, &reason);
	if (why == NULL) {
		reason = MX_REASON_AUTH;
		MX_TRY(mx_judge(in, w->ev, w->p->before, 0, &why));
	}
	if (why != NULL) {
		refuse(w, MX_FATE_REJECTED, reason, why);
		return NULL;
	}
	if (w->ev->state) {
		MX_TRY(check_size(w));
		if (w->ev->rejected)
			return NULL;
	}
	if (mx_root_eq(w->p->before, in->root))
		return NULL;
	MX_TRY(mx_judge(in, w->ev, in->root, 0, &why));
	if (why != NULL)
		refuse(w, MX_FATE_SOFT_FAILED, MX_REASON_CURRENT_STATE, why);
	return NULL;
}

/* ---- all of it ---- */

static mx_error *
prepare(struct place *w)
{
	struct mx_arrival *v = w->a->v;
	mx_error *e = NULL;

	v->fate = MX_FATE_ACCEPTED;
	w->ev->rejected = w->ev->soft_failed = w->ev->hidden = false;
	w->p->before = w->in->root;
	w->ev->told = w->a->given;
	if (w->a->given) {
		w->p->before = w->a->before;
		w->p->before_of = w->in->root;
		w->p->before_new = true;
	} else if (w->a->prev_n > 0) {
		e = state_before(w);
	}
	if (too_much(w, &e, MX_FATE_REJECTED)) {
		w->p->before = w->a->prev[0]->after;
		w->p->before_new = false;
		return NULL;
	}
	if (e == NULL)
		e = check(w);
	if (e != NULL || v->fate != MX_FATE_ACCEPTED)
		return e;
	MX_TRY(find_others(w));
	if (!w->p->alone) {
		e = state_of_room(w);
		if (too_much(w, &e, MX_FATE_SOFT_FAILED) || e != NULL)
			return e;
	}
	return find_moved(w);
}

/* What the extremities are now that the event is stored. */
static void
move_ends(struct place *w)
{
	struct mx_intake *in = w->in;
	struct mx_event **ends = mx_alloc((w->p->others.n + 1) * sizeof(struct mx_event *));
	size_t n = 0, max = w->p->others.n;

	if (!w->p->inner) {
		ends[n++] = mx_event_ref(in->store[0].event);
		max++;
	}
	for (size_t i = 0; i < in->ends_n; i++) {
		bool stays = !w->gone[i] && n < max;

		if (stays)
			ends[n++] = in->ends[i];
		else
			mx_event_unref(&in->ends[i]);
	}
	free(in->ends);
	in->ends = ends;
	in->ends_n = n;
}

mx_error *
mx_place(struct mx_intake *in, struct mx_arriving *a)
{
	struct mx_stored *s = &in->store[0];
	struct mx_placing *p = mx_alloc(sizeof(*p));
	struct place w = { .in = in, .a = a, .ev = a->v->event, .p = p };

	/* The room's own beginning, which is there as an outlier when the room was entered later:
	 * anybody may send it again. */
	if (a->prev_n == 0 && mx_str_eq(mx_event_id(w.ev), mx_event_id(in->create))) {
		mx_event_unref(&a->v->event);
		a->v->event = mx_event_ref(in->create);
		a->v->reason = MX_REASON_KNOWN;
		a->done = true;
		mx_placing_free(&p);
		return NULL;
	}
	*s = (struct mx_stored){ .placing = p, .arrival = a->v };
	mx_error *e = prepare(&w);

	p->outlier = a->outlier;
	s->event = mx_event_ref(w.ev);
	s->redaction = a->redaction;
	if (a->v->fate == MX_FATE_ACCEPTED)
		s->reveals = &a->reveals;
	s->waiting = a->waiting;
	if (a->given)
		mx_gaps_find(in, a, s);
	if (a->v->fate == MX_FATE_ACCEPTED)
		add_gaps(&w, s);
	if (e == NULL)
		e = a->v->fate == MX_FATE_ACCEPTED
			    ? mx_find_target(in, w.ev, p->before, 0, s)
			    : pass_gap_on(&w, s);
	if (e == NULL)
		e = mx_intake_write(in, 1);
	if (e == NULL) {
		mx_intake_stored(in, a);
		if (a->v->fate == MX_FATE_ACCEPTED)
			move_ends(&w);
	}
	mx_event_unref(&s->event);
	mx_event_unref(&s->target);
	mx_event_unref(&s->redacted);
	mx_placing_free(&s->placing);
	return e;
}
