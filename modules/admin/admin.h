/* What the files of the admin module share. The dialect is Synapse's, so that its tools work. */
#ifndef ADMIN_H
#define ADMIN_H

#include <myelin/module.h>

struct admin_options {
	const char *registration_shared_secret;
};

struct nonces;
struct nonces *nonces_new(void);
void nonces_free(struct nonces **n);

mx_handler admin_nonce, admin_register;						/* register.c */
mx_handler admin_users, admin_user_get, admin_user_put;				/* users.c */
mx_handler admin_user_by_threepid;						/* threepids.c */
mx_handler admin_login_as, admin_deactivate, admin_reset_password, admin_whois, admin_whois_self, admin_version;	/* actions.c */
mx_handler admin_suspend_get, admin_suspend_put, admin_lock_get, admin_lock_put;	/* moderate.c */

/* ---- common.c ---- */
struct mx_accounts *admin_accounts(struct mx_request *rq);
json_t *admin_json_of(mx_str s);
/* The user whom the path's parameter names: a full id of this server. MX_E_INVALID_PARAM,
 * MX_E_NOT_FOUND. */
mx_error *admin_target(struct mx_request *rq, const char *param, struct mx_user *out) MX_MUST_USE;
/* Sets the display name, where the module client-profile is loaded. */
mx_error *admin_set_displayname(struct mx_request *rq, mx_nid user, mx_str user_id,
				mx_str name) MX_MUST_USE;

/* ---- threepids.c: addresses, where the module client-account is loaded ---- */
/* Those of a user, as an array. */
mx_error *admin_threepids(struct mx_request *rq, mx_nid user, json_t **out) MX_MUST_USE;
/* Whether list (NULL: nothing to do) could be a user's (0: of a new one), before anything is done:
 * MX_E_BAD_JSON, MX_E_MISSING_PARAM, MX_E_INVALID_PARAM, MX_E_THREEPID_IN_USE. */
mx_error *admin_check_threepids(struct mx_request *rq, mx_nid user,
				const json_t *list) MX_MUST_USE;
/* The user has these and no others; after admin_check_threepids. */
mx_error *admin_set_threepids(struct mx_request *rq, mx_nid user, const json_t *list) MX_MUST_USE;

#endif
