/* The rows of a message, as the programs here write them, and their clock. */
#ifndef TESTS_BENCH_ROWS_H
#define TESTS_BENCH_ROWS_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define BENCH_EVENT_BYTES 800
#define BENCH_TABLES(key, blob, unkeyed)                                                           \
	"CREATE TABLE event (nid " key ", room BIGINT NOT NULL, id TEXT NOT NULL, json " blob " NOT NULL);\n" \
	"CREATE UNIQUE INDEX event_id ON event (id);\n"                                            \
	"CREATE UNIQUE INDEX event_room ON event (room, nid);\n"                                   \
	"CREATE TABLE txn (device BIGINT NOT NULL, id TEXT NOT NULL, event BIGINT NOT NULL, PRIMARY KEY (device, id)) " \
	unkeyed ";\n"
#define BENCH_TABLES_SQLITE BENCH_TABLES("INTEGER PRIMARY KEY", "BLOB", "WITHOUT ROWID")
#define BENCH_ADD_EVENT(p)                                                                         \
	"INSERT INTO event (nid, room, id, json) VALUES (" p "1, " p "2, " p "3, " p "4)"
#define BENCH_ADD_TXN(p) "INSERT INTO txn (device, id, event) VALUES (" p "1, " p "2, " p "3)"

struct bench_clock {
	struct timespec wall;
	struct rusage used;
};

static inline struct bench_clock
bench_start(void)
{
	struct bench_clock c;

	clock_gettime(CLOCK_MONOTONIC, &c.wall);
	getrusage(RUSAGE_SELF, &c.used);
	return c;
}

static inline double
bench_cpu(const struct rusage *u)
{
	return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
	       (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static inline void
bench_print(const char *what, long n, const struct bench_clock *start)
{
	struct bench_clock now = bench_start();
	double wall = (double)(now.wall.tv_sec - start->wall.tv_sec) +
		      (double)(now.wall.tv_nsec - start->wall.tv_nsec) / 1e9;
	double cpu = bench_cpu(&now.used) - bench_cpu(&start->used);

	printf("%-28s %7.0f messages/s  %5.1f us CPU each\n", what, (double)n / wall,
	       cpu / (double)n * 1e6);
}

/* Ids in no order, as hashes are. */
static inline void
bench_id(char out[64], long i)
{
	uint64_t x = (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15);

	x ^= x >> 29;
	x *= UINT64_C(0xbf58476d1ce4e5b9);
	snprintf(out, 64, "$%016llx%016llx%011ld", (unsigned long long)x,
		 (unsigned long long)(x * 31), i);
}

static inline void
bench_event(char out[BENCH_EVENT_BYTES])
{
	for (int i = 0; i < BENCH_EVENT_BYTES; i++)
		out[i] = (char)('!' + i * 7 % 90);
}

#endif
