/* Taking events of other servers into a room, from inside: one call of mx_room_accept, while the room
 * is closed to everybody else (mx_tip_close).
 *
 *	accept.c	the call: verifies, sorts, goes through the events, and what waited for them
 *	intake_order.c	which of them comes when
 *	judge.c		may an event stand in a state?
 *	placing.c	what the room is once an event is in it
 *	waiting.c	events whose past is not here yet
 *	accept_at.c	events that come with the state before them
 *	backfill.c	events from before what we know
 *	supply.c	auth events that are wanted before they have a place
 *	redacting.c	what redacts what
 *
 * Events that simply follow each other are written together, as a line; any other is written alone. */
#ifndef CORE_ROOM_INTAKE_H
#define CORE_ROOM_INTAKE_H

#include "core/room/outlier.h"

#define MX_LINE 64
#define MX_JUDGED_BY 9		/* those of mx_rules_auth_types, and the create event */
#define MX_INTAKE_MEMO 64	/* a power of two */

/* An event on its way in. */
struct mx_arriving {
	struct mx_arrival *v;		/* the caller's, or: */
	struct mx_arrival own;
	mx_nid waiting;			/* its row in event_waiting; 0: none */
	bool done;			/* its fate is durable */
	bool on_line, listed, ordered, awake;
	struct mx_arriving *first;	/* one with its id that came before it in the batch, or NULL */
	/* references, while it is looked at */
	struct mx_event *prev[MX_EVENT_MAX_PREV], *auth[MX_EVENT_MAX_AUTH];
	size_t prev_n, auth_n;
	bool lacks_prev, lacks_auth;
	bool ours;			/* made here */
	bool told;			/* those who lack it know that it is on its way */
	bool given;			/* its prev_events are missing, the state before it is this: */
	struct mx_state_root before;
	mx_nid outlier;			/* stored as one: by this number */
	mx_nid redaction;		/* it came before this */
	bool redaction_known;		/* that was looked for */
	struct mx_events reveals;	/* the redactions that wait for it and apply, as they are then */
	/* of the order */
	size_t waits, rests_n, rests_room;
	struct mx_arriving **rests;	/* those that come after it */
};

struct mx_intake {
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_room *room;
	struct mx_arena *arena;
	struct mx_event *create;	/* a reference */

	/* what the room is now, the line not counted */
	uint64_t seq;			/* of the view that was looked at: what is written must follow it */
	struct mx_state_root root;
	struct mx_event **ends;		/* the forward extremities, newest first; references */
	size_t ends_n;

	struct mx_arriving *line[MX_LINE];
	struct mx_stored store[MX_LINE];
	size_t line_n;
	bool line_redacts;
	struct mx_fresh_nodes fresh;	/* what merges have made for the next write */

	struct mx_arriving **v;		/* all that are on their way, each id once */
	size_t n, n_room;
	uint32_t *slots;		/* by event id: place + 1 */
	size_t slots_n;			/* a power of two */
	bool again;			/* an attempt before this may have stored some and woken nobody */
	bool any_waiting;		/* the room may have events in waiting */
	bool new_pending;		/* redactions of what is not here have come in */
	bool outlier_redacted;		/* redactions of what is here without a place have come in */
	size_t stored_from;		/* of stored: not looked at yet for who waits for them */
	struct mx_arriving **stored;
	size_t stored_n, stored_room;
	struct mx_arriving **told;	/* the same of what waits itself: it may be wanted as an auth event */
	size_t told_from, told_n, told_room;

	struct {
		struct mx_tree_key key;
		struct mx_event *event;	/* a reference; NULL: no such state */
		bool known;
	} memo[MX_INTAKE_MEMO];		/* of the state `root` */
	struct mx_power *power;		/* of these */
	struct mx_event *power_event;
};

/* ---- intake_order.c ---- */
/* The one on its way with this id; NULL. */
struct mx_arriving *mx_intake_find(const struct mx_intake *in, mx_str id);
/* The caller sees to it that there is none with its id yet. */
void mx_intake_add(struct mx_intake *in, struct mx_arriving *a);
/* These, each after what it names; in the arena. They are `listed` from then on. */
struct mx_arriving **mx_intake_order(struct mx_intake *in, struct mx_arriving *const *list,
				     size_t n);

