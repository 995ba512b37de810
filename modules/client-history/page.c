/* A page of the timeline: read in as few queries as the filter allows, and only what the reader may
 * see. */
#include "config.h"

#include "history.h"

/* What a filtered page reads at once, at least. */
enum { BATCH = 100 };

mx_error *
history_room_open(struct mx_request *rq, struct history_room *out)
{
	struct mx_core *core = mx_request_core(rq);
	mx_str id = mx_request_param(rq, "roomId");
	mx_error *e;

	*out = (struct history_room){ .rq = rq,
				      .rs = mx_core_rooms(core),
				      .conn = mx_request_conn(rq),
				      .who = mx_request_auth(rq),
				      .options = mx_self_options(mx_request_self(rq)) };
	MX_TRY(mx_id_check_room(id, "roomId"));
	e = mx_room_get(out->rs, out->conn, id, &out->room);
	if (e == NULL)
		e = mx_room_readable(out->rs, out->conn, out->room, out->who->user,
				     out->who->user_id, &out->now, &out->until);
	if (e != NULL && !mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	if (e == NULL && (out->now || out->until != 0))
		return NULL;
	/* Who is not in a room does not learn whether it exists. */
	mx_error_free(&e);
	return mx_error_new(MX_E_FORBIDDEN, "You are not in this room");
}

void
history_room_clear(struct history_room *r)
{
	mx_shape_free(&r->shape);
	mx_room_unref(&r->room);
}

mx_error *
history_room_root(const struct history_room *r, struct mx_state_root *out)
{
	if (!r->now)
		return mx_room_root_at(r->rs, r->conn, r->room, r->until, out);
	*out = mx_room_root(r->room);
	return NULL;
}

/* Takes what passes from a batch that was read and of which the invisible has been dropped. */
static void
take(struct history_page *p, struct mx_events *batch, bool everything)
{
	for (size_t i = 0; i < batch->n && p->events.n < p->limit; i++) {
		if (!everything && !mx_filter_event(p->filter, batch->v[i]))
			continue;
		mx_events_add(&p->events, batch->v[i]);
		batch->v[i] = NULL;
	}
}

/* Reads on from where the page is. *scanned: how many events that were. */
static mx_error *
read_batch(const struct history_room *r, struct history_page *p, size_t n, size_t *scanned)
{
	bool everything = mx_filter_everything(p->filter);
	struct mx_events batch = { 0 };
	mx_error *e = mx_room_timeline(r->rs, r->conn, r->room, p->after, p->before, n,
				       p->backwards, &batch, &p->more);

	*scanned = batch.n;
	if (e == NULL && batch.n > 0) {
		mx_nid last = mx_event_nid(batch.v[batch.n - 1]);

		e = mx_events_filter_visible(r->rs, r->conn, r->room, &batch, r->who->user,
					     r->who->user_id);
		if (e == NULL)
			take(p, &batch, everything);
		p->edge = last;
		if (p->limit > 0 && p->events.n == p->limit) {	/* what lies behind the last one taken was not given */
			p->edge = mx_event_nid(p->events.v[p->events.n - 1]);
			p->more = p->more || p->edge != last;
		}
		if (p->backwards)
			p->before = p->edge;
		else
			p->after = p->edge;
	}
	mx_events_clear(&batch);
	return e;
}

mx_error *
history_page(const struct history_room *r, struct history_page *p)
{
	size_t scanned = 0, n, want;

	if (!r->now && p->before > r->until + 1)
		p->before = r->until + 1;
	p->more = false;
	if (mx_filter_nothing(p->filter) || !mx_filter_room(p->filter, mx_room_id(r->room)))
		return NULL;
	p->more = p->limit == 0;
	while (p->events.n < p->limit && (int64_t)scanned < r->options->max_scan) {
		want = p->limit - p->events.n;
		if ((scanned > 0 || !mx_filter_everything(p->filter)) && want < BATCH)
			want = BATCH;
		MX_TRY(read_batch(r, p, want, &n));
		scanned += n;
		if (n == 0 || !p->more)
			return NULL;
	}
	return NULL;
}

mx_pos
history_page_end(const struct history_page *p, mx_pos begun)
{
	if (p->edge == 0)
		return begun;
	return p->backwards ? p->edge - 1 : p->edge;
}

/* ---- the query ---- */

mx_error *
history_query_filter(struct history_room *r, struct mx_filter **out)
{
	MX_AUTO_JSON *filter = NULL;
	mx_str text;

	*out = NULL;
	if (!mx_request_query(r->rq, "filter", &text) || text.n == 0)
		return NULL;
	MX_TRY(mx_json_parse(text, &filter));
	if (!json_is_object(filter))
		return mx_error_new(MX_E_BAD_JSON, "a filter is an object");
	MX_TRY(mx_shape_parse(filter, &r->shape));
	return mx_filter_parse(filter, out);
}

mx_error *
history_query_limit(const struct history_room *r, const struct mx_filter *f, int64_t fallback,
		    size_t *out)
{
	int64_t max = r->options->max_page, limit;

	MX_TRY(mx_request_query_int(r->rq, "limit", 0, INT64_MAX, mx_filter_limit(f, fallback, max),
				    &limit));
	*out = (size_t)(limit < max ? limit : max);
	return NULL;
}

mx_error *
history_query_backwards(struct mx_request *rq, bool *out)
{
	mx_str dir;

	if (!mx_request_query(rq, "dir", &dir))
		return mx_error_new(MX_E_MISSING_PARAM, "dir is missing");
	*out = mx_str_eq(dir, MX_S("b"));
	if (!*out && !mx_str_eq(dir, MX_S("f")))
		return mx_error_new(MX_E_INVALID_PARAM, "dir must be b or f");
	return NULL;
}

/* ---- writing ---- */

void
history_write_token(struct mx_jw *w, mx_str key, mx_pos pos)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	mx_token_write((struct mx_token){ .pos = pos }, b);
	mx_jw_key(w, key);
	mx_jw_str(w, mx_buf_view(b));
}

mx_error *
history_write_events(const struct history_room *r, struct mx_jw *w, mx_str key,
		     const struct mx_events *l)
{
	struct mx_reader reader = mx_reader_of(r->rq, r->room);

	mx_jw_key(w, key);
	MX_TRY(mx_events_write_as(&reader, r->shape, l, w->b));
	w->comma = true;
	return NULL;
}

bool
history_sent_by(const struct mx_events *l, mx_str user)
{
	for (size_t i = 0; i < l->n; i++)
		if (mx_str_eq(mx_event_sender(l->v[i]), user))
			return true;
	return false;
}

mx_error *
history_write_senders(const struct history_room *r, struct mx_jw *w, const struct mx_events *l,
		      struct mx_state_root root)
{
	MX_AUTO_JSON *seen = json_object();
	struct mx_events members = { 0 };
	struct mx_event *member;
	mx_error *e = NULL;

	for (size_t i = 0; e == NULL && i < l->n; i++) {
		mx_str sender = mx_arena_str(mx_request_arena(r->rq), mx_event_sender(l->v[i]));

		if (json_object_get(seen, sender.p) != NULL)
			continue;
		json_object_set_new(seen, sender.p, json_true());
		e = mx_state_get(r->rs, r->conn, root, MX_S("m.room.member"), sender, &member);
		if (e == NULL && member != NULL)
			mx_events_add(&members, member);
	}
	if (e == NULL)
		e = history_write_events(r, w, MX_S("state"), &members);
	mx_events_clear(&members);
	return e;
}
