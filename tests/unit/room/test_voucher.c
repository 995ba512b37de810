/* Restricted joins: the server of the user who vouches for one must have signed it. */
#include "config.h"

#include "tests/unit/room/covers.h"
#include "tests/unit/room/garbage.h"
#include "tests/unit/room/remote.h"

#include "core/room/redact.h"

#include <stdlib.h>

static const char *gina, *ivan;		/* of server 0, who vouches, and of server 2, who comes */
static struct mx_room *room;
static struct remote *last;

/* alice's room with gina in it, where nobody else joins by himself. */
static void
make_room(void)
{
	gina = remote_user(0, "gina");
	ivan = remote_user(2, "ivan");
	room = house_room("12", "shared");
	remote_accepted(room, remote_member(room, 0, gina, gina, "join", remote_of(room)));
	unit_ok(house_send(room, &alice, "m.room.join_rules", "",
			   "{\"join_rule\":\"restricted\",\"allow\":[]}", NULL));
	last = remote_of(room);
}

static struct remote *
join(struct remote *prev)
{
	char content[256];

	snprintf(content, sizeof(content),
		 "{\"membership\":\"join\",\"join_authorised_via_users_server\":\"%s\"}", gina);
	return remote_event(room, (struct remote_spec){ .server = 2, .sender = ivan,
							.type = "m.room.member", .key = ivan,
							.content = content, .prev = { prev } });
}

/* A copy of the event with a signature of server 0 by this key. */
static char *
with_signature(const struct remote *r, const struct mx_signing_key *by)
{
	MX_AUTO(mx_buf) *b = mx_buf_new(0);
	MX_AUTO(mx_buf) *name = mx_buf_new(0);
	MX_AUTO_JSON *j = json_loadb(mx_event_json(r->ev).p, mx_event_json(r->ev).n, 0, NULL);
	char signature[87];

	mx_redact_bytes(mx_room_version(room), mx_event_json(r->ev), false, b);
	mx_sign_bytes(by, mx_buf_view(b), signature);
	mx_buf_str(name, mx_signing_key_id(guests.key[0]));
	json_object_set_new(json_object_get(j, "signatures"), "server-0.example.org",
			    json_pack("{s:s}", mx_buf_cstr(name), signature));
	return json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
}

static void
comes(const char *text, enum mx_fate fate, enum mx_reason reason)
{
	mx_str pdu = mx_str_of(text);
	struct mx_arrival v;

	unit_ok(mx_room_accept(rooms, conn, room, (mx_str){ NULL, 0 }, &pdu, 1, &v));
	if (v.fate != fate || v.reason != reason)
		fail_msg("%s, %s: %s", mx_fate_name(v.fate), mx_reason_name(v.reason), v.words);
	mx_arrivals_clear(&v, 1);
}

static void
is_member(const char *who, enum mx_membership wanted)
{
	MX_AUTO(mx_event) *ev = NULL;

	unit_ok(mx_room_state(rooms, conn, room, MX_S("m.room.member"), mx_str_of(who), &ev));
	assert_int_equal(ev != NULL ? mx_event_membership(ev) : MX_MEMBER_NONE, wanted);
}

static void
explained(const struct remote *r, enum mx_fate fate, enum mx_reason reason, const char *words)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_explanation why;

	unit_ok(mx_event_explain(rooms, conn, mx_event_id(r->ev), a, &why));
	assert_int_equal(why.fate, fate);
	assert_int_equal(why.reason, reason);
	assert_non_null(strstr(why.words.p, words));
}

static void
an_unsigned_join_is_rejected(void **state)
{
	struct remote *j, *after, *said;
	struct mx_rooms_stats before, now;

	(void)state;
	make_room();
	mx_rooms_stats(rooms, &before);
	j = join(last);
	remote_fate(room, j, MX_FATE_REJECTED, MX_REASON_VOUCHER);
	mx_rooms_stats(rooms, &now);
	assert_int_equal(now.arrived[MX_FATE_REJECTED][MX_REASON_VOUCHER] -
				 before.arrived[MX_FATE_REJECTED][MX_REASON_VOUCHER],
			 1);
	explained(j, MX_FATE_REJECTED, MX_REASON_VOUCHER, "has not signed it");
	is_member(ivan, MX_MEMBER_NONE);
	/* What comes after it is not held up; what rests on it is rejected, too. */
	after = remote_event(room, (struct remote_spec){
					   .server = 0, .sender = gina, .type = "m.room.message",
					   .content = "{}", .prev = { last, j } });
	remote_accepted(room, after);
	said = remote_say(room, 2, ivan, j);
	remote_fate(room, said, MX_FATE_REJECTED, MX_REASON_AUTH_EVENTS);
	mx_room_unref(&room);
}

static void
a_wrong_signature_is_none(void **state)
{
	(void)state;
	make_room();
	struct remote *j = join(last);
	char *text = with_signature(j, guests.key[1]);

	comes(text, MX_FATE_REJECTED, MX_REASON_VOUCHER);
	explained(j, MX_FATE_REJECTED, MX_REASON_VOUCHER, "has not signed it");
	free(text);
	mx_room_unref(&room);
}

