/* One seed: a room, the people in it, the network between them, until it heals. */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>

#include "tests/sim/world.h"

#define DAY (INT64_C(24) * 3600 * 1000)
#define BEGIN (INT64_C(1700000000) * 1000)

void
world_fail(struct world *w, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(w->why, sizeof(w->why), format, ap);
	va_end(ap);
	longjmp(w->out, 1);
}

void
world_trace(struct world *w, const char *format, ...)
{
	va_list ap;

	if (!w->loud)
		return;
	va_start(ap, format);
	printf("%4d ", w->step);
	vprintf(format, ap);
	putchar('\n');
	va_end(ap);
}

void
world_ok(struct world *w, mx_error *e, const char *what)
{
	char words[1024];

	if (e == NULL)
		return;
	snprintf(words, sizeof(words), "%s", mx_error_text(e));
	mx_error_free(&e);
	world_fail(w, "%s: %s", what, words);
}

static int
some_version(struct dice *d)
{
	int v;
	char name[8];

	do {
		v = dice_percent(d, 35) ? 12 : 1 + (int)dice_roll(d, 12);
		snprintf(name, sizeof(name), "%d", v);
	} while (mx_room_version_find(mx_str_of(name)) == NULL);
	return v;
}

static void
cut_or_mend(struct world *w)
{
	int a = (int)dice_roll(&w->dice, SERVERS), b = (int)dice_roll(&w->dice, SERVERS);

	if (dice_percent(&w->dice, 40)) {
		memset(w->cut, 0, sizeof(w->cut));
		return;
	}
	for (int k = 0; k < SERVERS; k++)
		if (k == b || dice_percent(&w->dice, 30))
			w->cut[a][k] = w->cut[k][a] = k != a;
	world_trace(w, "%d is cut off from %d", a, b);
}

static void
one_act(struct world *w)
{
	unsigned what = dice_roll(&w->dice, 100);
	int i = (int)dice_roll(&w->dice, (unsigned)w->honest);

	if (w->servers[i].room == NULL)
		honest_enter(w, i);
	else if (what < 68 || w->hostile == 0)
		honest_act(w, i);
	else if (what < 94)
		hostile_act(w, HONEST_MAX + (int)dice_roll(&w->dice, (unsigned)w->hostile));
	else if (what < 99)
		cut_or_mend(w);
	else
		server_restart(w, &w->servers[i]);
}

static void
take_step(struct world *w)
{
	for (unsigned n = 1 + dice_roll(&w->dice, 3); n != 0; n--) {
		w->now += dice_roll(&w->dice, 1000);
		clock_set(w->now);
		one_act(w);
	}
	w->tick++;
	network_deliver(w);
}

static void
run(struct world *w, const struct play *p)
{
	honest_begin(w);
	for (w->step = 0; w->step < p->steps; w->step++) {
		w->dice = dice_of_seed(w->seed * 1009 + (uint64_t)w->step + 1);
		if (!p->skip[w->step])
			take_step(w);
	}
	w->dice = dice_of_seed(w->seed * 1009);
	for (int i = 0; i < w->honest; i++)
		for (int tries = 0; tries < 3 && w->servers[i].room == NULL; tries++) {
			memset(w->cut, 0, sizeof(w->cut));
			honest_enter(w, i);
		}
	network_heal(w);
	check_end(w);
}

static void
add_count(struct count *to, const struct count *c)
{
	to->accepted += c->accepted;
	to->rejected += c->rejected;
	to->soft_failed += c->soft_failed;
	to->dropped += c->dropped;
	to->sent += c->sent;
	to->refused += c->refused;
	to->states += c->states;
	to->denied += c->denied;
	to->pages += c->pages;
	to->apart += c->apart;
	to->differ += c->differ;
	to->splits += c->splits;
}

static void
end(struct world *w, struct play *p)
{
	p->step = w->step;
	add_count(&p->count, &w->count);
	for (int i = 0; i < w->wires_n; i++)
		free(w->wires[i].json);
	for (int i = 0; i < HONEST_MAX; i++)
		mx_room_unref(&w->servers[i].room);
	oracle_free(w->oracle);
}

bool
play(struct server *servers, struct play *p)
{
	struct world *w = calloc(1, sizeof(*w));
	volatile bool good = true;

	if (w == NULL)
		abort();
	w->seed = p->seed;
	w->loud = p->loud;
	w->servers = servers;
	w->dice = dice_of_seed(p->seed);
	w->version = some_version(&w->dice);
	w->honest = 2 + (int)dice_roll(&w->dice, HONEST_MAX - 1);
	w->hostile = (int)dice_roll(&w->dice, HOSTILE_MAX + 1);
	w->loss = dice_roll(&w->dice, 3) * 10;
	w->repeat = dice_roll(&w->dice, 3) * 10;
	w->delay = dice_roll(&w->dice, 8);
	w->now = BEGIN + (mx_msec)(p->seed % 1000000) * DAY / 1000;
	clock_set(w->now);
	chance_set(p->seed);
	w->oracle = oracle_new(w->version, servers_key, servers);
	for (int i = 0; i < SERVERS; i++) {
		memset(servers[i].thinks, 0, sizeof(servers[i].thinks));
		memset(servers[i].outlier, 0, sizeof(servers[i].outlier));
		memset(servers[i].unasked, 0, sizeof(servers[i].unasked));
		memset(servers[i].dropped, 0, sizeof(servers[i].dropped));
		memset(servers[i].extra, 0, sizeof(servers[i].extra));
		memset(servers[i].told, 0, sizeof(servers[i].told));
		memset(servers[i].past, 0, sizeof(servers[i].past));
		servers[i].history = (int)dice_roll(&w->dice, 3);
	}
	world_trace(w, "version %d, %d servers with engines, %d without", w->version, w->honest,
		    w->hostile);
	if (setjmp(w->out) == 0) {
		run(w, p);
	} else {
		good = false;
		memcpy(p->why, w->why, sizeof(p->why));
	}
	end(w, p);
	free(w);
	return good;
}
