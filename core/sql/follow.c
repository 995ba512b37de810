/* Other processes on the same database: a thread that hears when they have committed a batch, or
 * tell something in passing, and lets the writer look. Where a note was lost it looks by itself
 * every now and then. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <myelin/log.h>

#include "core/sql/impl.h"

#define QUEUE_MAX 1024		/* of what is to be told; more is forgotten */
#define BACK_OFF_MS 250
#define COME_IN_MS 10000	/* the longest wait until everybody knows that we are there */
#define RECOUNT_MS 50
#define COMPANY_MS 5000		/* who was there may be back: its listener has lost its connection */

bool
mx_db_tells(const struct mx_db *db)
{
	return db->ops->notify != NULL;
}

bool
mx_db_alone(const struct mx_db *db)
{
	return (!db->follow.running || atomic_load(&db->follow.alone)) && !mx_lineage_broken(db);
}

void
mx_follow_renew(struct mx_db *db)
{
	struct mx_follow *f = &db->follow;
	uint64_t one = 1;

	if (!f->running)
		return;
	atomic_store(&f->renew, true);
	if (write(f->wake, &one, sizeof(one)) < 0)
		return;	/* it is awake already: the counter is full */
}

/* ---- what is told, ID being who tells: "b ID POSITION" of a batch, "t ID TEXT" in passing, "h ID FACTS"
 * by who comes in, "k ID OTHER" by who has heard that, "n ID OTHER WORDS" by whom it does not fit ---- */

mx_error *
mx_follow_note_batch(struct mx_db *db, struct mx_conn *c)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "b %lld %lld", (long long)db->writer.id,
			 (long long)db->writer.pos);

	return mx_conn_check(c, c->ops->notify(c->storage, (mx_str){ text, (size_t)n }));
}

/* Somebody is there, or may be: from now on nothing is answered without asking what they have
 * written. */
static void
have_company(struct mx_follow *f)
{
	f->company_until = mx_monotonic_us() + COMPANY_MS * 1000;
	atomic_store(&f->alone, false);
}

/* Another one has heard that we are here. */
static void
heard_known(struct mx_follow *f, int64_t who)
{
	for (size_t i = 0; i < f->known_n; i++)
		if (f->known_by[i] == who)
			return;
	f->known_by = mx_realloc(f->known_by, f->known_n + 1, sizeof(*f->known_by));
	f->known_by[f->known_n++] = who;
}

static mx_error *
say(struct mx_db *db, struct mx_storage_conn *c, char kind, mx_str text)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(text.n + 32);

	mx_buf_printf(b, "%c %lld ", kind, (long long)db->writer.id);
	mx_buf_str(b, text);
	return db->ops->notify(c, mx_buf_view(b));
}

/* One more comes in. */
static mx_error *
meet(struct mx_db *db, struct mx_storage_conn *c, mx_str id, mx_str facts)
{
	const struct mx_db_peers *p = &db->follow.peers;
	mx_error *e = p->meets != NULL ? p->meets(p->arg, facts) : NULL, *said;

	if (e == NULL) {
		have_company(&db->follow);
		return say(db, c, 'k', id);
	}
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	mx_log("sql", MX_WARN, "SQL010", "another process on this database is kept out", mx_fe(e));
	mx_buf_printf(b, "%.*s %s", MX_SFMT(id), mx_error_text(e));
	said = say(db, c, 'n', mx_buf_view(b));
	mx_error_free(&e);
	return said;
}

static mx_error *
heard(struct mx_db *db, struct mx_storage_conn *c, mx_str text)
{
	mx_str kind, id, rest;
	int64_t who, n;

	if (!mx_str_cut(text, ' ', &kind, &rest) || !mx_str_cut(rest, ' ', &id, &rest) ||
	    !mx_str_int(id, 0, INT64_MAX, &who) || who == db->writer.id)
		return NULL;
	switch (kind.p[0]) {
	case 't':
		if (db->watch.told != NULL)
			db->watch.told(db->watch.arg, rest);
		break;
	case 'b':
		if (mx_str_int(rest, 0, INT64_MAX, &n) && n > mx_db_position(db))
			mx_writer_look(db);
		break;
	case 'h':
		return meet(db, c, id, rest);
	case 'n':
		if (mx_str_cut(rest, ' ', &id, &rest) && mx_str_int(id, 0, INT64_MAX, &n) &&
		    n == db->writer.id && db->follow.kept_out == NULL)
			db->follow.kept_out = mx_error_new(
				MX_E_CONFIG,
				"another process on this database keeps this one out: %.*s",
				MX_SFMT(rest));
		break;
	case 'k':
		if (mx_str_int(rest, 0, INT64_MAX, &n) && n == db->writer.id)
			heard_known(&db->follow, who);
		break;
	default:
		break;
	}
	return NULL;
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
		next = n->next;
		/* What cannot be told is lost: it is passing. */
		if (e == NULL)
			e = say(db, c, 't', (mx_str){ n->text, n->n });
		free(n);
	}
	return e;
}

/* ---- the thread ---- */

/* Whether anybody else is there. Who comes in later says so. Who listens is counted, and who serves
 * goes on serving while it has no connection to listen on: after a failure of the database, which
 * ends all of them at once, nobody is alone before the others have had time to come back. */
