/* The two orders of state resolution. Ties always end at the event id, so that every server has the
 * same. */
#include "config.h"

#include <stdlib.h>

#include "core/room/resolve_private.h"

/* ---- the power events and what they rest on ---- */

static bool
is_power_event(const struct mx_event *ev)
{
	mx_str type = mx_event_type(ev);

	if (mx_str_eq(type, MX_S("m.room.member")))
		return (ev->membership == MX_MEMBER_LEAVE || ev->membership == MX_MEMBER_BAN) &&
		       !mx_str_eq(mx_event_sender(ev), mx_event_state_key(ev));
	return ev->state_key.n == 0 && (mx_str_eq(type, MX_S("m.room.power_levels")) ||
					mx_str_eq(type, MX_S("m.room.join_rules")));
}

static mx_error *
find_level(struct mx_res *r, struct mx_res_node *node)
{
	MX_TRY(mx_res_expand(r, node));
	node->level = mx_power_of_user(
		mx_res_levels(r, mx_res_auth_of(node, MX_S("m.room.power_levels"))),
		mx_event_sender(node->ev));
	return NULL;
}

/* A power event brings along its auth chain within the full set. Chains are followed within the set
 * only, as other servers do: where that differs from following them outside as well, agreeing with
 * them is what counts. */
static mx_error *
collect_power_set(struct mx_res *r, struct mx_res_list *out)
{
	struct mx_res_list stack = { 0 };

	for (size_t i = 0; i < r->full.n; i++) {
		if (r->full.v[i]->power_set || !is_power_event(r->full.v[i]->ev))
			continue;
		r->full.v[i]->power_set = true;
		mx_res_add(r, &stack, r->full.v[i]);
		while (stack.n != 0) {
			struct mx_res_node *node = stack.v[--stack.n];

			mx_res_add(r, out, node);
			MX_TRY(find_level(r, node));
			for (uint32_t k = 0; k < node->auth_n; k++) {
				if (!node->auth[k]->full || node->auth[k]->power_set)
					continue;
				node->auth[k]->power_set = true;
				mx_res_add(r, &stack, node->auth[k]);
			}
		}
	}
	return NULL;
}

static int
by_ts_and_id(const struct mx_res_node *x, const struct mx_res_node *y)
{
	if (x->ev->ts != y->ev->ts)
		return x->ev->ts < y->ev->ts ? -1 : 1;
	return mx_str_cmp(x->id, y->id);
}

static int
by_power(const struct mx_res_node *x, const struct mx_res_node *y)
{
	if (x->level != y->level)
		return x->level > y->level ? -1 : 1;
	return by_ts_and_id(x, y);
}

/* ---- a heap of the events that are ready ---- */

static void
heap_push(struct mx_res_node **heap, size_t *n, struct mx_res_node *node)
{
	size_t i = (*n)++;

	for (; i != 0 && by_power(node, heap[(i - 1) / 2]) < 0; i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = node;
}

static struct mx_res_node *
heap_pop(struct mx_res_node **heap, size_t *n)
{
	struct mx_res_node *top = heap[0], *last = heap[--*n];
	size_t i = 0;

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= *n)
			break;
		if (child + 1 < *n && by_power(heap[child + 1], heap[child]) < 0)
			child++;
		if (by_power(last, heap[child]) <= 0)
			break;
		heap[i] = heap[child];
		i = child;
	}
	if (*n != 0)
		heap[i] = last;
	return top;
}

/* ---- Kahn's algorithm ---- */

