/* Asking the state of a room, now and at any event. */
#include "config.h"

#include "core/room/engine.h"

#include <stdlib.h>

static const struct mx_sql ROOT_AT =
	MX_SQL("SELECT COALESCE(root_room, root) FROM event WHERE room = $1 AND nid <= $2 "
	       "AND flags & " MX_EVENT_NOT_ACCEPTED " = 0 ORDER BY nid DESC LIMIT 1");

mx_error *
mx_state_get(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root, mx_str type,
	     mx_str key, struct mx_event **out)
{
	struct mx_tree tree = mx_rooms_tree(rs, c);
	mx_nid nid;

	*out = NULL;
	mx_error *e = mx_tree_get(&tree, root, mx_tree_key(type, key), &nid);

	mx_tree_done(&tree);
	if (e == NULL && nid != 0)
		e = mx_event_by_nid(rs, c, nid, out);
	return e;
}

mx_error *
mx_room_state(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_str type, mx_str key,
	      struct mx_event **out)
{
	return mx_state_get(rs, c, mx_room_root(r), type, key, out);
}

struct nids {
	mx_nid *v;
	size_t n, room;
};

static void
nids_add(struct nids *l, mx_nid nid)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 64 : 2 * l->room;
		l->v = mx_realloc(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = nid;
}

static mx_error *
collect(void *arg, struct mx_tree_key key, mx_nid nid)
{
	(void)key;
	nids_add(arg, nid);
	return NULL;
}

static mx_error *
collect_new(void *arg, struct mx_tree_key key, mx_nid from, mx_nid to)
{
	(void)key;
	(void)from;
	if (to != 0)
		nids_add(arg, to);
	return NULL;
}

static mx_error *
finish(struct mx_rooms *rs, struct mx_conn *c, struct mx_tree *tree, struct nids *l, mx_error *e,
       struct mx_events *out)
{
	mx_tree_done(tree);
	if (e == NULL)
		e = mx_events_load(rs, c, l->v, l->n, out);
	free(l->v);
	return e;
}

static mx_error *
read_part(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root, enum mx_tree_part part,
	  struct mx_events *out)
{
	struct mx_tree tree = mx_rooms_tree(rs, c);
	struct nids l = { 0 };
	mx_error *e = mx_tree_each(&tree, root, part, collect, &l);

	return finish(rs, c, &tree, &l, e, out);
}

mx_error *
mx_state_all(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root,
	     struct mx_events *out)
{
	return read_part(rs, c, root, MX_TREE_ALL, out);
}

mx_error *
mx_state_no_members(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root,
		    struct mx_events *out)
{
	return read_part(rs, c, root, MX_TREE_NO_MEMBERS, out);
}

mx_error *
mx_state_diff(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root from,
	      struct mx_state_root to, struct mx_events *out)
{
	struct mx_tree tree = mx_rooms_tree(rs, c);
	struct nids l = { 0 };
	mx_error *e = mx_tree_diff(&tree, from, to, collect_new, &l);

	return finish(rs, c, &tree, &l, e, out);
}

static bool
same_key(const struct mx_event *a, const struct mx_event *b)
{
	return a->state && b->state && mx_str_eq(mx_event_type(a), mx_event_type(b)) &&
	       mx_str_eq(mx_event_state_key(a), mx_event_state_key(b));
}

/* Whether the ith event is in the state, or a later one of the list has its place there. */
static mx_error *
lasts(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root end, const struct mx_events *l,
      size_t i, bool *out)
{
	const struct mx_event *ev = l->v[i];
	MX_AUTO(mx_event) *at = NULL;

	*out = !ev->state;
	for (size_t k = i + 1; k < l->n && !*out; k++)
		*out = l->v[k] != NULL && same_key(ev, l->v[k]);
	if (*out)
		return NULL;
	MX_TRY(mx_state_get(rs, c, end, mx_event_type(ev), mx_event_state_key(ev), &at));
	*out = at != NULL && mx_str_eq(mx_event_id(at), mx_event_id(ev));
	return NULL;
}

mx_error *
mx_events_drop_lost(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root end,
		    struct mx_events *l)
{
	size_t n = 0;
	mx_error *e = NULL;

	for (size_t i = l->n; e == NULL && i-- > 0;) {
		bool keep;

		e = lasts(rs, c, end, l, i, &keep);
		if (e == NULL && !keep)
			mx_event_unref(&l->v[i]);
	}
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] != NULL)
			l->v[n++] = l->v[i];
	l->n = n;
	return e;
}

/* The newest event of the tail at or before pos, 0 when the tail doesn't know. */
static mx_nid
tail_at(struct mx_room *r, mx_pos pos, bool *newest)
{
	mx_nid nid = 0;

	pthread_mutex_lock(&r->lock);
	*newest = pos >= r->view.last;
	for (size_t i = r->view.tail_n; !*newest && i-- > 0;)
		if (r->view.tail[i] <= pos) {
			nid = r->view.tail[i];
			break;
		}
	pthread_mutex_unlock(&r->lock);
	return nid;
}

mx_error *
mx_room_root_at(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_pos pos,
		struct mx_state_root *out)
{
	static const struct mx_state_root none;
	bool newest;
	mx_nid nid = tail_at(r, pos, &newest);

	*out = none;
	if (newest) {
		*out = mx_room_root(r);
		return NULL;
	}
	if (nid != 0) {
		MX_AUTO(mx_event) *ev = NULL;

		MX_TRY(mx_event_by_nid(rs, c, nid, &ev));
		*out = ev->after;
		if (!ev->forked)
			return NULL;
	}
	struct mx_query *q = mx_query(c, &ROOT_AT);

	mx_bind_int(q, 1, r->nid);
	mx_bind_int(q, 2, pos);
	if (mx_query_next(q)) {
		mx_str root = mx_col_str(q, 0);

		if (root.n == sizeof(out->h))
			memcpy(out->h, root.p, root.n);
	}
	return mx_query_end(q);
}
