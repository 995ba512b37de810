/* Account data in /sync. */
#include "data.h"

static const struct mx_sql NEWS =
	MX_SQL("SELECT type, json FROM client_account_data "
	       "WHERE owner = $1 AND room = $2 AND pos > $3 AND pos <= $4");

static const struct mx_sql ALL_NEWS =
	MX_SQL("SELECT type, json, room FROM client_account_data "
	       "WHERE owner = $1 AND room <> 0 AND pos > $2 AND pos <= $3 ORDER BY room");

static void
write_row(const struct mx_sync *sync, enum mx_sync_section section, struct mx_query *q,
	  struct mx_jw *w)
{
	if (!mx_sync_wants(sync, section, mx_col_str(q, 0), (mx_str){ 0 }))
		return;
	mx_jw_object(w);
	mx_jw_key(w, MX_S("type"));
	mx_jw_str(w, mx_col_str(q, 0));
	mx_jw_key(w, MX_S("content"));
	mx_jw_raw(w, mx_col_str(q, 1));
	mx_jw_object_end(w);
}

static mx_error *
write_news(const struct mx_sync *sync, enum mx_sync_section section, mx_nid room, struct mx_jw *w)
{
	struct mx_query *q = mx_query(mx_request_conn(mx_sync_request(sync)), &NEWS);

	mx_bind_int(q, 1, mx_request_auth(mx_sync_request(sync))->user);
	mx_bind_int(q, 2, room);
	mx_bind_int(q, 3, mx_sync_since(sync).pos);
	mx_bind_int(q, 4, mx_sync_upto(sync).pos);
	while (mx_query_next(q))
		write_row(sync, section, q, w);
	return mx_query_end(q);
}

/* ---- of many rooms: one statement for all ---- */

struct piece {				/* the events of a room, with commas between */
	mx_nid room;
	mx_str events;
	struct piece *next;
};

struct pieces {
	struct piece *next;		/* ascending, as the rooms are asked for */
};

static struct piece **
add_piece(struct piece **end, struct mx_arena *a, mx_nid room, const struct mx_buf *b)
{
	if (mx_buf_view(b).n == 0)
		return end;
	*end = mx_arena_alloc(a, sizeof(**end));
	(*end)->room = room;
	(*end)->events = mx_arena_str(a, mx_buf_view(b));
	return &(*end)->next;
}

static mx_error *
read_pieces(const struct mx_sync *sync, enum mx_sync_section section, struct pieces **out)
{
	struct mx_request *rq = mx_sync_request(sync);
	struct mx_arena *a = mx_request_arena(rq);
	struct pieces *all = mx_arena_alloc(a, sizeof(*all));
	struct mx_query *q = mx_query(mx_request_conn(rq), &ALL_NEWS);
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_jw w = mx_jw_on(b);
	struct piece **end = &all->next;
	mx_nid room = 0;

	mx_bind_int(q, 1, mx_request_auth(rq)->user);
	mx_bind_int(q, 2, mx_sync_since(sync).pos);
	mx_bind_int(q, 3, mx_sync_upto(sync).pos);
	while (mx_query_next(q)) {
		if (mx_col_int(q, 2) != room) {
			end = add_piece(end, a, room, b);
			room = mx_col_int(q, 2);
			mx_buf_truncate(b, 0);
			w.comma = false;
		}
		write_row(sync, section, q, &w);
	}
	(void)add_piece(end, a, room, b);
	*out = all;
	if (mx_buf_failed(b))
		return mx_error_first(mx_query_end(q),
				      mx_error_new(MX_E_TOO_LARGE, "a room has too much data"));
	return mx_query_end(q);
}

/* One of the rooms of an answer that looks at all of them. */
static mx_error *
write_piece(const struct mx_sync *sync, enum mx_sync_section section, void **memo, struct mx_jw *w)
{
	mx_nid room = mx_room_nid(mx_sync_room(sync));
	struct pieces *all = *memo;

	if (all == NULL) {
		MX_TRY(read_pieces(sync, section, &all));
		*memo = all;
	}
	while (all->next != NULL && all->next->room < room)
		all->next = all->next->next;
	if (all->next != NULL && all->next->room == room)
		mx_jw_raw(w, all->next->events);
	return NULL;
}

void
data_sync(struct mx_module_self *self, const struct mx_sync *sync, enum mx_sync_section section,
	  struct mx_jw *w)
{
	bool of_room = section == MX_SYNC_ROOM_ACCOUNT_DATA;
	void **memo = NULL;
	mx_error *e;

	if ((!of_room && section != MX_SYNC_ACCOUNT_DATA) ||
	    !mx_sync_may_have(sync, MX_ITEM_ACCOUNT_DATA))
		return;
	if (of_room && mx_sync_room_index(sync) >= 0)
		memo = mx_sync_memo(sync, self);
	if (memo != NULL)
		e = write_piece(sync, section, memo, w);
	else
		e = write_news(sync, section, of_room ? mx_room_nid(mx_sync_room(sync)) : 0, w);
	if (e != NULL)
		mx_sync_fail(sync, e);
}
