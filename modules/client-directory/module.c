/* client-directory: room aliases, the list of public rooms, and finding users. */
#include "config.h"

#include "directory.h"

static const struct mx_option options[] = {
	MX_OPT(struct directory_options, anonymous, .def = "yes", .flags = MX_OPT_RELOAD,
	       .help = "Whether the list of public rooms is shown to who is not logged in."),
	MX_OPT(struct directory_options, search_all_users, .def = "no", .flags = MX_OPT_RELOAD,
	       .help = "Whether the user directory shows everybody, and not only who shares a room "
		       "or is in a public one."),
	MX_OPT(struct directory_options, max_page, .def = "100", .min = 1, .max = 10000,
	       .flags = MX_OPT_RELOAD,
	       .help = "The most rooms that one answer of the public list holds."),
	MX_OPT(struct directory_options, list_age, .def = "5s", .max = 3600000,
	       .flags = MX_OPT_RELOAD,
	       .help = "How old the list of public rooms may be when it is shown."),
};

#define V3 "/_matrix/client/v3"

static const struct mx_route routes[] = {
	{ "GET", V3 "/directory/room/{roomAlias}", directory_get_alias, MX_AUTH_NONE, MX_RATE_READ,
	  0, 0 },
	{ "PUT", V3 "/directory/room/{roomAlias}", directory_put_alias, MX_AUTH_USER, MX_RATE_WRITE,
	  0, 0 },
	{ "DELETE", V3 "/directory/room/{roomAlias}", directory_delete_alias, MX_AUTH_USER,
	  MX_RATE_WRITE, 0, 0 },
	{ "GET", V3 "/rooms/{roomId}/aliases", directory_room_aliases, MX_AUTH_USER, MX_RATE_READ,
	  0, 0 },
	{ "GET", V3 "/directory/list/room/{roomId}", directory_get_visibility, MX_AUTH_NONE,
	  MX_RATE_READ, 0, 0 },
	{ "PUT", V3 "/directory/list/room/{roomId}", directory_put_visibility, MX_AUTH_USER,
	  MX_RATE_WRITE, 0, 0 },
	{ "GET", V3 "/publicRooms", directory_public_rooms, MX_AUTH_OPTIONAL, MX_RATE_READ, 0, 0 },
	{ "POST", V3 "/publicRooms", directory_search_rooms, MX_AUTH_GUEST, MX_RATE_READ, 0, 0 },
	{ "POST", V3 "/user_directory/search", directory_search_users, MX_AUTH_USER, MX_RATE_READ,
	  0, 0 },
};

static const struct mx_service_row services[] = {
	{ "directory", MX_DIRECTORY_VERSION, &directory_service },
};

static mx_error *
start(struct mx_module_self *self)
{
	mx_self_set_state(self, directory_list_new());
	return NULL;
}

static void
stop(struct mx_module_self *self)
{
	struct directory_list *l = mx_self_state(self);

	directory_list_free(&l);
	mx_self_set_state(self, NULL);
}

MX_MODULE(client_directory) = {
	MX_MODULE_HEAD("client-directory", "0.1.0", "Room aliases, public rooms, finding users"),
	.requires = "?profile>=1",
	.options = MX_TABLE(options),
	.options_size = sizeof(struct directory_options),
	.migrations = MX_TABLE(directory_migrations),
	.routes = MX_TABLE(routes),
	.services = MX_TABLE(services),
	.start = start,
	.stop = stop,
};
