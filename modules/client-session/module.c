/* Logging in and out, and devices. */
#include "config.h"

#include "client_session.h"

#define V3 "/_matrix/client/v3/"

static const struct mx_route routes[] = {
	{ "GET", V3 "login", session_login_flows, MX_AUTH_NONE, MX_RATE_READ, 0, 0 },
	{ "POST", V3 "login", session_login, MX_AUTH_NONE, MX_RATE_LOGIN, MX_ROUTE_CPU, 0 },
	{ "POST", V3 "refresh", session_refresh, MX_AUTH_NONE, MX_RATE_LOGIN, 0, 0 },
	{ "POST", V3 "logout", session_logout, MX_AUTH_GUEST, MX_RATE_WRITE, MX_ROUTE_SUSPENDED_OK,
	  0 },
	{ "POST", V3 "logout/all", session_logout_all, MX_AUTH_GUEST, MX_RATE_WRITE,
	  MX_ROUTE_SUSPENDED_OK, 0 },
	{ "GET", V3 "account/whoami", session_whoami, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "GET", V3 "devices", session_devices, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "GET", V3 "devices/{deviceId}", session_device_get, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "PUT", V3 "devices/{deviceId}", session_device_put, MX_AUTH_GUEST, MX_RATE_WRITE, 0, 0 },
	{ "DELETE", V3 "devices/{deviceId}", session_device_delete, MX_AUTH_USER, MX_RATE_LOGIN,
	  MX_ROUTE_CPU, 0 },
	{ "POST", V3 "delete_devices", session_delete_devices, MX_AUTH_USER, MX_RATE_LOGIN,
	  MX_ROUTE_CPU, 0 },
};

static mx_error *
collect(struct mx_module_self *self)
{
	return mx_sessions_collect(mx_core_accounts(mx_self_core(self)));
}

static mx_error *
seen(struct mx_module_self *self)
{
	return mx_sessions_seen(mx_core_accounts(mx_self_core(self)));
}

static const struct mx_job_row jobs[] = {
	{ "expired tokens", 3600 * 1000, MX_ONE_PROCESS, collect },
	{ "last seen", 120 * 1000, MX_EVERY_PROCESS, seen },
};

MX_MODULE(client_session) = {
	MX_MODULE_HEAD("client-session", "0.1.0",
		       "Logging in and out, refreshing tokens, and devices"),
	.routes = MX_TABLE(routes),
	.jobs = MX_TABLE(jobs),
};
