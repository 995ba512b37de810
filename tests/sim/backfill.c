/* A server that came late asks for what was before it, page by page, while the network is as it
 * is: pages end anywhere, come in a wrong order, have holes. Server-Server API, "Backfilling and
 * retrieving missing events". */
#include "config.h"

#include <stdlib.h>

#include "tests/sim/world.h"

#define PAGE 16

static void
mark(struct world *w, int e, const struct server *peer, bool *in)
{
	if (e == ORACLE_NONE || in[e] || peer->thinks[e] != THINKS(MX_FATE_ACCEPTED))
		return;
	in[e] = true;
	for (int i = 0; i < oracle_prev_count(w->oracle, e); i++)
		mark(w, oracle_prev(w->oracle, e, i), peer, in);
}

/* What leads to these events, newest first, as the peer has it; without themselves, for who asks
 * has them. */
static int
page_of(struct world *w, int peer, const mx_str *from, size_t n, int *out)
{
	bool in[ORACLE_EVENTS] = { false };
	int room = 1 + (int)dice_roll(&w->dice, PAGE), found = 0;

	for (size_t i = 0; i < n; i++) {
		int e = oracle_find(w->oracle, from[i].p, from[i].n);

		for (int k = 0; k < oracle_prev_count(w->oracle, e); k++)
			mark(w, oracle_prev(w->oracle, e, k), &w->servers[peer], in);
	}
	for (int e = oracle_count(w->oracle) - 1; e >= 0 && found < room; e--)
		if (in[e])
			out[found++] = e;
	return found;
}

static int
spoil(struct world *w, int *v, int n)
{
	int last = n - 1, left = 0;

	if (dice_percent(&w->dice, 25))
		for (int i = 0; i < last; i++) {
			int k = (int)dice_roll(&w->dice, (unsigned)last), held = v[i];

			v[i] = v[k];
			v[k] = held;
		}
	for (int i = 0; i < n; i++)
		if (i == last || !dice_percent(&w->dice, w->loss))
			v[left++] = v[i];
	return left;
}

/* The engine may number it, or say why not; what it makes of it is looked at as ever. */
static void
received(struct world *w, int to, int wire, const struct mx_arrival *a)
{
	struct server *s = &w->servers[to];
	int e = w->wires[wire].event;

	world_trace(w, "  s%d: %s (backfill): %s %s", to, oracle_id(w->oracle, e),
		    mx_fate_name(a->fate), a->words);
	if (a->fate == MX_FATE_DROPPED)
		w->count.dropped++;
	else if (s->thinks[e] == 0 || s->outlier[e])
		s->thinks[e] = THINKS(MX_FATE_WAITING);
}

static void
hand_in(struct world *w, int to, const int *v, int n)
{
	struct server *s = &w->servers[to];
	struct told *told = dice_percent(&w->dice, 85) ? told_before(w, v[n - 1]) : NULL;
	struct mx_arrival got[PAGE] = { { .event = NULL } };
	mx_str pdus[PAGE] = { { NULL, 0 } };
	int wires[PAGE];
	mx_error *e;

	for (int i = 0; i < n; i++) {
		wires[i] = network_wire_of(w, v[i]);
		pdus[i] = (mx_str){ w->wires[wires[i]].json, w->wires[wires[i]].n };
	}
	e = mx_room_backfill(s->rooms, s->conn, s->room, pdus, (size_t)n,
			     told != NULL ? told->state : NULL, told != NULL ? told->n : 0,
			     told != NULL ? told->auth : NULL, told != NULL ? told->auth_n : 0, got);
	told_free(told);
	world_ok(w, e, "backfilling");
	for (int i = 0; i < n; i++)
		received(w, to, wires[i], &got[i]);
	mx_arrivals_clear(got, (size_t)n);
	honest_find_own(w, to, NULL);
	check_fates(w, to);
	check_state(w, to);
}

bool
backfill(struct world *w, int to, int peer)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct server *s = &w->servers[to];
	int v[PAGE], n;
	mx_str *ids;
	size_t ids_n;

	world_ok(w, mx_room_gaps(s->rooms, s->conn, s->room, INT64_MAX, a, 5, &ids, &ids_n), "gaps");
	n = spoil(w, v, page_of(w, peer, ids, ids_n, v));
	world_trace(w, "  s%d asks s%d for what was before %zu events: %d events", to, peer, ids_n, n);
	if (n == 0)
		return false;
	w->count.pages++;
	hand_in(w, to, v, n);
	return true;
}
