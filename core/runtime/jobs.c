#include "config.h"

#include "core/runtime/jobs.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "core/runtime/lease.h"
#include "core/runtime/pool.h"
#include "core/runtime/registry.h"

enum {
	THREADS = 2,
	FIRST_MAX_MS = 60000,
	BACKOFF_MAX_MS = 3600000,
	LOOK_AGAIN_MS = 3600000,
	BEHIND_MS = 1000	/* at most, where others run the job too: who looks later than it ended */
};

/* What is known of a job, across generations of its module. Guarded by the lock. */
struct job {
	struct mx_jobs *jobs;
	char *key;			/* "module/name" */
	char *module, *name;
	mx_msec every;
	int64_t due, began;		/* microseconds */
	unsigned failed;		/* times in a row */
	uint64_t runs, failures;
	bool running, warned, seen;
	bool blind;			/* it could not be asked whose it is */
	uint32_t who;
	mx_error *(*run)(struct mx_module_self *self);	/* of the run that is going on */
	struct mx_module_self *self;			/* pinned for it */
};

struct mx_jobs {
	struct mx_core *core;
	struct mx_pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool started, stopping, poked;
	struct job **v;
	size_t n;
	/* What somebody was at when we came: perhaps he is dead. */
	char **left;
	size_t left_n;
};

void
mx_jobs_new(struct mx_core *core)
{
	struct mx_jobs *js = mx_alloc(sizeof(*js));
	pthread_condattr_t attr;

	js->core = core;
	js->pool = mx_pool_new("jobs", THREADS, 5);
	pthread_mutex_init(&js->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&js->changed, &attr);
	pthread_condattr_destroy(&attr);
	core->jobs = js;
}

/* A number from 0 to range. */
static int64_t
chance(int64_t range)
{
	uint32_t r;

	mx_random(&r, sizeof(r));
	return range > 0 ? (int64_t)(r % (uint64_t)(range + 1)) : 0;
}

/* The pause after a run that was the n-th in a row to fail. */
static mx_msec
rest_after(const struct job *j, unsigned n)
{
	mx_msec ms = j->every;

	for (unsigned i = 0; i < n && ms < BACKOFF_MAX_MS; i++)
		ms = ms * 2 < BACKOFF_MAX_MS ? ms * 2 : BACKOFF_MAX_MS;
	return ms;
}

/* In microseconds. */
static int64_t
pause_after(const struct job *j)
{
	mx_msec ms = rest_after(j, j->failed);

	return (ms + chance(ms / 10)) * 1000;
}

/* ---- a run, on the pool ---- */

/* A run, if it is this process's to do; otherwise *wait says when to ask again. */
static mx_error *
run_leased(struct job *j, mx_msec *wait)
{
	struct mx_leases *ls = j->jobs->core->leases;
	mx_msec longest = j->every > BACKOFF_MAX_MS ? j->every : BACKOFF_MAX_MS;
	struct mx_lease *lease;
	mx_error *e, *given;

	*wait = 0;
	if (ls == NULL || j->who == MX_EVERY_PROCESS)
		return j->run(j->self);
	e = mx_lease_take(ls, j->key, longest, &lease, wait);
	if (lease == NULL) {
		*wait += chance(j->every / 10 < BEHIND_MS ? j->every / 10 : BEHIND_MS);
		return e;
	}
	*wait = 0;
	mx_lease_enter(lease);
	e = j->run(j->self);
	mx_lease_leave();
	given = mx_lease_give(ls, &lease, rest_after(j, e != NULL ? j->failed + 1 : 0));
	if (e == NULL)
		e = given;
	else
		mx_error_free(&given);
	return e;
}

/* What became of the run, with the lock held. It may have been another process's. */
static void
note_run(struct job *j, const mx_error *e, mx_msec wait)
{
	if (wait == 0) {
		j->runs++;
		j->failures += e != NULL;
		j->failed = e != NULL ? j->failed + 1 : 0;
	}
	j->blind = wait != 0 && e != NULL;
	j->due = mx_monotonic_us() + (wait != 0 ? wait * 1000 : pause_after(j));
}

