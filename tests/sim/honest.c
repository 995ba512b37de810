/* What the users of servers with an engine do, and how such a server enters the room. */
#include "config.h"

#include <stdlib.h>

#include "core/room/event_private.h"
#include "tests/sim/world.h"

static struct mx_draft
draft_of(struct world *w, int i, const struct act *a)
{
	struct server *s = &w->servers[i];
	int who = strcmp(a->sender, s->people[0]) == 0 ? 0 : 1;

	return (struct mx_draft){ .type = mx_str_of(a->type),
				  .state_key = mx_str_of(a->state_key),
				  .content = a->content,
				  .sender = s->nids[who],
				  .sender_id = mx_str_of(a->sender),
				  .redacts = a->redacts != NULL ? mx_str_of(a->redacts) : MX_S(""),
				  .ts = w->now };
}

static int
note(struct world *w, int i, const struct mx_event *ev)
{
	mx_str json = mx_event_json(ev);
	int wire = network_wire(w, i, json.p, json.n), e = w->wires[wire].event;

	w->count.sent++;
	world_trace(w, "s%d sends %s: %.*s", i, oracle_id(w->oracle, e), MX_SFMT(json));
	if (e == ORACLE_NONE)
		world_fail(w, "s%d sent what the oracle drops: %.*s", i, MX_SFMT(json));
	w->servers[i].told[wire] = true;
	return wire;
}

/* An engine says something itself where many branches are to be joined: nobody has asked for it. */
static void
find_own(struct world *w, int i, mx_str id)
{
	struct server *s = &w->servers[i];
	MX_AUTO(mx_event) *ev = NULL;
	struct mx_event_ids it;
	mx_str prev;
	int wire;

	if (oracle_find(w->oracle, id.p, id.n) != ORACLE_NONE)
		return;
	world_ok(w, mx_event_get(s->rooms, s->conn, id, &ev), "an event of the engine's own");
	if (server_of_n(w, mx_event_sender(ev)) != i ||
	    !mx_str_eq(mx_event_type(ev), MX_S("org.matrix.dummy_event")))
		world_fail(w, "s%d has %.*s in its graph, which nobody made", i, MX_SFMT(id));
	it = mx_event_prev(ev);
	while (mx_event_ids_next(&it, &prev))
		find_own(w, i, prev);
	wire = note(w, i, ev);
	w->servers[i].thinks[w->wires[wire].event] = THINKS(MX_FATE_WAITING);
	w->servers[i].unasked[w->wires[wire].event] = true;
	network_send_all(w, wire);
}

void
honest_find_own(struct world *w, int i, const struct mx_event *after)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct server *s = &w->servers[i];
	struct mx_event_ids it;
	mx_str *ids, prev;
	size_t n;

	if (after != NULL) {
		it = mx_event_prev(after);
		while (mx_event_ids_next(&it, &prev))
			find_own(w, i, prev);
		return;
	}
	world_ok(w, mx_room_extremities(s->rooms, s->conn, s->room, a, &ids, &n), "extremities");
	for (size_t k = 0; k < n; k++)
		find_own(w, i, ids[k]);
}

int
honest_extremities(struct world *w, int i, int *out, int room)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct server *s = &w->servers[i];
	mx_str *ids;
	size_t n;

	world_ok(w, mx_room_extremities(s->rooms, s->conn, s->room, a, &ids, &n), "extremities");
	for (size_t k = 0; k < n && (int)k < room; k++) {
		out[k] = oracle_find(w->oracle, ids[k].p, ids[k].n);
		if (out[k] == ORACLE_NONE)
			world_fail(w, "s%d has a forward extremity that nobody made: %.*s", i,
				   MX_SFMT(ids[k]));
	}
	return (int)n < room ? (int)n : room;
}

