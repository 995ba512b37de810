/* The engine in every room version: whatever people do in a room, in each of the twelve. */
#include "config.h"

#include "tests/unit/room/house.h"

#include "core/room/hash.h"
#include "tests/unit/room/versions.h"

static void
set(struct mx_room *room, const char *type, const char *content)
{
	unit_ok(house_send(room, &alice, type, "", content, NULL));
}

static void
expect(mx_error *e, bool allowed, const char *what, const char *version)
{
	if (allowed && e != NULL)
		fail_msg("version %s: %s: %s", version, what, mx_error_text(e));
	if (!allowed && !mx_error_is(e, MX_E_FORBIDDEN))
		fail_msg("version %s: %s is not refused", version, what);
	mx_error_free(&e);
}

/* ---- what is stored ---- */

static bool
own_key(void *arg, mx_str server, mx_str key_id, mx_msec at, struct mx_verify_key *out)
{
	(void)arg;
	(void)key_id;
	out->valid_until = at;
	mx_signing_key_public(key, out->public_key);
	return mx_str_eq(server, MX_S(HOUSE_SERVER));
}

/* In versions 1 and 2 an event names what it follows by id and hash. */
static void
expect_reference(const struct mx_event *ev, const struct mx_event *before)
{
	MX_AUTO_JSON *json = NULL;
	unsigned char hash[MX_SHA256_SIZE];
	char text[MX_HASH_ID] = { 0 };
	const json_t *ref;

	unit_ok(mx_json_parse(mx_event_json(ev), &json));
	ref = json_array_get(json_object_get(json, "prev_events"), 0);
	if (!ev->version->refs_with_hashes) {
		assert_true(json_is_string(ref));
		return;
	}
	mx_event_reference_hash(before->version, mx_event_json(before), hash);
	mx_hash_base64(hash, text);
	unit_text(mx_json_str(json_array_get(ref, 1), "sha256"), text);
}

/* What other servers would make of the room: a chain of events that they accept. */
static void
expect_sound(struct mx_room *room)
{
	struct mx_events l = { 0 };
	bool more;

	unit_ok(mx_room_timeline(rooms, conn, room, 0, INT64_MAX, 10000, false, &l, &more));
	assert_false(more);
	for (size_t i = 0; i < l.n; i++) {
		const struct mx_event *ev = l.v[i];
		struct mx_event_ids it = mx_event_prev(ev);
		MX_AUTO(mx_event) *again = NULL;
		mx_str id;

		unit_ok(mx_verify_event(ev->version, mx_event_json(ev), own_key, NULL, &again));
		assert_true(mx_str_eq(mx_event_id(again), mx_event_id(ev)));
		assert_true(mx_event_redacted(ev) || mx_verify_hash(again));
		assert_int_equal(mx_event_depth(ev), (int64_t)i + 1);
		if (i == 0)
			continue;
		assert_true(mx_event_ids_next(&it, &id));
		assert_true(mx_str_eq(id, mx_event_id(l.v[i - 1])));
		assert_false(mx_event_ids_next(&it, &id));
		expect_reference(ev, l.v[i - 1]);
	}
	mx_events_clear(&l);
}

/* ---- what people do ---- */

static void
invite_join_kick_and_ban(struct mx_room *room, const char *v)
{
	set(room, "m.room.join_rules", "{\"join_rule\":\"invite\"}");
	expect(house_member(room, &bob, &bob, "join"), false, "joining uninvited", v);
	expect(house_member(room, &bob, &carol, "invite"), false, "inviting from outside", v);
	expect(house_member(room, &alice, &bob, "invite"), true, "inviting", v);
	expect(house_member(room, &bob, &bob, "join"), true, "joining when invited", v);
	expect(house_member(room, &bob, &alice, "leave"), false, "kicking without power", v);
	expect(house_member(room, &alice, &bob, "leave"), true, "kicking", v);
	expect(house_member(room, &alice, &bob, "ban"), true, "banning", v);
	expect(house_member(room, &alice, &bob, "invite"), false, "inviting who is banned", v);
	expect(house_member(room, &bob, &bob, "leave"), false, "lifting one's own ban", v);
	expect(house_member(room, &alice, &bob, "leave"), true, "lifting a ban", v);
	assert_int_equal(mx_room_joined_count(room), 1);
	assert_int_equal(mx_room_invited_count(room), 0);
}

static void
knock(struct mx_room *room, const char *v)
{
	bool knows = is_version("7-", v);

	set(room, "m.room.join_rules", "{\"join_rule\":\"knock\"}");
	expect(house_member(room, &bob, &bob, "knock"), knows, "knocking", v);
	expect(house_member(room, &bob, &bob, "join"), false, "joining without an answer", v);
	expect(house_member(room, &bob, &bob, "leave"), knows, "taking a knock back", v);
	set(room, "m.room.join_rules", "{\"join_rule\":\"knock_restricted\"}");
	expect(house_member(room, &bob, &bob, "knock"), is_version("10-", v),
	       "knocking in a restricted room", v);
	if (is_version("10-", v))
		expect(house_member(room, &alice, &bob, "leave"), true, "refusing a knock", v);
}

