/* Going through the events, one by one, and what each says of itself. */
#include "config.h"

#include "core/room/doctor.h"

#include "core/room/hash.h"
#include "core/room/verify.h"

#include <stdlib.h>

#define PAGE 256
#define TELL_EVERY 1000		/* ms */
#define COLD (4 << 20)

static const struct mx_sql EVENTS =
	MX_SQL("SELECT " MX_EVENT_COLUMNS ", e.type, e.state_key, e.depth, e.ts, e.id_hash, "
	       "COALESCE(e.root_room, e.root) FROM event e WHERE e.room = $1 AND e.nid > $2 "
	       "ORDER BY e.nid LIMIT $3");
static const struct mx_sql SET_COLUMNS =
	MX_SQL("UPDATE event SET type = $2, state_key = $3, sender = $4, depth = $5, ts = $6, "
	       "id_hash = $7 WHERE nid = $1");
static const struct mx_sql SET_REDACTED =
	MX_SQL("UPDATE event SET json = $2, flags = flags | 1 WHERE nid = $1");
static const struct mx_sql NOTE_MENDED =
	MX_SQL("INSERT INTO room_mended (room, at) VALUES ($1, $2) "
	       "ON CONFLICT (room) DO UPDATE SET at = excluded.at");

const char *
mx_ailment_name(enum mx_ailment a)
{
	static const char *const names[MX_AIL_COUNT] = {
		[MX_AIL_BYTES] = "bytes",
		[MX_AIL_ID] = "id",
		[MX_AIL_CONTENT] = "content",
		[MX_AIL_SIGNATURE] = "signature",
		[MX_AIL_COLUMNS] = "columns",
		[MX_AIL_COVER] = "auth chain",
		[MX_AIL_BEFORE] = "state before",
		[MX_AIL_AFTER] = "state after",
		[MX_AIL_ROOM] = "state of the room",
		[MX_AIL_NODES] = "state nodes",
		[MX_AIL_EXTREMITIES] = "extremities",
		[MX_AIL_MEMBERS] = "members",
		[MX_AIL_COUNTS] = "counts",
	};

	return (unsigned)a < MX_AIL_COUNT ? names[a] : "unknown";
}

/* ---- findings ---- */

struct mx_finding *
mx_doctor_find(struct mx_doctor *d, enum mx_ailment what, mx_nid nid, mx_str id, const char *words)
{
	struct mx_checkup *out = d->out;
	struct mx_finding *f;

	out->found++;
	out->by[what]++;
	if (out->n == MX_DOCTOR_FINDINGS)
		return NULL;
	f = &out->v[out->n++];
	*f = (struct mx_finding){ .what = what, .nid = nid };
	snprintf(f->id, sizeof(f->id), "%.*s", MX_SFMT(id));
	snprintf(f->words, sizeof(f->words), "%s", words);
	return f;
}

void
mx_doctor_mended(struct mx_doctor *d, struct mx_finding *f)
{
	d->out->mended++;
	if (f != NULL)
		f->mended = true;
}

/* ---- writing ---- */

struct statement {
	const struct mx_sql *sql;
	const struct mx_doctor_value *v;
	size_t n;
};

static mx_error *
run(struct mx_txn *tx, void *arg)
{
	const struct statement *s = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), s->sql);

	for (size_t i = 0; i < s->n; i++) {
		const struct mx_doctor_value *v = &s->v[i];

		if (v->kind == MX_DOCTOR_INT)
			mx_bind_int(q, (int)i + 1, v->i);
		else if (v->kind == MX_DOCTOR_STR)
			mx_bind_str(q, (int)i + 1, v->s);
		else if (v->kind == MX_DOCTOR_BLOB)
			mx_bind_blob(q, (int)i + 1, v->s.p, v->s.n);
		else
			mx_bind_null(q, (int)i + 1);
	}
	return mx_query_run(q);
}

