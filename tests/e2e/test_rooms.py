"""Rooms: making them, sending to them, their state, redactions, upgrades."""

import json
import threading

import pytest

from myelin import quote

V3 = "/_matrix/client/v3"


def refused(answer, status, errcode):
    assert answer[0] == status and answer[1]["errcode"] == errcode, answer
    assert isinstance(answer[1]["error"], str) and answer[1]["error"]


def full_state(client, room):
    return {(e["type"], e["state_key"]): e for e in client.ok("GET", client.room(room, "state"))}


def forward(client, room, limit=100):
    return client.messages(room, dir="f", limit=limit)["chunk"]


# ---- createRoom ----

@pytest.mark.parametrize("version", ["10", "11", "12"])
def test_events_come_in_the_order_of_the_specification(hs, version):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(room_version=version, preset="private_chat", name="Name", topic="Topic", invite=[bob.user_id],
                             room_alias_name="order%s-%d" % (version, hs.port),
                             initial_state=[{"type": "org.example.a", "content": {"n": 1}},
                                            {"type": "org.example.b", "state_key": "k", "content": {}}])
    events = forward(alice, room)
    assert [e["type"] for e in events] == [
        "m.room.create", "m.room.member", "m.room.power_levels", "m.room.canonical_alias", "m.room.join_rules",
        "m.room.history_visibility", "m.room.guest_access", "org.example.a", "org.example.b", "m.room.name", "m.room.topic",
        "m.room.member"]
    assert events[0]["content"]["room_version"] == version
    assert ("creator" in events[0]["content"]) == (version == "10")
    assert events[-1]["state_key"] == bob.user_id and events[-1]["content"]["membership"] == "invite"
    assert all(e["room_id"] == room and e["sender"] == alice.user_id for e in events)
    levels = events[2]["content"]
    if version == "12":
        assert levels.get("users", {}) == {}
        assert levels["events"]["m.room.tombstone"] == 150
        assert ":" not in room
    else:
        assert levels["users"] == {alice.user_id: 100}


@pytest.mark.parametrize("preset,rule,guests", [
    ("private_chat", "invite", "can_join"), ("trusted_private_chat", "invite", "can_join"),
    ("public_chat", "public", "forbidden")])
def test_presets(hs, preset, rule, guests):
    alice = hs.register("alice")
    room = alice.create_room(preset=preset)
    assert alice.state(room, "m.room.join_rules")["join_rule"] == rule
    assert alice.state(room, "m.room.guest_access")["guest_access"] == guests
    assert alice.state(room, "m.room.history_visibility")["history_visibility"] == "shared"


def test_visibility_chooses_the_preset(hs):
    alice = hs.register("alice")
    assert alice.state(alice.create_room(visibility="public"), "m.room.join_rules")["join_rule"] == "public"
    assert alice.state(alice.create_room(visibility="private"), "m.room.join_rules")["join_rule"] == "invite"
    assert alice.state(alice.create_room(), "m.room.join_rules")["join_rule"] == "invite"


@pytest.mark.parametrize("version", ["11", "12"])
def test_a_room_is_created_once(hs, version):
    alice = hs.register("alice")
    room = alice.create_room(room_version=version)
    path = alice.room(room, "state/m.room.create/")
    assert alice.call("PUT", path, {"room_version": version, "x": 1})[0] == 400
    assert "x" not in alice.state(room, "m.room.create")


def test_the_power_of_creators_cannot_be_set(hs):
    alice, bob, carol = hs.register("alice"), hs.register("bob"), hs.register("carol")
    room = alice.create_room(room_version="12", creation_content={"additional_creators": [bob.user_id]})
    put = lambda user: alice.call("PUT", alice.room(room, "state/m.room.power_levels/"), {"users": {user.user_id: 100}})
    refused(put(alice), 400, "M_BAD_JSON")
    refused(put(bob), 400, "M_BAD_JSON")
    assert put(carol)[0] == 200
    refused(carol.call("PUT", carol.room(room, "state/m.room.power_levels/"), {"users": {alice.user_id: 1}}), 403, "M_FORBIDDEN")


def test_trusted_invitees_rank_as_the_creator(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="trusted_private_chat", room_version="11", invite=[bob.user_id])
    assert alice.state(room, "m.room.power_levels")["users"] == {alice.user_id: 100, bob.user_id: 100}
    room = alice.create_room(preset="trusted_private_chat", room_version="12", invite=[bob.user_id],
                             creation_content={"additional_creators": [bob.user_id, "@carol:localhost"]})
    assert sorted(alice.state(room, "m.room.create")["additional_creators"]) == sorted([bob.user_id, "@carol:localhost"])
    assert alice.state(room, "m.room.power_levels").get("users", {}) == {}
    bob.join(room)
    bob.set_state(room, "m.room.power_levels", {"users": {}, "events": {"m.room.tombstone": 150}})


def test_initial_state_overrides_the_preset_and_is_overridden_by_name(hs):
    alice = hs.register("alice")
    room = alice.create_room(
        preset="public_chat", name="right", topic="",
        initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}},
                       {"type": "m.room.name", "content": {"name": "wrong"}},
                       {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}])
    assert alice.state(room, "m.room.join_rules") == {"join_rule": "knock"}
    assert alice.state(room, "m.room.name") == {"name": "right"}
    assert alice.state(room, "m.room.encryption")["algorithm"] == "m.megolm.v1.aes-sha2"
    assert [e["type"] for e in forward(alice, room)].count("m.room.name") == 1


