/* Listing, showing, making and changing users. */
#include "config.h"

#include "admin.h"

#include <myelin/service/profile.h>

enum { CHUNK = 256, LIMIT_MAX = 1000 };

static void
add_str(json_t *o, const char *key, mx_str s)
{
	json_object_set_new(o, key, s.n > 0 ? admin_json_of(s) : json_null());
}

static mx_error *
profile_of(struct mx_request *rq, mx_nid user, struct mx_profile_user *out)
{
	const struct mx_profile_service *profile = mx_self_service(mx_request_self(rq), "profile");

	*out = (struct mx_profile_user){ 0 };
	if (profile == NULL)
		return NULL;
	mx_error *e = profile->get(mx_request_core(rq), mx_request_conn(rq), user,
				   mx_request_arena(rq), out);
	if (mx_error_is(e, MX_E_NOT_FOUND))
		mx_error_free(&e);
	return e;
}

/* What the list and the single user have in common. */
static mx_error *
user_json(struct mx_request *rq, const struct mx_user *u, json_t **out)
{
	struct mx_profile_user profile;

	MX_TRY(profile_of(rq, u->nid, &profile));
	json_t *o = json_object();
	json_object_set_new(o, "name", admin_json_of(u->user_id));
	add_str(o, "displayname", profile.displayname);
	add_str(o, "avatar_url", profile.avatar_url);
	json_object_set_new(o, "is_guest", json_boolean(u->guest));
	json_object_set_new(o, "admin", json_boolean(u->admin));
	json_object_set_new(o, "deactivated", json_boolean(u->deactivated));
	json_object_set_new(o, "locked", json_boolean(u->locked));
	json_object_set_new(o, "suspended", json_boolean(u->suspended));
	json_object_set_new(o, "user_type", json_null());
	add_str(o, "appservice_id", u->appservice);
	json_object_set_new(o, "creation_ts", json_integer(u->created));
	*out = o;
	return NULL;
}

/* ---- GET /_synapse/admin/v2/users ---- */

struct filter {
	bool guests, deactivated;
	int admins;			/* -1: any */
	mx_str user_id, name;		/* contained in the id; in its localpart */
	int64_t from, limit;
};

static mx_error *
query_bool(struct mx_request *rq, const char *name, bool *out)
{
	mx_str s;

	if (!mx_request_query(rq, name, &s))
		return NULL;
	if (!mx_str_eq(s, MX_S("true")) && !mx_str_eq(s, MX_S("false")))
		return mx_error_new(MX_E_INVALID_PARAM, "%s is true or false", name);
	*out = mx_str_eq(s, MX_S("true"));
	return NULL;
}

static mx_error *
filter_read(struct mx_request *rq, struct filter *f)
{
	bool admins = false;
	mx_str s;

	*f = (struct filter){ .guests = true, .admins = -1 };
	MX_TRY(query_bool(rq, "guests", &f->guests));
	MX_TRY(query_bool(rq, "deactivated", &f->deactivated));
	MX_TRY(query_bool(rq, "admins", &admins));
	if (mx_request_query(rq, "admins", &s))
		f->admins = admins;
	(void)mx_request_query(rq, "user_id", &f->user_id);
	(void)mx_request_query(rq, "name", &f->name);
	MX_TRY(mx_request_query_int(rq, "from", 0, INT64_MAX, 0, &f->from));
	return mx_request_query_int(rq, "limit", 1, LIMIT_MAX, 100, &f->limit);
}

static bool
contains(mx_str s, mx_str part)
{
	return part.n == 0 || (s.n >= part.n && memmem(s.p, s.n, part.p, part.n) != NULL);
}

static bool
fits(const struct filter *f, const struct mx_user *u)
{
	mx_str localpart = { NULL, 0 };

	(void)mx_id_user(u->user_id, &localpart, NULL);
	return (f->guests || !u->guest) && (f->deactivated || !u->deactivated) &&
	       (f->admins < 0 || u->admin == (f->admins != 0)) &&
	       contains(u->user_id, f->user_id) && contains(localpart, f->name);
}

