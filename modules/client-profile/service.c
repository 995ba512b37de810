/* The service "profile". */
#include "config.h"

#include "profile.h"

/* Rooms told in one go when another module changes a profile. */
enum { BATCH = 50 };

static mx_error *
fill(struct mx_core *core, struct mx_conn *c, mx_nid user, json_t *content)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str displayname, avatar_url;

	(void)core;
	MX_TRY(profile_pair(c, user, a, &displayname, &avatar_url));
	if (displayname.n > 0 && json_object_get(content, "displayname") == NULL)
		json_object_set_new(content, "displayname",
				    json_stringn(displayname.p, displayname.n));
	if (avatar_url.n > 0 && json_object_get(content, "avatar_url") == NULL)
		json_object_set_new(content, "avatar_url",
				    json_stringn(avatar_url.p, avatar_url.n));
	return NULL;
}

static mx_error *
get(struct mx_core *core, struct mx_conn *c, mx_nid user, struct mx_arena *a,
    struct mx_profile_user *out)
{
	(void)core;
	*out = (struct mx_profile_user){ .user = user };
	MX_TRY(mx_name_text(c, user, a, &out->user_id));
	return profile_pair(c, user, a, &out->displayname, &out->avatar_url);
}

static mx_error *
search(struct mx_core *core, struct mx_conn *c, mx_str term, mx_str after, struct mx_arena *a,
       struct mx_profile_user *out, size_t *n)
{
	(void)core;
	return profile_search(c, term, after, a, out, n);
}

static mx_error *
set(struct mx_core *core, struct mx_conn *c, mx_nid user, mx_str user_id, mx_str field,
    json_t *value)
{
	(void)c;
	return profile_set(core, user, user_id, field, value, BATCH);
}

const struct mx_profile_service profile_service = {
	.size = sizeof(struct mx_profile_service),
	.fill = fill,
	.get = get,
	.search = search,
	.set = set,
};
