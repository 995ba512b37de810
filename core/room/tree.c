#include "config.h"

#include "core/room/tree.h"

#include <sodium.h>
#include <stdlib.h>

/* ---- keys and the bytes of a node ---- */

struct mx_tree_key
mx_tree_key(mx_str type, mx_str state_key)
{
	struct mx_tree_key k;
	crypto_generichash_state h;
	unsigned char n[4] = { (unsigned char)(type.n >> 24), (unsigned char)(type.n >> 16),
			       (unsigned char)(type.n >> 8), (unsigned char)type.n };

	crypto_generichash_init(&h, NULL, 0, sizeof(k.h));
	crypto_generichash_update(&h, n, sizeof(n));
	crypto_generichash_update(&h, (const unsigned char *)type.p, type.n);
	crypto_generichash_update(&h, (const unsigned char *)state_key.p, state_key.n);
	crypto_generichash_final(&h, k.h, sizeof(k.h));
	/* Members share fifteen of the sixteen first steps. */
	unsigned first = mx_str_eq(type, MX_S("m.room.member")) ? 1 + k.h[0] % 15u : 0;

	k.h[0] = (unsigned char)(first << 4 | (k.h[0] >> 4));
	return k;
}

bool
mx_node_leaf(const struct mx_node *n)
{
	return n->bytes[0] == 'L';
}

unsigned
mx_node_entries(const struct mx_node *n)
{
	return n->bytes[1];
}

struct mx_tree_entry
mx_entry_read(const unsigned char *p)
{
	struct mx_tree_entry e;
	uint64_t nid = 0;

	memcpy(e.key.h, p, MX_TREE_KEY);
	for (int b = 0; b < 8; b++)
		nid = nid << 8 | p[MX_TREE_KEY + b];
	e.nid = (mx_nid)nid;
	return e;
}

void
mx_entry_write(unsigned char *p, const struct mx_tree_entry *e)
{
	memcpy(p, e->key.h, MX_TREE_KEY);
	for (int b = 0; b < 8; b++)
		p[MX_TREE_KEY + b] = (unsigned char)((uint64_t)e->nid >> (56 - 8 * b));
}

struct mx_tree_entry
mx_node_entry(const struct mx_node *n, unsigned i)
{
	return mx_entry_read(n->bytes + 2 + i * MX_TREE_ENTRY);
}

const unsigned char *
mx_node_child(const struct mx_node *n, unsigned place)
{
	unsigned which = (unsigned)n->bytes[2] << 8 | n->bytes[3];

	if ((which >> place & 1) == 0)
		return NULL;
	return n->bytes + 8 + 16 * (size_t)__builtin_popcount(which & ((1u << place) - 1));
}

uint32_t
mx_node_count(const struct mx_node *n)
{
	if (mx_node_leaf(n))
		return mx_node_entries(n);
	return (uint32_t)n->bytes[4] << 24 | (uint32_t)n->bytes[5] << 16 |
	       (uint32_t)n->bytes[6] << 8 | n->bytes[7];
}

static const unsigned char *
root_hash(const struct mx_state_root *root)
{
	return mx_root_none(*root) ? NULL : root->h;
}

/* ---- one entry, and how many ---- */

static mx_error *
get(struct mx_tree *t, const struct mx_state_root *root, const struct mx_tree_key *key, mx_nid *out)
{
	const unsigned char *hash = root_hash(root);

	for (unsigned depth = 0; hash != NULL; depth++) {
		const struct mx_node *n;

		MX_TRY(mx_node_load(t, hash, depth, &n));
		if (!mx_node_leaf(n)) {
			hash = mx_node_child(n, mx_tree_step(key, depth));
			continue;
		}
		for (unsigned i = 0; i < mx_node_entries(n); i++)
			if (memcmp(n->bytes + 2 + i * MX_TREE_ENTRY, key->h, MX_TREE_KEY) == 0)
				*out = mx_node_entry(n, i).nid;
		return NULL;
	}
	return NULL;
}

static int
by_key(const void *a, const void *b)
{
	return memcmp(((const struct mx_tree_entry *)a)->key.h,
		      ((const struct mx_tree_entry *)b)->key.h, MX_TREE_KEY);
}

