/* Roots that are stored as what differs from an earlier one. A row of state_node that is a delta:
 *
 *	'D'  u8 n  u8 far  check[8]  base[16]  { key[16]  u64 nid } × n		sorted by key;
 *									nid 0: removed
 *
 * check is of the root that it stands for and of all that follows, so that a row is neither
 * mistaken for another's nor believed when it is damaged. far is 1 for a change of a whole tree, and
 * always more than that of its base: where several rows stand for a root, the one with the least is
 * read, so that chains end. While a delta has room, the next one changes the same base; so a chain
 * of MX_DELTA_FAR rows holds MX_DELTA_FAR × MX_DELTA_ENTRIES changes. */
#include "config.h"

#include "core/room/tree.h"

#include <sodium.h>
#include <stdlib.h>

enum { CHECK = 3, BASE = CHECK + 8, ENTRIES = BASE + 16 };

static const struct mx_sql GET_ROWS = MX_SQL("SELECT data FROM state_node WHERE hash = $1");

static mx_error *
lost(void)
{
	return mx_error_new(MX_E_UNKNOWN, "a node of a state tree is missing or damaged");
}

mx_error *
mx_tree_lost(mx_error *e)
{
	if (!mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	return lost();
}

/* ---- rows ---- */

static void
check_of(struct mx_state_root root, const unsigned char *row, size_t n, unsigned char out[16])
{
	crypto_generichash_state h;

	crypto_generichash_init(&h, NULL, 0, 16);
	crypto_generichash_update(&h, root.h, sizeof(root.h));
	crypto_generichash_update(&h, row, CHECK);
	crypto_generichash_update(&h, row + BASE, n - BASE);
	crypto_generichash_final(&h, out, 16);
}

size_t
mx_delta_bytes(const struct mx_delta *d, struct mx_state_root root, unsigned char out[MX_DELTA_MAX])
{
	size_t n = ENTRIES + d->n * MX_TREE_ENTRY;
	unsigned char check[16];

	out[0] = 'D';
	out[1] = (unsigned char)d->n;
	out[2] = (unsigned char)d->far;
	memcpy(out + BASE, d->base.h, sizeof(d->base.h));
	for (size_t i = 0; i < d->n; i++)
		mx_entry_write(out + ENTRIES + i * MX_TREE_ENTRY, &d->v[i]);
	check_of(root, out, n, check);
	memcpy(out + CHECK, check, BASE - CHECK);
	return n;
}

/* Whether the row is a delta for this root. */
static bool
parse(mx_str row, struct mx_state_root root, struct mx_delta *out)
{
	const unsigned char *p = (const unsigned char *)row.p;
	unsigned char check[16];

	if (row.n < ENTRIES || p[0] != 'D' || p[1] > MX_DELTA_ENTRIES ||
	    row.n != ENTRIES + (size_t)p[1] * MX_TREE_ENTRY)
		return false;
	check_of(root, p, row.n, check);
	if (memcmp(check, p + CHECK, BASE - CHECK) != 0)
		return false;
	*out = (struct mx_delta){ .n = p[1], .far = p[2] };
	memcpy(out->base.h, p + BASE, sizeof(out->base.h));
	for (size_t i = 0; i < out->n; i++)
		out->v[i] = mx_entry_read(p + ENTRIES + i * MX_TREE_ENTRY);
	return true;
}

/* The row for the root that is nearest to a whole tree and nearer than `below`; far 0 when the root
 * is whole. */
static mx_error *
read_delta(struct mx_tree *t, struct mx_state_root root, unsigned below, struct mx_delta *out)
{
	struct mx_query *q = mx_query(t->conn, &GET_ROWS);
	bool found = false;

	mx_bind_int(q, 1, mx_node_number(root.h));
	while (mx_query_next(q)) {
		mx_str row = mx_col_str(q, 0);
		unsigned char hash[16];
		struct mx_delta one = { .base = root, .whole = root };

		if (row.n == 0 || (row.p[0] == 'D' && !parse(row, root, &one)))
			continue;
		if (row.p[0] != 'D') {
			crypto_generichash(hash, sizeof(hash), (const unsigned char *)row.p, row.n,
					   NULL, 0);
			if (memcmp(hash, root.h, sizeof(hash)) != 0)
				continue;
		}
		if (one.far < below) {
			below = one.far;
			*out = one;
			found = true;
		}
	}
	MX_TRY(mx_query_end(q));
	return found ? NULL : lost();
}

/* ---- chains ---- */

void
mx_chain_free(struct mx_chain **cp)
{
	struct mx_chain *c = *cp;

	if (c != NULL)
		free(c->changes.v);
	free(c);
	*cp = NULL;
}

/* Older changes go under those that are already there. */
static void
put_under(struct mx_tree_entries *l, const struct mx_delta *d)
{
	struct mx_tree_entry old[MX_DELTA_ENTRIES],
		*all = mx_alloc((l->n + d->n + 1) * sizeof(*all));
	size_t i = 0, j = 0, n = 0;

	memcpy(old, d->v, d->n * sizeof(*old));
	while (i < d->n || j < l->n) {
		int order = i == d->n   ? 1
			    : j == l->n ? -1
					: memcmp(old[i].key.h, l->v[j].key.h, MX_TREE_KEY);

		all[n++] = order < 0 ? old[i] : l->v[j];
		i += order <= 0;
		j += order >= 0;
	}
	free(l->v);
	*l = (struct mx_tree_entries){ all, n, n + 1 };
}

mx_error *
mx_chain_read(struct mx_tree *t, struct mx_state_root root, const struct mx_chain **out)
{
	unsigned below = UINT8_MAX + 1;
	mx_error *e = NULL;

	*out = t->chain;
	if (t->chain != NULL && mx_root_eq(t->chain->root, root))
		return NULL;
	if (t->conn == NULL)
		return mx_error_new(MX_E_AGAIN, "a node of a state tree is not in memory");
	struct mx_chain *c = mx_alloc(sizeof(*c));
	struct mx_delta d = { .base = root, .far = below };

	c->root = root;
	do {
		e = mx_root_none(d.base) ? NULL : read_delta(t, d.base, below, &d);
		if (e != NULL)
			break;
		if (mx_root_none(d.base))
			d = (struct mx_delta){ 0 };
		if (below > UINT8_MAX)
			c->delta = d;
		if (d.far > 0)
			put_under(&c->changes, &d);
		below = d.far;
	} while (d.far > 0);
	if (e != NULL) {
		mx_chain_free(&c);
		return e;
	}
	c->delta.whole = d.base;
	mx_chain_free(&t->chain);
	*out = t->chain = c;
	return NULL;
}

mx_error *
mx_delta_find(struct mx_tree *t, struct mx_state_root root, struct mx_delta *out)
{
	const struct mx_chain *c;

	*out = (struct mx_delta){ 0 };
	if (mx_root_none(root))
		return NULL;
	MX_TRY(mx_chain_read(t, root, &c));
	*out = c->delta;
	return NULL;
}

/* ---- making nodes again ---- */

mx_error *
mx_tree_rebuild(struct mx_tree *t, struct mx_state_root root)
{
	struct mx_fresh_nodes fresh = { .cache = t->cache };
	const struct mx_chain *c;
	struct mx_state_root made;

	MX_TRY(mx_chain_read(t, root, &c));
	mx_error *e =
		mx_tree_set_many(t, c->delta.whole, c->changes.v, c->changes.n, &fresh, &made);

	if (e == NULL && !mx_root_eq(made, root))
		e = lost();
	mx_fresh_nodes_hold(&fresh, t);
	return e;
}

mx_error *
mx_tree_mend(struct mx_tree *t, mx_error *e, bool *again, struct mx_state_root a,
	     struct mx_state_root b)
{
	bool second = *again;

	*again = false;
	if (!mx_error_is(e, MX_E_NOT_FOUND))
		return e;
	mx_error_free(&e);
	if (second)
		return lost();
	/* One of them may not be stored yet: that one is whole in memory, and the other is what
	 * must be made again. */
	e = mx_root_none(a) ? lost() : mx_tree_lost(mx_tree_rebuild(t, a));
	if ((e == NULL || mx_error_is(e, MX_E_UNKNOWN)) && !mx_root_none(b) && !mx_root_eq(a, b)) {
		mx_error *other = mx_tree_lost(mx_tree_rebuild(t, b));

		if (e == NULL && mx_error_is(other, MX_E_UNKNOWN)) {
			mx_error_free(&other);
		} else {
			mx_error_free(&e);
			e = other;
		}
	}
	*again = e == NULL;
	return e;
}

/* ---- the next one ---- */

/* Sets the entry in the delta; false when it is full. */
static bool
add(struct mx_delta *d, const struct mx_tree_entry *change)
{
	size_t at = 0;

	while (at < d->n && memcmp(d->v[at].key.h, change->key.h, MX_TREE_KEY) < 0)
		at++;
	if (at == d->n || memcmp(d->v[at].key.h, change->key.h, MX_TREE_KEY) != 0) {
		if (d->n == MX_DELTA_ENTRIES)
			return false;
		memmove(d->v + at + 1, d->v + at, (d->n - at) * sizeof(*d->v));
		d->n++;
	}
	d->v[at] = *change;
	return true;
}

/* A tree of one leaf is stored as itself when that is no larger, or when its deltas would be a
 * chain. */
static mx_error *
small(struct mx_tree *t, struct mx_state_root root, const struct mx_delta *d, bool *out)
{
	const struct mx_node *n;

	MX_TRY(mx_node_load(t, root.h, 0, &n));
	*out = mx_node_leaf(n) && (d->far > 1 || n->n <= ENTRIES + d->n * MX_TREE_ENTRY);
	return NULL;
}

/* Sets all of them, or returns false. */
static bool
add_all(struct mx_delta *d, const struct mx_tree_entry *changes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!add(d, &changes[i]))
			return false;
	return true;
}

