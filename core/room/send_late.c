/* Sending into a room that another process writes to as well. Whatever is built ahead there comes too
 * late, again and again: so it is built within the batch, under the lock that keeps other processes
 * from writing, on what the room is by then. That costs a little of the time under the lock, so it
 * is done only where building ahead has failed a few times, and for a while after. */
#include "config.h"

#include "core/room/send_private.h"

#define CONTENDED 1000000	/* microseconds: for so long a room counts as contended */

bool
mx_send_may_be_late(const struct send *s)
{
	return !s->store.create && s->along == NULL && s->other == NULL && !s->branched;
}

bool
mx_send_contended(const struct send *s)
{
	struct mx_tip *t = &s->store.room->tip;
	int64_t until = atomic_load_explicit(&t->contended, memory_order_relaxed);

	return until != 0 && mx_send_may_be_late(s) && mx_monotonic_us() < until;
}

void
mx_send_contend(struct mx_room *r)
{
	atomic_store_explicit(&r->tip.contended, mx_monotonic_us() + CONTENDED,
			      memory_order_relaxed);
}

/* What others of this batch have built on it goes with it. */
static void
after(void *arg, bool committed)
{
	struct send *s = arg;
	struct mx_room *r = s->store.room;

	if (!s->moved)
		return;
	s->moved = false;
	r->w.late--;
	if (committed)
		return;
	atomic_fetch_add(&r->foreign, 1);	/* nothing of it may be taken for durable */
	pthread_mutex_lock(&r->tip.lock);
	mx_tip_reset(&r->tip);
	pthread_mutex_unlock(&r->tip.lock);
}

mx_error *
mx_send_write_late(struct mx_txn *tx, void *arg)
{
	struct send *s = arg;
	struct mx_room *r = s->store.room;
	struct mx_tip *t = &r->tip;
	struct last last;

	mx_send_drop(s);	/* the batch may run again */
	pthread_mutex_lock(&t->lock);
	uint32_t foreign = t->foreign;
	mx_error *e = mx_tip_meet_late(r, mx_txn_conn(tx), s->needs, s->needs_n);

	if (e == NULL)
		e = mx_send_build(s, &last);
	s->branched = t->loaded && t->forks.n > MX_EVENT_MAX_PREV;
	s->store.seq = t->seq + 1;
	bool others = e == NULL && t->foreign != foreign;
	pthread_mutex_unlock(&t->lock);
	if (others)
		mx_send_contend(r);
	if (e != NULL)
		return e;
	mx_txn_after(tx, after, s);
	MX_TRY(mx_store_write(tx, &s->store));
	pthread_mutex_lock(&t->lock);
	mx_send_move_tip(s, &last);
	pthread_mutex_unlock(&t->lock);
	r->w.late++;
	s->moved = true;
	return NULL;
}
