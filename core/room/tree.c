#include "config.h"

#include "core/room/tree.h"

#include <sodium.h>
#include <stdlib.h>

enum { ENTRY = 24, FAN = 16, LEVELS = 2 * MX_TREE_KEY };

struct entry {
	struct mx_tree_key key;
	mx_nid nid;
};

struct mx_tree_key
mx_tree_key(mx_str type, mx_str state_key)
{
	struct mx_tree_key k;
	crypto_generichash_state h;
	unsigned char n[4] = { (unsigned char)(type.n >> 24), (unsigned char)(type.n >> 16), (unsigned char)(type.n >> 8),
			       (unsigned char)type.n };

	crypto_generichash_init(&h, NULL, 0, sizeof(k.h));
	crypto_generichash_update(&h, n, sizeof(n));
	crypto_generichash_update(&h, (const unsigned char *)type.p, type.n);
	crypto_generichash_update(&h, (const unsigned char *)state_key.p, state_key.n);
	crypto_generichash_final(&h, k.h, sizeof(k.h));
	return k;
}

/* ---- the bytes of a node ---- */

static unsigned
nibble(const struct mx_tree_key *k, unsigned depth)
{
	return depth % 2 == 0 ? k->h[depth / 2] >> 4 : k->h[depth / 2] & 15;
}

static bool
is_leaf(const struct mx_node *n)
{
	return n->bytes[0] == 'L';
}

static unsigned
leaf_n(const struct mx_node *n)
{
	return n->bytes[1];
}

static struct entry
leaf_entry(const struct mx_node *n, unsigned i)
{
	const unsigned char *p = n->bytes + 2 + i * ENTRY;
	struct entry e;
	uint64_t nid = 0;

	memcpy(e.key.h, p, MX_TREE_KEY);
	for (int b = 0; b < 8; b++)
		nid = nid << 8 | p[MX_TREE_KEY + b];
	e.nid = (mx_nid)nid;
	return e;
}

static unsigned
branch_which(const struct mx_node *n)
{
	return (unsigned)n->bytes[2] << 8 | n->bytes[3];
}

static uint32_t
branch_count(const struct mx_node *n)
{
	return (uint32_t)n->bytes[4] << 24 | (uint32_t)n->bytes[5] << 16 | (uint32_t)n->bytes[6] << 8 | n->bytes[7];
}

/* The hash of the child at this place, or NULL. */
static const unsigned char *
branch_child(const struct mx_node *n, unsigned place)
{
	unsigned which = branch_which(n);

	if ((which >> place & 1) == 0)
		return NULL;
	return n->bytes + 8 + 16 * (size_t)__builtin_popcount(which & ((1u << place) - 1));
}

static const struct mx_node *
make_leaf(struct mx_fresh_nodes *f, const struct entry *v, size_t n)
{
	unsigned char bytes[2 + MX_TREE_LEAF * ENTRY] = { 'L', (unsigned char)n };

	for (size_t i = 0; i < n; i++) {
		unsigned char *p = bytes + 2 + i * ENTRY;

		memcpy(p, v[i].key.h, MX_TREE_KEY);
		for (int b = 0; b < 8; b++)
			p[MX_TREE_KEY + b] = (unsigned char)((uint64_t)v[i].nid >> (56 - 8 * b));
	}
	return mx_node_make(f, bytes, 2 + n * ENTRY);
}

static const struct mx_node *
make_branch(struct mx_fresh_nodes *f, const unsigned char *const child[FAN], uint32_t count)
{
	unsigned char bytes[8 + FAN * 16] = { 'B', 0 };
	unsigned which = 0;
	size_t n = 8;

	for (unsigned i = 0; i < FAN; i++)
		if (child[i] != NULL) {
			which |= 1u << i;
			memcpy(bytes + n, child[i], 16);
			n += 16;
		}
	bytes[2] = (unsigned char)(which >> 8);
	bytes[3] = (unsigned char)which;
	for (int b = 0; b < 4; b++)
		bytes[4 + b] = (unsigned char)(count >> (24 - 8 * b));
	return mx_node_make(f, bytes, n);
}

static mx_error *
damaged(void)
{
	return mx_error_new(MX_E_UNKNOWN, "a state tree is damaged: it is too deep");
}

static mx_error *
load(struct mx_tree *t, const unsigned char *hash, unsigned depth, const struct mx_node **out)
{
	return depth >= LEVELS ? damaged() : mx_node_load(t, hash, out);
}

/* ---- reading ---- */

