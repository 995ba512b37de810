/* Making events. Outside any lock a draft is checked and its content made canonical; under the lock
 * of the room's tip, and without I/O, it is authorised, built, signed and handed to the writer;
 * then the sender waits until it is durable. So the events of a room form one chain in the order in
 * which they were handed in, however many send at once. */
#include "config.h"

#include "core/json/json.h"
#include "core/room/build.h"
#include "core/room/engine.h"
#include "core/room/hash.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>

#define MAX_DRAFTS 1000
#define MAX_FIRST_DRAFTS 20000	/* a new room's: an upgrade carries its bans over */
#define MAX_NEEDS 9		/* those of mx_rules_auth_types, and the create event */
#define MAX_ATTEMPTS 50

struct work {			/* a draft on its way */
	const struct mx_draft *draft;
	json_t *content;	/* borrowed */
	mx_str canonical;
	mx_str redacts;
	mx_msec ts;		/* 0: now */
	struct mx_tree_key key;	/* of a state event */
	struct mx_need *needs;
	const struct mx_event *met[MAX_NEEDS];
	size_t needs_n, auth_n;	/* the first auth_n are its auth events */
};

struct send {
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_arena *arena;
	struct work *works;
	struct mx_need *needs;
	size_t needs_n, n;
	struct mx_store store;
	uint64_t generation;
	sem_t landed;
	mx_error *error;
	const struct mx_along *along;	/* or NULL */
	struct send *other;		/* the events of along->other, or NULL */
	bool prepared;			/* of the other: its drafts are */
	/* of one whose request is held, or NULL: */
	struct mx_request *rq;
	mx_handler *then;
	struct mx_sent *out;
};

static mx_error *send_begin(struct send *s, const struct mx_draft *drafts,
			    json_t *content) MX_MUST_USE;
static void held_end(struct send *s);

/* ---- before the lock ---- */

static bool
storable(mx_str s)
{
	return s.n == 0 || (memchr(s.p, 0, s.n) == NULL && mx_str_utf8(s));
}

/* What would only fail on the writer's thread, where it throws away what others have built on it.
 */
static mx_error *
check_drafts(const struct mx_draft *drafts, size_t n, size_t max)
{
	if (n == 0 || n > max)
		return mx_error_new(MX_E_BAD_REQUEST,
				    "a request makes at least one event and at most %zu", max);
	for (size_t i = 0; i < n; i++) {
		const struct mx_draft *d = &drafts[i];

		if (d->txn_id.n > MX_EVENT_MAX_FIELD)
			return mx_error_new(MX_E_INVALID_PARAM,
					    "the transaction id is longer than %d bytes",
					    MX_EVENT_MAX_FIELD);
		if (!storable(d->type) || !storable(d->state_key) || !storable(d->txn_id) ||
		    !storable(d->redacts))
			return mx_error_new(
				MX_E_INVALID_PARAM,
				"a type, state key or transaction id must be text without NUL");
	}
	return NULL;
}

/* What the draft redacts, and whether its sender may. */
static mx_error *
find_target(struct send *s, struct work *w, struct mx_stored *v)
{
	struct mx_room *r = s->store.room;
	MX_AUTO(mx_power) *power = NULL;

	MX_TRY(mx_event_get(s->rs, s->conn, w->redacts, &v->target));
	if (v->target->room != r->nid)
		return mx_error_new(MX_E_NOT_FOUND, "the event to redact is not in this room");
	MX_TRY(mx_room_power_ref(r, s->conn, &power));
	if (!mx_str_eq(mx_id_server_of(w->draft->sender_id),
		       mx_id_server_of(mx_event_sender(v->target))) &&
	    mx_power_of_user(power, w->draft->sender_id) < power->level[MX_POWER_REDACT])
		return mx_error_new(MX_E_FORBIDDEN,
				    "you may not redact the events of others in this room");
	if (v->target->redacted)
		mx_event_unref(&v->target);
	else
		v->redacted = mx_event_redact(v->target);
	return NULL;
}

