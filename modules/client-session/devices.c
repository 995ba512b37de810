/* What users see and do of their devices. Client-Server API, "Device Management". */
#include "config.h"

#include "client_session.h"

enum { DELETE_MAX = 1000 };		/* devices in one request */

static struct mx_accounts *
accounts_of(struct mx_request *rq)
{
	return mx_core_accounts(mx_request_core(rq));
}

static json_t *
device_json(const struct mx_device *d)
{
	json_t *o = json_object();

	json_object_set_new(o, "device_id", json_stringn(d->device_id.p, d->device_id.n));
	if (d->display_name.p != NULL)
		json_object_set_new(o, "display_name",
				    json_stringn(d->display_name.p, d->display_name.n));
	if (d->last_ip.n > 0)
		json_object_set_new(o, "last_seen_ip", json_stringn(d->last_ip.p, d->last_ip.n));
	if (d->last_seen > 0)
		json_object_set_new(o, "last_seen_ts", json_integer(d->last_seen));
	return o;
}

enum mx_outcome
session_devices(struct mx_request *rq)
{
	struct mx_device *v;
	size_t n;
	mx_error *e = mx_devices(accounts_of(rq), mx_request_conn(rq), mx_request_auth(rq)->user,
				 mx_request_arena(rq), &v, &n);

	if (e != NULL)
		return mx_reply_error(rq, e);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, device_json(&v[i]));
	return mx_reply_json(rq, 200, json_pack("{s:o}", "devices", list));
}

enum mx_outcome
session_device_get(struct mx_request *rq)
{
	struct mx_device d;
	mx_error *e = mx_device_get(accounts_of(rq), mx_request_conn(rq), mx_request_auth(rq)->user,
				    mx_request_param(rq, "deviceId"), mx_request_arena(rq), &d);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, device_json(&d));
}

static mx_error *
device_put(struct mx_request *rq)
{
	mx_str id = mx_request_param(rq, "deviceId"), name = { NULL, 0 };
	mx_nid user = mx_request_auth(rq)->user;
	struct mx_device d;
	json_t *body;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_opt_str(body, "display_name", &name));
	if (name.p != NULL)
		return mx_device_rename(accounts_of(rq), user, id, name);
	/* Without a name nothing changes; whether the device is there is answered all the same. */
	return mx_device_get(accounts_of(rq), mx_request_conn(rq), user, id, mx_request_arena(rq),
			     &d);
}

enum mx_outcome
session_device_put(struct mx_request *rq)
{
	mx_error *e = device_put(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

static mx_error *
confirm_and_delete(struct mx_request *rq, const mx_str *ids, size_t n)
{
	MX_TRY(mx_uia_confirm(rq));
	MX_TRY(mx_device_delete(accounts_of(rq), mx_request_auth(rq)->user, ids, n));
	mx_uia_finish(rq);
	return NULL;
}

enum mx_outcome
session_device_delete(struct mx_request *rq)
{
	mx_str id = mx_request_param(rq, "deviceId");
	mx_error *e = confirm_and_delete(rq, &id, 1);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

static mx_error *
delete_devices(struct mx_request *rq)
{
	json_t *body, *list = NULL;

	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(mx_json_opt_array(body, "devices", &list));
	if (list == NULL)
		return mx_error_new(MX_E_MISSING_PARAM, "Missing parameter: devices");
	size_t n = json_array_size(list);
	if (n > DELETE_MAX)
		return mx_error_new(MX_E_INVALID_PARAM, "devices: at most %d at once", DELETE_MAX);
	mx_str *ids = mx_arena_alloc(mx_request_arena(rq), (n + 1) * sizeof(*ids));
	for (size_t i = 0; i < n; i++) {
		const json_t *id = json_array_get(list, i);

		if (!json_is_string(id))
			return mx_error_new(MX_E_BAD_JSON, "devices: a device id is a string");
		ids[i] = (mx_str){ json_string_value(id), json_string_length(id) };
	}
	return confirm_and_delete(rq, ids, n);
}

enum mx_outcome
session_delete_devices(struct mx_request *rq)
{
	mx_error *e = delete_devices(rq);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}
