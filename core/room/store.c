/* The write: prepared events get their positions, move the state tree on, and become rows. It runs
 * on the writer's thread, which alone knows what the state is at that point; what it makes of a
 * room is in room->w until the batch is durable. */
#include "config.h"

#include "core/room/cover.h"
#include "core/room/engine.h"
#include "core/room/hash.h"

static const struct mx_sql PUT_ROOM =
	MX_SQL("INSERT INTO room (nid, version, joined, invited) VALUES ($1, $2, $3, $4)");
static const struct mx_sql COUNT_MEMBERS =
	MX_SQL("UPDATE room SET joined = joined + $2, invited = invited + $3 WHERE nid = $1");
static const struct mx_sql START_AGAIN =
	MX_SQL("UPDATE room SET joined = $2, invited = $3, extremities = NULL WHERE nid = $1");
static const struct mx_sql PUT_EVENT =
	MX_SQL("INSERT INTO event (nid, room, type, state_key, sender, depth, ts, flags, id, "
	       "id_hash, root_before, root, "
	       "device, txn_id, json) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, "
	       "$13, $14, $15)");
static const struct mx_sql PUT_MEMBER =
	MX_SQL("INSERT INTO membership (room, \"user\", membership, event, forgotten, local, "
	       "changed) VALUES ($1, $2, $3, $4, 0, $5, $6) "
	       "ON CONFLICT (room, \"user\") DO UPDATE SET membership = excluded.membership, event "
	       "= excluded.event, changed = excluded.changed, forgotten = 0");
static const struct mx_sql REDACT =
	MX_SQL("UPDATE event SET json = $2, flags = flags | 1, redacted_by = $3 WHERE nid = $1 AND "
	       "redacted_by IS NULL");

/* ---- what the commit changes in memory ---- */

static bool
is_member(const struct mx_event *ev)
{
	return ev->state && mx_str_eq(mx_event_type(ev), MX_S("m.room.member"));
}

/* Whether the parsed facts about a room rest on events like this one. */
static bool
is_fact(const struct mx_event *ev)
{
	mx_str type = mx_event_type(ev);

	return ev->state && (mx_str_eq(type, MX_S("m.room.power_levels")) ||
			     mx_str_eq(type, MX_S("m.room.create")) ||
			     mx_str_eq(type, MX_S("m.room.history_visibility")));
}

/* With room->lock held: when an event further back is shown now, the tail lacks it, and it stands
 * between two that were neighbours. */
static void
forget_tail(struct mx_store *s)
{
	struct mx_room_view *view = &s->room->view;
	bool reveals = false;

	for (size_t i = 0; i < s->n; i++)
		reveals |= s->v[i].reveals != NULL && s->v[i].reveals->n > 0;
	if (!reveals)
		return;
	view->tail_n = 0;
	view->tail_floor = view->last;
	mx_event_cache_unlink(s->room->rs->events);
}

static void
move_view(struct mx_store *s)
{
	struct mx_room *r = s->room;
	const struct mx_event *last = s->v[s->n - 1].event;
	mx_str id = mx_event_id(last);
	unsigned char hash[MX_SHA256_SIZE] = { 0 };

	if (r->version->refs_with_hashes)
		mx_event_reference_hash(r->version, mx_event_json(last), hash);
	pthread_mutex_lock(&r->lock);
	r->view.seq = s->seq;
	if (s->v[0].placing != NULL) {
		mx_place_view(s);
		forget_tail(s);
		pthread_mutex_unlock(&r->lock);
		return;
	}
	if (s->start != NULL) {
		r->view.joined = s->start->joined;
		r->view.invited = s->start->invited;
		mx_extremities_clear(&r->view.forks);
		mx_view_forget_facts(r);
	}
	for (size_t i = 0; i < s->n; i++) {
		const struct mx_stored *v = &s->v[i];

		if (!v->event->hidden)
			mx_view_push(r, v->event);
		if (is_member(v->event)) {
			enum mx_membership now = v->event->membership;

			r->view.joined += mx_member_change(v->was, now, MX_MEMBER_JOIN);
			r->view.invited += mx_member_change(v->was, now, MX_MEMBER_INVITE);
		}
		if (is_fact(v->event) || (v->target != NULL && v->target->state))
			mx_view_forget_facts(r);
	}
	r->view.last = last->nid;
	r->view.depth = last->depth;
	r->view.root = last->after;
	if (s->joins)
		mx_extremities_clear(&r->view.forks);
	memcpy(r->view.last_id, id.p, id.n);
	r->view.last_id[id.n] = '\0';
	memcpy(r->view.last_hash, hash, sizeof(hash));
	forget_tail(s);
	pthread_mutex_unlock(&r->lock);
}

