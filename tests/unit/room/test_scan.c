/* Walking canonical JSON. */
#include "config.h"

#include "core/room/scan.h"
#include "tests/unit/support/unit.h"

static void
members_come_in_order(void **state)
{
	struct mx_scan s;
	mx_str key, value;

	(void)state;
	assert_true(mx_scan_object(&s, MX_S("{\"a\":1,\"b\\\"\":\"x,}\\\\\",\"c\":{\"d\":[\"]\",{}]"
					    "},\"e\":[],\"f\":true}")));
	assert_true(mx_scan_member(&s, &key, &value));
	unit_text(key, "a");
	unit_text(value, "1");
	assert_true(mx_scan_member(&s, &key, &value));
	unit_text(key, "b\\\"");
	unit_text(value, "\"x,}\\\\\"");
	assert_true(mx_scan_member(&s, &key, &value));
	unit_text(value, "{\"d\":[\"]\",{}]}");
	assert_true(mx_scan_member(&s, &key, &value));
	unit_text(value, "[]");
	assert_true(mx_scan_member(&s, &key, &value));
	unit_text(value, "true");
	assert_false(mx_scan_member(&s, &key, &value));
	assert_false(s.broken);
}

static void
elements_come_in_order(void **state)
{
	struct mx_scan s;
	mx_str value;

	(void)state;
	assert_true(mx_scan_array(&s, MX_S("[\"a\",[1],-5]")));
	assert_true(mx_scan_element(&s, &value));
	unit_text(value, "\"a\"");
	assert_true(mx_scan_element(&s, &value));
	unit_text(value, "[1]");
	assert_true(mx_scan_element(&s, &value));
	unit_text(value, "-5");
	assert_false(mx_scan_element(&s, &value));
	assert_true(mx_scan_array(&s, MX_S("[]")));
	assert_false(mx_scan_element(&s, &value));
	assert_false(s.broken);
}

static void
broken_text_ends_the_walk(void **state)
{
	static const char *const texts[] = { "",
					     "{",
					     "[]",
					     "{]",
					     "{\"a\"}",
					     "{\"a\":}",
					     "{\"a\":1,}",
					     "{\"a\":1 }",
					     "{\"a\":\"}",
					     "{\"a\":\"\\\"}",
					     "{\"a\":{}",
					     "{\"a\":[}",
					     "{a:1}",
					     "{\"a\":1\"b\":2}",
					     "{\"a\":\"x\"y}",
					     "{\"a\":tr\"ue}",
					     "{,}",
					     "{\"a}" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct mx_scan s;
		mx_str key, value;

		if (mx_scan_object(&s, mx_str_of(texts[i])))
			while (mx_scan_member(&s, &key, &value))
				;
		if (!s.broken)
			fail_msg("'%s' passes", texts[i]);
	}
}

static void
escapes_are_decoded(void **state)
{
	static const struct {
		const char *inner, *text;
	} cases[] = {
		{ "plain", "plain" },
		{ "\\b\\f\\n\\r\\t\\\"\\\\\\/", "\b\f\n\r\t\"\\/" },
		{ "\\u0041\\u00e4\\u20ac\\ud83d\\ude00", "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\\u00C4", "\xc3\x84" },
		{ "\\u12", "u12" },
		{ "\\uxyz0", "uxyz0" },
		{ "\\", "\\" },
		{ "\\ud83d", "\xed\xa0\xbd" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[64];
		size_t n = mx_scan_unescape(mx_str_of(cases[i].inner), out);

		assert_true(n <= strlen(cases[i].inner));
		unit_text(((mx_str){ out, n }), cases[i].text);
	}
}

static void
strings_are_found_decoded(void **state)
{
	mx_str object = MX_S("{\"a\":\"x\",\"b\":\"\\u0041\\n\",\"c\":1}"), out, value;
	char buf[8];
	int64_t n;

	(void)state;
	assert_true(mx_scan_find_str(object, MX_S("a"), buf, 0, &out));
	unit_text(out, "x");
	assert_true(mx_scan_find_str(object, MX_S("b"), buf, sizeof(buf), &out));
	unit_text(out, "A\n");
	assert_false(mx_scan_find_str(object, MX_S("b"), buf, 7, &out));
	assert_false(mx_scan_find_str(object, MX_S("c"), buf, sizeof(buf), &out));
	assert_false(mx_scan_find_str(object, MX_S("d"), buf, sizeof(buf), &out));
	assert_true(mx_scan_find(object, MX_S("c"), &value));
	assert_true(mx_scan_int(value, &n));
	assert_int_equal(n, 1);
	assert_false(mx_scan_int(MX_S("1.0"), &n));
	assert_false(mx_scan_int(MX_S("9223372036854775808"), &n));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(members_come_in_order),
		unit_case(elements_come_in_order),
		unit_case(broken_text_ends_the_walk),
		unit_case(escapes_are_decoded),
		unit_case(strings_are_found_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
