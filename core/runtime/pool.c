#include "config.h"

#include "core/runtime/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct worker {
	struct mx_pool *pool;
	pthread_t thread;
	pthread_cond_t wake;
	struct worker *next_idle;
	bool woken;
};

struct lane {
	struct mx_pool_job *first, **last;
};

struct mx_pool {
	pthread_mutex_t lock;
	struct lane lanes[2];
	struct worker *idle;		/* the one that slept last comes first: its caches are warm */
	bool waking;			/* one was woken and has not looked at the queue yet */
	bool stopping;
	unsigned turn;
	unsigned threads, busy;
	int nice;
	uint64_t done;
	size_t limit;
	atomic_size_t queued;
	char name[11];
	struct worker workers[];
};

/* A job made by mx_pool_submit. */
struct call {
	struct mx_pool_job job;
	void (*fn)(void *arg);
	void *arg;
};

enum { FRESH_TURNS = 3 };	/* jobs of the first lane for one of the second */

static struct mx_pool_job *
lane_take(struct lane *lane)
{
	struct mx_pool_job *job = lane->first;

	if (job != NULL) {
		lane->first = job->next;
		if (lane->first == NULL)
			lane->last = &lane->first;
	}
	return job;
}

static struct mx_pool_job *
take(struct mx_pool *p)
{
	struct mx_pool_job *job = NULL;

	if (p->lanes[MX_LANE_AGAIN].first != NULL && p->turn >= FRESH_TURNS) {
		p->turn = 0;
		job = lane_take(&p->lanes[MX_LANE_AGAIN]);
	}
	if (job == NULL && (job = lane_take(&p->lanes[MX_LANE_FRESH])) != NULL)
		p->turn++;
	if (job == NULL)
		job = lane_take(&p->lanes[MX_LANE_AGAIN]);
	if (job != NULL)
		atomic_fetch_sub_explicit(&p->queued, 1, memory_order_relaxed);
	return job;
}

static bool
empty(const struct mx_pool *p)
{
	return p->lanes[0].first == NULL && p->lanes[1].first == NULL;
}

/* Which sleeper to signal once the lock is released, or NULL. */
static struct worker *
choose(struct mx_pool *p)
{
	struct worker *w = p->idle;

	if (w == NULL || p->waking)
		return NULL;
	p->idle = w->next_idle;
	p->waking = true;
	w->woken = true;
	return w;
}

static void
sleep_until_woken(struct mx_pool *p, struct worker *self)
{
	self->next_idle = p->idle;
	p->idle = self;
	while (!self->woken)
		pthread_cond_wait(&self->wake, &p->lock);
	self->woken = false;
	p->waking = false;
}

static void *
work(void *arg)
{
	struct worker *self = arg;
	struct mx_pool *p = self->pool;

	/* On Linux the nice value belongs to the thread. */
	if (p->nice != 0)
		(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), p->nice);
	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct mx_pool_job *job = take(p);
		struct worker *next;

		if (job == NULL) {
			if (p->stopping)
				break;
			sleep_until_woken(p, self);
			continue;
		}
		next = empty(p) ? NULL : choose(p);
		p->busy++;
		pthread_mutex_unlock(&p->lock);
		if (next != NULL)
			pthread_cond_signal(&next->wake);
		job->run(job);
		pthread_mutex_lock(&p->lock);
		p->busy--;
		p->done++;
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static void
start_worker(struct mx_pool *p, unsigned i)
{
	struct worker *w = &p->workers[i];
	char name[16];

	w->pool = p;
	pthread_cond_init(&w->wake, NULL);
	if (pthread_create(&w->thread, NULL, work, w) != 0)
		abort();
	(void)snprintf(name, sizeof(name), "%.10s-%u", p->name, i % 1000);
	(void)pthread_setname_np(w->thread, name);
}

struct mx_pool *
mx_pool_new(const char *name, unsigned threads, int nice)
{
	struct mx_pool *p = mx_alloc(sizeof(*p) + threads * sizeof(p->workers[0]));
	sigset_t all, before;

	pthread_mutex_init(&p->lock, NULL);
	for (size_t i = 0; i < 2; i++)
		p->lanes[i].last = &p->lanes[i].first;
	p->threads = threads;
	p->nice = nice;
	p->limit = 10000;
	(void)snprintf(p->name, sizeof(p->name), "%.10s", name);
	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < threads; i++)
		start_worker(p, i);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return p;
}

void
mx_pool_set_limit(struct mx_pool *p, size_t limit)
{
	pthread_mutex_lock(&p->lock);
	p->limit = limit;
	pthread_mutex_unlock(&p->lock);
}

/* Called with the lock held, releases it. */
static void
enqueue(struct mx_pool *p, struct mx_pool_job *job, enum mx_pool_lane lane)
{
	struct worker *w;

	job->next = NULL;
	*p->lanes[lane].last = job;
	p->lanes[lane].last = &job->next;
	atomic_fetch_add_explicit(&p->queued, 1, memory_order_relaxed);
	w = choose(p);
	pthread_mutex_unlock(&p->lock);
	if (w != NULL)
		pthread_cond_signal(&w->wake);
}

void
mx_pool_push(struct mx_pool *p, struct mx_pool_job *job, enum mx_pool_lane lane)
{
	pthread_mutex_lock(&p->lock);
	enqueue(p, job, lane);
}

static void
run_call(struct mx_pool_job *job)
{
	struct call *c = (struct call *)job;
	void (*fn)(void *) = c->fn;
	void *arg = c->arg;

	free(c);
	fn(arg);
}

bool
mx_pool_submit(struct mx_pool *p, void (*fn)(void *arg), void *arg)
{
	struct call *c = mx_alloc(sizeof(*c));

	c->job.run = run_call;
	c->fn = fn;
	c->arg = arg;
	pthread_mutex_lock(&p->lock);
	if (p->stopping || atomic_load_explicit(&p->queued, memory_order_relaxed) >= p->limit) {
		pthread_mutex_unlock(&p->lock);
		free(c);
		return false;
	}
	enqueue(p, &c->job, MX_LANE_FRESH);
	return true;
}

size_t
mx_pool_queued(const struct mx_pool *p)
{
	return atomic_load_explicit(&p->queued, memory_order_relaxed);
}

void
mx_pool_stats(struct mx_pool *p, struct mx_pool_stats *out)
{
	pthread_mutex_lock(&p->lock);
	out->done = p->done;
	out->busy = p->busy;
	out->threads = p->threads;
	out->queued = mx_pool_queued(p);
	pthread_mutex_unlock(&p->lock);
}

void
mx_pool_stop(struct mx_pool **pool)
{
	struct mx_pool *p = *pool;

	if (p == NULL)
		return;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	for (struct worker *w = p->idle; w != NULL; w = w->next_idle) {
		w->woken = true;
		pthread_cond_signal(&w->wake);
	}
	p->idle = NULL;
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads; i++) {
		pthread_join(p->workers[i].thread, NULL);
		pthread_cond_destroy(&p->workers[i].wake);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
	*pool = NULL;
}
