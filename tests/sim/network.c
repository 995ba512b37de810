/* What servers send to each other, and what the network makes of it. */
#include "config.h"

#include <stdlib.h>

#include "tests/sim/world.h"

int
network_wire(struct world *w, int from, const char *json, size_t n)
{
	struct wire *wire = &w->wires[w->wires_n];

	if (w->wires_n == WIRES)
		world_fail(w, "the play is too long");
	*wire = (struct wire){ .json = strndup(json, n), .n = n, .from = from };
	wire->event = oracle_add(w->oracle, json, n, NULL, NULL);
	return w->wires_n++;
}

bool
network_reaches(struct world *w, int a, int b)
{
	return !w->cut[a][b];
}

static void
post(struct world *w, int wire, int to, int64_t at)
{
	if (w->packets_n < PACKETS)
		w->packets[w->packets_n++] = (struct packet){ to, wire, at };
}

void
network_send(struct world *w, int wire, int to)
{
	int from = w->wires[wire].from;

	if (to >= w->honest || to == from || !network_reaches(w, from, to) ||
	    dice_percent(&w->dice, w->loss))
		return;
	post(w, wire, to, w->tick + dice_roll(&w->dice, w->delay + 1));
	if (dice_percent(&w->dice, w->repeat))
		post(w, wire, to, w->tick + dice_roll(&w->dice, 2 * w->delay + 1));
}

void
network_send_all(struct world *w, int wire)
{
	for (int to = 0; to < w->honest; to++)
		network_send(w, wire, to);
}

/* ---- handing in ---- */

static void
count(struct world *w, enum mx_fate fate)
{
	w->count.accepted += fate == MX_FATE_ACCEPTED;
	w->count.soft_failed += fate == MX_FATE_SOFT_FAILED;
	w->count.rejected += fate == MX_FATE_REJECTED;
	w->count.dropped += fate == MX_FATE_DROPPED;
}

static void
arrived(struct world *w, int to, int wire, const struct mx_arrival *a)
{
	int e = w->wires[wire].event;

	count(w, a->fate);
	w->servers[to].dropped[wire] = a->fate == MX_FATE_DROPPED;
	if ((a->fate == MX_FATE_DROPPED) != (e == ORACLE_NONE))
		world_fail(w, "s%d: %s (%s: %s), the oracle %s", to, mx_fate_name(a->fate),
			   mx_reason_name(a->reason), a->words,
			   e == ORACLE_NONE ? "drops it" : oracle_id(w->oracle, e));
	if (e == ORACLE_NONE)
		return;
	if (a->event != NULL &&
	    oracle_find(w->oracle, mx_event_id(a->event).p, mx_event_id(a->event).n) != e)
		world_fail(w, "s%d: %.*s, which the oracle calls %s", to,
			   MX_SFMT(mx_event_id(a->event)), oracle_id(w->oracle, e));
	if (w->servers[to].thinks[e] == 0)
		w->servers[to].thinks[e] = THINKS(MX_FATE_WAITING); /* check_fates looks further */
}

void
network_hand_in(struct world *w, int to, int origin, const int *wires, int n)
{
	mx_str who = { NULL, 0 };
	struct server *s = &w->servers[to];
	struct mx_arrival *v = calloc((size_t)n, sizeof(*v));
	bool denied = false;
	mx_str *pdus = calloc((size_t)n, sizeof(*pdus));
	mx_error *e;

	for (int i = 0; i < n; i++) {
		pdus[i] = (mx_str){ w->wires[wires[i]].json, w->wires[wires[i]].n };
		s->told[wires[i]] = true;
		world_trace(w, "  s%d gets %s (wire %d)", to,
			    oracle_id(w->oracle, w->wires[wires[i]].event), wires[i]);
	}
	if (origin >= 0 && !w->open) {
		who = mx_str_of(w->servers[origin].name);
		denied = !check_lets_in(w, to, w->servers[origin].name);
	}
	e = mx_room_accept(s->rooms, s->conn, s->room, who, pdus, (size_t)n, v);
	free(pdus);
	if (e != NULL)
		free(v);
	world_ok(w, e, "accepting");
	for (int i = 0; i < n; i++) {
		world_trace(w, "  s%d: %s: %s %s", to,
			    oracle_id(w->oracle, w->wires[wires[i]].event), mx_fate_name(v[i].fate),
			    v[i].words);
		if (denied != (v[i].fate == MX_FATE_DROPPED && v[i].reason == MX_REASON_ACL))
			world_fail(w, "s%d: what %s sent is %s (%s), the access list %s it", to,
				   w->servers[origin].name, mx_fate_name(v[i].fate),
				   mx_reason_name(v[i].reason), denied ? "denies" : "allows");
		w->count.denied += denied;
		if (!denied)
			arrived(w, to, wires[i], &v[i]);
	}
	mx_arrivals_clear(v, (size_t)n);
	free(v);
	honest_find_own(w, to, NULL);
	check_fates(w, to);
	check_state(w, to);
}

