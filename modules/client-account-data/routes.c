/* GET and PUT of account data, global and of a room. */
#include "data.h"

mx_error *
data_check_owner(struct mx_request *rq)
{
	mx_str user = mx_request_param(rq, "userId");

	MX_TRY(mx_id_check_user(user, "userId"));
	if (mx_str_eq(user, mx_request_auth(rq)->user_id))
		return NULL;
	return mx_error_new(MX_E_FORBIDDEN, "account data can be read and set for oneself only");
}

mx_error *
data_room(struct mx_request *rq, mx_nid *room)
{
	mx_str id = mx_request_param(rq, "roomId");
	MX_AUTO(mx_room) *r = NULL;

	*room = 0;
	if (id.p == NULL)
		return NULL;
	MX_TRY(mx_id_check_room(id, "roomId"));
	MX_TRY(mx_room_get(mx_core_rooms(mx_request_core(rq)), mx_request_conn(rq), id, &r));
	*room = mx_room_nid(r);
	return NULL;
}

static mx_error *
get(struct mx_request *rq, mx_str *content)
{
	mx_nid room;

	MX_TRY(data_check_owner(rq));
	MX_TRY(data_room(rq, &room));
	MX_TRY(data_get(mx_request_core(rq), mx_request_conn(rq), mx_request_auth(rq)->user, room,
			mx_request_param(rq, "type"), mx_request_arena(rq), content));
	return content->n > 0
		       ? NULL
		       : mx_error_new(MX_E_NOT_FOUND, "there is no account data of this type");
}

enum mx_outcome
data_route_get(struct mx_request *rq)
{
	struct mx_buf *b;
	mx_str content;
	mx_error *e = get(rq, &content);

	if (e != NULL)
		return mx_reply_error(rq, e);
	b = mx_buf_new(0);
	mx_buf_str(b, content);
	return mx_reply_buf(rq, 200, &b);
}

/* Types that the server itself keeps, with endpoints of their own. */
static mx_error *
check_type(mx_str type)
{
	if (type.n == 0 || type.n > 255)
		return mx_error_new(MX_E_INVALID_PARAM, "a type has from 1 to 255 bytes");
	if (mx_str_eq(type, MX_S("m.fully_read")) || mx_str_eq(type, MX_S("m.push_rules")))
		return mx_error_new(MX_E_MANAGED, "%.*s is set through its own endpoint",
				    MX_SFMT(type));
	return NULL;
}

static mx_error *
replace(void *arg, mx_str old, struct mx_buf *out)
{
	(void)old;
	mx_json_dump(arg, out);
	return NULL;
}

static mx_error *
put(struct mx_request *rq)
{
	const struct data_options *o = mx_self_options(mx_request_self(rq));
	mx_str type = mx_request_param(rq, "type");
	json_t *content;
	mx_nid room;

	MX_TRY(data_check_owner(rq));
	MX_TRY(check_type(type));
	MX_TRY(data_room(rq, &room));
	MX_TRY(mx_request_json(rq, &content));
	if (mx_request_body(rq).n > (size_t)o->max_content.bytes)
		return mx_error_new(MX_E_TOO_LARGE, "account data has at most %lld bytes",
				    (long long)o->max_content.bytes);
	return data_change(mx_request_core(rq), mx_request_auth(rq)->user, room, type, o->max_types,
			   replace, content);
}

enum mx_outcome
data_route_put(struct mx_request *rq)
{
	mx_error *e = put(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}
