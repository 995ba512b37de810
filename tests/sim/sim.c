/* The simulation of many servers: tests/sim/world.h.
 *
 *	sim SEED [--skip STEP,STEP…] [--steps N]	plays one seed, and says all that happens
 *	sim [--seeds N] [--from S] [--minutes M]	plays seeds, from S on or from anywhere
 *
 * What fails is played again with fewer and fewer steps, and printed as one command. */
#include "config.h"

#include <getopt.h>
#include <stdlib.h>
#include <time.h>

#include <myelin/log.h>

#include "tests/sim/world.h"

#define STEPS 24
#define FRESH 300 /* seeds that a database serves */

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* In new databases: what failed may have left anything behind. */
static bool
play_afresh(struct play *p)
{
	struct server *servers = calloc(SERVERS, sizeof(*servers));
	bool good;

	if (servers == NULL)
		abort();
	servers_open(servers);
	good = play(servers, p);
	servers_close(servers);
	free(servers);
	return good;
}

static void
shrink(struct play *p)
{
	struct play less;

	for (int step = p->step < p->steps ? p->step : p->steps - 1; step >= 0; step--) {
		if (p->skip[step])
			continue;
		less = *p;
		less.skip[step] = true;
		if (!play_afresh(&less))
			*p = less;
	}
}

static void
print_command(const struct play *p)
{
	const char *before = " --skip ";

	printf("sim %llu --steps %d", (unsigned long long)p->seed, p->steps);
	for (int i = 0; i < p->steps; i++)
		if (p->skip[i]) {
			printf("%s%d", before, i);
			before = ",";
		}
	putchar('\n');
}

static int
failed(struct play *p)
{
	struct play again;

	printf("seed %llu: %s\n", (unsigned long long)p->seed, p->why);
	fflush(stdout);
	if (p->step < p->steps)
		p->steps = p->step + 1;
	shrink(p);
	again = *p;
	again.loud = true;
	if (play_afresh(&again))
		printf("it does not fail again by itself\n");
	else
		printf("%4d %s\n", again.step, again.why);
	print_command(p);
	return 1;
}

static int
play_one(struct play *p)
{
	p->loud = true;
	if (play_afresh(p))
		return 0;
	printf("%4d %s\n", p->step, p->why);
	return 1;
}

static void
report(const struct play *p, uint64_t seeds, uint64_t from, double time)
{
	const struct count *c = &p->count;

	printf("%llu seeds from %llu in %.1f s (%.0f a minute): %llu events sent, %llu refused; "
	       "%llu accepted, %llu soft-failed, %llu rejected, %llu dropped, %llu denied; %llu "
	       "pages of history; %llu states compared; %llu rooms ended apart (%llu of them with "
	       "states that differ), %llu that nobody could bring together\n",
	       (unsigned long long)seeds, (unsigned long long)from, time, (double)seeds * 60 / time,
	       (unsigned long long)c->sent, (unsigned long long)c->refused,
	       (unsigned long long)c->accepted, (unsigned long long)c->soft_failed,
	       (unsigned long long)c->rejected, (unsigned long long)c->dropped,
	       (unsigned long long)c->denied, (unsigned long long)c->pages,
	       (unsigned long long)c->states, (unsigned long long)c->apart,
	       (unsigned long long)c->differ, (unsigned long long)c->splits);
}

static int
play_many(struct play *p, uint64_t from, uint64_t count, double limit)
{
	struct server *servers = calloc(SERVERS, sizeof(*servers));
	double begin = seconds();
	uint64_t n = 0;
	bool good = true;

	if (servers == NULL)
		abort();
	for (; good && n < count && seconds() - begin < limit; n++) {
		if (n % FRESH == 0) {
			if (n != 0)
				servers_close(servers);
			servers_open(servers);
		}
		p->seed = from + n;
		good = play(servers, p);
	}
	if (!good)
		return failed(p);
	servers_close(servers);
	free(servers);
	report(p, n, from, seconds() - begin);
	return 0;
}

static void
read_skips(struct play *p, char *list)
{
	for (char *s = strtok(list, ","); s != NULL; s = strtok(NULL, ","))
		if (atoi(s) >= 0 && atoi(s) < 512)
			p->skip[atoi(s)] = true;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seeds", required_argument, NULL, 'n' },
		{ "from", required_argument, NULL, 'f' },
		{ "minutes", required_argument, NULL, 'm' },
		{ "skip", required_argument, NULL, 'k' },
		{ "steps", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	struct play p = { .steps = STEPS };
	uint64_t from = (uint64_t)time(NULL) * 1000, count = UINT64_MAX;
	double limit = 1e9;
	int o;

	if (mx_error_drop(mx_log_levels("error")))
		return 2;
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o == 'n')
			count = strtoull(optarg, NULL, 10);
		else if (o == 'f')
			from = strtoull(optarg, NULL, 10);
		else if (o == 'm')
			limit = strtod(optarg, NULL) * 60;
		else if (o == 'k')
			read_skips(&p, optarg);
		else if (o == 's' && atoi(optarg) > 0 && atoi(optarg) <= 512)
			p.steps = atoi(optarg);
		else
			return 2;
	}
	if (optind < argc) {
		p.seed = strtoull(argv[optind], NULL, 10);
		return play_one(&p);
	}
	if (count == UINT64_MAX && limit > 1e8)
		count = 1000;
	return play_many(&p, from, count, limit);
}