mx_error *
mx_tree_get(struct mx_tree *t, struct mx_state_root root, struct mx_tree_key key, mx_nid *out)
{
	const unsigned char *hash = mx_root_none(root) ? NULL : root.h;

	*out = 0;
	for (unsigned depth = 0; hash != NULL; depth++) {
		const struct mx_node *n;

		MX_TRY(load(t, hash, depth, &n));
		if (!is_leaf(n)) {
			hash = branch_child(n, nibble(&key, depth));
			continue;
		}
		for (unsigned i = 0; i < leaf_n(n); i++)
			if (memcmp(n->bytes + 2 + i * ENTRY, key.h, MX_TREE_KEY) == 0)
				*out = leaf_entry(n, i).nid;
		return NULL;
	}
	return NULL;
}

mx_error *
mx_tree_count(struct mx_tree *t, struct mx_state_root root, size_t *out)
{
	const struct mx_node *n;

	*out = 0;
	if (mx_root_none(root))
		return NULL;
	MX_TRY(load(t, root.h, 0, &n));
	*out = is_leaf(n) ? leaf_n(n) : branch_count(n);
	return NULL;
}

static mx_error *
each(struct mx_tree *t, const unsigned char *hash, unsigned depth, mx_tree_fn *fn, void *arg)
{
	const struct mx_node *n;

	if (hash == NULL)
		return NULL;
	MX_TRY(load(t, hash, depth, &n));
	if (is_leaf(n)) {
		for (unsigned i = 0; i < leaf_n(n); i++) {
			struct entry e = leaf_entry(n, i);

			MX_TRY(fn(arg, e.key, e.nid));
		}
		return NULL;
	}
	for (unsigned i = 0; i < FAN; i++)
		MX_TRY(each(t, branch_child(n, i), depth + 1, fn, arg));
	return NULL;
}

mx_error *
mx_tree_each(struct mx_tree *t, struct mx_state_root root, mx_tree_fn *fn, void *arg)
{
	return each(t, mx_root_none(root) ? NULL : root.h, 0, fn, arg);
}

/* ---- the difference of two ---- */

struct entries {
	struct entry *v;
	size_t n, room;
};

