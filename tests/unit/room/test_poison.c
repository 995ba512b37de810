/* Whatever one hostile server puts into events: each is refused with a reason that is counted, and the
 * room goes on for the others. */
#include "config.h"

#include "tests/unit/room/covers.h"
#include "tests/unit/room/garbage.h"
#include "tests/unit/room/remote.h"

#include "core/room/doctor.h"
#include "core/room/redact.h"

#include <stdlib.h>

static const char *gina, *hugo;		/* of server 0, which means harm, and of server 1 */
static struct mx_room *room;
static struct mx_rooms_stats before;

static struct remote *
make_room(const char *version)
{
	struct remote *last;

	gina = remote_user(0, "gina");
	hugo = remote_user(1, "hugo");
	room = house_room(version, "shared");
	last = remote_member(room, 0, gina, gina, "join", remote_of(room));
	remote_accepted(room, last);
	last = remote_member(room, 1, hugo, hugo, "join", last);
	remote_accepted(room, last);
	mx_rooms_stats(rooms, &before);
	return last;
}

static void
share_power(void)
{
	char content[256];

	snprintf(content, sizeof(content), "{\"users\":{\"%s\":50,\"%s\":50},\"state_default\":50}",
		 gina, hugo);
	unit_ok(house_send(room, &alice, "m.room.power_levels", "", content, NULL));
}

static uint64_t
came(enum mx_fate fate, enum mx_reason reason)
{
	struct mx_rooms_stats now;

	mx_rooms_stats(rooms, &now);
	return now.arrived[fate][reason] - before.arrived[fate][reason];
}

static void
comes(mx_str pdu, enum mx_fate fate, enum mx_reason reason)
{
	uint64_t had = came(fate, reason);
	struct mx_arrival v;

	unit_ok(mx_room_accept(rooms, conn, room, MX_S("server-0.example.org"), &pdu, 1, &v));
	if (v.fate != fate || v.reason != reason)
		fail_msg("%s, %s: %s", mx_fate_name(v.fate), mx_reason_name(v.reason), v.words);
	if (fate != MX_FATE_ACCEPTED && v.words[0] == '\0')
		fail_msg("%s without a word", mx_reason_name(reason));
	mx_arrivals_clear(&v, 1);
	assert_int_equal(came(fate, reason), had + 1);
}

/* The event with what was changed in it, hashed and signed by server 0 as if it were whole. */
static void
comes_resealed(json_t *j, enum mx_fate fate, enum mx_reason reason)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_buf) *name = mx_buf_new(0);
	unsigned char hash[MX_SHA256_SIZE];
	char text[MX_HASH_ID] = "", signature[87];

	json_object_del(j, "hashes");
	json_object_clear(json_object_get(j, "signatures"));
	char *bare = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);

	mx_event_content_hash(mx_str_of(bare), hash);
	mx_hash_base64(hash, text);
	json_object_set_new(j, "hashes", json_pack("{s:s#}", "sha256", text, 43));
	char *hashed = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);

	mx_redact_bytes(mx_room_version(room), mx_str_of(hashed), false, b);
	mx_sign_bytes(guests.key[0], mx_buf_view(b), signature);
	mx_buf_str(name, mx_signing_key_id(guests.key[0]));
	json_object_set_new(j, "signatures",
			    json_pack("{s:{s:s}}", "server-0.example.org", mx_buf_cstr(name),
				      signature));
	char *whole = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);

	comes(mx_str_of(whole), fate, reason);
	free(bare);
	free(hashed);
	free(whole);
	json_decref(j);
}

static json_t *
parsed(const struct remote *r)
{
	return json_loadb(mx_event_json(r->ev).p, mx_event_json(r->ev).n, 0, NULL);
}

/* hugo and alice go on talking, and nothing is wrong with the room. */
static struct remote *
goes_on(struct remote *upon)
{
	struct mx_checkup up = { .signatures = true };
	struct remote *said = remote_say(room, 1, hugo, upon);

	remote_accepted(room, said);
	struct mx_event *ev = house_say(room, &alice, "business as usual");

	mx_event_unref(&ev);
	said = remote_event(room, (struct remote_spec){
					  .server = 1, .sender = hugo, .type = "m.room.message",
					  .content = "{}", .prev = { remote_of(room) } });
	remote_accepted(room, said);
	unit_ok(mx_room_checkup(rooms, conn, room, &up));
	if (up.found > 0)
		fail_msg("%s", up.v[0].words);
	return said;
}

/* ---- events that are none ---- */

