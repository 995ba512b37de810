/* What an event is inside the core: one allocation that holds the canonical JSON and, behind it,
 * what the JSON does not say (its id, the room id of a version 12 create event, a transaction id,
 * strings that stand escaped in the JSON). Everything the server asks for is a slice of these
 * bytes, found once.
 *
 * Immutable once others can see it. Its maker may set the members marked (m) until then: the engine
 * does, when it has stored the event. */
#ifndef CORE_ROOM_EVENT_PRIVATE_H
#define CORE_ROOM_EVENT_PRIVATE_H

#include <stdatomic.h>

#include "core/room/version.h"

/* Bytes of mx_event.bytes. off == 0: absent (nothing of interest begins at 0, where the JSON's
 * brace is). */
struct mx_slice {
	uint32_t off, n;
};

struct mx_event {
	_Atomic uint32_t refs;
	uint32_t json_n;
	const struct mx_room_version *version;

	mx_nid nid, room, sender_nid;		/* (m) */
	mx_nid device;				/* (m) of the sender's transaction; 0: none */
	mx_nid alias;				/* (m) what states call it, if not nid; 0: nid */
	mx_nid earlier;				/* the event shown before it in its room; 0: not known. The cache's */
	uint64_t links;				/* when that was noted. The cache's */
	struct mx_state_root before, after;	/* (m) */
	bool rejected, soft_failed, redacted, outlier;	/* (m) */
	bool hidden;				/* (m) accepted, but nothing that clients are shown */
	bool forked;				/* (m) the room's state around it is another than its own */
	bool inner;				/* (m) it was no forward extremity when it came */
	bool told;				/* (m) another server has told the state before it */
	bool unvouched;				/* (m) a join that its voucher's server has not signed; not stored */

	mx_msec ts;
	int64_t depth;
	enum mx_membership membership;

	bool state, escaped;		/* escaped: some string below stands with escapes in the JSON */
	bool create;			/* m.room.create with an empty state key */
	bool content_redacts;		/* content has a member "redacts" */

	/* strings, decoded */
	struct mx_slice id, room_id, type, sender, state_key, redacts, txn_id;
	struct mx_slice rel_type, rel_event;
	/* values as they stand in the JSON */
	struct mx_slice content, prev, auth;

	char bytes[];			/* json_n bytes of JSON, a NUL, the rest */
};

static inline mx_str
mx_event_slice(const struct mx_event *ev, struct mx_slice s)
{
	return s.off != 0 ? (mx_str){ ev->bytes + s.off, s.n } : (mx_str){ NULL, 0 };
}

/* The number by which states and auth chains name it. */
static inline mx_nid
mx_event_state_nid(const struct mx_event *ev)
{
	return ev->alias != 0 ? ev->alias : ev->nid;
}

static inline mx_str
mx_event_txn_id(const struct mx_event *ev)
{
	return mx_event_slice(ev, ev->txn_id);
}

/* ---- making one ---- */

/* A stored row, or any event whose bytes are known to be good. All strings are copied. */
struct mx_event_row {
	const struct mx_room_version *version;
	mx_str json;			/* canonical, without unsigned */
	mx_str id;
	mx_str room_id;			/* used where the JSON has none; may be empty otherwise */
	mx_nid nid, room, sender_nid, device;
	mx_str txn_id;			/* empty: none */
	struct mx_state_root before, after;
	bool rejected, soft_failed, redacted, outlier, hidden, forked, inner, told;
	mx_nid alias;
};

/* Trusts the bytes to be an event in canonical JSON, but survives anything: MX_E_UNKNOWN when they
 * are not. */
mx_error *mx_event_from_row(const struct mx_event_row *row, struct mx_event **out) MX_MUST_USE;
/* Whether bytes are in canonical form and plainly an event that mx_event_from_bytes takes; *json: without
 * unsigned, a slice of bytes or in b. False says nothing. */
bool mx_event_quick(const struct mx_room_version *v, mx_str bytes, struct mx_buf *b, mx_str *json);

/* An event's bytes from a stranger: parses, checks every member's type and limit, and makes it
 * canonical, without unsigned. Does not look at hashes and signatures (core/room/verify.h does),
 * but computes the id; of a redacted copy it is the same. MX_E_NOT_JSON, MX_E_BAD_JSON,
 * MX_E_MISSING_PARAM, MX_E_TOO_LARGE. */
mx_error *mx_event_from_bytes(const struct mx_room_version *v, mx_str bytes,
			      struct mx_event **out) MX_MUST_USE;

/* Whether they are one event, redacted or not; both have its id. */
bool mx_event_same(const struct mx_event *a, const struct mx_event *b);
/* Another of the same, for who must change what others see. */
struct mx_event *mx_event_copy(const struct mx_event *ev);
/* The redacted form of ev, with ev's id and numbers and .redacted set. Never fails: an event whose
 * bytes were damaged in the database becomes the least that is one. */
struct mx_event *mx_event_redact(const struct mx_event *ev);

/* ---- prev_events and auth_events: for (it = mx_event_prev(ev); mx_event_ids_next(&it, &id);) ---- */

struct mx_event_ids {
	const char *p, *end;
	bool pairs;
};

struct mx_event_ids mx_event_prev(const struct mx_event *ev);
struct mx_event_ids mx_event_auth(const struct mx_event *ev);
bool mx_event_ids_next(struct mx_event_ids *it, mx_str *id);
size_t mx_event_prev_count(const struct mx_event *ev);

/* ---- limits: Client-Server API, "Size limits"; Server-Server API, "PDUs" ---- */
#define MX_EVENT_MAX 65536	/* bytes of canonical JSON */
#define MX_EVENT_MAX_FIELD 255	/* bytes of sender, room_id, event_id, type, state_key */
#define MX_EVENT_MAX_PREV 20
#define MX_EVENT_MAX_AUTH 10

#endif
