/* What else an administrator does to a user, and what the server is. */
#include "config.h"

#include "admin.h"

/* ---- POST /_synapse/admin/v1/users/{userId}/login ---- */

static mx_error *
login_as(struct mx_request *rq, json_t **answer)
{
	struct mx_new_session n = { .no_device = true };
	int64_t until = 0;
	struct mx_session s;
	struct mx_user u;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	if (!json_is_null(json_object_get(body, "valid_until_ms")))
		MX_TRY(mx_json_opt_int(body, "valid_until_ms", &until));
	MX_TRY(admin_target(rq, "userId", &u));
	if (u.nid == mx_request_auth(rq)->user)
		return mx_error_new(MX_E_BAD_REQUEST, "You are logged in as this user already");
	n.user = u.nid;
	if (until != 0 && until <= mx_now())
		return mx_error_new(MX_E_INVALID_PARAM, "valid_until_ms is over already");
	n.lifetime = until != 0 ? until - mx_now() : 0;
	MX_TRY(mx_session_open(admin_accounts(rq), &n, mx_request_arena(rq), &s));
	mx_log("admin", MX_INFO, "ADM001", "an administrator logged in as a user",
	       mx_fs("admin", mx_request_auth(rq)->user_id), mx_fs("user", u.user_id));
	*answer = json_object();
	json_object_set_new(*answer, "access_token", admin_json_of(s.access_token));
	return NULL;
}

enum mx_outcome
admin_login_as(struct mx_request *rq)
{
	json_t *answer;
	mx_error *e = login_as(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

/* ---- POST /_synapse/admin/v1/deactivate/{userId}; the user's rooms are left by client-account ---- */

static mx_error *
deactivate(struct mx_request *rq)
{
	bool erase = false;
	struct mx_user u;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_opt_bool(body, "erase", &erase));
	MX_TRY(admin_target(rq, "userId", &u));
	return u.deactivated ? NULL : mx_user_deactivate(admin_accounts(rq), u.nid, erase);
}

enum mx_outcome
admin_deactivate(struct mx_request *rq)
{
	mx_error *e = deactivate(rq);

	return e != NULL ? mx_reply_error(rq, e)
			 : mx_reply_json(rq, 200,
					 json_pack("{s:s}", "id_server_unbind_result", "success"));
}

/* ---- POST /_synapse/admin/v1/reset_password/{userId} ---- */

static mx_error *
reset_password(struct mx_request *rq)
{
	bool logout = true;
	struct mx_user u;
	mx_str password;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_get_str(body, "new_password", &password));
	MX_TRY(mx_json_opt_bool(body, "logout_devices", &logout));
	MX_TRY(admin_target(rq, "userId", &u));
	mx_nid keep = u.nid == mx_request_auth(rq)->user ? mx_request_auth(rq)->device : 0;
	return mx_user_set_password(admin_accounts(rq), u.nid, password, logout, keep);
}

enum mx_outcome
admin_reset_password(struct mx_request *rq)
{
	mx_error *e = reset_password(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

/* ---- whois. Client-Server API, "Server Administration" ---- */

static json_t *
connection_json(const struct mx_device *d)
{
	json_t *o = json_object();

	if (d->last_ip.n > 0)
		json_object_set_new(o, "ip", admin_json_of(d->last_ip));
	if (d->last_seen > 0)
		json_object_set_new(o, "last_seen", json_integer(d->last_seen));
	return o;
}

static mx_error *
whois(struct mx_request *rq, json_t **answer)
{
	struct mx_device *v;
	struct mx_user u;
	size_t n;

	MX_TRY(admin_target(rq, "userId", &u));
	MX_TRY(mx_devices(admin_accounts(rq), mx_request_conn(rq), u.nid, mx_request_arena(rq), &v,
			  &n));
	json_t *devices = json_object();
	for (size_t i = 0; i < n; i++)
		json_object_setn_new(devices, v[i].device_id.p, v[i].device_id.n,
				     json_pack("{s:[{s:[o]}]}", "sessions", "connections",
					       connection_json(&v[i])));
	*answer = json_object();
	json_object_set_new(*answer, "user_id", admin_json_of(u.user_id));
	json_object_set_new(*answer, "devices", devices);
	return NULL;
}

enum mx_outcome
admin_whois(struct mx_request *rq)
{
	json_t *answer;
	mx_error *e = whois(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

/* The client API's: everybody may ask about oneself. */
enum mx_outcome
admin_whois_self(struct mx_request *rq)
{
	const struct mx_auth *auth = mx_request_auth(rq);

	if (!auth->admin && !mx_str_eq(mx_request_param(rq, "userId"), auth->user_id))
		return mx_reply_error(rq,
				      mx_error_new(MX_E_FORBIDDEN,
						   "You are not an administrator of this server"));
	return admin_whois(rq);
}

enum mx_outcome
admin_version(struct mx_request *rq)
{
	mx_str version = mx_arena_printf(mx_request_arena(rq), "Myelin %s", mx_version());

	return mx_reply_json(rq, 200, json_pack("{s:s}", "server_version", version.p));
}