/* The engine has refused: would the rules have allowed it? */
static void
check_refusal(struct world *w, int i, const struct act *a, const char *words)
{
	/* It may have joined branches before it refused. */
	honest_find_own(w, i, NULL);
	int ends[ORACLE_EVENTS], n = honest_extremities(w, i, ends, ORACLE_EVENTS);
	/* There may be more than an event can name. */
	struct forged f = { .act = a,
			    .prev = ends,
			    .prev_n = n < MX_EVENT_MAX_PREV ? n : MX_EVENT_MAX_PREV,
			    .ts = w->now,
			    .by = i,
			    .also_by = -1 };
	struct oracle_state now;
	json_t *ev;

	w->count.refused++;
	/* It would be allowed, and have no effect: that is refused on purpose. */
	if (a->redacts != NULL)
		return;
	ev = forge(w, &f);
	forge_state(w, ends, n, &now);
	if (oracle_would_allow(w->oracle, ev, &now))
		world_fail(w, "s%d refuses its own user's %s, which the rules allow: %s", i,
			   a->type, words);
	oracle_state_clear(&now);
	json_decref(ev);
}

static bool
has_many_branches(struct world *w, int i)
{
	int out[64];

	return honest_extremities(w, i, out, 64) > MX_EVENT_MAX_PREV;
}

bool
honest_send(struct world *w, int i, const struct act *a)
{
	struct server *s = &w->servers[i];
	struct mx_draft draft = draft_of(w, i, a);
	struct mx_event *ev = NULL;
	mx_error *e = mx_room_send(s->rooms, s->conn, s->room, &draft, 1, &ev);
	int wire;

	if (mx_error_is(e, MX_E_FORBIDDEN) ||
	    (a->redacts != NULL && mx_error_is(e, MX_E_NOT_FOUND))) {
		world_trace(w, "s%d: %s by %s: %s", i, a->type, a->sender, mx_error_text(e));
		check_refusal(w, i, a, mx_error_text(e));
		mx_error_free(&e);
		return false;
	}
	/* Levels that old versions take as strings are not sent by us. */
	if (mx_error_is(e, MX_E_BAD_JSON) && strcmp(a->type, "m.room.power_levels") == 0) {
		mx_error_free(&e);
		return false;
	}
	/* A server that is not in the room any more cannot join its branches. */
	if (mx_error_is(e, MX_E_UNAVAILABLE) && has_many_branches(w, i)) {
		mx_error_free(&e);
		return false;
	}
	world_ok(w, e, "sending");
	honest_find_own(w, i, ev);
	check_fates(w, i);
	wire = note(w, i, ev);
	mx_event_unref(&ev);
	check_sent(w, i, w->wires[wire].event);
	check_state(w, i);
	network_send_all(w, wire);
	return true;
}

/* ---- the room ---- */

static void
draft(struct world *w, struct mx_draft *d, const char *type, const char *key, json_t *content)
{
	struct act a = { .type = type,
			 .sender = w->servers[0].people[0],
			 .state_key = (char *)(uintptr_t)key,
			 .content = content };

	*d = draft_of(w, 0, &a);
}

void
honest_begin(struct world *w)
{
	struct server *s = &w->servers[0];
	struct mx_draft d[4];
	struct mx_events events = { .v = NULL };
	bool more;
	char version[8];
	json_t *users = json_object();

	snprintf(version, sizeof(version), "%d", w->version);
	if (w->version < 12)
		json_object_set_new(users, s->people[0], json_integer(100));
	for (int i = 1; i < SERVERS; i++)
		if (dice_percent(&w->dice, 40))
			json_object_set_new(users, w->servers[i].people[0],
					    json_integer(25 * (int)dice_roll(&w->dice, 4)));
	draft(w, &d[0], "m.room.create", "", json_object());
	draft(w, &d[1], "m.room.member", s->people[0], json_pack("{s:s}", "membership", "join"));
	draft(w, &d[2], "m.room.power_levels", "", json_pack("{s:o}", "users", users));
	draft(w, &d[3], "m.room.join_rules", "", json_pack("{s:s}", "join_rule", "public"));
	world_ok(w,
		 mx_room_create(s->rooms, s->conn, mx_room_version_find(mx_str_of(version)), d, 4,
				&s->room),
		 "making the room");
	for (int i = 0; i < 4; i++)
		json_decref(d[i].content);
	snprintf(w->room_id, sizeof(w->room_id), "%.*s", MX_SFMT(mx_room_id(s->room)));
	world_ok(w,
		 mx_room_timeline(s->rooms, s->conn, s->room, 0, INT64_MAX, 10, false, &events,
				  &more),
		 "the room's beginning");
	for (size_t i = 0; i < events.n; i++)
		check_sent(w, 0, w->wires[note(w, 0, events.v[i])].event);
	if (events.n != 4)
		world_fail(w, "a new room has %zu events", events.n);
	mx_events_clear(&events);
}

