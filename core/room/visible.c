/* Who may see which event. Client-Server API, "Room history visibility". */
#include "config.h"

#include "core/room/engine.h"
#include "core/room/erasure.h"

enum visibility { WORLD_READABLE, SHARED, INVITED, JOINED };

static enum visibility
visibility_of(const struct mx_event *ev)
{
	MX_AUTO_JSON *content = ev != NULL ? mx_event_content_parse(ev) : NULL;
	mx_str v =
		content != NULL ? mx_json_str(content, "history_visibility") : (mx_str){ NULL, 0 };

	if (mx_str_eq(v, MX_S("world_readable")))
		return WORLD_READABLE;
	if (mx_str_eq(v, MX_S("invited")))
		return INVITED;
	if (mx_str_eq(v, MX_S("joined")))
		return JOINED;
	return SHARED;		/* also when there is none, or one that nobody knows */
}

static mx_error *
visibility_at(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root,
	      enum visibility *out)
{
	MX_AUTO(mx_event) *ev = NULL;

	MX_TRY(mx_state_get(rs, c, root, MX_S("m.room.history_visibility"), MX_S(""), &ev));
	*out = visibility_of(ev);
	return NULL;
}

static mx_error *
membership_at(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root, mx_str user_id,
	      enum mx_membership *out)
{
	MX_AUTO(mx_event) *ev = NULL;

	*out = MX_MEMBER_NONE;
	MX_TRY(mx_state_get(rs, c, root, MX_S("m.room.member"), user_id, &ev));
	if (ev != NULL)
		*out = ev->membership;
	return NULL;
}

static bool
allows(enum visibility v, enum mx_membership m, bool joined_later)
{
	return v == WORLD_READABLE || m == MX_MEMBER_JOIN || (v == SHARED && joined_later) ||
	       (v == INVITED && m == MX_MEMBER_INVITE);
}

/* Whether the user is joined now, or was after this event until leaving. */
static mx_error *
joined_after(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const struct mx_member *m,
	     mx_str user_id, mx_nid nid, bool *out)
{
	enum mx_membership was;
	MX_AUTO(mx_event) *left = NULL;
	struct mx_state_root before;

	*out = m->membership == MX_MEMBER_JOIN;
	if (m->membership < MX_MEMBER_LEAVE || nid > mx_member_since(m))
		return NULL;
	MX_TRY(mx_event_by_nid(rs, c, m->event, &left));
	before = left->before;
	if (m->changed != 0 || left->forked)
		MX_TRY(mx_room_root_at(rs, c, r, mx_member_since(m) - 1, &before));
	MX_TRY(membership_at(rs, c, before, user_id, &was));
	*out = was == MX_MEMBER_JOIN;
	return NULL;
}

/* From which event on the history has been open to whoever joins, without a break up to now;
 * INT64_MAX when it is not now. */
