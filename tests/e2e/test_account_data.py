"""Account data and tags, read back, and through /sync."""

import pytest

from myelin import quote


def path(client, rest, room=None):
    middle = "rooms/%s/" % quote(room) if room else ""
    return "/_matrix/client/v3/user/%s/%s%s" % (quote(client.user_id), middle, rest)


def events(part):
    return {e["type"]: e["content"] for e in part.get("account_data", {}).get("events", [])}


def test_global_account_data(hs):
    alice = hs.register("alice")
    since = alice.sync()["next_batch"]
    assert alice.call("GET", path(alice, "account_data/org.example"))[0] == 404
    alice.ok("PUT", path(alice, "account_data/org.example"), {"a": [1, "ü"]})
    assert alice.ok("GET", path(alice, "account_data/org.example")) == {"a": [1, "ü"]}
    answer = alice.sync(since)
    assert events(answer) == {"org.example": {"a": [1, "ü"]}}
    assert events(alice.sync())["org.example"] == {"a": [1, "ü"]}
    alice.ok("PUT", path(alice, "account_data/org.example"), {})
    assert events(alice.sync(answer["next_batch"])) == {"org.example": {}}


def test_room_account_data_and_tags(hs):
    alice = hs.register("alice")
    room = alice.create_room()
    since = alice.sync()["next_batch"]
    alice.ok("PUT", path(alice, "account_data/org.example", room), {"x": 1})
    alice.ok("PUT", path(alice, "tags/m.favourite", room), {"order": 0.5})
    alice.ok("PUT", path(alice, "tags/u.work", room), {})
    assert alice.ok("GET", path(alice, "tags", room)) == {"tags": {"m.favourite": {"order": 0.5}, "u.work": {}}}
    joined = alice.sync(since)["rooms"]["join"][room]
    assert events(joined) == {"org.example": {"x": 1}, "m.tag": {"tags": {"m.favourite": {"order": 0.5}, "u.work": {}}}}
    assert joined["timeline"]["events"] == []
    alice.ok("DELETE", path(alice, "tags/u.work", room))
    assert alice.ok("GET", path(alice, "tags", room)) == {"tags": {"m.favourite": {"order": 0.5}}}


def test_nobody_reads_or_sets_anothers(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    assert bob.call("PUT", path(alice, "account_data/org.example"), {})[0] == 403
    assert bob.call("GET", path(alice, "account_data/org.example"))[0] == 403
    since = bob.sync()["next_batch"]
    alice.ok("PUT", path(alice, "account_data/org.example"), {"secret": True})
    assert "account_data" not in bob.sync(since)


@pytest.mark.parametrize("kind", ["m.fully_read", "m.push_rules"])
def test_types_of_the_server_are_refused(hs, kind):
    alice = hs.register("alice")
    status, answer = alice.call("PUT", path(alice, "account_data/" + kind), {})
    assert (status, answer["errcode"]) == (405, "M_BAD_JSON")


@pytest.mark.parametrize("body,status", [("[]", 400), ("{", 400), ("", 400), ('"x"', 400)])
def test_bad_bodies(hs, body, status):
    alice = hs.register("alice")
    got, answer = alice.call("PUT", path(alice, "account_data/org.example"), body or "null")
    assert got == status and answer["errcode"] in ("M_NOT_JSON", "M_BAD_JSON")


def test_too_large_content(hs):
    alice = hs.register("alice")
    status, answer = alice.call("PUT", path(alice, "account_data/org.example"), {"x": "y" * 70000})
    assert (status, answer["errcode"]) == (413, "M_TOO_LARGE")


def test_ignored_users_messages_are_not_shown(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    since = alice.sync()["next_batch"]
    alice.ok("PUT", path(alice, "account_data/m.ignored_user_list"), {"ignored_users": {bob.user_id: {}}})
    bob.send(room, "hidden")
    shown = alice.send(room, "shown")
    got = alice.sync(since)["rooms"]["join"][room]["timeline"]["events"]
    assert [e["event_id"] for e in got] == [shown]
    alice.ok("PUT", path(alice, "account_data/m.ignored_user_list"), {"ignored_users": {}})
    since = alice.sync()["next_batch"]
    bob.send(room, "visible again")
    assert alice.sync(since)["rooms"]["join"][room]["timeline"]["events"][0]["content"]["body"] == "visible again"
    other = bob.create_room(preset="private_chat")
    alice.ok("PUT", path(alice, "account_data/m.ignored_user_list"), {"ignored_users": {bob.user_id: {}}})
    since = alice.sync()["next_batch"]
    bob.invite(other, alice.user_id)
    assert "invite" not in alice.sync(since).get("rooms", {})
