/* Each engine beside the oracle, after every step. */
#include "config.h"

#include <stdlib.h>

#include "core/room/doctor.h"
#include "tests/sim/world.h"

static bool
is_decided(const struct server *s, int e)
{
	return s->thinks[e] != 0 && s->thinks[e] != THINKS(MX_FATE_WAITING);
}

/* ---- forward extremities, as they should be ---- */

static void
mark_past(struct world *w, const struct server *s, int e, bool *past)
{
	for (int i = 0; i < oracle_prev_count(w->oracle, e); i++) {
		int p = oracle_prev(w->oracle, e, i);

		if (p == ORACLE_NONE || past[p])
			continue;
		past[p] = true;
		if (is_decided(s, p))
			mark_past(w, s, p, past);
	}
}

/* What a server has accepted and told, and what nothing of that kind comes after. */
static int
extremities(struct world *w, const struct server *s, int *out)
{
	bool past[ORACLE_EVENTS] = { false };
	int n = 0;

	for (int e = 0; e < oracle_count(w->oracle); e++)
		if (s->thinks[e] == THINKS(MX_FATE_ACCEPTED))
			mark_past(w, s, e, past);
	for (int e = 0; e < oracle_count(w->oracle); e++)
		if (s->thinks[e] == THINKS(MX_FATE_ACCEPTED) && !s->past[e] &&
		    (!past[e] || s->extra[e]))
			out[n++] = e;
	return n;
}

/* Where an event that was not accepted fills a gap below one that was, the extremities that it
 * names stay, until somebody builds on them: engines need not look for them there. */
static void
keep_behind(struct world *w, struct server *s, int e)
{
	int ext[ORACLE_EVENTS], n = extremities(w, s, ext);
	bool past[ORACLE_EVENTS] = { false };

	for (int a = 0; a < oracle_count(w->oracle); a++)
		if (s->thinks[a] == THINKS(MX_FATE_ACCEPTED))
			mark_past(w, s, a, past);
	if (!past[e])
		return;
	memset(past, 0, sizeof(past));
	mark_past(w, s, e, past);
	for (int i = 0; i < n; i++)
		s->extra[ext[i]] = s->extra[ext[i]] || past[ext[i]];
}

static void
build_on(struct world *w, struct server *s, int e)
{
	for (int i = 0; i < oracle_prev_count(w->oracle, e); i++) {
		int p = oracle_prev(w->oracle, e, i);

		if (p == ORACLE_NONE || !is_decided(s, p))
			continue;
		s->extra[p] = false;
		if (s->thinks[p] != THINKS(MX_FATE_ACCEPTED))
			build_on(w, s, p);
	}
}

/* What comes in before the beginning of the timeline changes nothing of the present. */
static void
think_past(struct world *w, struct server *s, int e, enum mx_fate fate)
{
	int ext[ORACLE_EVENTS], n = extremities(w, s, ext);

	s->past[e] = true;
	s->thinks[e] = THINKS(fate);
	for (int i = 0; i < n; i++)
		s->extra[ext[i]] = true;
}

static void
think(struct world *w, struct server *s, int e, enum mx_fate fate)
{
	if (fate == MX_FATE_ACCEPTED)
		build_on(w, s, e);
	else
		keep_behind(w, s, e);
	s->thinks[e] = THINKS(fate);
}

static void
current(struct world *w, const struct server *s, struct oracle_state *out)
{
	const struct oracle_state *states[ORACLE_EVENTS];
	int ext[ORACLE_EVENTS], n = extremities(w, s, ext), known = 0;

	for (int i = 0; i < n; i++) {
		if (!oracle_after(w->oracle, ext[i], &states[known]))
			world_fail(w, "the oracle has no state after %s",
				   oracle_id(w->oracle, ext[i]));
		known++;
	}
	oracle_resolve(w->oracle, states, known, out);
}

/* ---- what an engine made itself ---- */

