/* Events: what one answers, how clients get it, and what is not taken for one. */
#include "tests/unit/room/events.h"

#define HASHES "\"hashes\":{\"sha256\":\"x\"}"

static struct mx_event *
from_json(const char *version, const char *json)
{
	struct mx_event_row row = { .version = version_of(version),
				    .json = mx_str_of(json),
				    .id = MX_S("$id"),
				    .nid = 3,
				    .device = 5,
				    .txn_id = MX_S("m\"1") };
	struct mx_event *ev = NULL;

	unit_ok(mx_event_from_row(&row, &ev));
	return ev;
}

static void
an_event_answers_from_its_bytes(void **state)
{
	MX_AUTO(mx_event) *ev = from_json(
		"11", "{\"auth_events\":[\"$a\",\"$b\"],\"content\":{\"m.relates_to\":{\"event_"
		      "id\":\"$r\","
		      "\"rel_type\":\"m.thread\"},\"membership\":\"join\"},\"depth\":12," HASHES
		      ",\"origin_server_ts\":34,"
		      "\"prev_events\":[\"$p\"],\"room_id\":\"!r:a\",\"sender\":\"@a:a\",\"state_"
		      "key\":\"@a:a\",\"type\":\"m.room.member\"}");
	struct mx_event_ids it;
	mx_str id, rel;

	(void)state;
	unit_text(mx_event_id(ev), "$id");
	unit_text(mx_event_type(ev), "m.room.member");
	unit_text(mx_event_sender(ev), "@a:a");
	unit_text(mx_event_room_id(ev), "!r:a");
	unit_text(mx_event_state_key(ev), "@a:a");
	unit_text(mx_event_txn_id(ev), "m\"1");
	assert_true(mx_event_is_state(ev));
	assert_int_equal(mx_event_depth(ev), 12);
	assert_int_equal(mx_event_ts(ev), 34);
	assert_int_equal(mx_event_membership(ev), MX_MEMBER_JOIN);
	assert_true(mx_event_relation(ev, &rel, &id));
	unit_text(rel, "m.thread");
	unit_text(id, "$r");
	it = mx_event_auth(ev);
	assert_true(mx_event_ids_next(&it, &id));
	unit_text(id, "$a");
	assert_true(mx_event_ids_next(&it, &id));
	unit_text(id, "$b");
	assert_false(mx_event_ids_next(&it, &id));
	assert_int_equal(mx_event_prev_count(ev), 1);
}

static void
what_an_event_lacks_is_empty(void **state)
{
	MX_AUTO(mx_event) *ev = from_json(
		"12", "{\"content\":{\"m.relates_to\":{\"m.in_reply_to\":{\"event_id\":\"$x\"}}},"
		      "\"sender\":\"@a:a\",\"type\":\"m.room.message\"}");
	struct mx_event_ids it = mx_event_prev(ev);
	mx_str id, rel;

	(void)state;
	assert_false(mx_event_is_state(ev));
	assert_null(mx_event_state_key(ev).p);
	assert_null(mx_event_room_id(ev).p);
	assert_null(mx_event_redacts(ev).p);
	assert_false(mx_event_relation(ev, &rel, &id));
	assert_false(mx_event_ids_next(&it, &id));
	assert_int_equal(mx_event_membership(ev), MX_MEMBER_NONE);
}

static void
an_empty_state_key_is_a_state_key(void **state)
{
	MX_AUTO(mx_event) *ev = from_json(
		"12", "{\"content\":{},\"sender\":\"@a:a\",\"state_key\":\"\",\"type\":\"x\"}");

	(void)state;
	assert_true(mx_event_is_state(ev));
	assert_non_null(mx_event_state_key(ev).p);
	assert_int_equal(mx_event_state_key(ev).n, 0);
}

