#include "config.h"

#include "core/room/cover.h"
#include "core/room/outlier.h"

#include <stdlib.h>

#define STORE_AT_ONCE 256	/* events of one write: the writer is not held up for long */

/* A number that has become an alias is taken, too. */
static const struct mx_sql LOWEST =
	MX_SQL("SELECT (SELECT MIN(nid) FROM event), "
	       "(SELECT MIN(alias) FROM event WHERE alias IS NOT NULL)");
static const struct mx_sql FIND =
	MX_SQL("SELECT nid FROM event WHERE id_hash = $1 AND id = $2 ORDER BY nid DESC LIMIT 1");

/* ---- rows ---- */

mx_error *
mx_outlier_nids(struct mx_txn *tx, size_t n, mx_nid *first)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), &LOWEST);
	mx_nid lowest = MX_OUTLIER_NID;

	if (mx_query_next(q))
		for (int i = 0; i < 2; i++)
			lowest = mx_col_int(q, i) < lowest ? mx_col_int(q, i) : lowest;
	MX_TRY(mx_query_end(q));
	*first = lowest - (mx_nid)n;
	return NULL;
}

mx_error *
mx_outlier_put(struct mx_txn *tx, mx_nid room, mx_nid nid, struct mx_event *ev)
{
	ev->nid = nid;
	ev->room = room;
	ev->outlier = true;
	MX_TRY(mx_name_intern(tx, mx_event_sender(ev), &ev->sender_nid));
	return mx_event_put_row(tx, ev);
}

/* ---- one event by its auth events ---- */

void
mx_outlier_judge(struct mx_arrival *v, const struct mx_event *create,
		 const struct mx_event *const *auth, size_t n, const struct mx_power *power)
{
	struct mx_rules_events set = { .v = auth, .n = n, .create = create };
	struct mx_rules_state state = mx_rules_state_of(&set);
	enum mx_reason reason = MX_REASON_AUTH_EVENTS;

	state.power = power;
	mx_error *e = mx_rules_check_auth_events(v->event, create, auth, n);

	if (e == NULL) {
		reason = MX_REASON_AUTH;
		e = mx_rules_check(v->event, &state);
	}
	if (e == NULL)
		return;
	mx_outlier_reject(v, reason, mx_error_text(e));
	mx_error_free(&e);
}

void
mx_outlier_reject(struct mx_arrival *v, enum mx_reason reason, const char *words)
{
	v->event->rejected = true;
	v->fate = MX_FATE_REJECTED;
	v->reason = reason;
	mx_arrival_words(v, words);
}

/* ---- a batch ---- */

struct item {
	struct mx_arrival *v;		/* NULL: it is stored already, or was dropped */
	size_t waits;			/* for so many of the batch */
	size_t *rests;			/* who of the batch rests on it; in the arena */
	size_t rests_n, rests_room;
	bool judged;
};

struct batch {
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_room *room;
	struct mx_arena *arena;
	struct mx_arrival *v;
	struct item *items;
	size_t n;
	uint32_t *slots;		/* by event id: place + 1, 0 for free */
	size_t slots_n;			/* a power of two */
	size_t *order, order_n;		/* the new ones, each after what it rests on */
	struct mx_event *create;	/* a reference; NULL: not known */
	size_t at;			/* of the write: from here on */
	size_t written;
};

static uint32_t *
slot(const struct batch *b, mx_str id)
{
	for (size_t i = (size_t)mx_hash(id.p, id.n) & (b->slots_n - 1);;
	     i = (i + 1) & (b->slots_n - 1))
		if (b->slots[i] == 0 ||
		    mx_str_eq(mx_event_id(b->v[b->slots[i] - 1].event), id))
			return &b->slots[i];
}

/* The place in the batch of the event with this id; n when it is not in it. */
static size_t
place_of(const struct batch *b, mx_str id)
{
	uint32_t s = *slot(b, id);

	return s != 0 ? s - 1 : b->n;
}

static void
known(struct mx_arrival *v, struct mx_event *stored)
{
	mx_event_unref(&v->event);
	v->event = stored;
	v->fate = stored->rejected ? MX_FATE_REJECTED
		  : stored->soft_failed ? MX_FATE_SOFT_FAILED : MX_FATE_ACCEPTED;
	v->reason = MX_REASON_KNOWN;
	v->words[0] = '\0';
}

