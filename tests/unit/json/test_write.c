#include "config.h"

#include "tests/unit/support/unit.h"
#include <myelin/json.h>

static void
commas_take_care_of_themselves(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *v = json_pack("[i,b]", 1, 1);
	struct mx_jw w = mx_jw_on(b);

	(void)state;
	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("empty"));
	mx_jw_object(&w);
	mx_jw_object_end(&w);
	mx_jw_key(&w, MX_S("list"));
	mx_jw_array(&w);
	mx_jw_int(&w, -1);
	mx_jw_str(&w, MX_S("a\"b"));
	mx_jw_array(&w);
	mx_jw_array_end(&w);
	mx_jw_object(&w);
	mx_jw_key(&w, MX_S("x"));
	mx_jw_bool(&w, true);
	mx_jw_key(&w, MX_S("y"));
	mx_jw_bool(&w, false);
	mx_jw_object_end(&w);
	mx_jw_null(&w);
	mx_jw_raw(&w, MX_S("{\"r\":0}"));
	mx_jw_json(&w, v);
	mx_jw_array_end(&w);
	mx_jw_key(&w, MX_S("k\n"));
	mx_jw_str(&w, mx_str_of(NULL));
	mx_jw_object_end(&w);
	assert_string_equal(
		mx_buf_cstr(b),
		"{\"empty\":{},\"list\":[-1,\"a\\\"b\",[],{\"x\":true,\"y\":false},null,"
		"{\"r\":0},[1,true]],\"k\\n\":\"\"}");
}

static void
every_byte_is_quoted_right_wherever_it_stands(void **state)
{
	(void)state;
	for (size_t length = 1; length < 40; length++) {
		for (size_t at = 0; at < length; at++) {
			for (int c = 0; c < 0x80; c++) {
				MX_AUTO(mx_buf) *b = mx_buf_new(0);
				MX_AUTO_JSON *v = NULL;
				char text[40];

				memset(text, 'x', length);
				text[at] = (char)c;
				mx_json_quote((mx_str){ text, length }, b);
				unit_ok(mx_json_parse(mx_buf_view(b), &v));
				assert_int_equal(json_string_length(v), length);
				assert_memory_equal(json_string_value(v), text, length);
			}
		}
	}
}

static void
bytes_beyond_ascii_are_not_touched(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	mx_json_quote(MX_S("aäöü日本語😀 0123456789 ÿ\x7f"), b);
	assert_string_equal(mx_buf_cstr(b), "\"aäöü日本語😀 0123456789 ÿ\x7f\"");
}

static void
quoting_uses_the_limit_to_the_last_byte(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(6);
	MX_AUTO(mx_buf) *c = mx_buf_new(6);

	(void)state;
	mx_json_quote(MX_S("a\nb"), b);
	assert_false(mx_buf_failed(b));
	assert_string_equal(mx_buf_cstr(b), "\"a\\nb\"");
	mx_json_quote(MX_S("a\nbc"), c);
	assert_true(mx_buf_failed(c));
}

static void
a_dump_keeps_the_order(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *v = json_object();

	(void)state;
	json_object_set_new(v, "z", json_real(2.5));
	json_object_set_new(v, "a", json_stringn("\0", 1));
	json_object_set_new(v, "m", json_integer(1));
	json_object_del(v, "a");
	json_object_set_new(v, "a", json_null());
	mx_json_dump(v, b);
	assert_string_equal(mx_buf_cstr(b), "{\"z\":2.5,\"m\":1,\"a\":null}");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(commas_take_care_of_themselves),
		unit_case(every_byte_is_quoted_right_wherever_it_stands),
		unit_case(bytes_beyond_ascii_are_not_touched),
		unit_case(quoting_uses_the_limit_to_the_last_byte),
		unit_case(a_dump_keeps_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