/* What is due for one server, out of the queue: a transaction of another, in any order. */
static int
due(struct world *w, int to, int *from, int *wires, int room)
{
	int n = 0, left = 0;

	for (int i = 0; i < w->packets_n; i++) {
		struct packet *p = &w->packets[i];

		if (p->to == to && p->at <= w->tick && n < room &&
		    (n == 0 || w->wires[p->wire].from == *from)) {
			*from = w->wires[p->wire].from;
			wires[n++] = p->wire;
		} else {
			w->packets[left++] = *p;
		}
	}
	w->packets_n = left;
	for (int i = n - 1; i > 0; i--) {
		int k = (int)dice_roll(&w->dice, (unsigned)i + 1), held = wires[i];

		wires[i] = wires[k];
		wires[k] = held;
	}
	return n;
}

void
network_deliver(struct world *w)
{
	int wires[64], n, from = -1;

	for (int to = 0; to < w->honest; to++) {
		n = due(w, to, &from, wires, (int)dice_roll(&w->dice, 12) + 1);
		if (n == 0 || w->servers[to].room == NULL)
			continue;
		network_hand_in(w, to, from, wires, n);
		if (dice_percent(&w->dice, 50))
			network_fetch(w, to, false);
	}
}

/* ---- fetching ---- */

/* The bytes of an event as a server has it. */
static int
wire_of(struct world *w, const struct mx_event *ev)
{
	mx_str json = mx_event_json(ev), id = mx_event_id(ev);
	int e = oracle_find(w->oracle, id.p, id.n);

	for (int i = 0; i < w->wires_n; i++)
		if (w->wires[i].event == e && w->wires[i].n == json.n &&
		    memcmp(w->wires[i].json, json.p, json.n) == 0)
			return i;
	return network_wire(w, -1, json.p, json.n);
}

int
network_wire_of(struct world *w, int event)
{
	char *json = json_dumps(oracle_json(w->oracle, event), JSON_COMPACT | JSON_SORT_KEYS);
	int wire = -1;

	for (int i = 0; i < w->wires_n && wire < 0; i++)
		if (w->wires[i].event == event)
			wire = i;
	if (wire < 0)
		wire = network_wire(w, -1, json, strlen(json));
	free(json);
	return wire;
}

static int
ask_server(struct world *w, int peer, mx_str id)
{
	struct server *s = &w->servers[peer];
	struct mx_event *ev = NULL;
	mx_error *e;
	int wire;

	if (s->room == NULL)
		return -1;
	e = mx_event_get(s->rooms, s->conn, id, &ev);
	if (mx_error_is(e, MX_E_NOT_FOUND)) {
		mx_error_free(&e);
		return -1;
	}
	world_ok(w, e, "asking for an event");
	wire = wire_of(w, ev);
	mx_event_unref(&ev);
	return wire;
}

/* A server without an engine has what it made itself. */
static int
ask_maker(struct world *w, int peer, mx_str id)
{
	int e = oracle_find(w->oracle, id.p, id.n);

	for (int i = 0; i < w->wires_n && e != ORACLE_NONE; i++)
		if (w->wires[i].event == e && w->wires[i].from == peer && !w->wires[i].withheld)
			return i;
	return -1;
}

