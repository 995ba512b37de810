/* What the room engine does with the events of other servers: takes them in, answers about its own,
 * and tells why it decided as it did. The engine speaks to nobody: what is missing it names, and
 * who asked (a module that speaks with other servers, a simulation) fetches that and hands it in.
 * Server-Server API, "PDUs", "Checks performed on receipt of a PDU"; Room Versions. */
#ifndef MYELIN_FEDERATION_H
#define MYELIN_FEDERATION_H

#include <myelin/room.h>

/* ---- taking events in ---- */

enum mx_fate {
	MX_FATE_ACCEPTED,	/* part of the room; told to clients */
	MX_FATE_SOFT_FAILED,	/* part of the room's graph and state, not told: the current state forbids it */
	MX_FATE_REJECTED,	/* kept, so that what builds on it is rejected too; never served as valid */
	MX_FATE_WAITING,	/* events before it are missing: kept aside, taken in once they are there */
	MX_FATE_DROPPED,	/* no event of this room that its sender's server signed: only counted */
	MX_FATE_COUNT
};

/* Why. Each is counted (rooms_events_total{fate,reason}) and has a name: mx_reason_name. */
enum mx_reason {
	MX_REASON_NONE,
	MX_REASON_KNOWN,	/* it was there before: its fate is that of the first time */
	MX_REASON_MALFORMED,	/* no JSON, or not the format of the room's version */
	MX_REASON_SIZE,		/* the event or a field of it is too large; too many prev or auth events */
	MX_REASON_ROOM,		/* of another room */
	MX_REASON_SIGNATURE,	/* missing, wrong, or its key cannot be had */
	MX_REASON_HASH,		/* accepted, but redacted: its content is not what was signed */
	MX_REASON_ACL,		/* the room's m.room.server_acl denies the server */
	MX_REASON_MISSING_PREV,
	MX_REASON_MISSING_AUTH,	/* auth events that nobody has given us */
	MX_REASON_AUTH_EVENTS,	/* the rules about auth_events themselves; an auth event is rejected */
	MX_REASON_AUTH,		/* refused by its auth events, or by the state before it */
	MX_REASON_CURRENT_STATE,	/* soft failure */
	MX_REASON_LIMIT,	/* the room has as much state, or as many events in waiting, as is allowed */
	MX_REASON_VOUCHER,	/* a join that the server of who vouches for it has not signed */
	MX_REASON_COUNT
};
MX_API const char *mx_fate_name(enum mx_fate f);
MX_API const char *mx_reason_name(enum mx_reason r);

/* What became of one event. */
struct mx_arrival {
	enum mx_fate fate;
	enum mx_reason reason;
	struct mx_event *event;	/* a reference; NULL when dropped */
	char words[200];	/* for people: the rule that refused; empty when accepted */
};
MX_API void mx_arrivals_clear(struct mx_arrival *v, size_t n);

/* Takes in n events of a room that the server is in, as they came: in any order, again, forged.
 * Signatures are checked on several threads. v (n of them, in the order of pdus) tells what became
 * of each; an error is the server's own trouble (the database, a key server that is away), and then
 * nothing of what is not stored yet is: hand all of it in again. What was waiting for one of these
 * is taken in with them. Durable when it returns. origin: who sent them, for the access control
 * list; empty: not looked at. */
MX_API mx_error *mx_room_accept(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				mx_str origin, const mx_str *pdus, size_t n,
				struct mx_arrival *v) MX_MUST_USE;

/* The event ids that events in waiting lack, up to `limit`: fetch them by /get_missing_events or
 * /event, and hand them in; the ids in the arena. */
MX_API mx_error *mx_room_lacks(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
			       struct mx_arena *a, size_t limit, mx_str **out,
			       size_t *n) MX_MUST_USE;

/* Events whose past cannot be had: the state before `event` (one in waiting) as another server gave
 * it by /state. state and auth are its PDUs; they are checked and kept outside of the timeline, and
 * what a check refuses is left out of the state. Then the event is taken in as by mx_room_accept. */
