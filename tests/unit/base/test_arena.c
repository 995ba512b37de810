#include "config.h"

#include "tests/unit/support/unit.h"

static void
memory_is_zeroed_and_aligned(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();

	(void)state;
	for (size_t n = 0; n < 3000; n += 7) {
		unsigned char *p = mx_arena_alloc(a, n);

		assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
}

static void
allocations_do_not_overlap(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	unsigned char *p[500];

	(void)state;
	for (size_t i = 0; i < 500; i++)
		memset(p[i] = mx_arena_alloc(a, i * 5 + 1), (int)(i % 255), i * 5 + 1);
	for (size_t i = 0; i < 500; i++)
		for (size_t k = 0; k < i * 5 + 1; k++)
			assert_int_equal(p[i][k], i % 255);
}

static void
big_ones_get_memory_of_their_own(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	char *small = mx_arena_alloc(a, 16), *big = mx_arena_alloc(a, 10 << 20),
	     *next = mx_arena_alloc(a, 16);

	(void)state;
	big[0] = big[(10 << 20) - 1] = 'x';
	/* The piece that was in use goes on being used. */
	assert_ptr_equal(next, small + 16);
}

static void
strings_are_copied_with_a_nul(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	char text[] = "text";
	mx_str s = mx_arena_str(a, mx_str_of(text)), empty = mx_arena_str(a, mx_str_of(NULL));

	(void)state;
	text[0] = 'n';
	unit_text(s, "text");
	assert_int_equal(s.p[s.n], '\0');
	assert_int_equal(empty.n, 0);
	assert_string_equal(empty.p, "");
}

static void
formats_of_any_length(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();

	(void)state;
	for (int width = 1; width < 2000; width += 13) {
		mx_str s = mx_arena_printf(a, "%*d", width, 7);

		assert_int_equal(s.n, width);
		assert_int_equal(strlen(s.p), width);
		assert_int_equal(s.p[width - 1], '7');
	}
}

static char order[8];

static void
note(void *arg)
{
	strcat(order, arg);
}

static struct mx_arena *deferring;

static void
note_and_defer(void *arg)
{
	strcat(order, arg);
	mx_arena_defer(deferring, note, "c");
}

static void
deferred_calls_run_last_first(void **state)
{
	struct mx_arena *a = mx_arena_new();

	(void)state;
	order[0] = '\0';
	deferring = a;
	mx_arena_defer(a, note, mx_arena_printf(a, "a").p != NULL ? "a" : "");
	mx_arena_defer(a, note_and_defer, "b");
	mx_arena_free(&a);
	assert_null(a);
	assert_string_equal(order, "bca");
	mx_arena_free(&a);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(memory_is_zeroed_and_aligned),
		unit_case(allocations_do_not_overlap),
		unit_case(big_ones_get_memory_of_their_own),
		unit_case(strings_are_copied_with_a_nul),
		unit_case(formats_of_any_length),
		unit_case(deferred_calls_run_last_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
