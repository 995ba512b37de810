/* Reading a room: its state, its members, single events. Who has left reads what was there then;
 * who is in a world-readable room's audience reads what is there now. Client-Server API, "Getting
 * events for a room". */
#include "config.h"

#include <string.h>

#include "rooms.h"

/* The state that the asking user may read, and its room. pos (0: now): not beyond this position.
 * MX_E_FORBIDDEN. */
static mx_error *
readable_root(const struct rooms_call *c, struct mx_room *room, mx_pos pos,
	      struct mx_state_root *root)
{
	mx_pos until = 0;
	bool now = false;

	MX_TRY(mx_room_readable(c->rs, c->conn, room, c->who->user, c->who->user_id, &now, &until));
	if (!now && until == 0)
		return mx_error_new(MX_E_FORBIDDEN, "You are not in this room");
	if (!now && (pos == 0 || pos > until))
		pos = until;
	if (pos == 0 || (now && pos >= mx_room_last(room))) {
		*root = mx_room_root(room);
		return NULL;
	}
	return mx_room_root_at(c->rs, c->conn, room, pos, root);
}

/* ---- one entry ---- */

static mx_error *
get_state(const struct rooms_call *c, struct mx_buf *b)
{
	mx_str type = mx_request_param(c->rq, "eventType"),
	       key = mx_request_param(c->rq, "stateKey"), format = MX_S("content");
	MX_AUTO(mx_room) *room = NULL;
	MX_AUTO(mx_event) *ev = NULL;
	struct mx_state_root root;
	struct mx_reader reader;

	mx_request_query(c->rq, "format", &format);
	if (!mx_str_eq(format, MX_S("content")) && !mx_str_eq(format, MX_S("event")))
		return mx_error_new(MX_E_INVALID_PARAM, "format must be content or event");
	MX_TRY(rooms_find(c, &room));
	MX_TRY(readable_root(c, room, 0, &root));
	MX_TRY(mx_state_get(c->rs, c->conn, root, type, key.p != NULL ? key : MX_S(""), &ev));
	if (ev == NULL)
		return mx_error_new(MX_E_NOT_FOUND, "The room has no such state");
	if (mx_str_eq(format, MX_S("content"))) {
		mx_buf_str(b, mx_event_content(ev));
		return NULL;
	}
	reader = mx_reader_of(c->rq, room);
	return mx_event_write(&reader, ev, b);
}

/* Runs a handler that writes its answer into a buffer. */
static enum mx_outcome
run(struct mx_request *rq, mx_error *(*fn)(const struct rooms_call *c, struct mx_buf *b))
{
	struct rooms_call c = rooms_call_of(rq);
	struct mx_buf *b = mx_buf_new(0);
	mx_error *e = fn(&c, b);

	if (e == NULL)
		return mx_reply_buf(rq, 200, &b);
	mx_buf_free(&b);
	return mx_reply_error(rq, e);
}

enum mx_outcome rooms_get_state(struct mx_request *rq) { return run(rq, get_state); }

/* ---- all of it ---- */

static mx_error *
get_all_state(const struct rooms_call *c, struct mx_buf *b)
{
	MX_AUTO(mx_room) *room = NULL;
	struct mx_events state = { 0 };
	struct mx_state_root root;
	struct mx_reader reader;
	mx_error *e;

	MX_TRY(rooms_find(c, &room));
	MX_TRY(readable_root(c, room, 0, &root));
	reader = mx_reader_of(c->rq, room);
	reader.no_previous = true;
	e = mx_state_all(c->rs, c->conn, root, &state);
	if (e == NULL)
		e = mx_events_write(&reader, &state, b);
	mx_events_clear(&state);
	return e;
}

enum mx_outcome rooms_get_all_state(struct mx_request *rq) { return run(rq, get_all_state); }

/* ---- members ---- */

