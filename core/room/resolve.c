#include "config.h"

#include <stdlib.h>

#include "core/room/resolve_private.h"

#define MAX_EVENTS 500000
#define FIRST_BUCKETS 1024

/* ---- nodes ---- */

void
mx_res_add(struct mx_res *r, struct mx_res_list *l, struct mx_res_node *node)
{
	if (l->n == l->room) {
		size_t room = l->room != 0 ? 2 * l->room : 64;
		struct mx_res_node **v = mx_arena_alloc(r->a, room * sizeof(v[0]));

		if (l->n != 0)
			memcpy(v, l->v, l->n * sizeof(v[0]));
		l->v = v;
		l->room = room;
	}
	l->v[l->n++] = node;
}

static size_t
bucket_of(const struct mx_res *r, mx_str id)
{
	return (size_t)mx_hash(id.p, id.n) & (r->buckets_n - 1);
}

static void
grow_buckets(struct mx_res *r)
{
	struct mx_res_node **old = r->buckets;
	size_t old_n = r->buckets_n;

	r->buckets_n = old_n != 0 ? 4 * old_n : FIRST_BUCKETS;
	r->buckets = mx_arena_alloc(r->a, r->buckets_n * sizeof(r->buckets[0]));
	for (size_t i = 0; i < old_n; i++) {
		while (old[i] != NULL) {
			struct mx_res_node *node = old[i];
			size_t b = bucket_of(r, node->id);

			old[i] = node->next;
			node->next = r->buckets[b];
			r->buckets[b] = node;
		}
	}
}

mx_error *
mx_res_node(struct mx_res *r, mx_str id, struct mx_res_node **out)
{
	struct mx_res_node *node;
	size_t b;

	if (r->nodes_n >= r->buckets_n)
		grow_buckets(r);
	b = bucket_of(r, id);
	for (node = r->buckets[b]; node != NULL; node = node->next) {
		if (mx_str_eq(node->id, id)) {
			*out = node;
			return NULL;
		}
	}
	if (r->nodes_n >= r->max)
		return mx_error_new(MX_E_LIMIT_EXCEEDED,
				    "resolving the state takes more than %zu events", r->max);
	node = mx_arena_alloc(r->a, sizeof(*node));
	MX_TRY(r->in->event(r->in->arg, id, &node->ev));
	if (node->ev != NULL && !node->ev->state)
		node->ev = NULL;	/* no state: it has no business here, whoever named it */
	node->id = node->ev != NULL ? mx_event_id(node->ev) : mx_arena_str(r->a, id);
	node->next = r->buckets[b];
	r->buckets[b] = node;
	r->nodes_n++;
	*out = node;
	return NULL;
}

mx_error *
mx_res_expand(struct mx_res *r, struct mx_res_node *node)
{
	struct mx_event_ids it;
	mx_str id;

	if (node->expanded || node->ev == NULL) {
		node->expanded = true;
		return NULL;
	}
	it = mx_event_auth(node->ev);
	node->auth = mx_arena_alloc(r->a, MX_EVENT_MAX_AUTH * sizeof(node->auth[0]));
	while (node->auth_n < MX_EVENT_MAX_AUTH && mx_event_ids_next(&it, &id)) {
		MX_TRY(mx_res_node(r, id, &node->auth[node->auth_n]));
		node->auth_n++;
	}
	node->expanded = true;
	return NULL;
}

struct mx_res_node *
mx_res_auth_of(const struct mx_res_node *node, mx_str type)
{
	for (uint32_t i = 0; i < node->auth_n; i++) {
		const struct mx_event *ev = node->auth[i]->ev;

		if (ev != NULL && ev->state_key.n == 0 && mx_str_eq(mx_event_type(ev), type))
			return node->auth[i];
	}
	return NULL;
}

static void
forget_power(void *arg)
{
	struct mx_power *p = arg;

	mx_power_unref(&p);
}

const struct mx_power *
mx_res_levels(struct mx_res *r, struct mx_res_node *node)
{
	struct mx_power **at = node != NULL ? &node->power : &r->no_levels;

	if (*at == NULL) {
		*at = mx_power_parse(node != NULL ? node->ev : NULL, r->in->create);
		mx_arena_defer(r->a, forget_power, *at);
	}
	return *at;
}

