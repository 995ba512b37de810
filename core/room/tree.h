/* The state of a room as an immutable, content-addressed tree: a trie over 128-bit hashes of (type,
 * state key), four bits a level, whose leaves name events by nid. A part with at most MX_TREE_LEAF
 * entries is one leaf, anything bigger branches; so the shape depends on the entries alone, and
 * equal states have equal roots. A node is addressed by the BLAKE2b of its bytes:
 *
 *	leaf	'L'  u8 n  { key[16]  u64 nid } × n		sorted by key
 *	branch	'B'  u8 0  u16 which  u32 entries  { hash[16] } × (bits of which)	big-endian
 *
 * The first step of a key is 0 for all but m.room.member, and never 0 for that: the state without
 * members is a branch of its own, so that it can be read without them.
 *
 * Every event keeps the root after it for ever: who may see it, what the state was, resolution, and
 * gaps of /sync ask for it. A merge is stored only in the write that stores the event which needs
 * it (as the state before it, or the room's after it: event.root_before, root_room), and not again
 * when it is there; what a failed write had stored goes with it. So nothing that was stored becomes
 * garbage and there is nothing to collect (tests/unit/room/garbage.h looks for it; only the repair
 * of a damaged room leaves what it replaced), and what must be small is what a change stores. The
 * path to the changed leaf is four nodes, 1,040 bytes with their rows, in a room of 10,000.
 * Instead, a root is stored as a delta (delta.c): an earlier root and the few entries that differ.
 * Only once in a while the nodes themselves are stored, those that the last such tree does not
 * have: then 64 paths share most of theirs. Intermediate nodes live in memory and are made again
 * when they are missing. A change costs 640 bytes so (tests/bench/state).
 *
 * Nodes in memory are shared, reference-counted and bounded by bytes; those that a write in flight
 * is about to store are pinned, because nobody could read them back yet. Any thread may use a cache;
 * a struct mx_tree belongs to one. */
#ifndef CORE_ROOM_TREE_H
#define CORE_ROOM_TREE_H

#include <myelin/room.h>

#define MX_TREE_LEAF 16
#define MX_TREE_KEY 16

struct mx_node;
struct mx_node_cache;

struct mx_node_cache *mx_node_cache_new(size_t bytes);
void mx_node_cache_free(struct mx_node_cache **cache);
/* As mx_event_cache_age. */
void mx_node_cache_age(struct mx_node_cache *c, int64_t now);
void mx_node_cache_stats(struct mx_node_cache *cache, uint64_t *hits, uint64_t *misses,
			 size_t *bytes);

struct mx_tree_key {
	unsigned char h[MX_TREE_KEY];
};
struct mx_tree_key mx_tree_key(mx_str type, mx_str state_key);

struct mx_tree_entry {
	struct mx_tree_key key;
	mx_nid nid;
};

struct mx_chain;

/* A reader or writer of trees. What it has loaded it holds until mx_tree_done, so that a second try
 * without I/O finds it. */
struct mx_tree {
	struct mx_node_cache *cache;
	struct mx_conn *conn;		/* NULL: memory only; what is missing is MX_E_AGAIN */
	struct mx_node **held;
	size_t held_n, held_room;
	uint32_t *held_at;		/* a hash table over held: place + 1, 0 for free */
	size_t held_at_room;
	struct mx_chain *chain;		/* what was read last of how a root is stored */
};
void mx_tree_done(struct mx_tree *t);

/* Nodes that a change has made, pinned until mx_fresh_nodes_done. */
struct mx_fresh_nodes {
	struct mx_node_cache *cache;
	struct mx_node **v;
	size_t n, room;
};
mx_str mx_node_bytes(const struct mx_node *n);
/* What stands for a hash in the database's index. */
int64_t mx_node_number(const unsigned char hash[16]);
/* Call once they are stored, or never will be. */
void mx_fresh_nodes_done(struct mx_fresh_nodes *f);

static inline bool
mx_root_none(struct mx_state_root r)
{
	static const unsigned char zero[sizeof(r.h)];

	return memcmp(r.h, zero, sizeof(zero)) == 0;
}
static inline bool
mx_root_eq(struct mx_state_root a, struct mx_state_root b)
{
	return memcmp(a.h, b.h, sizeof(a.h)) == 0;
}

/* *out: the nid at the key, 0 for none. */
mx_error *mx_tree_get(struct mx_tree *t, struct mx_state_root root, struct mx_tree_key key,
		      mx_nid *out) MX_MUST_USE;
