"""/sync: what arrives, when it arrives, and what does not."""

import json
import threading
import time

import pytest

from myelin import quote, wait_for

V3 = "/_matrix/client/v3"
LAZY = {"room": {"state": {"lazy_load_members": True}}}


def timeline(answer, room, part="join"):
    return answer.get("rooms", {}).get(part, {}).get(room, {}).get("timeline", {}).get("events", [])


def bodies(answer, room):
    return [e["content"].get("body") for e in timeline(answer, room) if e["type"] == "m.room.message"]


def state(answer, room, part="join", key="state"):
    events = answer.get("rooms", {}).get(part, {}).get(room, {}).get(key, {}).get("events", [])
    return {(e["type"], e["state_key"]): e for e in events}


class Waiting(threading.Thread):
    """A long poll in the background."""

    def __init__(self, client, since, timeout=30000, **query):
        super().__init__()
        self.client, self.since, self.timeout, self.query = client, since, timeout, query
        self.answer = self.error = None
        self.start()

    def run(self):
        try:
            self.answer = self.client.sync(self.since, timeout=self.timeout, **self.query)
        except Exception as e:
            self.error = e

    def get(self, seconds=20):
        self.join(seconds)
        assert not self.is_alive(), "the sync did not come back"
        if self.error:
            raise self.error
        return self.answer


