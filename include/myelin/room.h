/* The room engine: it makes events, decides which are accepted, keeps the state of each room as a
 * persistent tree, and answers what a room is and was. Everything goes through `struct mx_rooms`,
 * of which a process normally has one.
 *
 * Reading takes a connection (mx_request_conn). A `struct mx_room` is the room's summary in memory:
 * immutable but for what the engine itself advances after a commit; references are cheap. */
#ifndef MYELIN_ROOM_H
#define MYELIN_ROOM_H

#include <myelin/event.h>
#include <myelin/id.h>
#include <myelin/stream.h>

struct mx_rooms;
struct mx_room;

/* ---- room versions: a row of rules each; see core/room/version.h ---- */
MX_API const struct mx_room_version *mx_room_version_find(mx_str name);	/* NULL when unknown */
/* The nth that is known, oldest first, NULL at the end: what rooms may be joined of (make_join's ver). */
MX_API const struct mx_room_version *mx_room_version_at(size_t n);
MX_API mx_str mx_room_version_name(const struct mx_room_version *v);
MX_API bool mx_room_version_creators(const struct mx_room_version *v);	/* version 12: creators rank above all */
/* The nth version that may be created, NULL at the end: for /capabilities. */
MX_API const struct mx_room_version *mx_rooms_version(const struct mx_rooms *rs, size_t n);
MX_API const struct mx_room_version *mx_rooms_default_version(const struct mx_rooms *rs);
MX_API mx_str mx_rooms_server_name(const struct mx_rooms *rs);

/* ---- finding rooms ---- */
/* MX_E_NOT_FOUND when the server does not know the room. */
MX_API mx_error *mx_room_get(struct mx_rooms *rs, struct mx_conn *c, mx_str room_id,
			     struct mx_room **out) MX_MUST_USE;
MX_API mx_error *mx_room_by_nid(struct mx_rooms *rs, struct mx_conn *c, mx_nid nid,
				struct mx_room **out) MX_MUST_USE;
MX_API struct mx_room *mx_room_ref(struct mx_room *r);
MX_API void mx_room_unref(struct mx_room **r);
static inline void mx_room_auto(struct mx_room **r) { mx_room_unref(r); }

MX_API mx_nid mx_room_nid(const struct mx_room *r);
MX_API mx_str mx_room_id(const struct mx_room *r);
MX_API const struct mx_room_version *mx_room_version(const struct mx_room *r);
MX_API mx_pos mx_room_last(const struct mx_room *r);	/* the position of its newest event */

/* ---- making events ---- */
struct mx_draft {
	mx_str type;
	mx_str state_key;		/* p == NULL: a message event */
	json_t *content;		/* borrowed; an object */
	mx_nid sender;			/* name nid of a user of this server */
	mx_str sender_id;
	mx_str redacts;			/* of m.room.redaction, else empty: the version decides where it goes */
	mx_msec ts;			/* 0: now */
	mx_nid device;			/* with txn_id: the same pair makes one event, for ever */
	mx_str txn_id;			/* clients see it up to the first newline: what is behind narrows its scope */
};

/* Authorises, completes, hashes, signs and stores n events, one after the other, durable together
 * or not at all. out (may be NULL) receives n references. A repeated (device, txn_id) gives the
 * event that it made, and stores nothing. MX_E_FORBIDDEN with the rule that refused;
 * MX_E_TOO_LARGE; MX_E_BAD_JSON. Call with no lock held. */
MX_API mx_error *mx_room_send(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
			      const struct mx_draft *drafts, size_t n,
			      struct mx_event **out) MX_MUST_USE;
/* The same for one event, without a thread that waits. NULL: rq is held (request.h), so return
 * MX_HELD; `then` finds in *out, which must live until then, the event or why there is none.
 * MX_E_AGAIN there: nothing was stored, and this time it takes mx_room_send, which may block. An
 * error returned: nothing was handed in, and rq is the handler's still. */
struct mx_sent {
	mx_error *error;
	struct mx_event *event;		/* a reference */
};
MX_API mx_error *mx_room_send_held(struct mx_rooms *rs, struct mx_request *rq, struct mx_room *r,
				   const struct mx_draft *draft, mx_handler *then,
				   struct mx_sent *out) MX_MUST_USE;
/* A new room: drafts[0] is m.room.create (its content.room_version is set here), the next the
 * creator's join, … */
MX_API mx_error *mx_room_create(struct mx_rooms *rs, struct mx_conn *c,
				const struct mx_room_version *version,
				const struct mx_draft *drafts, size_t n,
				struct mx_room **out) MX_MUST_USE;
