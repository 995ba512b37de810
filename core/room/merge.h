/* One state from several: what the room's state is where its graph comes together. Finds the
 * conflicting keys by walking what differs between the trees, asks the room version's algorithm
 * (resolve.h) about these alone, and changes one of the trees by the answer: its cost does not grow
 * with the room. Room Versions, "State resolution". */
#ifndef CORE_ROOM_MERGE_H
#define CORE_ROOM_MERGE_H

#include "core/room/engine.h"

/* *out: the root of the state that the n states resolve to; the empty one for none. Costly: call it before the write,
 * with no lock held. What it makes is pinned in fresh (the caller ends it with
 * mx_fresh_nodes_done) and not stored: mx_merge_store does that, within the write. One distinct
 * root among the n: that one, at no cost. MX_E_LIMIT_EXCEEDED: more conflict than [rooms]
 * max_conflict allows to look at. */
mx_error *mx_merge_roots(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
			 const struct mx_state_root *roots, size_t n, struct mx_fresh_nodes *fresh,
			 struct mx_state_root *out) MX_MUST_USE;

/* Stores a root that mx_merge_roots has made out of `near` (the first of the n) and others: as a
 * delta of it where few entries differ. Does nothing when it is stored already. nid: of the event
 * that needs it; it keeps numbers for the rows. */
mx_error *mx_merge_store(struct mx_txn *tx, struct mx_rooms *rs, struct mx_state_root near,
			 struct mx_state_root root, mx_nid nid) MX_MUST_USE;

/* ---- merge_memory.c: the last merges ---- */
struct mx_merge_memory;
struct mx_merge_memory *mx_merge_memory_new(size_t merges);	/* 0: NULL, which remembers none */
void mx_merge_memory_free(struct mx_merge_memory **m);
/* roots: distinct and sorted. What to change in any of them, sorted by key. */
bool mx_merge_recall(struct mx_merge_memory *m, const struct mx_state_root *roots, size_t n,
		     struct mx_arena *a, struct mx_tree_entry **out, size_t *out_n);
void mx_merge_remember(struct mx_merge_memory *m, const struct mx_state_root *roots, size_t n,
		       const struct mx_tree_entry *v, size_t v_n);

#endif
