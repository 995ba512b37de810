#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/room/difference.h"
#include "core/room/resolve.h"
#include "tests/sim/acts.h"
#include "tests/sim/oracle.h"
#include "tests/sim/yard.h"

#define MOST 200

static const char *const people[] = { "@ann:a", "@bea:a", "@cid:b", "@dan:b", "@eve:c" };
#define PEOPLE 5

struct yard {
	struct dice *d;
	int version;
	struct oracle *o;
	struct mx_event *ev[MOST];
	char room_id[64];
	struct yard_count *count;
	char *why;
	bool broken;
};

bool
yard_knows(int version)
{
	char name[8];

	snprintf(name, sizeof(name), "%d", version);
	return mx_room_version_find(mx_str_of(name)) != NULL;
}

static const struct mx_room_version *
version_of(const struct yard *y)
{
	char name[8];

	snprintf(name, sizeof(name), "%d", y->version);
	return mx_room_version_find(mx_str_of(name));
}

static void __attribute__((format(printf, 3, 4)))
differ(struct yard *y, int e, const char *format, ...)
{
	va_list ap;
	char *json;
	size_t n;

	if (y->broken)
		return;
	y->broken = true;
	va_start(ap, format);
	n = (size_t)vsnprintf(y->why, 1024, format, ap);
	va_end(ap);
	if (e == ORACLE_NONE || n >= 1000)
		return;
	json = json_dumps(oracle_json(y->o, e), JSON_COMPACT | JSON_SORT_KEYS);
	snprintf(y->why + n, 1024 - n, ": version %d, event %d: %s", y->version, e, json);
	free(json);
}

/* ---- what the core is asked ---- */

struct lookup {
	struct yard *y;
	const struct oracle_state *s;
};

static const struct mx_event *
get(void *arg, mx_str type, mx_str key)
{
	const struct lookup *l = arg;
	char t[300], k[300];
	int e;

	snprintf(t, sizeof(t), "%.*s", MX_SFMT(type));
	snprintf(k, sizeof(k), "%.*s", MX_SFMT(key));
	e = oracle_at(l->s, oracle_key(l->y->o, t, k));
	if (e == ORACLE_NONE && l->y->version >= 12 && strcmp(t, "m.room.create") == 0)
		e = oracle_create_event(l->y->o);
	return e != ORACLE_NONE ? l->y->ev[e] : NULL;
}

static bool
core_allows(struct yard *y, int e, const struct oracle_state *s, char words[200])
{
	struct lookup l = { y, s };
	struct mx_rules_state state = { .get = get, .arg = &l };
	mx_error *err = mx_rules_check(y->ev[e], &state);
	bool good = err == NULL;

	snprintf(words, 200, "%s", good ? "allowed" : mx_error_text(err));
	mx_error_free(&err);
	return good;
}

static bool
core_allows_by_auth_events(struct yard *y, int e, char words[200])
{
	const struct mx_event *auth[10], *create = y->ev[oracle_create_event(y->o)];
	int n = oracle_auth_count(y->o, e);
	struct mx_rules_events set = { auth, (size_t)n, y->version >= 12 ? create : NULL };
	struct mx_rules_state state = mx_rules_state_of(&set);
	mx_error *err = NULL;
	bool good;

	for (int i = 0; i < n; i++)
		auth[i] = y->ev[oracle_auth(y->o, e, i)];
	if (e != oracle_create_event(y->o))
		err = mx_rules_check_auth_events(y->ev[e], create, auth, (size_t)n);
	if (err == NULL)
		err = mx_rules_check(y->ev[e], &state);
	good = err == NULL;
	snprintf(words, 200, "%s", good ? "allowed" : mx_error_text(err));
	mx_error_free(&err);
	return good;
}

