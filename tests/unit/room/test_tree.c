/* State trees against a plain map. No database: every node of a test stays in memory. */
#include "config.h"

#include "tests/unit/support/unit.h"

#include "core/room/tree.h"

#define KEYS 3000

static struct mx_node_cache *cache;
static struct mx_fresh_nodes fresh;	/* keeps all nodes of a test */
static struct mx_tree tree;
static unsigned seed;

static unsigned
dice(unsigned n)
{
	seed = seed * 1664525u + 1013904223u;
	return (unsigned)((uint64_t)(seed >> 4) * n >> 28);
}

static int
begin(void **state)
{
	cache = mx_node_cache_new(64 << 20);
	fresh = (struct mx_fresh_nodes){ .cache = cache };
	tree = (struct mx_tree){ .cache = cache };
	seed = 7;
	return unit_log_begin_(state);
}

static int
finish(void **state)
{
	mx_tree_done(&tree);
	mx_fresh_nodes_done(&fresh);
	mx_node_cache_free(&cache);
	return unit_log_end_(state);
}

#define tree_case(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

static struct mx_tree_key
key_of(unsigned i)
{
	char text[32];

	snprintf(text, sizeof(text), "@user%u:example.org", i);
	return mx_tree_key(MX_S("m.room.member"), mx_str_of(text));
}

static struct mx_state_root
set(struct mx_state_root root, unsigned key, mx_nid nid)
{
	struct mx_state_root out;

	unit_ok(mx_tree_set(&tree, root, key_of(key), nid, &fresh, &out));
	return out;
}

static mx_nid
get(struct mx_state_root root, unsigned key)
{
	mx_nid nid;

	unit_ok(mx_tree_get(&tree, root, key_of(key), &nid));
	return nid;
}

static const struct mx_state_root NONE;

static void
an_empty_tree_has_nothing(void **state)
{
	size_t n;

	(void)state;
	assert_int_equal(get(NONE, 1), 0);
	unit_ok(mx_tree_count(&tree, NONE, &n));
	assert_int_equal(n, 0);
	assert_true(mx_root_none(set(NONE, 1, 0)));
}

static void
type_and_key_are_not_confused(void **state)
{
	struct mx_tree_key a = mx_tree_key(MX_S("ab"), MX_S("c")),
			   b = mx_tree_key(MX_S("a"), MX_S("bc"));

	(void)state;
	assert_memory_not_equal(a.h, b.h, sizeof(a.h));
}

/* The hash of a key is in every database: it may never change. */
static void
the_form_of_keys_and_nodes_is_fixed(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_tree_key k = mx_tree_key(MX_S("m.room.create"), MX_S(""));
	struct mx_state_root root;

	(void)state;
	mx_hex(b, k.h, sizeof(k.h));
	assert_string_equal(mx_buf_cstr(b), "03e995fa8eb987a4ce51afcd838969dc");
	unit_ok(mx_tree_set(&tree, NONE, k, 258, &fresh, &root));
	mx_buf_truncate(b, 0);
	mx_hex(b, root.h, sizeof(root.h));
	assert_string_equal(mx_buf_cstr(b), "42f509e28b0bf5683ebfe921683a770a");
}

static mx_error *
count_other(void *arg, struct mx_tree_key key, mx_nid nid)
{
	assert_int_equal(key.h[0] >> 4, 0);
	assert_true(nid > 1000000);
	++*(size_t *)arg;
	return NULL;
}

static void
members_and_other_state_are_apart(void **state)
{
	struct mx_state_root root = NONE, few = NONE;
	size_t n;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 600; i++) {
		struct mx_tree_key other;

		assert_int_not_equal(key_of(i).h[0] >> 4, 0);
		root = set(root, i, i + 1);
		if (i % 4 != 0)
			continue;
		snprintf(name, sizeof(name), "thing%u", i);
		other = mx_tree_key(MX_S("org.example"), mx_str_of(name));
		unit_ok(mx_tree_set(&tree, root, other, 1000001 + i, &fresh, &root));
		if (i == 8)
			few = root;
	}
	n = 0;
	unit_ok(mx_tree_each(&tree, root, MX_TREE_NO_MEMBERS, count_other, &n));
	assert_int_equal(n, 150);
	n = 0;
	unit_ok(mx_tree_each(&tree, few, MX_TREE_NO_MEMBERS, count_other, &n));
	assert_int_equal(n, 3);	/* all in one leaf */
	n = 0;
	unit_ok(mx_tree_each(&tree, NONE, MX_TREE_NO_MEMBERS, count_other, &n));
	assert_int_equal(n, 0);
}

