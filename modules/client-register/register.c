/* Registration. Off unless the configuration turns it on; then the stages in it stand before every
 * new account. Client-Server API, "Account registration", "Guest Access". */
#include "config.h"

#include <myelin/module.h>

struct options {
	bool enabled, guests;
	struct mx_list stages;
};

static const struct mx_option options[] = {
	MX_OPT(struct options, enabled, .def = "no", .flags = MX_OPT_RELOAD,
	       .help = "Whether people may register."),
	MX_OPT(struct options, stages, .def = "token", .flags = MX_OPT_RELOAD,
	       .help = "What they must do: token (a registration token, see auth-token), dummy "
		       "(nothing: open to all), or the"
		       " names of stages of other modules."),
	MX_OPT(struct options, guests, .def = "no", .flags = MX_OPT_RELOAD,
	       .help = "Whether guests get an account without a password, for rooms that admit "
		       "guests."),
};

enum { STAGES_MAX = 8, RANDOM_NAME = 12 };

static struct mx_accounts *
accounts_of(struct mx_request *rq)
{
	return mx_core_accounts(mx_request_core(rq));
}

/* ---- stages ---- */

static const char *
stage_name(const char *word)
{
	if (strcmp(word, "token") == 0)
		return "m.login.registration_token";
	if (strcmp(word, "dummy") == 0)
		return "m.login.dummy";
	return word;
}

static mx_error *
stages_pass(struct mx_request *rq, const struct options *o)
{
	const char *flow[STAGES_MAX + 1] = { NULL };
	const char *const *const flows[] = { flow };
	size_t n;

	for (n = 0; n < o->stages.n && n < STAGES_MAX; n++) {
		flow[n] = stage_name(o->stages.v[n]);
		if (!mx_core_has_provider(mx_request_core(rq), "stage", flow[n]))
			return mx_error_new(MX_E_FORBIDDEN,
					    "Registration asks for %s, and no module of this "
					    "server offers that",
					    flow[n]);
	}
	return mx_uia_check(rq, flows, 1, NULL);
}

static mx_error *
dummy_check(struct mx_module_self *self, struct mx_request *rq, const json_t *auth)
{
	(void)self;
	(void)rq;
	(void)auth;
	return NULL;
}

static const struct mx_stage_ops dummy = { .size = sizeof(dummy), .check = dummy_check };

/* ---- POST /register ---- */

struct asked {
	mx_str username, password;
	bool inhibit_login;
	struct mx_new_session session;
};

static mx_error *
read_body(struct mx_request *rq, struct asked *a)
{
	json_t *body;

	*a = (struct asked){ 0 };
	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_opt_str(body, "username", &a->username));
	MX_TRY(mx_json_opt_str(body, "password", &a->password));
	MX_TRY(mx_json_opt_bool(body, "inhibit_login", &a->inhibit_login));
	MX_TRY(mx_json_opt_str(body, "device_id", &a->session.device_id));
	MX_TRY(mx_json_opt_str(body, "initial_device_display_name", &a->session.display_name));
	return mx_json_opt_bool(body, "refresh_token", &a->session.refresh);
}

/* The localpart of the new account: what was asked for, in lower case, or something random. */
static mx_str
localpart_for(struct mx_request *rq, mx_str username)
{
	char random[RANDOM_NAME + 1];

	if (username.n == 0) {
		mx_random_text(random, RANDOM_NAME);
		username = mx_str_of(random);
	}
	mx_str name = mx_arena_str(mx_request_arena(rq), username);
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] >= 'A' && name.p[i] <= 'Z')
			((char *)(uintptr_t)name.p)[i] = (char)(name.p[i] - 'A' + 'a');
	return name;
}

static json_t *
json_of(mx_str s)
{
	return json_stringn(s.p, s.n);
}

static mx_error *
make(struct mx_request *rq, const struct mx_new_user *u, const struct asked *a, json_t **answer)
{
	struct mx_core *core = mx_request_core(rq);
	struct mx_arena *arena = mx_request_arena(rq);
	struct mx_session s = { 0 };

	if (a->inhibit_login) {
		MX_TRY(mx_user_create(mx_core_accounts(core), u, NULL));
		mx_str server = mx_core_server_name(core);
		s.user_id = mx_arena_printf(arena, "@%.*s:%.*s", MX_SFMT(u->localpart),
					    MX_SFMT(server));
	} else {
		MX_TRY(mx_user_register(mx_core_accounts(core), u, &a->session, arena, NULL, &s));
	}
	*answer = json_object();
	json_object_set_new(*answer, "user_id", json_of(s.user_id));
	json_object_set_new(*answer, "home_server", json_of(mx_core_server_name(core)));
	if (a->inhibit_login)
		return NULL;
	json_object_set_new(*answer, "access_token", json_of(s.access_token));
	json_object_set_new(*answer, "device_id", json_of(s.device_id));
	if (s.refresh_token.n > 0)
		json_object_set_new(*answer, "refresh_token", json_of(s.refresh_token));
	if (s.expires_in > 0)
		json_object_set_new(*answer, "expires_in_ms", json_integer(s.expires_in));
	return NULL;
}

