/* The accounts. What a command does stands in core/account/commands.c and is run by the server, or
 * here on the database when no server runs; this file only takes care of passwords, which no list
 * of processes may show. */
#include "config.h"

#include "core/ctl/ctl.h"

enum { WORDS = 16 };

static mx_error *
forward(struct mx_ctl *ctl, const char *verb, const char *const *args, size_t n,
	const char *password, int *status)
{
	mx_str words[WORDS + 4] = { MX_S("user"), mx_str_of(verb) };
	size_t count = 2;

	for (size_t i = 0; i < n; i++)
		if (strcmp(args[i], "--password-stdin") != 0)
			words[count++] = mx_str_of(args[i]);
	if (password != NULL) {
		words[count++] = MX_S("--password");
		words[count++] = mx_str_of(password);
	}
	return mx_ctl_forward(ctl, MX_CTL_ANYWHERE, words, count, status);
}

static mx_error *
with_password(struct mx_ctl *ctl, const char *verb, const char *const *args, size_t n, int *status)
{
	const char *name = NULL;
	char *password = NULL;
	bool from_stdin = false;
	mx_error *e;

	for (size_t i = 0; i < n; i++) {
		from_stdin |= strcmp(args[i], "--password-stdin") == 0;
		if (strcmp(args[i], "--password") == 0 ||
		    strncmp(args[i], "--password=", 11) == 0) {
			*status = MX_CTL_USAGE;
			return mx_error_new(
				MX_E_BAD_REQUEST,
				"everybody on this machine can read a command line: give the "
				"password on standard input, with --password-stdin");
		}
		if (name == NULL && args[i][0] != '-')
			name = args[i];
	}
	if (name == NULL) {
		*status = MX_CTL_USAGE;
		return mx_error_new(MX_E_BAD_REQUEST, "which user?");
	}
	MX_TRY(mx_ctl_password(name, from_stdin, &password));
	e = forward(ctl, verb, args, n, password, status);
	mx_ctl_wipe(&password);
	return e;
}

static mx_error *
create(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return with_password(ctl, "create", args, n, status);
}

static mx_error *
password(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return with_password(ctl, "password", args, n, status);
}

static mx_error *
list(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "list", args, n, NULL, status);
}

static mx_error *
deactivate(struct mx_ctl *ctl, const char *const *args, size_t n, int *status)
{
	return forward(ctl, "deactivate", args, n, NULL, status);
}

#define PASSWORD_HELP                                                                              \
	"The password is asked for on the terminal; with --password-stdin it is the first line "   \
	"of standard input.\n"
#define EITHER_WAY "Works whether the server runs or not."

const struct mx_ctl_command mx_ctl_user_commands[] = {
	{ "user create", "NAME [--password-stdin] [--admin]", "makes an account",
	  PASSWORD_HELP "--admin makes an administrator. " EITHER_WAY, 1, 4, create },
	{ "user password", "NAME [--password-stdin] [--keep-devices]",
	  "gives an account a new password",
	  PASSWORD_HELP
	  "Its devices are logged out, unless --keep-devices says otherwise. " EITHER_WAY,
	  1, 4, password },
	{ "user list", "", "lists the accounts", EITHER_WAY, 0, 0, list },
	{ "user deactivate", "NAME [--erase]", "ends an account for ever",
	  "Logs it out, makes it leave its rooms, and never gives its name again. --erase forgets "
	  "its profile as well.\n" EITHER_WAY,
	  1, 2, deactivate },
};
const size_t mx_ctl_user_command_count =
	sizeof(mx_ctl_user_commands) / sizeof(mx_ctl_user_commands[0]);
