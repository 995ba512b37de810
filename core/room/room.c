/* Rooms in memory. There is one struct mx_room a room as long as anybody refers to it, because what
 * is durable is moved on in place after each commit; a room that nobody uses goes when the cache is
 * full. */
#include "config.h"

#include "core/room/engine.h"
#include "core/room/hash.h"

#include <stdlib.h>

static const struct mx_sql GET_ROOM = MX_SQL("SELECT version, joined, invited, extremities FROM room WHERE nid = $1");
static const struct mx_sql GET_NEWEST =
	MX_SQL("SELECT nid, id, depth, COALESCE(root_room, root) FROM event WHERE room = $1 AND nid > 0 "
	       "AND flags & " MX_EVENT_NOT_ACCEPTED " = 0 ORDER BY nid DESC LIMIT 1");
static const struct mx_sql GET_ID = MX_SQL("SELECT nid FROM room WHERE nid > $1 ORDER BY nid LIMIT 1");

/* ---- one room ---- */

struct mx_room *
mx_room_new(struct mx_rooms *rs, mx_str id, const struct mx_room_version *v)
{
	struct mx_room *r = mx_alloc(sizeof(*r));

	atomic_init(&r->refs, 1);
	r->rs = rs;
	r->id = mx_str_dup(id);
	r->id_n = id.n;
	r->version = v;
	pthread_mutex_init(&r->lock, NULL);
	mx_tip_init(&r->tip);
	return r;
}

static void
room_free(struct mx_room *r)
{
	mx_tip_end(&r->tip);
	mx_power_unref(&r->view.power);
	free(r->view.summary);
	pthread_mutex_destroy(&r->lock);
	mx_extremities_clear(&r->view.forks);
	free(r->view.tail);
	free(r->id);
	free(r);
}