static int
by_key(const void *a, const void *b)
{
	return memcmp(((const struct mx_tree_entry *)a)->key.h,
		      ((const struct mx_tree_entry *)b)->key.h, MX_TREE_KEY);
}

static void
many_changes_at_once_are_as_one_after_the_other(void **state)
{
	static struct mx_tree_entry v[400];
	struct mx_state_root one = NONE, many = NONE;
	(void)state;
	for (int round = 0; round < 40; round++) {
		size_t n = 0;

		for (unsigned i = 0; i < 1 + dice(400); i++) {
			unsigned k = round < 20 ? dice(1000) : dice(40);
			mx_nid nid = dice(3) == 0 ? 0 : (mx_nid)dice(100000) + 1;

			for (size_t j = 0; j < n; j++)
				if (memcmp(v[j].key.h, key_of(k).h, MX_TREE_KEY) == 0)
					nid = -1;
			if (nid >= 0)
				v[n++] = (struct mx_tree_entry){ key_of(k), nid };
			if (nid >= 0)
				one = set(one, k, nid);
		}
		qsort(v, n, sizeof(*v), by_key);
		unit_ok(mx_tree_set_many(&tree, many, v, n, &fresh, &many));
		assert_true(mx_root_eq(one, many));
	}
	for (unsigned i = 0; i < 1000; i++)
		one = set(one, i, 0);
	assert_true(mx_root_none(one));
}

static void
setting_what_is_there_changes_nothing(void **state)
{
	struct mx_state_root a = set(set(NONE, 1, 5), 2, 6);
	size_t nodes = fresh.n;

	(void)state;
	assert_true(mx_root_eq(set(a, 2, 6), a));
	assert_true(mx_root_eq(set(a, 3, 0), a));
	assert_int_equal(fresh.n, nodes);
}

static void
equal_contents_have_equal_roots_whatever_the_way(void **state)
{
	struct mx_state_root up = NONE, down = NONE, detour = NONE;

	(void)state;
	for (unsigned i = 0; i < 500; i++)
		up = set(up, i, i + 1);
	for (unsigned i = 500; i-- > 0;)
		down = set(down, i, i + 1);
	for (unsigned i = 0; i < 900; i++)
		detour = set(detour, i, 7777);
	for (unsigned i = 0; i < 900; i++)
		detour = set(detour, i, i < 500 ? i + 1 : 0);
	assert_true(mx_root_eq(up, down));
	assert_true(mx_root_eq(up, detour));
	for (unsigned i = 0; i < 500; i++)
		up = set(up, i, 0);
	assert_true(mx_root_none(up));
}

/* ---- random changes, and a map that has gone the same way ---- */

struct diff_check {
	const mx_nid *from, *to;
	size_t n;
	bool wrong;
	struct mx_tree_key last;
};

static unsigned
key_index(const struct mx_tree_key *k)
{
	static struct mx_tree_key known[KEYS];
	static bool filled;

	for (unsigned i = 0; !filled && i < KEYS; i++)
		known[i] = key_of(i);
	filled = true;
	for (unsigned i = 0; i < KEYS; i++)
		if (memcmp(known[i].h, k->h, sizeof(k->h)) == 0)
			return i;
	return KEYS;
}

static mx_error *
check_diff(void *arg, struct mx_tree_key key, mx_nid from, mx_nid to)
{
	struct diff_check *c = arg;
	unsigned i = key_index(&key);

	c->wrong |= i == KEYS || c->from[i] != from || c->to[i] != to || from == to;
	c->wrong |= c->n > 0 && memcmp(c->last.h, key.h, sizeof(key.h)) >= 0;
	c->last = key;
	c->n++;
	return NULL;
}

static mx_error *
count_entry(void *arg, struct mx_tree_key key, mx_nid nid)
{
	(void)key;
	(void)nid;
	++*(size_t *)arg;
	return NULL;
}

static size_t
differing(const mx_nid *a, const mx_nid *b)
{
	size_t n = 0;

	for (unsigned i = 0; i < KEYS; i++)
		n += a[i] != b[i];
	return n;
}

