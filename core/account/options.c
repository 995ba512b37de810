#include "config.h"

#include "core/account/accounts.h"

const struct mx_option mx_account_option_rows[] = {
	MX_OPT(struct mx_account_options, auth_cache, .def = "20000", .min = 64, .max = 10000000,
	       .help = "Access tokens that are kept in memory; about 300 bytes each."),
	MX_OPT(struct mx_account_options, max_devices, .def = "500", .min = 1, .max = 100000,
	       .help = "Devices of one user; a login beyond them removes the device that was "
		       "unused for longest."),
	MX_OPT(struct mx_account_options, access_token_lifetime, .def = "5m",
	       .flags = MX_OPT_RELOAD,
	       .help = "Of access tokens of clients that refresh them; 0: for ever."),
	MX_OPT(struct mx_account_options, refresh_token_lifetime, .def = "0",
	       .flags = MX_OPT_RELOAD,
	       .help = "Of refresh tokens, from when they were made; 0: for ever."),
	MX_OPT(struct mx_account_options, session_lifetime, .def = "0", .flags = MX_OPT_RELOAD,
	       .help = "Of access tokens of clients that cannot refresh them; 0: for ever."),
	MX_OPT(struct mx_account_options, last_seen_interval, .def = "5m", .min = 10000,
	       .max = 86400000, .flags = MX_OPT_RELOAD,
	       .help = "How exactly the server knows when a device was last used."),
	MX_OPT(struct mx_account_options, password_min_length, .def = "8", .min = 1, .max = 512,
	       .flags = MX_OPT_RELOAD,
	       .help = "Characters of the passwords that users choose; administrators may set "
		       "shorter ones."),
	MX_OPT(struct mx_account_options, uia_timeout, .def = "15m", .min = 10000, .max = 86400000,
	       .flags = MX_OPT_RELOAD,
	       .help = "How long a user-interactive authentication may take between two steps."),
	MX_OPT(struct mx_account_options, uia_sessions, .def = "10000", .min = 16, .max = 10000000,
	       .help = "User-interactive authentications at once; the oldest is forgotten when "
		       "there are more."),
};
const size_t mx_account_option_count =
	sizeof(mx_account_option_rows) / sizeof(mx_account_option_rows[0]);
