/* Filters over events. Client-Server API, "Filtering". */
#include "events.h"

#include <myelin/filter.h>

static struct mx_filter *
filter(const char *json)
{
	struct mx_filter *f = NULL;

	unit_ok(mx_filter_parse_text(mx_str_of(json), &f));
	assert_non_null(f);
	return f;
}

static void
refused(const char *json, enum mx_code code)
{
	struct mx_filter *f = NULL;
	mx_error *e = mx_filter_parse_text(mx_str_of(json), &f);

	if (!mx_error_is(e, code))
		fail_msg("'%.80s' gives %s", json, e != NULL ? mx_error_text(e) : "a filter");
	assert_null(f);
	mx_error_free(&e);
}

static bool
type_passes(const char *json, const char *type)
{
	MX_AUTO(mx_filter) *f = filter(json);

	return mx_filter_match(f, mx_str_of(type), MX_S("@a:x"));
}

static void
no_filter_lets_all_pass(void **state)
{
	struct mx_filter *f;

	(void)state;
	unit_ok(mx_filter_parse(NULL, &f));
	assert_null(f);
	unit_ok(mx_filter_parse_text(MX_S(""), &f));
	assert_null(f);
	assert_true(mx_filter_match(NULL, MX_S("t"), MX_S("@a:x")));
	assert_true(mx_filter_room(NULL, MX_S("!r:x")));
	assert_true(mx_filter_everything(NULL));
	assert_false(mx_filter_nothing(NULL));
	assert_int_equal(mx_filter_limit(NULL, 10, 100), 10);
	assert_false(mx_filter_lazy_members(NULL));
	mx_filter_free(&f);
}

static void
types_are_included_and_excluded(void **state)
{
	(void)state;
	assert_true(type_passes("{\"types\":[\"a\",\"b\"]}", "b"));
	assert_false(type_passes("{\"types\":[\"a\",\"b\"]}", "c"));
	assert_false(type_passes("{\"not_types\":[\"a\"]}", "a"));
	assert_true(type_passes("{\"not_types\":[\"a\"]}", "b"));
	assert_false(type_passes("{\"types\":[\"a\"],\"not_types\":[\"a\"]}", "a"));	/* exclusion wins */
	assert_true(type_passes("{\"not_types\":[]}", "a"));
}

static void
an_empty_list_is_not_an_absent_one(void **state)
{
	MX_AUTO(mx_filter) *f = filter("{\"types\":[]}");
	MX_AUTO(mx_filter) *all = filter("{\"not_types\":[\"*\"]}");
	MX_AUTO(mx_filter) *none = filter("{\"not_senders\":[],\"not_types\":[]}");

	(void)state;
	assert_true(mx_filter_nothing(f));
	assert_false(mx_filter_everything(f));
	assert_true(mx_filter_nothing(all));
	assert_false(mx_filter_nothing(none));
	assert_true(mx_filter_everything(none));
}

