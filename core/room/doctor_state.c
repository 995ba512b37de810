/* The states around an event: what follows from the events before it, against what is stored. */
#include "config.h"

#include "core/room/doctor.h"

#include "core/room/merge.h"

#include <stdlib.h>

#define MAX_BEHIND 256		/* as in placing.c */

static const struct mx_sql SET_ROOTS =
	MX_SQL("UPDATE event SET root_before = $2, root = $3 WHERE nid = $1");
static const struct mx_sql SET_ROOM =
	MX_SQL("UPDATE event SET root_room = $2, flags = $3 WHERE nid = $1");
static const struct mx_sql PUT_NODE =
	MX_SQL("INSERT INTO state_node (nid, hash, data) VALUES ($1, $2, $3)");

/* ---- the trees as they are stored ---- */

static mx_error *
ignore(void *arg, const struct mx_node *n)
{
	(void)arg;
	(void)n;
	return NULL;
}

/* Whether the root can be read from the database. What one whole tree shares with the whole tree
 * before it was looked at there. */
static mx_error *
is_stored(struct mx_doctor *d, struct mx_state_root root, bool *out)
{
	struct mx_tree cold = { .cache = d->cold, .conn = d->conn };
	struct mx_state_root none = { { 0 } };
	struct mx_delta delta;
	mx_error *e = mx_delta_find(&cold, root, &delta);

	if (e == NULL && !mx_root_eq(delta.whole, d->whole)) {
		e = mx_tree_new_nodes(&cold, d->whole_seen ? d->whole : none, delta.whole,
				      delta.whole, ignore, NULL);
		if (e == NULL) {
			d->whole = delta.whole;
			d->whole_seen = true;
		}
	}
	mx_tree_done(&cold);
	*out = e == NULL;
	if (mx_error_is(e, MX_E_UNKNOWN) || mx_error_is(e, MX_E_NOT_FOUND))
		mx_error_free(&e);
	return e;
}

struct storing {
	struct mx_doctor *d;
	struct mx_tree *tree;		/* has, or can make, what is missing */
	struct mx_state_root before, root;
	struct mx_conn *conn;
	mx_nid next, end;
};

