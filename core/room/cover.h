/* Who stands in whose auth chain, kept beside the state events, so that the difference of two auth
 * chains is found without walking the graph and without looking at what both states share. All nids
 * here are those of mx_event_state_nid. */
#ifndef CORE_ROOM_COVER_H
#define CORE_ROOM_COVER_H

#include "core/room/engine.h"

/* Within the write that stores a state event, for each of them, outliers and rejected ones too:
 * after its auth events. */
mx_error *mx_cover_put(struct mx_txn *tx, struct mx_rooms *rs,
		       const struct mx_event *ev) MX_MUST_USE;

/* The auth difference of states (Room version 2, "Definitions"): every event that is in the full
 * auth chain of some of them but not of all. conflicted: the nids at the keys where the states
 * differ, of state i from at[i] up to at[i + 1]. agreed: whether the states all have this event
 * at its key: what such an event rests on is in every chain. nids sorted, in the arena. */
mx_error *mx_cover_difference(struct mx_rooms *rs, struct mx_conn *c, const mx_nid *conflicted,
			      const size_t *at, size_t states,
			      mx_error *(*agreed)(void *arg, mx_nid nid, bool *out), void *arg,
			      struct mx_arena *a, mx_nid **out, size_t *n) MX_MUST_USE;

/* The auth chain of these events, without themselves, in no order; in the arena. */
mx_error *mx_cover_chain(struct mx_rooms *rs, struct mx_conn *c, const mx_nid *of, size_t of_n,
			 struct mx_arena *a, mx_nid **out, size_t *n) MX_MUST_USE;

#endif
