/* Sending into a room that has more forward extremities than an event may name, when nobody of this
 * server may say what joins them (join_ends.c): the event joins as many as it can name, the others
 * stay. The room's tip is no place for it, for the state before it is not the room's: so it is placed
 * as events of other servers are, one at a time. */
#include "config.h"

#include "core/room/intake.h"
#include "core/room/send_private.h"

#include <stdlib.h>

static mx_error *
make(struct send *s, struct mx_intake *in)
{
	const struct work *w = &s->works[0];
	const struct mx_draft *d = w->draft;
	struct mx_joining what = {
		.type = d->type,
		.state_key = d->state_key,
		.content = w->canonical,
		.redacts = w->redacts,
		.sender_id = d->sender_id,
		.txn_id = d->txn_id,
		.parsed = w->content,
		.sender = d->sender,
		.device = d->device,
		.ts = w->ts,
	};
	struct mx_joint joint;
	mx_error *why;

	MX_TRY(mx_joint_begin(&joint, in));
	MX_TRY(mx_joint_make(&joint, &what, &s->store.v[0].event, &why));
	return why;
}

mx_error *
mx_send_crowded(struct send *s)
{
	struct mx_intake *in = mx_alloc(sizeof(*in));
	mx_error *e = mx_intake_begin(in, s->rs, s->conn, s->store.room);

	if (e == NULL)
		e = make(s, in);
	mx_intake_end(in);
	free(in);
	if (e == NULL)
		atomic_fetch_add_explicit(&s->rs->sent, 1, memory_order_relaxed);
	return e;
}
