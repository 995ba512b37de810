#include "config.h"

#include "core/runtime/durable.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/runtime/lease.h"
#include "core/runtime/pool.h"
#include "core/runtime/registry.h"
#include "core/sql/db.h"

enum {
	THREADS = 2,
	BATCH = 64,			/* events read, and told, between two moves of the cursor */
	TURN_BATCHES = 16,		/* then others have the thread */
	PAUSE_MS = 1000,		/* after a failure; doubled to PAUSE_MAX_MS */
	PAUSE_MAX_MS = 600000,
};

static const struct mx_migration MIGRATIONS[] = {
	{ 1, "how far modules have been told of events",
	  "CREATE TABLE durable_cursor (module TEXT NOT NULL, hook TEXT NOT NULL, position BIGINT "
	  "NOT NULL, "
	  "PRIMARY KEY (module, hook)) {unkeyed}" },
};
static const struct mx_sql BEGIN = MX_SQL("INSERT INTO durable_cursor (module, hook, position) VALUES ($1, $2, $3) "
					  "ON CONFLICT (module, hook) DO NOTHING");
static const struct mx_sql GET = MX_SQL("SELECT position FROM durable_cursor WHERE module = $1 AND hook = $2");
static const struct mx_sql MOVE = MX_SQL("UPDATE durable_cursor SET position = $3 "
					 "WHERE module = $1 AND hook = $2 AND position < $3");
#define HOOK "event_after"

/* What is known of a module that fills the hook, across its generations. Guarded by the lock, but
 * for what is only of the turn that runs. */
struct follower {
	struct mx_durable *d;
	char *module;
	int64_t due;			/* microseconds */
	unsigned failed;		/* times in a row */
	bool running, seen, poked;
	bool elsewhere;			/* until it is due another process tells the module */
	/* of the turn */
	struct mx_module_self *self;	/* pinned for it */
	mx_pos looked;			/* what is up to here concerns it not, though its cursor stands before; 0: read the cursor */
};

struct mx_durable {
	struct mx_core *core;
	mx_durable_read_fn *read;
	struct mx_pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool started, threads;
	_Atomic bool poked, stopping;
	struct follower **v;
	size_t n;
};

const struct mx_migration_set mx_durable_tables = { "durable", MIGRATIONS,
						    sizeof(MIGRATIONS) / sizeof(MIGRATIONS[0]) };

/* ---- the cursor ---- */

struct cursor {
	const struct mx_sql *sql;
	const char *module;
	mx_pos position;
};

static mx_error *
put(struct mx_txn *tx, void *arg)
{
	const struct cursor *c = arg;
	struct mx_query *q = mx_query(mx_txn_conn(tx), c->sql);

	mx_bind_str(q, 1, mx_str_of(c->module));
	mx_bind_str(q, 2, MX_S(HOOK));
	mx_bind_int(q, 3, c->position);
	return mx_query_run(q);
}

static mx_error *
get(struct mx_conn *c, const char *module, mx_pos *out)
{
	struct mx_query *q = mx_query(c, &GET);

	mx_bind_str(q, 1, mx_str_of(module));
	mx_bind_str(q, 2, MX_S(HOOK));
	*out = mx_query_next(q) ? mx_col_int(q, 0) : -1;
	return mx_query_end(q);
}

static bool
fills(const struct mx_module_self *self)
{
	for (size_t i = 0; i < self->image->hook_count; i++)
		if (self->image->hooks[i].id == MX_HOOK_ID_event_after)
			return true;
	return false;
}

mx_error *
mx_durable_adopt(struct mx_core *core, const struct mx_module_self *self)
{
	struct cursor c = { &BEGIN, self->name, 0 };

	if (core->durable == NULL || !fills(self))
		return NULL;
	c.position = mx_stream_head(core->stream).pos;
	return mx_write_aside(core->db, put, &c);
}

/* ---- telling, on the pool ---- */

/* Whether the turn is to end after the event that it has in hand. */
static bool
ends(const struct follower *f)
{
	return mx_self_leaving(f->self) || !mx_run_is_ours() ||
	       atomic_load_explicit(&f->d->stopping, memory_order_relaxed);
}

