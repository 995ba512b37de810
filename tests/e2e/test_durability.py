"""What was acknowledged is there afterwards: once, after a restart and after kill -9."""

import random
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
