/* The stream: every change that anyone can observe takes the next position of one sequence, inside
 * the write that makes it. A sync token is a position. The newest items stay in memory in a ring,
 * so that "what is new after N" is answered without the database as long as N is not too old. Kinds
 * of items belong to whoever writes them.
 *
 * Typing and other passing things have no row: they take ephemeral positions of a second sequence,
 * which is each process's own but goes by the clock, and is never behind what another process has
 * told of its own, so that it runs backwards neither when a process starts anew nor when a client is
 * balanced to another one. A token carries both:
 * "s123_456". */
#ifndef MYELIN_STREAM_H
#define MYELIN_STREAM_H

#include <myelin/request.h>
#include <myelin/sql.h>

struct mx_stream;
struct mx_event;

enum mx_item_kind {
	MX_ITEM_EVENT = 1,		/* room, event */
	MX_ITEM_ACCOUNT_DATA = 2,	/* user; room or 0 */
	MX_ITEM_RECEIPT = 3,		/* room, user */
	MX_ITEM_TYPING = 4,		/* room; ephemeral */
	MX_ITEM_PROFILE = 5,		/* user */
	MX_ITEM_TO_DEVICE = 6,		/* user, device */
	MX_ITEM_DEVICE_LIST = 7,	/* user */
	MX_ITEM_PRESENCE = 8,		/* user; ephemeral */
	MX_ITEM_KEYS = 9,		/* user, device: one-time key counts */
	MX_ITEM_PRIVATE_RECEIPT = 10,	/* room, user: for this user alone */
	MX_ITEM_ACCOUNT = 11,		/* user: locked, logged out, deactivated: caches forget it */
	MX_ITEM_MEMBERSHIP = 12,	/* room, user: beside the m.room.member event, for who is not (yet) joined */
};

struct mx_item {
	mx_pos pos;
	enum mx_item_kind kind;
	bool ephemeral;			/* pos counts in the second sequence */
	mx_nid room, user, device;	/* 0 where the kind has none */
	struct mx_event *event;		/* a reference, for MX_ITEM_EVENT */
};

struct mx_token {
	mx_pos pos, ephemeral;
};

/* "s123_456"; false for anything else. */
MX_API bool mx_token_parse(mx_str text, struct mx_token *out);
MX_API void mx_token_write(struct mx_token t, struct mx_buf *b);

/* Announces an item with the transaction: it is in the ring and wakes its waiters once the batch is
 * durable, before the caller of mx_write returns. item->pos must come from mx_txn_pos of tx.
 * Copied. */
MX_API void mx_stream_publish(struct mx_stream *s, struct mx_txn *tx, const struct mx_item *item);
/* Announces an ephemeral item now; gives it its position. */
MX_API mx_pos mx_stream_announce(struct mx_stream *s, const struct mx_item *item);

/* How far the stream is published: everything up to here can be read. */
MX_API struct mx_token mx_stream_head(struct mx_stream *s);

/* What is new: copies up to max items with since < position <= upto that concern this user (rooms:
 * those that the user is or was joined to in the meantime, by the notifier's knowledge; items for
 * the user itself) into out, oldest first, events referenced: release with mx_items_release.
 * *complete is false when the ring does not reach back to since or more than max matched: then ask
 * the database. */
MX_API size_t mx_stream_since(struct mx_stream *s, mx_nid user, struct mx_token since,
			      struct mx_token upto, struct mx_item *out, size_t max,
			      bool *complete);
MX_API void mx_items_release(struct mx_item *items, size_t n);

/* Parks rq until an item concerns the user past `seen` (what this run of the handler has looked
 * at), or for max_wait; return its value from the handler, which then runs again. Call with no lock
 * held. Client-Server API, "Syncing". */
MX_API enum mx_outcome mx_stream_park(struct mx_stream *s, struct mx_request *rq, mx_nid user,
				      struct mx_token seen, mx_msec max_wait);
/* Wakes every request that this user (device: or only this device) has parked: it was logged out.
 */
MX_API void mx_stream_wake_user(struct mx_stream *s, mx_nid user, mx_nid device);

#endif
