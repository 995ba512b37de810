/* Where the next event of a room goes. Senders build on the tip before what they build on is
 * durable; the writer stores in the same order, and checks it. The memo holds the state that events
 * are judged by: what is in flight is put in by its sender, the rest is loaded from the durable
 * state when it is first needed. */
#include "config.h"

#include "core/room/engine.h"

#include <stdlib.h>

#define MEMO_KEEP 256		/* entries; beyond that, what is durable is dropped and loaded again when needed */

void
mx_tip_init(struct mx_tip *t)
{
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->landed, NULL);
}

static void
memo_clear(struct mx_tip *t)
{
	for (size_t i = 0; i < t->memo_room; i++)
		mx_event_unref(&t->memo[i].event);
	free(t->memo);
	t->memo = NULL;
	t->memo_n = t->memo_room = 0;
	mx_power_unref(&t->power);
	mx_event_unref(&t->power_event);
}

void
mx_tip_end(struct mx_tip *t)
{
	memo_clear(t);
	mx_extremities_clear(&t->forks);
	pthread_cond_destroy(&t->landed);
	pthread_mutex_destroy(&t->lock);
}

/* ---- the memo ---- */

/* The entry, or the free place for it; the table has room. */
static struct mx_memo *
memo_place(struct mx_memo *v, size_t room, const struct mx_tree_key *key)
{
	uint64_t h;

	memcpy(&h, key->h, sizeof(h));
	for (size_t i = (size_t)h & (room - 1);; i = (i + 1) & (room - 1))
		if (v[i].state == MX_MEMO_FREE || memcmp(v[i].key.h, key->h, sizeof(key->h)) == 0)
			return &v[i];
}

static struct mx_memo *
memo_find(const struct mx_tip *t, const struct mx_tree_key *key)
{
	struct mx_memo *m = t->memo_room != 0 ? memo_place(t->memo, t->memo_room, key) : NULL;

	return m != NULL && m->state != MX_MEMO_FREE ? m : NULL;
}

/* Moves the entries into a table of this size, without those that are durable (up to `durable`) and
 * those being loaded. */
static void
memo_rebuild(struct mx_tip *t, size_t room, bool sweep, uint64_t durable)
{
	struct mx_memo *old = t->memo;
	size_t old_room = t->memo_room;

	t->memo = mx_alloc(room * sizeof(*t->memo));
	t->memo_room = room;
	t->memo_n = 0;
	for (size_t i = 0; i < old_room; i++) {
		if (old[i].state == MX_MEMO_FREE)
			continue;
		if (sweep && old[i].seq <= durable) {
			mx_event_unref(&old[i].event);
			continue;
		}
		*memo_place(t->memo, room, &old[i].key) = old[i];
		t->memo_n++;
	}
	free(old);
}

static struct mx_memo *
memo_make(struct mx_tip *t, const struct mx_tree_key *key)
{
	struct mx_memo *m = memo_find(t, key);

	if (m != NULL)
		return m;
	if (2 * (t->memo_n + 1) > t->memo_room)
		memo_rebuild(t, t->memo_room == 0 ? 16 : 2 * t->memo_room, false, 0);
	m = memo_place(t->memo, t->memo_room, key);
	m->key = *key;
	m->state = MX_MEMO_LOADING;
	t->memo_n++;
	return m;
}

bool
mx_tip_knows(const struct mx_tip *t, struct mx_tree_key key)
{
	const struct mx_memo *m = memo_find(t, &key);

	return m != NULL && m->state == MX_MEMO_KNOWN;
}

struct mx_event *
mx_tip_get(const struct mx_tip *t, struct mx_tree_key key)
{
	const struct mx_memo *m = memo_find(t, &key);

	return m != NULL ? m->event : NULL;
}

void
mx_tip_set(struct mx_tip *t, struct mx_tree_key key, struct mx_event *ev, uint64_t seq)
{
	struct mx_memo *m = memo_make(t, &key);

	mx_event_unref(&m->event);
	m->event = ev != NULL ? mx_event_ref(ev) : NULL;
	m->seq = seq;
	m->state = MX_MEMO_KNOWN;
}

void
mx_tip_sweep(struct mx_room *r)
{
	struct mx_tip *t = &r->tip;

	pthread_mutex_lock(&r->lock);
	uint64_t durable = r->view.seq;

	pthread_mutex_unlock(&r->lock);
	memo_rebuild(t, t->memo_room != 0 ? t->memo_room : 16, true, durable);
}

const struct mx_power *
mx_tip_power(struct mx_room *r, struct mx_event *levels, const struct mx_event *create)
{
	struct mx_tip *t = &r->tip;

	if (t->power != NULL && t->power_event == levels)
		return t->power;
	mx_power_unref(&t->power);
	mx_event_unref(&t->power_event);
	t->power = mx_power_parse(levels, create);
	t->power_event = levels != NULL ? mx_event_ref(levels) : NULL;
	return t->power;
}

