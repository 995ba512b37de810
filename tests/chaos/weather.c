/* Preloaded into a server by chaos.py, which changes the weather while it runs: the file that
 * MYELIN_WEATHER names says how far the clock is off, and whether the disk is full (what would make
 * a file grow has no room; the rest goes on) or fails to sync. Nothing is changed before it is said.
 *
 *	cc -shared -fPIC -o weather.so weather.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FAIR, FULL, UNSYNCED };

struct weather {
	_Atomic int64_t skew_ms;
	_Atomic int64_t disk;
};

static struct weather fair;
static struct weather *weather = &fair;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void
look_out(void)
{
	const char *path = getenv("MYELIN_WEATHER");
	int fd = path != NULL ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;

	real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	if (fd < 0)
		return;
	long map = syscall(SYS_mmap, NULL, sizeof(struct weather), PROT_READ, MAP_SHARED, fd, 0);

	if (map > 0)
		weather = (struct weather *)map;
	syscall(SYS_close, fd);
}

int
clock_gettime(clockid_t clock, struct timespec *t)
{
	int rc = real_clock_gettime != NULL ? real_clock_gettime(clock, t)
					    : (int)syscall(SYS_clock_gettime, clock, t);
	int64_t skew = atomic_load_explicit(&weather->skew_ms, memory_order_relaxed);

	if (rc == 0 && skew != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
		int64_t ns = t->tv_nsec + skew % 1000 * 1000000;

		t->tv_sec += (time_t)(skew / 1000) - (ns < 0) + (ns >= 1000000000);
		t->tv_nsec = ns + (ns < 0 ? 1000000000 : 0) - (ns >= 1000000000 ? 1000000000 : 0);
	}
	return rc;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &t) != 0)
		return -1;
	*tv = (struct timeval){ .tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000 };
	return 0;
}

time_t
time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out != NULL)
		*out = t.tv_sec;
	return t.tv_sec;
}

/* Whether n bytes at `at` would need room that a full disk does not have. */
static int
no_room(int fd, size_t n, off_t at)
{
	struct stat st;

	if (atomic_load_explicit(&weather->disk, memory_order_relaxed) != FULL)
		return 0;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || at + (off_t)n <= st.st_size)
		return 0;
	errno = ENOSPC;
	return 1;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return no_room(fd, n, at) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return pwrite(fd, p, n, at);
}

ssize_t
pwritev(int fd, const struct iovec *v, int count, off_t at)
{
	size_t n = 0;

	for (int i = 0; i < count; i++)
		n += v[i].iov_len;
	return no_room(fd, n, at) ? -1 : (ssize_t)syscall(SYS_pwritev, fd, v, count, at, 0L);
}

ssize_t
pwritev64(int fd, const struct iovec *v, int count, off_t at)
{
	return pwritev(fd, v, count, at);
}

static int
unsynced(void)
{
	if (atomic_load_explicit(&weather->disk, memory_order_relaxed) != UNSYNCED)
		return 0;
	errno = EIO;
	return 1;
}

int
fsync(int fd)
{
	return unsynced() ? -1 : (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	return unsynced() ? -1 : (int)syscall(SYS_fdatasync, fd);
}
