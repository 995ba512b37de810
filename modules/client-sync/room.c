/* One room of the answer: timeline, state, summary, and what modules add. */
#include "sync.h"

#include <stdlib.h>

enum { MAX_PAGES = 8, HEROES = 5 };

/* A window of the timeline, oldest first, and what the client needs to know beside it. */
struct window {
	struct mx_events events;
	bool limited;			/* there is more between `since` and the first one */
	mx_pos first;			/* the position of the oldest event looked at; 0: none was there */
	struct mx_state_root before;	/* the state before it, or, without one, the state at the end */
	bool members;			/* some event of it is about a member */
	bool forked, forked_first;	/* the room had branches at one of them, at the first one */
};

/* ---- the timeline ---- */

static int
compare_ids(const void *a, const void *b)
{
	return mx_str_cmp(*(const mx_str *)a, *(const mx_str *)b);
}

static bool
ignored(const struct sync *s, mx_str sender)
{
	return s->ignored_count > 0 && bsearch(&sender, s->ignored, s->ignored_count,
					       sizeof(*s->ignored), compare_ids) != NULL;
}

/* Takes the wanted events of a page, newest first, into the window until it holds limit. False: it
 * is full. */
static bool
take(const struct sync *s, struct window *w, struct mx_events *page, size_t limit)
{
	for (size_t i = 0; i < page->n; i++) {
		struct mx_event *ev = page->v[i];

		if (w->events.n == limit)
			return false;
		w->first = mx_event_nid(ev);
		w->before = mx_event_root_before(ev);
		w->forked_first = mx_event_forked(ev);
		w->forked |= w->forked_first;
		if (mx_str_eq(mx_event_type(ev), MX_S("m.room.member")))
			w->members = true;
		if (mx_filter_event(s->filter->timeline, ev) &&
		    (mx_event_is_state(ev) || !ignored(s, mx_event_sender(ev))))
			mx_events_add(&w->events, mx_event_ref(ev));
	}
	return true;
}

static void
reverse(struct mx_events *l)
{
	for (size_t i = 0; i < l->n / 2; i++) {
		struct mx_event *ev = l->v[i];

		l->v[i] = l->v[l->n - 1 - i];
		l->v[l->n - 1 - i] = ev;
	}
}

/* Reads backwards from `before` until the filter's limit is met, `after` is reached, or what the
 * filter drops is too much. */
static mx_error *
read_pages(struct sync *s, const struct sync_room *r, mx_pos after, mx_pos before, size_t limit,
	   struct window *w)
{
	bool more = true;

	for (int pages = 0; more && pages < MAX_PAGES; pages++) {
		struct mx_events page = { 0 };
		mx_error *e = mx_room_timeline(s->rs, s->conn, r->room, after, before, limit + 1,
					       true, &page, &more);
		size_t n = page.n;

		if (e == NULL && n > 0)
			before = mx_event_nid(page.v[n - 1]);
		if (e == NULL)
			e = mx_events_filter_visible(s->rs, s->conn, r->room, &page, s->who->user,
						     s->who->user_id);
		if (e == NULL && !take(s, w, &page, limit)) {
			w->limited = true;
			more = false;
		}
		mx_events_clear(&page);
		if (e != NULL)
			return e;
		if (n == 0)
			return NULL;
	}
	if (more)
		w->limited = true;
	return NULL;
}

/* A client that reckons the state itself believes what comes last, and cannot be told in the same
 * answer that it lost against another branch: so it is not told of it. (With state_after it is.) */
static mx_error *
drop_lost(struct sync *s, const struct sync_room *r, mx_pos last, struct window *w)
{
	struct mx_state_root end;

	if (!w->forked || s->state_after)
		return NULL;
	MX_TRY(mx_room_root_at(s->rs, s->conn, r->room, last, &end));
	return mx_events_drop_lost(s->rs, s->conn, end, &w->events);
}