static bool
wants(const struct mx_hook_entry *h, mx_str type)
{
	if (h->types == NULL)
		return true;
	for (size_t i = 0; i < h->type_count; i++)
		if (mx_str_eq(h->types[i], type))
			return true;
	return false;
}

/* One event to all rows of the module, in the order of their priority. */
static mx_error *
tell_one(struct mx_module_self *self, struct mx_hook_entry *const *rows, size_t n,
	 struct mx_event *ev, bool *told)
{
	for (size_t i = 0; i < n; i++) {
		struct mx_hook_entry *h = rows[i];
		int64_t began = mx_monotonic_us();
		mx_error *e;

		if (!wants(h, mx_event_type(ev)))
			continue;
		*told = true;
		e = h->fn.event_after(self, ev, mx_event_nid(ev));
		atomic_fetch_add_explicit(&h->calls, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&h->us, (uint64_t)(mx_monotonic_us() - began),
					  memory_order_relaxed);
		if (e != NULL) {
			atomic_fetch_add_explicit(&h->refusals, 1, memory_order_relaxed);
			return e;
		}
	}
	return NULL;
}

static int
by_priority(const void *a, const void *b)
{
	const struct mx_hook_entry *x = *(const struct mx_hook_entry *const *)a,
				   *y = *(const struct mx_hook_entry *const *)b;

	return x->priority != y->priority ? (x->priority < y->priority ? -1 : 1)
					  : (x < y ? -1 : x > y);
}

/* The events of a batch. The cursor moves to the last that was told, after a failure too. */
static mx_error *
tell(struct follower *f, const struct mx_events *l, bool full)
{
	struct mx_image *im = f->self->image;
	struct mx_hook_entry **rows = mx_alloc((im->hook_count + 1) * sizeof(*rows));
	struct cursor c = { &MOVE, f->module, 0 };
	mx_error *e = NULL, *moved = NULL;
	bool told = false;
	size_t n = 0;

	for (size_t i = 0; i < im->hook_count; i++)
		if (im->hooks[i].id == MX_HOOK_ID_event_after)
			rows[n++] = &im->hooks[i];
	qsort(rows, n, sizeof(*rows), by_priority);
	for (size_t i = 0; i < l->n && e == NULL && !ends(f); i++) {
		e = tell_one(f->self, rows, n, l->v[i], &told);
		if (e == NULL)
			c.position = mx_event_nid(l->v[i]);
	}
	free(rows);
	if (c.position == 0)
		return e;
	f->looked = c.position;
	/* What none of its handlers wants is passed over in memory, and read once more after a
	 * restart. */
	if (told || full)
		moved = mx_write_aside(f->d->core->db, put, &c);
	if (e == NULL)
		return moved;
	mx_error_free(&moved);
	return e;
}

static mx_error *
read_batch(struct follower *f, struct mx_events *l)
{
	struct mx_core *core = f->d->core;
	struct mx_conn *c;
	mx_error *e;

	MX_TRY(mx_conn_get(core->db, &c));
	e = f->looked == 0 ? get(c, f->module, &f->looked) : NULL;
	if (e == NULL && f->looked < 0)
		e = mx_error_new(MX_E_UNKNOWN, "it has no cursor");
	if (e == NULL)
		e = f->d->read(core->rooms, c, f->looked, BATCH, l);
	/* Handlers take connections of their own. */
	mx_conn_put(&c);
	return e;
}

/* *more: there is more to tell. */
static mx_error *
tell_batches(struct follower *f, bool *more)
{
	mx_error *e = NULL;

	*more = true;
	for (int i = 0; i < TURN_BATCHES && e == NULL && *more && !ends(f); i++) {
		struct mx_events l = { 0 };

		e = read_batch(f, &l);
		*more = l.n == BATCH;
		if (e == NULL)
			e = tell(f, &l, *more);
		mx_events_clear(&l);
	}
	if (e != NULL || f->looked < 0)
		f->looked = 0;
	return e;
}

