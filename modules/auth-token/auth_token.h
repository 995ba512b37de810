/* auth-token inside: login.c has the tokens that log another device in; table.c keeps registration
 * tokens and counts their uses; registration.c asks for one; admin.c (by HTTP, as Synapse's tools
 * know it) and commands.c (by myelinctl) manage them. */
#ifndef AUTH_TOKEN_H
#define AUTH_TOKEN_H

#include <myelin/module.h>

struct token_options {
	struct mx_list registration_tokens;
	int64_t max_registration_tokens;
	bool login_tokens;
	struct mx_duration login_token_lifetime;
};

/* ---- login.c ---- */
extern const struct mx_login_ops login_ops;
mx_handler login_get_token;
mx_error *login_collect(struct mx_txn *tx, mx_msec now) MX_MUST_USE;

/* ---- registration.c ---- */
extern const struct mx_stage_ops registration_ops;
mx_handler registration_validity;

/* ---- table.c ---- */
enum { REG_TOKEN_MAX = 64, REG_LENGTH = 16, REG_ID = 24 };
struct reg_token {
	mx_str token;
	int64_t uses;			/* allowed; -1: any number */
	mx_msec expiry;			/* 0: never */
	int64_t pending, completed;	/* registrations that have shown it, and that were made by it */
};
bool reg_valid(const struct reg_token *t);	/* now, for one more */
/* From 1 to 64 of A-Z a-z 0-9 . _ ~ -. MX_E_INVALID_PARAM. */
mx_error *reg_check_name(mx_str token) MX_MUST_USE;
/* MX_E_NOT_FOUND. */
mx_error *reg_get(struct mx_conn *c, mx_str token, struct mx_arena *a,
		  struct reg_token *out) MX_MUST_USE;
/* Calls fn for each token, in bytewise order. */
mx_error *reg_list(struct mx_conn *c, void (*fn)(void *arg, const struct reg_token *t),
		   void *arg) MX_MUST_USE;
/* A new one. When t->token is empty, it gets `length` characters, in the arena. MX_E_EXISTS,
 * MX_E_LIMIT_EXCEEDED when there are max already. */
mx_error *reg_make(struct mx_db *db, struct reg_token *t, size_t length, int64_t max,
		   struct mx_arena *a) MX_MUST_USE;
/* Changes uses and expiry. MX_E_NOT_FOUND. */
mx_error *reg_change(struct mx_db *db, const struct reg_token *t) MX_MUST_USE;
mx_error *reg_delete(struct mx_db *db, mx_str token) MX_MUST_USE;
/* A registration has shown the token: it is pending for an hour under this id. MX_E_NOT_FOUND when
 * the token is not valid for one more. */
mx_error *reg_begin(struct mx_db *db, mx_str token, mx_str id) MX_MUST_USE;
mx_error *reg_complete(struct mx_db *db, mx_str token, mx_str id) MX_MUST_USE;
mx_error *reg_collect(struct mx_txn *tx, mx_msec now) MX_MUST_USE;

/* ---- admin.c ---- */
mx_handler admin_tokens, admin_token_new, admin_token_get, admin_token_put, admin_token_delete;

/* ---- commands.c ---- */
enum { TOKEN_COMMANDS = 3 };
extern const struct mx_command_row token_commands[TOKEN_COMMANDS];

#endif
