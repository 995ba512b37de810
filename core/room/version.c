#include "config.h"

#include "core/room/version.h"

/* A new version is a copy of the row before it with what it changes. */
static const struct mx_room_version versions[] = {
	{
		.name = { "10", 2 },
		.stable = true,
		.event_id = MX_EVENT_ID_BASE64URL,
		.strict_json = true,
		.max_depth = (INT64_C(1) << 53) - 1,
		.key_validity = true,
		.redaction = MX_REDACTION_9,
		.rule_notifications = true,
		.rule_creator_in_content = true,
		.join_knock = true,
		.join_restricted = true,
		.join_knock_restricted = true,
		.levels = MX_LEVEL_INTEGERS,
		.resolution = MX_RESOLUTION_2,
	},
	{
		.name = { "11", 2 },
		.stable = true,
		.redacts_in_content = true,
		.event_id = MX_EVENT_ID_BASE64URL,
		.strict_json = true,
		.max_depth = (INT64_C(1) << 53) - 1,
		.key_validity = true,
		.redaction = MX_REDACTION_11,
		.rule_notifications = true,
		.join_knock = true,
		.join_restricted = true,
		.join_knock_restricted = true,
		.levels = MX_LEVEL_INTEGERS,
		.resolution = MX_RESOLUTION_2,
	},
	{
		.name = { "12", 2 },
		.stable = true,
		.redacts_in_content = true,
		.room_id_is_create_hash = true,
		.event_id = MX_EVENT_ID_BASE64URL,
		.strict_json = true,
		.max_depth = (INT64_C(1) << 53) - 1,
		.key_validity = true,
		.redaction = MX_REDACTION_11,
		.rule_notifications = true,
		.rule_creators = true,
		.join_knock = true,
		.join_restricted = true,
		.join_knock_restricted = true,
		.levels = MX_LEVEL_INTEGERS,
		.resolution = MX_RESOLUTION_2_1,
	},
};

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