static void
join_restricted(struct mx_room *room, const char *v)
{
	char content[256];

	snprintf(content, sizeof(content),
		 "{\"join_authorised_via_users_server\":\"%s\",\"membership\":\"join\"}", alice.id);
	set(room, "m.room.join_rules",
	    "{\"allow\":[{\"room_id\":\"!x:y\",\"type\":\"m.room_membership\"}],\"join_rule\":"
	    "\"restricted\"}");
	expect(house_member(room, &carol, &carol, "join"), false, "joining with nobody's word", v);
	expect(house_send(room, &carol, "m.room.member", carol.id, content, NULL),
	       is_version("8-", v), "a restricted join", v);
	set(room, "m.room.join_rules", "{\"join_rule\":\"public\"}");
	expect(house_member(room, &carol, &carol, "join"), true, "joining a public room", v);
	expect(house_member(room, &bob, &bob, "join"), true, "joining a public room", v);
}

static void
power_levels(struct mx_room *room, const char *v)
{
	char content[512], users[256] = "";

	if (!is_version("12", v))
		snprintf(users, sizeof(users), "\"%s\":100,", alice.id);
	snprintf(content, sizeof(content), "{\"users\":{%s\"%s\":50}}", users, bob.id);
	expect(house_send(room, &bob, "m.room.power_levels", "", content, NULL), false,
	       "giving oneself power", v);
	set(room, "m.room.power_levels", content);
	assert_int_equal(mx_room_power(rooms, conn, room, mx_str_of(bob.id)), 50);
	expect(house_send(room, &bob, "m.room.name", "", "{\"name\":\"n\"}", NULL), true,
	       "naming the room", v);
	expect(house_send(room, &carol, "m.room.name", "", "{\"name\":\"n\"}", NULL), false,
	       "naming the room without power", v);
	expect(house_member(room, &bob, &alice, "ban"), false, "banning somebody above", v);
	/* only old versions read other than integers, and nobody here makes them */
	snprintf(content, sizeof(content), "{\"users\":{%s\"%s\":\"60\"}}", users, bob.id);
	unit_refused(house_send(room, &alice, "m.room.power_levels", "", content, NULL),
		     is_version("10-", v) ? MX_E_FORBIDDEN : MX_E_BAD_JSON);
}

static void
redact(struct mx_room *room, const char *v)
{
	MX_AUTO(mx_event) *ev = house_say(room, &carol, "secret"), *now = NULL, *by = NULL;
	MX_AUTO_JSON *content = house_json("{\"reason\":\"why\"}"), *shown = NULL;
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	struct mx_draft d = house_draft(&bob, "m.room.redaction", NULL, content);
	mx_str top, inside;

	d.redacts = mx_event_id(ev);
	expect(mx_room_send(rooms, conn, room, &d, 1, NULL), true, "redacting", v);
	unit_ok(mx_event_get(rooms, conn, mx_event_id(ev), &now));
	assert_true(mx_event_redacted(now));
	unit_text(mx_event_content(now), "{}");
	unit_ok(mx_event_redaction(rooms, conn, now, &by));
	assert_true(mx_str_eq(mx_event_redacts(by), mx_event_id(ev)));
	/* on the wire in one place, for clients in both */
	assert_int_equal(strstr(by->bytes, "\"redacts\"") < strstr(by->bytes, "\"depth\""),
			 is_version("11-", v));
	mx_event_client(by, &(struct mx_event_view){ 0 }, b);
	unit_ok(mx_json_parse(mx_buf_view(b), &shown));
	top = mx_json_str(shown, "redacts");
	inside = mx_json_str(json_object_get(shown, "content"), "redacts");
	assert_true(mx_str_eq(top, mx_event_id(ev)) && mx_str_eq(inside, mx_event_id(ev)));
}

static void
people_do_what_they_may_in_every_version(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		const char *v = all_versions[i];
		MX_AUTO(mx_room) *room = house_room(v, "shared"), *again = NULL;
		char id[256];

		invite_join_kick_and_ban(room, v);
		knock(room, v);
		join_restricted(room, v);
		power_levels(room, v);
		redact(room, v);
		expect_sound(room);
		/* and on from there, when all that is known is what was stored */
		snprintf(id, sizeof(id), "%.*s", MX_SFMT(mx_room_id(room)));
		mx_room_unref(&room);
		house_again();
		unit_ok(mx_room_get(rooms, conn, mx_str_of(id), &again));
		unit_text(mx_room_version_name(mx_room_version(again)), v);
		for (int n = 0; n < 3; n++) {
			MX_AUTO(mx_event) *ev = house_say(again, &carol, "more");

			unit_text(mx_event_room_id(ev), id);
		}
		expect_sound(again);
	}
}

static void
old_versions_take_numbers_that_new_ones_refuse(void **state)
{
	static const char *const contents[] = { "{\"n\":1.5}", "{\"n\":1.0}",
						"{\"n\":9007199254740992}" };

	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		MX_AUTO(mx_room) *room = house_room(all_versions[i], "shared");

		for (size_t k = 0; k < 3; k++) {
			MX_AUTO(mx_event) *ev = NULL;
			mx_error *e = house_send(room, &alice, "org.example.n", NULL, contents[k],
						 &ev);

			if (is_version("6-", all_versions[i])) {
				unit_refused(e, MX_E_BAD_JSON);
				continue;
			}
			unit_ok(e);
			unit_text(mx_event_content(ev), contents[k]);
		}
		expect_sound(room);
	}
}

int
main(void)
{
	static const struct CMUnitTest all_versions_of_rooms[] = {
		house_case(people_do_what_they_may_in_every_version),
		house_case(old_versions_take_numbers_that_new_ones_refuse),
	};

	return HOUSE_MAIN(all_versions_of_rooms);
}
