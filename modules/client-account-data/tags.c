/* Tags: one m.tag of a room's account data, changed a tag at a time. */
#include "data.h"

static const mx_str TAG = { "m.tag", 5 };

enum { MAX_TAGS = 100 };

static mx_error *
check_tag(mx_str tag)
{
	if (tag.n == 0 || tag.n > 255)
		return mx_error_new(MX_E_INVALID_PARAM, "a tag has from 1 to 255 bytes");
	return NULL;
}

enum mx_outcome
tags_get(struct mx_request *rq)
{
	mx_str content = { 0 };
	mx_nid room;
	struct mx_buf *b;
	mx_error *e = data_check_owner(rq);

	if (e == NULL)
		e = data_room(rq, &room);
	if (e == NULL)
		e = data_get(mx_request_core(rq), mx_request_conn(rq), mx_request_auth(rq)->user,
			     room, TAG, mx_request_arena(rq), &content);
	if (e != NULL)
		return mx_reply_error(rq, e);
	b = mx_buf_new(0);
	mx_buf_str(b, content.n > 0 ? content : MX_S("{\"tags\":{}}"));
	return mx_reply_buf(rq, 200, &b);
}

struct tag_change {
	mx_str tag;
	json_t *value;		/* NULL: remove it */
};

static mx_error *
change(void *arg, mx_str old, struct mx_buf *out)
{
	const struct tag_change *ch = arg;
	MX_AUTO_JSON *content = NULL;
	json_t *tags;

	if (old.n > 0)
		MX_TRY(mx_json_parse(old, &content));
	else
		content = json_object();
	tags = json_object_get(content, "tags");
	if (!json_is_object(tags)) {
		tags = json_object();
		json_object_set_new(content, "tags", tags);
	}
	if (ch->value != NULL)
		json_object_setn(tags, ch->tag.p, ch->tag.n, ch->value);
	else
		json_object_deln(tags, ch->tag.p, ch->tag.n);
	if (json_object_size(tags) > MAX_TAGS)
		return mx_error_new(MX_E_TOO_LARGE, "a room has at most %d tags", MAX_TAGS);
	mx_json_dump(content, out);
	return NULL;
}

static mx_error *
change_tag(struct mx_request *rq, json_t *value)
{
	const struct data_options *o = mx_self_options(mx_request_self(rq));
	struct tag_change ch = { .tag = mx_request_param(rq, "tag"), .value = value };
	mx_nid room;

	MX_TRY(data_check_owner(rq));
	MX_TRY(check_tag(ch.tag));
	MX_TRY(data_room(rq, &room));
	return data_change(mx_request_core(rq), mx_request_auth(rq)->user, room, TAG, o->max_types,
			   change, &ch);
}

static mx_error *
check_order(const json_t *body)
{
	const json_t *order = json_object_get(body, "order");

	if (order == NULL || json_is_number(order))
		return NULL;
	return mx_error_new(MX_E_BAD_JSON, "order is not a number");
}

enum mx_outcome
tags_put(struct mx_request *rq)
{
	json_t *body;
	mx_error *e = mx_request_json(rq, &body);

	if (e == NULL)
		e = check_order(body);
	if (e == NULL)
		e = change_tag(rq, body);
	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

enum mx_outcome
tags_delete(struct mx_request *rq)
{
	mx_error *e = change_tag(rq, NULL);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}
