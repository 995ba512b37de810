/* The predefined rules. Client-Server API, "Predefined Rules". The three that look for names in the
 * body left the specification with v1.17; clients of the versions that this server speaks still
 * expect to find and to set them. */
#include "push.h"

const char *const push_kinds[PUSH_KINDS] = { "override", "content", "room", "sender", "underride" };

#define MATCH(key, pattern) \
	"{\"kind\":\"event_match\",\"key\":\"" key "\",\"pattern\":\"" pattern "\"}"
#define IS(key, value) "{\"kind\":\"event_property_is\",\"key\":\"" key "\",\"value\":" value "}"
#define ROOM_PERMISSION "{\"kind\":\"sender_notification_permission\",\"key\":\"room\"}"
#define TWO_MEMBERS "{\"kind\":\"room_member_count\",\"is\":\"2\"}"
#define SOUND(name) "{\"set_tweak\":\"sound\",\"value\":\"" name "\"}"
#define HIGHLIGHT "{\"set_tweak\":\"highlight\"}"
/* Stands for the user's id as the whole of a string. */
#define USER_ID "<user>"

struct predefined {
	const char *kind, *rule_id;
	const char *conditions;		/* NULL: the pattern is the localpart */
	const char *actions;
	bool off;
};

static const struct predefined predefined[] = {
	{ "override", ".m.rule.master", "[]", "[]", true },
	{ "override", ".m.rule.suppress_notices", "[" MATCH("content.msgtype", "m.notice") "]",
	  "[]", false },
	{ "override", ".m.rule.invite_for_me",
	  "[" MATCH("type", "m.room.member") "," MATCH("content.membership", "invite") ","
	  MATCH("state_key", USER_ID) "]",
	  "[\"notify\"," SOUND("default") "]", false },
	{ "override", ".m.rule.member_event", "[" MATCH("type", "m.room.member") "]", "[]", false },
	{ "override", ".m.rule.is_user_mention",
	  "[{\"kind\":\"event_property_contains\",\"key\":\"content.m\\\\.mentions.user_ids\","
	  "\"value\":\"" USER_ID "\"}]",
	  "[\"notify\"," SOUND("default") "," HIGHLIGHT "]", false },
	{ "override", ".m.rule.contains_display_name", "[{\"kind\":\"contains_display_name\"}]",
	  "[\"notify\"," SOUND("default") "," HIGHLIGHT "]", false },
	{ "override", ".m.rule.is_room_mention",
	  "[" IS("content.m\\\\.mentions.room", "true") "," ROOM_PERMISSION "]",
	  "[\"notify\"," HIGHLIGHT "]", false },
	{ "override", ".m.rule.roomnotif",
	  "[" MATCH("content.body", "@room") "," ROOM_PERMISSION "]", "[\"notify\"," HIGHLIGHT "]",
	  false },
	{ "override", ".m.rule.tombstone",
	  "[" MATCH("type", "m.room.tombstone") "," MATCH("state_key", "") "]",
	  "[\"notify\"," HIGHLIGHT "]", false },
	{ "override", ".m.rule.reaction", "[" MATCH("type", "m.reaction") "]", "[]", false },
	{ "override", ".m.rule.room.server_acl",
	  "[" MATCH("type", "m.room.server_acl") "," MATCH("state_key", "") "]", "[]", false },
	{ "override", ".m.rule.suppress_edits",
	  "[" IS("content.m\\\\.relates_to.rel_type", "\"m.replace\"") "]", "[]", false },
	{ "content", ".m.rule.contains_user_name", NULL,
	  "[\"notify\"," SOUND("default") "," HIGHLIGHT "]", false },
	{ "underride", ".m.rule.call", "[" MATCH("type", "m.call.invite") "]",
	  "[\"notify\"," SOUND("ring") "]", false },
	{ "underride", ".m.rule.encrypted_room_one_to_one",
	  "[" TWO_MEMBERS "," MATCH("type", "m.room.encrypted") "]",
	  "[\"notify\"," SOUND("default") "]", false },
	{ "underride", ".m.rule.room_one_to_one",
	  "[" TWO_MEMBERS "," MATCH("type", "m.room.message") "]",
	  "[\"notify\"," SOUND("default") "]", false },
	{ "underride", ".m.rule.message", "[" MATCH("type", "m.room.message") "]", "[\"notify\"]",
	  false },
	{ "underride", ".m.rule.encrypted", "[" MATCH("type", "m.room.encrypted") "]",
	  "[\"notify\"]", false },
};
enum { PREDEFINED = sizeof(predefined) / sizeof(predefined[0]) };

static json_t *
conditions_for(const char *text, mx_str user_id)
{
	json_t *conditions = json_loads(text, 0, NULL), *condition, *value;
	const char *key;
	size_t i;

	json_array_foreach(conditions, i, condition) {
		json_object_foreach(condition, key, value) {
			if (mx_str_eq(mx_json_str(condition, key), MX_S(USER_ID)))
				json_string_setn(value, user_id.p, user_id.n);
		}
	}
	return conditions;
}

static json_t *
rule_for(const struct predefined *p, mx_str user_id)
{
	json_t *rule = json_pack("{s:s, s:b, s:b}", "rule_id", p->rule_id, "default", 1, "enabled",
				 !p->off);
	mx_str localpart = { 0 };

	if (p->conditions != NULL) {
		json_object_set_new(rule, "conditions", conditions_for(p->conditions, user_id));
	} else {
		mx_id_user(user_id, &localpart, NULL);
		json_object_set_new(rule, "pattern", json_stringn(localpart.p, localpart.n));
	}
	json_object_set_new(rule, "actions", json_loads(p->actions, 0, NULL));
	return rule;
}

void
defaults_append(const char *kind, enum push_place place, mx_str user_id, json_t *rules)
{
	for (size_t i = 0; i < PREDEFINED; i++) {
		if ((i == 0) == (place == PUSH_BEFORE_OWN) && strcmp(predefined[i].kind, kind) == 0)
			json_array_append_new(rules, rule_for(&predefined[i], user_id));
	}
}

bool
defaults_has(mx_str kind, mx_str rule_id)
{
	for (size_t i = 0; i < PREDEFINED; i++) {
		if (mx_str_eq(mx_str_of(predefined[i].kind), kind) &&
		    mx_str_eq(mx_str_of(predefined[i].rule_id), rule_id))
			return true;
	}
	return false;
}
