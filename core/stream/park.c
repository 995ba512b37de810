/* Who waits, and how they are woken. Two rules exclude lost wake-ups: an item enters the ring and
 * finds its waiters under one lock, and a waiter is linked under the same lock only after it has
 * looked at everything in the ring past what it has seen.
 *
 * A request is woken without the lock, because http may do work in mx_request_wake, even end the
 * request there. What keeps the request alive for the call is its on_end, which does not return
 * while somebody is HANDING it; see enum mx_waiter_state. */
#include "config.h"

#include "core/stream/impl.h"

#include <sched.h>
#include <stdlib.h>

static void
waiter_unref(struct mx_waiter *w)
{
	if (atomic_fetch_sub(&w->refs, 1) == 1)
		free(w);
}

static bool
step(struct mx_waiter *w, int from, int to)
{
	return atomic_compare_exchange_strong(&w->state, &from, to);
}

static void
set_waiting(struct mx_stream *s, const struct mx_present *u)
{
	uint64_t bit = UINT64_C(1) << (u->slot % 64);

	if (u->waiters != NULL)
		s->waiting[u->slot / 64] |= bit;
	else
		s->waiting[u->slot / 64] &= ~bit;
}

static void
link_waiter(struct mx_stream *s, struct mx_present *u, struct mx_waiter *w)
{
	if (u->waiters == NULL && !u->known)
		s->unknown_waiting++;
	w->user = u;
	w->next = u->waiters;
	w->link = &u->waiters;
	if (w->next != NULL)
		w->next->link = &w->next;
	u->waiters = w;
	set_waiting(s, u);
}

static void
unlink_waiter(struct mx_stream *s, struct mx_waiter *w)
{
	struct mx_present *u = w->user;

	*w->link = w->next;
	if (w->next != NULL)
		w->next->link = w->link;
	w->link = NULL;
	w->user = NULL;
	if (u->waiters == NULL && !u->known)
		s->unknown_waiting--;
	set_waiting(s, u);
}

static bool
unseen(const struct mx_waiter *w, const struct mx_item *item)
{
	return item->pos > (item->ephemeral ? w->seen.ephemeral : w->seen.pos);
}

/* ---- collecting, with the lock ---- */

/* item NULL: whatever they have seen; device 0: of every device. */
static void
collect_user(struct mx_stream *s, struct mx_present *u, const struct mx_item *item, mx_nid device,
	     struct mx_waiter **list)
{
	for (struct mx_waiter *w = u->waiters, *next; w != NULL; w = next) {
		next = w->next;
		if ((item != NULL && !unseen(w, item)) || (device != 0 && w->device != device))
			continue;
		unlink_waiter(s, w);
		atomic_fetch_add(&w->refs, 1);
		w->next_wake = *list;
		*list = w;
	}
}

static void
collect_room(struct mx_stream *s, mx_nid room, const struct mx_item *item, struct mx_waiter **list)
{
	const struct mx_hall *h = mx_nidmap_get(&s->halls, room);

	for (size_t i = 0; h != NULL && i < h->n; i++)
		if ((s->waiting[h->slots[i] / 64] >> (h->slots[i] % 64) & 1) != 0)
			collect_user(s, s->slots[h->slots[i]], item, 0, list);
}

/* Everybody who waits; only those whose rooms are not in memory when `unknown`. */
static void
collect_all(struct mx_stream *s, bool unknown, const struct mx_item *item, struct mx_waiter **list)
{
	for (size_t word = 0; word < (s->slot_count + 63) / 64; word++)
		for (uint64_t bits = s->waiting[word]; bits != 0; bits &= bits - 1) {
			struct mx_present *u = s->slots[word * 64 + (size_t)__builtin_ctzll(bits)];

			if (!unknown || !u->known)
				collect_user(s, u, item, 0, list);
		}
}

/* Who shares a room with the user that the item is about. */
static void
collect_neighbours(struct mx_stream *s, const struct mx_item *item, struct mx_waiter **list)
{
	const struct mx_present *u = mx_present_find(s, item->user);

	if (u == NULL || !u->known) {
		collect_all(s, false, item, list);
		return;
	}
	for (size_t i = 0; i < u->n; i++)
		if (u->seats[i].membership == MX_MEMBER_JOIN)
			collect_room(s, u->rooms[i], item, list);
}

void
mx_wake_collect(struct mx_stream *s, const struct mx_item *item, struct mx_waiter **list)
{
	if (s->parked == 0)
		return;
	switch (item->kind) {
	case MX_ITEM_EVENT:
	case MX_ITEM_RECEIPT:
	case MX_ITEM_TYPING:
		collect_room(s, item->room, item, list);
		break;
	case MX_ITEM_DEVICE_LIST:
	case MX_ITEM_PRESENCE:
		collect_neighbours(s, item, list);
		break;
	default:
		break;
	}
	if (item->user != 0 && item->kind != MX_ITEM_RECEIPT) {
		struct mx_present *u = mx_present_find(s, item->user);

		if (u != NULL)
			collect_user(s, u, item, 0, list);
	}
	if (s->unknown_waiting > 0)
		collect_all(s, true, item, list);
}