static void
what_is_no_event_is_dropped(void **state)
{
	struct remote *last = make_room("12"), *said = remote_say(room, 0, gina, last);
	char *big = malloc(200000);
	json_t *j;

	(void)state;
	comes(MX_S("{\"type\":"), MX_FATE_DROPPED, MX_REASON_MALFORMED);
	comes(MX_S("[]"), MX_FATE_DROPPED, MX_REASON_MALFORMED);
	j = parsed(said);
	json_object_del(j, "sender");
	comes_resealed(j, MX_FATE_DROPPED, MX_REASON_MALFORMED);
	j = parsed(said);
	json_object_set_new(j, "depth", json_integer(INT64_MAX));
	comes_resealed(j, MX_FATE_DROPPED, MX_REASON_MALFORMED);
	j = parsed(said);
	json_object_set_new(j, "depth", json_integer(-1));
	comes_resealed(j, MX_FATE_DROPPED, MX_REASON_MALFORMED);
	/* too large, as a whole and in a field */
	j = parsed(said);
	memset(big, 'x', 199999);
	big[199999] = '\0';
	json_object_set_new(json_object_get(j, "content"), "body", json_stringn(big, 70000));
	comes_resealed(j, MX_FATE_DROPPED, MX_REASON_SIZE);
	j = parsed(said);
	json_object_set_new(j, "type", json_stringn(big, 256));
	comes_resealed(j, MX_FATE_DROPPED, MX_REASON_SIZE);
	/* not signed, and by whose key */
	j = parsed(said);
	json_object_clear(json_object_get(j, "signatures"));
	char *bare = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);

	comes(mx_str_of(bare), MX_FATE_DROPPED, MX_REASON_SIGNATURE);
	json_decref(j);
	j = parsed(said);
	json_object_set_new(j, "sender", json_string(hugo));
	comes_resealed(j, MX_FATE_DROPPED, MX_REASON_SIGNATURE);
	/* from the day after next week */
	struct remote *ahead = remote_event(
		room, (struct remote_spec){ .server = 0, .sender = gina, .type = "m.room.message",
					    .content = "{}", .prev = { last },
					    .ts = mx_now() + INT64_C(9) * 24 * 60 * 60 * 1000 });

	comes(mx_event_json(ahead->ev), MX_FATE_DROPPED, MX_REASON_SIGNATURE);
	/* of another room */
	struct mx_room *other = house_room("12", "shared");
	struct remote *foreign = remote_say(other, 0, gina, remote_of(other));

	comes(mx_event_json(foreign->ev), MX_FATE_DROPPED, MX_REASON_ROOM);
	goes_on(last);
	free(bare);
	free(big);
	mx_room_unref(&other);
	mx_room_unref(&room);
}

static json_t *
many_ids(size_t n)
{
	json_t *ids = json_array();
	char id[64];

	for (size_t i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "$%043zu", i);
		json_array_append_new(ids, json_string(id));
	}
	return ids;
}