static mx_error *
read_window(struct sync *s, const struct sync_room *r, mx_pos after, mx_pos last, struct window *w)
{
	size_t limit = (size_t)mx_filter_limit(s->filter->timeline, s->options->timeline_limit,
					       s->options->max_timeline_limit);

	if (limit > 0 && !mx_filter_nothing(s->filter->timeline))
		MX_TRY(read_pages(s, r, after, last + 1, limit, w));
	else
		w->limited = mx_room_last(r->room) > after;
	if (w->first == 0)
		MX_TRY(mx_room_root_at(s->rs, s->conn, r->room, last, &w->before));
	else if (w->forked_first)
		MX_TRY(mx_room_root_at(s->rs, s->conn, r->room, w->first - 1, &w->before));
	reverse(&w->events);
	return drop_lost(s, r, last, w);
}

static void
write_timeline_head(const struct window *w, mx_pos otherwise, struct mx_jw *jw)
{
	MX_AUTO(mx_buf) *token = mx_buf_new(0);
	struct mx_token t = { .pos = w->first > 0 ? w->first - 1 : otherwise };

	mx_token_write(t, token);
	mx_jw_key(jw, MX_S("limited"));
	mx_jw_bool(jw, w->limited);
	mx_jw_key(jw, MX_S("prev_batch"));
	mx_jw_str(jw, mx_buf_view(token));
}

static mx_error *
write_events(struct sync *s, const struct sync_room *r, const struct mx_events *l, bool state,
	     struct mx_jw *jw)
{
	struct mx_reader reader = mx_reader_of(s->rq, r->room);

	reader.with_room_id = false;
	reader.no_previous = state;
	mx_jw_key(jw, MX_S("events"));
	MX_TRY(mx_events_write_as(&reader, s->filter->shape, l, jw->b));
	jw->comma = true;
	return NULL;
}

static mx_error *
write_timeline(struct sync *s, const struct sync_room *r, const struct window *w, mx_pos otherwise,
	       struct mx_jw *jw)
{
	mx_jw_key(jw, MX_S("timeline"));
	mx_jw_object(jw);
	write_timeline_head(w, otherwise, jw);
	MX_TRY(write_events(s, r, &w->events, false, jw));
	mx_jw_object_end(jw);
	return NULL;
}

/* ---- state ---- */

static bool
is_member_of(const struct mx_event *ev, mx_str user_id)
{
	return mx_str_eq(mx_event_type(ev), MX_S("m.room.member")) &&
	       mx_str_eq(mx_event_state_key(ev), user_id);
}

static void
filter_state(const struct sync *s, struct mx_events *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (mx_filter_event(s->filter->state, l->v[i]))
			l->v[kept++] = l->v[i];
		else
			mx_event_unref(&l->v[i]);
	}
	l->n = kept;
}

static bool
has_member(const struct mx_events *l, mx_str user_id)
{
	for (size_t i = 0; i < l->n; i++)
		if (is_member_of(l->v[i], user_id))
			return true;
	return false;
}

static mx_error *
add_member(struct sync *s, mx_str user_id, struct mx_state_root root, struct mx_events *l)
{
	MX_AUTO(mx_event) *member = NULL;

	if (has_member(l, user_id))
		return NULL;
	MX_TRY(mx_state_get(s->rs, s->conn, root, MX_S("m.room.member"), user_id, &member));
	if (member != NULL && mx_filter_event(s->filter->state, member)) {
		mx_events_add(l, member);
		member = NULL;
	}
	return NULL;
}

/* The members who sent what is in the timeline, where the client cannot know them from state or
 * timeline. They are sent again and again: a list of what a device has seen would go wrong with the
 * first answer that is lost on its way. */
static mx_error *
add_senders(struct sync *s, const struct window *w, struct mx_state_root root, struct mx_events *l)
{
	for (size_t i = 0; i < w->events.n; i++)
		MX_TRY(add_member(s, mx_event_sender(w->events.v[i]), root, l));
	return NULL;
}