static void
run(void *arg)
{
	struct job *j = arg;
	struct mx_jobs *js = j->jobs;
	struct mx_module_self *self = j->self;
	mx_msec wait;
	mx_error *e = run_leased(j, &wait);

	/* Of a database that is away it is told once. */
	if (e != NULL && (wait == 0 || !j->blind))
		mx_log("runtime", MX_WARN, "RUN020", "job failed", mx_fz("module", j->module),
		       mx_fz("job", j->name), mx_fe(e));
	pthread_mutex_lock(&js->lock);
	j->running = false;
	j->self = NULL;
	note_run(j, e, wait);
	js->poked = true;
	pthread_cond_broadcast(&js->changed);
	pthread_mutex_unlock(&js->lock);
	mx_error_free(&e);
	mx_self_unpin(self);
}

/* ---- scheduling ---- */

static void
job_free(struct job *j)
{
	free(j->key);
	free(j->module);
	free(j->name);
	free(j);
}

static bool
left_behind(const struct mx_jobs *js, const char *key)
{
	for (size_t i = 0; i < js->left_n; i++)
		if (strcmp(js->left[i], key) == 0)
			return true;
	return false;
}

static struct job *
job_of(struct mx_jobs *js, const struct mx_module_self *self, const struct mx_job_row *row,
       int64_t now)
{
	struct job *j;
	mx_msec first = row->every < FIRST_MAX_MS ? row->every : FIRST_MAX_MS;

	for (size_t i = 0; i < js->n; i++)
		if (strcmp(js->v[i]->module, self->name) == 0 &&
		    strcmp(js->v[i]->name, row->name) == 0)
			return js->v[i];
	j = mx_alloc(sizeof(*j));
	j->jobs = js;
	j->module = mx_str_dup(mx_str_of(self->name));
	j->name = mx_str_dup(mx_str_of(row->name));
	if (asprintf(&j->key, "%s/%s", j->module, j->name) < 0)
		abort();
	j->due = now + (first / 2 + chance(first / 2)) * 1000;
	if (left_behind(js, j->key))
		j->due = now;
	js->v = mx_realloc(js->v, js->n + 1, sizeof(*js->v));
	js->v[js->n++] = j;
	return j;
}

static void
overrun(struct job *j, int64_t now)
{
	if (j->warned || now - j->began <= j->every * 1000)
		return;
	j->warned = true;
	mx_log("runtime", MX_WARN, "RUN021", "job runs longer than its interval",
	       mx_fz("module", j->module), mx_fz("job", j->name), mx_fi("every_ms", j->every),
	       mx_fi("so_far_ms", (now - j->began) / 1000));
}

/* Begins the job if it is due; returns when to look at it again. */
static int64_t
look_at(struct mx_jobs *js, struct job *j, struct mx_module_self *self,
	const struct mx_job_row *row, int64_t now)
{
	j->seen = true;
	if (j->running) {
		overrun(j, now);
		return j->warned ? INT64_MAX : j->began + j->every * 1000 + 1;
	}
	/* The run looks at them without the lock. */
	j->every = row->every;
	j->who = row->who;
	if (j->due > now || js->stopping)
		return j->due;
	j->run = row->run;
	j->self = self;
	j->began = now;
	j->running = true;
	j->warned = false;
	mx_self_pin(self);
	if (!mx_pool_submit(js->pool, run, j)) {
		mx_self_unpin(self);
		j->running = false;
		j->due = now + pause_after(j);
		return j->due;
	}
	return j->began + j->every * 1000 + 1;
}

static void
forget_unseen(struct mx_jobs *js)
{
	size_t kept = 0;

	for (size_t i = 0; i < js->n; i++) {
		if (js->v[i]->seen || js->v[i]->running)
			js->v[kept++] = js->v[i];
		else
			job_free(js->v[i]);
	}
	js->n = kept;
}

