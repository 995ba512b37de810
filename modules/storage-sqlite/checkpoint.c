/* Moving the write-ahead log into the database.
 *
 * A checkpoint on the writer's way would hold up every commit behind it for milliseconds, so a
 * thread of its own copies the bulk. Alone it would never finish while writes go on, and the log
 * can start over only when all of it is copied: when little is left, it asks the writer to copy
 * that after its next commit, which takes one short write. When writes have ceased, the log is cut
 * to nothing. */
#include "config.h"

#include <errno.h>
#include <time.h>

#include <myelin/log.h>

#include "sqlite.h"

#define IDLE_SECONDS 1
#define CUTS 5		/* attempts to cut the log: who reads the whole time keeps it */
#define ROUNDS 4

/* Copies what can be copied without waiting for anyone; the pages that are left. */
static int
copy_log(sqlite3 *db)
{
	int in_log = 0, copied = 0;
	int rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);

	if (rc != SQLITE_OK && rc != SQLITE_BUSY)
		mx_log("sql", MX_ERROR, "SQLITE001", "the write-ahead log cannot be copied",
		       mx_fz("sqlite", sqlite3_errmsg(db)));
	return rc == SQLITE_OK ? in_log - copied : in_log;
}

/* Waits until the writer asks (true), or (unless it is to rest) until there was no commit for a
 * while (false). Called with the lock held. */
static bool
wait_asked(struct checkpointer *cp, bool rest)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += IDLE_SECONDS;
	while (cp->state != CHECKPOINT_ASKED && !cp->stop) {
		if (rest) {
			pthread_cond_wait(&cp->wake, &cp->lock);
		} else if (pthread_cond_timedwait(&cp->wake, &cp->lock, &until) == ETIMEDOUT) {
			if (!cp->active)
				return false;
			cp->active = false;
			until.tv_sec += IDLE_SECONDS;
		}
	}
	return true;
}

/* Copies until what is left is about what came during the last round. */
static void
copy_bulk(struct checkpointer *cp)
{
	int left = copy_log(cp->db), before;

	for (int i = 1; i < ROUNDS && left > cp->limit / 8; i++) {
		before = left;
		left = copy_log(cp->db);
		if (left > before / 2)
			break;
	}
}

static void *
checkpointer_main(void *arg)
{
	struct checkpointer *cp = arg;
	int cuts = 0;

	pthread_setname_np(pthread_self(), "checkpoint");
	pthread_mutex_lock(&cp->lock);
	for (;;) {
		bool asked = wait_asked(cp, cuts == 0);
		if (cp->stop)
			break;
		pthread_mutex_unlock(&cp->lock);
		if (asked) {
			copy_bulk(cp);
			cuts = CUTS;
		} else if (sqlite3_wal_checkpoint_v2(cp->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
						     NULL) == SQLITE_OK) {
			cuts = 0;
		} else {
			cuts--;
		}
		pthread_mutex_lock(&cp->lock);
		if (asked)
			cp->state = CHECKPOINT_FINISHING;
	}
	pthread_mutex_unlock(&cp->lock);
	return NULL;
}

int
checkpointer_committed(void *storage, sqlite3 *db, const char *name, int pages)
{
	struct checkpointer *cp = &((struct mx_storage *)storage)->checkpointer;
	bool finish = false;

	(void)name;
	pthread_mutex_lock(&cp->lock);
	cp->active = true;
	if (pages < cp->limit)
		cp->next = cp->limit;
	if (cp->state == CHECKPOINT_FINISHING) {
		finish = true;
		cp->next = pages + cp->limit / 2;
		cp->state = CHECKPOINT_RESTING;
	} else if (cp->state == CHECKPOINT_RESTING && pages >= cp->next) {
		cp->state = CHECKPOINT_ASKED;
		pthread_cond_signal(&cp->wake);
	}
	pthread_mutex_unlock(&cp->lock);
	if (finish)
		copy_log(db);
	return SQLITE_OK;
}

mx_error *
checkpointer_start(struct mx_storage *s)
{
	struct checkpointer *cp = &s->checkpointer;
	pthread_condattr_t monotonic;

	MX_TRY(sqlite_open_file(s, &cp->db));
	/* Waiting for a reader it would keep the writer waiting, too. */
	sqlite3_busy_timeout(cp->db, 0);
	cp->next = cp->limit = (int)(s->options.wal.bytes / 4096);
	pthread_mutex_init(&cp->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&cp->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (pthread_create(&cp->thread, NULL, checkpointer_main, cp) != 0) {
		sqlite3_close(cp->db);
		cp->db = NULL;
		return mx_error_new(MX_E_UNKNOWN, "cannot start a thread");
	}
	cp->running = true;
	return NULL;
}

void
checkpointer_stop(struct mx_storage *s)
{
	struct checkpointer *cp = &s->checkpointer;

	if (!cp->running)
		return;
	pthread_mutex_lock(&cp->lock);
	cp->stop = true;
	pthread_cond_signal(&cp->wake);
	pthread_mutex_unlock(&cp->lock);
	pthread_join(cp->thread, NULL);
	sqlite3_close(cp->db);
	pthread_cond_destroy(&cp->wake);
	pthread_mutex_destroy(&cp->lock);
	cp->running = false;
}