void
mx_wake_collect_all(struct mx_stream *s, struct mx_waiter **list)
{
	collect_all(s, false, NULL, list);
}

/* ---- waking, without it ---- */

/* The waiter is PARKED or over. */
static void
hand(struct mx_waiter *w)
{
	w->waker = pthread_self();
	if (step(w, MX_WAITER_PARKED, MX_WAITER_HANDING)) {
		mx_request_wake(w->rq);
		atomic_store(&w->state, MX_WAITER_HANDED);
	}
}

void
mx_wake_run(struct mx_stream *s, struct mx_waiter *list)
{
	struct mx_waiter *first = NULL;
	uint64_t n = 0;

	/* Collected last first: who has waited longest goes first. */
	for (struct mx_waiter *next; list != NULL; list = next) {
		next = list->next_wake;
		list->next_wake = first;
		first = list;
	}
	for (struct mx_waiter *w = first, *next; w != NULL; w = next) {
		next = w->next_wake;
		if (!step(w, MX_WAITER_ARMING, MX_WAITER_WANTED))
			hand(w);
		waiter_unref(w);
		n++;
	}
	atomic_fetch_add(&s->wakes, n);
}

/* ---- parking ---- */

static void
park_end(struct mx_request *rq, void *arg)
{
	struct mx_waiter *w = arg;
	struct mx_stream *s = w->stream;

	(void)rq;
	for (;;) {
		int state = atomic_load(&w->state);

		if (state == MX_WAITER_HANDED ||
		    (state == MX_WAITER_HANDING && pthread_equal(w->waker, pthread_self())))
			break;
		if (state == MX_WAITER_HANDING)
			sched_yield();	/* for the length of one mx_request_wake */
		else if (step(w, state, MX_WAITER_ENDED))
			break;
	}
	pthread_mutex_lock(&s->lock);
	if (w->link != NULL)
		unlink_waiter(s, w);
	s->parked--;
	pthread_mutex_unlock(&s->lock);
	waiter_unref(w);
}

/* Whether something past `seen` concerns the user, or cannot be known not to. */
static bool
missed(struct mx_stream *s, const struct mx_present *u, const struct mx_ring *r, mx_pos seen,
       mx_pos head)
{
	if (seen >= head)
		return false;
	if (seen < r->floor || !u->known)
		return true;
	for (uint64_t i = mx_ring_find(r, seen); i < r->next; i++)
		if (mx_item_concerns(s, u, mx_ring_at(r, i)))
			return true;
	return false;
}

enum mx_outcome
mx_stream_park(struct mx_stream *s, struct mx_request *rq, mx_nid user, struct mx_token seen,
	       mx_msec max_wait)
{
	const struct mx_auth *auth = mx_request_auth(rq);
	struct mx_waiter *w = mx_alloc(sizeof(*w));
	int64_t deadline = mx_monotonic_us() + (max_wait > 0 ? max_wait : 0) * 1000;

	*w = (struct mx_waiter){
		.stream = s, .rq = rq, .device = auth != NULL ? auth->device : 0, .seen = seen
	};
	atomic_init(&w->refs, 2);	/* on_end's and this function's */
	pthread_mutex_lock(&s->lock);
	/* A token from the future (a restored database) must not sleep through what comes. */
	if (w->seen.pos > atomic_load(&s->head))
		w->seen.pos = atomic_load(&s->head);
	if (w->seen.ephemeral > atomic_load(&s->passing_head))
		w->seen.ephemeral = atomic_load(&s->passing_head);
	struct mx_present *u = mx_present_make(s, user);
	bool now = missed(s, u, &s->items, w->seen.pos, atomic_load(&s->head)) ||
		   missed(s, u, &s->passing, w->seen.ephemeral, atomic_load(&s->passing_head));

	s->parked++;
	mx_present_touch(s, u);
	if (now)
		atomic_init(&w->state, MX_WAITER_WANTED);
	else
		link_waiter(s, u, w);
	mx_present_trim(s);
	pthread_mutex_unlock(&s->lock);

	enum mx_outcome outcome = mx_request_suspend(rq, deadline, park_end, w);

	/* The request may be gone by now: on_end has then moved the state on. */
	if (!step(w, MX_WAITER_ARMING, MX_WAITER_PARKED) &&
	    step(w, MX_WAITER_WANTED, MX_WAITER_PARKED)) {
		atomic_fetch_add(&s->reruns, 1);
		hand(w);
	}
	waiter_unref(w);
	return outcome;
}

void
mx_stream_wake_user(struct mx_stream *s, mx_nid user, mx_nid device)
{
	struct mx_waiter *list = NULL;

	pthread_mutex_lock(&s->lock);
	struct mx_present *u = mx_present_find(s, user);

	if (u != NULL)
		collect_user(s, u, NULL, device, &list);
	pthread_mutex_unlock(&s->lock);
	mx_wake_run(s, list);
}
