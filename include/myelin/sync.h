/* What a module adds to /sync. client-sync owns the answer; the hook sync_section (hooks.def) lets every module write its
 * part straight into it: events of a section as JSON objects, or members at the places that are open for them. */
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

MX_API struct mx_request *mx_sync_request(const struct mx_sync *s);
MX_API const struct mx_auth *mx_sync_auth(const struct mx_sync *s);
MX_API struct mx_conn *mx_sync_conn(const struct mx_sync *s);
/* What is asked for: since < position <= upto. since is 0 for an initial sync, and for a room that is new to the user. */
MX_API struct mx_token mx_sync_since(const struct mx_sync *s);
MX_API struct mx_token mx_sync_upto(const struct mx_sync *s);
/* The room of the room sections, else NULL. */
MX_API struct mx_room *mx_sync_room(const struct mx_sync *s);
/* The items that concern this user (and this room) within the range, when they are known from memory; *known is false
 * when the module must ask its tables. A module whose kind of item is not among known items adds nothing, and asks nothing. */
MX_API const struct mx_item *mx_sync_items(const struct mx_sync *s, size_t *n, bool *known);
/* Whether some item of this kind (in this room) may be new: false spares the query. */
MX_API bool mx_sync_may_have(const struct mx_sync *s, enum mx_item_kind kind);
/* Whether the filter lets an event of this type (and sender, or empty) into the section. */
MX_API bool mx_sync_wants(const struct mx_sync *s, mx_str type, mx_str sender);

#endif
