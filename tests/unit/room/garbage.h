/* Whether every row of the state trees belongs to the state of some event. */
#ifndef TESTS_UNIT_ROOM_GARBAGE_H
#define TESTS_UNIT_ROOM_GARBAGE_H

#include "tests/unit/room/house.h"

#include "core/stream/nidmap.h"

#include <sodium.h>

struct garbage {
	struct mx_nidmap deltas, nodes;	/* by mx_node_number: in use */
	struct mx_tree tree;
};

static inline void
garbage_use_node(struct garbage *g, const unsigned char *hash, unsigned depth)
{
	const struct mx_node *n;

	if (hash == NULL || mx_nidmap_get(&g->nodes, mx_node_number(hash)) != NULL)
		return;
	mx_nidmap_put(&g->nodes, mx_node_number(hash), g);
	unit_ok(mx_node_load(&g->tree, hash, depth, &n));
	for (unsigned i = 0; !mx_node_leaf(n) && i < MX_TREE_FAN; i++)
		garbage_use_node(g, mx_node_child(n, i), depth + 1);
}

static inline void
garbage_use(struct garbage *g, struct mx_state_root root)
{
	struct mx_delta d;

	while (!mx_root_none(root)) {
		unit_ok(mx_delta_find(&g->tree, root, &d));
		if (d.far == 0) {
			garbage_use_node(g, root.h, 0);
			return;
		}
		mx_nidmap_put(&g->deltas, mx_node_number(root.h), g);
		root = d.base;
	}
}

static inline void
garbage_use_column(struct garbage *g, const struct mx_query *q, int i)
{
	mx_str bytes = mx_col_str(q, i);
	struct mx_state_root root;

	if (bytes.n != sizeof(root.h))
		return;
	memcpy(root.h, bytes.p, sizeof(root.h));
	garbage_use(g, root);
}

/* Returns how many rows there are. */
static inline size_t
garbage_check(void)
{
	static const struct mx_sql roots = MX_SQL("SELECT root, root_before, root_room FROM event");
	static const struct mx_sql rows = MX_SQL("SELECT hash, data FROM state_node");
	struct garbage g = { .tree = mx_rooms_tree(rooms, conn) };
	struct mx_query *q = mx_query(conn, &roots);
	size_t n = 0;

	while (mx_query_next(q))
		for (int i = 0; i < 3; i++)
			garbage_use_column(&g, q, i);
	unit_ok(mx_query_end(q));
	q = mx_query(conn, &rows);
	for (; mx_query_next(q); n++) {
		bool delta = mx_col_str(q, 1).p[0] == 'D';

		if (mx_nidmap_get(delta ? &g.deltas : &g.nodes, mx_col_int(q, 0)) == NULL)
			fail_msg("a %s belongs to no state of an event", delta ? "delta" : "node");
	}
	unit_ok(mx_query_end(q));
	mx_nidmap_clear(&g.deltas);
	mx_nidmap_clear(&g.nodes);
	mx_tree_done(&g.tree);
	return n;
}

#endif
