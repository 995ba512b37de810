#include "config.h"

#include "core/runtime/lease.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <myelin/log.h>
#include <myelin/module.h>

enum { RENEWALS = 4, NAME_ROOM = 160 };	/* of a lease, before it ends */

static const struct mx_migration MIGRATIONS[] = {
	{ 1, "who runs the jobs that only one process runs",
	  "CREATE TABLE job_lease (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until BIGINT NOT "
	  "NULL)" },
	{ 2, "leases that end soon, and know who was paused",
	  "ALTER TABLE job_lease ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;\n"
	  "ALTER TABLE job_lease ADD COLUMN held BIGINT NOT NULL DEFAULT 0" },
};
const struct mx_migration_set mx_lease_tables = { "runtime", MIGRATIONS,
						  sizeof(MIGRATIONS) / sizeof(MIGRATIONS[0]) };

static const struct mx_sql TAKE = MX_SQL(
	"INSERT INTO job_lease (name, holder, until, epoch, held) VALUES ($1, $2, {now} + $3, 1, 1) "
	"ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until, "
	"epoch = job_lease.epoch + 1, held = 1 "
	"WHERE job_lease.until < {now} OR job_lease.until > {now} + $4 RETURNING epoch");
static const struct mx_sql LOOK = MX_SQL("SELECT until - {now} FROM job_lease WHERE name = $1");
static const struct mx_sql RENEW =
	MX_SQL("UPDATE job_lease SET until = {now} + $4 "
	       "WHERE name = $1 AND holder = $2 AND epoch = $3 RETURNING epoch");
static const struct mx_sql GIVE =
	MX_SQL("UPDATE job_lease SET until = {now} + $4, held = 0 "
	       "WHERE name = $1 AND holder = $2 AND epoch = $3");
static const struct mx_sql HELD = MX_SQL("SELECT name FROM job_lease WHERE held = 1 ORDER BY name");

/* One term of a lease: enough to ask whether it still runs, wherever it is copied to. */
struct term {
	struct mx_guard guard;
	int64_t epoch;
	mx_msec lasts;
	char holder[17], name[NAME_ROOM];
};

struct mx_lease {
	struct mx_lease *next;		/* in the list of what is held */
	struct term term;
	atomic_bool lost;
};

struct mx_leases {
	struct mx_db *db;
	mx_msec lease;
	char holder[17];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool keeping, stop;		/* keeping: the thread is there */
	struct mx_lease *held;
};

static _Thread_local const struct mx_lease *here;

/* ---- asking the database ---- */

static struct mx_query *
ask(struct mx_txn *tx, const struct mx_sql *sql, const struct term *t, mx_msec ms)
{
	struct mx_query *q = mx_query(mx_txn_conn(tx), sql);

	mx_bind_str(q, 1, mx_str_of(t->name));
	mx_bind_str(q, 2, mx_str_of(t->holder));
	mx_bind_int(q, 3, t->epoch);
	mx_bind_int(q, 4, ms);
	return q;
}

static mx_error *
renew(struct mx_txn *tx, const struct term *t, bool *ours)
{
	struct mx_query *q = ask(tx, &RENEW, t, t->lasts);

	*ours = mx_query_next(q);
	return mx_query_end(q);
}

/* Within the transaction of what is written under it: who takes the lease over waits until that is
 * committed, and then finds it renewed; who has taken it over is found here. */
static mx_error *
check(struct mx_txn *tx, const struct mx_guard *guard)
{
	const struct term *t = (const struct term *)(const void *)guard;
	bool ours;

	MX_TRY(renew(tx, t, &ours));
	if (ours)
		return NULL;
	return mx_error_new(MX_E_UNAVAILABLE, "another process has taken %s over", t->name);
}

/* ---- renewing ---- */

struct renewal {
	struct term *v;
	bool *ours;
	size_t n;
};

static mx_error *
renew_all(struct mx_txn *tx, void *arg)
{
	struct renewal *r = arg;

	for (size_t i = 0; i < r->n; i++)
		MX_TRY(renew(tx, &r->v[i], &r->ours[i]));
	return NULL;
}

/* With the lock held. */
static void
note_lost(struct mx_leases *ls, const struct term *t)
{
	for (struct mx_lease *l = ls->held; l != NULL; l = l->next) {
		if (l->term.epoch != t->epoch || strcmp(l->term.name, t->name) != 0)
			continue;
		if (!atomic_exchange(&l->lost, true))
			mx_log("runtime", MX_WARN, "RUN022",
			       "another process has taken over what this one was slow at",
			       mx_fz("lease", t->name));
	}
}

/* With the lock held; lets go of it while the database is asked. */
static void
beat(struct mx_leases *ls)
{
	struct renewal r = { 0 };
	mx_error *e;

	for (struct mx_lease *l = ls->held; l != NULL; l = l->next)
		r.n++;
	r.v = mx_alloc((r.n + 1) * sizeof(*r.v));
	r.ours = mx_alloc(r.n + 1);
	r.n = 0;
	for (struct mx_lease *l = ls->held; l != NULL; l = l->next)
		r.v[r.n++] = l->term;
	pthread_mutex_unlock(&ls->lock);
	e = mx_write_aside(ls->db, renew_all, &r);
	pthread_mutex_lock(&ls->lock);
	/* Where the database cannot be asked nobody can take anything over either, or it will be
	 * found out at the next beat. */
	for (size_t i = 0; e == NULL && i < r.n; i++)
		if (!r.ours[i])
			note_lost(ls, &r.v[i]);
	mx_error_free(&e);
	free(r.v);
	free(r.ours);
}

/* Until ms are over, or it is time to end. */
static void
pause_keeping(struct mx_leases *ls, mx_msec ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	while (!ls->stop && pthread_cond_timedwait(&ls->changed, &ls->lock, &until) == 0)
		continue;
}

