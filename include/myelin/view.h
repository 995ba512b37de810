/* Events as one reader of a room gets them: what mx_event_client leaves to be looked up is looked
 * up here. For every endpoint that answers with events of one room. Client-Server API, "Room event
 * format"; `unsigned`. */
#ifndef MYELIN_VIEW_H
#define MYELIN_VIEW_H

#include <myelin/core.h>

/* Zero-initialise, then set. Lives on the stack of the handler, for one answer. */
struct mx_reader {
	struct mx_request *rq;
	struct mx_conn *conn;
	struct mx_room *room;
	mx_nid device;			/* its own transaction ids are shown; 0: none */
	bool with_room_id;		/* not in /sync */
	bool no_previous;		/* leaves prev_content and membership out: for whole states, where each costs a lookup */
};
/* Whoever asked rq, reading this room through the request's connection, with room ids. */
MX_API struct mx_reader mx_reader_of(struct mx_request *rq, struct mx_room *room);

/* One event as JSON, onto b: with prev_content and replaces_state for state, redacted_because,
 * transaction_id, the reader's membership, and what the hook event_unsigned adds. Message events
 * cost no query. Whether the reader may see it is the caller's to check. */
MX_API mx_error *mx_event_write(const struct mx_reader *r, struct mx_event *ev,
				struct mx_buf *b) MX_MUST_USE;
/* The events of a list as a JSON array. */
MX_API mx_error *mx_events_write(const struct mx_reader *r, const struct mx_events *l,
				 struct mx_buf *b) MX_MUST_USE;

/* What a filter says of the events themselves: event_fields and event_format. NULL is the usual
 * shape, which costs nothing. Immutable; any thread may use it. */
struct mx_shape;
/* *out is NULL when the filter (an object, or NULL) wants nothing unusual. MX_E_BAD_JSON. */
MX_API mx_error *mx_shape_parse(const json_t *filter, struct mx_shape **out) MX_MUST_USE;
MX_API void mx_shape_free(struct mx_shape **s);
static inline void mx_shape_auto(struct mx_shape **s) { mx_shape_free(s); }
/* As mx_event_write and mx_events_write, in that shape. The format of the federation is the event as
 * its server has signed it, without unsigned. */
MX_API mx_error *mx_event_write_as(const struct mx_reader *r, const struct mx_shape *s,
				   struct mx_event *ev, struct mx_buf *b) MX_MUST_USE;
MX_API mx_error *mx_events_write_as(const struct mx_reader *r, const struct mx_shape *s,
				    const struct mx_events *l, struct mx_buf *b) MX_MUST_USE;

#endif
