"""A clock that is set while a server runs, or between two of its runs."""

import os
import sys
import threading
import time

import pytest

from myelin import PASSWORD, Client, wait_for
from test_processes import beside, through

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "chaos"))

import chaos  # noqa: E402

HOUR = 3600 * 1000


@pytest.fixture
def weather(tmp_path):
    library = chaos.weather_library(str(tmp_path))
    if library is None:
        pytest.skip("nothing can be preloaded here")
    return chaos.Weather(library, str(tmp_path / "weather"))


def typing(client, room, body=None):
    client.ok("PUT", "/_matrix/client/v3/rooms/%s/typing/%s" % (room, client.user_id),
              body or {"typing": True, "timeout": 60000})


def typists(answer, room):
    joined = answer.get("rooms", {}).get("join", {}).get(room, {})
    return [e["content"]["user_ids"] for e in joined.get("ephemeral", {}).get("events", []) if e["type"] == "m.typing"]


def test_a_sync_ends_when_it_said_whatever_the_clock_says(server, weather):
    hs = server(env=weather.env())
    alice = hs.register("alice")
    room, since = alice.create_room(), alice.sync()["next_batch"]
    answers = []
    thread = threading.Thread(target=lambda: answers.append(alice.sync(since, timeout=3000)))
    thread.start()
    wait_for(lambda: "myelin_stream_parked 1\n" in hs.ctl("metrics").stdout, "the sync to wait")
    weather.set(skew=-HOUR)
    # It wakes, finds nothing for her, and waits for the rest of its time only.
    alice.ok("PUT", "/_matrix/client/v3/rooms/%s/typing/%s" % (room, alice.user_id), {"typing": False})
    hs.register("bob").create_room()
    thread.join(25)
    assert answers and "rooms" not in answers[0]


def test_typing_is_seen_after_a_start_with_an_earlier_clock(server, weather):
    hs = server(env=weather.env())
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    weather.set(skew=HOUR)
    typing(alice, room)
    since = bob.sync()["next_batch"]
    assert hs.stop() == 0
    weather.set(skew=0)
    hs.start()
    typing(alice, room)
    assert typists(bob.sync(since), room) == [[alice.user_id]]


def test_who_serves_beside_others_does_no_harm_with_a_clock_that_is_set(server, database, weather):
    if database != "postgres":
        pytest.skip("one process has the file")
    one = server("[account]\naccess_token_lifetime = 5m\n")
    two = beside(server, one, "[account]\naccess_token_lifetime = 5m\n", env=weather.env())
    alice, bob = one.register("alice"), one.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.user_id}, "password": PASSWORD}
    tokens = two.client().ok("POST", "/_matrix/client/v3/login", {**login, "refresh_token": True})
    short = Client(two, tokens["access_token"])

    def all_show(who):
        for client in (bob, through(two, bob)):
            wait_for(lambda: (typists(client.sync(), room) or [[]])[-1] == who, "both to show who is typing")

    since = bob.sync()["next_batch"]
    for skew in (HOUR, -HOUR, 20000, 0):
        weather.set(skew=skew)
        there = through(two, alice)
        # A token of five minutes is good for five minutes.
        short.ok("GET", "/_matrix/client/v3/account/whoami")
        sent = there.send(room, "at %d" % skew)
        event = alice.ok("GET", alice.room(room, "event/" + sent))
        assert abs(event["origin_server_ts"] - time.time() * 1000) < 15000
        # What passes is seen through both, in either order.
        for writer, reader in ((there, bob), (alice, through(two, bob)), (alice, bob), (there, through(two, bob))):
            # Neither says anything before it has heard the other: what crosses on the way may hide what it crosses.
            typing(writer, room, {"typing": False})
            all_show([])
            typing(writer, room)
            seen = []

            def heard():
                nonlocal since
                answer = reader.sync(since, timeout=5000)
                since = answer["next_batch"]
                seen.extend(typists(answer, room))
                return seen and seen[-1] == [alice.user_id]
            wait_for(heard, "%s to be seen typing" % alice.user_id)
            all_show([alice.user_id])
    two.allow_errors = True
