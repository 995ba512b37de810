/* What a module adds to /sync. client-sync owns the answer; the hook sync_section (hooks.def) lets
 * every module write its part straight into it: events of a section as JSON objects, or members at
 * the places that are open for them. */
#ifndef MYELIN_SYNC_H
#define MYELIN_SYNC_H

#include <myelin/room.h>

struct mx_sync;

enum mx_sync_section {
	MX_SYNC_ACCOUNT_DATA = 0,	/* events in account_data.events */
	MX_SYNC_PRESENCE = 1,		/* events in presence.events */
	MX_SYNC_TO_DEVICE = 2,		/* events in to_device.events */
	MX_SYNC_TOP = 3,		/* members of the answer: device_lists, device_one_time_keys_count … */
	MX_SYNC_ROOM_ACCOUNT_DATA = 4,	/* events in the room's account_data.events */
	MX_SYNC_ROOM_EPHEMERAL = 5,	/* events in the room's ephemeral.events */
	MX_SYNC_ROOM_TOP = 6,		/* members of the joined room: unread_notifications … */
};

/* One answer in the making, as client-sync fills it in. New members go to the end. */
struct mx_sync {
	uint32_t size;
	struct mx_request *rq;
	struct mx_token since, upto;
	struct mx_room *room;		/* of the room sections, else NULL */
	const struct mx_item *items;	/* what concerns this user (and this room) in the range … */
	size_t item_count;
	bool known;			/* … when it is known from memory */
	bool (*wants)(const struct mx_sync *s, enum mx_sync_section section, mx_str type,
		      mx_str sender);
	const void *owner;
	mx_error **failure;		/* what mx_sync_fail was told first */
	const mx_nid *rooms;		/* of an answer that looks at all rooms of a user: joined ones with one `since`, ascending … */
	size_t room_count;		/* … else 0 */
	struct mx_sync_memo **memos;	/* mx_sync_memo's */
};

static inline struct mx_request *mx_sync_request(const struct mx_sync *s) { return s->rq; }
/* What is asked for: since < position <= upto. since is 0 for an initial sync, and for a room that
 * is new to the user. */
static inline struct mx_token mx_sync_since(const struct mx_sync *s) { return s->since; }
static inline struct mx_token mx_sync_upto(const struct mx_sync *s) { return s->upto; }
/* The room of the room sections, else NULL. */
static inline struct mx_room *mx_sync_room(const struct mx_sync *s) { return s->room; }

/* Whether some item of this kind may be in the range: false spares the query. When the items are
 * known from memory, a module whose kind is not among them adds nothing and asks nothing; else it
 * must ask its tables. */
static inline bool
mx_sync_may_have(const struct mx_sync *s, enum mx_item_kind kind)
{
	if (!s->known)
		return true;
	for (size_t i = 0; i < s->item_count; i++)
		if (s->items[i].kind == kind)
			return true;
	return false;
}

/* A section that cannot be read makes the whole answer fail: the token must not pass what was not
 * sent. Takes e. */
static inline void
mx_sync_fail(const struct mx_sync *s, mx_error *e)
{
	if (*s->failure == NULL)
		*s->failure = e;
	else
		mx_error_free(&e);
}

/* Whether the filter lets an event of this type (and sender, or empty) into the section. */
static inline bool
mx_sync_wants(const struct mx_sync *s, enum mx_sync_section section, mx_str type, mx_str sender)
{
	return s->wants(s, section, type, sender);
}

/* What a module has read for several rooms of one answer at once. */
struct mx_sync_memo {
	struct mx_sync_memo *next;
	const struct mx_module_self *self;
	void *p;
};

/* The module's own place in this answer, empty at first; what it points to lies in the request's arena.
 * NULL where the answer has none. */
static inline void **
mx_sync_memo(const struct mx_sync *s, const struct mx_module_self *self)
{
	struct mx_sync_memo *m;

	if (s->size < sizeof(*s) || s->memos == NULL)
		return NULL;
	for (m = *s->memos; m != NULL; m = m->next)
		if (m->self == self)
			return &m->p;
	m = (struct mx_sync_memo *)mx_arena_alloc(mx_request_arena(s->rq), sizeof(*m));
	m->next = *s->memos;
	m->self = self;
	*s->memos = m;
	return &m->p;
}

/* Where the room of the view stands among s->rooms; -1 when it does not. Rooms are asked of in that
 * order. */
static inline long
mx_sync_room_index(const struct mx_sync *s)
{
	size_t low = 0, high = s->size < sizeof(*s) ? 0 : s->room_count;
	mx_nid room = mx_room_nid(s->room);

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->rooms[middle] == room)
			return (long)middle;
		if (s->rooms[middle] < room)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

#endif
