/* The events of an entry, each judged after those that it rests on. Rows are read in their order;
 * what others rest on is mostly few events, and stays in a small cache of our own: nobody else may
 * find them yet. */
#include "config.h"

#include "core/room/entry.h"

#include <stdlib.h>

#define CACHE (4 << 20)
#define POWERS 8

static const struct mx_sql ONE = MX_SQL("SELECT " MX_EVENT_COLUMNS " FROM event e WHERE e.nid = $1");
static const struct mx_sql RANGE =
	MX_SQL("SELECT " MX_EVENT_COLUMNS " FROM event e WHERE e.nid >= $1 AND e.nid < $2");

struct step {			/* of the walk to what an event rests on */
	uint32_t record;
	uint8_t next;		/* of its auth events */
};

struct judging {
	struct mx_entry *e;
	struct mx_conn *conn;
	struct mx_event_cache *cache;
	struct mx_event *create;	/* a reference; of rooms that are named by it */
	struct step *stack;
	size_t stack_n, stack_room;
	bool *open;			/* for each record: it is on the stack */
	struct {
		mx_nid levels, create;
		struct mx_power *power;
	} powers[POWERS];
	size_t powers_next;
	/* not written yet */
	struct mx_arrival v[MX_ENTRY_CHUNK];
	uint32_t at[MX_ENTRY_CHUNK];
	size_t n;
};

/* ---- events ---- */

static mx_error *
read_one(struct mx_entry *e, struct mx_conn *c, mx_nid nid, struct mx_event **out)
{
	struct mx_query *q = mx_query(c, &ONE);
	mx_error *error = NULL;

	*out = NULL;
	mx_bind_int(q, 1, nid);
	if (mx_query_next(q))
		error = mx_event_of_row(q, e->version, out);
	error = mx_error_first(error, mx_query_end(q));
	if (error != NULL)
		mx_event_unref(out);
	return error;
}

mx_error *
mx_entry_event(struct mx_entry *e, struct mx_conn *c, mx_nid nid, struct mx_event **out)
{
	MX_TRY(read_one(e, c, nid, out));
	if (*out != NULL)
		return NULL;
	/* From when we were in the room before, it may have come into the timeline. */
	return e->known ? mx_event_by_nid(e->rs, c, nid, out) :
			  mx_error_new(MX_E_NOT_FOUND, "an event is gone");
}

static mx_error *
load(struct judging *j, mx_nid nid, struct mx_event **out)
{
	*out = mx_event_cache_get(j->cache, nid);
	if (*out != NULL)
		return NULL;
	MX_TRY(mx_entry_event(j->e, j->conn, nid, out));
	mx_event_cache_add(j->cache, out);
	return NULL;
}

/* ---- verdicts ---- */

static mx_error *
write_verdicts(struct judging *j)
{
	mx_error *error = j->n == 0 ? NULL : mx_entry_write_verdicts(j->e, j->v, j->at, j->n);

	mx_arrivals_clear(j->v, j->n);
	j->n = 0;
	return error;
}

static mx_error *
note_verdict(struct judging *j, const struct mx_arrival *v, uint32_t record)
{
	j->v[j->n] = *v;
	j->v[j->n].event = mx_event_ref(v->event);
	j->at[j->n++] = record;
	j->e->rejected++;
	return j->n == MX_ENTRY_CHUNK ? write_verdicts(j) : NULL;
}

/* ---- one event, all that it rests on being judged ---- */

static const struct mx_power *
power_of(struct judging *j, const struct mx_event *const *auth, size_t n)
{
	const struct mx_event *levels = NULL, *create = j->create;

	for (size_t i = 0; i < n; i++) {
		if (auth[i]->create)
			create = auth[i];
		else if (mx_str_eq(mx_event_type(auth[i]), MX_S("m.room.power_levels")) &&
			 mx_event_state_key(auth[i]).n == 0)
			levels = auth[i];
	}
	if (levels == NULL || create == NULL)
		return NULL;
	for (size_t i = 0; i < POWERS; i++)
		if (j->powers[i].levels == levels->nid && j->powers[i].create == create->nid)
			return j->powers[i].power;
	size_t place = j->powers_next++ % POWERS;

	mx_power_unref(&j->powers[place].power);
	j->powers[place].levels = levels->nid;
	j->powers[place].create = create->nid;
	return j->powers[place].power = mx_power_parse(levels, create);
}