/* What is written together with a new room: durable with it, or not at all. */
struct mx_along {
	uint32_t size;
	/* Runs on the writer's thread once the events are written, in their transaction; an error
	 * undoes them, MX_E_AGAIN has them made anew. The room has its nid. Like every function of
	 * the writer it may run again. May be NULL. */
	mx_error *(*write)(struct mx_txn *tx, struct mx_room *room, void *arg);
	void *arg;
	/* Events of another room, or NULL. Its drafts are asked for once, when the id of the new
	 * one is known, on the caller's thread; they and what they point to live as long as the
	 * call. */
	struct mx_room *other;
	mx_error *(*drafts)(struct mx_room *room, void *arg, const struct mx_draft **out, size_t *n);
};
MX_API mx_error *mx_room_create_along(struct mx_rooms *rs, struct mx_conn *c,
				      const struct mx_room_version *version,
				      const struct mx_draft *drafts, size_t n,
				      const struct mx_along *along,
				      struct mx_room **out) MX_MUST_USE;
/* Whether the sender of this draft might send it now: for deciding before work is done. */
MX_API mx_error *mx_room_allowed(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				 const struct mx_draft *draft) MX_MUST_USE;
/* The event that (device, txn_id) made; *out NULL when none. */
MX_API mx_error *mx_room_txn(struct mx_rooms *rs, struct mx_conn *c, mx_nid device, mx_str txn_id,
			     struct mx_event **out) MX_MUST_USE;

/* ---- single events: by id or position; *out is a reference. MX_E_NOT_FOUND ---- */
MX_API mx_error *mx_event_get(struct mx_rooms *rs, struct mx_conn *c, mx_str event_id,
			      struct mx_event **out) MX_MUST_USE;
MX_API mx_error *mx_event_by_nid(struct mx_rooms *rs, struct mx_conn *c, mx_nid nid,
				 struct mx_event **out) MX_MUST_USE;
/* The event that redacted ev; *out NULL when none did. */
MX_API mx_error *mx_event_redaction(struct mx_rooms *rs, struct mx_conn *c,
				    const struct mx_event *ev, struct mx_event **out) MX_MUST_USE;

/* A growing list of event references. Zero-initialise; free with mx_events_clear. */
struct mx_events {
	struct mx_event **v;
	size_t n, room;
};
MX_API void mx_events_add(struct mx_events *l, struct mx_event *ev);	/* takes the reference */
MX_API void mx_events_clear(struct mx_events *l);

/* ---- the timeline ---- */
/* Up to limit accepted events with after < nid < before, in order, or newest first when backwards.
 * Rejected and soft-failed ones are left out. *more: whether there were more. */
MX_API mx_error *mx_room_timeline(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				  mx_nid after, mx_nid before, size_t limit, bool backwards,
				  struct mx_events *out, bool *more) MX_MUST_USE;

/* ---- state ---- */
struct mx_state_root {
	unsigned char h[16];		/* the root of a state tree; all zero: no state */
};
MX_API mx_error *
mx_room_state(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_str type, mx_str key,
	      struct mx_event **out) MX_MUST_USE; /* current; *out NULL when there is none */
MX_API struct mx_state_root mx_room_root(const struct mx_room *r);	/* the current state's */
/* The root of the state after the newest event of the room at or before pos. */
MX_API mx_error *mx_room_root_at(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				 mx_pos pos, struct mx_state_root *out) MX_MUST_USE;
MX_API struct mx_state_root mx_event_root_before(const struct mx_event *ev);	/* zero for outliers */
MX_API struct mx_state_root mx_event_root_after(const struct mx_event *ev);
/* Whether the room's state just before or after it was another than these, because the room had
 * branches: ask mx_room_root_at for that. */
MX_API bool mx_event_forked(const struct mx_event *ev);
MX_API mx_error *mx_state_get(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root,
			      mx_str type, mx_str key, struct mx_event **out) MX_MUST_USE;
/* Every event of the state, in no order. */
MX_API mx_error *mx_state_all(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root root,
			      struct mx_events *out) MX_MUST_USE;
/* The same without m.room.member: its cost does not grow with the members. */
MX_API mx_error *mx_state_no_members(struct mx_rooms *rs, struct mx_conn *c,
				     struct mx_state_root root, struct mx_events *out) MX_MUST_USE;
/* The entries of `to` that `from` lacks or has with another event; skips what both share. */
MX_API mx_error *mx_state_diff(struct mx_rooms *rs, struct mx_conn *c, struct mx_state_root from,
			       struct mx_state_root to, struct mx_events *out) MX_MUST_USE;
/* Takes out of a timeline (oldest first) the state events that did not last: neither is the event in
 * the state at its end, nor does a later one of the timeline take its place. Who reckons the state
 * from the timeline would go wrong by them. */
