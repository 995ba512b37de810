/* One member event: what stands in it, and what is checked beside the auth rules. Client-Server
 * API, "Room membership". */
#include "config.h"

#include "rooms.h"

/* Adds what the user's profile says and the content does not. */
static mx_error *
fill_profile(const struct rooms_call *c, mx_str user_id, json_t *content)
{
	const struct mx_profile_service *profile = mx_self_service(c->self, "profile");
	mx_nid user = c->who->user;

	if (profile == NULL || !rooms_local(c, user_id))
		return NULL;
	if (!mx_str_eq(user_id, c->who->user_id))
		MX_TRY(mx_name_find(c->conn, user_id, &user));
	return user != 0 ? profile->fill(c->core, c->conn, user, content) : NULL;
}

mx_error *
rooms_member_content(const struct rooms_call *c, enum mx_membership m, mx_str user_id, json_t **out)
{
	MX_AUTO_JSON *content = json_object();

	*out = NULL;
	json_object_set_new(content, "membership", json_string(mx_membership_name(m)));
	MX_TRY(fill_profile(c, user_id, content));
	*out = json_incref(content);
	return NULL;
}

mx_error *
rooms_join_content(const struct rooms_call *c, json_t *body, json_t **out)
{
	MX_AUTO_JSON *content = json_copy(body);
	mx_str text;

	*out = NULL;
	MX_TRY(mx_json_opt_str(body, "reason", &text));
	MX_TRY(mx_json_opt_str(body, "displayname", &text));
	MX_TRY(mx_json_opt_str(body, "avatar_url", &text));
	json_object_set_new(content, "membership", json_string(mx_membership_name(MX_MEMBER_JOIN)));
	/* For the server, and what only a server may say. */
	json_object_del(content, "third_party_signed");
	json_object_del(content, "third_party_invite");
	json_object_del(content, "join_authorised_via_users_server");
	MX_TRY(fill_profile(c, c->who->user_id, content));
	*out = json_incref(content);
	return NULL;
}

mx_error *
rooms_check_reachable(const struct rooms_call *c, mx_str user_id)
{
	if (rooms_local(c, user_id))
		return NULL;
	return mx_error_new(MX_E_BAD_REQUEST,
			    "%.*s is a user of another server, and this server does not federate",
			    MX_SFMT(user_id));
}

static mx_error *
check_guest(const struct rooms_call *c, struct mx_room *room)
{
	MX_AUTO_JSON *content = NULL;

	if (!c->who->guest)
		return NULL;
	MX_TRY(rooms_state_content(c, room, MX_S("m.room.guest_access"), MX_S(""), &content));
	if (mx_str_eq(mx_json_str(content, "guest_access"), MX_S("can_join")))
		return NULL;
	return mx_error_new(MX_E_GUEST_FORBIDDEN, "Guests cannot join this room");
}

mx_error *
rooms_check_join(const struct rooms_call *c, struct mx_room *room, enum mx_membership was,
		 json_t *content)
{
	if (was == MX_MEMBER_BAN)
		return mx_error_new(MX_E_FORBIDDEN, "You are banned from this room");
	MX_TRY(check_guest(c, room));
	if (was != MX_MEMBER_INVITE && was != MX_MEMBER_JOIN)
		MX_TRY(rooms_authorise_restricted(c, room, content));
	return was != MX_MEMBER_JOIN ? rooms_inherit(c, room) : NULL;
}

mx_error *
rooms_check_member_state(const struct rooms_call *c, struct mx_room *room, mx_str target,
			 json_t *content)
{
	enum mx_membership to;
	struct mx_member member;
	mx_str name;

	MX_TRY(mx_id_check_user(target, "The state key of m.room.member"));
	MX_TRY(mx_json_get_str(content, "membership", &name));
	to = mx_membership_of(name);
	if (to == MX_MEMBER_NONE)
		return mx_error_new(MX_E_BAD_JSON, "There is no membership \"%.*s\"",
				    MX_SFMT(name));
	/* Who authorises a join is found here, never claimed. */
	json_object_del(content, "join_authorised_via_users_server");
	MX_TRY(rooms_member(c, room, target, &member));
	if (to == MX_MEMBER_INVITE)
		MX_TRY(rooms_check_reachable(c, target));
	if (to == MX_MEMBER_JOIN && mx_str_eq(target, c->who->user_id))
		MX_TRY(rooms_check_join(c, room, member.membership, content));
	if (to == MX_MEMBER_JOIN || to == MX_MEMBER_INVITE || to == MX_MEMBER_KNOCK)
		MX_TRY(fill_profile(c, target, content));
	return NULL;
}