static void
judge_both(struct yard *y, int e)
{
	const struct oracle_state *before, *other;
	enum oracle_verdict verdict = oracle_judge(y->o, e);
	char words[200];
	bool by_auth, core;

	if (verdict == ORACLE_UNKNOWN || !oracle_before(y->o, e, &before)) {
		differ(y, e, "the oracle cannot judge");
		return;
	}
	y->count->events++;
	by_auth = verdict != ORACLE_BY_AUTH_EVENTS;
	if (core_allows_by_auth_events(y, e, words) != by_auth)
		differ(y, e, "by auth events the oracle %s, the core: %s",
		       by_auth ? "allows" : "refuses", words);
	core = core_allows(y, e, before, words);
	if (core != oracle_allows(y->o, e, before))
		differ(y, e, "in the state before the oracle %s, the core: %s",
		       core ? "refuses" : "allows", words);
	if (oracle_after(y->o, (int)dice_roll(y->d, (unsigned)e + 1), &other)) {
		core = core_allows(y, e, other, words);
		if (core != oracle_allows(y->o, e, other))
			differ(y, e, "in another state the oracle %s, the core: %s",
			       core ? "refuses" : "allows", words);
	}
	y->count->allowed += verdict == ORACLE_ALLOWED;
	y->ev[e]->rejected = verdict != ORACLE_ALLOWED;
}

/* ---- resolution ---- */

struct call {
	struct yard *y;
	struct oracle_state agreed;
};

static mx_error *
call_event(void *arg, mx_str id, const struct mx_event **out)
{
	struct call *c = arg;
	int e = oracle_find(c->y->o, id.p, id.n);

	*out = e != ORACLE_NONE ? c->y->ev[e] : NULL;
	return NULL;
}

static mx_error *
call_agreed(void *arg, mx_str type, mx_str key, mx_str *id)
{
	struct call *c = arg;
	struct lookup l = { c->y, &c->agreed };
	const struct mx_event *ev;
	char t[300], k[300];

	snprintf(t, sizeof(t), "%.*s", MX_SFMT(type));
	snprintf(k, sizeof(k), "%.*s", MX_SFMT(key));
	ev = oracle_at(&c->agreed, oracle_key(c->y->o, t, k)) != ORACLE_NONE ? get(&l, type, key)
									     : NULL;
	*id = ev != NULL ? mx_event_id(ev) : (mx_str){ NULL, 0 };
	return NULL;
}

/* Numbers in the graph of auth events: one more than the place. */
static mx_error *
call_rows(void *arg, struct mx_auth_row *v, size_t n)
{
	struct yard *y = ((struct call *)arg)->y;

	for (size_t i = 0; i < n; i++) {
		int e = (int)v[i].nid - 1;

		v[i].height = v[i].nid;
		for (int k = 0; k < oracle_auth_count(y->o, e); k++)
			v[i].auth[v[i].n++] = oracle_auth(y->o, e, k) + 1;
	}
	return NULL;
}

static bool
rests_on(struct yard *y, int e, int below)
{
	for (int k = 0; k < oracle_auth_count(y->o, e); k++)
		if (oracle_auth(y->o, e, k) == below)
			return true;
	return false;
}

/* Newest first; what nobody rests on last. */
static mx_error *
call_above(void *arg, mx_nid nid, struct mx_above *page)
{
	struct yard *y = ((struct call *)arg)->y;
	bool leaf = page->begun && page->last.leaf;
	int from = page->begun ? (int)page->last.nid - 2 : oracle_count(y->o) - 1;

	for (int pass = leaf; pass < 2; pass++, from = oracle_count(y->o) - 1)
		for (int e = from; e >= 0 && page->n < MX_ABOVE; e--)
			if (rests_on(y, e, (int)nid - 1) && y->ev[e]->state &&
			    !mx_rules_is_auth_type(y->ev[e]) == pass) {
				page->v[page->n].nid = e + 1;
				page->v[page->n++].leaf = pass;
			}
	return NULL;
}

static mx_error *
call_is_agreed(void *arg, mx_nid nid, bool leaf, bool *out)
{
	const struct call *c = arg;

	(void)leaf;
	for (int k = 0; k < c->agreed.n; k++)
		*out = *out || c->agreed.v[k] == (int)nid - 1;
	return NULL;
}

