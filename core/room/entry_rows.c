/* What an entry writes. */
#include "config.h"

#include "core/room/entry.h"

#define FRESH 30000		/* ms: a claim that nobody has renewed for so long is abandoned */
#define DELETE_AT_ONCE 500

static const struct mx_sql GET_CLAIM = MX_SQL("SELECT token FROM entry WHERE room = $1");
static const struct mx_sql ABANDONED = MX_SQL("SELECT room, store FROM entry WHERE at < $1 LIMIT 1");
static const struct mx_sql PUT_CLAIM =
	MX_SQL("INSERT INTO entry (room, store, token, at) VALUES ($1, $2, $3, $4)");
static const struct mx_sql RENEW =
	MX_SQL("UPDATE entry SET at = $3 WHERE room = $1 AND token = $2 RETURNING room");
static const struct mx_sql TAKE_OVER = MX_SQL("UPDATE entry SET token = $2, at = $3 WHERE room = $1");
static const struct mx_sql DELETE_OURS = MX_SQL("DELETE FROM entry WHERE room = $1 AND token = $2");
static const struct mx_sql HAS_ROOM = MX_SQL("SELECT 1 FROM room WHERE nid = $1");
/* The lowest outlier stays, as nothing of any room: its number may not be given out again. */
static const struct mx_sql EMPTY_LOWEST = MX_SQL(
	"UPDATE event SET room = 0, id = '', id_hash = 0, json = '{}' WHERE room = $1");
static const struct mx_sql DELETE_EMPTY =
	MX_SQL("DELETE FROM event WHERE room = $1 AND nid > (SELECT MIN(nid) FROM event)");
static const struct mx_sql DELETE_EVENTS =
	MX_SQL("DELETE FROM event WHERE nid IN (SELECT e.nid FROM event e WHERE e.room = $1 AND "
	       "e.nid > (SELECT MIN(nid) FROM event) LIMIT $2) RETURNING nid");
static const struct mx_sql DELETE_FATES =
	MX_SQL("DELETE FROM event_fate WHERE nid IN (SELECT nid FROM event WHERE room = $1)");
static const struct mx_sql DELETE_COVER = MX_SQL("DELETE FROM cover WHERE nid = $1");
static const struct mx_sql DELETE_ABOVE =
	MX_SQL("DELETE FROM cover_above WHERE below >= 2 * $1 AND below <= 2 * $1 + 1");
static const struct mx_sql DELETE_MEMBERS = MX_SQL("DELETE FROM membership WHERE room = $1");
static const struct mx_sql FIND =
	MX_SQL("SELECT nid, alias, flags FROM event WHERE id_hash = $1 AND id = $2 AND room = $3");
static const struct mx_sql PUT_MEMBER =
	MX_SQL("INSERT INTO membership (room, \"user\", membership, event, forgotten, local) "
	       "VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (room, \"user\") DO UPDATE SET "
	       "membership = excluded.membership, event = excluded.event, changed = NULL");
static const struct mx_sql DELETE_MEMBER =
	MX_SQL("DELETE FROM membership WHERE room = $1 AND \"user\" = $2 AND event = $3");
static const struct mx_sql REJECT = MX_SQL("UPDATE event SET flags = flags | 2 WHERE nid = $1");
static const struct mx_sql DELETE_EVENT = MX_SQL("DELETE FROM event WHERE nid = $1");
static const struct mx_sql DELETE_OLD_MEMBERS =
	MX_SQL("DELETE FROM membership WHERE room = $1 AND local = 0");
static const struct mx_sql MOVE_EVENTS = MX_SQL("UPDATE event SET room = $1 WHERE room = $2");
static const struct mx_sql MOVE_MEMBERS = MX_SQL("UPDATE membership SET room = $1 WHERE room = $2");

/* ---- the claim ---- */

static mx_error *
look_for_room(struct mx_txn *tx, struct mx_entry *e)
{
	MX_AUTO(mx_buf) *name = mx_buf_new(0);

	MX_TRY(mx_name_intern(tx, e->room_id, &e->room));
	struct mx_query *q = mx_query(mx_txn_conn(tx), &HAS_ROOM);

	mx_bind_int(q, 1, e->room);
	e->known = mx_query_next(q);
	MX_TRY(mx_query_end(q));
	e->store = e->room;
	if (!e->known)
		return NULL;
	/* No room id has a space in front. */
	mx_buf_printf(name, " %.*s", MX_SFMT(e->room_id));
	return mx_name_intern(tx, mx_buf_view(name), &e->store);
}

