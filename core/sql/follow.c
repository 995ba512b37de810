/* Other processes on the same database: a thread that hears when they have committed a batch, or
 * tell something in passing, and lets the writer look. Where a note was lost it looks by itself
 * every now and then. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <myelin/log.h>

#include "core/sql/impl.h"

#define QUEUE_MAX 1024		/* of what is to be told; more is forgotten */
#define BACK_OFF_MS 250

bool
mx_db_shared(const struct mx_db *db)
{
	return db->ops->notify != NULL;
}

/* ---- what is told: "b ID POSITION" of a batch, "t ID TEXT" in passing ---- */

mx_error *
mx_follow_note_batch(struct mx_db *db, struct mx_conn *c)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "b %lld %lld", (long long)db->writer.id,
			 (long long)db->writer.pos);

	return mx_conn_check(c, c->ops->notify(c->storage, (mx_str){ text, (size_t)n }));
}

static void
heard(struct mx_db *db, mx_str text)
{
	mx_str kind, id, rest;
	int64_t who, pos;

	if (!mx_str_cut(text, ' ', &kind, &rest) || !mx_str_cut(rest, ' ', &id, &rest) ||
	    !mx_str_int(id, 0, INT64_MAX, &who) || who == db->writer.id)
		return;
	if (mx_str_eq(kind, MX_S("t")) && db->watch.told != NULL)
		db->watch.told(db->watch.arg, rest);
	else if (mx_str_eq(kind, MX_S("b")) && mx_str_int(rest, 0, INT64_MAX, &pos) &&
		 pos > mx_db_position(db))
		mx_writer_look(db);
}

/* ---- telling ---- */

void
mx_db_tell(struct mx_db *db, mx_str text)
{
	struct mx_follow *f = &db->follow;
	struct mx_note *n;
	uint64_t one = 1;

	if (!f->running || text.n > MX_STORAGE_NOTE - 32)
		return;
	n = mx_alloc(sizeof(*n) + text.n);
	memcpy(n->text, text.p, text.n);
	n->n = text.n;
	pthread_mutex_lock(&f->lock);
	bool full = f->waiting == QUEUE_MAX;
	if (!full) {
		*f->last = n;
		f->last = &n->next;
		f->waiting++;
	}
	pthread_mutex_unlock(&f->lock);
	if (full)
		free(n);
	else if (write(f->wake, &one, sizeof(one)) < 0)
		return;	/* it is awake already: the counter is full */
}

static struct mx_note *
take_notes(struct mx_follow *f)
{
	pthread_mutex_lock(&f->lock);
	struct mx_note *n = f->first;
	f->first = NULL;
	f->last = &f->first;
	f->waiting = 0;
	pthread_mutex_unlock(&f->lock);
	return n;
}

static mx_error *
tell_notes(struct mx_db *db, struct mx_storage_conn *c)
{
	struct mx_note *n = take_notes(&db->follow), *next;
	mx_error *e = NULL;

	for (; n != NULL; n = next) {
		MX_AUTO(mx_buf) *b = mx_buf_new(n->n + 32);

		next = n->next;
		mx_buf_printf(b, "t %lld ", (long long)db->writer.id);
		mx_buf_str(b, (mx_str){ n->text, n->n });
		/* What cannot be told is lost: it is passing. */
		if (e == NULL)
			e = db->ops->notify(c, mx_buf_view(b));
		free(n);
	}
	return e;
}

/* ---- the thread ---- */

/* Hears until the connection is lost or it is time to end. */
static mx_error *
hear(struct mx_db *db, struct mx_storage_conn *c)
{
	struct mx_follow *f = &db->follow;
	mx_str text;
	uint64_t count;

	while (!atomic_load(&f->stop)) {
		MX_TRY(db->ops->hear(c, f->wake, (int)db->options.poll.ms, &text));
		if (text.p != NULL) {
			heard(db, text);
			continue;
		}
		if (read(f->wake, &count, sizeof(count)) == sizeof(count))
			MX_TRY(tell_notes(db, c));
		else
			mx_writer_look(db);
	}
	return NULL;
}

/* Between two attempts; false: it is time to end. */
static bool
rest(struct mx_follow *f)
{
	struct timespec ms = { .tv_nsec = BACK_OFF_MS * 1000000L };

	nanosleep(&ms, NULL);
	return !atomic_load(&f->stop);
}

static void *
follow_main(void *arg)
{
	struct mx_db *db = arg;
	struct mx_storage_conn *c = NULL;
	bool told = false;

	pthread_setname_np(pthread_self(), "follower");
	do {
		mx_error *e = db->ops->listen(db->storage, &c);

		if (e == NULL) {
			told = false;
			/* What came before it listened. */
			mx_writer_look(db);
			e = hear(db, c);
		}
		if (e != NULL && !told)
			mx_log("sql", MX_WARN, "SQL007",
			       "other processes cannot be heard for now", mx_fe(e));
		told |= e != NULL;
		mx_error_free(&e);
		db->ops->disconnect(&c);
	} while (!atomic_load(&db->follow.stop) && rest(&db->follow));
	return NULL;
}

mx_error *
mx_db_follow(struct mx_db *db)
{
	struct mx_follow *f = &db->follow;

	if (!mx_db_shared(db))
		return NULL;
	f->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (f->wake < 0)
		return mx_error_new(MX_E_UNKNOWN, "eventfd: %s", strerror(errno));
	pthread_mutex_init(&f->lock, NULL);
	f->last = &f->first;
	if (pthread_create(&f->thread, NULL, follow_main, db) != 0) {
		close(f->wake);
		pthread_mutex_destroy(&f->lock);
		return mx_error_new(MX_E_UNKNOWN, "cannot start the follower's thread");
	}
	f->running = true;
	return NULL;
}

void
mx_db_unfollow(struct mx_db *db)
{
	struct mx_follow *f = &db->follow;
	struct mx_note *n, *next;
	uint64_t one = 1;

	if (!f->running)
		return;
	atomic_store(&f->stop, true);
	if (write(f->wake, &one, sizeof(one)) < 0)
		mx_log("sql", MX_ERROR, "SQL008", "cannot wake the follower");
	pthread_join(f->thread, NULL);
	f->running = false;
	for (n = take_notes(f); n != NULL; n = next) {
		next = n->next;
		free(n);
	}
	close(f->wake);
	pthread_mutex_destroy(&f->lock);
	mx_writer_look_end(db);
}
