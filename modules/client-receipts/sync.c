/* Receipts in /sync: one m.receipt event a room, by event, kind and reader. */
#include "receipts.h"

/* A client that is new to a room gets the newest ones; nobody reads the rest. */
static const struct mx_sql NEWS =
	MX_SQL("SELECT event_id, private, text, thread, ts FROM ("
	       "SELECT event_id, private, reader, thread, ts FROM client_receipt "
	       "WHERE room = $1 AND pos > $2 AND pos <= $3 AND (private = 0 OR reader = $4) ORDER "
	       "BY pos DESC LIMIT 1000"
	       ") AS r JOIN name ON name.nid = r.reader ORDER BY event_id, private, text");

#define MANY 16

/* The same of many rooms. */
static const struct mx_sql NEWS_OF_MANY =
	MX_SQL("SELECT event_id, private, text, thread, ts, room FROM ("
	       "SELECT event_id, private, reader, thread, ts, room, "
	       "ROW_NUMBER() OVER (PARTITION BY room ORDER BY pos DESC) AS nth FROM client_receipt "
	       "WHERE room IN ($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, "
	       "$19) AND pos > $1 AND pos <= $2 AND (private = 0 OR reader = $3)"
	       ") AS r JOIN name ON name.nid = r.reader WHERE nth <= 1000 "
	       "ORDER BY room, event_id, private, text");

/* Where the writer stands within {"$event":{"m.read":{"@user":{…}}}}. */
struct nest {
	struct mx_jw *w;
	struct mx_buf *event_id;
	int64_t private;		/* -1: within no kind */
	struct mx_buf *reader;
};

static void
close_kind(struct nest *n)
{
	if (n->private >= 0)
		mx_jw_object_end(n->w);
	n->private = -1;
	mx_buf_truncate(n->reader, 0);
}

static void
close_event(struct nest *n)
{
	close_kind(n);
	if (mx_buf_view(n->event_id).n > 0)
		mx_jw_object_end(n->w);
	mx_buf_truncate(n->event_id, 0);
}

/* A reader with several threads at one event gets one entry: JSON has no place for more. */
static void
write_receipt(struct nest *n, struct mx_query *q)
{
	mx_str event_id = mx_col_str(q, 0), reader = mx_col_str(q, 2), thread = mx_col_str(q, 3);
	int64_t private = mx_col_int(q, 1);

	if (!mx_str_eq(event_id, mx_buf_view(n->event_id))) {
		close_event(n);
		mx_buf_str(n->event_id, event_id);
		mx_jw_key(n->w, event_id);
		mx_jw_object(n->w);
	}
	if (private != n->private) {
		close_kind(n);
		n->private = private;
		mx_jw_key(n->w, private ? MX_S("m.read.private") : MX_S("m.read"));
		mx_jw_object(n->w);
	}
	if (mx_str_eq(reader, mx_buf_view(n->reader)))
		return;
	mx_buf_truncate(n->reader, 0);
	mx_buf_str(n->reader, reader);
	mx_jw_key(n->w, reader);
	mx_jw_object(n->w);
	mx_jw_key(n->w, MX_S("ts"));
	mx_jw_int(n->w, mx_col_int(q, 4));
	if (thread.n > 0) {
		mx_jw_key(n->w, MX_S("thread_id"));
		mx_jw_str(n->w, thread);
	}
	mx_jw_object_end(n->w);
}

static mx_error *
write_news(const struct mx_sync *sync, struct mx_buf *content)
{
	struct mx_query *q = mx_query(mx_request_conn(mx_sync_request(sync)), &NEWS);
	MX_AUTO(mx_buf) *event_id = mx_buf_new(0);
	MX_AUTO(mx_buf) *reader = mx_buf_new(0);
	struct mx_jw w = mx_jw_on(content);
	struct nest n = { &w, event_id, -1, reader };

	mx_bind_int(q, 1, mx_room_nid(mx_sync_room(sync)));
	mx_bind_int(q, 2, mx_sync_since(sync).pos);
	mx_bind_int(q, 3, mx_sync_upto(sync).pos);
	mx_bind_int(q, 4, mx_request_auth(mx_sync_request(sync))->user);
	while (mx_query_next(q))
		write_receipt(&n, q);
	close_event(&n);
	return mx_query_end(q);
}

