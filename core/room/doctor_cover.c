/* What an event rests on, as it is kept beside it: resolution believes that. */
#include "config.h"

#include "core/room/cover.h"
#include "core/room/doctor.h"

static const struct mx_sql IS_ABOVE =
	MX_SQL("SELECT 1 FROM cover_above WHERE below IN ($1, $2) AND above = $3");
static const struct mx_sql DELETE_COVER = MX_SQL("DELETE FROM cover WHERE nid = $1");
static const struct mx_sql DELETE_ABOVE =
	MX_SQL("DELETE FROM cover_above WHERE below IN ($1, $2) AND above = $3");

struct look {
	struct mx_doctor *d;
	struct mx_event *ev;
	struct mx_auth_row row;
	struct mx_events auth;
};

static bool
names(const struct mx_event *ev, const struct mx_event *other)
{
	struct mx_event_ids it = mx_event_auth(ev);
	mx_str id;

	while (mx_event_ids_next(&it, &id))
		if (mx_str_eq(id, mx_event_id(other)))
			return true;
	return false;
}

static bool
in_row(const struct mx_auth_row *row, mx_nid nid)
{
	for (size_t i = 0; i < row->n; i++)
		if (row->auth[i] == nid)
			return true;
	return false;
}

static bool
is_named(const struct look *l, mx_nid nid)
{
	for (size_t i = 0; i < l->auth.n; i++)
		if (mx_event_state_nid(l->auth.v[i]) == nid)
			return true;
	return false;
}

/* What is left out of the row must follow from another of the auth events. */
static bool
may_be_left_out(const struct look *l, const struct mx_event *auth)
{
	for (size_t i = 0; i < l->auth.n; i++)
		if (names(l->auth.v[i], auth))
			return true;
	return false;
}

static void
bind_above(struct mx_query *q, mx_nid below, mx_nid above)
{
	mx_bind_int(q, 1, 2 * below);
	mx_bind_int(q, 2, 2 * below + 1);
	mx_bind_int(q, 3, above);
}

static mx_error *
is_right(struct look *l, bool *out)
{
	for (size_t i = 0; *out && i < l->auth.n; i++)
		*out = in_row(&l->row, mx_event_state_nid(l->auth.v[i])) ||
		       may_be_left_out(l, l->auth.v[i]);
	for (size_t i = 0; *out && i < l->row.n; i++) {
		struct mx_query *q = mx_query(l->d->conn, &IS_ABOVE);

		bind_above(q, l->row.auth[i], l->row.nid);
		*out = mx_query_next(q) && is_named(l, l->row.auth[i]);
		MX_TRY(mx_query_end(q));
	}
	return NULL;
}

static mx_error *
load_auth(struct look *l)
{
	struct mx_event_ids it = mx_event_auth(l->ev);
	mx_str id;

	while (mx_event_ids_next(&it, &id)) {
		struct mx_event *auth;
		mx_error *e = mx_event_get(l->d->rs, l->d->conn, id, &auth);

		if (e == NULL)
			mx_events_add(&l->auth, auth);
		/* What is not here, or damaged, is found where it should be. */
		if (mx_error_is(e, MX_E_NOT_FOUND) || mx_error_is(e, MX_E_UNKNOWN))
			mx_error_free(&e);
		MX_TRY(e);
	}
	return NULL;
}

static mx_error *
put_again(struct mx_txn *tx, void *arg)
{
	struct look *l = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &DELETE_COVER);

	mx_bind_int(q, 1, l->row.nid);
	MX_TRY(mx_query_run(q));
	for (size_t i = 0; i < l->row.n; i++) {
		q = mx_query(mx_txn_conn(tx), &DELETE_ABOVE);
		bind_above(q, l->row.auth[i], l->row.nid);
		MX_TRY(mx_query_run(q));
	}
	return mx_cover_put(tx, l->d->rs, l->ev);
}

static mx_error *
look(struct look *l)
{
	struct mx_finding *f;
	bool right;
	mx_error *e;

	MX_TRY(load_auth(l));
	e = mx_cover_row(l->d->conn, &l->row, &right);
	if (mx_error_is(e, MX_E_UNKNOWN)) {	/* damaged */
		mx_error_free(&e);
		right = false;
	}
	MX_TRY(e);
	MX_TRY(is_right(l, &right));
	if (right)
		return NULL;
	f = mx_doctor_find(l->d, MX_AIL_COVER, l->ev->nid, mx_event_id(l->ev),
			   "what it rests on is not kept as its auth_events say");
	if (!l->d->out->repair)
		return NULL;
	MX_TRY(mx_write(l->d->rs->db, put_again, l));
	mx_doctor_mended(l->d, f);
	return NULL;
}

mx_error *
mx_doctor_cover(struct mx_doctor *d, struct mx_event *ev)
{
	struct look l = { .d = d, .ev = ev, .row = { .nid = mx_event_state_nid(ev) } };
	mx_error *e = NULL;

	if (ev->state && !ev->rejected)
		e = look(&l);
	mx_events_clear(&l.auth);
	return e;
}
