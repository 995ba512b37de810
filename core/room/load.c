/* Events from the database, through the cache. */
#include "config.h"

#include "core/room/engine.h"

#include <stdlib.h>

static const struct mx_sql BY_NID =
	MX_SQL("SELECT " MX_EVENT_COLUMNS ", r.version FROM event e JOIN room r ON r.nid = e.room WHERE e.nid = $1");
static const struct mx_sql BY_ALIAS =
	MX_SQL("SELECT " MX_EVENT_COLUMNS ", r.version FROM event e JOIN room r ON r.nid = e.room WHERE e.alias = $1 "
	       "AND e.alias IS NOT NULL");
static const struct mx_sql BY_ID =
	MX_SQL("SELECT " MX_EVENT_COLUMNS ", r.version FROM event e JOIN room r ON r.nid = e.room "
					  "WHERE e.id_hash = $1 AND e.id = $2 ORDER BY e.nid DESC LIMIT 1");
static const struct mx_sql BY_NIDS =
	MX_SQL("SELECT " MX_EVENT_COLUMNS ", r.version FROM event e JOIN room r ON r.nid = e.room WHERE e.nid IN "
	       "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)");
static const struct mx_sql BY_TXN =
	MX_SQL("SELECT nid FROM event WHERE device = $1 AND device IS NOT NULL AND txn_id = $2");
static const struct mx_sql AFTER = MX_SQL("SELECT nid FROM event WHERE nid > $1 AND flags & " MX_EVENT_NOT_ACCEPTED " = 0 ORDER BY nid LIMIT $2");
static const struct mx_sql REDACTED_BY = MX_SQL("SELECT redacted_by FROM event WHERE nid = $1");

/* Stands for an id in an index, on every machine and for ever: FNV-1a. That strangers can make them
 * meet costs a comparison of ids each, no more. */
int64_t
mx_event_id_hash(mx_str id)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < id.n; i++)
		h = (h ^ (unsigned char)id.p[i]) * UINT64_C(0x100000001b3);
	return (int64_t)h;
}

static struct mx_state_root
root_of(mx_str bytes)
{
	struct mx_state_root r = { { 0 } };

	if (bytes.n == sizeof(r.h))
		memcpy(r.h, bytes.p, sizeof(r.h));
	return r;
}

/* The room id of a create event that has none in its JSON: its own id with another sigil. */
static mx_str
hash_room_id(const struct mx_room_version *v, mx_str id, char buf[MX_EVENT_ID_MAX + 1])
{
	if (!v->room_id_is_create_hash || id.n == 0 || id.n > MX_EVENT_ID_MAX)
		return (mx_str){ NULL, 0 };
	memcpy(buf, id.p, id.n);
	buf[0] = '!';
	return (mx_str){ buf, id.n };
}

mx_error *
mx_event_of_row(struct mx_query *q, const struct mx_room_version *v, struct mx_event **out)
{
	int64_t flags = mx_col_int(q, 4);
	char room_id[MX_EVENT_ID_MAX + 1];
	struct mx_event_row row = {
		.version = v,
		.nid = mx_col_int(q, 0),
		.room = mx_col_int(q, 1),
		.sender_nid = mx_col_int(q, 2),
		.id = mx_col_str(q, 3),
		.after = root_of(mx_col_str(q, 6)),
		.device = mx_col_int(q, 7),
		.txn_id = mx_col_str(q, 8),
		.json = mx_col_str(q, 9),
		.redacted = (flags & MX_EVENT_REDACTED) != 0,
		.rejected = (flags & MX_EVENT_REJECTED) != 0,
		.soft_failed = (flags & MX_EVENT_SOFT_FAILED) != 0,
		.outlier = (flags & MX_EVENT_OUTLIER) != 0,
		.hidden = (flags & MX_EVENT_HIDDEN) != 0,
		.forked = (flags & MX_EVENT_FORKED) != 0,
		.inner = (flags & MX_EVENT_INNER) != 0,
		.told = (flags & MX_EVENT_TOLD) != 0,
		.alias = mx_col_int(q, 10),
	};

	row.before = mx_col_null(q, 5) ? row.after : root_of(mx_col_str(q, 5));
	row.room_id = hash_room_id(v, row.id, room_id);
	return mx_event_from_row(&row, out);
}