/* `from` counts users that fit, as Synapse's tools expect: so all are looked at. */
static mx_error *
list(struct mx_request *rq, const struct filter *f, json_t *users, int64_t *total)
{
	struct mx_user chunk[CHUNK];
	mx_nid after = 0;
	size_t n = CHUNK;

	*total = 0;
	while (n == CHUNK) {
		MX_AUTO(mx_arena) *a = mx_arena_new();

		MX_TRY(mx_user_list(admin_accounts(rq), mx_request_conn(rq), after, CHUNK, a, chunk,
				    &n));
		for (size_t i = 0; i < n; i++) {
			after = chunk[i].nid;
			if (!fits(f, &chunk[i]))
				continue;
			if (*total >= f->from && *total < f->from + f->limit) {
				json_t *o;

				MX_TRY(user_json(rq, &chunk[i], &o));
				json_array_append_new(users, o);
			}
			++*total;
		}
	}
	return NULL;
}

enum mx_outcome
admin_users(struct mx_request *rq)
{
	MX_AUTO_JSON *users = json_array();
	struct filter f;
	int64_t total;
	mx_error *e = filter_read(rq, &f);

	if (e == NULL)
		e = list(rq, &f, users, &total);
	if (e != NULL)
		return mx_reply_error(rq, e);
	json_t *answer = json_pack("{s:O, s:I}", "users", users, "total", (json_int_t)total);
	if (f.from + f.limit < total)
		json_object_set_new(answer, "next_token",
				    admin_json_of(mx_arena_printf(mx_request_arena(rq), "%lld",
								  (long long)(f.from + f.limit))));
	return mx_reply_json(rq, 200, answer);
}

/* ---- GET and PUT /_synapse/admin/v2/users/{userId} ---- */

static mx_error *
show(struct mx_request *rq, json_t **out)
{
	struct mx_user u;
	json_t *threepids;

	MX_TRY(admin_target(rq, "userId", &u));
	MX_TRY(admin_threepids(rq, u.nid, &threepids));
	mx_error *e = user_json(rq, &u, out);
	if (e != NULL) {
		json_decref(threepids);
		return e;
	}
	json_object_set_new(*out, "threepids", threepids);
	json_object_set_new(*out, "external_ids", json_array());
	return NULL;
}

enum mx_outcome
admin_user_get(struct mx_request *rq)
{
	json_t *answer;
	mx_error *e = show(rq, &answer);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, answer);
}

struct change {
	mx_str password, displayname;
	json_t *threepids;		/* NULL: as they are */
	bool logout_devices, admin, deactivated, locked;
	bool has_admin, has_deactivated, has_locked, has_displayname;
};

static mx_error *
read_flag(const json_t *body, const char *key, bool *value, bool *has)
{
	*has = json_object_get(body, key) != NULL;
	return mx_json_opt_bool(body, key, value);
}

static mx_error *
change_read(struct mx_request *rq, struct change *ch)
{
	json_t *body;

	*ch = (struct change){ .logout_devices = true };
	MX_TRY(mx_request_json(rq, &body));
	if (!json_is_null(json_object_get(body, "password")))
		MX_TRY(mx_json_opt_str(body, "password", &ch->password));
	MX_TRY(mx_json_opt_bool(body, "logout_devices", &ch->logout_devices));
	ch->has_displayname = json_object_get(body, "displayname") != NULL;
	if (!json_is_null(json_object_get(body, "displayname")))
		MX_TRY(mx_json_opt_str(body, "displayname", &ch->displayname));
	MX_TRY(mx_json_opt_array(body, "threepids", &ch->threepids));
	MX_TRY(read_flag(body, "admin", &ch->admin, &ch->has_admin));
	MX_TRY(read_flag(body, "deactivated", &ch->deactivated, &ch->has_deactivated));
	MX_TRY(read_flag(body, "locked", &ch->locked, &ch->has_locked));
	if (ch->password.p != NULL && ch->password.n == 0)
		return mx_error_new(MX_E_INVALID_PARAM, "The password is empty");
	return NULL;
}