static void
check_auth_events(struct world *w, int i, int e)
{
	const struct oracle_state *before;
	const json_t *ev = oracle_json(w->oracle, e);
	int found = 0, wanted = 0;

	if (!oracle_before(w->oracle, e, &before))
		world_fail(w, "s%d sent %s after what nobody made", i, oracle_id(w->oracle, e));
	for (int k = 0; k < before->n; k++) {
		if (before->v[k] == ORACLE_NONE ||
		    !oracle_selects(w->oracle, json_string_value(json_object_get(ev, "type")),
				    json_string_value(json_object_get(ev, "sender")),
				    json_string_value(json_object_get(ev, "state_key")),
				    json_object_get(ev, "content"), oracle_key_type(w->oracle, k),
				    oracle_key_name(w->oracle, k)))
			continue;
		wanted++;
		for (int m = 0; m < oracle_auth_count(w->oracle, e); m++)
			found += oracle_auth(w->oracle, e, m) == before->v[k];
	}
	if (found != wanted || wanted != oracle_auth_count(w->oracle, e))
		world_fail(w, "s%d sent %s with %d auth events, of which %d of %d are right", i,
			   oracle_id(w->oracle, e), oracle_auth_count(w->oracle, e), found, wanted);
}

static void
check_prev_events(struct world *w, int i, int e)
{
	int want[ORACLE_EVENTS], n = extremities(w, &w->servers[i], want), found = 0;
	int count = oracle_prev_count(w->oracle, e);

	for (int k = 0; k < count; k++)
		for (int m = 0; m < n; m++)
			found += oracle_prev(w->oracle, e, k) == want[m];
	if (found != count || count != (n < 20 ? n : count) || (n != 0 && count == 0))
		world_fail(w, "s%d sent %s after %d events, of which %d of %d are extremities", i,
			   oracle_id(w->oracle, e), count, found, n);
}

/* ---- fates ---- */

struct decided {
	int event;
	enum mx_fate fate;
	mx_pos position;
	char words[200];
};

static int
by_position(const void *a, const void *b)
{
	const struct decided *x = a, *y = b;

	return (x->position > y->position) - (x->position < y->position);
}

/* An event waits for something that is not there. */
static void
check_waits(struct world *w, int i, int e)
{
	const struct server *s = &w->servers[i];
	bool lacks = false;

	for (int k = 0; k < oracle_prev_count(w->oracle, e); k++)
		lacks = lacks || oracle_prev(w->oracle, e, k) == ORACLE_NONE ||
			!is_decided(s, oracle_prev(w->oracle, e, k));
	for (int k = 0; k < oracle_auth_count(w->oracle, e); k++)
		lacks = lacks || oracle_auth(w->oracle, e, k) == ORACLE_NONE ||
			!is_decided(s, oracle_auth(w->oracle, e, k));
	if (!lacks)
		world_fail(w, "s%d: %s waits, but lacks nothing", i, oracle_id(w->oracle, e));
}

static void
check_fate(struct world *w, int i, const struct decided *d)
{
	struct server *s = &w->servers[i];
	const char *id = oracle_id(w->oracle, d->event);
	enum oracle_verdict verdict = oracle_judge(w->oracle, d->event);
	struct oracle_state now;
	bool soft;

	if (verdict == ORACLE_UNKNOWN)
		world_fail(w, "s%d: %s is %s, but nobody can judge it", i, id,
			   mx_fate_name(d->fate));
	if ((verdict != ORACLE_ALLOWED) != (d->fate == MX_FATE_REJECTED))
		world_fail(w, "s%d: %s is %s (%s), the oracle %s", i, id, mx_fate_name(d->fate),
			   d->words,
			   verdict == ORACLE_ALLOWED	? "allows it"
			   : verdict == ORACLE_BY_STATE ? "rejects it by the state before it"
							: "rejects it by its auth events");
	if (d->position < 0 && d->fate == MX_FATE_SOFT_FAILED)
		world_fail(w, "s%d: %s is of the past, and soft-failed", i, id);
	if (d->position < 0) {
		think_past(w, s, d->event, d->fate);
		world_trace(w, "  s%d has decided: %s is %s (past)", i, id, mx_fate_name(d->fate));
		return;
	}
	if (verdict == ORACLE_ALLOWED) {
		current(w, s, &now);
		soft = !oracle_allows(w->oracle, d->event, &now);
		oracle_state_clear(&now);
		if (soft != (d->fate == MX_FATE_SOFT_FAILED))
			world_fail(w, "s%d: %s is %s (%s), but the current state %s it", i, id,
				   mx_fate_name(d->fate), d->words, soft ? "forbids" : "allows");
	}
	if (s->unasked[d->event]) {
		check_prev_events(w, i, d->event);
		check_auth_events(w, i, d->event);
	}
	think(w, s, d->event, d->fate);
	world_trace(w, "  s%d has decided: %s is %s %s", i, id, mx_fate_name(d->fate), d->words);
}