/* The tree with the entry set, or removed (nid 0). *out is root itself when nothing changes. On
 * failure nothing is fresh that was not before. */
mx_error *mx_tree_set(struct mx_tree *t, struct mx_state_root root, struct mx_tree_key key,
		      mx_nid nid, struct mx_fresh_nodes *fresh,
		      struct mx_state_root *out) MX_MUST_USE;
/* The same for several entries, sorted by key. */
mx_error *mx_tree_set_all(struct mx_tree *t, struct mx_state_root root,
			  const struct mx_tree_entry *v, size_t n, struct mx_fresh_nodes *fresh,
			  struct mx_state_root *out) MX_MUST_USE;
/* The number of entries. */
mx_error *mx_tree_count(struct mx_tree *t, struct mx_state_root root, size_t *out) MX_MUST_USE;
/* Every entry, in the order of keys; fn's error ends the walk. */
enum mx_tree_part { MX_TREE_ALL, MX_TREE_NO_MEMBERS };
typedef mx_error *mx_tree_fn(void *arg, struct mx_tree_key key, mx_nid nid);
mx_error *mx_tree_each(struct mx_tree *t, struct mx_state_root root, enum mx_tree_part part,
		       mx_tree_fn *fn, void *arg) MX_MUST_USE;
/* Every key at which the trees differ, in order; 0 where one has none. Parts that both share are
 * never looked at. */
typedef mx_error *mx_tree_diff_fn(void *arg, struct mx_tree_key key, mx_nid from, mx_nid to);
mx_error *mx_tree_diff(struct mx_tree *t, struct mx_state_root from, struct mx_state_root to,
		       mx_tree_diff_fn *fn, void *arg) MX_MUST_USE;

/* ---- how roots are stored ---- */
#define MX_DELTA_ENTRIES 8	/* of one delta */
#define MX_DELTA_FAR 8		/* deltas from a root to a whole tree */
#define MX_DELTA_MAX (27 + MX_DELTA_ENTRIES * 24)

struct mx_delta {			/* zero: the empty tree, which needs no storing */
	struct mx_state_root base, whole;	/* what it changes; the whole tree that it comes from in the end */
	unsigned far;			/* 0: the root itself is whole, and base is the root */
	size_t n;
	struct mx_tree_entry v[MX_DELTA_ENTRIES];
};
/* How a stored root is stored. */
mx_error *mx_delta_find(struct mx_tree *t, struct mx_state_root root,
			struct mx_delta *out) MX_MUST_USE;
/* How to store `after`, which is `before` (stored as *d) with these entries set, sorted by key: *d
 * is then about after. far 0: as a whole tree, of which those nodes must be stored that
 * mx_tree_new_nodes finds. */
mx_error *mx_delta_next(struct mx_tree *t, struct mx_delta *d, struct mx_state_root before,
			struct mx_state_root after, const struct mx_tree_entry *changes,
			size_t n) MX_MUST_USE;
/* The row of a root that is stored as a delta. Returns its length. */
size_t mx_delta_bytes(const struct mx_delta *d, struct mx_state_root root,
		      unsigned char out[MX_DELTA_MAX]);
/* Every node that `to` has and `whole` has not, for as long as t holds them. stored: the root
 * before `to`. */
mx_error *mx_tree_new_nodes(struct mx_tree *t, struct mx_state_root whole,
			    struct mx_state_root stored, struct mx_state_root to,
			    mx_error *(*fn)(void *arg, const struct mx_node *n),
			    void *arg) MX_MUST_USE;

/* ---- roots.c: rows ---- */

/* Numbers for the rows of state_node. An event has the first for the state after it (64 paths, and
 * the leaves that they split into), and the last for merges (merge.c). */
#define MX_NODES_PER_EVENT 4096
#define MX_DELTAS_PER_EVENT 64
struct mx_node_rows {
	mx_nid next, end;
};
/* Writes what mx_delta_next decides, over the connection of t, which must be a transaction's. */
mx_error *mx_root_put(struct mx_tree *t, struct mx_delta *d, struct mx_state_root before,
		      struct mx_state_root after, const struct mx_tree_entry *changes, size_t n,
		      struct mx_node_rows *rows) MX_MUST_USE;

/* ---- between the files of the tree ---- */
#define MX_TREE_FAN 16
#define MX_TREE_ENTRY 24	/* bytes of an entry */

