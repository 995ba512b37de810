#include "config.h"

#include "core/room/cover.h"
#include "core/room/merge.h"

#include <stdlib.h>

#include "core/room/resolve.h"

/* An event that this merge has met, by its id. */
struct met {
	struct mx_event *ev;	/* held */
	struct met *next;
};

/* A key at which the states differ. */
struct conflict {
	struct mx_tree_key key;
	mx_nid *nids;		/* of each state; 0: none */
	mx_str *ids;
	const struct mx_event *any;
};

struct merge {
	struct mx_rooms *rs;
	struct mx_conn *c;
	struct mx_room *room;
	struct mx_tree tree;
	struct mx_state_root near;
	const struct mx_state_root *roots;	/* distinct, sorted */
	size_t roots_n;
	struct mx_arena *a;
	struct conflict *v;	/* sorted by key */
	size_t n;
	struct met **met;	/* a hash table by id */
	size_t met_n, met_room;
	struct mx_events held;
	struct mx_nidmap others;	/* the first state without members */
	bool others_known;
};

/* ---- the events that it meets ---- */

static size_t
bucket(const struct merge *m, mx_str id)
{
	return (size_t)mx_hash(id.p, id.n) & (m->met_room - 1);
}

static void
grow(struct merge *m)
{
	struct met **old = m->met;
	size_t old_room = m->met_room;

	m->met_room = old_room != 0 ? 4 * old_room : 256;
	m->met = mx_arena_alloc(m->a, m->met_room * sizeof(struct met *));
	for (size_t i = 0; i < old_room; i++)
		for (struct met *one = old[i], *next; one != NULL; one = next) {
			size_t b = bucket(m, mx_event_id(one->ev));

			next = one->next;
			one->next = m->met[b];
			m->met[b] = one;
		}
}

static struct mx_event *
met_find(const struct merge *m, mx_str id)
{
	struct met *one = m->met_room != 0 ? m->met[bucket(m, id)] : NULL;

	while (one != NULL && !mx_str_eq(mx_event_id(one->ev), id))
		one = one->next;
	return one != NULL ? one->ev : NULL;
}

/* Takes the reference. */
static void
met_add(struct merge *m, struct mx_event *ev)
{
	struct met *one;
	size_t b;

	mx_events_add(&m->held, ev);
	if (met_find(m, mx_event_id(ev)) != NULL)
		return;
	if (m->met_n >= m->met_room)
		grow(m);
	b = bucket(m, mx_event_id(ev));
	one = mx_arena_alloc(m->a, sizeof(*one));
	*one = (struct met){ ev, m->met[b] };
	m->met[b] = one;
	m->met_n++;
}

static void
done(struct merge *m)
{
	mx_events_clear(&m->held);
	mx_nidmap_clear(&m->others);
	mx_tree_done(&m->tree);
	mx_arena_free(&m->a);
}

/* ---- what differs ---- */

struct difference {
	struct mx_tree_key key;
	size_t state;
	mx_nid first, other;	/* in the first state, and in this one */
};

struct differences {
	struct difference *v;
	size_t n, room, max, state;
};

static mx_error *
too_much(const struct merge *m)
{
	return mx_error_new(MX_E_LIMIT_EXCEEDED,
			    "the states of the room differ in more than %lld entries",
			    (long long)m->rs->opt.max_conflict);
}

/* How many events a resolution may look at: what conflicts, and what that rests on. */
static size_t
max_events(const struct merge *m)
{
	return 4 * (size_t)m->rs->opt.max_conflict + 10000;
}