void
check_fates(struct world *w, int i)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct server *s = &w->servers[i];
	struct decided *v = calloc(ORACLE_EVENTS, sizeof(*v));
	int n = 0;

	for (int e = 0; e < oracle_count(w->oracle); e++) {
		struct mx_explanation x;
		mx_error *err;

		if (s->thinks[e] != THINKS(MX_FATE_WAITING))
			continue;
		err = mx_event_explain(s->rooms, s->conn, mx_str_of(oracle_id(w->oracle, e)), a,
				       &x);
		world_ok(w, err, "explaining");
		s->outlier[e] = x.outlier;
		if (x.fate == MX_FATE_WAITING || x.outlier)
			continue;
		v[n] = (struct decided){ e, x.fate, x.position, "" };
		snprintf(v[n++].words, sizeof(v[0].words), "%.*s", MX_SFMT(x.words));
	}
	qsort(v, (size_t)n, sizeof(*v), by_position);
	for (int k = 0; k < n; k++)
		check_fate(w, i, &v[k]);
	free(v);
	for (int e = 0; e < oracle_count(w->oracle); e++)
		if (s->thinks[e] == THINKS(MX_FATE_WAITING) && !s->outlier[e])
			check_waits(w, i, e);
}

/* ---- state ---- */

static void
list_events(struct world *w, const int *v, int n, char out[512])
{
	size_t at = 0;

	out[0] = 0;
	for (int i = 0; i < n && at < 480; i++)
		at += (size_t)snprintf(out + at, 512 - at, " %.10s", oracle_id(w->oracle, v[i]));
}

static void
check_extremities(struct world *w, int i)
{
	int want[ORACLE_EVENTS], got[ORACLE_EVENTS], n = extremities(w, &w->servers[i], want);
	int got_n = honest_extremities(w, i, got, ORACLE_EVENTS), same = 0;
	char a[512], b[512];

	for (int k = 0; k < n; k++)
		for (int m = 0; m < got_n; m++)
			same += want[k] == got[m];
	if (same == n && got_n == n)
		return;
	list_events(w, want, n, a);
	list_events(w, got, got_n, b);
	world_fail(w, "s%d: the forward extremities are%s, and should be%s", i, b, a);
}

static void
read_state(struct world *w, int i, struct oracle_state *out)
{
	struct server *s = &w->servers[i];
	struct mx_events all = { .v = NULL };

	*out = (struct oracle_state){ NULL, 0 };
	world_ok(w, mx_state_all(s->rooms, s->conn, mx_room_root(s->room), &all), "the state");
	for (size_t k = 0; k < all.n; k++) {
		mx_str id = mx_event_id(all.v[k]);
		int e = oracle_find(w->oracle, id.p, id.n);

		if (e == ORACLE_NONE)
			world_fail(w, "s%d has %.*s in its state, which nobody made", i,
				   MX_SFMT(id));
		oracle_put(out, oracle_key_of(w->oracle, e), e);
	}
	mx_events_clear(&all);
}

void
check_state(struct world *w, int i)
{
	struct oracle_state want, got;

	check_extremities(w, i);
	w->count.states++;
	current(w, &w->servers[i], &want);
	read_state(w, i, &got);
	for (int k = 0; k < want.n || k < got.n; k++)
		if (oracle_at(&want, k) != oracle_at(&got, k))
			world_fail(w, "s%d: in the state, %s/%s is %s, and should be %s", i,
				   oracle_key_type(w->oracle, k), oracle_key_name(w->oracle, k),
				   oracle_id(w->oracle, oracle_at(&got, k)),
				   oracle_id(w->oracle, oracle_at(&want, k)));
	oracle_state_clear(&want);
	oracle_state_clear(&got);
}

