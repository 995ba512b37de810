/* Read-your-writes through any process: what was committed before a request came is known here
 * before it is answered. One question to the database serves all who came before it was sent; a
 * process that is alone asks nothing. */
#include "config.h"

#include <time.h>

#include "core/sql/impl.h"

static const struct mx_sql POSITION = MX_SQL("SELECT pos, {now} FROM stream WHERE one = 1");

void
mx_fresh_init(struct mx_fresh *f)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&f->moved, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void
mx_fresh_end(struct mx_fresh *f)
{
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->moved);
}

void
mx_fresh_shown(struct mx_db *db, mx_pos pos)
{
	struct mx_fresh *f = &db->fresh;

	atomic_store(&f->shown, pos);
	if (atomic_load(&f->waiting) == 0)
		return;
	pthread_mutex_lock(&f->lock);
	pthread_cond_broadcast(&f->moved);
	pthread_mutex_unlock(&f->lock);
}

static mx_error *
ask(struct mx_db *db, mx_pos *out)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(mx_conn_get(db, &c));
	struct mx_query *q = mx_query(c, &POSITION);

	bool found = mx_query_next(q);
	mx_msec now = mx_col_int(q, 1);

	*out = found ? mx_col_int(q, 0) : 0;
	MX_TRY(mx_query_end(q));
	if (found)
		mx_skew_see(db, now);
	return NULL;
}

/* With the lock held: a position that was current after this was called. */
static mx_error *
current(struct mx_db *db, mx_pos *out)
{
	struct mx_fresh *f = &db->fresh;
	uint64_t want = f->begun + 1;
	mx_error *e = NULL;

	while (f->ended < want && e == NULL) {
		if (f->asking) {
			pthread_cond_wait(&f->moved, &f->lock);
			continue;
		}
		uint64_t mine = ++f->begun;
		mx_pos pos = 0;

		f->asking = true;
		pthread_mutex_unlock(&f->lock);
		e = ask(db, &pos);
		pthread_mutex_lock(&f->lock);
		f->asking = false;
		if (e == NULL) {
			f->ended = mine;
			f->pos = pos;
		}
		pthread_cond_broadcast(&f->moved);
	}
	*out = f->pos;
	return e;
}

/* With the lock held. */
static mx_error *
wait_shown(struct mx_db *db, mx_pos pos)
{
	struct mx_fresh *f = &db->fresh;
	int64_t end = mx_monotonic_us() + db->options.write_wait.ms * 1000;
	struct timespec until = { .tv_sec = end / 1000000, .tv_nsec = end % 1000000 * 1000 };
	mx_error *e = NULL;

	atomic_fetch_add(&f->waiting, 1);
	while (e == NULL && atomic_load(&f->shown) < pos) {
		mx_writer_look(db);
		if (pthread_cond_timedwait(&f->moved, &f->lock, &until) != 0 &&
		    atomic_load(&f->shown) < pos)
			e = mx_db_unavailable("what other processes have written cannot be read");
	}
	atomic_fetch_sub(&f->waiting, 1);
	return e;
}

mx_error *
mx_db_fresh(struct mx_db *db)
{
	struct mx_fresh *f = &db->fresh;
	mx_error *e;
	mx_pos pos;

	if (mx_db_alone(db))
		return NULL;
	if (mx_lineage_broken(db))
		return mx_db_unavailable("the database has lost what it had acknowledged");
	pthread_mutex_lock(&f->lock);
	e = current(db, &pos);
	if (e == NULL && atomic_load(&f->shown) < pos)
		e = wait_shown(db, pos);
	pthread_mutex_unlock(&f->lock);
	return e;
}
