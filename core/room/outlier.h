/* Events outside of the timeline: the auth chains and the states that other servers give us. They
 * have no place in the graph and no state before them; they are judged by their auth events alone.
 * Their nids are negative. An event that is an outlier and later arrives in the timeline is moved:
 * its row gets a position as its nid, and keeps the old one as its alias. States, auth chains and
 * covers go on naming it by that: always ask mx_event_state_nid(ev) for what to put into them, and
 * expect that mx_event_by_nid gives an event whose nid is another. */
#ifndef CORE_ROOM_OUTLIER_H
#define CORE_ROOM_OUTLIER_H

#include <myelin/federation.h>

#include "core/room/engine.h"

/* Checks and stores events in any order: signatures on several threads, hashes, then each after its
 * auth events, which must be among these or stored: else it is dropped for MX_REASON_MISSING_AUTH,
 * not kept as rejected, because another time it may come with them. Those that are stored already
 * cost a lookup. v: as for mx_room_accept. Not published. */
mx_error *mx_outliers_store(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
			    const mx_str *pdus, size_t n, struct mx_arrival *v) MX_MUST_USE;

/* Parses and verifies n events on several threads (signatures and hashes only); v[i].event is the
 * event, redacted where its hash differs, or NULL with the reason. */
mx_error *mx_verify_events(struct mx_rooms *rs, const struct mx_room_version *version,
			   const mx_str *pdus, size_t n, struct mx_arrival *v) MX_MUST_USE;

/* Within a write: n nids for outliers, from *first on. */
mx_error *mx_outlier_nids(struct mx_txn *tx, size_t n, mx_nid *first) MX_MUST_USE;
/* Within a write: sets the numbers of an outlier and stores its row. */
mx_error *mx_outlier_put(struct mx_txn *tx, mx_nid room, mx_nid nid,
			 struct mx_event *ev) MX_MUST_USE;
/* Judges v->event by its auth events, all n of which are there; create: the room's, where the room
 * version does not name it among them; power: what they say of it, or NULL. */
void mx_outlier_judge(struct mx_arrival *v, const struct mx_event *create,
		      const struct mx_event *const *auth, size_t n, const struct mx_power *power);
void mx_outlier_reject(struct mx_arrival *v, enum mx_reason reason, const char *words);

/* Sets the words, cut to what fits. */
void mx_arrival_words(struct mx_arrival *v, const char *words);
/* No event of this room that its sender's server signed, or none that may come in now. */
void mx_arrival_drop(struct mx_arrival *v, enum mx_reason reason, const char *words);

#endif