static void
absurd_numbers_of_ids_are_dropped(void **state)
{
	struct remote *last = make_room("12"), *said = remote_say(room, 0, gina, last);
	json_t *j = parsed(said);

	(void)state;
	json_object_set_new(j, "prev_events", many_ids(21));
	comes_resealed(j, MX_FATE_DROPPED, MX_REASON_SIZE);
	j = parsed(said);
	json_object_set_new(j, "auth_events", many_ids(11));
	comes_resealed(j, MX_FATE_DROPPED, MX_REASON_SIZE);
	j = parsed(said);
	json_object_set_new(j, "prev_events", many_ids(1300));
	comes_resealed(j, MX_FATE_DROPPED, MX_REASON_SIZE);
	/* As many as are allowed, of events that never were: it waits, and nobody waits for it. */
	j = parsed(said);
	json_object_set_new(j, "prev_events", many_ids(20));
	comes_resealed(j, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	j = parsed(said);
	json_object_set_new(j, "auth_events", many_ids(10));
	comes_resealed(j, MX_FATE_WAITING, MX_REASON_MISSING_AUTH);
	goes_on(last);
	mx_room_unref(&room);
}

/* ---- events that may not be ---- */

static void
forged_pasts_are_rejected(void **state)
{
	struct remote *last = make_room("12"), *bad;
	json_t *j, *auth;

	(void)state;
	/* A content that is not what was signed: it goes, the event stays. */
	bad = remote_say(room, 0, gina, last);
	j = parsed(bad);
	json_object_set_new(json_object_get(j, "content"), "body", json_string("another"));
	char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);

	comes(mx_str_of(text), MX_FATE_ACCEPTED, MX_REASON_HASH);
	free(text);
	json_decref(j);
	last = bad;
	/* Auth events: too few, one too many, twice the same, one that was rejected. */
	bad = remote_event(room, (struct remote_spec){ .server = 0, .sender = gina,
						       .type = "m.room.message", .content = "{}",
						       .prev = { last }, .fewer_auth = 1 });
	comes(mx_event_json(bad->ev), MX_FATE_REJECTED, MX_REASON_AUTH);
	bad = remote_event(room, (struct remote_spec){
					 .server = 0, .sender = gina, .type = "m.room.message",
					 .content = "{}", .prev = { last },
					 .more_auth = remote_at(last, MX_S("m.room.member"),
								mx_str_of(hugo)) });
	comes(mx_event_json(bad->ev), MX_FATE_REJECTED, MX_REASON_AUTH_EVENTS);
	j = parsed(remote_say(room, 0, gina, last));
	auth = json_object_get(j, "auth_events");
	json_array_append(auth, json_array_get(auth, 0));
	comes_resealed(j, MX_FATE_REJECTED, MX_REASON_AUTH_EVENTS);
	struct remote *topic = remote_topic(room, 0, gina, "mine", last);

	comes(mx_event_json(topic->ev), MX_FATE_REJECTED, MX_REASON_AUTH);
	bad = remote_event(room, (struct remote_spec){ .server = 0, .sender = gina,
						       .type = "m.room.message", .content = "{}",
						       .prev = { last }, .more_auth = topic });
	comes(mx_event_json(bad->ev), MX_FATE_REJECTED, MX_REASON_AUTH_EVENTS);
	/* Events of another room as auth events. */
	struct mx_room *other = house_room("12", "shared");
	struct remote *theirs = remote_of(other);

	bad = remote_event(room, (struct remote_spec){
					 .server = 0, .sender = gina, .type = "m.room.message",
					 .content = "{}", .prev = { last }, .fewer_auth = 2,
					 .more_auth = remote_at(theirs,
								MX_S("m.room.power_levels"),
								MX_S("")) });
	comes(mx_event_json(bad->ev), MX_FATE_REJECTED, MX_REASON_AUTH_EVENTS);
	/* The deepest event that there can be, and on. */
	bad = remote_event(room, (struct remote_spec){ .server = 0, .sender = gina,
						       .type = "m.room.message", .content = "{}",
						       .prev = { last },
						       .depth = (INT64_C(1) << 53) - 1 });
	comes(mx_event_json(bad->ev), MX_FATE_ACCEPTED, MX_REASON_NONE);
	/* A room that begins twice. */
	j = parsed(remote_say(room, 0, gina, last));
	json_object_set_new(j, "prev_events", json_array());
	comes_resealed(j, MX_FATE_REJECTED, MX_REASON_AUTH);
	goes_on(last);
	mx_room_unref(&other);
	mx_room_unref(&room);
}

static json_t *
prev_of(const struct remote *r)
{
	MX_AUTO_JSON *j = parsed(r);

	return json_incref(json_object_get(j, "prev_events"));
}

