#include "config.h"

#include "tests/unit/support/unit.h"
#include "core/json/json.h"

static void
canonical_is_(mx_str text, bool strict, const char *expected)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *v = NULL;

	unit_ok(mx_json_parse(text, &v));
	unit_ok(mx_json_canonical(v, strict, b));
	assert_string_equal(mx_buf_cstr(b), expected);
}

static void
strict_refuses(mx_str text)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *v = NULL;

	mx_buf_str(b, MX_S("before"));
	unit_ok(mx_json_parse(text, &v));
	unit_refused(mx_json_canonical(v, true, b), MX_E_BAD_JSON);
	unit_text(mx_buf_view(b), "before");
}

/* Appendices, "Canonical JSON", "Examples". */
static void
the_specification_s_examples(void **state)
{
	(void)state;
	canonical_is_(MX_S("{}"), true, "{}");
	canonical_is_(MX_S("{\n    \"one\": 1,\n    \"two\": \"Two\"\n}"), true,
		      "{\"one\":1,\"two\":\"Two\"}");
	canonical_is_(MX_S("{ \"b\": \"2\", \"a\": \"1\" }"), true, "{\"a\":\"1\",\"b\":\"2\"}");
	canonical_is_(MX_S("{\"b\":\"2\",\"a\":\"1\"}"), true, "{\"a\":\"1\",\"b\":\"2\"}");
	canonical_is_(
		MX_S("{ \"auth\": { \"success\": true, \"mxid\": \"@john.doe:example.com\", "
		     "\"profile\": {"
		     " \"display_name\": \"John Doe\", \"three_pids\": [ { \"medium\": \"email\","
		     " \"address\": \"john.doe@example.org\" }, { \"medium\": \"msisdn\","
		     " \"address\": \"123456789\" } ] } } }"),
		true,
		"{\"auth\":{\"mxid\":\"@john.doe:example.com\",\"profile\":{\"display_name\":"
		"\"John Doe\","
		"\"three_pids\":[{\"address\":\"john.doe@example.org\",\"medium\":\"email\"},"
		"{\"address\":\"123456789\",\"medium\":\"msisdn\"}]},\"success\":true}}");
	canonical_is_(MX_S("{ \"a\": \"日本語\" }"), true, "{\"a\":\"日本語\"}");
	canonical_is_(MX_S("{ \"本\": 2, \"日\": 1 }"), true, "{\"日\":1,\"本\":2}");
	canonical_is_(MX_S("{ \"a\": \"\\u65E5\" }"), true, "{\"a\":\"日\"}");
	canonical_is_(MX_S("{ \"a\": null }"), true, "{\"a\":null}");
	canonical_is_(MX_S("{ \"a\": -0, \"b\": 1e10 }"), true, "{\"a\":0,\"b\":10000000000}");
}

static void
keys_sort_by_code_point(void **state)
{
	(void)state;
	/* UTF-16 would put U+1F600 before U+FF21. */
	canonical_is_(MX_S("{\"\\ud83d\\ude00\":1,\"\\uff21\":2,\"b\":3,\"B\":4,\"\":5,\"aa\":6,"
			   "\"a\":7,\"\\u00e4\":8}"),
		      true, "{\"\":5,\"B\":4,\"a\":7,\"aa\":6,\"b\":3,\"ä\":8,\"Ａ\":2,\"😀\":1}");
}

static void
many_keys_sort_too(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *o = json_object();
	const char *p;
	char key[16];

	(void)state;
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "k%03d", i * 377 % 1000);
		json_object_set_new(o, key, json_null());
	}
	unit_ok(mx_json_canonical(o, true, b));
	p = mx_buf_cstr(b);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "\"k%03d\"", i);
		p = strstr(p, key);
		assert_non_null(p);
	}
}

static void
escapes_are_the_shortest(void **state)
{
	(void)state;
	canonical_is_(MX_S("\"\\u0000\\u0001\\u0007\\u0008\\u0009\\u000a\\u000b\\u000c\\u000d\\u000"
			   "e\\u001F\\u0020\""),
		      true, "\"\\u0000\\u0001\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u001f \"");
	canonical_is_(MX_S("\"\\/\\u002f\\u0022\\u005c\\u007f\\u2028\""), true,
		      "\"//\\\"\\\\\x7f\xe2\x80\xa8\"");
}

static void
strict_numbers_are_small_integers(void **state)
{
	(void)state;
	canonical_is_(MX_S("[9007199254740991,-9007199254740991,-0,-0.0,5.0,1E2]"), true,
		      "[9007199254740991,-9007199254740991,0,0,5,100]");
	strict_refuses(MX_S("9007199254740992"));
	strict_refuses(MX_S("-9007199254740992"));
	strict_refuses(MX_S("9007199254740992.0"));
	strict_refuses(MX_S("1.1"));
	strict_refuses(MX_S("1e300"));
	strict_refuses(MX_S("1e-300"));
	strict_refuses(MX_S("{\"a\":[{\"b\":0.5}]}"));
}

