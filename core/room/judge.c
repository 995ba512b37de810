#include "config.h"

#include "core/room/intake.h"

#include <stdlib.h>

/* The state that an event is judged by. */
struct judged {
	size_t n;
	struct {
		mx_str type, key;
		struct mx_event *event;	/* a reference */
	} v[MX_JUDGED_BY];
	struct mx_auth_types types;	/* type and key are borrowed from it */
};

static void
judged_clear(struct judged *j)
{
	for (size_t i = 0; i < j->n; i++)
		mx_event_unref(&j->v[i].event);
}

/* ---- one entry of the state ---- */

/* The newest event of the line at the key. */
static struct mx_event *
on_line(const struct mx_intake *in, size_t over, mx_str type, mx_str key)
{
	for (size_t i = over; i-- > 0;) {
		struct mx_event *ev = in->store[i].event;

		if (ev->state && mx_str_eq(mx_event_state_key(ev), key) &&
		    mx_str_eq(mx_event_type(ev), type))
			return ev;
	}
	return NULL;
}

static size_t
memo_place(const struct mx_tree_key *key)
{
	return (size_t)(key->h[1] ^ (unsigned)key->h[2] << 1) & (MX_INTAKE_MEMO - 1);
}

void
mx_intake_forget(struct mx_intake *in)
{
	for (size_t i = 0; i < MX_INTAKE_MEMO; i++) {
		mx_event_unref(&in->memo[i].event);
		in->memo[i].known = false;
	}
}

static void
memo_set(struct mx_intake *in, const struct mx_tree_key *key, struct mx_event *ev)
{
	size_t at = memo_place(key);

	mx_event_unref(&in->memo[at].event);
	in->memo[at].key = *key;
	in->memo[at].event = ev != NULL ? mx_event_ref(ev) : NULL;
	in->memo[at].known = true;
}

void
mx_intake_learn(struct mx_intake *in, struct mx_event *ev)
{
	struct mx_tree_key key = mx_tree_key(mx_event_type(ev), mx_event_state_key(ev));

	memo_set(in, &key, ev);
}

static mx_error *
entry(struct mx_intake *in, struct mx_state_root root, mx_str type, mx_str key,
      struct mx_event **out)
{
	struct mx_tree_key k = mx_tree_key(type, key);
	size_t at = memo_place(&k);
	bool current = mx_root_eq(root, in->root);

	*out = NULL;
	if (current && in->memo[at].known &&
	    memcmp(in->memo[at].key.h, k.h, sizeof(k.h)) == 0) {
		if (in->memo[at].event != NULL)
			*out = mx_event_ref(in->memo[at].event);
		return NULL;
	}
	struct mx_tree tree = mx_rooms_tree(in->rs, in->conn);
	mx_nid nid = 0;
	mx_error *e = mx_tree_get(&tree, root, k, &nid);

	mx_tree_done(&tree);
	if (e == NULL && nid != 0)
		e = mx_event_by_nid(in->rs, in->conn, nid, out);
	if (e == NULL && current)
		memo_set(in, &k, *out);
	return e;
}

mx_error *
mx_intake_member(struct mx_intake *in, const struct mx_event *ev, size_t over,
		 enum mx_membership *out)
{
	struct mx_event *was = on_line(in, over, mx_event_type(ev), mx_event_state_key(ev));
	MX_AUTO(mx_event) *stored = NULL;

	if (was == NULL) {
		MX_TRY(entry(in, in->root, mx_event_type(ev), mx_event_state_key(ev), &stored));
		was = stored;
	}
	*out = was != NULL ? was->membership : MX_MEMBER_NONE;
	return NULL;
}

mx_error *
mx_intake_power(struct mx_intake *in, struct mx_state_root root, size_t over, struct mx_power **out)
{
	struct mx_event *near = on_line(in, over, MX_S("m.room.power_levels"), MX_S(""));
	MX_AUTO(mx_event) *levels = NULL;

	if (near != NULL)
		levels = mx_event_ref(near);
	else
		MX_TRY(entry(in, root, MX_S("m.room.power_levels"), MX_S(""), &levels));
	*out = mx_power_parse(levels, in->create);
	return NULL;
}

