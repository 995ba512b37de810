/* Large objects, read as they come. */
#include "config.h"

#include "core/json/split.h"
#include "tests/unit/support/unit.h"

struct heard {
	struct mx_buf *b;
};

static mx_error *
element(void *arg, size_t which, mx_str text)
{
	struct heard *h = arg;

	if (text.p == NULL)
		mx_buf_printf(h->b, "%zu too large;", which);
	else
		mx_buf_printf(h->b, "%zu %.*s;", which, MX_SFMT(text));
	return NULL;
}

static mx_error *
member(void *arg, size_t which, mx_str text)
{
	struct heard *h = arg;

	mx_buf_printf(h->b, "=%zu %.*s;", which, MX_SFMT(text));
	return NULL;
}

/* Feeds the text in pieces of this size and appends to b what was handed out. */
static mx_error *
split(const char *text, size_t piece, struct mx_buf *b)
{
	struct heard h = { .b = b };
	struct mx_split *s = mx_split_new(&(struct mx_split_want){
		.arrays = { "state", "auth_chain" },
		.members = { "event", "members_omitted" },
		.element_max = 40,
		.member_max = 30,
		.elements_max = 5,
		.total_max = 2000,
		.element = element,
		.member = member,
		.arg = &h,
	});
	size_t n = strlen(text);
	mx_error *e = NULL;

	for (size_t at = 0; at < n && e == NULL; at += piece)
		e = mx_split_feed(s, (mx_str){ text + at, n - at < piece ? n - at : piece });
	if (e == NULL)
		e = mx_split_end(s);
	mx_split_free(&s);
	return e;
}

static void
gives_(const char *text, const char *expected, int line)
{
	for (size_t piece = 1; piece < strlen(text) + 2; piece++) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);

		unit_ok_(split(text, piece, b), __FILE__, line);
		if (strcmp(mx_buf_cstr(b), expected) != 0) {
			print_error("in pieces of %zu: '%s' is not '%s'\n", piece, mx_buf_cstr(b),
				    expected);
			_fail(__FILE__, line);
		}
	}
}
#define gives(text, expected) gives_(text, expected, __LINE__)

static void
refuses_(const char *text, enum mx_code code, int line)
{
	for (size_t piece = 1; piece < strlen(text) + 2; piece++) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);

		unit_refused_(split(text, piece, b), code, __FILE__, line);
	}
}
#define refuses(text, code) refuses_(text, code, __LINE__)

static void
pieces_come_out_however_the_bytes_come_in(void **state)
{
	(void)state;
	gives("{}", "");
	gives(" { } \n", "");
	gives("{\"state\":[],\"auth_chain\":[]}", "");
	gives("{\"state\":[{\"a\":1},{\"b\":[2,{\"c\":3}]}],\"auth_chain\":[{}]}",
	      "0 {\"a\":1};0 {\"b\":[2,{\"c\":3}]};1 {};");
	gives("{ \"origin\" : \"x\" , \"state\" : [ {\"a\": 1} , 7 ,\"s\", null ] , \"event\" : {\"e\":0}}",
	      "0 {\"a\": 1};0 7;0 \"s\";0 null;=0 {\"e\":0};");
	gives("{\"members_omitted\":false}", "=1 false;");
	gives("{\"members_omitted\" : true , \"x\":[1,[2],{}]}", "=1 true;");
}

static void
brackets_and_quotes_in_strings_do_not_count(void **state)
{
	(void)state;
	gives("{\"state\":[{\"a\":\"]}\\\"[{\"}]}", "0 {\"a\":\"]}\\\"[{\"};");
	gives("{\"state\":[{\"a\\\"]}\":\"\\\\\"}]}", "0 {\"a\\\"]}\":\"\\\\\"};");
	gives("{\"x\":\"\\\\\",\"state\":[\"\\u005d\"]}", "0 \"\\u005d\";");
	gives("{\"\\\"state\":[1],\"st\\u0061te\":[2],\"state\":[3]}", "0 3;");
}

static void
what_nobody_wants_is_passed_over_however_large(void **state)
{
	char text[1200], key[1200];

	(void)state;
	memset(key, 'k', sizeof(key));
	snprintf(text, sizeof(text), "{\"%.500s\":{\"%.500s\":[{}]},\"state\":[1]}", key, key);
	gives(text, "0 1;");
	gives("{\"state\":[{\"long\":\"0123456789012345678901234567890123456789\"},2]}",
	      "0 too large;0 2;");
}

static void
what_is_no_such_object_is_refused(void **state)
{
	static const char *const not_json[] = {
		"",          "[",           "7",           "{",          "{\"state\":[",
		"{\"a\"}",   "{\"a\" 1}",   "{,}",         "{\"a\":1,}", "{\"a\":}",
		"{\"a\":1}}", "{}x",        "{\"state\":[,]}", "{\"state\":[1,]}",
		"{\"state\":[1 2]}", "{\"state\":[1}", "{\"a\":1 \"b\":2}", "{a:1}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(not_json) / sizeof(not_json[0]); i++)
		refuses(not_json[i], MX_E_NOT_JSON);
	refuses("{\"state\":{}}", MX_E_BAD_JSON);
	refuses("{\"state\":null}", MX_E_BAD_JSON);
	refuses("{\"state\":[],\"state\":[]}", MX_E_BAD_JSON);
	refuses("{\"event\":1,\"event\":2}", MX_E_BAD_JSON);
}

static void
limits_hold(void **state)
{
	char deep[600], large[2100];

	(void)state;
	refuses("{\"event\":\"01234567890123456789012345678\"}", MX_E_TOO_LARGE);
	refuses("{\"state\":[1,2,3],\"auth_chain\":[4,5,6]}", MX_E_TOO_LARGE);
	snprintf(deep, sizeof(deep), "{\"x\":%0101d", 0);
	memset(strchr(deep, '0'), '[', 101);
	refuses(deep, MX_E_BAD_JSON);
	memset(large, ' ', sizeof(large));
	memcpy(large, "{\"x\":1", 6);
	memcpy(large + sizeof(large) - 2, "}", 2);
	refuses(large, MX_E_TOO_LARGE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(pieces_come_out_however_the_bytes_come_in),
		unit_case(brackets_and_quotes_in_strings_do_not_count),
		unit_case(what_nobody_wants_is_passed_over_however_large),
		unit_case(what_is_no_such_object_is_refused),
		unit_case(limits_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