mx_error *
mx_doctor_write(struct mx_doctor *d, const struct mx_sql *sql, const struct mx_doctor_value *v,
		size_t n)
{
	struct statement s = { sql, v, n };

	return mx_write(d->rs->db, run, &s);
}

/* ---- one event, by itself ---- */

struct row {
	struct mx_event *event;		/* a reference; NULL: its bytes are no event */
	mx_nid nid;
	char id[MX_EVENT_ID_MAX + 1];
	mx_nid type, key;
	bool has_key;
	int64_t depth, ts, id_hash;
	struct mx_state_root room;
};

/* The id that follows from the bytes. */
static bool
id_is_right(const struct mx_event *ev)
{
	mx_str json = mx_event_json(ev);
	unsigned char hash[MX_SHA256_SIZE];
	char id[MX_HASH_ID];
	json_t *parsed = NULL;
	bool right;

	if (ev->version->event_id != MX_EVENT_ID_CHOSEN) {
		mx_event_reference_hash(ev->version, json, hash);
		mx_event_id_of_hash(ev->version, hash, id);
		return mx_str_eq(mx_event_id(ev), (mx_str){ id, sizeof(id) });
	}
	if (mx_error_drop(mx_json_parse(json, &parsed)))
		return false;
	right = mx_str_eq(mx_event_id(ev), mx_json_str(parsed, "event_id"));
	json_decref(parsed);
	return right;
}

static bool
our_key(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	const struct mx_rooms *rs = arg;

	(void)at;
	if (!mx_str_eq(server, mx_rooms_server(rs)) || !mx_str_eq(key_id, mx_signing_key_id(rs->key)))
		return false;
	mx_signing_key_public(rs->key, out->public_key);
	out->valid_until = INT64_MAX;
	return true;
}

/* Only what we have signed with the key that is ours now can be told. */
static bool
signature_is_wrong(struct mx_doctor *d, struct mx_event *ev)
{
	mx_str servers[MX_VERIFY_SERVERS];
	MX_AUTO(mx_event) *got = NULL;
	mx_error *e;
	bool wrong;

	if (mx_verify_servers(ev, servers) != 1 || !mx_str_eq(servers[0], mx_rooms_server(d->rs)))
		return false;
	e = mx_verify_parsed(ev, our_key, d->rs, &got);
	wrong = e != NULL && strstr(mx_error_text(e), "is wrong") != NULL;
	mx_error_free(&e);
	return wrong;
}

static mx_error *
check_content(struct mx_doctor *d, struct row *row)
{
	struct mx_event *ev = row->event, *redacted;
	struct mx_finding *f;

	if (ev->redacted || mx_verify_hash(ev))
		return NULL;
	f = mx_doctor_find(d, MX_AIL_CONTENT, ev->nid, mx_event_id(ev),
			   "the content is not what was hashed");
	if (!d->out->repair)
		return NULL;
	/* As one would come from another server: in its redacted form. */
	redacted = mx_event_redact(ev);
	const struct mx_doctor_value v[] = {
		{ .kind = MX_DOCTOR_INT, .i = ev->nid },
		{ .kind = MX_DOCTOR_STR, .s = mx_event_json(redacted) },
	};

	row->event = redacted;
	mx_event_unref(&ev);
	MX_TRY(mx_doctor_write(d, &SET_REDACTED, v, 2));
	mx_event_cache_drop(d->rs->events, row->nid);
	mx_doctor_mended(d, f);
	return NULL;
}

struct names {
	mx_str text[3];
	mx_nid nid[3];
};

static mx_error *
intern(struct mx_txn *tx, void *arg)
{
	struct names *n = arg;

	for (int i = 0; i < 3; i++)
		if (n->text[i].p != NULL)
			MX_TRY(mx_name_intern(tx, n->text[i], &n->nid[i]));
	return NULL;
}

