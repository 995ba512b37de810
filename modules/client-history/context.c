/* GET /rooms/{}/context/{}: an event with what was said around it, and the tokens to go on from
 * there in both directions. Client-Server API, "Event context". */
#include "config.h"

#include "history.h"

struct context {
	struct mx_filter *filter;
	struct mx_event *event;
	struct history_page before, after;
};

static mx_error *
find_event(const struct history_room *r, struct mx_event **out)
{
	bool visible = false;
	mx_error *e = mx_event_get(r->rs, r->conn, mx_request_param(r->rq, "eventId"), out);

	if (e == NULL && mx_event_room(*out) == mx_room_nid(r->room) && mx_event_shown(*out))
		e = mx_event_as_seen(r->rs, r->conn, r->room, out, r->who->user, r->who->user_id,
				     &visible);
	if (e != NULL && !mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	return visible ? NULL
		       : mx_error_new(MX_E_NOT_FOUND,
				      "There is no such event, or you may not see it");
}

static mx_error *
read_around(struct history_room *r, struct context *x)
{
	mx_nid here;
	size_t limit;

	MX_TRY(history_query_filter(r, &x->filter));
	MX_TRY(history_query_limit(r, x->filter, 10, &limit));
	MX_TRY(find_event(r, &x->event));
	here = mx_event_nid(x->event);
	x->before = (struct history_page){ .after = INT64_MIN, .before = here, .backwards = true,
					   .limit = limit / 2, .filter = x->filter };
	x->after = (struct history_page){
		.after = here, .before = INT64_MAX, .limit = limit - limit / 2, .filter = x->filter
	};
	MX_TRY(history_page(r, &x->before));
	return history_page(r, &x->after);
}

/* Whether the senders of what is answered include this member. */
static bool
needed_member(const struct context *x, const struct mx_event *member)
{
	mx_str user = mx_event_state_key(member);

	return mx_str_eq(mx_event_sender(x->event), user) ||
	       history_sent_by(&x->before.events, user) || history_sent_by(&x->after.events, user);
}

/* The state at the last event that is answered. */
static mx_error *
write_state(const struct history_room *r, const struct context *x, struct mx_jw *w)
{
	const struct mx_event *last =
		x->after.events.n > 0 ? x->after.events.v[x->after.events.n - 1] : x->event;
	struct mx_reader reader = mx_reader_of(r->rq, r->room);
	bool lazy = mx_filter_lazy_members(x->filter);
	struct mx_events state = { 0 }, kept = { 0 };
	mx_error *e = mx_state_all(r->rs, r->conn, mx_event_root_after(last), &state);

	reader.no_previous = true;
	for (size_t i = 0; e == NULL && i < state.n; i++) {
		struct mx_event *ev = state.v[i];

		if (!mx_filter_event(x->filter, ev) ||
		    (lazy && mx_str_eq(mx_event_type(ev), MX_S("m.room.member")) &&
		     !needed_member(x, ev)))
			continue;
		mx_events_add(&kept, mx_event_ref(ev));
	}
	mx_jw_key(w, MX_S("state"));
	if (e == NULL)
		e = mx_events_write_as(&reader, r->shape, &kept, w->b);
	w->comma = true;
	mx_events_clear(&kept);
	mx_events_clear(&state);
	return e;
}

static mx_error *
write_answer(const struct history_room *r, const struct context *x, struct mx_buf *b)
{
	struct mx_reader reader = mx_reader_of(r->rq, r->room);
	mx_nid here = mx_event_nid(x->event);
	struct mx_jw w = mx_jw_on(b);

	mx_jw_object(&w);
	history_write_token(&w, MX_S("start"), history_page_end(&x->before, here - 1));
	history_write_token(&w, MX_S("end"), history_page_end(&x->after, here));
	mx_jw_key(&w, MX_S("event"));
	MX_TRY(mx_event_write_as(&reader, r->shape, x->event, b));
	w.comma = true;
	MX_TRY(history_write_events(r, &w, MX_S("events_before"), &x->before.events));
	MX_TRY(history_write_events(r, &w, MX_S("events_after"), &x->after.events));
	MX_TRY(write_state(r, x, &w));
	mx_jw_object_end(&w);
	return NULL;
}

enum mx_outcome
history_context(struct mx_request *rq)
{
	struct history_room r = { 0 };
	struct context x = { 0 };
	struct mx_buf *b = mx_buf_new(0);
	mx_error *e = history_room_open(rq, &r);

	if (e == NULL)
		e = read_around(&r, &x);
	if (e == NULL)
		e = write_answer(&r, &x, b);
	mx_events_clear(&x.before.events);
	mx_events_clear(&x.after.events);
	mx_event_unref(&x.event);
	mx_filter_free(&x.filter);
	history_room_clear(&r);
	if (e == NULL)
		return mx_reply_buf(rq, 200, &b);
	mx_buf_free(&b);
	return mx_reply_error(rq, e);
}