/* Which of the verified ones are new here. */
static mx_error *
sort_out(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct mx_arrival *v = &b->v[i];
		struct mx_event *stored = NULL;

		if (v->event == NULL)
			continue;
		if (!mx_str_eq(mx_event_room_id(v->event), mx_room_id(b->room))) {
			mx_arrival_drop(v, MX_REASON_ROOM, "the event is of another room");
			continue;
		}
		/* Another server may have all signatures. */
		if (v->event->unvouched) {
			mx_arrival_drop(v, MX_REASON_VOUCHER,
					"the server of the user who vouches for the join has not "
					"signed it");
			continue;
		}
		mx_error *e = mx_event_get(b->rs, b->conn, mx_event_id(v->event), &stored);

		if (mx_error_is(e, MX_E_NOT_FOUND))
			mx_error_free(&e);
		if (e != NULL)
			return e;
		uint32_t *s = slot(b, mx_event_id(v->event));

		if (stored != NULL)
			known(v, stored);
		else if (*s == 0)
			b->items[i].v = v;
		if (*s == 0)
			*s = (uint32_t)i + 1;
	}
	return NULL;
}

static void
rest(struct batch *b, size_t on, size_t who)
{
	struct item *it = &b->items[on];

	if (it->rests_n == it->rests_room) {
		size_t room = it->rests_room == 0 ? 4 : 2 * it->rests_room;
		size_t *more = mx_arena_alloc(b->arena, room * sizeof(*more));

		if (it->rests_n > 0)
			memcpy(more, it->rests, it->rests_n * sizeof(*more));
		it->rests = more;
		it->rests_room = room;
	}
	it->rests[it->rests_n++] = who;
	b->items[who].waits++;
}

/* The order in which they can be judged. Who rests on itself (ids are chosen in old room versions)
 * is not in it. */
static void
find_order(struct batch *b)
{
	mx_str id;

	b->order = mx_arena_alloc(b->arena, (b->n + 1) * sizeof(*b->order));
	for (size_t i = 0; i < b->n; i++) {
		if (b->items[i].v == NULL)
			continue;
		struct mx_event_ids it = mx_event_auth(b->v[i].event);

		while (mx_event_ids_next(&it, &id)) {
			size_t on = place_of(b, id);

			if (on < b->n && b->items[on].v != NULL)
				rest(b, on, i);
		}
	}
	for (size_t i = 0; i < b->n; i++)
		if (b->items[i].v != NULL && b->items[i].waits == 0)
			b->order[b->order_n++] = i;
	for (size_t i = 0; i < b->order_n; i++) {
		const struct item *it = &b->items[b->order[i]];

		for (size_t k = 0; k < it->rests_n; k++)
			if (--b->items[it->rests[k]].waits == 0)
				b->order[b->order_n++] = it->rests[k];
	}
}

/* A reference to the event with this id, in the batch or stored; *out NULL when there is none. */
static mx_error *
find_event(struct batch *b, mx_str id, struct mx_event **out)
{
	size_t place = place_of(b, id);

	*out = NULL;
	if (place < b->n) {
		if (b->v[place].fate != MX_FATE_DROPPED)
			*out = mx_event_ref(b->v[place].event);
		return NULL;
	}
	mx_error *e = mx_event_get(b->rs, b->conn, id, out);

	if (mx_error_is(e, MX_E_NOT_FOUND))
		mx_error_free(&e);
	return e;
}

static mx_error *
find_create(struct batch *b)
{
	mx_str room = mx_room_id(b->room);
	char id[MX_EVENT_ID_MAX + 1];

	if (!b->room->version->room_id_is_create_hash || room.n == 0 || room.n > MX_EVENT_ID_MAX)
		return NULL;
	memcpy(id, room.p, room.n);
	id[0] = '$';
	return find_event(b, (mx_str){ id, room.n }, &b->create);
}

static mx_error *
judge(struct batch *b, struct mx_arrival *v)
{
	struct mx_event *auth[MX_EVENT_MAX_AUTH] = { NULL };
	struct mx_event_ids it = mx_event_auth(v->event);
	size_t n = 0;
	bool missing = false;
	mx_error *e = NULL;
	mx_str id;

	while (e == NULL && n < MX_EVENT_MAX_AUTH && mx_event_ids_next(&it, &id)) {
		e = find_event(b, id, &auth[n]);
		missing |= e == NULL && auth[n] == NULL;
		n += auth[n] != NULL;
	}
	if (missing) {
		v->fate = MX_FATE_DROPPED;
		v->reason = MX_REASON_MISSING_AUTH;
		mx_arrival_words(v, "an event that it names in auth_events is not here");
	} else if (e == NULL) {
		mx_outlier_judge(v, b->create, (const struct mx_event *const *)auth, n, NULL);
	}
	for (size_t i = 0; i < n; i++)
		mx_event_unref(&auth[i]);
	return e;
}

/* ---- writing it ---- */

static void
written(void *arg, bool committed)
{
	struct batch *b = arg;

	for (size_t i = b->at; committed && i < b->at + b->written; i++)
		mx_event_cache_put(b->rs->events, b->v[b->order[i]].event);
}