MX_API mx_error *mx_events_drop_lost(struct mx_rooms *rs, struct mx_conn *c,
				     struct mx_state_root end, struct mx_events *l) MX_MUST_USE;

/* ---- members ---- */
struct mx_member {
	mx_nid user;
	mx_nid room;
	enum mx_membership membership;
	mx_nid event;			/* the m.room.member event: its position too */
	bool forgotten;
	mx_pos changed;			/* where it became so, if not by the event: branches came together; else 0 */
};
static inline mx_pos
mx_member_since(const struct mx_member *m)
{
	return m->changed != 0 ? m->changed : m->event;
}
MX_API mx_error *mx_room_member(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				mx_nid user, struct mx_member *out) MX_MUST_USE;
/* The rooms of a local user, any membership; the list is in the arena. */
MX_API mx_error *mx_user_rooms(struct mx_rooms *rs, struct mx_conn *c, mx_nid user,
			       struct mx_arena *a, struct mx_member **out, size_t *n) MX_MUST_USE;
/* The members of a room with this membership (NONE: all); the list is in the arena. */
MX_API mx_error *mx_room_members(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				 enum mx_membership m, struct mx_arena *a, struct mx_member **out,
				 size_t *n) MX_MUST_USE;
MX_API size_t mx_room_joined_count(const struct mx_room *r);
MX_API size_t mx_room_invited_count(const struct mx_room *r);
/* Whether two users share a room now. */
MX_API mx_error *mx_users_share(struct mx_rooms *rs, struct mx_conn *c, mx_nid a, mx_nid b,
				bool *out) MX_MUST_USE;
/* After leaving: the room is gone from the user's lists. MX_E_BAD_REQUEST while joined or invited.
 */
MX_API mx_error *mx_room_forget(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				mx_nid user) MX_MUST_USE;
MX_API int64_t mx_room_power(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_str user_id);	/* INT64_MAX: a creator of version 12 */

/* ---- who may see what: Client-Server API, "Room history visibility" ---- */
/* *out: whether the user (0: somebody who is in no room) may see the event. */
MX_API mx_error *mx_event_visible(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				  const struct mx_event *ev, mx_nid user, mx_str user_id,
				  bool *out) MX_MUST_USE;
/* The same; and *ev becomes what the user is given of it: its redacted form, when its sender was
 * erased before the user could have seen it. */
MX_API mx_error *mx_event_as_seen(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				  struct mx_event **ev, mx_nid user, mx_str user_id,
				  bool *out) MX_MUST_USE;
/* Drops from the list what the user may not see, and gives the rest as mx_event_as_seen does; cheap
 * when everything is visible. */
MX_API mx_error *mx_events_filter_visible(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
					  struct mx_events *l, mx_nid user,
					  mx_str user_id) MX_MUST_USE;
/* Whether the user may read the room's current state (joined, or world-readable), and if not, up to
 * which position (0: not at all): who left sees the room as it was. */
MX_API mx_error *mx_room_readable(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				  mx_nid user, mx_str user_id, bool *now,
				  mx_pos *until) MX_MUST_USE;

/* A user of this server is gone and wants to be forgotten: who comes into a room from now on is
 * given the user's events redacted. Client-Server API, "POST /account/deactivate", erase. */
MX_API mx_error *mx_user_erase(struct mx_rooms *rs, mx_nid user) MX_MUST_USE;
/* *out: the position at which the user was erased; 0: not. */
MX_API mx_error *mx_user_erased(struct mx_rooms *rs, struct mx_conn *c, mx_nid user,
				mx_pos *out) MX_MUST_USE;
/* Deletes what was kept of redacted events for as long as [rooms] keep_redacted says: for a job. */
MX_API mx_error *mx_rooms_purge(struct mx_rooms *rs) MX_MUST_USE;

/* ---- what directories and invitations show; strings in the arena, empty when unset ---- */
struct mx_room_summary {
	mx_str name, topic, avatar_url, canonical_alias, join_rule, room_type, encryption,
		history_visibility;
	size_t joined, invited;
	bool world_readable, guest_can_join, federate;
};
MX_API mx_error *mx_room_summary(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				 struct mx_arena *a, struct mx_room_summary *out) MX_MUST_USE;
/* The stripped state for an invite or a knock of this user (a name nid), as a JSON array, onto b.
 * Its own m.room.member event is in it, and that of who invited it. */
MX_API mx_error *mx_room_stripped(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r,
				  mx_nid user, struct mx_buf *b) MX_MUST_USE;
/* The nth room's nid that the server knows after `after`: for lists. 0 at the end. */
MX_API mx_error *mx_rooms_next(struct mx_rooms *rs, struct mx_conn *c, mx_nid after,
			       mx_nid *out) MX_MUST_USE;

#endif