/* ---- life ---- */

/* Remembers that r has a tip in memory, and lets go of the tip of the room that was longest in this
 * list. */
static void
keep_warm(struct mx_room *r)
{
	struct mx_rooms *rs = r->rs;
	struct mx_room *old;

	pthread_mutex_lock(&rs->lock);
	old = rs->warm[rs->warm_next];
	rs->warm[rs->warm_next] = mx_room_ref(r);
	rs->warm_next = (rs->warm_next + 1) % MX_WARM_ROOMS;
	pthread_mutex_unlock(&rs->lock);
	if (old != NULL && old != r && pthread_mutex_trylock(&old->tip.lock) == 0) {
		if (atomic_load(&old->tip.in_flight) == 0) {
			old->tip.loaded = false;
			old->tip.generation++;
			memo_clear(&old->tip);
		}
		pthread_mutex_unlock(&old->tip.lock);
	}
	mx_room_unref(&old);
}

void
mx_tip_landed(struct mx_tip *t)
{
	if (atomic_fetch_sub(&t->in_flight, 1) != 1 || atomic_load(&t->waiting) == 0)
		return;
	pthread_mutex_lock(&t->lock);
	pthread_cond_broadcast(&t->landed);
	pthread_mutex_unlock(&t->lock);
}

static void
wait_open(struct mx_tip *t)
{
	t->queue++;
	while (t->closed)
		pthread_cond_wait(&t->landed, &t->lock);
	t->queue--;
}

static void
load_view(struct mx_room *r)
{
	struct mx_tip *t = &r->tip;

	memo_clear(t);
	pthread_mutex_lock(&r->lock);
	t->seq = r->view.seq;
	t->depth = r->view.depth;
	mx_extremities_clear(&t->forks);
	t->forks = mx_extremities_copy(&r->view.forks);
	memcpy(t->last_id, r->view.last_id, sizeof(t->last_id));
	memcpy(t->last_hash, r->view.last_hash, sizeof(t->last_hash));
	t->foreign = r->view.foreign;
	pthread_mutex_unlock(&r->lock);
	t->loaded = true;
	keep_warm(r);
}

void
mx_tip_load(struct mx_room *r)
{
	struct mx_tip *t = &r->tip;

	if (t->loaded && !t->closed)
		return;
	atomic_fetch_add(&t->waiting, 1);
	while (t->closed || (!t->loaded && atomic_load(&t->in_flight) > 0)) {
		if (t->closed)
			wait_open(t);
		else
			pthread_cond_wait(&t->landed, &t->lock);
	}
	atomic_fetch_sub(&t->waiting, 1);
	if (!t->loaded)
		load_view(r);
}

void
mx_tip_reset(struct mx_tip *t)
{
	t->loaded = false;
	t->generation++;
	memo_clear(t);
}

/* With the lock held. */
static void
close_tip(struct mx_tip *t)
{
	t->closed = true;
	atomic_fetch_add(&t->waiting, 1);
	while (atomic_load(&t->in_flight) > 0)
		pthread_cond_wait(&t->landed, &t->lock);
	atomic_fetch_sub(&t->waiting, 1);
	mx_tip_reset(t);
}

void
mx_tip_close(struct mx_room *r)
{
	struct mx_tip *t = &r->tip;

	pthread_mutex_lock(&t->lock);
	wait_open(t);
	close_tip(t);
	pthread_mutex_unlock(&t->lock);
}

void
mx_tip_open(struct mx_room *r)
{
	struct mx_tip *t = &r->tip;

	pthread_mutex_lock(&t->lock);
	t->closed = false;
	pthread_cond_broadcast(&t->landed);
	pthread_mutex_unlock(&t->lock);
}

/* What is there for all that are late counts as in flight: so the tip stays in memory. */
void
mx_tip_enter_late(struct mx_room *r)
{
	struct mx_tip *t = &r->tip;

	pthread_mutex_lock(&t->lock);
	/* Not for ever, when others wait for it to be open. */
	while (t->closed && (t->late == 0 || t->queue > 0))
		pthread_cond_wait(&t->landed, &t->lock);
	if (!t->closed)
		close_tip(t);
	if (t->late++ == 0) {
		atomic_fetch_add(&t->in_flight, 1);
		pthread_cond_broadcast(&t->landed);
	}
	pthread_mutex_unlock(&t->lock);
}

void
mx_tip_leave_late(struct mx_room *r)
{
	struct mx_tip *t = &r->tip;

	pthread_mutex_lock(&t->lock);
	if (--t->late == 0) {
		atomic_fetch_sub(&t->in_flight, 1);
		t->closed = false;
		pthread_cond_broadcast(&t->landed);
	}
	pthread_mutex_unlock(&t->lock);
}