static void
a_key_that_cannot_be_had_drops_the_join(void **state)
{
	MX_AUTO(mx_arena) *a = mx_arena_new();
	struct mx_explanation why;

	(void)state;
	make_room();
	struct remote *j = join(last);
	struct mx_signing_key *known = guests.key[0], *unknown = mx_signing_key_generate();
	char *text = with_signature(j, known);

	/* Another time it may be had. */
	guests.key[0] = unknown;
	json_t *changed = json_loads(text, 0, NULL);
	json_t *of = json_object_get(json_object_get(changed, "signatures"), "server-0.example.org");
	json_t *signature = json_incref(json_object_iter_value(json_object_iter(of)));

	json_object_clear(of);
	json_object_set_new(of, "ed25519:gone", signature);
	char *gone = json_dumps(changed, JSON_COMPACT | JSON_SORT_KEYS);

	comes(gone, MX_FATE_DROPPED, MX_REASON_SIGNATURE);
	unit_refused(mx_event_explain(rooms, conn, mx_event_id(j->ev), a, &why), MX_E_NOT_FOUND);
	guests.key[0] = known;
	comes(text, MX_FATE_ACCEPTED, MX_REASON_NONE);
	is_member(ivan, MX_MEMBER_JOIN);
	mx_signing_key_free(&unknown);
	json_decref(changed);
	free(gone);
	free(text);
	mx_room_unref(&room);
}

/* A signature is no part of the event: whoever passes it on can leave it out, to have the join
 * refused before its server's own copy comes. */
static void
a_signed_copy_comes_later(void **state)
{
	(void)state;
	make_room();
	struct remote *j = join(last), *said;
	char *text = with_signature(j, guests.key[0]);

	remote_fate(room, j, MX_FATE_REJECTED, MX_REASON_VOUCHER);
	house_again();
	mx_room_unref(&room);
	unit_ok(mx_room_get(rooms, conn, mx_event_room_id(j->ev), &room));
	comes(text, MX_FATE_ACCEPTED, MX_REASON_NONE);
	explained(j, MX_FATE_ACCEPTED, MX_REASON_NONE, "");
	is_member(ivan, MX_MEMBER_JOIN);
	/* The other copy changes nothing any more. */
	remote_fate(room, j, MX_FATE_ACCEPTED, MX_REASON_KNOWN);
	said = remote_say(room, 2, ivan, j);
	remote_accepted(room, said);
	free(text);
	mx_room_unref(&room);
}

static void
it_waits_without_becoming_valid(void **state)
{
	(void)state;
	for (int good = 0; good < 2; good++) {
		make_room();
		struct remote *gap = remote_say(room, 0, gina, last), *j = join(gap);
		char *text = with_signature(j, guests.key[0]);

		remote_fate(room, j, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
		mx_room_unref(&room);
		house_again();
		unit_ok(mx_room_get(rooms, conn, mx_event_room_id(j->ev), &room));
		if (good)
			comes(text, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
		remote_accepted(room, gap);
		explained(j, good ? MX_FATE_ACCEPTED : MX_FATE_REJECTED,
			  good ? MX_REASON_NONE : MX_REASON_VOUCHER, good ? "" : "has not signed it");
		is_member(ivan, good ? MX_MEMBER_JOIN : MX_MEMBER_NONE);
		free(text);
		mx_room_unref(&room);
	}
}

static void
a_state_that_is_told_has_no_unsigned_join(void **state)
{
	struct remote *gap, *late;
	struct mx_arrival v;
	mx_str pdus[REMOTE_STATE];
	size_t n = 0;

	(void)state;
	make_room();
	struct remote *j = join(last);

	gap = remote_say(room, 0, gina, j);
	late = remote_say(room, 0, gina, gap);
	remote_fate(room, late, MX_FATE_WAITING, MX_REASON_MISSING_PREV);
	for (size_t i = 0; i < gap->state_n; i++)
		pdus[n++] = mx_event_json(gap->state[i]->ev);
	unit_ok(mx_room_accept_at(rooms, conn, room, mx_event_id(late->ev), pdus, n, NULL, 0, &v));
	assert_int_equal(v.fate, MX_FATE_ACCEPTED);
	mx_arrivals_clear(&v, 1);
	is_member(ivan, MX_MEMBER_NONE);
	mx_room_unref(&room);
}

static int
voucher_end(void **state)
{
	covers_check(1);
	garbage_check();
	remote_clear();
	return house_end(state);
}
#define voucher_case(fn) cmocka_unit_test_setup_teardown(fn, house_begin, voucher_end)

int
main(void)
{
	const struct CMUnitTest voucher_tests[] = {
		voucher_case(an_unsigned_join_is_rejected),
		voucher_case(a_wrong_signature_is_none),
		voucher_case(a_key_that_cannot_be_had_drops_the_join),
		voucher_case(a_signed_copy_comes_later),
		voucher_case(it_waits_without_becoming_valid),
		voucher_case(a_state_that_is_told_has_no_unsigned_join),
	};

	guests_come();
	int failed = HOUSE_MAIN(voucher_tests);

	guests_go();
	return failed;
}