static mx_error *
collect(void *arg, struct mx_tree_key key, mx_nid nid)
{
	struct entries *l = arg;

	if (l->n == l->room) {
		l->room = l->room == 0 ? 64 : 2 * l->room;
		l->v = mx_realloc(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = (struct entry){ key, nid };
	return NULL;
}

static mx_error *
merge(const struct entries *a, const struct entries *b, mx_tree_diff_fn *fn, void *arg)
{
	size_t i = 0, j = 0;

	while (i < a->n || j < b->n) {
		int order = i == a->n ? 1 : j == b->n ? -1 : memcmp(a->v[i].key.h, b->v[j].key.h, MX_TREE_KEY);
		mx_nid from = order <= 0 ? a->v[i].nid : 0, to = order >= 0 ? b->v[j].nid : 0;
		struct mx_tree_key key = order <= 0 ? a->v[i].key : b->v[j].key;

		i += order <= 0;
		j += order >= 0;
		if (from != to)
			MX_TRY(fn(arg, key, from, to));
	}
	return NULL;
}

static mx_error *
diff(struct mx_tree *t, const unsigned char *from, const unsigned char *to, unsigned depth, mx_tree_diff_fn *fn,
     void *arg)
{
	const struct mx_node *a = NULL, *b = NULL;

	if (from == to || (from != NULL && to != NULL && memcmp(from, to, 16) == 0))
		return NULL;
	if (from != NULL)
		MX_TRY(load(t, from, depth, &a));
	if (to != NULL)
		MX_TRY(load(t, to, depth, &b));
	if (a != NULL && b != NULL && !is_leaf(a) && !is_leaf(b)) {
		for (unsigned i = 0; i < FAN; i++)
			MX_TRY(diff(t, branch_child(a, i), branch_child(b, i), depth + 1, fn, arg));
		return NULL;
	}
	struct entries olds = { 0 }, news = { 0 };
	mx_error *e = each(t, from, depth, collect, &olds);

	if (e == NULL)
		e = each(t, to, depth, collect, &news);
	if (e == NULL)
		e = merge(&olds, &news, fn, arg);
	free(olds.v);
	free(news.v);
	return e;
}

mx_error *
mx_tree_diff(struct mx_tree *t, struct mx_state_root from, struct mx_state_root to, mx_tree_diff_fn *fn, void *arg)
{
	return diff(t, mx_root_none(from) ? NULL : from.h, mx_root_none(to) ? NULL : to.h, 0, fn, arg);
}

/* ---- changing ---- */

struct change {
	struct mx_tree *t;
	struct mx_fresh_nodes *fresh;
	struct mx_tree_key key;
	mx_nid nid;			/* 0: remove */
	int more;			/* what it does to the number of entries: -1, 0, 1 */
};

/* The part of a tree that holds these entries, from this depth on. n > 0. */
static const struct mx_node *
build(struct mx_fresh_nodes *f, const struct entry *v, size_t n, unsigned depth)
{
	const unsigned char *child[FAN] = { NULL };

	if (n <= MX_TREE_LEAF)
		return make_leaf(f, v, n);
	for (size_t i = 0; i < n;) {
		unsigned place = nibble(&v[i].key, depth);
		size_t end = i + 1;

		while (end < n && nibble(&v[end].key, depth) == place)
			end++;
		child[place] = build(f, v + i, end - i, depth + 1)->hash;
		i = end;
	}
	return make_branch(f, child, (uint32_t)n);
}

static const unsigned char *
change_leaf(struct change *c, const struct mx_node *n, const unsigned char *hash, unsigned depth)
{
	struct entry v[MX_TREE_LEAF + 1];
	unsigned old = n != NULL ? leaf_n(n) : 0, at = 0;

	for (unsigned i = 0; i < old; i++) {
		v[i] = leaf_entry(n, i);
		if (memcmp(v[i].key.h, c->key.h, MX_TREE_KEY) < 0)
			at = i + 1;
	}
	bool has = at < old && memcmp(v[at].key.h, c->key.h, MX_TREE_KEY) == 0;

	if (has ? v[at].nid == c->nid : c->nid == 0)
		return hash;
	c->more = (c->nid != 0) - (int)has;
	if (c->more == 1)
		memmove(v + at + 1, v + at, (old - at) * sizeof(*v));
	if (c->more == -1)
		memmove(v + at, v + at + 1, (old - at - 1) * sizeof(*v));
	else
		v[at] = (struct entry){ c->key, c->nid };
	size_t n_new = (size_t)((int)old + c->more);

	return n_new == 0 ? NULL : build(c->fresh, v, n_new, depth)->hash;
}

/* A branch that holds no more than a leaf may: its entries, with the changed child in place, as one leaf. */
static mx_error *
fold(struct change *c, const unsigned char *const child[FAN], unsigned depth, const unsigned char **out)
{
	struct entries all = { 0 };
	mx_error *e = NULL;

	for (unsigned i = 0; i < FAN && e == NULL; i++)
		e = each(c->t, child[i], depth + 1, collect, &all);
	if (e == NULL)
		*out = build(c->fresh, all.v, all.n, depth)->hash;
	free(all.v);
	return e;
}

static mx_error *
change_at(struct change *c, const unsigned char *hash, unsigned depth, const unsigned char **out)
{
	const unsigned char *child[FAN];
	const struct mx_node *n = NULL;

	if (hash != NULL)
		MX_TRY(load(c->t, hash, depth, &n));
	if (n == NULL || is_leaf(n)) {
		*out = change_leaf(c, n, hash, depth);
		return NULL;
	}
	for (unsigned i = 0; i < FAN; i++)
		child[i] = branch_child(n, i);
	unsigned place = nibble(&c->key, depth);
	const unsigned char *old = child[place];

	MX_TRY(change_at(c, old, depth + 1, &child[place]));
	if (child[place] == old) {
		*out = hash;
		return NULL;
	}
	uint32_t count = branch_count(n) + (uint32_t)c->more;

	if (count <= MX_TREE_LEAF)
		return fold(c, child, depth, out);
	*out = make_branch(c->fresh, child, count)->hash;
	return NULL;
}

mx_error *
mx_tree_set(struct mx_tree *t, struct mx_state_root root, struct mx_tree_key key, mx_nid nid,
	    struct mx_fresh_nodes *fresh, struct mx_state_root *out)
{
	struct change c = { .t = t, .fresh = fresh, .key = key, .nid = nid };
	const unsigned char *hash = mx_root_none(root) ? NULL : root.h, *next;
	size_t before = fresh->n;
	struct mx_state_root result = { { 0 } };

	mx_error *e = change_at(&c, hash, 0, &next);

	if (e != NULL) {
		struct mx_fresh_nodes undo = { .cache = fresh->cache, .n = fresh->n - before };

		undo.v = mx_realloc(NULL, undo.n + 1, sizeof(*undo.v));
		if (undo.n > 0)
			memcpy(undo.v, fresh->v + before, undo.n * sizeof(*undo.v));
		fresh->n = before;
		mx_fresh_nodes_done(&undo);
		return e;
	}
	if (next != NULL)
		memcpy(result.h, next, sizeof(result.h));
	*out = result;
	return NULL;
}
