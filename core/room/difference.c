#include "config.h"

#include "core/room/difference.h"

#include <stdlib.h>

#define FIRST_BUCKETS 256
#define ROWS 16			/* read at once */

enum answer { UNKNOWN = 0, YES, NO };

struct node {
	mx_nid nid;
	int64_t height;
	struct node **auth;
	struct node *next;		/* in its hash bucket */
	struct node *under;		/* on the way up: from which we came */
	uint64_t chains;		/* the states whose conflicting entries rest on it */
	struct {			/* on the way up: what of those above it has been seen */
		mx_nid nid;
		bool leaf, begun;
	} seen;
	uint32_t auth_n, climb;
	uint8_t rested_on;		/* enum answer: whether an agreed entry rests on it */
	uint8_t agreed;			/* enum answer: whether it is one */
	bool loaded, waiting, conflicted, leaf, queued, met;
	bool between;			/* it rests on a conflicting entry */
};

struct list {
	struct node **v;
	size_t n, room;
};

struct walk {
	const struct mx_auth_graph *g;
	struct mx_arena *a;
	struct node **buckets;
	size_t buckets_n, nodes_n;
	struct list all, unloaded, queue;	/* the queue is a heap by height */
	size_t partial;		/* of the queue: reached from some states, not all */
	uint64_t every;
	uint32_t climbs;
	struct mx_above page;
};

/* ---- nodes ---- */

static void
add(struct walk *w, struct list *l, struct node *n)
{
	if (l->n == l->room) {
		size_t room = l->room != 0 ? 2 * l->room : 64;
		struct node **v = mx_arena_alloc(w->a, room * sizeof(struct node *));

		if (l->n != 0)
			memcpy(v, l->v, l->n * sizeof(struct node *));
		l->v = v;
		l->room = room;
	}
	l->v[l->n++] = n;
}

