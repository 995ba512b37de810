/* An event from another server: is it what its sender's server signed? Server-Server API, "Checks
 * performed on receipt of a PDU", 1 to 3, "Validating hashes and signatures on received events". */
#ifndef CORE_ROOM_VERIFY_H
#define CORE_ROOM_VERIFY_H

#include <myelin/crypto.h>

#include "core/room/event_private.h"

struct mx_verify_key {
	unsigned char public_key[MX_ED25519_PUBLIC];
	mx_msec valid_until;
};

/* The key of a server; false when it cannot be had. at: when it must be valid, if the room version
 * asks for that: fetch it again when what is known ends before. May block. */
typedef bool mx_verify_key_fn(void *arg, mx_str server, mx_str key_id, mx_msec at,
			      struct mx_verify_key *out);

/* Parses, checks the signatures, then the content hash: an event whose hash does not match comes
 * out redacted. Fails as mx_event_from_bytes does, and with MX_E_FORBIDDEN when a signature is
 * missing or wrong: drop the event. Where it is only that of who vouches for a join (room version
 * 8), the event comes out unvouched: the auth rules refuse it. */
mx_error *mx_verify_event(const struct mx_room_version *v, mx_str bytes, mx_verify_key_fn *key,
			  void *arg, struct mx_event **out) MX_MUST_USE;

/* The same for an event that is parsed. */
mx_error *mx_verify_parsed(struct mx_event *ev, mx_verify_key_fn *key, void *arg,
			   struct mx_event **out) MX_MUST_USE;
/* Tells every key that checking the event may ask for; the strings are borrowed from it. */
void mx_verify_keys(const struct mx_event *ev,
		    void (*fn)(void *arg, mx_str server, mx_str key_id, mx_msec at), void *arg);

/* Which servers must have signed an event: at most MX_VERIFY_SERVERS, borrowed from it. */
#define MX_VERIFY_SERVERS 3
size_t mx_verify_servers(const struct mx_event *ev, mx_str servers[MX_VERIFY_SERVERS]);

/* Whether hashes.sha256 is the hash of the content. */
bool mx_verify_hash(const struct mx_event *ev);

#endif
