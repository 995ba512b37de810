"""Several equal processes on one database: what a client does through one of them, the others know."""

import shutil
import threading
import time

import pytest

from myelin import Client, wait_for


@pytest.fixture
def pair(server, database):
    """Two processes of one server name. Neither looks by itself before it is told."""
    if database != "postgres":
        pytest.skip("one process has the file")
    poll = "[database]\npoll = 10m\n"
    one = server(poll)
    return one, beside(server, one, poll)


def beside(server, one, config):
    two = server(config, start=False)
    two.database = one.database
    two.write_config()
    shutil.copy(one.folder + "/signing.key", two.folder + "/signing.key")
    return two.start()


def through(server, client):
    """The same session, balanced to another process."""
    return Client(server, client.token, client.user_id)


def parked(server, client, since):
    """A sync that waits; its answers come into the list."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(client.sync(since, timeout=30000)))
    thread.start()
    wait_for(lambda: "myelin_stream_parked 1\n" in metrics(server), "the sync to wait")
    return thread, answers


def metrics(server):
    return server.ctl("metrics").stdout


def timeline(answer, room):
    return [e["content"].get("body") for e in answer.get("rooms", {}).get("join", {}).get(room, {}).get("timeline", {}).get("events", [])]


def test_a_waiting_sync_hears_of_a_message_through_another_process(pair):
    one, two = pair
    alice = one.register("alice")
    room = alice.create_room()
    there = through(two, alice)
    wait_for(lambda: room in there.sync().get("rooms", {}).get("join", {}), "the room to be known to the other process")
    thread, answers = parked(two, there, there.sync()["next_batch"])
    began = time.monotonic()
    alice.send(room, "hello")
    thread.join(20)
    assert timeline(answers[0], room) == ["hello"]
    assert time.monotonic() - began < 15, "it was told, and did not wait for the sync to end"


def test_only_whom_it_concerns_is_woken(pair):
    one, two = pair
    alice, bob = one.register("alice"), one.register("bob")
    hers, his = alice.create_room(), bob.create_room()
    there, he = through(two, alice), through(two, bob)
    wait_for(lambda: his in he.sync().get("rooms", {}).get("join", {}) and hers in there.sync().get("rooms", {}).get("join", {}),
             "the rooms to be known to the other process")
    thread, answers = parked(two, there, there.sync()["next_batch"])
    before = wakes(two)
    for i in range(20):
        bob.send(his, "message %d" % i)
    since = he.sync()["next_batch"]
    bob.send(his, "the last")
    # He waits for it, she is left alone.
    wait_for(lambda: "the last" in str(he.sync(since, timeout=5000)["rooms"]), "bob's message")
    assert wakes(two) - before < 10
    alice.send(hers, "hello")
    thread.join(20)
    assert timeline(answers[0], hers) == ["hello"]


def wakes(server):
    line = [l for l in metrics(server).splitlines() if l.startswith("myelin_stream_wakes_total")]
    return int(line[0].split()[-1])
