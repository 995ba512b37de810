#include "config.h"

#include "core/stream/stream.h"

#include "core/runtime/core.h"
#include "core/sql/db.h"
#include "core/stream/impl.h"

#include <stdlib.h>

#define RING_DEFAULT 16384
#define PRESENT_DEFAULT (16 << 20)

const struct mx_option mx_stream_option_rows[] = {
	MX_OPT(struct mx_stream_options, ring, .def = "16384", .min = 16, .max = 16777216,
	       .help = "Newest items of the stream kept in memory: who has not asked for longer is "
		       "answered by the database."),
	MX_OPT(struct mx_stream_options, present_cache, .def = "16M", .min = 65536,
	       .max = INT64_C(1) << 40,
	       .help = "Memory for the lists of rooms of users who sync; those of waiting users "
		       "are kept beyond it."),
};
const size_t mx_stream_option_count =
	sizeof(mx_stream_option_rows) / sizeof(mx_stream_option_rows[0]);

/* ---- tokens ---- */

bool
mx_token_parse(mx_str text, struct mx_token *out)
{
	mx_str pos, passing;

	if (!mx_str_starts(text, MX_S("s")))
		return false;
	/* Positions in front of what we know of a room are negative. */
	return mx_str_cut((mx_str){ text.p + 1, text.n - 1 }, '_', &pos, &passing) &&
	       mx_str_int(pos, -(INT64_C(1) << 50), INT64_MAX, &out->pos) &&
	       mx_str_int(passing, 0, INT64_MAX, &out->ephemeral);
}

void
mx_token_write(struct mx_token t, struct mx_buf *b)
{
	mx_buf_byte(b, 's');
	mx_buf_int(b, t.pos);
	mx_buf_byte(b, '_');
	mx_buf_int(b, t.ephemeral);
}

/* ---- what the writer's batches announce ---- */

void
mx_stream_stage(struct mx_stream *s, const struct mx_item *item)
{
	if (s->staged_n == s->staged_room) {
		s->staged_room = s->staged_room == 0 ? 64 : 2 * s->staged_room;
		s->staged = mx_realloc(s->staged, s->staged_room, sizeof(*s->staged));
	}
	s->staged[s->staged_n++] = *item;
}

static void
announced(void *arg, bool committed)
{
	struct mx_announcement *a = arg;
	struct mx_stream *s = a->stream;

	if (committed)
		mx_stream_stage(s, &a->item);
	else
		mx_event_unref(&a->item.event);
	a->undone = !committed;
	/* Each is told once, and the batch's arena ends after the last. */
	if (++s->open_ended == s->open_n)
		s->open_n = s->open_ended = 0;
}

void
mx_stream_publish(struct mx_stream *s, struct mx_txn *tx, const struct mx_item *item)
{
	struct mx_announcement *a = mx_arena_alloc(mx_txn_arena(tx), sizeof(*a));

	a->stream = s;
	a->item = *item;
	a->item.ephemeral = false;
	if (item->event != NULL)
		a->item.event = mx_event_ref(item->event);
	if (s->open_n == s->open_room) {
		s->open_room = 2 * s->open_room + 64;
		s->open = mx_realloc(s->open, s->open_room, sizeof(struct mx_announcement *));
	}
	s->open[s->open_n++] = a;
	mx_txn_after(tx, announced, a);
}

/* On the writer's thread, when the batch is durable: the staged items become visible at once. */
static void
published(void *arg, mx_pos upto)
{
	struct mx_stream *s = arg;
	struct mx_waiter *wake = NULL;

	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->staged_n; i++)
		mx_ring_add(&s->items, &s->staged[i]);
	if (upto > atomic_load(&s->head))
		atomic_store(&s->head, upto);
	if (s->foreign)
		mx_wake_collect_all(s, &wake);
	else
		for (size_t i = 0; i < s->staged_n; i++)
			mx_wake_collect(s, &s->staged[i], &wake);
	pthread_mutex_unlock(&s->lock);
	atomic_fetch_add(&s->published, s->staged_n);
	s->staged_n = 0;
	s->foreign = false;
	if (wake != NULL)
		mx_wake_run(s, wake);
}

/* What stands between two positions is not known: forget what is before, and let everybody who
 * waits look at the database once the positions are visible. */