/* *wait: another process tells it, and is to be asked for after so long; 0: this one does. */
static mx_error *
turn(struct follower *f, mx_msec *wait, bool *more)
{
	struct mx_leases *ls = f->d->core->leases;
	MX_AUTO(mx_buf) *name = mx_buf_new(0);
	struct mx_lease *lease;
	mx_error *e, *given;

	*wait = 0;
	*more = true;
	if (ls == NULL)
		return tell_batches(f, more);
	mx_buf_printf(name, "%s//" HOOK, f->module);
	e = mx_lease_take(ls, mx_buf_cstr(name), 0, &lease, wait);
	if (lease == NULL)
		return e;
	*wait = 0;
	/* Others may have moved the cursor. */
	f->looked = 0;
	mx_lease_enter(lease);
	e = tell_batches(f, more);
	mx_lease_leave();
	given = mx_lease_give(ls, &lease, 0);
	if (e == NULL)
		return given;
	mx_error_free(&given);
	return e;
}

static mx_msec
pause_after(unsigned failed)
{
	mx_msec ms = PAUSE_MS;

	while (--failed > 0 && ms < PAUSE_MAX_MS)
		ms *= 2;
	return ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
}

static void
run(void *arg)
{
	struct follower *f = arg;
	struct mx_durable *d = f->d;
	struct mx_module_self *self = f->self;
	mx_msec wait;
	bool more;
	mx_error *e = turn(f, &wait, &more);

	pthread_mutex_lock(&d->lock);
	f->failed = e != NULL ? f->failed + 1 : 0;
	if (e != NULL)
		f->due = mx_monotonic_us() + pause_after(f->failed) * 1000;
	else if (wait != 0)
		f->due = mx_monotonic_us() + wait * 1000;
	else
		f->due = more || f->poked || mx_self_leaving(self) ? 0 : INT64_MAX;
	if (e != NULL)
		mx_log("runtime", MX_WARN, "RUN030",
		       "a module has failed to take an event; it is told again",
		       mx_fz("module", f->module), mx_fi("times", f->failed),
		       mx_fi("pause_ms", pause_after(f->failed)), mx_fe(e));
	f->elsewhere = e == NULL && wait != 0;
	f->running = false;
	f->self = NULL;
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	mx_error_free(&e);
	mx_self_unpin(self);
}

/* ---- scheduling ---- */

static struct follower *
follower_of(struct mx_durable *d, const char *module)
{
	struct follower *f;

	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->v[i]->module, module) == 0)
			return d->v[i];
	f = mx_alloc(sizeof(*f));
	f->d = d;
	f->module = mx_str_dup(mx_str_of(module));
	d->v = mx_realloc(d->v, d->n + 1, sizeof(*d->v));
	d->v[d->n++] = f;
	return f;
}

static void
follower_free(struct follower *f)
{
	free(f->module);
	free(f);
}

/* Begins a turn of the module when it is due; when to look at it again. */
static int64_t
look_at(struct mx_durable *d, struct mx_module_self *self, bool poked, int64_t now)
{
	struct follower *f = follower_of(d, self->name);

	f->seen = true;
	if (f->running) {
		f->poked |= poked;
		return INT64_MAX;
	}
	/* Who has failed waits, whatever comes; and another process hears what we hear. */
	if (poked && f->failed == 0 && !f->elsewhere)
		f->due = 0;
	if (f->due > now)
		return f->due;
	f->running = true;
	f->poked = false;
	f->self = self;
	mx_self_pin(self);
	if (!mx_pool_submit(d->pool, run, f)) {
		mx_self_unpin(self);
		f->running = false;
		return now + PAUSE_MS * INT64_C(1000);
	}
	return INT64_MAX;
}

static void
forget_unseen(struct mx_durable *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->n; i++) {
		if (d->v[i]->seen || d->v[i]->running)
			d->v[kept++] = d->v[i];
		else
			follower_free(d->v[i]);
	}
	d->n = kept;
}

/* With the lock held, inside the registry. */
static int64_t
step(struct mx_durable *d, const struct mx_generation *g, bool poked)
{
	const struct mx_hook_list *l = g != NULL ? &g->hooks[MX_HOOK_ID_event_after] : NULL;
	int64_t now = mx_monotonic_us(), next = INT64_MAX;

	for (size_t i = 0; i < d->n; i++)
		d->v[i]->seen = false;
	for (size_t i = 0; l != NULL && i < l->n; i++) {
		bool again = false;

		for (size_t k = 0; k < i; k++)
			again |= l->v[k]->self == l->v[i]->self;
		if (again)
			continue;
		int64_t when = look_at(d, l->v[i]->self, poked, now);

		next = when < next ? when : next;
	}
	forget_unseen(d);
	return next;
}