static mx_error *
differs(void *arg, struct mx_tree_key key, mx_nid from, mx_nid to)
{
	struct differences *l = arg;

	if (l->n == l->max)
		return mx_error_new(MX_E_LIMIT_EXCEEDED, "too much differs");
	if (l->n == l->room) {
		l->room = l->room == 0 ? 64 : 2 * l->room;
		l->v = mx_realloc(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = (struct difference){ key, l->state, from, to };
	return NULL;
}

static int
by_key(const void *a, const void *b)
{
	return memcmp(((const struct difference *)a)->key.h, ((const struct difference *)b)->key.h,
		      MX_TREE_KEY);
}

/* The differences, sorted, as conflicts. */
static mx_error *
group(struct merge *m, const struct difference *v, size_t n)
{
	size_t keys = 0, at = 0;

	for (size_t i = 0; i < n; i++)
		keys += i == 0 || by_key(&v[i - 1], &v[i]) != 0;
	if (keys > (size_t)m->rs->opt.max_conflict)
		return too_much(m);
	m->v = mx_arena_alloc(m->a, (keys + 1) * sizeof(*m->v));
	for (size_t k = 0; k < keys; k++) {
		struct conflict *c = &m->v[k];

		c->key = v[at].key;
		c->nids = mx_arena_alloc(m->a, m->roots_n * sizeof(*c->nids));
		c->ids = mx_arena_alloc(m->a, m->roots_n * sizeof(*c->ids));
		for (size_t s = 0; s < m->roots_n; s++)
			c->nids[s] = v[at].first;
		for (; at < n && memcmp(v[at].key.h, c->key.h, MX_TREE_KEY) == 0; at++)
			c->nids[v[at].state] = v[at].other;
	}
	m->n = keys;
	return NULL;
}

static mx_error *
find_conflicts(struct merge *m)
{
	struct differences l = { .max = (size_t)m->rs->opt.max_conflict * (m->roots_n - 1) };
	mx_error *e = NULL;

	for (l.state = 1; e == NULL && l.state < m->roots_n; l.state++)
		e = mx_tree_diff(&m->tree, m->roots[0], m->roots[l.state], differs, &l);
	if (mx_error_is(e, MX_E_LIMIT_EXCEEDED)) {
		mx_error_free(&e);
		e = too_much(m);
	}
	if (e == NULL && l.n > 0) {
		qsort(l.v, l.n, sizeof(*l.v), by_key);
		e = group(m, l.v, l.n);
	}
	free(l.v);
	return e;
}

static int
by_nid(const void *a, const void *b)
{
	mx_nid x = *(const mx_nid *)a, y = *(const mx_nid *)b;

	return (x > y) - (x < y);
}

/* Loads the events of all conflicting entries: nids is sorted then, and l has them in its order. */
static mx_error *
load_conflicts(struct merge *m, mx_nid *nids, size_t *n, struct mx_events *l)
{
	size_t all = 0;

	*n = 0;
	for (size_t k = 0; k < m->n; k++)
		for (size_t s = 0; s < m->roots_n; s++)
			if (m->v[k].nids[s] != 0)
				nids[all++] = m->v[k].nids[s];
	qsort(nids, all, sizeof(*nids), by_nid);
	for (size_t i = 0; i < all; i++)
		if (i == 0 || nids[i] != nids[i - 1])
			nids[(*n)++] = nids[i];
	return mx_events_load(m->rs, m->c, nids, *n, l);
}

static mx_error *
name_conflicts(struct merge *m)
{
	mx_nid *nids = mx_arena_alloc(m->a, (m->n * m->roots_n + 1) * sizeof(*nids));
	struct mx_events l = { 0 };
	size_t n;

	MX_TRY(load_conflicts(m, nids, &n, &l));
	for (size_t k = 0; k < m->n; k++)
		for (size_t s = 0; s < m->roots_n; s++) {
			mx_nid nid = m->v[k].nids[s];
			const mx_nid *at = nid == 0 ? NULL : bsearch(&nid, nids, n, sizeof(nid),
								     by_nid);

			if (at == NULL)
				continue;
			m->v[k].any = l.v[at - nids];
			m->v[k].ids[s] = mx_event_id(m->v[k].any);
		}
	for (size_t i = 0; i < n; i++)
		met_add(m, l.v[i]);
	free(l.v);
	return NULL;
}

/* ---- what resolution asks ---- */

static mx_error *
event(void *arg, mx_str id, const struct mx_event **out)
{
	struct merge *m = arg;
	struct mx_event *ev = met_find(m, id);

	if (ev == NULL) {
		mx_error *e = mx_event_get(m->rs, m->c, id, &ev);

		*out = NULL;
		if (mx_error_is(e, MX_E_NOT_FOUND)) {
			mx_error_free(&e);
			return NULL;
		}
		if (e != NULL)
			return e;
		met_add(m, ev);
	}
	/* Whoever names an event of another room gets nothing of it. */
	*out = ev->room == m->room->nid ? ev : NULL;
	return NULL;
}

static bool
is_conflict(const struct merge *m, struct mx_tree_key key)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t at = (low + high) / 2;
		int order = memcmp(m->v[at].key.h, key.h, MX_TREE_KEY);

		if (order == 0)
			return true;
		if (order < 0)
			low = at + 1;
		else
			high = at;
	}
	return false;
}

static mx_error *
agreed(void *arg, mx_str type, mx_str key, mx_str *id)
{
	struct merge *m = arg;
	struct mx_tree_key k = mx_tree_key(type, key);
	struct mx_event *ev;
	mx_nid nid;

	*id = (mx_str){ NULL, 0 };
	if (is_conflict(m, k))
		return NULL;
	MX_TRY(mx_tree_get(&m->tree, m->roots[0], k, &nid));
	if (nid == 0)
		return NULL;
	MX_TRY(mx_event_by_nid(m->rs, m->c, nid, &ev));
	*id = mx_event_id(ev);
	met_add(m, ev);
	return NULL;
}

