"""What client libraries demand beyond the letter of the specification: the js-sdk, nio, mautrix and what is made with them."""

import json
import threading
import urllib.parse

import pytest

from myelin import PASSWORD, quote, wait_for

V3 = "/_matrix/client/v3"


@pytest.fixture
def alice(hs):
    return hs.register("alice")


@pytest.fixture
def bob(hs):
    return hs.register("bob")


def refused(answer, status, errcode):
    assert answer[0] == status and answer[1]["errcode"] == errcode, answer


# ---- the js-sdk ----

@pytest.mark.parametrize("path", [
    "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", "/_matrix/client/v1/auth_metadata",
    "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
    "/_matrix/client/v3/nothing", "/_matrix/client/v9/sync", "/_matrix/nothing", "/_matrix/client/v3/sync/more",
])
def test_probing_for_a_feature_finds_none(alice, path):
    for method in ("GET", "PUT", "POST", "DELETE"):
        refused(alice.call(method, path), 404, "M_UNRECOGNIZED")


@pytest.mark.parametrize("method, path", [
    ("POST", "/sync"), ("PUT", "/login"), ("GET", "/createRoom"), ("DELETE", "/rooms/!r:localhost/messages"),
    ("POST", "/rooms/!r:localhost/send/m.room.message/1"), ("PATCH", "/profile/@a:localhost/displayname"),
])
def test_a_wrong_method_is_told_apart_from_a_missing_route(alice, method, path):
    refused(alice.call(method, V3 + path), 405, "M_UNRECOGNIZED")
    assert alice.raw("OPTIONS", V3 + path)[0] in (200, 204), "a browser asks first"


def js_sync(client, since=None, **more):
    """/sync as the js-sdk says it."""
    query = {"timeout": 0, "org.matrix.msc4222.use_state_after": "true", **more}
    if since is None:
        query["filter"] = json.dumps({"room": {"timeline": {"limit": 20}, "state": {"lazy_load_members": True}}})
        query["_cacheBuster"] = "1700000000000"
    else:
        query["since"] = since
    return client.ok("GET", V3 + "/sync?" + urllib.parse.urlencode(query))


def after(joined):
    part = joined.get("state_after", joined.get("org.matrix.msc4222.state_after"))
    return {(e["type"], e["state_key"]): e["content"] for e in part["events"]}


def test_state_after_is_the_state_after_the_timeline(alice):
    room = alice.create_room(name="one")
    answer = js_sync(alice)
    joined = answer["rooms"]["join"][room]
    assert "state" not in joined
    state = after(joined)
    # What stands in the timeline stands there too.
    assert state[("m.room.name", "")] == {"name": "one"} and ("m.room.create", "") in state
    assert state[("m.room.member", alice.user_id)]["membership"] == "join"
    alice.set_state(room, "m.room.name", {"name": "two"})
    alice.send(room, "hello")
    joined = js_sync(alice, answer["next_batch"])["rooms"]["join"][room]
    assert after(joined) == {("m.room.name", ""): {"name": "two"}}
    assert [e["type"] for e in joined["timeline"]["events"]] == ["m.room.name", "m.room.message"]


def test_state_after_with_lazy_members_has_who_speaks(hs, alice, bob):
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    lazy = json.dumps({"room": {"state": {"lazy_load_members": True}}})
    since = js_sync(alice)["next_batch"]
    bob.send(room, "hello")
    joined = js_sync(alice, since, filter=lazy)["rooms"]["join"][room]
    assert after(joined)[("m.room.member", bob.user_id)]["membership"] == "join"


def test_the_echo_of_a_message_is_recognised_everywhere(hs, alice):
    """Without unsigned.transaction_id each message shows twice; on another device it means nothing."""
    other = hs.login(alice.user_id)
    room = alice.create_room()
    event = alice.send(room, "once", txn="m1700000000.0")
    places = {
        "event": lambda c: c.ok("GET", c.room(room, "event/" + quote(event))),
        "context": lambda c: c.ok("GET", c.room(room, "context/" + quote(event)))["event"],
        "messages": lambda c: c.messages(room, dir="b", limit=1)["chunk"][0],
        "sync": lambda c: c.sync()["rooms"]["join"][room]["timeline"]["events"][-1],
    }
    for name, get in places.items():
        assert get(alice)["event_id"] == event
        assert get(alice)["unsigned"].get("transaction_id") == "m1700000000.0", name
        assert "transaction_id" not in get(other).get("unsigned", {}), name