def test_power_levels_can_be_overridden_and_replaced(hs):
    alice = hs.register("alice")
    room = alice.create_room(power_level_content_override={"invite": 70, "events": {"m.room.name": 90}})
    levels = alice.state(room, "m.room.power_levels")
    assert levels["invite"] == 70 and levels["events"] == {"m.room.name": 90} and levels["ban"] == 50
    room = alice.create_room(room_version="11", initial_state=[
        {"type": "m.room.power_levels", "content": {"users": {alice.user_id: 100}, "events_default": 3}}])
    assert alice.state(room, "m.room.power_levels") == {"users": {alice.user_id: 100}, "events_default": 3}
    assert [e["type"] for e in forward(alice, room)][2] == "m.room.power_levels"


def test_creation_content_is_kept_but_for_what_the_server_says(hs):
    alice = hs.register("alice")
    room = alice.create_room(room_version="11", creation_content={
        "m.federate": False, "type": "m.space", "creator": "@evil:example.org", "room_version": "1", "org.example": 1})
    content = alice.state(room, "m.room.create")
    assert content == {"m.federate": False, "type": "m.space", "room_version": "11", "org.example": 1}


def test_topic_is_extensible_text_too(hs):
    alice = hs.register("alice")
    content = alice.state(alice.create_room(topic="Tea & cake"), "m.room.topic")
    assert content["topic"] == "Tea & cake"
    assert content["m.topic"] == {"m.text": [{"body": "Tea & cake"}]}


def test_direct_invites_say_so(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(is_direct=True, invite=[bob.user_id, bob.user_id])
    member = full_state(alice, room)[("m.room.member", bob.user_id)]
    assert member["content"]["is_direct"] is True
    assert len([e for e in forward(alice, room) if e.get("state_key") == bob.user_id]) == 1


def test_nulls_count_as_absent(hs):
    alice = hs.register("alice")
    room = alice.create_room(name=None, topic=None, preset=None, invite=None, room_alias_name=None, initial_state=None)
    assert ("m.room.name", "") not in full_state(alice, room)


def test_a_contradictory_room_is_refused(hs):
    alice = hs.register("alice")
    call = lambda **body: alice.call("POST", V3 + "/createRoom", body)
    refused(call(room_version="11", name="x", power_level_content_override={"users": {alice.user_id: 10}}),
            400, "M_INVALID_ROOM_STATE")
    refused(call(room_version="12", power_level_content_override={"users": {alice.user_id: 100}}), 400, "M_INVALID_ROOM_STATE")
    refused(call(initial_state=[{"type": "m.room.create", "content": {}}]), 400, "M_INVALID_ROOM_STATE")
    refused(call(initial_state=[{"type": "m.room.member", "state_key": alice.user_id, "content": {"membership": "leave"}}]),
            400, "M_INVALID_ROOM_STATE")


@pytest.mark.parametrize("body,status,errcode", [
    ({"room_version": "999"}, 400, "M_UNSUPPORTED_ROOM_VERSION"),
    ({"room_version": 12}, 400, "M_BAD_JSON"),
    ({"visibility": "secret"}, 400, "M_INVALID_PARAM"),
    ({"preset": "no_such_chat"}, 400, "M_INVALID_PARAM"),
    ({"preset": ["public_chat"]}, 400, "M_BAD_JSON"),
    ({"name": 1}, 400, "M_BAD_JSON"),
    ({"topic": {}}, 400, "M_BAD_JSON"),
    ({"name": "x" * 70000}, 413, "M_TOO_LARGE"),
    ({"invite": "@a:localhost"}, 400, "M_BAD_JSON"),
    ({"invite": [1]}, 400, "M_BAD_JSON"),
    ({"invite": ["alice"]}, 400, "M_INVALID_PARAM"),
    ({"invite": ["@" + "a" * 260 + ":localhost"]}, 400, "M_INVALID_PARAM"),
    ({"invite": ["@bob:elsewhere.example"]}, 400, "M_UNKNOWN"),
    ({"invite": ["@u%d:localhost" % i for i in range(300)]}, 400, "M_INVALID_PARAM"),
    ({"invite_3pid": [{"medium": "email", "address": "a@b.c"}]}, 403, "M_THREEPID_DENIED"),
    ({"initial_state": {}}, 400, "M_BAD_JSON"),
    ({"initial_state": [1]}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"content": {}}]}, 400, "M_MISSING_PARAM"),
    ({"initial_state": [{"type": "a"}]}, 400, "M_MISSING_PARAM"),
    ({"initial_state": [{"type": "a", "content": []}]}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "a", "state_key": 1, "content": {}}]}, 400, "M_BAD_JSON"),
    ({"initial_state": [{"type": "a" * 300, "content": {}}]}, 413, "M_TOO_LARGE"),
    ({"initial_state": [{"type": "a", "state_key": "k" * 300, "content": {}}]}, 413, "M_TOO_LARGE"),
    ({"initial_state": [{"type": "m.room.canonical_alias", "content": {"alias": "#no:localhost"}}]}, 400, "M_BAD_ALIAS"),
    ({"initial_state": [{"type": "a", "content": {"f": 1.5}}]}, 400, "M_BAD_JSON"),
    ({"creation_content": []}, 400, "M_BAD_JSON"),
    ({"creation_content": {"additional_creators": [1]}}, 400, "M_BAD_JSON"),
    ({"creation_content": {"additional_creators": ["x"]}}, 400, "M_INVALID_PARAM"),
    ({"power_level_content_override": 5}, 400, "M_BAD_JSON"),
    ({"power_level_content_override": {"ban": "50"}}, 400, "M_INVALID_ROOM_STATE"),
    ({"is_direct": "yes"}, 400, "M_BAD_JSON"),
    ({"room_alias_name": "a:b"}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": ""}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": "a" * 300}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": "a\u0000b"}, 400, "M_INVALID_PARAM"),
    ({"room_alias_name": 3}, 400, "M_BAD_JSON"),
], ids=lambda v: json.dumps(v)[:40] if isinstance(v, dict) else None)
def test_nonsense_makes_no_room(hs, body, status, errcode):
    alice = hs.register("alice")
    refused(alice.call("POST", V3 + "/createRoom", body), status, errcode)
    assert alice.ok("GET", V3 + "/joined_rooms")["joined_rooms"] == []