/* ---- entering ---- */

static void
add_all(struct mx_buf *b, const struct mx_events *l)
{
	for (size_t i = 0; i < l->n; i++)
		mx_buf_printf(b, "%s%.*s", i != 0 ? "," : "", MX_SFMT(mx_event_json(l->v[i])));
}

/* What a resident server answers to /send_join. */
static void
answer(struct world *w, int resident, const struct mx_event *join, struct mx_buf *b)
{
	struct server *s = &w->servers[resident];
	struct mx_events state = { .v = NULL }, chain = { .v = NULL };

	world_ok(w, mx_state_all(s->rooms, s->conn, mx_event_root_before(join), &state),
		 "the state before a join");
	world_ok(w, mx_events_auth_chain(s->rooms, s->conn, state.v, state.n, &chain),
		 "an auth chain");
	mx_buf_printf(b, "{\"auth_chain\":[");
	add_all(b, &chain);
	mx_buf_printf(b, "],\"event\":%.*s,\"members_omitted\":false,\"origin\":\"%s\",\"state\":[",
		      MX_SFMT(mx_event_json(join)), s->name);
	add_all(b, &state);
	mx_buf_printf(b, "]}");
	mx_events_clear(&state);
	mx_events_clear(&chain);
}

static void
read_answer(struct world *w, int i, mx_str join, mx_str body)
{
	struct server *s = &w->servers[i];
	struct mx_entry *entry;
	char version[8];
	size_t at = 0;

	snprintf(version, sizeof(version), "%d", w->version);
	world_ok(w,
		 mx_entry_begin(s->rooms, mx_str_of(w->room_id),
				mx_room_version_find(mx_str_of(version)), join, &entry),
		 "entering");
	while (at < body.n) {
		size_t n = 1 + dice_roll(&w->dice, 4000);

		n = n < body.n - at ? n : body.n - at;
		world_ok(w, mx_entry_feed(entry, (mx_str){ body.p + at, n }),
			 "reading the answer to send_join");
		at += n;
	}
	world_ok(w, mx_entry_finish(entry, s->conn, &s->room), "entering the room");
	mx_entry_free(&entry);
}

static int
some_resident(struct world *w, int i)
{
	int first = (int)dice_roll(&w->dice, (unsigned)w->honest);

	for (int k = 0; k < w->honest; k++) {
		int r = (first + k) % w->honest;

		if (r != i && w->servers[r].room != NULL && network_reaches(w, i, r))
			return r;
	}
	return -1;
}

void
honest_enter(struct world *w, int i)
{
	MX_AUTO(mx_buf) *body = mx_buf_new(0);
	int resident = some_resident(w, i), prev[20], wire;
	struct server *s = &w->servers[i], *r;
	struct act join = { .type = "m.room.member", .sender = s->people[0] };
	struct forged f = { .act = &join, .prev = prev, .ts = w->now, .by = i, .also_by = -1 };
	struct mx_event *ev = NULL;
	int event;

	if (resident < 0)
		return;
	r = &w->servers[resident];
	f.prev_n = honest_extremities(w, resident, prev, 20);
	join.state_key = s->people[0];
	join.content = json_pack("{s:s}", "membership", "join");
	if (w->version >= 8 && dice_percent(&w->dice, 50)) {
		json_object_set_new(join.content, "join_authorised_via_users_server",
				    json_string(r->people[0]));
		f.also_by = resident;
	}
	wire = forge_wire(w, i, &f, forge(w, &f));
	json_decref(join.content);
	event = w->wires[wire].event;
	network_hand_in(w, resident, -1, &wire, 1);
	if (r->thinks[event] != THINKS(MX_FATE_ACCEPTED))
		return;
	world_ok(w, mx_event_get(r->rooms, r->conn, mx_str_of(oracle_id(w->oracle, event)), &ev),
		 "the join");
	answer(w, resident, ev, body);
	mx_event_unref(&ev);
	world_trace(w, "s%d enters the room by s%d", i, resident);
	read_answer(w, i, (mx_str){ w->wires[wire].json, w->wires[wire].n }, mx_buf_view(body));
	s->thinks[event] = THINKS(MX_FATE_ACCEPTED);
	s->told[wire] = true;
	check_state(w, i);
	network_send_all(w, wire);
}

