#include "config.h"

#include "core/room/entry.h"

#include <errno.h>
#include <stdlib.h>

/* An event may have unsigned and white space besides. */
#define ELEMENT_MAX (2 * (size_t)MX_EVENT_MAX)
#define BYTES_PER_STATE 2048	/* of the answer, for each state event that a room may have */

enum { STATE, AUTH_CHAIN };	/* the arrays */
enum { EVENT, MEMBERS_OMITTED };	/* the members */

/* ---- records ---- */

uint32_t *
mx_entry_slot(const struct mx_entry *e, uint64_t id_hash)
{
	for (size_t i = (size_t)id_hash & (e->slots_n - 1);; i = (i + 1) & (e->slots_n - 1))
		if (e->slots[i] == 0 || e->records[e->slots[i] - 1].id_hash == id_hash)
			return &e->slots[i];
}

static void
grow_records(struct mx_entry *e)
{
	e->records_room = e->records_room == 0 ? 1024 : 2 * e->records_room;
	e->records = mx_realloc(e->records, e->records_room, sizeof(*e->records));
	e->slots_n = 2 * e->records_room;
	free(e->slots);
	e->slots = mx_alloc(e->slots_n * sizeof(*e->slots));
	for (size_t i = 0; i < e->records_n; i++)
		*mx_entry_slot(e, e->records[i].id_hash) = (uint32_t)i + 1;
}

static void
add_ref(struct mx_entry *e, mx_str id)
{
	if (e->refs_n == e->refs_room) {
		e->refs_room = e->refs_room == 0 ? 4096 : 2 * e->refs_room;
		e->refs = mx_realloc(e->refs, e->refs_room, sizeof(*e->refs));
	}
	e->refs[e->refs_n++] = mx_hash(id.p, id.n);
}

static void
add_record(struct mx_entry *e, const struct mx_event *ev, uint64_t id_hash, bool state)
{
	struct mx_event_ids it = mx_event_auth(ev);
	struct mx_record r = {
		.id_hash = id_hash,
		.refs = (uint32_t)e->refs_n,
		.membership = (uint8_t)ev->membership,
		.state = state,
		.leaf = !mx_rules_is_auth_type(ev),
		.create = ev->create,
		.key = mx_tree_key(mx_event_type(ev), mx_event_state_key(ev)),
	};
	mx_str id;

	while (r.refs_n < MX_EVENT_MAX_AUTH && mx_event_ids_next(&it, &id)) {
		add_ref(e, id);
		r.refs_n++;
	}
	e->records[e->records_n++] = r;
	*mx_entry_slot(e, id_hash) = (uint32_t)e->records_n;
}

/* An event that has come before; now it is said to be state as well. */
static void
become_state(struct mx_entry *e, uint32_t place)
{
	struct mx_record *r = &e->records[place];

	if (r->state)
		return;
	r->state = true;
	if (e->late_n == e->late_room) {
		e->late_room = e->late_room == 0 ? 64 : 2 * e->late_room;
		e->late = mx_realloc(e->late, e->late_room, sizeof(*e->late));
	}
	e->late[e->late_n++] = place;
}

/* ---- chunks ---- */

void
mx_entry_add_local(struct mx_entry *e, mx_nid user, uint32_t record)
{
	if (e->locals_n == e->locals_room) {
		e->locals_room = e->locals_room == 0 ? 16 : 2 * e->locals_room;
		e->locals = mx_realloc(e->locals, e->locals_room, sizeof(*e->locals));
	}
	e->locals[e->locals_n++] = (struct mx_entry_local){ user, record };
}

/* Waits for the chunk that is with the writer, and notes what became of it. */
static mx_error *
land(struct mx_entry *e)
{
	struct mx_chunk *k = e->flight;

	if (!e->flying)
		return NULL;
	while (sem_wait(&e->landed) != 0 && errno == EINTR)
		continue;
	e->flying = false;
	for (size_t i = 0; e->error == NULL && i < k->n; i++) {
		struct mx_record *r = &e->records[k->first + i];

		r->nid = k->nid[i];
		r->stored = r->judged = k->known[i];
		r->rejected = k->rejected[i];
		if (k->user[i] != 0)
			mx_entry_add_local(e, k->user[i], k->first + (uint32_t)i);
	}
	mx_arrivals_clear(k->v, k->n);
	mx_error *error = e->error;

	e->error = NULL;
	return error;
}