int64_t
mx_jobs_step(struct mx_core *core, int64_t now)
{
	struct mx_jobs *js = core->jobs;
	int64_t next = now + LOOK_AGAIN_MS * INT64_C(1000);
	unsigned ticket;
	struct mx_generation *g = mx_registry_enter(core, &ticket);

	pthread_mutex_lock(&js->lock);
	for (size_t i = 0; i < js->n; i++)
		js->v[i]->seen = false;
	for (size_t i = 0; g != NULL && i < g->module_count; i++) {
		struct mx_module_self *self = g->modules[i];

		for (size_t k = 0; k < self->image->job_count; k++) {
			const struct mx_job_row *row = &self->image->jobs[k];
			int64_t when = look_at(js, job_of(js, self, row, now), self, row, now);

			if (when < next)
				next = when;
		}
	}
	forget_unseen(js);
	pthread_mutex_unlock(&js->lock);
	mx_registry_leave(core, ticket);
	return next;
}

static void *
schedule(void *arg)
{
	struct mx_jobs *js = arg;

	pthread_setname_np(pthread_self(), "mx-jobs");
	pthread_mutex_lock(&js->lock);
	while (!js->stopping) {
		int64_t next;
		struct timespec until;

		js->poked = false;
		pthread_mutex_unlock(&js->lock);
		next = mx_jobs_step(js->core, mx_monotonic_us());
		pthread_mutex_lock(&js->lock);
		clock_gettime(CLOCK_MONOTONIC, &until);
		next -= mx_monotonic_us();
		next = next < 1000 ? 1000 : next;
		until.tv_sec += next / 1000000;
		until.tv_nsec += next % 1000000 * 1000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		while (!js->stopping && !js->poked &&
		       pthread_cond_timedwait(&js->changed, &js->lock, &until) == 0)
			continue;
	}
	pthread_mutex_unlock(&js->lock);
	return NULL;
}

static void
note_left(void *arg, mx_str name)
{
	struct mx_jobs *js = arg;

	js->left = mx_realloc(js->left, js->left_n + 1, sizeof(*js->left));
	js->left[js->left_n++] = mx_str_dup(name);
}

mx_error *
mx_jobs_start(struct mx_core *core)
{
	struct mx_jobs *js = core->jobs;
	int why;

	if (core->leases != NULL)
		MX_TRY(mx_leases_held(core->leases, note_left, js));
	why = pthread_create(&js->thread, NULL, schedule, js);
	if (why != 0)
		return mx_error_new(MX_E_UNKNOWN, "cannot start a thread: %s", strerror(why));
	js->started = true;
	return NULL;
}

void
mx_jobs_poke(struct mx_core *core)
{
	struct mx_jobs *js = core->jobs;

	if (js == NULL)
		return;
	pthread_mutex_lock(&js->lock);
	js->poked = true;
	pthread_cond_broadcast(&js->changed);
	pthread_mutex_unlock(&js->lock);
}

void
mx_jobs_stop(struct mx_core *core)
{
	struct mx_jobs *js = core->jobs;

	if (js == NULL)
		return;
	pthread_mutex_lock(&js->lock);
	js->stopping = true;
	pthread_cond_broadcast(&js->changed);
	pthread_mutex_unlock(&js->lock);
	if (js->started)
		pthread_join(js->thread, NULL);
	mx_pool_stop(&js->pool);
	core->jobs = NULL;
	for (size_t i = 0; i < js->n; i++)
		job_free(js->v[i]);
	free(js->v);
	for (size_t i = 0; i < js->left_n; i++)
		free(js->left[i]);
	free(js->left);
	pthread_cond_destroy(&js->changed);
	pthread_mutex_destroy(&js->lock);
	free(js);
}

void
mx_jobs_each(struct mx_core *core, void (*fn)(void *arg, const struct mx_job_stats *st), void *arg)
{
	struct mx_jobs *js = core->jobs;
	int64_t now = mx_monotonic_us();

	if (js == NULL)
		return;
	pthread_mutex_lock(&js->lock);
	for (size_t i = 0; i < js->n; i++) {
		const struct job *j = js->v[i];
		struct mx_job_stats st = { j->module, j->name, j->runs, j->failures, j->running,
					   j->running || j->due < now ? 0 : (j->due - now) / 1000 };

		fn(arg, &st);
	}
	pthread_mutex_unlock(&js->lock);
}