/* ---- of many rooms: a statement for each few ---- */

struct few {				/* rooms of the answer that were read together */
	size_t first, n;
	mx_str content[MANY];		/* in the arena; empty: no receipts */
};

static void
bind_few(const struct mx_sync *sync, const struct few *f, struct mx_query *q)
{
	mx_bind_int(q, 1, mx_sync_since(sync).pos);
	mx_bind_int(q, 2, mx_sync_upto(sync).pos);
	mx_bind_int(q, 3, mx_request_auth(mx_sync_request(sync))->user);
	for (size_t i = 0; i < MANY; i++)
		mx_bind_int(q, 4 + (int)i, sync->rooms[f->first + (i < f->n ? i : 0)]);
}

static size_t
place_of(const struct mx_sync *sync, const struct few *f, mx_nid room)
{
	size_t i = 0;

	while (i < f->n && sync->rooms[f->first + i] != room)
		i++;
	return i;
}

static mx_error *
read_few(const struct mx_sync *sync, struct few *f)
{
	struct mx_request *rq = mx_sync_request(sync);
	struct mx_query *q = mx_query(mx_request_conn(rq), &NEWS_OF_MANY);
	MX_AUTO(mx_buf) *content = mx_buf_new(0);
	MX_AUTO(mx_buf) *event_id = mx_buf_new(0);
	MX_AUTO(mx_buf) *reader = mx_buf_new(0);
	struct mx_jw w = mx_jw_on(content);
	struct nest n = { &w, event_id, -1, reader };
	size_t at = f->n, next = f->n;

	bind_few(sync, f, q);
	for (bool more = true; more;) {
		more = mx_query_next(q);
		if (more)
			next = place_of(sync, f, mx_col_int(q, 5));
		if (at < f->n && (!more || next != at)) {
			close_event(&n);
			f->content[at] = mx_arena_str(mx_request_arena(rq), mx_buf_view(content));
			mx_buf_truncate(content, 0);
			w.comma = false;
		}
		at = next;
		if (more)
			write_receipt(&n, q);
	}
	return mx_query_end(q);
}

/* The room is the one at that place of the answer's rooms. */
static mx_error *
write_one_of_few(const struct mx_sync *sync, size_t at, void **memo, struct mx_buf *content)
{
	struct few *f = *memo;

	if (f == NULL)
		*memo = f = mx_arena_alloc(mx_request_arena(mx_sync_request(sync)), sizeof(*f));
	if (f->n == 0 || at - f->first >= f->n) {
		size_t left = sync->room_count - at;

		*f = (struct few){ .first = at, .n = left < MANY ? left : MANY };
		MX_TRY(read_few(sync, f));
	}
	mx_buf_str(content, f->content[at - f->first]);
	return NULL;
}

static mx_error *
write_content(struct mx_module_self *self, const struct mx_sync *sync, struct mx_buf *content)
{
	long at = mx_sync_room_index(sync);
	void **memo = at >= 0 ? mx_sync_memo(sync, self) : NULL;

	return memo != NULL ? write_one_of_few(sync, (size_t)at, memo, content)
			    : write_news(sync, content);
}

void
receipts_sync(struct mx_module_self *self, const struct mx_sync *sync, enum mx_sync_section section,
	      struct mx_jw *w)
{
	MX_AUTO(mx_buf) *content = NULL;
	mx_error *e;

	if (section != MX_SYNC_ROOM_EPHEMERAL ||
	    !mx_sync_wants(sync, section, MX_S("m.receipt"), (mx_str){ 0 }))
		return;
	if (!mx_sync_may_have(sync, MX_ITEM_RECEIPT) &&
	    !mx_sync_may_have(sync, MX_ITEM_PRIVATE_RECEIPT))
		return;
	content = mx_buf_new(0);
	e = write_content(self, sync, content);
	if (e != NULL) {
		mx_sync_fail(sync, e);
		return;
	}
	if (mx_buf_view(content).n == 0)
		return;
	mx_jw_object(w);
	mx_jw_key(w, MX_S("type"));
	mx_jw_str(w, MX_S("m.receipt"));
	mx_jw_key(w, MX_S("content"));
	mx_jw_object(w);
	mx_jw_raw(w, mx_buf_view(content));
	mx_jw_object_end(w);
	mx_jw_object_end(w);
}
