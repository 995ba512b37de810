/* Locking and suspending users. Client-Server API, "Server Administration" (account moderation). */
#include "config.h"

#include "admin.h"

static mx_error *
target(struct mx_request *rq, struct mx_user *u)
{
	MX_TRY(admin_target(rq, "userId", u));
	if (u->deactivated)
		return mx_error_new(MX_E_NOT_FOUND, "This account is deactivated");
	if (u->admin && u->nid != mx_request_auth(rq)->user)
		return mx_error_new(MX_E_FORBIDDEN,
				    "Administrators are not locked or suspended by each other");
	return NULL;
}

static mx_error *
put(struct mx_request *rq, const char *key, enum mx_user_flag flag, bool *on)
{
	struct mx_user u;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	if (json_object_get(body, key) == NULL)
		return mx_error_new(MX_E_MISSING_PARAM, "Missing parameter: %s", key);
	MX_TRY(mx_json_opt_bool(body, key, on));
	MX_TRY(target(rq, &u));
	if (u.nid == mx_request_auth(rq)->user)
		return mx_error_new(MX_E_FORBIDDEN, "You cannot do this to yourself");
	return mx_user_set(admin_accounts(rq), u.nid, flag, *on);
}

static enum mx_outcome
answer(struct mx_request *rq, mx_error *e, const char *key, bool on)
{
	return e != NULL ? mx_reply_error(rq, e)
			 : mx_reply_json(rq, 200, json_pack("{s:b}", key, (int)on));
}

enum mx_outcome
admin_suspend_get(struct mx_request *rq)
{
	struct mx_user u = { 0 };
	mx_error *e = target(rq, &u);

	return answer(rq, e, "suspended", u.suspended);
}

enum mx_outcome
admin_lock_get(struct mx_request *rq)
{
	struct mx_user u = { 0 };
	mx_error *e = target(rq, &u);

	return answer(rq, e, "locked", u.locked);
}

enum mx_outcome
admin_suspend_put(struct mx_request *rq)
{
	bool on = false;
	mx_error *e = put(rq, "suspended", MX_USER_SUSPENDED, &on);

	return answer(rq, e, "suspended", on);
}

enum mx_outcome
admin_lock_put(struct mx_request *rq)
{
	bool on = false;
	mx_error *e = put(rq, "locked", MX_USER_LOCKED, &on);

	return answer(rq, e, "locked", on);
}