def test_a_permalink_opens(alice):
    room = alice.create_room()
    event = alice.send(room, "here")
    alice.send(room, "later")
    answer = alice.ok("GET", alice.room(room, "context/%s?limit=0" % quote(event)))
    assert answer["event"]["event_id"] == event and answer["events_before"] == answer["events_after"] == []
    back = alice.messages(room, dir="b", limit=1, **{"from": answer["start"]})["chunk"]
    forth = alice.messages(room, dir="f", limit=1, **{"from": answer["end"]})["chunk"]
    assert event not in [e["event_id"] for e in back] and forth[0]["content"]["body"] == "later"
    page = alice.messages(room, dir="b", limit=100)
    assert "end" not in page and page["chunk"][-1]["type"] == "m.room.create"


def test_account_data_comes_back_even_empty(alice):
    path = V3 + "/user/%s/account_data/im.vector.setting" % quote(alice.user_id)
    since = alice.sync()["next_batch"]
    for content in ({}, {"a": 1}, {"a": 1}, {}):
        alice.ok("PUT", path, content)
        answer = alice.sync(since, timeout=10000)
        assert [(e["type"], e["content"]) for e in answer["account_data"]["events"]] == [("im.vector.setting", content)]
        since = answer["next_batch"]


def test_a_poll_of_a_gone_device_ends_with_an_error(hs, alice):
    phone = hs.login(alice.user_id)
    since = phone.sync()["next_batch"]
    ended = []
    poll = threading.Thread(target=lambda: ended.append(
        phone.call("GET", V3 + "/sync?timeout=30000&since=" + since)))
    poll.start()
    alice.ok("POST", V3 + "/delete_devices", {"devices": [phone.device_id], "auth": {
        "type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.user_id}, "password": PASSWORD}})
    poll.join(20)
    assert not poll.is_alive()
    refused(ended[0], 401, "M_UNKNOWN_TOKEN")
    refused(phone.call("GET", V3 + "/sync"), 401, "M_UNKNOWN_TOKEN")


# ---- user-interactive authentication ----

def test_a_wrong_password_may_be_corrected_in_the_same_session(hs, alice):
    phone = hs.login(alice.user_id)
    path = V3 + "/devices/" + phone.device_id
    status, first = alice.call("DELETE", path, {})
    assert status == 401 and "errcode" not in first

    def attempt(password):
        return alice.call("DELETE", path, {"auth": {
            "type": "m.login.password", "session": first["session"], "password": password,
            "identifier": {"type": "m.id.user", "user": alice.user_id}}})

    status, again = attempt("wrong")
    assert status == 401 and again["errcode"] == "M_FORBIDDEN"
    assert again["session"] == first["session"] and again["flows"] == first["flows"]
    assert attempt(PASSWORD) == (200, {})


def test_registering_takes_one_request_or_two(hs):
    anyone = hs.client()
    name = "oneshot%d" % hs.port
    answer = anyone.ok("POST", V3 + "/register", {
        "username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"}, "device_id": "", "initial_device_display_name": ""})
    assert answer["user_id"] == "@%s:localhost" % name and answer["access_token"] and answer["device_id"]
    body = {"username": name + "b", "password": PASSWORD}
    status, first = anyone.call("POST", V3 + "/register", body)
    assert status == 401 and {"stages": ["m.login.dummy"]} in first["flows"]
    answer = anyone.ok("POST", V3 + "/register", {**body, "auth": {"type": "m.login.dummy", "session": first["session"]}})
    assert answer["user_id"] == "@%sb:localhost" % name


def test_accounts_by_the_shared_secret_have_devices_of_their_own(hs):
    clients = [hs.register("many") for _ in range(5)]
    assert len({c.device_id for c in clients}) == 5
    for client in clients:
        assert client.ok("GET", V3 + "/account/whoami")["device_id"] == client.device_id


# ---- mautrix: bots and bridges ----

def test_state_as_an_event(alice):
    room = alice.create_room(name="N")
    event = alice.ok("GET", alice.room(room, "state/m.room.name?format=event"))
    assert event["content"] == {"name": "N"} and event["sender"] == alice.user_id and event["room_id"] == room
    assert event["type"] == "m.room.name" and event["state_key"] == "" and event["event_id"].startswith("$")
    assert alice.ok("GET", alice.room(room, "state/m.room.name/?format=event"))["event_id"] == event["event_id"]
    refused(alice.call("GET", alice.room(room, "state/m.room.topic?format=event")), 404, "M_NOT_FOUND")


def test_peeking(alice, bob):
    room = alice.create_room(preset="public_chat", initial_state=[
        {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}])
    event = alice.send(room, "for everybody")
    answer = bob.ok("GET", bob.room(room, "initialSync?limit=10"))
    assert answer["room_id"] == room and event in [e["event_id"] for e in answer["messages"]["chunk"]]
    assert ("m.room.create", "") in {(e["type"], e["state_key"]) for e in answer["state"]}


def test_slashes_inside_path_segments(hs, alice):
    room = alice.create_room()
    key, name = "a/b?c#d%2F", "o/%d" % hs.port
    alice.set_state(room, "org.example/x", {"v": 1}, key)
    assert alice.state(room, "org.example/x", key) == {"v": 1}
    alice.ok("PUT", alice.room(room, "send/%s/%s" % (quote("a/b"), quote("t/1"))), {})
    assert alice.messages(room, dir="b", limit=1)["chunk"][0]["type"] == "a/b"
    alias = "#%s:localhost" % name
    alice.ok("PUT", V3 + "/directory/room/" + quote(alias), {"room_id": room})
    assert alice.ok("GET", V3 + "/directory/room/" + quote(alias))["room_id"] == room
    assert alice.ok("POST", V3 + "/join/" + quote(alias)) == {"room_id": room}
    path = V3 + "/user/%s/account_data/%s" % (quote(alice.user_id), quote("org.example/y"))
    alice.ok("PUT", path, {"w": 1})
    assert alice.ok("GET", path) == {"w": 1}


def test_the_rooms_of_an_invite_are_known_by_their_stripped_state(alice, bob):
    room = alice.create_room(name="Party", creation_content={"type": "m.space"}, initial_state=[
        {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}])
    since = bob.sync()["next_batch"]
    alice.invite(room, bob.user_id)
    events = bob.sync(since)["rooms"]["invite"][room]["invite_state"]["events"]
    stripped = {(e["type"], e["state_key"]): e for e in events}
    assert stripped[("m.room.create", "")]["content"]["type"] == "m.space"
    assert stripped[("m.room.name", "")]["content"] == {"name": "Party"}
    assert stripped[("m.room.join_rules", "")]["content"] == {"join_rule": "invite"}
    assert stripped[("m.room.encryption", "")]["content"]["algorithm"] == "m.megolm.v1.aes-sha2"
    assert stripped[("m.room.member", alice.user_id)]["content"]["membership"] == "join"
    mine = stripped[("m.room.member", bob.user_id)]
    assert mine["content"]["membership"] == "invite" and mine["sender"] == alice.user_id


def test_the_rooms_of_a_knock_are_known_by_their_stripped_state(alice, bob):
    room = alice.create_room(name="Club", initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}])
    since = bob.sync()["next_batch"]
    bob.ok("POST", V3 + "/knock/" + quote(room), {"reason": "please"})
    events = bob.sync(since)["rooms"]["knock"][room]["knock_state"]["events"]
    stripped = {(e["type"], e["state_key"]): e["content"] for e in events}
    assert stripped[("m.room.name", "")] == {"name": "Club"} and ("m.room.create", "") in stripped
    assert stripped[("m.room.join_rules", "")] == {"join_rule": "knock"}
    assert stripped[("m.room.member", bob.user_id)]["membership"] == "knock"


def test_joins_that_are_refused_are_forbidden(alice, bob):
    banned, closed = alice.create_room(preset="public_chat"), alice.create_room()
    restricted = alice.create_room(initial_state=[{"type": "m.room.join_rules", "content": {
        "join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": closed}]}}])
    alice.ok("POST", alice.room(banned, "ban"), {"user_id": bob.user_id})
    for room in (banned, closed, restricted):
        refused(bob.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")
        refused(bob.call("POST", bob.room(room, "join")), 403, "M_FORBIDDEN")


def test_typing_that_runs_out_wakes_who_waits(alice, bob):
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    alice.ok("PUT", alice.room(room, "typing/" + quote(alice.user_id)), {"typing": True, "timeout": 500})
    seen = {"since": bob.sync()["next_batch"]}

    def stopped():
        answer = bob.sync(seen["since"], timeout=10000)
        seen["since"] = answer["next_batch"]
        events = answer.get("rooms", {}).get("join", {}).get(room, {}).get("ephemeral", {}).get("events", [])
        return any(e["type"] == "m.typing" and e["content"]["user_ids"] == [] for e in events)

    wait_for(stopped, "typing to end")
