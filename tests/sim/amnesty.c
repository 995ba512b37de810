/* After the network has healed, servers may still differ in what they have heard: events that only
 * some have accepted, by users who may not speak any more. The text of soft failure lets them. Here
 * the room's owner gives everybody a voice again, and everybody speaks: what one names as
 * prev_events all the others take in then. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

static void
state_of(struct world *w, int i, struct oracle_state *out)
{
	int prev[64], n = honest_extremities(w, i, prev, 20);

	forge_state(w, prev, n, out);
}

static void
owner_sends(struct world *w, const char *type, const char *key, json_t *content)
{
	struct act a = { .type = type,
			 .sender = w->servers[0].people[0],
			 .state_key = (char *)(uintptr_t)key,
			 .content = content };

	(void)honest_send(w, 0, &a);
	json_decref(content);
}

/* Everybody may speak but who has been given power and cannot lose it. */
static json_t *
open_levels(struct world *w, const struct oracle_state *s)
{
	json_t *users = json_object(), *level;
	const char *user;

	json_object_foreach (json_object_get(forge_levels(w, s), "users"), user, level)
		if (json_integer_value(level) >= 100)
			json_object_set(users, user, level);
	return json_pack("{s:o, s:i, s:i, s:i}", "users", users, "users_default", 0,
			 "events_default", 0, "invite", 0);
}

static const char *
membership_in(struct world *w, const struct oracle_state *s, const char *user)
{
	int e = oracle_at(s, oracle_key(w->oracle, "m.room.member", user));
	const char *m = e != ORACLE_NONE ? json_string_value(json_object_get(
						   json_object_get(oracle_json(w->oracle, e), "content"),
						   "membership"))
					 : NULL;

	return m != NULL ? m : "";
}

static void
open_room(struct world *w)
{
	struct oracle_state s;

	state_of(w, 0, &s);
	owner_sends(w, "m.room.power_levels", "", open_levels(w, &s));
	owner_sends(w, "m.room.join_rules", "", json_pack("{s:s}", "join_rule", "public"));
	owner_sends(w, "m.room.server_acl", "", json_pack("{s:[s]}", "allow", "*"));
	for (int i = 1; i < w->honest; i++)
		for (int k = 0; k < PEOPLE; k++)
			if (strcmp(membership_in(w, &s, w->servers[i].people[k]), "ban") == 0)
				owner_sends(w, "m.room.member", w->servers[i].people[k],
					    json_pack("{s:s}", "membership", "leave"));
	oracle_state_clear(&s);
	network_heal(w);
}

static void
come_and_speak(struct world *w, int i)
{
	struct oracle_state s;

	for (int k = 0; k < PEOPLE; k++) {
		const char *who = w->servers[i].people[k];
		struct act a = { .type = "m.room.member",
				 .sender = who,
				 .state_key = (char *)(uintptr_t)who,
				 .content = json_pack("{s:s}", "membership", "join") };

		state_of(w, i, &s);
		if (strcmp(membership_in(w, &s, who), "join") != 0)
			(void)honest_send(w, i, &a);
		oracle_state_clear(&s);
		json_decref(a.content);
	}
	network_heal(w);
	(void)honest_speak(w, i);
	network_heal(w);
}

void
amnesty(struct world *w)
{
	w->count.apart++;
	w->count.differ += !check_agree_states(w);
	world_trace(w, "the owner gives everybody a voice");
	w->open = true;
	for (int round = 0; round < 3 && !check_agree(w); round++) {
		open_room(w);
		for (int i = w->honest - 1; i >= 0; i--)
			if (w->servers[i].room != NULL)
				come_and_speak(w, i);
	}
	w->count.splits += !check_agree(w);
}
