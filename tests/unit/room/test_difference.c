/* The auth difference and the conflicted subgraph: random graphs and random states, against the
 * definitions; and that what all states share is not visited. */
#include "tests/unit/support/unit.h"

#include "core/room/difference.h"

#define MOST 400
#define KEYS 12
#define LEAF_KEYS 4		/* the last of them: nobody rests on these */
#define STATES 5

struct world {
	int n;
	int key[MOST];
	bool rests[MOST][MOST];		/* directly */
	bool chain[MOST][MOST];
	int states, at[STATES][KEYS];	/* the event at each key; -1: none */
	bool reduced;			/* rows leave out what follows */
	size_t rows, pages;
};

static uint64_t seed;

static int
roll(int n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (int)((seed >> 33) % (uint64_t)n);
}

static bool
is_leaf(const struct world *w, int e)
{
	return w->key[e] >= KEYS - LEAF_KEYS;
}

static bool
follows(const struct world *w, int e, int below)
{
	for (int k = 0; k < w->n; k++)
		if (w->rests[e][k] && w->rests[k][below])
			return true;
	return false;
}

/* Events are numbered from both sides of zero, as outliers and the timeline are. */
static mx_nid
nid_of(int e)
{
	return e % 3 == 0 ? -e - 1 : e + 1;
}

static int
event_of(mx_nid nid)
{
	return (int)(nid < 0 ? -nid - 1 : nid - 1);
}

static mx_error *
rows(void *arg, struct mx_auth_row *v, size_t n)
{
	struct world *w = arg;

	w->rows += n;
	for (size_t i = 0; i < n; i++) {
		int e = event_of(v[i].nid);

		v[i].height = e;
		for (int k = 0; k < w->n; k++)
			if (w->rests[e][k] && !(w->reduced && follows(w, e, k)))
				v[i].auth[v[i].n++] = nid_of(k);
	}
	return NULL;
}

static mx_error *
above(void *arg, mx_nid nid, struct mx_above *page)
{
	struct world *w = arg;
	int below = event_of(nid);
	bool leaf = page->begun && page->last.leaf;
	int from = page->begun ? event_of(page->last.nid) - 1 : w->n - 1;

	w->pages++;
	for (int pass = leaf; pass < 2; pass++, from = w->n - 1)
		for (int e = from; e >= 0 && page->n < MX_ABOVE; e--)
			if (w->rests[e][below] && is_leaf(w, e) == pass &&
			    !(w->reduced && follows(w, e, below))) {
				page->v[page->n].nid = nid_of(e);
				page->v[page->n++].leaf = pass;
			}
	return NULL;
}

static bool
in_all(const struct world *w, int e)
{
	for (int s = 0; s < w->states; s++)
		if (w->at[s][w->key[e]] != e)
			return false;
	return true;
}

static mx_error *
agreed(void *arg, mx_nid nid, bool leaf, bool *out)
{
	struct world *w = arg;

	assert_int_equal(leaf, is_leaf(w, event_of(nid)));
	*out = in_all(w, event_of(nid));
	return NULL;
}

/* ---- the definitions ---- */

static bool
in_chain(const struct world *w, int s, int e)
{
	for (int k = 0; k < KEYS; k++)
		if (w->at[s][k] >= 0 && w->chain[w->at[s][k]][e])
			return true;
	return false;
}

static bool
is_conflicted(const struct world *w, int e)
{
	bool some = false;

	for (int s = 0; s < w->states; s++)
		some = some || w->at[s][w->key[e]] == e;
	return some && !in_all(w, e);
}

static bool
should_be(const struct world *w, int e, bool subgraph)
{
	int chains = 0;
	bool over = false, under = false;

	for (int s = 0; s < w->states; s++)
		chains += in_chain(w, s, e);
	if (chains > 0 && chains < w->states)
		return true;
	for (int c = 0; subgraph && c < w->n; c++)
		if (is_conflicted(w, c)) {
			under = under || w->chain[c][e];
			over = over || w->chain[e][c];
		}
	return under && over;
}

/* ---- random worlds ---- */

static void
finish(struct world *w)
{
	memset(w->chain, 0, sizeof(w->chain));
	for (int e = 0; e < w->n; e++)
		for (int k = 0; k < e; k++)
			if (w->rests[e][k]) {
				w->chain[e][k] = true;
				for (int b = 0; b < k; b++)
					w->chain[e][b] = w->chain[e][b] || w->chain[k][b];
			}
}

static void
make(struct world *w, int n)
{
	int hub = roll(4);

	memset(w, 0, sizeof(*w));
	w->n = n;
	for (int e = 0; e < n; e++) {
		w->key[e] = roll(KEYS);
		for (int i = roll(4); i >= 0 && e > 0; i--) {
			/* mostly what is new; now and then all rest on one; or on anything */
			int k = hub == 0 ? roll(e < 5 ? e : 5)
				: roll(5) > 0 ? e - 1 - roll(e < 12 ? e : 12)
					      : roll(e);

			w->rests[e][k] = !is_leaf(w, k);
		}
	}
	finish(w);
}