static mx_error *
read_membership(const struct rooms_call *c, const char *name, enum mx_membership *out)
{
	mx_str text;

	*out = MX_MEMBER_NONE;
	if (!mx_request_query(c->rq, name, &text))
		return NULL;
	*out = mx_membership_of(text);
	if (*out == MX_MEMBER_NONE)
		return mx_error_new(MX_E_INVALID_PARAM, "%s names no membership", name);
	return NULL;
}

/* Both given: either may hold. */
static bool
wanted(enum mx_membership m, enum mx_membership only, enum mx_membership not)
{
	if (only == MX_MEMBER_NONE && not == MX_MEMBER_NONE)
		return true;
	return (only != MX_MEMBER_NONE && m == only) || (not != MX_MEMBER_NONE && m != not);
}

static void
keep_members(struct mx_events *state, enum mx_membership only, enum mx_membership not)
{
	size_t kept = 0;

	for (size_t i = 0; i < state->n; i++) {
		enum mx_membership m = mx_event_membership(state->v[i]);	/* NONE: no member event */

		if (m != MX_MEMBER_NONE && wanted(m, only, not))
			state->v[kept++] = state->v[i];
		else
			mx_event_unref(&state->v[i]);
	}
	state->n = kept;
}

static mx_error *
write_members(const struct rooms_call *c, struct mx_room *room, const struct mx_events *members,
	      struct mx_buf *b)
{
	struct mx_reader reader = mx_reader_of(c->rq, room);

	reader.no_previous = true;
	mx_buf_str(b, MX_S("{\"chunk\":"));
	MX_TRY(mx_events_write(&reader, members, b));
	mx_buf_str(b, MX_S("}"));
	return NULL;
}

enum { LOOK_BACK = 100 };	/* changes of one's own membership */

/* A token from before the room's first event names no state. The earliest that the asking user
 * could have seen is the one with which its own membership began. */
static mx_error *
first_root(const struct rooms_call *c, struct mx_room *room, struct mx_state_root *root)
{
	static const struct mx_state_root none;
	MX_AUTO(mx_event) *ev = NULL;

	MX_TRY(mx_room_state(c->rs, c->conn, room, MX_S("m.room.member"), c->who->user_id, &ev));
	for (int i = 0; ev != NULL && i < LOOK_BACK; i++) {
		struct mx_state_root before = mx_event_root_before(ev),
				     after = mx_event_root_after(ev);

		if (memcmp(&after, &none, sizeof(none)) != 0)
			*root = after;
		mx_event_unref(&ev);
		if (memcmp(&before, &none, sizeof(none)) != 0)
			MX_TRY(mx_state_get(c->rs, c->conn, before, MX_S("m.room.member"),
					    c->who->user_id, &ev));
	}
	return NULL;
}

static mx_error *
get_members(const struct rooms_call *c, struct mx_buf *b)
{
	static const struct mx_state_root none;
	MX_AUTO(mx_room) *room = NULL;
	enum mx_membership only, not;
	struct mx_events state = { 0 };
	struct mx_token at = { 0 };
	struct mx_state_root root;
	mx_str text;
	mx_error *e;

	MX_TRY(read_membership(c, "membership", &only));
	MX_TRY(read_membership(c, "not_membership", &not));
	if (mx_request_query(c->rq, "at", &text) && !mx_token_parse(text, &at))
		return mx_error_new(MX_E_INVALID_PARAM, "at is no token of this server");
	MX_TRY(rooms_find(c, &room));
	MX_TRY(readable_root(c, room, at.pos, &root));
	if (memcmp(&root, &none, sizeof(none)) == 0)
		MX_TRY(first_root(c, room, &root));
	e = mx_state_all(c->rs, c->conn, root, &state);
	if (e == NULL) {
		keep_members(&state, only, not);
		e = write_members(c, room, &state, b);
	}
	mx_events_clear(&state);
	return e;
}

enum mx_outcome rooms_get_members(struct mx_request *rq) { return run(rq, get_members); }

/* A string member of stored content, copied under another name; otherwise fallback, if it is
 * anything. */