static mx_error *
register_guest(struct mx_request *rq, const struct options *o, json_t **answer)
{
	struct mx_core *core = mx_request_core(rq);
	struct asked a;

	if (!o->guests)
		return mx_error_new(MX_E_GUEST_FORBIDDEN, "This server has no guests");
	MX_TRY(read_body(rq, &a));
	a.inhibit_login = false;
	a.session.device_id = (mx_str){ NULL, 0 };
	struct mx_new_user u = { .localpart = localpart_for(rq, (mx_str){ NULL, 0 }),
				 .guest = true };
	u.localpart = mx_arena_printf(mx_request_arena(rq), "guest-%.*s", MX_SFMT(u.localpart));
	MX_TRY(mx_check_register(core, u.localpart, mx_request_address(rq)));
	return make(rq, &u, &a, answer);
}

static bool
attempts(struct mx_request *rq)
{
	json_t *body;

	return !mx_error_drop(mx_request_json(rq, &body)) &&
	       mx_json_str(json_object_get(body, "auth"), "type").n > 0;
}

static mx_error *
register_user(struct mx_request *rq, const struct options *o, json_t **answer)
{
	struct mx_accounts *as = accounts_of(rq);
	struct asked a;

	MX_TRY(read_body(rq, &a));
	if (!o->enabled)
		return mx_error_new(MX_E_FORBIDDEN, "Registration is closed on this server");
	/* What cannot succeed is said before anybody does a stage for it. */
	struct mx_new_user u = { .localpart = localpart_for(rq, a.username),
				 .password = a.password };
	MX_TRY(mx_user_available(as, mx_request_conn(rq), u.localpart));
	if (a.password.p != NULL)
		MX_TRY(mx_password_acceptable(as, a.password));
	else if (attempts(rq))
		return mx_error_new(MX_E_MISSING_PARAM, "Missing parameter: password");
	MX_TRY(mx_check_register(mx_request_core(rq), u.localpart, mx_request_address(rq)));
	MX_TRY(stages_pass(rq, o));
	if (a.password.p == NULL)
		return mx_error_new(MX_E_MISSING_PARAM, "Missing parameter: password");
	MX_TRY(make(rq, &u, &a, answer));
	mx_uia_finish(rq);
	return NULL;
}

static enum mx_outcome
post_register(struct mx_request *rq)
{
	const struct options *o = mx_self_options(mx_request_self(rq));
	mx_str kind = MX_S("user");
	json_t *answer = NULL;
	mx_error *e;

	(void)mx_request_query(rq, "kind", &kind);
	if (mx_str_eq(kind, MX_S("guest")))
		e = register_guest(rq, o, &answer);
	else if (mx_str_eq(kind, MX_S("user")))
		e = register_user(rq, o, &answer);
	else
		e = mx_error_new(MX_E_INVALID_PARAM, "kind is user or guest");
	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

/* ---- GET /register/available ---- */

static mx_error *
available(struct mx_request *rq)
{
	const struct options *o = mx_self_options(mx_request_self(rq));
	mx_str name;

	if (!mx_request_query(rq, "username", &name))
		return mx_error_new(MX_E_MISSING_PARAM, "Missing parameter: username");
	if (!o->enabled)
		return mx_error_new(MX_E_FORBIDDEN, "Registration is closed on this server");
	MX_TRY(mx_user_available(accounts_of(rq), mx_request_conn(rq), name));
	return mx_check_register(mx_request_core(rq), name, mx_request_address(rq));
}

static enum mx_outcome
get_available(struct mx_request *rq)
{
	mx_error *e = available(rq);

	return e != NULL ? mx_reply_error(rq, e)
			 : mx_reply_json(rq, 200, json_pack("{s:b}", "available", 1));
}

/* ---- the module ---- */

static const struct mx_route routes[] = {
	{ "POST", "/_matrix/client/v3/register", post_register, MX_AUTH_NONE, MX_RATE_REGISTER,
	  MX_ROUTE_CPU, 0 },
	{ "GET", "/_matrix/client/v3/register/available", get_available, MX_AUTH_NONE,
	  MX_RATE_LOGIN, 0, 0 },
};

static const struct mx_provider_row providers[] = {
	{ "stage", "m.login.dummy", MX_STAGE_ABI, &dummy },
};

static mx_error *
configure(struct mx_module_self *self)
{
	const struct options *o = mx_self_options(self);

	if (o->enabled && o->stages.n == 0)
		return mx_error_new(MX_E_CONFIG, "[client-register] stages is empty; \"stages = "
						 "dummy\" lets everybody register");
	if (o->stages.n > STAGES_MAX)
		return mx_error_new(MX_E_CONFIG, "[client-register] stages: at most %d",
				    STAGES_MAX);
	return NULL;
}

MX_MODULE(client_register) = {
	MX_MODULE_HEAD("client-register", "0.1.0", "Registration of users and guests"),
	.options = MX_TABLE(options), .options_size = sizeof(struct options),
	.routes = MX_TABLE(routes),
	.providers = MX_TABLE(providers),
	.configure = configure,
};