static mx_error *
mend_columns(struct mx_doctor *d, const struct row *row, struct mx_finding *f)
{
	const struct mx_event *ev = row->event;
	struct names n = { .text = { mx_event_type(ev), mx_event_sender(ev),
				     ev->state ? mx_event_state_key(ev) : (mx_str){ NULL, 0 } } };

	MX_TRY(mx_write(d->rs->db, intern, &n));
	const struct mx_doctor_value v[] = {
		{ .kind = MX_DOCTOR_INT, .i = row->nid },
		{ .kind = MX_DOCTOR_INT, .i = n.nid[0] },
		{ .kind = ev->state ? MX_DOCTOR_INT : MX_DOCTOR_NULL, .i = n.nid[2] },
		{ .kind = MX_DOCTOR_INT, .i = n.nid[1] },
		{ .kind = MX_DOCTOR_INT, .i = ev->depth },
		{ .kind = MX_DOCTOR_INT, .i = ev->ts },
		{ .kind = MX_DOCTOR_INT, .i = mx_event_id_hash(mx_event_id(ev)) },
	};

	MX_TRY(mx_doctor_write(d, &SET_COLUMNS, v, 7));
	mx_event_cache_drop(d->rs->events, row->nid);
	mx_doctor_mended(d, f);
	return NULL;
}

static mx_error *
check_columns(struct mx_doctor *d, const struct row *row)
{
	const struct mx_event *ev = row->event;
	mx_nid type = 0, key = 0, sender = 0;
	const char *wrong = NULL;

	MX_TRY(mx_name_find(d->conn, mx_event_type(ev), &type));
	MX_TRY(mx_name_find(d->conn, mx_event_sender(ev), &sender));
	if (ev->state)
		MX_TRY(mx_name_find(d->conn, mx_event_state_key(ev), &key));
	if (type != row->type)
		wrong = "the column type is another than the event's";
	else if (ev->state != row->has_key || key != row->key)
		wrong = "the column state_key is another than the event's";
	else if (sender != ev->sender_nid)
		wrong = "the column sender is another than the event's";
	else if (ev->depth != row->depth || ev->ts != row->ts)
		wrong = "depth or time is another than the event's";
	else if (mx_event_id_hash(mx_event_id(ev)) != row->id_hash)
		wrong = "the event cannot be found by its id";
	if (wrong == NULL)
		return NULL;
	struct mx_finding *f = mx_doctor_find(d, MX_AIL_COLUMNS, ev->nid, mx_event_id(ev), wrong);

	return d->out->repair ? mend_columns(d, row, f) : NULL;
}

static mx_error *
check_event(struct mx_doctor *d, struct row *row)
{
	struct mx_event *ev = row->event;

	d->blind = d->blind || ev == NULL;
	if (ev == NULL || !mx_str_eq(mx_event_room_id(ev), mx_room_id(d->room))) {
		mx_doctor_find(d, MX_AIL_BYTES, row->nid, mx_str_of(row->id),
			       ev == NULL ? "the JSON is no event" : "the event is of another room");
		return NULL;
	}
	if (!id_is_right(ev)) {
		d->blind = true;
		mx_doctor_find(d, MX_AIL_ID, ev->nid, mx_event_id(ev),
			       "the id is not that of the bytes");
		return NULL;	/* nothing of it can be believed */
	}
	if (d->out->signatures && signature_is_wrong(d, ev))
		mx_doctor_find(d, MX_AIL_SIGNATURE, ev->nid, mx_event_id(ev),
			       "our own signature is wrong");
	MX_TRY(check_content(d, row));
	MX_TRY(check_columns(d, row));
	MX_TRY(mx_doctor_cover(d, row->event));
	if (row->event->outlier) {
		d->out->outliers++;
		return NULL;
	}
	d->out->events++;
	return mx_doctor_states(d, row->event, row->room);
}

/* ---- all of them ---- */

