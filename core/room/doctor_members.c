/* What is true of the room at the end: its members, their numbers, its forward extremities. */
#include "config.h"

#include "core/room/doctor.h"

#include <stdlib.h>

#define AT_ONCE 256

static const struct mx_sql ROOM =
	MX_SQL("SELECT joined, invited, extremities FROM room WHERE nid = $1");
static const struct mx_sql SET_COUNTS =
	MX_SQL("UPDATE room SET joined = $2, invited = $3 WHERE nid = $1");
static const struct mx_sql SET_EXTREMITIES =
	MX_SQL("UPDATE room SET extremities = $2 WHERE nid = $1");
static const struct mx_sql MEMBERS =
	MX_SQL("SELECT \"user\", membership, event, local FROM membership WHERE room = $1");
static const struct mx_sql SET_MEMBER =
	MX_SQL("INSERT INTO membership (room, \"user\", membership, event, forgotten, local) "
	       "VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (room, \"user\") DO UPDATE SET "
	       "membership = excluded.membership, event = excluded.event, local = excluded.local");
static const struct mx_sql LEFT =
	MX_SQL("UPDATE membership SET membership = $3 WHERE room = $1 AND \"user\" = $2");

struct seat {			/* of a member */
	mx_nid user, event, alias;	/* alias: another number that names the event */
	uint8_t membership;
	bool local, seen;
};

struct seats {
	struct seat *v;
	size_t n, room;
};

static void
seats_add(struct seats *l, struct seat s)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 256 : 2 * l->room;
		l->v = mx_realloc(l->v, l->room, sizeof(*l->v));
	}
	l->v[l->n++] = s;
}

static int
by_user(const void *a, const void *b)
{
	mx_nid x = ((const struct seat *)a)->user, y = ((const struct seat *)b)->user;

	return (x > y) - (x < y);
}

/* ---- what the state says ---- */

struct collect {
	mx_nid *v;
	size_t n, room;
};

static mx_error *
collect(void *arg, struct mx_tree_key key, mx_nid nid)
{
	struct collect *c = arg;

	if (key.h[0] >> 4 == 0)
		return NULL;	/* no member (tree.h) */
	if (c->n == c->room) {
		c->room = c->room == 0 ? 256 : 2 * c->room;
		c->v = mx_realloc(c->v, c->room, sizeof(*c->v));
	}
	c->v[c->n++] = nid;
	return NULL;
}

static mx_error *
add_members(struct mx_doctor *d, const mx_nid *nids, size_t n, struct seats *out)
{
	struct mx_events evs = { 0 };
	mx_error *e = mx_events_load(d->rs, d->conn, nids, n, &evs);

	for (size_t i = 0; i < evs.n && e == NULL; i++) {
		const struct mx_event *ev = evs.v[i];
		struct seat s = { .event = ev->nid,
				  .alias = mx_event_state_nid(ev),
				  .membership = (uint8_t)ev->membership,
				  .local = mx_rooms_is_local(d->rs, mx_event_state_key(ev)) };

		e = mx_name_find(d->conn, mx_event_state_key(ev), &s.user);
		seats_add(out, s);
	}
	mx_events_clear(&evs);
	return e;
}

static mx_error *
members_of_state(struct mx_doctor *d, struct seats *out)
{
	struct mx_tree tree = mx_rooms_tree(d->rs, d->conn);
	struct collect c = { 0 };
	mx_error *e = mx_tree_each(&tree, d->root, MX_TREE_ALL, collect, &c);

	mx_tree_done(&tree);
	for (size_t i = 0; i < c.n && e == NULL; i += AT_ONCE)
		e = add_members(d, c.v + i, c.n - i < AT_ONCE ? c.n - i : AT_ONCE, out);
	free(c.v);
	if (out->n > 1)
		qsort(out->v, out->n, sizeof(*out->v), by_user);
	return e;
}

/* ---- against what the table says ---- */

static mx_error *
mend_member(struct mx_doctor *d, const struct seat *s, struct mx_finding *f)
{
	const struct mx_doctor_value v[] = {
		{ .kind = MX_DOCTOR_INT, .i = d->room->nid },
		{ .kind = MX_DOCTOR_INT, .i = s->user },
		{ .kind = MX_DOCTOR_INT, .i = s->membership },
		{ .kind = MX_DOCTOR_INT, .i = s->event },
		{ .kind = MX_DOCTOR_INT, .i = s->local },
	};

	/* Who is in no state any more has left. */
	MX_TRY(s->event != 0 ? mx_doctor_write(d, &SET_MEMBER, v, 5) :
			       mx_doctor_write(d, &LEFT, v, 3));
	if (s->local)
		mx_stream_member_changed(
			d->rs->stream,
			&(struct mx_member){ .user = s->user,
					     .room = d->room->nid,
					     .membership = (enum mx_membership)s->membership,
					     .event = s->event });
	mx_doctor_mended(d, f);
	return NULL;
}

static mx_error *
member_is_wrong(struct mx_doctor *d, const struct seat *should, const char *words)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_str user = { NULL, 0 };

	MX_TRY(mx_name_text(d->conn, should->user, a, &user));
	struct mx_finding *f = mx_doctor_find(d, MX_AIL_MEMBERS, should->event, user, words);

	return d->out->repair ? mend_member(d, should, f) : NULL;
}

