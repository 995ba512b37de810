"""What was acknowledged is there afterwards: once, after a restart and after kill -9."""

import json
import random
import resource
import threading
import time

import pytest

from myelin import quote


def all_messages(client, room):
    """Every message of the room, oldest first, by paging back."""
    found, token = [], None
    while True:
        query = {"dir": "b", "limit": 100}
        if token:
            query["from"] = token
        page = client.messages(room, **query)
        found += [e for e in page["chunk"] if e["type"] == "m.room.message"]
        token = page.get("end")
        if not token or not page["chunk"]:
            return found[::-1]


def test_a_transaction_id_makes_one_event(server):
    hs = server()
    alice = hs.register("alice")
    room = alice.create_room()
    first = alice.send(room, "once", txn="t")
    assert alice.send(room, "once", txn="t") == first
    assert alice.send(room, "other content, same id", txn="t") == first
    other = hs.login(alice.user_id)
    assert other.send(room, "another device", txn="t") != first
    hs.restart()
    assert alice.send(room, "once", txn="t") == first
    assert len(all_messages(alice, room)) == 2


@pytest.mark.threads
def test_concurrent_sends_with_one_transaction_id(hs):
    alice = hs.register("alice")
    room = alice.create_room()
    for n in range(10):
        got = []
        threads = [threading.Thread(target=lambda: got.append(alice.send(room, "once", txn="race%d" % n))) for _ in range(5)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(30)
        assert len(got) == 5 and len(set(got)) == 1, got
    assert len(all_messages(alice, room)) == 10


def test_restart_in_the_middle(server):
    hs = server()
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    since = bob.sync()["next_batch"]
    sent = []
    for part in range(3):
        sent += [alice.send(room, "%d/%d" % (part, i)) for i in range(5)]
        hs.restart()
    answer = bob.sync(since, filter={"room": {"timeline": {"limit": 100}}})
    assert [e["event_id"] for e in answer["rooms"]["join"][room]["timeline"]["events"]] == sent
    assert bob.state(room, "m.room.create") is not None


def test_kill_at_random_moments_loses_and_doubles_nothing(server):
    hs = server()
    server.allow_errors = True
    people = [hs.register("p") for _ in range(6)]
    room = people[0].create_room(preset="public_chat")
    for p in people[1:]:
        p.join(room)
    since = people[0].sync()["next_batch"]
    acknowledged, lock, stop = {}, threading.Lock(), threading.Event()

    def talk(i):
        n = 0
        while not stop.is_set():
            text = "%d/%d" % (i, n)
            while not stop.is_set():
                try:
                    event = people[i].send(room, text, txn="k%d" % n)
                    break
                except (OSError, AssertionError, ValueError):
                    time.sleep(0.01)
            else:
                return
            with lock:
                acknowledged[text] = event
            n += 1

    threads = [threading.Thread(target=talk, args=(i,)) for i in range(len(people))]
    for t in threads:
        t.start()
    chance = random.Random(20261124)
    for _ in range(8):
        time.sleep(chance.uniform(0.05, 0.6))
        hs.kill()
        hs.start()
    stop.set()
    for t in threads:
        t.join(60)
    found = {}
    for e in all_messages(people[0], room):
        found.setdefault(e["content"]["body"], []).append(e["event_id"])
    assert len(acknowledged) > 50
    for text, event in acknowledged.items():
        assert found.get(text) == [event], text
    assert all(len(ids) == 1 for ids in found.values()), "a retried message is there twice"
    # Who was away the whole time sees the end of it, in the same order.
    answer = people[0].sync(since, filter={"room": {"timeline": {"limit": 100}}})
    seen = [e["event_id"] for e in answer["rooms"]["join"][room]["timeline"]["events"]]
    paged = [e["event_id"] for e in all_messages(people[0], room)]
    assert seen == paged[-len(seen):]
    hs.ctl("db", "check")


def test_killed_upgrades_and_creations_leave_no_halves(server):
    """A room has its alias and its place in the list, and an ended room its successor, or there is nothing of either."""
    hs = server()
    server.allow_errors = True
    people = [hs.register("p") for _ in range(4)]
    stop, lock, done, tried = threading.Event(), threading.Lock(), [], []

    def alias_of(name):
        return "#%s:localhost" % name

    def work(i):
        n = 0
        while not stop.is_set():
            name = "half-%d-%d" % (i, n)
            with lock:
                tried.append((people[i], name))
            n += 1
            try:
                room = people[i].create_room(room_alias_name=name, visibility="public", preset="public_chat")
                new = people[i].ok("POST", people[i].room(room, "upgrade"), {"new_version": "12"})["replacement_room"]
                with lock:
                    done.append((people[i], name, room, new))
            except (OSError, AssertionError, ValueError):
                time.sleep(0.01)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(people))]
    for t in threads:
        t.start()
    chance = random.Random(20261125)
    for _ in range(8):
        time.sleep(chance.uniform(0.1, 0.4))
        hs.kill()
        hs.start()
    stop.set()
    for t in threads:
        t.join(60)
    assert len(done) > 20
    directory = "/_matrix/client/v3/directory/"
    for who, name, room, new in done:
        assert who.ok("GET", directory + "room/" + quote(alias_of(name)))["room_id"] == new
        assert who.state(room, "m.room.tombstone")["replacement_room"] == new
    rooms = {who.user_id: who.ok("GET", "/_matrix/client/v3/joined_rooms")["joined_rooms"] for who in people}
    for who in people:
        for room in rooms[who.user_id]:
            create = who.state(room, "m.room.create")
            status, tombstone = who.call("GET", who.room(room, "state/m.room.tombstone"))
            ended = status == 200
            if "predecessor" in create:
                assert who.state(create["predecessor"]["room_id"], "m.room.tombstone")["replacement_room"] == room
            if ended:
                assert tombstone["replacement_room"] in rooms[who.user_id]
            aliases = who.ok("GET", who.room(room, "aliases"))["aliases"]
            assert len(aliases) == (0 if ended else 1)
            if not ended:
                assert who.state(room, "m.room.canonical_alias") == {"alias": aliases[0]}
            assert who.ok("GET", directory + "list/room/" + quote(room))["visibility"] == ("private" if ended else "public")
    # What was not made does not lie in the way for long: an alias without a room leads nowhere.
    for who, name in tried:
        status, answer = who.call("GET", directory + "room/" + quote(alias_of(name)))
        assert status == 404 or answer["room_id"] in rooms[who.user_id]
    hs.ctl("db", "check")