static mx_error *
count_others(struct mx_db *db, struct mx_storage_conn *c, int64_t *n)
{
	struct mx_follow *f = &db->follow;

	MX_TRY(db->ops->others(c, n));
	if (*n > 0)
		have_company(f);
	else if (mx_monotonic_us() >= f->company_until)
		atomic_store(&f->alone, true);
	return NULL;
}

static void
be_in(struct mx_follow *f)
{
	pthread_mutex_lock(&f->lock);
	f->is_in = true;
	pthread_cond_broadcast(&f->in);
	pthread_mutex_unlock(&f->lock);
}

/* Says that we are here, until all who are there have heard it: from then on none of them answers
 * without asking what we have written. */
static mx_error *
come_in(struct mx_db *db, struct mx_storage_conn *c)
{
	struct mx_follow *f = &db->follow;
	int64_t end = mx_monotonic_us() + COME_IN_MS * 1000, n;
	mx_str text;

	f->known_n = 0;
	MX_TRY(count_others(db, c, &n));
	if (n > 0)
		MX_TRY(say(db, c, 'h', f->peers.facts));
	while ((int64_t)f->known_n < n && f->kept_out == NULL && !atomic_load(&f->stop) &&
	       mx_monotonic_us() < end) {
		MX_TRY(db->ops->hear(c, f->wake, RECOUNT_MS, &text));
		if (text.p != NULL) {
			MX_TRY(heard(db, c, text));
			continue;
		}
		MX_TRY(count_others(db, c, &n));
		/* Who is counted now may not have listened yet when we said so. */
		if ((int64_t)f->known_n < n)
			MX_TRY(say(db, c, 'h', f->peers.facts));
	}
	if ((int64_t)f->known_n < n && f->kept_out == NULL && !atomic_load(&f->stop))
		mx_log("sql", MX_WARN, "SQL009", "another process on this database does not answer",
		       mx_fi("others", n), mx_fi("answered", (int64_t)f->known_n));
	be_in(f);
	return NULL;
}

/* Hears until the connection is lost or it is time to end. */
static mx_error *
hear(struct mx_db *db, struct mx_storage_conn *c)
{
	struct mx_follow *f = &db->follow;
	uint64_t count;
	int64_t others;
	mx_str text;

	atomic_store(&f->renew, false);
	MX_TRY(come_in(db, c));
	while (!atomic_load(&f->stop) && !atomic_load(&f->renew)) {
		MX_TRY(db->ops->hear(c, f->wake, (int)db->options.poll.ms, &text));
		if (text.p != NULL) {
			MX_TRY(heard(db, c, text));
		} else if (read(f->wake, &count, sizeof(count)) == sizeof(count)) {
			MX_TRY(tell_notes(db, c));
		} else {
			MX_TRY(count_others(db, c, &others));
			mx_writer_look(db);
		}
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
			/* What was written before it listened. */
			mx_writer_look(db);
			e = hear(db, c);
		}
		if (e != NULL && !told)
			mx_log("sql", MX_WARN, "SQL007",
			       "other processes cannot be heard for now", mx_fe(e));
		told |= e != NULL;
		mx_error_free(&e);
		have_company(&db->follow);
		db->ops->disconnect(&c);
	} while (!atomic_load(&db->follow.stop) && rest(&db->follow));
	return NULL;
}

static bool
wait_in(struct mx_follow *f)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 2 * COME_IN_MS / 1000;
	pthread_mutex_lock(&f->lock);
	while (!f->is_in && pthread_cond_timedwait(&f->in, &f->lock, &until) == 0)
		continue;
	bool in = f->is_in;
	pthread_mutex_unlock(&f->lock);
	return in;
}

mx_error *
mx_db_follow(struct mx_db *db, const struct mx_db_peers *peers)
{
	struct mx_follow *f = &db->follow;
	pthread_condattr_t monotonic;
	mx_error *e;

	if (!mx_db_tells(db))
		return NULL;
	f->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (f->wake < 0)
		return mx_error_new(MX_E_UNKNOWN, "eventfd: %s", strerror(errno));
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&f->in, &monotonic);
	pthread_condattr_destroy(&monotonic);
	f->last = &f->first;
	f->facts = mx_str_dup(peers->facts);
	f->peers = *peers;
	f->peers.facts = mx_str_of(f->facts);
	if (pthread_create(&f->thread, NULL, follow_main, db) != 0) {
		close(f->wake);
		pthread_cond_destroy(&f->in);
		pthread_mutex_destroy(&f->lock);
		free(f->facts);
		return mx_error_new(MX_E_UNKNOWN, "cannot start the follower's thread");
	}
	f->running = true;
	bool in = wait_in(f);

	e = f->kept_out;
	f->kept_out = NULL;
	if (e == NULL && in)
		return NULL;
	mx_db_unfollow(db);
	if (e != NULL)
		return e;
	return mx_error_new(MX_E_UNAVAILABLE,
			    "the database does not let processes hear each other: what stands between "
			    "must pass LISTEN and NOTIFY on (pgbouncer: pool_mode = session)");
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
	free(f->known_by);
	free(f->facts);
	close(f->wake);
	pthread_cond_destroy(&f->in);
	pthread_mutex_destroy(&f->lock);
	mx_writer_look_end(db);
}
