/* The room engine from inside. What one room is in memory has three faces, each with a guard of its
 * own:
 *
 *	view	what is durable and shown: moved on by the writer's thread after each commit, read
 *		by anybody (room->lock)
 *	tip	where the next event goes: ahead of the view by what is in flight to the writer
 *		(tip->lock)
 *	writer	what the running batch has made of the room so far: the writer's thread only, no
 *		lock
 *
 * tip->lock may be held when room->lock is taken, never the other way round; neither is held across
 * I/O. */
#ifndef CORE_ROOM_ENGINE_H
#define CORE_ROOM_ENGINE_H

#include <myelin/federation.h>

#include "core/room/event_cache.h"
#include "core/room/power.h"
#include "core/room/rooms.h"
#include "core/room/rules.h"
#include "core/room/tree.h"
#include "core/stream/nidmap.h"
#include "core/stream/stream.h"

#include <pthread.h>
#include <stdatomic.h>

#define MX_EVENT_ID_MAX 255
#define MX_WARM_ROOMS 128
#define MX_CREATE_TIMES 64

/* An entry of the state that new events are judged by. */
struct mx_memo {
	struct mx_tree_key key;
	struct mx_event *event;		/* a reference; NULL: there is none */
	uint64_t seq;			/* of the write in flight that made it; 0: loaded */
	enum { MX_MEMO_FREE = 0, MX_MEMO_LOADING, MX_MEMO_KNOWN } state;
};

/* An event that no accepted one names as its prev_event yet. */
struct mx_extremity {
	mx_nid nid;
	int64_t depth;
	struct mx_state_root after;
	char *id;
	unsigned char hash[MX_SHA256_SIZE];	/* its reference hash, where events name that too */
};
struct mx_extremities {			/* newest first */
	struct mx_extremity *v;
	size_t n;
};

struct mx_tip {
	pthread_mutex_t lock;
	pthread_cond_t landed;		/* nothing is in flight any more */
	bool loaded;
	uint64_t generation;		/* grows when a write has failed and the tip was thrown away */
	uint64_t seq;			/* of the last write handed in */
	_Atomic size_t in_flight;	/* grows under the lock */
	_Atomic size_t waiting;		/* for none to be in flight */
	bool closed;			/* events of other servers are being taken in: nobody may send */
	size_t queue;			/* who waits for it to be opened */
	size_t late;			/* closed for these: they build on the writer's thread */
	_Atomic int64_t contended;	/* mx_monotonic_us until when everybody here does */
	uint32_t foreign;		/* the view's when the tip was loaded */
	char last_id[MX_EVENT_ID_MAX + 1];	/* the newest event: the one forward extremity */
	unsigned char last_hash[MX_SHA256_SIZE];	/* its reference hash, where events name that too */
	struct mx_extremities forks;	/* unless there are several: these */
	int64_t depth;
	struct mx_memo *memo;		/* a hash table with linear probing */
	size_t memo_n, memo_room;
	struct mx_power *power;		/* of power_event and the create event */
	struct mx_event *power_event;	/* a reference; NULL: by the defaults */
};

struct mx_room_view {
	mx_pos last;			/* of the newest accepted event */
	char last_id[MX_EVENT_ID_MAX + 1];
	unsigned char last_hash[MX_SHA256_SIZE];	/* as in the tip */
	int64_t depth;
	struct mx_extremities forks;	/* n 0: last_id is the only forward extremity */
	uint64_t seq;			/* writes of this process that are durable */
	struct mx_state_root root;
	int64_t joined, invited;
	uint32_t foreign;		/* which of the room's foreign changes this has seen */
	mx_nid *tail;			/* the newest events of the timeline, oldest first */
	size_t tail_n, tail_room;
	mx_nid tail_floor;		/* every event after this one is in the tail */
	uint32_t backfills;		/* grows when there is more in front of the timeline */
	struct mx_power *power;		/* parsed when first asked for; NULL: not yet */
	mx_nid open_from;		/* from this event on, who is joined sees everything; 0: not known yet */
	struct mx_kept_summary *summary;	/* of root, when it was asked for; NULL: not known */
	uint32_t facts;			/* grows when power, open_from or summary is forgotten */
};

struct mx_room {
	_Atomic uint32_t refs;
	struct mx_rooms *rs;
	mx_nid nid;
	char *id;
	size_t id_n;
	const struct mx_room_version *version;