/* The events that it names in auth_events; *missing: one is not there. */
static mx_error *
load_auth(struct judging *j, const struct mx_event *ev, struct mx_event **auth, size_t *n,
	  bool *missing)
{
	struct mx_event_ids it = mx_event_auth(ev);
	mx_str id;

	*missing = false;
	while (*n < MX_EVENT_MAX_AUTH && mx_event_ids_next(&it, &id)) {
		uint32_t place = *mx_entry_slot(j->e, mx_hash(id.p, id.n));
		const struct mx_record *r = place != 0 ? &j->e->records[place - 1] : NULL;

		if (r == NULL || !r->judged || r->missing) {
			*missing = true;
			return NULL;
		}
		MX_TRY(load(j, r->nid, &auth[*n]));
		/* Its row says so only later. */
		if (r->rejected && !auth[*n]->rejected)
			auth[*n]->rejected = true;
		if (!mx_str_eq(mx_event_id(auth[(*n)++]), id))
			*missing = true;
	}
	return NULL;
}

static mx_error *
judge(struct judging *j, uint32_t record, struct mx_event *ev)
{
	struct mx_record *r = &j->e->records[record];
	struct mx_event *auth[MX_EVENT_MAX_AUTH] = { NULL };
	struct mx_arrival v = { .event = ev };
	size_t n = 0;
	mx_error *error = load_auth(j, ev, auth, &n, &r->missing);

	if (error == NULL && !r->missing)
		mx_outlier_judge(&v, j->create, (const struct mx_event *const *)auth, n,
				 power_of(j, (const struct mx_event *const *)auth, n));
	for (size_t i = 0; i < n; i++)
		mx_event_unref(&auth[i]);
	if (error != NULL)
		return error;
	r->judged = true;
	j->e->order[j->e->order_n++] = record;
	r->rejected = r->missing || v.fate == MX_FATE_REJECTED;
	if (r->missing) {
		v.fate = MX_FATE_DROPPED;
		v.reason = MX_REASON_MISSING_AUTH;
	} else if (v.reason == MX_REASON_NONE && ev->redacted) {
		v.reason = MX_REASON_HASH;
	}
	mx_arrivals_count(j->e->rs, &v, 1);
	return r->rejected ? note_verdict(j, &v, record) : NULL;
}

/* ---- the walk ---- */

static void
push(struct judging *j, uint32_t record)
{
	if (j->stack_n == j->stack_room) {
		j->stack_room = j->stack_room == 0 ? 64 : 2 * j->stack_room;
		j->stack = mx_realloc(j->stack, j->stack_room, sizeof(*j->stack));
	}
	j->stack[j->stack_n++] = (struct step){ record, 0 };
	j->open[record] = true;
}

/* Puts the next unjudged event that the top of the stack rests on on top of it; false: none is left.
 * One that is on the stack already rests on itself: it will be missing. */
static bool
descend(struct judging *j)
{
	struct step *s = &j->stack[j->stack_n - 1];
	const struct mx_record *r = &j->e->records[s->record];

	while (s->next < r->refs_n) {
		uint32_t place = *mx_entry_slot(j->e, j->e->refs[r->refs + s->next++]);

		if (place != 0 && !j->e->records[place - 1].judged && !j->open[place - 1]) {
			push(j, place - 1);
			return true;
		}
	}
	return false;
}

