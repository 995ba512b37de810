/* Redactions of other servers. From room version 3 on they are accepted whatever they redact, and
 * apply only if their sender may: so clients see one only when it does. One that comes before what it
 * redacts keeps its place in the timeline, hidden until then; and what it redacts comes to clients
 * with it. Room version 3, "Handling redactions". */
#include "config.h"

#include "core/room/intake.h"

static const struct mx_sql PENDING =
	MX_SQL("SELECT redaction FROM redaction_pending WHERE id_hash = $1 AND id = $2 AND room = $3 "
	       "AND redaction > $4 ORDER BY redaction LIMIT 16");

#define PAGE 16
#define MAX_PAGES 64	/* of redactions that wait for one event; most of them by people who may not */

/* Whether a redaction of it need not be noted any more. What has come in its redacted form, because
 * another server had altered it, may yet come whole when it finds its place. */
static mx_error *
is_settled(struct mx_intake *in, const struct mx_event *target, bool *out)
{
	MX_AUTO(mx_event) *by = NULL;

	*out = target->redacted;
	if (!target->redacted || !target->outlier)
		return NULL;
	MX_TRY(mx_event_redaction(in->rs, in->conn, target, &by));
	*out = by != NULL;
	return NULL;
}

/* What it redacts, {NULL, 0} when it is no redaction. */
static mx_str
target_of(const struct mx_event *ev)
{
	if (ev->state || !mx_str_eq(mx_event_type(ev), MX_S("m.room.redaction")))
		return (mx_str){ NULL, 0 };
	return mx_event_redacts(ev);
}

static mx_error *
applies(struct mx_intake *in, const struct mx_event *redaction, const struct mx_event *target,
	struct mx_state_root root, size_t over, bool *out)
{
	MX_AUTO(mx_power) *power = NULL;

	*out = true;
	if (in->room->version->redaction_needs_power)
		return NULL;	/* the auth rules have looked */
	MX_TRY(mx_intake_power(in, root, over, &power));
	*out = mx_rules_redaction_applies(redaction, target, power);
	return NULL;
}

mx_error *
mx_find_target(struct mx_intake *in, struct mx_event *ev, struct mx_state_root before, size_t over,
	       struct mx_stored *s)
{
	mx_str id = target_of(ev);
	MX_AUTO(mx_event) *target = NULL;
	bool good, settled = false;

	ev->hidden = mx_is_dummy(ev);
	if (id.n == 0)
		return NULL;
	if (!mx_id_event(id)) {
		ev->hidden = true;
		return NULL;
	}
	MX_TRY(mx_intake_lookup(in, id, &target));
	if (target == NULL) {
		s->awaits = in->new_pending = true;
		ev->hidden = true;
		return NULL;
	}
	good = target->room == in->room->nid;
	if (good)
		MX_TRY(applies(in, ev, target, before, over, &good));
	ev->hidden = !good;
	if (good)
		MX_TRY(is_settled(in, target, &settled));
	if (!good || settled)
		return NULL;
	in->outlier_redacted = in->outlier_redacted || target->outlier;
	s->redacted = mx_event_redact(target);
	s->target = target;
	target = NULL;
	return NULL;
}

static void
redact(struct mx_arriving *a)
{
	struct mx_event *whole = a->v->event;

	if (whole->redacted)
		return;
	a->v->event = mx_event_redact(whole);
	mx_event_unref(&whole);
}

mx_error *
mx_intake_meet_outlier(struct mx_intake *in, struct mx_arriving *a, const struct mx_event *stored)
{
	MX_AUTO(mx_event) *by = NULL;

	a->outlier = stored->nid;
	MX_TRY(mx_event_redaction(in->rs, in->conn, stored, &by));
	if (by != NULL) {
		a->redaction = by->nid;
		redact(a);
	}
	return NULL;
}

/* Some of those that wait for it. */
static mx_error *
pending(struct mx_intake *in, mx_str id, mx_nid after, mx_nid nids[PAGE], size_t *n)
{
	struct mx_query *q = mx_query(in->conn, &PENDING);

	*n = 0;
	mx_bind_int(q, 1, mx_event_id_hash(id));
	mx_bind_str(q, 2, id);
	mx_bind_int(q, 3, in->room->nid);
	mx_bind_int(q, 4, after);
	while (*n < PAGE && mx_query_next(q))
		nids[(*n)++] = mx_col_int(q, 0);
	return mx_query_end(q);
}

static mx_error *
try_redaction(struct mx_intake *in, struct mx_arriving *a, mx_nid nid)
{
	MX_AUTO(mx_event) *redaction = NULL;
	struct mx_event *shown;
	bool good;

	MX_TRY(mx_event_by_nid(in->rs, in->conn, nid, &redaction));
	MX_TRY(applies(in, redaction, a->v->event, redaction->before, 0, &good));
	if (!good)
		return NULL;
	if (a->redaction == 0)
		a->redaction = redaction->nid;
	shown = mx_event_copy(redaction);
	shown->hidden = false;
	mx_events_add(&a->reveals, shown);
	return NULL;
}

/* What redacts it may have come with it, and before it. */
static mx_error *
meet_again(struct mx_intake *in, struct mx_arriving *a)
{
	MX_AUTO(mx_event) *stored = NULL;

	MX_TRY(mx_intake_flush(in));
	MX_TRY(mx_event_by_nid(in->rs, in->conn, a->outlier, &stored));
	return mx_intake_meet_outlier(in, a, stored);
}

/* Whether what redacts it is on the line, where no row tells of it yet. */
static bool
is_redacted_by_line(const struct mx_intake *in, mx_str id)
{
	for (size_t i = 0; i < in->line_n; i++)
		if (in->store[i].awaits && mx_str_eq(target_of(in->store[i].event), id))
			return true;
	return false;
}

mx_error *
mx_find_redaction(struct mx_intake *in, struct mx_arriving *a)
{
	mx_str id = mx_event_id(a->v->event);
	mx_nid nids[PAGE], after = INT64_MIN;
	size_t n = PAGE;

	if (a->outlier != 0 && in->outlier_redacted)
		MX_TRY(meet_again(in, a));
	if (a->redaction != 0 || (a->redaction_known && !in->new_pending))
		return NULL;
	if (is_redacted_by_line(in, id))
		MX_TRY(mx_intake_flush(in));
	a->redaction_known = true;
	mx_events_clear(&a->reveals);
	for (int page = 0; n == PAGE && page < MAX_PAGES; page++) {
		MX_TRY(pending(in, id, after, nids, &n));
		for (size_t i = 0; i < n; i++)
			MX_TRY(try_redaction(in, a, after = nids[i]));
	}
	if (a->redaction != 0)
		redact(a);
	return NULL;
}

bool
mx_is_redaction(const struct mx_event *ev)
{
	return target_of(ev).n > 0;
}
