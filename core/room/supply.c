/* Auth events that have no place in the timeline yet: their own past is missing, but who is judged by
 * them needs only themselves and what they rest on. They are stored as outliers. */
#include "config.h"

#include "core/room/cover.h"
#include "core/room/intake.h"

#define MAX_DEEP 32	/* how far up a chain of auth events that are all in waiting */

static mx_error *supply(struct mx_intake *in, struct mx_arriving *a, unsigned deep);

struct outlier {
	struct mx_room *room;
	struct mx_arrival v;
};

static mx_error *
put(struct mx_txn *tx, void *arg)
{
	struct outlier *o = arg;

	MX_TRY(mx_supply_put(tx, o->room, o->v.event));
	return mx_fate_put(tx, &o->v);
}

mx_error *
mx_supply_put(struct mx_txn *tx, struct mx_room *r, struct mx_event *copy)
{
	mx_nid nid;

	MX_TRY(mx_arrival_guard(tx, copy, 0));
	MX_TRY(mx_outlier_nids(tx, 1, &nid));
	MX_TRY(mx_outlier_put(tx, r->nid, nid, copy));
	return mx_cover_put(tx, r->rs, copy);
}

/* All that it rests on is here. */
static mx_error *
store(struct mx_intake *in, struct mx_arriving *a)
{
	struct outlier o = { .room = in->room, .v = { .fate = MX_FATE_ACCEPTED } };

	o.v.event = mx_event_copy(a->v->event);
	mx_outlier_judge(&o.v, in->create, (const struct mx_event *const *)a->auth,
			 a->auth_n, NULL);
	mx_error *e = mx_write(in->rs->db, put, &o);

	if (e == NULL) {
		a->outlier = o.v.event->nid;
		mx_event_cache_put(in->rs->events, o.v.event);
	}
	mx_event_unref(&o.v.event);
	return e;
}

static mx_error *
supply_one(struct mx_intake *in, mx_str id, unsigned deep)
{
	struct mx_arriving *a = mx_intake_find(in, id);

	if (a == NULL)
		MX_TRY(mx_waiting_get(in, id, &a));
	if (a == NULL || a->done || a->on_line || a->outlier != 0 || deep > MAX_DEEP ||
	    !a->v->event->state || a->v->event->unvouched)
		return NULL;
	MX_TRY(mx_intake_past(in, a));
	if (a->lacks_auth)
		MX_TRY(supply(in, a, deep));
	return a->lacks_auth ? NULL : store(in, a);
}

static mx_error *
supply(struct mx_intake *in, struct mx_arriving *a, unsigned deep)
{
	struct mx_event_ids it = mx_event_auth(a->v->event);
	mx_str id;

	while (mx_event_ids_next(&it, &id)) {
		MX_AUTO(mx_event) *stored = NULL;

		MX_TRY(mx_intake_lookup(in, id, &stored));
		if (stored == NULL)
			MX_TRY(supply_one(in, id, deep + 1));
	}
	return mx_intake_past(in, a);
}

mx_error *
mx_supply_auth(struct mx_intake *in, struct mx_arriving *a)
{
	MX_TRY(mx_intake_flush(in));
	return supply(in, a, 0);
}
