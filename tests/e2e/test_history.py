"""A room's history: paging, context, the event at a time, filters, and who may see what."""

import json
import threading
import time

import pytest

from myelin import quote, wait_for

V3 = "/_matrix/client/v3"


def refused(answer, status, errcode):
    assert answer[0] == status and answer[1]["errcode"] == errcode, answer


def bodies(chunk):
    return [e["content"].get("body") for e in chunk if e["type"] == "m.room.message"]


def pages(client, room, **query):
    """All pages, as lists of events."""
    found = []
    while True:
        answer = client.messages(room, **query)
        found.append(answer["chunk"])
        assert len(found) < 1000
        if "end" not in answer:
            return found
        query["from"] = answer["end"]


def everything(client, room, **query):
    return [e for page in pages(client, room, **query) for e in page]


@pytest.fixture
def alice(hs):
    return hs.register("alice")


def filled(client, n, **body):
    room = client.create_room(**body)
    return room, [client.send(room, "m%d" % i) for i in range(n)]


# ---- /messages ----

@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_both_directions_give_each_event_once(alice, limit):
    room, sent = filled(alice, 20)
    back = everything(alice, room, dir="b", limit=limit)
    forth = everything(alice, room, dir="f", limit=limit)
    ids = [e["event_id"] for e in forth]
    assert len(set(ids)) == len(ids) and [e["event_id"] for e in back] == ids[::-1]
    assert ids[-20:] == sent
    assert forth[0]["type"] == "m.room.create"
    assert all(e["room_id"] == room for e in forth)


def test_there_is_no_end_at_the_start_of_the_room(alice):
    room, _ = filled(alice, 3)
    answer = alice.messages(room, dir="b", limit=100)
    assert "end" not in answer and answer["chunk"][-1]["type"] == "m.room.create"
    n = len(answer["chunk"])
    # Not even when the page holds exactly what there is.
    assert "end" not in alice.messages(room, dir="b", limit=n)
    assert "end" in alice.messages(room, dir="b", limit=n - 1)


def test_pages_begin_at_tokens_of_sync(alice):
    room, sent = filled(alice, 5)
    token = alice.sync()["next_batch"]
    later = [alice.send(room, "later%d" % i) for i in range(5)]
    back = alice.messages(room, dir="b", limit=3, **{"from": token})
    assert back["start"] == token and [e["event_id"] for e in back["chunk"]] == sent[:1:-1]
    forth = alice.messages(room, dir="f", limit=10, **{"from": token})
    assert [e["event_id"] for e in forth["chunk"]] == later and "end" not in forth
    answer = alice.sync(token, filter={"room": {"timeline": {"limit": 2}}})
    timeline = answer["rooms"]["join"][room]["timeline"]
    assert timeline["limited"]
    gap = alice.messages(room, dir="b", to=token, **{"from": timeline["prev_batch"]})
    assert [e["event_id"] for e in gap["chunk"]] == later[2::-1] and "end" not in gap


def test_to_is_where_it_stops(alice):
    room, sent = filled(alice, 3)
    token = alice.sync()["next_batch"]
    more = [alice.send(room, "x%d" % i) for i in range(3)]
    forth = alice.messages(room, dir="f", to=token, limit=100)
    assert forth["chunk"][-1]["event_id"] == sent[-1]
    back = everything(alice, room, dir="b", to=token, limit=2)
    assert [e["event_id"] for e in back] == more[::-1]


def test_writing_at_once_loses_nothing(hs, alice):
    room = alice.create_room(preset="public_chat")
    writers = [hs.register("writer") for _ in range(8)]
    sent = []

    def write(who):
        who.join(room)
        sent.extend([who.send(room, "x") for _ in range(10)])

    threads = [threading.Thread(target=write, args=(w,)) for w in writers]
    [t.start() for t in threads]
    [t.join() for t in threads]
    seen = [e["event_id"] for e in everything(alice, room, dir="b", limit=7) if e["type"] == "m.room.message"]
    assert len(seen) == 80 and set(seen) == set(sent)


def test_limits(alice):
    room, sent = filled(alice, 15)
    assert len(alice.messages(room, dir="b")["chunk"]) == 10
    none = alice.messages(room, dir="b", limit=0)
    assert none["chunk"] == [] and none["end"]
    assert alice.messages(room, dir="b", limit=1, **{"from": none["end"]})["chunk"][0]["event_id"] == sent[-1]
    assert len(alice.messages(room, dir="b", limit=10 ** 9)["chunk"]) > 15


