/* Restricted joins: whether one of the room's conditions holds, and which local member may vouch
 * for it. Client-Server API, "Restricted rooms"; Server-Server API, "Restricted rooms". */
#include "config.h"

#include "rooms.h"

/* Whether the user meets one of the conditions in the join rules. */
static mx_error *
meets_condition(const struct rooms_call *c, const json_t *rules, bool *out)
{
	const json_t *allow = json_object_get(rules, "allow"), *condition;
	size_t i;

	*out = false;
	json_array_foreach(allow, i, condition) {
		MX_AUTO(mx_room) *other = NULL;
		struct mx_member member;
		mx_str id = mx_json_str(condition, "room_id");
		mx_error *e;

		if (!mx_str_eq(mx_json_str(condition, "type"), MX_S("m.room_membership")) ||
		    !mx_id_room(id))
			continue;
		e = mx_room_get(c->rs, c->conn, id, &other);
		if (mx_error_is(e, MX_E_NOT_FOUND)) {	/* a room that this server is not in allows nobody */
			mx_error_free(&e);
			continue;
		}
		MX_TRY(e);
		MX_TRY(mx_room_member(c->rs, c->conn, other, c->who->user, &member));
		if (member.membership == MX_MEMBER_JOIN) {
			*out = true;
			return NULL;
		}
	}
	return NULL;
}

/* Whether this user is a joined member of this server with the power to invite. */
static mx_error *
can_vouch(const struct rooms_call *c, struct mx_room *room, mx_str user, int64_t level,
	  mx_str *found)
{
	struct mx_member member;

	if (found->n > 0 || !mx_id_user(user, NULL, NULL) || !rooms_local(c, user))
		return NULL;
	if (mx_room_power(c->rs, c->conn, room, user) < level)
		return NULL;
	MX_TRY(rooms_member(c, room, user, &member));
	if (member.membership == MX_MEMBER_JOIN)
		*found = mx_arena_str(c->arena, user);
	return NULL;
}

/* Creators: in version 12 they stand in no power levels, and a room without power levels has only
 * them. */
static mx_error *
ask_creators(const struct rooms_call *c, struct mx_room *room, int64_t level, mx_str *found)
{
	MX_AUTO(mx_event) *create = NULL;
	MX_AUTO_JSON *content = NULL;
	const json_t *more;
	size_t i;

	MX_TRY(mx_room_state(c->rs, c->conn, room, MX_S("m.room.create"), MX_S(""), &create));
	if (create == NULL)
		return NULL;
	MX_TRY(can_vouch(c, room, mx_event_sender(create), level, found));
	content = mx_event_content_parse(create);
	json_array_foreach(json_object_get(content, "additional_creators"), i, more)
		if (json_is_string(more))
			MX_TRY(can_vouch(c, room, mx_str_of(json_string_value(more)), level,
					 found));
	return NULL;
}

static mx_error *
ask_members(const struct rooms_call *c, struct mx_room *room, int64_t level, mx_str *found)
{
	struct mx_member *members;
	size_t n;

	MX_TRY(mx_room_members(c->rs, c->conn, room, MX_MEMBER_JOIN, c->arena, &members, &n));
	for (size_t i = 0; i < n && found->n == 0; i++) {
		mx_str user;

		MX_TRY(mx_name_text(c->conn, members[i].user, c->arena, &user));
		MX_TRY(can_vouch(c, room, user, level, found));
	}
	return NULL;
}

static mx_error *
find_voucher(const struct rooms_call *c, struct mx_room *room, mx_str *found)
{
	MX_AUTO_JSON *levels = NULL;
	const json_t *unused;
	const char *user;
	int64_t level;

	*found = (mx_str){ NULL, 0 };
	MX_TRY(rooms_state_content(c, room, MX_S("m.room.power_levels"), MX_S(""), &levels));
	level = rooms_level(levels, "invite", 0);
	json_object_foreach(json_object_get(levels, "users"), user, unused)
		MX_TRY(can_vouch(c, room, mx_str_of(user), level, found));
	if (found->n == 0)
		MX_TRY(ask_creators(c, room, level, found));
	if (found->n == 0 && rooms_level(levels, "users_default", 0) >= level)
		MX_TRY(ask_members(c, room, level, found));
	return NULL;
}

mx_error *
rooms_authorise_restricted(const struct rooms_call *c, struct mx_room *room, json_t *content)
{
	MX_AUTO_JSON *rules = NULL;
	mx_str rule, voucher;
	bool met;

	MX_TRY(rooms_state_content(c, room, MX_S("m.room.join_rules"), MX_S(""), &rules));
	rule = mx_json_str(rules, "join_rule");
	if (!mx_str_eq(rule, MX_S("restricted")) && !mx_str_eq(rule, MX_S("knock_restricted")))
		return NULL;
	MX_TRY(meets_condition(c, rules, &met));
	if (!met)
		return mx_error_new(MX_E_FORBIDDEN,
				    "You are in none of the rooms whose members may join this one");
	MX_TRY(find_voucher(c, room, &voucher));
	if (voucher.n == 0)
		return mx_error_new(MX_E_FORBIDDEN,
				    "No member of this server has the power to let you in");
	json_object_set_new(content, "join_authorised_via_users_server",
			    json_stringn(voucher.p, voucher.n));
	return NULL;
}