	pthread_mutex_t lock;
	struct mx_room_view view;
	_Atomic uint32_t foreign;	/* grows when another process has written */

	struct mx_tip tip;

	struct {			/* the writer's thread only */
		bool valid;
		uint32_t foreign;
		uint64_t seq;
		struct mx_state_root root;
		bool stored_known;
		struct mx_delta stored;	/* how root is stored */
		size_t late;		/* of the batch that runs: writes that were built within it */
	} w;

	/* in the cache of rooms, guarded by its lock */
	struct mx_room *newer, *older;
	bool cached, loading;
};

struct mx_txn_table;
struct mx_crews;
struct mx_acl_cache;
struct mx_erasures;

struct mx_version_choice {	/* of who makes a room */
	const struct mx_room_version *v[MX_ROOM_VERSIONS];	/* oldest first; then NULL */
	const struct mx_room_version *usual;
};

struct mx_rooms {
	struct mx_db *db;
	struct mx_stream *stream;
	const struct mx_signing_key *key;
	char *server;
	size_t server_n;
	struct mx_rooms_options opt;
	struct mx_version_choice versions;
	mx_error *(*event_check)(void *arg, struct mx_room *room, const struct mx_draft *draft);
	void (*event_stored)(void *arg, struct mx_event *event);
	void *arg;
	mx_verify_key_fn *verify_key;	/* NULL: only our own key is known */
	void *verify_arg;
	struct mx_crews *crews;
	struct mx_acl_cache *acls;
	struct mx_erasures *erasures;

	struct mx_node_cache *nodes;
	struct mx_event_cache *events;
	struct mx_txn_table *txns;
	struct mx_cover_recent *covers;
	struct mx_merge_memory *merges;

	pthread_mutex_t lock;		/* guards the cache of rooms */
	pthread_cond_t loaded;
	struct mx_nidmap by_nid;
	struct mx_room *newest, *oldest;
	size_t room_count;
	struct mx_room *warm[MX_WARM_ROOMS];	/* references: rooms whose tips are in memory */
	size_t warm_next;

	_Atomic mx_msec create_ts[MX_CREATE_TIMES];	/* of the last room that users of this bucket made */
	_Atomic uint64_t sent, conflicts;
	_Atomic uint64_t arrived[MX_FATE_COUNT][MX_REASON_COUNT];
};

static inline mx_str
mx_rooms_server(const struct mx_rooms *rs)
{
	return (mx_str){ rs->server, rs->server_n };
}
static inline bool
mx_rooms_is_local(const struct mx_rooms *rs, mx_str user_id)
{
	return mx_str_eq(mx_id_server_of(user_id), mx_rooms_server(rs));
}
static inline struct mx_tree
mx_rooms_tree(struct mx_rooms *rs, struct mx_conn *c)
{
	return (struct mx_tree){ .cache = rs->nodes, .conn = c };
}

/* ---- room.c: rooms in memory ---- */
struct mx_room *mx_room_new(struct mx_rooms *rs, mx_str id, const struct mx_room_version *v);
/* A room that is being made, within the write: who looks for it from now on waits for
 * mx_room_loaded. MX_E_EXISTS; MX_E_AGAIN when somebody is just looking for it in the database. */
mx_error *mx_room_announce(struct mx_room *r) MX_MUST_USE;
/* It is there; or (good false) it is not. */
void mx_room_loaded(struct mx_room *r, bool good);
void mx_rooms_drop_all(struct mx_rooms *rs);
/* Another process has written to the room, if it is in memory; 0: to all of them. */
void mx_rooms_touched(struct mx_rooms *rs, mx_nid room);
/* Reads what is durable again when another process has written. */
mx_error *mx_room_refresh(struct mx_room *r, struct mx_conn *c) MX_MUST_USE;
/* With room->lock held: the event is the newest of the timeline. */
void mx_view_push(struct mx_room *r, struct mx_event *ev);
void mx_view_forget_facts(struct mx_room *r);
/* extremities.c: a copy of what is in the view; and the end of one. */
struct mx_extremities mx_extremities_copy(const struct mx_extremities *x);
void mx_extremities_clear(struct mx_extremities *x);
/* At its place in the order. */
void mx_extremities_add(struct mx_extremities *x, const struct mx_event *ev);
/* room.extremities: these, and this event if nid is not 0; none: the newest event is the only one. */
mx_error *mx_extremities_put(struct mx_conn *c, struct mx_room *r, const struct mx_extremities *x,
			     mx_nid nid) MX_MUST_USE;