static void
lose_track(struct mx_stream *s, mx_pos upto)
{
	for (size_t i = 0; i < s->staged_n; i++)
		mx_event_unref(&s->staged[i].event);
	s->staged_n = 0;
	pthread_mutex_lock(&s->lock);
	mx_ring_forget(&s->items, upto);
	pthread_mutex_unlock(&s->lock);
	s->foreign = true;
}

/* Other processes have written. */
static mx_error *
caught_up(void *arg, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	struct mx_stream *s = arg;
	mx_error *e = NULL;
	bool whole = false;

	for (size_t i = 0; e == NULL && i < s->follower_n; i++)
		e = s->followers[i].fn(s->followers[i].arg, c, since, upto);
	if (s->on_foreign == NULL)
		mx_stream_forget_rooms(s);
	else if (e == NULL)
		e = s->on_foreign(s->on_foreign_arg, c, since, upto);
	if (e == NULL)
		e = mx_stream_log_read(s, c, since, upto, &whole);
	if (!whole)
		lose_track(s, upto);
	return e;
}

static mx_error *
closing(void *arg, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	return mx_stream_log_put(arg, c, since, upto);
}

static void
raise_passing(struct mx_stream *s, mx_pos to)
{
	pthread_mutex_lock(&s->lock);
	if (atomic_load(&s->passing_head) < to)
		atomic_store(&s->passing_head, to);
	pthread_mutex_unlock(&s->lock);
}

/* What is announced because of it takes the place that it has there, if that is free: were each one
 * further here, a token of this process would soon be ahead of what comes next in the other. */
static void
told(void *arg, mx_str text)
{
	struct mx_stream *s = arg;
	mx_str head;
	mx_pos passing;

	if (!mx_str_cut(text, ' ', &head, &text) || !mx_str_int(head, 0, INT64_MAX / 2, &passing))
		return;
	raise_passing(s, passing - 1);
	if (s->on_told != NULL)
		s->on_told(s->on_told_arg, text);
	raise_passing(s, passing);
}

/* With how far the second sequence is here. */
void
mx_core_tell(struct mx_core *core, mx_str topic, mx_str text)
{
	struct mx_stream *s = core->stream;
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	mx_buf_printf(b, "%lld %.*s ", (long long)atomic_load(&s->passing_head), MX_SFMT(topic));
	mx_buf_str(b, text);
	mx_db_tell(s->db, mx_buf_view(b));
}

void
mx_stream_on_told(struct mx_stream *s, void (*fn)(void *arg, mx_str text), void *arg)
{
	s->on_told_arg = arg;
	s->on_told = fn;
}

void
mx_stream_on_foreign(struct mx_stream *s, mx_stream_foreign_fn *fn, mx_stream_events_fn *events,
		     void *arg)
{
	s->load_events = events;
	s->on_foreign_arg = arg;
	s->on_foreign = fn;
}

void
mx_stream_follow(struct mx_stream *s, mx_stream_foreign_fn *fn, void *arg)
{
	if (s->follower_n == MX_STREAM_FOLLOWERS)
		abort();	/* they are as many as the core has areas */
	s->followers[s->follower_n].fn = fn;
	s->followers[s->follower_n++].arg = arg;
}

void
mx_stream_unfollow(struct mx_stream *s, void *arg)
{
	for (size_t i = 0; i < s->follower_n; i++)
		if (s->followers[i].arg == arg)
			s->followers[i--] = s->followers[--s->follower_n];
}

mx_pos
mx_stream_announce(struct mx_stream *s, const struct mx_item *item)
{
	struct mx_item it = *item;
	struct mx_waiter *wake = NULL;
	mx_pos now = mx_now() * 1000;

	it.ephemeral = true;
	if (it.event != NULL)
		mx_event_ref(it.event);
	pthread_mutex_lock(&s->lock);
	it.pos = atomic_load(&s->passing_head) + 1;
	it.pos = it.pos < now ? now : it.pos;
	mx_ring_add(&s->passing, &it);
	atomic_store(&s->passing_head, it.pos);
	mx_wake_collect(s, &it, &wake);
	pthread_mutex_unlock(&s->lock);
	atomic_fetch_add(&s->published, 1);
	if (wake != NULL)
		mx_wake_run(s, wake);
	return it.pos;
}

