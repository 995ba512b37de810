/* One state from several: what the room's state is where its graph comes together. Finds the
 * conflicting keys by walking what differs between the trees, asks the room version's algorithm
 * (resolve.h) about these alone, and changes one of the trees by the answer: its cost does not grow
 * with the room. Room Versions, "State resolution". */
#ifndef CORE_ROOM_MERGE_H
#define CORE_ROOM_MERGE_H

#include "core/room/engine.h"

/* *out: the root of the state that the n states resolve to. Costly: call it before the write,
 * with no lock held. What it makes is pinned in fresh (the caller ends it with
 * mx_fresh_nodes_done) and not stored: mx_merge_store does that, within the write. One distinct
 * root among the n: that one, at no cost. MX_E_LIMIT_EXCEEDED: more conflict than [rooms]
 * max_conflict allows to look at. */
mx_error *mx_merge_roots(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
			 const struct mx_state_root *roots, size_t n, struct mx_fresh_nodes *fresh,
			 struct mx_state_root *out) MX_MUST_USE;

/* Stores a root that mx_merge_roots has made out of `near` (one of the n) and others: as a delta of
 * it where few entries differ. nid: of the event that needs it; it keeps numbers for the nodes. */
mx_error *mx_merge_store(struct mx_txn *tx, struct mx_rooms *rs, struct mx_state_root near,
			 struct mx_state_root root, mx_nid nid) MX_MUST_USE;

#endif
