/* The sections of myelin.conf about the process itself. */
#include "config.h"

#include "core/runtime/core.h"
#include "core/runtime/loader.h"

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
