/* myelinctl registration-token … */
#include "config.h"

#include <inttypes.h>
#include <time.h>

#include "auth_token.h"

#define DAY_MS INT64_C(86400000)

static mx_error *
misused(const char *usage)
{
	return mx_error_new(MX_E_BAD_REQUEST, "usage: myelinctl registration-token %s", usage);
}

#define CREATE_USAGE "[--token TOKEN] [--uses N] [--days N]"

static mx_error *
read_words(const mx_str *args, size_t n, struct reg_token *t)
{
	int64_t days;

	*t = (struct reg_token){ .uses = -1 };
	if (n % 2 != 0)
		return misused("create " CREATE_USAGE);
	for (size_t i = 0; i < n; i += 2) {
		if (mx_str_eq(args[i], MX_S("--token"))) {
			t->token = args[i + 1];
			MX_TRY(reg_check_name(t->token));
		} else if (mx_str_eq(args[i], MX_S("--uses"))) {
			if (!mx_str_int(args[i + 1], 1, INT32_MAX, &t->uses))
				return mx_error_new(MX_E_BAD_REQUEST,
						    "--uses: a number of registrations");
		} else if (mx_str_eq(args[i], MX_S("--days"))) {
			if (!mx_str_int(args[i + 1], 1, 36500, &days))
				return mx_error_new(MX_E_BAD_REQUEST,
						    "--days: a number from 1 to 36500");
			t->expiry = mx_now() + days * DAY_MS;
		} else {
			return misused("create " CREATE_USAGE);
		}
	}
	return NULL;
}

static mx_error *
create(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	const struct token_options *o = mx_self_options(self);
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct reg_token t;

	MX_TRY(read_words(args, n, &t));
	MX_TRY(reg_make(mx_core_db(mx_self_core(self)), &t, REG_LENGTH, o->max_registration_tokens,
			a));
	mx_buf_printf(out, "%.*s\n", MX_SFMT(t.token));
	return NULL;
}

static void
line(void *arg, const struct reg_token *t)
{
	struct mx_buf *out = arg;
	time_t when = (time_t)(t->expiry / 1000);
	char date[32] = "never";
	struct tm tm;

	if (t->expiry != 0 && gmtime_r(&when, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &tm);
	mx_buf_printf(out, "%.*s  used %" PRId64, MX_SFMT(t->token), t->completed);
	if (t->uses >= 0)
		mx_buf_printf(out, " of %" PRId64, t->uses);
	mx_buf_printf(out, ", pending %" PRId64 ", expires %s%s\n", t->pending, date,
		      reg_valid(t) ? "" : "  (not valid)");
}

static mx_error *
list(struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	MX_AUTO(mx_conn) *c = NULL;

	(void)args;
	if (n > 0)
		return misused("list");
	MX_TRY(mx_conn_get(mx_core_db(mx_self_core(self)), &c));
	return reg_list(c, line, out);
}

static mx_error *
delete (struct mx_module_self *self, const mx_str *args, size_t n, struct mx_buf *out)
{
	if (n != 1)
		return misused("delete TOKEN");
	MX_TRY(reg_delete(mx_core_db(mx_self_core(self)), args[0]));
	mx_buf_printf(out, "%.*s is deleted\n", MX_SFMT(args[0]));
	return NULL;
}

const struct mx_command_row token_commands[TOKEN_COMMANDS] = {
	{ "registration-token create", CREATE_USAGE,
	  "Make a token that lets people register, and print it.", create },
	{ "registration-token list", "", "List the registration tokens and their uses.", list },
	{ "registration-token delete", "TOKEN", "Delete a registration token.", delete },
};
