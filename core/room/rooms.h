/* Opening and closing the room engine: its configuration, and what it calls outside of itself. No
 * state is global; several engines may live in one process. */
#ifndef CORE_ROOM_ROOMS_H
#define CORE_ROOM_ROOMS_H

#include <myelin/crypto.h>
#include <myelin/federation.h>
#include <myelin/module.h>
#include <myelin/room.h>

#include "core/room/verify.h"

/* [rooms] */
struct mx_rooms_options {
	const char *default_version;	/* of rooms that are made without naming one */
	struct mx_list creatable_versions;	/* that rooms may be made of; none: every stable one */
	struct mx_size event_cache;	/* bytes of events kept in memory */
	struct mx_size state_cache;	/* bytes of state tree nodes kept in memory */
	int64_t room_cache;		/* rooms kept in memory */
	int64_t room_tail;		/* newest events that a room in memory keeps at hand */
	struct mx_duration keep_redacted;	/* for how long what was redacted is kept */
	int64_t max_state;		/* entries that the state of a room may have */
	int64_t max_extremities;	/* forward extremities that a room keeps */
	int64_t dummy_events;		/* beyond so many, we join them; 0: never */
	int64_t max_waiting, max_waiting_room;	/* events in waiting, in all and of one room */
	int64_t max_conflict;		/* entries in which states that come together may differ */
	int64_t merge_cache;		/* merges that are remembered; 0: none */
};
extern const struct mx_option mx_rooms_option_rows[];
extern const size_t mx_rooms_option_count;

extern const struct mx_migration_set mx_rooms_tables;

struct mx_rooms_config {
	struct mx_db *db;
	struct mx_stream *stream;
	const struct mx_signing_key *key;	/* lives longer than the engine; so do all of these */
	mx_str server_name;			/* copied */
	const struct mx_rooms_options *options;	/* copied; NULL: the defaults */
	/* Asked on the sender's thread before an event of a local user is signed; an error refuses
	 * it. May be NULL. */
	mx_error *(*event_check)(void *arg, struct mx_room *room, const struct mx_draft *draft);
	/* Told on the writer's thread after the commit, in stream order. May be NULL. */
	void (*event_stored)(void *arg, struct mx_event *event);
	void *arg;
	/* The signing keys of other servers; may block: whoever asks holds no lock, and lets its
	 * connection to the database rest. NULL: none can be had, and only our own events verify. */
	mx_verify_key_fn *verify_key;
	void *verify_arg;
};

/* MX_E_CONFIG when the versions in the options cannot be had, or not together. */
mx_error *mx_rooms_check_versions(const struct mx_rooms_options *options) MX_MUST_USE;
/* Brings the tables up to date. Errors: MX_E_CONFIG, or the database's. */
mx_error *mx_rooms_open(const struct mx_rooms_config *config, struct mx_rooms **out) MX_MUST_USE;
/* No call of the engine may be running. */
void mx_rooms_close(struct mx_rooms **rs);

/* Up to limit accepted events of all rooms with positions after `after`, in the order of the
 * stream. */
mx_error *mx_events_after(struct mx_rooms *rs, struct mx_conn *c, mx_pos after, size_t limit,
			  struct mx_events *out) MX_MUST_USE;

/* What the engine holds in memory and has done, for metrics and tests. */
struct mx_rooms_stats {
	uint64_t sent, conflicts;	/* events made; sends that were prepared anew */
	uint64_t event_hits, event_misses, node_hits, node_misses;
	size_t event_bytes, node_bytes, rooms;
	uint64_t arrived[MX_FATE_COUNT][MX_REASON_COUNT];	/* events of other servers */
};
void mx_rooms_stats(struct mx_rooms *rs, struct mx_rooms_stats *out);

#endif