/* What cannot be verified, or is no state of this room. */
static void
drop(struct mx_entry *e, struct mx_arrival *v)
{
	if (v->event != NULL) {
		v->fate = MX_FATE_DROPPED;
		v->reason = v->event->unvouched ? MX_REASON_VOUCHER
			    : v->event->state   ? MX_REASON_ROOM
						: MX_REASON_MALFORMED;
	}
	mx_arrivals_count(e->rs, v, 1);
	mx_event_unref(&v->event);
	e->dropped++;
}

/* Leaves in k the ones that are new and of this room, and makes records of them. */
static mx_error *
sift(struct mx_entry *e, struct mx_chunk *k, size_t n)
{
	k->first = (uint32_t)e->records_n;
	k->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct mx_event *ev = k->v[i].event;

		if (ev == NULL || !ev->state || ev->unvouched ||
		    !mx_str_eq(mx_event_room_id(ev), e->room_id)) {
			drop(e, &k->v[i]);
			continue;
		}
		mx_str id = mx_event_id(ev);
		uint64_t h = mx_hash(id.p, id.n);

		if (mx_str_eq(id, mx_event_id(e->join))) {
			mx_event_unref(&k->v[i].event);
			continue;	/* what it is part of is the state after it */
		}
		if (e->records_n == e->records_room)
			grow_records(e);
		uint32_t place = *mx_entry_slot(e, h);

		if (place != 0) {
			if (k->state[i])
				become_state(e, place - 1);
			mx_event_unref(&k->v[i].event);
			continue;
		}
		add_record(e, ev, h, k->state[i]);
		k->state[k->n] = k->state[i];
		k->v[k->n] = k->v[i];
		if (k->n++ != i)
			k->v[i].event = NULL;
	}
	return e->records_n > 2 * (size_t)e->rs->opt.max_state ?
		mx_error_new(MX_E_TOO_LARGE, "the room has more events than this server allows") :
		NULL;
}

/* Verifies what was read, while the chunk before is being written, and hands it to the writer. */
static mx_error *
next_chunk(struct mx_entry *e)
{
	struct mx_chunk *k = mx_alloc(sizeof(*k));
	mx_str pdus[MX_ENTRY_CHUNK], bytes = mx_buf_view(e->bytes);
	size_t n = e->parts_n;

	for (size_t i = 0; i < n; i++) {
		pdus[i] = (mx_str){ bytes.p + e->parts[i].off, e->parts[i].n };
		k->state[i] = e->parts[i].state;
	}
	mx_error *error = mx_verify_events(e->rs, e->version, pdus, n, k->v);
	mx_error *before = land(e);

	e->parts_n = 0;
	mx_buf_truncate(e->bytes, 0);
	if (error == NULL)
		error = before;
	else
		mx_error_free(&before);
	if (error == NULL)
		error = sift(e, k, n);
	if (error != NULL || k->n == 0) {
		mx_arrivals_clear(k->v, n);
		free(k);
		return error;
	}
	free(e->flight);
	e->flight = k;
	e->flying = true;
	mx_entry_write_chunk(e);
	return NULL;
}

/* ---- the answer's parts ---- */

static mx_error *
take_element(void *arg, size_t which, mx_str text)
{
	struct mx_entry *e = arg;

	if (text.p == NULL) {
		struct mx_arrival v = { .fate = MX_FATE_DROPPED, .reason = MX_REASON_SIZE };

		drop(e, &v);
		return NULL;
	}
	if (mx_buf_view(e->bytes).n + text.n > MX_ENTRY_CHUNK_BYTES)
		MX_TRY(next_chunk(e));
	e->parts[e->parts_n].off = mx_buf_view(e->bytes).n;
	e->parts[e->parts_n].n = text.n;
	e->parts[e->parts_n++].state = which == STATE;
	mx_buf_str(e->bytes, text);
	return e->parts_n == MX_ENTRY_CHUNK ? next_chunk(e) : NULL;
}

/* Our join, as the server that let us in has signed it. */
static mx_error *
take_join(struct mx_entry *e, mx_str text)
{
	struct mx_arrival v;

	MX_TRY(mx_verify_events(e->rs, e->version, &text, 1, &v));
	if (v.event == NULL)
		return mx_error_new(MX_E_BAD_JSON, "the join in the answer: %s", v.words);
	bool same = mx_str_eq(mx_event_id(v.event), mx_event_id(e->join)) && !v.event->redacted &&
		    !v.event->unvouched;

	if (same) {
		mx_event_unref(&e->join);
		e->join = mx_event_ref(v.event);
	}
	mx_arrivals_clear(&v, 1);
	return same ? NULL : mx_error_new(MX_E_BAD_JSON, "the join in the answer is not ours");
}

