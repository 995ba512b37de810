/* The endpoints of push rules. */
#include "push.h"

/* ---- reading ---- */

static mx_error *
ruleset(struct mx_request *rq, json_t **out)
{
	const struct mx_auth *who = mx_request_auth(rq);
	struct push_row row;

	MX_TRY(store_get(mx_request_conn(rq), who->user, &row));
	*out = rules_compose(row.doc, who->user_id);
	json_decref(row.doc);
	return NULL;
}

enum mx_outcome
route_global(struct mx_request *rq)
{
	json_t *rules;
	mx_error *e = ruleset(rq, &rules);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, rules);
}

enum mx_outcome
route_all(struct mx_request *rq)
{
	json_t *rules;
	mx_error *e = ruleset(rq, &rules);

	return e != NULL ? mx_reply_error(rq, e)
			 : mx_reply_json(rq, 200, json_pack("{s:o}", "global", rules));
}

/* GET /user/{userId}/account_data/m.push_rules: the same, for who asks for it as account data. */
enum mx_outcome
route_account_data(struct mx_request *rq)
{
	mx_error *e = mx_id_check_user(mx_request_param(rq, "userId"), "userId");

	if (e == NULL && !mx_str_eq(mx_request_param(rq, "userId"), mx_request_auth(rq)->user_id))
		e = mx_error_new(MX_E_FORBIDDEN, "account data can be read for oneself only");
	return e != NULL ? mx_reply_error(rq, e) : route_all(rq);
}

/* The rule of the path: a new reference. */
static mx_error *
find(struct mx_request *rq, json_t **out)
{
	MX_AUTO_JSON *rules = NULL;
	json_t *rule;

	MX_TRY(check_kind(mx_request_param(rq, "kind")));
	MX_TRY(ruleset(rq, &rules));
	MX_TRY(rules_find(rules, mx_request_param(rq, "kind"), mx_request_param(rq, "ruleId"),
			  &rule));
	*out = json_incref(rule);
	return NULL;
}

enum mx_outcome
route_get(struct mx_request *rq)
{
	json_t *rule;
	mx_error *e = find(rq, &rule);

	return e != NULL ? mx_reply_error(rq, e) : mx_reply_json(rq, 200, rule);
}

static enum mx_outcome
reply_member(struct mx_request *rq, const char *name)
{
	MX_AUTO_JSON *rule = NULL;
	mx_error *e = find(rq, &rule);

	if (e != NULL)
		return mx_reply_error(rq, e);
	return mx_reply_json(rq, 200, json_pack("{s:O}", name, json_object_get(rule, name)));
}

enum mx_outcome
route_get_enabled(struct mx_request *rq)
{
	return reply_member(rq, "enabled");
}

enum mx_outcome
route_get_actions(struct mx_request *rq)
{
	return reply_member(rq, "actions");
}

/* ---- changing ---- */

/* Takes value. */
static mx_error *
change(struct mx_request *rq, enum push_what what, json_t *value)
{
	MX_AUTO_JSON *held = value;
	struct push_change ch = {
		.what = what,
		.kind = mx_request_param(rq, "kind"),
		.rule_id = mx_request_param(rq, "ruleId"),
		.value = held,
		.limits = mx_self_options(mx_request_self(rq)),
	};

	if (what == PUSH_PUT) {
		mx_request_query(rq, "before", &ch.before);
		mx_request_query(rq, "after", &ch.after);
	}
	return store_change(mx_request_core(rq), mx_request_conn(rq), mx_request_auth(rq)->user,
			    &ch);
}

static mx_error *
put(struct mx_request *rq)
{
	json_t *body, *rule;

	MX_TRY(check_kind(mx_request_param(rq, "kind")));
	MX_TRY(check_own_id(mx_request_param(rq, "ruleId")));
	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(check_rule(body, mx_request_param(rq, "kind"), &rule));
	return change(rq, PUSH_PUT, rule);
}

static mx_error *
put_enabled(struct mx_request *rq)
{
	json_t *body, *enabled;

	MX_TRY(check_kind(mx_request_param(rq, "kind")));
	MX_TRY(mx_request_json(rq, &body));
	enabled = json_object_get(body, "enabled");
	if (enabled == NULL)
		return mx_error_new(MX_E_MISSING_PARAM, "enabled is missing");
	if (!json_is_boolean(enabled))
		return mx_error_new(MX_E_BAD_JSON, "enabled is not a boolean");
	return change(rq, PUSH_ENABLED, json_incref(enabled));
}

static mx_error *
put_actions(struct mx_request *rq)
{
	json_t *body, *actions;

	MX_TRY(check_kind(mx_request_param(rq, "kind")));
	MX_TRY(mx_request_json(rq, &body));
	MX_TRY(check_actions(body, &actions));
	return change(rq, PUSH_ACTIONS, actions);
}

static enum mx_outcome
reply(struct mx_request *rq, mx_error *e)
{
	return e != NULL ? mx_reply_error(rq, e) : mx_reply_empty(rq);
}

enum mx_outcome
route_put(struct mx_request *rq)
{
	return reply(rq, put(rq));
}

enum mx_outcome
route_put_enabled(struct mx_request *rq)
{
	return reply(rq, put_enabled(rq));
}

enum mx_outcome
route_put_actions(struct mx_request *rq)
{
	return reply(rq, put_actions(rq));
}

enum mx_outcome
route_delete(struct mx_request *rq)
{
	mx_error *e = check_kind(mx_request_param(rq, "kind"));

	return reply(rq, e != NULL ? e : change(rq, PUSH_DELETE, NULL));
}