/* Which of them (newest first, those not counted that are gone) a room gives up when it has too many:
 * the oldest of the server that has made the most, so that a flood pushes out nothing but itself. */
size_t mx_extremity_to_give_up(struct mx_event *const *ends, size_t n, const bool *gone);
mx_error *mx_extremities_read(struct mx_rooms *rs, struct mx_conn *c, mx_str text,
			      struct mx_extremities *out) MX_MUST_USE;
/* A reference to the parsed power levels of the current state. */
mx_error *mx_room_power_ref(struct mx_room *r, struct mx_conn *c,
			    struct mx_power **out) MX_MUST_USE;

/* ---- load.c: events from the database through the cache ---- */
/* The columns that mx_event_of_row wants, for "SELECT " MX_EVENT_COLUMNS " FROM event e …". */
#define MX_EVENT_COLUMNS                                                                           \
	"e.nid, e.room, e.sender, e.id, e.flags, e.root_before, e.root, e.device, e.txn_id, e.json, "      \
	"e.alias"
enum mx_event_flag {
	MX_EVENT_REDACTED = 1,
	MX_EVENT_REJECTED = 2,
	MX_EVENT_SOFT_FAILED = 4,
	MX_EVENT_OUTLIER = 8,
	MX_EVENT_HIDDEN = 16,	/* accepted, but nothing that clients are shown */
	MX_EVENT_FORKED = 32,	/* the room's state around it is another than its own: root_room */
	MX_EVENT_INNER = 64,	/* accepted when something that comes after it was here already */
	MX_EVENT_TOLD = 128,	/* another server has told the state before it */
};
static inline int64_t
mx_event_flags(const struct mx_event *ev)
{
	return (ev->redacted ? MX_EVENT_REDACTED : 0) | (ev->rejected ? MX_EVENT_REJECTED : 0) |
	       (ev->soft_failed ? MX_EVENT_SOFT_FAILED : 0) |
	       (ev->outlier ? MX_EVENT_OUTLIER : 0) | (ev->hidden ? MX_EVENT_HIDDEN : 0) |
	       (ev->forked ? MX_EVENT_FORKED : 0) | (ev->inner ? MX_EVENT_INNER : 0) |
	       (ev->told ? MX_EVENT_TOLD : 0);
}
/* Outliers have nids below this, events from before what we know have nids between this and 0: so
 * paging through the past never meets an outlier. (NODES_PER_EVENT of store.c times this must be a
 * number.) */
#define MX_OUTLIER_NID (-(INT64_C(1) << 50))
/* In SQL: "e.flags & " MX_EVENT_NOT_SHOWN " = 0". */
#define MX_EVENT_NOT_SHOWN "30"
#define MX_EVENT_NOT_ACCEPTED "14"
mx_error *mx_event_of_row(struct mx_query *q, const struct mx_room_version *v,
			  struct mx_event **out) MX_MUST_USE;
/* Every event of these nids, into the list in the same order. MX_E_NOT_FOUND when one is not there.
 */
mx_error *mx_events_load(struct mx_rooms *rs, struct mx_conn *c, const mx_nid *nids, size_t n,
			 struct mx_events *out) MX_MUST_USE;
void mx_events_reserve(struct mx_events *l, size_t n);	/* room for n more */
int64_t mx_event_id_hash(mx_str id);

/* ---- tip.c: all but the first three with tip->lock held ---- */
void mx_tip_init(struct mx_tip *t);
void mx_tip_end(struct mx_tip *t);
void mx_tip_landed(struct mx_tip *t);	/* a write that was in flight; on any thread */
struct mx_need {			/* a state entry that a draft is judged by */
	mx_str type, key;		/* borrowed */
	struct mx_tree_key hash;
	bool missing;			/* mx_tip_meet's */
};
/* Brings the tip to where the view is, when it isn't loaded; waits for what is still in flight. */
void mx_tip_load(struct mx_room *r);
/* Sees to it that all needs are in the memo. May give the lock up and read in between; the tip may
 * be another afterwards. *crowded: the room has more extremities than an event may name, and nobody
 * here may join them, so that nothing can be built on all of them. */
mx_error *mx_tip_meet(struct mx_room *r, struct mx_conn *c, struct mx_need *needs, size_t n,
		      bool *crowded) MX_MUST_USE;