static void
lenient_numbers_are_as_python_writes_them(void **state)
{
	(void)state;
	canonical_is_(MX_S("[9223372036854775807,-9223372036854775808,9007199254740993]"), false,
		      "[9223372036854775807,-9223372036854775808,9007199254740993]");
	canonical_is_(MX_S("[1.1,-1.5,100.0,1e10,0.1,0.30000000000000004,-0.0]"), false,
		      "[1.1,-1.5,100.0,10000000000.0,0.1,0.30000000000000004,-0.0]");
	canonical_is_(MX_S("[1e15,1e16,123456789012345680.0,1.5e300,1e100]"), false,
		      "[1000000000000000.0,1e+16,1.2345678901234568e+17,1.5e+300,1e+100]");
	canonical_is_(MX_S("[0.001,0.0001,0.00001,1.25e-5,5e-324,1.7976931348623157e308,2."
			   "2250738585072014e-308]"),
		      false,
		      "[0.001,0.0001,1e-05,1.25e-05,5e-324,1.7976931348623157e+308,2."
		      "2250738585072014e-308]");
}

static void
members_are_left_out_at_the_top_only(void **state)
{
	static const char *const except[] = { "unsigned", "signatures" };
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *v = NULL;

	(void)state;
	unit_ok(mx_json_parse(MX_S("{\"unsigned\":{},\"a\":{\"unsigned\":1},\"signatures\":2}"),
			      &v));
	unit_ok(mx_json_canonical_except(v, true, except, 2, b));
	assert_string_equal(mx_buf_cstr(b), "{\"a\":{\"unsigned\":1}}");
	assert_int_equal(json_object_size(v), 3);
	unit_refused(mx_json_canonical_except(json_object_get(v, "signatures"), true, except, 2, b),
		     MX_E_BAD_JSON);
	unit_refused(mx_json_canonical_except(NULL, true, except, 2, b), MX_E_BAD_JSON);
}

static void
what_could_not_be_parsed_again_is_refused(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	json_t *v = json_array();

	(void)state;
	for (int i = 0; i < 99; i++) {
		json_t *outer = json_array();

		json_array_append_new(outer, v);
		v = outer;
	}
	unit_ok(mx_json_canonical(v, true, b));
	v = json_pack("[o]", v);
	unit_refused(mx_json_canonical(v, true, b), MX_E_BAD_JSON);
	json_decref(v);
}

static void
half_a_form_is_an_error(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(12);
	MX_AUTO_JSON *v = json_pack("{s:s}", "key", "a longer value");

	(void)state;
	mx_buf_str(b, MX_S("x"));
	unit_refused(mx_json_canonical(v, true, b), MX_E_TOO_LARGE);
	unit_text(mx_buf_view(b), "x");
}

static void
what_is_canonical_as_it_stands(void **state)
{
	static const char *const good[] = {
		"{}", "[]", "\"\"", "0", "-1", "999999999999999", "true", "false", "null",
		"{\"\":1,\"A\":[],\"a\":{},\"aa\":[1,\"x\",null],\"b\":\"\\n\\\"\\u0000\\u001f\"}",
		"{\"日\":1,\"本\":\"語\x7f\"}", "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
	};
	static const char *const others[] = {
		"", " ", " {}", "{} ", "{}{}", "{", "[", "\"", "{\"a\"", "{\"a\":", "{\"a\":1", "[1", "[1,",
		"[1,]", "{\"a\":1,}", "{,}", "[,1]", "{\"a\" :1}", "{\"a\": 1}", "[1 ]", "-0", "-", "01",
		"-01", "1.0", "1e3", "1E3", "+1", "9007199254740992", "tru", "nul", "truex",
		"{\"b\":1,\"a\":2}", "{\"a\":1,\"a\":2}", "{\"aa\":1,\"a\":2}", "{\"\\n\":1}",
		"\"\\/\"", "\"\\u0041\"", "\"\\u001F\"", "\"\\u000a\"", "\"\\u0008\"", "\"\\u002\"",
		"\"\\x\"", "\"\n\"", "\"\\\"", "\"\xc3\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"", "{\"\xff\":1}",
		"[{\"a\":1}}", "{1:2}", "{\"a\":1:2}", "{\"a\",1}",
		"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!mx_json_is_canonical(mx_str_of(good[i])))
			fail_msg("not canonical: %s", good[i]);
		canonical_is_(mx_str_of(good[i]), true, good[i]);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (mx_json_is_canonical(mx_str_of(others[i])))
			fail_msg("canonical: %s", others[i]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(the_specification_s_examples),
		unit_case(keys_sort_by_code_point),
		unit_case(many_keys_sort_too),
		unit_case(escapes_are_the_shortest),
		unit_case(strict_numbers_are_small_integers),
		unit_case(lenient_numbers_are_as_python_writes_them),
		unit_case(members_are_left_out_at_the_top_only),
		unit_case(what_could_not_be_parsed_again_is_refused),
		unit_case(half_a_form_is_an_error),
		unit_case(what_is_canonical_as_it_stands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