static void
a_tree_is_the_map_that_went_the_same_way(void **state)
{
	static mx_nid map[KEYS], old[KEYS];
	struct mx_state_root root = NONE, old_root = NONE;
	size_t entries = 0, counted, walked;

	(void)state;
	for (int round = 0; round < 60; round++) {
		unsigned keys = round % 3 == 0 ? 20 : round % 3 == 1 ? 300 : KEYS;

		for (int i = 0; i < 200; i++) {
			unsigned k = dice(keys);
			mx_nid nid = dice(4) == 0 ? 0 : (mx_nid)dice(1000000) + 1;

			root = set(root, k, nid);
			entries += (size_t)((nid != 0) - (map[k] != 0));
			map[k] = nid;
		}
		for (int i = 0; i < 50; i++) {
			unsigned k = dice(KEYS);

			assert_int_equal(get(root, k), map[k]);
		}
		unit_ok(mx_tree_count(&tree, root, &counted));
		walked = 0;
		unit_ok(mx_tree_each(&tree, root, MX_TREE_ALL, count_entry, &walked));
		assert_int_equal(counted, entries);
		assert_int_equal(walked, entries);

		struct diff_check there = { .from = old, .to = map },
				  back = { .from = map, .to = old };

		unit_ok(mx_tree_diff(&tree, old_root, root, check_diff, &there));
		unit_ok(mx_tree_diff(&tree, root, old_root, check_diff, &back));
		assert_false(there.wrong);
		assert_false(back.wrong);
		assert_int_equal(there.n, differing(old, map));
		assert_int_equal(back.n, there.n);
		if (round % 4 == 0) {
			memcpy(old, map, sizeof(old));
			old_root = root;
		}
		mx_tree_done(&tree);
	}
	struct mx_state_root again = NONE;

	for (unsigned i = KEYS; i-- > 0;)
		if (map[i] != 0)
			again = set(again, i, map[i]);
	assert_true(mx_root_eq(again, root));
}

static void
a_change_makes_few_nodes_and_a_diff_reads_few(void **state)
{
	struct mx_state_root a = NONE, b;
	size_t nodes, held;

	(void)state;
	for (unsigned i = 0; i < KEYS; i++)
		a = set(a, i, i + 1);
	nodes = fresh.n;
	b = set(a, 17, 999999);
	assert_true(fresh.n - nodes <= 4);
	mx_tree_done(&tree);
	struct diff_check none = { 0 };
	static mx_nid from[KEYS], to[KEYS];

	for (unsigned i = 0; i < KEYS; i++)
		from[i] = to[i] = i + 1;
	to[17] = 999999;
	none.from = from;
	none.to = to;
	unit_ok(mx_tree_diff(&tree, a, b, check_diff, &none));
	held = tree.held_n;
	assert_int_equal(none.n, 1);
	assert_false(none.wrong);
	assert_true(held <= 8);
}

static void
without_io_a_missing_node_is_said(void **state)
{
	struct mx_state_root lost = { { 1, 2, 3 } }, out;
	size_t nodes = fresh.n;
	mx_nid nid;

	(void)state;
	unit_refused(mx_tree_get(&tree, lost, key_of(1), &nid), MX_E_AGAIN);
	unit_refused(mx_tree_set(&tree, lost, key_of(1), 5, &fresh, &out), MX_E_AGAIN);
	assert_int_equal(fresh.n, nodes);
}

static void
the_cache_stays_within_its_limit_and_keeps_what_is_pinned(void **state)
{
	struct mx_node_cache *small = mx_node_cache_new(64 << 10);
	struct mx_fresh_nodes kept = { .cache = small };
	struct mx_tree t = { .cache = small };
	struct mx_state_root root, first;
	uint64_t hits, misses;
	size_t bytes;
	mx_nid nid;

	(void)state;
	unit_ok(mx_tree_set(&t, NONE, key_of(0), 1, &kept, &first));
	for (unsigned i = 0; i < 2000; i++) {
		struct mx_fresh_nodes f = { .cache = small };

		unit_ok(mx_tree_set(&t, NONE, key_of(i), i + 1, &f, &root));
		mx_fresh_nodes_done(&f);
		mx_tree_done(&t);
	}
	mx_node_cache_stats(small, &hits, &misses, &bytes);
	assert_true(bytes <= 80 << 10);
	unit_ok(mx_tree_get(&t, first, key_of(0), &nid));
	assert_int_equal(nid, 1);
	mx_tree_done(&t);
	mx_fresh_nodes_done(&kept);
	mx_node_cache_free(&small);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		tree_case(an_empty_tree_has_nothing),
		tree_case(type_and_key_are_not_confused),
		tree_case(the_form_of_keys_and_nodes_is_fixed),
		tree_case(members_and_other_state_are_apart),
		tree_case(many_changes_at_once_are_as_one_after_the_other),
		tree_case(setting_what_is_there_changes_nothing),
		tree_case(equal_contents_have_equal_roots_whatever_the_way),
		tree_case(a_tree_is_the_map_that_went_the_same_way),
		tree_case(a_change_makes_few_nodes_and_a_diff_reads_few),
		tree_case(without_io_a_missing_node_is_said),
		tree_case(the_cache_stays_within_its_limit_and_keeps_what_is_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