static mx_error *
claim(struct mx_txn *tx, void *arg)
{
	struct mx_entry *e = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	struct mx_query *q;

	MX_TRY(look_for_room(tx, e));
	q = mx_query(c, &GET_CLAIM);
	mx_bind_int(q, 1, e->room);
	bool taken = mx_query_next(q);

	MX_TRY(mx_query_end(q));
	if (taken)
		return mx_error_new(MX_E_UNAVAILABLE, "somebody is just entering the room");
	q = mx_query(c, &PUT_CLAIM);
	mx_bind_int(q, 1, e->room);
	mx_bind_int(q, 2, e->store);
	mx_bind_int(q, 3, e->token);
	mx_bind_int(q, 4, mx_now());
	return mx_query_run(q);
}

static mx_error *
renew(struct mx_txn *tx, const struct mx_entry *e)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &RENEW);

	mx_bind_int(q, 1, e->room);
	mx_bind_int(q, 2, e->token);
	mx_bind_int(q, 3, mx_now());
	bool ours = mx_query_next(q);

	MX_TRY(mx_query_end(q));
	return ours ? NULL : mx_error_new(MX_E_UNAVAILABLE,
					  "entering the room took too long; somebody else does it");
}

/* ---- leftovers ---- */

struct leftover {
	mx_nid room, store, token;
	bool found, begun, more;
};

static mx_error *
run_on(struct mx_conn *c, const struct mx_sql *sql, mx_nid room)
{
	struct mx_query *q = mx_query(c, sql);

	mx_bind_int(q, 1, room);
	return mx_query_run(q);
}

static mx_error *
run_on_two(struct mx_conn *c, const struct mx_sql *sql, mx_nid a, mx_nid b)
{
	struct mx_query *q = mx_query(c, sql);

	mx_bind_int(q, 1, a);
	mx_bind_int(q, 2, b);
	return mx_query_run(q);
}

/* Who took too long has lost the claim, and what it had stored is another's business by now. */
static mx_error *
is_ours(struct mx_conn *c, const struct leftover *l, bool *out)
{
	struct mx_query *q = mx_query(c, &GET_CLAIM);

	mx_bind_int(q, 1, l->room);
	*out = mx_query_next(q) && mx_col_int(q, 0) == l->token;
	return mx_query_end(q);
}

static mx_error *
delete_events(struct mx_conn *c, struct leftover *l)
{
	struct mx_query *q;
	mx_nid nids[DELETE_AT_ONCE];
	size_t n = 0;

	if (!l->begun)
		MX_TRY(run_on(c, &DELETE_FATES, l->store));
	l->begun = true;
	q = mx_query(c, &DELETE_EVENTS);
	mx_bind_int(q, 1, l->store);
	mx_bind_int(q, 2, DELETE_AT_ONCE);
	while (n < DELETE_AT_ONCE && mx_query_next(q))
		nids[n++] = mx_col_int(q, 0);
	MX_TRY(mx_query_end(q));
	for (size_t i = 0; i < n; i++) {
		MX_TRY(run_on(c, &DELETE_COVER, nids[i]));
		MX_TRY(run_on(c, &DELETE_ABOVE, nids[i]));
	}
	l->more = n > 0;
	return NULL;
}

/* Some of its events; the rest with its claim once there are none. */
static mx_error *
clean_some(struct mx_txn *tx, void *arg)
{
	struct leftover *l = arg;
	struct mx_conn *c = mx_txn_conn(tx);
	bool ours;

	l->more = false;
	MX_TRY(is_ours(c, l, &ours));
	if (!ours)
		return NULL;
	MX_TRY(delete_events(c, l));
	if (l->more)
		return NULL;
	MX_TRY(run_on(c, &EMPTY_LOWEST, l->store));
	MX_TRY(run_on(c, &DELETE_EMPTY, 0));
	MX_TRY(run_on(c, &DELETE_MEMBERS, l->store));
	return run_on_two(c, &DELETE_OURS, l->room, l->token);
}

static mx_error *
find_abandoned(struct mx_txn *tx, void *arg)
{
	struct leftover *l = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &ABANDONED);

	mx_bind_int(q, 1, mx_now() - FRESH);
	l->found = mx_query_next(q);
	if (l->found) {
		l->room = mx_col_int(q, 0);
		l->store = mx_col_int(q, 1);
	}
	MX_TRY(mx_query_end(q));
	if (!l->found)
		return NULL;
	q = mx_query(mx_txn_conn(tx), &TAKE_OVER);
	mx_bind_int(q, 1, l->room);
	mx_bind_int(q, 2, l->token);
	mx_bind_int(q, 3, mx_now());
	return mx_query_run(q);
}