static mx_error *
read_table(struct mx_doctor *d, struct seats *out)
{
	struct mx_query *q = mx_query(d->conn, &MEMBERS);

	mx_bind_int(q, 1, d->room->nid);
	while (mx_query_next(q))
		seats_add(out, (struct seat){ .user = mx_col_int(q, 0),
					      .membership = (uint8_t)mx_col_int(q, 1),
					      .event = mx_col_int(q, 2),
					      .local = mx_col_int(q, 3) != 0 });
	return mx_query_end(q);
}

static mx_error *
check_members(struct mx_doctor *d, struct seats *should, const struct seats *is)
{
	for (size_t i = 0; i < is->n; i++) {
		const struct seat *row = &is->v[i];
		struct seat *s = should->n == 0 ? NULL :
						  bsearch(row, should->v, should->n, sizeof(*row), by_user);

		if (s != NULL) {
			s->seen = true;
			if (s->membership != row->membership || s->local != row->local ||
			    (s->event != row->event && s->alias != row->event))
				MX_TRY(member_is_wrong(d, s, "the row is another than the state's"));
		} else if (row->membership != MX_MEMBER_LEAVE) {
			struct seat gone = { .user = row->user,
					     .membership = MX_MEMBER_LEAVE,
					     .local = row->local };

			MX_TRY(member_is_wrong(d, &gone, "there is a row, but no such state"));
		}
	}
	for (size_t i = 0; i < should->n; i++)
		if (!should->v[i].seen)
			MX_TRY(member_is_wrong(d, &should->v[i], "the row is missing"));
	return NULL;
}

/* ---- the row of the room ---- */

static mx_error *
check_counts(struct mx_doctor *d, const struct seats *should, int64_t joined, int64_t invited)
{
	int64_t is_joined = 0, is_invited = 0;
	char words[128];

	for (size_t i = 0; i < should->n; i++) {
		is_joined += should->v[i].membership == MX_MEMBER_JOIN;
		is_invited += should->v[i].membership == MX_MEMBER_INVITE;
	}
	if (is_joined == joined && is_invited == invited)
		return NULL;
	snprintf(words, sizeof(words), "%lld joined and %lld invited are counted, there are %lld and %lld",
		 (long long)joined, (long long)invited, (long long)is_joined,
		 (long long)is_invited);
	struct mx_finding *f = mx_doctor_find(d, MX_AIL_COUNTS, 0, mx_room_id(d->room), words);

	if (!d->out->repair)
		return NULL;
	const struct mx_doctor_value v[] = {
		{ .kind = MX_DOCTOR_INT, .i = d->room->nid },
		{ .kind = MX_DOCTOR_INT, .i = is_joined },
		{ .kind = MX_DOCTOR_INT, .i = is_invited },
	};

	MX_TRY(mx_doctor_write(d, &SET_COUNTS, v, 3));
	mx_doctor_mended(d, f);
	return NULL;
}

/* As the engine writes them: nothing when the newest event is the only one. */
static void
write_ends(const struct mx_doctor *d, struct mx_buf *b)
{
	if (d->ends_n == 1 && d->ends[0]->nid == d->last)
		return;
	for (size_t i = 0; i < d->ends_n; i++)
		mx_buf_printf(b, "%s%lld", i > 0 ? " " : "", (long long)d->ends[i]->nid);
}

static mx_error *
check_extremities(struct mx_doctor *d, mx_str stored)
{
	MX_AUTO(mx_buf) *should = mx_buf_new(0);

	write_ends(d, should);
	if (mx_str_eq(mx_buf_view(should), stored))
		return NULL;
	struct mx_finding *f = mx_doctor_find(d, MX_AIL_EXTREMITIES, 0, mx_room_id(d->room),
					      "they are not the events that no other names");

	if (!d->out->repair)
		return NULL;
	bool none = mx_buf_view(should).n == 0;
	const struct mx_doctor_value v[] = {
		{ .kind = MX_DOCTOR_INT, .i = d->room->nid },
		{ .kind = none ? MX_DOCTOR_NULL : MX_DOCTOR_STR, .s = mx_buf_view(should) },
	};

	MX_TRY(mx_doctor_write(d, &SET_EXTREMITIES, v, 2));
	mx_doctor_mended(d, f);
	return NULL;
}

static mx_error *
check_row(struct mx_doctor *d, const struct seats *should)
{
	MX_AUTO(mx_buf) *ends = mx_buf_new(0);
	struct mx_query *q = mx_query(d->conn, &ROOM);
	int64_t joined = 0, invited = 0;

	mx_bind_int(q, 1, d->room->nid);
	if (mx_query_next(q)) {
		joined = mx_col_int(q, 0);
		invited = mx_col_int(q, 1);
		mx_buf_str(ends, mx_col_str(q, 2));
	}
	MX_TRY(mx_query_end(q));
	MX_TRY(check_counts(d, should, joined, invited));
	return d->blind ? NULL : check_extremities(d, mx_buf_view(ends));
}

mx_error *
mx_doctor_room(struct mx_doctor *d)
{
	struct seats should = { 0 }, is = { 0 };
	mx_error *e;

	if (d->last == 0)
		return NULL;	/* no event of it is in the timeline */
	e = members_of_state(d, &should);
	if (e == NULL)
		e = read_table(d, &is);
	d->out->members = should.n;
	if (e == NULL)
		e = check_members(d, &should, &is);
	if (e == NULL)
		e = check_row(d, &should);
	free(should.v);
	free(is.v);
	return e;
}