static void
escaped_strings_are_decoded_and_leave_as_they_came(void **state)
{
	MX_AUTO(mx_event) *ev = from_json(
		"12",
		"{\"content\":{\"m.relates_to\":{\"event_id\":\"$\\\\\",\"rel_type\":\"a\\tb\"}},"
		"\"origin_server_ts\":1,\"room_id\":\"!r\",\"sender\":\"@\\u0001:a\",\"state_key\":"
		"\"\\\"\\\\\\n\",\"type\":\"t\\b\"}");
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	const struct mx_event_view view = { .with_room_id = true };
	mx_str rel, id;

	(void)state;
	unit_text(mx_event_sender(ev), "@\001:a");
	unit_text(mx_event_state_key(ev), "\"\\\n");
	unit_text(mx_event_type(ev), "t\b");
	assert_true(mx_event_relation(ev, &rel, &id));
	unit_text(rel, "a\tb");
	unit_text(id, "$\\");
	mx_event_client(ev, &view, b);
	assert_non_null(strstr(
		mx_buf_cstr(b),
		"\"sender\":\"@\\u0001:a\",\"state_key\":\"\\\"\\\\\\n\",\"type\":\"t\\b\""));
}

/* ---- for clients ---- */

/* The client format with the age, which moves, set to 0. */
static void
expect_client(const struct mx_event *ev, const struct mx_event_view *view, const char *expected)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO_JSON *is = NULL, *should = NULL;
	json_t *unsigned_;

	mx_event_client(ev, view, b);
	unit_ok(mx_json_parse(mx_buf_view(b), &is));
	unit_ok(mx_json_parse(mx_str_of(expected), &should));
	unsigned_ = json_object_get(is, "unsigned");
	assert_true(json_integer_value(json_object_get(unsigned_, "age")) > 1000000);
	json_object_set_new(unsigned_, "age", json_integer(0));
	unsigned_ = json_object_get(unsigned_, "redacted_because");
	if (unsigned_ != NULL)
		json_object_set_new(json_object_get(unsigned_, "unsigned"), "age", json_integer(0));
	if (!json_equal(is, should))
		fail_msg("%s\nis not\n%s", mx_buf_cstr(b), expected);
}

#define MESSAGE "{\"content\":{\"body\":\"hi\"},\"depth\":1,\"origin_server_ts\":5,\"prev_events\":[\"$p\"],\"room_id\":\"!r\"," \
	"\"sender\":\"@a:a\",\"type\":\"m.room.message\"}"

static void
clients_get_the_event_with_its_age(void **state)
{
	MX_AUTO(mx_event) *ev = from_json("12", MESSAGE);

	(void)state;
	expect_client(ev, &(struct mx_event_view){ 0 },
		      "{\"content\":{\"body\":\"hi\"},\"event_id\":\"$id\",\"origin_server_ts\":5,"
		      "\"sender\":\"@a:a\","
		      "\"type\":\"m.room.message\",\"unsigned\":{\"age\":0}}");
	expect_client(ev,
		      &(struct mx_event_view){ .with_room_id = true,
					       .membership = MX_MEMBER_JOIN,
					       .unsigned_more = MX_S("\"x\":{\"y\":1}") },
		      "{\"content\":{\"body\":\"hi\"},\"event_id\":\"$id\",\"origin_server_ts\":5,"
		      "\"room_id\":\"!r\","
		      "\"sender\":\"@a:a\",\"type\":\"m.room.message\","
		      "\"unsigned\":{\"age\":0,\"membership\":\"join\",\"x\":{\"y\":1}}}");
}

static void
only_the_sending_device_sees_its_transaction(void **state)
{
	MX_AUTO(mx_event) *ev = from_json("12", MESSAGE);

	(void)state;
	expect_client(ev, &(struct mx_event_view){ .device = 5 },
		      "{\"content\":{\"body\":\"hi\"},\"event_id\":\"$id\",\"origin_server_ts\":5,"
		      "\"sender\":\"@a:a\","
		      "\"type\":\"m.room.message\",\"unsigned\":{\"age\":0,\"transaction_id\":"
		      "\"m\\\"1\"}}");
	expect_client(ev, &(struct mx_event_view){ .device = 6 },
		      "{\"content\":{\"body\":\"hi\"},\"event_id\":\"$id\",\"origin_server_ts\":5,"
		      "\"sender\":\"@a:a\","
		      "\"type\":\"m.room.message\",\"unsigned\":{\"age\":0}}");
}

