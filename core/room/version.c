#include "config.h"

#include "core/room/version.h"

/* What each version changes of the one before it. The last word for a member counts, and a version
 * that is not mentioned keeps what it inherits: so a new version is a new line here and a row
 * below. */
#define VERSION_1                                                                                  \
	.refs_with_hashes = true, .event_id = MX_EVENT_ID_CHOSEN, .max_depth = INT64_MAX,          \
	.redaction = MX_REDACTION_1, .redaction_needs_power = true, .rule_aliases = true,          \
	.rule_creator_in_content = true, .levels = MX_LEVEL_LOOSE, .resolution = MX_RESOLUTION_1
#define VERSION_2 VERSION_1, .resolution = MX_RESOLUTION_2
#define VERSION_3                                                                                  \
	VERSION_2, .refs_with_hashes = false, .event_id = MX_EVENT_ID_BASE64,                      \
		.redaction_needs_power = false
#define VERSION_4 VERSION_3, .event_id = MX_EVENT_ID_BASE64URL
#define VERSION_5 VERSION_4, .key_validity = true
#define VERSION_6                                                                                  \
	VERSION_5, .strict_json = true, .max_depth = (INT64_C(1) << 53) - 1,                       \
		.redaction = MX_REDACTION_6, .rule_aliases = false, .rule_notifications = true,    \
		.levels = MX_LEVEL_STRINGS
#define VERSION_7 VERSION_6, .join_knock = true
#define VERSION_8 VERSION_7, .redaction = MX_REDACTION_8, .join_restricted = true
#define VERSION_9 VERSION_8, .redaction = MX_REDACTION_9
#define VERSION_10 VERSION_9, .join_knock_restricted = true, .levels = MX_LEVEL_INTEGERS
#define VERSION_11                                                                                 \
	VERSION_10, .redacts_in_content = true, .redaction = MX_REDACTION_11,                      \
		.rule_creator_in_content = false
#define VERSION_12                                                                                 \
	VERSION_11, .room_id_is_create_hash = true, .rule_creators = true,                         \
		.resolution = MX_RESOLUTION_2_1

#define STABLE(n, rules) { .name = { #n, sizeof(#n) - 1 }, .stable = true, rules }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct mx_room_version versions[] = {
	STABLE(1, VERSION_1),
	STABLE(2, VERSION_2),
	STABLE(3, VERSION_3),
	STABLE(4, VERSION_4),
	STABLE(5, VERSION_5),
	STABLE(6, VERSION_6),
	STABLE(7, VERSION_7),
	STABLE(8, VERSION_8),
	STABLE(9, VERSION_9),
	STABLE(10, VERSION_10),
	STABLE(11, VERSION_11),
	STABLE(12, VERSION_12),
};
#pragma GCC diagnostic pop
_Static_assert(sizeof(versions) / sizeof(versions[0]) < MX_ROOM_VERSIONS, "make room for them");

#define DEFAULT_VERSION "12"

const struct mx_room_version *
mx_room_version_at(size_t n)
{
	return n < sizeof(versions) / sizeof(versions[0]) ? &versions[n] : NULL;
}

const struct mx_room_version *
mx_room_version_find(mx_str name)
{
	const struct mx_room_version *v;

	for (size_t i = 0; (v = mx_room_version_at(i)) != NULL; i++)
		if (mx_str_eq(v->name, name))
			return v;
	return NULL;
}

const struct mx_room_version *
mx_room_version_default(void)
{
	return mx_room_version_find(MX_S(DEFAULT_VERSION));
}

mx_str
mx_room_version_name(const struct mx_room_version *v)
{
	return v->name;
}

bool
mx_room_version_creators(const struct mx_room_version *v)
{
	return v->rule_creators;
}