def test_initial_sync_has_state_timeline_and_summary(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat", name="Garden", topic="plants")
    bob.join(room)
    sent = alice.send(room, "hello")
    answer = bob.sync()
    joined = answer["rooms"]["join"][room]
    events = joined["timeline"]["events"]
    assert events[-1]["event_id"] == sent
    assert "room_id" not in events[-1]
    seen = {(e["type"], e.get("state_key")) for e in events if "state_key" in e} | set(state(answer, room))
    for key in [("m.room.create", ""), ("m.room.name", ""), ("m.room.power_levels", ""), ("m.room.join_rules", ""),
                ("m.room.member", alice.user_id), ("m.room.member", bob.user_id)]:
        assert key in seen, key
    assert joined["summary"]["m.joined_member_count"] == 2
    assert answer["next_batch"]


def test_incremental_sync_has_only_what_is_new(hs):
    alice = hs.register("alice")
    one, two = alice.create_room(), alice.create_room()
    since = alice.sync()["next_batch"]
    assert "rooms" not in alice.sync(since)
    sent = alice.send(one, "first")
    answer = alice.sync(since)
    assert list(answer["rooms"]["join"]) == [one]
    assert [e["event_id"] for e in timeline(answer, one)] == [sent]
    assert answer["rooms"]["join"][one]["timeline"]["limited"] is False
    again = alice.sync(since)
    assert bodies(again, one) == ["first"], "a token may be used twice"
    assert two not in again["rooms"]["join"]


@pytest.mark.threads
def test_long_poll_is_woken_by_a_message(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    since = bob.sync()["next_batch"]
    for i in range(20):
        waiting = Waiting(bob, since)
        alice.send(room, "number %d" % i)
        answer = waiting.get()
        assert bodies(answer, room) == ["number %d" % i]
        since = answer["next_batch"]


def test_long_poll_ends_empty_at_its_timeout(hs):
    alice = hs.register("alice")
    since = alice.sync()["next_batch"]
    answer = alice.sync(since, timeout=200)
    assert "rooms" not in answer
    assert answer["next_batch"]


def test_messages_in_other_rooms_do_not_end_a_poll(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room, other = alice.create_room(preset="public_chat"), bob.create_room()
    since = alice.sync()["next_batch"]
    waiting = Waiting(alice, since)
    bob.send(other, "not for alice")
    bob.join(room)
    answer = waiting.get()
    assert list(answer["rooms"]["join"]) == [room]


def test_limited_timeline_and_the_gap_before_it(hs):
    alice = hs.register("alice")
    room = alice.create_room()
    since = alice.sync()["next_batch"]
    ids = [alice.send(room, "m%d" % i) for i in range(30)]
    alice.set_state(room, "m.room.topic", {"topic": "in the gap"})
    more = [alice.send(room, "n%d" % i) for i in range(12)]
    answer = alice.sync(since, filter={"room": {"timeline": {"limit": 5}}})
    joined = answer["rooms"]["join"][room]
    assert joined["timeline"]["limited"] is True
    assert [e["event_id"] for e in joined["timeline"]["events"]] == more[-5:]
    assert state(answer, room)[("m.room.topic", "")]["content"]["topic"] == "in the gap"
    page = alice.messages(room, dir="b", limit=100, **{"from": joined["timeline"]["prev_batch"]})
    older = [e["event_id"] for e in page["chunk"]]
    assert older[:7] == more[-6::-1][:7]
    assert [i for i in reversed(older) if i in ids] == ids, "the page before the gap misses nothing"


def test_state_changes_in_the_timeline_are_not_in_state(hs):
    alice = hs.register("alice")
    room = alice.create_room()
    since = alice.sync()["next_batch"]
    alice.set_state(room, "m.room.topic", {"topic": "new"})
    answer = alice.sync(since)
    assert state(answer, room) == {}
    event = timeline(answer, room)[-1]
    assert event["content"] == {"topic": "new"}


def test_state_after_has_the_state_at_the_end(hs):
    alice = hs.register("alice")
    room = alice.create_room(topic="old")
    since = alice.sync()["next_batch"]
    alice.set_state(room, "m.room.topic", {"topic": "new"})
    answer = alice.sync(since, **{"org.matrix.msc4222.use_state_after": "true"})
    assert state(answer, room, key="state_after")[("m.room.topic", "")]["content"]["topic"] == "new"
    assert "state" not in answer["rooms"]["join"][room]


def test_prev_content_stands_in_unsigned(hs):
    alice = hs.register("alice")
    room = alice.create_room(topic="old")
    since = alice.sync()["next_batch"]
    alice.set_state(room, "m.room.topic", {"topic": "new"})
    event = timeline(alice.sync(since), room)[-1]
    assert event["unsigned"]["prev_content"]["topic"] == "old"
    assert event["unsigned"]["replaces_state"].startswith("$")


def test_transaction_id_is_shown_to_the_sending_device_only(hs):
    alice = hs.register("alice")
    other = hs.login(alice.user_id)
    room = alice.create_room()
    since = alice.sync()["next_batch"]
    alice.send(room, "mine", txn="my-transaction")
    assert timeline(alice.sync(since), room)[-1]["unsigned"]["transaction_id"] == "my-transaction"
    assert "transaction_id" not in timeline(other.sync(since), room)[-1].get("unsigned", {})


def test_lazy_loaded_members(hs):
    alice, bob, carol = (hs.register(n) for n in ("alice", "bob", "carol"))
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    carol.join(room)
    for i in range(15):
        alice.send(room, "m%d" % i)
    answer = bob.sync(filter={"room": {"state": {"lazy_load_members": True}, "timeline": {"limit": 5}}})
    members = {key for kind, key in state(answer, room) if kind == "m.room.member"}
    assert members == {alice.user_id, bob.user_id}
    carol.send(room, "from carol")
    later = bob.sync(answer["next_batch"], filter=LAZY)
    assert ("m.room.member", carol.user_id) in state(later, room)


def test_invite_join_leave_and_rejoin(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="private_chat", name="Secret")
    since = bob.sync()["next_batch"]
    alice.invite(room, bob.user_id)
    answer = bob.sync(since)
    stripped = {e["type"]: e for e in answer["rooms"]["invite"][room]["invite_state"]["events"]}
    assert stripped["m.room.name"]["content"]["name"] == "Secret"
    assert stripped["m.room.member"]["state_key"] == bob.user_id or "m.room.create" in stripped
    assert all(set(e) <= {"type", "state_key", "content", "sender", "event_id", "origin_server_ts"} for e in stripped.values())
    since = answer["next_batch"]
    bob.join(room)
    answer = bob.sync(since)
    assert room in answer["rooms"]["join"]
    names = {**state(answer, room), **{(e["type"], e.get("state_key")): e for e in timeline(answer, room)}}
    assert ("m.room.create", "") in names and ("m.room.name", "") in names
    since = answer["next_batch"]
    bob.leave(room)
    alice.send(room, "bob must not see this")
    answer = bob.sync(since)
    assert [e["content"].get("membership") for e in timeline(answer, room, "leave")] == ["leave"]
    assert "join" not in answer["rooms"]
    assert "rooms" not in bob.sync(answer["next_batch"])


def test_rejected_invite_is_left(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="private_chat")
    alice.invite(room, bob.user_id)
    since = bob.sync()["next_batch"]
    bob.leave(room)
    answer = bob.sync(since)
    assert room in answer["rooms"]["leave"]
    assert "state" not in answer["rooms"]["leave"][room]


def test_kick_and_ban_show_as_left(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    since = bob.sync()["next_batch"]
    waiting = Waiting(bob, since)
    alice.ok("POST", alice.room(room, "ban"), {"user_id": bob.user_id, "reason": "spam"})
    answer = waiting.get()
    event = timeline(answer, room, "leave")[-1]
    assert event["content"]["membership"] == "ban" and event["content"]["reason"] == "spam"


def test_filters_by_type_room_and_sender(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room, other = alice.create_room(preset="public_chat"), alice.create_room()
    bob.join(room)
    since = alice.sync()["next_batch"]
    alice.send(room, "from alice")
    bob.send(room, "from bob")
    alice.set_state(room, "m.room.topic", {"topic": "t"})
    alice.send(other, "elsewhere")
    answer = alice.sync(since, filter={"room": {"rooms": [room], "timeline": {"types": ["m.room.mess*"],
                                                                             "not_senders": [bob.user_id]}}})
    assert list(answer["rooms"]["join"]) == [room]
    assert [e["content"]["body"] for e in timeline(answer, room)] == ["from alice"]


def test_stored_filters(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    path = "/_matrix/client/v3/user/%s/filter" % quote(alice.user_id)
    wanted = {"room": {"timeline": {"limit": 1}}}
    first = alice.ok("POST", path, wanted)["filter_id"]
    assert alice.ok("POST", path, wanted)["filter_id"] == first
    assert not first.startswith("{")
    assert alice.ok("GET", "%s/%s" % (path, first)) == wanted
    assert alice.call("GET", path + "/99999")[0] == 404
    assert bob.call("GET", "%s/%s" % (path, first))[0] == 403
    assert bob.call("POST", path, wanted)[0] == 403
    room = alice.create_room()
    assert len(timeline(alice.sync(filter=first), room)) == 1


def test_inline_filters_are_told_apart(hs):
    """Each is what its text says, also where more are in use than the server keeps at hand, and long ones."""
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    for i in range(700):
        limit = 1 + i % 5
        shape = {"room": {"timeline": {"limit": limit, "not_senders": ["@n%d:x" % i]}}}
        if i % 50 == 0:
            shape["room"]["timeline"]["not_types"] = ["x" * 50 + str(k) for k in range(60)]
        for who in (alice, bob) if i % 100 == 0 else (alice,):
            assert len(timeline(who.sync(filter=shape), room)) == limit
    alice.send(room, "from alice")
    for _ in range(3):
        assert [e["sender"] for e in timeline(bob.sync(filter={"room": {"timeline": {
            "limit": 1, "types": ["m.room.message"]}}}), room)] == [alice.user_id]
        assert timeline(bob.sync(filter={"room": {"timeline": {
            "limit": 1, "types": ["m.room.message"], "not_senders": [alice.user_id]}}}), room) == []


@pytest.mark.parametrize("bad", ["{", "[]", "nonsense", "99999", '{"room":[]}', '{"room":{"timeline":{"limit":"x"}}}',
                                 '{"room":{"timeline":{"types":[1]}}}', '{"event_format":"xml"}'])
def test_bad_filters_are_refused(hs, bad):
    alice = hs.register("alice")
    for _ in range(2):
        status, answer = alice.call("GET", "/_matrix/client/v3/sync?filter=" + quote(bad))
        assert status in (400, 404), answer
        assert answer["errcode"].startswith("M_")


@pytest.mark.parametrize("query", ["since=nonsense", "since=s", "since=s1_", "since=s-5_1", "timeout=x", "timeout=-1",
                                   "set_presence=sleeping"])
def test_bad_queries_are_refused(hs, query):
    alice = hs.register("alice")
    status, answer = alice.call("GET", "/_matrix/client/v3/sync?" + query)
    assert status == 400, answer
    assert answer["errcode"] in ("M_INVALID_PARAM", "M_UNKNOWN")


def test_a_token_from_the_future_counts_as_now(hs):
    alice = hs.register("alice")
    room = alice.create_room()
    answer = alice.sync("s999999999999_1")
    assert "rooms" not in answer
    alice.send(room, "after")
    assert bodies(alice.sync(answer["next_batch"]), room) == ["after"]


def test_sync_needs_a_token(hs):
    status, answer = hs.client().call("GET", "/_matrix/client/v3/sync")
    assert (status, answer["errcode"]) == (401, "M_MISSING_TOKEN")
    status, answer = hs.client("nonsense").call("GET", "/_matrix/client/v3/sync")
    assert (status, answer["errcode"]) == (401, "M_UNKNOWN_TOKEN")


@pytest.mark.threads
def test_logging_out_ends_a_waiting_sync(hs):
    alice = hs.register("alice")
    other = hs.login(alice.user_id)
    since = other.sync()["next_batch"]
    result = {}

    def poll():
        result["answer"] = other.call("GET", "/_matrix/client/v3/sync?timeout=30000&since=" + since)

    waiting = threading.Thread(target=poll)
    waiting.start()
    time.sleep(0.2)
    Client = type(other)
    Client(hs, other.token).ok("POST", "/_matrix/client/v3/logout")
    waiting.join(20)
    assert not waiting.is_alive()
    status, answer = result["answer"]
    assert (status, answer["errcode"]) == (401, "M_UNKNOWN_TOKEN")


def gap(client, room, since, part):
    """What a limited timeline left out since the token, oldest first, as a client fetches it."""
    found, token = [], part["prev_batch"]
    while part["limited"] and token:
        page = client.messages(room, dir="b", limit=50, to=since, **{"from": token})
        found += [e["event_id"] for e in page["chunk"]]
        token = page.get("end") if page["chunk"] else None
    return found[::-1]


@pytest.mark.threads
def test_many_senders_and_readers_miss_nothing(hs):
    """Eight senders in one room, eight readers that follow: everybody sees every message once, all in one order."""
    owner = hs.register("owner")
    people = [hs.register("p") for _ in range(8)]
    room = owner.create_room(preset="public_chat")
    for p in people:
        p.join(room)
    each = 25
    total = each * len(people)
    since = people[0].sync()["next_batch"]
    seen = [[] for _ in people]
    failures = []

    def follow(i):
        try:
            token = since
            end = time.monotonic() + 60
            while len(seen[i]) < total and time.monotonic() < end:
                answer = people[i].sync(token, timeout=5000, filter={"room": {"timeline": {"limit": 5}}})
                joined = answer.get("rooms", {}).get("join", {}).get(room)
                if joined:
                    seen[i] += gap(people[i], room, token, joined["timeline"])
                    seen[i] += [e["event_id"] for e in joined["timeline"]["events"]]
                token = answer["next_batch"]
        except Exception as e:
            failures.append(e)

    def talk(i):
        try:
            for n in range(each):
                people[i].send(room, "%d/%d" % (i, n))
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=f, args=(i,)) for i in range(len(people)) for f in (follow, talk)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(90)
    assert not failures, failures
    assert all(len(s) == total for s in seen), [len(s) for s in seen]
    assert all(s == seen[0] for s in seen)
    assert len(set(seen[0])) == total


def test_an_old_token_is_answered_from_the_database(server):
    """What is older than the ring in memory comes from the database, across a restart."""
    hs = server()
    alice, bob = hs.register("alice"), hs.register("bob")
    room, quiet = alice.create_room(preset="public_chat"), alice.create_room(preset="public_chat")
    bob.join(room)
    bob.join(quiet)
    since = bob.sync()["next_batch"]
    sent = [alice.send(room, "m%d" % i) for i in range(5)]
    left = alice.create_room(preset="public_chat")
    bob.join(left)
    hs.restart()
    bob.leave(left)
    answer = bob.sync(since)
    assert [e["event_id"] for e in timeline(answer, room)] == sent
    assert quiet not in answer["rooms"]["join"]
    assert left in answer["rooms"].get("leave", {})


def test_full_state(hs):
    alice = hs.register("alice")
    room = alice.create_room(name="Full")
    since = alice.sync()["next_batch"]
    answer = alice.sync(since, full_state="true")
    assert ("m.room.name", "") in state(answer, room)


def test_include_leave(hs):
    alice = hs.register("alice")
    room = alice.create_room(name="Left")
    alice.leave(room)
    assert "rooms" not in alice.sync()
    answer = alice.sync(filter={"room": {"include_leave": True}})
    assert room in answer["rooms"]["leave"]


def test_waiting_syncs_answer_when_the_server_stops(server):
    hs = server()
    alice = hs.register("alice")
    since = alice.sync()["next_batch"]
    waiting = Waiting(alice, since)
    time.sleep(0.3)
    begun = time.monotonic()
    assert hs.stop() == 0
    answer = waiting.get()
    assert answer["next_batch"]
    assert time.monotonic() - begun < 10


def test_membership_of_the_reader_at_each_event(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    before = alice.send(room, "before")
    bob.join(room)
    after = alice.send(room, "after")
    events = {e["event_id"]: e["unsigned"]["membership"] for e in timeline(bob.sync(), room)}
    assert events[before] == "leave" and events[after] == "join"


def test_a_room_that_was_left_and_forgotten_is_still_seen_as_left(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    since = bob.sync()["next_batch"]
    bob.leave(room)
    bob.ok("POST", bob.room(room, "forget"))
    answer = bob.sync(since)
    assert room in answer["rooms"]["leave"]
    assert "rooms" not in bob.sync(answer["next_batch"])
    assert "rooms" not in bob.sync(filter={"room": {"include_leave": True}})


def test_coming_back_to_a_room_makes_its_timeline_limited(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    since = bob.sync()["next_batch"]
    bob.join(room)
    assert bob.sync(since)["rooms"]["join"][room]["timeline"]["limited"] is True
    mine = bob.create_room()
    assert bob.sync(since)["rooms"]["join"][mine]["timeline"]["limited"] is False


# ---- the shape of events ----

def shaped(client, room, shape, limit=20):
    """The room's events as a filter of this shape gives them: by sync, its state, /messages and /context."""
    text = json.dumps(shape)
    answer = client.sync(filter={**shape, "room": {"rooms": [room], "timeline": {"limit": 1}}})["rooms"]["join"][room]
    page = client.messages(room, dir="b", filter=text, limit=limit)
    last = client.messages(room, dir="b", limit=1)["chunk"][0]["event_id"]
    around = client.ok("GET", client.room(room, "context/%s?limit=4&filter=%s" % (quote(last), quote(text))))
    return [answer["timeline"]["events"], answer["state"]["events"], page["chunk"], around["events_before"],
            around["state"], [around["event"]]]


def test_event_fields_leave_the_rest_out(hs):
    alice = hs.register("alice")
    room = alice.create_room(name="shaped")
    alice.ok("PUT", alice.room(room, "send/m.room.message/1"),
             {"msgtype": "m.text", "body": "x", "a.b": {"c\\d": 1, "e": 2}, "deep": {"er": {"est": True}, "not": 1}})
    for part in shaped(alice, room, {"event_fields": ["type", "content.body"]}):
        assert part and all(set(e) <= {"type", "content"} and "type" in e for e in part)
    said = alice.messages(room, dir="b", limit=1, filter=json.dumps(
        {"event_fields": ["content.deep.er", "content.a\\.b.c\\\\d", "content.deep.er.est", "content.nothing", "sender.x", "no.such"]}))
    assert said["chunk"] == [{"content": {"deep": {"er": {"est": True}}, "a.b": {"c\\d": 1}}}]
    # None at all is none that is named.
    assert "event_id" in alice.messages(room, dir="b", limit=1, filter='{"event_fields": []}')["chunk"][0]
    number = alice.ok("POST", V3 + "/user/%s/filter" % quote(alice.user_id), {"event_fields": ["event_id"]})["filter_id"]
    events = alice.sync(filter=number)["rooms"]["join"][room]["timeline"]["events"]
    assert events and all(set(e) == {"event_id"} for e in events)


def test_the_federation_format_is_the_signed_event(hs):
    alice = hs.register("alice")
    room = alice.create_room(room_version="11", name="raw")
    alice.send(room, "x")
    for part in shaped(alice, room, {"event_format": "federation"}):
        assert part
        for e in part:
            assert {"auth_events", "prev_events", "hashes", "signatures", "depth", "room_id"} <= set(e)
            assert "unsigned" not in e and "event_id" not in e
    for part in shaped(alice, room, {"event_format": "federation", "event_fields": ["hashes.sha256"]}):
        assert part and all(set(e) == {"hashes"} and set(e["hashes"]) == {"sha256"} for e in part)
    for part in shaped(alice, room, {"event_format": "client"}):
        assert all("event_id" in e and "hashes" not in e for e in part)


@pytest.mark.parametrize("shape", [{"event_format": "xml"}, {"event_format": 1}, {"event_fields": "type"},
                                   {"event_fields": [1]}, {"event_fields": ["a"] * 1001}])
def test_shapes_that_are_none(hs, shape):
    alice = hs.register("alice")
    room = alice.create_room()
    for method, path, body in [("POST", V3 + "/user/%s/filter" % quote(alice.user_id), shape),
                               ("GET", V3 + "/sync?filter=" + quote(json.dumps(shape)), None),
                               ("GET", alice.room(room, "messages?dir=b&filter=" + quote(json.dumps(shape))), None)]:
        status, answer = alice.call(method, path, body)
        assert (status, answer["errcode"]) == (400, "M_BAD_JSON"), (path, answer)
