/* Events as another implementation would make them, or as nobody should. */
#include "config.h"

#include <stdlib.h>

#include "tests/sim/world.h"

int
server_of(struct world *w, const char *user)
{
	const char *colon = strchr(user, ':');

	for (int i = 0; i < SERVERS; i++)
		if (colon != NULL && strcmp(w->servers[i].name, colon + 1) == 0)
			return i;
	return -1;
}

int
server_of_n(struct world *w, mx_str user)
{
	char name[256];

	snprintf(name, sizeof(name), "%.*s", MX_SFMT(user));
	return server_of(w, name);
}

void
forge_state(struct world *w, const int *prev, int n, struct oracle_state *out)
{
	const struct oracle_state *states[ORACLE_EVENTS];
	int known = 0;

	for (int i = 0; i < n && i < ORACLE_EVENTS; i++)
		known += oracle_after(w->oracle, prev[i], &states[known]);
	oracle_resolve(w->oracle, states, known, out);
}

const json_t *
forge_levels(struct world *w, const struct oracle_state *s)
{
	int e = oracle_at(s, oracle_key(w->oracle, "m.room.power_levels", ""));

	return e != ORACLE_NONE ? json_object_get(oracle_json(w->oracle, e), "content") : NULL;
}

static json_t *
reference(struct world *w, int e)
{
	char *hash;
	json_t *pair;

	if (w->version > 2)
		return json_string(oracle_id(w->oracle, e));
	hash = oracle_hash_id(3, oracle_json(w->oracle, e));
	pair = json_pack("[s, {s:s}]", oracle_id(w->oracle, e), "sha256", hash + 1);
	free(hash);
	return pair;
}

static json_t *
selected(struct world *w, const struct forged *f)
{
	const struct act *a = f->act;
	json_t *list = json_array();
	struct oracle_state s;

	if (f->auth != NULL) {
		for (int i = 0; i < f->auth_n; i++)
			json_array_append_new(list, reference(w, f->auth[i]));
		return list;
	}
	forge_state(w, f->prev, f->prev_n, &s);
	for (int k = 0; k < s.n; k++)
		if (s.v[k] != ORACLE_NONE &&
		    oracle_selects(w->oracle, a->type, a->sender, a->state_key, a->content,
				   oracle_key_type(w->oracle, k), oracle_key_name(w->oracle, k)))
			json_array_append_new(list, reference(w, s.v[k]));
	oracle_state_clear(&s);
	return list;
}

static int64_t
depth_after(struct world *w, const struct forged *f)
{
	int64_t most = w->version <= 5 ? INT64_MAX : (INT64_C(1) << 53) - 1, depth = 0;

	for (int i = 0; i < f->prev_n; i++) {
		json_int_t d = json_integer_value(
			json_object_get(oracle_json(w->oracle, f->prev[i]), "depth"));

		depth = d > depth ? d : depth;
	}
	return f->depth != 0 ? f->depth : depth < most ? depth + 1 : most;
}

/* An event that may not be there, or not yet. */
static void
name_more(struct world *w, json_t *list, const char *id)
{
	if (id != NULL)
		json_array_append_new(list, w->version > 2 ? json_string(id)
							   : json_pack("[s, {s:s}]", id, "sha256",
								       "x"));
}

json_t *
forge(struct world *w, const struct forged *f)
{
	const struct act *a = f->act;
	json_t *ev = json_object(), *prev = json_array();
	char id[64];

	for (int i = 0; i < f->prev_n; i++)
		json_array_append_new(prev, reference(w, f->prev[i]));
	name_more(w, prev, f->extra_prev);
	json_object_set_new(ev, "prev_events", prev);
	json_object_set_new(ev, "auth_events", selected(w, f));
	name_more(w, json_object_get(ev, "auth_events"), f->extra_auth);
	json_object_set_new(ev, "type", json_string(a->type));
	json_object_set_new(ev, "sender", json_string(a->sender));
	json_object_set(ev, "content", a->content);
	json_object_set_new(ev, "depth", json_integer(depth_after(w, f)));
	json_object_set_new(ev, "origin_server_ts", json_integer(f->ts));
	json_object_set_new(ev, "room_id", json_string(w->room_id));
	if (a->state_key != NULL)
		json_object_set_new(ev, "state_key", json_string(a->state_key));
	if (a->redacts != NULL && w->version < 11)
		json_object_set_new(ev, "redacts", json_string(a->redacts));
	if (w->version <= 2) {
		snprintf(id, sizeof(id), "$f%llu-%d%s", (unsigned long long)w->seed, w->serial++,
			 strchr(a->sender, ':'));
		json_object_set_new(ev, "event_id", json_string(f->id != NULL ? f->id : id));
	}
	oracle_hash(ev);
	if (f->bad_hash)
		json_object_set_new(json_object_get(ev, "content"), "org.example.added",
				    json_integer(w->serial++));
	json_object_set_new(ev, "signatures", json_object());
	if (f->by >= 0)
		oracle_sign(w->version, ev, w->servers[f->by].name, KEY_ID,
			    w->servers[f->bad_signature ? SERVERS - 1 - f->by : f->by].secret_key);
	if (f->also_by >= 0 && f->also_by != f->by)
		oracle_sign(w->version, ev, w->servers[f->also_by].name, KEY_ID,
			    w->servers[f->also_by].secret_key);
	return ev;
}

int
forge_wire(struct world *w, int from, const struct forged *f, json_t *ev)
{
	char *json = json_dumps(ev, JSON_COMPACT | JSON_SORT_KEYS);
	int wire = network_wire(w, from, json, strlen(json));

	world_trace(w, "%s makes %s (wire %d): %s", w->servers[from].name,
		    oracle_id(w->oracle, w->wires[wire].event), wire, json);
	(void)f;
	free(json);
	json_decref(ev);
	return wire;
}
