/* Writing roots to the database, as deltas or with their nodes. */
#include "config.h"

#include "core/room/tree.h"

static const struct mx_sql PUT_NODE =
	MX_SQL("INSERT INTO state_node (nid, hash, data) VALUES ($1, $2, $3)");

struct put {
	struct mx_conn *conn;
	struct mx_node_rows *rows;
};

static mx_error *
put_row(const struct put *p, const unsigned char hash[16], const void *bytes, size_t n)
{
	if (p->rows->next == p->rows->end)
		return mx_error_new(MX_E_UNKNOWN,
				    "a state event changes more of the state tree than it can");
	struct mx_query *q = mx_query(p->conn, &PUT_NODE);

	mx_bind_int(q, 1, p->rows->next++);
	mx_bind_int(q, 2, mx_node_number(hash));
	mx_bind_blob(q, 3, bytes, n);
	return mx_query_run(q);
}

static mx_error *
put_node(void *arg, const struct mx_node *n)
{
	return put_row(arg, n->hash, n->bytes, n->n);
}

mx_error *
mx_root_put(struct mx_tree *t, struct mx_delta *d, struct mx_state_root before,
	    struct mx_state_root after, const struct mx_tree_entry *changes, size_t n,
	    struct mx_node_rows *rows)
{
	struct put p = { t->conn, rows };
	struct mx_state_root whole = d->whole;
	unsigned char row[MX_DELTA_MAX];

	MX_TRY(mx_delta_next(t, d, before, after, changes, n));
	if (mx_root_none(after))
		return NULL;	/* the empty tree needs no row */
	if (d->far == 0)
		return mx_tree_new_nodes(t, whole, before, after, put_node, &p);
	return put_row(&p, after.h, row, mx_delta_bytes(d, after, row));
}
