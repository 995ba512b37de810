"""Receipts, read markers and typing, as others see them in /sync."""

import pytest

from myelin import quote, wait_for


def two_in_a_room(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    return alice, bob, room


def ephemeral(answer, room, kind):
    events = answer.get("rooms", {}).get("join", {}).get(room, {}).get("ephemeral", {}).get("events", [])
    return [e["content"] for e in events if e["type"] == kind]


def receipt(client, room, event, kind="m.read", body=None):
    return client.call("POST", client.room(room, "receipt/%s/%s" % (kind, quote(event))), body or {})


def test_receipts_are_seen_by_others(hs):
    alice, bob, room = two_in_a_room(hs)
    event = alice.send(room, "read me")
    since = alice.sync()["next_batch"]
    assert receipt(bob, room, event)[0] == 200
    answer = alice.sync(since)
    content, = ephemeral(answer, room, "m.receipt")
    assert content[event]["m.read"][bob.user_id]["ts"] > 0
    assert answer["rooms"]["join"][room]["timeline"]["events"] == []
    assert ephemeral(alice.sync(), room, "m.receipt")[0][event]["m.read"].keys() == {bob.user_id}


def test_a_receipt_never_moves_backwards(hs):
    alice, bob, room = two_in_a_room(hs)
    first, second = alice.send(room, "1"), alice.send(room, "2")
    assert receipt(bob, room, second)[0] == 200
    since = alice.sync()["next_batch"]
    assert receipt(bob, room, first)[0] == 200
    assert ephemeral(alice.sync(since), room, "m.receipt") == []
    assert second in ephemeral(alice.sync(), room, "m.receipt")[0]


def test_private_receipts_are_seen_by_their_reader_alone(hs):
    alice, bob, room = two_in_a_room(hs)
    other = hs.login(bob.user_id)
    event = alice.send(room, "x")
    since = alice.sync()["next_batch"]
    assert receipt(bob, room, event, "m.read.private")[0] == 200
    assert "rooms" not in alice.sync(since)
    content, = ephemeral(other.sync(since), room, "m.receipt")
    assert bob.user_id in content[event]["m.read.private"]


def test_threaded_receipts(hs):
    alice, bob, room = two_in_a_room(hs)
    root, event = alice.send(room, "root"), alice.send(room, "x")
    since = alice.sync()["next_batch"]
    assert receipt(bob, room, root, body={"thread_id": "main"})[0] == 200
    assert receipt(bob, room, event, body={"thread_id": root})[0] == 200
    content, = ephemeral(alice.sync(since), room, "m.receipt")
    assert content[root]["m.read"][bob.user_id]["thread_id"] == "main"
    assert content[event]["m.read"][bob.user_id]["thread_id"] == root


def test_read_markers(hs):
    alice, bob, room = two_in_a_room(hs)
    event = alice.send(room, "x")
    since = bob.sync()["next_batch"]
    bob.ok("POST", bob.room(room, "read_markers"), {"m.fully_read": event, "m.read": event})
    joined = bob.sync(since)["rooms"]["join"][room]
    assert {e["type"]: e["content"] for e in joined["account_data"]["events"]} == {"m.fully_read": {"event_id": event}}
    assert bob.user_id in joined["ephemeral"]["events"][0]["content"][event]["m.read"]


@pytest.mark.parametrize("kind,event,body,status", [
    ("m.read", "$nosuchevent", {}, 404), ("m.read", "nonsense", {}, 400), ("m.seen", None, {}, 400),
    ("m.read", None, {"thread_id": 5}, 400), ("m.read", None, {"thread_id": "x"}, 400)])
def test_bad_receipts(hs, kind, event, body, status):
    alice, bob, room = two_in_a_room(hs)
    event = event or alice.send(room, "x")
    got, answer = receipt(bob, room, event, kind, body)
    assert got == status and answer["errcode"].startswith("M_")


def test_receipts_need_membership(hs):
    alice, bob, room = two_in_a_room(hs)
    stranger = hs.register("stranger")
    event = alice.send(room, "x")
    assert receipt(stranger, room, event)[0] == 403


def typing(client, room, on, timeout=30000, user=None):
    return client.call("PUT", client.room(room, "typing/" + quote(user or client.user_id)),
                       {"typing": on, "timeout": timeout} if on else {"typing": False})


def test_typing_comes_and_goes(hs):
    alice, bob, room = two_in_a_room(hs)
    since = alice.sync()["next_batch"]
    assert typing(bob, room, True)[0] == 200
    answer = alice.sync(since, timeout=10000)
    assert ephemeral(answer, room, "m.typing") == [{"user_ids": [bob.user_id]}]
    assert "rooms" not in alice.sync(answer["next_batch"]), "it is told once"
    assert typing(bob, room, False)[0] == 200
    answer = alice.sync(answer["next_batch"], timeout=10000)
    assert ephemeral(answer, room, "m.typing") == [{"user_ids": []}]


def test_a_typing_timeout_wakes_sync(hs):
    alice, bob, room = two_in_a_room(hs)
    since = alice.sync()["next_batch"]
    assert typing(bob, room, True, timeout=300)[0] == 200
    answer = alice.sync(since, timeout=10000)
    assert ephemeral(answer, room, "m.typing") == [{"user_ids": [bob.user_id]}]
    answer = alice.sync(answer["next_batch"], timeout=20000)
    assert ephemeral(answer, room, "m.typing") == [{"user_ids": []}]


def test_a_message_ends_typing(hs):
    alice, bob, room = two_in_a_room(hs)
    since = alice.sync()["next_batch"]
    typing(bob, room, True)
    since = alice.sync(since, timeout=10000)["next_batch"]
    bob.send(room, "done")

    def ended():
        nonlocal since
        answer = alice.sync(since, timeout=1000)
        since = answer["next_batch"]
        return {"user_ids": []} in ephemeral(answer, room, "m.typing")

    wait_for(ended, "typing to end")


def test_typing_is_refused(hs):
    alice, bob, room = two_in_a_room(hs)
    stranger = hs.register("stranger")
    assert typing(stranger, room, True)[0] == 403
    assert typing(bob, room, True, user=alice.user_id)[0] == 403
    assert bob.call("PUT", bob.room(room, "typing/" + quote(bob.user_id)), {"typing": "yes"})[0] == 400
    assert bob.call("PUT", bob.room(room, "typing/" + quote(bob.user_id)), {})[0] == 400
