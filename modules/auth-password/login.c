/* m.login.password, at login and as a stage of user-interactive authentication. Client-Server API,
 * "Password-based". */
#include "config.h"

#include "auth_password.h"

#include <myelin/core.h>
#include <myelin/service/threepids.h>

/* The user whose address it is; something that is no user when it is nobody's, so that both take the
 * same way. */
static mx_error *
owner(struct mx_module_self *self, struct mx_request *rq, const json_t *identifier, mx_str *out)
{
	const struct mx_threepids_service *threepids = mx_self_service(self, "threepids");
	mx_str medium, address;
	mx_nid user;
	mx_error *e;

	MX_TRY(mx_json_get_str(identifier, "medium", &medium));
	MX_TRY(mx_json_get_str(identifier, "address", &address));
	*out = mx_arena_printf(mx_request_arena(rq), "%.*s %.*s", MX_SFMT(medium), MX_SFMT(address));
	if (threepids == NULL)
		return NULL;
	e = threepids->find(mx_self_core(self), mx_request_conn(rq), medium, address, &user);
	if (e == NULL)
		return mx_name_text(mx_request_conn(rq), user, mx_request_arena(rq), out);
	if (mx_error_is(e, MX_E_NOT_FOUND) || mx_error_is(e, MX_E_INVALID_PARAM))
		mx_error_free(&e);
	return e;
}

/* What the body says of who is meant: a full user id or a localpart. */
static mx_error *
named_user(struct mx_module_self *self, struct mx_request *rq, const json_t *body, mx_str *out)
{
	json_t *identifier = NULL;
	mx_str type;

	*out = (mx_str){ NULL, 0 };
	MX_TRY(mx_json_opt_object(body, "identifier", &identifier));
	if (identifier == NULL)
		return mx_json_opt_str(body, "user", out);
	MX_TRY(mx_json_get_str(identifier, "type", &type));
	if (mx_str_eq(type, MX_S("m.id.thirdparty")))
		return owner(self, rq, identifier, out);
	if (!mx_str_eq(type, MX_S("m.id.user")))
		return mx_error_new(MX_E_FORBIDDEN, "This server knows users by their user ids "
						    "(m.id.user) and addresses (m.id.thirdparty)");
	return mx_json_get_str(identifier, "user", out);
}

static mx_str
lower(struct mx_arena *a, mx_str s)
{
	mx_str copy = mx_arena_str(a, s);

	for (size_t i = 0; i < copy.n; i++)
		if (copy.p[i] >= 'A' && copy.p[i] <= 'Z')
			((char *)(uintptr_t)copy.p)[i] = (char)(copy.p[i] - 'A' + 'a');
	return copy;
}

static mx_error *
get(struct mx_request *rq, mx_str name, struct mx_user *out)
{
	mx_error *e = mx_user_get(mx_core_accounts(mx_request_core(rq)), mx_request_conn(rq), name,
				  mx_request_arena(rq), out);

	if (e != NULL)
		*out = (struct mx_user){ 0 };
	if (mx_error_is(e, MX_E_NOT_FOUND))
		mx_error_free(&e);
	return e;
}

/* The user of that name as it is written, or else with its localpart in lower case: old ids may
 * have capitals, and phones like to make some. out->nid is 0 when there is none. */
static mx_error *
find(struct mx_request *rq, mx_str name, struct mx_user *out)
{
	struct mx_arena *a = mx_request_arena(rq);
	mx_str localpart, server;

	MX_TRY(get(rq, name, out));
	if (out->nid != 0 || name.n > 255)
		return NULL;
	if (mx_id_user(name, &localpart, &server)) {
		localpart = lower(a, localpart);
		return get(rq,
			   mx_arena_printf(a, "@%.*s:%.*s", MX_SFMT(localpart), MX_SFMT(server)),
			   out);
	}
	return get(rq, lower(a, name), out);
}

static mx_error *
login(struct mx_module_self *self, struct mx_request *rq, const json_t *body, mx_str user,
      mx_str *localpart)
{
	const struct auth_password_options *o = mx_self_options(self);
	struct throttle *t = mx_self_state(self);
	struct mx_user found;
	mx_str name, password;

	MX_TRY(named_user(self, rq, body, &name));
	MX_TRY(mx_json_get_str(body, "password", &password));
	if (name.n == 0)
		name = user;
	if (name.n == 0)
		return mx_error_new(MX_E_MISSING_PARAM, "Who logs in? There is no identifier");
	MX_TRY(find(rq, name, &found));
	mx_str account = found.nid != 0 ? found.user_id : name;
	MX_TRY(mx_request_limit(rq, MX_RATE_LOGIN, account));
	MX_TRY(throttle_check(t, account, o->failed_burst, o->failed_every.ms));
	mx_error *e = mx_user_check_password(mx_core_accounts(mx_self_core(self)),
					     mx_request_conn(rq), found.nid, password);
	if (mx_error_is(e, MX_E_FORBIDDEN)) {
		throttle_failed(t, account, o->failed_burst, o->failed_every.ms);
		mx_core_tell(mx_self_core(self), MX_S("auth-password"), account);
	}
	if (e != NULL)
		return e;
	(void)mx_id_user(found.user_id, localpart, NULL);
	return NULL;
}

const struct mx_login_ops auth_password_login = { .size = sizeof(struct mx_login_ops),
						  .login = login };
