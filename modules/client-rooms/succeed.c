/* A room that replaces another: what belongs to it around the two rooms. Client-Server API, "Room
 * upgrades". */
#include "config.h"

#include <myelin/hook.h>

#include "rooms.h"

enum { EARLY_MAX = 1000 };	/* members who are in the new room before the old one has ended */

/* The room of an id; NULL when this server does not know it. */
static mx_error *
known(const struct rooms_call *c, mx_str room_id, struct mx_room **out)
{
	mx_error *e = mx_id_room(room_id) ? mx_room_get(c->rs, c->conn, room_id, out) : NULL;

	if (mx_error_is(e, MX_E_NOT_FOUND))
		mx_error_free(&e);
	return e;
}

/* The room that a member of the content of a state event names; NULL when there is none. */
static mx_error *
named_by(const struct rooms_call *c, struct mx_room *room, mx_str type, const char *object,
	 const char *key, struct mx_room **out)
{
	MX_AUTO_JSON *content = NULL;
	const json_t *place;

	*out = NULL;
	MX_TRY(rooms_state_content(c, room, type, MX_S(""), &content));
	place = object != NULL ? json_object_get(content, object) : content;
	return known(c, mx_json_str(place, key), out);
}

static mx_error *
predecessor(const struct rooms_call *c, struct mx_room *room, struct mx_room **out)
{
	MX_AUTO(mx_event) *create = NULL;
	mx_str raw;

	*out = NULL;
	MX_TRY(mx_room_state(c->rs, c->conn, room, MX_S("m.room.create"), MX_S(""), &create));
	if (create == NULL || !mx_json_raw(mx_event_content(create), MX_S("predecessor"), &raw))
		return NULL;
	return named_by(c, room, MX_S("m.room.create"), "predecessor", "room_id", out);
}

mx_error *
rooms_successor(const struct rooms_call *c, struct mx_room *old, struct mx_room **out)
{
	MX_AUTO(mx_room) *new = NULL, *back = NULL;

	*out = NULL;
	MX_TRY(named_by(c, old, MX_S("m.room.tombstone"), NULL, "replacement_room", &new));
	if (new == NULL)
		return NULL;
	MX_TRY(predecessor(c, new, &back));
	if (back != NULL && mx_room_nid(back) == mx_room_nid(old))
		*out = mx_room_ref(new);
	return NULL;
}

mx_error *
rooms_inherit(const struct rooms_call *c, struct mx_room *room)
{
	MX_AUTO(mx_room) *old = NULL, *successor = NULL;
	struct mx_member member;

	MX_TRY(predecessor(c, room, &old));
	if (old == NULL)
		return NULL;
	MX_TRY(rooms_successor(c, old, &successor));
	MX_TRY(rooms_member(c, old, c->who->user_id, &member));
	/* Any room may call another one its predecessor: the other one must say the same. */
	if (successor != NULL && mx_room_nid(successor) == mx_room_nid(room) &&
	    member.membership != MX_MEMBER_NONE)
		mx_run_room_succeeded(c->core, c->conn, c->who->user, c->who->user_id, old, room);
	return NULL;
}

/* Who made the new room by hand is in it before the old one says what replaces it, and so are those
 * who were quick. */
static mx_error *
hand_over(const struct rooms_call *c, struct mx_room *old, struct mx_room *new)
{
	struct mx_member *members, was;
	mx_str user_id;
	size_t n;

	MX_TRY(mx_room_members(c->rs, c->conn, new, MX_MEMBER_JOIN, c->arena, &members, &n));
	for (size_t i = 0; i < n && i < EARLY_MAX; i++) {
		MX_TRY(mx_name_text(c->conn, members[i].user, c->arena, &user_id));
		MX_TRY(mx_room_member(c->rs, c->conn, old, members[i].user, &was));
		if (rooms_local(c, user_id) && was.membership != MX_MEMBER_NONE)
			mx_run_room_succeeded(c->core, c->conn, members[i].user, user_id, old, new);
	}
	return NULL;
}

mx_error *
rooms_tombstoned(const struct rooms_call *c, struct mx_room *old)
{
	MX_AUTO(mx_room) *new = NULL;

	MX_TRY(rooms_successor(c, old, &new));
	return new != NULL ? hand_over(c, old, new) : NULL;
}

/* ---- spaces ---- */

/* The content of the link, as the new room gets it: what it says of place and rank is kept. */
static json_t *
link_content(const struct rooms_call *c, const struct mx_event *link)
{
	MX_AUTO_JSON *before = mx_event_content_parse(link);
	mx_str server = mx_core_server_name(c->core);
	json_t *content = json_pack("{s:[s%]}", "via", server.p, server.n), *value;
	static const char *const keep[] = { "order", "suggested" };

	for (size_t i = 0; i < sizeof(keep) / sizeof(keep[0]); i++)
		if ((value = json_object_get(before, keep[i])) != NULL)
			json_object_set(content, keep[i], value);
	return content;
}

/* The link to the old room becomes one to the new: both at once, so that a repetition finds either
 * nothing done or nothing to do. */
static mx_error *
relink(const struct rooms_call *c, struct mx_room *space, struct mx_room *old, struct mx_room *new)
{
	MX_AUTO(mx_event) *link = NULL;
	MX_AUTO_JSON *content = NULL;
	MX_AUTO_JSON *none = json_object();
	struct mx_draft drafts[2];
	mx_str via;
	mx_error *e;

	MX_TRY(mx_room_state(c->rs, c->conn, space, MX_S("m.space.child"), mx_room_id(old), &link));
	if (link == NULL || !mx_json_raw(mx_event_content(link), MX_S("via"), &via))
		return NULL;
	content = link_content(c, link);
	drafts[0] = rooms_state_draft(c, MX_S("m.space.child"), mx_room_id(new), content);
	drafts[1] = rooms_state_draft(c, MX_S("m.space.child"), mx_room_id(old), none);
	e = mx_room_send(c->rs, c->conn, space, drafts, 2, NULL);
	if (mx_error_is(e, MX_E_FORBIDDEN))
		mx_error_free(&e);
	return e;
}

mx_error *
rooms_relink_spaces(const struct rooms_call *c, struct mx_room *old, struct mx_room *new)
{
	struct mx_member *rooms;
	size_t n;

	MX_TRY(mx_user_rooms(c->rs, c->conn, c->who->user, c->arena, &rooms, &n));
	for (size_t i = 0; i < n; i++) {
		MX_AUTO(mx_room) *space = NULL;

		if (rooms[i].membership != MX_MEMBER_JOIN)
			continue;
		MX_TRY(mx_room_by_nid(c->rs, c->conn, rooms[i].room, &space));
		MX_TRY(relink(c, space, old, new));
	}
	return NULL;
}