static mx_nid
new_token(void)
{
	mx_nid token;

	do
		mx_random(&token, sizeof(token));
	while (token == 0);
	return token;
}

static mx_error *
clean(struct mx_rooms *rs, struct leftover *l)
{
	do
		MX_TRY(mx_write(rs->db, clean_some, l));
	while (l->more);
	return NULL;
}

/* What servers that were killed have left behind. */
static mx_error *
clean_abandoned(struct mx_rooms *rs)
{
	for (;;) {
		struct leftover l = { .token = new_token() };

		MX_TRY(mx_write(rs->db, find_abandoned, &l));
		if (!l.found)
			return NULL;
		MX_TRY(clean(rs, &l));
	}
}

mx_error *
mx_entry_claim(struct mx_entry *e)
{
	e->token = new_token();
	MX_TRY(clean_abandoned(e->rs));
	MX_TRY(mx_write(e->rs->db, claim, e));
	e->claimed = true;
	return NULL;
}

void
mx_entry_clean(struct mx_entry *e)
{
	struct leftover l = { .room = e->room, .store = e->store, .token = e->token };
	mx_error *error = clean(e->rs, &l);

	if (error == NULL)
		return;
	mx_log("room", MX_WARN, "ROOM020", "what is left of entering a room will be removed later",
	       mx_fs("room", e->room_id), mx_fe(error));
	mx_error_free(&error);
}

/* ---- a chunk ---- */

static mx_error *
put_member(struct mx_conn *c, mx_nid room, mx_nid user, int64_t membership, mx_nid event, bool local)
{
	struct mx_query *q = mx_query(c, &PUT_MEMBER);

	mx_bind_int(q, 1, room);
	mx_bind_int(q, 2, user);
	mx_bind_int(q, 3, membership);
	mx_bind_int(q, 4, event);
	mx_bind_int(q, 5, local);
	return mx_query_run(q);
}

static bool
is_member(const struct mx_event *ev)
{
	return mx_str_eq(mx_event_type(ev), MX_S("m.room.member"));
}

/* The row of a member of another server; of ours only who it is. */
static mx_error *
put_state_member(struct mx_txn *tx, struct mx_entry *e, const struct mx_event *ev, mx_nid nid,
		 mx_nid *local)
{
	mx_nid user;

	MX_TRY(mx_name_intern(tx, mx_event_state_key(ev), &user));
	if (mx_rooms_is_local(e->rs, mx_event_state_key(ev))) {
		*local = user;
		return NULL;
	}
	return put_member(mx_txn_conn(tx), e->store, user, ev->membership, nid, false);
}

/* Whether the event is here from when we were in the room before. */
static mx_error *
find_known(struct mx_txn *tx, struct mx_entry *e, struct mx_chunk *k, size_t i)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &FIND);
	mx_str id = mx_event_id(k->v[i].event);

	mx_bind_int(q, 1, mx_event_id_hash(id));
	mx_bind_str(q, 2, id);
	mx_bind_int(q, 3, e->room);
	k->known[i] = mx_query_next(q);
	if (k->known[i]) {
		k->nid[i] = mx_col_int(q, mx_col_null(q, 1) ? 0 : 1);
		k->rejected[i] = (mx_col_int(q, 2) & MX_EVENT_REJECTED) != 0;
	}
	return mx_query_end(q);
}

static mx_error *
write_chunk(struct mx_txn *tx, void *arg)
{
	struct mx_entry *e = arg;
	struct mx_chunk *k = e->flight;
	mx_nid first;

	MX_TRY(renew(tx, e));
	MX_TRY(mx_outlier_nids(tx, k->n, &first));
	for (size_t i = 0; i < k->n; i++) {
		struct mx_event *ev = k->v[i].event;

		k->user[i] = 0;
		k->known[i] = k->rejected[i] = false;
		if (e->known)
			MX_TRY(find_known(tx, e, k, i));
		if (!k->known[i]) {
			k->nid[i] = first + (mx_nid)i;
			MX_TRY(mx_outlier_put(tx, e->store, k->nid[i], ev));
			MX_TRY(mx_fate_put(tx, &k->v[i]));
		}
		if (k->state[i] && is_member(ev))
			MX_TRY(put_state_member(tx, e, ev, k->nid[i], &k->user[i]));
	}
	if (e->numbers == 0) {
		e->numbers = first;
		e->numbers_n = (mx_nid)k->n;
	}
	return NULL;
}

