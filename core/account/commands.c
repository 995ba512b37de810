#include "config.h"

#include "core/account/commands.h"

#include <myelin/core.h>
#include <time.h>

enum { LIST_CHUNK = 256 };

/* The arguments of a command: one name, and flags. */
struct words {
	mx_str name, password;
	bool admin, erase, keep_devices;
};

static mx_error *
usage(mx_str word)
{
	return mx_error_new(MX_E_BAD_REQUEST, "%.*s: no such argument here; see \"myelinctl help\"",
			    MX_SFMT(word));
}

/* allowed: "admin password erase keep-devices", what this command knows. */
static mx_error *
read_words(const mx_str *args, size_t n, const char *allowed, struct words *w)
{
	*w = (struct words){ 0 };
	for (size_t i = 0; i < n; i++) {
		bool last = i + 1 == n;

		if (!mx_str_starts(args[i], MX_S("--"))) {
			if (w->name.n > 0)
				return usage(args[i]);
			w->name = args[i];
		} else if (mx_str_eq(args[i], MX_S("--password")) &&
			   strstr(allowed, "password") != NULL && !last) {
			w->password = args[++i];
		} else if (mx_str_eq(args[i], MX_S("--admin")) &&
			   strstr(allowed, "admin") != NULL) {
			w->admin = true;
		} else if (mx_str_eq(args[i], MX_S("--erase")) &&
			   strstr(allowed, "erase") != NULL) {
			w->erase = true;
		} else if (mx_str_eq(args[i], MX_S("--keep-devices")) &&
			   strstr(allowed, "keep-devices") != NULL) {
			w->keep_devices = true;
		} else {
			return usage(args[i]);
		}
	}
	if (w->name.n == 0)
		return mx_error_new(MX_E_BAD_REQUEST, "which user?");
	return NULL;
}

/* "@alice:example.org" and "alice" are the same user here. */
static mx_error *
localpart_of(struct mx_core *core, mx_str name, mx_str *out)
{
	mx_str server;

	*out = name;
	if (!mx_str_starts(name, MX_S("@")))
		return NULL;
	if (!mx_id_user(name, out, &server) || !mx_str_eq(server, mx_core_server_name(core)))
		return mx_error_new(MX_E_BAD_REQUEST, "%.*s is not a user id of this server",
				    MX_SFMT(name));
	return NULL;
}

static mx_error *
user_create(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	struct mx_new_user u = { 0 };
	mx_str server = mx_core_server_name(core);
	struct words w;

	MX_TRY(read_words(args, n, "admin password", &w));
	MX_TRY(localpart_of(core, w.name, &u.localpart));
	if (w.password.n == 0)
		return mx_error_new(MX_E_BAD_REQUEST, "a password is needed");
	u.password = w.password;
	u.admin = w.admin;
	MX_TRY(mx_user_create(mx_core_accounts(core), &u, NULL));
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str user_id = mx_arena_printf(a, "@%.*s:%.*s", MX_SFMT(u.localpart), MX_SFMT(server));
	mx_buf_printf(text, "%.*s was made%s\n", MX_SFMT(user_id),
		      w.admin ? ", an administrator" : "");
	*json = json_pack("{s:s%}", "user_id", user_id.p, user_id.n);
	return NULL;
}

static mx_error *
find(struct mx_core *core, mx_str name, struct mx_arena *a, struct mx_user *out)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(mx_conn_get(mx_core_db(core), &c));
	return mx_error_wrap(mx_user_get(mx_core_accounts(core), c, name, a, out), "%.*s",
			     MX_SFMT(name));
}

static mx_error *
user_password(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text,
	      json_t **json)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_user u;
	struct words w;

	(void)json;
	MX_TRY(read_words(args, n, "password keep-devices", &w));
	if (w.password.n == 0)
		return mx_error_new(MX_E_BAD_REQUEST, "a password is needed");
	MX_TRY(find(core, w.name, a, &u));
	MX_TRY(mx_user_set_password(mx_core_accounts(core), u.nid, w.password, !w.keep_devices, 0));
	mx_buf_printf(text, "%.*s has a new password%s\n", MX_SFMT(u.user_id),
		      w.keep_devices ? "" : "; its devices are logged out");
	return NULL;
}

static mx_error *
user_deactivate(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text,
		json_t **json)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_user u;
	struct words w;

	(void)json;
	MX_TRY(read_words(args, n, "erase", &w));
	MX_TRY(find(core, w.name, a, &u));
	if (u.deactivated) {
		mx_buf_printf(text, "%.*s is deactivated already\n", MX_SFMT(u.user_id));
		return NULL;
	}
	MX_TRY(mx_user_deactivate(mx_core_accounts(core), u.nid, w.erase));
	mx_buf_printf(text, "%.*s is deactivated; a running server makes it leave its rooms\n",
		      MX_SFMT(u.user_id));
	return NULL;
}

static void
describe(const struct mx_user *u, struct mx_buf *text, json_t *list)
{
	static const char *const words[] = { "admin", "guest", "deactivated", "locked",
					     "suspended" };
	const bool flags[] = { u->admin, u->guest, u->deactivated, u->locked, u->suspended };
	json_t *o = json_object();
	time_t when = (time_t)(u->created / 1000);
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&when, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d", &tm);
	mx_buf_printf(text, "%s  %.*s", date, MX_SFMT(u->user_id));
	json_object_set_new(o, "user_id", json_stringn(u->user_id.p, u->user_id.n));
	json_object_set_new(o, "created", json_integer(u->created));
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (flags[i])
			mx_buf_printf(text, "  %s", words[i]);
		json_object_set_new(o, words[i], json_boolean(flags[i]));
	}
	mx_buf_byte(text, '\n');
	json_array_append_new(list, o);
}

static mx_error *
user_list(struct mx_core *core, const mx_str *args, size_t n, struct mx_buf *text, json_t **json)
{
	MX_AUTO_JSON *list = json_array();
	struct mx_user chunk[LIST_CHUNK];
	size_t got = LIST_CHUNK;
	mx_nid after = 0;

	if (n > 0)
		return usage(args[0]);
	while (got == LIST_CHUNK) {
		MX_AUTO(mx_arena) *a = mx_arena_new();
		MX_AUTO(mx_conn) *c = NULL;

		MX_TRY(mx_conn_get(mx_core_db(core), &c));
		MX_TRY(mx_user_list(mx_core_accounts(core), c, after, LIST_CHUNK, a, chunk, &got));
		for (size_t i = 0; i < got; i++) {
			describe(&chunk[i], text, list);
			after = chunk[i].nid;
		}
	}
	*json = json_incref(list);
	return NULL;
}

const struct mx_control_row mx_account_commands[] = {
	{ "user create", "NAME --password PASSWORD [--admin]", "Make an account.", user_create },
	{ "user password", "NAME --password PASSWORD [--keep-devices]",
	  "Give an account a new password.", user_password },
	{ "user list", "", "List all accounts.", user_list },
	{ "user deactivate", "NAME [--erase]",
	  "End an account for ever: log it out, and make it leave its rooms.", user_deactivate },
};
const size_t mx_account_command_count =
	sizeof(mx_account_commands) / sizeof(mx_account_commands[0]);