/* ---- the whole ---- */

static int
by_key(const void *a, const void *b)
{
	const struct mx_resolved *x = a, *y = b;
	int c = mx_str_cmp(x->type, y->type);

	return c != 0 ? c : mx_str_cmp(x->key, y->key);
}

static bool
is_conflict(const struct mx_resolved *sorted, size_t n, mx_str type, mx_str key)
{
	struct mx_resolved probe = { .type = type, .key = key };

	return n != 0 && bsearch(&probe, sorted, n, sizeof(probe), by_key) != NULL;
}

static mx_error *
add_full(struct mx_res *r, mx_str id)
{
	struct mx_res_node *node;

	if (id.p == NULL)
		return NULL;
	MX_TRY(mx_res_node(r, id, &node));
	if (node->full || node->ev == NULL)
		return NULL;
	node->full = true;
	mx_res_add(r, &r->full, node);
	return NULL;
}

static mx_error *
find_full_set(struct mx_res *r)
{
	for (size_t i = 0; i < r->in->conflicts_n; i++)
		for (size_t s = 0; s < r->in->states; s++)
			MX_TRY(add_full(r, r->in->conflicts[i].ids[s]));
	for (size_t i = 0; i < r->in->others_n; i++)
		MX_TRY(add_full(r, r->in->others[i]));
	return NULL;
}

/* The conflicting keys with what they came to, and the keys that no state has an entry at but the
 * auth difference does. */
static mx_error *
collect(struct mx_res *r, struct mx_resolved **out, size_t *n)
{
	size_t conflicts = r->in->conflicts_n, count = conflicts;
	struct mx_resolved *v = mx_arena_alloc(r->a, (conflicts + r->state_n + 1) * sizeof(*v));

	for (size_t i = 0; i < conflicts; i++) {
		const struct mx_res_entry *e;

		v[i].type = mx_arena_str(r->a, r->in->conflicts[i].type);
		v[i].key = mx_arena_str(r->a, r->in->conflicts[i].key);
		e = mx_res_find(r, v[i].type, v[i].key);
		if (e != NULL)
			v[i].id = mx_arena_str(r->a, e->node->id);
	}
	qsort(v, conflicts, sizeof(*v), by_key);
	for (size_t b = 0; b < r->state_size; b++) {
		for (struct mx_res_entry *e = r->state[b]; e != NULL; e = e->next) {
			mx_str agreed = { NULL, 0 };

			if (is_conflict(v, conflicts, e->type, e->key))
				continue;
			MX_TRY(r->in->agreed(r->in->arg, e->type, e->key, &agreed));
			if (agreed.p == NULL)
				v[count++] =
					(struct mx_resolved){ mx_arena_str(r->a, e->type),
							      mx_arena_str(r->a, e->key),
							      mx_arena_str(r->a, e->node->id) };
		}
	}
	qsort(v, count, sizeof(*v), by_key);
	*out = v;
	*n = count;
	return NULL;
}

mx_error *
mx_resolve_state(const struct mx_resolve *in, struct mx_arena *a, struct mx_resolved **out,
		 size_t *n)
{
	struct mx_res r = { .in = in,
			    .a = a,
			    .max = in->max_events != 0 ? in->max_events : MAX_EVENTS };
	struct mx_res_list order = { 0 }, rest = { 0 };
	struct mx_res_node *levels;

	if (in->states > MX_RESOLVE_STATES)
		return mx_error_new(MX_E_LIMIT_EXCEEDED, "more than %d states to resolve",
				    MX_RESOLVE_STATES);
	if (in->version->resolution == MX_RESOLUTION_1)
		return mx_res_first(&r, out, n);
	MX_TRY(find_full_set(&r));
	MX_TRY(mx_res_power_order(&r, &order));
	MX_TRY(mx_res_check(&r, &order));
	MX_TRY(mx_res_get(&r, MX_S("m.room.power_levels"), (mx_str){ "", 0 }, &levels));
	MX_TRY(mx_res_mainline_order(&r, levels, &rest));
	MX_TRY(mx_res_check(&r, &rest));
	return collect(&r, out, n);
}
