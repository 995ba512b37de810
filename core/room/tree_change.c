/* Changing state trees: one entry, or many at once. */
#include "config.h"

#include "core/room/tree.h"

#include <stdlib.h>

struct change {
	struct mx_tree *t;
	struct mx_fresh_nodes *fresh;
};

/* ---- making nodes ---- */

static const struct mx_node *
make_leaf(struct mx_fresh_nodes *f, const struct mx_tree_entry *v, size_t n)
{
	unsigned char bytes[2 + MX_TREE_LEAF * MX_TREE_ENTRY] = { 'L', (unsigned char)n };

	for (size_t i = 0; i < n; i++)
		mx_entry_write(bytes + 2 + i * MX_TREE_ENTRY, &v[i]);
	return mx_node_make(f, bytes, 2 + n * MX_TREE_ENTRY);
}

static const struct mx_node *
make_branch(struct mx_fresh_nodes *f, const unsigned char *const child[MX_TREE_FAN], uint32_t count)
{
	unsigned char bytes[8 + MX_TREE_FAN * 16] = { 'B', 0 };
	unsigned which = 0;
	size_t n = 8;

	for (unsigned i = 0; i < MX_TREE_FAN; i++)
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

/* How many of the first entries take this step. */
static size_t
same_step(const struct mx_tree_entry *v, size_t n, unsigned depth, unsigned step)
{
	size_t end = 0;

	while (end < n && mx_tree_step(&v[end].key, depth) == step)
		end++;
	return end;
}

/* The part of a tree that holds these entries, from this depth on. n > 0. */
static const struct mx_node *
build(struct mx_fresh_nodes *f, const struct mx_tree_entry *v, size_t n, unsigned depth)
{
	const unsigned char *child[MX_TREE_FAN] = { NULL };

	if (n <= MX_TREE_LEAF)
		return make_leaf(f, v, n);
	for (size_t i = 0, some; i < n; i += some) {
		unsigned step = mx_tree_step(&v[i].key, depth);

		some = same_step(v + i, n - i, depth, step);
		child[step] = build(f, v + i, some, depth + 1)->hash;
	}
	return make_branch(f, child, (uint32_t)n);
}

/* ---- changing ---- */

size_t
mx_tree_merge(const struct mx_tree_entry *old, size_t old_n, const struct mx_tree_entry *v,
	      size_t n, struct mx_tree_entry *out)
{
	size_t i = 0, j = 0, k = 0;

	while (i < old_n || j < n) {
		int order = i == old_n ? 1
			    : j == n   ? -1
				       : memcmp(old[i].key.h, v[j].key.h, MX_TREE_KEY);

		if (order < 0)
			out[k++] = old[i];
		else if (v[j].nid != 0)
			out[k++] = v[j];
		i += order <= 0;
		j += order >= 0;
	}
	return k;
}

static const unsigned char *
change_leaf(struct change *c, const struct mx_node *n, const unsigned char *hash, unsigned depth,
	    const struct mx_tree_entry *v, size_t v_n, int64_t *more)
{
	struct mx_tree_entry old[MX_TREE_LEAF] = { 0 }, few[MX_TREE_LEAF + 1], *all = few;
	size_t old_n = n != NULL ? mx_node_entries(n) : 0;
	const unsigned char *out;

	for (unsigned i = 0; i < old_n; i++)
		old[i] = mx_node_entry(n, i);
	if (old_n + v_n > MX_TREE_LEAF + 1)
		all = mx_alloc((old_n + v_n) * sizeof(*all));
	size_t all_n = mx_tree_merge(old, old_n, v, v_n, all);
	bool same = all_n == old_n;

	for (size_t i = 0; same && i < all_n; i++)
		same = all[i].nid == old[i].nid &&
		       memcmp(all[i].key.h, old[i].key.h, MX_TREE_KEY) == 0;
	*more += (int64_t)all_n - (int64_t)old_n;
	out = same ? hash : all_n == 0 ? NULL : build(c->fresh, all, all_n, depth)->hash;
	if (all != few)
		free(all);
	return out;
}

/* A branch that holds no more than a leaf may: its entries, with the changed children in place, as
 * one leaf. */
static mx_error *
fold(struct change *c, const unsigned char *const child[MX_TREE_FAN], unsigned depth,
     const unsigned char **out)
{
	struct mx_tree_entries all = { 0 };
	mx_error *e = NULL;

	for (unsigned i = 0; i < MX_TREE_FAN && e == NULL; i++)
		e = mx_tree_collect(c->t, child[i], depth + 1, MX_TREE_ALL, &all);
	if (e == NULL)
		*out = all.n == 0 ? NULL : build(c->fresh, all.v, all.n, depth)->hash;
	free(all.v);
	return e;
}

/* *more: what it does to the number of entries. */
static mx_error *
change_at(struct change *c, const unsigned char *hash, unsigned depth,
	  const struct mx_tree_entry *v, size_t v_n, const unsigned char **out, int64_t *more)
{
	const unsigned char *child[MX_TREE_FAN], *needed[MX_TREE_FAN] = { NULL };
	const struct mx_node *n = NULL;
	bool changed = false;
	int64_t here = 0;

	if (hash != NULL)
		MX_TRY(mx_node_load(c->t, hash, depth, &n));
	if (n == NULL || mx_node_leaf(n)) {
		*out = change_leaf(c, n, hash, depth, v, v_n, more);
		return NULL;
	}
	for (unsigned i = 0; i < MX_TREE_FAN; i++)
		child[i] = mx_node_child(n, i);
	for (size_t i = 0; v_n > 1 && i < v_n; i++)
		needed[mx_tree_step(&v[i].key, depth)] = child[mx_tree_step(&v[i].key, depth)];
	MX_TRY(mx_nodes_fetch(c->t, needed, MX_TREE_FAN));
	for (size_t i = 0, some; i < v_n; i += some) {
		unsigned step = mx_tree_step(&v[i].key, depth);
		const unsigned char *old = child[step];

		some = same_step(v + i, v_n - i, depth, step);
		MX_TRY(change_at(c, old, depth + 1, v + i, some, &child[step], &here));
		changed |= child[step] != old;
	}
	*out = hash;
	*more += here;
	if (!changed)
		return NULL;
	int64_t count = (int64_t)mx_node_count(n) + here;

	if (count <= MX_TREE_LEAF)
		return fold(c, child, depth, out);
	*out = make_branch(c->fresh, child, (uint32_t)count)->hash;
	return NULL;
}

/* Takes back what was added to the list since it had n nodes. */
static void
undo(struct mx_fresh_nodes *fresh, size_t n)
{
	struct mx_fresh_nodes gone = { .cache = fresh->cache, .n = fresh->n - n };

	gone.v = mx_realloc(NULL, gone.n + 1, sizeof(struct mx_node *));
	if (gone.n > 0)
		memcpy(gone.v, fresh->v + n, gone.n * sizeof(struct mx_node *));
	fresh->n = n;
	mx_fresh_nodes_done(&gone);
}

mx_error *
mx_tree_set_many(struct mx_tree *t, struct mx_state_root root, const struct mx_tree_entry *v,
		 size_t n, struct mx_fresh_nodes *fresh, struct mx_state_root *out)
{
	struct change c = { .t = t, .fresh = fresh };
	const unsigned char *hash = mx_root_none(root) ? NULL : root.h, *next;
	size_t before = fresh->n;
	struct mx_state_root result = { { 0 } };
	int64_t more = 0;
	mx_error *e = change_at(&c, hash, 0, v, n, &next, &more);

	if (e != NULL) {
		undo(fresh, before);
		return e;
	}
	if (next != NULL)
		memcpy(result.h, next, sizeof(result.h));
	*out = result;
	return NULL;
}

mx_error *
mx_tree_set_all(struct mx_tree *t, struct mx_state_root root, const struct mx_tree_entry *v,
		size_t n, struct mx_fresh_nodes *fresh, struct mx_state_root *out)
{
	bool again = false;

	do
		MX_TRY(mx_tree_mend(t, mx_tree_set_many(t, root, v, n, fresh, out), &again, root,
				    root));
	while (again);
	return NULL;
}

mx_error *
mx_tree_set(struct mx_tree *t, struct mx_state_root root, struct mx_tree_key key, mx_nid nid,
	    struct mx_fresh_nodes *fresh, struct mx_state_root *out)
{
	struct mx_tree_entry entry = { key, nid };

	return mx_tree_set_all(t, root, &entry, 1, fresh, out);
}
