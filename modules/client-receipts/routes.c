/* POST receipt and POST read_markers. */
#include "receipts.h"

/* The room of the path, when who asks is in it. */
static mx_error *
joined_room(struct mx_request *rq, struct mx_room **out)
{
	struct mx_rooms *rs = mx_core_rooms(mx_request_core(rq));
	MX_AUTO(mx_room) *room = NULL;
	struct mx_member m;

	MX_TRY(mx_id_check_room(mx_request_param(rq, "roomId"), "roomId"));
	MX_TRY(mx_room_get(rs, mx_request_conn(rq), mx_request_param(rq, "roomId"), &room));
	MX_TRY(mx_room_member(rs, mx_request_conn(rq), room, mx_request_auth(rq)->user, &m));
	if (m.membership != MX_MEMBER_JOIN)
		return mx_error_new(MX_E_FORBIDDEN, "you are not in this room");
	*out = room;
	room = NULL;
	return NULL;
}

static mx_error *
find_event(struct mx_request *rq, struct mx_room *room, mx_str id, mx_nid *nid)
{
	MX_AUTO(mx_event) *ev = NULL;
	bool visible = false;
	struct mx_rooms *rs = mx_core_rooms(mx_request_core(rq));
	const struct mx_auth *who = mx_request_auth(rq);

	if (!mx_id_event(id))
		return mx_error_new(MX_E_INVALID_PARAM, "this is not an event id");
	MX_TRY(mx_event_get(rs, mx_request_conn(rq), id, &ev));
	if (mx_event_room(ev) == mx_room_nid(room))
		MX_TRY(mx_event_visible(rs, mx_request_conn(rq), room, ev, who->user, who->user_id,
					&visible));
	if (!visible)
		return mx_error_new(MX_E_NOT_FOUND, "there is no such event in this room");
	*nid = mx_event_nid(ev);
	return NULL;
}

static mx_error *
put_receipt(struct mx_request *rq, struct mx_room *room, bool private, mx_str event_id,
	    mx_str thread)
{
	struct receipt r = { .room = mx_room_nid(room),
			     .reader = mx_request_auth(rq)->user,
			     .private = private,
			     .thread = thread,
			     .event_id = event_id,
			     .ts = mx_now() };

	MX_TRY(find_event(rq, room, event_id, &r.event));
	return receipt_put(mx_request_core(rq), &r);
}

/* m.fully_read is account data of the room. */
static mx_error *
put_marker(struct mx_request *rq, struct mx_room *room, mx_str event_id)
{
	const struct mx_account_data_service *data =
		mx_self_service(mx_request_self(rq), "account-data");
	MX_AUTO(mx_buf) *content = mx_buf_new(0);
	struct mx_jw w = mx_jw_on(content);

	if (data == NULL)
		return mx_error_new(MX_E_UNRECOGNIZED, "this server keeps no account data");
	if (!mx_id_event(event_id))
		return mx_error_new(MX_E_INVALID_PARAM, "m.fully_read is not an event id");
	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("event_id"));
	mx_jw_str(&w, event_id);
	mx_jw_object_end(&w);
	return data->set(mx_request_core(rq), mx_request_auth(rq)->user, mx_room_nid(room),
			 MX_S("m.fully_read"), mx_buf_view(content));
}

static mx_error *
put_by_type(struct mx_request *rq, struct mx_room *room, mx_str type, mx_str event_id,
	    mx_str thread)
{
	if (mx_str_eq(type, MX_S("m.read")))
		return put_receipt(rq, room, false, event_id, thread);
	if (mx_str_eq(type, MX_S("m.read.private")))
		return put_receipt(rq, room, true, event_id, thread);
	if (!mx_str_eq(type, MX_S("m.fully_read")))
		return mx_error_new(MX_E_INVALID_PARAM, "%.*s is no type of receipt",
				    MX_SFMT(type));
	if (thread.n > 0)
		return mx_error_new(MX_E_INVALID_PARAM, "m.fully_read has no threads");
	return put_marker(rq, room, event_id);
}

static mx_error *
read_thread(struct mx_request *rq, mx_str *thread)
{
	json_t *body;

	*thread = MX_S("");
	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_opt_str(body, "thread_id", thread));
	if (json_object_get(body, "thread_id") == NULL)
		return NULL;
	if (!mx_str_eq(*thread, MX_S("main")) && !mx_id_event(*thread))
		return mx_error_new(MX_E_INVALID_PARAM,
				    "thread_id is neither \"main\" nor an event id");
	return NULL;
}

static mx_error *
post(struct mx_request *rq)
{
	MX_AUTO(mx_room) *room = NULL;
	mx_str thread;

	MX_TRY(read_thread(rq, &thread));
	MX_TRY(joined_room(rq, &room));
	return put_by_type(rq, room, mx_request_param(rq, "receiptType"),
			   mx_request_param(rq, "eventId"), thread);
}

enum mx_outcome
receipts_post(struct mx_request *rq)
{
	mx_error *e = post(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

static mx_error *
markers(struct mx_request *rq)
{
	static const char *const types[] = { "m.fully_read", "m.read", "m.read.private" };
	MX_AUTO(mx_room) *room = NULL;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(joined_room(rq, &room));
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		mx_str id = { 0 };

		MX_TRY(mx_json_opt_str(body, types[i], &id));
		if (id.p != NULL)
			MX_TRY(put_by_type(rq, room, mx_str_of(types[i]), id, MX_S("")));
	}
	return NULL;
}

enum mx_outcome
receipts_markers(struct mx_request *rq)
{
	mx_error *e = markers(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}
