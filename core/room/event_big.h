/* Events of old versions may hold integers of any size, and who could not carry them would lose the
 * event and all that follow it. Trees have no room for these numbers; bytes have. Room Versions,
 * "Canonical JSON" (versions 1 to 5). */
#ifndef CORE_ROOM_EVENT_BIG_H
#define CORE_ROOM_EVENT_BIG_H

#include <myelin/json.h>

/* As mx_json_parse, but an integer beyond 64 bits becomes a real that is near it; beyond what a real
 * holds, a very large one. */
mx_error *mx_json_parse_big(mx_str text, json_t **out) MX_MUST_USE;

/* The canonical form, not strict, of an object that mx_json_parse_big has taken, without its member
 * unsigned: integers as they stand. */
mx_error *mx_json_canonical_big(mx_str text, struct mx_buf *b) MX_MUST_USE;

#endif