struct mx_node {
	unsigned char hash[16];
	struct mx_node *chain, *newer, *older;
	uint32_t n, refs, pins;		/* guarded by the shard's lock; the cache itself holds one reference */
	bool cached;
	int64_t used;			/* mx_monotonic_us; the same guard */
	unsigned char bytes[];
};
bool mx_node_leaf(const struct mx_node *n);
unsigned mx_node_entries(const struct mx_node *leaf);
struct mx_tree_entry mx_node_entry(const struct mx_node *leaf, unsigned i);
/* The hash of the child at this place, or NULL. */
const unsigned char *mx_node_child(const struct mx_node *branch, unsigned place);
uint32_t mx_node_count(const struct mx_node *n);
struct mx_tree_entry mx_entry_read(const unsigned char *p);
void mx_entry_write(unsigned char *p, const struct mx_tree_entry *e);
/* The step from a branch at this depth to where the key is. */
static inline unsigned
mx_tree_step(const struct mx_tree_key *k, unsigned depth)
{
	return depth % 2 == 0 ? k->h[depth / 2] >> 4 : k->h[depth / 2] & 15;
}

/* A reference; MX_E_AGAIN when it is not in memory and there is no connection, MX_E_NOT_FOUND when
 * it is not stored (it is part of a root that is stored as a delta, or lost). The tree holds it.
 * depth: it may not be too deep. */
mx_error *mx_node_load(struct mx_tree *t, const unsigned char hash[16], unsigned depth,
		       const struct mx_node **out) MX_MUST_USE;
/* Reads those of the nodes that are not in memory, many with one statement, so that mx_node_load
 * finds them; what is not stored is left out. NULL among them is skipped. */
mx_error *mx_nodes_fetch(struct mx_tree *t, const unsigned char *const *hashes,
			 size_t n) MX_MUST_USE;
/* The node with these bytes, pinned, into the list of fresh ones. */
const struct mx_node *mx_node_make(struct mx_fresh_nodes *f, const unsigned char *bytes, size_t n);
/* The tree holds what is in the list, which is empty then. */
void mx_fresh_nodes_hold(struct mx_fresh_nodes *f, struct mx_tree *t);

struct mx_tree_entries {
	struct mx_tree_entry *v;
	size_t n, room;
};
void mx_tree_entries_add(struct mx_tree_entries *l, struct mx_tree_entry e);
/* Adds every entry of the part of a tree. */
mx_error *mx_tree_collect(struct mx_tree *t, const unsigned char *hash, unsigned depth,
			  enum mx_tree_part part, struct mx_tree_entries *out) MX_MUST_USE;
/* Both lists sorted: `old` with the changes (nid 0: removed) made, into out, which has room for
 * all. Returns how many. */
size_t mx_tree_merge(const struct mx_tree_entry *old, size_t old_n, const struct mx_tree_entry *v,
		     size_t n, struct mx_tree_entry *out);
/* The tree with all of these entries set, sorted by key. MX_E_NOT_FOUND when nodes are missing
 * because the root is stored as a delta. */
mx_error *mx_tree_set_many(struct mx_tree *t, struct mx_state_root root,
			   const struct mx_tree_entry *v, size_t n, struct mx_fresh_nodes *fresh,
			   struct mx_state_root *out) MX_MUST_USE;

/* A root by the deltas that it is stored as: the last whole tree, and the entries that differ from
 * it, sorted. Borrowed from t. */
struct mx_chain {
	struct mx_state_root root;
	struct mx_delta delta;		/* of the root itself; its whole is the last whole tree */
	struct mx_tree_entries changes;
};
mx_error *mx_chain_read(struct mx_tree *t, struct mx_state_root root,
			const struct mx_chain **out) MX_MUST_USE;
void mx_chain_free(struct mx_chain **c);
/* Makes the nodes of a root that is stored as a delta; the tree holds them. */
mx_error *mx_tree_rebuild(struct mx_tree *t, struct mx_state_root root) MX_MUST_USE;
/* MX_E_NOT_FOUND of a node becomes MX_E_UNKNOWN: to who asks for state it would mean something
 * else. Takes e. */
mx_error *mx_tree_lost(mx_error *e) MX_MUST_USE;
/* After an operation that found nodes missing (e, which it takes): MX_E_NOT_FOUND is freed and the
 * roots are made again, so that the operation can be repeated (*again), once; anything else is
 * returned. Afterwards *again is false. */
mx_error *mx_tree_mend(struct mx_tree *t, mx_error *e, bool *again, struct mx_state_root a,
		       struct mx_state_root b) MX_MUST_USE;

#endif
