/* Aliases over HTTP. Client-Server API, "Room aliases". */
#include "config.h"

#include <myelin/hook.h>

#include "directory.h"

/* Whether the asking user could change the room's canonical alias: who can, looks after its
 * aliases. */
static mx_error *
may_manage(struct mx_request *rq, struct mx_room *room, bool *out)
{
	const struct mx_auth *who = mx_request_auth(rq);
	MX_AUTO_JSON *content = json_object();
	struct mx_draft draft = { .type = MX_S("m.room.canonical_alias"),
				  .state_key = MX_S(""),
				  .content = content,
				  .sender = who->user,
				  .sender_id = who->user_id };
	mx_error *e;

	*out = who->admin;
	if (*out)
		return NULL;
	e = mx_room_allowed(mx_core_rooms(mx_request_core(rq)), mx_request_conn(rq), room, &draft);
	*out = e == NULL;
	if (mx_error_is(e, MX_E_FORBIDDEN))
		mx_error_free(&e);
	return e;
}

/* ---- GET /directory/room/{roomAlias} ---- */

enum mx_outcome
directory_get_alias(struct mx_request *rq)
{
	struct mx_core *core = mx_request_core(rq);
	mx_str alias = mx_request_param(rq, "roomAlias"), room_id = { NULL, 0 };
	mx_str server = mx_core_server_name(core);
	mx_error *e = NULL;

	if (!mx_id_alias(alias, NULL, NULL))
		e = mx_error_new(MX_E_INVALID_PARAM, "This is no room alias");
	if (e == NULL)
		e = directory_service.resolve(core, mx_request_conn(rq), alias,
					      mx_request_arena(rq), &room_id);
	if (e != NULL)
		return mx_reply_error(rq, e);
	return mx_reply_json(rq, 200, json_pack("{s:s%, s:[s%]}", "room_id", room_id.p, room_id.n,
						"servers", server.p, server.n));
}

/* ---- PUT ---- */

static mx_error *
put_alias(struct mx_request *rq)
{
	struct mx_core *core = mx_request_core(rq);
	const struct mx_auth *who = mx_request_auth(rq);
	MX_AUTO(mx_room) *room = NULL;
	struct directory_alias a = { .alias = mx_request_param(rq, "roomAlias"),
				     .creator = who->user,
				     .made = mx_now() };
	struct mx_member member;
	json_t *body;
	mx_str room_id;
	mx_error *e;

	MX_TRY(directory_check_alias(core, a.alias));
	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_get_str(body, "room_id", &room_id));
	MX_TRY(mx_id_check_room(room_id, "room_id"));
	e = mx_room_get(mx_core_rooms(core), mx_request_conn(rq), room_id, &room);
	member.membership = MX_MEMBER_NONE;
	if (e == NULL)
		e = mx_room_member(mx_core_rooms(core), mx_request_conn(rq), room, who->user,
				   &member);
	if (e != NULL && !mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	if (room == NULL || (member.membership != MX_MEMBER_JOIN && !who->admin))
		return mx_error_new(MX_E_FORBIDDEN, "You must be in a room to give it an alias");
	MX_TRY(mx_check_directory(core, who->user_id, room_id, a.alias));
	a.room = mx_room_nid(room);
	return directory_put(mx_core_db(core), &a);
}

