/* A user's rules: the document changed, and what it makes of the predefined rules. */
#include "push.h"

static mx_error *
no_rule(void)
{
	return mx_error_new(MX_E_NOT_FOUND, "there is no such push rule");
}

static size_t
index_of(const json_t *rules, mx_str rule_id)
{
	size_t i, n = json_array_size(rules);

	for (i = 0; i < n; i++) {
		if (mx_str_eq(mx_json_str(json_array_get(rules, i), "rule_id"), rule_id))
			break;
	}
	return i;
}

/* ---- composing ---- */

static void
lay_over(json_t *rules, const json_t *changes)
{
	json_t *rule;
	size_t i;

	json_array_foreach(rules, i, rule) {
		json_t *change = json_object_get(
			changes, json_string_value(json_object_get(rule, "rule_id")));

		if (change != NULL)
			json_object_update(rule, change);
	}
}

json_t *
rules_compose(const json_t *doc, mx_str user_id)
{
	const json_t *own = json_object_get(doc, "own"),
		     *changes = json_object_get(doc, "predefined");
	json_t *ruleset = json_object();

	for (size_t i = 0; i < PUSH_KINDS; i++) {
		json_t *rules = json_array(), *after = json_array(),
		       *of_kind = json_object_get(own, push_kinds[i]);

		defaults_append(push_kinds[i], PUSH_BEFORE_OWN, user_id, rules);
		defaults_append(push_kinds[i], PUSH_AFTER_OWN, user_id, after);
		lay_over(rules, changes);
		lay_over(after, changes);
		if (of_kind != NULL)
			json_array_extend(rules, of_kind);
		json_array_extend(rules, after);
		json_decref(after);
		json_object_set_new(ruleset, push_kinds[i], rules);
	}
	return ruleset;
}

mx_error *
rules_find(const json_t *ruleset, mx_str kind, mx_str rule_id, json_t **out)
{
	const json_t *rules = json_object_getn(ruleset, kind.p, kind.n);

	*out = json_array_get(rules, index_of(rules, rule_id));
	return *out != NULL ? NULL : no_rule();
}

/* ---- changing ---- */

/* The member of that name, made when it is not there. */
static json_t *
member(json_t *o, mx_str name, json_t *(*make)(void))
{
	json_t *m = json_object_getn(o, name.p, name.n);

	if (m == NULL) {
		m = make();
		json_object_setn_new(o, name.p, name.n, m);
	}
	return m;
}

static size_t
count_own(const json_t *own)
{
	size_t n = 0;

	for (size_t i = 0; i < PUSH_KINDS; i++)
		n += json_array_size(json_object_get(own, push_kinds[i]));
	return n;
}

/* Where the rule goes among the others: before is the one that counts when both are given. */
static mx_error *
place(const json_t *rules, const struct push_change *ch, size_t otherwise, size_t *at)
{
	mx_str other = ch->before.p != NULL ? ch->before : ch->after;

	*at = otherwise;
	if (other.p == NULL)
		return NULL;
	*at = index_of(rules, other);
	if (*at == json_array_size(rules))
		return mx_error_new(
			MX_E_BAD_REQUEST,
			"before/after: there is no rule of one's own with this id and kind");
	if (ch->before.p == NULL)
		++*at;
	return NULL;
}

static mx_error *
put(json_t *own, json_t *rules, const struct push_change *ch)
{
	size_t at = index_of(rules, ch->rule_id);
	bool is_new = at == json_array_size(rules), enabled = true;
	MX_AUTO_JSON *rule = json_object();

	if (is_new && count_own(own) >= (size_t)ch->limits->max_rules)
		return mx_error_new(MX_E_TOO_LARGE, "a user has at most %lld push rules",
				    (long long)ch->limits->max_rules);
	if (is_new) {
		at = 0;
	} else {
		enabled = !json_is_false(json_object_get(json_array_get(rules, at), "enabled"));
		json_array_remove(rules, at);
	}
	json_object_set_new(rule, "rule_id", json_stringn(ch->rule_id.p, ch->rule_id.n));
	json_object_set_new(rule, "default", json_false());
	json_object_set_new(rule, "enabled", json_boolean(enabled));
	json_object_update(rule, ch->value);
	MX_TRY(place(rules, ch, at, &at));
	json_array_insert(rules, at, rule);
	return NULL;
}

