/* Keeping the list of public rooms: made anew when it is asked for and too old, from what has
 * changed. */
#include "config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "list.h"

struct directory_list {
	pthread_mutex_t lock;
	struct list_snapshot *now;	/* NULL: none yet */
	bool making;			/* some thread makes the next one */
};

struct directory_list *
directory_list_new(void)
{
	struct directory_list *l = mx_alloc(sizeof(*l));

	pthread_mutex_init(&l->lock, NULL);
	return l;
}

static void
entry_unref(struct list_entry *e)
{
	if (atomic_fetch_sub(&e->refs, 1) != 1)
		return;
	free(e->bytes);
	free(e);
}

void
list_release(struct list_snapshot **s)
{
	struct list_snapshot *snapshot = *s;

	*s = NULL;
	if (snapshot == NULL || atomic_fetch_sub(&snapshot->refs, 1) != 1)
		return;
	for (size_t i = 0; i < snapshot->n; i++)
		entry_unref(snapshot->v[i]);
	free(snapshot->v);
	free(snapshot);
}

void
directory_list_free(struct directory_list **l)
{
	if (*l == NULL)
		return;
	list_release(&(*l)->now);
	pthread_mutex_destroy(&(*l)->lock);
	free(*l);
	*l = NULL;
}

/* ---- one room ---- */

static void
add_str(struct mx_jw *w, mx_str key, mx_str value)
{
	if (value.n == 0)
		return;
	mx_jw_key(w, key);
	mx_jw_str(w, value);
}

static void
write_entry(struct mx_room *room, const struct mx_room_summary *s, struct mx_buf *b)
{
	struct mx_jw w = mx_jw_on(b);

	mx_jw_object(&w);
	add_str(&w, MX_S("room_id"), mx_room_id(room));
	add_str(&w, MX_S("name"), s->name);
	add_str(&w, MX_S("topic"), s->topic);
	add_str(&w, MX_S("avatar_url"), s->avatar_url);
	add_str(&w, MX_S("canonical_alias"), s->canonical_alias);
	add_str(&w, MX_S("join_rule"), s->join_rule);
	add_str(&w, MX_S("room_type"), s->room_type);
	mx_jw_key(&w, MX_S("num_joined_members"));
	mx_jw_int(&w, (int64_t)s->joined);
	mx_jw_key(&w, MX_S("world_readable"));
	mx_jw_bool(&w, s->world_readable);
	mx_jw_key(&w, MX_S("guest_can_join"));
	mx_jw_bool(&w, s->guest_can_join);
	mx_jw_object_end(&w);
}

static mx_error *
entry_make(struct mx_rooms *rs, struct mx_conn *c, struct mx_room *room, struct list_entry **out)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_room_summary s;
	struct list_entry *e;
	size_t json, text, n;

	MX_TRY(mx_room_summary(rs, c, room, a, &s));
	write_entry(room, &s, b);
	json = mx_buf_view(b).n;
	mx_str_fold(s.name, b);
	mx_buf_byte(b, '\n');
	mx_str_fold(s.topic, b);
	mx_buf_byte(b, '\n');
	mx_str_fold(s.canonical_alias, b);
	mx_buf_byte(b, '\n');
	mx_str_fold(mx_room_id(room), b);
	text = mx_buf_view(b).n;
	mx_buf_str(b, s.room_type);
	if (mx_buf_failed(b))
		return mx_error_new(MX_E_UNKNOWN,
				    "a room's summary is too large for the public list");
	e = mx_alloc(sizeof(*e));
	atomic_init(&e->refs, 1);
	e->room = mx_room_nid(room);
	e->joined = s.joined;
	e->bytes = mx_buf_take(b, &n);
	e->json = (mx_str){ e->bytes, json };
	e->text = (mx_str){ e->bytes + json, text - json };
	e->type = (mx_str){ e->bytes + text, n - text };
	*out = e;
	return NULL;
}

/* ---- all of them ---- */

static int
by_room(const void *a, const void *b)
{
	const struct list_entry *x = *(struct list_entry *const *)a,
				*y = *(struct list_entry *const *)b;

	return (x->room > y->room) - (x->room < y->room);
}

static int
by_members(const void *a, const void *b)
{
	const struct list_entry *x = *(struct list_entry *const *)a,
				*y = *(struct list_entry *const *)b;

	if (x->joined != y->joined)
		return x->joined < y->joined ? 1 : -1;
	return by_room(a, b);
}

