/* Mail addresses and telephone numbers of users. */
#include "config.h"

#include "admin.h"

#include <myelin/service/threepids.h>

static const struct mx_threepids_service *
service(struct mx_request *rq)
{
	return mx_self_service(mx_request_self(rq), "threepids");
}

mx_error *
admin_threepids(struct mx_request *rq, mx_nid user, json_t **out)
{
	struct mx_threepid *v = NULL;
	size_t n = 0;

	if (service(rq) != NULL)
		MX_TRY(service(rq)->list(mx_request_core(rq), mx_request_conn(rq), user,
					 mx_request_arena(rq), &v, &n));
	*out = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(*out, json_pack("{s:o, s:o, s:I, s:I}", "medium",
						      admin_json_of(v[i].medium), "address",
						      admin_json_of(v[i].address), "validated_at",
						      (json_int_t)v[i].validated, "added_at",
						      (json_int_t)v[i].added));
	return NULL;
}

static mx_error *
check_one(struct mx_request *rq, mx_nid user, const json_t *item)
{
	mx_str medium, address;
	mx_nid owner;
	mx_error *e;

	if (!json_is_object(item))
		return mx_error_new(MX_E_BAD_JSON, "threepids must hold objects");
	MX_TRY(mx_json_get_str(item, "medium", &medium));
	MX_TRY(mx_json_get_str(item, "address", &address));
	e = service(rq)->find(mx_request_core(rq), mx_request_conn(rq), medium, address, &owner);
	if (mx_error_is(e, MX_E_NOT_FOUND))
		mx_error_free(&e);
	else if (e == NULL && owner != user)
		return mx_error_new(MX_E_THREEPID_IN_USE, "%.*s belongs to another account",
				    MX_SFMT(address));
	return e;
}

mx_error *
admin_check_threepids(struct mx_request *rq, mx_nid user, const json_t *list)
{
	const json_t *item;
	size_t i;

	if (list != NULL && service(rq) == NULL)
		return mx_error_new(MX_E_INVALID_PARAM,
				    "Addresses of users are kept by the module client-account, "
				    "which is not loaded");
	json_array_foreach(list, i, item)
		MX_TRY(check_one(rq, user, item));
	return NULL;
}

mx_error *
admin_set_threepids(struct mx_request *rq, mx_nid user, const json_t *list)
{
	struct mx_threepid *v =
		mx_arena_alloc(mx_request_arena(rq), (json_array_size(list) + 1) * sizeof(*v));
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		v[i] = (struct mx_threepid){ .medium = mx_json_str(item, "medium"),
					     .address = mx_json_str(item, "address") };
	return service(rq)->replace(mx_request_core(rq), user, v, json_array_size(list));
}

/* ---- GET /_synapse/admin/v1/threepid/{medium}/users/{address} ---- */

static mx_error *
whose(struct mx_request *rq, mx_str *user_id)
{
	mx_nid user;

	if (service(rq) == NULL)
		return mx_error_new(MX_E_NOT_FOUND, "User not found");
	MX_TRY(service(rq)->find(mx_request_core(rq), mx_request_conn(rq),
				 mx_request_param(rq, "medium"), mx_request_param(rq, "address"),
				 &user));
	return mx_name_text(mx_request_conn(rq), user, mx_request_arena(rq), user_id);
}

enum mx_outcome
admin_user_by_threepid(struct mx_request *rq)
{
	mx_str user_id;
	mx_error *e = whose(rq, &user_id);

	return e != NULL ? mx_reply_error(rq, e)
			 : mx_reply_json(rq, 200,
					 json_pack("{s:o}", "user_id", admin_json_of(user_id)));
}