/* A member of a rule, be it the user's own or predefined. */
static mx_error *
set(json_t *doc, json_t *rules, const struct push_change *ch, const char *name)
{
	json_t *rule = json_array_get(rules, index_of(rules, ch->rule_id));

	if (rule == NULL && defaults_has(ch->kind, ch->rule_id))
		rule = member(member(doc, MX_S("predefined"), json_object), ch->rule_id,
			      json_object);
	if (rule == NULL)
		return no_rule();
	json_object_set(rule, name, ch->value);
	return NULL;
}

/* ---- rooms that replace others ---- */

static bool
is_room_condition(const json_t *condition, mx_str room_id)
{
	return mx_str_eq(mx_json_str(condition, "kind"), MX_S("event_match")) &&
	       mx_str_eq(mx_json_str(condition, "key"), MX_S("room_id")) &&
	       mx_str_eq(mx_json_str(condition, "pattern"), room_id);
}

/* A rule of the kind "room", or one with a condition that matches the room. */
static bool
is_about(const char *kind, const json_t *rule, mx_str room_id)
{
	const json_t *condition;
	size_t i;

	if (strcmp(kind, "room") == 0)
		return mx_str_eq(mx_json_str(rule, "rule_id"), room_id);
	json_array_foreach(json_object_get(rule, "conditions"), i, condition)
		if (is_room_condition(condition, room_id))
			return true;
	return false;
}

size_t
rules_about(const json_t *doc, mx_str room_id)
{
	const json_t *own = json_object_get(doc, "own"), *rule;
	size_t n = 0, i;

	for (size_t k = 0; k < PUSH_KINDS; k++)
		json_array_foreach(json_object_get(own, push_kinds[k]), i, rule)
			n += is_about(push_kinds[k], rule, room_id);
	return n;
}

/* The rule for the other room: its id follows when it names the room, as the rules that mute a room
 * do, and gets the room's id behind it otherwise. NULL when that would be too long. */
static json_t *
rule_for_room(const json_t *rule, mx_str from, mx_str to)
{
	MX_AUTO(mx_buf) *id = mx_buf_new(PUSH_MAX_ID);
	mx_str before = mx_json_str(rule, "rule_id");
	json_t *new = json_deep_copy(rule), *condition;
	size_t i;

	if (mx_str_eq(before, from))
		mx_buf_str(id, to);
	else
		mx_buf_printf(id, "%.*s %.*s", MX_SFMT(before), MX_SFMT(to));
	json_array_foreach(json_object_get(new, "conditions"), i, condition)
		if (is_room_condition(condition, from))
			json_object_set_new(condition, "pattern", json_stringn(to.p, to.n));
	json_object_set_new(new, "rule_id",
			    json_stringn(mx_buf_view(id).p, mx_buf_view(id).n));
	if (!mx_buf_failed(id))
		return new;
	json_decref(new);
	return NULL;
}

static mx_error *
succeed(json_t *own, const struct push_change *ch)
{
	mx_str from = ch->rule_id, to = ch->after;
	json_t *rules, *new;

	for (size_t k = 0; k < PUSH_KINDS; k++) {
		rules = json_object_get(own, push_kinds[k]);
		for (size_t i = 0; i < json_array_size(rules); i++) {
			const json_t *rule = json_array_get(rules, i);

			if (!is_about(push_kinds[k], rule, from) ||
			    (new = rule_for_room(rule, from, to)) == NULL)
				continue;
			if (index_of(rules, mx_json_str(new, "rule_id")) <
				    json_array_size(rules) ||
			    count_own(own) >= (size_t)ch->limits->max_rules)
				json_decref(new);
			else
				json_array_insert_new(rules, ++i, new);
		}
	}
	return NULL;
}

mx_error *
rules_change(json_t *doc, const struct push_change *ch)
{
	json_t *own = member(doc, MX_S("own"), json_object);
	json_t *rules;

	if (ch->what == PUSH_SUCCEED)
		return succeed(own, ch);
	rules = member(own, ch->kind, json_array);
	switch (ch->what) {
	case PUSH_PUT:
		return put(own, rules, ch);
	case PUSH_ENABLED:
		return set(doc, rules, ch, "enabled");
	case PUSH_ACTIONS:
		return set(doc, rules, ch, "actions");
	case PUSH_DELETE:
	case PUSH_SUCCEED:
		break;
	}
	if (defaults_has(ch->kind, ch->rule_id))
		return mx_error_new(MX_E_INVALID_PARAM,
				    "a predefined rule can be disabled, not deleted");
	return json_array_remove(rules, index_of(rules, ch->rule_id)) == 0 ? NULL : no_rule();
}
