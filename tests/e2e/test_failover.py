"""The database goes away for a while, for good (a replica takes over), or comes back older than it was."""

import itertools
import json
import threading
import time

import pytest

from myelin import Client, wait_for
from postgres import Postgres
from test_durability import all_messages
from test_processes import beside, metrics, through


@pytest.fixture
def clusters(database):
    """Makes PostgreSQL servers of the test's own."""
    if database != "postgres":
        pytest.skip("SQLite is a file of the process's own")
    made = []

    def make(primary=None):
        made.append(Postgres(primary))
        return made[-1]
    yield make
    for one in reversed(made):
        one.remove()


def on(server, url, **more):
    one = server(start=False, **more)
    one.database = url
    one.write_config()
    return one.start()


class Load:
    """Clients who send without a pause, try again what was not acknowledged, and note how they were refused."""

    def __init__(self, clients, room):
        self.room = room
        self.acknowledged, self.refusals, self.wrong = {}, [], []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._talk, args=(i, c)) for i, c in enumerate(clients)]
        for t in self.threads:
            t.start()

    def _talk(self, i, client):
        for n in itertools.count():
            text = "%d/%d" % (i, n)
            path = client.room(self.room, "send/m.room.message/k%d" % n)
            while True:
                if self.stopping.is_set():
                    return
                try:
                    status, headers, answer = client.raw("PUT", path, json.dumps({"msgtype": "m.text", "body": text}))
                except OSError:
                    continue
                if status == 200:
                    self.acknowledged[text] = json.loads(answer)["event_id"]
                    break
                self.refusals.append(status)
                if status != 503 or int(headers.get("Retry-After", 0)) < 1 or b"/" in answer:
                    self.wrong.append((status, dict(headers), answer))
                time.sleep(0.02)

    def more(self, n):
        """Waits for n more acknowledged messages."""
        until = len(self.acknowledged) + n
        wait_for(lambda: len(self.acknowledged) >= until, "more messages", 60)

    def refused(self, n):
        until = len(self.refusals) + n
        wait_for(lambda: len(self.refusals) >= until, "refusals", 60)

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join(60)

    def check(self, client):
        """Each acknowledged message is there once, and nothing twice."""
        assert not self.wrong, self.wrong[:5]
        found = {}
        for e in all_messages(client, self.room):
            found.setdefault(e["content"]["body"], []).append(e["event_id"])
        for text, event in self.acknowledged.items():
            assert found.get(text) == [event], text
        assert all(len(ids) == 1 for ids in found.values())


class Waiting:
    """A sync through `server` that waits for the room of somebody whom nothing else concerns."""

    def __init__(self, server, client, room):
        self.client, self.room = client, room
        there = through(server, client)
        since = there.sync()["next_batch"]
        before = metrics(server).count("myelin_stream_parked 0\n")
        self.answers = []
        self.thread = threading.Thread(target=lambda: self.answers.append(there.raw(
            "GET", "/_matrix/client/v3/sync?timeout=120000&since=" + since, timeout=150)))
        self.thread.start()
        if before:
            wait_for(lambda: "myelin_stream_parked 0\n" not in metrics(server), "the sync to wait")

    def waits(self):
        assert not self.answers, "it was answered: %s" % (self.answers,)
        return True

    def heard(self, text):
        self.thread.join(30)
        assert self.answers and self.answers[0][0] == 200 and text.encode() in self.answers[0][2], self.answers


def crowd(one, two):
    """Four who send through both, in one room, and one who waits in a room of her own at each."""
    alice = one.register("alice")
    room = alice.create_room()
    quiet = one.register("quiet")
    hers = quiet.create_room()
    waiting = [Waiting(s, quiet, hers) for s in (one, two)]
    phone = one.login(alice.user_id)
    load = Load([alice, through(two, phone)], room)
    return alice, room, quiet, hers, waiting, load


def test_a_database_that_is_away_for_a_while(server, clusters):
    cluster = clusters()
    server.allow_errors = True
    one = on(server, cluster.database())
    two = beside(server, one)
    alice, room, quiet, hers, waiting, load = crowd(one, two)
    load.more(50)
    for how in ("immediate", "fast"):
        cluster.stop(how)
        load.refused(20)
        status, headers, answer = alice.raw("GET", alice.room(room, "messages?dir=b"))
        assert status == 503 and int(headers["Retry-After"]) >= 1, (status, answer)
        assert all(w.waits() for w in waiting)
        cluster.start()
        load.more(50)
        assert all(w.waits() for w in waiting)
    load.stop()
    load.check(alice)
    load.check(through(two, alice))
    quiet.send(hers, "after all that")
    for w in waiting:
        w.heard("after all that")
    for s in (one, two):
        assert "SQL002" not in s.log_text()


