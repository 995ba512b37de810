/* Power levels. */
#include "tests/unit/room/events.h"

static struct mx_power *
parse(const char *version, const char *create, const char *levels)
{
	MX_AUTO(mx_event) *c = make_event((struct spec){ .version = version,
							 .id = "$create",
							 .type = "m.room.create",
							 .key = "",
							 .sender = "creator",
							 .content = create });
	MX_AUTO(mx_event) *l = NULL;

	if (levels != NULL)
		l = make_event((struct spec){ .version = version,
					      .id = "$pl",
					      .type = "m.room.power_levels",
					      .key = "",
					      .sender = "creator",
					      .content = levels });
	return mx_power_parse(l, c);
}

static void
without_an_event_the_creator_has_100(void **state)
{
	MX_AUTO(mx_power) *old = parse("10", "{\"creator\":\"@first:a\"}", NULL);
	MX_AUTO(mx_power) *mid = parse("11", "{\"creator\":\"@first:a\"}", NULL);
	MX_AUTO(mx_power) *new = parse("12", "{}", NULL);

	(void)state;
	assert_int_equal(mx_power_of_user(old, MX_S("@first:a")), 100);
	assert_int_equal(mx_power_of_user(old, MX_S("@creator:a")), 0);
	assert_int_equal(mx_power_of_user(mid, MX_S("@first:a")), 0);
	assert_int_equal(mx_power_of_user(mid, MX_S("@creator:a")), 100);
	assert_true(mx_power_of_user(new, MX_S("@creator:a")) == MX_POWER_CREATOR);
	assert_int_equal(mx_power_of_user(new, MX_S("@x:a")), 0);
	assert_int_equal(mx_power_for_event(mid, MX_S("x"), true), 50);
	assert_int_equal(mx_power_for_event(mid, MX_S("x"), false), 0);
	assert_int_equal(mid->level[MX_POWER_INVITE], 0);
	assert_int_equal(mid->level[MX_POWER_KICK], 50);
	assert_int_equal(mid->level[MX_POWER_BAN], 50);
	assert_int_equal(mid->level[MX_POWER_REDACT], 50);
}

static void
an_event_says_who_may_what(void **state)
{
	MX_AUTO(mx_power) *p =
		parse("11", "{}",
		      "{\"ban\":1,\"events\":{\"a\":2,\"b\":3},\"events_default\":4,\"invite\":5,"
		      "\"kick\":6,\"notifications\":{\"room\":7},\"redact\":8,\"state_default\":9,"
		      "\"users\":{\"@a:a\":10,\"@b:b\":-11},"
		      "\"users_default\":12}");

	(void)state;
	assert_int_equal(p->level[MX_POWER_BAN], 1);
	assert_int_equal(mx_power_for_event(p, MX_S("a"), true), 2);
	assert_int_equal(mx_power_for_event(p, MX_S("b"), false), 3);
	assert_int_equal(mx_power_for_event(p, MX_S("c"), false), 4);
	assert_int_equal(mx_power_for_event(p, MX_S("c"), true), 9);
	assert_int_equal(p->level[MX_POWER_INVITE], 5);
	assert_int_equal(p->level[MX_POWER_KICK], 6);
	assert_int_equal(mx_power_for_notification(p, MX_S("room")), 7);
	assert_int_equal(mx_power_for_notification(p, MX_S("other")), 50);
	assert_int_equal(p->level[MX_POWER_REDACT], 8);
	assert_int_equal(mx_power_of_user(p, MX_S("@a:a")), 10);
	assert_int_equal(mx_power_of_user(p, MX_S("@b:b")), -11);
	assert_int_equal(mx_power_of_user(p, MX_S("@creator:a")), 12);
}

static void
an_empty_event_gives_nobody_power(void **state)
{
	MX_AUTO(mx_power) *p = parse("11", "{}", "{}");

	(void)state;
	assert_int_equal(mx_power_of_user(p, MX_S("@creator:a")), 0);
	assert_int_equal(p->level[MX_POWER_STATE_DEFAULT], 50);
}

static void
what_is_no_level_counts_as_absent(void **state)
{
	MX_AUTO(mx_power) *p = parse("11", "{}",
				     "{\"ban\":\"1\",\"events\":[1],\"kick\":null,\"users\":{\"@a:"
				     "a\":\"1\",\"@b:b\":2}}");

	(void)state;
	assert_int_equal(p->level[MX_POWER_BAN], 50);
	assert_int_equal(p->level[MX_POWER_KICK], 50);
	assert_int_equal(mx_power_of_user(p, MX_S("@a:a")), 0);
	assert_int_equal(mx_power_of_user(p, MX_S("@b:b")), 2);
	assert_int_equal(mx_power_for_event(p, MX_S("1"), false), 0);
}

static void
creators_of_version_12_are_all_found(void **state)
{
	MX_AUTO(mx_power) *p =
		parse("12", "{\"additional_creators\":[\"@z:z\",\"@a:a\",1,\"@m\\u006d:m\"]}",
		      "{\"users\":{\"@x:x\":9007199254740991}}");

	(void)state;
	assert_true(mx_power_of_user(p, MX_S("@creator:a")) == MX_POWER_CREATOR);
	assert_true(mx_power_of_user(p, MX_S("@z:z")) == MX_POWER_CREATOR);
	assert_true(mx_power_of_user(p, MX_S("@a:a")) == MX_POWER_CREATOR);
	assert_true(mx_power_of_user(p, MX_S("@mm:m")) == MX_POWER_CREATOR);
	assert_int_equal(mx_power_of_user(p, MX_S("@x:x")), 9007199254740991);
	assert_true(mx_power_is_creator(p, MX_S("@z:z")));
	assert_false(mx_power_is_creator(p, MX_S("@x:x")));
}

