/* From what somebody wants to say to an event: canonical, hashed, signed, named. The bytes are
 * written once, in the order of canonical JSON; no tree of the event is ever made. Server-Server
 * API, "Signing events"; Room Versions, "Event IDs". */
#ifndef CORE_ROOM_BUILD_H
#define CORE_ROOM_BUILD_H

#include <myelin/crypto.h>

#include "core/room/event_private.h"

struct mx_build {
	const struct mx_room_version *version;
	mx_str room_id;			/* left empty for m.room.create where its hash is the room id */
	mx_str sender, type;
	mx_str state_key;		/* p == NULL: a message event */
	const json_t *content;		/* an object, borrowed; or NULL, and: */
	mx_str content_canonical;	/* its canonical bytes, trusted */
	mx_str redacts;			/* of m.room.redaction, else empty: goes where the version wants it */
	mx_msec ts;
	int64_t depth;			/* held at the version's limit */
	const mx_str *prev, *auth;	/* event ids */
	size_t prev_n, auth_n;
	/* their reference hashes, where the version's events name them; otherwise not looked at */
	const unsigned char (*prev_hash)[MX_SHA256_SIZE], (*auth_hash)[MX_SHA256_SIZE];
	mx_str server;			/* who signs */
	/* NULL: no hashes, no signature, no id that is a hash: something to ask the rules about */
	const struct mx_signing_key *key;
	/* copied into the event */
	mx_nid room, sender_nid, device;
	mx_str txn_id;
};

/* The caller owns *out; .nid is 0. MX_E_TOO_LARGE (the event, or a field of it), MX_E_BAD_JSON
 * (content that has no canonical form, a field that is not UTF-8). Re-entrant; 20 µs, of which the
 * signature takes 18. */
mx_error *mx_build_event(const struct mx_build *b, struct mx_event **out) MX_MUST_USE;

#endif
