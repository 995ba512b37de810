/* Coming into a room of other servers, from inside. The events of the answer are verified and
 * stored as they come, under a room that nobody finds: either it has no row yet, or (when the
 * server was in it before) a name of its own stands for it. Of each only a record stays in memory.
 * Once all are there, they are judged after their auth events, the state is made of those that
 * pass, and one write makes the room. If that never comes, the rows go. */
#ifndef CORE_ROOM_ENTRY_H
#define CORE_ROOM_ENTRY_H

#include "core/json/split.h"
#include "core/room/outlier.h"

#include <semaphore.h>

#define MX_ENTRY_CHUNK 512		/* events that are verified and written together */
#define MX_ENTRY_CHUNK_BYTES (2 << 20)

struct mx_record {
	uint64_t id_hash;		/* mx_hash of its id */
	mx_nid nid;			/* what states name it by */
	uint32_t refs;			/* where the hashes of its auth events begin */
	uint8_t refs_n;
	uint8_t membership;
	bool state;			/* part of the room's state, says the answer */
	bool create, stored;		/* stored: it was here before, judged */
	bool leaf;			/* of no type that auth_events may name */
	bool judged, rejected, missing;	/* missing: an auth event is not there, so it is not kept */
	struct mx_tree_key key;
};

/* Members whose rows are written with the room itself: they are found by their user. */
struct mx_entry_local {
	mx_nid user;
	uint32_t record;
};

struct mx_chunk {
	struct mx_arrival v[MX_ENTRY_CHUNK];
	bool state[MX_ENTRY_CHUNK], known[MX_ENTRY_CHUNK], rejected[MX_ENTRY_CHUNK];
	mx_nid nid[MX_ENTRY_CHUNK], user[MX_ENTRY_CHUNK];
	size_t n;
	uint32_t first;			/* the record of the first */
};

struct mx_entry {
	struct mx_rooms *rs;
	const struct mx_room_version *version;
	struct mx_arena *arena;
	mx_str room_id;
	struct mx_event *join;		/* a reference; ours, or as the other server has signed it too */
	mx_nid room;			/* the room's name */
	mx_nid store;			/* under which its events stand until the end */
	mx_nid token;			/* of our claim */
	bool known;			/* the server has been in the room before */
	bool claimed, failed, done;
	mx_msec begun;

	struct mx_split *split;
	struct mx_buf *bytes;		/* what was read of the next chunk */
	struct {
		size_t off, n;
		bool state;
	} parts[MX_ENTRY_CHUNK];
	size_t parts_n;
	struct mx_chunk *flight;	/* with the writer */
	bool flying;
	sem_t landed;
	mx_error *error;		/* of the flight */

	struct mx_record *records;
	size_t records_n, records_room;
	uint64_t *refs;
	size_t refs_n, refs_room;
	uint32_t *slots;		/* a hash table of records by id_hash: place + 1, 0 for free */
	size_t slots_n;			/* a power of two */
	struct mx_entry_local *locals;
	size_t locals_n, locals_room;
	uint32_t *late;			/* records that turned out to be state after they were stored */
	size_t late_n, late_room;
	mx_nid numbers, numbers_n;	/* outliers' nids: their numbers for nodes of the state tree */
	uint64_t dropped, rejected;
	uint32_t *order;		/* the records that were judged, in this order */
	size_t order_n;

	/* at the end */
	struct mx_tree_entry *state;	/* sorted by key */
	size_t state_n;
	int64_t joined, invited;
	struct mx_state_root root;
};

void mx_entry_add_local(struct mx_entry *e, mx_nid user, uint32_t record);
/* The answer is whole. */
mx_error *mx_entry_read_rest(struct mx_entry *e) MX_MUST_USE;
/* The place of the record with this hash, or where it would be. */
uint32_t *mx_entry_slot(const struct mx_entry *e, uint64_t id_hash);

/* ---- entry_rows.c: writes ---- */
mx_error *mx_entry_claim(struct mx_entry *e) MX_MUST_USE;
/* Takes back the claim and what was stored. */
void mx_entry_clean(struct mx_entry *e);
/* Hands the flight to the writer; e->landed is posted. */
void mx_entry_write_chunk(struct mx_entry *e);
/* What judging has found: at most MX_ENTRY_CHUNK records that are rejected, or go. v[i].event is
 * the event of records[at[i]]. */
mx_error *mx_entry_write_verdicts(struct mx_entry *e, struct mx_arrival *v, const uint32_t *at,
				  size_t n) MX_MUST_USE;
/* Rows of members that were not known to be state when they were stored: the events of records[at[i]],
 * at most MX_ENTRY_CHUNK. */
mx_error *mx_entry_write_members(struct mx_entry *e, struct mx_event *const *evs,
				 const uint32_t *at, size_t n) MX_MUST_USE;
/* Within the write that makes the room: all but the join itself. */
mx_error *mx_entry_write_rest(struct mx_txn *tx, struct mx_entry *e, const struct mx_room *r)
	MX_MUST_USE;

/* ---- entry_judge.c ---- */
/* Judges every record after those that it rests on. */
mx_error *mx_entry_judge(struct mx_entry *e, struct mx_conn *c) MX_MUST_USE;
/* entry_cover.c: what of it rests on what, once all is judged. */
mx_error *mx_entry_cover(struct mx_entry *e) MX_MUST_USE;
/* The event that states name by this nid, of the room in the making. */
mx_error *mx_entry_event(struct mx_entry *e, struct mx_conn *c, mx_nid nid,
			 struct mx_event **out) MX_MUST_USE;

#endif
