/* A user's own account: its password, its end, and what it is known by elsewhere. Client-Server
 * API, "Account management". */
#include "config.h"

#include "client_account.h"

struct options {
	bool change_password;
};

static const struct mx_option options[] = {
	MX_OPT(struct options, change_password, .def = "yes", .flags = MX_OPT_RELOAD,
	       .help = "Whether users may change their password."),
};

static const struct mx_migration migrations[] = {
	{ 1, "OpenID tokens",
	  "CREATE TABLE client_account_openid (hash {blob} PRIMARY KEY, user_nid BIGINT NOT NULL, "
	  "expires BIGINT NOT NULL) {unkeyed}" },
	{ 2, "third-party identifiers",
	  "CREATE TABLE client_account_threepid (medium TEXT NOT NULL, address TEXT NOT NULL, "
	  "user_nid BIGINT NOT NULL, validated BIGINT NOT NULL, added BIGINT NOT NULL, PRIMARY KEY "
	  "(medium, address)) {unkeyed};\n"
	  "CREATE INDEX client_account_threepid_user ON client_account_threepid (user_nid)" },
};

static struct mx_accounts *
accounts_of(struct mx_request *rq)
{
	return mx_core_accounts(mx_request_core(rq));
}

static mx_error *
change_password(struct mx_request *rq)
{
	const struct options *o = mx_self_options(mx_request_self(rq));
	const struct mx_auth *auth = mx_request_auth(rq);
	bool logout = true;
	mx_str password;
	json_t *body;

	if (!o->change_password)
		return mx_error_new(MX_E_FORBIDDEN, "Passwords cannot be changed on this server");
	MX_TRY(mx_request_json(rq, &body));
	/* Clients ask without a password first, only to see the flows. */
	if (json_object_get(body, "auth") == NULL && json_object_get(body, "new_password") == NULL)
		return mx_uia_confirm(rq);
	MX_TRY(mx_json_get_str(body, "new_password", &password));
	MX_TRY(mx_json_opt_bool(body, "logout_devices", &logout));
	MX_TRY(mx_password_acceptable(accounts_of(rq), password));
	MX_TRY(mx_uia_confirm(rq));
	MX_TRY(mx_user_set_password(accounts_of(rq), auth->user, password, logout, auth->device));
	mx_uia_finish(rq);
	return NULL;
}

static enum mx_outcome
post_password(struct mx_request *rq)
{
	mx_error *e = change_password(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

static mx_error *
deactivate(struct mx_request *rq)
{
	const struct mx_auth *auth = mx_request_auth(rq);
	bool erase = false;
	mx_str id_server;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_opt_bool(body, "erase", &erase));
	MX_TRY(mx_json_opt_str(body, "id_server", &id_server));
	/* Suspended users may do this, locked ones may not. */
	if (auth->locked)
		return mx_error_with(mx_error_new(MX_E_USER_LOCKED, "This account is locked"),
				     "soft_logout", json_true());
	MX_TRY(mx_uia_confirm(rq));
	MX_TRY(mx_user_deactivate(accounts_of(rq), auth->user, erase));
	mx_uia_finish(rq);
	return NULL;
}

static enum mx_outcome
post_deactivate(struct mx_request *rq)
{
	mx_error *e = deactivate(rq);

	if (e != NULL)
		return mx_reply_error(rq, e);
	return mx_reply_json(rq, 200, json_pack("{s:s}", "id_server_unbind_result", "no-support"));
}

static void
capabilities(struct mx_module_self *self, struct mx_request *rq, json_t *all)
{
	const struct options *o = mx_self_options(self);
	bool possible =
		o->change_password && mx_core_has_provider(mx_request_core(rq), "password", "");

	json_object_set_new(all, "m.change_password", json_pack("{s:b}", "enabled", (int)possible));
	json_object_set_new(all, "m.3pid_changes", json_pack("{s:b}", "enabled", 0));
}

static void
leave_now(struct mx_core *core, void *arg)
{
	mx_error *e = leave_departing(arg);

	(void)core;
	if (e != NULL)
		mx_log("client-account", MX_WARN, "CAC002",
		       "leaving the rooms of a deactivated user is put off", mx_fe(e));
	mx_error_free(&e);
}

/* Its rooms may be many: who deactivates it does not wait for them. The job leaves what is left
 * over. */
static void
user_deactivated(struct mx_module_self *self, mx_nid user, mx_str user_id)
{
	mx_error *e = threepids_forget(mx_self_core(self), user);

	if (e != NULL)
		mx_log("client-account", MX_WARN, "CAC003",
		       "the addresses of a deactivated user are still there",
		       mx_fs("user", user_id), mx_fe(e));
	mx_error_free(&e);
	mx_core_defer(mx_self_core(self), leave_now, self);
}

static mx_error *
leave_job(struct mx_module_self *self)
{
	return leave_departing(self);
}

#define V3 "/_matrix/client/v3/"
#define TOKEN_ROUTES(of)                                                                           \
	{ "POST", V3 of "/email/requestToken", threepid_mail_token, MX_AUTH_NONE, MX_RATE_LOGIN,   \
	  0, 0 },                                                                                  \
	{ "POST", V3 of "/msisdn/requestToken", threepid_phone_token, MX_AUTH_NONE, MX_RATE_LOGIN, \
	  0, 0 }

static const struct mx_route routes[] = {
	{ "POST", V3 "account/password", post_password, MX_AUTH_USER, MX_RATE_LOGIN, MX_ROUTE_CPU,
	  0 },
	{ "POST", V3 "account/deactivate", post_deactivate, MX_AUTH_USER, MX_RATE_LOGIN,
	  MX_ROUTE_CPU | MX_ROUTE_SUSPENDED_OK, 0 },
	{ "GET", V3 "account/3pid", threepid_list, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "POST", V3 "account/3pid", threepid_post, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", V3 "account/3pid/add", threepid_add, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", V3 "account/3pid/bind", threepid_bind, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", V3 "account/3pid/delete", threepid_delete, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "POST", V3 "account/3pid/unbind", threepid_unbind, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	TOKEN_ROUTES("account/3pid"),
	TOKEN_ROUTES("account/password"),
	TOKEN_ROUTES("register"),
	{ "POST", V3 "user/{userId}/openid/request_token", openid_request_token, MX_AUTH_USER,
	  MX_RATE_WRITE, 0, 0 },
	{ "GET", "/_matrix/federation/v1/openid/userinfo", openid_userinfo, MX_AUTH_NONE,
	  MX_RATE_READ, 0, 0 },
};

static const struct mx_hook_row hooks[] = {
	MX_ON(capabilities, MX_PRIO_NORMAL, capabilities),
	MX_ON(user_deactivated, MX_PRIO_NORMAL, user_deactivated),
};

static const struct mx_job_row jobs[] = {
	{ "expired OpenID tokens", 3600 * 1000, MX_ONE_PROCESS, openid_collect },
	{ "rooms of deactivated users", 600 * 1000, MX_ONE_PROCESS, leave_job },
};

static const struct mx_service_row services[] = {
	{ "threepids", MX_THREEPIDS_VERSION, &threepids_service },
};

MX_MODULE(client_account) = {
	MX_MODULE_HEAD("client-account", "0.1.0", "Passwords, addresses, deactivation and OpenID tokens"),
	.requires = "?profile>=1",
	.options = MX_TABLE(options), .options_size = sizeof(struct options),
	.migrations = MX_TABLE(migrations),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
	.jobs = MX_TABLE(jobs),
	.services = MX_TABLE(services),
};
