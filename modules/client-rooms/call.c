/* A handler's surroundings, and the questions that several handlers ask. */
#include "config.h"

#include "rooms.h"

struct rooms_call
rooms_call_of(struct mx_request *rq)
{
	struct mx_core *core = mx_request_core(rq);

	return (struct rooms_call){
		.rq = rq,
		.self = mx_request_self(rq),
		.core = core,
		.rs = mx_core_rooms(core),
		.conn = mx_request_conn(rq),
		.arena = mx_request_arena(rq),
		.who = mx_request_auth(rq),
	};
}

const struct rooms_options *
rooms_options(const struct rooms_call *c)
{
	return mx_self_options(c->self);
}

const struct mx_directory_service *
rooms_directory(const struct rooms_call *c)
{
	return mx_self_service(c->self, "directory");
}

mx_error *
rooms_find_known(const struct rooms_call *c, struct mx_room **out)
{
	mx_str id = mx_request_param(c->rq, "roomId");

	*out = NULL;
	MX_TRY(mx_id_check_room(id, "roomId"));
	return mx_room_get(c->rs, c->conn, id, out);
}

mx_error *
rooms_find(const struct rooms_call *c, struct mx_room **out)
{
	mx_error *e = rooms_find_known(c, out);

	if (!mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	return mx_error_new(MX_E_FORBIDDEN, "You are not in this room");
}

mx_error *
rooms_find_named(const struct rooms_call *c, mx_str name, struct mx_room **out)
{
	const struct mx_directory_service *directory = rooms_directory(c);
	mx_str id = name;

	*out = NULL;
	if (name.n > 0 && name.p[0] == '#') {
		if (!mx_id_alias(name, NULL, NULL))
			return mx_error_new(MX_E_INVALID_PARAM, "This is no room alias");
		if (directory == NULL)
			return mx_error_new(MX_E_NOT_FOUND, "This server has no room aliases");
		MX_TRY(directory->resolve(c->core, c->conn, name, c->arena, &id));
	} else if (!mx_id_room(name)) {
		return mx_error_new(MX_E_INVALID_PARAM,
				    "This is neither a room id nor a room alias");
	}
	return mx_room_get(c->rs, c->conn, id, out);
}

mx_error *
rooms_member(const struct rooms_call *c, struct mx_room *room, mx_str user_id,
	     struct mx_member *out)
{
	mx_nid user = 0;

	*out = (struct mx_member){ .membership = MX_MEMBER_NONE };
	if (c->who != NULL && mx_str_eq(user_id, c->who->user_id))
		user = c->who->user;
	else
		MX_TRY(mx_name_find(c->conn, user_id, &user));
	if (user == 0)
		return NULL;
	return mx_room_member(c->rs, c->conn, room, user, out);
}

mx_error *
rooms_state_content(const struct rooms_call *c, struct mx_room *room, mx_str type, mx_str key,
		    json_t **out)
{
	MX_AUTO(mx_event) *ev = NULL;

	*out = NULL;
	MX_TRY(mx_room_state(c->rs, c->conn, room, type, key, &ev));
	if (ev != NULL)
		*out = mx_event_content_parse(ev);
	return NULL;
}

bool
rooms_local(const struct rooms_call *c, mx_str id)
{
	return mx_str_eq(mx_id_server_of(id), mx_core_server_name(c->core));
}

mx_nid
rooms_device(const struct rooms_call *c)
{
	/* A session without a device is known by its token. */
	return c->who->device != 0 ? c->who->device : -c->who->token;
}

struct mx_draft
rooms_draft(const struct rooms_call *c, mx_str type, json_t *content)
{
	return (struct mx_draft){ .type = type,
				  .content = content,
				  .sender = c->who->user,
				  .sender_id = c->who->user_id };
}

struct mx_draft
rooms_state_draft(const struct rooms_call *c, mx_str type, mx_str key, json_t *content)
{
	struct mx_draft d = rooms_draft(c, type, content);

	d.state_key = key.p != NULL ? key : MX_S("");
	return d;
}

mx_error *
rooms_send(const struct rooms_call *c, struct mx_room *room, const struct mx_draft *draft,
	   mx_str *event_id)
{
	MX_AUTO(mx_event) *ev = NULL;

	MX_TRY(mx_room_send(c->rs, c->conn, room, draft, 1, &ev));
	if (event_id != NULL)
		*event_id = mx_arena_str(c->arena, mx_event_id(ev));
	return NULL;
}

enum mx_outcome
rooms_reply_id(const struct rooms_call *c, const char *key, mx_str id)
{
	struct mx_buf *b = mx_buf_new(0);
	struct mx_jw w = mx_jw_on(b);

	mx_jw_object(&w);
	mx_jw_key(&w, mx_str_of(key));
	mx_jw_str(&w, id);
	mx_jw_object_end(&w);
	return mx_reply_buf(c->rq, 200, &b);
}
