/* One member event: what stands in it, and what is checked beside the auth rules. Client-Server API, "Room membership". */
#include "config.h"

#include "rooms.h"

mx_error *
rooms_member_content(const struct rooms_call *c, enum mx_membership m, mx_str user_id, json_t **out)
{
	const struct mx_profile_service *profile = mx_self_service(c->self, "profile");
	MX_AUTO_JSON *content = json_object();
	mx_nid user = 0;

	*out = NULL;
	json_object_set_new(content, "membership", json_string(mx_membership_name(m)));
	if (profile != NULL && rooms_local(c, user_id)) {
		if (mx_str_eq(user_id, c->who->user_id))
			user = c->who->user;
		else
			MX_TRY(mx_name_find(c->conn, user_id, &user));
		if (user != 0)
			MX_TRY(profile->fill(c->core, c->conn, user, content));
	}
	*out = json_incref(content);
	return NULL;
}

mx_error *
rooms_check_reachable(const struct rooms_call *c, mx_str user_id)
{
	if (rooms_local(c, user_id))
		return NULL;
	return mx_error_new(MX_E_BAD_REQUEST, "%.*s is a user of another server, and this server does not federate",
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
rooms_check_join(const struct rooms_call *c, struct mx_room *room, enum mx_membership was, json_t *content)
{
	if (was == MX_MEMBER_BAN)
		return mx_error_new(MX_E_FORBIDDEN, "You are banned from this room");
	MX_TRY(check_guest(c, room));
	if (was == MX_MEMBER_INVITE || was == MX_MEMBER_JOIN)
		return NULL;
	return rooms_authorise_restricted(c, room, content);
}

mx_error *
rooms_check_member_state(const struct rooms_call *c, struct mx_room *room, mx_str target, json_t *content)
{
	const struct mx_profile_service *profile = mx_self_service(c->self, "profile");
	enum mx_membership to;
	struct mx_member member;
	mx_str name;

	MX_TRY(mx_id_check_user(target, "The state key of m.room.member"));
	MX_TRY(mx_json_get_str(content, "membership", &name));
	to = mx_membership_of(name);
	if (to == MX_MEMBER_NONE)
		return mx_error_new(MX_E_BAD_JSON, "There is no membership \"%.*s\"", MX_SFMT(name));
	/* Who authorises a join is found here, never claimed. */
	json_object_del(content, "join_authorised_via_users_server");
	MX_TRY(rooms_member(c, room, target, &member));
	if (to == MX_MEMBER_INVITE)
		MX_TRY(rooms_check_reachable(c, target));
	if (to == MX_MEMBER_JOIN && mx_str_eq(target, c->who->user_id))
		MX_TRY(rooms_check_join(c, room, member.membership, content));
	if (profile != NULL && rooms_local(c, target) && (to == MX_MEMBER_JOIN || to == MX_MEMBER_INVITE || to == MX_MEMBER_KNOCK)) {
		mx_nid user = 0;

		MX_TRY(mx_name_find(c->conn, target, &user));
		if (user != 0)
			MX_TRY(profile->fill(c->core, c->conn, user, content));
	}
	return NULL;
}
