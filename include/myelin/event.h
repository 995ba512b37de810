/* Events. An event is parsed once, when it enters, is kept as canonical JSON, and leaves by copying
 * those bytes. What the server asks of it often stands beside the bytes. Immutable and
 * reference-counted; any thread may hold one. Client-Server API, "Events"; Server-Server API,
 * "PDUs". */
#ifndef MYELIN_EVENT_H
#define MYELIN_EVENT_H

#include <myelin/error.h>
#include <myelin/json.h>

struct mx_event;
struct mx_room_version;

enum mx_membership {
	MX_MEMBER_NONE = 0,
	MX_MEMBER_INVITE = 1,
	MX_MEMBER_JOIN = 2,
	MX_MEMBER_KNOCK = 3,
	MX_MEMBER_LEAVE = 4,
	MX_MEMBER_BAN = 5,
};

MX_API const char *mx_membership_name(enum mx_membership m);	/* "join" …; NULL for none */
MX_API enum mx_membership mx_membership_of(mx_str name);		/* MX_MEMBER_NONE for anything else */

MX_API struct mx_event *mx_event_ref(struct mx_event *ev);
MX_API void mx_event_unref(struct mx_event **ev);
static inline void mx_event_auto(struct mx_event **ev) { mx_event_unref(ev); }

/* All borrowed from the event. */
MX_API mx_nid mx_event_nid(const struct mx_event *ev);	/* its stream position; < 0: backfilled; 0: not stored yet */
MX_API mx_nid mx_event_room(const struct mx_event *ev);
MX_API mx_str mx_event_room_id(const struct mx_event *ev);
MX_API mx_str mx_event_id(const struct mx_event *ev);
MX_API mx_str mx_event_type(const struct mx_event *ev);
MX_API mx_str mx_event_sender(const struct mx_event *ev);
MX_API bool mx_event_is_state(const struct mx_event *ev);
MX_API mx_str mx_event_state_key(const struct mx_event *ev);	/* {NULL, 0} when it is no state event */
MX_API mx_msec mx_event_ts(const struct mx_event *ev);	/* origin_server_ts */
MX_API int64_t mx_event_depth(const struct mx_event *ev);
MX_API enum mx_membership mx_event_membership(const struct mx_event *ev);	/* of an m.room.member */
MX_API mx_str mx_event_json(const struct mx_event *ev);	/* canonical, as stored: the federation format */
MX_API mx_str mx_event_content(const struct mx_event *ev);	/* the bytes of content */
/* The content as a tree that the caller owns. */
MX_API json_t *mx_event_content_parse(const struct mx_event *ev);
MX_API mx_str mx_event_redacts(const struct mx_event *ev);	/* of an m.room.redaction, where its version keeps it */
MX_API bool mx_event_redacted(const struct mx_event *ev);
MX_API bool mx_event_soft_failed(const struct mx_event *ev);
MX_API bool mx_event_rejected(const struct mx_event *ev);
/* Whether it may stand in a timeline: neither rejected nor soft failed, not known from a state alone,
 * and nothing that only servers look at. */
MX_API bool mx_event_shown(const struct mx_event *ev);
MX_API const struct mx_room_version *mx_event_version(const struct mx_event *ev);

/* The relation in content.m.relates_to: false when there is none. */
MX_API bool mx_event_relation(const struct mx_event *ev, mx_str *rel_type, mx_str *event_id);

/* How a client gets an event. */
struct mx_event_view {
	bool with_room_id;		/* not in /sync */
	mx_nid device;			/* for unsigned.transaction_id: only the sending device sees it */
	enum mx_membership membership;	/* unsigned.membership: the reader's at the event; NONE leaves it out */
	const struct mx_event *previous;	/* unsigned.prev_content, replaces_state; NULL leaves them out */
	const struct mx_event *redaction;	/* unsigned.redacted_because; NULL leaves it out */
	mx_str unsigned_more;		/* members to add to unsigned: `"m.relations":{…}`; empty for none */
};
/* The client format, onto b: content, event_id, origin_server_ts, sender, state_key, type, room_id,
 * unsigned with age; redacts both at the top and in content, whatever the room version. Copies
 * bytes; parses nothing. */
MX_API void mx_event_client(const struct mx_event *ev, const struct mx_event_view *view,
			    struct mx_buf *b);
/* Stripped state: type, state_key, content, sender (Client-Server API, "Stripped state"). */
MX_API void mx_event_stripped(const struct mx_event *ev, struct mx_buf *b);

#endif
