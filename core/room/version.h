/* Room versions: one row of named rules each. Code asks a row for the rule that it needs and never
 * for the version's name, so a new version is a new row. Room Versions; the row's members are
 * grouped as the pages of the versions are. */
#ifndef CORE_ROOM_VERSION_H
#define CORE_ROOM_VERSION_H

#include <myelin/room.h>

enum mx_event_id_form {
	MX_EVENT_ID_CHOSEN,	/* "$local:server", carried in the event */
	MX_EVENT_ID_BASE64,	/* the reference hash, + and / */
	MX_EVENT_ID_BASE64URL,	/* the reference hash, - and _ */
};

/* What a redaction keeps; each keeps what the one before does unless core/room/redact.c says
 * otherwise. */
enum mx_redaction {
	MX_REDACTION_1 = 1,
	MX_REDACTION_6 = 6,	/* m.room.aliases keeps nothing */
	MX_REDACTION_8 = 8,	/* m.room.join_rules: allow */
	MX_REDACTION_9 = 9,	/* m.room.member: join_authorised_via_users_server */
	MX_REDACTION_11 = 11,	/* fewer members at the top, more in content */
};

enum mx_resolution {
	MX_RESOLUTION_1,
	MX_RESOLUTION_2,
	MX_RESOLUTION_2_1,	/* starts from nothing, with the conflicted subgraph */
};

enum mx_level_form {
	MX_LEVEL_LOOSE,		/* integers, decimal strings, floats */
	MX_LEVEL_STRINGS,	/* integers, decimal strings */
	MX_LEVEL_INTEGERS,
};

struct mx_room_version {
	mx_str name;
	bool stable;

	/* the event */
	bool refs_with_hashes;		/* auth_events and prev_events are pairs of id and hash */
	bool redacts_in_content;	/* of m.room.redaction; otherwise at the top of the event */
	bool room_id_is_create_hash;	/* m.room.create has no room_id, and is in nobody's auth_events: the room id names it */
	enum mx_event_id_form event_id;
	bool strict_json;		/* integers within ±(2^53 - 1) only */
	int64_t max_depth;
	bool key_validity;		/* a signature counts only while its key is valid */

	/* redaction */
	enum mx_redaction redaction;
	bool redaction_needs_power;	/* the auth rules decide whether a redaction applies */

	/* the auth rules */
	bool rule_aliases;		/* m.room.aliases belongs to its server */
	bool rule_notifications;	/* m.room.power_levels: notifications is checked as events is */
	bool rule_creator_in_content;	/* m.room.create names the creator in content.creator; otherwise it is the sender */
	bool rule_creators;		/* sender and additional_creators rank above every level */
	bool join_knock, join_restricted, join_knock_restricted;
	enum mx_level_form levels;

	enum mx_resolution resolution;
};

#define MX_ROOM_VERSIONS 32	/* more than are known */
const struct mx_room_version *mx_room_version_default(void);	/* what the specification recommends */

#endif
