/* Events: one made from its bytes, and what it answers. */
#include "config.h"

#include <stdlib.h>

#include "core/room/event_big.h"
#include "core/room/event_private.h"
#include "core/room/hash.h"
#include "core/room/redact.h"
#include "core/room/scan.h"

/* ---- finding the parts ---- */

/* Slices of the JSON, not decoded, as one pass finds them. */
struct parts {
	mx_str type, sender, state_key, room_id, redacts;
	mx_str content, prev, auth;
	mx_str membership, rel_type, rel_event, content_redacts;
	int64_t depth, ts;
};

static void
find_relation(mx_str relates, struct parts *ps)
{
	struct mx_scan s;
	mx_str key, value;

	if (!mx_scan_object(&s, relates))
		return;
	while (mx_scan_member(&s, &key, &value)) {
		if (mx_str_eq(key, MX_S("rel_type")))
			mx_scan_string(value, &ps->rel_type);
		else if (mx_str_eq(key, MX_S("event_id")))
			mx_scan_string(value, &ps->rel_event);
	}
}

static bool
find_content(struct parts *ps)
{
	struct mx_scan s;
	mx_str key, value;

	if (!mx_scan_object(&s, ps->content))
		return false;
	while (mx_scan_member(&s, &key, &value)) {
		if (mx_str_eq(key, MX_S("membership")))
			mx_scan_string(value, &ps->membership);
		else if (mx_str_eq(key, MX_S("m.relates_to")))
			find_relation(value, ps);
		else if (mx_str_eq(key, MX_S("redacts")))
			ps->content_redacts = value;
	}
	return !s.broken;
}

static void
find_member(mx_str key, mx_str value, struct parts *ps)
{
	switch (key.n) {
	case 4:
		if (memcmp(key.p, "type", 4) == 0)
			mx_scan_string(value, &ps->type);
		break;
	case 5:
		if (memcmp(key.p, "depth", 5) == 0)
			mx_scan_int(value, &ps->depth);
		break;
	case 6:
		if (memcmp(key.p, "sender", 6) == 0)
			mx_scan_string(value, &ps->sender);
		break;
	case 7:
		if (memcmp(key.p, "content", 7) == 0)
			ps->content = value;
		else if (memcmp(key.p, "room_id", 7) == 0)
			mx_scan_string(value, &ps->room_id);
		else if (memcmp(key.p, "redacts", 7) == 0)
			mx_scan_string(value, &ps->redacts);
		break;
	case 9:
		if (memcmp(key.p, "state_key", 9) == 0)
			mx_scan_string(value, &ps->state_key);
		break;
	case 11:
		if (memcmp(key.p, "prev_events", 11) == 0)
			ps->prev = value;
		else if (memcmp(key.p, "auth_events", 11) == 0)
			ps->auth = value;
		break;
	case 16:
		if (memcmp(key.p, "origin_server_ts", 16) == 0)
			mx_scan_int(value, &ps->ts);
		break;
	default:
		break;
	}
}

static bool
find_parts(mx_str json, struct parts *ps)
{
	struct mx_scan s;
	mx_str key, value;

	if (!mx_scan_object(&s, json))
		return false;
	while (mx_scan_member(&s, &key, &value))
		find_member(key, value, ps);
	return !s.broken && ps->type.p != NULL && ps->sender.p != NULL && ps->content.p != NULL &&
	       find_content(ps);
}

/* ---- laying it out ---- */

/* The event in the making: where the next byte behind the JSON goes, and which JSON the slices are
 * of. */
struct layout {
	struct mx_event *ev;
	const char *json;
	uint32_t tail;
};

static struct mx_slice
keep_raw(const struct layout *l, mx_str s)
{
	if (s.p == NULL)
		return (struct mx_slice){ 0, 0 };
	return (struct mx_slice){ (uint32_t)(s.p - l->json), (uint32_t)s.n };
}

static struct mx_slice
keep_copy(struct layout *l, mx_str s)
{
	struct mx_slice out = { l->tail, (uint32_t)s.n };

	if (s.n != 0)
		memcpy(l->ev->bytes + l->tail, s.p, s.n);
	l->tail += (uint32_t)s.n;
	return out;
}

