/* The writer: one thread that takes every waiting function, runs them in one transaction with a
 * savepoint each, commits once, and tells the callers. Whoever comes during a commit is in the next
 * batch: that is the group commit, and nothing is ever delayed for its sake. */
#include "config.h"

#include <errno.h>
#include <stdlib.h>

#include "core/sql/impl.h"

static _Thread_local const struct mx_db *here;	/* whose writer this thread is */

bool
mx_writer_is_here(const struct mx_db *db)
{
	return here == db;
}

/* ---- the thread ---- */

/* Others have written, and we have nothing to write ourselves. Where the connection turns out to
 * be lost, so may be the note that has sent us here: again. */
static void
look_around(struct mx_db *db)
{
	for (int attempt = 1; attempt <= MX_BATCH_ATTEMPTS; attempt++)
		if (!mx_error_drop(mx_batch_look(db)))
			return;
}

void
mx_writer_look(struct mx_db *db)
{
	struct mx_writer *w = &db->writer;

	pthread_mutex_lock(&w->lock);
	w->look = true;
	bool wake = w->idle;
	w->idle = false;
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->work);
}

void
mx_writer_look_end(struct mx_db *db)
{
	struct mx_writer *w = &db->writer;

	pthread_mutex_lock(&w->lock);
	w->look = false;
	while (w->looking)
		pthread_cond_wait(&w->looked, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

/* With the lock held. True: there is nothing to write, but others have written. */
static bool
wait_for_work(struct mx_writer *w)
{
	w->idle = w->first == NULL && !w->look;
	while (w->first == NULL && !w->stop && !w->look)
		pthread_cond_wait(&w->work, &w->lock);
	w->idle = false;
	/* A batch begins by looking around itself. */
	bool look = w->look && w->first == NULL && !w->stop;
	w->look = false;
	return look;
}

/* Waits for work and takes up to a batch of it; 0: it is time to end. Functions that were refused
 * are answered here. */
static size_t
writer_take(struct mx_db *db)
{
	struct mx_writer *w = &db->writer;
	struct mx_job *taken, *next;
	size_t n = 0;

	do {
		pthread_mutex_lock(&w->lock);
		while (wait_for_work(w)) {
			w->looking = true;
			pthread_mutex_unlock(&w->lock);
			look_around(db);
			pthread_mutex_lock(&w->lock);
			w->looking = false;
			pthread_cond_broadcast(&w->looked);
		}
		taken = w->first;
		struct mx_job **at = &w->first;
		for (int64_t i = 0; *at != NULL && i < db->options.batch; i++) {
			w->waiting -= !(*at)->refused;
			at = &(*at)->next;
		}
		w->first = *at;
		*at = NULL;
		if (w->first == NULL)
			w->last = &w->first;
		pthread_mutex_unlock(&w->lock);

		for (struct mx_job *job = taken; job != NULL; job = next) {
			next = job->next;
			if (job->refused) {
				job->error = mx_db_unavailable("too many writes are waiting");
				mx_job_deliver(job);
			} else {
				w->batch[n++] = job;
			}
		}
	} while (n == 0 && taken != NULL);
	return n;
}

static void *
writer_main(void *arg)
{
	struct mx_db *db = arg;
	size_t n;

	here = db;
	pthread_setname_np(pthread_self(), "writer");
	while ((n = writer_take(db)) != 0) {
		mx_batch_run(db, db->writer.batch, n);
		if (db->writer.conn != NULL)
			mx_conn_tidy(db->writer.conn);
	}
	return NULL;
}

mx_error *
mx_writer_start(struct mx_db *db)
{
	struct mx_writer *w = &db->writer;
	pthread_condattr_t monotonic;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_cond_init(&w->looked, NULL);
	w->last = &w->first;
	mx_random(&w->id, sizeof(w->id));
	w->id &= INT64_MAX;
	w->batch = mx_realloc(NULL, (size_t)db->options.batch, sizeof(struct mx_job *));
	mx_error *e = mx_conn_open(db, true, &w->conn);
	if (e == NULL && pthread_create(&w->thread, NULL, writer_main, db) != 0)
		e = mx_error_new(MX_E_UNKNOWN, "cannot start the writer's thread");
	if (e != NULL) {
		mx_conn_close(&w->conn);
		free(w->batch);
		w->batch = NULL;
	}
	return e;
}

void
mx_writer_stop(struct mx_db *db)
{
	struct mx_writer *w = &db->writer;

	if (w->batch == NULL)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->work);
	pthread_cond_destroy(&w->looked);
	pthread_mutex_destroy(&w->lock);
	free(w->batch);
	w->batch = NULL;
}

/* ---- the callers ---- */

static bool
hand_in(struct mx_db *db, struct mx_job *job)
{
	struct mx_writer *w = &db->writer;

	job->since = mx_monotonic_us();
	pthread_mutex_lock(&w->lock);
	bool full = w->waiting >= db->options.queue;
	if (full && !job->heap) {
		pthread_mutex_unlock(&w->lock);
		return false;
	}
	job->refused = full;
	w->waiting += !full;
	*w->last = job;
	w->last = &job->next;
	bool wake = w->idle;
	w->idle = false;
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->work);
	return true;
}

mx_error *
mx_write(struct mx_db *db, mx_write_fn *fn, void *arg)
{
	struct mx_job job = { .fn = fn, .arg = arg, .guard = mx_guard_here() };

	if (mx_writer_is_here(db))
		mx_sql_misuse("mx_write on the writer's thread");
	sem_init(&job.woken, 0, 0);
	if (!hand_in(db, &job))
		job.error = mx_db_unavailable("too many writes are waiting");
	else
		while (sem_wait(&job.woken) != 0 && errno == EINTR)
			continue;
	sem_destroy(&job.woken);
	return job.error;
}

void
mx_write_later(struct mx_db *db, mx_write_fn *fn, void (*done)(void *arg, mx_error *e), void *arg)
{
	struct mx_job *job = mx_alloc(sizeof(*job));
	const struct mx_guard *guard = mx_guard_here();

	if (guard != NULL)
		job->guard = memcpy(mx_alloc(guard->size), guard, guard->size);
	job->fn = fn;
	job->arg = arg;
	job->done = done;
	job->heap = true;
	hand_in(db, job);
}