static int
ask(struct world *w, int to, int peer, mx_str id)
{
	if (peer == to || !network_reaches(w, to, peer))
		return -1;
	return peer < HONEST_MAX ? ask_server(w, peer, id) : ask_maker(w, peer, id);
}

static int
peer_number(struct world *w, int n)
{
	return n < w->honest ? n : HONEST_MAX + n - w->honest;
}

static int
ask_any(struct world *w, int to, mx_str id, bool all)
{
	int peers = w->honest + w->hostile, first = (int)dice_roll(&w->dice, (unsigned)peers),
	    wire = -1;

	for (int i = 0; i < (all ? peers : 1) && wire < 0; i++)
		wire = ask(w, to, peer_number(w, (first + i) % peers), id);
	return wire;
}

static int
fetch_once(struct world *w, int to, bool all)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct server *s = &w->servers[to];
	int wires[64], got = 0;
	mx_str *ids;
	size_t n;

	world_ok(w, mx_room_lacks(s->rooms, s->conn, s->room, a, 60, &ids, &n), "what lacks");
	for (size_t i = 0; i < n; i++) {
		int wire = ask_any(w, to, ids[i], all);

		world_trace(w, "  s%d asks for %.*s: wire %d", to, MX_SFMT(ids[i]), wire);
		if (wire >= 0 && !s->dropped[wire] && !s->outlier[w->wires[wire].event])
			wires[got++] = wire;
	}
	if (got != 0)
		network_hand_in(w, to, -1, wires, got);
	return got;
}

/* As by /get_missing_events: what leads from what a server knows to what waits there. */
static void
fetch_between(struct world *w, int to, int peer)
{
	struct server *s = &w->servers[to], *p = &w->servers[peer];
	mx_str latest[20], earliest[20];
	struct mx_events l = { .v = NULL };
	int wires[64], ends[20], n = honest_extremities(w, to, ends, 20), got = 0;
	size_t waiting = 0;

	for (int i = 0; i < n; i++)
		earliest[i] = mx_str_of(oracle_id(w->oracle, ends[i]));
	for (int e = 0; e < oracle_count(w->oracle) && waiting < 20; e++)
		if (s->thinks[e] == THINKS(MX_FATE_WAITING) && !s->outlier[e])
			latest[waiting++] = mx_str_of(oracle_id(w->oracle, e));
	if (waiting == 0)
		return;
	world_ok(w,
		 mx_room_between(p->rooms, p->conn, p->room, earliest, (size_t)n, latest, waiting,
				 40, &l),
		 "what is between");
	for (size_t i = 0; i < l.n && got < 64; i++) {
		wires[got] = wire_of(w, l.v[i]);
		if (oracle_judge(w->oracle, w->wires[wires[got]].event) > ORACLE_ALLOWED)
			world_fail(w, "s%d serves the rejected %.*s", peer,
				   MX_SFMT(mx_event_id(l.v[i])));
		got++;
	}
	mx_events_clear(&l);
	world_trace(w, "  s%d asks s%d for what is missing: %d events", to, peer, got);
	if (got != 0)
		network_hand_in(w, to, -1, wires, got);
}

/* ---- states of events whose past nobody gives ---- */

static mx_str
bytes_of(struct world *w, int e)
{
	return mx_str_of(json_dumps(oracle_json(w->oracle, e), JSON_COMPACT | JSON_SORT_KEYS));
}

struct told *
told_before(struct world *w, int event)
{
	struct told *t = calloc(1, sizeof(*t));
	const struct oracle_state *s;
	bool in[ORACLE_EVENTS] = { false };

	if (!oracle_before(w->oracle, event, &s))
		world_fail(w, "the oracle has no state before %s", oracle_id(w->oracle, event));
	t->state = calloc(ORACLE_EVENTS, sizeof(*t->state));
	t->auth = calloc(ORACLE_EVENTS, sizeof(*t->auth));
	for (int k = 0; k < s->n; k++) {
		if (s->v[k] == ORACLE_NONE)
			continue;
		in[s->v[k]] = true;
		t->state[t->n++] = bytes_of(w, s->v[k]);
	}
	for (int e = 0; e < oracle_count(w->oracle); e++)
		for (int k = 0; k < s->n && !in[e]; k++)
			if (s->v[k] != ORACLE_NONE && oracle_in_chain(w->oracle, s->v[k], e)) {
				in[e] = true;
				t->auth[t->auth_n++] = bytes_of(w, e);
			}
	return t;
}

