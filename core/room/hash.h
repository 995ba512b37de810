/* The two hashes of an event, and the id that follows from one of them. Server-Server API,
 * "Calculating the reference hash for an event", "Calculating the content hash for an event"; Room
 * Versions, "Event IDs". All take canonical JSON. */
#ifndef CORE_ROOM_HASH_H
#define CORE_ROOM_HASH_H

#include <myelin/crypto.h>

#include "core/room/version.h"

#define MX_HASH_ID 44	/* bytes of an event id that is a hash */

/* Of the event without unsigned, signatures and hashes. */
void mx_event_content_hash(mx_str event, unsigned char out[MX_SHA256_SIZE]);
/* Of the redacted event without signatures: which is also what is signed. */
void mx_event_reference_hash(const struct mx_room_version *v, mx_str event,
			     unsigned char out[MX_SHA256_SIZE]);
/* "$" and the hash in the version's alphabet; for versions whose ids are hashes. */
void mx_event_id_of_hash(const struct mx_room_version *v, const unsigned char hash[MX_SHA256_SIZE],
			 char out[MX_HASH_ID]);
/* A hash as hashes.sha256 has it: 43 characters. */
void mx_hash_base64(const unsigned char hash[MX_SHA256_SIZE], char out[MX_HASH_ID - 1]);

#endif