/* ---- reading ---- */

struct mx_token
mx_stream_head(struct mx_stream *s)
{
	return (struct mx_token){ .pos = atomic_load(&s->head),
				  .ephemeral = atomic_load(&s->passing_head) };
}

/* Appends what concerns u within (since, upto] from one ring. A long span is walked in pieces, so
 * that the publisher never waits for a reader who is far behind. */
static size_t
gather(struct mx_stream *s, const struct mx_ring *r, mx_nid user, mx_pos since, mx_pos upto,
       struct mx_item *out, size_t n, size_t max, bool *complete)
{
	enum { PIECE = 512 };

	for (bool more = since < upto; more && *complete;) {
		pthread_mutex_lock(&s->lock);
		struct mx_present *u = mx_present_find(s, user);

		*complete = u != NULL && u->known && since >= r->floor;
		more = false;
		if (*complete) {
			uint64_t i = mx_ring_find(r, since);
			uint64_t stop = r->next - i > PIECE ? i + PIECE : r->next;

			mx_present_touch(s, u);
			/* Whole positions only: several items may share one. */
			while (stop > i && stop < r->next &&
			       mx_ring_at(r, stop)->pos == mx_ring_at(r, stop - 1)->pos)
				stop++;
			for (; i < stop && mx_ring_at(r, i)->pos <= upto && *complete; i++) {
				const struct mx_item *item = mx_ring_at(r, i);

				since = item->pos;
				if (!mx_item_concerns(s, u, item))
					continue;
				*complete = n < max;
				if (!*complete)
					break;
				out[n] = *item;
				if (item->event != NULL)
					mx_event_ref(item->event);
				n++;
			}
			more = i == stop && stop < r->next;
		}
		pthread_mutex_unlock(&s->lock);
	}
	return n;
}

size_t
mx_stream_since(struct mx_stream *s, mx_nid user, struct mx_token since, struct mx_token upto,
		struct mx_item *out, size_t max, bool *complete)
{
	*complete = true;
	size_t n = gather(s, &s->items, user, since.pos, upto.pos, out, 0, max, complete);

	return gather(s, &s->passing, user, since.ephemeral, upto.ephemeral, out, n, max, complete);
}

void
mx_items_release(struct mx_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mx_event_unref(&items[i].event);
}

/* ---- life ---- */

mx_error *
mx_stream_open(struct mx_db *db, const struct mx_stream_options *options, struct mx_stream **out)
{
	MX_TRY(mx_migrate_set(db, &mx_stream_tables));
	struct mx_stream *s = mx_alloc(sizeof(*s));
	struct mx_db_watch watch = { .published = published,
				     .caught_up = caught_up,
				     .closing = closing,
				     .told = told,
				     .arg = s };
	mx_pos passing = mx_now() * 1000;

	s->db = db;
	s->opt = options != NULL
			 ? *options
			 : (struct mx_stream_options){ .ring = RING_DEFAULT,
						       .present_cache = { PRESENT_DEFAULT } };
	pthread_mutex_init(&s->lock, NULL);
	atomic_init(&s->head, mx_db_position(db));
	atomic_init(&s->passing_head, passing);
	mx_ring_open(&s->items, (size_t)s->opt.ring, mx_db_position(db));
	mx_ring_open(&s->passing, (size_t)s->opt.ring / 4 + 1, passing);
	mx_db_set_watch(db, &watch);
	*out = s;
	return NULL;
}

void
mx_stream_close(struct mx_stream **sp)
{
	struct mx_stream *s = *sp;

	if (s == NULL)
		return;
	mx_ring_close(&s->items);
	mx_ring_close(&s->passing);
	mx_present_close(s);
	free(s->staged);
	free(s->open);
	pthread_mutex_destroy(&s->lock);
	free(s);
	*sp = NULL;
}

void
mx_stream_stats(struct mx_stream *s, struct mx_stream_stats *out)
{
	pthread_mutex_lock(&s->lock);
	*out = (struct mx_stream_stats){
		.published = atomic_load(&s->published),
		.wakes = atomic_load(&s->wakes),
		.reruns = atomic_load(&s->reruns),
		.parked = s->parked,
		.present = s->users.n,
	};
	pthread_mutex_unlock(&s->lock);
}
