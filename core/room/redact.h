/* Redaction: what of an event stays. One table serves the tree and the bytes. Client-Server API,
 * "Redactions"; Room Versions, "Redactions". */
#ifndef CORE_ROOM_REDACT_H
#define CORE_ROOM_REDACT_H

#include "core/room/version.h"

/* The redacted copy of an event. Keeps no unsigned. The caller owns it; NULL when ev is no object.
 */
json_t *mx_redact_json(const struct mx_room_version *v, const json_t *ev);

/* The redacted content of an event of this type, onto b: content is an object in canonical JSON,
 * and so is what is written. */
void mx_redact_content(const struct mx_room_version *v, mx_str type, mx_str content,
		       struct mx_buf *b);

/* The redacted form of a whole event in canonical JSON, onto b. signatures: whether to keep them
 * (not for hashing and signing). */
void mx_redact_bytes(const struct mx_room_version *v, mx_str event, bool signatures,
		     struct mx_buf *b);

/* Whether a redaction keeps this member of an event. */
bool mx_redact_keeps(const struct mx_room_version *v, mx_str key);

#endif
