/* The table of room versions: what the specification says of each. Room Versions, "Feature matrix".
 */
#include "config.h"

#include "core/room/version.h"
#include "tests/unit/support/unit.h"

static void
versions_10_to_12_are_known(void **state)
{
	(void)state;
	for (int i = 10; i <= 12; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		assert_non_null(mx_room_version_find(mx_str_of(name)));
		unit_text(mx_room_version_name(mx_room_version_find(mx_str_of(name))), name);
	}
	assert_null(mx_room_version_find(MX_S("13")));
	assert_null(mx_room_version_find(MX_S("")));
	assert_null(mx_room_version_find(MX_S("12 ")));
	assert_null(mx_room_version_find(MX_S("org.example.12")));
}

static void
twelve_is_the_default(void **state)
{
	(void)state;
	unit_text(mx_room_version_name(mx_room_version_default()), "12");
}

static void
the_list_ends(void **state)
{
	size_t n = 0;

	(void)state;
	while (mx_room_version_at(n) != NULL)
		assert_true(mx_room_version_at(n++)->stable);
	assert_int_equal(n, 3);
	assert_null(mx_room_version_at(SIZE_MAX));
}

static void
each_version_has_its_rules(void **state)
{
	const struct mx_room_version *v10 = mx_room_version_find(MX_S("10")),
				     *v11 = mx_room_version_find(MX_S("11"));
	const struct mx_room_version *v12 = mx_room_version_find(MX_S("12"));

	(void)state;
	assert_true(v10->rule_creator_in_content && !v11->rule_creator_in_content &&
		    !v12->rule_creator_in_content);
	assert_true(!v10->redacts_in_content && v11->redacts_in_content && v12->redacts_in_content);
	assert_true(v10->redaction == MX_REDACTION_9 && v11->redaction == MX_REDACTION_11 &&
		    v12->redaction == MX_REDACTION_11);
	assert_true(v10->resolution == MX_RESOLUTION_2 && v11->resolution == MX_RESOLUTION_2);
	assert_true(v12->resolution == MX_RESOLUTION_2_1);
	assert_true(!v11->room_id_is_create_hash && v12->room_id_is_create_hash);
	assert_true(!mx_room_version_creators(v11) && mx_room_version_creators(v12));
	for (size_t i = 0; i < 3; i++) {
		const struct mx_room_version *v = mx_room_version_at(i);

		assert_true(v->strict_json && v->key_validity && v->max_depth == 9007199254740991);
		assert_true(v->event_id == MX_EVENT_ID_BASE64URL && v->levels == MX_LEVEL_INTEGERS);
		assert_true(v->join_knock && v->join_restricted && v->join_knock_restricted &&
			    v->rule_notifications);
		assert_false(v->refs_with_hashes || v->redaction_needs_power || v->rule_aliases);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(versions_10_to_12_are_known),
		unit_case(twelve_is_the_default),
		unit_case(the_list_ends),
		unit_case(each_version_has_its_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
