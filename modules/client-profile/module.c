/* client-profile: what users say about themselves. Client-Server API, "Profiles". */
#include "config.h"

#include "profile.h"

static const struct mx_option options[] = {
	MX_OPT(struct profile_options, require_login, .def = "no", .flags = MX_OPT_RELOAD,
	       .help = "Whether profiles are shown to who is logged in only."),
	MX_OPT(struct profile_options, shared_rooms_only, .def = "no", .flags = MX_OPT_RELOAD,
	       .help = "Whether profiles are shown to who shares a room with the user only."),
	MX_OPT(struct profile_options, spread_batch, .def = "50", .min = 1, .max = 1000,
	       .flags = MX_OPT_RELOAD,
	       .help = "How many rooms are told of a new name or picture in one go."),
	MX_OPT(struct profile_options, default_displayname, .def = "yes", .flags = MX_OPT_RELOAD,
	       .help = "Whether a new user's display name is the local part of its user id."),
};

static const struct profile_options *
options_of(struct mx_request *rq)
{
	return mx_self_options(mx_request_self(rq));
}

/* ---- reading ---- */

/* The user of the path, when there is one and the asking user may know of it. */
static mx_error *
find_user(struct mx_request *rq, struct mx_user *out)
{
	struct mx_core *core = mx_request_core(rq);
	const struct mx_auth *who = mx_request_auth(rq);
	mx_str id = mx_request_param(rq, "userId");
	bool share = true;

	if ((options_of(rq)->require_login || options_of(rq)->shared_rooms_only) && who == NULL)
		return mx_error_new(MX_E_MISSING_TOKEN, "Profiles are for who is logged in");
	MX_TRY(mx_id_check_user(id, "userId"));
	if (!mx_str_eq(mx_id_server_of(id), mx_core_server_name(core)))
		return mx_error_new(MX_E_NOT_FOUND, "There is no profile of that user here");
	MX_TRY(mx_user_get(mx_core_accounts(core), mx_request_conn(rq), id, mx_request_arena(rq),
			   out));
	if (out->deactivated)
		return mx_error_new(MX_E_NOT_FOUND, "There is no profile of that user here");
	if (options_of(rq)->shared_rooms_only && who->user != out->nid)
		MX_TRY(mx_users_share(mx_core_rooms(core), mx_request_conn(rq), who->user, out->nid,
				      &share));
	return share ? NULL : mx_error_new(MX_E_FORBIDDEN, "You share no room with that user");
}

static enum mx_outcome
get_profile(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);
	struct mx_user user;
	mx_error *e = find_user(rq, &user);

	if (e == NULL)
		e = profile_all(mx_request_conn(rq), user.nid, b);
	if (e == NULL)
		return mx_reply_buf(rq, 200, &b);
	mx_buf_free(&b);
	return mx_reply_error(rq, e);
}

static mx_error *
read_field(struct mx_request *rq, struct mx_buf *b)
{
	mx_str field = mx_request_param(rq, "keyName"), json;
	struct mx_jw w = mx_jw_on(b);
	struct mx_user user;

	MX_TRY(profile_check_key(field));
	MX_TRY(find_user(rq, &user));
	MX_TRY(profile_field(mx_request_conn(rq), user.nid, field, mx_request_arena(rq), &json));
	if (json.p == NULL)
		return mx_error_new(MX_E_NOT_FOUND, "The user's profile has no such field");
	mx_jw_object(&w);
	mx_jw_key(&w, field);
	mx_jw_raw(&w, json);
	mx_jw_object_end(&w);
	return NULL;
}

static enum mx_outcome
get_field(struct mx_request *rq)
{
	struct mx_buf *b = mx_buf_new(0);
	mx_error *e = read_field(rq, b);

	if (e == NULL)
		return mx_reply_buf(rq, 200, &b);
	mx_buf_free(&b);
	return mx_reply_error(rq, e);
}

/* ---- changing ---- */

/* Whose profile is to be changed: one's own, or anybody's by an administrator. Guests may change
 * their name. */
