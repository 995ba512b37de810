/* The end of an entry: the state as a whole, and the write that makes the room. */
#include "config.h"

#include "core/room/entry.h"

#include <stdlib.h>

struct making {
	struct mx_entry *e;
	struct mx_conn *conn;
	struct mx_room *room;
	struct mx_store store;
	struct mx_stored join;
	struct mx_start start;
	struct mx_fresh_nodes fresh;	/* of the state before the join */
	mx_str gaps[MX_EVENT_MAX_PREV];	/* what the join comes after and we do not have */
};

/* ---- members that were stored before it was known that they are state ---- */

static mx_error *
write_some_late(struct mx_entry *e, struct mx_conn *c, size_t *at)
{
	struct mx_events evs = { 0 };
	uint32_t of[MX_ENTRY_CHUNK];
	mx_error *error = NULL;

	for (; *at < e->late_n && evs.n < MX_ENTRY_CHUNK && error == NULL; ++*at) {
		struct mx_event *ev = NULL;
		uint32_t record = e->late[*at];

		if (e->records[record].membership == MX_MEMBER_NONE)
			continue;
		error = mx_entry_event(e, c, e->records[record].nid, &ev);
		if (error == NULL) {
			of[evs.n] = record;
			mx_events_add(&evs, ev);
		}
	}
	if (error == NULL)
		error = mx_entry_write_members(e, evs.v, of, evs.n);
	mx_events_clear(&evs);
	return error;
}

static mx_error *
write_late(struct mx_entry *e, struct mx_conn *c)
{
	for (size_t at = 0; at < e->late_n;)
		MX_TRY(write_some_late(e, c, &at));
	return NULL;
}

/* ---- the state ---- */

static int
by_key(const void *a, const void *b)
{
	return memcmp(((const struct mx_tree_entry *)a)->key.h,
		      ((const struct mx_tree_entry *)b)->key.h, MX_TREE_KEY);
}

static mx_nid
state_at(const struct mx_entry *e, mx_str type, mx_str key)
{
	struct mx_tree_entry wanted = { .key = mx_tree_key(type, key) };
	const struct mx_tree_entry *found =
		e->state_n == 0 ? NULL :
				  bsearch(&wanted, e->state, e->state_n, sizeof(wanted), by_key);

	return found != NULL ? found->nid : 0;
}

static mx_error *
collect_state(struct mx_entry *e)
{
	e->state = mx_realloc(NULL, e->records_n + 1, sizeof(*e->state));
	for (size_t i = 0; i < e->records_n; i++) {
		const struct mx_record *r = &e->records[i];

		if (!r->state || r->rejected)
			continue;
		e->state[e->state_n++] = (struct mx_tree_entry){ r->key, r->nid };
		e->joined += r->membership == MX_MEMBER_JOIN;
		e->invited += r->membership == MX_MEMBER_INVITE;
	}
	qsort(e->state, e->state_n, sizeof(*e->state), by_key);
	for (size_t i = 1; i < e->state_n; i++)
		if (by_key(&e->state[i - 1], &e->state[i]) == 0)
			return mx_error_new(MX_E_BAD_JSON,
					    "the state has two events for one state key");
	if (e->state_n > (size_t)e->rs->opt.max_state)
		return mx_error_new(MX_E_TOO_LARGE,
				    "the room has more state events than this server allows");
	if (state_at(e, MX_S("m.room.create"), MX_S("")) == 0)
		return mx_error_new(MX_E_BAD_JSON, "the state has no m.room.create that is valid");
	return NULL;
}

/* Whether our join is allowed by the state that it comes into. */
static mx_error *
check_join(struct mx_entry *e, struct mx_conn *c, enum mx_membership *was)
{
	const struct mx_event *of[10];
	struct mx_events evs = { 0 };
	struct mx_auth_types types;
	mx_error *error = NULL;
	struct mx_rules_events set = { .v = of };
	mx_str user = mx_event_sender(e->join);

	mx_rules_auth_types_of(e->join, &types);
	for (size_t i = 0; i <= types.n && error == NULL; i++) {
		bool create = i == types.n;
		mx_nid nid = state_at(e, create ? MX_S("m.room.create") : types.v[i].type,
				      create ? MX_S("") : types.v[i].key);
		struct mx_event *ev = NULL;

		if (nid != 0)
			error = mx_entry_event(e, c, nid, &ev);
		if (ev == NULL)
			continue;
		mx_events_add(&evs, ev);
		of[set.n++] = ev;
		if (mx_str_eq(mx_event_type(ev), MX_S("m.room.member")) &&
		    mx_str_eq(mx_event_state_key(ev), user))
			*was = ev->membership;
	}
	struct mx_rules_state state = mx_rules_state_of(&set);

	if (error == NULL)
		error = mx_rules_check(e->join, &state);
	mx_events_clear(&evs);
	return error;
}

/* ---- the write ---- */