/* ---- accept.c ---- */
/* The stored event; *out NULL when there is none. */
mx_error *mx_intake_lookup(struct mx_intake *in, mx_str id, struct mx_event **out) MX_MUST_USE;
/* Writes the line. */
mx_error *mx_intake_flush(struct mx_intake *in) MX_MUST_USE;
/* Writes what is in `store`; in order, and what the room is afterwards is known. */
mx_error *mx_intake_write(struct mx_intake *in, size_t n) MX_MUST_USE;
void mx_intake_stored(struct mx_intake *in, struct mx_arriving *a);
void mx_intake_tell(struct mx_intake *in, struct mx_arriving *a);
/* Finds what it names: into prev and auth, lacks_prev and lacks_auth. */
mx_error *mx_intake_past(struct mx_intake *in, struct mx_arriving *a) MX_MUST_USE;
/* Opens and closes the room for an intake. */
mx_error *mx_intake_begin(struct mx_intake *in, struct mx_rooms *rs, struct mx_conn *c,
			  struct mx_room *r) MX_MUST_USE;
void mx_intake_end(struct mx_intake *in);
/* Drops what is of another room. */
void mx_intake_check_room(struct mx_room *r, struct mx_arrival *v, size_t n);
/* Those of the caller that are new, each once, onto their way: all[i] is about v[i]. */
mx_error *mx_intake_sort_out(struct mx_intake *in, struct mx_arriving *all, struct mx_arrival *v,
			     size_t n) MX_MUST_USE;
/* Repeated events tell what became of the first of them. */
void mx_intake_answer_twins(struct mx_arriving *all, size_t n);
/* Takes in all that are on their way, and what has waited for them. */
mx_error *mx_intake_run(struct mx_intake *in) MX_MUST_USE;
/* Takes in what has waited for those that are stored. */
mx_error *mx_intake_wake(struct mx_intake *in) MX_MUST_USE;

/* ---- judge.c ---- */
/* Whether the event may stand in the state, with the first `over` events of the line upon it. The
 * words of *why, if it may not, are its rule; an error that is returned is another. */
mx_error *mx_judge(struct mx_intake *in, const struct mx_event *ev, struct mx_state_root root,
		   size_t over, mx_error **why) MX_MUST_USE;
/* By its auth events. */
mx_error *mx_judge_auth(struct mx_intake *in, const struct mx_arriving *a, enum mx_reason *reason);
/* The power levels there; a reference. */
mx_error *mx_intake_power(struct mx_intake *in, struct mx_state_root root, size_t over,
			  struct mx_power **out) MX_MUST_USE;
void mx_intake_forget(struct mx_intake *in);	/* the memo: the state is another */
void mx_intake_learn(struct mx_intake *in, struct mx_event *ev);	/* it is in the state now */
/* The member's state at the key of a member event, on the line. */
mx_error *mx_intake_member(struct mx_intake *in, const struct mx_event *ev, size_t over,
			   enum mx_membership *out) MX_MUST_USE;

/* ---- placing.c ---- */
/* Takes in an event that all of its past is here for, alone. */
mx_error *mx_place(struct mx_intake *in, struct mx_arriving *a) MX_MUST_USE;

/* What the states after these events resolve to. */
mx_error *mx_place_merge(struct mx_intake *in, struct mx_event *const *evs, size_t n,
			 struct mx_state_root *out) MX_MUST_USE;

/* ---- accept_at.c ---- */
/* Stores what another server tells of a state, as outliers; v: of the state's events, then of the others. */
mx_error *mx_told_store(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
			const mx_str *state, size_t state_n, const mx_str *auth, size_t auth_n,
			struct mx_arrival *v) MX_MUST_USE;
/* The root of that state, not stored. */
mx_error *mx_told_state(struct mx_intake *in, const struct mx_arrival *v, size_t n,
			struct mx_state_root *out) MX_MUST_USE;

