#include "config.h"

#include "tests/unit/support/unit.h"
#include "core/base/buf.h"

static void
holds_what_is_added(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	assert_string_equal(mx_buf_cstr(b), "");
	assert_int_equal(mx_buf_view(b).n, 0);
	assert_non_null(mx_buf_view(b).p);
	mx_buf_str(b, MX_S("one"));
	mx_buf_byte(b, ' ');
	mx_buf_add(b, "two", 3);
	mx_buf_add(b, NULL, 0);
	mx_buf_str(b, mx_str_of(NULL));
	unit_text(mx_buf_view(b), "one two");
	mx_buf_truncate(b, 3);
	mx_buf_truncate(b, 5);
	assert_string_equal(mx_buf_cstr(b), "one");
	assert_false(mx_buf_failed(b));
}

static void
formats_into_an_empty_buffer(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	mx_buf_printf(b, "%d-%s", 7, "x");
	unit_text(mx_buf_view(b), "7-x");
	mx_buf_printf(b, "%1000d", 1);
	assert_int_equal(mx_buf_view(b).n, 1003);
	assert_int_equal(mx_buf_cstr(b)[1002], '1');
}

static void
writes_integers_in_decimal(void **state)
{
	static const int64_t values[] = { 0,          1,         -1,        9,       10,
					  99,         100,       101,       -100,    12345,
					  9999999999, INT64_MAX, INT64_MIN, 1000000, -10 };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);
		char text[32];

		mx_buf_int(b, values[i]);
		snprintf(text, sizeof(text), "%lld", (long long)values[i]);
		assert_string_equal(mx_buf_cstr(b), text);
	}
}

static void
nothing_follows_what_did_not_fit(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(10);

	(void)state;
	mx_buf_str(b, MX_S("0123456789"));
	assert_false(mx_buf_failed(b));
	mx_buf_byte(b, 'x');
	assert_true(mx_buf_failed(b));
	unit_text(mx_buf_view(b), "0123456789");
	mx_buf_truncate(b, 2);
	mx_buf_byte(b, 'y');
	mx_buf_int(b, 5);
	mx_buf_printf(b, "z");
	unit_text(mx_buf_view(b), "01");
	assert_true(mx_buf_failed(b));
}

static void
a_format_that_does_not_fit_is_dropped_whole(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(10);

	(void)state;
	mx_buf_printf(b, "%s", "0123456789");
	assert_false(mx_buf_failed(b));
	mx_buf_truncate(b, 1);
	mx_buf_printf(b, "%s", "0123456789");
	assert_true(mx_buf_failed(b));
	assert_string_equal(mx_buf_cstr(b), "0");
}

static void
reserving_asks_for_no_more_than_the_limit(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(1000);

	(void)state;
	mx_buf_reserve(b, SIZE_MAX);
	assert_false(mx_buf_failed(b));
	assert_int_equal(b->room, 1000);
	for (int i = 0; i < 1000; i++)
		mx_buf_byte(b, 'a');
	assert_false(mx_buf_failed(b));
	mx_buf_add(b, "b", 1);
	assert_true(mx_buf_failed(b));
}

static void
growing_keeps_the_bytes(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	for (int i = 0; i < 100000; i++)
		mx_buf_byte(b, (char)(i % 251));
	for (int i = 0; i < 100000; i++)
		assert_int_equal((unsigned char)mx_buf_view(b).p[i], i % 251);
}

static void
taking_leaves_it_empty_and_usable(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	size_t n = 77;
	char *p;

	(void)state;
	p = mx_buf_take(b, &n);
	assert_int_equal(n, 0);
	assert_string_equal(p, "");
	free(p);
	mx_buf_str(b, MX_S("text"));
	p = mx_buf_take(b, &n);
	assert_int_equal(n, 4);
	assert_string_equal(p, "text");
	free(p);
	assert_int_equal(mx_buf_view(b).n, 0);
	mx_buf_str(b, MX_S("more"));
	unit_text(mx_buf_view(b), "more");
}

static void
freeing_leaves_null(void **state)
{
	struct mx_buf *b = mx_buf_new(0);

	(void)state;
	mx_buf_free(&b);
	assert_null(b);
	mx_buf_free(&b);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(holds_what_is_added),
		unit_case(formats_into_an_empty_buffer),
		unit_case(writes_integers_in_decimal),
		unit_case(nothing_follows_what_did_not_fit),
		unit_case(a_format_that_does_not_fit_is_dropped_whole),
		unit_case(reserving_asks_for_no_more_than_the_limit),
		unit_case(growing_keeps_the_bytes),
		unit_case(taking_leaves_it_empty_and_usable),
		unit_case(freeing_leaves_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