static size_t
bucket(const struct walk *w, mx_nid nid)
{
	return (size_t)((uint64_t)nid * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (w->buckets_n - 1);
}

static void
grow(struct walk *w)
{
	struct node **old = w->buckets;
	size_t old_n = w->buckets_n;

	w->buckets_n = old_n != 0 ? 4 * old_n : FIRST_BUCKETS;
	w->buckets = mx_arena_alloc(w->a, w->buckets_n * sizeof(struct node *));
	for (size_t i = 0; i < old_n; i++)
		for (struct node *n = old[i], *next; n != NULL; n = next) {
			size_t b = bucket(w, n->nid);

			next = n->next;
			n->next = w->buckets[b];
			w->buckets[b] = n;
		}
}

static struct node *
find(const struct walk *w, mx_nid nid)
{
	struct node *n = w->buckets_n != 0 ? w->buckets[bucket(w, nid)] : NULL;

	while (n != NULL && n->nid != nid)
		n = n->next;
	return n;
}

static mx_error *
node_of(struct walk *w, mx_nid nid, struct node **out)
{
	size_t b;

	*out = find(w, nid);
	if (*out != NULL)
		return NULL;
	if (w->nodes_n == w->g->max)
		return mx_error_new(MX_E_LIMIT_EXCEEDED,
				    "resolving the state takes more than %zu events", w->g->max);
	if (w->nodes_n >= w->buckets_n)
		grow(w);
	b = bucket(w, nid);
	*out = mx_arena_alloc(w->a, sizeof(**out));
	(*out)->nid = nid;
	(*out)->next = w->buckets[b];
	w->buckets[b] = *out;
	w->nodes_n++;
	add(w, &w->all, *out);
	return NULL;
}

static void
want(struct walk *w, struct node *n)
{
	if (!n->loaded && !n->waiting) {
		n->waiting = true;
		add(w, &w->unloaded, n);
	}
}

static mx_error *
take_row(struct walk *w, struct node *n, const struct mx_auth_row *row)
{
	n->loaded = true;
	n->height = row->height;
	n->auth = mx_arena_alloc(w->a, (row->n + 1) * sizeof(struct node *));
	for (size_t i = 0; i < row->n; i++)
		MX_TRY(node_of(w, row->auth[i], &n->auth[i]));
	n->auth_n = (uint32_t)row->n;
	return NULL;
}

/* Reads the rows of all that are wanted. */
static mx_error *
load(struct walk *w)
{
	struct mx_auth_row rows[ROWS];

	for (size_t at = 0, n; at < w->unloaded.n; at += n) {
		n = w->unloaded.n - at < ROWS ? w->unloaded.n - at : ROWS;
		for (size_t i = 0; i < n; i++)
			rows[i] = (struct mx_auth_row){ .nid = w->unloaded.v[at + i]->nid };
		MX_TRY(w->g->rows(w->g->arg, rows, n));
		for (size_t i = 0; i < n; i++)
			MX_TRY(take_row(w, w->unloaded.v[at + i], &rows[i]));
	}
	w->unloaded.n = 0;
	return NULL;
}

/* ---- up: whether an agreed entry rests on an event ---- */

static mx_error *
ask_agreed(struct walk *w, struct node *n)
{
	bool yes = false;

	if (n->agreed != UNKNOWN)
		return NULL;
	if (!n->conflicted)
		MX_TRY(w->g->agreed(w->g->arg, n->nid, false, &yes));
	n->agreed = yes ? YES : NO;
	return NULL;
}

/* Looks at the next page of those above n: *found when one of them is agreed, or is known to be
 * rested on. Those of which it is not known are added to the climb. */
static mx_error *
look_above(struct walk *w, struct node *n, struct list *climb, bool *found, bool *last)
{
	struct mx_above *p = &w->page;
	struct node *up;

	p->n = 0;
	p->begun = n->seen.begun;
	p->last.nid = n->seen.nid;
	p->last.leaf = n->seen.leaf;
	MX_TRY(w->g->above(w->g->arg, n->nid, p));
	*last = p->n < MX_ABOVE;
	for (size_t i = 0; i < p->n && !*found; i++) {
		if (p->v[i].leaf) {
			up = find(w, p->v[i].nid);
			if (up == NULL || !up->conflicted)
				MX_TRY(w->g->agreed(w->g->arg, p->v[i].nid, true, found));
			continue;
		}
		MX_TRY(node_of(w, p->v[i].nid, &up));
		MX_TRY(ask_agreed(w, up));
		*found = up->agreed == YES || up->rested_on == YES;
		if (*found || up->rested_on == NO || up->climb == w->climbs)
			continue;
		up->climb = w->climbs;
		up->under = n;
		up->seen.begun = false;
		add(w, climb, up);
	}
	if (p->n > 0) {
		n->seen.nid = p->v[p->n - 1].nid;
		n->seen.leaf = p->v[p->n - 1].leaf;
		n->seen.begun = true;
	}
	return NULL;
}

/* Breadth first and page by page: an event may have very many above it that lead nowhere. */
static mx_error *
climb(struct walk *w, struct node *from)
{
	struct list l = { 0 };
	bool found = false, last;

	if (from->rested_on != UNKNOWN)
		return NULL;
	from->climb = ++w->climbs;
	from->under = NULL;
	from->seen.begun = false;
	add(w, &l, from);
	for (size_t i = 0; i < l.n; i++) {
		MX_TRY(look_above(w, l.v[i], &l, &found, &last));
		if (found) {
			for (struct node *n = l.v[i]; n != NULL; n = n->under)
				n->rested_on = YES;
			return NULL;
		}
		if (!last)
			add(w, &l, l.v[i]);
	}
	for (size_t i = 0; i < l.n; i++)
		l.v[i]->rested_on = NO;
	return NULL;
}

/* ---- down: from the conflicting entries ---- */

static void
push(struct walk *w, struct node *n)
{
	struct list *q = &w->queue;
	size_t i = q->n;

	add(w, q, n);
	for (; i != 0 && n->height > q->v[(i - 1) / 2]->height; i = (i - 1) / 2)
		q->v[i] = q->v[(i - 1) / 2];
	q->v[i] = n;
}

static struct node *
pop(struct walk *w)
{
	struct list *q = &w->queue;
	struct node *top = q->v[0], *last = q->v[--q->n];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= q->n)
			break;
		if (child + 1 < q->n && q->v[child + 1]->height > q->v[child]->height)
			child++;
		if (last->height >= q->v[child]->height)
			break;
		q->v[i] = q->v[child];
		i = child;
	}
	if (q->n != 0)
		q->v[i] = last;
	return top;
}

/* n rests on what it names: so do these states. */
static mx_error *
reach(struct walk *w, struct node *n, uint64_t states)
{
	for (uint32_t i = 0; i < n->auth_n; i++)
		want(w, n->auth[i]);
	MX_TRY(load(w));
	for (uint32_t i = 0; i < n->auth_n; i++) {
		struct node *auth = n->auth[i];
		uint64_t more = auth->chains | states;

		if (more == auth->chains)
			continue;
		if (auth->queued && more == w->every)
			w->partial--;
		if (!auth->queued && more != w->every)
			w->partial++;
		auth->chains = more;
		if (!auth->queued)
			push(w, auth);
		auth->queued = true;
	}
	return NULL;
}

