/* Which state an event is judged by. Server-Server API, "Auth events selection". */
#include "config.h"

#include "core/room/rules_private.h"

static const mx_str EMPTY = { "", 0 };

static void
add(struct mx_auth_types *out, mx_str type, mx_str key)
{
	for (size_t i = 0; i < out->n; i++)
		if (mx_str_eq(out->v[i].type, type) && mx_str_eq(out->v[i].key, key))
			return;
	out->v[out->n].type = type;
	out->v[out->n].key = key;
	out->n++;
}

/* What of a membership event's content matters; absent parts are {NULL, 0}. */
struct member {
	enum mx_membership membership;
	mx_str authoriser, token;
};

static void
select_types(const struct mx_room_version *v, mx_str type, mx_str sender, mx_str state_key,
	     const struct member *m, struct mx_auth_types *out)
{
	out->n = 0;
	if (mx_str_eq(type, MX_S("m.room.create")))
		return;
	if (!v->room_id_is_create_hash)
		add(out, MX_S("m.room.create"), EMPTY);
	add(out, MX_S("m.room.power_levels"), EMPTY);
	add(out, MX_S("m.room.member"), sender);
	if (m == NULL || state_key.p == NULL)
		return;
	add(out, MX_S("m.room.member"), state_key);
	if (m->membership == MX_MEMBER_JOIN || m->membership == MX_MEMBER_INVITE ||
	    (m->membership == MX_MEMBER_KNOCK && v->join_knock))
		add(out, MX_S("m.room.join_rules"), EMPTY);
	if (m->membership == MX_MEMBER_INVITE && m->token.p != NULL)
		add(out, MX_S("m.room.third_party_invite"), m->token);
	if (m->membership == MX_MEMBER_JOIN && m->authoriser.p != NULL && v->join_restricted)
		add(out, MX_S("m.room.member"), m->authoriser);
}

void
mx_rules_auth_types(const struct mx_room_version *v, mx_str type, mx_str sender, mx_str state_key,
		    const json_t *content, struct mx_auth_types *out)
{
	const json_t *third_party = json_object_get(content, "third_party_invite");
	struct member m = {
		.membership = mx_membership_of(mx_json_str(content, "membership")),
		.authoriser = mx_json_str(content, "join_authorised_via_users_server"),
		.token = mx_json_str(json_object_get(third_party, "signed"), "token"),
	};

	select_types(v, type, sender, state_key, mx_str_eq(type, MX_S("m.room.member")) ? &m : NULL,
		     out);
}

void
mx_rules_auth_types_of(const struct mx_event *ev, struct mx_auth_types *out)
{
	mx_str type = mx_event_type(ev), content = mx_event_content(ev), value, object;
	struct member m = { .membership = mx_event_membership(ev) };
	bool member = mx_str_eq(type, MX_S("m.room.member"));

	if (member && m.membership == MX_MEMBER_JOIN)
		mx_scan_find_str(content, MX_S("join_authorised_via_users_server"), out->decoded,
				 sizeof(out->decoded), &m.authoriser);
	if (member && m.membership == MX_MEMBER_INVITE &&
	    mx_scan_find(content, MX_S("third_party_invite"), &value) &&
	    mx_scan_find(value, MX_S("signed"), &object))
		mx_scan_find_str(object, MX_S("token"), out->decoded, sizeof(out->decoded),
				 &m.token);
	select_types(ev->version, type, mx_event_sender(ev), mx_event_state_key(ev),
		     member ? &m : NULL, out);
}

bool
mx_rules_is_auth_type(const struct mx_event *ev)
{
	static const char *const types[] = { "m.room.create", "m.room.power_levels",
					     "m.room.join_rules", "m.room.member",
					     "m.room.third_party_invite" };

	for (size_t i = 0; ev->state && i < sizeof(types) / sizeof(types[0]); i++)
		if (mx_str_eq(mx_event_type(ev), mx_str_of(types[i])))
			return true;
	return false;
}

/* ---- the auth_events that an event names ---- */

static bool
is_selected(const struct mx_auth_types *types, const struct mx_event *auth)
{
	for (size_t i = 0; i < types->n; i++)
		if (mx_str_eq(types->v[i].type, mx_event_type(auth)) &&
		    mx_str_eq(types->v[i].key, mx_event_state_key(auth)))
			return auth->state;
	return false;
}

static bool
same_key(const struct mx_event *a, const struct mx_event *b)
{
	return mx_str_eq(mx_event_type(a), mx_event_type(b)) &&
	       mx_str_eq(mx_event_state_key(a), mx_event_state_key(b));
}

mx_error *
mx_rules_check_auth_events(const struct mx_event *ev, const struct mx_event *create,
			   const struct mx_event *const *auth, size_t n)
{
	struct mx_auth_types types;
	bool has_create = false;

	mx_rules_auth_types_of(ev, &types);
	for (size_t i = 0; i < n; i++) {
		if (!is_selected(&types, auth[i]))
			return MX_REFUSE("%.*s has no place in the event's auth_events",
					 MX_SFMT(mx_event_type(auth[i])));
		if (auth[i]->rejected)
			return MX_REFUSE("one of the event's auth_events was rejected");
		if (!mx_str_eq(mx_event_room_id(auth[i]), mx_event_room_id(ev)))
			return MX_REFUSE("one of the event's auth_events is of another room");
		for (size_t k = 0; k < i; k++)
			if (same_key(auth[i], auth[k]))
				return MX_REFUSE(
					"two of the event's auth_events are for one state key");
		has_create = has_create || auth[i]->create;
	}
	if (!has_create && !ev->version->room_id_is_create_hash &&
	    !mx_str_eq(mx_event_type(ev), MX_S("m.room.create")))
		return MX_REFUSE("the event's auth_events lack m.room.create");
	if (ev->version->room_id_is_create_hash && create == NULL &&
	    !mx_str_eq(mx_event_type(ev), MX_S("m.room.create")))
		return MX_REFUSE("the room has no m.room.create");
	return NULL;
}

/* ---- a state made of a few events ---- */

static const struct mx_event *
get_among(void *arg, mx_str type, mx_str key)
{
	const struct mx_rules_events *set = arg;

	for (size_t i = 0; i < set->n; i++)
		if (set->v[i]->state && mx_str_eq(mx_event_type(set->v[i]), type) &&
		    mx_str_eq(mx_event_state_key(set->v[i]), key))
			return set->v[i];
	return key.n == 0 && mx_str_eq(type, MX_S("m.room.create")) ? set->create : NULL;
}

struct mx_rules_state
mx_rules_state_of(const struct mx_rules_events *set)
{
	return (struct mx_rules_state){ .get = get_among, .arg = (void *)set };
}