static void
what_an_event_replaced_and_what_redacted_it_stand_in_unsigned(void **state)
{
	MX_AUTO(mx_event) *ev = from_json("12", MESSAGE);
	MX_AUTO(mx_event) *previous = make_event((struct spec){
		.id = "$old", .type = "x", .key = "", .sender = "bob", .content = "{\"a\":1}" });
	MX_AUTO(mx_event) *redaction =
		make_event((struct spec){ .id = "$red",
					  .type = "m.room.redaction",
					  .sender = "bob",
					  .content = "{\"redacts\":\"$id\"}" });

	(void)state;
	expect_client(ev, &(struct mx_event_view){ .previous = previous, .redaction = redaction },
		      "{\"content\":{\"body\":\"hi\"},\"event_id\":\"$id\",\"origin_server_ts\":5,"
		      "\"sender\":\"@a:a\","
		      "\"type\":\"m.room.message\",\"unsigned\":{\"age\":0,\"prev_content\":{\"a\":"
		      "1},\"prev_sender\":\"@bob:a\","
		      "\"replaces_state\":\"$old\",\"redacted_because\":{\"content\":{\"redacts\":"
		      "\"$id\"},\"event_id\":\"$red\","
		      "\"origin_server_ts\":0,\"redacts\":\"$id\",\"sender\":\"@bob:a\",\"type\":"
		      "\"m.room.redaction\","
		      "\"unsigned\":{\"age\":0}}}}");
}

