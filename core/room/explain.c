/* Why an event is what it is, for people. */
#include "config.h"

#include "core/room/engine.h"

static const struct mx_sql GET = MX_SQL("SELECT reason, decided, words FROM event_fate WHERE nid = $1");
static const struct mx_sql WAITING =
	MX_SQL("SELECT w.at, n.text, (SELECT COUNT(*) FROM event_lack l WHERE l.waiting = w.nid AND l.auth = 0) "
	       "FROM event_waiting w JOIN name n ON n.nid = w.room WHERE w.id_hash = $1 AND w.id = $2");

/* MX_E_NOT_FOUND when it is not in waiting either. */
static mx_error *
explain_waiting(struct mx_conn *c, mx_str id, struct mx_arena *a, struct mx_explanation *out)
{
	struct mx_query *q = mx_query(c, &WAITING);

	mx_bind_int(q, 1, mx_event_id_hash(id));
	mx_bind_str(q, 2, id);
	bool found = mx_query_next(q);

	if (found) {
		bool prev = mx_col_int(q, 2) > 0;

		out->fate = MX_FATE_WAITING;
		out->reason = prev ? MX_REASON_MISSING_PREV : MX_REASON_MISSING_AUTH;
		out->when = mx_col_int(q, 0);
		out->room_id = mx_arena_str(a, mx_col_str(q, 1));
		out->words = prev ? MX_S("events that it names in prev_events are not here")
				  : MX_S("events that it names in auth_events are not here");
	}
	MX_TRY(mx_query_end(q));
	return found ? NULL : mx_error_new(MX_E_NOT_FOUND, "this server does not know the event");
}

mx_error *
mx_event_explain(struct mx_rooms *rs, struct mx_conn *c, mx_str event_id, struct mx_arena *a,
		 struct mx_explanation *out)
{
	MX_AUTO(mx_event) *ev = NULL;

	*out = (struct mx_explanation){ .words = MX_S("") };
	mx_error *e = mx_event_get(rs, c, event_id, &ev);

	if (mx_error_is(e, MX_E_NOT_FOUND) && mx_id_event(event_id)) {
		mx_error_free(&e);
		return explain_waiting(c, event_id, a, out);
	}
	if (e != NULL)
		return e;
	out->fate = ev->rejected      ? MX_FATE_REJECTED
		    : ev->soft_failed ? MX_FATE_SOFT_FAILED
				      : MX_FATE_ACCEPTED;
	out->outlier = ev->outlier;
	out->redacted = ev->redacted;
	out->position = ev->outlier ? 0 : ev->nid;
	out->room_id = mx_arena_str(a, mx_event_room_id(ev));
	struct mx_query *q = mx_query(c, &GET);

	mx_bind_int(q, 1, ev->nid);
	if (mx_query_next(q)) {
		out->reason = (enum mx_reason)mx_col_int(q, 0);
		out->when = mx_col_int(q, 1);
		out->words = mx_arena_str(a, mx_col_str(q, 2));
	}
	return mx_query_end(q);
}
