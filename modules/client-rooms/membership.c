/* Joining, leaving, and what members do to each other. Client-Server API, "Room membership". */
#include "config.h"

#include "rooms.h"

/* The optional reason of the body goes into the event. */
static mx_error *
add_reason(const json_t *body, json_t *content)
{
	mx_str reason = { NULL, 0 };

	MX_TRY(mx_json_opt_str(body, "reason", &reason));
	if (reason.p != NULL)
		json_object_set_new(content, "reason", json_stringn(reason.p, reason.n));
	return NULL;
}

static mx_error *
change(const struct rooms_call *c, struct mx_room *room, mx_str target, enum mx_membership to,
       const json_t *body)
{
	MX_AUTO_JSON *content = NULL;
	struct mx_draft draft;

	if (to == MX_MEMBER_LEAVE || to == MX_MEMBER_BAN)	/* the profile of who goes is nobody's business any more */
		content = json_pack("{s:s}", "membership", mx_membership_name(to));
	else
		MX_TRY(rooms_member_content(c, to, target, &content));
	MX_TRY(add_reason(body, content));
	draft = rooms_state_draft(c, MX_S("m.room.member"), target, content);
	return rooms_send(c, room, &draft, NULL);
}

/* ---- the user itself ---- */

static mx_error *
join(const struct rooms_call *c, struct mx_room *room)
{
	MX_AUTO_JSON *content = NULL;
	struct mx_draft draft;
	struct mx_member member;
	json_t *body;

	MX_TRY(mx_request_json(c->rq, &body));
	MX_TRY(rooms_member(c, room, c->who->user_id, &member));
	if (member.membership == MX_MEMBER_JOIN)
		return NULL;
	MX_TRY(rooms_join_content(c, body, &content));
	MX_TRY(rooms_check_join(c, room, member.membership, content));
	draft = rooms_state_draft(c, MX_S("m.room.member"), c->who->user_id, content);
	return rooms_send(c, room, &draft, NULL);
}

static enum mx_outcome
join_and_reply(const struct rooms_call *c, mx_error *e, struct mx_room *room)
{
	if (e == NULL)
		e = join(c, room);
	if (e != NULL)
		return mx_reply_error(c->rq, e);
	return rooms_reply_id(c, "room_id", mx_room_id(room));
}

enum mx_outcome
rooms_join(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	MX_AUTO(mx_room) *room = NULL;

	mx_error *e = rooms_find_known(&c, &room);

	return join_and_reply(&c, e, room);
}

enum mx_outcome
rooms_join_named(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	MX_AUTO(mx_room) *room = NULL;

	mx_error *e = rooms_find_named(&c, mx_request_param(rq, "roomIdOrAlias"), &room);

	return join_and_reply(&c, e, room);
}

static mx_error *
knock(const struct rooms_call *c, struct mx_room **room)
{
	struct mx_member member;
	json_t *body;

	MX_TRY(mx_request_json(c->rq, &body));
	MX_TRY(rooms_find_named(c, mx_request_param(c->rq, "roomIdOrAlias"), room));
	MX_TRY(rooms_member(c, *room, c->who->user_id, &member));
	if (member.membership == MX_MEMBER_KNOCK)
		return NULL;
	return change(c, *room, c->who->user_id, MX_MEMBER_KNOCK, body);
}

enum mx_outcome
rooms_knock(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	MX_AUTO(mx_room) *room = NULL;
	mx_error *e = knock(&c, &room);

	return e != NULL ? mx_reply_error(rq, e) : rooms_reply_id(&c, "room_id", mx_room_id(room));
}

static mx_error *
leave(const struct rooms_call *c)
{
	MX_AUTO(mx_room) *room = NULL;
	struct mx_member member;
	json_t *body;

	MX_TRY(mx_request_json(c->rq, &body));
	MX_TRY(rooms_find_known(c, &room));
	MX_TRY(rooms_member(c, room, c->who->user_id, &member));
	switch (member.membership) {
	case MX_MEMBER_LEAVE:
		return NULL;
	case MX_MEMBER_INVITE:
	case MX_MEMBER_JOIN:
	case MX_MEMBER_KNOCK:
		return change(c, room, c->who->user_id, MX_MEMBER_LEAVE, body);
	case MX_MEMBER_BAN:
	case MX_MEMBER_NONE:
		break;
	}
	return mx_error_new(MX_E_FORBIDDEN, "You are not in this room");
}