static void
collect_needs(struct send *s, struct work *w)
{
	const struct mx_draft *d = w->draft;
	struct mx_auth_types types;

	mx_rules_auth_types(s->store.room->version, d->type, d->sender_id, d->state_key, w->content,
			    &types);
	w->needs = s->needs + s->needs_n;
	for (size_t i = 0; i < types.n && i < MAX_NEEDS - 1; i++)
		w->needs[w->needs_n++] =
			(struct mx_need){ .type = types.v[i].type, .key = types.v[i].key };
	w->auth_n = w->needs_n;
	bool create = false;

	for (size_t i = 0; i < w->needs_n; i++)
		create |= mx_str_eq(w->needs[i].type, MX_S("m.room.create"));
	if (!create)
		w->needs[w->needs_n++] =
			(struct mx_need){ .type = MX_S("m.room.create"), .key = MX_S("") };
	for (size_t i = 0; i < w->needs_n; i++)
		w->needs[i].hash = mx_tree_key(w->needs[i].type, w->needs[i].key);
	s->needs_n += w->needs_n;
}

static mx_error *
prepare_one(struct send *s, struct work *w, struct mx_stored *v)
{
	const struct mx_draft *d = w->draft;
	MX_AUTO(mx_buf) *b = mx_buf_new(MX_EVENT_MAX);

	if (w->content == NULL)
		w->content = d->content;
	if (!json_is_object(w->content))
		return mx_error_new(MX_E_BAD_JSON, "the content of an event must be an object");
	if (s->store.room->version->strict_json)
		MX_TRY(mx_json_check_integers(w->content, MX_JSON_DEPTH - 1));
	MX_TRY(mx_json_canonical(w->content, s->store.room->version->strict_json, b));
	if (mx_buf_failed(b))
		return mx_error_new(MX_E_TOO_LARGE, "the event is larger than 65,536 bytes");
	w->canonical = mx_arena_str(s->arena, mx_buf_view(b));
	w->redacts = d->redacts;
	w->ts = d->ts;
	if (mx_str_eq(d->type, MX_S("m.room.redaction")) && d->state_key.p == NULL &&
	    w->redacts.n == 0 && s->store.room->version->redacts_in_content)
		w->redacts = mx_json_str(w->content, "redacts");
	if (d->state_key.p != NULL)
		w->key = mx_tree_key(d->type, d->state_key);
	if (w->redacts.n > 0)
		MX_TRY(find_target(s, w, v));
	collect_needs(s, w);
	return s->rs->event_check != NULL ? s->rs->event_check(s->rs->arg, s->store.room, d) : NULL;
}

/* ---- under the lock ---- */

/* The newest event at the key among those that this batch has built so far, or the tip's. */
static struct mx_event *
state_at(const struct send *s, size_t built, struct mx_tree_key key)
{
	for (size_t i = built; i-- > 0;)
		if (s->works[i].draft->state_key.p != NULL &&
		    memcmp(s->works[i].key.h, key.h, sizeof(key.h)) == 0)
			return s->store.v[i].event;
	return mx_tip_get(&s->store.room->tip, key);
}

static const struct mx_event *
ask_state(void *arg, mx_str type, mx_str key)
{
	const struct work *w = arg;

	for (size_t i = 0; i < w->needs_n; i++)
		if (mx_str_eq(w->needs[i].type, type) && mx_str_eq(w->needs[i].key, key))
			return w->met[i];
	return NULL;
}

/* Whether the ith event is one whose hash becomes the room's id: it does not know that itself, also
 * when it is built once more. */
static bool
names_room(const struct send *s, size_t i)
{
	return s->store.create && i == 0 && s->store.room->version->room_id_is_create_hash;
}

/* What the next event follows. */
struct last {
	size_t n;			/* 1 but for a new room, and where the room has several ends */
	mx_str id[MX_EVENT_MAX_PREV];
	unsigned char hash[MX_EVENT_MAX_PREV][MX_SHA256_SIZE];	/* where the room's events name it */
	int64_t depth;
};

