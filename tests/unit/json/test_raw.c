#include "config.h"

#include "tests/unit/support/unit.h"
#include <myelin/json.h>

static void
finds(const char *text, mx_str key, const char *value)
{
	mx_str raw = { NULL, 0 };

	if (!mx_json_raw(mx_str_of(text), key, &raw))
		fail_msg("%.*s is not found in %s", MX_SFMT(key), text);
	unit_text(raw, value);
}

static void
misses(const char *text, mx_str key)
{
	mx_str raw = MX_S("before");

	assert_false(mx_json_raw(mx_str_of(text), key, &raw));
	unit_text(raw, "before");
}

static void
values_of_every_kind_are_found(void **state)
{
	static const char text[] = "{\"s\":\"a,}\\\"]\\\\\",\"i\":-12.5e3,\"t\":true,\"n\":null,"
		"\"o\":{\"s\":1,\"x\":{\"}\":\"{\"}},\"l\":[[],[{}],\"]\"],\"e\":\"\",\"last\":0}";

	(void)state;
	finds(text, MX_S("s"), "\"a,}\\\"]\\\\\"");
	finds(text, MX_S("i"), "-12.5e3");
	finds(text, MX_S("t"), "true");
	finds(text, MX_S("n"), "null");
	finds(text, MX_S("o"), "{\"s\":1,\"x\":{\"}\":\"{\"}}");
	finds(text, MX_S("l"), "[[],[{}],\"]\"]");
	finds(text, MX_S("e"), "\"\"");
	finds(text, MX_S("last"), "0");
}

static void
only_members_of_the_object_itself_are_found(void **state)
{
	(void)state;
	misses("{\"content\":{\"type\":1},\"x\":\"type\",\"l\":[{\"type\":2}]}", MX_S("type"));
	finds("{\"content\":{\"type\":1},\"type\":3}", MX_S("type"), "3");
	misses("{\"types\":1,\"typ\":2}", MX_S("type"));
	misses("{}", MX_S("a"));
	misses("[\"a\",1]", MX_S("a"));
	misses("\"a\"", MX_S("a"));
	misses("{}", MX_S(""));
	finds("{\"\":1}", mx_str_of(NULL), "1");
}

static void
white_space_is_not_part_of_the_value(void **state)
{
	static const char text[] = " \n{ \"a\" :\t1 ,\r\n\"b\" : [ 2 ] , \"c\" : 3\n} ";

	(void)state;
	finds(text, MX_S("a"), "1");
	finds(text, MX_S("b"), "[ 2 ]");
	finds(text, MX_S("c"), "3");
}

static void
keys_with_escapes_are_compared_decoded(void **state)
{
	static const char text[] =
		"{\"\\u0061\":1,\"q\\\"\":2,\"\\ud83d\\ude00\":3,\"s\\/\\b\\f\\n\\r\\t\\\\\":4,"
		"\"\\u00E4\\u65e5\":5,\"nul\\u0000\":6}";

	(void)state;
	finds(text, MX_S("a"), "1");
	finds(text, MX_S("q\""), "2");
	finds(text, MX_S("😀"), "3");
	finds(text, MX_S("s/\b\f\n\r\t\\"), "4");
	finds(text, MX_S("ä日"), "5");
	finds(text, MX_S("nul\0"), "6");
	misses(text, MX_S("\\u0061"));
	misses(text, MX_S("nul"));
	misses(text, MX_S("aa"));
}

/* Each prefix of a text lies at the end of its memory, so that a sanitizer sees a step beyond. */
static void
what_is_cut_off_is_never_read_beyond(void **state)
{
	static const char text[] =
		"{\"\\ud83d\\ude00x\":\"\\\"\",\"b\":{\"c\":[1,\"\\u00e4\"]},\"\\u0061\":true}";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		char *copy = mx_realloc(NULL, n, 1);
		mx_str raw;

		memcpy(copy, text, n);
		for (size_t k = 0; k < n; k++) {
			mx_str s = { copy, n };

			if (mx_json_raw(s, MX_S("zz"), &raw) || mx_json_raw(s, MX_S("😀x"), &raw))
				assert_true(raw.p >= copy && raw.p + raw.n <= copy + n);
			if (k != 0)
				copy[k - 1] = text[k - 1];
			copy[k] = "\\\"{}[]:,"[k % 8];
		}
		free(copy);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(values_of_every_kind_are_found),
		unit_case(only_members_of_the_object_itself_are_found),
		unit_case(white_space_is_not_part_of_the_value),
		unit_case(keys_with_escapes_are_compared_decoded),
		unit_case(what_is_cut_off_is_never_read_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
