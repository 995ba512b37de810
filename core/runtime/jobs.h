/* The jobs of the loaded modules: run again and again, one run of a job at a time, with jitter, a
 * pause that doubles while they fail, and a warning when one takes longer than its interval. One
 * thread schedules, a small pool runs. */
#ifndef CORE_RUNTIME_JOBS_H
#define CORE_RUNTIME_JOBS_H

#include "core/runtime/core.h"

struct mx_jobs;

/* core->jobs is set. Without mx_jobs_start nothing runs but by mx_jobs_step. */
void mx_jobs_new(struct mx_core *core);
mx_error *mx_jobs_start(struct mx_core *core) MX_MUST_USE;
/* Waits for the runs that have begun. */
void mx_jobs_stop(struct mx_core *core);
/* The registry has changed: look again. */
void mx_jobs_poke(struct mx_core *core);

/* Begins what is due at this time (mx_monotonic_us) and returns when to look again. For the
 * scheduler and for tests. */
int64_t mx_jobs_step(struct mx_core *core, int64_t now_us);

struct mx_job_stats {
	const char *module, *name;
	uint64_t runs, failures;
	bool running;
	mx_msec due_in;			/* from now */
};
/* Calls fn for each job. */
void mx_jobs_each(struct mx_core *core, void (*fn)(void *arg, const struct mx_job_stats *st),
		  void *arg);

#endif