static bool
has_event(const struct mx_events *l, const struct mx_event *ev)
{
	for (size_t i = 0; i < l->n; i++)
		if (mx_str_eq(mx_event_id(l->v[i]), mx_event_id(ev)))
			return true;
	return false;
}

static void
drop_key(struct mx_events *l, const struct mx_event *ev)
{
	for (size_t i = 0; i < l->n; i++)
		if (mx_str_eq(mx_event_type(l->v[i]), mx_event_type(ev)) &&
		    mx_str_eq(mx_event_state_key(l->v[i]), mx_event_state_key(ev))) {
			mx_event_unref(&l->v[i]);
			l->v[i] = l->v[--l->n];
			return;
		}
}

/* Where branches came together the state has changed by what is not in the timeline. */
static mx_error *
add_resolved(struct sync *s, const struct sync_room *r, const struct window *w, mx_pos last,
	     struct mx_events *l)
{
	struct mx_events changed = { 0 };
	struct mx_state_root end;

	MX_TRY(mx_room_root_at(s->rs, s->conn, r->room, last, &end));
	mx_error *e = mx_state_diff(s->rs, s->conn, w->before, end, &changed);

	for (size_t i = 0; e == NULL && i < changed.n; i++)
		if (!has_event(&w->events, changed.v[i])) {
			drop_key(l, changed.v[i]);
			mx_events_add(l, mx_event_ref(changed.v[i]));
		}
	mx_events_clear(&changed);
	return e;
}

/* Lazily loaded, members come only with what they send. Those who changed in a gap always come: the
 * client must not miss it. */
static mx_error *
read_state(struct sync *s, const struct sync_room *r, const struct window *w, mx_pos last,
	   struct mx_events *l)
{
	struct mx_state_root to = w->before, from = { { 0 } };

	if (mx_filter_nothing(s->filter->state))
		return NULL;
	if (s->state_after)
		MX_TRY(mx_room_root_at(s->rs, s->conn, r->room, last, &to));
	if ((r->fresh || s->full_state) && s->filter->lazy_members) {
		/* Members come by name: a room of many is not read for the few. */
		MX_TRY(mx_state_no_members(s->rs, s->conn, to, l));
		MX_TRY(add_member(s, s->who->user_id, to, l));
	} else if (r->fresh || s->full_state) {
		MX_TRY(mx_state_all(s->rs, s->conn, to, l));
	} else {
		MX_TRY(mx_room_root_at(s->rs, s->conn, r->room, s->since.pos, &from));
		if (memcmp(&from, &to, sizeof(from)) != 0)
			MX_TRY(mx_state_diff(s->rs, s->conn, from, to, l));
	}
	if (w->forked && !s->state_after)
		MX_TRY(add_resolved(s, r, w, last, l));
	filter_state(s, l);
	return s->filter->lazy_members ? add_senders(s, w, to, l) : NULL;
}

static mx_error *
write_state(struct sync *s, const struct sync_room *r, const struct window *w, mx_pos last,
	    struct mx_jw *jw, bool *any)
{
	struct mx_events l = { 0 };
	mx_error *e = read_state(s, r, w, last, &l);

	if (e == NULL && (l.n > 0 || s->state_after)) {
		mx_jw_key(jw, s->state_after ? MX_S("state_after") : MX_S("state"));
		mx_jw_object(jw);
		e = write_events(s, r, &l, true, jw);
		mx_jw_object_end(jw);
	}
	*any = l.n > 0;
	mx_events_clear(&l);
	return e;
}

/* ---- summary ---- */

static bool
members_changed(const struct sync *s, const struct sync_room *r, const struct window *w)
{
	if (r->fresh || s->full_state || w->members)
		return true;
	if (!s->known)
		return w->limited;
	for (size_t i = 0; i < r->item_count; i++)
		if (r->items[i].kind == MX_ITEM_EVENT && r->items[i].event != NULL &&
		    mx_str_eq(mx_event_type(r->items[i].event), MX_S("m.room.member")))
			return true;
	return false;
}

