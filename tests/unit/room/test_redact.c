/* What a redaction leaves, by room version; and that trees and bytes are redacted alike. */
#include "tests/unit/room/events.h"

#include "core/room/redact.h"

struct redact_case {
	const char *version, *type, *content, *left;
};

static const struct redact_case contents[] = {
	{ NULL, "m.room.message", "{\"body\":\"x\",\"membership\":\"join\"}", "{}" },
	{ NULL, "m.room.name", "{\"name\":\"x\"}", "{}" },
	{ NULL, "m.room.name", "{}", "{}" },
	{ NULL, "m.room.history_visibility", "{\"history_visibility\":\"shared\",\"x\":1}",
	  "{\"history_visibility\":\"shared\"}" },
	{ NULL, "m.room.member",
	  "{\"avatar_url\":\"x\",\"displayname\":\"x\",\"membership\":\"join\"}",
	  "{\"membership\":\"join\"}" },
	{ "1-8", "m.room.member",
	  "{\"join_authorised_via_users_server\":\"@a:b\",\"membership\":\"join\"}",
	  "{\"membership\":\"join\"}" },
	{ "9-", "m.room.member",
	  "{\"join_authorised_via_users_server\":\"@a:b\",\"membership\":\"join\"}",
	  "{\"join_authorised_via_users_server\":\"@a:b\",\"membership\":\"join\"}" },
	{ "1-10", "m.room.member",
	  "{\"membership\":\"invite\",\"third_party_invite\":{\"signed\":{\"a\":1}}}",
	  "{\"membership\":\"invite\"}" },
	{ "11-", "m.room.member",
	  "{\"membership\":\"invite\",\"third_party_invite\":{\"display_name\":\"x\",\"signed\":{"
	  "\"a\":1}}}",
	  "{\"membership\":\"invite\",\"third_party_invite\":{\"signed\":{\"a\":1}}}" },
	{ "11-", "m.room.member", "{\"third_party_invite\":{\"display_name\":\"x\"}}",
	  "{\"third_party_invite\":{}}" },
	{ "11-", "m.room.member", "{\"third_party_invite\":\"x\"}", "{}" },
	{ "1-10", "m.room.create",
	  "{\"creator\":\"@a:b\",\"m.federate\":false,\"room_version\":\"10\"}",
	  "{\"creator\":\"@a:b\"}" },
	{ "11-", "m.room.create", "{\"creator\":\"@a:b\",\"m.federate\":false,\"x\":{\"y\":[1]}}",
	  "{\"creator\":\"@a:b\",\"m.federate\":false,\"x\":{\"y\":[1]}}" },
	{ "12", "m.room.create", "{\"additional_creators\":[\"@a:b\"]}",
	  "{\"additional_creators\":[\"@a:b\"]}" },
	{ "1-7", "m.room.join_rules",
	  "{\"allow\":[{\"x\":1}],\"join_rule\":\"restricted\",\"y\":2}",
	  "{\"join_rule\":\"restricted\"}" },
	{ "8-", "m.room.join_rules",
	  "{\"allow\":[{\"x\":1}],\"join_rule\":\"restricted\",\"y\":2}",
	  "{\"allow\":[{\"x\":1}],\"join_rule\":\"restricted\"}" },
	{ NULL, "m.room.power_levels",
	  "{\"ban\":1,\"events\":{\"x\":1},\"events_default\":1,\"kick\":1,\"notifications\":{},"
	  "\"redact\":1,\"state_default\":1,\"users\":{},\"users_default\":1}",
	  "{\"ban\":1,\"events\":{\"x\":1},\"events_default\":1,\"kick\":1,\"redact\":1,\"state_"
	  "default\":1,\"users\":{},\"users_default\":1}" },
	{ "1-10", "m.room.power_levels", "{\"invite\":1}", "{}" },
	{ "11-", "m.room.power_levels", "{\"invite\":1}", "{\"invite\":1}" },
	{ "1-5", "m.room.aliases", "{\"aliases\":[\"#a:b\"],\"x\":1}", "{\"aliases\":[\"#a:b\"]}" },
	{ "6-", "m.room.aliases", "{\"aliases\":[\"#a:b\"],\"x\":1}", "{}" },
	{ "1-10", "m.room.redaction", "{\"reason\":\"x\",\"redacts\":\"$a\"}", "{}" },
	{ "11-", "m.room.redaction", "{\"reason\":\"x\",\"redacts\":\"$a\"}",
	  "{\"redacts\":\"$a\"}" },
	{ "1-5", "m.room.power_levels", "{\"ban\":50.5,\"kick\":\"5\"}",
	  "{\"ban\":50.5,\"kick\":\"5\"}" },
};

static void
check_content(const char *version, const struct redact_case *c)
{
	const struct mx_room_version *v = version_of(version);
	MX_AUTO(mx_buf) *bytes = mx_buf_new(0);
	MX_AUTO(mx_buf) *tree = mx_buf_new(0);
	MX_AUTO_JSON *whole = NULL, *redacted = NULL;

	mx_redact_content(v, mx_str_of(c->type), mx_str_of(c->content), bytes);
	assert_string_equal(mx_buf_cstr(bytes), c->left);
	mx_buf_truncate(bytes, 0);
	mx_buf_printf(bytes, "{\"content\":%s,\"type\":\"%s\"}", c->content, c->type);
	unit_ok(mx_json_parse(mx_buf_view(bytes), &whole));
	redacted = mx_redact_json(v, whole);
	unit_ok(mx_json_canonical(json_object_get(redacted, "content"), v->strict_json, tree));
	assert_string_equal(mx_buf_cstr(tree), c->left);
}