static mx_error *
visit(struct walk *w, struct node *n)
{
	if (n->chains == w->every)
		return reach(w, n, w->every);
	w->partial--;
	/* A conflicting entry is looked at anyway; what it rests on is asked by itself. */
	if (n->conflicted)
		return reach(w, n, n->chains);
	MX_TRY(climb(w, n));
	if (n->rested_on == NO)
		MX_TRY(ask_agreed(w, n));
	return reach(w, n, n->rested_on == YES || n->agreed == YES ? w->every : n->chains);
}

static mx_error *
walk_down(struct walk *w, const struct mx_conflicted *v, size_t n)
{
	struct node *node;

	for (size_t i = 0; i < n; i++) {
		MX_TRY(node_of(w, v[i].nid, &node));
		node->conflicted = true;
		node->leaf = v[i].leaf;
		want(w, node);
	}
	MX_TRY(load(w));
	for (size_t i = 0; i < n; i++) {
		node = find(w, v[i].nid);
		for (uint32_t k = 0; k < node->auth_n; k++)
			want(w, node->auth[k]);
	}
	MX_TRY(load(w));
	for (size_t i = 0; i < n; i++)
		MX_TRY(reach(w, find(w, v[i].nid), v[i].states));
	while (w->partial != 0) {
		node = pop(w);
		node->queued = false;
		MX_TRY(visit(w, node));
	}
	return NULL;
}

/* ---- between conflicting entries ---- */

static int
by_height(const void *a, const void *b)
{
	const struct node *x = *(struct node *const *)a, *y = *(struct node *const *)b;

	return (x->height > y->height) - (x->height < y->height);
}

/* Everything that the conflicting entries rest on, down to the lowest of them. */
static mx_error *
meet(struct walk *w, const struct mx_conflicted *v, size_t n, struct list *met)
{
	int64_t lowest = INT64_MAX;

	for (size_t i = 0; i < n; i++) {
		struct node *node = find(w, v[i].nid);

		if (!v[i].leaf && node->height < lowest)
			lowest = node->height;
		node->met = true;
		add(w, met, node);
	}
	for (size_t from = 0; from < met->n;) {
		size_t end = met->n;

		for (size_t i = from; i < end; i++)
			for (uint32_t k = 0; k < met->v[i]->auth_n; k++)
				want(w, met->v[i]->auth[k]);
		MX_TRY(load(w));
		for (; from < end; from++)
			for (uint32_t k = 0; k < met->v[from]->auth_n; k++) {
				struct node *auth = met->v[from]->auth[k];

				if (auth->met || auth->height < lowest)
					continue;
				auth->met = true;
				add(w, met, auth);
			}
	}
	return NULL;
}

static mx_error *
find_between(struct walk *w, const struct mx_conflicted *v, size_t n)
{
	struct list met = { 0 };

	MX_TRY(meet(w, v, n, &met));
	if (met.n != 0)
		qsort(met.v, met.n, sizeof(struct node *), by_height);
	for (size_t i = 0; i < met.n; i++)
		for (uint32_t k = 0; k < met.v[i]->auth_n; k++)
			met.v[i]->between |= met.v[i]->auth[k]->conflicted ||
					     met.v[i]->auth[k]->between;
	return NULL;
}

/* ---- the whole ---- */

mx_error *
mx_auth_difference(const struct mx_auth_graph *g, const struct mx_conflicted *v, size_t n,
		   size_t states, bool subgraph, struct mx_arena *a, mx_nid **out, size_t *out_n)
{
	struct walk w = { .g = g,
			  .a = a,
			  .every = states >= 64 ? UINT64_MAX : (UINT64_C(1) << states) - 1 };

	MX_TRY(walk_down(&w, v, n));
	if (subgraph)
		MX_TRY(find_between(&w, v, n));
	*out = mx_arena_alloc(a, (w.all.n + 1) * sizeof(**out));
	*out_n = 0;
	for (size_t i = 0; i < w.all.n; i++) {
		const struct node *one = w.all.v[i];
		bool some = one->chains != 0 && one->chains != w.every;

		if (!one->conflicted && ((some && one->rested_on == NO) || one->between))
			(*out)[(*out_n)++] = one->nid;
	}
	return NULL;
}