/* Somebody else may have stored it since we looked. */
static mx_error *
stored_meanwhile(struct mx_conn *c, mx_str id, bool *out)
{
	struct mx_query *q = mx_query(c, &FIND);

	mx_bind_int(q, 1, mx_event_id_hash(id));
	mx_bind_str(q, 2, id);
	*out = mx_query_next(q);
	return mx_query_end(q);
}

static mx_error *
write_some(struct mx_txn *tx, void *arg)
{
	struct batch *b = arg;
	size_t n = b->order_n - b->at < STORE_AT_ONCE ? b->order_n - b->at : STORE_AT_ONCE;
	mx_nid first;
	bool there;

	b->written = n;
	mx_txn_after(tx, written, b);
	MX_TRY(mx_outlier_nids(tx, n, &first));
	for (size_t i = 0; i < n; i++) {
		struct mx_arrival *v = &b->v[b->order[b->at + i]];

		MX_TRY(stored_meanwhile(mx_txn_conn(tx), mx_event_id(v->event), &there));
		if (there)
			return mx_error_new(MX_E_AGAIN, "an event was stored meanwhile");
		MX_TRY(mx_outlier_put(tx, b->room->nid, first + (mx_nid)i, v->event));
		MX_TRY(mx_cover_put(tx, b->rs, v->event));
		MX_TRY(mx_fate_put(tx, v));
	}
	return NULL;
}

/* Repeated events tell what became of the first of them; what is dropped goes. */
static void
finish(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct mx_arrival *v = &b->v[i];
		const struct mx_arrival *first;

		if (v->event == NULL || b->items[i].v != NULL || v->reason == MX_REASON_KNOWN)
			continue;
		first = &b->v[place_of(b, mx_event_id(v->event))];
		if (first->fate == MX_FATE_DROPPED)
			mx_arrival_drop(v, first->reason, first->words);
		else
			known(v, mx_event_ref(first->event));
	}
	for (size_t i = 0; i < b->n; i++)
		if (b->v[i].fate == MX_FATE_DROPPED)
			mx_event_unref(&b->v[i].event);
}

/* Judges all, and leaves in the order those that are to be stored. */
static mx_error *
judge_all(struct batch *b)
{
	size_t kept = 0, in_order = b->order_n;

	for (size_t i = 0; i < b->order_n; i++)
		MX_TRY(judge(b, &b->v[b->order[i]]));
	for (size_t i = 0; i < b->n; i++)
		if (b->items[i].v != NULL && b->items[i].waits > 0) {
			mx_outlier_reject(&b->v[i], MX_REASON_AUTH_EVENTS,
					  "its auth_events lead back to itself");
			b->order[in_order++] = i;
		}
	for (size_t i = 0; i < in_order; i++)
		if (b->v[b->order[i]].fate != MX_FATE_DROPPED)
			b->order[kept++] = b->order[i];
	b->order_n = kept;
	return NULL;
}

static mx_error *
store(struct batch *b)
{
	MX_TRY(sort_out(b));
	MX_TRY(find_create(b));
	find_order(b);
	MX_TRY(judge_all(b));
	for (b->at = 0; b->at < b->order_n; b->at += b->written)
		MX_TRY(mx_write(b->rs->db, write_some, b));
	finish(b);
	return NULL;
}

static mx_error *
attempt(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, size_t n, struct mx_arrival *v)
{
	struct batch b = { .rs = rs, .conn = c, .room = r, .v = v, .n = n, .slots_n = 16 };

	while (b.slots_n < 2 * n)
		b.slots_n *= 2;
	b.arena = mx_arena_new();
	b.items = mx_arena_alloc(b.arena, (n + 1) * sizeof(*b.items));
	b.slots = mx_arena_alloc(b.arena, b.slots_n * sizeof(*b.slots));
	mx_error *e = store(&b);

	mx_event_unref(&b.create);
	mx_arena_free(&b.arena);
	return e;
}

mx_error *
mx_outliers_store(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const mx_str *pdus,
		  size_t n, struct mx_arrival *v)
{
	enum { ATTEMPTS = 10 };
	mx_error *e = NULL;

	for (int i = 0; i < ATTEMPTS; i++) {
		mx_conn_rest(c);
		MX_TRY(mx_verify_events(rs, r->version, pdus, n, v));
		e = attempt(rs, c, r, n, v);
		if (e != NULL)
			mx_arrivals_clear(v, n);
		else
			mx_arrivals_count(rs, v, n);
		if (!mx_error_is(e, MX_E_AGAIN))
			return e;
		mx_error_free(&e);
	}
	return mx_error_new(MX_E_UNAVAILABLE, "the room is too busy");
}