static void
wait_until(struct mx_durable *d, int64_t us)
{
	struct timespec until;

	if (us == INT64_MAX) {
		pthread_cond_wait(&d->changed, &d->lock);
		return;
	}
	/* mx_monotonic_us may be a test's clock; this one is not. */
	us -= mx_monotonic_us();
	us = us < 1000 ? 1000 : us;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += us / 1000000;
	until.tv_nsec += us % 1000000 * 1000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&d->changed, &d->lock, &until);
}

static void *
schedule(void *arg)
{
	struct mx_durable *d = arg;

	pthread_setname_np(pthread_self(), "mx-durable");
	for (;;) {
		unsigned ticket;
		struct mx_generation *g = mx_registry_enter(d->core, &ticket);
		bool stop;
		int64_t next;

		pthread_mutex_lock(&d->lock);
		stop = atomic_load(&d->stopping);
		next = stop ? INT64_MAX : step(d, g, atomic_exchange(&d->poked, false));
		pthread_mutex_unlock(&d->lock);
		mx_registry_leave(d->core, ticket);
		if (stop)
			return NULL;
		pthread_mutex_lock(&d->lock);
		/* A turn may have ended in between. */
		for (size_t i = 0; i < d->n; i++)
			if (!d->v[i]->running && d->v[i]->due < next)
				next = d->v[i]->due;
		if (!atomic_load(&d->stopping) && !atomic_load(&d->poked))
			wait_until(d, next);
		pthread_mutex_unlock(&d->lock);
	}
}

/* ---- life ---- */

mx_error *
mx_durable_foreign(void *core, struct mx_conn *c, mx_pos since, mx_pos upto)
{
	(void)c;
	(void)since;
	(void)upto;
	mx_durable_poke(core);
	return NULL;
}

void
mx_durable_new(struct mx_core *core, mx_durable_read_fn *read)
{
	struct mx_durable *d = mx_alloc(sizeof(*d));
	pthread_condattr_t attr;

	d->core = core;
	d->read = read;
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&d->changed, &attr);
	pthread_condattr_destroy(&attr);
	core->durable = d;
}

mx_error *
mx_durable_changed(struct mx_core *core)
{
	struct mx_durable *d = core->durable;
	int why;

	if (d == NULL || !d->started || atomic_load(&d->stopping))
		return NULL;
	if (!d->threads) {
		if ((atomic_load(&core->hooked) >> MX_HOOK_ID_event_after & 1) == 0)
			return NULL;
		d->pool = mx_pool_new("durable", THREADS, 5);
		why = pthread_create(&d->thread, NULL, schedule, d);
		if (why != 0) {
			mx_pool_stop(&d->pool);
			return mx_error_new(MX_E_UNKNOWN, "cannot start a thread: %s",
					    strerror(why));
		}
		d->threads = true;
	}
	mx_durable_poke(core);
	return NULL;
}

mx_error *
mx_durable_start(struct mx_core *core)
{
	core->durable->started = true;
	return mx_durable_changed(core);
}

void
mx_durable_poke(struct mx_core *core)
{
	struct mx_durable *d = core->durable;

	if (d == NULL || atomic_exchange(&d->poked, true))
		return;
	pthread_mutex_lock(&d->lock);
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

void
mx_durable_stop(struct mx_core *core)
{
	struct mx_durable *d = core->durable;

	if (d == NULL)
		return;
	pthread_mutex_lock(&d->lock);
	atomic_store(&d->stopping, true);
	pthread_cond_broadcast(&d->changed);
	pthread_mutex_unlock(&d->lock);
	if (!d->threads)
		return;
	pthread_join(d->thread, NULL);
	mx_pool_stop(&d->pool);
	d->threads = false;
}

void
mx_durable_free(struct mx_core *core)
{
	struct mx_durable *d = core->durable;

	core->durable = NULL;
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n; i++)
		follower_free(d->v[i]);
	free(d->v);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	free(d);
}