/* The auth difference, and the subgraph where the version wants it. */
static const mx_str *
others(struct call *call, const struct oracle_state *const *states, int n, struct mx_arena *a,
       size_t *out_n)
{
	struct yard *y = call->y;
	struct mx_auth_graph asked = { call_rows, call_above, call_is_agreed, call, MOST };
	struct mx_conflicted v[MOST];
	uint64_t all = (UINT64_C(1) << n) - 1;
	size_t conflicted = 0;
	mx_nid *nids = NULL;
	mx_str *ids;
	mx_error *e;

	for (int ev = 0; ev < oracle_count(y->o); ev++) {
		v[conflicted] =
			(struct mx_conflicted){ ev + 1, 0, !mx_rules_is_auth_type(y->ev[ev]) };
		for (int s = 0; s < n && oracle_key_of(y->o, ev) != ORACLE_NONE; s++)
			if (oracle_at(states[s], oracle_key_of(y->o, ev)) == ev)
				v[conflicted].states |= UINT64_C(1) << s;
		conflicted += v[conflicted].states != 0 && v[conflicted].states != all;
	}
	e = mx_auth_difference(&asked, v, conflicted, (size_t)n,
			       version_of(y)->resolution == MX_RESOLUTION_2_1, a, &nids, out_n);
	if (e != NULL)
		differ(y, ORACLE_NONE, "auth difference: %s", mx_error_text(e));
	if (mx_error_drop(e))
		*out_n = 0;
	ids = mx_arena_alloc(a, (*out_n + 1) * sizeof(*ids));
	for (size_t i = 0; i < *out_n; i++)
		ids[i] = mx_event_id(y->ev[nids[i] - 1]);
	return ids;
}

static int
keys_of(const struct oracle_state *const *states, int n)
{
	int most = 0;

	for (int s = 0; s < n; s++)
		most = states[s]->n > most ? states[s]->n : most;
	return most;
}

/* Fills in the conflicts, and in call what is agreed. */
static size_t
split(struct yard *y, const struct oracle_state *const *states, int n, struct call *call,
      struct mx_resolve_conflict *conflicts, mx_str (*ids)[4])
{
	size_t out = 0;

	for (int k = 0; k < keys_of(states, n); k++) {
		bool same = true;

		for (int s = 1; s < n; s++)
			same = same && oracle_at(states[s], k) == oracle_at(states[0], k);
		if (same) {
			if (oracle_at(states[0], k) != ORACLE_NONE)
				oracle_put(&call->agreed, k, oracle_at(states[0], k));
			continue;
		}
		for (int s = 0; s < n; s++) {
			int e = oracle_at(states[s], k);

			ids[out][s] =
				e == ORACLE_NONE ? (mx_str){ NULL, 0 } : mx_event_id(y->ev[e]);
		}
		conflicts[out] = (struct mx_resolve_conflict){ mx_str_of(oracle_key_type(y->o, k)),
							       mx_str_of(oracle_key_name(y->o, k)),
							       ids[out] };
		out++;
	}
	return out;
}

static void
tell_difference(struct yard *y, const struct oracle_state *want, const struct oracle_state *got)
{
	for (int k = 0; k < want->n || k < got->n; k++)
		if (oracle_at(want, k) != oracle_at(got, k)) {
			differ(y, oracle_at(want, k),
			       "resolution of %s/%s: the oracle has event %d, the core %d",
			       oracle_key_type(y->o, k), oracle_key_name(y->o, k),
			       oracle_at(want, k), oracle_at(got, k));
			return;
		}
}

static void
resolve_both(struct yard *y)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	const struct oracle_state *states[4];
	struct oracle_state want, got;
	struct mx_resolve_conflict conflicts[64];
	mx_str ids[64][4];
	struct call call = { .y = y };
	struct mx_resolve in = { .version = version_of(y),
				 .create = y->ev[oracle_create_event(y->o)],
				 .conflicts = conflicts,
				 .event = call_event,
				 .agreed = call_agreed,
				 .arg = &call };
	struct mx_resolved *resolved;
	size_t n = 0;
	int count = 2 + (int)dice_roll(y->d, 3);
	mx_error *e;

	for (int s = 0; s < count; s++)
		if (!oracle_after(y->o, (int)dice_roll(y->d, (unsigned)oracle_count(y->o)),
				  &states[s]))
			return;
	in.states = (size_t)count;
	in.conflicts_n = split(y, states, count, &call, conflicts, ids);
	in.others = others(&call, states, count, a, &in.others_n);
	oracle_resolve(y->o, states, count, &want);
	e = in.conflicts_n != 0 ? mx_resolve_state(&in, a, &resolved, &n) : NULL;
	oracle_copy(&got, &call.agreed);
	if (e != NULL)
		differ(y, ORACLE_NONE, "resolution: %s", mx_error_text(e));
	for (size_t i = 0; i < n; i++) {
		char t[300], k[300];

		snprintf(t, sizeof(t), "%.*s", MX_SFMT(resolved[i].type));
		snprintf(k, sizeof(k), "%.*s", MX_SFMT(resolved[i].key));
		oracle_put(&got, oracle_key(y->o, t, k),
			   resolved[i].id.p != NULL
				   ? oracle_find(y->o, resolved[i].id.p, resolved[i].id.n)
				   : ORACLE_NONE);
	}
	tell_difference(y, &want, &got);
	y->count->resolved++;
	y->count->conflicts += in.conflicts_n;
	mx_error_free(&e);
	oracle_state_clear(&want);
	oracle_state_clear(&got);
	oracle_state_clear(&call.agreed);
}

