"""Every room version: what people do in a room, and what a server may be told to make."""

import os
import subprocess

import pytest

from myelin import BUILD, quote

V3 = "/_matrix/client/v3"
VERSIONS = [str(n) for n in range(1, 13)]


def refused(answer, status, errcode):
    assert answer[0] == status and answer[1]["errcode"] == errcode, answer


def act(client, room, what, user=None):
    return client.call("POST", client.room(room, what), {} if user is None else {"user_id": user.user_id})


def membership(client, room, user):
    return client.state(room, "m.room.member", user.user_id)["membership"]


def set_rule(client, room, rule, allowed=()):
    client.set_state(room, "m.room.join_rules", {
        "join_rule": rule, "allow": [{"type": "m.room_membership", "room_id": room} for room in allowed]})


def event(client, room, event_id):
    return client.ok("GET", client.room(room, "event/" + quote(event_id)))


@pytest.fixture
def people(hs):
    return hs.register("alice"), hs.register("bob"), hs.register("carol")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_room_of_every_version(people, version):
    n = int(version)
    alice, bob, carol = people
    space = alice.create_room(preset="public_chat")
    room = alice.create_room(room_version=version, name="Room")
    create = alice.state(room, "m.room.create")
    assert create["room_version"] == version
    assert create.get("creator") == (alice.user_id if n <= 10 else None)

    # invited, joined, kicked, banned, and back
    refused(bob.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")
    alice.invite(room, bob.user_id)
    bob.join(room)
    first = bob.send(room, "hello")
    assert (":" in first) == (n <= 2)
    assert act(alice, room, "kick", bob)[0] == 200
    assert act(alice, room, "ban", bob)[0] == 200
    refused(bob.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")
    assert act(alice, room, "unban", bob)[0] == 200

    # knocking, where there is such a thing
    set_rule(alice, room, "knock")
    knock = bob.call("POST", V3 + "/knock/" + quote(room))
    if n >= 7:
        assert knock[0] == 200 and membership(alice, room, bob) == "knock"
        alice.invite(room, bob.user_id)
        bob.join(room)
    else:
        refused(knock, 403, "M_FORBIDDEN")

    # joining as a member of another room
    set_rule(alice, room, "restricted", [space])
    carol.join(space)
    join = carol.call("POST", V3 + "/join/" + quote(room))
    if n >= 8:
        assert join[0] == 200
        assert alice.state(room, "m.room.member", carol.user_id)["join_authorised_via_users_server"] == alice.user_id
    else:
        refused(join, 403, "M_FORBIDDEN")
    set_rule(alice, room, "public")
    bob.join(room)
    carol.join(room)

    # power
    levels = alice.state(room, "m.room.power_levels")
    assert (alice.user_id in levels.get("users", {})) == (n <= 11)
    levels.setdefault("users", {})[bob.user_id] = 50
    refused(bob.call("PUT", bob.room(room, "state/m.room.power_levels/"), levels), 403, "M_FORBIDDEN")
    alice.set_state(room, "m.room.power_levels", levels)
    bob.set_state(room, "m.room.topic", {"topic": "bob's"})
    refused(carol.call("PUT", carol.room(room, "state/m.room.topic/"), {"topic": "carol's"}), 403, "M_FORBIDDEN")
    written = {**levels, "ban": "50"}
    assert alice.call("PUT", alice.room(room, "state/m.room.power_levels/"), written)[0] in (400, 403)

    # redaction: in both places for clients, whatever the version
    said = carol.send(room, "secret")
    answer = bob.ok("PUT", bob.room(room, "redact/%s/1" % quote(said)), {"reason": "why"})
    assert event(alice, room, said)["content"] == {}
    redaction = event(alice, room, answer["event_id"])
    assert redaction["redacts"] == redaction["content"]["redacts"] == said
    assert redaction["content"]["reason"] == "why"

    # everybody sees it all
    sent = carol.send(room, "last")
    assert [e["event_id"] for e in bob.messages(room, dir="b", limit=1)["chunk"]] == [sent]
    state = alice.ok("GET", alice.room(room, "state"))
    assert {e["state_key"]: e["content"]["membership"] for e in state if e["type"] == "m.room.member"} == {
        alice.user_id: "join", bob.user_id: "join", carol.user_id: "join"}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_is_upgraded_to_the_newest(people, version):
    alice, bob, carol = people
    room = alice.create_room(preset="public_chat", room_version=version, name="Kept", topic="Kept too")
    bob.join(room)
    assert act(alice, room, "ban", carol)[0] == 200
    new = alice.ok("POST", alice.room(room, "upgrade"), {"new_version": "12"})["replacement_room"]
    create = alice.state(new, "m.room.create")
    assert create["room_version"] == "12" and create["predecessor"]["room_id"] == room
    assert alice.state(new, "m.room.name")["name"] == "Kept" and alice.state(new, "m.room.topic")["topic"] == "Kept too"
    assert membership(alice, new, carol) == "ban"
    assert alice.state(room, "m.room.tombstone")["replacement_room"] == new
    assert alice.user_id not in alice.state(new, "m.room.power_levels").get("users", {})
    refused(bob.call("PUT", bob.room(room, "send/m.room.message/1"), {}), 403, "M_FORBIDDEN")
    bob.join(new)


def test_versions_survive_a_restart(server):
    hs = server()
    alice = hs.register("alice")
    rooms = {version: alice.create_room(room_version=version) for version in VERSIONS}
    hs.stop()
    hs.start()
    for version, room in rooms.items():
        sent = alice.send(room, "after")
        assert event(alice, room, sent)["content"]["body"] == "after"


def test_numbers_that_are_no_integers(people):
    alice = people[0]
    body = '{"msgtype": "m.text", "body": "x", "n": %s}'
    for version in VERSIONS:
        room = alice.create_room(room_version=version)
        for n, number in enumerate(["1.5", "1.0", "1e3", "9007199254740992"]):
            answer = alice.call("PUT", alice.room(room, "send/m.room.message/%d" % n), body % number)
            if int(version) >= 6:
                refused(answer, 400, "M_BAD_JSON")
            else:
                assert answer[0] == 200, answer
        # what no server is known to carry is refused in all of them
        answer = alice.call("PUT", alice.room(room, "send/m.room.message/x"), body % "1e999")
        refused(answer, 400, "M_BAD_JSON")


def test_the_operator_chooses_the_versions(server):
    hs = server(config="[rooms]\ncreatable_versions = 11, 9, 10\ndefault_version = 10\n")
    alice = hs.register("alice")
    have = alice.ok("GET", V3 + "/capabilities")["capabilities"]["m.room_versions"]
    assert have == {"default": "10", "available": {"9": "stable", "10": "stable", "11": "stable"}}
    room = alice.create_room()
    assert alice.state(room, "m.room.create")["room_version"] == "10"
    refused(alice.call("POST", V3 + "/createRoom", {"room_version": "12"}), 400, "M_UNSUPPORTED_ROOM_VERSION")
    refused(alice.call("POST", alice.room(room, "upgrade"), {"new_version": "12"}), 400, "M_UNSUPPORTED_ROOM_VERSION")
    assert alice.state(alice.create_room(room_version="9"), "m.room.create")["room_version"] == "9"


def test_all_stable_versions_are_there_by_default(hs):
    have = hs.register("alice").ok("GET", V3 + "/capabilities")["capabilities"]["m.room_versions"]
    assert have == {"default": "12", "available": {version: "stable" for version in VERSIONS}}


@pytest.mark.parametrize("options,said", [
    ("default_version = 13", "does not know that version"),
    ("creatable_versions = 10, 13", "does not know version 13"),
    ("creatable_versions = 10, 11", "default_version = 12 is not among creatable_versions")])
def test_versions_that_cannot_be(server, options, said):
    hs = server(config="[rooms]\n%s\n" % options, start=False)
    done = subprocess.run([os.path.join(BUILD, "myelind"), "--config", hs.config_file, "--check"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 78 and said in done.stderr and hs.config_file + ":" in done.stderr, done.stderr
