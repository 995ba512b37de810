/* Server access control lists. */
#include "config.h"

#include "core/room/acl.h"
#include "tests/unit/room/house.h"

static bool
glob(const char *pattern, const char *text)
{
	return mx_glob(mx_str_of(pattern), mx_str_of(text), MX_GLOB_ONE | MX_GLOB_CASELESS);
}

static void
globs_match_as_the_specification_says(void **state)
{
	(void)state;
	assert_true(glob("*", ""));
	assert_true(glob("*", "example.org"));
	assert_true(glob("example.org", "example.org"));
	assert_true(glob("EXAMPLE.org", "example.ORG"));
	assert_true(glob("*.example.org", "a.b.example.org"));
	assert_false(glob("*.example.org", "example.org"));
	assert_true(glob("exa?ple.org", "example.org"));
	assert_false(glob("exa?ple.org", "exaple.org"));
	assert_true(glob("a*b*c", "aXbYbZc"));
	assert_false(glob("a*b*c", "aXbYbZ"));
	assert_true(glob("**a**", "a"));
	assert_false(glob("", "a"));
	assert_true(glob("", ""));
	assert_false(glob("?", ""));
	assert_false(glob("example.org", "example.orga"));
	/* No regular expression. */
	assert_false(glob("example.org", "exampleXorg"));
	assert_false(glob("[a-z]*", "example.org"));
}

static bool
allows(const char *content, const char *server)
{
	struct mx_acl *a = mx_acl_parse(mx_str_of(content));
	bool yes = mx_acl_allows(a, mx_str_of(server));

	mx_acl_free(&a);
	return yes;
}

static void
deny_comes_before_allow_and_ports_do_not_count(void **state)
{
	static const char list[] = "{\"allow\":[\"*\"],\"deny\":[\"evil.com\",\"*.evil.com\"]}";

	(void)state;
	assert_true(allows(list, "good.com"));
	assert_false(allows(list, "evil.com"));
	assert_false(allows(list, "EVIL.com"));
	assert_false(allows(list, "evil.com:8448"));
	assert_false(allows(list, "a.evil.com:1"));
	assert_true(allows(list, "notevil.com"));
	assert_true(allows("{\"allow\":[\"one.org\"]}", "one.org:443"));
	assert_false(allows("{\"allow\":[\"one.org\"]}", "two.org"));
	assert_false(allows("{}", "one.org"));
	assert_false(allows("{\"allow\":\"*\"}", "one.org"));
	assert_false(allows("{\"allow\":[7,null]}", "one.org"));
	assert_false(allows("", "one.org"));
}

static void
address_literals_are_denied_when_the_list_says_so(void **state)
{
	static const char no[] = "{\"allow\":[\"*\"],\"allow_ip_literals\":false}";
	static const char *const literals[] = { "1.2.3.4", "1.2.3.4:8448", "[::1]", "[2001:db8::1]:1" };
	static const char *const names[] = { "1.2.3.4.example.org", "1.2.3", "1.2.3.4.5", "1.2.3.256",
					     "example.org:8448" };

	(void)state;
	for (size_t i = 0; i < sizeof(literals) / sizeof(literals[0]); i++) {
		assert_false(allows(no, literals[i]));
		assert_true(allows("{\"allow\":[\"*\"]}", literals[i]));
		assert_true(allows("{\"allow\":[\"*\"],\"allow_ip_literals\":\"false\"}", literals[i]));
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(allows(no, names[i]));
}

static bool
asks(struct mx_room *room, const char *server)
{
	bool yes;

	unit_ok(mx_room_server_allowed(rooms, conn, room, mx_str_of(server), &yes));
	return yes;
}

static void
the_rooms_current_list_counts_also_when_it_is_redacted(void **state)
{
	struct mx_room *room = house_room("11", "shared");
	MX_AUTO_JSON *empty = house_json("{}");
	struct mx_event *acl, *next;

	(void)state;
	assert_true(asks(room, "evil.com"));
	unit_ok(house_send(room, &alice, "m.room.server_acl", "",
			   "{\"allow\":[\"*\"],\"deny\":[\"evil.com\"]}", &acl));
	for (int i = 0; i < 2; i++) {
		assert_false(asks(room, "evil.com"));
		assert_true(asks(room, "good.com"));
	}
	unit_ok(house_send(room, &alice, "m.room.server_acl", "",
			   "{\"allow\":[\"*\"],\"deny\":[\"good.com\"]}", &next));
	assert_true(asks(room, "evil.com"));
	assert_false(asks(room, "good.com"));

	/* Redacted it allows nobody. */
	struct mx_draft d = house_draft(&alice, "m.room.redaction", NULL, empty);

	d.redacts = mx_event_id(next);
	unit_ok(mx_room_send(rooms, conn, room, &d, 1, NULL));
	assert_false(asks(room, "evil.com"));
	assert_false(asks(room, "good.com"));
	mx_event_unref(&acl);
	mx_event_unref(&next);
	mx_room_unref(&room);
}

/* More rooms than lists are kept. */
static void
many_rooms_each_have_their_own(void **state)
{
	enum { ROOMS = 70 };
	struct mx_room *all[ROOMS];
	char content[96], server[32];

	(void)state;
	for (int i = 0; i < ROOMS; i++) {
		all[i] = house_room("11", "shared");
		snprintf(content, sizeof(content), "{\"allow\":[\"only-%d.org\"]}", i);
		unit_ok(house_send(all[i], &alice, "m.room.server_acl", "", content, NULL));
	}
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < ROOMS; i++) {
			snprintf(server, sizeof(server), "only-%d.org", i);
			assert_true(asks(all[i], server));
			assert_false(asks(all[(i + 1) % ROOMS], server));
		}
	for (int i = 0; i < ROOMS; i++)
		mx_room_unref(&all[i]);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(globs_match_as_the_specification_says),
		unit_case(deny_comes_before_allow_and_ports_do_not_count),
		unit_case(address_literals_are_denied_when_the_list_says_so),
		house_case(the_rooms_current_list_counts_also_when_it_is_redacted),
		house_case(many_rooms_each_have_their_own),
	};

	return HOUSE_MAIN(tests);
}