static void *
keep(void *arg)
{
	struct mx_leases *ls = arg;

	pthread_setname_np(pthread_self(), "mx-leases");
	pthread_mutex_lock(&ls->lock);
	while (!ls->stop) {
		if (ls->held == NULL) {
			pthread_cond_wait(&ls->changed, &ls->lock);
			continue;
		}
		pause_keeping(ls, ls->lease / RENEWALS);
		if (!ls->stop && ls->held != NULL)
			beat(ls);
	}
	pthread_mutex_unlock(&ls->lock);
	return NULL;
}

/* ---- taking and giving ---- */

struct taking {
	struct term term;
	mx_msec longest, left;
	bool mine;
};

static mx_error *
take(struct mx_txn *tx, void *arg)
{
	struct taking *t = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), &TAKE);

	mx_bind_str(q, 1, mx_str_of(t->term.name));
	mx_bind_str(q, 2, mx_str_of(t->term.holder));
	mx_bind_int(q, 3, t->term.lasts);
	mx_bind_int(q, 4, t->longest);
	t->mine = mx_query_next(q);
	t->term.epoch = mx_col_int(q, 0);
	MX_TRY(mx_query_end(q));
	if (t->mine)
		return NULL;
	q = mx_query(mx_txn_conn(tx), &LOOK);
	mx_bind_str(q, 1, mx_str_of(t->term.name));
	t->left = mx_query_next(q) ? mx_col_int(q, 0) : 0;
	return mx_query_end(q);
}

static mx_error *
give(struct mx_txn *tx, void *arg)
{
	struct taking *t = arg;

	return mx_query_run(ask(tx, &GIVE, &t->term, t->left));
}

/* Has it renewed from now on. */
static mx_error *
hold(struct mx_leases *ls, struct mx_lease *l)
{
	int why = 0;

	pthread_mutex_lock(&ls->lock);
	if (!ls->keeping)
		why = pthread_create(&ls->thread, NULL, keep, ls);
	ls->keeping |= why == 0;
	l->next = ls->held;
	ls->held = l;
	pthread_cond_signal(&ls->changed);
	pthread_mutex_unlock(&ls->lock);
	if (why != 0)
		return mx_error_new(MX_E_UNKNOWN, "cannot start a thread: %s", strerror(why));
	return NULL;
}

mx_error *
mx_lease_take(struct mx_leases *ls, const char *name, mx_msec longest, struct mx_lease **out,
	      mx_msec *wait)
{
	struct taking t = { .term = { .guard = { check, sizeof(struct term) }, .lasts = ls->lease },
			    .longest = longest > ls->lease ? longest : ls->lease };
	mx_error *e;

	*out = NULL;
	*wait = ls->lease;
	memcpy(t.term.holder, ls->holder, sizeof(t.term.holder));
	if (snprintf(t.term.name, NAME_ROOM, "%s", name) >= NAME_ROOM)
		return mx_error_new(MX_E_UNKNOWN, "the name of a lease is too long: %s", name);
	MX_TRY(mx_write_aside(ls->db, take, &t));
	if (!t.mine) {
		*wait = t.left > 0 ? t.left + 1 : 1;
		return NULL;
	}
	*out = mx_alloc(sizeof(**out));
	(*out)->term = t.term;
	e = hold(ls, *out);
	if (e != NULL)
		(void)mx_error_drop(mx_lease_give(ls, out, 0));
	return e;
}

mx_error *
mx_lease_give(struct mx_leases *ls, struct mx_lease **lease, mx_msec rest)
{
	struct mx_lease *l = *lease, **at = &ls->held;
	struct taking t = { .left = rest };

	*lease = NULL;
	if (l == NULL)
		return NULL;
	pthread_mutex_lock(&ls->lock);
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	pthread_mutex_unlock(&ls->lock);
	t.term = l->term;
	free(l);
	return mx_write_aside(ls->db, give, &t);
}

void
mx_lease_enter(const struct mx_lease *lease)
{
	here = lease;
	mx_db_guard(lease != NULL ? &lease->term.guard : NULL);
}

void
mx_lease_leave(void)
{
	mx_lease_enter(NULL);
}

bool
mx_run_is_ours(void)
{
	return here == NULL || !atomic_load(&here->lost);
}

mx_error *
mx_leases_held(struct mx_leases *ls, void (*fn)(void *arg, mx_str name), void *arg)
{
	MX_AUTO(mx_conn) *c = NULL;

	MX_TRY(mx_conn_get(ls->db, &c));
	struct mx_query *q = mx_query(c, &HELD);

	while (mx_query_next(q))
		fn(arg, mx_col_str(q, 0));
	return mx_query_end(q);
}

/* ---- life ---- */

struct mx_leases *
mx_leases_new(struct mx_db *db, mx_msec lease)
{
	struct mx_leases *ls = mx_alloc(sizeof(*ls));
	pthread_condattr_t monotonic;

	ls->db = db;
	ls->lease = lease;
	mx_random_text(ls->holder, sizeof(ls->holder) - 1);
	pthread_mutex_init(&ls->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&ls->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return ls;
}

void
mx_leases_free(struct mx_leases **leases)
{
	struct mx_leases *ls = *leases;

	*leases = NULL;
	if (ls == NULL)
		return;
	pthread_mutex_lock(&ls->lock);
	ls->stop = true;
	pthread_cond_signal(&ls->changed);
	pthread_mutex_unlock(&ls->lock);
	if (ls->keeping)
		pthread_join(ls->thread, NULL);
	pthread_cond_destroy(&ls->changed);
	pthread_mutex_destroy(&ls->lock);
	free(ls);
}