static void
last_of(const struct mx_tip *t, struct last *out)
{
	out->n = t->last_id[0] != '\0';
	out->id[0] = mx_str_of(t->last_id);
	out->depth = t->depth;
	memcpy(out->hash[0], t->last_hash, sizeof(out->hash[0]));
	if (t->forks.n == 0)
		return;
	out->n = t->forks.n < MX_EVENT_MAX_PREV ? t->forks.n : MX_EVENT_MAX_PREV;
	for (size_t i = 0; i < out->n; i++) {
		out->id[i] = mx_str_of(t->forks.v[i].id);
		memcpy(out->hash[i], t->forks.v[i].hash, sizeof(out->hash[i]));
	}
}

static void
hash_of(const struct mx_event *ev, unsigned char out[MX_SHA256_SIZE])
{
	if (ev->version->refs_with_hashes)
		mx_event_reference_hash(ev->version, mx_event_json(ev), out);
}

/* Builds the ith event on what was built before it, and asks the rules. key NULL: only to ask. */
static mx_error *
build_one(struct send *s, size_t i, const struct last *last, const struct mx_signing_key *key,
	  struct mx_event **out)
{
	struct work *w = &s->works[i];
	struct mx_room *r = s->store.room;
	struct mx_event *levels = NULL;
	const struct mx_event *create = NULL;
	mx_str auth[MAX_NEEDS];
	unsigned char auth_hash[MAX_NEEDS][MX_SHA256_SIZE];
	size_t auth_n = 0;

	for (size_t k = 0; k < w->needs_n; k++) {
		struct mx_event *ev = state_at(s, i, w->needs[k].hash);

		w->met[k] = ev;
		if (ev != NULL && k < w->auth_n) {
			hash_of(ev, auth_hash[auth_n]);
			auth[auth_n++] = mx_event_id(ev);
		}
		if (mx_str_eq(w->needs[k].type, MX_S("m.room.power_levels")))
			levels = ev;
		if (mx_str_eq(w->needs[k].type, MX_S("m.room.create")))
			create = ev;
	}
	struct mx_build b = {
		.version = r->version,
		.room_id = names_room(s, i) ? (mx_str){ NULL, 0 } : mx_room_id(r),
		.sender = w->draft->sender_id,
		.type = w->draft->type,
		.state_key = w->draft->state_key,
		.content_canonical = w->canonical,
		.redacts = w->redacts,
		.ts = w->ts != 0 ? w->ts : mx_now(),
		.depth = last->depth < r->version->max_depth ? last->depth + 1 : last->depth,
		.prev = last->id,
		.prev_hash = last->hash,
		.prev_n = last->n,
		.auth = auth,
		.auth_hash = auth_hash,
		.auth_n = auth_n,
		.server = mx_rooms_server(s->rs),
		.key = key,
		.room = r->nid,
		.sender_nid = w->draft->sender,
		.device = w->draft->device,
		.txn_id = w->draft->txn_id,
	};
	struct mx_rules_state state = { .get = ask_state, .arg = w };

	MX_TRY(mx_build_event(&b, out));
	if (create != NULL)
		state.power = mx_tip_power(r, levels, create);
	return mx_rules_check(*out, &state);
}

/* A room of version 12 is named by its create event. */
static void
name_room(struct mx_room *r, const struct mx_event *create)
{
	mx_str id = mx_event_room_id(create);

	if (r->id_n == 0) {
		free(r->id);
		r->id = mx_str_dup(id);
		r->id_n = id.n;
	}
}

static enum mx_membership
membership_before(const struct send *s, size_t i)
{
	const struct mx_event *ev = state_at(s, i, s->works[i].key);

	return ev != NULL ? ev->membership : MX_MEMBER_NONE;
}

static mx_error *
build_all(struct send *s, struct last *last)
{
	last_of(&s->store.room->tip, last);
	s->store.joins = s->store.room->tip.forks.n > 0;
	for (size_t i = 0; i < s->n; i++) {
		struct mx_stored *v = &s->store.v[i];

		MX_TRY(build_one(s, i, last, s->rs->key, &v->event));
		if (s->store.create && i == 0)
			name_room(s->store.room, v->event);
		if (v->event->state && mx_str_eq(mx_event_type(v->event), MX_S("m.room.member")))
			v->was = membership_before(s, i);
		last->n = 1;
		last->id[0] = mx_event_id(v->event);
		hash_of(v->event, last->hash[0]);
		last->depth = v->event->depth;
	}
	return NULL;
}

