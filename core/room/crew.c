#include "config.h"

#include "core/room/crew.h"

#include "core/runtime/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_CORES 16
#define WAITERS 16

struct mx_crews {
	pthread_mutex_t lock;
	struct mx_pool *pools[MX_CREW_COUNT];	/* NULL: not needed yet, or without threads */
	unsigned threads[MX_CREW_COUNT];	/* besides who asks */
};

/* One computation. A thread that comes late finds nothing left to take, and only lets go. */
struct task {
	void (*fn)(void *arg, size_t i);
	void *arg;
	size_t n;
	atomic_size_t next;
	_Atomic unsigned refs;
	pthread_mutex_t lock;
	pthread_cond_t finished;
	size_t done;
};

struct mx_crews *
mx_crews_new(void)
{
	struct mx_crews *c = mx_alloc(sizeof(*c));
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	pthread_mutex_init(&c->lock, NULL);
	cores = cores < 1 ? 1 : cores > MAX_CORES ? MAX_CORES : cores;
	c->threads[MX_CREW_COMPUTE] = (unsigned)cores - 1;
	c->threads[MX_CREW_WAIT] = WAITERS - 1;
	return c;
}

void
mx_crews_free(struct mx_crews **cp)
{
	struct mx_crews *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	for (size_t i = 0; i < MX_CREW_COUNT; i++)
		mx_pool_stop(&c->pools[i]);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct mx_pool *
pool(struct mx_crews *c, enum mx_crew which)
{
	static const char *const names[] = { [MX_CREW_COMPUTE] = "check", [MX_CREW_WAIT] = "keys" };

	pthread_mutex_lock(&c->lock);
	if (c->pools[which] == NULL && c->threads[which] > 0)
		c->pools[which] = mx_pool_new(names[which], c->threads[which], 0);
	struct mx_pool *p = c->pools[which];

	pthread_mutex_unlock(&c->lock);
	return p;
}

static void
let_go(struct task *t)
{
	if (atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	pthread_cond_destroy(&t->finished);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static void
take_some(struct task *t)
{
	size_t done = 0, i;

	while ((i = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed)) < t->n) {
		t->fn(t->arg, i);
		done++;
	}
	if (done == 0)
		return;
	pthread_mutex_lock(&t->lock);
	t->done += done;
	if (t->done == t->n)
		pthread_cond_signal(&t->finished);
	pthread_mutex_unlock(&t->lock);
}

static void
help(void *arg)
{
	struct task *t = arg;

	take_some(t);
	let_go(t);
}

void
mx_crew_run(struct mx_crews *c, enum mx_crew which, void (*fn)(void *arg, size_t i), void *arg,
	    size_t n)
{
	struct mx_pool *p = n > 1 ? pool(c, which) : NULL;

	if (p == NULL) {
		for (size_t i = 0; i < n; i++)
			fn(arg, i);
		return;
	}
	struct task *t = mx_alloc(sizeof(*t));

	t->fn = fn;
	t->arg = arg;
	t->n = n;
	atomic_init(&t->next, 0);
	atomic_init(&t->refs, 1);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->finished, NULL);
	for (size_t i = 0; i < c->threads[which] && i + 1 < n; i++) {
		atomic_fetch_add(&t->refs, 1);
		if (!mx_pool_submit(p, help, t))
			atomic_fetch_sub(&t->refs, 1);
	}
	take_some(t);
	pthread_mutex_lock(&t->lock);
	while (t->done < t->n)
		pthread_cond_wait(&t->finished, &t->lock);
	pthread_mutex_unlock(&t->lock);
	let_go(t);
}