@pytest.mark.parametrize("query,errcode", [
    ("", "M_MISSING_PARAM"), ("dir=x", "M_INVALID_PARAM"), ("dir=b&limit=-1", "M_INVALID_PARAM"),
    ("dir=b&limit=x", "M_INVALID_PARAM"), ("dir=b&from=nonsense", "M_INVALID_PARAM"), ("dir=b&from=s1", "M_INVALID_PARAM"),
    ("dir=b&from=s99999999999999999999_0", "M_INVALID_PARAM"), ("dir=f&to=s-1_-1", "M_INVALID_PARAM"),
    ("dir=b&filter=%7B", "M_NOT_JSON"), ("dir=b&filter=%5B%5D", "M_BAD_JSON"),
    ("dir=b&filter=" + quote('{"types":1}'), "M_BAD_JSON"), ("dir=b&filter=" + quote('{"senders":["x"]}'), "M_BAD_JSON"),
    ("dir=b&filter=" + quote('{"types":' + "[" * 200 + "]" * 200 + "}"), "M_BAD_JSON")])
def test_bad_queries(alice, query, errcode):
    room = alice.create_room()
    refused(alice.call("GET", alice.room(room, "messages?" + query)), 400, errcode)


def test_a_token_beyond_the_end_is_harmless(alice):
    room, sent = filled(alice, 2)
    far = "s%d_0" % (2 ** 63 - 1)
    assert alice.messages(room, dir="b", limit=1, **{"from": far})["chunk"][0]["event_id"] == sent[-1]
    assert alice.messages(room, dir="f", **{"from": far})["chunk"] == []


# ---- filters ----

def test_filters(hs, alice):
    bob = hs.register("bob")
    room, _ = filled(alice, 5, preset="public_chat")
    bob.join(room)
    image = bob.ok("PUT", bob.room(room, "send/m.room.message/1"), {"msgtype": "m.image", "body": "i", "url": "mxc://a/b"})
    reaction = bob.ok("PUT", bob.room(room, "send/m.reaction/1"), {})["event_id"]
    get = lambda **f: [e["event_id"] for e in everything(alice, room, dir="b", limit=4, filter=json.dumps(f))]
    assert len(get(types=["m.room.message"])) == 6
    assert len(get(types=["m.room.mess*"])) == 6
    assert get(types=["m.rea*"]) == [reaction]
    assert image["event_id"] in get(senders=[bob.user_id]) and len(get(senders=[bob.user_id])) == 3
    assert reaction not in get(not_senders=[bob.user_id])
    assert get(types=["m.room.message", "m.reaction"], not_types=["m.room.message"]) == [reaction]
    assert get(contains_url=True) == [image["event_id"]]
    assert image["event_id"] not in get(contains_url=False)
    assert get(types=[]) == [] and get(not_types=["*"]) == [] and get(rooms=["!other:localhost"]) == []
    assert get(not_rooms=[room]) == [] and len(get(rooms=[room])) > 5


def test_a_rare_event_is_found_far_back(alice):
    room = alice.create_room()
    rare = alice.ok("PUT", alice.room(room, "send/org.example.rare/1"), {})["event_id"]
    for i in range(250):
        alice.send(room, "x")
    answer = alice.messages(room, dir="b", limit=5, filter='{"types":["org.example.rare"]}')
    assert [e["event_id"] for e in answer["chunk"]] == [rare]


def test_lazy_members_come_with_the_page(hs, alice):
    bob, carol = hs.register("bob"), hs.register("carol")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    carol.join(room)
    bob.send(room, "x")
    answer = alice.messages(room, dir="b", limit=1, filter='{"lazy_load_members":true}')
    assert [(e["type"], e["state_key"]) for e in answer["state"]] == [("m.room.member", bob.user_id)]
    assert answer["state"][0]["room_id"] == room
    assert "state" not in alice.messages(room, dir="b", limit=1)


# ---- who sees what ----

def visibility(value):
    return [{"type": "m.room.history_visibility", "content": {"history_visibility": value}}]


@pytest.mark.parametrize("value,sees_old", [("shared", True), ("joined", False), ("invited", False), ("world_readable", True)])
def test_history_before_joining(hs, alice, value, sees_old):
    bob = hs.register("bob")
    room = alice.create_room(preset="public_chat", initial_state=visibility(value))
    old = alice.send(room, "old")
    bob.join(room)
    new = alice.send(room, "new")
    seen = [e["event_id"] for e in everything(bob, room, dir="b", limit=3)]
    assert (old in seen) == sees_old and new in seen
    status, _ = bob.call("GET", bob.room(room, "event/" + quote(old)))
    assert status == (200 if sees_old else 404)


def test_history_since_the_invite(hs, alice):
    bob = hs.register("bob")
    room = alice.create_room(initial_state=visibility("invited"))
    before = alice.send(room, "before")
    alice.invite(room, bob.user_id)
    between = alice.send(room, "between")
    bob.join(room)
    seen = [e["event_id"] for e in everything(bob, room, dir="b")]
    assert between in seen and before not in seen


