/* Which rooms have news: by the items that memory has since the token, or else by asking each room
 * of the user. */
#include "sync.h"

#include <stdlib.h>

/* How the user stood to the room at the token. */
static mx_error *
membership_before(struct sync *s, struct mx_room *room, enum mx_membership *out)
{
	MX_AUTO(mx_event) *member = NULL;
	struct mx_state_root root;

	*out = MX_MEMBER_NONE;
	if (s->initial)
		return NULL;
	MX_TRY(mx_room_root_at(s->rs, s->conn, room, s->since.pos, &root));
	MX_TRY(mx_state_get(s->rs, s->conn, root, MX_S("m.room.member"), s->who->user_id, &member));
	if (member != NULL)
		*out = mx_event_membership(member);
	return NULL;
}

static mx_error *
write_room(struct sync *s, struct sync_room *r)
{
	bool changed = mx_member_since(&r->member) > s->since.pos;

	if (r->member.membership == MX_MEMBER_NONE || mx_member_since(&r->member) > s->upto.pos ||
	    (r->member.forgotten && !changed))
		return NULL;
	r->before = r->member.membership;
	if (changed)
		MX_TRY(membership_before(s, r->room, &r->before));
	switch (r->member.membership) {
	case MX_MEMBER_JOIN:
		r->fresh = s->initial || r->before != MX_MEMBER_JOIN;
		return sync_room_joined(s, r);
	case MX_MEMBER_INVITE:
		return changed ? sync_room_invited(s, r) : NULL;
	case MX_MEMBER_KNOCK:
		return changed ? sync_room_knocked(s, r) : NULL;
	case MX_MEMBER_LEAVE:
	case MX_MEMBER_BAN:
		r->fresh = s->initial || r->before != MX_MEMBER_JOIN;
		if (s->initial ? s->filter->include_leave : changed)
			return sync_room_left(s, r);
		return NULL;
	case MX_MEMBER_NONE:
		break;
	}
	return NULL;
}

static mx_error *
one_room(struct sync *s, mx_nid nid, const struct mx_member *member, const struct mx_item *items,
	 size_t n)
{
	MX_AUTO(mx_room) *room = NULL;
	struct sync_room r = { .items = items, .item_count = n };

	MX_TRY(mx_room_by_nid(s->rs, s->conn, nid, &room));
	if (!mx_filter_room(s->filter->rooms, mx_room_id(room)))
		return NULL;
	r.room = room;
	if (member != NULL)
		r.member = *member;
	else
		MX_TRY(mx_room_member(s->rs, s->conn, room, s->who->user, &r.member));
	return write_room(s, &r);
}

/* ---- by the items ---- */

static int
by_room(const void *a, const void *b)
{
	const struct mx_item *x = a, *y = b;

	if (x->room != y->room)
		return x->room < y->room ? -1 : 1;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static mx_error *
rooms_of_items(struct sync *s)
{
	struct mx_item *sorted = mx_arena_alloc(s->arena, (s->item_count + 1) * sizeof(*sorted));

	if (s->item_count > 0)
		memcpy(sorted, s->items, s->item_count * sizeof(*sorted));
	qsort(sorted, s->item_count, sizeof(*sorted), by_room);
	for (size_t i = 0, n; i < s->item_count; i += n) {
		for (n = 1; i + n < s->item_count && sorted[i + n].room == sorted[i].room; n++)
			;
		if (sorted[i].room != 0)
			MX_TRY(one_room(s, sorted[i].room, NULL, &sorted[i], n));
	}
	return NULL;
}

/* ---- by asking ---- */

/* Whether a room may be passed over unread: it said nothing since, or the user left it long ago. */
static bool
is_old(const struct sync *s, const struct mx_member *m)
{
	if (m->membership == MX_MEMBER_NONE)
		return true;
	if (s->initial)
		return m->forgotten ||
		       ((m->membership == MX_MEMBER_LEAVE || m->membership == MX_MEMBER_BAN) &&
			!s->filter->include_leave);
	return m->membership != MX_MEMBER_JOIN && mx_member_since(m) <= s->since.pos;
}

/* Modules may read for several at once. Only of joined ones they are asked. */
static void
name_rooms(struct sync *s, const struct mx_member *list, size_t n)
{
	mx_nid *rooms = mx_arena_alloc(s->arena, (n + 1) * sizeof(*rooms));

	for (size_t i = 0; i < n; i++)
		if (list[i].membership == MX_MEMBER_JOIN && !is_old(s, &list[i]))
			rooms[s->room_count++] = list[i].room;
	s->rooms = rooms;
}

static mx_error *
rooms_of_user(struct sync *s)
{
	struct mx_member *list = NULL;
	size_t n = 0;

	MX_TRY(mx_user_rooms(s->rs, s->conn, s->who->user, s->arena, &list, &n));
	name_rooms(s, list, n);
	for (size_t i = 0; i < n; i++)
		if (!is_old(s, &list[i]))
			MX_TRY(one_room(s, list[i].room, &list[i], NULL, 0));
	return NULL;
}

mx_error *
sync_rooms(struct sync *s)
{
	return s->known && !s->full_state ? rooms_of_items(s) : rooms_of_user(s);
}