@pytest.mark.parametrize("text,errcode", [
    ("[]", "M_BAD_JSON"), ("{", "M_NOT_JSON"), ("1", "M_BAD_JSON"), ('{"name":"a","name":"b"}', "M_BAD_JSON"),
    ('{"a":' + "[" * 200 + "]" * 200 + "}", "M_BAD_JSON"), ("{\"name\":\"\xff\"}".encode("latin-1"), "M_NOT_JSON")])
def test_a_body_that_is_no_object(hs, text, errcode):
    refused(hs.register("alice").call("POST", V3 + "/createRoom", text), 400, errcode)


def test_making_a_room_needs_a_token(hs):
    refused(hs.client().call("POST", V3 + "/createRoom", {}), 401, "M_MISSING_TOKEN")


# ---- sending ----

def test_a_transaction_makes_one_event(hs):
    alice = hs.register("alice")
    room, other = alice.create_room(), alice.create_room()
    first = alice.send(room, "x", txn="same")
    assert alice.send(room, "x", txn="same") == first
    assert alice.send(other, "x", txn="same") != first
    path = alice.room(room, "send/org.example.type/same")
    assert alice.ok("PUT", path, {})["event_id"] != first
    again = hs.login(alice.user_id)
    assert again.send(room, "x", txn="same") != first
    event = alice.ok("GET", alice.room(room, "event/" + quote(first)))
    assert event["unsigned"]["transaction_id"] == "same"
    assert "transaction_id" not in again.ok("GET", again.room(room, "event/" + quote(first)))["unsigned"]


