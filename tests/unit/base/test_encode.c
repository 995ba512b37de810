#include "config.h"

#include "tests/unit/support/unit.h"
#include "core/base/encode.h"

/* Appendices, "Unpadded Base64". */
static void
base64_is_the_specification_s(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" },
		{ "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);
		MX_AUTO(mx_buf) *back = mx_buf_new(0);

		mx_base64(b, cases[i][0], strlen(cases[i][0]));
		assert_string_equal(mx_buf_cstr(b), cases[i][1]);
		assert_false(mx_buf_failed(b));
		assert_true(mx_base64_decode(back, mx_buf_view(b)));
		assert_string_equal(mx_buf_cstr(back), cases[i][0]);
	}
}

static void
both_alphabets_are_read_but_not_mixed(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	mx_base64(b, "\xfb\xff\xfe", 3);
	assert_string_equal(mx_buf_cstr(b), "+//+");
	mx_buf_truncate(b, 0);
	mx_base64url(b, "\xfb\xff\xfe", 3);
	assert_string_equal(mx_buf_cstr(b), "-__-");
	mx_buf_truncate(b, 0);
	assert_true(mx_base64_decode(b, MX_S("+//+")));
	assert_true(mx_base64_decode(b, MX_S("-__-")));
	assert_memory_equal(mx_buf_view(b).p, "\xfb\xff\xfe\xfb\xff\xfe", 6);
	assert_false(mx_base64_decode(b, MX_S("+__+")));
	assert_int_equal(mx_buf_view(b).n, 6);
}

static void
padding_is_read(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	assert_true(mx_base64_decode(b, MX_S("Zg==")));
	assert_true(mx_base64_decode(b, MX_S("Zm8=")));
	assert_string_equal(mx_buf_cstr(b), "ffo");
}

static void
what_is_not_base64_is_refused_and_adds_nothing(void **state)
{
	static const char *const bad[] = {
		"Z",
		"Zm9vY",
		"=",
		"==",
		"====",
		"Z===",
		"Zg=",
		"Zg===",
		"Zm8==",
		"Zm9v====",
		"Zg==Zg==",
		"Zm 9",
		"Zm9v\n",
		"Zm9!",
		"Zm9\xc3",
		"Zh" /* bits */,
		"Zm9=" /* bits */,
		"Zg=a",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);

		assert_false(mx_base64_decode(b, mx_str_of(bad[i])));
		assert_int_equal(mx_buf_view(b).n, 0);
	}
}

static void
lax_reading_overlooks_the_last_bits_only(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	assert_true(mx_base64_decode_lax(b, MX_S("Zh")));
	assert_string_equal(mx_buf_cstr(b), "f");
	assert_false(mx_base64_decode_lax(b, MX_S("Z")));
	assert_false(mx_base64_decode_lax(b, MX_S("Z!")));
}

static void
what_does_not_fit_is_an_error(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(3);
	MX_AUTO(mx_buf) *c = mx_buf_new(2);
	MX_AUTO(mx_buf) *d = mx_buf_new(3);

	(void)state;
	mx_base64(b, "abc", 3);
	assert_true(mx_buf_failed(b));
	assert_false(mx_base64_decode(c, MX_S("Zm9v")));
	mx_hex(d, "ab", 2);
	assert_true(mx_buf_failed(d));
}

static void
every_length_comes_back(void **state)
{
	unsigned char bytes[200];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 37);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);
		MX_AUTO(mx_buf) *back = mx_buf_new(0);

		mx_base64url(b, bytes, n);
		assert_true(mx_base64_decode(back, mx_buf_view(b)));
		assert_int_equal(mx_buf_view(back).n, n);
		assert_memory_equal(mx_buf_view(back).p, bytes, n);
	}
}

static void
hex_is_lower_case(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	mx_hex(b, "\x00\x9f\xAB", 3);
	assert_string_equal(mx_buf_cstr(b), "009fab");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(base64_is_the_specification_s),
		unit_case(both_alphabets_are_read_but_not_mixed),
		unit_case(padding_is_read),
		unit_case(what_is_not_base64_is_refused_and_adds_nothing),
		unit_case(lax_reading_overlooks_the_last_bits_only),
		unit_case(what_does_not_fit_is_an_error),
		unit_case(every_length_comes_back),
		unit_case(hex_is_lower_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
