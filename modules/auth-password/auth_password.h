/* What the files of auth-password share. */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include <myelin/module.h>

struct auth_password_options {
	struct mx_size memory;		/* argon2id, for each hash */
	int64_t operations;
	const char *bcrypt_pepper;
	int64_t failed_burst;
	struct mx_duration failed_every;
};

extern const struct mx_login_ops auth_password_login;
extern const struct mx_password_ops auth_password_argon2id;
#ifdef HAVE_XCRYPT
extern const struct mx_password_ops auth_password_bcrypt;
#endif

/* ---- throttle.c: wrong passwords, by account ---- */
struct throttle;

struct throttle *throttle_new(void);
void throttle_free(struct throttle **t);
/* MX_E_LIMIT_EXCEEDED when the account has had burst failures, of which one is forgiven every
 * `every`. */
mx_error *throttle_check(struct throttle *t, mx_str account, int64_t burst,
			 mx_msec every) MX_MUST_USE;
void throttle_failed(struct throttle *t, mx_str account, int64_t burst, mx_msec every);

#endif