def test_five_sends_at_once_with_one_transaction_make_one_event(hs):
    alice = hs.register("alice")
    room = alice.create_room()
    ids = []
    threads = [threading.Thread(target=lambda: ids.append(alice.send(room, "x", txn="race"))) for _ in range(5)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(ids) == 5 and len(set(ids)) == 1


def test_content_comes_back_as_it_was(hs):
    alice = hs.register("alice")
    room = alice.create_room()
    content = {"msgtype": "m.text", "body": "a\"b\\c\n\u0001\u007f\u00e4\u20ac\U0001f600", "z": [1, -2, True, None, {"": "x"}],
               "big": 9007199254740991, "a": {"nested": {"deep": []}}}
    sent = alice.ok("PUT", alice.room(room, "send/m.room.message/1"), content)["event_id"]
    event = alice.ok("GET", alice.room(room, "event/" + quote(sent)))
    assert event["content"] == content
    assert event["sender"] == alice.user_id and event["type"] == "m.room.message" and event["room_id"] == room
    assert event["event_id"] == sent and "state_key" not in event and event["unsigned"]["age"] >= 0


def test_strangers_cannot_send(hs):
    alice, eve = hs.register("alice"), hs.register("eve")
    room = alice.create_room()
    for path in ("send/m.room.message/1", "state/org.example.x/"):
        refused(eve.call("PUT", eve.room(room, path), {}), 403, "M_FORBIDDEN")
        refused(eve.call("PUT", eve.room("!unknown:localhost", path), {}), 403, "M_FORBIDDEN")
        refused(eve.call("PUT", eve.room("nonsense", path), {}), 400, "M_INVALID_PARAM")
    refused(eve.call("GET", eve.room(room, "state")), 403, "M_FORBIDDEN")
    refused(eve.call("GET", eve.room(room, "state/m.room.create")), 403, "M_FORBIDDEN")
    refused(eve.call("GET", eve.room(room, "members")), 403, "M_FORBIDDEN")
    refused(eve.call("GET", eve.room(room, "joined_members")), 403, "M_FORBIDDEN")


def test_events_that_cannot_be(hs):
    alice = hs.register("alice")
    room = alice.create_room()
    put = lambda rest, body: alice.call("PUT", alice.room(room, rest), body)
    refused(put("send/m.room.message/1", "[]"), 400, "M_BAD_JSON")
    refused(put("send/m.room.message/1", "nope"), 400, "M_NOT_JSON")
    refused(put("send/m.room.message/1", {"f": 0.5}), 400, "M_BAD_JSON")
    refused(put("send/m.room.message/1", {"i": 2 ** 53}), 400, "M_BAD_JSON")
    refused(put("send/m.room.message/1", '{"a":1,"a":2}'), 400, "M_BAD_JSON")
    refused(put("send/m.room.message/1", '{"a":"\\ud800"}'), 400, "M_NOT_JSON")
    refused(put("send/m.room.message/1", '{"a":' * 150 + "1" + "}" * 150), 400, "M_BAD_JSON")
    refused(put("send/m.room.message/1", {"body": "x" * 65536}), 413, "M_TOO_LARGE")
    refused(put("send/m.room.message/1", {"body": "x" * 65000, "b": "y" * 300}), 413, "M_TOO_LARGE")
    refused(put("send/%s/1" % ("t" * 300), {}), 413, "M_TOO_LARGE")
    refused(put("send/m.room.message/%s" % ("t" * 300), {}), 400, "M_INVALID_PARAM")
    refused(put("send/m.room.message/a%0Ab", {}), 400, "M_INVALID_PARAM")
    refused(put("send/%FF/1", {}), 400, "M_INVALID_PARAM")
    refused(put("send/m.room.create/1", {}), 403, "M_FORBIDDEN")
    refused(put("send/m.room.member/1", {"membership": "join"}), 403, "M_FORBIDDEN")
    refused(put("state/org.example/" + "k" * 300, {}), 413, "M_TOO_LARGE")
    refused(put("state/m.room.create/", {}), 400, "M_BAD_STATE")
    refused(put("state/org.example/@someone:localhost", {}), 403, "M_FORBIDDEN")
    refused(put("state/m.room.power_levels/", {"users": {"@x:localhost": "x"}}), 403, "M_FORBIDDEN")
    assert alice.ok("PUT", alice.room(room, "send/m.room.message/ok"), {"body": "x" * 60000})["event_id"]


def test_power_is_needed(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat", power_level_content_override={"events": {"org.example.high": 50}})
    bob.join(room)
    bob.send(room, "hello")
    refused(bob.call("PUT", bob.room(room, "send/org.example.high/1"), {}), 403, "M_FORBIDDEN")
    refused(bob.call("PUT", bob.room(room, "state/m.room.name/"), {"name": "mine"}), 403, "M_FORBIDDEN")


# ---- state ----

def test_state_is_put_and_got(hs):
    alice = hs.register("alice")
    room = alice.create_room()
    one = alice.ok("PUT", alice.room(room, "state/org.example.t"), {"k": "none"})["event_id"]
    alice.ok("PUT", alice.room(room, "state/org.example.t/a%2Fb"), {"k": "slash"})
    for path in ("state/org.example.t", "state/org.example.t/"):
        assert alice.ok("GET", alice.room(room, path)) == {"k": "none"}
    assert alice.ok("GET", alice.room(room, "state/org.example.t/a%2Fb")) == {"k": "slash"}
    event = alice.ok("GET", alice.room(room, "state/org.example.t?format=event"))
    assert event["event_id"] == one and event["content"] == {"k": "none"} and event["room_id"] == room
    assert event["state_key"] == "" and event["sender"] == alice.user_id
    refused(alice.call("GET", alice.room(room, "state/org.example.none")), 404, "M_NOT_FOUND")
    refused(alice.call("GET", alice.room(room, "state/org.example.t?format=other")), 400, "M_INVALID_PARAM")
    state = full_state(alice, room)
    assert state[("org.example.t", "")]["content"] == {"k": "none"}
    assert state[("org.example.t", "a/b")]["content"] == {"k": "slash"}


def test_the_same_state_again_is_the_same_event(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat", power_level_content_override={"state_default": 0})
    bob.join(room)
    first = alice.set_state(room, "org.example.t", {"a": 1, "b": [2]})
    assert alice.ok("PUT", alice.room(room, "state/org.example.t/"), '{"b":[2],"a":1}')["event_id"] == first
    second = bob.set_state(room, "org.example.t", {"a": 1, "b": [2]})
    assert second != first
    assert alice.set_state(room, "org.example.t", {"a": 2}) not in (first, second)


def test_a_state_event_shows_what_it_replaced(hs):
    alice = hs.register("alice")
    room = alice.create_room(name="old")
    old = full_state(alice, room)[("m.room.name", "")]["event_id"]
    new = alice.set_state(room, "m.room.name", {"name": "new"})
    unsigned = alice.ok("GET", alice.room(room, "event/" + quote(new)))["unsigned"]
    assert unsigned["prev_content"] == {"name": "old"} and unsigned["replaces_state"] == old


def test_canonical_alias_must_lead_to_the_room(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room, other = alice.create_room(preset="public_chat"), alice.create_room()
    bob.join(room)
    mine, theirs = "#mine-" + alice.user_id[1:], "#theirs-" + alice.user_id[1:]
    bob.ok("PUT", V3 + "/directory/room/" + quote(mine), {"room_id": room})
    alice.ok("PUT", V3 + "/directory/room/" + quote(theirs), {"room_id": other})
    put = lambda content: alice.call("PUT", alice.room(room, "state/m.room.canonical_alias/"), content)
    assert put({"alias": mine})[0] == 200
    refused(put({"alias": theirs}), 400, "M_BAD_ALIAS")
    refused(put({"alias": "#none:localhost"}), 400, "M_BAD_ALIAS")
    refused(put({"alias": mine, "alt_aliases": ["#none:localhost"]}), 400, "M_BAD_ALIAS")
    refused(put({"alias": "no alias"}), 400, "M_INVALID_PARAM")
    refused(put({"alias": 1}), 400, "M_BAD_JSON")
    refused(put({"alt_aliases": "#x:localhost"}), 400, "M_BAD_JSON")
    refused(put({"alt_aliases": [1]}), 400, "M_BAD_JSON")
    assert put({"alias": mine, "alt_aliases": [mine]})[0] == 200
    # What was there before may stay, even when it leads nowhere any more.
    bob.ok("DELETE", V3 + "/directory/room/" + quote(mine))  # and has no power to change what the room says
    assert put({"alt_aliases": [mine]})[0] == 200
    assert put({})[0] == 200
    refused(put({"alias": mine}), 400, "M_BAD_ALIAS")


def test_members(hs):
    alice, bob, carol = hs.register("alice"), hs.register("bob"), hs.register("carol")
    room = alice.create_room(preset="public_chat", invite=[carol.user_id])
    first = alice.sync(filter={"room": {"timeline": {"limit": 50}}})
    token, before = first["next_batch"], first["rooms"]["join"][room]["timeline"]["prev_batch"]
    bob.join(room)
    members = lambda query="": {e["state_key"]: e["content"]["membership"]
                                for e in alice.ok("GET", alice.room(room, "members" + query))["chunk"]}
    everyone = {alice.user_id: "join", bob.user_id: "join", carol.user_id: "invite"}
    assert members() == everyone
    assert members("?membership=join") == {alice.user_id: "join", bob.user_id: "join"}
    assert members("?not_membership=join") == {carol.user_id: "invite"}
    assert members("?membership=invite&not_membership=join") == {carol.user_id: "invite"}
    assert members("?membership=join&not_membership=leave") == everyone
    assert members("?at=" + token) == {alice.user_id: "join", carol.user_id: "invite"}
    # Before the room's first event there is no state: the earliest is what each one's own membership began with.
    alice.ok("PUT", alice.room(room, "state/m.room.member/" + quote(alice.user_id)), {"membership": "join", "displayname": "A"})
    assert members("?at=" + before) == {alice.user_id: "join"}
    bob.leave(room)
    assert members("?membership=leave") == {bob.user_id: "leave"}
    refused(alice.call("GET", alice.room(room, "members?membership=sideways")), 400, "M_INVALID_PARAM")
    refused(alice.call("GET", alice.room(room, "members?at=nonsense")), 400, "M_INVALID_PARAM")
    alice.ok("PUT", V3 + "/profile/%s/displayname" % quote(alice.user_id), {"displayname": "A"})
    assert alice.ok("GET", alice.room(room, "joined_members"))["joined"] == {
        alice.user_id: {"display_name": "A", "avatar_url": ""}}


def test_who_left_sees_the_room_as_it_was(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat", name="then")
    bob.join(room)
    bob.leave(room)
    alice.set_state(room, "m.room.name", {"name": "now"})
    late = alice.send(room, "late")
    assert bob.state(room, "m.room.name") == {"name": "then"}
    assert full_state(bob, room)[("m.room.name", "")]["content"] == {"name": "then"}
    assert bob.ok("GET", bob.room(room, "members"))["chunk"]
    refused(bob.call("GET", bob.room(room, "event/" + quote(late))), 404, "M_NOT_FOUND")
    refused(bob.call("GET", bob.room(room, "joined_members")), 403, "M_FORBIDDEN")


def test_a_world_readable_room_is_read_by_anybody(hs):
    alice, eve = hs.register("alice"), hs.register("eve")
    room = alice.create_room(initial_state=[
        {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}])
    sent = alice.send(room, "hello")
    assert eve.state(room, "m.room.create")
    assert eve.ok("GET", eve.room(room, "event/" + quote(sent)))["event_id"] == sent
    refused(eve.call("PUT", eve.room(room, "send/m.room.message/1"), {}), 403, "M_FORBIDDEN")


def test_single_events(hs):
    alice, eve = hs.register("alice"), hs.register("eve")
    room, other = alice.create_room(), alice.create_room()
    sent = alice.send(room, "x")
    get = lambda client, room, event: client.call("GET", client.room(room, "event/" + quote(event)))
    assert get(alice, room, sent)[0] == 200
    refused(get(alice, other, sent), 404, "M_NOT_FOUND")
    refused(get(eve, room, sent), 404, "M_NOT_FOUND")
    refused(get(alice, room, "$nothing"), 404, "M_NOT_FOUND")
    refused(get(alice, room, "nonsense"), 404, "M_NOT_FOUND")
    refused(get(alice, "!unknown:localhost", sent), 404, "M_NOT_FOUND")


# ---- redactions ----

@pytest.mark.parametrize("version", ["10", "11", "12"])
def test_redaction(hs, version):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat", room_version=version)
    bob.join(room)
    mine, theirs = bob.send(room, "mine"), alice.send(room, "theirs")
    redact = lambda client, event, txn, body=None: client.call(
        "PUT", client.room(room, "redact/%s/%s" % (quote(event), txn)), body or {})
    refused(redact(bob, theirs, "1"), 403, "M_FORBIDDEN")
    status, answer = redact(bob, mine, "2", {"reason": "oops"})
    assert status == 200
    assert redact(bob, mine, "2", {"reason": "oops"}) == (200, answer)
    event = alice.ok("GET", alice.room(room, "event/" + quote(mine)))
    assert event["content"] == {}
    because = event["unsigned"]["redacted_because"]
    assert because["event_id"] == answer["event_id"] and because["content"]["reason"] == "oops"
    redaction = alice.ok("GET", alice.room(room, "event/" + quote(answer["event_id"])))
    assert redaction["redacts"] == mine and redaction["content"]["redacts"] == mine
    # A moderator may; and by /send too, in every version.
    status, answer = alice.call("PUT", alice.room(room, "send/m.room.redaction/3"), {"redacts": theirs, "reason": "r"})
    assert status == 200, answer
    assert alice.ok("GET", alice.room(room, "event/" + quote(theirs)))["content"] == {}


def test_redactions_that_cannot_be(hs):
    alice = hs.register("alice")
    room, other = alice.create_room(), alice.create_room()
    elsewhere = alice.send(other, "x")
    create = full_state(alice, room)[("m.room.create", "")]["event_id"]
    put = lambda event, body=None: alice.call("PUT", alice.room(room, "redact/%s/1" % quote(event)), body or {})
    refused(put("$nothing"), 404, "M_NOT_FOUND")
    refused(put(elsewhere), 404, "M_NOT_FOUND")
    refused(put("nonsense"), 400, "M_INVALID_PARAM")
    refused(put(create), 403, "M_FORBIDDEN")
    refused(put(elsewhere, {"reason": 5}), 400, "M_BAD_JSON")
    eve = hs.register("eve")
    for event in (create, "$nothing"):
        refused(eve.call("PUT", eve.room(room, "redact/%s/1" % quote(event)), {}), 403, "M_FORBIDDEN")
    send = lambda body: alice.call("PUT", alice.room(room, "send/m.room.redaction/1"), body)
    refused(send({}), 400, "M_MISSING_PARAM")
    refused(send({"redacts": 1}), 400, "M_BAD_JSON")
    refused(send({"redacts": ""}), 400, "M_INVALID_PARAM")
    refused(send({"redacts": "$nothing"}), 404, "M_NOT_FOUND")


# ---- upgrades ----

@pytest.mark.parametrize("old,new", [("10", "11"), ("11", "12"), ("12", "11"), ("12", "12")])
def test_upgrade(hs, old, new):
    alice, bob, carol = hs.register("alice"), hs.register("bob"), hs.register("carol")
    name = "up-%s-%s" % (alice.user_id[1:].split(":")[0], new)
    room = alice.create_room(preset="public_chat", room_version=old, name="Kept", topic="Kept too", room_alias_name=name,
                             visibility="public", creation_content={"type": "m.space", "m.federate": False},
                             power_level_content_override={"events_default": 5, "users": {bob.user_id: 5} if old == "12"
                                                           else {alice.user_id: 100, bob.user_id: 5}})
    bob.join(room)
    carol.join(room)
    alice.ok("POST", alice.room(room, "ban"), {"user_id": carol.user_id, "reason": "spam"})
    alice.set_state(room, "m.space.child", {"via": ["localhost"]}, "!child:localhost")
    alice.set_state(room, "m.space.child", {}, "!gone:localhost")
    alice.set_state(room, "org.example.own", {"x": 1})
    refused(bob.call("POST", bob.room(room, "upgrade"), {"new_version": new}), 403, "M_FORBIDDEN")
    replacement = alice.ok("POST", alice.room(room, "upgrade"), {"new_version": new})["replacement_room"]
    state = full_state(alice, replacement)
    create = state[("m.room.create", "")]["content"]
    assert create["room_version"] == new and create["predecessor"]["room_id"] == room
    assert create["type"] == "m.space" and create["m.federate"] is False
    if new == "12":  # whose id comes of this event, before there is a tombstone
        assert create["predecessor"] == {"room_id": room}
    else:
        assert alice.ok("GET", alice.room(room, "event/" + quote(create["predecessor"]["event_id"])))
    assert state[("m.room.name", "")]["content"] == {"name": "Kept"}
    assert state[("m.room.topic", "")]["content"]["topic"] == "Kept too"
    assert state[("m.room.join_rules", "")]["content"] == {"join_rule": "public"}
    assert state[("m.room.member", carol.user_id)]["content"]["membership"] == "ban"
    assert ("m.room.member", bob.user_id) not in state
    assert ("m.space.child", "!child:localhost") in state and ("m.space.child", "!gone:localhost") not in state
    assert ("org.example.own", "") not in state
    levels = state[("m.room.power_levels", "")]["content"]
    assert levels["events_default"] == 5 and levels["users"][bob.user_id] == 5
    if new == "12":
        assert alice.user_id not in levels["users"] and levels["events"]["m.room.tombstone"] == 150
    else:
        assert levels["users"][alice.user_id] == 100
    # The aliases and the place in the list have moved.
    alias = "#%s:localhost" % name
    assert alice.ok("GET", V3 + "/directory/room/" + quote(alias))["room_id"] == replacement
    assert state[("m.room.canonical_alias", "")]["content"] == {"alias": alias}
    listed = lambda room: alice.ok("GET", V3 + "/directory/list/room/" + quote(room))["visibility"]
    assert (listed(room), listed(replacement)) == ("private", "public")
    # The old room is closed.
    assert alice.state(room, "m.room.tombstone")["replacement_room"] == replacement
    assert alice.state(room, "m.room.canonical_alias") == {}
    assert alice.state(room, "m.room.power_levels")["events_default"] == 50
    refused(bob.call("PUT", bob.room(room, "send/m.room.message/1"), {}), 403, "M_FORBIDDEN")
    bob.join(replacement)


def test_an_upgrade_may_name_creators(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(room_version="11", power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 100}})
    body = {"new_version": "12", "additional_creators": [bob.user_id]}
    new = alice.ok("POST", alice.room(room, "upgrade"), body)["replacement_room"]
    assert alice.state(new, "m.room.create")["additional_creators"] == [bob.user_id]
    assert bob.user_id not in alice.state(new, "m.room.power_levels")["users"]


def test_a_weaker_administrator_can_upgrade(hs):
    """Who may end the room but not set every state of it: the levels are raised for the time of setting up."""
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat", room_version="11", power_level_content_override={
        "users": {alice.user_id: 100, bob.user_id: 60}, "events": {"m.room.tombstone": 60, "m.room.name": 90}}, name="N")
    bob.join(room)
    new = bob.ok("POST", bob.room(room, "upgrade"), {"new_version": "11"})["replacement_room"]
    levels = bob.state(new, "m.room.power_levels")
    assert levels["users"] == {alice.user_id: 100, bob.user_id: 60} and bob.state(new, "m.room.name") == {"name": "N"}


def upgrade(client, room, version="12", **more):
    return client.ok("POST", client.room(room, "upgrade"), {"new_version": version, **more})["replacement_room"]


def test_an_upgrade_carries_over_all_that_the_room_is(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    hall = alice.create_room()
    kept = {
        "m.room.join_rules": {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": hall}]},
        "m.room.history_visibility": {"history_visibility": "joined"},
        "m.room.guest_access": {"guest_access": "can_join"},
        "m.room.encryption": {"algorithm": "m.megolm.v1.aes-sha2", "rotation_period_msgs": 7},
        "m.room.server_acl": {"allow": ["*"], "deny": ["evil.example.org"], "allow_ip_literals": False},
        "m.room.avatar": {"url": "mxc://localhost/face"},
    }
    room = alice.create_room(room_version="11", name="N", topic="T",
                             initial_state=[{"type": t, "content": c} for t, c in kept.items()])
    alice.set_state(room, "m.room.pinned_events", {"pinned": ["$of-the-old-room"]})
    new = upgrade(alice, room, "12")
    for event_type, content in kept.items():
        assert alice.state(new, event_type) == content
    assert alice.state(new, "m.room.name") == {"name": "N"} and alice.state(new, "m.room.topic")["topic"] == "T"
    refused(alice.call("GET", alice.room(new, "state/m.room.pinned_events")), 404, "M_NOT_FOUND")
    refused(bob.call("POST", V3 + "/join/" + quote(new)), 403, "M_FORBIDDEN")
    alice.invite(hall, bob.user_id)
    bob.join(hall)
    bob.join(new)


def test_creators_are_not_carried_over(hs):
    """Of version 12 they are named anew, and have no level; of an older one they are among the users."""
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(room_version="12", creation_content={"additional_creators": [bob.user_id]})
    new = upgrade(alice, room, "12")
    assert "additional_creators" not in alice.state(new, "m.room.create")
    assert alice.state(new, "m.room.power_levels")["users"] == {}
    old_style = upgrade(alice, new, "11", additional_creators=[bob.user_id])
    assert "additional_creators" not in alice.state(old_style, "m.room.create")
    assert alice.state(old_style, "m.room.power_levels")["users"] == {alice.user_id: 100}


def test_the_spaces_of_a_room_follow_its_upgrade(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    space = alice.create_room(creation_content={"type": "m.space"}, preset="public_chat")
    closed = bob.create_room(creation_content={"type": "m.space"}, preset="public_chat")
    alice.join(closed)
    room = alice.create_room()
    child = {"via": ["localhost", "elsewhere"], "order": "aa", "suggested": True}
    alice.set_state(space, "m.space.child", child, room)
    bob.set_state(closed, "m.space.child", child, room)
    new = upgrade(alice, room)
    assert alice.state(space, "m.space.child", new) == {"via": ["localhost"], "order": "aa", "suggested": True}
    assert alice.state(space, "m.space.child", room) == {}
    assert alice.state(closed, "m.space.child", room) == child, "alice may not touch that space"


def personal(client, room):
    """What somebody has set for a room."""
    user = V3 + "/user/" + quote(client.user_id)
    tags = client.ok("GET", user + "/rooms/%s/tags" % quote(room))["tags"]
    status, direct = client.call("GET", user + "/account_data/m.direct")
    rules = client.ok("GET", V3 + "/pushrules/")["global"]
    about = [(kind, r["rule_id"], r["actions"]) for kind in rules for r in rules[kind]
             if r["rule_id"] == room or any(c.get("pattern") == room for c in r.get("conditions", []))]
    return tags, sorted(u for u in direct if room in direct[u]) if status == 200 else [], about


def make_personal(client, room, other):
    user = V3 + "/user/" + quote(client.user_id)
    client.ok("PUT", user + "/rooms/%s/tags/m.favourite" % quote(room), {"order": 0.5})
    client.ok("PUT", user + "/account_data/m.direct", {other: ["!x:localhost", room], "@nobody:localhost": ["!y:localhost"]})
    client.ok("PUT", V3 + "/pushrules/global/room/" + quote(room), {"actions": []})
    muted = {"conditions": [{"kind": "event_match", "key": "room_id", "pattern": room}], "actions": []}
    client.ok("PUT", V3 + "/pushrules/global/override/" + quote(room), muted)
    client.ok("PUT", V3 + "/pushrules/global/override/loud", {**muted, "actions": ["notify"]})


def test_what_members_have_set_follows_them_to_the_new_room(hs):
    alice, bob, carol = hs.register("alice"), hs.register("bob"), hs.register("carol")
    room = alice.create_room(preset="public_chat")
    for who, other in ((alice, bob), (bob, alice), (carol, alice)):
        who is alice or who.join(room)
        make_personal(who, room, other.user_id)
    new = upgrade(alice, room)
    bob.join(new)
    carol.ok("PUT", carol.room(new, "state/m.room.member/" + quote(carol.user_id)), {"membership": "join"})
    for who, other in ((alice, bob), (bob, alice), (carol, alice)):
        tags, direct, about = personal(who, new)
        assert tags == {"m.favourite": {"order": 0.5}} and direct == [other.user_id]
        assert sorted(about) == sorted([("room", new, []), ("override", new, []), ("override", "loud " + new, ["notify"])])
        assert personal(who, room)[1] == [other.user_id], "the old room keeps what it has"
    # It comes with the room.
    answer = bob.sync()
    assert [e for e in answer["rooms"]["join"][new]["account_data"]["events"] if e["type"] == "m.tag"]
    # Once: what was taken away since stays away.
    bob.ok("DELETE", V3 + "/pushrules/global/override/" + quote("loud " + new))
    bob.ok("PUT", V3 + "/user/%s/rooms/%s/tags/u.own" % (quote(bob.user_id), quote(new)), {})
    bob.ok("DELETE", V3 + "/user/%s/rooms/%s/tags/m.favourite" % (quote(bob.user_id), quote(new)))
    bob.join(new)
    tags, _, about = personal(bob, new)
    assert tags == {"u.own": {}} and len(about) == 2


def test_an_upgrade_by_hand_carries_over_as_well(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    make_personal(alice, room, bob.user_id)
    make_personal(bob, room, alice.user_id)
    new = alice.create_room(preset="public_chat", creation_content={"predecessor": {"room_id": room}})
    bob.join(new)
    assert personal(alice, new) == personal(bob, new) == ({}, [], [])
    alice.set_state(room, "m.room.tombstone", {"body": "moved", "replacement_room": new})
    for who, other in ((alice, bob), (bob, alice)):
        tags, direct, about = personal(who, new)
        assert tags == {"m.favourite": {"order": 0.5}} and direct == [other.user_id] and len(about) == 3


def test_a_room_that_only_claims_to_replace_another_gets_nothing(hs):
    alice, eve = hs.register("alice"), hs.register("eve")
    room = alice.create_room()
    make_personal(alice, room, eve.user_id)
    claim = eve.create_room(preset="public_chat", creation_content={"predecessor": {"room_id": room}})
    alice.join(claim)
    assert personal(alice, claim) == ({}, [], [])


def test_a_repeated_upgrade_is_answered_with_the_room_of_the_first(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(room_version="11", preset="public_chat",
                             power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 100}})
    bob.join(room)
    new = upgrade(alice, room, "12")
    assert upgrade(alice, room, "12") == new
    assert len(alice.ok("GET", V3 + "/joined_rooms")["joined_rooms"]) == 2
    # Another version, another user: another room.
    other = upgrade(alice, room, "11")
    assert other not in (new, room) and alice.state(room, "m.room.tombstone")["replacement_room"] == other
    assert upgrade(bob, room, "11") not in (new, other, room)


def test_bans_without_end_are_carried_over(hs):
    alice = hs.register("alice")
    banned = ["@spam%d:localhost" % i for i in range(1200)]
    room = alice.create_room(room_version="12")
    for user in banned:
        alice.set_state(room, "m.room.member", {"membership": "ban"}, user)
    new = upgrade(alice, room)
    members = alice.ok("GET", alice.room(new, "members?membership=ban"))["chunk"]
    assert sorted(m["state_key"] for m in members) == sorted(banned)


def test_upgrades_that_cannot_be(hs):
    alice, eve = hs.register("alice"), hs.register("eve")
    room = alice.create_room()
    up = lambda body, who=alice, room=room: who.call("POST", who.room(room, "upgrade"), body)
    refused(up({"new_version": "999"}), 400, "M_UNSUPPORTED_ROOM_VERSION")
    refused(up({}), 400, "M_MISSING_PARAM")
    refused(up({"new_version": 12}), 400, "M_BAD_JSON")
    refused(up({"new_version": "12", "additional_creators": ["x"]}), 400, "M_INVALID_PARAM")
    refused(up({"new_version": "12"}, eve), 403, "M_FORBIDDEN")
    refused(up({"new_version": "12"}, alice, "!unknown:localhost"), 403, "M_FORBIDDEN")


# ---- what works without its neighbours ----

def test_rooms_need_neither_directory_nor_profiles(server):
    hs = server(config="[client-directory]\nenabled = no\n[client-profile]\nenabled = no\n")
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(visibility="public", name="x")
    bob.join(room)
    bob.send(room, "hello")
    assert bob.state(room, "m.room.member", bob.user_id) == {"membership": "join"}
    refused(alice.call("POST", V3 + "/createRoom", {"room_alias_name": "x"}), 400, "M_INVALID_PARAM")
    refused(alice.call("POST", V3 + "/join/" + quote("#x:localhost")), 404, "M_NOT_FOUND")
    refused(alice.call("PUT", alice.room(room, "state/m.room.canonical_alias/"), {"alias": "#x:localhost"}), 400, "M_BAD_ALIAS")
    new = alice.ok("POST", alice.room(room, "upgrade"), {"new_version": "12"})["replacement_room"]
    assert alice.state(room, "m.room.tombstone")["replacement_room"] == new
    refused(alice.call("GET", V3 + "/publicRooms"), 404, "M_UNRECOGNIZED")
    refused(alice.call("GET", V3 + "/profile/" + quote(alice.user_id)), 404, "M_UNRECOGNIZED")


def test_members_may_invite_where_it_is_configured(server):
    hs = server(config="[client-rooms]\ninvite_level = members\n")
    alice, bob, carol = hs.register("alice"), hs.register("bob"), hs.register("carol")
    room = alice.create_room(invite=[bob.user_id])
    bob.join(room)
    bob.invite(room, carol.user_id)
    carol.join(room)
