/* Who stands in whose auth chain, kept beside the state events, so that the difference of two auth
 * chains is found without walking the graph and without looking at what both states share. All nids
 * here are those of mx_event_state_nid.
 *
 * What each event rests on is a row of cover (as numbers, so that a walk parses no event), and who
 * rests on it are rows of cover_above. What follows from the others is left out where it is seen at
 * once: of the auth_events of a rename, the earlier member event names the rest itself. So a state
 * event mostly has one row in each. Of rejected events there are none, they are in no state. */
#ifndef CORE_ROOM_COVER_H
#define CORE_ROOM_COVER_H

#include "core/room/difference.h"
#include "core/room/engine.h"

/* Within the write that stores a state event, for each of them, outliers too: after its auth
 * events. Does nothing for what is no state, is rejected or is covered already. Reads nothing when
 * the auth events are in the cache, or among the last that were put. */
mx_error *mx_cover_put(struct mx_txn *tx, struct mx_rooms *rs, struct mx_event *ev) MX_MUST_USE;

/* Rows that are still to be written: within one write, whose end they must not outlive unwritten, and
 * in which nobody reads covers before that. Zero at first. */
#define MX_COVER_BATCH 8
struct mx_cover_batch {
	struct {
		mx_nid nid;
		unsigned char data[(1 + MX_EVENT_MAX_AUTH) * 10];
		size_t n;
	} rows[MX_COVER_BATCH];
	struct {
		int64_t below;
		mx_nid above;
	} above[MX_COVER_BATCH];
	size_t rows_n, above_n;
};
/* As mx_cover_put, for events of the timeline: what they rest on is known without covers. */
mx_error *mx_cover_add(struct mx_txn *tx, struct mx_rooms *rs, struct mx_event *ev,
		       struct mx_cover_batch *b) MX_MUST_USE;
mx_error *mx_cover_flush(struct mx_txn *tx, struct mx_cover_batch *b) MX_MUST_USE;

/* The same for who knows the numbers already: what another of row->auth rests on is better left
 * out. height: one more than the greatest of theirs for what has no position; leaf: it is of no type
 * that auth_events may name. */
mx_error *mx_cover_put_row(struct mx_txn *tx, struct mx_rooms *rs, const struct mx_auth_row *row,
			   bool leaf, struct mx_cover_batch *b) MX_MUST_USE;
/* row->nid's row, if it has one. */
mx_error *mx_cover_row(struct mx_conn *c, struct mx_auth_row *row, bool *found) MX_MUST_USE;
mx_error *mx_cover_height(struct mx_rooms *rs, struct mx_conn *c, mx_nid nid,
			  int64_t *out) MX_MUST_USE;

/* mx_auth_difference over what is stored. agreed: as there. */
mx_error *mx_cover_difference(struct mx_rooms *rs, struct mx_conn *c,
			      const struct mx_conflicted *v, size_t n, size_t states, bool subgraph,
			      mx_error *(*agreed)(void *arg, mx_nid nid, bool leaf, bool *out),
			      void *arg, struct mx_arena *a, mx_nid **out,
			      size_t *out_n) MX_MUST_USE;

/* The auth chain of these events, without themselves unless one rests on another, in no order; in
 * the arena. Any events may be asked about. */
mx_error *mx_cover_chain(struct mx_rooms *rs, struct mx_conn *c, const mx_nid *of, size_t of_n,
			 struct mx_arena *a, mx_nid **out, size_t *n) MX_MUST_USE;

/* cover_fill.c: makes the covers of the events that were stored before there were any. At opening;
 * costs one read when there is nothing to do, and goes on where it was interrupted. */
mx_error *mx_cover_fill(struct mx_rooms *rs) MX_MUST_USE;

/* ---- the last that were put: engine.h has a pointer to it ---- */
#define MX_COVER_STEPS INT64_C(1048576)	/* outliers in one line between two events of the timeline */
struct mx_cover_recent;
struct mx_cover_recent *mx_cover_recent_new(void);
void mx_cover_recent_free(struct mx_cover_recent **r);
void mx_cover_recent_set_height(struct mx_cover_recent *r, mx_nid nid, int64_t height);

#endif