/* A string of the JSON: where it stands, or decoded behind it. */
static struct mx_slice
keep_str(struct layout *l, mx_str s)
{
	struct mx_slice out = { l->tail, 0 };

	if (!mx_scan_escaped(s))
		return keep_raw(l, s);
	out.n = (uint32_t)mx_scan_unescape(s, l->ev->bytes + l->tail);
	l->tail += out.n;
	l->ev->escaped = true;
	return out;
}

/* An upper bound for what stands behind the JSON. */
static size_t
tail_size(const struct mx_event_row *row, const struct parts *ps)
{
	const mx_str strings[] = { ps->type,     ps->sender,  ps->state_key, ps->room_id,
				   ps->rel_type, ps->rel_event, ps->redacts, ps->content_redacts };
	size_t n = 1 + row->id.n + row->room_id.n + row->txn_id.n;

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (strings[i].n != 0 && mx_scan_escaped(strings[i]))
			n += strings[i].n;
	return n;
}

static void
fill_strings(struct layout *l, const struct mx_event_row *row, const struct parts *ps)
{
	struct mx_event *ev = l->ev;
	mx_str redacts;

	ev->type = keep_str(l, ps->type);
	ev->sender = keep_str(l, ps->sender);
	ev->state_key = keep_str(l, ps->state_key);
	ev->state = ps->state_key.p != NULL;
	ev->id = keep_copy(l, row->id);
	if (ps->room_id.p != NULL)
		ev->room_id = keep_str(l, ps->room_id);
	else if (row->room_id.n != 0)
		ev->room_id = keep_copy(l, row->room_id);
	if (row->txn_id.n != 0)
		ev->txn_id = keep_copy(l, row->txn_id);
	if (ps->rel_type.p != NULL && ps->rel_event.p != NULL) {
		ev->rel_type = keep_str(l, ps->rel_type);
		ev->rel_event = keep_str(l, ps->rel_event);
	}
	ev->content_redacts = ps->content_redacts.p != NULL;
	if (mx_str_eq(mx_event_type(ev), MX_S("m.room.redaction"))) {
		if (!row->version->redacts_in_content)
			ev->redacts = keep_str(l, ps->redacts);
		else if (mx_scan_string(ps->content_redacts, &redacts))
			ev->redacts = keep_str(l, redacts);
	}
}

mx_error *
mx_event_from_row(const struct mx_event_row *row, struct mx_event **out)
{
	struct parts ps = { 0 };
	struct layout l;
	struct mx_event *ev;

	if (row->json.n > UINT32_MAX / 4 || !find_parts(row->json, &ps))
		return mx_error_new(MX_E_UNKNOWN, "a stored event is damaged");
	ev = mx_alloc(sizeof(*ev) + row->json.n + tail_size(row, &ps));
	memcpy(ev->bytes, row->json.p, row->json.n);
	l = (struct layout){ .ev = ev, .json = row->json.p, .tail = (uint32_t)row->json.n + 1 };

	atomic_init(&ev->refs, 1);
	ev->json_n = (uint32_t)row->json.n;
	ev->version = row->version;
	ev->nid = row->nid;
	ev->room = row->room;
	ev->sender_nid = row->sender_nid;
	ev->device = row->device;
	ev->before = row->before;
	ev->after = row->after;
	ev->rejected = row->rejected;
	ev->soft_failed = row->soft_failed;
	ev->redacted = row->redacted;
	ev->outlier = row->outlier;
	ev->hidden = row->hidden;
	ev->forked = row->forked;
	ev->inner = row->inner;
	ev->told = row->told;
	ev->alias = row->alias;
	ev->ts = ps.ts;
	ev->depth = ps.depth;
	ev->content = keep_raw(&l, ps.content);
	ev->prev = keep_raw(&l, ps.prev);
	ev->auth = keep_raw(&l, ps.auth);
	fill_strings(&l, row, &ps);
	if (ev->state && mx_str_eq(mx_event_type(ev), MX_S("m.room.member")))
		ev->membership = mx_membership_of(ps.membership);
	ev->create = ev->state && ev->state_key.n == 0 &&
		     mx_str_eq(mx_event_type(ev), MX_S("m.room.create"));
	*out = ev;
	return NULL;
}