static void
committed_to_memory(struct mx_store *s)
{
	struct mx_rooms *rs = s->room->rs;

	for (size_t i = 0; i < s->n; i++) {
		mx_event_cache_put(rs->events, s->v[i].event);
		if (s->v[i].redacted != NULL)
			mx_event_cache_put(rs->events, s->v[i].redacted);
		for (size_t k = 0; s->v[i].reveals != NULL && k < s->v[i].reveals->n; k++)
			mx_event_cache_put(rs->events, s->v[i].reveals->v[k]);
	}
	move_view(s);
	if (s->announced)
		mx_room_loaded(s->room, true);
	for (size_t i = 0; i < s->n; i++) {
		const struct mx_event *ev = s->v[i].event;

		if (s->v[i].placing != NULL)
			mx_place_members(s);
		else if (is_member(ev))
			mx_stream_member_changed(rs->stream,
						 &(struct mx_member){ .user = s->v[i].user,
								      .room = s->room->nid,
								      .membership = ev->membership,
								      .event = ev->nid });
		if (rs->event_stored != NULL && ev->nid > 0 && !ev->rejected && !ev->soft_failed)
			rs->event_stored(rs->arg, s->v[i].event);
	}
	if (s->v[0].arrival == NULL)
		atomic_fetch_add_explicit(&rs->sent, s->n, memory_order_relaxed);
}

static void
after(void *arg, bool committed)
{
	struct mx_store *s = arg;

	if (committed)
		committed_to_memory(s);
	else if (s->announced)
		mx_room_loaded(s->room, false);
	if (!committed && s->applied)
		s->room->w.valid = false;
	mx_fresh_nodes_done(&s->fresh);
}

/* ---- rows ---- */

/* Stores `after`, which is `before` with the event set. */
static mx_error *
put_root(struct mx_store *s, struct mx_tree *t, struct mx_state_root before,
	 struct mx_state_root after, const struct mx_tree_entry *change, mx_nid nid)
{
	struct mx_node_rows rows = { .next = nid * MX_NODES_PER_EVENT };

	rows.end = rows.next + MX_NODES_PER_EVENT - MX_DELTAS_PER_EVENT;
	if (!s->stored_known)
		MX_TRY(mx_delta_find(t, before, &s->stored));
	s->stored_known = true;
	return mx_root_put(t, &s->stored, before, after, change, 1, &rows);
}

/* The state after the event. */
static mx_error *
change_state(struct mx_store *s, struct mx_tree *t, struct mx_event *ev, struct mx_state_root *root)
{
	struct mx_tree_entry change = { mx_tree_key(mx_event_type(ev), mx_event_state_key(ev)),
					mx_event_state_nid(ev) };
	struct mx_state_root next;
	size_t count;

	MX_TRY(mx_tree_set(t, *root, change.key, change.nid, &s->fresh, &next));
	MX_TRY(mx_tree_count(t, next, &count));
	if (count > (size_t)s->room->rs->opt.max_state)
		return mx_error_new(MX_E_TOO_LARGE,
				    "the room has as many state events as this server allows");
	MX_TRY(put_root(s, t, *root, next, &change, ev->nid));
	*root = next;
	return NULL;
}

mx_error *
mx_state_move(struct mx_store *s, struct mx_conn *c, struct mx_event *ev,
	      struct mx_state_root *root)
{
	struct mx_tree tree = mx_rooms_tree(s->room->rs, c);
	mx_error *e = change_state(s, &tree, ev, root);

	mx_tree_done(&tree);
	return e;
}

static void
bind_root(struct mx_query *q, int i, const struct mx_state_root *root)
{
	if (root == NULL || mx_root_none(*root))
		mx_bind_null(q, i);
	else
		mx_bind_blob(q, i, root->h, sizeof(root->h));
}