def test_history_after_leaving(hs, alice):
    bob, eve = hs.register("bob"), hs.register("eve")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    seen = alice.send(room, "seen")
    bob.leave(room)
    alice.send(room, "unseen")
    chunk = everything(bob, room, dir="b", limit=5)
    assert seen in [e["event_id"] for e in chunk] and "unseen" not in bodies(chunk)
    assert "unseen" not in bodies(everything(bob, room, dir="f", limit=5))
    refused(eve.call("GET", eve.room(room, "messages?dir=b")), 403, "M_FORBIDDEN")
    refused(eve.call("GET", eve.room("!unknown:localhost", "messages?dir=b")), 403, "M_FORBIDDEN")
    refused(eve.call("GET", eve.room("nonsense", "messages?dir=b")), 400, "M_INVALID_PARAM")


def test_the_invited_do_not_read(hs, alice):
    bob = hs.register("bob")
    room = alice.create_room(invite=[bob.user_id])
    refused(bob.call("GET", bob.room(room, "messages?dir=b")), 403, "M_FORBIDDEN")


def test_anybody_reads_a_world_readable_room(hs, alice):
    eve = hs.register("eve")
    room = alice.create_room(initial_state=visibility("world_readable"))
    alice.send(room, "x")
    assert bodies(eve.messages(room, dir="b")["chunk"]) == ["x"]
    alice.set_state(room, "m.room.history_visibility", {"history_visibility": "shared"})
    refused(eve.call("GET", eve.room(room, "messages?dir=b")), 403, "M_FORBIDDEN")


# ---- /context ----

def context(client, room, event, query=""):
    return client.ok("GET", client.room(room, "context/%s%s" % (quote(event), query)))


def test_context(alice):
    room, sent = filled(alice, 11)
    answer = context(alice, room, sent[5], "?limit=4")
    assert answer["event"]["event_id"] == sent[5]
    assert [e["event_id"] for e in answer["events_before"]] == [sent[4], sent[3]]
    assert [e["event_id"] for e in answer["events_after"]] == [sent[6], sent[7]]
    assert ("m.room.create", "") in {(e["type"], e["state_key"]) for e in answer["state"]}
    back = alice.messages(room, dir="b", limit=1, **{"from": answer["start"]})
    assert [e["event_id"] for e in back["chunk"]] == [sent[2]]
    forth = alice.messages(room, dir="f", limit=1, **{"from": answer["end"]})
    assert [e["event_id"] for e in forth["chunk"]] == [sent[8]]


def test_context_of_nothing_around(alice):
    """All permalinks begin so."""
    room, sent = filled(alice, 3)
    answer = context(alice, room, sent[1], "?limit=0")
    assert answer["event"]["event_id"] == sent[1]
    assert answer["events_before"] == [] and answer["events_after"] == []
    assert alice.messages(room, dir="b", limit=1, **{"from": answer["start"]})["chunk"][0]["event_id"] == sent[0]
    assert alice.messages(room, dir="f", limit=1, **{"from": answer["end"]})["chunk"][0]["event_id"] == sent[2]


def test_context_state_is_that_of_the_last_event(alice):
    room = alice.create_room(name="first")
    sent = alice.send(room, "x")
    alice.set_state(room, "m.room.name", {"name": "second"})
    name = lambda answer: [e["content"]["name"] for e in answer["state"] if e["type"] == "m.room.name"]
    assert name(context(alice, room, sent, "?limit=0")) == ["first"]
    assert name(context(alice, room, sent, "?limit=10")) == ["second"]


def test_context_filters_and_lazy_members(hs, alice):
    bob = hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    a = alice.send(room, "a")
    bob.ok("PUT", bob.room(room, "send/m.reaction/1"), {})
    answer = context(alice, room, a, "?filter=" + quote('{"types":["m.room.message"]}'))
    assert answer["events_after"] == [] and answer["state"] == []
    answer = context(alice, room, a, "?limit=0&filter=" + quote('{"lazy_load_members":true}'))
    assert [e["state_key"] for e in answer["state"] if e["type"] == "m.room.member"] == [alice.user_id]


def test_context_of_what_may_not_be_seen(hs, alice):
    bob = hs.register("bob")
    room = alice.create_room(preset="public_chat", initial_state=visibility("joined"))
    old = alice.send(room, "old")
    other = alice.send(alice.create_room(), "x")
    bob.join(room)
    get = lambda event, query="": bob.call("GET", bob.room(room, "context/%s%s" % (quote(event), query)))
    refused(get(old), 404, "M_NOT_FOUND")
    refused(get(other), 404, "M_NOT_FOUND")
    refused(get("$nothing"), 404, "M_NOT_FOUND")
    refused(get("nonsense"), 404, "M_NOT_FOUND")
    refused(get(old, "?limit=-5"), 400, "M_INVALID_PARAM")
    new = alice.send(room, "new")
    assert "old" not in bodies(context(bob, room, new)["events_before"])


