/* The iterative auth checks: event by event into a growing state, as far as the rules allow. */
#include "config.h"

#include "core/room/resolve_private.h"

/* ---- the state so far ---- */

static uint64_t
hash_key(mx_str type, mx_str key)
{
	return mx_hash(type.p, type.n) * 31 + mx_hash(key.p, key.n);
}

static struct mx_res_entry **
bucket(struct mx_res *r, mx_str type, mx_str key)
{
	return &r->state[(size_t)hash_key(type, key) & (r->state_size - 1)];
}

static void
grow_state(struct mx_res *r)
{
	struct mx_res_entry **old = r->state;
	size_t old_size = r->state_size;

	r->state_size = old_size != 0 ? 4 * old_size : 256;
	r->state = mx_arena_alloc(r->a, r->state_size * sizeof(r->state[0]));
	for (size_t i = 0; i < old_size; i++) {
		while (old[i] != NULL) {
			struct mx_res_entry *e = old[i], **at = bucket(r, e->type, e->key);

			old[i] = e->next;
			e->next = *at;
			*at = e;
		}
	}
}

struct mx_res_entry *
mx_res_find(struct mx_res *r, mx_str type, mx_str key)
{
	struct mx_res_entry *e = r->state_size != 0 ? *bucket(r, type, key) : NULL;

	while (e != NULL && !(mx_str_eq(e->type, type) && mx_str_eq(e->key, key)))
		e = e->next;
	return e;
}

static void
put(struct mx_res *r, struct mx_res_node *node)
{
	mx_str type = mx_event_type(node->ev), key = mx_event_state_key(node->ev);
	struct mx_res_entry *e = mx_res_find(r, type, key), **at;

	if (e == NULL) {
		if (r->state_n >= r->state_size)
			grow_state(r);
		e = mx_arena_alloc(r->a, sizeof(*e));
		e->type = type;
		e->key = key;
		at = bucket(r, type, key);
		e->next = *at;
		*at = e;
		r->state_n++;
	}
	e->node = node;
}

mx_error *
mx_res_agreed(struct mx_res *r, mx_str type, mx_str key, struct mx_res_node **out)
{
	mx_str id = { NULL, 0 };

	*out = NULL;
	MX_TRY(r->in->agreed(r->in->arg, type, key, &id));
	if (id.p == NULL)
		return NULL;
	MX_TRY(mx_res_node(r, id, out));
	if ((*out)->ev == NULL)
		*out = NULL;
	return NULL;
}

mx_error *
mx_res_get(struct mx_res *r, mx_str type, mx_str key, struct mx_res_node **out)
{
	struct mx_res_entry *e = mx_res_find(r, type, key);

	*out = e != NULL ? e->node : NULL;
	if (e != NULL || r->in->version->resolution == MX_RESOLUTION_2_1)
		return NULL;	/* 2.1 starts from nothing */
	return mx_res_agreed(r, type, key, out);
}

/* ---- one event ---- */

/* The state that one event is judged in: what it may ask for, looked up beforehand. */
struct judged_by {
	size_t n;
	struct {
		mx_str type, key;
		const struct mx_event *ev;
	} v[8];
	const struct mx_event *create;
};

static const struct mx_event *
get(void *arg, mx_str type, mx_str key)
{
	const struct judged_by *j = arg;

	for (size_t i = 0; i < j->n; i++)
		if (mx_str_eq(j->v[i].type, type) && mx_str_eq(j->v[i].key, key))
			return j->v[i].ev;
	return key.n == 0 && mx_str_eq(type, MX_S("m.room.create")) ? j->create : NULL;
}

/* An auth event at a key that the state lacks: it is not judged again, so a rejected one does not
 * count. */
static struct mx_res_node *
own_auth(const struct mx_res_node *node, mx_str type, mx_str key)
{
	for (uint32_t i = 0; i < node->auth_n; i++) {
		const struct mx_event *ev = node->auth[i]->ev;

		if (ev != NULL && !ev->rejected && mx_str_eq(mx_event_type(ev), type) &&
		    mx_str_eq(mx_event_state_key(ev), key))
			return node->auth[i];
	}
	return NULL;
}

mx_error *
mx_res_judge(struct mx_res *r, struct mx_res_node *node, mx_res_find_fn *find, void *arg,
	     bool *allowed)
{
	struct judged_by j = { .create = r->in->create };
	struct mx_rules_state state = { .get = get, .arg = &j };
	struct mx_auth_types types;
	struct mx_res_node *found, *levels = NULL;

	mx_rules_auth_types_of(node->ev, &types);
	for (size_t i = 0; i < types.n; i++) {
		MX_TRY(find(arg, types.v[i].type, types.v[i].key, &found));
		j.v[j.n].type = types.v[i].type;
		j.v[j.n].key = types.v[i].key;
		j.v[j.n++].ev = found != NULL ? found->ev : NULL;
		if (found != NULL && mx_str_eq(types.v[i].type, MX_S("m.room.power_levels")))
			levels = found;
	}
	state.power = mx_res_levels(r, levels);
	*allowed = !mx_error_drop(mx_rules_check(node->ev, &state));
	return NULL;
}

struct one {
	struct mx_res *r;
	const struct mx_res_node *node;
};

static mx_error *
find_for(void *arg, mx_str type, mx_str key, struct mx_res_node **out)
{
	const struct one *one = arg;

	MX_TRY(mx_res_get(one->r, type, key, out));
	if (*out == NULL)
		*out = own_auth(one->node, type, key);
	return NULL;
}

static mx_error *
check_one(struct mx_res *r, struct mx_res_node *node)
{
	struct one one = { r, node };
	bool allowed;

	MX_TRY(mx_res_expand(r, node));
	MX_TRY(mx_res_judge(r, node, find_for, &one, &allowed));
	if (allowed)
		put(r, node);
	return NULL;
}

mx_error *
mx_res_check(struct mx_res *r, const struct mx_res_list *events)
{
	for (size_t i = 0; i < events->n; i++)
		MX_TRY(check_one(r, events->v[i]));
	return NULL;
}