/* Judges a record, whose event is at hand, and before it all that it rests on. */
static mx_error *
judge_from(struct judging *j, uint32_t record, struct mx_event *ev)
{
	push(j, record);
	while (j->stack_n > 0) {
		uint32_t top = j->stack[j->stack_n - 1].record;

		if (descend(j))
			continue;
		if (top == record) {
			MX_TRY(judge(j, top, ev));
		} else {
			MX_AUTO(mx_event) *other = NULL;

			MX_TRY(load(j, j->e->records[top].nid, &other));
			MX_TRY(judge(j, top, other));
		}
		j->open[top] = false;
		j->stack_n--;
	}
	return NULL;
}

/* The events of the records from *at on, as far as their rows follow each other. */
static mx_error *
read_range(struct judging *j, size_t *at, struct mx_events *out)
{
	const struct mx_record *r = j->e->records;
	size_t first = *at, n = 0;
	mx_error *error = NULL;

	while (first + n < j->e->records_n && n < MX_ENTRY_CHUNK && !r[first + n].stored &&
	       (n == 0 || r[first + n].nid == r[first].nid + (mx_nid)n))
		n++;
	*at += n > 0 ? n : 1;
	if (n == 0)
		return NULL;
	struct mx_query *q = mx_query(j->conn, &RANGE);

	mx_bind_int(q, 1, r[first].nid);
	mx_bind_int(q, 2, r[first].nid + (mx_nid)n);
	while (error == NULL && mx_query_next(q)) {
		struct mx_event *ev = NULL;

		error = mx_event_of_row(q, j->e->version, &ev);
		if (ev != NULL)
			mx_events_add(out, ev);
	}
	error = mx_error_first(error, mx_query_end(q));
	if (error == NULL && out->n != n)
		error = mx_error_new(MX_E_UNAVAILABLE, "entering the room took too long");
	return error;
}

static int
by_nid(const void *a, const void *b)
{
	mx_nid x = (*(struct mx_event *const *)a)->nid, y = (*(struct mx_event *const *)b)->nid;

	return (x > y) - (x < y);
}

static mx_error *
judge_all(struct judging *j)
{
	mx_error *error = NULL;

	for (size_t at = 0; at < j->e->records_n && error == NULL;) {
		struct mx_events evs = { 0 };
		size_t first = at;

		error = read_range(j, &at, &evs);
		if (evs.n > 1)
			qsort(evs.v, evs.n, sizeof(struct mx_event *), by_nid);
		for (size_t i = 0; i < evs.n && error == NULL; i++)
			if (!j->e->records[first + i].judged)
				error = judge_from(j, (uint32_t)(first + i), evs.v[i]);
		mx_events_clear(&evs);
	}
	return error != NULL ? error : write_verdicts(j);
}

/* In rooms that are named by their create event, that is known by the room's id. */
static mx_error *
find_create(struct judging *j)
{
	struct mx_entry *e = j->e;
	char id[MX_EVENT_ID_MAX + 1];

	if (!e->version->room_id_is_create_hash || e->room_id.n > MX_EVENT_ID_MAX)
		return NULL;
	memcpy(id, e->room_id.p, e->room_id.n);
	id[0] = '$';
	uint32_t place = *mx_entry_slot(e, mx_hash(id, e->room_id.n));

	return place != 0 ? load(j, e->records[place - 1].nid, &j->create) : NULL;
}

mx_error *
mx_entry_judge(struct mx_entry *e, struct mx_conn *c)
{
	struct judging *j = mx_alloc(sizeof(*j));

	j->e = e;
	j->conn = c;
	j->cache = mx_event_cache_new(CACHE);
	j->open = mx_alloc(e->records_n + 1);
	e->order = mx_realloc(e->order, e->records_n + 1, sizeof(*e->order));
	e->order_n = 0;
	mx_error *error = find_create(j);

	if (error == NULL)
		error = judge_all(j);
	mx_arrivals_clear(j->v, j->n);
	for (size_t i = 0; i < POWERS; i++)
		mx_power_unref(&j->powers[i].power);
	mx_event_unref(&j->create);
	mx_event_cache_free(&j->cache);
	free(j->stack);
	free(j->open);
	free(j);
	return error;
}