static void
read_row(struct mx_doctor *d, struct mx_query *q, struct row *row)
{
	mx_str root = mx_col_str(q, 16);

	*row = (struct row){ .nid = mx_col_int(q, 0),
			     .type = mx_col_int(q, 11),
			     .key = mx_col_int(q, 12),
			     .has_key = !mx_col_null(q, 12),
			     .depth = mx_col_int(q, 13),
			     .ts = mx_col_int(q, 14),
			     .id_hash = mx_col_int(q, 15) };
	snprintf(row->id, sizeof(row->id), "%.*s", MX_SFMT(mx_col_str(q, 3)));
	if (root.n == sizeof(row->room.h))
		memcpy(row->room.h, root.p, root.n);
	(void)mx_error_drop(mx_event_of_row(q, d->room->version, &row->event));
}

static void
tell(struct mx_doctor *d)
{
	mx_msec now = mx_now();

	if (d->said == 0)
		d->said = now;
	if (now - d->said < TELL_EVERY)
		return;
	d->said = now;
	mx_log("room", MX_INFO, "ROOM030", "checking a room", mx_fs("room", mx_room_id(d->room)),
	       mx_fi("events", (int64_t)(d->out->events + d->out->outliers)),
	       mx_fi("found", (int64_t)d->out->found));
}

static mx_error *
check_page(struct mx_doctor *d, mx_nid *after, bool *more)
{
	struct row *rows = mx_alloc(PAGE * sizeof(*rows));
	struct mx_query *q = mx_query(d->conn, &EVENTS);
	size_t n = 0;
	mx_error *e;

	mx_bind_int(q, 1, d->room->nid);
	mx_bind_int(q, 2, *after);
	mx_bind_int(q, 3, PAGE);
	while (n < PAGE && mx_query_next(q))
		read_row(d, q, &rows[n++]);
	e = mx_query_end(q);
	for (size_t i = 0; i < n; i++) {
		if (e == NULL)
			e = check_event(d, &rows[i]);
		*after = rows[i].nid;
		mx_event_unref(&rows[i].event);
	}
	*more = n == PAGE;
	free(rows);
	tell(d);
	return e;
}

static mx_error *
check_all(struct mx_doctor *d)
{
	mx_nid after = INT64_MIN;
	bool more = true;

	while (more)
		MX_TRY(check_page(d, &after, &more));
	return mx_doctor_room(d);
}

/* So that other processes read the room again. */
static mx_error *
note_mended(struct mx_txn *tx, void *arg)
{
	const struct mx_doctor *d = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &NOTE_MENDED);

	mx_bind_int(q, 1, d->room->nid);
	mx_bind_int(q, 2, mx_txn_pos(tx));
	return mx_query_run(q);
}

static mx_error *
mend_all(struct mx_doctor *d)
{
	mx_tip_close(d->room);
	mx_error *e = mx_room_refresh(d->room, d->conn);

	if (e == NULL)
		e = check_all(d);
	if (d->out->mended > 0) {
		e = mx_error_first(e, mx_write(d->rs->db, note_mended, d));
		mx_rooms_touched(d->rs, d->room->nid);
	}
	mx_tip_open(d->room);
	return e;
}

mx_error *
mx_room_checkup(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, struct mx_checkup *out)
{
	struct mx_doctor *d = mx_alloc(sizeof(*d));
	mx_error *e;

	*out = (struct mx_checkup){ .repair = out->repair, .signatures = out->signatures };
	d->rs = rs;
	d->conn = c;
	d->room = r;
	d->out = out;
	d->cold = mx_node_cache_new(COLD);
	if (out->repair) {
		e = mend_all(d);
	} else {
		e = mx_snapshot_begin(c);
		if (e == NULL) {
			e = check_all(d);
			mx_snapshot_end(c);
		}
	}
	for (size_t i = 0; i < d->ends_n; i++)
		mx_event_unref(&d->ends[i]);
	free(d->ends);
	mx_node_cache_free(&d->cold);
	free(d);
	return e;
}