/* ---- loading ---- */

static mx_error *
load(struct mx_room *r, struct mx_conn *c, struct mx_state_root root, struct mx_need *needs,
     size_t n, struct mx_event **found)
{
	struct mx_tree tree = mx_rooms_tree(r->rs, c);
	mx_error *e = NULL;

	for (size_t i = 0; i < n && e == NULL; i++) {
		mx_nid nid = 0;

		if (!needs[i].missing)
			continue;
		e = mx_tree_get(&tree, root, needs[i].hash, &nid);
		if (e == NULL && nid != 0)
			e = mx_event_by_nid(r->rs, c, nid, &found[i]);
	}
	mx_tree_done(&tree);
	return e;
}

/* Whether any of them has to be fetched. */
static bool
ask_for(struct mx_tip *t, struct mx_need *needs, size_t n)
{
	bool missing = false;

	for (size_t i = 0; i < n; i++) {
		needs[i].missing = !mx_tip_knows(t, needs[i].hash);
		if (needs[i].missing)
			memo_make(t, &needs[i].hash);
		missing |= needs[i].missing;
	}
	return missing;
}

/* Puts what is missing into the memo, from the durable state; without the lock in between. */
static mx_error *
fetch(struct mx_room *r, struct mx_conn *c, struct mx_need *needs, size_t n)
{
	struct mx_tip *t = &r->tip;
	uint64_t generation = t->generation;
	struct mx_state_root root = mx_room_root(r);
	struct mx_event **found = mx_alloc(n * sizeof(struct mx_event *));

	pthread_mutex_unlock(&t->lock);
	mx_error *e = load(r, c, root, needs, n, found);

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < n; i++) {
		struct mx_memo *m = needs[i].missing ? memo_find(t, &needs[i].hash) : NULL;

		/* Whatever was put there meanwhile is newer than what was loaded. */
		if (e == NULL && generation == t->generation && m != NULL &&
		    m->state == MX_MEMO_LOADING)
			mx_tip_set(t, needs[i].hash, found[i], 0);
		mx_event_unref(&found[i]);
	}
	free(found);
	return e;
}

mx_error *
mx_tip_meet(struct mx_room *r, struct mx_conn *c, struct mx_need *needs, size_t n, bool *crowded)
{
	struct mx_tip *t = &r->tip;

	*crowded = false;
	for (int round = 0;; round++) {
		mx_tip_load(r);
		if (t->forks.n > MX_EVENT_MAX_PREV && !*crowded) {
			bool joined;

			pthread_mutex_unlock(&t->lock);
			mx_error *e = mx_room_join_ends(r->rs, c, r, MX_EVENT_MAX_PREV, &joined);

			pthread_mutex_lock(&t->lock);
			*crowded = !joined;
			if (e != NULL)
				return e;
			continue;
		}
		/* Not in later rounds: what was just loaded would go, and many needs would never be
		 * met. */
		if (round == 0 && t->memo_n > MEMO_KEEP)
			mx_tip_sweep(r);
		if (!ask_for(t, needs, n))
			return NULL;
		MX_TRY(fetch(r, c, needs, n));
	}
}

/* ---- under the lock of the batch ---- */

/* The view, and with it the tip, as the database is. */
static mx_error *
catch_up(struct mx_room *r, struct mx_conn *c)
{
	struct mx_tip *t = &r->tip;
	uint32_t foreign = atomic_load(&r->foreign);

	pthread_mutex_lock(&r->lock);
	bool current = r->view.foreign == foreign;

	pthread_mutex_unlock(&r->lock);
	if (r->w.late == 0) {
		pthread_mutex_unlock(&t->lock);
		mx_error *e = current ? NULL : mx_room_refresh(r, c);

		pthread_mutex_lock(&t->lock);
		if (e == NULL && (!t->loaded || t->foreign != foreign)) {
			mx_tip_reset(t);
			load_view(r);
		}
		return e;
	}
	/* What the batch holds already must not be read for something durable. */
	if (!current || !t->loaded || t->foreign != foreign)
		return mx_error_new(MX_E_AGAIN, "the room has to be read again");
	return NULL;
}

mx_error *
mx_tip_meet_late(struct mx_room *r, struct mx_conn *c, struct mx_need *needs, size_t n)
{
	struct mx_tip *t = &r->tip;

	MX_TRY(catch_up(r, c));
	if (t->forks.n > MX_EVENT_MAX_PREV)
		return mx_error_new(MX_E_AGAIN, "its branches are to be joined first");
	if (t->memo_n > MEMO_KEEP)
		mx_tip_sweep(r);
	while (ask_for(t, needs, n))
		MX_TRY(fetch(r, c, needs, n));
	return NULL;
}
