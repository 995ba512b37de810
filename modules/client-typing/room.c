/* Who types in which room. Nothing of it is durable: a process that ends takes it along, and the
 * clients' notices end by themselves. Rooms where nobody typed for long are forgotten. */
#include "typing.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
	BUCKETS = 256,
	MAX_ROOMS = 20000,
	MAX_TYPISTS = 100,		/* in one room */
};
static const int64_t KEEP_US = 600 * 1000000LL;	/* a room without typists */

struct typist {
	char *user_id;
	int64_t until;
};

struct room {
	struct room *next;
	mx_nid nid;
	mx_pos changed;			/* ephemeral */
	int64_t changed_at;
	struct typist *v;
	size_t n;
};

struct typing {
	struct mx_stream *stream;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool stop;
	int64_t next;			/* when the thread looks again; INT64_MAX: never */
	struct room *bucket[BUCKETS];
	size_t rooms;
};

static void
announce(struct typing *t, struct room *r)
{
	struct mx_item item = { .kind = MX_ITEM_TYPING, .ephemeral = true, .room = r->nid };

	r->changed = mx_stream_announce(t->stream, &item);
	r->changed_at = mx_monotonic_us();
}

static struct room **
slot_of(struct typing *t, mx_nid nid)
{
	struct room **p = &t->bucket[(uint64_t)nid % BUCKETS];

	while (*p != NULL && (*p)->nid != nid)
		p = &(*p)->next;
	return p;
}

static void
drop_typist(struct room *r, size_t i)
{
	free(r->v[i].user_id);
	r->v[i] = r->v[--r->n];
}

static void
drop_room(struct typing *t, struct room **p)
{
	struct room *r = *p;

	*p = r->next;
	while (r->n > 0)
		drop_typist(r, 0);
	free(r->v);
	free(r);
	t->rooms--;
}

/* Ends what is over, and says when the next thing will be. */
static void
expire(struct typing *t, int64_t now)
{
	t->next = INT64_MAX;
	for (size_t b = 0; b < BUCKETS; b++)
		for (struct room **p = &t->bucket[b]; *p != NULL;) {
			struct room *r = *p;
			size_t before = r->n;

			for (size_t i = r->n; i-- > 0;) {
				if (r->v[i].until <= now)
					drop_typist(r, i);
				else if (r->v[i].until < t->next)
					t->next = r->v[i].until;
			}
			if (r->n < before)
				announce(t, r);
			if (r->n == 0 && r->changed_at + KEEP_US <= now) {
				drop_room(t, p);
				continue;
			}
			if (r->n == 0 && r->changed_at + KEEP_US < t->next)
				t->next = r->changed_at + KEEP_US;
			p = &r->next;
		}
}

static void
wait_until(struct typing *t, int64_t when)
{
	struct timespec ts;
	int64_t left = when - mx_monotonic_us();

	if (left <= 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += left / 1000000;
	ts.tv_nsec += left % 1000000 * 1000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&t->wake, &t->lock, &ts);
}

static void *
run(void *arg)
{
	struct typing *t = arg;

	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		if (t->next == INT64_MAX)
			pthread_cond_wait(&t->wake, &t->lock);
		else
			wait_until(t, t->next);
		if (!t->stop && t->next <= mx_monotonic_us())
			expire(t, mx_monotonic_us());
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

struct typing *
typing_new(struct mx_stream *stream)
{
	struct typing *t = mx_alloc(sizeof(*t));
	pthread_condattr_t monotonic;
	pthread_attr_t small;

	t->stream = stream;
	t->next = INT64_MAX;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 256 * 1024);
	if (pthread_create(&t->thread, &small, run, t) != 0) {
		pthread_cond_destroy(&t->wake);
		pthread_mutex_destroy(&t->lock);
		free(t);
		t = NULL;
	}
	pthread_attr_destroy(&small);
	return t;
}

void
typing_free(struct typing **tp)
{
	struct typing *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_signal(&t->wake);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	for (size_t b = 0; b < BUCKETS; b++)
		while (t->bucket[b] != NULL)
			drop_room(t, &t->bucket[b]);
	pthread_cond_destroy(&t->wake);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* The room's entry, made when missing; NULL beyond the limit. */
static struct room *
find_or_make(struct typing *t, mx_nid nid)
{
	struct room **p = slot_of(t, nid);

	if (*p == NULL && t->rooms < MAX_ROOMS) {
		*p = mx_alloc(sizeof(**p));
		(*p)->nid = nid;
		t->rooms++;
	}
	return *p;
}

static size_t
typist_of(const struct room *r, mx_str user_id)
{
	size_t i = 0;

	while (i < r->n && !mx_str_eq(mx_str_of(r->v[i].user_id), user_id))
		i++;
	return i;
}

static void
begin(struct typing *t, mx_nid nid, mx_str user_id, int64_t until)
{
	struct room *r = find_or_make(t, nid);
	size_t i;

	if (r == NULL)
		return;
	i = typist_of(r, user_id);
	if (i == r->n) {
		if (r->n == MAX_TYPISTS)
			return;
		r->v = mx_realloc(r->v, r->n + 1, sizeof(*r->v));
		r->v[r->n++] = (struct typist){ .user_id = mx_str_dup(user_id) };
		announce(t, r);
	}
	r->v[i].until = until;
	if (until < t->next) {
		t->next = until;
		pthread_cond_signal(&t->wake);
	}
}

static bool
end(struct typing *t, mx_nid nid, mx_str user_id)
{
	struct room *r = *slot_of(t, nid);
	size_t i = r != NULL ? typist_of(r, user_id) : 0;

	if (r == NULL || i == r->n)
		return false;
	drop_typist(r, i);
	announce(t, r);
	return true;
}

bool
typing_set(struct typing *t, mx_nid room, mx_str user_id, int64_t until)
{
	bool typed = true;

	pthread_mutex_lock(&t->lock);
	if (until > 0)
		begin(t, room, user_id, until);
	else
		typed = end(t, room, user_id);
	pthread_mutex_unlock(&t->lock);
	return typed;
}

bool
typing_write(struct typing *t, mx_nid room, mx_pos since, bool everything, struct mx_jw *w)
{
	struct room *r;
	bool news;

	pthread_mutex_lock(&t->lock);
	r = *slot_of(t, room);
	news = r != NULL && (everything ? r->n > 0 : r->changed > since);
	for (size_t i = 0; news && i < r->n; i++)
		mx_jw_str(w, mx_str_of(r->v[i].user_id));
	pthread_mutex_unlock(&t->lock);
	return news;
}
