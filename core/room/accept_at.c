/* Events whose past cannot be had: they are taken in with a state that another server tells. */
#include "config.h"

#include "core/room/intake.h"

#include <stdlib.h>

#define ATTEMPTS 10

static int
by_key(const void *a, const void *b)
{
	return memcmp(((const struct mx_tree_entry *)a)->key.h,
		      ((const struct mx_tree_entry *)b)->key.h, MX_TREE_KEY);
}

mx_error *
mx_told_state(struct mx_intake *in, const struct mx_arrival *v, size_t n, struct mx_state_root *out)
{
	struct mx_tree_entry *entries = mx_arena_alloc(in->arena, (n + 1) * sizeof(*entries));
	struct mx_tree tree = mx_rooms_tree(in->rs, in->conn);
	struct mx_state_root none = { { 0 } };
	bool create = false;
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		const struct mx_event *ev = v[i].event;

		if (ev == NULL || !ev->state || ev->rejected)
			continue;
		create |= ev->create;
		entries[kept++] = (struct mx_tree_entry){
			mx_tree_key(mx_event_type(ev), mx_event_state_key(ev)), mx_event_state_nid(ev)
		};
	}
	if (!create)
		return mx_error_new(MX_E_BAD_JSON, "the state has no m.room.create that is valid");
	qsort(entries, kept, sizeof(*entries), by_key);
	for (size_t i = 1; i < kept; i++)
		if (by_key(&entries[i - 1], &entries[i]) == 0 &&
		    entries[i - 1].nid != entries[i].nid)
			return mx_error_new(MX_E_BAD_JSON,
					    "the state has two events for one state key");
	size_t distinct = 0;

	for (size_t i = 0; i < kept; i++)
		if (distinct == 0 || by_key(&entries[distinct - 1], &entries[i]) != 0)
			entries[distinct++] = entries[i];
	if (distinct > (size_t)in->rs->opt.max_state)
		return mx_error_new(MX_E_TOO_LARGE,
				    "the state has more events than this server allows");
	mx_error *e = mx_tree_set_many(&tree, none, entries, distinct, &in->fresh, out);

	mx_tree_done(&tree);
	return e;
}

/* By an attempt before this one, which then came to nothing. */
static mx_error *
taken_before(struct mx_intake *in, mx_str event_id, struct mx_arrival *v)
{
	MX_AUTO(mx_event) *stored = NULL;

	MX_TRY(mx_intake_wake(in));
	MX_TRY(mx_intake_lookup(in, event_id, &stored));
	if (stored == NULL || stored->outlier)
		return mx_error_new(MX_E_NOT_FOUND, "no event with this id is in waiting");
	*v = (struct mx_arrival){ .fate = stored->rejected	? MX_FATE_REJECTED
				  : stored->soft_failed ? MX_FATE_SOFT_FAILED
							: MX_FATE_ACCEPTED,
				  .reason = MX_REASON_KNOWN,
				  .event = mx_event_ref(stored) };
	return NULL;
}

/* state: what became of the state's events when they were stored. */
static mx_error *
take_in(struct mx_intake *in, mx_str event_id, const struct mx_arrival *state, size_t state_n,
	struct mx_arrival *v)
{
	struct mx_arriving *a;

	MX_TRY(mx_waiting_get(in, event_id, &a));
	if (a == NULL && in->again)
		return taken_before(in, event_id, v);
	if (a == NULL)
		return mx_error_new(MX_E_NOT_FOUND, "no event with this id is in waiting");
	MX_TRY(mx_told_state(in, state, state_n, &a->before));
	a->given = true;
	MX_TRY(mx_intake_run(in));
	*v = *a->v;
	v->event = mx_event_ref(v->event);
	return NULL;
}

static mx_error *
attempt(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_str event_id,
	const struct mx_arrival *state, size_t state_n, struct mx_arrival *v, bool again)
{
	struct mx_intake *in = mx_alloc(sizeof(*in));
	mx_error *e = mx_intake_begin(in, rs, c, r);

	in->again = again;
	if (e == NULL)
		e = take_in(in, event_id, state, state_n, v);
	mx_intake_end(in);
	free(in);
	return e;
}

/* Stores what was told, the auth events first. */
mx_error *
mx_told_store(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, const mx_str *state,
	      size_t state_n, const mx_str *auth, size_t auth_n, struct mx_arrival *v)
{
	mx_str *all = mx_alloc((state_n + auth_n + 1) * sizeof(*all));

	if (state_n > 0)
		memcpy(all, state, state_n * sizeof(*all));
	if (auth_n > 0)
		memcpy(all + state_n, auth, auth_n * sizeof(*all));
	mx_error *e = mx_outliers_store(rs, c, r, all, state_n + auth_n, v);

	free(all);
	return e;
}

mx_error *
mx_room_accept_at(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_str event_id,
		  const mx_str *state, size_t state_n, const mx_str *auth, size_t auth_n,
		  struct mx_arrival *v)
{
	struct mx_arrival *told = mx_alloc((state_n + auth_n + 1) * sizeof(*told));
	mx_error *e = mx_told_store(rs, c, r, state, state_n, auth, auth_n, told);
	size_t told_n = e == NULL ? state_n + auth_n : 0;

	*v = (struct mx_arrival){ .fate = MX_FATE_DROPPED };
	for (int i = 0; e == NULL && i < ATTEMPTS; i++) {
		e = attempt(rs, c, r, event_id, told, state_n, v, i > 0);
		if (!mx_error_is(e, MX_E_AGAIN))
			break;
		if (i + 1 < ATTEMPTS)
			mx_error_free(&e);
	}
	mx_arrivals_clear(told, told_n);
	free(told);
	return e;
}
