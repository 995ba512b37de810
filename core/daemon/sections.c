#include "config.h"

#include "core/daemon/sections.h"

#include "core/account/accounts.h"
#include "core/http/fetch.h"
#include "core/http/server.h"
#include "core/room/rooms.h"
#include "core/runtime/core.h"
#include "core/runtime/loader.h"
#include "core/sql/db.h"
#include "core/stream/stream.h"

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