enum mx_outcome
rooms_leave(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	mx_error *e = leave(&c);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

static mx_error *
forget(const struct rooms_call *c)
{
	MX_AUTO(mx_room) *room = NULL;
	struct mx_member member;

	MX_TRY(rooms_find_known(c, &room));
	MX_TRY(rooms_member(c, room, c->who->user_id, &member));
	if (member.membership == MX_MEMBER_NONE)
		return mx_error_new(MX_E_NOT_FOUND, "You have never been in this room");
	if (member.forgotten)
		return NULL;
	return mx_room_forget(c->rs, c->conn, room, c->who->user);
}

enum mx_outcome
rooms_forget(struct mx_request *rq)
{
	struct rooms_call c = rooms_call_of(rq);
	mx_error *e = forget(&c);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

/* ---- others ---- */

/* The room of the path, which the asking user must be in, and the body's user_id with what that
 * user is to the room. */
static mx_error *
target_of(const struct rooms_call *c, struct mx_room **room, json_t **body, mx_str *target,
	  struct mx_member *member)
{
	struct mx_member self;

	MX_TRY(mx_request_json(c->rq, body));
	MX_TRY(mx_json_get_str(*body, "user_id", target));
	MX_TRY(mx_id_check_user(*target, "user_id"));
	MX_TRY(rooms_find(c, room));
	MX_TRY(rooms_member(c, *room, c->who->user_id, &self));
	if (self.membership != MX_MEMBER_JOIN)
		return mx_error_new(MX_E_FORBIDDEN, "You are not in this room");
	return rooms_member(c, *room, *target, member);
}

static mx_error *
invite(const struct rooms_call *c, struct mx_room **room)
{
	struct mx_member member;
	json_t *body;
	mx_str target;

	MX_TRY(mx_request_json(c->rq, &body));
	if (json_object_get(body, "medium") != NULL || json_object_get(body, "id_server") != NULL)
		return mx_error_new(MX_E_THREEPID_DENIED, "This server invites by user id only");
	MX_TRY(target_of(c, room, &body, &target, &member));
	switch (member.membership) {
	case MX_MEMBER_JOIN:
		return mx_error_new(MX_E_FORBIDDEN, "%.*s is already in the room", MX_SFMT(target));
	case MX_MEMBER_BAN:
		return mx_error_new(MX_E_FORBIDDEN, "%.*s is banned from the room",
				    MX_SFMT(target));
	case MX_MEMBER_INVITE:
		return NULL;
	case MX_MEMBER_NONE:
	case MX_MEMBER_LEAVE:
	case MX_MEMBER_KNOCK:
		break;
	}
	MX_TRY(rooms_check_reachable(c, target));
	return change(c, *room, target, MX_MEMBER_INVITE, body);
}

static mx_error *
kick(const struct rooms_call *c, struct mx_room **room)
{
	struct mx_member member;
	json_t *body;
	mx_str target;

	MX_TRY(target_of(c, room, &body, &target, &member));
	/* A kick must not lift a ban. */
	if (member.membership != MX_MEMBER_JOIN && member.membership != MX_MEMBER_INVITE &&
	    member.membership != MX_MEMBER_KNOCK)
		return mx_error_new(MX_E_FORBIDDEN, "%.*s is not in the room", MX_SFMT(target));
	return change(c, *room, target, MX_MEMBER_LEAVE, body);
}

static mx_error *
ban(const struct rooms_call *c, struct mx_room **room)
{
	struct mx_member member;
	json_t *body;
	mx_str target;

	MX_TRY(target_of(c, room, &body, &target, &member));
	if (member.membership == MX_MEMBER_BAN && json_object_get(body, "reason") == NULL)
		return NULL;
	return change(c, *room, target, MX_MEMBER_BAN, body);
}

static mx_error *
unban(const struct rooms_call *c, struct mx_room **room)
{
	struct mx_member member;
	json_t *body;
	mx_str target;

	MX_TRY(target_of(c, room, &body, &target, &member));
	if (member.membership != MX_MEMBER_BAN)
		return mx_error_new(MX_E_FORBIDDEN, "%.*s is not banned", MX_SFMT(target));
	return change(c, *room, target, MX_MEMBER_LEAVE, body);
}

static enum mx_outcome
run(struct mx_request *rq, mx_error *(*fn)(const struct rooms_call *c, struct mx_room **room))
{
	struct rooms_call c = rooms_call_of(rq);
	MX_AUTO(mx_room) *room = NULL;
	mx_error *e = fn(&c, &room);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

enum mx_outcome rooms_invite(struct mx_request *rq) { return run(rq, invite); }
enum mx_outcome rooms_kick(struct mx_request *rq) { return run(rq, kick); }
enum mx_outcome rooms_ban(struct mx_request *rq) { return run(rq, ban); }
enum mx_outcome rooms_unban(struct mx_request *rq) { return run(rq, unban); }
