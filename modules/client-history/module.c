/* client-history: what was said in a room. */
#include "config.h"

#include "history.h"

static const struct mx_option options[] = {
	MX_OPT(struct history_options, max_page, .def = "1000", .min = 1, .max = 10000,
	       .help = "The most events that one answer holds."),
	MX_OPT(struct history_options, max_scan, .def = "5000", .min = 1, .max = 1000000,
	       .help = "The most events that are looked at for one answer, when a filter passes "
		       "few of them."),
};

#define ROOM "/_matrix/client/v3/rooms/{roomId}"

static const struct mx_route routes[] = {
	{ "GET", ROOM "/messages", history_messages, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "GET", ROOM "/context/{eventId}", history_context, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "GET", ROOM "/initialSync", history_initial_sync, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "GET", "/_matrix/client/v1/rooms/{roomId}/timestamp_to_event", history_timestamp,
	  MX_AUTH_USER, MX_RATE_READ, 0, 0 },
};

MX_MODULE(client_history) = {
	MX_MODULE_HEAD("client-history", "0.1.0",
		       "A room's history: paging, context, the event at a time"),
	.requires = "?directory>=1",
	.options = MX_TABLE(options),
	.options_size = sizeof(struct history_options),
	.routes = MX_TABLE(routes),
};
