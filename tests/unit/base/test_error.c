#include "config.h"

#include "tests/unit/support/unit.h"

static mx_error *
tried(mx_error *e)
{
	MX_TRY(e);
	return mx_error_new(MX_E_UNKNOWN, "went on");
}

static void
a_code_is_a_status_and_an_errcode(void **state)
{
	mx_error *e = mx_error_new(MX_E_FORBIDDEN, "%s may not", "she");

	(void)state;
	assert_int_equal(mx_error_code(e), MX_E_FORBIDDEN);
	assert_int_equal(mx_error_status(e), 403);
	assert_string_equal(mx_error_errcode(e), "M_FORBIDDEN");
	assert_string_equal(mx_error_text(e), "she may not");
	assert_true(mx_error_is(e, MX_E_FORBIDDEN));
	assert_false(mx_error_is(e, MX_E_UNKNOWN));
	assert_false(mx_error_is(NULL, MX_E_UNKNOWN));
	mx_error_free(&e);
	assert_null(e);
	mx_error_free(&e);
}

static void
wrapping_keeps_the_code_and_the_members(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	mx_error *e = mx_error_new(MX_E_LIMIT_EXCEEDED, "slow down");

	(void)state;
	e = mx_error_with(e, "retry_after_ms", json_integer(500));
	e = mx_error_wrap(e, "send to %s", "!room");
	mx_error_json(e, b);
	assert_string_equal(mx_buf_cstr(b), "{\"errcode\":\"M_LIMIT_EXCEEDED\",\"error\":\"send to "
					    "!room: slow down\",\"retry_after_ms\":500}");
	mx_error_free(&e);
	assert_null(mx_error_wrap(NULL, "nothing"));
	assert_null(mx_error_with(NULL, "x", json_integer(1)));
}

static void
members_cannot_replace_the_code(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	mx_error *e = mx_error_with(mx_error_new(MX_E_NOT_FOUND, "no"), "errcode",
				    json_string("M_OTHER"));

	(void)state;
	mx_error_json(e, b);
	assert_string_equal(mx_buf_cstr(b), "{\"errcode\":\"M_NOT_FOUND\",\"error\":\"no\"}");
	mx_error_free(&e);
}

static void
an_error_without_errcode_is_its_members(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	mx_error *e =
		mx_error_with(mx_error_new(MX_E_UIA, "more is needed"), "flows", json_array());

	(void)state;
	mx_error_json(e, b);
	assert_string_equal(mx_buf_cstr(b), "{\"flows\":[]}");
	mx_error_free(&e);
}

static void
what_failed_inside_is_not_told(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	mx_error *e = mx_error_new(MX_E_UNKNOWN, "/var/lib/secret: no such file");

	(void)state;
	mx_error_json(e, b);
	assert_string_equal(mx_buf_cstr(b),
			    "{\"errcode\":\"M_UNKNOWN\",\"error\":\"Internal server error\"}");
	assert_string_equal(mx_error_text(e), "/var/lib/secret: no such file");
	mx_error_free(&e);
}

static void
texts_are_utf8_whatever_they_quote(void **state)
{
	static const char *const cases[][2] = {
		{ "a\xff\xfe"
		  "b",
		  "a??b" },
		{ "\xc3", "?" },
		{ "\xed\xa0\x80", "???" },
		{ "\xc3\xa4", "\xc3\xa4" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		mx_error *e = mx_error_new(MX_E_BAD_JSON, "%s", cases[i][0]);

		assert_string_equal(mx_error_text(e), cases[i][1]);
		mx_error_free(&e);
	}
}

static void
long_texts_are_cut_between_characters(void **state)
{
	char text[3001];
	mx_error *e;

	(void)state;
	for (int shift = 0; shift < 4; shift++) {
		memset(text, 'a', 3000);
		text[3000] = '\0';
		for (int i = shift; i + 4 <= 3000; i += 4)
			memcpy(text + i, "\xf0\x9f\x98\x80", 4);
		e = mx_error_new(MX_E_BAD_JSON, "%s", text);
		assert_in_range(strlen(mx_error_text(e)), 997, 1000);
		assert_true(mx_str_utf8(mx_str_of(mx_error_text(e))));
		assert_null(strchr(mx_error_text(e), '?'));
		for (int i = 0; i < 20; i++)
			e = mx_error_wrap(e, "%s", text);
		assert_in_range(strlen(mx_error_text(e)), 997, 1000);
		mx_error_free(&e);
	}
}

static void
trying_passes_errors_on(void **state)
{
	(void)state;
	unit_refused(tried(mx_error_new(MX_E_AGAIN, "again")), MX_E_AGAIN);
	unit_refused(tried(NULL), MX_E_UNKNOWN);
	assert_true(mx_error_drop(mx_error_new(MX_E_AGAIN, "again")));
	assert_false(mx_error_drop(NULL));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(a_code_is_a_status_and_an_errcode),
		unit_case(wrapping_keeps_the_code_and_the_members),
		unit_case(members_cannot_replace_the_code),
		unit_case(an_error_without_errcode_is_its_members),
		unit_case(what_failed_inside_is_not_told),
		unit_case(texts_are_utf8_whatever_they_quote),
		unit_case(long_texts_are_cut_between_characters),
		unit_case(trying_passes_errors_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
