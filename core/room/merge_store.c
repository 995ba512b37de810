/* Storing what was merged. */
#include "config.h"

#include "core/room/merge.h"

#define WHOLE_BITS 20	/* of the numbers for a merged tree that is stored whole: 2^20 nodes */

static const struct mx_sql LAST_NODE =
	MX_SQL("SELECT nid FROM state_node WHERE nid >= $1 AND nid < $2 "
	       "ORDER BY nid DESC LIMIT 1");

struct changes {
	struct mx_tree_entry v[MX_DELTA_ENTRIES + 1];
	size_t n;		/* at most one more than a delta has room for */
};

static mx_error *
add_change(void *arg, struct mx_tree_key key, mx_nid from, mx_nid to)
{
	struct changes *l = arg;

	(void)from;
	if (l->n <= MX_DELTA_ENTRIES)
		l->v[l->n++] = (struct mx_tree_entry){ key, to };
	return NULL;
}

/* The numbers that are still free from here on. */
static mx_error *
free_numbers(struct mx_conn *c, mx_nid from, mx_nid end, struct mx_node_rows *out)
{
	struct mx_query *q = mx_query(c, &LAST_NODE);

	*out = (struct mx_node_rows){ from, end };
	mx_bind_int(q, 1, from);
	mx_bind_int(q, 2, end);
	if (mx_query_next(q))
		out->next = mx_col_int(q, 0) + 1;
	return mx_query_end(q);
}

/* A delta is appended, as those of events are. A whole tree may have any number of nodes: for those
 * there is room before the numbers of all events. */
static mx_error *
numbers(struct mx_conn *c, mx_nid nid, bool whole, struct mx_node_rows *out)
{
	mx_nid end = (nid + 1) * MX_NODES_PER_EVENT, room = INT64_C(1) << WHOLE_BITS;
	mx_nid from = INT64_MIN + (nid > 0 ? 2 * nid : 1 - 2 * nid) * room;

	if (!whole)
		return free_numbers(c, end - MX_DELTAS_PER_EVENT, end, out);
	return free_numbers(c, from, from + room, out);
}

/* Whether the root can be read back already. */
static bool
is_stored(struct mx_tree *t, struct mx_state_root root)
{
	struct mx_delta d;

	return !mx_error_drop(mx_delta_find(t, root, &d));
}

static mx_error *
store(struct mx_tree *t, struct mx_state_root near, struct mx_state_root root, mx_nid nid)
{
	struct changes l = { .n = 0 };
	struct mx_delta d, next;
	struct mx_node_rows rows;

	if (is_stored(t, root))
		return NULL;
	MX_TRY(mx_delta_find(t, near, &d));
	MX_TRY(mx_tree_diff(t, near, root, add_change, &l));
	next = d;
	MX_TRY(mx_delta_next(t, &next, near, root, l.v, l.n));
	MX_TRY(numbers(t->conn, nid, next.far == 0, &rows));
	return mx_root_put(t, &d, near, root, l.v, l.n, &rows);
}

mx_error *
mx_merge_store(struct mx_txn *tx, struct mx_rooms *rs, struct mx_state_root near,
	       struct mx_state_root root, mx_nid nid)
{
	struct mx_tree t = mx_rooms_tree(rs, mx_txn_conn(tx));
	mx_error *e = store(&t, near, root, nid);

	mx_tree_done(&t);
	return e;
}
