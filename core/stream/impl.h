/* The stream from inside: two rings of items (the database's sequence and the passing one), the
 * users who are present with the rooms they are in, and who waits. One lock guards it all; it is
 * held for as long as it takes to walk a few hundred items or the members of a room, never across
 * I/O and never while a request is woken. */
#ifndef CORE_STREAM_IMPL_H
#define CORE_STREAM_IMPL_H

#include "core/stream/nidmap.h"
#include "core/stream/stream.h"

#include <pthread.h>
#include <stdatomic.h>

struct mx_ring {
	struct mx_item *v;
	size_t room;
	uint64_t next;			/* items ever added; v[next % room] is the oldest once it is full */
	mx_pos floor;			/* everything after it is here */
};

enum mx_waiter_state {
	MX_WAITER_ARMING = 0,		/* known here, not yet suspended */
	MX_WAITER_WANTED = 1,		/* something came while it was arming: wake it once it is suspended */
	MX_WAITER_PARKED = 2,
	MX_WAITER_HANDING = 3,		/* somebody is inside mx_request_wake with it */
	MX_WAITER_HANDED = 4,
	MX_WAITER_ENDED = 5,		/* on_end was there first: the request is gone */
};

struct mx_waiter {
	struct mx_stream *stream;
	struct mx_request *rq;
	struct mx_waiter *next, **link;	/* in the list of its user while linked; guarded by the stream's lock */
	struct mx_waiter *next_wake;
	struct mx_present *user;	/* valid while linked */
	mx_nid device;
	struct mx_token seen;
	pthread_t waker;		/* who is HANDING */
	atomic_int state, refs;
};

struct mx_seat {			/* a room of a present user */
	mx_nid event;
	mx_pos changed;
	uint8_t membership;
	bool forgotten;
};

struct mx_present {
	mx_nid user;
	uint32_t slot;
	uint32_t loads;			/* that are under way */
	bool known;			/* the rooms are here */
	bool changed;			/* since the first of the loads began */
	size_t n, room;
	mx_nid *rooms;			/* sorted */
	struct mx_seat *seats;
	struct mx_waiter *waiters;
	struct mx_present *newer, *older;
};

struct mx_hall {			/* a room: the slots of the present users who are joined */
	uint32_t *slots;
	size_t n, room;
};

struct mx_stream {
	struct mx_db *db;
	struct mx_stream_options opt;
	pthread_mutex_t lock;
	struct mx_ring items, passing;
	_Atomic mx_pos head, passing_head;

	struct mx_nidmap users;		/* nid → mx_present */
	struct mx_nidmap halls;		/* room → mx_hall */
	struct mx_present **slots;
	uint64_t *waiting;		/* a bit a slot: somebody of this user is parked */
	size_t slot_count, slot_room, unknown_waiting;
	uint32_t *free_slots;
	size_t free_count;
	struct mx_present *newest, *oldest;
	size_t present_bytes, parked;

	struct mx_item *staged;		/* of the batch that is being announced: the writer's thread only */
	size_t staged_n, staged_room;
	bool foreign;			/* others have written, it is not known what: who waits must look */

	struct mx_announcement **open;	/* of the batch that runs: the writer's thread only */
	size_t open_n, open_room, open_ended;
	uint64_t batches;

	mx_stream_foreign_fn *on_foreign;
	mx_stream_events_fn *load_events;
	void (*on_told)(void *arg, mx_str text);
	void *on_told_arg;
	struct {
		mx_stream_foreign_fn *fn;
		void *arg;
	} followers[MX_STREAM_FOLLOWERS];
	size_t follower_n;
	void *on_foreign_arg;
	_Atomic uint64_t published, wakes, reruns;
};

/* An item on its way into the ring: in the arena of its transaction. */
struct mx_announcement {
	struct mx_stream *stream;
	struct mx_item item;
	bool undone;
};

/* ---- stream.c: on the writer's thread ---- */
/* Into the ring, once the positions are visible. Takes the event's reference. */
void mx_stream_stage(struct mx_stream *s, const struct mx_item *item);

/* ---- log.c: what each batch announced, for the other processes; on the writer's thread ---- */
/* Before the commit of a batch. */
mx_error *mx_stream_log_put(struct mx_stream *s, struct mx_conn *c, mx_pos since,
			    mx_pos upto) MX_MUST_USE;
/* Stages what others have announced. *whole false: it is not known for every position. */
mx_error *mx_stream_log_read(struct mx_stream *s, struct mx_conn *c, mx_pos since, mx_pos upto,
			     bool *whole) MX_MUST_USE;

/* ---- ring.c: all with the lock held ---- */
void mx_ring_open(struct mx_ring *r, size_t room, mx_pos floor);
void mx_ring_close(struct mx_ring *r);
void mx_ring_add(struct mx_ring *r, const struct mx_item *item);	/* takes the event's reference */
void mx_ring_forget(struct mx_ring *r, mx_pos floor);			/* everything up to floor */
/* The index of the first item after pos; r->next when there is none. */
uint64_t mx_ring_find(const struct mx_ring *r, mx_pos pos);
static inline const struct mx_item *
mx_ring_at(const struct mx_ring *r, uint64_t i)
{
	return &r->v[i % r->room];
}

/* ---- present.c: all with the lock held ---- */
struct mx_present *mx_present_find(struct mx_stream *s, mx_nid user);
struct mx_present *mx_present_make(struct mx_stream *s, mx_nid user);
void mx_present_touch(struct mx_stream *s, struct mx_present *u);
void mx_present_trim(struct mx_stream *s);
void mx_present_close(struct mx_stream *s);
/* The seat in the room, or NULL. */
const struct mx_seat *mx_present_seat(const struct mx_present *u, mx_nid room);
bool mx_item_concerns(struct mx_stream *s, const struct mx_present *u, const struct mx_item *item);

/* ---- park.c ---- */
/* With the lock held: unlinks whom the item concerns and puts them before *list. */
void mx_wake_collect(struct mx_stream *s, const struct mx_item *item, struct mx_waiter **list);
void mx_wake_collect_all(struct mx_stream *s, struct mx_waiter **list);
/* Without it. */
void mx_wake_run(struct mx_stream *s, struct mx_waiter *list);

#endif