def test_a_full_disk_refuses_what_cannot_be_kept_and_passes(server):
    """Files may not grow for a while: a disk that is full, to this process alone."""
    server.allow_errors = True
    hs = server()
    if not hs.database.startswith("sqlite:"):
        pytest.skip("another process writes PostgreSQL's files")
    alice = hs.register("alice")
    room = alice.create_room()
    for i in range(60):
        alice.send(room, "before %d" % i, txn="before%d" % i)
    limits = resource.prlimit(hs.process.pid, resource.RLIMIT_FSIZE)

    def put(txn):
        return alice.raw("PUT", alice.room(room, "send/m.room.message/" + txn), json.dumps({"msgtype": "m.text", "body": txn}))

    resource.prlimit(hs.process.pid, resource.RLIMIT_FSIZE, (32 << 10, limits[1]))
    for i in range(10):
        status, headers, text = put("during%d" % i)
        assert status in (503, 507), text
        assert int(headers["Retry-After"]) >= 1
        assert json.loads(text)["retry_after_ms"] >= 1000
        assert "SQLite" not in json.loads(text)["error"]
    # Who reads is served.
    assert len(alice.messages(room, dir="b", limit=100)["chunk"]) >= 60
    assert alice.ok("GET", "/_matrix/client/v3/account/whoami")["user_id"] == alice.user_id
    text = hs.log_text()
    assert text.count("SQL011") == 1 and "make room on the database's disk" in text, text

    resource.prlimit(hs.process.pid, resource.RLIMIT_FSIZE, limits)
    for i in range(10):
        status, _, text = put("during%d" % i)
        assert status == 200, text
    assert "SQL012" in hs.log_text()
    hs.restart()
    bodies = [event["content"]["body"] for event in alice.messages(room, dir="b", limit=100)["chunk"]
              if event["type"] == "m.room.message"]
    assert sorted(bodies) == sorted(["before %d" % i for i in range(60)] + ["during%d" % i for i in range(10)])
    assert hs.ctl("db", "check").stdout.startswith("ok")