static mx_error *
take_member(void *arg, size_t which, mx_str text)
{
	struct mx_entry *e = arg;

	if (which == EVENT)
		return text.p[0] == '{' ? take_join(e, text) : NULL;
	if (mx_str_eq(text, MX_S("true")))
		return mx_error_new(MX_E_BAD_JSON, "the answer has a part of the state only");
	return NULL;
}

/* ---- the interface ---- */

static mx_error *
check_join(struct mx_entry *e, mx_str join)
{
	MX_TRY(mx_event_from_bytes(e->version, join, &e->join));
	mx_str sender = mx_event_sender(e->join);

	if (!mx_str_eq(mx_event_type(e->join), MX_S("m.room.member")) ||
	    e->join->membership != MX_MEMBER_JOIN ||
	    !mx_str_eq(mx_event_state_key(e->join), sender) ||
	    !mx_rooms_is_local(e->rs, sender) ||
	    !mx_str_eq(mx_event_room_id(e->join), e->room_id))
		return mx_error_new(MX_E_UNKNOWN, "that is no join of a user of this server");
	return NULL;
}

mx_error *
mx_entry_begin(struct mx_rooms *rs, mx_str room_id, const struct mx_room_version *version,
	       mx_str join_event, struct mx_entry **out)
{
	struct mx_entry *e = mx_alloc(sizeof(*e));
	size_t max = (size_t)rs->opt.max_state;

	*out = NULL;
	e->rs = rs;
	e->version = version;
	e->arena = mx_arena_new();
	e->room_id = mx_arena_str(e->arena, room_id);
	e->begun = mx_now();
	sem_init(&e->landed, 0, 0);
	e->bytes = mx_buf_new(MX_ENTRY_CHUNK_BYTES + ELEMENT_MAX);
	e->split = mx_split_new(&(struct mx_split_want){
		.arrays = { "state", "auth_chain" },
		.members = { "event", "members_omitted" },
		.element_max = ELEMENT_MAX,
		.member_max = ELEMENT_MAX,
		.elements_max = 2 * max,
		.total_max = (uint64_t)max * BYTES_PER_STATE,
		.element = take_element,
		.member = take_member,
		.arg = e,
	});
	grow_records(e);
	mx_error *error = mx_id_room(room_id) ?
		check_join(e, join_event) :
		mx_error_new(MX_E_INVALID_PARAM, "that is no room id");

	if (error == NULL)
		error = mx_entry_claim(e);
	if (error != NULL)
		mx_entry_free(&e);
	*out = e;
	return error;
}

mx_error *
mx_entry_feed(struct mx_entry *e, mx_str bytes)
{
	mx_error *error = e->failed ?
		mx_error_new(MX_E_UNKNOWN, "reading the answer has failed before") :
		mx_split_feed(e->split, bytes);

	e->failed = e->failed || error != NULL;
	return error;
}

mx_error *
mx_entry_read_rest(struct mx_entry *e)
{
	if (e->failed)
		return mx_error_new(MX_E_UNKNOWN, "reading the answer has failed before");
	e->failed = true;	/* unless what follows goes well, and then nothing follows */
	MX_TRY(mx_split_end(e->split));
	if (e->parts_n > 0)
		MX_TRY(next_chunk(e));
	MX_TRY(land(e));
	mx_split_free(&e->split);
	mx_buf_free(&e->bytes);
	return NULL;
}

void
mx_entry_free(struct mx_entry **ep)
{
	struct mx_entry *e = *ep;

	*ep = NULL;
	if (e == NULL)
		return;
	(void)mx_error_drop(land(e));
	if (e->claimed && !e->done)
		mx_entry_clean(e);
	mx_split_free(&e->split);
	mx_buf_free(&e->bytes);
	mx_event_unref(&e->join);
	free(e->flight);
	free(e->records);
	free(e->refs);
	free(e->slots);
	free(e->locals);
	free(e->late);
	free(e->order);
	free(e->state);
	sem_destroy(&e->landed);
	mx_arena_free(&e->arena);
	free(e);
}
