#include "config.h"

#include "core/stream/impl.h"

#include <stdlib.h>

enum { SEAT_BYTES = sizeof(mx_nid) + sizeof(struct mx_seat) + sizeof(uint32_t) };

/* ---- halls: which present users are joined to a room ---- */

static void
hall_enter(struct mx_stream *s, mx_nid room, uint32_t slot)
{
	struct mx_hall *h = mx_nidmap_get(&s->halls, room);

	if (h == NULL) {
		h = mx_alloc(sizeof(*h));
		mx_nidmap_put(&s->halls, room, h);
	}
	if (h->n == h->room) {
		h->room = h->room == 0 ? 2 : 2 * h->room;
		h->slots = mx_realloc(h->slots, h->room, sizeof(*h->slots));
	}
	h->slots[h->n++] = slot;
}

static void
hall_leave(struct mx_stream *s, mx_nid room, uint32_t slot)
{
	struct mx_hall *h = mx_nidmap_get(&s->halls, room);

	for (size_t i = 0; h != NULL && i < h->n; i++)
		if (h->slots[i] == slot) {
			h->slots[i] = h->slots[--h->n];
			break;
		}
	if (h != NULL && h->n == 0) {
		mx_nidmap_del(&s->halls, room);
		free(h->slots);
		free(h);
	}
}

/* ---- users ---- */

struct mx_present *
mx_present_find(struct mx_stream *s, mx_nid user)
{
	return mx_nidmap_get(&s->users, user);
}

static void
lru_unlink(struct mx_stream *s, struct mx_present *u)
{
	*(u->newer != NULL ? &u->newer->older : &s->newest) = u->older;
	*(u->older != NULL ? &u->older->newer : &s->oldest) = u->newer;
}

static void
lru_push(struct mx_stream *s, struct mx_present *u)
{
	u->newer = NULL;
	u->older = s->newest;
	*(s->newest != NULL ? &s->newest->newer : &s->oldest) = u;
	s->newest = u;
}

void
mx_present_touch(struct mx_stream *s, struct mx_present *u)
{
	if (s->newest != u) {
		lru_unlink(s, u);
		lru_push(s, u);
	}
}

static uint32_t
slot_take(struct mx_stream *s)
{
	if (s->free_count > 0)
		return s->free_slots[--s->free_count];
	if (s->slot_count == s->slot_room) {
		size_t old = s->slot_room / 64;

		s->slot_room = s->slot_room == 0 ? 256 : 2 * s->slot_room;
		s->slots = mx_realloc(s->slots, s->slot_room, sizeof(*s->slots));
		s->free_slots = mx_realloc(s->free_slots, s->slot_room, sizeof(*s->free_slots));
		s->waiting = mx_realloc(s->waiting, s->slot_room / 64, sizeof(*s->waiting));
		memset(s->waiting + old, 0, (s->slot_room / 64 - old) * sizeof(*s->waiting));
	}
	return (uint32_t)s->slot_count++;
}

struct mx_present *
mx_present_make(struct mx_stream *s, mx_nid user)
{
	struct mx_present *u = mx_present_find(s, user);

	if (u == NULL) {
		u = mx_alloc(sizeof(*u));
		u->user = user;
		u->slot = slot_take(s);
		s->slots[u->slot] = u;
		mx_nidmap_put(&s->users, user, u);
		lru_push(s, u);
		s->present_bytes += sizeof(*u);
	}
	return u;
}

static void
rooms_drop(struct mx_stream *s, struct mx_present *u)
{
	for (size_t i = 0; i < u->n; i++)
		if (u->seats[i].membership == MX_MEMBER_JOIN)
			hall_leave(s, u->rooms[i], u->slot);
	s->present_bytes -= u->room * SEAT_BYTES;
	free(u->rooms);
	free(u->seats);
	u->rooms = NULL;
	u->seats = NULL;
	u->n = u->room = 0;
	u->known = false;
}