static void
content_keeps_what_the_rules_need(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++)
		for (size_t k = 0; k < ALL_VERSIONS; k++)
			if (is_version(contents[i].version, all_versions[k]))
				check_content(all_versions[k], &contents[i]);
}

#define WHOLE                                                                                                          \
	"{\"auth_events\":[],\"content\":{\"body\":\"x\"},\"depth\":1,\"event_id\":\"$e\",\"hashes\":{\"sha256\":\"x\"},"    \
	"\"membership\":\"join\",\"more\":1,\"origin\":\"a\",\"origin_server_ts\":2,\"prev_events\":[],\"prev_state\":[],"   \
	"\"redacts\":\"$r\",\"room_id\":\"!r:a\",\"sender\":\"@a:a\",\"signatures\":{\"a\":{}},\"state_key\":\"\","          \
	"\"type\":\"x\",\"unsigned\":{\"age\":1}}"

static void
check_top(const char *version, bool signatures, const char *left)
{
	MX_AUTO(mx_buf) *bytes = mx_buf_new(0);
	MX_AUTO(mx_buf) *tree = mx_buf_new(0);
	MX_AUTO_JSON *whole = NULL, *redacted = NULL;

	mx_redact_bytes(version_of(version), MX_S(WHOLE), signatures, bytes);
	assert_string_equal(mx_buf_cstr(bytes), left);
	if (!signatures)
		return;
	unit_ok(mx_json_parse(MX_S(WHOLE), &whole));
	redacted = mx_redact_json(version_of(version), whole);
	unit_ok(mx_json_canonical(redacted, true, tree));
	assert_string_equal(mx_buf_cstr(tree), left);
}

#define LEFT(of_old, more_of_old, signatures)                                                      \
	"{\"auth_events\":[],\"content\":{},\"depth\":1,\"event_id\":\"$e\",\"hashes\":{"            \
	"\"sha256\":\"x\"}," of_old "\"origin_server_ts\":2,\"prev_events\":[]," more_of_old          \
	"\"room_id\":\"!r:a\",\"sender\":\"@a:a\"" signatures ",\"state_key\":\"\",\"type\":\"x\"}"

static void
the_top_level_keeps_what_makes_the_graph(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		const char *version = all_versions[i];

		if (is_version("1-10", version))
			check_top(version, true,
				  LEFT("\"membership\":\"join\",\"origin\":\"a\",",
				       "\"prev_state\":[],", ",\"signatures\":{\"a\":{}}"));
		else
			check_top(version, true, LEFT("", "", ",\"signatures\":{\"a\":{}}"));
	}
	check_top("12", false, LEFT("", "", ""));
}

static void
a_type_in_escapes_is_the_same_type(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	mx_redact_bytes(version_of("12"),
			MX_S("{\"content\":{\"join_rule\":\"x\"},\"type\":\"m.room.join_rules\"}"),
			true, b);
	assert_string_equal(mx_buf_cstr(b),
			    "{\"content\":{\"join_rule\":\"x\"},\"type\":\"m.room.join_rules\"}");
	mx_buf_truncate(b, 0);
	mx_redact_bytes(version_of("12"), MX_S("{\"content\":{\"a\":1},\"type\":\"a\\nb\"}"), true,
			b);
	assert_string_equal(mx_buf_cstr(b), "{\"content\":{},\"type\":\"a\\nb\"}");
}

static void
what_is_no_event_is_not_redacted(void **state)
{
	MX_AUTO_JSON *list = json_array();

	(void)state;
	assert_null(mx_redact_json(version_of("12"), list));
}

static void
a_redacted_event_keeps_its_id_and_place(void **state)
{
	MX_AUTO(mx_event) *ev = make_event((struct spec){ .id = "$x",
							  .type = "m.room.message",
							  .sender = "alice",
							  .content = "{\"body\":\"secret\"}",
							  .prev = "\"$a\"" });
	MX_AUTO(mx_event) *redacted = NULL;

	(void)state;
	ev->nid = 7;
	redacted = mx_event_redact(ev);
	unit_text(mx_event_id(redacted), "$x");
	unit_text(mx_event_room_id(redacted), ROOM);
	unit_text(mx_event_content(redacted), "{}");
	assert_int_equal(mx_event_nid(redacted), 7);
	assert_true(mx_event_redacted(redacted));
	assert_false(mx_event_redacted(ev));
	assert_null(strstr(redacted->bytes, "secret"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(content_keeps_what_the_rules_need),
		unit_case(the_top_level_keeps_what_makes_the_graph),
		unit_case(a_type_in_escapes_is_the_same_type),
		unit_case(what_is_no_event_is_not_redacted),
		unit_case(a_redacted_event_keeps_its_id_and_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