/* The entry, which must be known; NULL: no such state. */
struct mx_event *mx_tip_get(const struct mx_tip *t, struct mx_tree_key key);
bool mx_tip_knows(const struct mx_tip *t, struct mx_tree_key key);
/* Alone with the room: nothing is in flight and nobody sends until mx_tip_open; what is in the view is
 * then all there is, but for what other processes write. Without the lock. */
void mx_tip_close(struct mx_room *r);
void mx_tip_open(struct mx_room *r);
/* As long as somebody is in between these, nobody else builds on the tip; those who are come to it on
 * the writer's thread, through mx_tip_meet_late. Without the lock. */
void mx_tip_enter_late(struct mx_room *r);
void mx_tip_leave_late(struct mx_room *r);
/* Within a batch: brings the tip to where the room is now that no other process can write, with all
 * needs in the memo. MX_E_AGAIN: not in this batch. */
mx_error *mx_tip_meet_late(struct mx_room *r, struct mx_conn *c, struct mx_need *needs,
			   size_t n) MX_MUST_USE;
/* Sets an entry to an event of the write seq. */
void mx_tip_set(struct mx_tip *t, struct mx_tree_key key, struct mx_event *ev, uint64_t seq);
/* Throws away what was built on a write that failed. */
void mx_tip_reset(struct mx_tip *t);
/* The power levels by the memo's events: borrowed until the memo changes. */
const struct mx_power *mx_tip_power(struct mx_room *r, struct mx_event *levels,
				    const struct mx_event *create);
/* Drops from the memo what is durable and what is being loaded: it may have been redacted. */
void mx_tip_sweep(struct mx_room *r);

/* ---- txn_table.c: transaction ids in flight and lately done ---- */
struct mx_txn_table *mx_txn_table_new(size_t keep);
void mx_txn_table_free(struct mx_txn_table **t);
/* *nid: the event it made, when it is done; otherwise (true) the caller has it now and must end it.
 * *old: the database may know it. Waits while another has it. */
bool mx_txn_claim(struct mx_txn_table *t, mx_nid device, mx_str txn_id, mx_nid *nid, bool *old);
void mx_txn_settle(struct mx_txn_table *t, mx_nid device, mx_str txn_id, mx_nid nid);	/* 0: it failed */
mx_nid mx_txn_made(struct mx_txn_table *t, mx_nid device, mx_str txn_id);		/* 0: not known here */

/* ---- foreign.c ---- */
mx_error *mx_rooms_foreign(void *rooms, struct mx_conn *c, mx_pos since, mx_pos upto) MX_MUST_USE;

/* ---- store.c: the write of prepared events, on the writer's thread ---- */
struct mx_moved {			/* a member whom a change of the current state concerns */
	struct mx_event *event;		/* a reference: the member event that counts now, or did last */
	enum mx_membership was, now;
	mx_nid user;			/* found by the write */
};
static inline int
mx_member_change(enum mx_membership was, enum mx_membership now, enum mx_membership which)
{
	return (now == which) - (was == which);
}
/* Where an event goes that is not simply the next after the room's only extremity. The roots are
 * stored, or were merged out of the one named beside them. */
struct mx_placing {
	struct mx_state_root before, before_of;
	bool before_new;
	mx_nid outlier;			/* its number as an outlier, or 0 */
	mx_nid past;			/* its number in front of the timeline, or 0: the room stays as it is */
	/* of accepted ones */
	bool alone;			/* it is the only extremity then, and the state after it the room's */
	bool inner;			/* or none, because one that follows it was here before it */
	struct mx_state_root room, room_of;
	bool room_new;
	struct mx_extremities others;	/* the other extremities */
	struct mx_moved *moved;
	size_t moved_n;
	bool facts;			/* what was parsed of the state may be another now */
};
void mx_placing_free(struct mx_placing **p);

struct mx_stored {			/* one event and what goes with it */
	struct mx_event *event;		/* a reference */
	struct mx_event *target;	/* what it redacts, or NULL; references */
	struct mx_event *redacted;	/* its redacted form */
	enum mx_membership was;		/* of an m.room.member: before */
	struct mx_placing *placing;	/* NULL: it is the next in a line; otherwise n is 1 */
	struct mx_arrival *arrival;	/* of another server's; NULL: ours */
	mx_nid redaction;		/* that came before it: event is in its redacted form */
	const struct mx_events *reveals;	/* redactions that clients see from now on; or NULL */
	mx_nid waiting;			/* it was in waiting until now */
	bool awaits;			/* it redacts what is not here yet */
	const mx_str *gaps;		/* prev_events that are missing and will not be waited for */
	size_t gaps_n;
	mx_nid gaps_of;			/* the event that they are before; 0: this one */
	/* found by the write */
	mx_nid user;			/* of an m.room.member */
};
/* A room that we come into, at a point that others have told us. The root is stored by then, and so
 * are the members' rows. */