static void
present_free(struct mx_stream *s, struct mx_present *u)
{
	rooms_drop(s, u);
	lru_unlink(s, u);
	mx_nidmap_del(&s->users, u->user);
	s->slots[u->slot] = NULL;
	s->free_slots[s->free_count++] = u->slot;
	s->present_bytes -= sizeof(*u);
	free(u);
}

void
mx_present_trim(struct mx_stream *s)
{
	struct mx_present *u = s->oldest, *newer;

	/* Who waits or is being loaded stays; a bounded walk, so that many who wait do not make it
	 * long. */
	for (int steps = 0;
	     u != NULL && steps < 64 && s->present_bytes > (size_t)s->opt.present_cache.bytes;
	     steps++) {
		newer = u->newer;
		if (u->waiters == NULL && u->loads == 0 && u != s->newest)
			present_free(s, u);
		else
			mx_present_touch(s, u);
		u = newer;
	}
}

void
mx_present_close(struct mx_stream *s)
{
	while (s->newest != NULL)
		present_free(s, s->newest);
	mx_nidmap_clear(&s->users);
	mx_nidmap_clear(&s->halls);
	free(s->slots);
	free(s->free_slots);
	free(s->waiting);
}

/* ---- seats ---- */

static size_t
seat_index(const struct mx_present *u, mx_nid room)
{
	size_t low = 0, high = u->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (u->rooms[mid] < room)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct mx_seat *
mx_present_seat(const struct mx_present *u, mx_nid room)
{
	size_t i = seat_index(u, room);

	return i < u->n && u->rooms[i] == room ? &u->seats[i] : NULL;
}

static void
seats_reserve(struct mx_stream *s, struct mx_present *u, size_t n)
{
	if (n <= u->room)
		return;
	size_t room = u->room == 0 && n <= 4 ? 4 : n + n / 2;

	u->rooms = mx_realloc(u->rooms, room, sizeof(*u->rooms));
	u->seats = mx_realloc(u->seats, room, sizeof(*u->seats));
	s->present_bytes += (room - u->room) * SEAT_BYTES;
	u->room = room;
}

static void
seat_set(struct mx_stream *s, struct mx_present *u, const struct mx_member *m)
{
	size_t i = seat_index(u, m->room);
	bool was = false;

	if (i < u->n && u->rooms[i] == m->room) {
		was = u->seats[i].membership == MX_MEMBER_JOIN;
	} else {
		seats_reserve(s, u, u->n + 1);
		memmove(u->rooms + i + 1, u->rooms + i, (u->n - i) * sizeof(*u->rooms));
		memmove(u->seats + i + 1, u->seats + i, (u->n - i) * sizeof(*u->seats));
		u->n++;
		u->rooms[i] = m->room;
	}
	u->seats[i] = (struct mx_seat){ m->event, m->changed, (uint8_t)m->membership, m->forgotten };
	if (!was && m->membership == MX_MEMBER_JOIN)
		hall_enter(s, m->room, u->slot);
	if (was && m->membership != MX_MEMBER_JOIN)
		hall_leave(s, m->room, u->slot);
}

/* ---- what the room engine calls ---- */

static struct mx_member
seat_member(const struct mx_present *u, size_t i)
{
	return (struct mx_member){
		.user = u->user, .room = u->rooms[i], .membership = u->seats[i].membership,
		.event = u->seats[i].event, .forgotten = u->seats[i].forgotten,
		.changed = u->seats[i].changed,
	};
}

bool
mx_stream_rooms(struct mx_stream *s, mx_nid user, struct mx_arena *a, struct mx_member **out,
		size_t *n)
{
	pthread_mutex_lock(&s->lock);
	struct mx_present *u = mx_present_find(s, user);
	bool known = u != NULL && u->known;

	if (known) {
		mx_present_touch(s, u);
		*n = u->n;
		*out = mx_arena_alloc(a, (u->n + 1) * sizeof(**out));
		for (size_t i = 0; i < u->n; i++)
			(*out)[i] = seat_member(u, i);
	}
	pthread_mutex_unlock(&s->lock);
	return known;
}

bool
mx_stream_room_of(struct mx_stream *s, mx_nid user, mx_nid room, struct mx_member *out)
{
	pthread_mutex_lock(&s->lock);
	struct mx_present *u = mx_present_find(s, user);
	bool known = u != NULL && u->known;

	if (known) {
		const struct mx_seat *seat = mx_present_seat(u, room);

		*out = seat != NULL ? seat_member(u, (size_t)(seat - u->seats)) :
				      (struct mx_member){ .user = user, .room = room };
	}
	pthread_mutex_unlock(&s->lock);
	return known;
}

void
mx_stream_load_begin(struct mx_stream *s, mx_nid user)
{
	pthread_mutex_lock(&s->lock);
	struct mx_present *u = mx_present_make(s, user);

	if (u->loads++ == 0)
		u->changed = false;
	mx_present_touch(s, u);
	pthread_mutex_unlock(&s->lock);
}

bool
mx_stream_load_end(struct mx_stream *s, mx_nid user, const struct mx_member *members, size_t n)
{
	pthread_mutex_lock(&s->lock);
	struct mx_present *u = mx_present_find(s, user);
	bool fresh = !u->changed;

	u->loads--;
	if (members != NULL && fresh && !u->known) {
		seats_reserve(s, u, n);
		for (size_t i = 0; i < n; i++)
			seat_set(s, u, &members[i]);
		u->known = true;
		if (u->waiters != NULL)
			s->unknown_waiting--;
	}
	mx_present_trim(s);
	pthread_mutex_unlock(&s->lock);
	return fresh;
}

void
mx_stream_member_changed(struct mx_stream *s, const struct mx_member *m)
{
	pthread_mutex_lock(&s->lock);
	struct mx_present *u = mx_present_find(s, m->user);

	if (u != NULL) {
		u->changed = true;
		if (u->known)
			seat_set(s, u, m);
	}
	pthread_mutex_unlock(&s->lock);
}

void
mx_stream_forget_rooms(struct mx_stream *s)
{
	pthread_mutex_lock(&s->lock);
	for (struct mx_present *u = s->newest; u != NULL; u = u->older) {
		if (u->known && u->waiters != NULL)
			s->unknown_waiting++;
		rooms_drop(s, u);
		u->changed = true;
	}
	pthread_mutex_unlock(&s->lock);
}

/* ---- whom an item concerns ---- */

/* Whether two present users share a room; true when it cannot be known from here. */
static bool
share(const struct mx_present *a, const struct mx_present *b)
{
	if (a == NULL || b == NULL || !a->known || !b->known || a == b)
		return true;
	for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
		if (a->rooms[i] < b->rooms[j]) {
			i++;
		} else if (a->rooms[i] > b->rooms[j]) {
			j++;
		} else {
			if (a->seats[i].membership == MX_MEMBER_JOIN &&
			    b->seats[j].membership == MX_MEMBER_JOIN)
				return true;
			i++;
			j++;
		}
	}
	return false;
}

bool
mx_item_concerns(struct mx_stream *s, const struct mx_present *u, const struct mx_item *item)
{
	const struct mx_seat *seat;

	switch (item->kind) {
	case MX_ITEM_EVENT:
	case MX_ITEM_RECEIPT:
	case MX_ITEM_TYPING:
		if (item->user == u->user && item->kind == MX_ITEM_EVENT)
			return true;	/* a membership event about this user */
		seat = mx_present_seat(u, item->room);
		if (seat == NULL)
			return false;
		/* Who has left gets what came before. */
		return seat->membership == MX_MEMBER_JOIN ||
		       (!item->ephemeral && seat->membership >= MX_MEMBER_LEAVE &&
			item->pos <= seat->event);
	case MX_ITEM_DEVICE_LIST:
	case MX_ITEM_PRESENCE:
		return share(mx_present_find(s, item->user), u);
	default:
		return item->user == u->user;
	}
}