struct mx_room *
mx_room_ref(struct mx_room *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void
mx_room_unref(struct mx_room **rp)
{
	struct mx_room *r = *rp;

	*rp = NULL;
	if (r != NULL && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
		room_free(r);
}

mx_nid
mx_room_nid(const struct mx_room *r)
{
	return r->nid;
}

mx_str
mx_room_id(const struct mx_room *r)
{
	return (mx_str){ r->id, r->id_n };
}

const struct mx_room_version *
mx_room_version(const struct mx_room *r)
{
	return r->version;
}

/* ---- its view ---- */

static struct mx_room *
lockable(const struct mx_room *r)
{
	return (struct mx_room *)(uintptr_t)r;	/* the lock is no part of what a reader sees */
}

#define VIEW_GET(type, name, expr)                                                                 \
	type name(const struct mx_room *r)                                                         \
	{                                                                                          \
		pthread_mutex_lock(&lockable(r)->lock);                                            \
		type value = (expr);                                                               \
		pthread_mutex_unlock(&lockable(r)->lock);                                          \
		return value;                                                                      \
	}

VIEW_GET(mx_pos, mx_room_last, r->view.last)
VIEW_GET(struct mx_state_root, mx_room_root, r->view.root)
VIEW_GET(size_t, mx_room_joined_count, (size_t)r->view.joined)
VIEW_GET(size_t, mx_room_invited_count, (size_t)r->view.invited)

void
mx_view_push(struct mx_room *r, struct mx_event *ev)
{
	struct mx_room_view *v = &r->view;
	size_t max = (size_t)r->rs->opt.room_tail;

	if (v->tail_n == max) {
		/* Drop a quarter at once: moving the rest is then rare. */
		size_t gone = max / 4 + 1;

		v->tail_floor = v->tail[gone - 1];
		memmove(v->tail, v->tail + gone, (v->tail_n - gone) * sizeof(*v->tail));
		v->tail_n -= gone;
	}
	if (v->tail_n == v->tail_room) {
		v->tail_room = v->tail_room == 0 ? 8 : 2 * v->tail_room;
		v->tail = mx_realloc(v->tail, v->tail_room, sizeof(*v->tail));
	}
	if (v->tail_n > 0 && v->foreign == atomic_load(&r->foreign))
		mx_event_cache_link(r->rs->events, ev, v->tail[v->tail_n - 1]);
	v->tail[v->tail_n++] = ev->nid;
}

void
mx_view_forget_facts(struct mx_room *r)
{
	mx_power_unref(&r->view.power);
	free(r->view.summary);
	r->view.summary = NULL;
	r->view.open_from = 0;
	r->view.facts++;
}

static mx_error *
read_newest(struct mx_room *r, struct mx_conn *c, struct mx_room_view *next)
{
	struct mx_query *q = mx_query(c, &GET_NEWEST);

	mx_bind_int(q, 1, r->nid);
	if (mx_query_next(q)) {
		mx_str id = mx_col_str(q, 1), root = mx_col_str(q, 3);

		next->last = next->tail_floor = mx_col_int(q, 0);
		if (id.n <= MX_EVENT_ID_MAX)
			memcpy(next->last_id, id.p, id.n);
		next->depth = mx_col_int(q, 2);
		if (root.n == sizeof(next->root.h))
			memcpy(next->root.h, root.p, root.n);
	}
	return mx_query_end(q);
}

/* The reference hash of the newest event, where the events that follow it name that. */
static mx_error *
read_hash(struct mx_rooms *rs, struct mx_conn *c, const struct mx_room_version *version,
	  struct mx_room_view *v)
{
	MX_AUTO(mx_event) *ev = NULL;

	if (!version->refs_with_hashes || v->last == 0)
		return NULL;
	MX_TRY(mx_event_by_nid(rs, c, v->last, &ev));
	mx_event_reference_hash(version, mx_event_json(ev), v->last_hash);
	return NULL;
}

static void
drop_view(struct mx_room_view *v)
{
	mx_extremities_clear(&v->forks);
	mx_power_unref(&v->power);
	free(v->summary);
	free(v->tail);
}

/* More than can ever be in flight: what was built on a view that was read anew since, on events that
 * perhaps were never stored, cannot seem to follow it. */
#define LEAP (UINT64_C(1) << 32)

/* Takes what was read for the view, unless a write of our own has moved the view since: what was
 * read may lack it, and what follows would hide the gap. False: it must be read again. */
static bool
take_view(struct mx_room *r, struct mx_room_view *next, uint64_t seq,
	  const struct mx_room_version *version)
{
	struct mx_room_view unwanted = *next;
	bool moved, known;

	pthread_mutex_lock(&r->lock);
	known = r->version != NULL && r->view.foreign == next->foreign;
	moved = r->view.seq != seq;
	if (!known && !moved) {
		next->seq = r->view.seq + LEAP;
		next->facts = r->view.facts + 1;
		unwanted = r->view;
		r->view = *next;
		if (r->version == NULL)		/* it never changes, and is read without the lock */
			r->version = version;
	}
	pthread_mutex_unlock(&r->lock);
	drop_view(&unwanted);
	return known || !moved;
}

/* Reads what is durable. The room's version is set when it is new. */
static mx_error *
read_view_once(struct mx_room *r, struct mx_conn *c, bool *taken)
{
	pthread_mutex_lock(&r->lock);
	uint64_t seq = r->view.seq;

	pthread_mutex_unlock(&r->lock);
	struct mx_room_view next = { .foreign = atomic_load(&r->foreign) };
	const struct mx_room_version *version = NULL;
	MX_AUTO(mx_buf) *forks = mx_buf_new(0);
	struct mx_query *q = mx_query(c, &GET_ROOM);

	mx_bind_int(q, 1, r->nid);
	bool found = mx_query_next(q);

	if (found) {
		version = mx_room_version_find(mx_col_str(q, 0));
		next.joined = mx_col_int(q, 1);
		next.invited = mx_col_int(q, 2);
		mx_buf_str(forks, mx_col_str(q, 3));
	}
	MX_TRY(mx_query_end(q));
	if (!found)
		return mx_error_new(MX_E_NOT_FOUND, "this server does not know the room");
	if (version == NULL)
		return mx_error_new(MX_E_UNSUPPORTED_ROOM_VERSION,
				    "the room is of a version that this server does not know");
	MX_TRY(read_newest(r, c, &next));
	MX_TRY(read_hash(r->rs, c, version, &next));
	MX_TRY(mx_extremities_read(r->rs, c, mx_buf_view(forks), &next.forks));
	for (size_t i = 0; i < next.forks.n; i++)
		if (i == 0 || next.forks.v[i].depth > next.depth)
			next.depth = next.forks.v[i].depth;

	*taken = take_view(r, &next, seq, version);
	return NULL;
}

static mx_error *
read_view(struct mx_room *r, struct mx_conn *c)
{
	bool taken = false;

	while (!taken)
		MX_TRY(read_view_once(r, c, &taken));
	return NULL;
}

mx_error *
mx_room_refresh(struct mx_room *r, struct mx_conn *c)
{
	pthread_mutex_lock(&r->lock);
	bool current = r->view.foreign == atomic_load(&r->foreign);

	pthread_mutex_unlock(&r->lock);
	return current ? NULL : read_view(r, c);
}

mx_error *
mx_room_power_ref(struct mx_room *r, struct mx_conn *c, struct mx_power **out)
{
	MX_AUTO(mx_event) *create = NULL, *levels = NULL;

	pthread_mutex_lock(&r->lock);
	uint32_t facts = r->view.facts;

	*out = r->view.power != NULL ? mx_power_ref(r->view.power) : NULL;
	pthread_mutex_unlock(&r->lock);
	if (*out != NULL)
		return NULL;
	MX_TRY(mx_room_state(r->rs, c, r, MX_S("m.room.create"), MX_S(""), &create));
	MX_TRY(mx_room_state(r->rs, c, r, MX_S("m.room.power_levels"), MX_S(""), &levels));
	if (create == NULL)
		return mx_error_new(MX_E_UNKNOWN, "the room has no m.room.create");
	*out = mx_power_parse(levels, create);
	pthread_mutex_lock(&r->lock);
	if (r->view.facts == facts && r->view.power == NULL)
		r->view.power = mx_power_ref(*out);
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

int64_t
mx_room_power(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *r, mx_str user_id)
{
	MX_AUTO(mx_power) *p = NULL;

	(void)rs;
	return mx_error_drop(mx_room_power_ref(r, c, &p)) ? 0 : mx_power_of_user(p, user_id);
}

/* ---- the cache of rooms; rs->lock held ---- */

static void
lru_unlink(struct mx_rooms *rs, struct mx_room *r)
{
	*(r->newer != NULL ? &r->newer->older : &rs->newest) = r->older;
	*(r->older != NULL ? &r->older->newer : &rs->oldest) = r->newer;
}

static void
lru_push(struct mx_rooms *rs, struct mx_room *r)
{
	r->newer = NULL;
	r->older = rs->newest;
	*(rs->newest != NULL ? &rs->newest->newer : &rs->oldest) = r;
	rs->newest = r;
}

static void
uncache(struct mx_rooms *rs, struct mx_room *r)
{
	mx_nidmap_del(&rs->by_nid, r->nid);
	lru_unlink(rs, r);
	rs->room_count--;
	r->cached = false;
	mx_room_unref(&r);
}

/* A room that somebody refers to stays, so that nobody loads a second copy of it. */
static void
trim(struct mx_rooms *rs)
{
	struct mx_room *r = rs->oldest;

	for (int steps = 0; r != NULL && rs->room_count > (size_t)rs->opt.room_cache && steps < 32;
	     steps++) {
		struct mx_room *newer = r->newer;

		if (atomic_load(&r->refs) == 1)
			uncache(rs, r);
		r = newer;
	}
}

static void
cache(struct mx_rooms *rs, struct mx_room *r)
{
	mx_nidmap_put(&rs->by_nid, r->nid, mx_room_ref(r));
	lru_push(rs, r);
	rs->room_count++;
	r->cached = true;
	trim(rs);
}

mx_error *
mx_room_announce(struct mx_room *r)
{
	mx_error *e = NULL;

	pthread_mutex_lock(&r->rs->lock);
	const struct mx_room *other = mx_nidmap_get(&r->rs->by_nid, r->nid);

	if (other == NULL) {
		r->loading = true;
		cache(r->rs, r);
	} else if (other->loading) {
		e = mx_error_new(MX_E_AGAIN, "the room is being looked for");
	} else {
		e = mx_error_new(MX_E_EXISTS, "there is such a room");
	}
	pthread_mutex_unlock(&r->rs->lock);
	return e;
}

void
mx_rooms_drop_all(struct mx_rooms *rs)
{
	pthread_mutex_lock(&rs->lock);
	while (rs->newest != NULL)
		uncache(rs, rs->newest);
	pthread_mutex_unlock(&rs->lock);
}

void
mx_rooms_touched(struct mx_rooms *rs, mx_nid nid)
{
	pthread_mutex_lock(&rs->lock);
	struct mx_room *one = nid != 0 ? mx_nidmap_get(&rs->by_nid, nid) : NULL;

	if (one != NULL)
		atomic_fetch_add(&one->foreign, 1);
	for (struct mx_room *r = nid == 0 ? rs->newest : NULL; r != NULL; r = r->older)
		atomic_fetch_add(&r->foreign, 1);
	pthread_mutex_unlock(&rs->lock);
}

/* ---- finding ---- */

/* A reference to the room in memory, once it is loaded; NULL when it is not there. */
static struct mx_room *
find(struct mx_rooms *rs, mx_nid nid)
{
	struct mx_room *r;

	pthread_mutex_lock(&rs->lock);
	while ((r = mx_nidmap_get(&rs->by_nid, nid)) != NULL && r->loading)
		pthread_cond_wait(&rs->loaded, &rs->lock);
	if (r != NULL) {
		mx_room_ref(r);
		if (rs->newest != r) {
			lru_unlink(rs, r);
			lru_push(rs, r);
		}
	}
	pthread_mutex_unlock(&rs->lock);
	return r;
}

/* Takes r, which is loading, into the cache; or gives what somebody else was faster with. */
static struct mx_room *
begin(struct mx_rooms *rs, struct mx_room *r, bool *mine)
{
	struct mx_room *other;

	pthread_mutex_lock(&rs->lock);
	while ((other = mx_nidmap_get(&rs->by_nid, r->nid)) != NULL && other->loading)
		pthread_cond_wait(&rs->loaded, &rs->lock);
	*mine = other == NULL;
	if (other == NULL)
		cache(rs, r);
	else
		mx_room_ref(other);
	pthread_mutex_unlock(&rs->lock);
	if (other != NULL)
		mx_room_unref(&r);
	return other != NULL ? other : r;
}

void
mx_room_loaded(struct mx_room *r, bool good)
{
	struct mx_rooms *rs = r->rs;

	pthread_mutex_lock(&rs->lock);
	r->loading = false;
	if (!good)
		uncache(rs, r);
	pthread_cond_broadcast(&rs->loaded);
	pthread_mutex_unlock(&rs->lock);
}

static mx_error *
get(struct mx_rooms *rs, struct mx_conn *c, mx_nid nid, mx_str id, struct mx_room **out)
{
	struct mx_room *r = find(rs, nid);
	bool mine = false;
	mx_error *e;

	*out = NULL;
	if (r == NULL) {
		/* While it is loading it is in the cache, so that whatever is committed meanwhile
		 * finds this one. */
		r = mx_room_new(rs, id, NULL);
		r->nid = nid;
		r->loading = true;
		r = begin(rs, r, &mine);
	}
	if (mine) {
		e = read_view(r, c);
		mx_room_loaded(r, e == NULL);
	} else {
		e = mx_room_refresh(r, c);
	}
	if (e != NULL)
		mx_room_unref(&r);
	*out = r;
	return e;
}

mx_error *
mx_room_get(struct mx_rooms *rs, struct mx_conn *c, mx_str room_id, struct mx_room **out)
{
	mx_nid nid = 0;

	*out = NULL;
	if (mx_id_room(room_id))
		MX_TRY(mx_name_find(c, room_id, &nid));
	if (nid == 0)
		return mx_error_new(MX_E_NOT_FOUND, "this server does not know the room");
	return get(rs, c, nid, room_id, out);
}

mx_error *
mx_room_by_nid(struct mx_rooms *rs, struct mx_conn *c, mx_nid nid, struct mx_room **out)
{
	struct mx_room *r = find(rs, nid);
	mx_str id;

	*out = NULL;
	if (r != NULL) {
		mx_error *e = mx_room_refresh(r, c);

		if (e != NULL)
			mx_room_unref(&r);
		*out = r;
		return e;
	}
	MX_AUTO(mx_arena) *a = mx_arena_new();

	MX_TRY(mx_name_text(c, nid, a, &id));
	return get(rs, c, nid, id, out);
}

mx_error *
mx_rooms_next(struct mx_rooms *rs, struct mx_conn *c, mx_nid after, mx_nid *out)
{
	struct mx_query *q = mx_query(c, &GET_ID);

	(void)rs;
	mx_bind_int(q, 1, after);
	*out = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	return mx_query_end(q);
}
