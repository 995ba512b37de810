/* /sync, and the filters that it takes. Client-Server API, "Syncing" and "Filtering". */
#include "sync.h"

static const struct mx_option options[] = {
	MX_OPT(struct sync_options, timeline_limit, .def = "10", .min = 1, .max = 1000,
	       .help = "Events of a room's timeline in an answer, when the filter names no limit."),
	MX_OPT(struct sync_options, max_timeline_limit, .def = "100", .min = 1, .max = 10000,
	       .help = "The largest timeline limit that a filter may ask for; larger ones are cut "
		       "to it."),
	MX_OPT(struct sync_options, filters_per_user, .def = "100", .min = 1, .max = 100000,
	       .help = "Stored filters a user; beyond it the oldest is forgotten."),
	MX_OPT(struct sync_options, max_timeout, .def = "5m", .min = 0, .max = 3600000,
	       .flags = MX_OPT_RELOAD, .help = "The longest time that a sync may wait for news."),
};

static const struct mx_migration migrations[] = {
	{ 1, "stored filters",
	  "CREATE TABLE client_sync_filter (\n"
	  "	owner BIGINT NOT NULL,\n"
	  "	number BIGINT NOT NULL,\n"
	  "	json TEXT NOT NULL,\n"
	  "	PRIMARY KEY (owner, number)\n"
	  ") {unkeyed}" },
};

static const struct mx_route routes[] = {
	{ "GET", "/_matrix/client/v3/sync", sync_get, MX_AUTH_GUEST, MX_RATE_READ, MX_ROUTE_TRY, 0 },
	{ "POST", "/_matrix/client/v3/user/{userId}/filter", sync_filter_post, MX_AUTH_GUEST,
	  MX_RATE_WRITE, 0, 0 },
	{ "GET", "/_matrix/client/v3/user/{userId}/filter/{filterId}", sync_filter_get,
	  MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
};

static mx_error *
start(struct mx_module_self *self)
{
	mx_self_set_state(self, sync_filters_new());
	return NULL;
}

static void
stop(struct mx_module_self *self)
{
	struct sync_filters *f = mx_self_state(self);

	sync_filters_free(&f);
}

MX_MODULE(client_sync) = {
	MX_MODULE_HEAD("client-sync", "1.0", "Long-polling synchronisation"),
	.requires = "?account-data>=1",
	.options = MX_TABLE(options),
	.options_size = sizeof(struct sync_options),
	.migrations = MX_TABLE(migrations),
	.routes = MX_TABLE(routes),
	.start = start,
	.stop = stop,
};