enum mx_outcome
directory_put_alias(struct mx_request *rq)
{
	mx_error *e = put_alias(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

/* ---- DELETE ---- */

/* Whether the content names the alias; it does not any more. */
static bool
take_out(json_t *content, mx_str alias)
{
	json_t *others = json_object_get(content, "alt_aliases");
	bool changed = false;

	if (mx_str_eq(mx_json_str(content, "alias"), alias)) {
		json_object_del(content, "alias");
		changed = true;
	}
	for (size_t i = json_array_size(others); i-- > 0;) {
		const json_t *item = json_array_get(others, i);

		if (!mx_str_eq((mx_str){ json_string_value(item), json_string_length(item) },
			       alias))
			continue;
		json_array_remove(others, i);
		changed = true;
	}
	if (changed && others != NULL && json_array_size(others) == 0)
		json_object_del(content, "alt_aliases");
	return changed;
}

/* The room must not name an alias that leads nowhere, as far as who removed it may change that. */
static mx_error *
update_canonical(struct mx_request *rq, struct mx_room *room, mx_str alias)
{
	const struct mx_auth *who = mx_request_auth(rq);
	struct mx_rooms *rs = mx_core_rooms(mx_request_core(rq));
	struct mx_draft draft = { .type = MX_S("m.room.canonical_alias"),
				  .state_key = MX_S(""),
				  .sender = who->user,
				  .sender_id = who->user_id };
	MX_AUTO(mx_event) *now = NULL;
	MX_AUTO_JSON *content = NULL;

	MX_TRY(mx_room_state(rs, mx_request_conn(rq), room, draft.type, draft.state_key, &now));
	content = now != NULL ? mx_event_content_parse(now) : NULL;
	if (content == NULL || !take_out(content, alias))
		return NULL;
	draft.content = content;
	return mx_room_send(rs, mx_request_conn(rq), room, &draft, 1, NULL);
}

static mx_error *
delete_alias(struct mx_request *rq)
{
	struct mx_core *core = mx_request_core(rq);
	MX_AUTO(mx_room) *room = NULL;
	struct directory_alias a;
	bool allowed;
	mx_error *e;

	MX_TRY(directory_check_alias(core, mx_request_param(rq, "roomAlias")));
	MX_TRY(directory_find(mx_request_conn(rq), mx_request_param(rq, "roomAlias"), &a));
	MX_TRY(mx_room_by_nid(mx_core_rooms(core), mx_request_conn(rq), a.room, &room));
	allowed = a.creator == mx_request_auth(rq)->user;
	if (!allowed)
		MX_TRY(may_manage(rq, room, &allowed));
	if (!allowed)
		return mx_error_new(
			MX_E_FORBIDDEN,
			"Only who made the alias, or has the power to change the room's main "
			"alias, may remove it");
	MX_TRY(directory_drop(mx_core_db(core), a.alias, a.room));
	e = update_canonical(rq, room, a.alias);
	if (e != NULL && !mx_error_is(e, MX_E_FORBIDDEN))
		mx_log("client-directory", MX_WARN, "DIR002",
		       "a room keeps naming an alias that was removed",
		       mx_fs("room", mx_room_id(room)), mx_fe(e));
	mx_error_free(&e);
	return NULL;
}

enum mx_outcome
directory_delete_alias(struct mx_request *rq)
{
	mx_error *e = delete_alias(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

/* ---- GET /rooms/{roomId}/aliases ---- */

static mx_error *
room_aliases(struct mx_request *rq, json_t *aliases)
{
	struct mx_rooms *rs = mx_core_rooms(mx_request_core(rq));
	const struct mx_auth *who = mx_request_auth(rq);
	MX_AUTO(mx_room) *room = NULL;
	struct mx_member member;
	struct mx_room_summary summary;
	mx_str *list;
	size_t n;
	mx_error *e;

	MX_TRY(mx_id_check_room(mx_request_param(rq, "roomId"), "roomId"));
	e = mx_room_get(rs, mx_request_conn(rq), mx_request_param(rq, "roomId"), &room);
	if (mx_error_is(e, MX_E_NOT_FOUND)) {
		mx_error_free(&e);
		return mx_error_new(MX_E_FORBIDDEN, "You are not in this room");
	}
	MX_TRY(e);
	MX_TRY(mx_room_member(rs, mx_request_conn(rq), room, who->user, &member));
	if (member.membership != MX_MEMBER_JOIN && !who->admin) {
		MX_TRY(mx_room_summary(rs, mx_request_conn(rq), room, mx_request_arena(rq),
				       &summary));
		if (!summary.world_readable)
			return mx_error_new(MX_E_FORBIDDEN, "You are not in this room");
	}
	MX_TRY(directory_aliases(mx_request_conn(rq), mx_room_nid(room), mx_request_arena(rq),
				 &list, &n));
	for (size_t i = 0; i < n; i++)
		json_array_append_new(aliases, json_stringn(list[i].p, list[i].n));
	return NULL;
}

enum mx_outcome
directory_room_aliases(struct mx_request *rq)
{
	json_t *aliases = json_array();
	mx_error *e = room_aliases(rq, aliases);

	if (e == NULL)
		return mx_reply_json(rq, 200, json_pack("{s:o}", "aliases", aliases));
	json_decref(aliases);
	return mx_reply_error(rq, e);
}

/* ---- /directory/list/room/{roomId} ---- */

static mx_error *
known_room(struct mx_request *rq, struct mx_room **out)
{
	MX_TRY(mx_id_check_room(mx_request_param(rq, "roomId"), "roomId"));
	return mx_room_get(mx_core_rooms(mx_request_core(rq)), mx_request_conn(rq),
			   mx_request_param(rq, "roomId"), out);
}

enum mx_outcome
directory_get_visibility(struct mx_request *rq)
{
	MX_AUTO(mx_room) *room = NULL;
	bool listed = false;
	mx_error *e = known_room(rq, &room);

	if (e == NULL)
		e = directory_is_listed(mx_request_conn(rq), mx_room_nid(room), &listed);
	if (e != NULL)
		return mx_reply_error(rq, e);
	return mx_reply_json(rq, 200,
			     json_pack("{s:s}", "visibility", listed ? "public" : "private"));
}

static mx_error *
put_visibility(struct mx_request *rq)
{
	MX_AUTO(mx_room) *room = NULL;
	mx_str visibility = MX_S("public");
	bool on, allowed;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_opt_str(body, "visibility", &visibility));
	on = mx_str_eq(visibility, MX_S("public"));
	if (!on && !mx_str_eq(visibility, MX_S("private")))
		return mx_error_new(MX_E_INVALID_PARAM, "visibility must be public or private");
	MX_TRY(known_room(rq, &room));
	MX_TRY(may_manage(rq, room, &allowed));
	if (!allowed)
		return mx_error_new(MX_E_FORBIDDEN, "You have not the power to publish this room");
	if (on)
		MX_TRY(mx_check_directory(mx_request_core(rq), mx_request_auth(rq)->user_id,
					  mx_room_id(room), (mx_str){ NULL, 0 }));
	return directory_list_room(mx_core_db(mx_request_core(rq)), mx_room_nid(room), on);
}

enum mx_outcome
directory_put_visibility(struct mx_request *rq)
{
	mx_error *e = put_visibility(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}
