/* Logging in by whatever the loaded modules offer. Client-Server API, "Login". */
#include "config.h"

#include "client_session.h"

static mx_error *
add_flow(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	const struct mx_login_ops *o = ops;
	json_t *flow = json_object();

	json_object_set_new(flow, "type", json_string(name));
	if (o->describe != NULL)
		o->describe(self, flow);
	json_array_append_new(arg, flow);
	return NULL;
}

enum mx_outcome
session_login_flows(struct mx_request *rq)
{
	json_t *flows = json_array();
	mx_error *e = mx_core_providers(mx_request_core(rq), "login", add_flow, flows);

	if (e != NULL) {
		json_decref(flows);
		return mx_reply_error(rq, e);
	}
	return mx_reply_json(rq, 200, json_pack("{s:o}", "flows", flows));
}

struct attempt {
	struct mx_request *rq;
	const json_t *body;
	mx_str type, localpart;
	bool known;
	mx_error *e;
};

static mx_error *
try_provider(void *arg, const char *name, const void *ops, struct mx_module_self *self)
{
	struct attempt *t = arg;

	if (!t->known && mx_str_eq(mx_str_of(name), t->type)) {
		t->known = true;
		t->e = ((const struct mx_login_ops *)ops)
			       ->login(self, t->rq, t->body, (mx_str){ NULL, 0 }, &t->localpart);
	}
	return NULL;
}

static mx_error *
who_is(struct mx_request *rq, const json_t *body, struct mx_user *user)
{
	struct mx_core *core = mx_request_core(rq);
	struct attempt t = { .rq = rq, .body = body };

	MX_TRY(mx_json_get_str(body, "type", &t.type));
	MX_TRY(mx_core_providers(core, "login", try_provider, &t));
	if (!t.known)
		return mx_error_new(MX_E_BAD_REQUEST, "This server has no login of the type %.*s",
				    MX_SFMT(t.type));
	MX_TRY(t.e);
	mx_error *e = mx_user_get(mx_core_accounts(core), mx_request_conn(rq), t.localpart,
				  mx_request_arena(rq), user);
	if (mx_error_is(e, MX_E_NOT_FOUND)) {
		mx_error_free(&e);
		return mx_error_new(MX_E_FORBIDDEN, "There is no account of this name");
	}
	MX_TRY(e);
	if (user->deactivated)
		return mx_error_new(MX_E_USER_DEACTIVATED, "This account has been deactivated");
	if (user->locked)
		return mx_error_with(mx_error_new(MX_E_USER_LOCKED, "This account is locked"),
				     "soft_logout", json_true());
	return mx_check_login(core, user->user_id, t.type);
}

static mx_error *
device_asked(const json_t *body, struct mx_new_session *n)
{
	MX_TRY(mx_json_opt_str(body, "device_id", &n->device_id));
	MX_TRY(mx_json_opt_str(body, "initial_device_display_name", &n->display_name));
	return mx_json_opt_bool(body, "refresh_token", &n->refresh);
}

static json_t *
json_of(mx_str s)
{
	return json_stringn(s.p, s.n);
}

static void
add_tokens(json_t *answer, const struct mx_session *s)
{
	json_object_set_new(answer, "access_token", json_of(s->access_token));
	if (s->refresh_token.n > 0)
		json_object_set_new(answer, "refresh_token", json_of(s->refresh_token));
	if (s->expires_in > 0)
		json_object_set_new(answer, "expires_in_ms", json_integer(s->expires_in));
}

static json_t *
login_answer(struct mx_core *core, const struct mx_session *s)
{
	mx_str url = mx_core_public_url(core);
	json_t *answer = json_object();

	json_object_set_new(answer, "user_id", json_of(s->user_id));
	json_object_set_new(answer, "device_id", json_of(s->device_id));
	json_object_set_new(answer, "home_server", json_of(mx_core_server_name(core)));
	add_tokens(answer, s);
	if (url.n > 0) {
		json_t *base = json_object();

		json_object_set_new(base, "base_url", json_of(url));
		json_object_set_new(answer, "well_known", json_pack("{s:o}", "m.homeserver", base));
	}
	return answer;
}

static mx_error *
login(struct mx_request *rq, json_t **answer)
{
	struct mx_core *core = mx_request_core(rq);
	struct mx_new_session n = { 0 };
	struct mx_session s;
	struct mx_user user;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(device_asked(body, &n));
	MX_TRY(who_is(rq, body, &user));
	n.user = user.nid;
	MX_TRY(mx_session_open(mx_core_accounts(core), &n, mx_request_arena(rq), &s));
	*answer = login_answer(core, &s);
	return NULL;
}

enum mx_outcome
session_login(struct mx_request *rq)
{
	json_t *answer;
	mx_error *e = login(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

static mx_error *
refresh(struct mx_request *rq, json_t **answer)
{
	struct mx_session s;
	mx_str token;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_get_str(body, "refresh_token", &token));
	MX_TRY(mx_session_refresh(mx_core_accounts(mx_request_core(rq)), token,
				  mx_request_arena(rq), &s));
	*answer = json_object();
	add_tokens(*answer, &s);
	return NULL;
}

enum mx_outcome
session_refresh(struct mx_request *rq)
{
	json_t *answer;
	mx_error *e = refresh(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

enum mx_outcome
session_logout(struct mx_request *rq)
{
	mx_error *e = mx_session_close(mx_core_accounts(mx_request_core(rq)), mx_request_auth(rq));

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

enum mx_outcome
session_logout_all(struct mx_request *rq)
{
	mx_error *e = mx_session_close_all(mx_core_accounts(mx_request_core(rq)),
					   mx_request_auth(rq)->user);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

enum mx_outcome
session_whoami(struct mx_request *rq)
{
	const struct mx_auth *auth = mx_request_auth(rq);
	json_t *answer = json_object();

	json_object_set_new(answer, "user_id", json_of(auth->user_id));
	if (auth->device_id.n > 0)
		json_object_set_new(answer, "device_id", json_of(auth->device_id));
	json_object_set_new(answer, "is_guest", json_boolean(auth->guest));
	return mx_reply_json(rq, 200, answer);
}