/* ---- what an engine made when it was asked ---- */

void
check_sent(struct world *w, int i, int e)
{
	if (oracle_judge(w->oracle, e) != ORACLE_ALLOWED)
		world_fail(w, "s%d sent %s, which the oracle forbids", i, oracle_id(w->oracle, e));
	check_prev_events(w, i, e);
	check_auth_events(w, i, e);
	think(w, &w->servers[i], e, MX_FATE_ACCEPTED);
}

bool
check_lets_in(struct world *w, int i, const char *other)
{
	struct oracle_state now;
	bool good;

	current(w, &w->servers[i], &now);
	good = oracle_acl_allows(w->oracle, &now, other);
	oracle_state_clear(&now);
	return good;
}

/* ---- the end ---- */

bool
check_agree_states(struct world *w)
{
	struct oracle_state first, other;
	bool same = true;

	current(w, &w->servers[0], &first);
	for (int i = 1; i < w->honest; i++) {
		if (w->servers[i].room == NULL)
			continue;
		current(w, &w->servers[i], &other);
		same = same && oracle_same(&first, &other);
		oracle_state_clear(&other);
	}
	oracle_state_clear(&first);
	return same;
}

bool
check_agree(struct world *w)
{
	int first[ORACLE_EVENTS], other[ORACLE_EVENTS], n = extremities(w, &w->servers[0], first),
							m;

	for (int i = 1; i < w->honest; i++) {
		if (w->servers[i].room == NULL)
			continue;
		m = extremities(w, &w->servers[i], other);
		if (m != n || memcmp(first, other, (size_t)n * sizeof(*first)) != 0)
			return false;
	}
	return true;
}

/* Every event is in its redacted form where an accepted redaction says so, and nowhere else. One
 * that some server has soft-failed may or may not have been applied there. */
static void
check_redactions(struct world *w, int i)
{
	struct server *s = &w->servers[i];

	for (int e = 0; e < oracle_count(w->oracle); e++) {
		struct mx_event *ev;
		bool must = false, may = false, is;

		if (s->thinks[e] != THINKS(MX_FATE_ACCEPTED) || oracle_was_redacted(w->oracle, e))
			continue;
		for (int r = 0; r < oracle_count(w->oracle); r++) {
			if (oracle_redacts_of(w->oracle, r) != e ||
			    !oracle_redacts(w->oracle, r, e))
				continue;
			must = must || s->thinks[r] == THINKS(MX_FATE_ACCEPTED);
			may = may || s->thinks[r] == THINKS(MX_FATE_SOFT_FAILED);
		}
		world_ok(w,
			 mx_event_get(s->rooms, s->conn, mx_str_of(oracle_id(w->oracle, e)), &ev),
			 "an event");
		is = mx_event_redacted(ev);
		mx_event_unref(&ev);
		if (is != must && !(is && may))
			world_fail(w, "s%d: %s is%s redacted, and should%s be", i,
				   oracle_id(w->oracle, e), is ? "" : " not", must ? "" : " not");
	}
}

static void
check_members(struct world *w, int i)
{
	struct server *s = &w->servers[i];
	struct oracle_state now;
	size_t joined = 0;

	current(w, s, &now);
	for (int k = 0; k < now.n; k++) {
		const char *m;

		if (now.v[k] == ORACLE_NONE ||
		    strcmp(oracle_key_type(w->oracle, k), "m.room.member") != 0)
			continue;
		m = json_string_value(json_object_get(
			json_object_get(oracle_json(w->oracle, now.v[k]), "content"),
			"membership"));
		joined += m != NULL && strcmp(m, "join") == 0;
	}
	oracle_state_clear(&now);
	if (joined != mx_room_joined_count(s->room))
		world_fail(w, "s%d counts %zu joined users, and should count %zu", i,
			   mx_room_joined_count(s->room), joined);
}

/* Redactions are shown where they have an effect, and what engines say to each other never. */
static bool
may_be_hidden(struct world *w, int e)
{
	const char *type = json_string_value(json_object_get(oracle_json(w->oracle, e), "type"));

	return strcmp(type, "m.room.redaction") == 0 || strcmp(type, "org.matrix.dummy_event") == 0;
}

