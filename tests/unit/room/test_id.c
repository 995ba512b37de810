/* Identifiers. Appendices, "Identifier Grammar". */
#include "config.h"

#include <myelin/id.h>

#include "tests/unit/support/unit.h"

struct id_case {
	const char *text;
	bool good;
};

static const struct id_case servers[] = {
	{ "matrix.org", true },
	{ "matrix.org:8888", true },
	{ "1.2.3.4", true },
	{ "1.2.3.4:1234", true },
	{ "[1234:5678::abcd]", true },
	{ "[1234:5678::abcd]:5678", true },
	{ "localhost", true },
	{ "A-b.C", true },
	{ "", false },
	{ ":80", false },
	{ "a:", false },
	{ "a:x", false },
	{ "a:123456", false },
	{ "a:-1", false },
	{ "a:+1", false },
	{ "a:65536", false },
	{ "a_b", false },
	{ "a b", false },
	{ "a/b", false },
	{ "[::1", false },
	{ "[]", false },
	{ "[:]", false },
	{ "[::1]x", false },
	{ "[::1]:", false },
	{ "[::g]", false },
	{ "a:80:80", false },
	{ "\xc3\xa4.org", false },
};

static const struct id_case users[] = {
	{ "@alice:example.org", true },
	{ "@a/b+c=d.e_f-g:x:80", true },
	{ "@:x", true },
	{ "@Alice \xc3\xa4:x", true },
	{ "@x\n:y", true },
	{ "alice:x", false },
	{ "@alice", false },
	{ "@alice:", false },
	{ "#alice:x", false },
	{ "", false },
	{ "@", false },
	{ "@a:b c", false },
	{ "@\xff:x", false },
	{ "@a:b:c:d", false },
};

static const struct id_case rooms[] = {
	{ "!abc:x", true },
	{ "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", true },
	{ "!\xc3\xa4 b:x", true },
	{ "!:x", true },
	{ "!", false },
	{ "abc:x", false },
	{ "!a b", false },
	{ "!a\xc3\xa4", false },
	{ "#a:x", false },
};

static const struct id_case events[] = {
	{ "$abc:x", true }, { "$31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", true },
	{ "$a+/b", true },  { "$", false },
	{ "$a\"", false },  { "!a:x", false },
};

static const struct id_case aliases[] = {
	{ "#room:x", true }, { "#\xc3\xa4 b:x:80", true }, { "#room", false }, { "!room:x", false },
	{ "#a:", false },
};

static const struct id_case localparts[] = {
	{ "alice", true }, { "a-z0.9_=/+", true }, { "", false },    { "Alice", false },
	{ "a b", false },  { "\xc3\xa4", false },  { "a:b", false },
};

static bool is_user(mx_str s) { return mx_id_user(s, NULL, NULL); }
static bool is_alias(mx_str s) { return mx_id_alias(s, NULL, NULL); }

static void
check(const struct id_case *cases, size_t n, bool (*fn)(mx_str))
{
	for (size_t i = 0; i < n; i++)
		if (fn(mx_str_of(cases[i].text)) != cases[i].good)
			fail_msg("'%s' is %s", cases[i].text,
				 cases[i].good ? "refused" : "accepted");
}

#define CHECK(cases, fn) check(cases, sizeof(cases) / sizeof(cases[0]), fn)

static void
grammars(void **state)
{
	(void)state;
	CHECK(servers, mx_id_server);
	CHECK(users, is_user);
	CHECK(rooms, mx_id_room);
	CHECK(events, mx_id_event);
	CHECK(aliases, is_alias);
	CHECK(localparts, mx_id_localpart_strict);
}

static void
no_identifier_is_longer_than_255_bytes(void **state)
{
	char text[300];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + 250, ":host", 5);
	text[0] = '@';
	assert_true(is_user((mx_str){ text, 255 }));
	assert_false(is_user((mx_str){ text, 256 }));
	text[0] = '!';
	assert_true(mx_id_room((mx_str){ text, 255 }));
	assert_false(mx_id_room((mx_str){ text, 256 }));
	text[0] = '$';
	assert_true(mx_id_event((mx_str){ text, 250 }));
	assert_false(mx_id_event((mx_str){ text, 256 }));
}

static void
parts_are_split_at_the_first_colon(void **state)
{
	mx_str local, server;

	(void)state;
	assert_true(mx_id_user(MX_S("@alice:x:80"), &local, &server));
	unit_text(local, "alice");
	unit_text(server, "x:80");
	assert_true(mx_id_alias(MX_S("#r:[::1]:80"), &local, &server));
	unit_text(local, "r");
	unit_text(server, "[::1]:80");
	unit_text(mx_id_server_of(MX_S("!a:b:1")), "b:1");
	assert_null(mx_id_server_of(MX_S("!a")).p);
}

static void
a_nul_is_in_no_identifier(void **state)
{
	(void)state;
	assert_false(is_user(MX_S("@a\0b:x")));
	assert_false(mx_id_room(MX_S("!a\0b:x")));
	assert_false(mx_id_server(MX_S("a\0")));
}

static void
a_wrong_id_is_named_to_the_client(void **state)
{
	mx_error *e = mx_id_check_user(MX_S("alice"), "user_id");

	(void)state;
	assert_int_equal(mx_error_code(e), MX_E_INVALID_PARAM);
	assert_non_null(strstr(mx_error_text(e), "user_id"));
	mx_error_free(&e);
	unit_ok(mx_id_check_user(MX_S("@alice:x"), "user_id"));
	unit_ok(mx_id_check_room(MX_S("!r:x"), "roomId"));
	unit_refused(mx_id_check_room(MX_S("#r:x"), "roomId"), MX_E_INVALID_PARAM);
}

static void
opaque_ids_are_url_safe(void **state)
{
	(void)state;
	assert_true(mx_id_opaque(MX_S("AZaz09._~-"), 10));
	assert_false(mx_id_opaque(MX_S("AZaz09._~-"), 9));
	assert_false(mx_id_opaque(MX_S("a/b"), 10));
	assert_false(mx_id_opaque(MX_S(""), 10));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(grammars),
		unit_case(no_identifier_is_longer_than_255_bytes),
		unit_case(parts_are_split_at_the_first_colon),
		unit_case(a_nul_is_in_no_identifier),
		unit_case(a_wrong_id_is_named_to_the_client),
		unit_case(opaque_ids_are_url_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
