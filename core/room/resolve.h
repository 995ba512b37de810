/* State resolution 1, 2 and 2.1, by the room's version: one state from several. Pure and
 * deterministic: the caller brings the states' difference and the events, by callbacks. Room
 * versions 1, 2 and 12, "State resolution". */
#ifndef CORE_ROOM_RESOLVE_H
#define CORE_ROOM_RESOLVE_H

#include "core/room/rules.h"

#define MX_RESOLVE_STATES 64	/* that can be resolved at once */

/* A key at which the states differ: in each of them an event id, or {NULL, 0} where it has none. */
struct mx_resolve_conflict {
	mx_str type, key;
	const mx_str *ids;	/* as many as there are states */
};

struct mx_resolved {
	mx_str type, key, id;	/* id {NULL, 0}: no event; in the arena */
};

struct mx_resolve {
	const struct mx_room_version *version;
	const struct mx_event *create;		/* the room's m.room.create */
	size_t states;				/* how many are resolved, from 2 */
	const struct mx_resolve_conflict *conflicts;	/* every key that is not the same in all of them */
	size_t conflicts_n;
	/* What is to be looked at beyond these: the auth difference and, for 2.1, the conflicted
	 * state subgraph (difference.h). */
	const mx_str *others;
	size_t others_n;

	/* The event with this id, borrowed until mx_resolve_state returns; *out NULL when the
	 * server does not have it: it counts as rejected, and its chain ends there. */
	mx_error *(*event)(void *arg, mx_str id, const struct mx_event **out);
	/* The event id at a key at which all states agree, {NULL, 0} for none; borrowed as above.
	 */
	mx_error *(*agreed)(void *arg, mx_str type, mx_str key, mx_str *id);
	void *arg;
	size_t max_events;			/* how many events it may look at: MX_E_LIMIT_EXCEEDED; 0: 500,000 */
};

/* *out: the resolved entry of every conflicting key, and (from 2 on) of keys that only the auth
 * difference knows; the rest of the state is what the states agree on. Sorted by (type, key). In
 * a. */
mx_error *mx_resolve_state(const struct mx_resolve *r, struct mx_arena *a, struct mx_resolved **out,
			   size_t *n) MX_MUST_USE;

#endif