#define MANY 16			/* parameters of BY_NIDS */

/* The event of the row that q stands at, whose last column is the room's version; into the cache.
 */
static mx_error *
read_row(struct mx_rooms *rs, struct mx_query *q, struct mx_event **out)
{
	const struct mx_room_version *v = mx_room_version_find(mx_col_str(q, 11));

	if (v == NULL)
		return mx_error_new(MX_E_UNKNOWN,
				    "an event is of a room version that is not known");
	MX_TRY(mx_event_of_row(q, v, out));
	mx_event_cache_add(rs->events, out);
	return NULL;
}

/* The one row of q. *out NULL when there is none. */
static mx_error *
read_one(struct mx_rooms *rs, struct mx_query *q, struct mx_event **out)
{
	mx_error *e = NULL;

	*out = NULL;
	if (mx_query_next(q))
		e = read_row(rs, q, out);
	e = mx_error_first(e, mx_query_end(q));
	if (e != NULL)
		mx_event_unref(out);
	return e;
}

mx_error *
mx_event_by_nid(struct mx_rooms *rs, struct mx_conn *c, mx_nid nid, struct mx_event **out)
{
	*out = mx_event_cache_get(rs->events, nid);
	if (*out != NULL)
		return NULL;
	struct mx_query *q = mx_query(c, &BY_NID);

	mx_bind_int(q, 1, nid);
	MX_TRY(read_one(rs, q, out));
	if (*out == NULL) {
		q = mx_query(c, &BY_ALIAS);
		mx_bind_int(q, 1, nid);
		MX_TRY(read_one(rs, q, out));
	}
	return *out != NULL ? NULL : mx_error_new(MX_E_NOT_FOUND, "there is no such event");
}

mx_error *
mx_event_get(struct mx_rooms *rs, struct mx_conn *c, mx_str event_id, struct mx_event **out)
{
	*out = NULL;
	if (mx_id_event(event_id)) {
		*out = mx_event_cache_find(rs->events, event_id);
		if (*out != NULL)
			return NULL;
		struct mx_query *q = mx_query(c, &BY_ID);

		mx_bind_int(q, 1, mx_event_id_hash(event_id));
		mx_bind_str(q, 2, event_id);
		MX_TRY(read_one(rs, q, out));
	}
	return *out != NULL ? NULL
			    : mx_error_new(MX_E_NOT_FOUND, "this server does not know the event");
}

/* Reads up to MANY of those that are missing, from *at on, in one statement. */
static mx_error *
read_some(struct mx_rooms *rs, struct mx_conn *c, const mx_nid *nids, size_t n,
	  struct mx_event **out, size_t *at)
{
	size_t place[MANY], wanted = 0;
	mx_error *e = NULL;

	for (; *at < n && wanted < MANY; ++*at)
		if (out[*at] == NULL)
			place[wanted++] = *at;
	if (wanted == 0)
		return NULL;
	struct mx_query *q = mx_query(c, &BY_NIDS);

	for (size_t i = 0; i < MANY; i++)
		mx_bind_int(q, (int)i + 1, nids[place[i < wanted ? i : 0]]);
	while (e == NULL && mx_query_next(q)) {
		struct mx_event *ev = NULL;

		e = read_row(rs, q, &ev);
		for (size_t i = 0; e == NULL && i < wanted; i++)
			if (out[place[i]] == NULL && nids[place[i]] == ev->nid)
				out[place[i]] = mx_event_ref(ev);
		mx_event_unref(&ev);
	}
	e = mx_error_first(e, mx_query_end(q));
	for (size_t i = 0; e == NULL && i < wanted; i++)
		if (out[place[i]] == NULL)
			e = mx_event_by_nid(rs, c, nids[place[i]], &out[place[i]]);
	return e;
}

