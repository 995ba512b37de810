/* Connections that are lent out: those for reading, and those of writes beside the writer. Opened
 * when they are needed, kept until the database is closed. */
#include "config.h"

#include <errno.h>
#include <time.h>

#include <myelin/log.h>

#include "core/sql/impl.h"

void
mx_conn_pool_init(struct mx_conn_pool *p, struct mx_db *db, bool writer, int64_t max)
{
	*p = (struct mx_conn_pool){ .db = db, .writer = writer, .max = max };
	p->waits_end = &p->waits;
	pthread_mutex_init(&p->lock, NULL);
}

void
mx_conn_pool_end(struct mx_conn_pool *p)
{
	while (p->idle != NULL) {
		struct mx_conn *c = p->idle;
		p->idle = c->next;
		p->open--;
		mx_conn_close(&c);
	}
	if (p->open != 0)
		mx_sql_misuse("mx_db_close while a connection is in use");
	pthread_mutex_destroy(&p->lock);
}

static struct timespec
deadline_after(mx_msec wait)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += wait / 1000;
	t.tv_nsec += wait % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* Gives the longest waiting a connection, or (c is NULL) the right to open one; false when nobody
 * waits. Called with the lock held. */
static bool
serve_first(struct mx_conn_pool *p, struct mx_conn *c)
{
	struct mx_conn_wait *w = p->waits;

	if (w == NULL)
		return false;
	p->waits = w->next;
	if (p->waits == NULL)
		p->waits_end = &p->waits;
	w->conn = c;
	w->may_open = c == NULL;
	pthread_cond_signal(&w->served);
	return true;
}

static void
stop_waiting(struct mx_conn_pool *p, struct mx_conn_wait *w)
{
	struct mx_conn_wait **at = &p->waits;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (w->next == NULL)
		p->waits_end = at;
}

/* Waits behind those who wait already: whoever gave a connection back and comes again would
 * otherwise be faster than one who has to be woken, every time. Called with the lock held. */
static bool
wait_in_line(struct mx_conn_pool *p, struct mx_conn **out)
{
	struct timespec until = deadline_after(p->db->options.read_wait.ms);
	struct mx_conn_wait w = { 0 };
	pthread_condattr_t monotonic;

	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w.served, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*p->waits_end = &w;
	p->waits_end = &w.next;
	int rc = 0;
	while (w.conn == NULL && !w.may_open && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&w.served, &p->lock, &until);
	bool served = w.conn != NULL || w.may_open;
	if (!served)
		stop_waiting(p, &w);
	pthread_cond_destroy(&w.served);
	*out = w.conn;
	return served;
}

/* An idle connection, or the right to open one (*out is NULL); false when the wait was in vain. */
static bool
pool_take(struct mx_conn_pool *p, struct mx_conn **out)
{
	bool ok = true;

	pthread_mutex_lock(&p->lock);
	*out = p->idle;
	if (*out != NULL)
		p->idle = (*out)->next;
	else if (p->open < p->max)
		p->open++;
	else
		ok = wait_in_line(p, out);
	pthread_mutex_unlock(&p->lock);
	return ok;
}

static void
pool_forget_one(struct mx_conn_pool *p)
{
	pthread_mutex_lock(&p->lock);
	if (!serve_first(p, NULL))
		p->open--;
	pthread_mutex_unlock(&p->lock);
}

/* Connections of before a loss lead nowhere. */
static bool
pool_stale(struct mx_conn_pool *p, const struct mx_conn *c)
{
	pthread_mutex_lock(&p->lock);
	bool stale = c->generation != p->generation;
	pthread_mutex_unlock(&p->lock);
	return stale;
}

void
mx_conn_pool_renew(struct mx_conn_pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->generation++;
	pthread_mutex_unlock(&p->lock);
}

/* A new connection; who asks is not told what exactly failed: that names hosts, and is for the log. */
static mx_error *
pool_open(struct mx_conn_pool *p, struct mx_conn **out)
{
	mx_error *e = mx_conn_open(p->db, p->writer, out);

	if (mx_error_is(e, MX_E_UNAVAILABLE)) {
		mx_log("sql", MX_DEBUG, "SQL013", "a connection cannot be opened", mx_fe(e));
		mx_error_free(&e);
		e = mx_db_unavailable("the database cannot be reached");
	}
	if (e == NULL && mx_lineage_broken(p->db)) {
		mx_conn_close(out);
		e = mx_db_unavailable("the database has lost what it had acknowledged");
	}
	return e;
}

mx_error *
mx_conn_pool_get(struct mx_conn_pool *p, struct mx_conn **out)
{
	if (mx_lineage_broken(p->db))
		return mx_db_unavailable("the database has lost what it had acknowledged");
	for (;;) {
		if (!pool_take(p, out))
			return mx_db_unavailable("all connections to the database are busy");
		if (*out == NULL)
			break;
		if (!pool_stale(p, *out))
			return NULL;
		mx_conn_close(out);
		pool_forget_one(p);
	}
	pthread_mutex_lock(&p->lock);
	uint64_t generation = p->generation;
	pthread_mutex_unlock(&p->lock);
	mx_error *e = pool_open(p, out);
	if (e != NULL)
		pool_forget_one(p);
	else
		(*out)->generation = generation;
	return e;
}

void
mx_conn_pool_put(struct mx_conn_pool *p, struct mx_conn *c)
{
	if (c->lost) {
		pthread_mutex_lock(&p->lock);
		if (c->generation == p->generation)
			p->generation++;
		pthread_mutex_unlock(&p->lock);
		mx_conn_close(&c);
		pool_forget_one(p);
		return;
	}
	pthread_mutex_lock(&p->lock);
	if (!serve_first(p, c)) {
		c->next = p->idle;
		p->idle = c;
	}
	pthread_mutex_unlock(&p->lock);
}

mx_error *
mx_conn_get(struct mx_db *db, struct mx_conn **out)
{
	atomic_fetch_add_explicit(&db->reads, 1, memory_order_relaxed);
	MX_TRY(mx_conn_pool_get(&db->readers, out));
	(*out)->statements = 0;
	return NULL;
}

void
mx_conn_rest(struct mx_conn *c)
{
	if (c->txn != NULL || c->snapshot || c->open != NULL || c->refused != NULL || c->resting)
		return;
	struct mx_conn *back = mx_alloc(sizeof(*back));

	back->db = c->db;
	back->ops = c->ops;
	mx_conn_tidy(c);
	mx_conn_move(back, c);
	c->resting = true;
	c->lost = false;
	mx_conn_pool_put(&c->db->readers, back);
}

void
mx_conn_wake(struct mx_conn *c)
{
	struct mx_conn *got;
	mx_error *e = mx_conn_pool_get(&c->db->readers, &got);

	c->resting = false;
	if (e != NULL) {
		c->lost = true;
		c->refused = e;
		return;
	}
	mx_conn_move(c, got);
	mx_conn_close(&got);
}

void
mx_conn_put(struct mx_conn **cp)
{
	struct mx_conn *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	if (c->txn != NULL)
		mx_sql_misuse("mx_conn_put of a transaction's connection");
	if (c->refused != NULL || c->resting) {
		mx_conn_close(&c);
		return;
	}
	mx_snapshot_end(c);
	mx_conn_tidy(c);
	mx_conn_pool_put(&c->db->readers, c);
}