void
told_free(struct told *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++)
		free((char *)(uintptr_t)t->state[i].p);
	for (size_t i = 0; i < t->auth_n; i++)
		free((char *)(uintptr_t)t->auth[i].p);
	free(t->state);
	free(t->auth);
	free(t);
}

static void
accept_at(struct world *w, int to, int event)
{
	struct server *s = &w->servers[to];
	struct told *t = told_before(w, event);
	struct mx_arrival v = { .event = NULL };
	mx_error *e;

	world_trace(w, "  s%d gets the state before %s", to, oracle_id(w->oracle, event));
	e = mx_room_accept_at(s->rooms, s->conn, s->room, mx_str_of(oracle_id(w->oracle, event)),
			      t->state, t->n, t->auth, t->auth_n, &v);
	told_free(t);
	world_ok(w, e, "accepting with a state");
	count(w, v.fate);
	mx_arrivals_clear(&v, 1);
	honest_find_own(w, to, NULL);
	check_fates(w, to);
	check_state(w, to);
}

/* An event in waiting whose past nobody has given: with the state before it, as its maker says. */
static bool
fetch_state(struct world *w, int to)
{
	struct server *s = &w->servers[to];

	for (int e = 0; e < oracle_count(w->oracle); e++) {
		const struct oracle_state *before;

		if (s->thinks[e] != THINKS(MX_FATE_WAITING) || s->outlier[e] ||
		    !oracle_before(w->oracle, e, &before) ||
		    oracle_at(before, oracle_key_of(w->oracle, oracle_create_event(w->oracle))) ==
			    ORACLE_NONE)
			continue;
		accept_at(w, to, e);
		if (s->thinks[e] != THINKS(MX_FATE_WAITING))
			return true;
	}
	return false;
}

void
network_fetch(struct world *w, int to, bool all)
{
	int rounds = all ? 200 : 1 + (int)dice_roll(&w->dice, 4);

	if (w->servers[to].room == NULL)
		return;
	if (!all && dice_percent(&w->dice, 40)) {
		int peer = (int)dice_roll(&w->dice, (unsigned)w->honest);

		if (peer != to && w->servers[peer].room != NULL && network_reaches(w, to, peer))
			fetch_between(w, to, peer);
	}
	if (w->servers[to].history == 2 && (all || dice_percent(&w->dice, 40))) {
		int peer = (int)dice_roll(&w->dice, (unsigned)w->honest);

		if (peer != to && w->servers[peer].room != NULL && network_reaches(w, to, peer))
			(void)backfill(w, to, peer);
	}
	if (!all && w->servers[to].history == 1 && dice_percent(&w->dice, 30))
		(void)fetch_state(w, to);
	do {
		while (fetch_once(w, to, all) != 0 && rounds-- > 0)
			;
	} while (all && rounds-- > 0 && fetch_state(w, to));
}

/* ---- healing ---- */

void
network_heal(struct world *w)
{
	int64_t last = 0;

	world_trace(w, "the network heals");
	memset(w->cut, 0, sizeof(w->cut));
	w->loss = w->delay = w->repeat = 0;
	for (int wire = 0; wire < w->wires_n; wire++)
		for (int to = 0; to < w->honest; to++)
			if (w->wires[wire].from >= 0 && w->wires[wire].from < HONEST_MAX &&
			    !w->servers[to].told[wire] && w->wires[wire].event != ORACLE_NONE)
				network_send(w, wire, to);
	for (int i = 0; i < w->packets_n; i++)
		last = w->packets[i].at > last ? w->packets[i].at : last;
	w->tick = last > w->tick ? last : w->tick;
	while (w->packets_n != 0)
		network_deliver(w);
	for (int to = 0; to < w->honest; to++)
		network_fetch(w, to, true);
}
