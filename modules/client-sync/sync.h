/* client-sync inside: an answer to /sync is made in three steps, a file each. filter.c reads what
 * the client wants; rooms.c finds the rooms that have news; room.c writes one room. answer.c joins
 * them and decides whether to answer or to park. */
#ifndef MODULES_CLIENT_SYNC_SYNC_H
#define MODULES_CLIENT_SYNC_SYNC_H

#include <stdatomic.h>

#include <myelin/filter.h>
#include <myelin/module.h>
#include <myelin/service/account_data.h>
#include <myelin/view.h>

struct sync_options {
	int64_t timeline_limit, max_timeline_limit, filters_per_user;
	struct mx_duration max_timeout;
};

/* A parsed filter of the specification's shape "Filter"; shared by the requests that name it. */
struct sync_filter {
	_Atomic long refs;
	struct mx_filter *presence, *account_data;
	struct mx_filter *rooms;		/* rooms and not_rooms of the whole */
	struct mx_filter *timeline, *state, *ephemeral, *room_account_data;
	struct mx_shape *shape;			/* of the events in timelines and states */
	bool include_leave, lazy_members;
};

/* The module's state: filters that were asked for by id lately. */
struct sync_filters;
struct sync_filters *sync_filters_new(void);
void sync_filters_free(struct sync_filters **f);

/* The filter that the query names: inline JSON, the id of a stored one, or none (an empty filter).
 * The caller unrefs it. */
mx_error *sync_filter_of(struct mx_request *rq, struct sync_filter **out) MX_MUST_USE;
void sync_filter_unref(struct sync_filter **f);
static inline void sync_filter_auto(struct sync_filter **f) { sync_filter_unref(f); }
enum mx_outcome sync_filter_post(struct mx_request *rq);
enum mx_outcome sync_filter_get(struct mx_request *rq);

/* One run of the handler. */
struct sync {
	struct mx_request *rq;
	struct mx_core *core;
	struct mx_rooms *rs;
	struct mx_conn *conn;
	struct mx_arena *arena;
	const struct mx_auth *who;
	const struct sync_options *options;
	const struct sync_filter *filter;
	const mx_str *ignored;			/* user ids whose messages the user does not want, sorted */
	size_t ignored_count;

	struct mx_token since, upto;
	bool initial;				/* no since: everything is new */
	bool full_state;
	bool state_after;			/* MSC4222: state as of the end of the timeline */

	const struct mx_item *items;		/* what concerns the user, when known from memory */
	size_t item_count;
	bool known;

	struct mx_buf *join, *invite, *knock, *leave;	/* members of rooms.*, with commas between */
	const mx_nid *rooms;			/* that are asked for one by one: all of the user's, or none */
	size_t room_count;
	struct mx_sync_memo *memos;		/* of the modules */
	struct mx_buf *section;			/* where sync_section gathers what modules say */
	mx_error *failure;			/* of a section that a module could not read */
};

/* Asks the modules for a section of the whole answer or of a room. */
struct mx_sync sync_view(struct sync *s, struct mx_room *room, struct mx_token since,
			 const struct mx_item *items, size_t n);
/* Writes `"key":{"events":[…]}` when some module has something to say; nothing otherwise. */
bool sync_section(const struct sync *s, const struct mx_sync *view, enum mx_sync_section section,
		  mx_str key, struct mx_jw *w);

/* Fills join, invite, knock and leave. */
mx_error *sync_rooms(struct sync *s) MX_MUST_USE;

/* A room that may have news for the user, and how the user stands to it. */
struct sync_room {
	struct mx_room *room;
	struct mx_member member;
	const struct mx_item *items;		/* of this room */
	size_t item_count;
	bool fresh;				/* new to the user since `since`: everything of it is news */
	enum mx_membership before;		/* the user's membership at `since`; NONE when initial */
};
/* Each adds a member to its part of the answer when there is news, and nothing when there is none.
 */
mx_error *sync_room_joined(struct sync *s, const struct sync_room *r) MX_MUST_USE;
mx_error *sync_room_left(struct sync *s, const struct sync_room *r) MX_MUST_USE;
mx_error *sync_room_invited(struct sync *s, const struct sync_room *r) MX_MUST_USE;
mx_error *sync_room_knocked(struct sync *s, const struct sync_room *r) MX_MUST_USE;

enum mx_outcome sync_get(struct mx_request *rq);

#endif
