/* Typing notifications. Client-Server API, "Typing Notifications". */
#include "typing.h"

struct typing_options {
	struct mx_duration max_timeout;
};

#define TOPIC "client-typing"

static const struct mx_option options[] = {
	MX_OPT(struct typing_options, max_timeout, .def = "2m", .min = 1000, .max = 3600000,
	       .flags = MX_OPT_RELOAD,
	       .help = "The longest time for which a client may say that its user types."),
};

/* Here and in the other processes. ms: for how long; 0: the user has stopped. */
static void
type_for(struct mx_module_self *self, mx_nid room, mx_str user_id, mx_msec ms)
{
	MX_AUTO(mx_buf) *text = NULL;

	if (!typing_set(mx_self_state(self), room, user_id,
			ms > 0 ? mx_monotonic_us() + ms * 1000 : 0))
		return;
	text = mx_buf_new(0);
	mx_buf_printf(text, "%lld %lld %.*s", (long long)room, (long long)ms, MX_SFMT(user_id));
	mx_core_tell(mx_self_core(self), MX_S(TOPIC), mx_buf_view(text));
}

static void
told(struct mx_module_self *self, mx_str topic, mx_str text)
{
	mx_str room, ms;
	int64_t nid, left;

	(void)topic;
	if (mx_str_cut(text, ' ', &room, &text) && mx_str_cut(text, ' ', &ms, &text) &&
	    mx_str_int(room, 1, INT64_MAX, &nid) && mx_str_int(ms, 0, 3600000, &left))
		typing_set(mx_self_state(self), nid, text,
			   left > 0 ? mx_monotonic_us() + left * 1000 : 0);
}

static mx_error *
read_body(struct mx_request *rq, mx_msec *ms)
{
	const struct typing_options *o = mx_self_options(mx_request_self(rq));
	int64_t timeout = 30000;
	bool typing = false;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	if (json_object_get(body, "typing") == NULL)
		return mx_error_new(MX_E_MISSING_PARAM, "typing is missing");
	MX_TRY(mx_json_opt_bool(body, "typing", &typing));
	MX_TRY(mx_json_opt_int(body, "timeout", &timeout));
	if (timeout < 0)
		return mx_error_new(MX_E_INVALID_PARAM, "timeout is negative");
	if (timeout > o->max_timeout.ms)
		timeout = o->max_timeout.ms;
	*ms = typing ? timeout : 0;
	return NULL;
}

static mx_error *
set_typing(struct mx_request *rq)
{
	struct mx_rooms *rs = mx_core_rooms(mx_request_core(rq));
	const struct mx_auth *who = mx_request_auth(rq);
	MX_AUTO(mx_room) *room = NULL;
	struct mx_member m;
	mx_msec ms = 0;

	MX_TRY(mx_id_check_user(mx_request_param(rq, "userId"), "userId"));
	MX_TRY(mx_id_check_room(mx_request_param(rq, "roomId"), "roomId"));
	if (!mx_str_eq(mx_request_param(rq, "userId"), who->user_id))
		return mx_error_new(MX_E_FORBIDDEN, "nobody can type for somebody else");
	MX_TRY(read_body(rq, &ms));
	MX_TRY(mx_room_get(rs, mx_request_conn(rq), mx_request_param(rq, "roomId"), &room));
	MX_TRY(mx_room_member(rs, mx_request_conn(rq), room, who->user, &m));
	if (m.membership != MX_MEMBER_JOIN)
		return mx_error_new(MX_E_FORBIDDEN, "you are not in this room");
	type_for(mx_request_self(rq), mx_room_nid(room), who->user_id, ms);
	return NULL;
}

static enum mx_outcome
put(struct mx_request *rq)
{
	mx_error *e = set_typing(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

/* Who has sent a message has stopped typing. */
static void
stored(struct mx_module_self *self, struct mx_event *event)
{
	type_for(self, mx_event_room(event), mx_event_sender(event), 0);
}

static const char *const topics[] = { TOPIC, NULL };
static const char *const messages[] = { "m.room.message", "m.room.encrypted", NULL };

static void
section(struct mx_module_self *self, const struct mx_sync *sync, enum mx_sync_section which,
	struct mx_jw *w)
{
	MX_AUTO(mx_buf) *users = NULL;
	struct mx_jw list;

	if (which != MX_SYNC_ROOM_EPHEMERAL || !mx_sync_may_have(sync, MX_ITEM_TYPING) ||
	    !mx_sync_wants(sync, which, MX_S("m.typing"), (mx_str){ 0 }))
		return;
	users = mx_buf_new(0);
	list = mx_jw_on(users);
	if (!typing_write(mx_self_state(self), mx_room_nid(mx_sync_room(sync)),
			  mx_sync_since(sync).ephemeral, mx_sync_since(sync).pos == 0, &list))
		return;
	mx_jw_object(w);
	mx_jw_key(w, MX_S("type"));
	mx_jw_str(w, MX_S("m.typing"));
	mx_jw_key(w, MX_S("content"));
	mx_jw_object(w);
	mx_jw_key(w, MX_S("user_ids"));
	mx_jw_array(w);
	if (mx_buf_view(users).n > 0)
		mx_jw_raw(w, mx_buf_view(users));
	mx_jw_array_end(w);
	mx_jw_object_end(w);
	mx_jw_object_end(w);
}

static const struct mx_route routes[] = {
	{ "PUT", "/_matrix/client/v3/rooms/{roomId}/typing/{userId}", put, MX_AUTH_USER,
	  MX_RATE_WRITE, 0, 0 },
};

static const struct mx_hook_row hooks[] = {
	MX_ON(sync_section, MX_PRIO_NORMAL, section),
	MX_ON_TYPES(event_stored, MX_PRIO_NORMAL, stored, messages),
	MX_ON_TYPES(told, MX_PRIO_NORMAL, told, topics),
};

static mx_error *
start(struct mx_module_self *self)
{
	struct typing *t = typing_new(mx_core_stream(mx_self_core(self)));

	if (t == NULL)
		return mx_error_new(MX_E_UNAVAILABLE, "a thread could not be started");
	mx_self_set_state(self, t);
	return NULL;
}

static void
stop(struct mx_module_self *self)
{
	struct typing *t = mx_self_state(self);

	typing_free(&t);
}

MX_MODULE(client_typing) = {
	MX_MODULE_HEAD("client-typing", "1.0", "Typing notifications"),
	.options = MX_TABLE(options),
	.options_size = sizeof(struct typing_options),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
	.start = start,
	.stop = stop,
};