static mx_error *
open_from(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_nid *out)
{
	enum { LOOK_BACK = 16 };
	struct mx_state_root root;

	pthread_mutex_lock(&r->lock);
	uint32_t facts = r->view.facts;

	*out = r->view.open_from;
	root = r->view.root;
	pthread_mutex_unlock(&r->lock);
	if (*out != 0)
		return NULL;
	*out = INT64_MAX;
	for (int i = 0; i < LOOK_BACK; i++) {
		MX_AUTO(mx_event) *ev = NULL;

		MX_TRY(mx_state_get(rs, c, root, MX_S("m.room.history_visibility"), MX_S(""), &ev));
		if (ev == NULL) {
			*out = INT64_MIN + 1;	/* shared by default since it was made */
			break;
		}
		if (visibility_of(ev) > SHARED)
			break;
		if (ev->outlier) {
			*out = 1;	/* it was so when we came; what it was before, who knows */
			break;
		}
		/* It was so before what we know of the room; what we know of the time before that
		 * is looked at one by one. */
		if (ev->outlier) {
			*out = 1;
			break;
		}
		/* The event itself may be seen when it is after it that it is allowed. */
		*out = ev->nid;
		root = ev->before;
	}
	pthread_mutex_lock(&r->lock);
	if (r->view.facts == facts)
		r->view.open_from = *out;
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

/* What is on a branch may have another state than the room had at its time. */
static bool
is_open(const struct mx_event *ev, mx_nid open)
{
	return ev->nid >= open && !ev->forked && mx_event_shown(ev);
}

static bool
is_own_membership(const struct mx_event *ev, mx_str user_id)
{
	return ev->state && user_id.n > 0 && mx_str_eq(mx_event_type(ev), MX_S("m.room.member")) &&
	       mx_str_eq(mx_event_state_key(ev), user_id);
}

static mx_error *
visible(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const struct mx_event *ev,
	const struct mx_member *m, mx_str user_id, bool *out)
{
	struct mx_state_root roots[2] = { ev->before, ev->after };
	bool later = false;

	*out = is_own_membership(ev, user_id);
	if (*out || mx_root_none(ev->after))
		return NULL;
	if (m->user != 0)
		MX_TRY(joined_after(rs, c, r, m, user_id, ev->nid, &later));
	/* Events that change who may see count as what is before or after them, whichever allows
	 * more. */
	for (size_t i = 0; i < 2 && !*out; i++) {
		enum visibility v;
		enum mx_membership was = MX_MEMBER_NONE;

		if (i == 0 && (mx_root_none(roots[0]) || mx_root_eq(roots[0], roots[1])))
			continue;
		MX_TRY(visibility_at(rs, c, roots[i], &v));
		if (m->user != 0 && v != WORLD_READABLE)
			MX_TRY(membership_at(rs, c, roots[i], user_id, &was));
		*out = allows(v, was, later);
	}
	return NULL;
}

static mx_error *
member_of(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_nid user,
	  struct mx_member *out)
{
	*out = (struct mx_member){ .room = r->nid };
	return user != 0 ? mx_room_member(rs, c, r, user, out) : NULL;
}

mx_error *
mx_event_visible(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
		 const struct mx_event *ev, mx_nid user, mx_str user_id, bool *out)
{
	struct mx_member m;
	mx_nid open;

	*out = false;
	if (!mx_event_shown(ev))
		return NULL;
	MX_TRY(member_of(rs, c, r, user, &m));
	if (m.membership == MX_MEMBER_JOIN) {
		MX_TRY(open_from(rs, c, r, &open));
		*out = is_open(ev, open);
	}
	return *out ? NULL : visible(rs, c, r, ev, &m, user_id, out);
}

/* ---- erased senders ---- */

struct seen {			/* what is known of a user and the erased senders in a room */
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_room *room;
	const struct mx_member *member;
	mx_str user_id;
	bool none_erased;		/* in the whole server */
	mx_pos at;			/* of the last one that was asked for */
	bool was_here;			/* the user was joined then */
};

/* Who was in the room when the sender was erased, or when the event was sent, could see it before. */
static mx_error *
saw_it(struct seen *s, const struct mx_event *ev, mx_pos at, bool *out)
{
	enum mx_membership m = MX_MEMBER_NONE;
	struct mx_state_root root;

	*out = false;
	if (s->member->user == 0)
		return NULL;
	if (s->at != at) {
		MX_TRY(mx_room_root_at(s->rs, s->conn, s->room, at, &root));
		MX_TRY(membership_at(s->rs, s->conn, root, s->user_id, &m));
		s->at = at;
		s->was_here = m == MX_MEMBER_JOIN;
	}
	*out = s->was_here;
	if (!*out) {
		MX_TRY(membership_at(s->rs, s->conn, ev->after, s->user_id, &m));
		*out = m == MX_MEMBER_JOIN;
	}
	return NULL;
}

static mx_error *
as_seen(struct seen *s, struct mx_event **evp)
{
	struct mx_event *ev = *evp;
	mx_pos at;
	bool saw;

	if (s->none_erased || ev->redacted || !mx_rooms_is_local(s->rs, mx_event_sender(ev)))
		return NULL;
	MX_TRY(mx_user_erased(s->rs, s->conn, ev->sender_nid, &at));
	if (at == 0)
		return NULL;
	MX_TRY(saw_it(s, ev, at, &saw));
	if (saw)
		return NULL;
	*evp = mx_event_redact(ev);
	mx_event_unref(&ev);
	return NULL;
}

mx_error *
mx_event_as_seen(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_event **ev,
		 mx_nid user, mx_str user_id, bool *out)
{
	struct mx_member m;
	struct seen s = { .rs = rs, .conn = c, .room = r, .member = &m, .user_id = user_id };

	MX_TRY(mx_event_visible(rs, c, r, *ev, user, user_id, out));
	if (!*out)
		return NULL;
	MX_TRY(member_of(rs, c, r, user, &m));
	return as_seen(&s, ev);
}

mx_error *
mx_events_filter_visible(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
			 struct mx_events *l, mx_nid user, mx_str user_id)
{
	struct mx_member m;
	struct seen s = { .rs = rs, .conn = c, .room = r, .member = &m, .user_id = user_id };
	mx_nid open = INT64_MAX;
	mx_error *e = NULL;
	size_t n = 0;

	if (l->n == 0)
		return NULL;
	MX_TRY(member_of(rs, c, r, user, &m));
	if (m.membership == MX_MEMBER_JOIN)
		MX_TRY(open_from(rs, c, r, &open));
	MX_TRY(mx_erasures_none(rs, c, &s.none_erased));
	for (size_t i = 0; i < l->n; i++) {
		bool keep = is_open(l->v[i], open);

		if (!keep && e == NULL && mx_event_shown(l->v[i]))
			e = visible(rs, c, r, l->v[i], &m, user_id, &keep);
		if (keep && e == NULL)
			e = as_seen(&s, &l->v[i]);
		if (keep && e == NULL)
			l->v[n++] = l->v[i];
		else
			mx_event_unref(&l->v[i]);
	}
	l->n = n;
	return e;
}

mx_error *
mx_room_readable(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_nid user,
		 mx_str user_id, bool *now, mx_pos *until)
{
	struct mx_member m;
	enum visibility v;
	bool was;

	*until = 0;
	MX_TRY(member_of(rs, c, r, user, &m));
	*now = m.membership == MX_MEMBER_JOIN;
	if (*now)
		return NULL;
	MX_TRY(visibility_at(rs, c, mx_room_root(r), &v));
	*now = v == WORLD_READABLE;
	if (*now || m.membership < MX_MEMBER_LEAVE || m.forgotten)
		return NULL;
	MX_TRY(joined_after(rs, c, r, &m, user_id, mx_member_since(&m), &was));
	if (was)
		*until = mx_member_since(&m);
	return NULL;
}
