/* The accounts of one server as the core opens them; <myelin/account.h> has what modules use.
 *
 * An authenticated request costs no SQL: a token's SHA-256 finds a `struct mx_auth` in a bounded
 * cache. Entries are forgotten by user, after the commit that changed something about the user, so
 * that who logs out is out at once. */
#ifndef CORE_ACCOUNT_ACCOUNTS_H
#define CORE_ACCOUNT_ACCOUNTS_H

#include <myelin/account.h>
#include <myelin/module.h>
#include <myelin/stream.h>

/* [account] */
struct mx_account_options {
	int64_t auth_cache;				/* tokens kept in memory */
	int64_t max_devices;				/* of one user */
	struct mx_duration access_token_lifetime;	/* of one that can be refreshed; 0: for ever */
	struct mx_duration refresh_token_lifetime;	/* 0: for ever */
	struct mx_duration session_lifetime;		/* of a token that cannot be refreshed; 0: for ever */
	struct mx_duration last_seen_interval;		/* how exactly a device's last use is known */
	int64_t password_min_length;			/* of passwords that users choose */
	struct mx_duration uia_timeout;
	int64_t uia_sessions;				/* at once */
};
extern const struct mx_option mx_account_option_rows[];
extern const size_t mx_account_option_count;

/* What accounts/ asks of the server around it; tests put their own here. Any member may be NULL. */
struct mx_account_ports {
	void *arg;
	mx_error *(*providers)(void *arg, const char *kind,
			       mx_error *(*fn)(void *fn_arg, const char *name, const void *ops,
					       struct mx_module_self *self),
			       void *fn_arg);
	void (*user_created)(void *arg, mx_nid user, mx_str user_id);
	void (*user_deactivated)(void *arg, mx_nid user, mx_str user_id);
	void (*device_gone)(void *arg, mx_nid user, mx_nid device, mx_str device_id);
	void (*defer)(void *arg, void (*fn)(struct mx_core *core, void *fn_arg), void *fn_arg);	/* runs fn soon */
};

extern const struct mx_migration_set mx_accounts_tables;

/* Migrates the tables and opens the caches. core: whose modules' providers and hooks are asked;
 * NULL: none. db, stream and options outlive it; stream may be NULL in tools that open a database
 * without a server. */
mx_error *mx_accounts_open(struct mx_core *core, struct mx_db *db, struct mx_stream *stream,
			   mx_str server_name, const struct mx_account_options *options,
			   struct mx_accounts **out) MX_MUST_USE;
/* Writes what is noted of last uses, then frees. No request may be running. */
void mx_accounts_close(struct mx_accounts **as);
/* Replaces the ports that core would have; for tests, before anything else is called. */
void mx_accounts_set_ports(struct mx_accounts *as, const struct mx_account_ports *ports);

/* Whose token this is; the caller gives *out back with mx_auth_release. MX_E_UNKNOWN_TOKEN, with
 * soft_logout when the token only expired. May read, and once after a refresh write: on a worker.
 * rq: for the client's address; may be NULL. */
mx_error *mx_accounts_authenticate(struct mx_accounts *as, struct mx_request *rq, mx_str token,
				   const struct mx_auth **out) MX_MUST_USE;
/* The same from memory alone, for I/O threads: false when memory does not know. Never blocks. */
bool mx_accounts_peek(struct mx_accounts *as, struct mx_request *rq, mx_str token,
		      const struct mx_auth **out);
const struct mx_auth *mx_auth_ref(const struct mx_auth *auth);
void mx_auth_release(const struct mx_auth *auth);
/* Whether it is still what the server would answer: false once the user was logged out, locked or
 * otherwise changed, or the token expired. For requests that waited: authenticate again before they
 * go on. */
bool mx_auth_current(const struct mx_auth *auth);

/* Something about the user changed: forgets its tokens in memory and wakes what it has parked
 * (device 0: all devices). The functions of account.h do it themselves, and what other processes
 * change is followed by the stream. */
void mx_accounts_forget(struct mx_accounts *as, mx_nid user, mx_nid device);

#endif