/* ---- what the difference asks ---- */

static mx_error *
add_other(void *arg, struct mx_tree_key key, mx_nid nid)
{
	struct merge *m = arg;

	(void)key;
	mx_nidmap_put(&m->others, nid, m);
	return NULL;
}

/* nid is none of the conflicting ones. What nobody can rest on is no member, and of that there is
 * mostly little in a state; but there may be very many such events to ask about. */
static mx_error *
is_agreed(void *arg, mx_nid nid, bool leaf, bool *out)
{
	struct merge *m = arg;
	struct mx_event *ev;
	mx_nid at;

	if (!leaf) {
		MX_TRY(mx_event_by_nid(m->rs, m->c, nid, &ev));
		met_add(m, ev);
		MX_TRY(mx_tree_get(&m->tree, m->roots[0],
				   mx_tree_key(mx_event_type(ev), mx_event_state_key(ev)), &at));
		*out = at == nid;
		return NULL;
	}
	if (!m->others_known)
		MX_TRY(mx_tree_each(&m->tree, m->roots[0], MX_TREE_NO_MEMBERS, add_other, m));
	m->others_known = true;
	*out = mx_nidmap_get(&m->others, nid) != NULL;
	return NULL;
}

/* The conflicting entries, each with the states that have it. */
static struct mx_conflicted *
list_conflicted(const struct merge *m, size_t *n)
{
	struct mx_conflicted *v = mx_arena_alloc(m->a, (m->n * m->roots_n + 1) * sizeof(*v));

	*n = 0;
	for (size_t k = 0; k < m->n; k++) {
		size_t first = *n;

		for (size_t s = 0; s < m->roots_n; s++) {
			mx_nid nid = m->v[k].nids[s];
			size_t at = first;

			while (at < *n && v[at].nid != nid)
				at++;
			if (nid == 0)
				continue;
			if (at == *n)
				v[(*n)++] = (struct mx_conflicted){
					.nid = nid, .leaf = !mx_rules_is_auth_type(m->v[k].any)
				};
			v[at].states |= UINT64_C(1) << s;
		}
	}
	return v;
}

/* What is to be looked at beyond the conflicting entries, as ids. */
static mx_error *
find_others(struct merge *m, const mx_str **out, size_t *n)
{
	struct mx_events l = { 0 };
	size_t conflicted_n;
	struct mx_conflicted *conflicted = list_conflicted(m, &conflicted_n);
	bool subgraph = m->room->version->resolution == MX_RESOLUTION_2_1;
	mx_nid *nids;
	mx_str *ids;

	MX_TRY(mx_cover_difference(m->rs, m->c, conflicted, conflicted_n, m->roots_n, subgraph,
				   is_agreed, m, m->a, &nids, n));
	if (*n > max_events(m))
		return too_much(m);
	MX_TRY(mx_events_load(m->rs, m->c, nids, *n, &l));
	*out = ids = mx_arena_alloc(m->a, (*n + 1) * sizeof(*ids));
	for (size_t i = 0; i < *n; i++) {
		ids[i] = mx_event_id(l.v[i]);
		met_add(m, l.v[i]);
	}
	free(l.v);
	return NULL;
}

/* ---- the whole ---- */

/* The room's create event, by the first of the states that has one. */
static mx_error *
find_create(struct merge *m, const struct mx_event **out)
{
	struct mx_tree_key key = mx_tree_key(MX_S("m.room.create"), MX_S(""));
	struct mx_event *ev;
	mx_nid nid = 0;

	for (size_t i = 0; nid == 0 && i < m->roots_n; i++)
		MX_TRY(mx_tree_get(&m->tree, m->roots[i], key, &nid));
	if (nid == 0)
		return mx_error_new(MX_E_UNKNOWN, "the states have no m.room.create");
	MX_TRY(mx_event_by_nid(m->rs, m->c, nid, &ev));
	*out = ev;
	met_add(m, ev);
	return NULL;
}

static int
by_entry(const void *a, const void *b)
{
	return memcmp(((const struct mx_tree_entry *)a)->key.h,
		      ((const struct mx_tree_entry *)b)->key.h, MX_TREE_KEY);
}

/* What the answer changes in the first of the states. */
static void
list_changes(struct merge *m, const struct mx_resolved *v, size_t n, struct mx_tree_entry **out)
{
	*out = mx_arena_alloc(m->a, (n + 1) * sizeof(**out));
	for (size_t i = 0; i < n; i++) {
		const struct mx_event *ev = v[i].id.p != NULL ? met_find(m, v[i].id) : NULL;

		(*out)[i].key = mx_tree_key(v[i].type, v[i].key);
		(*out)[i].nid = ev != NULL ? mx_event_state_nid(ev) : 0;
	}
	qsort(*out, n, sizeof(**out), by_entry);
}