static bool
judges(mx_str type)
{
	return mx_str_eq(type, MX_S("m.room.member")) ||
	       mx_str_eq(type, MX_S("m.room.power_levels")) ||
	       mx_str_eq(type, MX_S("m.room.join_rules")) ||
	       mx_str_eq(type, MX_S("m.room.create")) ||
	       mx_str_eq(type, MX_S("m.room.third_party_invite"));
}

/* The tip is now these events, although they are not durable yet. */
static void
move_tip(struct send *s, const struct last *last)
{
	struct mx_tip *t = &s->store.room->tip;

	s->store.seq = ++t->seq;
	s->generation = t->generation;
	for (size_t i = 0; i < s->n; i++)
		if (s->store.v[i].event->state && judges(s->works[i].draft->type))
			mx_tip_set(t, s->works[i].key, s->store.v[i].event, s->store.seq);
	memcpy(t->last_id, last->id[0].p, last->id[0].n);
	t->last_id[last->id[0].n] = '\0';
	if (s->store.joins)
		mx_extremities_clear(&t->forks);
	memcpy(t->last_hash, last->hash[0], sizeof(t->last_hash));
	t->depth = last->depth;
	t->in_flight++;
}

/* ---- landing ---- */

static mx_error *
write_events(struct mx_txn *tx, void *arg)
{
	struct send *s = arg;

	MX_TRY(mx_store_write(tx, &s->store));
	if (s->other != NULL)
		MX_TRY(mx_store_write(tx, &s->other->store));
	if (s->along != NULL && s->along->write != NULL)
		return s->along->write(tx, s->store.room, s->along->arg);
	return NULL;
}

static void
landed(void *arg, mx_error *e)
{
	struct send *s = arg;

	s->error = e;
	if (s->rq != NULL)
		held_end(s);
	else
		sem_post(&s->landed);
}

static void
events_drop(struct send *s)
{
	for (size_t i = 0; i < s->n; i++)
		mx_event_unref(&s->store.v[i].event);
}

static bool
redacts_state(const struct send *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->store.v[i].redacted != NULL && s->store.v[i].target->state)
			return true;
	return false;
}

/* Builds on the tip and moves it. The last of the sends that go together hands them all to the
 * writer, with the lock still held. */
static mx_error *
build_on_tip(struct send *s, struct send *whole)
{
	struct mx_room *r = s->store.room;
	struct last last;

	pthread_mutex_lock(&r->tip.lock);
	mx_error *e = mx_tip_meet(r, s->conn, s->needs, s->needs_n);

	if (e == NULL)
		e = build_all(s, &last);
	if (e == NULL) {
		move_tip(s, &last);
		if (whole != NULL && whole->rq != NULL)
			mx_request_hold(whole->rq, whole->then);
		if (whole != NULL)
			mx_write_later(s->rs->db, write_events, landed, whole);
	}
	pthread_mutex_unlock(&r->tip.lock);
	return e;
}

/* What was built has become durable, or hasn't. */
static void
settle(struct send *s, const mx_error *error)
{
	struct mx_room *r = s->store.room;
	struct mx_tip *t = &r->tip;

	if (mx_error_is(error, MX_E_UNCERTAIN))
		atomic_fetch_add(&r->foreign, 1);	/* what is durable must be read again */
	if (error != NULL || redacts_state(s)) {
		pthread_mutex_lock(&t->lock);
		if (error != NULL && s->generation == t->generation)
			mx_tip_reset(t);
		else if (error == NULL && t->loaded)
			mx_tip_sweep(r);
		pthread_mutex_unlock(&t->lock);
	}
	mx_tip_landed(t);
}

/* The events of the other room are asked for once the id of a new room is known. */
static mx_error *
prepare_other(const struct send *s)
{
	struct send *o = s->other;
	const struct mx_draft *drafts;
	size_t n;

	if (!o->prepared) {
		MX_TRY(s->along->drafts(s->store.room, s->along->arg, &drafts, &n));
		MX_TRY(check_drafts(drafts, n, MAX_DRAFTS));
		o->n = n;
		o->prepared = true;
		MX_TRY(send_begin(o, drafts, NULL));
	}
	return mx_room_refresh(o->store.room, o->conn);
}