mx_error *
mx_events_load(struct mx_rooms *rs, struct mx_conn *c, const mx_nid *nids, size_t n,
	       struct mx_events *out)
{
	size_t base = out->n, at = 0;
	mx_error *e = NULL;

	if (n == 0)
		return NULL;
	mx_events_reserve(out, n);
	size_t missing = mx_event_cache_get_many(rs->events, nids, n, out->v + base);

	if (missing == 1) {
		while (out->v[base + at] != NULL)
			at++;
		e = mx_event_by_nid(rs, c, nids[at], &out->v[base + at]);
	} else if (missing > 1) {
		while (e == NULL && at < n)
			e = read_some(rs, c, nids, n, out->v + base, &at);
	}
	if (e == NULL) {
		out->n += n;
		return NULL;
	}
	for (size_t i = 0; i < n; i++)
		mx_event_unref(&out->v[base + i]);
	return e;
}

mx_error *
mx_events_after(struct mx_rooms *rs, struct mx_conn *c, mx_pos after, size_t limit,
		struct mx_events *out)
{
	mx_nid nids[256];
	size_t n = 0;
	struct mx_query *q = mx_query(c, &AFTER);

	mx_bind_int(q, 1, after > 0 ? after : 0);
	mx_bind_int(q, 2, (int64_t)(limit < 256 ? limit : 256));
	while (n < 256 && mx_query_next(q))
		nids[n++] = mx_col_int(q, 0);
	MX_TRY(mx_query_end(q));
	return mx_events_load(rs, c, nids, n, out);
}

mx_error *
mx_event_redaction(struct mx_rooms *rs, struct mx_conn *c, const struct mx_event *ev,
		   struct mx_event **out)
{
	*out = NULL;
	if (!ev->redacted)
		return NULL;
	struct mx_query *q = mx_query(c, &REDACTED_BY);

	mx_bind_int(q, 1, ev->nid);
	mx_nid by = mx_query_next(q) ? mx_col_int(q, 0) : 0;

	MX_TRY(mx_query_end(q));
	return by != 0 ? mx_event_by_nid(rs, c, by, out) : NULL;
}

mx_error *
mx_room_txn(struct mx_rooms *rs, struct mx_conn *c, mx_nid device, mx_str txn_id,
	    struct mx_event **out)
{
	*out = NULL;
	if (device == 0 || txn_id.n == 0)
		return NULL;
	mx_nid nid = mx_txn_made(rs->txns, device, txn_id);

	if (nid == 0) {
		struct mx_query *q = mx_query(c, &BY_TXN);

		mx_bind_int(q, 1, device);
		mx_bind_str(q, 2, txn_id);
		nid = mx_query_next(q) ? mx_col_int(q, 0) : 0;
		MX_TRY(mx_query_end(q));
	}
	return nid != 0 ? mx_event_by_nid(rs, c, nid, out) : NULL;
}

/* ---- lists ---- */

void
mx_events_add(struct mx_events *l, struct mx_event *ev)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 16 : 2 * l->room;
		l->v = mx_realloc(l->v, l->room, sizeof(struct mx_event *));
	}
	l->v[l->n++] = ev;
}

void
mx_events_reserve(struct mx_events *l, size_t n)
{
	if (l->n + n <= l->room)
		return;
	l->room = l->n + n;
	l->v = mx_realloc(l->v, l->room, sizeof(struct mx_event *));
}

void
mx_events_clear(struct mx_events *l)
{
	for (size_t i = 0; i < l->n; i++)
		mx_event_unref(&l->v[i]);
	free(l->v);
	*l = (struct mx_events){ 0 };
}
