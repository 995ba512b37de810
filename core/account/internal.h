/* What the files of core/account share. */
#ifndef CORE_ACCOUNT_INTERNAL_H
#define CORE_ACCOUNT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/account/accounts.h"

#include <myelin/crypto.h>
#include <myelin/id.h>

enum {
	MX_ACCOUNT_PASSWORD_MAX = 1024,		/* bytes of a password; hashing is linear in them */
	MX_ACCOUNT_DEVICE_ID_MAX = 255,
	MX_ACCOUNT_DEVICE_NAME_MAX = 256,	/* bytes */
	MX_ACCOUNT_TOKEN_MAX = 255,
	MX_ACCOUNT_TOKEN_RANDOM = 40,		/* characters behind a token's prefix: 238 bits */
};

struct auth_cache;
struct seen;
struct uia;

struct mx_accounts {
	struct mx_core *core;
	struct mx_db *db;
	struct mx_stream *stream;
	char *server_name;
	const struct mx_account_options *options;
	struct mx_account_ports ports;
	struct auth_cache *cache;
	struct seen *seen;
	struct uia *uia;
	pthread_mutex_t decoy_lock;
	char *decoy;			/* a hash that fits no password: see password.c */
};

/* ---- cache.c: token hashes to who they belong to ---- */
struct auth_entry {
	struct mx_auth auth;		/* first: an mx_auth is its entry */
	atomic_uint refs;
	struct auth_cache *cache;
	uint32_t generation;		/* of its user, when it was read */
	mx_msec expires;		/* 0: never */
	_Atomic(mx_msec) seen;		/* when its device's use was last noted */
	unsigned char hash[MX_SHA256_SIZE];
	struct auth_entry *chain, *newer, *older;
};

struct auth_cache *auth_cache_new(size_t capacity);
void auth_cache_free(struct auth_cache **c);
/* A reference, or NULL when it is not there, stale or expired. */
struct auth_entry *auth_cache_find(struct auth_cache *c, const unsigned char hash[MX_SHA256_SIZE],
				   mx_msec now);
/* Moves with every auth_cache_forget: take it before reading what an entry is made of. */
uint64_t auth_cache_epoch(const struct auth_cache *c);
/* A new entry with one reference; its strings are copied behind it. */
struct auth_entry *auth_entry_new(struct auth_cache *c, const struct mx_auth *auth,
				  const unsigned char hash[MX_SHA256_SIZE], mx_msec expires);
/* Keeps the entry unless something was forgotten since epoch: it may have been read before that,
 * and is not current. */
void auth_cache_keep(struct auth_cache *c, struct auth_entry *e, uint64_t epoch);
void auth_cache_forget(struct auth_cache *c, mx_nid user);
size_t auth_cache_count(struct auth_cache *c);

/* ---- seen.c: when devices were last used, written now and then ---- */
struct seen *seen_new(void);
void seen_free(struct seen **s);
/* Notes a use; returns true when so much is noted that it should be flushed. Never blocks on I/O.
 */
bool seen_note(struct seen *s, mx_nid device, mx_msec when, mx_str address);
/* Writes what is noted. */
mx_error *seen_flush(struct mx_accounts *as) MX_MUST_USE;

/* ---- uia_session.c ---- */
struct uia *uia_new(const struct mx_account_options *o);
void uia_free(struct uia **u);

/* ---- uia_store.c: where another process may go on with a session ---- */
mx_error *uia_put(struct mx_accounts *as, mx_str id, const json_t *data) MX_MUST_USE;
mx_error *uia_drop(struct mx_accounts *as, mx_str id) MX_MUST_USE;
/* *out: the caller's; NULL when there is none. */
mx_error *uia_get(struct mx_conn *c, mx_str id, json_t **out) MX_MUST_USE;

/* ---- ports.c ---- */
void accounts_core_ports(struct mx_core *core, struct mx_account_ports *out);

/* ---- password.c ---- */
/* MX_E_WEAK_PASSWORD, MX_E_INVALID_PARAM: what no password may be, whoever sets it. */
mx_error *password_possible(mx_str password) MX_MUST_USE;
/* A hash by the first scheme that makes them; the caller frees it. */
mx_error *password_hash(struct mx_accounts *as, mx_str password, char **out) MX_MUST_USE;

/* ---- sessions.c, devices.c: pieces of write functions ---- */
/* Devices that a write has removed, for the hook after it. */
struct gone_devices {
	struct mx_arena *arena;
	struct gone_device {
		mx_nid nid;
		mx_str device_id;
	} *v;
	size_t n, room;
};
/* Forgets the user's tokens in memory and wakes what the device (0: all) has parked, once tx is
 * durable; other processes hear of it by the stream. */
mx_error *accounts_changed(struct mx_accounts *as, struct mx_txn *tx, mx_nid user,
			   mx_nid device) MX_MUST_USE;
/* The user's list of devices is another one. Gives its position. */
mx_error *device_list_changed(struct mx_accounts *as, struct mx_txn *tx, mx_nid user,
			      mx_pos *out) MX_MUST_USE;
mx_error *device_tokens_remove(struct mx_txn *tx, mx_nid user, mx_nid device) MX_MUST_USE;
/* Deletes one device with its tokens; *found tells whether it was there. */
mx_error *device_remove(struct mx_txn *tx, mx_nid user, mx_str device_id, struct gone_devices *gone,
			bool *found) MX_MUST_USE;
/* Deletes all devices and tokens of the user but those of keep. */
mx_error *devices_remove_all(struct mx_txn *tx, mx_nid user, mx_nid keep,
			     struct gone_devices *gone) MX_MUST_USE;
void devices_gone(struct mx_accounts *as, mx_nid user, const struct gone_devices *gone);
mx_error *device_name_check(mx_str name) MX_MUST_USE;

/* What session_write needs, prepared before the write. */
struct session_plan {
	const struct mx_new_session *n;
	bool chosen;			/* the client chose the device id */
	char device_id[12];		/* else this one */
	char access[8 + MX_ACCOUNT_TOKEN_RANDOM], refresh[8 + MX_ACCOUNT_TOKEN_RANDOM];
	unsigned char access_hash[MX_SHA256_SIZE], refresh_hash[MX_SHA256_SIZE];
	mx_nid token, pair;
	mx_msec now, access_lifetime, refresh_lifetime;
	struct gone_devices gone;
};
mx_error *session_plan(struct mx_accounts *as, const struct mx_new_session *n, struct mx_arena *a,
		       struct session_plan *out) MX_MUST_USE;
/* Inside a write: the device, its tokens, at most max_devices. fresh: the account is made in this
 * write. */
mx_error *session_write(struct mx_accounts *as, struct mx_txn *tx, struct session_plan *p,
			mx_nid user, bool fresh) MX_MUST_USE;
void session_result(const struct session_plan *p, mx_str user_id, struct mx_arena *a,
		    struct mx_session *out);

/* The new pair is in use: ends the refresh token it replaces, and that one's access token. */
mx_error *pair_confirm(struct mx_accounts *as, mx_nid user, mx_nid device,
		       mx_nid replaced) MX_MUST_USE;

/* ---- users.c ---- */
mx_error *user_id_of(struct mx_accounts *as, mx_str id_or_localpart, struct mx_arena *a,
		     mx_str *out) MX_MUST_USE;

void token_hash(mx_str token, unsigned char out[MX_SHA256_SIZE]);
/* A random positive number: what rows are known by that no stream position names. */
mx_nid random_nid(void);

#endif