static void
locals_changed(void *arg, bool committed)
{
	struct making *m = arg;
	struct mx_entry *e = m->e;

	for (size_t i = 0; committed && i < e->locals_n; i++) {
		const struct mx_record *r = &e->records[e->locals[i].record];

		if (!r->rejected)
			mx_stream_member_changed(
				e->rs->stream,
				&(struct mx_member){ .user = e->locals[i].user,
						     .room = m->room->nid,
						     .membership = (enum mx_membership)r->membership,
						     .event = r->nid });
	}
}

static mx_error *
write_room(struct mx_txn *tx, void *arg)
{
	struct making *m = arg;

	m->room->nid = m->e->room;
	MX_TRY(mx_name_intern(tx, mx_event_sender(m->e->join), &m->e->join->sender_nid));
	mx_txn_after(tx, locals_changed, m);
	MX_TRY(mx_entry_write_rest(tx, m->e, m->room));
	MX_TRY(mx_store_write(tx, &m->store));
	return mx_gaps_put(tx, &m->join);
}

/* Our knowledge of the room begins with the join: what comes later and is named by it is no forward
 * extremity. */
static mx_error *
find_gaps(struct making *m)
{
	struct mx_event_ids it = mx_event_prev(m->e->join);
	mx_str id;

	m->join.gaps = m->gaps;
	while (m->join.gaps_n < MX_EVENT_MAX_PREV && mx_event_ids_next(&it, &id)) {
		MX_AUTO(mx_event) *there = NULL;
		mx_error *error = mx_event_get(m->e->rs, m->conn, id, &there);

		if (error != NULL && !mx_error_is(error, MX_E_NOT_FOUND))
			return error;
		mx_error_free(&error);
		if (there == NULL || there->outlier)
			m->gaps[m->join.gaps_n++] = id;
	}
	return NULL;
}

static mx_error *
make_state(struct making *m)
{
	struct mx_entry *e = m->e;
	struct mx_tree tree = mx_rooms_tree(e->rs, m->conn);
	struct mx_state_root none = { { 0 } };

	m->fresh.cache = e->rs->nodes;
	mx_error *error = mx_tree_set_many(&tree, none, e->state, e->state_n, &m->fresh, &e->root);

	mx_tree_done(&tree);
	return error;
}

static mx_error *
write_it(struct making *m)
{
	struct mx_entry *e = m->e;

	m->start = (struct mx_start){ e->root, e->joined, e->invited };
	m->store.room = m->room;
	m->store.v = &m->join;
	m->store.n = 1;
	m->store.start = &m->start;
	m->store.create = !e->known;
	pthread_mutex_lock(&m->room->lock);
	m->store.seq = m->room->view.seq + 1;
	pthread_mutex_unlock(&m->room->lock);
	return mx_write(e->rs->db, write_room, m);
}

/* A room that we were in before: nobody else may write to it meanwhile. */
static mx_error *
write_known(struct making *m)
{
	enum { ATTEMPTS = 20 };
	mx_error *error = mx_room_get(m->e->rs, m->conn, m->e->room_id, &m->room);

	if (error != NULL)
		return error;
	if (m->room->version != m->e->version)
		return mx_error_new(MX_E_BAD_JSON, "the room was of another version before");
	mx_tip_close(m->room);
	for (int i = 0; i < ATTEMPTS; i++) {
		error = mx_room_refresh(m->room, m->conn);
		if (error == NULL)
			error = write_it(m);
		if (!mx_error_is(error, MX_E_AGAIN) || i + 1 == ATTEMPTS)
			break;
		mx_error_free(&error);
	}
	mx_tip_open(m->room);
	return error;
}

static mx_error *
make_room(struct making *m)
{
	struct mx_entry *e = m->e;
	mx_error *error = make_state(m);

	if (error == NULL)
		error = find_gaps(m);
	m->join.event = mx_event_ref(e->join);
	if (error == NULL && e->known) {
		error = write_known(m);
	} else if (error == NULL) {
		m->room = mx_room_new(e->rs, e->room_id, e->version);
		m->room->nid = e->room;
		error = write_it(m);
	}
	mx_fresh_nodes_done(&m->fresh);
	mx_event_unref(&m->join.event);
	return error;
}

mx_error *
mx_entry_finish(struct mx_entry *e, struct mx_conn *c, struct mx_room **out)
{
	struct making m = { .e = e, .conn = c };

	*out = NULL;
	mx_conn_rest(c);
	MX_TRY(mx_entry_read_rest(e));
	MX_TRY(write_late(e, c));
	MX_TRY(mx_entry_judge(e, c));
	MX_TRY(collect_state(e));
	MX_TRY(check_join(e, c, &m.join.was));
	MX_TRY(mx_entry_cover(e));
	mx_error *error = make_room(&m);

	if (error != NULL) {
		mx_room_unref(&m.room);
		return error;
	}
	e->done = true;
	*out = m.room;
	mx_log("room", MX_INFO, "ROOM021", "came into a room of other servers",
	       mx_fs("room", e->room_id), mx_fi("state", (int64_t)e->state_n),
	       mx_fi("events", (int64_t)e->records_n), mx_fi("rejected", (int64_t)e->rejected),
	       mx_fi("dropped", (int64_t)e->dropped), mx_fi("ms", mx_now() - e->begun));
	return NULL;
}
