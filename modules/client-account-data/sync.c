/* Account data in /sync. */
#include "data.h"

static const struct mx_sql NEWS =
	MX_SQL("SELECT type, json FROM client_account_data "
	       "WHERE owner = $1 AND room = $2 AND pos > $3 AND pos <= $4");

static mx_error *
write_news(const struct mx_sync *sync, enum mx_sync_section section, mx_nid room, struct mx_jw *w)
{
	struct mx_query *q = mx_query(mx_request_conn(mx_sync_request(sync)), &NEWS);

	mx_bind_int(q, 1, mx_request_auth(mx_sync_request(sync))->user);
	mx_bind_int(q, 2, room);
	mx_bind_int(q, 3, mx_sync_since(sync).pos);
	mx_bind_int(q, 4, mx_sync_upto(sync).pos);
	while (mx_query_next(q)) {
		if (!mx_sync_wants(sync, section, mx_col_str(q, 0), (mx_str){ 0 }))
			continue;
		mx_jw_object(w);
		mx_jw_key(w, MX_S("type"));
		mx_jw_str(w, mx_col_str(q, 0));
		mx_jw_key(w, MX_S("content"));
		mx_jw_raw(w, mx_col_str(q, 1));
		mx_jw_object_end(w);
	}
	return mx_query_end(q);
}

void
data_sync(struct mx_module_self *self, const struct mx_sync *sync, enum mx_sync_section section,
	  struct mx_jw *w)
{
	mx_nid room = 0;
	mx_error *e;

	(void)self;
	if (section == MX_SYNC_ROOM_ACCOUNT_DATA)
		room = mx_room_nid(mx_sync_room(sync));
	else if (section != MX_SYNC_ACCOUNT_DATA)
		return;
	if (!mx_sync_may_have(sync, MX_ITEM_ACCOUNT_DATA))
		return;
	e = write_news(sync, section, room, w);
	if (e != NULL)
		mx_sync_fail(sync, e);
}