/* Where servers choose the ids, events can lead back to themselves. */
static void
circles_wait_for_ever(void **state)
{
	struct remote *last = make_room("1"), *one = remote_say(room, 0, gina, last);
	struct remote *two = remote_say(room, 0, gina, one);
	json_t *j = parsed(one);

	(void)state;
	json_object_set_new(j, "prev_events", prev_of(two));
	comes_resealed(j, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	/* Two that lead to each other. */
	struct remote *three = remote_say(room, 0, gina, last);
	struct remote *four = remote_say(room, 0, gina, three), *five = remote_say(room, 0, gina, four);

	j = parsed(three);
	json_object_set_new(j, "prev_events", prev_of(five));
	comes_resealed(j, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	comes(mx_event_json(four->ev), MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	goes_on(last);
	mx_room_unref(&room);
}

static void
a_denied_server_is_told_apart(void **state)
{
	struct remote *last = make_room("12"), *said = remote_say(room, 0, gina, last);

	(void)state;
	unit_ok(house_send(room, &alice, "m.room.server_acl", "",
			   "{\"allow\":[\"*\"],\"deny\":[\"server-0.example.org\"]}", NULL));
	comes(mx_event_json(said->ev), MX_FATE_DROPPED, MX_REASON_ACL);
	goes_on(remote_of(room));
	mx_room_unref(&room);
}

/* ---- limits ---- */

static const struct mx_rooms_options few = { .default_version = "12", .event_cache = { 1 << 20 },
					     .state_cache = { 1 << 20 }, .room_cache = 16,
					     .room_tail = 64, .max_state = 40, .max_conflict = 5,
					     .max_extremities = 10, .max_waiting = 100,
					     .max_waiting_room = 20, .merge_cache = 8 };

static struct remote *
note(unsigned server, const char *who, unsigned n, struct remote *prev)
{
	char name[32];

	snprintf(name, sizeof(name), "note %u", n);
	return remote_event(room, (struct remote_spec){ .server = server, .sender = who,
							.type = "org.example.note", .key = name,
							.content = "{}", .prev = { prev } });
}

static void
is_bounded(void)
{
	struct mx_rooms_stats now;

	mx_rooms_stats(rooms, &now);
	assert_true(now.event_bytes <= (size_t)few.event_cache.bytes);
}

static void
a_full_room_takes_no_more_state(void **state)
{
	struct remote *last;

	(void)state;
	house_down();
	house_up(&few);
	make_room("12");
	share_power();
	last = remote_of(room);
	while (last->state_n < 40) {
		last = note(0, gina, (unsigned)last->state_n, last);
		comes(mx_event_json(last->ev), MX_FATE_ACCEPTED, MX_REASON_NONE);
	}
	for (unsigned i = 0; i < 5; i++) {
		struct remote *more = note(0, gina, 1000 + i, last);

		comes(mx_event_json(more->ev), MX_FATE_REJECTED, MX_REASON_LIMIT);
	}
	/* What replaces an entry has room, and so has what is no state. */
	last = remote_topic(room, 1, hugo, "it is full",
			    note(1, hugo, (unsigned)last->state_n - 1, last));
	comes(mx_event_json(remote_pool[remote_used - 2].ev), MX_FATE_ACCEPTED, MX_REASON_NONE);
	comes(mx_event_json(last->ev), MX_FATE_REJECTED, MX_REASON_LIMIT);
	goes_on(remote_of(room));
	is_bounded();
	mx_room_unref(&room);
	house_again();
}

static void
too_much_conflict_leaves_the_room_alone(void **state)
{
	struct remote *last, *branch, *said, *join;

	(void)state;
	house_down();
	house_up(&few);
	make_room("12");
	share_power();
	branch = last = remote_of(room);
	said = remote_say(room, 1, hugo, last);
	remote_accepted(room, said);
	/* On a branch of hers gina says more than the states may differ by; from there on it is the
	 * room's no longer. */
	for (unsigned i = 0; i < 9; i++) {
		branch = note(0, gina, i, branch);
		comes(mx_event_json(branch->ev), i < 5 ? MX_FATE_ACCEPTED : MX_FATE_SOFT_FAILED,
		      i < 5 ? MX_REASON_NONE : MX_REASON_LIMIT);
	}
	/* Nor can anybody join it. */
	join = remote_event(room, (struct remote_spec){
					  .server = 0, .sender = gina, .type = "m.room.message",
					  .content = "{}", .prev = { said, branch } });
	comes(mx_event_json(join->ev), MX_FATE_REJECTED, MX_REASON_LIMIT);
	said = goes_on(said);
	/* What follows that one stands all the same. */
	remote_accepted(room, remote_event(room, (struct remote_spec){
							 .server = 1, .sender = hugo,
							 .type = "m.room.message", .content = "{}",
							 .prev = { said, join } }));
	is_bounded();
	mx_room_unref(&room);
	house_again();
}

static void
no_more_branches_are_kept_than_the_option_says(void **state)
{
	struct remote *last, *honest;

	(void)state;
	house_down();
	house_up(&few);
	last = make_room("12");
	honest = remote_say(room, 1, hugo, last);
	remote_accepted(room, honest);
	for (unsigned i = 0; i < 60; i++)
		remote_accepted(room, remote_say(room, 0, gina, last));
	MX_AUTO(mx_arena) *a = mx_arena_new();
	bool kept = false;
	mx_str *ids;
	size_t n;

	unit_ok(mx_room_extremities(rooms, conn, room, a, &ids, &n));
	assert_int_equal(n, 10);
	for (size_t i = 0; i < n; i++)
		kept |= mx_str_eq(ids[i], mx_event_id(honest->ev));
	assert_true(kept);
	goes_on(honest);
	is_bounded();
	mx_room_unref(&room);
	house_again();
}

static int
poison_end(void **state)
{
	covers_check(1);
	garbage_check();
	remote_clear();
	return house_end(state);
}
#define poison_case(fn) cmocka_unit_test_setup_teardown(fn, house_begin, poison_end)

int
main(void)
{
	const struct CMUnitTest poison_tests[] = {
		poison_case(what_is_no_event_is_dropped),
		poison_case(absurd_numbers_of_ids_are_dropped),
		poison_case(forged_pasts_are_rejected),
		poison_case(circles_wait_for_ever),
		poison_case(a_denied_server_is_told_apart),
		poison_case(a_full_room_takes_no_more_state),
		poison_case(too_much_conflict_leaves_the_room_alone),
		poison_case(no_more_branches_are_kept_than_the_option_says),
	};

	guests_come();
	int failed = HOUSE_MAIN(poison_tests);

	guests_go();
	return failed;
}
