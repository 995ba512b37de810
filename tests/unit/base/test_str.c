#include "config.h"

#include "tests/unit/support/unit.h"
#include "core/base/utf8.h"

static void
order_is_bytewise_and_shorter_first(void **state)
{
	(void)state;
	assert_int_equal(mx_str_cmp(MX_S("a"), MX_S("a")), 0);
	assert_int_equal(mx_str_cmp(mx_str_of(NULL), MX_S("")), 0);
	assert_true(mx_str_cmp(MX_S("a"), MX_S("b")) < 0);
	assert_true(mx_str_cmp(MX_S("ab"), MX_S("a")) > 0);
	assert_true(mx_str_cmp(MX_S("\xff"), MX_S("a")) > 0);
	assert_true(mx_str_cmp(mx_str_of(NULL), MX_S("a")) < 0);
}

static void
cut_splits_at_the_first(void **state)
{
	mx_str head, tail;

	(void)state;
	assert_true(mx_str_cut(MX_S("a:b:c"), ':', &head, &tail));
	unit_text(head, "a");
	unit_text(tail, "b:c");
	assert_true(mx_str_cut(MX_S(":"), ':', &head, &tail));
	assert_int_equal(head.n + tail.n, 0);
	assert_false(mx_str_cut(MX_S("abc"), ':', &head, &tail));
	unit_text(head, "abc");
	assert_int_equal(tail.n, 0);
	assert_false(mx_str_cut(mx_str_of(NULL), ':', &head, &tail));
	assert_int_equal(head.n, 0);
}

static void
integers_are_the_whole_string(void **state)
{
	static const struct { const char *text; bool ok; int64_t value;
	} cases[] = {
		{ "0", true, 0 },
		{ "-0", true, 0 },
		{ "42", true, 42 },
		{ "-42", true, -42 },
		{ "007", true, 7 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "-9223372036854775809", false, 0 },
		{ "99999999999999999999999999", false, 0 },
		{ "", false, 0 },
		{ "-", false, 0 },
		{ "+1", false, 0 },
		{ " 1", false, 0 },
		{ "1 ", false, 0 },
		{ "0x1", false, 0 },
		{ "1.0", false, 0 },
		{ "--1", false, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t v = 12345;

		assert_int_equal(mx_str_int(mx_str_of(cases[i].text), INT64_MIN, INT64_MAX, &v),
				 cases[i].ok);
		assert_int_equal(v, cases[i].ok ? cases[i].value : 12345);
	}
}

static void
integers_stay_in_their_range(void **state)
{
	int64_t v = 0;

	(void)state;
	assert_true(mx_str_int(MX_S("1"), 1, 10, &v));
	assert_true(mx_str_int(MX_S("10"), 1, 10, &v));
	assert_false(mx_str_int(MX_S("0"), 1, 10, &v));
	assert_false(mx_str_int(MX_S("11"), 1, 10, &v));
	assert_int_equal(v, 10);
}

static void
utf8_is_well_formed(void **state)
{
	static const char *const good[] = {
		"",
		"abc",
		"\x7f",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"12345678\xc3\xa4 12345678 12345678\xc3\xa4",
	};
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xc2\x41",
		"\xe0\x9f\xbf",
		"\xe0\xa0",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xff",
		"\xf0\x90\x80",
		"\xf0\x90\x80\x41",
		"12345678\xc3",
		"1234567890123456\xffzzzzzzzz",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(mx_str_utf8(mx_str_of(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(mx_str_utf8(mx_str_of(bad[i])));
	assert_true(mx_str_utf8(MX_S("a\0b")));
	assert_int_equal(mx_utf8_prefix(MX_S("0123456789\xc3")), 10);
}

static void
copies_are_terminated(void **state)
{
	char *z = mx_str_dup((mx_str){ "abcdef", 3 });

	(void)state;
	assert_string_equal(z, "abc");
	free(z);
	z = mx_str_dup(mx_str_of(NULL));
	assert_string_equal(z, "");
	free(z);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(order_is_bytewise_and_shorter_first),
		unit_case(cut_splits_at_the_first),
		unit_case(integers_are_the_whole_string),
		unit_case(integers_stay_in_their_range),
		unit_case(utf8_is_well_formed),
		unit_case(copies_are_terminated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