/* Client-Server API, "Room summaries": who stands for a room that has no name. */
static mx_error *
write_heroes(struct sync *s, const struct sync_room *r, struct mx_jw *jw)
{
	struct mx_member *members = NULL;
	size_t n = 0, written = 0;

	MX_TRY(mx_room_members(s->rs, s->conn, r->room, MX_MEMBER_NONE, s->arena, &members, &n));
	mx_jw_key(jw, MX_S("m.heroes"));
	mx_jw_array(jw);
	/* Those who are here or invited first; who has left only stands for a room that is empty
	 * otherwise. */
	for (int pass = 0; pass < 2 && written == 0; pass++)
		for (size_t i = 0; i < n && written < HEROES; i++) {
			bool here = members[i].membership == MX_MEMBER_JOIN ||
				    members[i].membership == MX_MEMBER_INVITE;
			mx_str id;

			if (members[i].user == s->who->user || here != (pass == 0))
				continue;
			MX_TRY(mx_name_text(s->conn, members[i].user, s->arena, &id));
			mx_jw_str(jw, id);
			written++;
		}
	mx_jw_array_end(jw);
	return NULL;
}

static mx_error *
write_summary(struct sync *s, const struct sync_room *r, struct mx_jw *jw)
{
	struct mx_room_summary sum;

	MX_TRY(mx_room_summary(s->rs, s->conn, r->room, s->arena, &sum));
	mx_jw_key(jw, MX_S("summary"));
	mx_jw_object(jw);
	if (sum.name.n == 0 && sum.canonical_alias.n == 0)
		MX_TRY(write_heroes(s, r, jw));
	mx_jw_key(jw, MX_S("m.joined_member_count"));
	mx_jw_int(jw, (int64_t)sum.joined);
	mx_jw_key(jw, MX_S("m.invited_member_count"));
	mx_jw_int(jw, (int64_t)sum.invited);
	mx_jw_object_end(jw);
	return NULL;
}

/* ---- what modules add ---- */

static bool
write_sections(struct sync *s, const struct sync_room *r, struct mx_jw *jw)
{
	struct mx_sync view = sync_view(s, r->room, r->fresh ? (struct mx_token){ 0 } : s->since,
					r->items, r->item_count);
	size_t before;
	bool any;

	if (r->fresh)
		view.known = false;
	/* It is asked for all that it has, unlike its neighbours. */
	if (r->fresh && !s->initial)
		view.room_count = 0;
	any = sync_section(s, &view, MX_SYNC_ROOM_EPHEMERAL, MX_S("ephemeral"), jw);
	any |= sync_section(s, &view, MX_SYNC_ROOM_ACCOUNT_DATA, MX_S("account_data"), jw);
	before = mx_buf_view(jw->b).n;
	mx_run_sync_section(s->core, &view, MX_SYNC_ROOM_TOP, jw);
	return any || mx_buf_view(jw->b).n > before;
}

/* ---- the four parts ---- */

/* Begins a member of join, invite, …; *mark is where to cut when it turns out to be empty. */
static struct mx_jw
begin_room(struct mx_buf *part, const struct sync_room *r, size_t *mark)
{
	struct mx_jw jw = mx_jw_on(part);

	*mark = mx_buf_view(part).n;
	jw.comma = *mark > 0;
	mx_jw_key(&jw, mx_room_id(r->room));
	mx_jw_object(&jw);
	return jw;
}

/* Whether the room had begun when the client last looked: then a client that comes (back) to it may
 * have missed something. */
static mx_error *
had_begun(struct sync *s, const struct sync_room *r, bool *out)
{
	static const struct mx_state_root none;
	struct mx_state_root then;

	*out = false;
	if (s->initial)
		return NULL;
	MX_TRY(mx_room_root_at(s->rs, s->conn, r->room, s->since.pos, &then));
	*out = memcmp(&then, &none, sizeof(none)) != 0;
	return NULL;
}

