/* Which events state resolution must look at beyond the conflicting ones: the auth difference and,
 * for version 2.1, the conflicted state subgraph. Pure: the graph of auth events is asked for by
 * callbacks, so that no more of it is visited than what the states do not share. Room version 2,
 * "Definitions"; Room version 12, "State resolution".
 *
 * An event is in the auth difference if it is in the full auth chain of some states but not of all.
 * All chains hold what the entries rest on that the states agree on, and there are as many of those
 * as the room has members. So the walk goes down from the conflicting entries alone, highest event
 * first, with the states from which each event was reached; it ends where all of them have been
 * there. At an event that only some have reached it asks the other way, up from that event: whether
 * any agreed entry rests on it. If one does, then all that is below it is in every chain too, and
 * the walk ends there. */
#ifndef CORE_ROOM_DIFFERENCE_H
#define CORE_ROOM_DIFFERENCE_H

#include "core/room/event_private.h"

/* An entry that is not the same in all states. */
struct mx_conflicted {
	mx_nid nid;
	uint64_t states;	/* a bit for each state that has it */
	bool leaf;		/* of a type that nobody's auth_events name */
};

struct mx_auth_row {
	mx_nid nid;
	int64_t height;		/* greater than that of everything it rests on */
	mx_nid auth[MX_EVENT_MAX_AUTH];	/* what it rests on; what follows may be left out */
	size_t n;
};

#define MX_ABOVE 128

/* Some of the events that rest on one; not those that rest on it only by way of another of them. */
struct mx_above {
	struct {
		mx_nid nid;
		bool leaf;
	} v[MX_ABOVE], last;	/* last: go on after this one */
	size_t n;
	bool begun;		/* last is set */
};

struct mx_auth_graph {
	/* Fills the rest of n rows. */
	mx_error *(*rows)(void *arg, struct mx_auth_row *v, size_t n);
	/* The next ones above nid; fewer than MX_ABOVE: there are no more. Best those first that an
	 * agreed entry is likely to be among or to rest on. */
	mx_error *(*above)(void *arg, mx_nid nid, struct mx_above *page);
	/* Whether all states have this event, which is none of the conflicting ones. */
	mx_error *(*agreed)(void *arg, mx_nid nid, bool leaf, bool *out);
	void *arg;
	size_t max;		/* events that it may visit: MX_E_LIMIT_EXCEEDED */
};

/* The difference of n states, at most 64 of them, and the subgraph if it is asked for, without the
 * conflicting entries themselves: in no order, in the arena. */
mx_error *mx_auth_difference(const struct mx_auth_graph *g, const struct mx_conflicted *v, size_t n,
			     size_t states, bool subgraph, struct mx_arena *a, mx_nid **out,
			     size_t *out_n) MX_MUST_USE;

#endif