def pair_of(clusters):
    primary = clusters()
    url = primary.database()
    standby = clusters(primary)
    wait_for(lambda: primary.ask("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1", "the standby")
    name = url.split("dbname=")[1]
    return primary, standby, ("postgres:host=%s,%s user=myelin dbname=%s target_session_attrs=read-write"
                              % (primary.folder, standby.folder, name))


def test_a_replica_that_takes_over_has_everything(server, clusters):
    primary, standby, url = pair_of(clusters)
    primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
    primary.ask("SELECT pg_reload_conf()")
    wait_for(lambda: primary.ask("SELECT sync_state FROM pg_stat_replication") == "sync", "the standby to be a synchronous one")
    server.allow_errors = True
    one = on(server, url)
    two = beside(server, one)
    alice, room, quiet, hers, waiting, load = crowd(one, two)
    load.more(100)
    primary.kill()
    load.refused(20)
    assert all(w.waits() for w in waiting)
    standby.promote()
    load.more(100)
    assert all(w.waits() for w in waiting)
    load.stop()
    load.check(alice)
    load.check(through(two, alice))
    quiet.send(hers, "from the replica")
    for w in waiting:
        w.heard("from the replica")
    for s in (one, two):
        assert "SQL002" not in s.log_text()


@pytest.mark.parametrize("first", ["idle", "busy"])
def test_a_replica_that_lacks_something_is_noticed(server, clusters, first):
    """The replica has not received the end of it. Whoever knows what is lost starts anew, even when others have moved
    the stream past that place in the meantime (busy)."""
    primary, standby, url = pair_of(clusters)
    server.allow_errors = True
    one = on(server, url)
    two = beside(server, one)
    alice = one.register("alice")
    room = alice.create_room()
    there = through(two, alice)
    kept = alice.send(room, "kept")
    assert there.messages(room, dir="b", limit=1)["chunk"][0]["event_id"] == kept
    caught_up(primary)
    standby.ask("ALTER SYSTEM SET primary_conninfo = ''")
    standby.ask("SELECT pg_reload_conf()")
    wait_for(lambda: primary.ask("SELECT count(*) FROM pg_stat_replication") == "0", "the standby to hear no more")
    lost = [alice.send(room, "lost %d" % i) for i in range(5)]
    gone = two.register("gone")
    since = there.sync()["next_batch"]
    assert there.messages(room, dir="b", limit=1)["chunk"][0]["event_id"] == lost[-1]
    if first == "busy":
        two.process.send_signal(19)
    primary.kill()
    standby.promote()
    pids = one.process.pid, two.process.pid
    if first == "busy":
        # More than was lost is written before the second one looks.
        wait_for(lambda: again(alice, room, "new"), "the first process", 60)
        for i in range(20):
            alice.send(room, "more %d" % i)
        two.process.send_signal(18)
    wait_for(lambda: again(alice, room, "one"), "the first process", 60)
    wait_for(lambda: again(there, room, "two"), "the second process", 60)
    for s in (one, two):
        wait_for(lambda: "SQL002" in s.log_text() and s.log_text().count("RUN000") == 2, "it to start anew")
    assert pids == (one.process.pid, two.process.pid)
    for client in (alice, there):
        bodies = [e["content"]["body"] for e in all_messages(client, room)]
        assert "kept" in bodies and "one" in bodies and "two" in bodies
        assert not [b for b in bodies if b.startswith("lost")]
        assert client.call("GET", client.room(room, "event/" + lost[0]))[0] == 404
        # Whose account is gone is not remembered either.
        assert Client(client.server, gone.token).call("GET", "/_matrix/client/v3/account/whoami")[0] == 401
        # A position from before leads to everything that is new.
        seen = str(client.sync(since, filter={"room": {"timeline": {"limit": 100}}}))
        assert "'one'" in seen and "'two'" in seen, (since, seen, one.log_text()[-3000:], two.log_text()[-3000:])


def caught_up(primary):
    wait_for(lambda: primary.ask("SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()") == "1",
             "the standby to have everything")


def again(client, room, text):
    """One message, as soon as it can be sent."""
    try:
        client.send(room, text, txn=text)
        return True
    except (OSError, AssertionError):
        return False
