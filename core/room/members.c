/* Who is in which room. */
#include "config.h"

#include "core/room/engine.h"

#include <stdlib.h>

static const struct mx_sql ONE =
	MX_SQL("SELECT membership, event, forgotten, changed FROM membership WHERE room = $1 AND \"user\" = $2");
static const struct mx_sql OF_USER =
	MX_SQL("SELECT room, membership, event, forgotten, changed FROM membership WHERE \"user\" = $1 AND local = 1 ORDER BY room");
static const struct mx_sql OF_ROOM =
	MX_SQL("SELECT \"user\", membership, event, forgotten, changed FROM membership WHERE room = $1");
static const struct mx_sql SHARE =
	MX_SQL("SELECT 1 FROM membership a JOIN membership b ON a.room = b.room WHERE a.\"user\" = $1 AND a.local = 1 "
	       "AND a.membership = 2 AND b.\"user\" = $2 AND b.membership = 2 LIMIT 1");
static const struct mx_sql FORGET = MX_SQL(
	"UPDATE membership SET forgotten = 1 WHERE room = $1 AND \"user\" = $2 AND event = $3");

#define LOAD_ATTEMPTS 8

mx_error *
mx_room_member(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_nid user,
	       struct mx_member *out)
{
	if (mx_stream_room_of(rs->stream, user, r->nid, out))
		return NULL;
	struct mx_query *q = mx_query(c, &ONE);

	*out = (struct mx_member){ .user = user, .room = r->nid };
	mx_bind_int(q, 1, r->nid);
	mx_bind_int(q, 2, user);
	if (mx_query_next(q)) {
		out->membership = (enum mx_membership)mx_col_int(q, 0);
		out->event = mx_col_int(q, 1);
		out->forgotten = mx_col_int(q, 2) != 0;
		out->changed = mx_col_int(q, 3);
	}
	return mx_query_end(q);
}

struct members {
	struct mx_member *v;
	size_t n, room;
};

static void
members_add(struct members *l, struct mx_member m)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 32 : 2 * l->room;
		l->v = mx_realloc(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = m;
}

static void
members_give(struct members *l, struct mx_arena *a, struct mx_member **out, size_t *n)
{
	*out = mx_arena_alloc(a, (l->n + 1) * sizeof(**out));
	if (l->n > 0)
		memcpy(*out, l->v, l->n * sizeof(**out));
	*n = l->n;
}

static mx_error *
read_user(struct mx_conn *c, mx_nid user, struct members *l)
{
	struct mx_query *q = mx_query(c, &OF_USER);

	mx_bind_int(q, 1, user);
	while (mx_query_next(q))
		members_add(l,
			    (struct mx_member){ .user = user,
						.room = mx_col_int(q, 0),
						.membership = (enum mx_membership)mx_col_int(q, 1),
						.event = mx_col_int(q, 2),
						.forgotten = mx_col_int(q, 3) != 0,
						.changed = mx_col_int(q, 4) });
	return mx_query_end(q);
}

mx_error *
mx_user_rooms(struct mx_rooms *rs, struct mx_conn *c, mx_nid user, struct mx_arena *a,
	      struct mx_member **out, size_t *n)
{
	struct members l = { 0 };
	mx_error *e = NULL;
	bool fresh = false;

	*n = 0;
	if (mx_stream_rooms(rs->stream, user, a, out, n))
		return NULL;
	/* A list that a change may have overtaken is not kept; after a few, it is still right as of
	 * when it was read. */
	for (int i = 0; !fresh && e == NULL && i < LOAD_ATTEMPTS; i++) {
		static const struct mx_member nobody;

		l.n = 0;
		mx_stream_load_begin(rs->stream, user);
		e = read_user(c, user, &l);
		fresh = mx_stream_load_end(rs->stream, user,
					   e != NULL ? NULL
					   : l.n > 0 ? l.v
						     : &nobody,
					   l.n);
	}
	if (e == NULL)
		members_give(&l, a, out, n);
	free(l.v);
	return e;
}

mx_error *
mx_room_members(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, enum mx_membership m,
		struct mx_arena *a, struct mx_member **out, size_t *n)
{
	struct members l = { 0 };
	struct mx_query *q = mx_query(c, &OF_ROOM);

	(void)rs;
	mx_bind_int(q, 1, r->nid);
	while (mx_query_next(q))
		if (m == MX_MEMBER_NONE || mx_col_int(q, 1) == (int64_t)m)
			members_add(&l, (struct mx_member){
						.user = mx_col_int(q, 0),
						.room = r->nid,
						.membership = (enum mx_membership)mx_col_int(q, 1),
						.event = mx_col_int(q, 2),
						.forgotten = mx_col_int(q, 3) != 0,
						.changed = mx_col_int(q, 4) });
	mx_error *e = mx_query_end(q);

	if (e == NULL)
		members_give(&l, a, out, n);
	free(l.v);
	return e;
}

mx_error *
mx_users_share(struct mx_rooms *rs, struct mx_conn *c, mx_nid a, mx_nid b, bool *out)
{
	*out = a == b;
	/* The index of a user's rooms knows users of this server only; either of them may be one.
	 */
	for (int i = 0; i < 2 && !*out; i++) {
		struct mx_query *q = mx_query(c, &SHARE);

		(void)rs;
		mx_bind_int(q, 1, i == 0 ? a : b);
		mx_bind_int(q, 2, i == 0 ? b : a);
		*out = mx_query_next(q);
		MX_TRY(mx_query_end(q));
	}
	return NULL;
}

/* ---- forgetting ---- */

struct forget {
	struct mx_rooms *rs;
	struct mx_member member;
};

static void
forgotten(void *arg, bool committed)
{
	struct forget *f = arg;
	struct mx_member now;

	/* A newer membership may have come in between: then nothing was forgotten. */
	if (committed && mx_stream_room_of(f->rs->stream, f->member.user, f->member.room, &now) &&
	    now.event == f->member.event)
		mx_stream_member_changed(f->rs->stream, &f->member);
}

static mx_error *
forget(struct mx_txn *tx, void *arg)
{
	struct forget *f = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &FORGET);

	mx_bind_int(q, 1, f->member.room);
	mx_bind_int(q, 2, f->member.user);
	mx_bind_int(q, 3, f->member.event);
	mx_txn_after(tx, forgotten, f);
	return mx_query_run(q);
}

mx_error *
mx_room_forget(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_nid user)
{
	struct forget f = { .rs = rs };

	MX_TRY(mx_room_member(rs, c, r, user, &f.member));
	if (f.member.membership == MX_MEMBER_NONE)
		return mx_error_new(MX_E_NOT_FOUND, "you have never been in this room");
	if (f.member.membership < MX_MEMBER_LEAVE)
		return mx_error_new(MX_E_BAD_REQUEST,
				    "you must leave the room before you forget it");
	if (f.member.forgotten)
		return NULL;
	f.member.forgotten = true;
	return mx_write(rs->db, forget, &f);
}