static mx_error *
write_joined(struct sync *s, const struct sync_room *r, struct window *w, struct mx_jw *jw,
	     bool *any)
{
	bool state;

	MX_TRY(read_window(s, r, r->fresh ? 0 : s->since.pos, s->upto.pos, w));
	if (r->fresh && !w->limited)
		MX_TRY(had_begun(s, r, &w->limited));
	MX_TRY(write_timeline(s, r, w, r->fresh ? s->upto.pos : s->since.pos, jw));
	MX_TRY(write_state(s, r, w, s->upto.pos, jw, &state));
	*any = r->fresh || w->events.n > 0 || state || (w->limited && w->first > 0);
	if (members_changed(s, r, w)) {
		MX_TRY(write_summary(s, r, jw));
		*any = true;
	}
	*any |= write_sections(s, r, jw);
	return NULL;
}

mx_error *
sync_room_joined(struct sync *s, const struct sync_room *r)
{
	struct window w = { 0 };
	size_t mark;
	struct mx_jw jw = begin_room(s->join, r, &mark);
	bool any = false;
	mx_error *e = write_joined(s, r, &w, &jw, &any);

	mx_jw_object_end(&jw);
	if (!any)
		mx_buf_truncate(s->join, mark);
	mx_events_clear(&w.events);
	return e;
}

/* A room that was left shows what happened until then. To who was never in it, only that the
 * membership ended. */
static mx_error *
write_left(struct sync *s, const struct sync_room *r, struct window *w, struct mx_jw *jw)
{
	mx_pos last = mx_member_since(&r->member);
	bool any, was_in = s->initial || r->before == MX_MEMBER_JOIN;

	MX_TRY(read_window(s, r, was_in ? s->since.pos : last - 1, last, w));
	MX_TRY(write_timeline(s, r, w, last, jw));
	if (was_in)
		MX_TRY(write_state(s, r, w, last, jw, &any));
	return NULL;
}

mx_error *
sync_room_left(struct sync *s, const struct sync_room *r)
{
	struct window w = { 0 };
	size_t mark;
	struct mx_jw jw = begin_room(s->leave, r, &mark);
	mx_error *e = write_left(s, r, &w, &jw);

	mx_jw_object_end(&jw);
	mx_events_clear(&w.events);
	return e;
}

static mx_error *
write_stripped(struct sync *s, const struct sync_room *r, struct mx_buf *part, mx_str key)
{
	size_t mark;
	struct mx_jw jw = begin_room(part, r, &mark);
	mx_error *e;

	mx_jw_key(&jw, key);
	mx_jw_object(&jw);
	mx_jw_key(&jw, MX_S("events"));
	e = mx_room_stripped(s->rs, s->conn, r->room, r->member.user, part);
	jw.comma = true;
	mx_jw_object_end(&jw);
	mx_jw_object_end(&jw);
	return e;
}

/* Whether the invitation came from somebody whom the user ignores. */
static mx_error *
unwanted(struct sync *s, const struct sync_room *r, bool *out)
{
	MX_AUTO(mx_event) *invite = NULL;

	*out = false;
	if (s->ignored_count == 0)
		return NULL;
	MX_TRY(mx_event_by_nid(s->rs, s->conn, r->member.event, &invite));
	*out = ignored(s, mx_event_sender(invite));
	return NULL;
}

mx_error *
sync_room_invited(struct sync *s, const struct sync_room *r)
{
	bool skip;

	MX_TRY(unwanted(s, r, &skip));
	return skip ? NULL : write_stripped(s, r, s->invite, MX_S("invite_state"));
}

mx_error *
sync_room_knocked(struct sync *s, const struct sync_room *r)
{
	return write_stripped(s, r, s->knock, MX_S("knock_state"));
}