static mx_error *
put_missing(void *arg, const struct mx_node *n)
{
	struct storing *s = arg;
	struct mx_tree cold = { .cache = s->d->cold, .conn = s->conn };
	const struct mx_node *stored;
	mx_error *e = mx_node_load(&cold, n->hash, 0, &stored);
	struct mx_query *q;

	mx_tree_done(&cold);
	if (!mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	if (s->next == s->end)
		return mx_error_new(MX_E_TOO_LARGE, "too much of a state is missing");
	q = mx_query(s->conn, &PUT_NODE);
	mx_bind_int(q, 1, s->next++);
	mx_bind_int(q, 2, mx_node_number(n->hash));
	mx_bind_blob(q, 3, n->bytes, n->n);
	return mx_query_run(q);
}

static mx_error *
store_missing(struct mx_txn *tx, void *arg)
{
	struct storing *s = arg;
	struct mx_state_root none = { { 0 } };

	s->conn = mx_txn_conn(tx);
	s->next = mx_txn_pos(tx) * MX_NODES_PER_EVENT;
	s->end = s->next + MX_NODES_PER_EVENT;
	return mx_tree_new_nodes(s->tree, none, s->before, s->root, put_missing, s);
}

/* Stores what of the root is not stored; tree can make it out of `before`. */
static mx_error *
store_root(struct mx_doctor *d, struct mx_tree *tree, struct mx_state_root before,
	   struct mx_state_root root)
{
	struct storing s = { .d = d, .tree = tree, .before = before, .root = root };

	return mx_root_none(root) ? NULL : mx_write(d->rs->db, store_missing, &s);
}

/* ---- what follows from the events ---- */

/* The right root after an event that was found to be wrong, where it was not mended. */
static struct mx_state_root
root_after(const struct mx_doctor *d, const struct mx_event *ev)
{
	for (size_t i = 0; i < d->wrong_n; i++)
		if (d->wrong[i].nid == ev->nid)
			return d->wrong[i].after;
	return ev->after;
}

static void
note_wrong(struct mx_doctor *d, mx_nid nid, struct mx_state_root after)
{
	size_t at = d->wrong_n < MX_DOCTOR_FINDINGS ? d->wrong_n++ : d->wrong_n - 1;

	d->wrong[at].nid = nid;
	d->wrong[at].after = after;
}

static mx_error *
find(struct mx_doctor *d, mx_str id, struct mx_event **out)
{
	mx_error *e = mx_event_get(d->rs, d->conn, id, out);

	/* One that cannot be read was named when it came by. */
	if (mx_error_is(e, MX_E_NOT_FOUND) || (d->blind && mx_error_is(e, MX_E_UNKNOWN)))
		mx_error_free(&e);
	return e;
}

static mx_error *
merge(struct mx_doctor *d, const struct mx_state_root *roots, size_t n, struct mx_fresh_nodes *fresh,
      struct mx_state_root *out)
{
	mx_error *e = mx_merge_roots(d->rs, d->conn, d->room, roots, n, fresh, out);

	/* As when it was taken in: too much of a conflict is not looked at. */
	if (!mx_error_is(e, MX_E_LIMIT_EXCEEDED))
		return e;
	mx_error_free(&e);
	*out = roots[0];
	return NULL;
}

/* Whether it came only after what names it had been taken in. Nothing is done again then. */
static bool
came_later(const struct mx_event *prev, const struct mx_event *ev)
{
	return ev->nid > 0 && prev->nid > ev->nid;
}

/* *told: nothing here says what the state before it was. */
static mx_error *
state_before(struct mx_doctor *d, const struct mx_event *ev, struct mx_fresh_nodes *fresh,
	     struct mx_state_root *out, bool *told)
{
	struct mx_state_root roots[MX_EVENT_MAX_PREV];
	struct mx_event_ids it = mx_event_prev(ev);
	size_t n = 0, named = 0;
	mx_str id;

	*out = ev->before;
	while (n < MX_EVENT_MAX_PREV && mx_event_ids_next(&it, &id)) {
		MX_AUTO(mx_event) *prev = NULL;

		named++;
		MX_TRY(find(d, id, &prev));
		if (prev != NULL && !prev->outlier && !came_later(prev, ev))
			roots[n++] = root_after(d, prev);
	}
	*told = n < named || (named == 0 && !ev->create);
	/* What it names may have come in since. Nothing is done again then, either. */
	if (*told || ev->told)
		return NULL;
	if (named == 0) {
		*out = (struct mx_state_root){ { 0 } };
		return NULL;
	}
	return merge(d, roots, n, fresh, out);
}

/* ---- the states before and after ---- */

struct states {
	struct mx_tree tree;
	struct mx_fresh_nodes fresh;
	struct mx_state_root before, after;
	bool told;
};

static mx_error *
compute(struct mx_doctor *d, const struct mx_event *ev, struct states *s)
{
	MX_TRY(state_before(d, ev, &s->fresh, &s->before, &s->told));
	s->after = s->before;
	if (!ev->state || ev->rejected)
		return NULL;
	return mx_tree_set(&s->tree, s->before,
			   mx_tree_key(mx_event_type(ev), mx_event_state_key(ev)),
			   mx_event_state_nid(ev), &s->fresh, &s->after);
}

static mx_error *
mend_roots(struct mx_doctor *d, struct mx_event *ev, struct states *s, struct mx_finding *f)
{
	bool same = mx_root_eq(s->before, s->after);
	const struct mx_doctor_value v[] = {
		{ .kind = MX_DOCTOR_INT, .i = ev->nid },
		{ .kind = same ? MX_DOCTOR_NULL : MX_DOCTOR_BLOB,
		  .s = { (const char *)s->before.h, sizeof(s->before.h) } },
		{ .kind = mx_root_none(s->after) ? MX_DOCTOR_NULL : MX_DOCTOR_BLOB,
		  .s = { (const char *)s->after.h, sizeof(s->after.h) } },
	};

	MX_TRY(store_root(d, &s->tree, s->before, s->before));
	MX_TRY(store_root(d, &s->tree, s->before, s->after));
	MX_TRY(mx_doctor_write(d, &SET_ROOTS, v, 3));
	mx_event_cache_drop(d->rs->events, ev->nid);
	ev->before = s->before;
	ev->after = s->after;
	mx_doctor_mended(d, f);
	return NULL;
}

static mx_error *
compare(struct mx_doctor *d, struct mx_event *ev, struct states *s)
{
	bool before = mx_root_eq(ev->before, s->before), after = mx_root_eq(ev->after, s->after);
	struct mx_finding *f;
	bool stored = true;

	if (!before || !after) {
		f = mx_doctor_find(d, before ? MX_AIL_AFTER : MX_AIL_BEFORE, ev->nid, mx_event_id(ev),
				   before ? "the state after it is not the state before it with the event" :
					    "the state before it is not that after the events it names");
		if (d->out->repair)
			return mend_roots(d, ev, s, f);
		note_wrong(d, ev->nid, s->after);
		return NULL;
	}
	if (mx_root_eq(s->after, d->checked))
		return NULL;
	MX_TRY(is_stored(d, s->after, &stored));
	d->checked = s->after;
	if (stored)
		return NULL;
	f = mx_doctor_find(d, MX_AIL_NODES, ev->nid, mx_event_id(ev),
			   "a part of the state after it is not stored");
	if (!d->out->repair)
		return NULL;
	MX_TRY(store_root(d, &s->tree, s->before, s->after));
	MX_TRY(is_stored(d, s->after, &stored));
	if (stored)
		mx_doctor_mended(d, f);
	return NULL;
}

/* ---- the room's state ---- */

/* What ev names, or what that builds on where it was not accepted, is no end any more. */
static mx_error *
go(struct mx_doctor *d, const struct mx_event *ev, mx_str id, size_t *behind)
{
	MX_AUTO(mx_event) *prev = NULL;
	struct mx_event_ids it;
	mx_str next;

	for (size_t i = 0; i < d->ends_n; i++)
		if (mx_str_eq(mx_event_id(d->ends[i]), id)) {
			mx_event_unref(&d->ends[i]);
			d->ends[i] = d->ends[--d->ends_n];
			return NULL;
		}
	if ((*behind)++ > MAX_BEHIND)
		return NULL;
	MX_TRY(find(d, id, &prev));
	if (prev == NULL || came_later(prev, ev) || (!prev->rejected && !prev->soft_failed))
		return NULL;
	it = mx_event_prev(prev);
	while (mx_event_ids_next(&it, &next))
		MX_TRY(go(d, ev, next, behind));
	return NULL;
}

static int
newest_first(const void *a, const void *b)
{
	mx_nid x = (*(struct mx_event *const *)a)->nid, y = (*(struct mx_event *const *)b)->nid;

	return (x < y) - (x > y);
}

/* Those that the room has given up, because they were too many. The newest stays. */
static void
give_up(struct mx_doctor *d)
{
	bool *gone = mx_alloc(d->ends_n * sizeof(*gone));
	size_t left = d->ends_n - 1, n = 0;

	gone[0] = true;
	for (; left > 0 && left + 1 > (size_t)d->rs->opt.max_extremities; left--)
		gone[mx_extremity_to_give_up(d->ends, d->ends_n, gone)] = true;
	for (size_t i = 0; i < d->ends_n; i++)
		if (i == 0 || !gone[i])
			d->ends[n++] = d->ends[i];
		else
			mx_event_unref(&d->ends[i]);
	d->ends_n = n;
	free(gone);
}

static mx_error *
move_ends(struct mx_doctor *d, struct mx_event *ev, bool told)
{
	struct mx_event_ids it = mx_event_prev(ev);
	size_t behind = 0;
	mx_str id;

	/* Where we have come into the room, nothing else counts any more. */
	if (told && ev->state && mx_rooms_is_local(d->rs, mx_event_sender(ev)))
		while (d->ends_n > 0)
			mx_event_unref(&d->ends[--d->ends_n]);
	while (mx_event_ids_next(&it, &id))
		MX_TRY(go(d, ev, id, &behind));
	/* As place.c: what was behind another event from its first moment on is no end. */
	if (ev->inner && d->ends_n > 0)
		return NULL;
	d->ends = mx_realloc(d->ends, d->ends_n + 1, sizeof(struct mx_event *));
	d->ends[d->ends_n++] = mx_event_ref(ev);
	qsort(d->ends, d->ends_n, sizeof(struct mx_event *), newest_first);
	give_up(d);
	return NULL;
}

static mx_error *
mend_room(struct mx_doctor *d, struct mx_event *ev, struct states *s, struct mx_state_root room,
	  struct mx_finding *f)
{
	bool same = mx_root_eq(room, s->after);

	ev->forked = !same || !mx_root_eq(d->root, s->before);
	const struct mx_doctor_value v[] = {
		{ .kind = MX_DOCTOR_INT, .i = ev->nid },
		{ .kind = same ? MX_DOCTOR_NULL : MX_DOCTOR_BLOB,
		  .s = { (const char *)room.h, sizeof(room.h) } },
		{ .kind = MX_DOCTOR_INT, .i = mx_event_flags(ev) },
	};

	MX_TRY(store_root(d, &s->tree, s->after, room));
	MX_TRY(mx_doctor_write(d, &SET_ROOM, v, 3));
	mx_event_cache_drop(d->rs->events, ev->nid);
	mx_doctor_mended(d, f);
	return NULL;
}

static mx_error *
check_room(struct mx_doctor *d, struct mx_event *ev, struct states *s, struct mx_state_root stored)
{
	struct mx_state_root *roots, room;
	struct mx_finding *f;

	if (d->blind) {
		d->root = stored;
		d->last = ev->nid;
		return NULL;
	}
	MX_TRY(move_ends(d, ev, s->told));
	roots = mx_alloc(d->ends_n * sizeof(*roots));
	for (size_t i = 0; i < d->ends_n; i++)
		roots[i] = d->ends[i] == ev ? s->after : root_after(d, d->ends[i]);
	mx_error *e = merge(d, roots, d->ends_n, &s->fresh, &room);

	free(roots);
	if (e != NULL)
		return e;
	if (!mx_root_eq(room, stored)) {
		f = mx_doctor_find(d, MX_AIL_ROOM, ev->nid, mx_event_id(ev),
				   "the room's state is not what its extremities resolve to");
		if (d->out->repair)
			e = mend_room(d, ev, s, room, f);
	}
	d->root = room;
	d->last = ev->nid;
	return e;
}

/* ---- all of it ---- */

static mx_error *
check(struct mx_doctor *d, struct mx_event *ev, struct mx_state_root stored_room, struct states *s)
{
	mx_error *e = compute(d, ev, s);

	/* What the tree is made of is lost: it was named where it should have been stored, or it is
	 * what others have told. */
	if (mx_error_is(e, MX_E_UNKNOWN)) {
		mx_doctor_find(d, MX_AIL_NODES, ev->nid, mx_event_id(ev), mx_error_text(e));
		mx_error_free(&e);
		return NULL;
	}
	if (e != NULL)
		return e;
	d->out->untold += s->told;
	/* Where no state was ever known there is none to compare. */
	if (mx_root_none(ev->before) && mx_root_none(ev->after) && s->told)
		return NULL;
	bool was_same = mx_root_eq(stored_room, ev->after);

	MX_TRY(compare(d, ev, s));
	if (ev->nid <= 0 || ev->rejected || ev->soft_failed)
		return NULL;
	return check_room(d, ev, s, was_same ? ev->after : stored_room);
}

mx_error *
mx_doctor_states(struct mx_doctor *d, struct mx_event *ev, struct mx_state_root stored_room)
{
	struct states s = { .tree = mx_rooms_tree(d->rs, d->conn),
			    .fresh = { .cache = d->rs->nodes } };
	mx_error *e = check(d, ev, stored_room, &s);

	mx_tree_done(&s.tree);
	mx_fresh_nodes_done(&s.fresh);
	return e;
}