/* One state is random, the others differ from it in a few entries. */
static void
choose_states(struct world *w)
{
	w->states = 2 + roll(STATES - 1);
	for (int s = 0; s < w->states; s++)
		for (int k = 0; k < KEYS; k++) {
			w->at[s][k] = s > 0 ? w->at[0][k] : -1;
			if (s > 0 && roll(4) > 0)
				continue;
			for (int tries = 0; tries < 30; tries++) {
				int e = w->n - 1 - roll(roll(3) == 0 ? w->n : w->n / 2 + 1);

				if (w->key[e] == k) {
					w->at[s][k] = e;
					break;
				}
			}
			if (roll(12) == 0)
				w->at[s][k] = -1;
		}
}

static mx_error *
ask(struct world *w, bool subgraph, size_t max, struct mx_arena *a, mx_nid **out, size_t *out_n)
{
	struct mx_auth_graph g = { rows, above, agreed, w, max };
	struct mx_conflicted v[MOST];
	size_t n = 0;

	for (int e = 0; e < w->n; e++) {
		if (!is_conflicted(w, e))
			continue;
		v[n] = (struct mx_conflicted){ .nid = nid_of(e), .leaf = is_leaf(w, e) };
		for (int s = 0; s < w->states; s++)
			if (w->at[s][w->key[e]] == e)
				v[n].states |= UINT64_C(1) << s;
		n++;
	}
	w->rows = w->pages = 0;
	return mx_auth_difference(&g, v, n, (size_t)w->states, subgraph, a, out, out_n);
}

static void
compare(struct world *w, bool subgraph)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	bool is[MOST] = { false };
	mx_nid *out;
	size_t n;

	unit_ok(ask(w, subgraph, MOST, a, &out, &n));
	for (size_t i = 0; i < n; i++) {
		assert_false(is[event_of(out[i])]);
		is[event_of(out[i])] = true;
	}
	for (int e = 0; e < w->n; e++) {
		bool should = should_be(w, e, subgraph) && !is_conflicted(w, e);

		if (is[e] != should)
			fail_msg("event %d of %d %s in it", e, w->n,
				 should ? "should be" : "should not be");
	}
}

static void
random_graphs_have_the_difference_of_the_definition(void **state)
{
	static struct world w;

	(void)state;
	for (unsigned round = 0; round < 1500; round++) {
		seed = 99 + round;
		make(&w, round % 50 == 0 ? MOST : 20 + roll(60));
		for (int k = 0; k < 8; k++) {
			w.reduced = k % 2 != 0;
			choose_states(&w);
			compare(&w, k % 4 > 1);
		}
	}
}

/* ---- what it visits ---- */

/* A line of power levels; all members but the first two rest on the newest of them. */
static void
make_room(struct world *w, int levels, int members)
{
	memset(w, 0, sizeof(*w));
	w->states = 2;
	for (int k = 0; k < KEYS; k++)
		w->at[0][k] = w->at[1][k] = -1;
	for (int e = 0; e < levels + members; e++, w->n++) {
		w->key[e] = e < levels ? 0 : 2;
		if (e > 0)
			w->rests[e][e < levels ? e - 1 : levels - 1] = true;
	}
	w->at[0][0] = w->at[1][0] = levels - 1;
	w->key[levels] = 1;
	w->at[0][1] = w->at[1][1] = levels;	/* one that both states have */
	w->at[0][2] = w->n - 1;
	w->at[1][2] = w->n - 2;
	finish(w);
}

static void
what_an_agreed_entry_rests_on_is_not_visited(void **state)
{
	static struct world w;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid *out;
	size_t n;

	(void)state;
	for (int size = 20; size <= 180; size += 40) {
		make_room(&w, size, size);
		unit_ok(ask(&w, true, MOST, a, &out, &n));
		assert_int_equal(n, 0);
		assert_in_range(w.rows, 1, 4);
		assert_in_range(w.pages, 0, 2);
	}
}

static void
work_is_limited(void **state)
{
	static struct world w;
	MX_AUTO(mx_arena) *a = mx_arena_new();
	mx_nid *out;
	size_t n;

	(void)state;
	/* The members are of different lines: all of the levels between are in the difference. */
	make_room(&w, 200, 4);
	w.rests[w.n - 1][199] = false;
	w.rests[w.n - 1][3] = true;
	w.rests[200][199] = false;
	w.rests[200][2] = true;
	w.at[0][0] = w.at[1][0] = -1;
	finish(&w);
	unit_refused(ask(&w, true, 100, a, &out, &n), MX_E_LIMIT_EXCEEDED);
	unit_ok(ask(&w, true, MOST, a, &out, &n));
	assert_int_equal(n, 196);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(random_graphs_have_the_difference_of_the_definition),
		unit_case(what_an_agreed_entry_rests_on_is_not_visited),
		unit_case(work_is_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