/* ---- judging ---- */

static mx_error *
load(struct mx_intake *in, const struct mx_event *ev, struct mx_state_root root, size_t over,
     struct judged *j)
{
	bool create = false;

	mx_rules_auth_types_of(ev, &j->types);
	for (size_t i = 0; i < j->types.n; i++) {
		j->v[i].type = j->types.v[i].type;
		j->v[i].key = j->types.v[i].key;
		create |= mx_str_eq(j->v[i].type, MX_S("m.room.create"));
	}
	j->n = j->types.n;
	if (!create) {
		j->v[j->n].type = MX_S("m.room.create");
		j->v[j->n++].key = MX_S("");
	}
	for (size_t i = 0; i < j->n; i++) {
		struct mx_event *near = on_line(in, over, j->v[i].type, j->v[i].key);

		if (near != NULL)
			j->v[i].event = mx_event_ref(near);
		else
			MX_TRY(entry(in, root, j->v[i].type, j->v[i].key, &j->v[i].event));
	}
	return NULL;
}

static const struct mx_event *
get(void *arg, mx_str type, mx_str key)
{
	const struct judged *j = arg;

	for (size_t i = 0; i < j->n; i++)
		if (mx_str_eq(j->v[i].type, type) && mx_str_eq(j->v[i].key, key))
			return j->v[i].event;
	return NULL;
}

static const struct mx_power *
power_of(struct mx_intake *in, struct mx_event *levels, const struct mx_event *create)
{
	if (in->power != NULL && in->power_event == levels)
		return in->power;
	mx_power_unref(&in->power);
	mx_event_unref(&in->power_event);
	in->power = mx_power_parse(levels, create);
	in->power_event = levels != NULL ? mx_event_ref(levels) : NULL;
	return in->power;
}

mx_error *
mx_judge(struct mx_intake *in, const struct mx_event *ev, struct mx_state_root root, size_t over,
	 mx_error **why)
{
	struct judged j = { 0 };
	struct mx_rules_state state = { .get = get, .arg = &j };
	mx_error *e = load(in, ev, root, over, &j);

	*why = NULL;
	if (e == NULL) {
		const struct mx_event *create = get(&j, MX_S("m.room.create"), MX_S(""));
		const struct mx_event *levels = get(&j, MX_S("m.room.power_levels"), MX_S(""));

		if (create != NULL && create == in->create)
			state.power = power_of(in, (struct mx_event *)(uintptr_t)levels, create);
		*why = mx_rules_check(ev, &state);
	}
	judged_clear(&j);
	return e;
}

/* The power levels among its auth events, parsed: mostly those of the room, again and again. */
static const struct mx_power *
power_by_auth(struct mx_intake *in, const struct mx_arriving *a)
{
	bool create = in->room->version->room_id_is_create_hash;
	struct mx_event *levels = NULL;

	for (size_t i = 0; i < a->auth_n; i++) {
		struct mx_event *ev = a->auth[i];

		create |= ev->create && mx_str_eq(mx_event_id(ev), mx_event_id(in->create));
		if (ev->state && mx_event_state_key(ev).n == 0 &&
		    mx_str_eq(mx_event_type(ev), MX_S("m.room.power_levels")))
			levels = ev;
	}
	return create ? power_of(in, levels, in->create) : NULL;
}

mx_error *
mx_judge_auth(struct mx_intake *in, const struct mx_arriving *a, enum mx_reason *reason)
{
	const struct mx_event *const *auth = (const struct mx_event *const *)a->auth;
	struct mx_rules_events set = { .v = auth, .n = a->auth_n };
	struct mx_rules_state state = mx_rules_state_of(&set);

	if (in->room->version->room_id_is_create_hash)
		set.create = in->create;
	*reason = MX_REASON_AUTH_EVENTS;
	MX_TRY(mx_rules_check_auth_events(a->v->event, set.create, auth, a->auth_n));
	*reason = a->v->event->unvouched ? MX_REASON_VOUCHER : MX_REASON_AUTH;
	state.power = power_by_auth(in, a);
	return mx_rules_check(a->v->event, &state);
}
