/* Account data and tags. Client-Server API, "Client Config" and "Room Tagging". */
#include "data.h"

static const struct mx_option options[] = {
	MX_OPT(struct data_options, max_content, .def = "64K", .min = 1024, .max = 16777216,
	       .help = "The largest content of one type."),
	MX_OPT(struct data_options, max_types, .def = "1000", .min = 10, .max = 1000000,
	       .help = "Types of account data that a user may have, globally and in each room."),
};

static const struct mx_migration migrations[] = {
	{ 1, "account data",
	  "CREATE TABLE client_account_data (\n"
	  "	owner BIGINT NOT NULL,\n"
	  "	room BIGINT NOT NULL,\n"
	  "	type TEXT NOT NULL,\n"
	  "	pos BIGINT NOT NULL,\n"
	  "	json TEXT NOT NULL,\n"
	  "	PRIMARY KEY (owner, room, type)\n"
	  ") {unkeyed};\n"
	  "CREATE INDEX client_account_data_pos ON client_account_data (owner, pos)" },
};

static const struct mx_route routes[] = {
	{ "GET", "/_matrix/client/v3/user/{userId}/account_data/{type}", data_route_get,
	  MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "PUT", "/_matrix/client/v3/user/{userId}/account_data/{type}", data_route_put,
	  MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "GET", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}",
	  data_route_get, MX_AUTH_USER, MX_RATE_READ, 0, 0 },
	{ "PUT", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/account_data/{type}",
	  data_route_put, MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "GET", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags", tags_get, MX_AUTH_USER,
	  MX_RATE_READ, 0, 0 },
	{ "PUT", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}", tags_put,
	  MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
	{ "DELETE", "/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags/{tag}", tags_delete,
	  MX_AUTH_USER, MX_RATE_WRITE, 0, 0 },
};

static const struct mx_hook_row hooks[] = {
	MX_ON(sync_section, MX_PRIO_NORMAL, data_sync),
	MX_ON(room_succeeded, MX_PRIO_NORMAL, data_succeed),
};

/* The service is asked without a module to go by: the cache is the process's, as long as the module
 * runs. */
static struct ignored_cache *cache;

static mx_error *
service_ignored(struct mx_core *core, struct mx_conn *c, mx_nid user, struct mx_arena *a,
		mx_str **out, size_t *n)
{
	return ignored_list(cache, core, c, user, a, out, n);
}

static const struct mx_account_data_service service = {
	.size = sizeof(service),
	.get = data_get,
	.set = data_set,
	.ignored = service_ignored,
};

static const struct mx_service_row services[] = {
	{ "account-data", MX_ACCOUNT_DATA_VERSION, &service },
};

struct ignored_cache *
data_ignored_cache(void)
{
	return cache;
}

static mx_error *
start(struct mx_module_self *self)
{
	(void)self;
	cache = ignored_new();
	return NULL;
}

static void
stop(struct mx_module_self *self)
{
	(void)self;
	ignored_free(&cache);
}

MX_MODULE(client_account_data) = {
	MX_MODULE_HEAD("client-account-data", "1.0", "Account data and room tags"),
	.options = MX_TABLE(options),
	.options_size = sizeof(struct data_options),
	.migrations = MX_TABLE(migrations),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
	.services = MX_TABLE(services),
	.start = start,
	.stop = stop,
};
