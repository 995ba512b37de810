/* Push rules: Client-Server API, "Push Rules". They are kept and shown, for the clients, which
 * apply them to what they receive. The server evaluates none yet: there are no unread counts, no
 * GET /notifications, and no pushers. */
#include "push.h"

static const struct mx_option options[] = {
	MX_OPT(struct push_options, max_rules, .def = "1000", .min = 10, .max = 100000,
	       .flags = MX_OPT_RELOAD, .help = "Push rules of one's own that a user may have."),
	MX_OPT(struct push_options, max_size, .def = "256K", .min = 65536, .max = 16777216,
	       .flags = MX_OPT_RELOAD,
	       .help = "The largest size of all that a user has set in push rules."),
};

static const struct mx_migration migrations[] = {
	{ 1, "push rules",
	  "CREATE TABLE client_push_rules (\n"
	  "	owner BIGINT PRIMARY KEY,\n"
	  "	pos BIGINT NOT NULL,\n"
	  "	json TEXT NOT NULL\n"
	  ") {unkeyed}" },
};

/* A rule is small; what a client may send as one is too. */
enum { BODY = 16384 };

#define V3 "/_matrix/client/v3/"
#define RULE V3 "pushrules/global/{kind}/{ruleId}"

static const struct mx_route routes[] = {
	{ "GET", V3 "pushrules/", route_all, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "GET", V3 "pushrules", route_all, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "GET", V3 "pushrules/global/", route_global, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "GET", V3 "pushrules/global", route_global, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "GET", RULE, route_get, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "PUT", RULE, route_put, MX_AUTH_USER, MX_RATE_WRITE, 0, BODY },
	{ "DELETE", RULE, route_delete, MX_AUTH_USER, MX_RATE_WRITE, 0, BODY },
	{ "GET", RULE "/enabled", route_get_enabled, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "PUT", RULE "/enabled", route_put_enabled, MX_AUTH_USER, MX_RATE_WRITE, 0, BODY },
	{ "GET", RULE "/actions", route_get_actions, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "PUT", RULE "/actions", route_put_actions, MX_AUTH_USER, MX_RATE_WRITE, 0, BODY },
	{ "GET", V3 "user/{userId}/account_data/m.push_rules", route_account_data, MX_AUTH_USER,
	  MX_RATE_READ, 0, 0 },
};

static const struct mx_hook_row hooks[] = {
	MX_ON(sync_section, MX_PRIO_NORMAL, push_sync),
	MX_ON(room_succeeded, MX_PRIO_NORMAL, push_succeed),
};

MX_MODULE(client_push) = {
	MX_MODULE_HEAD("client-push", "1.0", "Push rules"),
	.options = MX_TABLE(options),
	.options_size = sizeof(struct push_options),
	.migrations = MX_TABLE(migrations),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
};
