/* GET /rooms/{}/messages. A token stands between events: "s5_0" is behind the event at position 5,
 * so that paging back from it begins with that event and paging on begins behind it. Client-Server
 * API, "Getting events for a room". */
#include "config.h"

#include "history.h"

struct ask {
	struct mx_filter *filter;
	struct history_page page;
	mx_pos begun;			/* the position of "start" */
	mx_str from;			/* as given, or empty */
};

static mx_nid
behind(mx_pos pos)	/* the bound that lets the event at pos through */
{
	return pos < INT64_MAX ? pos + 1 : pos;
}

static mx_error *
read_token(struct mx_request *rq, const char *name, mx_str *text, struct mx_token *out, bool *given)
{
	*given = mx_request_query(rq, name, text) && text->n > 0;
	if (*given && !mx_token_parse(*text, out))
		return mx_error_new(MX_E_INVALID_PARAM, "%s is no token of this server", name);
	return NULL;
}

static mx_error *
read_query(struct history_room *r, struct ask *q)
{
	struct mx_token from = { 0 }, to = { 0 };
	bool has_from, has_to;
	mx_str text;

	MX_TRY(history_query_backwards(r->rq, &q->page.backwards));
	MX_TRY(history_query_filter(r, &q->filter));
	MX_TRY(history_query_limit(r, q->filter, 10, &q->page.limit));
	MX_TRY(read_token(r->rq, "from", &q->from, &from, &has_from));
	MX_TRY(read_token(r->rq, "to", &text, &to, &has_to));
	q->page.filter = q->filter;
	q->page.after = INT64_MIN;
	q->page.before = INT64_MAX;
	if (q->page.backwards) {
		q->begun = has_from ? from.pos
				    : mx_stream_head(mx_core_stream(mx_request_core(r->rq))).pos;
		q->page.before = behind(q->begun);
		if (has_to)
			q->page.after = to.pos;
	} else {
		q->begun = from.pos;
		if (has_from)
			q->page.after = from.pos;
		if (has_to)
			q->page.before = behind(to.pos);
	}
	if (!has_from)
		q->from = (mx_str){ NULL, 0 };
	return NULL;
}

static mx_error *
write_answer(const struct history_room *r, struct ask *q, struct mx_buf *b)
{
	struct mx_jw w = mx_jw_on(b);
	const struct mx_events *events = &q->page.events;

	mx_jw_object(&w);
	if (q->from.n > 0) {
		mx_jw_key(&w, MX_S("start"));
		mx_jw_str(&w, q->from);
	} else {
		history_write_token(&w, MX_S("start"), q->begun);
	}
	if (q->page.more)
		history_write_token(&w, MX_S("end"), history_page_end(&q->page, q->begun));
	MX_TRY(history_write_events(r, &w, MX_S("chunk"), events));
	if (mx_filter_lazy_members(q->filter) && events->n > 0)
		MX_TRY(history_write_senders(r, &w, events, mx_event_root_after(events->v[0])));
	mx_jw_object_end(&w);
	return NULL;
}

enum mx_outcome
history_messages(struct mx_request *rq)
{
	struct history_room r = { 0 };
	struct ask q = { 0 };
	struct mx_buf *b = mx_buf_new(0);
	mx_error *e = history_room_open(rq, &r);

	if (e == NULL)
		e = read_query(&r, &q);
	if (e == NULL)
		e = history_page(&r, &q.page);
	if (e == NULL)
		e = write_answer(&r, &q, b);
	mx_events_clear(&q.page.events);
	mx_filter_free(&q.filter);
	history_room_clear(&r);
	if (e == NULL)
		return mx_reply_buf(rq, 200, &b);
	mx_buf_free(&b);
	return mx_reply_error(rq, e);
}