/* The events of the set that name node in their auth_events, for every node, in one array. */
static struct mx_res_node **
index_children(struct mx_res *r, const struct mx_res_list *set)
{
	struct mx_res_node **children;
	uint32_t total = 0;

	for (size_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < set->v[i]->auth_n; k++) {
			if (!set->v[i]->auth[k]->power_set)
				continue;
			set->v[i]->auth[k]->children_n++;
			set->v[i]->waiting++;
		}
	for (size_t i = 0; i < set->n; i++) {
		set->v[i]->children_at = total;
		total += set->v[i]->children_n;
		set->v[i]->children_n = 0;
	}
	children = mx_arena_alloc(r->a, (total + (size_t)1) * sizeof(children[0]));
	for (size_t i = 0; i < set->n; i++)
		for (uint32_t k = 0; k < set->v[i]->auth_n; k++) {
			struct mx_res_node *auth = set->v[i]->auth[k];

			if (auth->power_set)
				children[auth->children_at + auth->children_n++] = set->v[i];
		}
	return children;
}

mx_error *
mx_res_power_order(struct mx_res *r, struct mx_res_list *out)
{
	struct mx_res_list set = { 0 };
	struct mx_res_node **children, **heap;
	size_t ready = 0;

	MX_TRY(collect_power_set(r, &set));
	children = index_children(r, &set);
	heap = mx_arena_alloc(r->a, (set.n + 1) * sizeof(heap[0]));
	for (size_t i = 0; i < set.n; i++)
		if (set.v[i]->waiting == 0)
			heap_push(heap, &ready, set.v[i]);
	while (ready != 0) {
		struct mx_res_node *node = heap_pop(heap, &ready);

		mx_res_add(r, out, node);
		for (uint32_t k = 0; k < node->children_n; k++)
			if (--children[node->children_at + k]->waiting == 0)
				heap_push(heap, &ready, children[node->children_at + k]);
	}
	return NULL;
}

/* ---- mainline order ---- */

/* Numbers the mainline: the newest event has the greatest place, the oldest 1. */
static mx_error *
number_mainline(struct mx_res *r, struct mx_res_node *levels)
{
	struct mx_res_list line = { 0 };

	for (struct mx_res_node *node = levels; node != NULL && !node->in_mainline;) {
		node->in_mainline = true;
		mx_res_add(r, &line, node);
		MX_TRY(mx_res_expand(r, node));
		node = mx_res_auth_of(node, MX_S("m.room.power_levels"));
	}
	for (size_t i = 0; i < line.n; i++)
		line.v[i]->mainline = (int64_t)(line.n - i);
	return NULL;
}

/* The place of the nearest power levels event in the mainline that the event rests on; 0: none,
 * which is before all. */
static mx_error *
find_place(struct mx_res *r, struct mx_res_node *node, int64_t *place)
{
	struct mx_res_list path = { 0 };
	int64_t found = 0;

	MX_TRY(mx_res_expand(r, node));
	for (node = mx_res_auth_of(node, MX_S("m.room.power_levels")); node != NULL;
	     node = mx_res_auth_of(node, MX_S("m.room.power_levels"))) {
		if (node->in_mainline || node->placed) {
			found = node->mainline;
			break;
		}
		node->placed = true;	/* and should the chain be a circle, its place is 0 */
		mx_res_add(r, &path, node);
		MX_TRY(mx_res_expand(r, node));
	}
	for (size_t i = 0; i < path.n; i++)
		path.v[i]->mainline = found;
	*place = found;
	return NULL;
}

static int
by_mainline(const void *a, const void *b)
{
	const struct mx_res_node *x = *(struct mx_res_node *const *)a,
				 *y = *(struct mx_res_node *const *)b;

	if (x->place != y->place)
		return x->place < y->place ? -1 : 1;
	return by_ts_and_id(x, y);
}

mx_error *
mx_res_mainline_order(struct mx_res *r, struct mx_res_node *levels, struct mx_res_list *out)
{
	MX_TRY(number_mainline(r, levels));
	for (size_t i = 0; i < r->full.n; i++) {
		if (r->full.v[i]->power_set)
			continue;
		MX_TRY(find_place(r, r->full.v[i], &r->full.v[i]->place));
		mx_res_add(r, out, r->full.v[i]);
	}
	if (out->n != 0)
		qsort(out->v, out->n, sizeof(out->v[0]), by_mainline);
	return NULL;
}