/* The least that is an event, for one whose bytes are damaged. */
static void
write_least(const struct mx_event *ev, struct mx_buf *b)
{
	struct mx_jw w = mx_jw_on(b);

	mx_buf_truncate(b, 0);
	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("content"));
	mx_jw_raw(&w, MX_S("{}"));
	mx_jw_key(&w, MX_S("sender"));
	mx_jw_str(&w, mx_event_sender(ev));
	if (ev->state) {
		mx_jw_key(&w, MX_S("state_key"));
		mx_jw_str(&w, mx_event_state_key(ev));
	}
	mx_jw_key(&w, MX_S("type"));
	mx_jw_str(&w, mx_event_type(ev));
	mx_jw_object_end(&w);
}

/* Everything but the JSON. */
static struct mx_event_row
row_of(const struct mx_event *ev)
{
	return (struct mx_event_row){
		.version = ev->version,
		.id = mx_event_id(ev),
		.room_id = mx_event_room_id(ev),
		.nid = ev->nid,
		.room = ev->room,
		.sender_nid = ev->sender_nid,
		.device = ev->device,
		.txn_id = mx_event_txn_id(ev),
		.before = ev->before,
		.after = ev->after,
		.rejected = ev->rejected,
		.soft_failed = ev->soft_failed,
		.redacted = ev->redacted,
		.outlier = ev->outlier,
		.hidden = ev->hidden,
		.forked = ev->forked,
		.inner = ev->inner,
		.told = ev->told,
		.alias = ev->alias,
	};
}

bool
mx_event_same(const struct mx_event *a, const struct mx_event *b)
{
	unsigned char x[MX_SHA256_SIZE], y[MX_SHA256_SIZE];

	mx_event_reference_hash(a->version, mx_event_json(a), x);
	mx_event_reference_hash(b->version, mx_event_json(b), y);
	return memcmp(x, y, sizeof(x)) == 0;
}

struct mx_event *
mx_event_copy(const struct mx_event *ev)
{
	struct mx_event_row row = row_of(ev);
	struct mx_event *out = NULL;

	row.json = mx_event_json(ev);
	(void)mx_error_drop(mx_event_from_row(&row, &out));	/* they are an event's bytes */
	return out;
}

struct mx_event *
mx_event_redact(const struct mx_event *ev)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_event_row row = row_of(ev);
	struct mx_event *out = NULL;

	row.redacted = true;
	mx_redact_bytes(ev->version, mx_event_json(ev), true, b);
	row.json = mx_buf_view(b);
	if (mx_error_drop(mx_event_from_row(&row, &out))) {
		write_least(ev, b);
		row.json = mx_buf_view(b);
		(void)mx_error_drop(mx_event_from_row(&row, &out));	/* these bytes are an event */
	}
	return out;
}

struct mx_event *
mx_event_ref(struct mx_event *ev)
{
	atomic_fetch_add_explicit(&ev->refs, 1, memory_order_relaxed);
	return ev;
}

void
mx_event_unref(struct mx_event **evp)
{
	struct mx_event *ev = *evp;

	*evp = NULL;
	if (ev != NULL && atomic_fetch_sub_explicit(&ev->refs, 1, memory_order_acq_rel) == 1)
		free(ev);
}

/* ---- what it answers ---- */

