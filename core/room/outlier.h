/* Events outside of the timeline: the auth chains and the states that other servers give us. They
 * have no place in the graph and no state before them; they are judged by their auth events alone.
 * Their nids are negative. An event that is an outlier and later arrives in the timeline gets a
 * second row with a position; who looks for an id finds that one. */
#ifndef CORE_ROOM_OUTLIER_H
#define CORE_ROOM_OUTLIER_H

#include <myelin/federation.h>

#include "core/room/engine.h"

/* Checks and stores events in any order: signatures on several threads, hashes, then each after its
 * auth events, which must be among these or stored: else it is rejected for MX_REASON_MISSING_AUTH.
 * Those that are stored already cost a lookup. v: as for mx_room_accept. Not published. r may be a
 * room that is not announced yet (mx_entry). */
mx_error *mx_outliers_store(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
			    const mx_str *pdus, size_t n, struct mx_arrival *v) MX_MUST_USE;

/* Parses and verifies n events on several threads (signatures and hashes only); v[i].event is the
 * event, redacted where its hash differs, or NULL with the reason. */
mx_error *mx_verify_events(struct mx_rooms *rs, const struct mx_room_version *version,
			   const mx_str *pdus, size_t n, struct mx_arrival *v) MX_MUST_USE;

/* Sets the words, cut to what fits. */
void mx_arrival_words(struct mx_arrival *v, const char *words);

#endif
