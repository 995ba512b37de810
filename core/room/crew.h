/* Several threads for one computation. Who asks works too, so that nothing waits for threads that
 * are busy with somebody else's. */
#ifndef CORE_ROOM_CREW_H
#define CORE_ROOM_CREW_H

#include <myelin/base.h>

struct mx_crews;

enum mx_crew {
	MX_CREW_COMPUTE,	/* one thread a core */
	MX_CREW_WAIT,		/* for what waits for other servers */
	MX_CREW_COUNT
};

/* Threads are started when there is work for them. */
struct mx_crews *mx_crews_new(void);
void mx_crews_free(struct mx_crews **c);
/* Runs fn(arg, i) for every i below n, on several threads in no order; returns when all are done. */
void mx_crew_run(struct mx_crews *c, enum mx_crew which, void (*fn)(void *arg, size_t i), void *arg,
		 size_t n);

#endif