static mx_error *
resolve(struct merge *m, struct mx_tree_entry **out, size_t *n)
{
	struct mx_resolve in = { .version = m->room->version,
				 .states = m->roots_n,
				 .event = event,
				 .agreed = agreed,
				 .arg = m,
				 .max_events = max_events(m) };
	struct mx_resolve_conflict *conflicts;
	struct mx_resolved *resolved;

	MX_TRY(find_conflicts(m));
	MX_TRY(name_conflicts(m));
	MX_TRY(find_create(m, &in.create));
	conflicts = mx_arena_alloc(m->a, (m->n + 1) * sizeof(*conflicts));
	for (size_t i = 0; i < m->n; i++)
		conflicts[i] = (struct mx_resolve_conflict){ mx_event_type(m->v[i].any),
							     mx_event_state_key(m->v[i].any),
							     m->v[i].ids };
	in.conflicts = conflicts;
	in.conflicts_n = m->n;
	if (in.version->resolution != MX_RESOLUTION_1)
		MX_TRY(find_others(m, &in.others, &in.others_n));
	MX_TRY(mx_resolve_state(&in, m->a, &resolved, n));
	list_changes(m, resolved, *n, out);
	return NULL;
}

static mx_error *
merge(struct merge *m, struct mx_fresh_nodes *fresh, struct mx_state_root *out)
{
	struct mx_merge_memory *memory = m->rs->merges;
	struct mx_tree_entry *changes;
	size_t n;

	if (!mx_merge_recall(memory, m->roots, m->roots_n, m->a, &changes, &n)) {
		MX_TRY(resolve(m, &changes, &n));
		mx_merge_remember(memory, m->roots, m->roots_n, changes, n);
	}
	/* Each conflicting key is among the changes, so that it is the same whichever they are made
	 * in. In this one they are, because the nodes that the answer shares with it can be made
	 * again for as long as the answer itself is not stored. */
	return mx_tree_set_all(&m->tree, m->near, changes, n, fresh, out);
}

static int
by_root(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct mx_state_root));
}

static bool
all_alike(const struct mx_state_root *roots, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (!mx_root_eq(roots[i], roots[0]))
			return false;
	return true;
}

/* Distinct roots, at most as many as can be resolved at once. near: one of them. */
static mx_error *
merge_some(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_state_root near,
	   struct mx_state_root *roots, size_t n, struct mx_fresh_nodes *fresh,
	   struct mx_state_root *out)
{
	struct merge m = { .rs = rs, .c = c, .room = r, .tree = mx_rooms_tree(rs, c),
			   .near = near, .roots = roots, .roots_n = n };
	mx_error *e;

	qsort(roots, n, sizeof(*roots), by_root);
	m.a = mx_arena_new();
	e = merge(&m, fresh, out);
	done(&m);
	return e;
}

/* More than that only somebody makes who means harm: they are resolved in turn, which is as good an
 * answer as any that others will find. roots[0] is left to the last. */
static mx_error *
merge_many(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_state_root *roots,
	   size_t n, struct mx_fresh_nodes *fresh, struct mx_state_root *out)
{
	while (n > MX_RESOLVE_STATES) {
		size_t some = MX_RESOLVE_STATES - 1, from = n - some;
		struct mx_state_root one;

		MX_TRY(merge_some(rs, c, r, roots[from], roots + from, some, fresh, &one));
		n = from;
		for (size_t i = 0; i < from && !mx_root_eq(roots[i], one); i++)
			if (i + 1 == from)
				roots[n++] = one;
	}
	*out = roots[0];
	return n > 1 ? merge_some(rs, c, r, roots[0], roots, n, fresh, out) : NULL;
}

mx_error *
mx_merge_roots(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
	       const struct mx_state_root *roots, size_t n, struct mx_fresh_nodes *fresh,
	       struct mx_state_root *out)
{
	static const struct mx_state_root none;
	struct mx_state_root near = n > 0 ? roots[0] : none, *distinct;
	size_t kept = 0;

	fresh->cache = rs->nodes;
	*out = near;
	if (all_alike(roots, n))
		return NULL;
	distinct = mx_alloc(n * sizeof(*distinct));
	memcpy(distinct, roots, n * sizeof(*distinct));
	qsort(distinct, n, sizeof(*distinct), by_root);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !mx_root_eq(distinct[i], distinct[i - 1]))
			distinct[kept++] = distinct[i];
	for (size_t i = 0; i < kept; i++)
		if (mx_root_eq(distinct[i], near)) {
			distinct[i] = distinct[0];
			distinct[0] = near;
		}
	mx_error *e = merge_many(rs, c, r, distinct, kept, fresh, out);

	free(distinct);
	return e;
}
