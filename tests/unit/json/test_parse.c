#include "config.h"

#include "tests/unit/support/unit.h"
#include <myelin/json.h>

static void
refuses(mx_str text, enum mx_code code)
{
	json_t *v = (json_t *)&v;
	mx_error *e = mx_json_parse(text, &v);

	if (!mx_error_is(e, code))
		print_error("%.*s\n", MX_SFMT(text));
	unit_refused(e, code);
	assert_null(v);
}

static void
accepts(mx_str text, const char *dumped)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *v = NULL;

	unit_ok(mx_json_parse(text, &v));
	mx_json_dump(v, b);
	assert_string_equal(mx_buf_cstr(b), dumped);
}

static void
any_value_is_parsed(void **state)
{
	(void)state;
	accepts(MX_S("{}"), "{}");
	accepts(MX_S(" [ 1 , \"a\" , null , true , false ] "), "[1,\"a\",null,true,false]");
	accepts(MX_S("null"), "null");
	accepts(MX_S("\"\\u00e4\\ud83d\\ude00\""), "\"\xc3\xa4\xf0\x9f\x98\x80\"");
	accepts(MX_S("{\"b\":1,\"a\":{\"d\":[],\"c\":{}}}"), "{\"b\":1,\"a\":{\"d\":[],\"c\":{}}}");
	accepts(MX_S("[9223372036854775807,-9223372036854775808]"),
		"[9223372036854775807,-9223372036854775808]");
	accepts(MX_S("[-0,0]"), "[0,0]");
	accepts(MX_S("\"\\u0000\""), "\"\\u0000\"");
}

static void
what_is_not_json_is_said_to_be_that(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"{",
		"}",
		"{]",
		"[1,]",
		"{\"a\":1,}",
		"{a:1}",
		"{'a':1}",
		"[1] 2",
		"{}{}",
		"tru",
		"nul",
		"\"a",
		"\"a\nb\"",
		"\"\\x\"",
		"\"\\u12\"",
		"01",
		"-",
		"+1",
		".5",
		"1.",
		"1e",
		"0x1",
		"NaN",
		"Infinity",
		"-Infinity",
		"[1 2]",
		"{\"a\" 1}",
		"// a\n1",
		"\xef\xbb\xbf{}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(mx_str_of(bad[i]), MX_E_NOT_JSON);
	refuses(MX_S("{}\0"), MX_E_NOT_JSON);
	refuses(MX_S("\"a\0b\""), MX_E_NOT_JSON);
	refuses((mx_str){ NULL, 0 }, MX_E_NOT_JSON);
}

static void
text_that_is_not_unicode_is_not_json(void **state)
{
	static const char *const bad[] = {
		"\"\\ud800\"",        "\"\\udc00\"",          "\"\\ud800x\"", "\"\\ud800\\ud800\"",
		"\"\\ud83d\\u0041\"", "{\"\\ud800\":1}",      "\"\xff\"",     "\"\xed\xa0\x80\"",
		"\"\xc0\x80\"",       "\"\xf4\x90\x80\x80\"", "\"\xc3\"",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(mx_str_of(bad[i]), MX_E_NOT_JSON);
}

static void
json_that_matrix_does_not_take_is_bad_json(void **state)
{
	static const char *const bad[] = {
		"{\"a\":1,\"a\":1}",
		"{\"a\":1,\"\\u0061\":2}",
		"[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]",
		"{\"a\\u0000b\":1}",
		"{\"\\u0000\":1}",
		"9223372036854775808",
		"-9223372036854775809",
		"123456789012345678901234567890",
		"1e400",
		"-1e400",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refuses(mx_str_of(bad[i]), MX_E_BAD_JSON);
}

/* `levels` times open, then inner, then as often close. */
static mx_str
nested(struct mx_buf *b, int levels, const char *open, const char *inner, const char *close)
{
	mx_buf_truncate(b, 0);
	for (int i = 0; i < levels; i++)
		mx_buf_str(b, mx_str_of(open));
	mx_buf_str(b, mx_str_of(inner));
	for (int i = 0; i < levels; i++)
		mx_buf_str(b, mx_str_of(close));
	return mx_buf_view(b);
}

static void
nesting_has_a_hundred_levels(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *v = NULL;

	(void)state;
	unit_ok(mx_json_parse(nested(b, 100, "[", "1", "]"), &v));
	refuses(nested(b, 101, "[", "1", "]"), MX_E_BAD_JSON);
	refuses(nested(b, 101, "{\"a\":", "1", "}"), MX_E_BAD_JSON);
	refuses(nested(b, 51, "[{\"a\":", "1", "}]"), MX_E_BAD_JSON);
	/* Far beyond what a stack holds, and never closed. */
	refuses(nested(b, 1000000, "[", "", ""), MX_E_BAD_JSON);
	refuses(nested(b, 1000000, "{\"\":", "", ""), MX_E_BAD_JSON);
}

static void
many_shallow_brackets_are_not_deep(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_buf) *inner = mx_buf_new(0);
	MX_AUTO_JSON *v = NULL, *w = NULL;

	(void)state;
	for (int i = 0; i < 500; i++)
		mx_buf_str(inner, MX_S("[{}],\"[[\\\"{{\\\\\","));
	mx_buf_str(inner, MX_S("0"));
	unit_ok(mx_json_parse(nested(b, 98, "[", mx_buf_cstr(inner), "]"), &v));
	mx_buf_truncate(inner, 0);
	for (int i = 0; i < 500; i++)
		mx_buf_byte(inner, '[');
	mx_buf_truncate(b, 0);
	mx_json_quote(mx_buf_view(inner), b);
	unit_ok(mx_json_parse(mx_buf_view(b), &w));
}

static void
errors_say_where_and_do_not_quote(void **state)
{
	json_t *v;
	mx_error *e = mx_json_parse(MX_S("{\n \"a\": secret }"), &v);

	(void)state;
	assert_non_null(strstr(mx_error_text(e), "line 2"));
	assert_null(strstr(mx_error_text(e), "secret"));
	mx_error_free(&e);
	e = mx_json_parse(MX_S("{\"secret\":1,\"secret\":2}"), &v);
	assert_non_null(strstr(mx_error_text(e), "duplicate"));
	assert_null(strstr(mx_error_text(e), "secret"));
	mx_error_free(&e);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(any_value_is_parsed),
		unit_case(what_is_not_json_is_said_to_be_that),
		unit_case(text_that_is_not_unicode_is_not_json),
		unit_case(json_that_matrix_does_not_take_is_bad_json),
		unit_case(nesting_has_a_hundred_levels),
		unit_case(many_shallow_brackets_are_not_deep),
		unit_case(errors_say_where_and_do_not_quote),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