mx_nid mx_event_nid(const struct mx_event *ev) { return ev->nid; }
mx_nid mx_event_room(const struct mx_event *ev) { return ev->room; }
mx_str mx_event_room_id(const struct mx_event *ev) { return mx_event_slice(ev, ev->room_id); }
mx_str mx_event_id(const struct mx_event *ev) { return mx_event_slice(ev, ev->id); }
mx_str mx_event_type(const struct mx_event *ev) { return mx_event_slice(ev, ev->type); }
mx_str mx_event_sender(const struct mx_event *ev) { return mx_event_slice(ev, ev->sender); }
bool mx_event_is_state(const struct mx_event *ev) { return ev->state; }
mx_str mx_event_state_key(const struct mx_event *ev) { return mx_event_slice(ev, ev->state_key); }
mx_msec mx_event_ts(const struct mx_event *ev) { return ev->ts; }
int64_t mx_event_depth(const struct mx_event *ev) { return ev->depth; }
enum mx_membership mx_event_membership(const struct mx_event *ev) { return ev->membership; }
mx_str mx_event_json(const struct mx_event *ev) { return (mx_str){ ev->bytes, ev->json_n }; }
mx_str mx_event_content(const struct mx_event *ev) { return mx_event_slice(ev, ev->content); }
mx_str mx_event_redacts(const struct mx_event *ev) { return mx_event_slice(ev, ev->redacts); }
bool mx_event_redacted(const struct mx_event *ev) { return ev->redacted; }
bool mx_event_soft_failed(const struct mx_event *ev) { return ev->soft_failed; }
bool mx_event_rejected(const struct mx_event *ev) { return ev->rejected; }
bool
mx_event_shown(const struct mx_event *ev)
{
	return !ev->rejected && !ev->soft_failed && !ev->outlier && !ev->hidden;
}
bool mx_event_forked(const struct mx_event *ev) { return ev->forked; }
const struct mx_room_version *mx_event_version(const struct mx_event *ev) { return ev->version; }
struct mx_state_root mx_event_root_before(const struct mx_event *ev) { return ev->before; }
struct mx_state_root mx_event_root_after(const struct mx_event *ev) { return ev->after; }

json_t *
mx_event_content_parse(const struct mx_event *ev)
{
	json_t *out = NULL;

	if (mx_error_drop(mx_json_parse(mx_event_content(ev), &out)) &&
	    (ev->version->strict_json ||
	     mx_error_drop(mx_json_parse_big(mx_event_content(ev), &out))))
		return json_object();
	return out;
}

bool
mx_event_relation(const struct mx_event *ev, mx_str *rel_type, mx_str *event_id)
{
	if (ev->rel_type.off == 0)
		return false;
	*rel_type = mx_event_slice(ev, ev->rel_type);
	*event_id = mx_event_slice(ev, ev->rel_event);
	return true;
}

static const char *const memberships[] = {
	[MX_MEMBER_INVITE] = "invite", [MX_MEMBER_JOIN] = "join",   [MX_MEMBER_KNOCK] = "knock",
	[MX_MEMBER_LEAVE] = "leave",   [MX_MEMBER_BAN] = "ban",
};

const char *
mx_membership_name(enum mx_membership m)
{
	return (size_t)m < sizeof(memberships) / sizeof(memberships[0]) ? memberships[m] : NULL;
}

enum mx_membership
mx_membership_of(mx_str name)
{
	for (size_t i = 1; i < sizeof(memberships) / sizeof(memberships[0]); i++)
		if (mx_str_eq(name, mx_str_of(memberships[i])))
			return (enum mx_membership)i;
	return MX_MEMBER_NONE;
}

/* ---- prev_events and auth_events ---- */

static struct mx_event_ids
ids_of(const struct mx_event *ev, struct mx_slice slice)
{
	struct mx_scan s;

	if (slice.off == 0 || !mx_scan_array(&s, mx_event_slice(ev, slice)))
		return (struct mx_event_ids){ NULL, NULL, false };
	return (struct mx_event_ids){ s.p, s.end, ev->version->refs_with_hashes };
}

struct mx_event_ids
mx_event_prev(const struct mx_event *ev)
{
	return ids_of(ev, ev->prev);
}

struct mx_event_ids
mx_event_auth(const struct mx_event *ev)
{
	return ids_of(ev, ev->auth);
}

bool
mx_event_ids_next(struct mx_event_ids *it, mx_str *id)
{
	struct mx_scan s = { .p = it->p, .end = it->end }, pair;
	mx_str value;
	bool found =
		mx_scan_element(&s, &value) &&
		(!it->pairs || (mx_scan_array(&pair, value) && mx_scan_element(&pair, &value))) &&
		mx_scan_string(value, id);

	it->p = found ? s.p : it->end;
	return found;
}

size_t
mx_event_prev_count(const struct mx_event *ev)
{
	struct mx_event_ids it = mx_event_prev(ev);
	mx_str id;
	size_t n = 0;

	while (mx_event_ids_next(&it, &id))
		n++;
	return n;
}
