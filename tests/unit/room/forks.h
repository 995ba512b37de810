/* A graph of a test (graph.h) as the engine would have stored it: its events as rows, and the state
 * after each of them as a stored tree. One at a time: what was there before is removed. */
#ifndef TESTS_UNIT_ROOM_FORKS_H
#define TESTS_UNIT_ROOM_FORKS_H

#include "tests/unit/room/plain.h"

#include "tests/unit/room/house.h"

#include "core/room/cover.h"
#include "core/room/merge.h"

struct forks {
	struct graph *g;
	struct mx_room *room;
	mx_nid nids[GRAPH_MAX];
	struct mx_state_root after[GRAPH_MAX];
};

static inline mx_error *
forks_clear(struct mx_txn *tx)
{
	static const struct mx_sql sql[] = {
		MX_SQL("DELETE FROM event"),
		MX_SQL("DELETE FROM room"),
		MX_SQL("DELETE FROM state_node"),
		MX_SQL("DELETE FROM cover"),
		MX_SQL("DELETE FROM cover_above"),
	};

	for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++)
		MX_TRY(mx_query_run(mx_query(mx_txn_conn(tx), &sql[i])));
	return NULL;
}

static inline int
forks_by_key(const void *a, const void *b)
{
	return memcmp(((const struct mx_tree_entry *)a)->key.h,
		      ((const struct mx_tree_entry *)b)->key.h, MX_TREE_KEY);
}

static inline mx_error *
forks_tree(const struct forks *f, const struct graph_state *s, struct mx_fresh_nodes *fresh,
	   struct mx_state_root *out)
{
	struct mx_tree t = mx_rooms_tree(rooms, NULL);
	struct mx_tree_entry v[GRAPH_MAX];

	for (int i = 0; i < s->n; i++)
		v[i] = (struct mx_tree_entry){ mx_tree_key(mx_event_type(f->g->ev[s->v[i]]),
							   mx_event_state_key(f->g->ev[s->v[i]])),
					       f->nids[s->v[i]] };
	qsort(v, (size_t)s->n, sizeof(v[0]), forks_by_key);
	mx_error *e = mx_tree_set_all(&t, (struct mx_state_root){ { 0 } }, v, (size_t)s->n, fresh,
				      out);

	mx_tree_done(&t);
	return e;
}

static inline mx_error *
forks_put_row(struct mx_txn *tx, struct mx_event *ev)
{
	MX_TRY(mx_event_put_row(tx, ev));
	return mx_cover_put(tx, rooms, ev);
}

static inline mx_error *
forks_put_event(struct mx_txn *tx, struct forks *f, int i, struct mx_fresh_nodes *fresh)
{
	struct mx_event *ev = f->g->ev[i];

	ev->nid = f->nids[i] = mx_txn_pos(tx);
	ev->room = f->room->nid;
	MX_TRY(mx_name_intern(tx, mx_event_sender(ev), &ev->sender_nid));
	if ((f->g->hidden >> i & 1) == 0)
		MX_TRY(forks_put_row(tx, ev));
	MX_TRY(forks_tree(f, &f->g->after[i], fresh, &f->after[i]));
	return mx_merge_store(tx, rooms, (struct mx_state_root){ { 0 } }, f->after[i], ev->nid);
}

static inline mx_error *
forks_put(struct mx_txn *tx, void *arg)
{
	static const struct mx_sql put = MX_SQL(
		"INSERT INTO room (nid, version, joined, invited) VALUES ($1, $2, 0, 0)");
	struct forks *f = arg;
	struct mx_fresh_nodes fresh = { .cache = rooms->nodes };
	mx_error *e = NULL;

	MX_TRY(forks_clear(tx));
	MX_TRY(mx_name_intern(tx, mx_event_room_id(f->g->ev[1]), &f->room->nid));
	struct mx_query *q = mx_query(mx_txn_conn(tx), &put);

	mx_bind_int(q, 1, f->room->nid);
	mx_bind_str(q, 2, f->room->version->name);
	MX_TRY(mx_query_run(q));
	for (int i = 0; e == NULL && i < f->g->n; i++)
		e = forks_put_event(tx, f, i, &fresh);
	mx_fresh_nodes_done(&fresh);
	return e;
}

static inline void
forks_store(struct forks *f, struct graph *g)
{
	house_again();
	*f = (struct forks){ .g = g };
	f->room = mx_room_new(rooms, mx_event_room_id(g->ev[1]), version_of(g->version));
	unit_ok(mx_write(db, forks_put, f));
}

#endif
