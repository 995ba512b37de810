/* Events as one reader gets them. */
#include "config.h"

#include <myelin/hook.h>
#include <myelin/view.h>

/* About what an event has in an answer. */
enum { EVENT_SIZE = 400 };

struct mx_reader
mx_reader_of(struct mx_request *rq, struct mx_room *room)
{
	const struct mx_auth *who = mx_request_auth(rq);

	return (struct mx_reader){ .rq = rq, .conn = mx_request_conn(rq), .room = room,
				   .device = who != NULL ? who->device : 0, .with_room_id = true };
}

/* The event that a state event took the place of. Outliers have no state before them. */
static mx_error *
find_previous(const struct mx_reader *r, struct mx_rooms *rs, struct mx_event *ev,
	      struct mx_event **out)
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

/* Who reads, for a list of events: its membership now, and at the state that was looked at last. */
struct reading {
	struct mx_member now;		/* user 0: nobody is logged in */
	struct mx_state_root root;
	enum mx_membership then;	/* NONE: no state was looked at yet */
};

static mx_error *
reading_begin(const struct mx_reader *r, struct reading *out)
{
	const struct mx_auth *who = mx_request_auth(r->rq);

	*out = (struct reading){ .then = MX_MEMBER_NONE };
	if (who == NULL || r->no_previous)
		return NULL;
	return mx_room_member(mx_core_rooms(mx_request_core(r->rq)), r->conn, r->room, who->user,
			      &out->now);
}

/* The reader's membership with the event's own change: the one now, unless that is younger than the
 * event. Messages that follow each other are in one state, and cost one look. */
static mx_error *
membership_at(const struct mx_reader *r, struct reading *m, const struct mx_event *ev,
	      enum mx_membership *out)
{
	struct mx_state_root root = mx_event_root_after(ev);
	MX_AUTO(mx_event) *member = NULL;

	*out = m->now.membership;
	if (m->now.user == 0 ||
	    (m->now.membership != MX_MEMBER_NONE && mx_event_nid(ev) >= m->now.event))
		return NULL;
	if (m->then == MX_MEMBER_NONE || memcmp(&m->root, &root, sizeof(root)) != 0) {
		MX_TRY(mx_state_get(mx_core_rooms(mx_request_core(r->rq)), r->conn, root,
				    MX_S("m.room.member"), mx_request_auth(r->rq)->user_id,
				    &member));
		m->then = member != NULL ? mx_event_membership(member) : MX_MEMBER_LEAVE;
		m->root = root;
	}
	*out = m->then;
	return NULL;
}

/* more: an empty buffer, for what the hooks add. */
static mx_error *
write_event(const struct mx_reader *r, struct reading *m, struct mx_event *ev, struct mx_buf *more,
	    struct mx_buf *b)
{
	struct mx_core *core = mx_request_core(r->rq);
	struct mx_rooms *rs = mx_core_rooms(core);
	struct mx_event_view view = { .with_room_id = r->with_room_id, .device = r->device };
	MX_AUTO(mx_event) *redaction = NULL;
	MX_AUTO(mx_event) *previous = NULL;

	if (mx_event_redacted(ev))
		MX_TRY(mx_event_redaction(rs, r->conn, ev, &redaction));
	MX_TRY(find_previous(r, rs, ev, &previous));
	MX_TRY(membership_at(r, m, ev, &view.membership));
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
	struct reading m;

	MX_TRY(reading_begin(r, &m));
	return write_event(r, &m, ev, more, b);
}

mx_error *
mx_events_write(const struct mx_reader *r, const struct mx_events *l, struct mx_buf *b)
{
	MX_AUTO(mx_buf) *more = mx_buf_new(0);
	struct reading m;

	MX_TRY(reading_begin(r, &m));
	mx_buf_reserve(b, l->n * EVENT_SIZE);
	mx_buf_byte(b, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i > 0)
			mx_buf_byte(b, ',');
		MX_TRY(write_event(r, &m, l->v[i], more, b));
		mx_buf_truncate(more, 0);
	}
	mx_buf_byte(b, ']');
	return NULL;
}
