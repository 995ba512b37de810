/* Changing a profile: what may stand in it, and who is told. Client-Server API, "Profiles". */
#include "config.h"

#include <string.h>

#include <myelin/hook.h>

#include "profile.h"

/* Appendices, "Common Namespaced Identifier Grammar". */
mx_error *
profile_check_key(mx_str field)
{
	if (field.n > PROFILE_KEY_MAX)
		return mx_error_new(MX_E_KEY_TOO_LARGE,
				    "The name of a profile field may have %d bytes",
				    PROFILE_KEY_MAX);
	for (size_t i = 0; i < field.n; i++) {
		char c = field.p[i];
		bool letter = c >= 'a' && c <= 'z';

		if (!letter &&
		    (i == 0 || ((c < '0' || c > '9') && c != '.' && c != '_' && c != '-')))
			return mx_error_new(MX_E_INVALID_PARAM,
					    "The name of a profile field begins with a-z and holds "
					    "a-z 0-9 . _ - only");
	}
	if (field.n == 0)
		return mx_error_new(MX_E_INVALID_PARAM, "The name of the profile field is missing");
	return NULL;
}

static bool
mxc(mx_str s)	/* mxc://server/media */
{
	mx_str server, media;

	s = (mx_str){ s.p + 6, s.n - 6 };
	if (!mx_str_cut(s, '/', &server, &media) || !mx_id_server(server) || media.n == 0)
		return false;
	return mx_id_opaque(media, PROFILE_AVATAR_MAX);
}

/* Clients should give mxc:// addresses, and do give others, even relative ones: what can be no URI
 * reference is refused. RFC 3986, 2 and 4.1; letters beyond ASCII pass (RFC 3987). */
static bool
uri(mx_str s)
{
	if (mx_str_starts(s, MX_S("mxc://")))
		return mxc(s);
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f ||
		    strchr("\"<>\\^`{|}", s.p[i]) != NULL)
			return false;
	return true;
}

/* *json: the bytes to store, on b; {NULL, 0} when the value takes the field away. */
static mx_error *
check_value(mx_str field, const json_t *value, struct mx_buf *b, mx_str *json)
{
	bool name = mx_str_eq(field, MX_S("displayname")),
	     avatar = mx_str_eq(field, MX_S("avatar_url"));
	mx_str s = { json_string_value(value), json_string_length(value) };

	*json = (mx_str){ NULL, 0 };
	if (value == NULL ||
	    ((name || avatar) && (json_is_null(value) || (json_is_string(value) && s.n == 0))))
		return NULL;
	if ((name || avatar || mx_str_eq(field, MX_S("m.tz"))) && !json_is_string(value))
		return mx_error_new(MX_E_BAD_JSON, "%.*s must be a string", MX_SFMT(field));
	if (name && s.n > PROFILE_NAME_MAX)
		return mx_error_new(MX_E_INVALID_PARAM, "A display name may have %d bytes",
				    PROFILE_NAME_MAX);
	if (avatar && (s.n > PROFILE_AVATAR_MAX || !uri(s)))
		return mx_error_new(MX_E_INVALID_PARAM,
				    "avatar_url must be a URI of at most %d bytes",
				    PROFILE_AVATAR_MAX);
	MX_TRY(mx_json_canonical(value, false, b));
	*json = mx_buf_view(b);
	return json->n <= PROFILE_MAX ? NULL
				      : mx_error_new(MX_E_PROFILE_TOO_LARGE,
						     "A profile may have %d bytes", PROFILE_MAX);
}

/* What a search looks at. */
static void
fold_names(mx_str user_id, const json_t *name, struct mx_buf *b)
{
	mx_str_fold(user_id, b);
	if (json_is_string(name) && strlen(json_string_value(name)) == json_string_length(name)) {
		mx_buf_byte(b, '\n');
		mx_str_fold(mx_str_of(json_string_value(name)), b);
	}
}

mx_error *
profile_set(struct mx_core *core, mx_nid user, mx_str user_id, mx_str field, const json_t *value,
	    int64_t batch)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_buf) *folded = mx_buf_new(0);
	struct profile_change ch = {
		.stream = mx_core_stream(core), .user = user, .user_id = user_id, .field = field
	};

	MX_TRY(profile_check_key(field));
	MX_TRY(check_value(field, value, b, &ch.json));
	ch.name = mx_str_eq(field, MX_S("displayname"));
	ch.spread = ch.name || mx_str_eq(field, MX_S("avatar_url"));
	fold_names(user_id, value, folded);
	ch.folded = mx_buf_view(folded);
	MX_TRY(profile_store(mx_core_db(core), &ch));
	if (!ch.changed)
		return NULL;
	mx_run_profile_changed(core, user, user_id, field);
	if (ch.spread)
		profile_spread_soon(core, user, batch);
	return NULL;
}

mx_error *
profile_set_default(struct mx_core *core, mx_nid user, mx_str user_id)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_buf) *folded = mx_buf_new(0);
	MX_AUTO_JSON *value = NULL;
	mx_str name = { NULL, 0 };
	struct profile_change ch = { .stream = mx_core_stream(core),
				     .user = user,
				     .user_id = user_id,
				     .field = MX_S("displayname"),
				     .name = true };

	if (mx_id_user(user_id, &name, NULL))
		value = json_stringn(name.p, name.n);
	MX_TRY(check_value(ch.field, value, b, &ch.json));
	fold_names(user_id, value, folded);
	ch.folded = mx_buf_view(folded);
	return profile_store(mx_core_db(core), &ch);	/* nobody knows the user yet: there is no room to tell */
}