static void
a_star_is_any_sequence(void **state)
{
	static const struct {
		const char *pattern, *type;
		bool matches;
	} cases[] = {
		{ "m.*", "m.room.message", true },
		{ "m.*", "n.room", false },
		{ "*", "", true },
		{ "*", "x", true },
		{ "a*", "a", true },
		{ "*a", "ba", true },
		{ "*a", "ab", false },
		{ "a*b", "ab", true },
		{ "a*b", "aXXb", true },
		{ "a*b", "aXXc", false },
		{ "a*b*c", "aXbXbXc", true },
		{ "a**b", "ab", true },
		{ "*.*", "ab", false },
		{ "*aab", "aaaab", true },
		{ "a*", "b", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char json[64];

		snprintf(json, sizeof(json), "{\"types\":[\"%s\"]}", cases[i].pattern);
		if (type_passes(json, cases[i].type) != cases[i].matches)
			fail_msg("%s on %s", cases[i].pattern, cases[i].type);
	}
}

static void
a_star_in_a_sender_is_no_wildcard(void **state)
{
	MX_AUTO(mx_filter) *f = filter("{\"senders\":[\"@*:x\"]}");

	(void)state;
	assert_false(mx_filter_match(f, MX_S("t"), MX_S("@a:x")));
	assert_true(mx_filter_match(f, MX_S("t"), MX_S("@*:x")));
}

static void
senders_and_rooms_are_looked_up(void **state)
{
	MX_AUTO(mx_filter) *f =
		filter("{\"senders\":[\"@b:x\",\"@a:x\"],\"not_senders\":[\"@b:x\"],"
		       "\"rooms\":[\"!s:x\",\"!r:x\"],\"not_rooms\":[\"!s:x\"]}");

	(void)state;
	assert_true(mx_filter_match(f, MX_S("t"), MX_S("@a:x")));
	assert_false(mx_filter_match(f, MX_S("t"), MX_S("@b:x")));
	assert_false(mx_filter_match(f, MX_S("t"), MX_S("@c:x")));
	assert_true(mx_filter_match(f, MX_S("t"), MX_S("")));
	assert_true(mx_filter_room(f, MX_S("!r:x")));
	assert_false(mx_filter_room(f, MX_S("!s:x")));
	assert_false(mx_filter_room(f, MX_S("!t:x")));
}

static void
contains_url_asks_the_content(void **state)
{
	MX_AUTO(mx_filter) *with = filter("{\"contains_url\":true}");
	MX_AUTO(mx_filter) *without = filter("{\"contains_url\":false}");
	struct mx_event *url = make_event(
		(struct spec){ .type = "t", .sender = "a", .content = "{\"url\":\"mxc://x/y\"}" });
	struct mx_event *nested = make_event(
		(struct spec){ .type = "t", .sender = "a", .content = "{\"info\":{\"url\":1}}" });

	(void)state;
	assert_true(mx_filter_event(with, url));
	assert_false(mx_filter_event(without, url));
	assert_false(mx_filter_event(with, nested));
	assert_true(mx_filter_event(without, nested));
	assert_false(mx_filter_everything(with));
	mx_event_unref(&url);
	mx_event_unref(&nested);
}

static void
flags_and_limit_are_read(void **state)
{
	MX_AUTO(mx_filter) *f =
		filter("{\"limit\":7,\"lazy_load_members\":true,\"include_redundant_members\":true,"
		       "\"unread_thread_notifications\":true,\"unheard_of\":[1]}");

	(void)state;
	assert_int_equal(mx_filter_limit(f, 10, 100), 7);
	assert_int_equal(mx_filter_limit(f, 10, 5), 5);
	assert_true(mx_filter_lazy_members(f));
	assert_true(mx_filter_redundant_members(f));
	assert_true(mx_filter_thread_counts(f));
	assert_true(mx_filter_everything(f));
}

static void
nonsense_is_refused(void **state)
{
	static const char *const bad[] = {
		"[]",
		"1",
		"\"x\"",
		"null",
		"{\"types\":\"a\"}",
		"{\"types\":[1]}",
		"{\"types\":null}",
		"{\"types\":{}}",
		"{\"senders\":[\"alice\"]}",
		"{\"not_senders\":[\"\"]}",
		"{\"rooms\":[\"#r:x\"]}",
		"{\"not_rooms\":[\"r\"]}",
		"{\"limit\":-1}",
		"{\"limit\":\"1\"}",
		"{\"limit\":1.5}",
		"{\"lazy_load_members\":1}",
		"{\"contains_url\":\"yes\"}",
		"{\"types\":[\"a\\u0000b\"]}",
		"{\"types\":[\"a\"],\"types\":[\"b\"]}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(bad[i], MX_E_BAD_JSON);
	refused("{", MX_E_NOT_JSON);
	refused("66696p746572", MX_E_NOT_JSON);
}

static void
lists_have_a_limit(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	mx_buf_str(b, MX_S("{\"types\":[\"a\""));
	for (int i = 0; i < 10000; i++)
		mx_buf_str(b, MX_S(",\"a\""));
	mx_buf_str(b, MX_S("]}"));
	refused(mx_buf_cstr(b), MX_E_BAD_JSON);
	mx_buf_truncate(b, 0);
	mx_buf_str(b, MX_S("{\"types\":[\"a*\""));
	for (int i = 0; i < 100; i++)
		mx_buf_str(b, MX_S(",\"a*\""));
	mx_buf_str(b, MX_S("]}"));
	refused(mx_buf_cstr(b), MX_E_BAD_JSON);
}

static void
folding_knows_no_case(void **state)
{
	static const char *const pairs[][2] = {
		{ "Hello World 1", "hello world 1" },
		{ "\xc3\x84\xc3\x96\xc3\x9c\xc3\x9f", "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f" },
		{ "\xd0\x9f\xd0\xa0\xd0\x81", "\xd0\xbf\xd1\x80\xd1\x91" },
		{ "\xce\xa3\xcf\x82", "\xcf\x83\xcf\x83" },
		{ "\xc3\x97", "\xc3\x97" },
		{ "\xc5\xb9", "\xc5\xba" },
		{ "\xc4\xb0", "\xc4\xb0" },
		{ "\xe2\x82\xac", "\xe2\x82\xac" },
		{ "\xc3", "\xc3" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		MX_AUTO(mx_buf) *b = mx_buf_new(0);

		mx_str_fold(mx_str_of(pairs[i][0]), b);
		assert_string_equal(mx_buf_cstr(b), pairs[i][1]);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(no_filter_lets_all_pass),
		unit_case(types_are_included_and_excluded),
		unit_case(an_empty_list_is_not_an_absent_one),
		unit_case(a_star_is_any_sequence),
		unit_case(a_star_in_a_sender_is_no_wildcard),
		unit_case(senders_and_rooms_are_looked_up),
		unit_case(contains_url_asks_the_content),
		unit_case(flags_and_limit_are_read),
		unit_case(nonsense_is_refused),
		unit_case(lists_have_a_limit),
		unit_case(folding_knows_no_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