static mx_error *
user_make(struct mx_request *rq, mx_str user_id, const struct change *ch)
{
	struct mx_new_user u = { .password = ch->password, .admin = ch->admin };
	mx_nid nid;

	if (ch->has_deactivated && ch->deactivated)
		return mx_error_new(MX_E_INVALID_PARAM,
				    "An account that does not exist cannot be deactivated");
	if (!mx_id_user(user_id, &u.localpart, NULL))
		return mx_error_new(MX_E_INVALID_PARAM, "userId: a user id is \"@name:server\"");
	MX_TRY(mx_user_create(admin_accounts(rq), &u, &nid));
	if (ch->has_locked && ch->locked)
		MX_TRY(mx_user_set(admin_accounts(rq), nid, MX_USER_LOCKED, true));
	if (ch->threepids != NULL)
		MX_TRY(admin_set_threepids(rq, nid, ch->threepids));
	return ch->displayname.n > 0 ? admin_set_displayname(rq, nid, user_id, ch->displayname)
				     : NULL;
}

static mx_error *
user_change(struct mx_request *rq, const struct mx_user *u, const struct change *ch)
{
	struct mx_accounts *as = admin_accounts(rq);
	bool self = u->nid == mx_request_auth(rq)->user;

	if (self && ((ch->has_admin && !ch->admin) || (ch->has_deactivated && ch->deactivated) ||
		     (ch->has_locked && ch->locked)))
		return mx_error_new(MX_E_FORBIDDEN,
				    "You cannot take your own account's rights away");
	if (ch->has_deactivated && ch->deactivated)
		return u->deactivated ? NULL : mx_user_deactivate(as, u->nid, false);
	if (u->deactivated) {
		if (!ch->has_deactivated)
			return mx_error_new(MX_E_BAD_REQUEST, "This account is deactivated");
		if (ch->password.n == 0)
			return mx_error_new(
				MX_E_INVALID_PARAM,
				"To give a deactivated account back, a password is needed");
		MX_TRY(mx_user_reactivate(as, u->nid, ch->password));
	} else if (ch->password.n > 0) {
		MX_TRY(mx_user_set_password(as, u->nid, ch->password, ch->logout_devices,
					    self ? mx_request_auth(rq)->device : 0));
	}
	if (ch->has_admin && ch->admin != u->admin)
		MX_TRY(mx_user_set(as, u->nid, MX_USER_ADMIN, ch->admin));
	if (ch->has_locked && ch->locked != u->locked)
		MX_TRY(mx_user_set(as, u->nid, MX_USER_LOCKED, ch->locked));
	if (ch->threepids != NULL)
		MX_TRY(admin_set_threepids(rq, u->nid, ch->threepids));
	return ch->has_displayname ? admin_set_displayname(rq, u->nid, u->user_id, ch->displayname)
				   : NULL;
}

static mx_error *
put(struct mx_request *rq, json_t **answer, int *status)
{
	struct change ch;
	struct mx_user u;

	MX_TRY(change_read(rq, &ch));
	mx_error *e = admin_target(rq, "userId", &u);
	if (mx_error_is(e, MX_E_NOT_FOUND)) {
		mx_error_free(&e);
		MX_TRY(admin_check_threepids(rq, 0, ch.threepids));
		MX_TRY(user_make(rq, mx_request_param(rq, "userId"), &ch));
		*status = 201;
	} else {
		MX_TRY(e);
		MX_TRY(admin_check_threepids(rq, u.nid, ch.threepids));
		MX_TRY(user_change(rq, &u, &ch));
		*status = 200;
	}
	return show(rq, answer);
}

enum mx_outcome
admin_user_put(struct mx_request *rq)
{
	json_t *answer;
	int status;
	mx_error *e = put(rq, &answer, &status);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, status, answer);
}