/* A new room is nobody else's yet: its tip may wait, moved, until the other room's is. */
static mx_error *
hand_in_both(struct send *s)
{
	mx_error *e;

	MX_TRY(build_on_tip(s, NULL));
	e = prepare_other(s);
	if (e == NULL)
		e = build_on_tip(s->other, s);
	if (e != NULL)
		settle(s, e);
	return e;
}

static mx_error *
attempt(struct send *s)
{
	if (s->other != NULL)
		MX_TRY(hand_in_both(s));
	else
		MX_TRY(build_on_tip(s, s));
	while (sem_wait(&s->landed) != 0 && errno == EINTR)
		continue;
	if (s->other != NULL)
		settle(s->other, s->error);
	settle(s, s->error);
	return s->error;
}

static mx_error *
attempts(struct send *s)
{
	mx_error *e;

	for (int i = 0;; i++) {
		if (!s->store.create)
			MX_TRY(mx_room_refresh(s->store.room, s->conn));
		e = attempt(s);
		if (!mx_error_is(e, MX_E_AGAIN) || i == MAX_ATTEMPTS)
			break;
		mx_error_free(&e);
		atomic_fetch_add_explicit(&s->rs->conflicts, 1, memory_order_relaxed);
		events_drop(s);
		if (s->other != NULL && s->other->prepared)
			events_drop(s->other);
	}
	if (mx_error_is(e, MX_E_AGAIN)) {
		mx_error_free(&e);
		return mx_error_new(MX_E_UNAVAILABLE, "the room is too busy");
	}
	return e;
}

/* ---- the three entries ---- */

/* content: what stands for the first draft's, or NULL. */
static mx_error *
send_begin(struct send *s, const struct mx_draft *drafts, json_t *content)
{
	s->arena = mx_arena_new();
	s->works = mx_arena_alloc(s->arena, s->n * sizeof(*s->works));
	s->needs = mx_arena_alloc(s->arena, s->n * MAX_NEEDS * sizeof(*s->needs));
	s->store.v = mx_arena_alloc(s->arena, s->n * sizeof(*s->store.v));
	s->store.n = s->n;
	sem_init(&s->landed, 0, 0);
	s->works[0].content = content;
	for (size_t i = 0; i < s->n; i++) {
		s->works[i].draft = &drafts[i];
		MX_TRY(prepare_one(s, &s->works[i], &s->store.v[i]));
	}
	return NULL;
}

static void
send_end(struct send *s)
{
	if (s->other != NULL && s->other->prepared)
		send_end(s->other);
	events_drop(s);
	for (size_t i = 0; i < s->n; i++) {
		mx_event_unref(&s->store.v[i].target);
		mx_event_unref(&s->store.v[i].redacted);
	}
	sem_destroy(&s->landed);
	mx_arena_free(&s->arena);
}

static mx_error *
send_all(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const struct mx_draft *drafts,
	 size_t n, struct mx_event **out)
{
	struct send s = { .rs = rs, .conn = c, .n = n, .store.room = r };
	mx_error *e = send_begin(&s, drafts, NULL);

	if (e == NULL)
		e = attempts(&s);
	for (size_t i = 0; e == NULL && out != NULL && i < n; i++)
		out[i] = mx_event_ref(s.store.v[i].event);
	send_end(&s);
	return e;
}

static bool
has_txn(const struct mx_draft *d)
{
	return d->device != 0 && d->txn_id.n > 0;
}

/* The same transaction id makes one event: whoever comes second waits for the first, or finds what
 * it made. No event and no error: the id is the caller's now, who settles it. */
static mx_error *
claim_txn(struct mx_rooms *rs, struct mx_conn *c, const struct mx_draft *d, struct mx_event **made)
{
	mx_error *e = NULL;
	mx_nid nid;
	bool old;

	if (!mx_txn_claim(rs->txns, d->device, d->txn_id, &nid, &old))
		return mx_event_by_nid(rs, c, nid, made);
	if (old)
		e = mx_room_txn(rs, c, d->device, d->txn_id, made);
	if (e != NULL || *made != NULL)
		mx_txn_settle(rs->txns, d->device, d->txn_id, e == NULL ? (*made)->nid : 0);
	return e;
}