/* Everything that was accepted is shown, and nothing else. */
static void
check_timeline(struct world *w, int i)
{
	struct server *s = &w->servers[i];
	struct mx_events l = { .v = NULL };
	size_t want = 0, got = 0;
	bool more;

	for (int e = 0; e < oracle_count(w->oracle); e++)
		want += s->thinks[e] == THINKS(MX_FATE_ACCEPTED) && !may_be_hidden(w, e);
	world_ok(w,
		 mx_room_timeline(s->rooms, s->conn, s->room, INT64_MIN, INT64_MAX, ORACLE_EVENTS,
				  false, &l, &more),
		 "the timeline");
	for (size_t k = 0; k < l.n; k++) {
		mx_str id = mx_event_id(l.v[k]);
		int e = oracle_find(w->oracle, id.p, id.n);

		if (e == ORACLE_NONE || s->thinks[e] != THINKS(MX_FATE_ACCEPTED))
			world_fail(w, "s%d shows %.*s, which it has not accepted", i, MX_SFMT(id));
		got += !may_be_hidden(w, e);
	}
	mx_events_clear(&l);
	if (got != want)
		world_fail(w, "s%d shows %zu events and has accepted %zu", i, got, want);
}

/* Of some, for it reads all that is stored; and of those that were told states of the past. */
static void
check_health(struct world *w, int i)
{
	struct mx_checkup *c;
	char words[600];
	uint64_t found;

	if (!dice_percent(&w->dice, 25) && memchr(w->servers[i].past, true, ORACLE_EVENTS) == NULL)
		return;
	c = calloc(1, sizeof(*c));
	world_ok(w, mx_room_checkup(w->servers[i].rooms, w->servers[i].conn, w->servers[i].room, c),
		 "the doctor");
	found = c->found;
	snprintf(words, sizeof(words), "%s of %s: %s", mx_ailment_name(c->v[0].what), c->v[0].id,
		 c->v[0].words);
	free(c);
	if (found != 0)
		world_fail(w, "s%d: the doctor finds %s", i, words);
}

/* Whether everybody has accepted what was said last. */
static bool
is_heard(struct world *w)
{
	int e = oracle_count(w->oracle) - 1;

	for (int i = 0; i < w->honest; i++)
		if (w->servers[i].room != NULL &&
		    w->servers[i].thinks[e] != THINKS(MX_FATE_ACCEPTED))
			return false;
	return true;
}

/* Who was heard by all has named all that it knew: only what servers alone have seen whose users
 * may not speak, or not in the eyes of others (soft failure has that consequence), may differ. */
static void
check_agreement(struct world *w, const bool *heard)
{
	int ext[2][ORACLE_EVENTS], n[2] = { 0, 0 }, last = -1;

	for (int i = 0; i < w->honest; i++) {
		if (w->servers[i].room == NULL || !heard[i])
			continue;
		n[1] = extremities(w, &w->servers[i], ext[1]);
		if (last >= 0 &&
		    (n[0] != n[1] || memcmp(ext[0], ext[1], (size_t)n[0] * sizeof(int)) != 0))
			world_fail(w, "s%d and s%d do not agree about the room", last, i);
		memcpy(ext[0], ext[1], sizeof(ext[0]));
		n[0] = n[1];
		last = i;
	}
}

void
check_end(struct world *w)
{
	bool heard[HONEST_MAX] = { false };

	for (int round = 0; round < 4 && (round == 0 || !check_agree(w)); round++) {
		for (int i = w->honest - 1; i >= 0; i--) {
			heard[i] = honest_speak(w, i);
			network_heal(w);
			heard[i] = heard[i] && is_heard(w);
		}
	}
		check_agreement(w, heard);
	if (!check_agree(w))
		amnesty(w);
	for (int i = 0; i < w->honest; i++) {
		if (w->servers[i].room == NULL)
			continue;
		check_state(w, i);
		check_redactions(w, i);
		check_members(w, i);
		check_timeline(w, i);
		check_health(w, i);
	}
}
