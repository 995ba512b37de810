/* Tokens in place of passwords: m.login.token, which a logged-in user makes for another device, and
 * registration tokens, which the operator gives to the people who may register. */
#include "config.h"

#include "auth_token.h"

static const struct mx_option options[] = {
	MX_OPT(struct token_options, registration_tokens, .flags = MX_OPT_SECRET | MX_OPT_RELOAD,
	       .help = "Tokens that allow to register, each any number of times, where "
		       "client-register asks for one. Others are made by myelinctl "
		       "registration-token."),
	MX_OPT(struct token_options, max_registration_tokens, .def = "10000", .min = 0,
	       .max = 1000000, .flags = MX_OPT_RELOAD,
	       .help = "The most tokens that myelinctl and the admin API keep."),
	MX_OPT(struct token_options, login_tokens, .def = "yes", .flags = MX_OPT_RELOAD,
	       .help = "Whether users may make a token that logs another of their devices in."),
	MX_OPT(struct token_options, login_token_lifetime, .def = "2m", .min = 1000, .max = 3600000,
	       .flags = MX_OPT_RELOAD, .help = "Of such a token."),
};

static const struct mx_migration migrations[] = {
	{ 1, "login tokens",
	  "CREATE TABLE auth_token_login (hash {blob} PRIMARY KEY, user_nid BIGINT NOT NULL, "
	  "expires BIGINT NOT NULL) {unkeyed};\n"
	  "CREATE INDEX auth_token_login_user ON auth_token_login (user_nid)" },
	{ 2, "registration tokens and their uses",
	  "CREATE TABLE auth_token_registration (token TEXT NOT NULL PRIMARY KEY, uses_allowed "
	  "BIGINT, expiry BIGINT NOT NULL, completed BIGINT NOT NULL) {unkeyed};\n"
	  "CREATE TABLE auth_token_pending (id TEXT NOT NULL PRIMARY KEY, token TEXT NOT NULL, "
	  "expires BIGINT NOT NULL) {unkeyed};\n"
	  "CREATE INDEX auth_token_pending_token ON auth_token_pending (token, expires)" },
};

static void
capabilities(struct mx_module_self *self, struct mx_request *rq, json_t *all)
{
	const struct token_options *o = mx_self_options(self);

	(void)rq;
	json_object_set_new(all, "m.get_login_token",
			    json_pack("{s:b}", "enabled", (int)o->login_tokens));
}

static mx_error *
collect_in(struct mx_txn *tx, void *arg)
{
	const mx_msec *now = arg;

	MX_TRY(login_collect(tx, *now));
	return reg_collect(tx, *now);
}

static mx_error *
collect(struct mx_module_self *self)
{
	mx_msec now = mx_now();

	return mx_write_aside(mx_core_db(mx_self_core(self)), collect_in, &now);
}

#define ADMIN "/_synapse/admin/v1/registration_tokens"

static const struct mx_route routes[] = {
	{ "POST", "/_matrix/client/v1/login/get_token", login_get_token, MX_AUTH_USER,
	  MX_RATE_LOGIN, MX_ROUTE_CPU, 0 },
	{ "GET", "/_matrix/client/v1/register/m.login.registration_token/validity",
	  registration_validity, MX_AUTH_NONE, MX_RATE_LOGIN, 0, 0 },
	{ "GET", ADMIN, admin_tokens, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "POST", ADMIN "/new", admin_token_new, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "GET", ADMIN "/{token}", admin_token_get, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "PUT", ADMIN "/{token}", admin_token_put, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "DELETE", ADMIN "/{token}", admin_token_delete, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
};

static const struct mx_provider_row providers[] = {
	{ "login", "m.login.token", MX_LOGIN_ABI, &login_ops },
	{ "stage", "m.login.registration_token", MX_STAGE_ABI, &registration_ops },
};

static const struct mx_hook_row hooks[] = { MX_ON(capabilities, MX_PRIO_NORMAL, capabilities) };
static const struct mx_job_row jobs[] = { { "expired tokens", 3600 * 1000, MX_ONE_PROCESS,
					    collect } };

MX_MODULE(auth_token) = {
	MX_MODULE_HEAD("auth-token", "0.2.0",
		       "Logging in with a short-lived token, registering with the operator's"),
	.options = MX_TABLE(options),
	.options_size = sizeof(struct token_options),
	.migrations = MX_TABLE(migrations),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
	.providers = MX_TABLE(providers),
	.jobs = MX_TABLE(jobs),
	.commands = MX_TABLE(token_commands),
};
