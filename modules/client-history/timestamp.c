/* GET /rooms/{}/timestamp_to_event. Positions follow the clock but for events that came late or
 * carry a foreign time, so the place is found by bisection over positions, and the events around it
 * decide. Client-Server API, "Getting events for a room". */
#include "config.h"

#include "history.h"

enum {
	AROUND = 64,		/* events looked at on each side of the place */
	BATCH = 100,		/* events read at once when the nearest may not be seen */
	BATCHES = 20,
};

/* The first event behind a position; *out NULL when there is none. */
static mx_error *
event_behind(const struct history_room *r, mx_nid after, struct mx_event **out)
{
	struct mx_events l = { 0 };
	bool more;
	mx_error *e =
		mx_room_timeline(r->rs, r->conn, r->room, after, INT64_MAX, 1, false, &l, &more);

	*out = e == NULL && l.n > 0 ? mx_event_ref(l.v[0]) : NULL;
	mx_events_clear(&l);
	return e;
}

/* A position such that events up to it are, by and large, before ts, and events behind it are not.
 */
static mx_error *
find_place(const struct history_room *r, mx_msec ts, mx_nid *out)
{
	MX_AUTO(mx_event) *first = NULL;
	mx_nid low, high = mx_room_last(r->room);

	*out = high;
	MX_TRY(event_behind(r, INT64_MIN, &first));
	if (first == NULL)
		return NULL;
	low = mx_event_nid(first) - 1;
	/* Invariant: what is at or before low is earlier, what is behind high is not. */
	while (low < high) {
		MX_AUTO(mx_event) *ev = NULL;
		mx_nid middle = low + (high - low) / 2;

		MX_TRY(event_behind(r, middle, &ev));
		if (ev != NULL && mx_event_nid(ev) <= high && mx_event_ts(ev) < ts)
			low = mx_event_nid(ev);
		else
			high = middle;
	}
	*out = low;
	return NULL;
}

/* Whether ev is a better answer than best: on the right side of ts, and nearer. */
static bool
better(const struct mx_event *ev, const struct mx_event *best, mx_msec ts, bool backwards)
{
	mx_msec t = mx_event_ts(ev);

	if (backwards ? t > ts : t < ts)
		return false;
	if (best == NULL)
		return true;
	return backwards ? t > mx_event_ts(best) : t < mx_event_ts(best);
}

/* Looks at one page and keeps the best of it. *more: whether it makes sense to go on. */
static mx_error *
look(const struct history_room *r, struct history_page *p, mx_msec ts, bool backwards,
     struct mx_event **best, bool *more)
{
	mx_error *e;

	p->edge = 0;
	e = history_page(r, p);
	for (size_t i = 0; e == NULL && i < p->events.n; i++) {
		if (!better(p->events.v[i], *best, ts, backwards))
			continue;
		mx_event_unref(best);
		*best = mx_event_ref(p->events.v[i]);
	}
	*more = p->more && p->edge != 0;
	mx_events_clear(&p->events);
	return e;
}

static mx_error *
search(const struct history_room *r, mx_msec ts, bool backwards, struct mx_event **best)
{
	struct history_page other = { .limit = AROUND }, page = { .limit = BATCH };
	mx_nid place;
	bool more;

	MX_TRY(find_place(r, ts, &place));
	other.backwards = !backwards;
	page.backwards = backwards;
	other.after = page.after = INT64_MIN;
	other.before = page.before = INT64_MAX;
	if (backwards) {
		page.before = place + 1;
		other.after = place;
	} else {
		page.after = place;
		other.before = place + 1;
	}
	MX_TRY(look(r, &other, ts, backwards, best, &more));
	more = true;
	for (int i = 0; i < BATCHES && more; i++) {
		MX_TRY(look(r, &page, ts, backwards, best, &more));
		if (*best != NULL)
			break;
	}
	return NULL;
}

static mx_error *
find(const struct history_room *r, struct mx_event **best)
{
	bool backwards;
	mx_str text;
	mx_msec ts;

	MX_TRY(history_query_backwards(r->rq, &backwards));
	if (!mx_request_query(r->rq, "ts", &text))
		return mx_error_new(MX_E_MISSING_PARAM, "ts is missing");
	if (!mx_str_int(text, 0, INT64_MAX, &ts))
		return mx_error_new(MX_E_INVALID_PARAM, "ts must be a time in milliseconds");
	MX_TRY(search(r, ts, backwards, best));
	if (*best == NULL)
		return mx_error_new(MX_E_NOT_FOUND, "There is no event %s that time",
				    backwards ? "before" : "after");
	return NULL;
}

enum mx_outcome
history_timestamp(struct mx_request *rq)
{
	struct history_room r = { 0 };
	MX_AUTO(mx_event) *best = NULL;
	mx_error *e = history_room_open(rq, &r);

	if (e == NULL)
		e = find(&r, &best);
	history_room_clear(&r);
	if (e != NULL)
		return mx_reply_error(rq, e);
	return mx_reply_json(rq, 200,
			     json_pack("{s:s%, s:I}", "event_id", mx_event_id(best).p,
				       mx_event_id(best).n, "origin_server_ts",
				       (json_int_t)mx_event_ts(best)));
}