mx_error *
mx_event_put_row(struct mx_txn *tx, const struct mx_event *ev)
{
	mx_str state_key = mx_event_state_key(ev), txn_id = mx_event_txn_id(ev);
	mx_nid type, key = 0;

	MX_TRY(mx_name_intern(tx, mx_event_type(ev), &type));
	if (ev->state)
		MX_TRY(mx_name_intern(tx, state_key, &key));
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PUT_EVENT);

	mx_bind_int(q, 1, ev->nid);
	mx_bind_int(q, 2, ev->room);
	mx_bind_int(q, 3, type);
	if (ev->state)
		mx_bind_int(q, 4, key);
	else
		mx_bind_null(q, 4);
	mx_bind_int(q, 5, ev->sender_nid);
	mx_bind_int(q, 6, ev->depth);
	mx_bind_int(q, 7, ev->ts);
	mx_bind_int(q, 8, mx_event_flags(ev));
	mx_bind_str(q, 9, mx_event_id(ev));
	mx_bind_int(q, 10, mx_event_id_hash(mx_event_id(ev)));
	/* A root before that is no root at all would read as "the same as after". */
	if (mx_root_eq(ev->before, ev->after))
		mx_bind_null(q, 11);
	else
		mx_bind_blob(q, 11, ev->before.h, sizeof(ev->before.h));
	bind_root(q, 12, &ev->after);
	if (ev->device != 0 && txn_id.n > 0) {
		mx_bind_int(q, 13, ev->device);
		mx_bind_str(q, 14, txn_id);
	} else {
		mx_bind_null(q, 13);
		mx_bind_null(q, 14);
	}
	mx_bind_str(q, 15, mx_event_json(ev));
	return mx_query_run(q);
}

mx_error *
mx_member_put(struct mx_txn *tx, struct mx_room *r, const struct mx_moved *m, mx_nid user,
	      mx_pos at)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &PUT_MEMBER);

	mx_bind_int(q, 1, r->nid);
	mx_bind_int(q, 2, user);
	mx_bind_int(q, 3, m->now);
	mx_bind_int(q, 4, m->event->nid);
	mx_bind_int(q, 5, mx_rooms_is_local(r->rs, mx_event_state_key(m->event)));
	if (m->event->nid == at)
		mx_bind_null(q, 6);
	else
		mx_bind_int(q, 6, at);
	return mx_query_run(q);
}

static mx_error *
put_member(struct mx_txn *tx, struct mx_store *s, struct mx_stored *v)
{
	struct mx_moved m = { .event = v->event, .now = v->event->membership };

	MX_TRY(mx_name_intern(tx, mx_event_state_key(v->event), &v->user));
	return mx_member_put(tx, s->room, &m, v->user, v->event->nid);
}

mx_error *
mx_redaction_put(struct mx_txn *tx, struct mx_rooms *rs, const struct mx_stored *v)
{
	if (!v->target->redacted)
		MX_TRY(mx_redacted_keep(tx, rs, v->target));
	struct mx_query *q = mx_query(mx_txn_conn(tx), &REDACT);

	mx_bind_int(q, 1, v->target->nid);
	mx_bind_str(q, 2, mx_event_json(v->redacted));
	mx_bind_int(q, 3, v->event->nid);
	return mx_query_run(q);
}

mx_error *
mx_members_count(struct mx_conn *c, struct mx_room *r, int64_t joined, int64_t invited)
{
	if (joined == 0 && invited == 0)
		return NULL;
	struct mx_query *q = mx_query(c, &COUNT_MEMBERS);

	mx_bind_int(q, 1, r->nid);
	mx_bind_int(q, 2, joined);
	mx_bind_int(q, 3, invited);
	return mx_query_run(q);
}

static mx_error *
count_members(struct mx_store *s, struct mx_conn *c)
{
	int64_t joined = 0, invited = 0;

	if (s->v[0].placing != NULL)
		return NULL;
	for (size_t i = 0; i < s->n; i++)
		if (is_member(s->v[i].event)) {
			enum mx_membership was = s->v[i].was, now = s->v[i].event->membership;

			joined += mx_member_change(was, now, MX_MEMBER_JOIN);
			invited += mx_member_change(was, now, MX_MEMBER_INVITE);
		}
	if (!s->create && s->start == NULL)
		return mx_members_count(c, s->room, joined, invited);
	if (s->start != NULL) {
		joined += s->start->joined;
		invited += s->start->invited;
	}
	struct mx_query *q = mx_query(c, s->create ? &PUT_ROOM : &START_AGAIN);

	mx_bind_int(q, 1, s->room->nid);
	if (s->create)
		mx_bind_str(q, 2, s->room->version->name);
	mx_bind_int(q, s->create ? 3 : 2, joined);
	mx_bind_int(q, s->create ? 4 : 3, invited);
	return mx_query_run(q);
}

