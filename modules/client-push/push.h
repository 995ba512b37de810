/* client-push inside: defaults.c has the rules that everybody has; check.c says what a client may
 * set; rules.c changes a user's document and composes the rules from it; succeed.c
 * gives an upgraded room its predecessor's rules; store.c keeps it; routes.c
 * are the endpoints; sync.c is its part of /sync.
 *
 * A user's document holds only what differs from the predefined rules:
 *	{"own": {"override": [rule …], …},
 *	 "predefined": {".m.rule.master": {"enabled": true, "actions": […]}}} */
#ifndef MODULES_CLIENT_PUSH_PUSH_H
#define MODULES_CLIENT_PUSH_PUSH_H

#include <myelin/module.h>

struct push_options {
	int64_t max_rules;
	struct mx_size max_size;
};

enum { PUSH_KINDS = 5, PUSH_MAX_ID = 255 };
extern const char *const push_kinds[PUSH_KINDS];	/* the most important first */

/* ---- the predefined rules ---- */
enum push_place {
	PUSH_BEFORE_OWN,	/* .m.rule.master, which is before everything */
	PUSH_AFTER_OWN,
};
/* Appends those of the kind as they are for this user. */
void defaults_append(const char *kind, enum push_place place, mx_str user_id, json_t *rules);
bool defaults_has(mx_str kind, mx_str rule_id);

/* ---- what a client may set ---- */
/* MX_E_INVALID_PARAM when there is no such kind. */
mx_error *check_kind(mx_str kind) MX_MUST_USE;
mx_error *check_own_id(mx_str rule_id) MX_MUST_USE;
/* The body's actions: a new reference. */
mx_error *check_actions(const json_t *body, json_t **out) MX_MUST_USE;
/* A rule's actions and what else its kind has, as an object: a new reference. */
mx_error *check_rule(const json_t *body, mx_str kind, json_t **out) MX_MUST_USE;

/* ---- a user's rules ---- */
enum push_what {
	PUSH_PUT,		/* value: the rule's members */
	PUSH_DELETE,
	PUSH_ENABLED,		/* value: true or false */
	PUSH_ACTIONS,		/* value: the actions */
	PUSH_SUCCEED,		/* rules about the room rule_id get their like for the room after */
};
struct push_change {
	enum push_what what;
	mx_str kind, rule_id;
	mx_str before, after;	/* of PUSH_PUT; p NULL: not given */
	json_t *value;
	const struct push_options *limits;
};
/* Changes doc. */
mx_error *rules_change(json_t *doc, const struct push_change *ch) MX_MUST_USE;
/* How many of the user's own rules are about that room. */
size_t rules_about(const json_t *doc, mx_str room_id);
/* The whole ruleset (what "global" is): a new reference. doc may be NULL. */
json_t *rules_compose(const json_t *doc, mx_str user_id);
/* Borrowed from the ruleset; MX_E_NOT_FOUND. */
mx_error *rules_find(const json_t *ruleset, mx_str kind, mx_str rule_id,
		     json_t **out) MX_MUST_USE;

/* ---- the row ---- */
struct push_row {
	json_t *doc;		/* NULL: never changed anything */
	mx_pos pos;		/* of the last change; 0 */
};
mx_error *store_get(struct mx_conn *c, mx_nid user, struct push_row *out) MX_MUST_USE;
/* Reads, changes, writes and announces. */
mx_error *store_change(struct mx_core *core, struct mx_conn *c, mx_nid user,
		       const struct push_change *ch) MX_MUST_USE;

enum mx_outcome route_all(struct mx_request *rq);
enum mx_outcome route_global(struct mx_request *rq);
enum mx_outcome route_account_data(struct mx_request *rq);
enum mx_outcome route_get(struct mx_request *rq);
enum mx_outcome route_put(struct mx_request *rq);
enum mx_outcome route_delete(struct mx_request *rq);
enum mx_outcome route_get_enabled(struct mx_request *rq);
enum mx_outcome route_put_enabled(struct mx_request *rq);
enum mx_outcome route_get_actions(struct mx_request *rq);
enum mx_outcome route_put_actions(struct mx_request *rq);

void push_succeed(struct mx_module_self *self, struct mx_conn *c, mx_nid user, mx_str user_id,
		  struct mx_room *from, struct mx_room *to);
void push_sync(struct mx_module_self *self, const struct mx_sync *sync,
	       enum mx_sync_section section, struct mx_jw *w);

#endif
