/* The full conflicted set: what conflicts, what only some of the states rest on, and (2.1) what
 * lies between. */
#include "config.h"

#include "core/room/resolve_private.h"

/* ---- which states' auth chains an event is in ---- */

static mx_error *
start_chain(struct mx_res *r, struct mx_res_node *node, uint64_t bit, struct mx_res_list *stack)
{
	MX_TRY(mx_res_expand(r, node));
	for (uint32_t i = 0; i < node->auth_n; i++) {
		if ((node->auth[i]->chains & bit) != 0)
			continue;
		node->auth[i]->chains |= bit;
		mx_res_add(r, stack, node->auth[i]);
	}
	return NULL;
}

/* The auth chains of what state s has at the conflicting keys. */
static mx_error *
mark_state(struct mx_res *r, size_t s, struct mx_res_list *stack)
{
	uint64_t bit = UINT64_C(1) << s;
	struct mx_res_node *node;

	for (size_t i = 0; i < r->in->conflicts_n; i++) {
		if (r->in->conflicts[i].ids[s].p == NULL)
			continue;
		MX_TRY(mx_res_node(r, r->in->conflicts[i].ids[s], &node));
		MX_TRY(start_chain(r, node, bit, stack));
	}
	while (stack->n != 0)
		MX_TRY(start_chain(r, stack->v[--stack->n], bit, stack));
	return NULL;
}

/* ---- the chains of what all states agree on: they are in every state's ---- */

struct agreed_walk {
	struct mx_res *r;
	struct mx_res_list *stack;
	size_t open;		/* events that some states rest on and others don't, as far as is known */
	uint64_t all;
};

static void
mark_agreed(struct agreed_walk *w, struct mx_res_node *node)
{
	if (node->agreed)
		return;
	node->agreed = true;
	if (node->chains != 0 && node->chains != w->all)
		w->open--;
	mx_res_add(w->r, w->stack, node);
}

static mx_error *
visit_agreed(void *arg, mx_str id)
{
	struct agreed_walk *w = arg;
	struct mx_res_node *node;

	if (w->open == 0)
		return NULL;
	MX_TRY(mx_res_node(w->r, id, &node));
	MX_TRY(mx_res_expand(w->r, node));
	for (uint32_t i = 0; i < node->auth_n; i++)
		mark_agreed(w, node->auth[i]);
	while (w->stack->n != 0 && w->open != 0) {
		node = w->stack->v[--w->stack->n];
		MX_TRY(mx_res_expand(w->r, node));
		for (uint32_t i = 0; i < node->auth_n; i++)
			mark_agreed(w, node->auth[i]);
	}
	return NULL;
}

static void
add_full(struct mx_res *r, struct mx_res_node *node)
{
	if (node->full || node->ev == NULL)
		return;
	node->full = true;
	mx_res_add(r, &r->full, node);
}

static mx_error *
add_difference(struct mx_res *r)
{
	uint64_t all = r->in->states == 64 ? UINT64_MAX : (UINT64_C(1) << r->in->states) - 1;
	struct mx_res_list stack = { 0 }, open = { 0 };
	struct agreed_walk w = { .r = r, .stack = &stack, .all = all };

	for (size_t s = 0; s < r->in->states; s++)
		MX_TRY(mark_state(r, s, &stack));
	for (size_t b = 0; b < r->buckets_n; b++)
		for (struct mx_res_node *node = r->buckets[b]; node != NULL; node = node->next)
			if (node->chains != 0 && node->chains != all)
				mx_res_add(r, &open, node);
	w.open = open.n;
	if (w.open != 0)
		MX_TRY(r->in->each_agreed(r->in->arg, visit_agreed, &w));
	for (size_t i = 0; i < open.n; i++)
		if (!open.v[i]->agreed)
			add_full(r, open.v[i]);
	return NULL;
}

/* ---- 2.1: the conflicted subgraph ---- */

/* A walk in depth that knows, when it leaves a node, whether a conflicted event was found behind
 * it. */
struct frame {
	struct mx_res_node *node;
	uint32_t next;
};

static mx_error *
add_subgraph(struct mx_res *r)
{
	size_t n = 0, room = 64;
	struct frame *stack = mx_arena_alloc(r->a, room * sizeof(*stack));

	for (size_t i = 0; i < r->conflicted.n; i++) {
		if (r->conflicted.v[i]->seen)
			continue;
		r->conflicted.v[i]->seen = true;
		stack[n++] = (struct frame){ r->conflicted.v[i], 0 };
		while (n != 0) {
			struct frame *top = &stack[n - 1];
			struct mx_res_node *node = top->node, *next;

			MX_TRY(mx_res_expand(r, node));
			if (top->next > 0 && node->auth[top->next - 1]->reaches)
				node->reaches = true;
			if (top->next == node->auth_n) {
				node->reaches = node->reaches || node->conflicted;
				if (node->reaches)
					add_full(r, node);
				n--;
				continue;
			}
			next = node->auth[top->next++];
			if (next->seen)
				continue;
			next->seen = true;
			if (n == room) {
				struct frame *more = mx_arena_alloc(r->a, 2 * room * sizeof(*more));

				memcpy(more, stack, n * sizeof(*more));
				stack = more;
				room *= 2;
			}
			stack[n++] = (struct frame){ next, 0 };
		}
	}
	return NULL;
}

mx_error *
mx_res_full_set(struct mx_res *r)
{
	for (size_t i = 0; i < r->conflicted.n; i++)
		add_full(r, r->conflicted.v[i]);
	MX_TRY(add_difference(r));
	if (r->in->version->resolution == MX_RESOLUTION_2_1)
		MX_TRY(add_subgraph(r));
	return NULL;
}