/* ---- growing ---- */

static json_t *
reference(struct yard *y, int e)
{
	return y->version <= 2 ? json_pack("[s, {s:s}]", oracle_id(y->o, e), "sha256", "x")
			       : json_string(oracle_id(y->o, e));
}

/* What the selection names in a state; now and then something is left out, or is another's. */
static json_t *
auth_events(struct yard *y, const struct act *a, const struct oracle_state *s)
{
	json_t *list = json_array();
	bool odd = dice_percent(y->d, 8);

	for (int k = 0; k < s->n && json_array_size(list) < 10; k++) {
		int e = s->v[k];

		if (e == ORACLE_NONE ||
		    !oracle_selects(y->o, a->type, a->sender, a->state_key, a->content,
				    oracle_key_type(y->o, k), oracle_key_name(y->o, k)))
			continue;
		if (odd && dice_percent(y->d, 25))
			continue;
		if (odd && dice_percent(y->d, 25))
			e = (int)dice_roll(y->d, (unsigned)oracle_count(y->o));
		json_array_append_new(list, reference(y, e));
	}
	return list;
}

static void
put(struct yard *y, const struct act *a, json_t *prev, json_t *auth, int depth)
{
	struct mx_event_row row = { .version = version_of(y) };
	json_t *ev =
		json_pack("{s:s, s:s, s:O, s:i, s:i, s:o, s:o}", "type", a->type, "sender",
			  a->sender, "content", a->content, "depth", depth, "origin_server_ts",
			  1000 + (int)dice_roll(y->d, 8), "prev_events", prev, "auth_events", auth);
	bool names_room = y->version >= 12 && y->room_id[0] == 0;
	char id[64], *hash, *json;
	int e;

	if (a->state_key != NULL)
		json_object_set_new(ev, "state_key", json_string(a->state_key));
	if (a->redacts != NULL && y->version < 11)
		json_object_set_new(ev, "redacts", json_string(a->redacts));
	if (!names_room)
		json_object_set_new(ev, "room_id", json_string(y->room_id));
	if (y->version <= 2) {
		snprintf(id, sizeof(id), "$%d%s", oracle_count(y->o), strchr(a->sender, ':'));
		json_object_set_new(ev, "event_id", json_string(id));
	} else {
		hash = oracle_hash_id(y->version, ev);
		snprintf(id, sizeof(id), "%s", hash);
		free(hash);
	}
	if (names_room) {
		snprintf(y->room_id, sizeof(y->room_id), "%s", id);
		y->room_id[0] = '!';
	}
	json = json_dumps(ev, JSON_COMPACT | JSON_SORT_KEYS);
	row.json = mx_str_of(json);
	row.id = mx_str_of(id);
	row.room_id = mx_str_of(y->room_id);
	e = oracle_add(y->o, json, strlen(json), id, NULL);
	if (e == oracle_count(y->o) - 1 && y->ev[e] == NULL) {
		mx_error *err = mx_event_from_row(&row, &y->ev[e]);

		if (err != NULL)
			abort();
		judge_both(y, e);
	}
	free(json);
	json_decref(ev);
}

static void
begin(struct yard *y)
{
	struct act create = { .type = "m.room.create",
			      .sender = people[0],
			      .state_key = strdup(""),
			      .content = json_pack("{s:s}", "creator", people[0]) };
	struct act join = { .type = "m.room.member",
			    .sender = people[0],
			    .state_key = strdup(people[0]),
			    .content = json_pack("{s:s}", "membership", "join") };

	if (y->version >= 12 && dice_percent(y->d, 40))
		json_object_set_new(create.content, "additional_creators",
				    json_pack("[s]", people[2]));
	if (dice_percent(y->d, 5))
		json_object_set_new(create.content, "m.federate", json_false());
	if (y->version < 12)
		snprintf(y->room_id, sizeof(y->room_id), "!room:a");
	put(y, &create, json_array(), json_array(), 1);
	put(y, &join, json_pack("[o]", reference(y, 0)),
	    y->version < 12 ? json_pack("[o]", reference(y, 0)) : json_array(), 2);
	act_clear(&create);
	act_clear(&join);
}

