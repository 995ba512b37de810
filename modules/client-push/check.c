/* What a client may set as a rule. Client-Server API, "Push Rules". A condition of a kind that is
 * not known here is kept: it never matches, but may mean something to the client. */
#include "push.h"

enum { MAX_PARTS = 100 };

mx_error *
check_kind(mx_str kind)
{
	for (size_t i = 0; i < PUSH_KINDS; i++) {
		if (mx_str_eq(kind, mx_str_of(push_kinds[i])))
			return NULL;
	}
	return mx_error_new(
		MX_E_INVALID_PARAM,
		"the kinds of push rules are override, content, room, sender and underride");
}

mx_error *
check_own_id(mx_str id)
{
	if (id.n == 0 || id.n > PUSH_MAX_ID)
		return mx_error_new(MX_E_INVALID_PARAM, "a rule's id has from 1 to %d bytes",
				    PUSH_MAX_ID);
	if (id.p[0] == '.')
		return mx_error_new(MX_E_INVALID_PARAM,
				    "ids with a leading dot are the predefined rules'");
	for (size_t i = 0; i < id.n; i++) {
		if (id.p[i] == '/' || id.p[i] == '\\' || (unsigned char)id.p[i] < ' ')
			return mx_error_new(
				MX_E_INVALID_PARAM,
				"a rule's id has no slash, backslash or control character");
	}
	return NULL;
}

/* ---- actions: the historical ones, dont_notify and coalesce, mean nothing, but are kept ---- */

static mx_error *
check_action(const json_t *action)
{
	static const mx_str known[] = { { "notify", 6 }, { "dont_notify", 11 }, { "coalesce", 8 } };
	mx_str name = { json_string_value(action), json_string_length(action) };

	if (json_is_object(action))
		return mx_json_get_str(action, "set_tweak", &name);
	if (name.p == NULL)
		return mx_error_new(MX_E_BAD_JSON, "an action is a string or an object");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (mx_str_eq(name, known[i]))
			return NULL;
	}
	return mx_error_new(MX_E_INVALID_PARAM, "there is no such action");
}

mx_error *
check_actions(const json_t *body, json_t **out)
{
	json_t *actions = NULL, *action;
	size_t i;

	MX_TRY(mx_json_opt_array(body, "actions", &actions));
	if (actions == NULL)
		return mx_error_new(MX_E_MISSING_PARAM, "actions is missing");
	if (json_array_size(actions) > MAX_PARTS)
		return mx_error_new(MX_E_INVALID_PARAM, "a rule has at most %d actions", MAX_PARTS);
	json_array_foreach(actions, i, action)
		MX_TRY(check_action(action));
	*out = json_incref(actions);
	return NULL;
}

/* ---- conditions ---- */

static mx_error *
check_value(const json_t *condition)
{
	const json_t *v = json_object_get(condition, "value");

	if (v == NULL)
		return mx_error_new(MX_E_MISSING_PARAM, "a condition's value is missing");
	if (json_is_string(v) || json_is_integer(v) || json_is_boolean(v) || json_is_null(v))
		return NULL;
	return mx_error_new(MX_E_INVALID_PARAM,
			    "a condition's value is a string, an integer, a boolean or null");
}

/* "2", "==2", "<2", ">2", "<=2", ">=2" */
static mx_error *
check_count(const json_t *condition)
{
	mx_str is;
	size_t skip = 0;
	int64_t n;

	MX_TRY(mx_json_get_str(condition, "is", &is));
	if (mx_str_starts(is, MX_S("==")) || mx_str_starts(is, MX_S("<=")) ||
	    mx_str_starts(is, MX_S(">=")))
		skip = 2;
	else if (mx_str_starts(is, MX_S("<")) || mx_str_starts(is, MX_S(">")))
		skip = 1;
	if (mx_str_int((mx_str){ is.p + skip, is.n - skip }, 0, INT64_MAX, &n))
		return NULL;
	return mx_error_new(MX_E_INVALID_PARAM,
			    "a number of members is a decimal behind ==, <, >, <=, >= or nothing");
}

static mx_error *
check_condition(const json_t *condition)
{
	mx_str kind, text;

	if (!json_is_object(condition))
		return mx_error_new(MX_E_BAD_JSON, "a condition is an object");
	MX_TRY(mx_json_get_str(condition, "kind", &kind));
	if (mx_str_eq(kind, MX_S("room_member_count")))
		return check_count(condition);
	if (mx_str_eq(kind, MX_S("sender_notification_permission")))
		return mx_json_get_str(condition, "key", &text);
	if (mx_str_eq(kind, MX_S("event_match"))) {
		MX_TRY(mx_json_get_str(condition, "key", &text));
		return mx_json_get_str(condition, "pattern", &text);
	}
	if (mx_str_eq(kind, MX_S("event_property_is")) ||
	    mx_str_eq(kind, MX_S("event_property_contains"))) {
		MX_TRY(mx_json_get_str(condition, "key", &text));
		return check_value(condition);
	}
	return NULL;
}

static mx_error *
check_conditions(const json_t *body, json_t *rule)
{
	json_t *conditions = NULL, *condition;
	size_t i;

	MX_TRY(mx_json_opt_array(body, "conditions", &conditions));
	if (json_array_size(conditions) > MAX_PARTS)
		return mx_error_new(MX_E_INVALID_PARAM, "a rule has at most %d conditions",
				    MAX_PARTS);
	json_array_foreach(conditions, i, condition)
		MX_TRY(check_condition(condition));
	if (conditions != NULL)
		json_object_set(rule, "conditions", conditions);
	else
		json_object_set_new(rule, "conditions", json_array());
	return NULL;
}

static mx_error *
check_pattern(const json_t *body, json_t *rule)
{
	mx_str pattern;

	MX_TRY(mx_json_get_str(body, "pattern", &pattern));
	if (pattern.n == 0)
		return mx_error_new(MX_E_INVALID_PARAM, "the pattern is empty");
	json_object_set_new(rule, "pattern", json_stringn(pattern.p, pattern.n));
	return NULL;
}

mx_error *
check_rule(const json_t *body, mx_str kind, json_t **out)
{
	MX_AUTO_JSON *rule = json_object();
	json_t *actions;

	if (mx_str_eq(kind, MX_S("override")) || mx_str_eq(kind, MX_S("underride")))
		MX_TRY(check_conditions(body, rule));
	else if (mx_str_eq(kind, MX_S("content")))
		MX_TRY(check_pattern(body, rule));
	MX_TRY(check_actions(body, &actions));
	json_object_set_new(rule, "actions", actions);
	*out = json_incref(rule);
	return NULL;
}
