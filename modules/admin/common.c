#include "config.h"

#include "admin.h"

#include <myelin/service/profile.h>

struct mx_accounts *
admin_accounts(struct mx_request *rq)
{
	return mx_core_accounts(mx_request_core(rq));
}

json_t *
admin_json_of(mx_str s)
{
	return json_stringn(s.p, s.n);
}

mx_error *
admin_target(struct mx_request *rq, const char *param, struct mx_user *out)
{
	mx_str id = mx_request_param(rq, param), server;

	if (!mx_id_user(id, NULL, &server))
		return mx_error_new(MX_E_INVALID_PARAM, "%s: a user id is \"@name:server\"", param);
	if (!mx_str_eq(server, mx_core_server_name(mx_request_core(rq))))
		return mx_error_new(MX_E_INVALID_PARAM, "%s: this is not a user of this server",
				    param);
	return mx_user_get(admin_accounts(rq), mx_request_conn(rq), id, mx_request_arena(rq), out);
}

mx_error *
admin_set_displayname(struct mx_request *rq, mx_nid user, mx_str user_id, mx_str name)
{
	const struct mx_profile_service *profile = mx_self_service(mx_request_self(rq), "profile");

	if (profile == NULL || profile->size <= offsetof(struct mx_profile_service, set) ||
	    profile->set == NULL)
		return NULL;
	MX_AUTO_JSON *value = name.n > 0 ? admin_json_of(name) : NULL;
	return profile->set(mx_request_core(rq), mx_request_conn(rq), user, user_id,
			    MX_S("displayname"), value);
}
