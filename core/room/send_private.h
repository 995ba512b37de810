/* Making events, from inside: what is prepared and built (send_build.c), handed to the writer and
 * waited for (send.c), and the same for new rooms (create.c). */
#ifndef CORE_ROOM_SEND_PRIVATE_H
#define CORE_ROOM_SEND_PRIVATE_H

#include <semaphore.h>

#include "core/room/build.h"
#include "core/room/engine.h"

#define MX_SEND_MAX 1000	/* events of one call */
#define MX_SEND_MAX_FIRST 20000	/* of a new room: an upgrade carries its bans over */
#define MX_SEND_NEEDS 9		/* those of mx_rules_auth_types, and the create event */

struct work {			/* a draft on its way */
	const struct mx_draft *draft;
	json_t *content;	/* borrowed */
	mx_str canonical;
	mx_str redacts;
	mx_msec ts;		/* 0: now */
	struct mx_tree_key key;	/* of a state event */
	struct mx_need *needs;
	const struct mx_event *met[MX_SEND_NEEDS];
	size_t needs_n, auth_n;	/* the first auth_n are its auth events */
};

struct send {
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_arena *arena;
	struct work *works;
	struct mx_need *needs;
	size_t needs_n, n;
	struct mx_store store;
	uint64_t generation;
	sem_t landed;
	mx_error *error;
	const struct mx_along *along;	/* or NULL */
	struct send *other;		/* the events of along->other, or NULL */
	bool prepared;			/* of the other: its drafts are */
	bool crowded;			/* it cannot be built on the tip: mx_send_crowded */
	bool late;			/* mx_tip_enter_late was called for it */
	bool branched;			/* it was, and the room has more ends than an event may name */
	bool moved;			/* mx_send_write_late: the tip, in the batch that runs */
	/* of one whose request is held, or NULL: */
	struct mx_request *rq;
	mx_handler *then;
	struct mx_sent *out;
};

/* What the next event follows. */
struct last {
	size_t n;			/* 1 but for a new room, and where the room has several ends */
	mx_str id[MX_EVENT_MAX_PREV];
	unsigned char hash[MX_EVENT_MAX_PREV][MX_SHA256_SIZE];	/* where the room's events name it */
	int64_t depth;
};

/* ---- send_build.c ---- */
/* What would only fail on the writer's thread, where it throws away what others have built on it.
 */
mx_error *mx_send_check(const struct mx_draft *drafts, size_t n, size_t max) MX_MUST_USE;
/* Prepares s->n drafts, outside any lock. content: what stands for the first draft's, or NULL. Call
 * mx_send_end in any case. */
mx_error *mx_send_begin(struct send *s, const struct mx_draft *drafts, json_t *content) MX_MUST_USE;
void mx_send_drop(struct send *s);	/* what was built: to build it anew */
void mx_send_end(struct send *s);
/* Both with the lock of the tip held: builds all events on it, then moves it to the last of them, as
 * the write s->store.seq. */
mx_error *mx_send_build(struct send *s, struct last *last) MX_MUST_USE;
void mx_send_move_tip(struct send *s, const struct last *last);

/* ---- send_crowded.c ---- */
/* Makes and stores the one event of s, which names as many of the room's extremities as it may; the
 * others stay. Without any lock. */
mx_error *mx_send_crowded(struct send *s) MX_MUST_USE;

/* ---- send_late.c ---- */
/* Not what goes together with something else, nor what has to join branches first; and there is no
 * need for a new room. */
bool mx_send_may_be_late(const struct send *s);
/* Whether it had better begin so, because another process writes to the room these days. */
bool mx_send_contended(const struct send *s);
void mx_send_contend(struct mx_room *r);	/* it does */
/* Builds and stores s within a batch, in between mx_tip_enter_late and mx_tip_leave_late. */
mx_error *mx_send_write_late(struct mx_txn *tx, void *send) MX_MUST_USE;

/* ---- send.c ---- */
/* Builds, hands in and waits, again and again while the room moves on. */
mx_error *mx_send_attempts(struct send *s) MX_MUST_USE;

#endif