MX_API mx_error *mx_room_accept_at(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				   mx_str event_id, const mx_str *state, size_t state_n,
				   const mx_str *auth, size_t auth_n,
				   struct mx_arrival *v) MX_MUST_USE;

/* Events from before what we know, newest first, as /backfill gives them: they stand in front of
 * the timeline, with negative positions. state and auth: of the state before the oldest of them (the
 * last), as for mx_room_accept_at. Those that the others do not lead to are dropped
 * (MX_REASON_MISSING_PREV): without a state nobody could say who may see them. Ask for the state
 * before such a one and hand it in again, as the last of those that lead on from it. */
MX_API mx_error *mx_room_backfill(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				  const mx_str *pdus, size_t n, const mx_str *state, size_t state_n,
				  const mx_str *auth, size_t auth_n,
				  struct mx_arrival *v) MX_MUST_USE;

/* Events up to this position from before which we know nothing: what /backfill is asked with. Newest
 * first, in the arena. */
MX_API mx_error *mx_room_gaps(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_nid upto,
			      struct mx_arena *a, size_t limit, mx_str **out,
			      size_t *n) MX_MUST_USE;

/* ---- entering a room of other servers ---- */

/* The answer of /send_join, read as it comes: one event at a time, with bounded memory, however
 * large the room is. Server-Server API, "PUT /send_join". */
struct mx_entry;
MX_API mx_error *mx_entry_begin(struct mx_rooms *rs, mx_str room_id,
				const struct mx_room_version *version,
				mx_str join_event,	/* ours, signed: its canonical JSON */
				struct mx_entry **out) MX_MUST_USE;
/* The next bytes of the answer's body. An error ends it: only mx_entry_free may follow. */
MX_API mx_error *mx_entry_feed(struct mx_entry *e, mx_str bytes) MX_MUST_USE;
/* The body is whole: the state is checked as a whole, stored with the join event, and the room is
 * there, durable, with its newest event being the join. */
MX_API mx_error *mx_entry_finish(struct mx_entry *e, struct mx_conn *c,
				 struct mx_room **out) MX_MUST_USE;
MX_API void mx_entry_free(struct mx_entry **e);

/* ---- answering other servers ---- */

/* The forward extremities: what the next event would name as prev_events. In the arena. */
MX_API mx_error *mx_room_extremities(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				     struct mx_arena *a, mx_str **out, size_t *n) MX_MUST_USE;
/* Up to limit events that lead to `latest` and are not before `earliest`, oldest first: for
 * /get_missing_events. What is rejected is left out. */
MX_API mx_error *mx_room_between(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				 const mx_str *earliest, size_t earliest_n, const mx_str *latest,
				 size_t latest_n, size_t limit, struct mx_events *out) MX_MUST_USE;
/* The whole auth chain of these events without themselves: for /event_auth, /state, /send_join. */
MX_API mx_error *mx_events_auth_chain(struct mx_rooms *rs, struct mx_conn *c,
				      struct mx_event *const *evs, size_t n,
				      struct mx_events *out) MX_MUST_USE;
/* Whether the room's m.room.server_acl lets a server take part. Client-Server API, "Server Access
 * Control Lists". */
MX_API mx_error *mx_room_server_allowed(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
					mx_str server, bool *out) MX_MUST_USE;

/* ---- why ---- */

struct mx_explanation {
	enum mx_fate fate;
	enum mx_reason reason;
	mx_pos position;	/* 0: outside of the timeline */
	mx_msec when;		/* it was decided */
	bool outlier, redacted;
	mx_str words;		/* in the arena; so is: */
	mx_str room_id;
};
/* MX_E_NOT_FOUND when the server has never kept an event of this id. */
MX_API mx_error *mx_event_explain(struct mx_rooms *rs, struct mx_conn *c, mx_str event_id,
				  struct mx_arena *a, struct mx_explanation *out) MX_MUST_USE;

#endif
