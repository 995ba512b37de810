/* A room that replaces another one is as loud as that was. */
#include "push.h"

static mx_error *
succeed(struct mx_module_self *self, struct mx_conn *c, mx_nid user, struct mx_room *from,
	struct mx_room *to)
{
	struct push_change ch = { .what = PUSH_SUCCEED,
				  .rule_id = mx_room_id(from),
				  .after = mx_room_id(to),
				  .limits = mx_self_options(self) };
	struct push_row row;
	bool missing;

	MX_TRY(store_get(c, user, &row));
	missing = rules_about(row.doc, mx_room_id(to)) < rules_about(row.doc, mx_room_id(from));
	json_decref(row.doc);
	return missing ? store_change(mx_self_core(self), c, user, &ch) : NULL;
}

void
push_succeed(struct mx_module_self *self, struct mx_conn *c, mx_nid user, mx_str user_id,
	     struct mx_room *from, struct mx_room *to)
{
	mx_error *e = succeed(self, c, user, from, to);

	if (e != NULL)
		mx_log("client-push", MX_WARN, "PUSH001",
		       "push rules are not carried over to an upgraded room",
		       mx_fs("user", user_id), mx_fs("room", mx_room_id(to)), mx_fe(e));
	mx_error_free(&e);
}
