/* The table of room versions: what the specification says of each. Room Versions, "Feature matrix".
 */
#include "config.h"

#include "core/room/version.h"
#include "tests/unit/support/unit.h"

/* One row a version, one column a rule, as the pages of the versions have them. */
#define DEPTH63 INT64_MAX
#define DEPTH53 INT64_C(9007199254740991)

static const struct facts {
	const char *name;
	bool pairs, redacts_in_content, hash_is_room;
	enum mx_event_id_form id;
	bool strict;
	int64_t depth;
	bool validity;
	int redaction;
	bool needs_power, aliases, notifications, content_creator, creators;
	const char *joins;
	enum mx_level_form levels;
	enum mx_resolution resolution;
} all[] = {
	{ "1", true, false, false, MX_EVENT_ID_CHOSEN, false, DEPTH63, false, 1, true, true, false,
	  true, false, "", MX_LEVEL_LOOSE, MX_RESOLUTION_1 },
	{ "2", true, false, false, MX_EVENT_ID_CHOSEN, false, DEPTH63, false, 1, true, true, false,
	  true, false, "", MX_LEVEL_LOOSE, MX_RESOLUTION_2 },
	{ "3", false, false, false, MX_EVENT_ID_BASE64, false, DEPTH63, false, 1, false, true,
	  false, true, false, "", MX_LEVEL_LOOSE, MX_RESOLUTION_2 },
	{ "4", false, false, false, MX_EVENT_ID_BASE64URL, false, DEPTH63, false, 1, false, true,
	  false, true, false, "", MX_LEVEL_LOOSE, MX_RESOLUTION_2 },
	{ "5", false, false, false, MX_EVENT_ID_BASE64URL, false, DEPTH63, true, 1, false, true,
	  false, true, false, "", MX_LEVEL_LOOSE, MX_RESOLUTION_2 },
	{ "6", false, false, false, MX_EVENT_ID_BASE64URL, true, DEPTH53, true, 6, false, false,
	  true, true, false, "", MX_LEVEL_STRINGS, MX_RESOLUTION_2 },
	{ "7", false, false, false, MX_EVENT_ID_BASE64URL, true, DEPTH53, true, 6, false, false,
	  true, true, false, "k", MX_LEVEL_STRINGS, MX_RESOLUTION_2 },
	{ "8", false, false, false, MX_EVENT_ID_BASE64URL, true, DEPTH53, true, 8, false, false,
	  true, true, false, "kr", MX_LEVEL_STRINGS, MX_RESOLUTION_2 },
	{ "9", false, false, false, MX_EVENT_ID_BASE64URL, true, DEPTH53, true, 9, false, false,
	  true, true, false, "kr", MX_LEVEL_STRINGS, MX_RESOLUTION_2 },
	{ "10", false, false, false, MX_EVENT_ID_BASE64URL, true, DEPTH53, true, 9, false, false,
	  true, true, false, "krb", MX_LEVEL_INTEGERS, MX_RESOLUTION_2 },
	{ "11", false, true, false, MX_EVENT_ID_BASE64URL, true, DEPTH53, true, 11, false, false,
	  true, false, false, "krb", MX_LEVEL_INTEGERS, MX_RESOLUTION_2 },
	{ "12", false, true, true, MX_EVENT_ID_BASE64URL, true, DEPTH53, true, 11, false, false,
	  true, false, true, "krb", MX_LEVEL_INTEGERS, MX_RESOLUTION_2_1 },
};

#define ALL (sizeof(all) / sizeof(all[0]))

static void
all_versions_are_known_and_no_others(void **state)
{
	static const char *const unknown[] = { "", "0", "13", "12 ", "01", "org.example.12" };

	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		const struct mx_room_version *v = mx_room_version_find(mx_str_of(all[i].name));

		assert_ptr_equal(v, mx_room_version_at(i));
		unit_text(mx_room_version_name(v), all[i].name);
		assert_true(v->stable);
	}
	assert_null(mx_room_version_at(ALL));
	assert_null(mx_room_version_at(SIZE_MAX));
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_null(mx_room_version_find(mx_str_of(unknown[i])));
}

static void
twelve_is_the_default(void **state)
{
	(void)state;
	unit_text(mx_room_version_name(mx_room_version_default()), "12");
}

static void
each_version_has_its_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL; i++) {
		const struct facts *f = &all[i];
		const struct mx_room_version *v = mx_room_version_find(mx_str_of(f->name));
		char joins[4];

		snprintf(joins, sizeof(joins), "%s%s%s", v->join_knock ? "k" : "",
			 v->join_restricted ? "r" : "", v->join_knock_restricted ? "b" : "");
		assert_string_equal(joins, f->joins);
		assert_int_equal(v->refs_with_hashes, f->pairs);
		assert_int_equal(v->redacts_in_content, f->redacts_in_content);
		assert_int_equal(v->room_id_is_create_hash, f->hash_is_room);
		assert_int_equal(v->event_id, f->id);
		assert_int_equal(v->strict_json, f->strict);
		assert_true(v->max_depth == f->depth);
		assert_int_equal(v->key_validity, f->validity);
		assert_int_equal(v->redaction, f->redaction);
		assert_int_equal(v->redaction_needs_power, f->needs_power);
		assert_int_equal(v->rule_aliases, f->aliases);
		assert_int_equal(v->rule_notifications, f->notifications);
		assert_int_equal(v->rule_creator_in_content, f->content_creator);
		assert_int_equal(v->rule_creators, f->creators);
		assert_int_equal(mx_room_version_creators(v), f->creators);
		assert_int_equal(v->levels, f->levels);
		assert_int_equal(v->resolution, f->resolution);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(all_versions_are_known_and_no_others),
		unit_case(twelve_is_the_default),
		unit_case(each_version_has_its_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