static void
redactions_say_both_ways_what_they_redact(void **state)
{
	static const struct {
		const char *version, *content, *top, *client_content;
	} cases[] = {
		{ "12", "{\"redacts\":\"$x\"}", "", "{\"redacts\":\"$x\"}" },
		{ "11", "{\"reason\":\"r\",\"redacts\":\"$x\"}", "",
		  "{\"reason\":\"r\",\"redacts\":\"$x\"}" },
		{ "10", "{}", ",\"redacts\":\"$x\"", "{\"redacts\":\"$x\"}" },
		{ "10", "{\"reason\":\"r\"}", ",\"redacts\":\"$x\"",
		  "{\"reason\":\"r\",\"redacts\":\"$x\"}" },
		{ "10", "{\"redacts\":\"$y\"}", ",\"redacts\":\"$x\"", "{\"redacts\":\"$y\"}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char json[512], expected[512];
		MX_AUTO(mx_event) *ev = NULL;

		snprintf(json, sizeof(json),
			 "{\"content\":%s,\"origin_server_ts\":5%s,\"room_id\":\"!r\",\"sender\":"
			 "\"@a:a\","
			 "\"type\":\"m.room.redaction\"}",
			 cases[i].content, cases[i].top);
		snprintf(expected, sizeof(expected),
			 "{\"content\":%s,\"event_id\":\"$id\",\"origin_server_ts\":5,\"redacts\":"
			 "\"$x\","
			 "\"sender\":\"@a:a\",\"type\":\"m.room.redaction\",\"unsigned\":{\"age\":"
			 "0}}",
			 cases[i].client_content);
		ev = from_json(cases[i].version, json);
		unit_text(mx_event_redacts(ev), "$x");
		expect_client(ev, &(struct mx_event_view){ 0 }, expected);
	}
}

static void
only_redactions_redact(void **state)
{
	MX_AUTO(mx_event) *old = from_json(
		"10", "{\"content\":{},\"redacts\":\"$x\",\"sender\":\"@a:a\",\"type\":\"x\"}");
	MX_AUTO(mx_event) *new = from_json(
		"12", "{\"content\":{\"redacts\":\"$x\"},\"sender\":\"@a:a\",\"type\":\"x\"}");
	MX_AUTO(mx_event) *number = from_json(
		"12",
		"{\"content\":{\"redacts\":1},\"sender\":\"@a:a\",\"type\":\"m.room.redaction\"}");

	(void)state;
	assert_null(mx_event_redacts(old).p);
	assert_null(mx_event_redacts(new).p);
	assert_null(mx_event_redacts(number).p);
}

static void
stripped_state_is_four_members(void **state)
{
	MX_AUTO(mx_event) *ev = make_event((struct spec){ .type = "m.room.name",
							  .key = "",
							  .sender = "alice",
							  .content = "{\"name\":\"n\"}" });
	MX_AUTO(mx_buf) *b = mx_buf_new(0);

	(void)state;
	mx_event_stripped(ev, b);
	assert_string_equal(
		mx_buf_cstr(b),
		"{\"content\":{\"name\":\"n\"},\"sender\":\"@alice:a\",\"state_key\":\"\","
		"\"type\":\"m.room.name\"}");
}

/* ---- from strangers ---- */

#define PARTS(auth, content, depth, hashes, ts, prev, room, sender, signatures, type)                                     \
	"{\"auth_events\":" auth ",\"content\":" content ",\"depth\":" depth ",\"hashes\":" hashes                         \
	",\"origin_server_ts\":" ts ",\"prev_events\":" prev ",\"room_id\":" room ",\"sender\":" sender                    \
	",\"signatures\":" signatures ",\"type\":" type "}"

#define SHA "{\"sha256\":\"x\"}"
#define IDS11 "[\"$1\",\"$2\",\"$3\",\"$4\",\"$5\",\"$6\",\"$7\",\"$8\",\"$9\",\"$a\",\"$b\"]"
#define LONG64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define LONG256 LONG64 LONG64 LONG64 LONG64

static void
a_strangers_event_is_checked(void **state)
{
	static const struct {
		const char *json, *refused;
	} cases[] = {
		{ PARTS("[]", "{}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  NULL },
		{ PARTS("[\"$a\"]", "{}", "9007199254740991", SHA, "1", "[\"$a\",\"$b\"]", "\"!r\"",
			"\"@a:a\"", "{\"a\":{\"ed25519:1\":\"x\"}}", "\"x\""),
		  NULL },
		{ "", "" },
		{ "{}", "type" },
		{ "[]", "not an object" },
		{ "{\"type\":\"x\"", "" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}", "1"), "type" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}",
			"\"" LONG256 "\""),
		  "longer than 255" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[]", "\"!r\"", "\"a\"", "{}", "\"x\""),
		  "sender is not" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[]", "\"r\"", "\"@a:a\"", "{}", "\"x\""),
		  "room_id is not" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[]", "null", "\"@a:a\"", "{}", "\"x\""),
		  "room_id" },
		{ PARTS("[]", "{}", "-1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "depth" },
		{ PARTS("[]", "{}", "9007199254740992", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}",
			"\"x\""),
		  "depth" },
		{ PARTS("[]", "{}", "\"1\"", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "depth" },
		{ PARTS("[]", "{}", "1", SHA, "null", "[]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "origin_server_ts" },
		{ PARTS("[]", "{}", "1", SHA, "9007199254740992", "[]", "\"!r\"", "\"@a:a\"", "{}",
			"\"x\""),
		  "2^53" },
		{ PARTS("[]", "[]", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "content" },
		{ PARTS("[]", "{\"x\":1.5}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}",
			"\"x\""),
		  "no integer" },
		{ PARTS("[]", "{\"x\":[1.0]}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}",
			"\"x\""),
		  "no integer" },
		{ PARTS("[]", "{\"x\":1e3}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}",
			"\"x\""),
		  "no integer" },
		{ PARTS("[]", "{}", "1", "{}", "1", "[]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "sha256" },
		{ PARTS("[]", "{}", "1", "[]", "1", "[]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "hashes" },
		{ PARTS("{}", "{}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "auth_events" },
		{ PARTS(IDS11, "{}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "more than 10" },
		{ PARTS("[]", "{}", "1", SHA, "1", IDS11, "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  NULL },
		{ PARTS("[]", "{}", "1", SHA, "1", "[1]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "prev_events" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[\"a\"]", "\"!r\"", "\"@a:a\"", "{}", "\"x\""),
		  "prev_events" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[\"$a\\\"\"]", "\"!r\"", "\"@a:a\"", "{}",
			"\"x\""),
		  "prev_events" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[[\"$a\",{}]]", "\"!r\"", "\"@a:a\"", "{}",
			"\"x\""),
		  "prev_events" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "[]", "\"x\""),
		  "signatures" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{\"a\":1}",
			"\"x\""),
		  "signatures" },
		{ PARTS("[]", "{}", "1", SHA, "1", "[]", "\"!r\"", "\"@a:a\"", "{\"a\":{\"k\":1}}",
			"\"x\""),
		  "signature" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		MX_AUTO(mx_event) *ev = NULL;
		mx_error *e = mx_event_from_bytes(version_of("12"), mx_str_of(cases[i].json), &ev);

		if ((e != NULL) != (cases[i].refused != NULL))
			fail_msg("row %zu: %s", i, e != NULL ? mx_error_text(e) : "accepted");
		if (e != NULL && strstr(mx_error_text(e), cases[i].refused) == NULL)
			fail_msg("row %zu: '%s', not '%s'", i, mx_error_text(e), cases[i].refused);
		mx_error_free(&e);
	}
}

static void
a_strangers_event_becomes_canonical_without_unsigned(void **state)
{
	MX_AUTO(mx_event) *ev = NULL;

	(void)state;
	unit_ok(mx_event_from_bytes(
		version_of("12"),
		MX_S(" { \"type\" : \"x\", \"unsigned\":{\"age\":1.5}, \"sender\":\"@a:a\","
		     "\"room_id\":\"!r\", \"prev_events\":[], \"origin_server_ts\":1, "
		     "\"hashes\":{\"sha256\":\"x\"}, \"depth\":1,"
		     "\"content\":{\"b\":\"\\u00e4\\/\",\"a\":-1}, \"auth_events\":[], "
		     "\"signatures\":{} }"),
		&ev));
	unit_text(mx_event_json(ev),
		  "{\"auth_events\":[],\"content\":{\"a\":-1,\"b\":\"\xc3\xa4/\"},\"depth\":1,"
		  "\"hashes\":{\"sha256\":\"x\"},\"origin_server_ts\":1,\"prev_events\":[],\"room_"
		  "id\":\"!r\",\"sender\":\"@a:a\","
		  "\"signatures\":{},\"type\":\"x\"}");
	assert_int_equal(mx_event_id(ev).n, 44);
	assert_int_equal(mx_event_id(ev).p[0], '$');
}

/* A space in front is what canonical JSON never has. */
static void
what_is_canonical_already_becomes_the_same_event(void **state)
{
#define HEAD                                                                                       \
	"{\"auth_events\":[\"$a\"],\"content\":{\"body\":\"\\n\xc3\xa4\"},\"depth\":1,"                     \
	"\"hashes\":{\"sha256\":\"x\"},\"origin_server_ts\":1,\"prev_events\":[\"$p\"],"               \
	"\"room_id\":\"!r:a\",\"sender\":\"@a:a\",\"signatures\":{\"a\":{\"ed25519:1\":\"x\"}},"       \
	"\"state_key\":\"\",\"type\":\"x\""
	static const char *const cases[] = {
		HEAD "}",
		HEAD ",\"unsigned\":{\"age\":5}}",
		HEAD ",\"unsigned\":{\"age\":5},\"z\":[]}",
		HEAD ",\"z\":1}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t v = 0; v < sizeof(all_versions) / sizeof(all_versions[0]); v++) {
			const struct mx_room_version *version = version_of(all_versions[v]);
			MX_AUTO(mx_event) *one = NULL, *other = NULL;
			MX_AUTO(mx_buf) *slow = mx_buf_new(0), *b = mx_buf_new(0);
			mx_str quick;

			mx_buf_printf(slow, " %s", cases[i]);
			if (version->refs_with_hashes)
				continue;
			assert_true(mx_event_quick(version, mx_str_of(cases[i]), b, &quick));
			assert_false(mx_event_quick(version, mx_buf_view(slow), b, &quick));
			unit_ok(mx_event_from_bytes(version, mx_str_of(cases[i]), &one));
			unit_ok(mx_event_from_bytes(version, mx_buf_view(slow), &other));
			assert_true(mx_str_eq(mx_event_json(one), mx_event_json(other)));
			assert_true(mx_str_eq(mx_event_id(one), mx_event_id(other)));
			assert_true(mx_str_eq(mx_event_room_id(one), mx_event_room_id(other)));
		}
#undef HEAD
}

static void
the_largest_event_has_65536_bytes(void **state)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	const char *head = "{\"auth_events\":[],\"content\":{\"x\":\"";
	const char *tail =
		"\"},\"depth\":1,\"hashes\":{\"sha256\":\"x\"},\"origin_server_ts\":1,\"prev_"
		"events\":[],"
		"\"room_id\":\"!r\",\"sender\":\"@a:a\",\"signatures\":{},\"type\":\"x\"}";

	(void)state;
	for (size_t size = MX_EVENT_MAX; size <= MX_EVENT_MAX + 1; size++) {
		MX_AUTO(mx_event) *ev = NULL;

		mx_buf_truncate(b, 0);
		mx_buf_str(b, mx_str_of(head));
		while (mx_buf_view(b).n + strlen(tail) < size)
			mx_buf_byte(b, 'x');
		mx_buf_str(b, mx_str_of(tail));
		if (size == MX_EVENT_MAX)
			unit_ok(mx_event_from_bytes(version_of("12"), mx_buf_view(b), &ev));
		else
			unit_refused(mx_event_from_bytes(version_of("12"), mx_buf_view(b), &ev),
				     MX_E_TOO_LARGE);
	}
}

static void
a_create_event_of_version_12_names_its_room(void **state)
{
	static const char json[] =
		"{\"auth_events\":[],\"content\":{},\"depth\":1,\"hashes\":{\"sha256\":\"x\"},"
		"\"origin_server_ts\":1,\"prev_events\":[],\"sender\":\"@a:a\",\"signatures\":{},"
		"\"state_key\":\"\","
		"\"type\":\"m.room.create\"}";
	MX_AUTO(mx_event) *ev = NULL, *old = NULL;

	(void)state;
	unit_ok(mx_event_from_bytes(version_of("12"), MX_S(json), &ev));
	assert_int_equal(mx_event_room_id(ev).p[0], '!');
	assert_memory_equal(mx_event_room_id(ev).p + 1, mx_event_id(ev).p + 1, 43);
	unit_refused(mx_event_from_bytes(version_of("11"), MX_S(json), &old), MX_E_MISSING_PARAM);
}

/* What one version takes and another does not. */
static void
each_version_has_its_format(void **state)
{
#define HEAD ",\"hashes\":{\"sha256\":\"x\"},\"origin_server_ts\":1,"
#define NAMES "\"room_id\":\"!r:x\",\"sender\":\"@a:a\",\"signatures\":{},\"type\":\"x\"}"
#define REFS(ref) \
	"{\"auth_events\":[" ref "],\"content\":{},\"depth\":1" HEAD \
	"\"prev_events\":[" ref "]," NAMES
#define WITH_ID(id) \
	"{\"auth_events\":[],\"content\":{},\"depth\":1,\"event_id\":" id HEAD \
	"\"prev_events\":[]," NAMES
#define PAIRS(pair) \
	"{\"auth_events\":[" pair "],\"content\":{},\"depth\":1,\"event_id\":\"$me:x\"" HEAD \
	"\"prev_events\":[]," NAMES
#define CONTENT(content, depth) \
	"{\"auth_events\":[],\"content\":" content ",\"depth\":" depth ",\"event_id\":\"$me:x\"" HEAD \
	"\"prev_events\":[]," NAMES
	static const struct {
		const char *which, *json, *refused;
	} cases[] = {
		/* references */
		{ "3-", REFS("\"$a\""), NULL },
		{ "3-", REFS("[\"$a:x\",{\"sha256\":\"y\"}]"), "list of event ids" },
		{ "1-2", WITH_ID("\"$me:x\""), NULL },
		{ "1-2", REFS("\"$a:x\""), "event_id" },
		{ "1-2", PAIRS("[\"$a:x\",{\"sha256\":\"y\"}]"), NULL },
		{ "1-2", PAIRS("\"$a:x\""), "list of ids and hashes" },
		{ "1-2", PAIRS("[\"$a:x\"]"), "list of ids and hashes" },
		{ "1-2", PAIRS("[1,{}]"), "list of event ids" },
		/* ids: without a server nobody could say whose signature they need */
		{ "1-2", WITH_ID("\"$me\""), "event_id is not an event id" },
		{ "1-2", WITH_ID("\"me:x\""), "event_id is not an event id" },
		{ "1-2", WITH_ID("1"), "event_id" },
		{ "1-2", WITH_ID("\"$m\\\"e:x\""), "event_id is not an event id" },
		/* anybody may say anything, and it counts for nothing */
		{ "3-", WITH_ID("\"$me:x\""), NULL },
		/* numbers */
		{ "1-5", CONTENT("{\"n\":1.5}", "1"), NULL },
		{ "1-5", CONTENT("{\"n\":[1e10,1.0,-0.0,9007199254740992]}", "1"), NULL },
		{ "6-", CONTENT("{\"n\":1.5}", "1"), "no integer" },
		{ "6-", CONTENT("{\"n\":1e10}", "1"), "no integer" },
		{ "6-", CONTENT("{\"n\":1.0}", "1"), "no integer" },
		{ "6-", CONTENT("{\"n\":9007199254740992}", "1"), "beyond 2^53" },
		{ NULL, CONTENT("{\"n\":9007199254740991}", "1"), NULL },
		{ NULL, CONTENT("{\"n\":1e999}", "1"), "" },
		/* depth */
		{ "1-5", CONTENT("{}", "9223372036854775807"), NULL },
		{ "6-", CONTENT("{}", "9007199254740991"), NULL },
		{ "6-", CONTENT("{}", "9007199254740992"), "depth" },
		{ NULL, CONTENT("{}", "1.0"), "depth" },
		{ NULL, CONTENT("{}", "-1"), "depth" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t v = 0; v < ALL_VERSIONS; v++) {
			MX_AUTO(mx_event) *ev = NULL;
			mx_error *e = NULL;

			if (!is_version(cases[i].which, all_versions[v]))
				continue;
			e = mx_event_from_bytes(version_of(all_versions[v]),
						mx_str_of(cases[i].json), &ev);
			if ((e != NULL) != (cases[i].refused != NULL))
				fail_msg("row %zu, version %s: %s", i, all_versions[v],
					 e != NULL ? mx_error_text(e) : "accepted");
			if (e != NULL && strstr(mx_error_text(e), cases[i].refused) == NULL)
				fail_msg("row %zu, version %s: '%s', not '%s'", i, all_versions[v],
					 mx_error_text(e), cases[i].refused);
			mx_error_free(&e);
		}
	}
}

static void
old_references_are_read_out_of_their_pairs(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		MX_AUTO(mx_event) *ev = NULL;
		struct mx_event_ids it;
		mx_str id;

		unit_ok(mx_event_from_bytes(
			version_of(all_versions[i]),
			MX_S("{\"auth_events\":[[\"$a:x\",{\"sha256\":\"y\"}],[\"$b:x\",{}]],"
			     "\"content\":{},\"depth\":1,\"event_id\":\"$me:x\"" HEAD
			     "\"prev_events\":[]," NAMES),
			&ev));
		unit_text(mx_event_id(ev), "$me:x");
		it = mx_event_auth(ev);
		assert_true(mx_event_ids_next(&it, &id));
		unit_text(id, "$a:x");
		assert_true(mx_event_ids_next(&it, &id));
		unit_text(id, "$b:x");
		assert_false(mx_event_ids_next(&it, &id));
	}
}

/* Old events were signed as Python writes them. */
/* Some servers carry any integer: who could not would lose what follows such an event. */
static void
integers_of_any_size_are_carried_in_old_rooms(void **state)
{
	static const char json[] = CONTENT(
		"{\"z\": [12345678901234567890 , -98765432109876543210,1e2, -0,1],\n\"\\u0061\": {"
		"\"n\":9223372036854775808, \"s\":\"12345678901234567890 \\\" {\\u00e4\", \"e\":{}, \"f\":"
		"[], \"t\": true}}", "1");
	static const char canonical[] =
		"{\"a\":{\"e\":{},\"f\":[],\"n\":9223372036854775808,\"s\":\"12345678901234567890 \\\" "
		"{\xc3\xa4\",\"t\":true},\"z\":[12345678901234567890,-98765432109876543210,100.0,0,1]}";

	(void)state;
	for (size_t v = 0; v < ALL_VERSIONS; v++) {
		MX_AUTO(mx_event) *ev = NULL, *again = NULL, *redacted = NULL;
		MX_AUTO_JSON *content = NULL;

		if (is_version("6-", all_versions[v])) {
			unit_refused(mx_event_from_bytes(version_of(all_versions[v]), MX_S(json),
							 &ev),
				     MX_E_BAD_JSON);
			continue;
		}
		unit_ok(mx_event_from_bytes(version_of(all_versions[v]), MX_S(json), &ev));
		unit_text(mx_event_content(ev), canonical);
		unit_ok(mx_event_from_bytes(ev->version, mx_event_json(ev), &again));
		assert_true(mx_str_eq(mx_event_json(again), mx_event_json(ev)));
		assert_true(mx_str_eq(mx_event_id(again), mx_event_id(ev)));
		redacted = mx_event_redact(ev);
		unit_text(mx_event_content(redacted), "{}");
		/* whoever wants a tree gets numbers near those */
		content = mx_event_content_parse(ev);
		assert_true(json_real_value(json_object_get(json_object_get(content, "a"), "n")) ==
			    0x1p63);
	}
}

static void
what_is_no_json_is_none_with_large_numbers_either(void **state)
{
	static const char *const bad[] = { "{\"n\":12345678901234567890", "{\"n\":00012345678901234567890}",
					   "{\"n\":1234567890123456789012-}",
					   "{\"n\":12345678901234567890,\"n\":1}",
					   "{\"n\":12345678901234567890e9999}",
					   "{\"a\":1e999,\"n\":12345678901234567890}",
					   "{\"n\":12345678901234567890,\"s\":\"", "[12345678901234567890]" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mx_event *ev = NULL;

		assert_true(mx_error_drop(
			mx_event_from_bytes(version_of("1"), mx_str_of(bad[i]), &ev)));
		assert_null(ev);
	}
}

static void
old_numbers_are_kept_as_they_were_signed(void **state)
{
	MX_AUTO(mx_event) *ev = NULL;

	(void)state;
	unit_ok(mx_event_from_bytes(
		version_of("1"),
		MX_S(CONTENT("{\"n\":[1.0, 100000000000000000000.0, 1e-7, -0.0, 0.10, "
			     "-9223372036854775808, 12e2]}", "1")),
		&ev));
	unit_text(mx_event_content(ev),
		  "{\"n\":[1.0,1e+20,1e-07,-0.0,0.1,-9223372036854775808,1200.0]}");
}

/* Bytes of which the event can be made, and its redacted form cannot. */
static void
a_damaged_event_can_still_be_redacted(void **state)
{
	MX_AUTO(mx_event) *ev = from_json(
		"12", "{\"content\":{},\"sender\":\"@a:a\",\"state_key\":\"k\",\"type\":\"x\"}");
	MX_AUTO(mx_event) *redacted = NULL;

	(void)state;
	memset(ev->bytes, ' ', 3);
	redacted = mx_event_redact(ev);
	unit_text(mx_event_json(redacted),
		  "{\"content\":{},\"sender\":\"@a:a\",\"state_key\":\"k\",\"type\":\"x\"}");
	assert_true(mx_event_redacted(redacted));
}

static void
damaged_rows_are_refused(void **state)
{
	static const char whole[] = "{\"content\":{\"m.relates_to\":{\"rel_type\":\"x\\\\\"}},"
				    "\"sender\":\"@a:a\",\"type\":\"x\"}";

	(void)state;
	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		struct mx_event_row row = { .version = version_of("12"),
					    .json = { whole, n },
					    .id = MX_S("$x") };
		struct mx_event *ev = NULL;

		unit_refused(mx_event_from_row(&row, &ev), MX_E_UNKNOWN);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		unit_case(an_event_answers_from_its_bytes),
		unit_case(what_an_event_lacks_is_empty),
		unit_case(an_empty_state_key_is_a_state_key),
		unit_case(escaped_strings_are_decoded_and_leave_as_they_came),
		unit_case(clients_get_the_event_with_its_age),
		unit_case(only_the_sending_device_sees_its_transaction),
		unit_case(what_an_event_replaced_and_what_redacted_it_stand_in_unsigned),
		unit_case(redactions_say_both_ways_what_they_redact),
		unit_case(only_redactions_redact),
		unit_case(stripped_state_is_four_members),
		unit_case(a_strangers_event_is_checked),
		unit_case(a_strangers_event_becomes_canonical_without_unsigned),
		unit_case(what_is_canonical_already_becomes_the_same_event),
		unit_case(the_largest_event_has_65536_bytes),
		unit_case(a_create_event_of_version_12_names_its_room),
		unit_case(each_version_has_its_format),
		unit_case(old_references_are_read_out_of_their_pairs),
		unit_case(old_numbers_are_kept_as_they_were_signed),
		unit_case(integers_of_any_size_are_carried_in_old_rooms),
		unit_case(what_is_no_json_is_none_with_large_numbers_either),
		unit_case(a_damaged_event_can_still_be_redacted),
		unit_case(damaged_rows_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
