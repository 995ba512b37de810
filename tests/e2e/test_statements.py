"""What a request asks of the database: nothing that memory knows. Counted by `myelinctl metrics`."""

import itertools
import re

from myelin import quote

TIMES = 10


def counted(hs, name="myelin_sql_statements_total"):
    return int(re.search(r"^%s (\d+)" % name, hs.ctl("metrics").stdout, re.M).group(1))


def cost(hs, call, news=None):
    """The statements of one call, on average; `news` happens before each. What jobs do beside it is less than one of TIMES."""
    total = 0
    for i in range(TIMES):
        if news:
            news()
        before = counted(hs)
        call()
        total += counted(hs) - before
    return total / TIMES


def typing(client, room, on):
    client.ok("PUT", client.room(room, "typing/" + quote(client.user_id)), {"typing": on, "timeout": 20000})


def pair(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat", name="Garden")
    bob.join(room)
    alice.sync(), bob.sync()
    return alice, bob, room


class Follower:
    """Syncs on and on, and says what the newest answer had of a room."""

    def __init__(self, client):
        self.client, self.since, self.answer = client, client.sync()["next_batch"], None

    def sync(self):
        self.answer = self.client.sync(self.since)
        self.since = self.answer["next_batch"]

    def room(self, room):
        return self.answer["rooms"]["join"][room]


def test_an_empty_sync_asks_nothing(hs):
    alice, bob, room = pair(hs)
    follower = Follower(bob)
    assert cost(hs, follower.sync) < 1
    assert "rooms" not in follower.answer


def test_a_sync_with_one_new_message_asks_nothing(hs):
    alice, bob, room = pair(hs)
    follower = Follower(bob)
    assert cost(hs, follower.sync, lambda: alice.send(room, "hello")) < 1
    assert len(follower.room(room)["timeline"]["events"]) == 1


def test_a_sync_with_only_typing_asks_nothing(hs):
    alice, bob, room = pair(hs)
    follower = Follower(bob)
    turns = itertools.count(1)
    assert cost(hs, follower.sync, lambda: typing(alice, room, next(turns) % 2 == 1)) < 1
    assert follower.room(room)["ephemeral"]["events"][0]["type"] == "m.typing"


def test_sending_a_message_is_one_statement_and_what_a_batch_needs(hs):
    alice, bob, room = pair(hs)
    alice.send(room, "first")
    # Where other processes may be, the batch leaves two more: what it announced, and its own number.
    assert cost(hs, lambda: alice.send(room, "hello")) < (4 if hs.database.startswith("sqlite") else 6)


def test_an_initial_sync_asks_of_many_rooms_at_once(hs):
    """And each room gets what is its own: receipts and account data, where there are any."""
    alice, bob = hs.register("alice"), hs.register("bob")
    rooms = [alice.create_room(preset="public_chat", name="Room %d" % i) for i in range(36)]
    read, data = {}, {}
    for i, room in enumerate(rooms):
        bob.join(room)
        if i % 3 == 0:
            read[room] = alice.send(room, "x")
            alice.ok("POST", alice.room(room, "receipt/m.read/" + quote(read[room])), {})
        if i % 4 == 1:
            data[room] = {"n": i}
            bob.ok("PUT", "/_matrix/client/v3/user/%s/rooms/%s/account_data/org.example" % (
                quote(bob.user_id), quote(room)), data[room])
    joined = bob.sync()["rooms"]["join"]
    for room in rooms:
        got = joined[room]
        receipts = [e["content"] for e in got.get("ephemeral", {}).get("events", []) if e["type"] == "m.receipt"]
        assert [list(c) for c in receipts] == ([[read[room]]] if room in read else []), room
        events = got.get("account_data", {}).get("events", [])
        assert [e["content"] for e in events if e["type"] == "org.example"] == ([data[room]] if room in data else [])
    assert cost(hs, bob.sync) < len(rooms) / 2
