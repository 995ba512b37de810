/* Outside any lock a draft is checked and its content made canonical; under the lock of the room's
 * tip, and without I/O, it is authorised, built and signed. */
#include "config.h"

#include "core/json/json.h"
#include "core/room/hash.h"
#include "core/room/send_private.h"

#include <stdlib.h>

/* ---- before the lock ---- */

static bool
storable(mx_str s)
{
	return s.n == 0 || (memchr(s.p, 0, s.n) == NULL && mx_str_utf8(s));
}

mx_error *
mx_send_check(const struct mx_draft *drafts, size_t n, size_t max)
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
	for (size_t i = 0; i < types.n && i < MX_SEND_NEEDS - 1; i++)
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
	mx_str auth[MX_SEND_NEEDS];
	unsigned char auth_hash[MX_SEND_NEEDS][MX_SHA256_SIZE];
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

mx_error *
mx_send_build(struct send *s, struct last *last)
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
void
mx_send_move_tip(struct send *s, const struct last *last)
{
	struct mx_tip *t = &s->store.room->tip;

	t->seq = s->store.seq;
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
}

/* ---- life ---- */

mx_error *
mx_send_begin(struct send *s, const struct mx_draft *drafts, json_t *content)
{
	s->arena = mx_arena_new();
	s->works = mx_arena_alloc(s->arena, s->n * sizeof(*s->works));
	s->needs = mx_arena_alloc(s->arena, s->n * MX_SEND_NEEDS * sizeof(*s->needs));
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

void
mx_send_end(struct send *s)
{
	if (s->other != NULL && s->other->prepared)
		mx_send_end(s->other);
	mx_send_drop(s);
	for (size_t i = 0; i < s->n; i++) {
		mx_event_unref(&s->store.v[i].target);
		mx_event_unref(&s->store.v[i].redacted);
	}
	sem_destroy(&s->landed);
	mx_arena_free(&s->arena);
}

void
mx_send_drop(struct send *s)
{
	for (size_t i = 0; i < s->n; i++)
		mx_event_unref(&s->store.v[i].event);
}

/* ---- asking only ---- */

mx_error *
mx_room_allowed(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
		const struct mx_draft *draft)
{
	struct send s = { .rs = rs, .conn = c, .n = 1, .store.room = r };
	mx_error *e = mx_room_refresh(r, c);

	if (e != NULL)
		return e;
	e = mx_send_begin(&s, draft, NULL);
	if (e == NULL) {
		pthread_mutex_lock(&r->tip.lock);
		e = mx_tip_meet(r, c, s.needs, s.needs_n, &s.crowded);
		struct last last;

		last_of(&r->tip, &last);
		if (e == NULL)
			e = build_one(&s, 0, &last, NULL, &s.store.v[0].event);
		pthread_mutex_unlock(&r->tip.lock);
	}
	mx_send_end(&s);
	return e;
}
