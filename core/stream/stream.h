/* Opening and closing the stream, and what the room engine tells it: who is in which room. The
 * stream keeps the rooms of the users that are *present* (that have synced lately), because "which
 * waiting user does this item concern" and "does this item concern this user" must cost next to
 * nothing; the room engine uses the same lists as its cache of a user's rooms. */
#ifndef CORE_STREAM_STREAM_H
#define CORE_STREAM_STREAM_H

#include <myelin/module.h>
#include <myelin/room.h>
#include <myelin/stream.h>

/* [stream] */
struct mx_stream_options {
	int64_t ring;			/* newest items kept in memory */
	struct mx_size present_cache;	/* bytes for the rooms of present users; who waits is never dropped */
};
extern const struct mx_option mx_stream_option_rows[];
extern const size_t mx_stream_option_count;

extern const struct mx_migration_set mx_stream_tables;

/* options: NULL for the defaults. The head starts at what the database has: items from before are
 * not in the ring. */
mx_error *mx_stream_open(struct mx_db *db, const struct mx_stream_options *options,
			 struct mx_stream **out) MX_MUST_USE;
/* Nothing may be parked any more. */
void mx_stream_close(struct mx_stream **s);

/* ---- who is in which room: called by the room engine only ---- */

/* The rooms of a user, sorted by room, in the arena. False when they are not in memory. */
bool mx_stream_rooms(struct mx_stream *s, mx_nid user, struct mx_arena *a, struct mx_member **out,
		     size_t *n);
/* One of them; membership NONE when there is none. False when the user's rooms are not in memory.
 */
bool mx_stream_room_of(struct mx_stream *s, mx_nid user, mx_nid room, struct mx_member *out);
/* Loading: begin, read from the database, end with what was read, sorted by room. False from end: a
 * membership changed in the meantime, so the list may miss it: read again. end with members NULL
 * gives up. */
void mx_stream_load_begin(struct mx_stream *s, mx_nid user);
bool mx_stream_load_end(struct mx_stream *s, mx_nid user, const struct mx_member *members,
			size_t n);
/* After the commit, on the writer's thread, before the event's own item is shown: membership of one
 * user in one room. */
void mx_stream_member_changed(struct mx_stream *s, const struct mx_member *m);

/* fn is called on the writer's thread, inside the transaction of c, when other processes have taken
 * the positions after `since` up to `upto`: it calls mx_stream_member_changed for what they
 * changed, or mx_stream_forget_rooms. */
typedef mx_error *mx_stream_foreign_fn(void *arg, struct mx_conn *c, mx_pos since, mx_pos upto);
/* The events at these positions, in the same order, for the ring. */
typedef mx_error *mx_stream_events_fn(void *arg, struct mx_conn *c, const mx_nid *nids, size_t n,
				      struct mx_events *out);
void mx_stream_on_foreign(struct mx_stream *s, mx_stream_foreign_fn *fn,
			  mx_stream_events_fn *events, void *arg);
/* The same for other areas of the core that keep something in memory; before the first write. */
enum { MX_STREAM_FOLLOWERS = 4 };
void mx_stream_follow(struct mx_stream *s, mx_stream_foreign_fn *fn, void *arg);
void mx_stream_unfollow(struct mx_stream *s, void *arg);	/* when nothing writes any more */
/* What other processes tell in passing (mx_core_tell) goes to fn, on a thread of its own. With it
 * comes how far the second sequence is there: what is announced because of it, and from then on,
 * comes behind what was announced there, whatever the clocks say. So a token of one process leaves
 * nothing out in another. */
void mx_stream_on_told(struct mx_stream *s, void (*fn)(void *arg, mx_str text), void *arg);
void mx_stream_forget_rooms(struct mx_stream *s);	/* of everybody */

struct mx_stream_stats {
	uint64_t published, wakes, reruns;
	size_t parked, present;
};
void mx_stream_stats(struct mx_stream *s, struct mx_stream_stats *out);

#endif
