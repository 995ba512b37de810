/* What a test or a simulation puts in the place of time and chance. Set them before other threads
 * run; NULL brings the real ones back. What is set must stay valid and must be callable from any
 * thread. */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

#include <myelin/base.h>

struct mx_clock {
	mx_msec (*now)(void *arg);
	int64_t (*monotonic_us)(void *arg);
	void *arg;
};

struct mx_chance {
	void (*fill)(void *arg, void *p, size_t n);
	void *arg;
};

/* mx_monotonic_us in steps of some milliseconds, for a few nanoseconds: what is measured with it very
 * often is right on the average. */
int64_t mx_monotonic_coarse_us(void);

/* What mx_now adds to the system's clock: for who finds out that it has been set wrong. Any thread. */
void mx_clock_shift(mx_msec ms);
mx_msec mx_clock_shifted(void);
void mx_clock_replace(const struct mx_clock *clock);
void mx_chance_replace(const struct mx_chance *chance);

#endif