static mx_error *
send_once(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const struct mx_draft *d,
	  struct mx_event **out)
{
	struct mx_event *ev = NULL;
	mx_error *e = claim_txn(rs, c, d, &ev);

	if (e == NULL && ev == NULL) {
		e = send_all(rs, c, r, d, 1, &ev);
		if (mx_error_is(e, MX_E_EXISTS)) {
			mx_error_free(&e);
			e = mx_room_txn(rs, c, d->device, d->txn_id, &ev);
			if (e == NULL && ev == NULL)
				e = mx_error_new(MX_E_UNKNOWN, "the event could not be stored");
		}
		mx_txn_settle(rs->txns, d->device, d->txn_id, ev != NULL ? ev->nid : 0);
	}
	if (e == NULL && out != NULL)
		*out = ev;
	else
		mx_event_unref(&ev);
	return e;
}

mx_error *
mx_room_send(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
	     const struct mx_draft *drafts, size_t n, struct mx_event **out)
{
	MX_TRY(check_drafts(drafts, n, MAX_DRAFTS));
	if (n == 1 && has_txn(drafts))
		return send_once(rs, c, r, drafts, out);
	return send_all(rs, c, r, drafts, n, out);
}

/* ---- without waiting ---- */

/* On the writer's thread. */
static void
held_end(struct send *s)
{
	struct mx_request *rq = s->rq;
	struct mx_room *room = s->store.room;
	struct mx_event *ev = s->store.v[0].event;
	mx_str txn_id = mx_event_txn_id(ev);
	mx_error *e = s->error;

	settle(s, e);
	if (ev->device != 0 && txn_id.n > 0)
		mx_txn_settle(s->rs->txns, ev->device, txn_id, e == NULL ? ev->nid : 0);
	if (mx_error_is(e, MX_E_AGAIN))
		atomic_fetch_add_explicit(&s->rs->conflicts, 1, memory_order_relaxed);
	/* Who waits looks for the event that has the transaction id already. */
	if (mx_error_is(e, MX_E_EXISTS)) {
		mx_error_free(&e);
		e = mx_error_new(MX_E_AGAIN, "the transaction id was used");
	}
	*s->out = (struct mx_sent){ .error = e, .event = e == NULL ? mx_event_ref(ev) : NULL };
	send_end(s);
	free(s);
	mx_room_unref(&room);
	mx_request_resume(rq);
}

mx_error *
mx_room_send_held(struct mx_rooms *rs, struct mx_request *rq, struct mx_room *r,
		  const struct mx_draft *draft, mx_handler *then, struct mx_sent *out)
{
	struct mx_conn *c = mx_request_conn(rq);

	*out = (struct mx_sent){ .error = NULL };
	MX_TRY(check_drafts(draft, 1, 1));
	if (has_txn(draft))
		MX_TRY(claim_txn(rs, c, draft, &out->event));
	if (out->event != NULL) {
		mx_request_hold(rq, then);
		mx_request_resume(rq);
		return NULL;
	}

	struct send *s = mx_alloc(sizeof(*s));

	*s = (struct send){ .rs = rs, .conn = c, .n = 1, .store.room = mx_room_ref(r),
			    .rq = rq, .then = then, .out = out };
	mx_error *e = send_begin(s, draft, NULL);

	if (e == NULL)
		e = mx_room_refresh(r, c);
	if (e == NULL)
		e = build_on_tip(s, s);
	if (e == NULL)
		return NULL;
	if (has_txn(draft))
		mx_txn_settle(rs->txns, draft->device, draft->txn_id, 0);
	send_end(s);
	free(s);
	mx_room_unref(&r);
	return e;
}