mx_error *
mx_tree_get(struct mx_tree *t, struct mx_state_root root, struct mx_tree_key key, mx_nid *out)
{
	const struct mx_chain *chain;

	*out = 0;
	mx_error *e = get(t, &root, &key, out);

	if (!mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	/* Stored as a delta: no need to make its nodes for one entry. */
	MX_TRY(mx_chain_read(t, root, &chain));
	struct mx_tree_entry wanted = { .key = key };
	const struct mx_tree_entry *changed = chain->changes.n == 0 ? NULL :
		bsearch(&wanted, chain->changes.v, chain->changes.n, sizeof(wanted), by_key);

	if (changed != NULL) {
		*out = changed->nid;
		return NULL;
	}
	return mx_tree_lost(get(t, &chain->delta.whole, &key, out));
}

static mx_error *
count(struct mx_tree *t, const struct mx_state_root *root, size_t *out)
{
	const struct mx_node *n;

	MX_TRY(mx_node_load(t, root->h, 0, &n));
	*out = mx_node_count(n);
	return NULL;
}

mx_error *
mx_tree_count(struct mx_tree *t, struct mx_state_root root, size_t *out)
{
	bool again = false;

	*out = 0;
	if (mx_root_none(root))
		return NULL;
	do
		MX_TRY(mx_tree_mend(t, count(t, &root, out), &again, root, root));
	while (again);
	return NULL;
}

/* ---- all entries ---- */

void
mx_tree_entries_add(struct mx_tree_entries *l, struct mx_tree_entry e)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 64 : 2 * l->room;
		l->v = mx_realloc(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = e;
}

mx_error *
mx_tree_collect(struct mx_tree *t, const unsigned char *hash, unsigned depth,
		enum mx_tree_part part, struct mx_tree_entries *out)
{
	const unsigned char *child[MX_TREE_FAN];
	const struct mx_node *n;

	if (hash == NULL)
		return NULL;
	MX_TRY(mx_node_load(t, hash, depth, &n));
	if (mx_node_leaf(n)) {
		for (unsigned i = 0; i < mx_node_entries(n); i++) {
			struct mx_tree_entry e = mx_node_entry(n, i);

			if (part == MX_TREE_ALL || mx_tree_step(&e.key, 0) == 0)
				mx_tree_entries_add(out, e);
		}
		return NULL;
	}
	unsigned steps = part == MX_TREE_NO_MEMBERS && depth == 0 ? 1 : MX_TREE_FAN;

	for (unsigned i = 0; i < steps; i++)
		child[i] = mx_node_child(n, i);
	MX_TRY(mx_nodes_fetch(t, child, steps));
	for (unsigned i = 0; i < steps; i++)
		MX_TRY(mx_tree_collect(t, child[i], depth + 1, part, out));
	return NULL;
}

mx_error *
mx_tree_each(struct mx_tree *t, struct mx_state_root root, enum mx_tree_part part, mx_tree_fn *fn,
	     void *arg)
{
	struct mx_tree_entries all = { 0 };
	bool again = false;
	mx_error *e;

	do {
		all.n = 0;
		e = mx_tree_mend(t, mx_tree_collect(t, root_hash(&root), 0, part, &all), &again,
				 root, root);
	} while (e == NULL && again);
	for (size_t i = 0; e == NULL && i < all.n; i++)
		e = fn(arg, all.v[i].key, all.v[i].nid);
	free(all.v);
	return e;
}

/* ---- the difference of two ---- */

struct difference {
	struct mx_tree_entries from, to;	/* what only one has, or has otherwise */
	const unsigned char **v;	/* pairs of nodes at one depth; NULL: there is none */
	size_t n, room;
};

static bool
same_node(const unsigned char *a, const unsigned char *b)
{
	return a == b || (a != NULL && b != NULL && memcmp(a, b, 16) == 0);
}

static void
add_pair(struct difference *d, const unsigned char *from, const unsigned char *to)
{
	if (same_node(from, to))
		return;
	if (d->n + 2 > d->room) {
		d->room = d->room == 0 ? 64 : 2 * d->room;
		d->v = mx_realloc(d->v, d->room, sizeof(*d->v));
	}
	d->v[d->n++] = from;
	d->v[d->n++] = to;
}

static void
sort(struct mx_tree_entries *l)
{
	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), by_key);
}

/* Replaces a pair by those below it, or by its entries. */
static mx_error *
diff_pair(struct mx_tree *t, const unsigned char *from, const unsigned char *to, unsigned depth,
	  struct difference *out)
{
	const struct mx_node *a = NULL, *b = NULL;

	if (from != NULL)
		MX_TRY(mx_node_load(t, from, depth, &a));
	if (to != NULL)
		MX_TRY(mx_node_load(t, to, depth, &b));
	if (a != NULL && b != NULL && !mx_node_leaf(a) && !mx_node_leaf(b)) {
		for (unsigned i = 0; i < MX_TREE_FAN; i++)
			add_pair(out, mx_node_child(a, i), mx_node_child(b, i));
		return NULL;
	}
	MX_TRY(mx_tree_collect(t, from, depth, MX_TREE_ALL, &out->from));
	return mx_tree_collect(t, to, depth, MX_TREE_ALL, &out->to);
}

/* Level by level, so that the nodes of one can be read together. */
static mx_error *
diff(struct mx_tree *t, const unsigned char *from, const unsigned char *to, struct difference *out)
{
	out->from.n = out->to.n = out->n = 0;
	add_pair(out, from, to);
	for (unsigned depth = 0; out->n > 0; depth++) {
		size_t end = out->n;

		MX_TRY(mx_nodes_fetch(t, out->v, end));
		for (size_t i = 0; i < end; i += 2)
			MX_TRY(diff_pair(t, out->v[i], out->v[i + 1], depth, out));
		out->n -= end;
		memmove(out->v, out->v + end, out->n * sizeof(*out->v));
	}
	sort(&out->from);
	sort(&out->to);
	return NULL;
}

static mx_error *
compare(const struct mx_tree_entries *a, const struct mx_tree_entries *b, mx_tree_diff_fn *fn,
	void *arg)
{
	size_t i = 0, j = 0;

	while (i < a->n || j < b->n) {
		int order = i == a->n ? 1 : j == b->n ? -1 : by_key(&a->v[i], &b->v[j]);
		mx_nid from = order <= 0 ? a->v[i].nid : 0, to = order >= 0 ? b->v[j].nid : 0;
		struct mx_tree_key key = order <= 0 ? a->v[i].key : b->v[j].key;

		i += order <= 0;
		j += order >= 0;
		if (from != to)
			MX_TRY(fn(arg, key, from, to));
	}
	return NULL;
}

mx_error *
mx_tree_diff(struct mx_tree *t, struct mx_state_root from, struct mx_state_root to,
	     mx_tree_diff_fn *fn, void *arg)
{
	struct difference d = { 0 };
	bool again = false;
	mx_error *e;

	do
		e = mx_tree_mend(t, diff(t, root_hash(&from), root_hash(&to), &d), &again, from,
				 to);
	while (e == NULL && again);
	if (e == NULL)
		e = compare(&d.from, &d.to, fn, arg);
	free(d.from.v);
	free(d.to.v);
	free(d.v);
	return e;
}
