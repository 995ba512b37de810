/* Threads that run what may block. A pool has a fixed number of threads and two lanes: what comes
 * from outside goes first, what a wake-up brought back (a thousand waiting syncs at once) gets
 * every fourth turn, so that neither waits for long. Threads that have nothing to do sleep; one
 * is woken at a time, and wakes the next before it starts to work, so that short jobs are done by
 * few threads and blocking ones by many. */
#ifndef CORE_RUNTIME_POOL_H
#define CORE_RUNTIME_POOL_H

#include <myelin/error.h>

struct mx_pool;

/* A job whose memory is the caller's: part of the thing that it works on. One job is in one pool
 * once. */
struct mx_pool_job {
	struct mx_pool_job *next;
	void (*run)(struct mx_pool_job *job);
};

enum mx_pool_lane { MX_LANE_FRESH = 0, MX_LANE_AGAIN = 1 };

struct mx_pool_stats {
	uint64_t done;
	size_t queued, busy, threads;
};

/* name: up to 10 characters, shown by ps and gdb. nice: added to the threads' nice value. */
struct mx_pool *mx_pool_new(const char *name, unsigned threads, int nice);
/* Runs fn(arg) soon. False when the pool is stopping or as many as its limit (10,000 by default)
 * wait: then fn will not run. */
bool mx_pool_submit(struct mx_pool *p, void (*fn)(void *arg), void *arg) MX_MUST_USE;
void mx_pool_set_limit(struct mx_pool *p, size_t limit);
/* Queues a job without a limit: for callers whose number of jobs is bounded already. Never after
 * mx_pool_stop. */
void mx_pool_push(struct mx_pool *p, struct mx_pool_job *job, enum mx_pool_lane lane);
/* What is queued now, without waiting. */
size_t mx_pool_queued(const struct mx_pool *p);
void mx_pool_stats(struct mx_pool *p, struct mx_pool_stats *out);
/* Runs what is queued, ends the threads, frees the pool. */
void mx_pool_stop(struct mx_pool **p);

#endif
