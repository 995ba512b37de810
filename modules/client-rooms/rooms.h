/* What the files of client-rooms share: a handler's surroundings, gathered once, and the questions
 * that several ask. */
#ifndef CLIENT_ROOMS_ROOMS_H
#define CLIENT_ROOMS_ROOMS_H

#include <myelin/module.h>
#include <myelin/service/directory.h>
#include <myelin/service/profile.h>
#include <myelin/view.h>

struct rooms_options {
	int64_t max_invites;		/* of one createRoom */
	int64_t max_initial_state;
	const char *invite_level;	/* "members" or "moderators": who may invite in a new room */
};

/* Everything a handler works with; lives on its stack. All borrowed from the request. */
struct rooms_call {
	struct mx_request *rq;
	struct mx_module_self *self;
	struct mx_core *core;
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_arena *arena;
	const struct mx_auth *who;
};

/* ---- call.c ---- */
struct rooms_call rooms_call_of(struct mx_request *rq);
const struct rooms_options *rooms_options(const struct rooms_call *c);
const struct mx_directory_service *rooms_directory(const struct rooms_call *c);	/* NULL when not loaded */
/* The room of the path's {roomId}. Who is in no room may not learn whether it exists: unknown rooms
 * are MX_E_FORBIDDEN. */
mx_error *rooms_find(const struct rooms_call *c, struct mx_room **out) MX_MUST_USE;
/* The same, but an unknown room is MX_E_NOT_FOUND. */
mx_error *rooms_find_known(const struct rooms_call *c, struct mx_room **out) MX_MUST_USE;
/* The room of an id or an alias, in the arena. MX_E_INVALID_PARAM, MX_E_NOT_FOUND. */
mx_error *rooms_find_named(const struct rooms_call *c, mx_str id_or_alias,
			   struct mx_room **out) MX_MUST_USE;
/* What the user is to the room; MX_MEMBER_NONE for strangers. */
mx_error *rooms_member(const struct rooms_call *c, struct mx_room *room, mx_str user_id,
		       struct mx_member *out) MX_MUST_USE;
/* The content of a state event as a tree that the caller owns; NULL when there is no such state. */
mx_error *rooms_state_content(const struct rooms_call *c, struct mx_room *room, mx_str type,
			      mx_str key, json_t **out) MX_MUST_USE;
bool rooms_local(const struct rooms_call *c, mx_str id);	/* whether an id is of this server */
/* The device under which transaction ids of this session count; never 0. */
mx_nid rooms_device(const struct rooms_call *c);
/* Sends one draft; *event_id (may be NULL) is in the arena. */
mx_error *rooms_send(const struct rooms_call *c, struct mx_room *room, const struct mx_draft *draft,
		     mx_str *event_id) MX_MUST_USE;
struct mx_draft rooms_draft(const struct rooms_call *c, mx_str type, json_t *content);	/* a message event */
struct mx_draft rooms_state_draft(const struct rooms_call *c, mx_str type, mx_str key,
				  json_t *content);
/* {"event_id": …} or {"room_id": …} */
enum mx_outcome rooms_reply_id(const struct rooms_call *c, const char *key, mx_str id);

/* ---- member.c: the content and the rules of one member event ---- */
/* {"membership": m} with the profile of the user when it is one of this server. The caller owns it.
 */
mx_error *rooms_member_content(const struct rooms_call *c, enum mx_membership m, mx_str user_id,
			       json_t **out) MX_MUST_USE;
/* The same for a join of the asking user, with what the request's body adds: a reason, custom keys.
 * MX_E_BAD_JSON. */
mx_error *rooms_join_content(const struct rooms_call *c, json_t *body, json_t **out) MX_MUST_USE;
/* Whether the user of another server can be reached at all: MX_E_BAD_REQUEST when not. */
mx_error *rooms_check_reachable(const struct rooms_call *c, mx_str user_id) MX_MUST_USE;
/* What a join of the asking user needs beside the auth rules: not banned, guests allowed,
 * restricted rooms authorised (which adds to content). was: what the user is now. */
mx_error *rooms_check_join(const struct rooms_call *c, struct mx_room *room, enum mx_membership was,
			   json_t *content) MX_MUST_USE;
/* Checks and completes the content of an m.room.member event that a client wrote itself. */
mx_error *rooms_check_member_state(const struct rooms_call *c, struct mx_room *room, mx_str target,
				   json_t *content) MX_MUST_USE;

/* ---- restricted.c ---- */
/* Adds join_authorised_via_users_server when the room's join rule asks for it. MX_E_FORBIDDEN. */
mx_error *rooms_authorise_restricted(const struct rooms_call *c, struct mx_room *room,
				     json_t *content) MX_MUST_USE;

/* ---- succeed.c: a room that replaces another ---- */
/* The room that replaces this one, when both say so; else NULL. */
mx_error *rooms_successor(const struct rooms_call *c, struct mx_room *old,
			  struct mx_room **out) MX_MUST_USE;
/* Before the asking user joins: what it has set for the room that this one replaces is carried over.
 */
mx_error *rooms_inherit(const struct rooms_call *c, struct mx_room *room) MX_MUST_USE;
/* After the old room has got its tombstone by hand: the same for those who are in the new one. */
mx_error *rooms_tombstoned(const struct rooms_call *c, struct mx_room *old) MX_MUST_USE;
/* In the spaces where the asking user may, the link to old becomes one to new. */
mx_error *rooms_relink_spaces(const struct rooms_call *c, struct mx_room *old,
			      struct mx_room *new) MX_MUST_USE;

/* ---- alias.c ---- */
/* Checks the aliases of an m.room.canonical_alias that `before` (NULL: nothing) does not have: they
 * must be aliases, and lead to room_id (or be `taken`, the alias that is reserved for a room in the
 * making). MX_E_INVALID_PARAM, MX_E_BAD_ALIAS. */
mx_error *rooms_check_aliases(const struct rooms_call *c, mx_str room_id, mx_str taken,
			      const json_t *before, const json_t *content) MX_MUST_USE;

/* ---- power.c ---- */
int64_t rooms_level(const json_t *levels, const char *key, int64_t fallback);	/* integers, and strings of old versions */

/* ---- handlers ---- */
mx_handler rooms_create, rooms_upgrade;
mx_handler rooms_join, rooms_join_named, rooms_knock, rooms_leave, rooms_forget, rooms_invite,
	rooms_kick, rooms_ban, rooms_unban;
mx_handler rooms_send_message, rooms_put_state, rooms_redact;
mx_handler rooms_get_state, rooms_get_all_state, rooms_get_members, rooms_get_joined_members,
	rooms_get_event, rooms_joined_rooms;

#endif
