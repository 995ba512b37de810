/* Events as one reader gets them. */
#include "config.h"

#include <myelin/hook.h>
#include <myelin/view.h>

struct mx_reader
mx_reader_of(struct mx_request *rq, struct mx_room *room)
{
	const struct mx_auth *who = mx_request_auth(rq);

	return (struct mx_reader){ .rq = rq, .conn = mx_request_conn(rq), .room = room,
				   .device = who != NULL ? who->device : 0, .with_room_id = true };
}

/* The event that a state event took the place of. Outliers have no state before them. */
static mx_error *
find_previous(const struct mx_reader *r, struct mx_rooms *rs, struct mx_event *ev, struct mx_event **out)
{
	static const struct mx_state_root none;
	struct mx_state_root before;

	*out = NULL;
	if (r->no_previous || !mx_event_is_state(ev))
		return NULL;
	before = mx_event_root_before(ev);
	if (memcmp(&before, &none, sizeof(none)) == 0)
		return NULL;
	return mx_state_get(rs, r->conn, before, mx_event_type(ev), mx_event_state_key(ev), out);
}

/* more: an empty buffer, for what the hooks add. */
static mx_error *
write_event(const struct mx_reader *r, struct mx_event *ev, struct mx_buf *more, struct mx_buf *b)
{
	struct mx_core *core = mx_request_core(r->rq);
	struct mx_rooms *rs = mx_core_rooms(core);
	struct mx_event_view view = { .with_room_id = r->with_room_id, .device = r->device };
	MX_AUTO(mx_event) *redaction = NULL;
	MX_AUTO(mx_event) *previous = NULL;

	if (mx_event_redacted(ev))
		MX_TRY(mx_event_redaction(rs, r->conn, ev, &redaction));
	MX_TRY(find_previous(r, rs, ev, &previous));
	view.redaction = redaction;
	view.previous = previous;
	mx_run_event_unsigned(core, r->rq, ev, more);
	view.unsigned_more = mx_buf_view(more);
	mx_event_client(ev, &view, b);
	return NULL;
}

mx_error *
mx_event_write(const struct mx_reader *r, struct mx_event *ev, struct mx_buf *b)
{
	MX_AUTO(mx_buf) *more = mx_buf_new(0);

	return write_event(r, ev, more, b);
}

mx_error *
mx_events_write(const struct mx_reader *r, const struct mx_events *l, struct mx_buf *b)
{
	MX_AUTO(mx_buf) *more = mx_buf_new(0);

	mx_buf_byte(b, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i > 0)
			mx_buf_byte(b, ',');
		MX_TRY(write_event(r, l->v[i], more, b));
		mx_buf_truncate(more, 0);
	}
	mx_buf_byte(b, ']');
	return NULL;
}