struct mx_start {
	struct mx_state_root root;
	int64_t joined, invited;
};
struct mx_store {
	struct mx_room *room;
	struct mx_stored *v;
	size_t n;
	bool create;			/* the room is new */
	const struct mx_start *start;	/* what the room is before them, if not what we know; or NULL */
	bool joins;			/* the first event names several extremities */
	uint64_t seq;
	struct mx_fresh_nodes fresh;
	struct mx_delta stored;		/* how the state so far is stored */
	bool stored_known, announced, applied;
};
/* s lives until the write has landed. MX_E_AGAIN: the room has moved on, prepare anew. */
mx_error *mx_store_write(struct mx_txn *tx, struct mx_store *s) MX_MUST_USE;
/* The event's row; its nid, room and sender_nid are set. */
mx_error *mx_event_put_row(struct mx_txn *tx, const struct mx_event *ev) MX_MUST_USE;

/* What state, members and counters become by one event; on the writer's thread. */
mx_error *mx_state_move(struct mx_store *s, struct mx_conn *c, struct mx_event *ev,
			struct mx_state_root *root) MX_MUST_USE;
mx_error *mx_redaction_put(struct mx_txn *tx, struct mx_rooms *rs,
			   const struct mx_stored *v) MX_MUST_USE;
mx_error *mx_member_put(struct mx_txn *tx, struct mx_room *r, const struct mx_moved *m,
			mx_nid user, mx_pos at) MX_MUST_USE;
mx_error *mx_members_count(struct mx_conn *c, struct mx_room *r, int64_t joined,
			   int64_t invited) MX_MUST_USE;
/* MX_E_AGAIN when another process has stored the event since we looked, under another number than
 * `but`: an outlier is in no position that would tell us. */
mx_error *mx_arrival_guard(struct mx_txn *tx, const struct mx_event *ev, mx_nid but) MX_MUST_USE;
/* What goes with an event of another server: why it is not simply accepted, and what redacts it. */
mx_error *mx_arrival_put(struct mx_txn *tx, struct mx_stored *v) MX_MUST_USE;

/* ---- gaps.c: prev_events that nobody waits for ---- */
mx_error *mx_gaps_put(struct mx_txn *tx, const struct mx_stored *v) MX_MUST_USE;
mx_error *mx_gap_end(struct mx_txn *tx, const struct mx_event *filled) MX_MUST_USE;

/* ---- join_ends.c ---- */
/* Brings the forward extremities down to so many; *joined: they are, or nobody here may. */
mx_error *mx_room_join_ends(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, size_t most,
			    bool *joined) MX_MUST_USE;

/* ---- place.c: the write of an event that is not the next in a line ---- */
mx_error *mx_place_write(struct mx_txn *tx, struct mx_store *s, struct mx_stored *v,
			 struct mx_state_root *root) MX_MUST_USE;
void mx_place_view(struct mx_store *s);		/* with room->lock held, after the commit */
void mx_place_members(struct mx_store *s);	/* after that */

/* ---- arrival.c ---- */
void mx_arrivals_count(struct mx_rooms *rs, const struct mx_arrival *v, size_t n);

/* ---- redacted.c ---- */
/* Keeps what the event was, for as long as is wished. */
mx_error *mx_redacted_keep(struct mx_txn *tx, struct mx_rooms *rs,
			   const struct mx_event *target) MX_MUST_USE;
/* What a redacted event was; in the arena. MX_E_NOT_FOUND. */
mx_error *mx_redacted_get(struct mx_rooms *rs, struct mx_conn *c, mx_str event_id,
			  struct mx_arena *a, mx_str *out) MX_MUST_USE;

/* ---- fate.c: why an event that is kept is not simply accepted ---- */
/* Keeps the reason and the words for v->event, which is stored; nothing when there is no reason. */
mx_error *mx_fate_put(struct mx_txn *tx, const struct mx_arrival *v) MX_MUST_USE;
mx_error *mx_fate_reason(struct mx_conn *c, mx_nid nid, enum mx_reason *out) MX_MUST_USE;

#endif
