/* Invites that began with an e-mail address, as they come from the server of who turned out to have
 * it: in the name of who invited, and not signed by that one's server. */
#include "config.h"

#include "tests/unit/room/guests.h"

#define GUEST "@g:server-1.example.org"

static struct mx_room *room;
static struct mx_signing_key *identity;
static struct mx_event *create, *levels, *rule, *member, *asked, *last;

static struct mx_event *
state_of(const char *type, const char *state_key)
{
	struct mx_event *ev;

	unit_ok(mx_room_state(rooms, conn, room, mx_str_of(type), mx_str_of(state_key), &ev));
	assert_non_null(ev);
	return ev;
}

/* Alice's room, in which she has invited whoever has an address. */
static void
make_room(void)
{
	MX_AUTO(mx_buf) *public_key = mx_buf_new(0);
	unsigned char key_bytes[MX_ED25519_PUBLIC];
	char content[256];

	identity = mx_signing_key_generate();
	mx_signing_key_public(identity, key_bytes);
	mx_base64(public_key, key_bytes, sizeof(key_bytes));
	snprintf(content, sizeof(content),
		 "{\"display_name\":\"g...@e...\",\"key_validity_url\":\"https://id/\",\"public_key\":\"%s\"}",
		 mx_buf_cstr(public_key));
	room = house_room("11", "shared");
	unit_ok(house_member(room, &bob, &bob, "join"));
	unit_ok(house_send(room, &alice, "m.room.join_rules", "", "{\"join_rule\":\"invite\"}", NULL));
	unit_ok(house_send(room, &alice, "m.room.third_party_invite", "token", content, &asked));
	create = state_of("m.room.create", "");
	levels = state_of("m.room.power_levels", "");
	rule = state_of("m.room.join_rules", "");
	member = state_of("m.room.member", alice.id);
	last = house_say(room, &alice, "they will come");
}

static void
end_room(void)
{
	struct mx_event **all[] = { &create, &levels, &rule, &member, &asked, &last };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		mx_event_unref(all[i]);
	mx_room_unref(&room);
	mx_signing_key_free(&identity);
}

/* The invite of GUEST by sender, with what the identity server has signed. */
static void
arrives(const char *sender, const char *mxid, const char *token, const struct mx_signing_key *signer,
	struct mx_arrival *v)
{
	json_t *object = json_pack("{s:s, s:s}", "mxid", mxid, "token", token);
	char *room_id = mx_str_dup(mx_room_id(room)), *content;
	MX_AUTO_JSON *whole = NULL;

	unit_ok(mx_sign_json(object, true, MX_S("id.example.org"), signer));
	whole = json_pack("{s:s, s:{s:s, s:o}}", "membership", "invite", "third_party_invite",
			  "display_name", "g...@e...", "signed", object);
	content = json_dumps(whole, JSON_COMPACT);
	struct mx_event *ev = guest_event((struct guest_event){
		.room_id = room_id, .server = 1, .sender = sender, .type = "m.room.member",
		.state_key = GUEST, .content = content, .prev = last,
		.auth = { create, levels, rule, member, asked } });
	mx_str pdu = mx_event_json(ev);

	unit_ok(mx_room_accept(rooms, conn, room, MX_S("server-1.example.org"), &pdu, 1, v));
	mx_event_unref(&ev);
	free(room_id);
	free(content);
}

static void
expect(const char *sender, const char *mxid, const char *token, const struct mx_signing_key *signer,
       enum mx_fate fate)
{
	struct mx_arrival v;

	arrives(sender, mxid, token, signer, &v);
	if (v.fate != fate)
		fail_msg("%s: %s", mx_fate_name(v.fate), v.words);
	mx_arrivals_clear(&v, 1);
}

static void
what_the_identity_server_has_signed_is_an_invite(void **state)
{
	MX_AUTO(mx_event) *invite = NULL;

	(void)state;
	make_room();
	expect(alice.id, GUEST, "token", identity, MX_FATE_ACCEPTED);
	invite = state_of("m.room.member", GUEST);
	assert_int_equal(mx_event_membership(invite), MX_MEMBER_INVITE);
	assert_int_equal(mx_room_invited_count(room), 1);
	end_room();
}

static void
anything_else_is_refused(void **state)
{
	struct mx_signing_key *other = mx_signing_key_generate();

	(void)state;
	make_room();
	expect(alice.id, GUEST, "token", other, MX_FATE_REJECTED);
	expect(alice.id, "@x:server-1.example.org", "token", identity, MX_FATE_REJECTED);
	expect(alice.id, GUEST, "another", identity, MX_FATE_REJECTED);
	expect(bob.id, GUEST, "token", identity, MX_FATE_REJECTED);
	assert_int_equal(mx_room_invited_count(room), 0);
	mx_signing_key_free(&other);
	end_room();
}

static void
without_one_the_inviters_server_must_have_signed(void **state)
{
	struct mx_arrival v;

	(void)state;
	make_room();
	char *room_id = mx_str_dup(mx_room_id(room));
	struct mx_event *ev = guest_event((struct guest_event){
		.room_id = room_id, .server = 1, .sender = alice.id, .type = "m.room.member",
		.state_key = GUEST, .content = "{\"membership\":\"invite\"}", .prev = last,
		.auth = { create, levels, rule, member } });
	mx_str pdu = mx_event_json(ev);

	unit_ok(mx_room_accept(rooms, conn, room, MX_S("server-1.example.org"), &pdu, 1, &v));
	assert_int_equal(v.fate, MX_FATE_DROPPED);
	assert_int_equal(v.reason, MX_REASON_SIGNATURE);
	mx_event_unref(&ev);
	free(room_id);
	end_room();
}

static void
a_withdrawn_invite_is_none(void **state)
{
	(void)state;
	make_room();
	unit_ok(house_send(room, &alice, "m.room.third_party_invite", "token", "{}", NULL));
	mx_event_unref(&last);
	last = house_say(room, &alice, "no longer");
	mx_event_unref(&asked);
	asked = state_of("m.room.third_party_invite", "token");
	expect(alice.id, GUEST, "token", identity, MX_FATE_REJECTED);
	end_room();
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		house_case(what_the_identity_server_has_signed_is_an_invite),
		house_case(anything_else_is_refused),
		house_case(without_one_the_inviters_server_must_have_signed),
		house_case(a_withdrawn_invite_is_none),
	};

	guests_come();
	int failed = HOUSE_MAIN(tests);

	guests_go();
	return failed;
}