static mx_error *
check_right(struct mx_request *rq, mx_str field, struct mx_user *user)
{
	struct mx_core *core = mx_request_core(rq);
	const struct mx_auth *who = mx_request_auth(rq);
	mx_str id = mx_request_param(rq, "userId");

	MX_TRY(mx_id_check_user(id, "userId"));
	MX_TRY(profile_check_key(field));
	if (!mx_str_eq(id, who->user_id) && !who->admin)
		return mx_error_new(MX_E_FORBIDDEN, "You may change your own profile only");
	if (who->guest && !mx_str_eq(field, MX_S("displayname")))
		return mx_error_new(MX_E_GUEST_FORBIDDEN,
				    "Guests may change their display name only");
	if (mx_str_eq(id, who->user_id)) {
		*user = (struct mx_user){ .nid = who->user, .user_id = who->user_id };
		return NULL;
	}
	return mx_user_get(mx_core_accounts(core), mx_request_conn(rq), id, mx_request_arena(rq),
			   user);
}

static mx_error *
change_field(struct mx_request *rq, bool remove)
{
	mx_str field = mx_request_param(rq, "keyName");
	struct mx_user user;
	json_t *body, *value = NULL;

	MX_TRY(check_right(rq, field, &user));
	if (!remove) {
		MX_TRY(mx_request_json(rq, &body));
		value = json_object_get(body, mx_arena_str(mx_request_arena(rq), field).p);
		if (value == NULL)
			return mx_error_new(MX_E_MISSING_PARAM, "%.*s is missing", MX_SFMT(field));
	}
	return profile_set(mx_request_core(rq), user.nid, user.user_id, field, value,
			   options_of(rq)->spread_batch);
}

static enum mx_outcome
put_field(struct mx_request *rq)
{
	mx_error *e = change_field(rq, false);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

static enum mx_outcome
delete_field(struct mx_request *rq)
{
	mx_error *e = change_field(rq, true);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

/* ---- the module ---- */

static void
user_created(struct mx_module_self *self, mx_nid user, mx_str user_id)
{
	const struct profile_options *o = mx_self_options(self);
	struct mx_core *core = mx_self_core(self);
	mx_error *e = o->default_displayname ? profile_set_default(core, user, user_id)
					     : profile_add_name(mx_core_db(core), user, user_id);

	if (e != NULL)
		mx_log("client-profile", MX_WARN, "PROF003",
		       "a new user cannot be found by searching", mx_fs("user", user_id), mx_fe(e));
	mx_error_free(&e);
}

static void
add_capabilities(struct mx_module_self *self, struct mx_request *rq, json_t *capabilities)
{
	bool guest = mx_request_auth(rq) != NULL && mx_request_auth(rq)->guest;

	(void)self;
	json_object_set_new(capabilities, "m.set_displayname", json_pack("{s:b}", "enabled", 1));
	json_object_set_new(capabilities, "m.set_avatar_url",
			    json_pack("{s:b}", "enabled", (int)!guest));
	json_object_set_new(
		capabilities, "m.profile_fields",
		guest ? json_pack("{s:b, s:[s]}", "enabled", 1, "allowed", "displayname")
		      : json_pack("{s:b}", "enabled", 1));
}

#define PROFILE "/_matrix/client/v3/profile/{userId}"

static const struct mx_route routes[] = {
	{ "GET", PROFILE, get_profile, MX_AUTH_OPTIONAL, MX_RATE_READ, 0, 0 },
	{ "GET", PROFILE "/{keyName}", get_field, MX_AUTH_OPTIONAL, MX_RATE_READ, 0, 0 },
	{ "PUT", PROFILE "/{keyName}", put_field, MX_AUTH_GUEST, MX_RATE_WRITE, 0, 0 },
	{ "DELETE", PROFILE "/{keyName}", delete_field, MX_AUTH_GUEST, MX_RATE_WRITE, 0, 0 },
};

static const struct mx_hook_row hooks[] = {
	MX_ON(user_created, MX_PRIO_NORMAL, user_created),
	MX_ON(capabilities, MX_PRIO_NORMAL, add_capabilities),
};

static const struct mx_service_row services[] = {
	{ "profile", MX_PROFILE_VERSION, &profile_service },
};

static const struct mx_job_row jobs[] = {
	{ "spread", 30 * 1000, MX_ONE_PROCESS, profile_spread_job },
};

MX_MODULE(client_profile) = {
	MX_MODULE_HEAD("client-profile", "0.1.0", "Profiles of users, and telling their rooms"),
	.options = MX_TABLE(options),
	.options_size = sizeof(struct profile_options),
	.migrations = MX_TABLE(profile_migrations),
	.routes = MX_TABLE(routes),
	.hooks = MX_TABLE(hooks),
	.services = MX_TABLE(services),
	.jobs = MX_TABLE(jobs),
};
