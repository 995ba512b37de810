/* What the files of client-history share: a page of a room's timeline as one reader may see it. */
#ifndef CLIENT_HISTORY_HISTORY_H
#define CLIENT_HISTORY_HISTORY_H

#include <myelin/filter.h>
#include <myelin/module.h>
#include <myelin/service/directory.h>
#include <myelin/view.h>

struct history_options {
	int64_t max_page;		/* events of one answer */
	int64_t max_scan;		/* events looked at for one answer, when a filter passes few */
};

/* A room that the asking user may read: now, or up to a position. Zero-initialise; free with
 * history_room_clear. */
struct history_room {
	struct mx_request *rq;
	struct mx_rooms *rs;
	struct mx_conn *conn;
	const struct mx_auth *who;
	const struct history_options *options;
	struct mx_room *room;
	bool now;
	mx_pos until;			/* when not now */
	struct mx_shape *shape;		/* of the events, as the filter says */
};
/* The room of the path. MX_E_FORBIDDEN when there is nothing in it for the user, known or not. */
mx_error *history_room_open(struct mx_request *rq, struct history_room *out) MX_MUST_USE;
void history_room_clear(struct history_room *r);
/* {the room's state as the user may read it} */
mx_error *history_room_root(const struct history_room *r, struct mx_state_root *out) MX_MUST_USE;

/* A page: set the first part, then history_page fills the second. Free with
 * mx_events_clear(&p.events). */
struct history_page {
	mx_nid after, before;		/* exclusive; history_page keeps within what the user may read */
	bool backwards;
	size_t limit;
	const struct mx_filter *filter;

	struct mx_events events;	/* visible, and passed by the filter; in the order of the direction */
	mx_nid edge;			/* the farthest event looked at; 0 when there was none */
	bool more;			/* whether there may be more behind it */
};
mx_error *history_page(const struct history_room *r, struct history_page *p) MX_MUST_USE;
/* The token from which to go on behind the page, in its direction; where it began when it looked at
 * nothing. */
mx_pos history_page_end(const struct history_page *p, mx_pos begun);

/* ---- the query ---- */
/* "filter"; its shape of events goes into r. */
mx_error *history_query_filter(struct history_room *r, struct mx_filter **out) MX_MUST_USE;
/* "limit", or the filter's, or fallback; at most max_page. */
mx_error *history_query_limit(const struct history_room *r, const struct mx_filter *f,
			      int64_t fallback, size_t *out) MX_MUST_USE;
/* "dir": whether it is "b". It must be given. */
mx_error *history_query_backwards(struct mx_request *rq, bool *out) MX_MUST_USE;

/* ---- writing ---- */
void history_write_token(struct mx_jw *w, mx_str key, mx_pos pos);
mx_error *history_write_events(const struct history_room *r, struct mx_jw *w, mx_str key,
			       const struct mx_events *l) MX_MUST_USE;
/* The senders' member events in that state, as "state": for lazy loading. Sorts nothing of l. */
mx_error *history_write_senders(const struct history_room *r, struct mx_jw *w,
				const struct mx_events *l, struct mx_state_root root) MX_MUST_USE;
/* Whether user sent one of the first n events of l. */
bool history_sent_by(const struct mx_events *l, mx_str user);

mx_handler history_messages, history_context, history_timestamp, history_initial_sync;

#endif
