/* What other processes of the same server have written: which rooms must be read again, which
 * events are redacted now, whose memberships have changed. Runs on the writer's thread at the start
 * of a batch, before anything of ours is judged. */
#include "config.h"

#include "core/room/engine.h"
#include "core/room/erasure.h"

static const struct mx_sql ROOMS = MX_SQL("SELECT DISTINCT room FROM event WHERE nid > $1 AND nid <= $2");
static const struct mx_sql REDACTED = MX_SQL("SELECT nid FROM event WHERE redacted_by > $1 AND redacted_by <= $2");
static const struct mx_sql MEMBERS =
	MX_SQL("SELECT m.room, m.\"user\", m.membership, m.event, m.forgotten, m.changed FROM event e "
	       "JOIN membership m ON m.room = e.room AND m.\"user\" = e.state_key "
	       "WHERE e.nid > $1 AND e.nid <= $2 AND e.type = $3 AND e.state_key IS NOT NULL");

/* What was an outlier is one no longer. */
static const struct mx_sql PLACED =
	MX_SQL("SELECT alias FROM event WHERE nid > $1 AND nid <= $2 AND alias IS NOT NULL");
/* What was redacted when it came in has made its redaction visible. */
static const struct mx_sql REVEALED =
	MX_SQL("SELECT redacted_by FROM event WHERE nid > $1 AND nid <= $2 AND redacted_by < nid");
/* By state resolution, not by an event of their own. */
static const struct mx_sql CHANGED =
	MX_SQL("SELECT room, \"user\", membership, event, forgotten, changed FROM membership "
	       "WHERE changed > $1 AND changed <= $2");

/* By the doctor, in any of its rows. */
static const struct mx_sql MENDED = MX_SQL("SELECT room FROM room_mended WHERE at > $1 AND at <= $2");

#define SPAN 20000		/* positions; when it is more, everything is forgotten instead */

static struct mx_query *
ask(struct mx_conn *c, const struct mx_sql *sql, mx_pos since, mx_pos upto)
{
	struct mx_query *q = mx_query(c, sql);

	mx_bind_int(q, 1, since);
	mx_bind_int(q, 2, upto);
	return q;
}

static mx_error *
follow(struct mx_rooms *rs, struct mx_query *q)
{
	while (mx_query_next(q))
		mx_stream_member_changed(
			rs->stream,
			&(struct mx_member){ .room = mx_col_int(q, 0),
					     .user = mx_col_int(q, 1),
					     .membership = (enum mx_membership)mx_col_int(q, 2),
					     .event = mx_col_int(q, 3),
					     .forgotten = mx_col_int(q, 4) != 0,
					     .changed = mx_col_int(q, 5) });
	return mx_query_end(q);
}

static mx_error *
follow_members(struct mx_rooms *rs, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	mx_nid type;

	MX_TRY(mx_name_find(c, MX_S("m.room.member"), &type));
	struct mx_query *q = ask(c, &MEMBERS, since, upto);

	mx_bind_int(q, 3, type);
	MX_TRY(follow(rs, q));
	return follow(rs, ask(c, &CHANGED, since, upto));
}

mx_error *
mx_rooms_foreign(void *arg, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	struct mx_rooms *rs = arg;

	if (upto - since > SPAN) {
		mx_event_cache_clear(rs->events);
		mx_rooms_touched(rs, 0);
		mx_stream_forget_rooms(rs->stream);
		return mx_erasures_foreign(rs, c, since, upto);
	}
	struct mx_query *q = ask(c, &REDACTED, since, upto);

	while (mx_query_next(q))
		mx_event_cache_drop(rs->events, mx_col_int(q, 0));
	MX_TRY(mx_query_end(q));
	q = ask(c, &PLACED, since, upto);
	while (mx_query_next(q))
		mx_event_cache_drop(rs->events, mx_col_int(q, 0));
	MX_TRY(mx_query_end(q));
	q = ask(c, &REVEALED, since, upto);
	while (mx_query_next(q)) {
		mx_event_cache_drop(rs->events, mx_col_int(q, 0));
		mx_event_cache_unlink(rs->events);
	}
	MX_TRY(mx_query_end(q));
	q = ask(c, &MENDED, since, upto);
	while (mx_query_next(q)) {
		mx_event_cache_clear(rs->events);
		mx_rooms_touched(rs, mx_col_int(q, 0));
		mx_stream_forget_rooms(rs->stream);
	}
	MX_TRY(mx_query_end(q));
	q = ask(c, &ROOMS, since, upto);
	while (mx_query_next(q))
		mx_rooms_touched(rs, mx_col_int(q, 0));
	MX_TRY(mx_query_end(q));
	MX_TRY(mx_erasures_foreign(rs, c, since, upto));
	return follow_members(rs, c, since, upto);
}