# ---- /timestamp_to_event ----

def at_time(client, room, ts, direction):
    return client.call("GET", "/_matrix/client/v1/rooms/%s/timestamp_to_event?ts=%s&dir=%s" % (quote(room), ts, direction))


def test_the_event_at_a_time(alice):
    room = alice.create_room()
    sent = []
    for i in range(6):
        time.sleep(0.003)  # events need different times
        sent.append(alice.send(room, "x"))
    ts = [alice.ok("GET", alice.room(room, "event/" + quote(e)))["origin_server_ts"] for e in sent]
    for event, t in zip(sent, ts):
        for direction in "fb":
            assert at_time(alice, room, t, direction) == (200, {"event_id": event, "origin_server_ts": t})
    assert at_time(alice, room, ts[2] + 1, "b")[1]["event_id"] == sent[2]
    assert at_time(alice, room, ts[2] + 1, "f")[1]["event_id"] == sent[3]
    first = alice.messages(room, dir="f", limit=1)["chunk"][0]
    assert at_time(alice, room, 0, "f")[1]["event_id"] == first["event_id"]
    assert at_time(alice, room, 2 ** 62, "b")[1]["event_id"] == sent[-1]
    refused(at_time(alice, room, 0, "b"), 404, "M_NOT_FOUND")
    refused(at_time(alice, room, 2 ** 62, "f"), 404, "M_NOT_FOUND")


def test_the_event_at_a_time_may_be_seen(hs, alice):
    bob, eve = hs.register("bob"), hs.register("eve")
    room = alice.create_room(preset="public_chat", initial_state=visibility("joined"))
    time.sleep(0.003)  # not in the millisecond of what anybody may see
    old = alice.send(room, "old")
    ts = alice.ok("GET", alice.room(room, "event/" + quote(old)))["origin_server_ts"]
    alice.send(room, "old too")
    bob.join(room)
    status, answer = at_time(bob, room, ts, "f")
    assert status == 200
    event = bob.ok("GET", bob.room(room, "event/" + quote(answer["event_id"])))
    assert event["type"] == "m.room.member" and event["state_key"] == bob.user_id
    refused(at_time(eve, room, 0, "f"), 403, "M_FORBIDDEN")
    refused(at_time(bob, room, "x", "f"), 400, "M_INVALID_PARAM")
    refused(at_time(bob, room, -1, "f"), 400, "M_INVALID_PARAM")
    refused(at_time(bob, room, 1, "x"), 400, "M_INVALID_PARAM")
    refused(bob.call("GET", "/_matrix/client/v1/rooms/%s/timestamp_to_event?dir=f" % quote(room)), 400, "M_MISSING_PARAM")


# ---- /initialSync ----

def test_initial_sync_of_a_room(hs, alice):
    eve = hs.register("eve")
    room, sent = filled(alice, 3, preset="public_chat", visibility="public", initial_state=visibility("world_readable"))
    answer = eve.ok("GET", eve.room(room, "initialSync?limit=2"))
    assert answer["room_id"] == room and answer["visibility"] == "public" and "membership" not in answer
    assert [e["event_id"] for e in answer["messages"]["chunk"]] == sent[1:]
    assert eve.messages(room, dir="b", limit=1, **{"from": answer["messages"]["start"]})["chunk"][0]["event_id"] == sent[0]
    assert ("m.room.create", "") in {(e["type"], e["state_key"]) for e in answer["state"]}
    assert alice.ok("GET", alice.room(room, "initialSync"))["membership"] == "join"
    private = alice.create_room()
    refused(eve.call("GET", eve.room(private, "initialSync")), 403, "M_FORBIDDEN")


def test_events_say_what_the_reader_was(hs, alice):
    bob = hs.register("bob")
    room = alice.create_room(preset="public_chat")
    before = alice.send(room, "before")
    bob.join(room)
    after = alice.send(room, "after")
    bob.ok("PUT", V3 + "/profile/%s/displayname" % quote(bob.user_id), {"displayname": "B"})
    wait_for(lambda: alice.state(room, "m.room.member", bob.user_id).get("displayname"), "the room to learn")
    seen = {e["event_id"]: e["unsigned"]["membership"] for e in everything(bob, room, dir="b")}
    assert seen[before] == "leave" and seen[after] == "join"