mx_error *
mx_delta_next(struct mx_tree *t, struct mx_delta *d, struct mx_state_root before,
	      struct mx_state_root after, const struct mx_tree_entry *changes, size_t n)
{
	struct mx_delta next = *d;
	bool whole = false;

	if (mx_root_none(after)) {
		*d = (struct mx_delta){ 0 };
		return NULL;
	}
	if (add_all(&next, changes, n)) {
		next.far += next.far == 0;
	} else {
		next = (struct mx_delta){ .base = before, .whole = d->whole, .far = d->far + 1 };
		whole = !add_all(&next, changes, n);
	}
	if (!whole)
		MX_TRY(small(t, after, &next, &whole));
	if (whole || next.far > MX_DELTA_FAR)
		next = (struct mx_delta){ .base = after, .whole = after };
	*d = next;
	return NULL;
}

/* ---- the nodes of a whole tree ---- */

struct found {
	const struct mx_node **v;
	size_t n, room;
};

static mx_error *
find_new(struct mx_tree *t, const unsigned char *old, const unsigned char *hash, unsigned depth,
	 struct found *f)
{
	const struct mx_node *n, *was = NULL;

	if (hash == NULL || (old != NULL && memcmp(old, hash, 16) == 0))
		return NULL;
	MX_TRY(mx_node_load(t, hash, depth, &n));
	if (f->n == f->room) {
		f->room = f->room == 0 ? 64 : 2 * f->room;
		f->v = mx_realloc(f->v, f->room, sizeof(*f->v));
	}
	f->v[f->n++] = n;
	if (mx_node_leaf(n))
		return NULL;
	if (old != NULL)
		MX_TRY(mx_node_load(t, old, depth, &was));
	if (was != NULL && mx_node_leaf(was))
		was = NULL;
	for (unsigned i = 0; i < MX_TREE_FAN; i++)
		MX_TRY(find_new(t, was != NULL ? mx_node_child(was, i) : NULL, mx_node_child(n, i),
				depth + 1, f));
	return NULL;
}

mx_error *
mx_tree_new_nodes(struct mx_tree *t, struct mx_state_root whole, struct mx_state_root stored,
		  struct mx_state_root to, mx_error *(*fn)(void *arg, const struct mx_node *n),
		  void *arg)
{
	struct found f = { 0 };
	bool again = false;
	mx_error *e;

	do {
		f.n = 0;
		e = mx_tree_mend(t, find_new(t, mx_root_none(whole) ? NULL : whole.h, to.h, 0, &f),
				 &again, stored, stored);
	} while (e == NULL && again);
	for (size_t i = 0; e == NULL && i < f.n; i++)
		e = fn(arg, f.v[i]);
	free(f.v);
	return e;
}