/* ---- the function ---- */

static void
publish(struct mx_txn *tx, const struct mx_store *s, const struct mx_stored *v)
{
	struct mx_stream *stream = s->room->rs->stream;
	struct mx_item item = { .pos = v->event->nid, .kind = MX_ITEM_EVENT, .room = s->room->nid,
				.user = v->user, .event = v->event };

	mx_stream_publish(stream, tx, &item);
	if (v->user == 0 || (v->was == MX_MEMBER_JOIN && v->event->membership == MX_MEMBER_JOIN))
		return;
	item.kind = MX_ITEM_MEMBERSHIP;
	item.event = NULL;
	mx_stream_publish(stream, tx, &item);
}

static mx_error *
write_one(struct mx_txn *tx, struct mx_store *s, struct mx_stored *v, struct mx_state_root *root,
	  struct mx_cover_batch *covers)
{
	struct mx_event *ev = v->event;

	ev->nid = v->placing != NULL && v->placing->past != 0 ? v->placing->past : mx_txn_pos(tx);
	ev->room = s->room->nid;
	if (v->arrival != NULL && ev->state)
		MX_TRY(mx_arrival_guard(tx, ev, v->placing != NULL ? v->placing->outlier : 0));
	if (v->arrival != NULL)
		MX_TRY(mx_name_intern(tx, mx_event_sender(ev), &ev->sender_nid));
	if (v->placing != NULL)
		return mx_place_write(tx, s, v, root);
	ev->before = *root;
	if (ev->state)
		MX_TRY(mx_state_move(s, mx_txn_conn(tx), ev, root));
	ev->after = *root;
	MX_TRY(mx_event_put_row(tx, ev));
	MX_TRY(mx_cover_add(tx, s->room->rs, ev, covers));
	if (is_member(ev))
		MX_TRY(put_member(tx, s, v));
	if (v->redacted != NULL)
		MX_TRY(mx_redaction_put(tx, s->room->rs, v));
	if (v->arrival != NULL)
		MX_TRY(mx_arrival_put(tx, v));
	if (!ev->hidden)
		publish(tx, s, v);
	return NULL;
}

/* What the batch has made of the room so far; MX_E_AGAIN when these events were built on something
 * else. */
static mx_error *
premises(struct mx_store *s)
{
	struct mx_room *r = s->room;
	uint32_t foreign = atomic_load(&r->foreign);

	if (!r->w.valid || r->w.foreign != foreign) {
		pthread_mutex_lock(&r->lock);
		r->w.seq = r->view.seq;
		r->w.root = r->view.root;
		bool current = r->view.foreign == foreign;
		pthread_mutex_unlock(&r->lock);
		r->w.foreign = foreign;
		r->w.valid = current;
		r->w.stored_known = false;
	}
	if (!r->w.valid || r->w.seq != s->seq - 1)
		return mx_error_new(MX_E_AGAIN, "the room has moved on");
	return NULL;
}

mx_error *
mx_store_write(struct mx_txn *tx, struct mx_store *s)
{
	struct mx_room *r = s->room;
	struct mx_cover_batch covers = { .rows_n = 0 };
	struct mx_state_root root;

	MX_TRY(premises(s));
	s->applied = s->announced = false;
	s->fresh = (struct mx_fresh_nodes){ .cache = r->rs->nodes };
	mx_txn_after(tx, after, s);
	root = s->start != NULL ? s->start->root : r->w.root;
	s->stored = r->w.stored;
	s->stored_known = s->start == NULL && r->w.stored_known;
	if (s->create) {
		MX_TRY(mx_name_intern(tx, mx_room_id(r), &r->nid));
		MX_TRY(mx_room_announce(r));
		s->announced = true;
	}
	for (size_t i = 0; i < s->n; i++)
		MX_TRY(write_one(tx, s, &s->v[i], &root, &covers));
	MX_TRY(mx_cover_flush(tx, &covers));
	MX_TRY(count_members(s, mx_txn_conn(tx)));
	if (s->joins)
		MX_TRY(mx_extremities_put(mx_txn_conn(tx), r, NULL, 0));
	r->w.root = root;
	r->w.stored = s->stored;
	r->w.stored_known = s->stored_known;
	r->w.seq = s->seq;
	s->applied = true;
	return NULL;
}