static void
landed(void *arg, mx_error *error)
{
	struct mx_entry *e = arg;

	e->error = error;
	sem_post(&e->landed);
}

void
mx_entry_write_chunk(struct mx_entry *e)
{
	mx_write_later(e->rs->db, write_chunk, landed, e);
}

/* ---- verdicts ---- */

struct verdicts {
	struct mx_entry *e;
	struct mx_arrival *v;
	const uint32_t *at;
	size_t n;
};

static mx_error *
write_verdict(struct mx_txn *tx, struct mx_entry *e, const struct mx_arrival *v,
	      const struct mx_record *r)
{
	struct mx_conn *c = mx_txn_conn(tx);

	if (r->missing) {
		MX_TRY(run_on(c, &DELETE_EVENT, r->nid));
	} else {
		MX_TRY(run_on(c, &REJECT, r->nid));
		MX_TRY(mx_fate_put(tx, v));
	}
	if (!r->state || !is_member(v->event))
		return NULL;
	mx_nid user;

	MX_TRY(mx_name_intern(tx, mx_event_state_key(v->event), &user));
	struct mx_query *q = mx_query(c, &DELETE_MEMBER);

	mx_bind_int(q, 1, e->store);
	mx_bind_int(q, 2, user);
	mx_bind_int(q, 3, r->nid);
	return mx_query_run(q);
}

static mx_error *
write_verdicts(struct mx_txn *tx, void *arg)
{
	struct verdicts *d = arg;

	MX_TRY(renew(tx, d->e));
	for (size_t i = 0; i < d->n; i++)
		MX_TRY(write_verdict(tx, d->e, &d->v[i], &d->e->records[d->at[i]]));
	return NULL;
}

mx_error *
mx_entry_write_verdicts(struct mx_entry *e, struct mx_arrival *v, const uint32_t *at, size_t n)
{
	struct verdicts d = { e, v, at, n };

	return mx_write(e->rs->db, write_verdicts, &d);
}

/* ---- members that came late ---- */

struct members {
	struct mx_entry *e;
	struct mx_event *const *v;
	size_t n;
	mx_nid user[MX_ENTRY_CHUNK];	/* of ours */
};

static mx_error *
write_members(struct mx_txn *tx, void *arg)
{
	struct members *m = arg;

	MX_TRY(renew(tx, m->e));
	for (size_t i = 0; i < m->n; i++) {
		m->user[i] = 0;
		MX_TRY(put_state_member(tx, m->e, m->v[i], mx_event_state_nid(m->v[i]),
					&m->user[i]));
	}
	return NULL;
}

mx_error *
mx_entry_write_members(struct mx_entry *e, struct mx_event *const *evs, const uint32_t *at,
		       size_t n)
{
	struct members m = { .e = e, .v = evs, .n = n };

	MX_TRY(mx_write(e->rs->db, write_members, &m));
	for (size_t i = 0; i < n; i++)
		if (m.user[i] != 0)
			mx_entry_add_local(e, m.user[i], at[i]);
	return NULL;
}

/* ---- the end ---- */

static mx_error *
put_root(struct mx_entry *e, struct mx_conn *c)
{
	struct mx_tree tree = mx_rooms_tree(e->rs, c);
	struct mx_node_rows rows = { .next = e->numbers * MX_NODES_PER_EVENT };
	struct mx_state_root none = { { 0 } };
	struct mx_delta d = { .far = 0 };

	rows.end = rows.next + e->numbers_n * MX_NODES_PER_EVENT;
	mx_error *error = mx_root_put(&tree, &d, none, e->root, e->state, e->state_n, &rows);

	mx_tree_done(&tree);
	return error;
}

mx_error *
mx_entry_write_rest(struct mx_txn *tx, struct mx_entry *e, const struct mx_room *r)
{
	struct mx_conn *c = mx_txn_conn(tx);

	MX_TRY(renew(tx, e));
	if (e->known) {
		MX_TRY(run_on(c, &DELETE_OLD_MEMBERS, r->nid));
		MX_TRY(run_on_two(c, &MOVE_EVENTS, r->nid, e->store));
		MX_TRY(run_on_two(c, &MOVE_MEMBERS, r->nid, e->store));
	}
	for (size_t i = 0; i < e->locals_n; i++) {
		const struct mx_record *m = &e->records[e->locals[i].record];

		if (!m->rejected)
			MX_TRY(put_member(c, r->nid, e->locals[i].user, m->membership, m->nid,
					  true));
	}
	MX_TRY(put_root(e, c));
	return run_on_two(c, &DELETE_OURS, e->room, e->token);
}
