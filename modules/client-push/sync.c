/* m.push_rules in /sync: for everybody at first, then after each change. */
#include "push.h"

static const mx_str TYPE = { "m.push_rules", 12 };

void
push_sync(struct mx_module_self *self, const struct mx_sync *sync, enum mx_sync_section section,
	  struct mx_jw *w)
{
	const struct mx_auth *who = mx_request_auth(mx_sync_request(sync));
	mx_pos since = mx_sync_since(sync).pos;
	MX_AUTO_JSON *rules = NULL;
	struct push_row row;
	mx_error *e;

	(void)self;
	if (section != MX_SYNC_ACCOUNT_DATA ||
	    (since != 0 && !mx_sync_may_have(sync, MX_ITEM_ACCOUNT_DATA)))
		return;
	if (!mx_sync_wants(sync, section, TYPE, (mx_str){ 0 }))
		return;
	e = store_get(mx_request_conn(mx_sync_request(sync)), who->user, &row);
	if (e != NULL) {
		mx_sync_fail(sync, e);
		return;
	}
	if (since == 0 || (row.pos > since && row.pos <= mx_sync_upto(sync).pos)) {
		rules = json_pack("{s:o}", "global", rules_compose(row.doc, who->user_id));
		mx_jw_object(w);
		mx_jw_key(w, MX_S("type"));
		mx_jw_str(w, TYPE);
		mx_jw_key(w, MX_S("content"));
		mx_jw_json(w, rules);
		mx_jw_object_end(w);
	}
	json_decref(row.doc);
}