/* ---- acting ---- */

/* Where a redaction takes away what the rules look at, servers that learn of it at different times
 * judge differently, by the specification: that is not what is tested here. */
bool
honest_may_be_redacted(struct world *w, int e)
{
	const json_t *ev = oracle_json(w->oracle, e);
	const char *type = json_string_value(json_object_get(ev, "type"));

	return strcmp(type, "m.room.power_levels") != 0 && strcmp(type, "m.room.create") != 0 &&
	       strcmp(type, "m.room.third_party_invite") != 0 &&
	       strcmp(type, "m.room.redaction") != 0 && strcmp(type, "m.room.server_acl") != 0 &&
	       json_object_get(json_object_get(ev, "content"), "third_party_invite") == NULL &&
	       json_object_get(json_object_get(ev, "content"),
			       "join_authorised_via_users_server") == NULL;
}

static const char *
some_event(struct world *w)
{
	int e = (int)dice_roll(&w->dice, (unsigned)oracle_count(w->oracle));

	return honest_may_be_redacted(w, e) ? oracle_id(w->oracle, e) : NULL;
}

static const char *const *
everybody(struct world *w, int *n)
{
	static __thread const char *all[SERVERS * PEOPLE];

	*n = 0;
	for (int i = 0; i < SERVERS; i++)
		for (int k = 0; k < PEOPLE; k++)
			if (i < w->honest || (i >= HONEST_MAX && i < HONEST_MAX + w->hostile))
				all[(*n)++] = w->servers[i].people[k];
	return all;
}

/* Whoever holds the room together stays, and keeps the power to speak. */
static bool
breaks_the_anchor(struct world *w, const struct act *a)
{
	const char *anchor = w->servers[0].people[0];
	const json_t *users = json_object_get(a->content, "users");

	if (strcmp(a->sender, anchor) != 0)
		return false;
	if (strcmp(a->type, "m.room.member") == 0)
		return strcmp(a->state_key, anchor) == 0;
	if (strcmp(a->type, "m.room.power_levels") != 0)
		return false;
	return w->version >= 12 ? json_object_get(users, anchor) != NULL
				: json_integer_value(json_object_get(users, anchor)) != 100;
}

/* The voucher of a restricted join must be of our server: only it can sign. */
static bool
is_vouched_elsewhere(struct world *w, int i, const struct act *a)
{
	const char *who =
		json_string_value(json_object_get(a->content, "join_authorised_via_users_server"));

	return who != NULL && server_of(w, who) != i;
}

void
honest_act(struct world *w, int i)
{
	struct server *s = &w->servers[i];
	struct cast cast = { .version = w->version, .tame = true, .serial = w->serial++ };
	struct oracle_invite invites[4];
	struct oracle_state state;
	int prev[64], n;
	struct act a;

	if (s->room == NULL)
		return;
	n = honest_extremities(w, i, prev, 20);
	forge_state(w, prev, n, &state);
	cast.users = everybody(w, &cast.users_n);
	cast.levels = forge_levels(w, &state);
	cast.invites = invites;
	cast.invites_n = oracle_invites(w->oracle, &state, invites, 4);
	cast.some_event = some_event(w);
	act_random(&w->dice, &cast, s->people[dice_roll(&w->dice, PEOPLE)], &a);
	oracle_state_clear(&state);
	if (!breaks_the_anchor(w, &a) && !is_vouched_elsewhere(w, i, &a))
		(void)honest_send(w, i, &a);
	act_clear(&a);
}

bool
honest_speak(struct world *w, int i)
{
	bool spoke = false;

	for (int k = 0; k < PEOPLE && !spoke && w->servers[i].room != NULL; k++) {
		struct act a = { .type = "m.room.message",
				 .sender = w->servers[i].people[k],
				 .content = json_pack("{s:i}", "n", w->serial++) };

		spoke = honest_send(w, i, &a);
		json_decref(a.content);
	}
	return spoke;
}
