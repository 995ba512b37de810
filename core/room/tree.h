/* The state of a room as an immutable, content-addressed tree: a trie over 128-bit hashes of (type, state key), four bits a
 * level, whose leaves name events by nid. A part with at most MX_TREE_LEAF entries is one leaf, anything bigger branches; so the
 * shape depends on the entries alone, and equal states have equal roots. A node is addressed by the BLAKE2b of its bytes:
 *
 *	leaf	'L'  u8 n  { key[16]  u64 nid } × n		sorted by key
 *	branch	'B'  u8 0  u16 which  u32 entries  { hash[16] } × (bits of which)	big-endian
 *
 * Nodes in memory are shared, reference-counted and bounded by bytes; those that a write in flight is about to store are
 * pinned, because nobody could read them back yet. Any thread may use a cache; a struct mx_tree belongs to one. */
#ifndef CORE_ROOM_TREE_H
#define CORE_ROOM_TREE_H

#include <myelin/room.h>

#define MX_TREE_LEAF 16
#define MX_TREE_KEY 16

struct mx_node;
struct mx_node_cache;

struct mx_node_cache *mx_node_cache_new(size_t bytes);
void mx_node_cache_free(struct mx_node_cache **cache);
void mx_node_cache_stats(struct mx_node_cache *cache, uint64_t *hits, uint64_t *misses, size_t *bytes);

struct mx_tree_key {
	unsigned char h[MX_TREE_KEY];
};
struct mx_tree_key mx_tree_key(mx_str type, mx_str state_key);

/* A reader or writer of trees. What it has loaded it holds until mx_tree_done, so that a second try without I/O finds it. */
struct mx_tree {
	struct mx_node_cache *cache;
	struct mx_conn *conn;		/* NULL: memory only; what is missing is MX_E_AGAIN */
	struct mx_node **held;
	size_t held_n, held_room;
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
mx_error *mx_tree_get(struct mx_tree *t, struct mx_state_root root, struct mx_tree_key key, mx_nid *out) MX_MUST_USE;
/* The tree with the entry set, or removed (nid 0). *out is root itself when nothing changes. On failure nothing is fresh
 * that was not before. */
mx_error *mx_tree_set(struct mx_tree *t, struct mx_state_root root, struct mx_tree_key key, mx_nid nid,
		      struct mx_fresh_nodes *fresh, struct mx_state_root *out) MX_MUST_USE;
/* The number of entries. */
mx_error *mx_tree_count(struct mx_tree *t, struct mx_state_root root, size_t *out) MX_MUST_USE;
/* Every entry, in the order of keys; fn's error ends the walk. */
typedef mx_error *mx_tree_fn(void *arg, struct mx_tree_key key, mx_nid nid);
mx_error *mx_tree_each(struct mx_tree *t, struct mx_state_root root, mx_tree_fn *fn, void *arg) MX_MUST_USE;
/* Every key at which the trees differ, in order; 0 where one has none. Parts that both share are never looked at. */
typedef mx_error *mx_tree_diff_fn(void *arg, struct mx_tree_key key, mx_nid from, mx_nid to);
mx_error *mx_tree_diff(struct mx_tree *t, struct mx_state_root from, struct mx_state_root to, mx_tree_diff_fn *fn,
		       void *arg) MX_MUST_USE;

/* ---- between tree.c and nodes.c ---- */
struct mx_node {
	unsigned char hash[16];
	struct mx_node *chain, *newer, *older;
	uint32_t n, refs, pins;		/* guarded by the shard's lock; the cache itself holds one reference */
	bool cached;
	unsigned char bytes[];
};
/* A reference; MX_E_AGAIN when it is not in memory and there is no connection, MX_E_UNKNOWN when it is damaged or lost. The
 * tree holds it. */
mx_error *mx_node_load(struct mx_tree *t, const unsigned char hash[16], const struct mx_node **out) MX_MUST_USE;
/* The node with these bytes, pinned, into the list of fresh ones. */
const struct mx_node *mx_node_make(struct mx_fresh_nodes *f, const unsigned char *bytes, size_t n);

#endif
