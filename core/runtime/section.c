/* The sections of myelin.conf that belong to the core itself: all of them, for whoever reads or
 * prints a configuration. */
#include "config.h"

#include "core/account/accounts.h"
#include "core/http/fetch.h"
#include "core/http/server.h"
#include "core/room/rooms.h"
#include "core/runtime/conf.h"
#include "core/runtime/core.h"
#include "core/runtime/loader.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"

const struct mx_option mx_server_option_rows[] = {
	MX_OPT(struct mx_server_options, name, .flags = MX_OPT_REQUIRED,
	       .help = "The server's name: the part behind the colon of its users' ids. It can "
		       "never be changed."),
	MX_OPT(struct mx_server_options, public_url,
	       .help = "Where clients reach the server: https://matrix.example.org"),
	MX_OPT(struct mx_server_options, signing_key, .def = "signing.key",
	       .help = "The file with the key that signs events; myelinctl key generate makes "
		       "one."),
	MX_OPT(struct mx_server_options, control, .def = "run/control.sock",
	       .help = "The socket that myelinctl speaks to; what a reload of modules needs lies "
		       "beside it."),
	MX_OPT(struct mx_server_options, drain_timeout, .def = "10s", .max = 3600000,
	       .flags = MX_OPT_RELOAD,
	       .help = "How long a stop or the unloading of a module waits for what still runs."),
};
const size_t mx_server_option_count =
	sizeof(mx_server_option_rows) / sizeof(mx_server_option_rows[0]);

const struct mx_option mx_log_option_rows[] = {
	MX_OPT(struct mx_log_options, levels, .def = "info", .flags = MX_OPT_RELOAD,
	       .help = "What is logged: a level (error, warn, info, debug), then exceptions: "
		       "info,http=debug,sql=warn"),
};
const size_t mx_log_option_count = sizeof(mx_log_option_rows) / sizeof(mx_log_option_rows[0]);

const struct mx_option mx_modules_option_rows[] = {
	MX_OPT(struct mx_modules_options, load, .def = "*",
	       .help = "The modules to load; * stands for all that are installed but those with "
		       "enabled = no in their section."),
	MX_OPT(struct mx_modules_options, path,
	       .help = "Folders to look for modules in, before the place where Myelin installs its "
		       "own."),
	MX_OPT(struct mx_modules_options, optional,
	       .help = "Modules that the server does without, with a warning, when they cannot be "
		       "loaded."),
};
const size_t mx_modules_option_count =
	sizeof(mx_modules_option_rows) / sizeof(mx_modules_option_rows[0]);

static const struct mx_core_section SECTIONS[] = {
	{ "server", "The server as a whole.", mx_server_option_rows, &mx_server_option_count,
	  sizeof(struct mx_server_options) },
	{ "modules", "Which modules are loaded.", mx_modules_option_rows, &mx_modules_option_count,
	  sizeof(struct mx_modules_options) },
	{ "log", "What is logged.", mx_log_option_rows, &mx_log_option_count,
	  sizeof(struct mx_log_options) },
	{ "database", "Where everything is kept.", mx_db_option_rows, &mx_db_option_count,
	  sizeof(struct mx_db_options) },
	{ "stream", "The newest changes, in memory.", mx_stream_option_rows,
	  &mx_stream_option_count, sizeof(struct mx_stream_options) },
	{ "rooms", "Rooms and their events.", mx_rooms_option_rows, &mx_rooms_option_count,
	  sizeof(struct mx_rooms_options) },
	{ "account", "Users, devices and access tokens.", mx_account_option_rows,
	  &mx_account_option_count, sizeof(struct mx_account_options) },
	{ "http", "How clients reach the server.", mx_http_option_rows, &mx_http_option_count,
	  sizeof(struct mx_http_options) },
	{ "fetch", "How the server reaches others.", mx_fetch_option_rows, &mx_fetch_option_count,
	  sizeof(struct mx_fetch_options) },
};
_Static_assert(sizeof(SECTIONS) / sizeof(SECTIONS[0]) == MX_CORE_SECTIONS, "a row for each");

const struct mx_core_section *
mx_core_section(size_t nth)
{
	return nth < MX_CORE_SECTIONS ? &SECTIONS[nth] : NULL;
}