static void
the_create_event_says_whether_others_take_part(void **state)
{
	MX_AUTO(mx_power) *open = parse("12", "{}", NULL),
			  *closed = parse("12", "{\"m.federate\":false}", NULL);

	(void)state;
	assert_true(open->federate);
	assert_false(closed->federate);
	unit_text(closed->creator_server, "a");
}

static void
many_users_are_found_by_searching(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_power) *p = NULL;

	(void)state;
	mx_buf_printf(b, "{\"users\":{");
	for (int i = 0; i < 5000; i++)
		mx_buf_printf(b, "%s\"@u%05d:a\":%d", i != 0 ? "," : "", i, i);
	mx_buf_printf(b, "}}");
	p = parse("11", "{}", mx_buf_cstr(b));
	for (int i = 0; i < 5000; i++) {
		char id[32];

		snprintf(id, sizeof(id), "@u%05d:a", i);
		assert_int_equal(mx_power_of_user(p, mx_str_of(id)), i);
	}
	assert_int_equal(mx_power_of_user(p, MX_S("@u5:a")), 0);
}

/* What versions before 10 read as a level: beyond what a number holds, the greatest or the least. */
static void
old_versions_read_strings_as_levels(void **state)
{
	static const struct {
		const char *text;
		enum mx_level_form form;
		int64_t level;		/* 0: no level */
	} cases[] = {
		{ "\"000100\"", MX_LEVEL_STRINGS, 100 },
		{ "\" -00100 \"", MX_LEVEL_STRINGS, -100 },
		{ "\"- 5\"", MX_LEVEL_STRINGS, 0 },
		{ "\"--5\"", MX_LEVEL_STRINGS, 0 },
		{ "\"+\"", MX_LEVEL_STRINGS, 0 },
		{ "\"-\"", MX_LEVEL_STRINGS, 0 },
		{ "\" \"", MX_LEVEL_STRINGS, 0 },
		{ "\"1.0\"", MX_LEVEL_LOOSE, 0 },
		{ "5.114698E4", MX_LEVEL_LOOSE, 51146 },
		{ "-0.9", MX_LEVEL_LOOSE, 0 },
		{ "-50.57", MX_LEVEL_LOOSE, -50 },
		{ "-1e99", MX_LEVEL_LOOSE, -9223372036854775806 },
		{ "\"-99999999999999999999\"", MX_LEVEL_STRINGS, -9223372036854775806 },
		{ "\"99999999999999999999\"", MX_LEVEL_STRINGS, 9223372036854775806 },
		{ "\"50\"", MX_LEVEL_STRINGS, 50 },
		{ "\" +007 \"", MX_LEVEL_STRINGS, 7 },
		{ "\"-3\"", MX_LEVEL_LOOSE, -3 },
		{ "\"+-3\"", MX_LEVEL_STRINGS, 0 },
		{ "\"\"", MX_LEVEL_STRINGS, 0 },
		{ "\"5x\"", MX_LEVEL_STRINGS, 0 },
		{ "2.9", MX_LEVEL_LOOSE, 2 },
		{ "2.9", MX_LEVEL_STRINGS, 0 },
		{ "1e2", MX_LEVEL_LOOSE, 100 },
		{ "1e99", MX_LEVEL_LOOSE, 9223372036854775806 },
		{ "true", MX_LEVEL_LOOSE, 0 },
		{ "\"50\"", MX_LEVEL_INTEGERS, 0 },
		{ "9223372036854775807", MX_LEVEL_LOOSE, 9223372036854775806 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mx_room_version v = *version_of("11");
		MX_AUTO(mx_event) *create = make_event((struct spec){ .version = "11",
								      .id = "$c",
								      .type = "m.room.create",
								      .key = "",
								      .sender = "creator",
								      .content = "{}" });
		MX_AUTO(mx_event) *levels = NULL;
		MX_AUTO(mx_power) *p = NULL;
		char content[128];

		snprintf(content, sizeof(content), "{\"users\":{\"@a:a\":%s}}", cases[i].text);
		levels = make_event((struct spec){ .version = "11",
						   .id = "$pl",
						   .type = "m.room.power_levels",
						   .key = "",
						   .sender = "creator",
						   .content = content });
		v.levels = cases[i].form;
		create->version = &v;
		p = mx_power_parse(levels, create);
		if (mx_power_of_user(p, MX_S("@a:a")) != cases[i].level)
			fail_msg("%s is %lld", cases[i].text,
				 (long long)mx_power_of_user(p, MX_S("@a:a")));
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(without_an_event_the_creator_has_100),
		unit_case(an_event_says_who_may_what),
		unit_case(an_empty_event_gives_nobody_power),
		unit_case(what_is_no_level_counts_as_absent),
		unit_case(creators_of_version_12_are_all_found),
		unit_case(the_create_event_says_whether_others_take_part),
		unit_case(many_users_are_found_by_searching),
		unit_case(old_versions_read_strings_as_levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