static int
levels_in(struct yard *y, const struct oracle_state *s)
{
	return oracle_at(s, oracle_key(y->o, "m.room.power_levels", ""));
}

/* In the line: what makes a room that more can happen in. */
static void
settle(struct yard *y, const char *type, const char *sender, const char *key, json_t *content)
{
	struct act a = {
		.type = type, .sender = sender, .state_key = strdup(key), .content = content
	};
	int last = oracle_count(y->o) - 1;
	const struct oracle_state *s;

	if (!y->broken && oracle_after(y->o, last, &s))
		put(y, &a, json_pack("[o]", reference(y, last)), auth_events(y, &a, s), last + 2);
	act_clear(&a);
}

static void
settle_all(struct yard *y)
{
	json_t *users = json_pack("{s:i, s:i}", people[1], 50, people[3], 75);

	if (y->version < 12)
		json_object_set_new(users, people[0], json_integer(100));
	if (dice_percent(y->d, 90))
		settle(y, "m.room.power_levels", people[0], "", json_pack("{s:O}", "users", users));
	settle(y, "m.room.join_rules", people[0], "", json_pack("{s:s}", "join_rule", "public"));
	for (int i = 1; i < PEOPLE; i++)
		if (dice_percent(y->d, 80))
			settle(y, "m.room.member", people[i], people[i],
			       json_pack("{s:s}", "membership", "join"));
	json_decref(users);
}

static void
grow(struct yard *y)
{
	const struct oracle_state *states[3];
	struct oracle_invite invites[4];
	struct oracle_state before;
	struct cast cast = { .version = y->version,
			     .users = people,
			     .users_n = PEOPLE,
			     .serial = oracle_count(y->o) };
	int count = oracle_count(y->o), forks = 1 + (int)dice_roll(y->d, 5) / 3, prev[3], depth = 0;
	json_t *list = json_array();
	struct act a;

	for (int i = 0; i < forks; i++) {
		int back = (int)dice_roll(y->d, dice_percent(y->d, 70) ? 3 : 12);

		prev[i] = count - 1 - back < 1 ? count - 1 : count - 1 - back;
		json_array_append_new(list, reference(y, prev[i]));
		depth = prev[i] > depth ? prev[i] : depth;
		if (!oracle_after(y->o, prev[i], &states[i]))
			abort();
	}
	oracle_resolve(y->o, states, forks, &before);
	if (levels_in(y, &before) != ORACLE_NONE)
		cast.levels = json_object_get(oracle_json(y->o, levels_in(y, &before)), "content");
	cast.invites = invites;
	cast.invites_n = oracle_invites(y->o, &before, invites, 4);
	if (dice_percent(y->d, 80))
		cast.some_event = oracle_id(y->o, (int)dice_roll(y->d, (unsigned)count));
	act_random(y->d, &cast, NULL, &a);
	put(y, &a, list, auth_events(y, &a, &before), depth + 2);
	act_clear(&a);
	oracle_state_clear(&before);
}

bool
yard_play(struct dice *d, int version, int events, struct yard_count *count, char why[1024])
{
	struct yard *y = calloc(1, sizeof(*y));

	if (y == NULL || events > MOST)
		abort();
	y->d = d;
	y->version = version;
	y->count = count;
	y->why = why;
	y->o = oracle_new(version, NULL, NULL);
	begin(y);
	if (dice_percent(d, 85))
		settle_all(y);
	for (int i = oracle_count(y->o); i < events && !y->broken && !dice_over(d); i++) {
		grow(y);
		if (!y->broken && dice_percent(d, 50))
			resolve_both(y);
	}
	bool good = !y->broken;

	for (int e = 0; e < oracle_count(y->o); e++)
		mx_event_unref(&y->ev[e]);
	oracle_free(y->o);
	free(y);
	return good;
}