static void
copy_string(struct mx_jw *w, mx_str content, mx_str from, mx_str to, mx_str fallback)
{
	mx_str raw;

	if (!mx_json_raw(content, from, &raw) || raw.n == 0 || raw.p[0] != '"')
		raw = fallback;
	if (raw.n == 0)
		return;
	mx_jw_key(w, to);
	mx_jw_raw(w, raw);
}

static void
write_joined(const struct mx_events *state, struct mx_buf *b)
{
	struct mx_jw w = mx_jw_on(b);

	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("joined"));
	mx_jw_object(&w);
	for (size_t i = 0; i < state->n; i++) {
		const struct mx_event *ev = state->v[i];

		if (mx_event_membership(ev) != MX_MEMBER_JOIN)
			continue;
		mx_jw_key(&w, mx_event_state_key(ev));
		mx_jw_object(&w);
		copy_string(&w, mx_event_content(ev), MX_S("displayname"), MX_S("display_name"),
			    MX_S(""));
		/* Clients expect it to be there; the specification wants a string. */
		copy_string(&w, mx_event_content(ev), MX_S("avatar_url"), MX_S("avatar_url"),
			    MX_S("\"\""));
		mx_jw_object_end(&w);
	}
	mx_jw_object_end(&w);
	mx_jw_object_end(&w);
}

static mx_error *
get_joined_members(const struct rooms_call *c, struct mx_buf *b)
{
	MX_AUTO(mx_room) *room = NULL;
	struct mx_events state = { 0 };
	struct mx_member self;
	mx_error *e;

	MX_TRY(rooms_find(c, &room));
	MX_TRY(rooms_member(c, room, c->who->user_id, &self));
	if (self.membership != MX_MEMBER_JOIN)
		return mx_error_new(MX_E_FORBIDDEN, "You are not in this room");
	e = mx_state_all(c->rs, c->conn, mx_room_root(room), &state);
	if (e == NULL)
		write_joined(&state, b);
	mx_events_clear(&state);
	return e;
}

enum mx_outcome
rooms_get_joined_members(struct mx_request *rq)
{
	return run(rq, get_joined_members);
}

/* ---- events and rooms ---- */

static mx_error *
get_event(const struct rooms_call *c, struct mx_buf *b)
{
	MX_AUTO(mx_room) *room = NULL;
	MX_AUTO(mx_event) *ev = NULL;
	struct mx_reader reader;
	bool visible = false;
	mx_error *e = rooms_find_known(c, &room);

	if (e == NULL)
		e = mx_event_get(c->rs, c->conn, mx_request_param(c->rq, "eventId"), &ev);
	if (e == NULL && mx_event_room(ev) == mx_room_nid(room) && mx_event_shown(ev))
		e = mx_event_as_seen(c->rs, c->conn, room, &ev, c->who->user, c->who->user_id,
				     &visible);
	if (e != NULL && !mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	if (!visible)
		return mx_error_new(MX_E_NOT_FOUND,
				    "There is no such event, or you may not see it");
	reader = mx_reader_of(c->rq, room);
	return mx_event_write(&reader, ev, b);
}

enum mx_outcome rooms_get_event(struct mx_request *rq) { return run(rq, get_event); }

static mx_error *
joined_rooms(const struct rooms_call *c, struct mx_buf *b)
{
	struct mx_jw w = mx_jw_on(b);
	struct mx_member *rooms;
	size_t n;

	MX_TRY(mx_user_rooms(c->rs, c->conn, c->who->user, c->arena, &rooms, &n));
	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("joined_rooms"));
	mx_jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		MX_AUTO(mx_room) *room = NULL;

		if (rooms[i].membership != MX_MEMBER_JOIN)
			continue;
		MX_TRY(mx_room_by_nid(c->rs, c->conn, rooms[i].room, &room));
		mx_jw_str(&w, mx_room_id(room));
	}
	mx_jw_array_end(&w);
	mx_jw_object_end(&w);
	return NULL;
}

enum mx_outcome rooms_joined_rooms(struct mx_request *rq) { return run(rq, joined_rooms); }
