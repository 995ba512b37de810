/* Events of other servers in rooms of every version: formats, forks, redactions. */
#include "config.h"

#include "tests/unit/room/remote.h"
#include "tests/unit/room/versions.h"

static const char *gina, *hugo;		/* of server 0 and 1 */

/* alice's room with gina and hugo in it, who may set state. */
static struct mx_room *
guest_room(const char *version, struct remote **last)
{
	struct mx_room *room = house_room(version, "shared");
	struct remote *join;
	char levels[512], creator[128] = "";

	gina = remote_user(0, "gina");
	hugo = remote_user(1, "hugo");
	if (!is_version("12", version))
		snprintf(creator, sizeof(creator), "\"%s\":100,", alice.id);
	snprintf(levels, sizeof(levels), "{\"redact\":60,\"users\":{%s\"%s\":50,\"%s\":50}}",
		 creator, gina, hugo);
	unit_ok(house_send(room, &alice, "m.room.power_levels", "", levels, NULL));
	join = remote_member(room, 0, gina, gina, "join", remote_of(room));
	remote_accepted(room, join);
	*last = remote_member(room, 1, hugo, hugo, "join", join);
	remote_accepted(room, *last);
	return room;
}

static bool
is_redacted(const struct remote *r)
{
	MX_AUTO(mx_event) *ev = NULL;

	unit_ok(mx_event_get(rooms, conn, mx_event_id(r->ev), &ev));
	return mx_event_redacted(ev);
}

static struct remote *
redact(struct mx_room *room, unsigned server, const char *who, const struct remote *target,
       struct remote *prev)
{
	static char ids[4][256];
	static unsigned next;
	char *id = ids[next++ % 4];

	snprintf(id, 256, "%.*s", MX_SFMT(mx_event_id(target->ev)));
	return remote_event(room, (struct remote_spec){ .server = server, .sender = who,
							.type = "m.room.redaction",
							.content = "{\"reason\":\"r\"}",
							.redacts = id, .prev = { prev } });
}

/* The ids count; nobody compares the hashes beside them (event_check.c). */
static void
hashes_beside_the_ids_are_not_compared(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		struct remote *last, *said;
		struct mx_room *room;

		if (!is_version("1-2", all_versions[i]))
			continue;
		room = guest_room(all_versions[i], &last);
		said = remote_event(room, (struct remote_spec){ .sender = gina,
								.type = "m.room.message",
								.content = "{}",
								.prev = { last },
								.wrong_hashes = true });
		remote_accepted(room, said);
		mx_room_unref(&room);
	}
}

/* A fork of two topics: after it the state has one of them, and our next event joins both ends as
 * the version wants it. */
static void
forks_are_joined(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		struct remote *last, *one, *two, *hers;
		struct mx_room *room = guest_room(all_versions[i], &last);
		MX_AUTO(mx_event) *topic = NULL, *joined = NULL, *again = NULL;
		MX_AUTO_JSON *json = NULL;

		one = remote_topic(room, 0, gina, "one", last);
		two = remote_topic(room, 1, hugo, "two", last);
		remote_accepted(room, one);
		remote_accepted(room, two);
		unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.topic"), MX_S(""), &topic));
		assert_non_null(topic);
		joined = house_say(room, &alice, "both");
		assert_int_equal(mx_event_prev_count(joined), 2);
		assert_int_equal(mx_event_depth(joined), mx_event_depth(one->ev) + 1);
		unit_ok(mx_event_from_bytes(joined->version, mx_event_json(joined), &again));
		assert_true(mx_str_eq(mx_event_id(again), mx_event_id(joined)));
		unit_ok(mx_json_parse(mx_event_json(joined), &json));
		for (size_t k = 0; is_version("1-2", all_versions[i]) && k < 2; k++) {
			const json_t *ref =
				json_array_get(json_object_get(json, "prev_events"), k);
			mx_str id = { json_string_value(json_array_get(ref, 0)),
				      json_string_length(json_array_get(ref, 0)) };
			const struct remote *r = mx_str_eq(id, mx_event_id(one->ev)) ? one : two;
			unsigned char hash[MX_SHA256_SIZE];
			char text[MX_HASH_ID] = { 0 };

			mx_event_reference_hash(r->ev->version, mx_event_json(r->ev), hash);
			mx_hash_base64(hash, text);
			assert_true(mx_str_eq(id, mx_event_id(r->ev)));
			unit_text(mx_json_str(json_array_get(ref, 1), "sha256"), text);
		}
		/* and others go on from there */
		hers = remote_say(room, 0, gina, remote_of(room));
		remote_accepted(room, hers);
		mx_room_unref(&room);
	}
}

/* Of a server's own events a redaction applies in every version. Of others' events it needs power:
 * that is a rule of versions 1 and 2, and otherwise decides whether it applies. */
static void
redactions_apply_as_their_version_says(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		struct remote *last, *said, *own, *bad;
		struct mx_room *room = guest_room(all_versions[i], &last);

		said = remote_say(room, 0, gina, last);
		remote_accepted(room, said);
		bad = redact(room, 1, hugo, said, said);
		if (is_version("1-2", all_versions[i]))
			remote_fate(room, bad, MX_FATE_REJECTED, MX_REASON_AUTH);
		else
			remote_accepted(room, bad);
		assert_false(is_redacted(said));
		own = redact(room, 0, gina, said, said);
		remote_accepted(room, own);
		assert_true(is_redacted(said));
		mx_room_unref(&room);
	}
}

/* What is no event of the room's version is none at all. */
static void
an_event_is_of_its_rooms_version(void **state)
{
	(void)state;
	for (size_t i = 0; i < ALL_VERSIONS; i++) {
		struct remote *last, *number;
		struct mx_room *room = guest_room(all_versions[i], &last), *other = NULL;
		struct remote *elsewhere;
		struct mx_arrival v;
		mx_str bytes;

		/* as a room of the next version would have it, where the format differs */
		if (is_version("2,10", all_versions[i])) {
			other = guest_room(all_versions[i + 1], &elsewhere);
			elsewhere = remote_say(other, 0, gina, elsewhere);
			bytes = mx_event_json(elsewhere->ev);
			unit_ok(mx_room_accept(rooms, conn, room, (mx_str){ NULL, 0 }, &bytes, 1,
					       &v));
			assert_true(v.fate == MX_FATE_DROPPED || v.fate == MX_FATE_WAITING);
			mx_arrivals_clear(&v, 1);
			mx_room_unref(&other);
		}
		if (is_version("1-5", all_versions[i])) {
			number = remote_event(room, (struct remote_spec){
							    .server = 0, .sender = gina,
							    .type = "m.room.message",
							    .content = "{\"n\":1.5,\"m\":1e20}",
							    .prev = { last } });
			remote_accepted(room, number);
		}
		mx_room_unref(&room);
	}
}

static int
end(void **state)
{
	remote_clear();
	return house_end(state);
}

#define version_case(fn) cmocka_unit_test_setup_teardown(fn, house_begin, end)

int
main(void)
{
	static const struct CMUnitTest accepting_in_all_versions[] = {
		version_case(hashes_beside_the_ids_are_not_compared),
		version_case(forks_are_joined),
		version_case(redactions_apply_as_their_version_says),
		version_case(an_event_is_of_its_rooms_version),
	};

	guests_come();
	int failed = HOUSE_MAIN(accepting_in_all_versions);

	guests_go();
	return failed;
}
