/* Logging in with a password, and the schemes that keep passwords. */
#include "config.h"

#include "auth_password.h"

#include <sodium.h>

static const struct mx_option options[] = {
	MX_OPT(struct auth_password_options, memory, .def = "19M", .min = 8192,
	       .max = INT64_C(4) << 30, .flags = MX_OPT_RELOAD,
	       .help = "Memory that hashing a password takes, with argon2id."),
	MX_OPT(struct auth_password_options, operations, .def = "2", .min = 1, .max = 1000,
	       .flags = MX_OPT_RELOAD, .help = "How often argon2id goes over that memory."),
	MX_OPT(struct auth_password_options, bcrypt_pepper, .flags = MX_OPT_SECRET,
	       .help = "What Synapse appended to passwords (password_config.pepper), for accounts "
		       "that come from there."),
	MX_OPT(struct auth_password_options, failed_burst, .def = "10", .max = 100000,
	       .flags = MX_OPT_RELOAD,
	       .help = "Wrong passwords in a row that one account may be tried with, through "
		       "whichever process; 0: any number."),
	MX_OPT(struct auth_password_options, failed_every, .def = "15s", .min = 1, .max = 86400000,
	       .flags = MX_OPT_RELOAD,
	       .help = "After that, one more may be tried each time this is over."),
};

static const struct mx_provider_row providers[] = {
	{ "login", "m.login.password", MX_LOGIN_ABI, &auth_password_login },
	{ "password", "argon2id", MX_PASSWORD_ABI, &auth_password_argon2id },
#ifdef HAVE_XCRYPT
	{ "password", "bcrypt", MX_PASSWORD_ABI, &auth_password_bcrypt },
#endif
};

/* Another process has seen a wrong password. */
static void
told(struct mx_module_self *self, mx_str topic, mx_str account)
{
	const struct auth_password_options *o = mx_self_options(self);

	(void)topic;
	throttle_failed(mx_self_state(self), account, o->failed_burst, o->failed_every.ms);
}
static const char *const topics[] = { "auth-password", NULL };
static const struct mx_hook_row hooks[] = { MX_ON_TYPES(told, MX_PRIO_NORMAL, told, topics) };

static mx_error *
start(struct mx_module_self *self)
{
	if (sodium_init() < 0)
		return mx_error_new(MX_E_CONFIG, "libsodium does not work here");
	mx_self_set_state(self, throttle_new());
	return NULL;
}

static void
stop(struct mx_module_self *self)
{
	struct throttle *t = mx_self_state(self);

	throttle_free(&t);
}

MX_MODULE(auth_password) = {
	MX_MODULE_HEAD("auth-password", "0.1.0", "Logging in with a password"),
	.requires = "?threepids>=1",
	.options = MX_TABLE(options), .options_size = sizeof(struct auth_password_options),
	.hooks = MX_TABLE(hooks), .providers = MX_TABLE(providers),
	.start = start, .stop = stop,
};