/* ---- join_ends.c ---- */
bool mx_is_dummy(const struct mx_event *ev);
/* Joins extremities until there are at most so many, if somebody of this server may. */
mx_error *mx_ends_join(struct mx_intake *in, size_t most) MX_MUST_USE;

/* Where an event of ours goes that joins as many of the extremities as it may name. */
struct mx_joint {
	struct mx_intake *in;
	struct mx_state_root before;
	size_t prev_n;
	int64_t depth;
	mx_str prev[MX_EVENT_MAX_PREV];
	unsigned char prev_hash[MX_EVENT_MAX_PREV][MX_SHA256_SIZE];
};
struct mx_joining {		/* what it says */
	mx_str type, state_key, content, redacts, sender_id, txn_id;
	const json_t *parsed;	/* the content, or NULL: it does not matter to whose auth events */
	mx_nid sender, device;
	mx_msec ts;		/* 0: now */
};
mx_error *mx_joint_begin(struct mx_joint *d, struct mx_intake *in) MX_MUST_USE;
/* Makes and stores it; *why when the rules forbid that. made: a reference, or NULL. */
mx_error *mx_joint_make(struct mx_joint *d, const struct mx_joining *what, struct mx_event **made,
			mx_error **why) MX_MUST_USE;

/* ---- gaps.c ---- */
/* Whether an accepted event that is stored names it. */
mx_error *mx_gap_filled(struct mx_intake *in, mx_str id, mx_nid *by) MX_MUST_USE;
/* Those of its prev_events that are missing, into s; in the arena. */
void mx_gaps_find(struct mx_intake *in, const struct mx_arriving *a, struct mx_stored *s);

/* ---- supply.c ---- */
/* Sees to it that what a->v->event lacks of its auth events, if it is in waiting, is stored outside
 * of the timeline: no more is needed of them. */
mx_error *mx_supply_auth(struct mx_intake *in, struct mx_arriving *a) MX_MUST_USE;
/* Within a write: an outlier of the event, which stays as it is; *nid its number. */
mx_error *mx_supply_put(struct mx_txn *tx, struct mx_room *r, struct mx_event *copy) MX_MUST_USE;

/* ---- redacting.c ---- */
bool mx_is_redaction(const struct mx_event *ev);
/* What an accepted event redacts, into s; ev is hidden when it does not redact anything (yet). */
mx_error *mx_find_target(struct mx_intake *in, struct mx_event *ev, struct mx_state_root before,
			 size_t over, struct mx_stored *s) MX_MUST_USE;
/* The event is stored as an outlier: what is known of it from then. */
mx_error *mx_intake_meet_outlier(struct mx_intake *in, struct mx_arriving *a,
				 const struct mx_event *stored) MX_MUST_USE;
/* Whether a redaction was there before it: then it is redacted itself. */
mx_error *mx_find_redaction(struct mx_intake *in, struct mx_arriving *a) MX_MUST_USE;

/* ---- waiting.c ---- */
mx_error *mx_waiting_any(struct mx_conn *c, struct mx_room *r, bool *out) MX_MUST_USE;
/* Whether it is there already. */
mx_error *mx_waiting_find(struct mx_intake *in, struct mx_arriving *a) MX_MUST_USE;
/* Those that lack what was stored since the last call; in the arena. */
mx_error *mx_waiting_wake(struct mx_intake *in, struct mx_arriving ***list, size_t *n) MX_MUST_USE;
/* The one in waiting with this id, onto its way; *out NULL when there is none. */
mx_error *mx_waiting_get(struct mx_intake *in, mx_str id, struct mx_arriving **out) MX_MUST_USE;
/* Puts it aside, for what it lacks. */
mx_error *mx_wait(struct mx_intake *in, struct mx_arriving *a) MX_MUST_USE;
/* Within a write: it waits no longer. */
mx_error *mx_waiting_end(struct mx_txn *tx, mx_nid waiting) MX_MUST_USE;

#endif
