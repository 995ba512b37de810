/* What servers do that mean no good, or do not know better. */
#include "config.h"

#include <stdlib.h>

#include "tests/sim/world.h"

static int
any_event(struct world *w)
{
	return (int)dice_roll(&w->dice, (unsigned)oracle_count(w->oracle));
}

/* A few of the newest events, or far older ones: forks. */
static int
some_prev(struct world *w, int *prev)
{
	int n = 1 + (int)dice_roll(&w->dice, 4) / 2, count = oracle_count(w->oracle), found = 0;

	for (int i = 0; i < n; i++) {
		int back = (int)dice_roll(&w->dice, dice_percent(&w->dice, 70) ? 4 : 40);
		int e = count - 1 - back < 0 ? 0 : count - 1 - back;
		const struct oracle_state *s;
		bool twice = false;

		for (int k = 0; k < found; k++)
			twice = twice || prev[k] == e;
		if (!twice && oracle_after(w->oracle, e, &s))
			prev[found++] = e;
	}
	if (found == 0)
		prev[found++] = 0;
	return found;
}

static void
to_some(struct world *w, int wire)
{
	unsigned mode = dice_roll(&w->dice, 4);

	if (mode == 0)
		network_send(w, wire, (int)dice_roll(&w->dice, (unsigned)w->honest));
	else if (mode < 3)
		network_send_all(w, wire);
	else
		for (int i = 0; i < w->honest; i++)
			if (dice_percent(&w->dice, 50))
				network_send(w, wire, i);
}

static void
make_act(struct world *w, int i, const int *prev, int n, struct act *a)
{
	struct cast cast = { .version = w->version, .serial = w->serial++ };
	const char *all[SERVERS * PEOPLE];
	struct oracle_invite invites[4];
	struct oracle_state s;
	int e = any_event(w);

	for (int k = 0; k < SERVERS; k++)
		for (int p = 0; p < PEOPLE; p++)
			all[cast.users_n++] = w->servers[k].people[p];
	cast.users = all;
	forge_state(w, prev, n, &s);
	cast.levels = forge_levels(w, &s);
	cast.invites = invites;
	cast.invites_n = oracle_invites(w->oracle, &s, invites, 4);
	cast.some_event = honest_may_be_redacted(w, e) ? oracle_id(w->oracle, e) : NULL;
	act_random(&w->dice, &cast, w->servers[i].people[dice_roll(&w->dice, PEOPLE)], a);
	oracle_state_clear(&s);
}

/* An ordinary server's event, from anywhere in the graph. */
static void
act_anywhere(struct world *w, int i)
{
	int prev[4], n = some_prev(w, prev), auth[6];
	struct forged f = { .prev = prev, .prev_n = n, .by = i, .also_by = -1 };
	unsigned trick = dice_roll(&w->dice, 30);
	struct act a;
	int wire;

	make_act(w, i, prev, n, &a);
	f.act = &a;
	f.ts = dice_percent(&w->dice, 20) ? w->now - 50000 : w->now;
	f.bad_hash = trick == 0;
	f.bad_signature = trick == 1;
	if (trick == 2)
		f.by = -1;
	if (trick == 3)
		f.depth = (INT64_C(1) << 53) - 1;
	if (trick == 4)
		f.depth = INT64_C(1) << 53;
	if (trick == 5)
		a.sender = w->servers[0].people[0];
	if (trick == 6 || trick == 7) {
		f.auth_n = (int)dice_roll(&w->dice, 6);
		f.auth = auth;
		for (int k = 0; k < f.auth_n; k++)
			auth[k] = any_event(w);
	}
	if (json_object_get(a.content, "join_authorised_via_users_server") != NULL &&
	    dice_percent(&w->dice, 60))
		f.also_by = server_of(w, json_string_value(json_object_get(
						 a.content, "join_authorised_via_users_server")));
	wire = forge_wire(w, i, &f, forge(w, &f));
	if (trick == 8 && w->wires[wire].event != ORACLE_NONE) {
		w->wires[wire].withheld = true; /* what comes after it is sent: see some_prev */
		world_trace(w, "  and withholds it");
	} else {
		to_some(w, wire);
	}
	act_clear(&a);
}

static void
join(struct world *w, int i)
{
	int prev[4], n = some_prev(w, prev);
	struct act a = { .type = "m.room.member", .sender = w->servers[i].people[0] };
	struct forged f = {
		.act = &a, .prev = prev, .prev_n = n, .ts = w->now, .by = i, .also_by = -1
	};

	a.state_key = w->servers[i].people[0];
	a.content = json_pack("{s:s}", "membership", "join");
	network_send_all(w, forge_wire(w, i, &f, forge(w, &f)));
	json_decref(a.content);
}

/* Many events beside each other. */
static void
flood(struct world *w, int i)
{
	int prev[4], n = some_prev(w, prev), times = 5 + (int)dice_roll(&w->dice, 25);

	for (int k = 0; k < times; k++) {
		struct act a = { .type = "m.room.message",
				 .sender = w->servers[i].people[0],
				 .content = json_pack("{s:i}", "n", w->serial++) };
		struct forged f = {
			.act = &a, .prev = prev, .prev_n = n, .ts = w->now, .by = i, .also_by = -1
		};

		network_send_all(w, forge_wire(w, i, &f, forge(w, &f)));
		json_decref(a.content);
	}
}

/* Events that name each other, or themselves: only where servers choose the ids can they be made;
 * elsewhere they name what nobody has. And one that builds on them. */
static void
circle(struct world *w, int i)
{
	int n = 1 + (int)dice_roll(&w->dice, 3), prev[4], prev_n = some_prev(w, prev);
	bool by_auth = dice_percent(&w->dice, 40);
	char id[4][64];

	for (int k = 0; k < n; k++)
		snprintf(id[k], sizeof(id[k]), "$circle%d-%d:%s", w->serial, k, w->servers[i].name);
	w->serial++;
	for (int k = 0; k <= n; k++) {
		const char *next = id[k < n ? (k + 1) % n : 0];
		struct forged f = { .prev = prev,
				    .prev_n = dice_percent(&w->dice, 50) ? prev_n : 0,
				    .ts = w->now,
				    .by = i,
				    .also_by = -1,
				    .id = k < n ? id[k] : NULL,
				    .extra_prev = by_auth ? NULL : next,
				    .extra_auth = by_auth ? next : NULL };
		struct act a;

		make_act(w, i, prev, prev_n, &a);
		f.act = &a;
		to_some(w, forge_wire(w, i, &f, forge(w, &f)));
		act_clear(&a);
	}
}

static void
garbage(struct world *w, int i)
{
	static const char *const what[] = {
		"",
		"{}",
		"[]",
		"{\"type\":\"m.room.message\"}",
		"\xff\xfe",
		"{\"a\":",
		"{\"type\":\"m.room.message\",\"sender\":\"@x:y\",\"content\":[],\"depth\":-1}",
	};
	const char *s = what[dice_roll(&w->dice, 7)];

	network_send_all(w, network_wire(w, i, s, strlen(s)));
}

void
hostile_act(struct world *w, int i)
{
	unsigned what = dice_roll(&w->dice, 100);

	if (what < 25)
		join(w, i);
	else if (what < 93)
		act_anywhere(w, i);
	else if (what < 95)
		circle(w, i);
	else if (what < 97)
		garbage(w, i);
	else
		flood(w, i);
}
