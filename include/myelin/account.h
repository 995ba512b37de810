/* Users of this server, their devices and access tokens, and user-interactive authentication.
 * Client-Server API, "Client Authentication". Tokens are stored as SHA-256; a token's text leaves
 * the server once. */
#ifndef MYELIN_ACCOUNT_H
#define MYELIN_ACCOUNT_H

#include <myelin/request.h>
#include <myelin/sql.h>

struct mx_accounts;

struct mx_user {
	mx_nid nid;
	mx_str user_id;			/* in the caller's arena */
	bool admin, guest, deactivated, locked, suspended, has_password;
	mx_msec created;
	mx_str appservice;		/* the id of its appservice, or empty */
};

/* ---- users ---- */
struct mx_new_user {
	mx_str localpart;
	mx_str password;		/* empty: none */
	mx_str password_hash;		/* instead of it: an imported hash */
	mx_str appservice;
	bool admin, guest;
};
/* MX_E_USER_IN_USE, MX_E_INVALID_USERNAME, MX_E_EXCLUSIVE, MX_E_WEAK_PASSWORD when it is empty.
 * Hashes: call on the CPU pool. */
MX_API mx_error *mx_user_create(struct mx_accounts *as, const struct mx_new_user *u,
				mx_nid *out) MX_MUST_USE;
/* Whether a user may choose this password: long enough (MX_E_WEAK_PASSWORD), not too long
 * (MX_E_INVALID_PARAM). Administrators' choices are not asked about. */
MX_API mx_error *mx_password_acceptable(struct mx_accounts *as, mx_str password) MX_MUST_USE;
/* Whether the localpart could be registered now, without doing it. */
MX_API mx_error *mx_user_available(struct mx_accounts *as, struct mx_conn *c,
				   mx_str localpart) MX_MUST_USE;
/* A user of this server by id or localpart; MX_E_NOT_FOUND. */
MX_API mx_error *mx_user_get(struct mx_accounts *as, struct mx_conn *c, mx_str id_or_localpart,
			     struct mx_arena *a, struct mx_user *out) MX_MUST_USE;
/* From, in the order of nids, for lists; *n is how many came. */
MX_API mx_error *mx_user_list(struct mx_accounts *as, struct mx_conn *c, mx_nid after, size_t limit,
			      struct mx_arena *a, struct mx_user *out, size_t *n) MX_MUST_USE;
MX_API mx_error *mx_user_count(struct mx_accounts *as, struct mx_conn *c, int64_t *out) MX_MUST_USE;
enum mx_user_flag { MX_USER_ADMIN = 1, MX_USER_LOCKED = 2, MX_USER_SUSPENDED = 3 };
MX_API mx_error *mx_user_set(struct mx_accounts *as, mx_nid user, enum mx_user_flag flag,
			     bool on) MX_MUST_USE;
/* logout_devices: all but keep (0: all). */
MX_API mx_error *mx_user_set_password(struct mx_accounts *as, mx_nid user, mx_str password,
				      bool logout_devices, mx_nid keep) MX_MUST_USE;
/* Removes password, devices and tokens; the id is never given again. Its rooms are left by who
 * follows mx_users_departing (client-account), also when this process ends here. erase: the user
 * wants its profile forgotten as well. */
MX_API mx_error *mx_user_deactivate(struct mx_accounts *as, mx_nid user, bool erase) MX_MUST_USE;
struct mx_departing {
	mx_nid user;
	mx_str user_id;			/* in the arena */
	bool erase;
};
/* Deactivated users whose rooms are still to be left: up to max into out. */
MX_API mx_error *mx_users_departing(struct mx_accounts *as, struct mx_conn *c, struct mx_arena *a,
				    size_t max, struct mx_departing *out, size_t *n) MX_MUST_USE;
MX_API mx_error *mx_user_departed(struct mx_accounts *as, mx_nid user) MX_MUST_USE;	/* they are left */
/* An administrator gives a deactivated account a password and with it back to its user. */
MX_API mx_error *mx_user_reactivate(struct mx_accounts *as, mx_nid user,
				    mx_str password) MX_MUST_USE;
/* Whether the password is right, by the password providers; MX_E_FORBIDDEN, after the same time,
 * for user 0 too. A hash of an older kind is renewed. On the CPU pool. */
MX_API mx_error *mx_user_check_password(struct mx_accounts *as, struct mx_conn *c, mx_nid user,
					mx_str password) MX_MUST_USE;

/* ---- sessions: a device with its access token ---- */
struct mx_session {
	mx_str user_id, device_id, access_token;
	mx_str refresh_token;		/* empty when not asked for */
	mx_msec expires_in;		/* 0: never */
};
struct mx_new_session {
	mx_nid user;
	mx_str device_id;		/* empty: a new one; a known one loses its older tokens */
	mx_str display_name;		/* of a new device */
	bool refresh;			/* the client can refresh */
	bool no_device;			/* admin "log in as": a token without a device */
	mx_msec lifetime;		/* of the access token; 0: what [account] says */
};
/* Strings in the arena. MX_E_USER_DEACTIVATED; MX_E_INVALID_PARAM, MX_E_TOO_LARGE for the device's
 * id and name. */
MX_API mx_error *mx_session_open(struct mx_accounts *as, const struct mx_new_session *n,
				 struct mx_arena *a, struct mx_session *out) MX_MUST_USE;
/* MX_E_UNKNOWN_TOKEN. The old pair works until the new one is first used. */
MX_API mx_error *mx_session_refresh(struct mx_accounts *as, mx_str refresh_token,
				    struct mx_arena *a, struct mx_session *out) MX_MUST_USE;
