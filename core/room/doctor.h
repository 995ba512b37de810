/* The room doctor: goes through the events of a room as the database has them, recomputes what they
 * make of it, and compares. What is wrong is named, beginning with the first event; on demand it is
 * mended, under the writer, as far as it follows from the events. */
#ifndef CORE_ROOM_DOCTOR_H
#define CORE_ROOM_DOCTOR_H

#include "core/room/engine.h"

#define MX_DOCTOR_FINDINGS 100	/* that are kept; all are counted */

enum mx_ailment {
	MX_AIL_BYTES,		/* the event's JSON is none */
	MX_AIL_ID,		/* its id is not that of its bytes */
	MX_AIL_CONTENT,		/* its content is not what was hashed */
	MX_AIL_SIGNATURE,	/* our signature is wrong */
	MX_AIL_COLUMNS,		/* a column says something else than the JSON */
	MX_AIL_COVER,		/* what it rests on, as it is kept for state resolution */
	MX_AIL_BEFORE,		/* the state before it */
	MX_AIL_AFTER,		/* the state after it */
	MX_AIL_ROOM,		/* the room's state once it was taken in */
	MX_AIL_NODES,		/* a part of a state is not stored */
	MX_AIL_EXTREMITIES,
	MX_AIL_MEMBERS,
	MX_AIL_COUNTS,
	MX_AIL_COUNT
};
const char *mx_ailment_name(enum mx_ailment a);

struct mx_finding {
	enum mx_ailment what;
	mx_nid nid;		/* of the event; 0: the room */
	char id[MX_EVENT_ID_MAX + 1];	/* of the event, the room, or the user that it is about */
	char words[160];
	bool mended;
};

struct mx_checkup {
	bool repair, signatures;	/* to be set: whether to mend, and to check our own signatures */
	uint64_t events, outliers, members, untold;	/* untold: states that others have told, and that nothing here says */
	uint64_t found, mended, by[MX_AIL_COUNT];
	struct mx_finding v[MX_DOCTOR_FINDINGS];
	size_t n;
};

/* An error is the database's, or what the doctor cannot go on without; what is wrong with the room
 * is in *out. It looks at one moment of the room; while it mends nobody else writes to it. */
mx_error *mx_room_checkup(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
			  struct mx_checkup *out) MX_MUST_USE;

/* ---- between its files ---- */
struct mx_doctor {
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_room *room;
	struct mx_checkup *out;
	struct mx_node_cache *cold;	/* of its own, so that it sees what is stored */
	struct mx_event **ends;		/* forward extremities so far; references */
	size_t ends_n;
	struct mx_state_root root;	/* the room's state so far */
	mx_nid last;			/* the newest accepted event */
	struct mx_state_root checked;	/* the last root that was found to be stored */
	struct mx_state_root whole;	/* the last whole tree that was found to be */
	bool whole_seen;
	bool blind;			/* an event cannot be read: what its graph leads to is not known */
	struct {
		mx_nid nid;
		struct mx_state_root after;
	} wrong[MX_DOCTOR_FINDINGS];	/* events with another root than they should have */
	size_t wrong_n;
	mx_msec said;			/* when progress was last told */
};
/* Notes a finding; ev may be NULL. The place to say `mended`, or NULL when there are too many. */
struct mx_finding *mx_doctor_find(struct mx_doctor *d, enum mx_ailment what, mx_nid nid, mx_str id,
				  const char *words);
void mx_doctor_mended(struct mx_doctor *d, struct mx_finding *f);
/* Runs a statement with these parameters on the writer. */
struct mx_doctor_value {
	enum { MX_DOCTOR_NULL, MX_DOCTOR_INT, MX_DOCTOR_STR, MX_DOCTOR_BLOB } kind;
	int64_t i;
	mx_str s;
};
mx_error *mx_doctor_write(struct mx_doctor *d, const struct mx_sql *sql,
			  const struct mx_doctor_value *v, size_t n) MX_MUST_USE;

/* doctor_state.c: the states around an event that is in the timeline; stored_room: what the
 * database says the room's state was then. */
/* doctor_cover.c */
mx_error *mx_doctor_cover(struct mx_doctor *d, struct mx_event *ev) MX_MUST_USE;
mx_error *mx_doctor_states(struct mx_doctor *d, struct mx_event *ev,
			   struct mx_state_root stored_room) MX_MUST_USE;
/* doctor_members.c: what is true of the room at the end. */
mx_error *mx_doctor_room(struct mx_doctor *d) MX_MUST_USE;

#endif
