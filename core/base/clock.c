#include "config.h"

#include <stdatomic.h>
#include <time.h>

#include "core/base/clock.h"

static _Atomic(const struct mx_clock *) replacement;

static _Atomic mx_msec shift;

void
mx_clock_shift(mx_msec ms)
{
	atomic_store_explicit(&shift, ms, memory_order_relaxed);
}

mx_msec
mx_clock_shifted(void)
{
	return atomic_load_explicit(&shift, memory_order_relaxed);
}

void
mx_clock_replace(const struct mx_clock *clock)
{
	atomic_store(&replacement, clock);
}

mx_msec
mx_now(void)
{
	const struct mx_clock *clock = atomic_load_explicit(&replacement, memory_order_acquire);
	struct timespec t;

	if (clock != NULL)
		return clock->now(clock->arg) + mx_clock_shifted();
	clock_gettime(CLOCK_REALTIME, &t);
	return (mx_msec)t.tv_sec * 1000 + t.tv_nsec / 1000000 + mx_clock_shifted();
}

static int64_t
monotonic(clockid_t id)
{
	const struct mx_clock *clock = atomic_load_explicit(&replacement, memory_order_acquire);
	struct timespec t;

	if (clock != NULL)
		return clock->monotonic_us(clock->arg);
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
mx_monotonic_us(void)
{
	return monotonic(CLOCK_MONOTONIC);
}

int64_t
mx_monotonic_coarse_us(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
	return monotonic(CLOCK_MONOTONIC_COARSE);
#else
	return monotonic(CLOCK_MONOTONIC);
#endif
}