mx_error *
mx_room_allowed(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
		const struct mx_draft *draft)
{
	struct send s = { .rs = rs, .conn = c, .n = 1, .store.room = r };
	mx_error *e = mx_room_refresh(r, c);

	if (e != NULL)
		return e;
	e = send_begin(&s, draft, NULL);
	if (e == NULL) {
		pthread_mutex_lock(&r->tip.lock);
		e = mx_tip_meet(r, c, s.needs, s.needs_n);
		struct last last;

		last_of(&r->tip, &last);
		if (e == NULL)
			e = build_one(&s, 0, &last, NULL, &s.store.v[0].event);
		pthread_mutex_unlock(&r->tip.lock);
	}
	send_end(&s);
	return e;
}

/* ---- a new room ---- */

static mx_error *
create_content(const struct mx_room_version *v, const struct mx_draft *d, json_t **out)
{
	if (!mx_str_eq(d->type, MX_S("m.room.create")) || d->state_key.p == NULL ||
	    d->state_key.n != 0)
		return mx_error_new(MX_E_UNKNOWN, "a room must begin with m.room.create");
	if (!json_is_object(d->content))
		return mx_error_new(MX_E_BAD_JSON, "the content of an event must be an object");
	*out = json_copy(d->content);
	json_object_set_new(*out, "room_version", json_stringn(v->name.p, v->name.n));
	if (v->rule_creator_in_content)
		json_object_set_new(*out, "creator", json_stringn(d->sender_id.p, d->sender_id.n));
	else
		json_object_del(*out, "creator");
	return NULL;
}

/* In version 12 a user who makes two rooms of the same content in one millisecond would make the
 * same room: later ones are dated later. */
static mx_msec
create_time(struct mx_rooms *rs, mx_nid sender)
{
	_Atomic mx_msec *last = &rs->create_ts[(uint64_t)sender % MX_CREATE_TIMES];
	mx_msec before = atomic_load(last), now;

	do {
		now = mx_now();
		now = now > before ? now : before + 1;
	} while (!atomic_compare_exchange_weak(last, &before, now));
	return now;
}

static mx_error *
create_once(struct mx_rooms *rs, struct mx_conn *c, const struct mx_room_version *version,
	    const struct mx_draft *drafts, size_t n, json_t *content, const struct mx_along *along,
	    struct mx_room **out)
{
	char opaque[19];
	MX_AUTO(mx_buf) *id = mx_buf_new(MX_EVENT_MAX_FIELD);

	if (!version->room_id_is_create_hash) {
		mx_random_text(opaque, sizeof(opaque) - 1);
		mx_buf_printf(id, "!%s:%.*s", opaque, MX_SFMT(mx_rooms_server(rs)));
	}
	struct mx_room *r = mx_room_new(rs, mx_buf_view(id), version);
	struct send s = { .rs = rs, .conn = c, .n = n, .store = { .room = r, .create = true },
			  .along = along };
	struct send other = { .rs = rs, .conn = c };

	if (along != NULL && along->other != NULL) {
		other.store.room = along->other;
		s.other = &other;
	}
	mx_error *e = send_begin(&s, drafts, content);

	if (e == NULL && drafts[0].ts == 0)
		s.works[0].ts = create_time(rs, drafts[0].sender);
	if (e == NULL)
		e = attempts(&s);
	send_end(&s);
	if (e != NULL)
		mx_room_unref(&r);
	*out = r;
	return e;
}

mx_error *
mx_room_create_along(struct mx_rooms *rs, struct mx_conn *c, const struct mx_room_version *version,
		     const struct mx_draft *drafts, size_t n, const struct mx_along *along,
		     struct mx_room **out)
{
	MX_AUTO_JSON *content = NULL;
	mx_error *e = NULL;

	*out = NULL;
	MX_TRY(check_drafts(drafts, n, MAX_FIRST_DRAFTS));
	MX_TRY(create_content(version, &drafts[0], &content));
	/* Another process may have made the same room in the same millisecond. */
	for (int i = 0; i < 10; i++) {
		mx_error_free(&e);
		e = create_once(rs, c, version, drafts, n, content, along, out);
		if (!mx_error_is(e, MX_E_EXISTS))
			break;
	}
	return e;
}

mx_error *
mx_room_create(struct mx_rooms *rs, struct mx_conn *c, const struct mx_room_version *version,
	       const struct mx_draft *drafts, size_t n, struct mx_room **out)
{
	return mx_room_create_along(rs, c, version, drafts, n, NULL, out);
}
