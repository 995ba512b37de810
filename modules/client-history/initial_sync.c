/* GET /rooms/{}/initialSync: a room at a glance, for who looks into it without joining.
 * Client-Server API, "Room previews". */
#include "config.h"

#include <stdlib.h>

#include "history.h"

static void
reverse(struct mx_events *l)
{
	for (size_t i = 0, j = l->n; i + 1 < j; i++) {
		struct mx_event *ev = l->v[i];

		l->v[i] = l->v[--j];
		l->v[j] = ev;
	}
}

static mx_error *
write_state(const struct history_room *r, struct mx_jw *w)
{
	struct mx_reader reader = mx_reader_of(r->rq, r->room);
	struct mx_events state = { 0 };
	struct mx_state_root root;
	mx_error *e;

	MX_TRY(history_room_root(r, &root));
	reader.no_previous = true;
	mx_jw_key(w, MX_S("state"));
	e = mx_state_all(r->rs, r->conn, root, &state);
	if (e == NULL)
		e = mx_events_write(&reader, &state, w->b);
	w->comma = true;
	mx_events_clear(&state);
	return e;
}

static mx_error *
write_messages(const struct history_room *r, struct history_page *p, struct mx_jw *w)
{
	mx_pos head = r->now ? mx_room_last(r->room) : r->until;

	MX_TRY(history_page(r, p));
	reverse(&p->events);
	mx_jw_key(w, MX_S("messages"));
	mx_jw_object(w);
	if (p->more)
		history_write_token(w, MX_S("start"), history_page_end(p, head));
	history_write_token(w, MX_S("end"), head);
	MX_TRY(history_write_events(r, w, MX_S("chunk"), &p->events));
	mx_jw_object_end(w);
	return NULL;
}

static mx_error *
write_visibility(const struct history_room *r, struct mx_jw *w)
{
	const struct mx_directory_service *directory =
		mx_self_service(mx_request_self(r->rq), "directory");
	bool visible;

	if (directory == NULL)
		return NULL;
	MX_TRY(directory->visible(mx_request_core(r->rq), r->conn, r->room, &visible));
	mx_jw_key(w, MX_S("visibility"));
	mx_jw_str(w, visible ? MX_S("public") : MX_S("private"));
	return NULL;
}

static mx_error *
write_answer(const struct history_room *r, struct history_page *p, struct mx_buf *b)
{
	struct mx_jw w = mx_jw_on(b);
	struct mx_member member;

	MX_TRY(history_query_limit(r, NULL, 20, &p->limit));
	MX_TRY(mx_room_member(r->rs, r->conn, r->room, r->who->user, &member));
	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("room_id"));
	mx_jw_str(&w, mx_room_id(r->room));
	if (member.membership != MX_MEMBER_NONE) {
		mx_jw_key(&w, MX_S("membership"));
		mx_jw_str(&w, mx_str_of(mx_membership_name(member.membership)));
	}
	MX_TRY(write_visibility(r, &w));
	MX_TRY(write_messages(r, p, &w));
	MX_TRY(write_state(r, &w));
	mx_jw_object_end(&w);
	return NULL;
}

enum mx_outcome
history_initial_sync(struct mx_request *rq)
{
	struct history_page p = { .after = INT64_MIN, .before = INT64_MAX, .backwards = true };
	struct history_room r = { 0 };
	struct mx_buf *b = mx_buf_new(0);
	mx_error *e = history_room_open(rq, &r);

	if (e == NULL)
		e = write_answer(&r, &p, b);
	mx_events_clear(&p.events);
	history_room_clear(&r);
	if (e == NULL)
		return mx_reply_buf(rq, 200, &b);
	mx_buf_free(&b);
	return mx_reply_error(rq, e);
}