/* The entry of a room: the old one, when nothing has changed since. *out stays NULL when the room
 * is gone. */
static mx_error *
entry_of(struct mx_rooms *rs, struct mx_conn *c, mx_nid nid, struct list_entry **old, size_t old_n,
	 struct list_entry **out)
{
	MX_AUTO(mx_room) *room = NULL;
	struct list_entry wanted = { .room = nid }, *key = &wanted, **found;
	struct mx_state_root root;
	mx_error *e = mx_room_by_nid(rs, c, nid, &room);

	*out = NULL;
	if (mx_error_is(e, MX_E_NOT_FOUND)) {
		mx_error_free(&e);
		return NULL;
	}
	MX_TRY(e);
	root = mx_room_root(room);
	found = old_n > 0 ? bsearch(&key, old, old_n, sizeof(*old), by_room) : NULL;
	if (found != NULL && memcmp(&(*found)->root, &root, sizeof(root)) == 0) {
		atomic_fetch_add(&(*found)->refs, 1);
		*out = *found;
		return NULL;
	}
	MX_TRY(entry_make(rs, c, room, out));
	(*out)->root = root;
	return NULL;
}

static mx_error *
snapshot_make(struct mx_request *rq, const struct list_snapshot *old, struct list_snapshot **out)
{
	struct mx_rooms *rs = mx_core_rooms(mx_request_core(rq));
	struct mx_conn *c = mx_request_conn(rq);
	struct list_snapshot *s = mx_alloc(sizeof(*s));
	struct list_entry **sorted = NULL;
	size_t n, old_n = old != NULL ? old->n : 0;
	mx_nid *rooms;
	mx_error *e;

	atomic_init(&s->refs, 1);
	s->made = mx_monotonic_us();
	s->changes = directory_changes();	/* before the rooms are read: what changes meanwhile makes it old */
	e = directory_listed(c, &rooms, &n);
	if (e == NULL) {
		s->v = mx_realloc(NULL, n + 1, sizeof(*s->v));
		sorted = mx_realloc(NULL, old_n + 1, sizeof(*sorted));
		if (old_n > 0)
			memcpy(sorted, old->v, old_n * sizeof(*sorted));
		qsort(sorted, old_n, sizeof(*sorted), by_room);
	}
	for (size_t i = 0; e == NULL && i < n; i++) {
		e = entry_of(rs, c, rooms[i], sorted, old_n, &s->v[s->n]);
		if (e == NULL && s->v[s->n] != NULL)
			s->n++;
	}
	free(sorted);
	free(rooms);
	if (e != NULL) {
		list_release(&s);
		return e;
	}
	qsort(s->v, s->n, sizeof(*s->v), by_members);
	*out = s;
	return NULL;
}

static struct list_snapshot *
snapshot_ref(struct list_snapshot *s)
{
	if (s != NULL)
		atomic_fetch_add(&s->refs, 1);
	return s;
}

/* Whether the list that is there will do. While another thread makes the next one, an old one does,
 * unless this process has changed the list since. */
static bool
good_enough(const struct directory_list *l, int64_t age_us)
{
	if (l->now == NULL || l->now->changes != directory_changes())
		return false;
	return l->making || mx_monotonic_us() - l->now->made < age_us;
}

mx_error *
list_take(struct mx_request *rq, struct list_snapshot **out)
{
	struct mx_module_self *self = mx_request_self(rq);
	const struct directory_options *options = mx_self_options(self);
	struct directory_list *l = mx_self_state(self);
	struct list_snapshot *old, *new = NULL;
	mx_error *e;

	pthread_mutex_lock(&l->lock);
	old = snapshot_ref(l->now);
	if (good_enough(l, options->list_age.ms * 1000)) {
		pthread_mutex_unlock(&l->lock);
		*out = old;
		return NULL;
	}
	l->making = true;
	pthread_mutex_unlock(&l->lock);
	e = snapshot_make(rq, old, &new);
	list_release(&old);
	pthread_mutex_lock(&l->lock);
	l->making = false;
	if (e == NULL && (l->now == NULL || l->now->made <= new->made)) {
		old = l->now;
		l->now = snapshot_ref(new);
	}
	pthread_mutex_unlock(&l->lock);
	list_release(&old);
	*out = new;
	return e;
}
