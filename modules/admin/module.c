/* Administration by HTTP, in Synapse's dialect. */
#include "config.h"

#include "admin.h"

static const struct mx_option options[] = {
	MX_OPT(struct admin_options, registration_shared_secret,
	       .flags = MX_OPT_SECRET | MX_OPT_RELOAD,
	       .help = "Who knows this makes accounts by /_synapse/admin/v1/register; not set: "
		       "nobody does."),
};

#define V1 "/_synapse/admin/v1/"
#define V2 "/_synapse/admin/v2/"
#define CS "/_matrix/client/"

static const struct mx_route routes[] = {
	{ "GET", V1 "register", admin_nonce, MX_AUTH_NONE, MX_RATE_NONE, 0, 0 },
	{ "POST", V1 "register", admin_register, MX_AUTH_NONE, MX_RATE_NONE, MX_ROUTE_CPU, 0 },
	{ "GET", V1 "server_version", admin_version, MX_AUTH_NONE, MX_RATE_READ, 0, 0 },
	{ "GET", V2 "users", admin_users, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "GET", V2 "users/{userId}", admin_user_get, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "PUT", V2 "users/{userId}", admin_user_put, MX_AUTH_ADMIN, MX_RATE_NONE, MX_ROUTE_CPU,
	  0 },
	{ "GET", V1 "threepid/{medium}/users/{address}", admin_user_by_threepid, MX_AUTH_ADMIN,
	  MX_RATE_NONE, 0, 0 },
	{ "POST", V1 "users/{userId}/login", admin_login_as, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "POST", V1 "deactivate/{userId}", admin_deactivate, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "POST", V1 "reset_password/{userId}", admin_reset_password, MX_AUTH_ADMIN, MX_RATE_NONE,
	  MX_ROUTE_CPU, 0 },
	{ "GET", V1 "whois/{userId}", admin_whois, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "GET", CS "v3/admin/whois/{userId}", admin_whois_self, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "GET", CS "v1/admin/suspend/{userId}", admin_suspend_get, MX_AUTH_ADMIN, MX_RATE_NONE, 0,
	  0 },
	{ "PUT", CS "v1/admin/suspend/{userId}", admin_suspend_put, MX_AUTH_ADMIN, MX_RATE_NONE, 0,
	  0 },
	{ "GET", CS "v1/admin/lock/{userId}", admin_lock_get, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
	{ "PUT", CS "v1/admin/lock/{userId}", admin_lock_put, MX_AUTH_ADMIN, MX_RATE_NONE, 0, 0 },
};

static void
capabilities(struct mx_module_self *self, struct mx_request *rq, json_t *all)
{
	(void)self;
	if (mx_request_auth(rq) != NULL && mx_request_auth(rq)->admin)
		json_object_set_new(all, "m.account_moderation",
				    json_pack("{s:b, s:b}", "lock", 1, "suspend", 1));
}

static const struct mx_hook_row hooks[] = { MX_ON(capabilities, MX_PRIO_NORMAL, capabilities) };

static mx_error *
start(struct mx_module_self *self)
{
	mx_self_set_state(self, nonces_new());
	return NULL;
}

static void
stop(struct mx_module_self *self)
{
	struct nonces *n = mx_self_state(self);

	nonces_free(&n);
}

MX_MODULE(admin) = {
	MX_MODULE_HEAD("admin", "0.1.0", "Administration by HTTP, as Synapse's tools know it"),
	.requires = "?profile>=1, ?threepids>=1",
	.options = MX_TABLE(options), .options_size = sizeof(struct admin_options),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
	.start = start, .stop = stop,
};