MX_API mx_error *mx_session_close(struct mx_accounts *as, const struct mx_auth *who) MX_MUST_USE;		/* logout: the device goes too */
MX_API mx_error *mx_session_close_all(struct mx_accounts *as, mx_nid user) MX_MUST_USE;

/* A new user with its first session in one write; n (its user is ignored) and session may be NULL,
 * as may out. */
MX_API mx_error *mx_user_register(struct mx_accounts *as, const struct mx_new_user *u,
				  const struct mx_new_session *n, struct mx_arena *a, mx_nid *out,
				  struct mx_session *session) MX_MUST_USE;
/* For jobs: forgets tokens that expired long ago; writes down when devices were last used. */
MX_API mx_error *mx_sessions_collect(struct mx_accounts *as) MX_MUST_USE;
MX_API mx_error *mx_sessions_seen(struct mx_accounts *as) MX_MUST_USE;

struct mx_device {
	mx_nid nid;
	mx_str device_id, display_name, last_ip;
	mx_msec last_seen;
};
MX_API mx_error *mx_devices(struct mx_accounts *as, struct mx_conn *c, mx_nid user,
			    struct mx_arena *a, struct mx_device **out, size_t *n) MX_MUST_USE;
MX_API mx_error *mx_device_get(struct mx_accounts *as, struct mx_conn *c, mx_nid user,
			       mx_str device_id, struct mx_arena *a,
			       struct mx_device *out) MX_MUST_USE;
MX_API mx_error *mx_device_rename(struct mx_accounts *as, mx_nid user, mx_str device_id,
				  mx_str name) MX_MUST_USE;
MX_API mx_error *mx_device_delete(struct mx_accounts *as, mx_nid user, const mx_str *device_ids,
				  size_t n) MX_MUST_USE;

/* ---- ways to log in: providers of the kind "login"; name: the login type ("m.login.password") ---- */
#define MX_LOGIN_ABI 1
struct mx_login_ops {
	uint32_t size;
	/* Members to add to the entry in GET /login's flows beside "type"; may be NULL. */
	void (*describe)(struct mx_module_self *self, json_t *flow);
	/* Verifies the body of POST /login (or a user-interactive auth dict) and says which local
	 * user it is, by localpart. user: for UIA, the user who must be proven, else empty; the
	 * core compares whom it proved. MX_E_FORBIDDEN. localpart: in the request's arena. */
	mx_error *(*login)(struct mx_module_self *self, struct mx_request *rq, const json_t *body,
			   mx_str user, mx_str *localpart);
	uint32_t flags;			/* enum mx_login_flags */
};
enum mx_login_flags { MX_LOGIN_NO_STAGE = 1 << 0 };	/* is no stage of user-interactive authentication */
/* ---- password hashes: providers of the kind "password"; name: the scheme; tried by the hash's prefix ---- */
#define MX_PASSWORD_ABI 1
struct mx_password_ops {
	uint32_t size;
	bool (*claims)(mx_str hash);				/* "$argon2id$…", "$2b$…" */
	mx_error *(*verify)(struct mx_module_self *self, mx_str hash, mx_str password, bool *right);
	char *(*hash)(struct mx_module_self *self, mx_str password);	/* malloc'ed; NULL: verifies only */
	bool (*outdated)(struct mx_module_self *self, mx_str hash);	/* hash() would make a better one now; may be NULL */
};
/* ---- stages of user-interactive authentication that are no login: providers of the kind "stage" ---- */
#define MX_STAGE_ABI 1
struct mx_stage_ops {
	uint32_t size;
	mx_error *(*check)(struct mx_module_self *self, struct mx_request *rq, const json_t *auth);
	json_t *(*params)(struct mx_module_self *self, struct mx_request *rq);	/* may be NULL */
	/* What the stage was passed for is done; mx_uia_memory still works. May be NULL. */
	void (*done)(struct mx_module_self *self, struct mx_request *rq);
};

/* Client-Server API, "User-Interactive Authentication API". flows: an array of arrays of stage
 * names, ended by NULL each. NULL: all stages of one flow are done. Else the 401 to answer (flows,
 * params, session, completed), as an error; after a wrong attempt with errcode and error too. The
 * session holds for [account] uia_timeout and is bound to who, method and path. who: the user that
 * must prove itself, or NULL (registration). */
MX_API mx_error *mx_uia_check(struct mx_request *rq, const char *const *const *flows, size_t n,
			      const struct mx_auth *who) MX_MUST_USE;
/* The same for an operation that the logged-in user must confirm: one flow for each way to log in
 * that can be a stage. */
MX_API mx_error *mx_uia_confirm(struct mx_request *rq) MX_MUST_USE;
/* What a session remembers across requests: borrowed object, changed in place; no other request of
 * the session runs beside this one. NULL when the request has no live session (mx_uia_check makes
 * one). */
MX_API json_t *mx_uia_memory(struct mx_request *rq);
/* Passes one stage of the session of another request, which goes on without it: for who comes by a
 * browser instead. auth: as the auth dict would have it; the user of a login stage is the
 * session's. MX_E_NOT_FOUND when there is no such session, or it does not ask for that stage. */
MX_API mx_error *mx_uia_pass(struct mx_request *rq, mx_str session, mx_str stage,
			     json_t *auth) MX_MUST_USE;
MX_API void mx_uia_finish(struct mx_request *rq);	/* after mx_uia_check: the operation is done, the session is over */

#endif
