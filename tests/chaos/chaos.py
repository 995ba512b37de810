#!/usr/bin/env python3
"""Clients that are never told the truth about the weather: processes of one server are killed, paused, restarted and cut
off from their database at seeded random moments, while people talk through whichever process answers. Afterwards every
acknowledged answer is held against what the server says.

    chaos.py --database sqlite|postgres [--seed N] [--kills N] [--minutes N] [--processes N]

The exit status is 0 when nothing was lost, doubled or out of order. Real servers on 127.0.0.1, started by tests/e2e."""

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from myelin import Client, Server, quote, wait_for  # noqa: E402
from postgres import Postgres, find  # noqa: E402

V3 = "/_matrix/client/v3"
PATIENCE = 60  # seconds for one request, however often it must be repeated


class Cluster:
    """Equal processes on one database."""

    def __init__(self, folder, kind, processes, chance):
        self.chance = chance
        self.postgres = Postgres() if kind == "postgres" else None
        database = self.postgres.database() if self.postgres else None
        self.servers = [Server(os.path.join(folder, "process%d" % i), database) for i in range(processes)]
        self.servers[0].start()
        for one in self.servers[1:]:
            shutil.copy(self.servers[0].folder + "/signing.key", one.folder + "/signing.key")
            one.start()
        self.counts = {"kill": 0, "pause": 0, "restart": 0, "cut": 0, "ended": 0}

    def look_after(self, one):
        """A process that cannot reach its database while it starts ends, and whoever supervises it starts it again."""
        if one.process.poll() is None:
            return True
        assert "myelind: " in one.log_text()[-2000:] and "PostgreSQL" in one.log_text()[-2000:], one.log_text()[-2000:]
        one.spawn()
        self.counts["ended"] += 1
        return False

    def kill(self, one):
        one.kill()
        one.spawn()
        self.counts["kill"] += 1

    def pause(self, one):
        os.kill(one.process.pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.01, 0.5))
        os.kill(one.process.pid, signal.SIGCONT)
        self.counts["pause"] += 1

    def restart(self, one):
        # Who is not up yet does not know the signal, or has been cut off and ends by itself.
        status = one.stop()
        assert status in (0, -signal.SIGTERM) or "myelind: " in one.log_text()[-2000:], one.log_text()[-2000:]
        one.spawn()
        self.counts["restart"] += 1

    def cut(self, _):
        """Some of the connections to the database end."""
        database = self.servers[0].database.split("dbname=")[1]
        subprocess.run([find("psql") or "psql", "-h", self.postgres.folder, "-U", "myelin", "-d", database, "-qAtc",
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
                        "pid <> pg_backend_pid() AND random() < 0.4"], check=True, capture_output=True, timeout=60)
        self.counts["cut"] += 1

    def disturb(self):
        what = [(self.kill, 20), (self.pause, 1), (self.restart, 1)]
        if self.postgres:
            what.append((self.cut, 1))
        deed = self.chance.choices([w[0] for w in what], [w[1] for w in what])[0]
        one = self.chance.choice(self.servers)
        if self.look_after(one):
            deed(one)

    def wait_up(self):
        for one in self.servers:
            self.look_after(one)
            wait_for(lambda one=one: up(one), "a process to answer", 60)

    def close(self):
        for one in self.servers:
            if one.process is not None:
                one.stop()
        if self.postgres:
            self.postgres.remove()


def up(server):
    try:
        return server.client().raw("GET", "/health", timeout=5)[0] == 200
    except OSError:
        return False


class Person:
    """One device, balanced to any process; a request is repeated until a process has answered it."""

    def __init__(self, cluster, client, seed):
        self.cluster = cluster
        self.token, self.user_id = client.token, client.user_id
        self.chance = random.Random(seed)
        self.connections = {}
        self.repeated = 0

    def ask(self, method, path, body=None, wait=0, over=lambda: False):
        """-> the answer of status 200; None when over() says that nobody wants it any more."""
        end = time.monotonic() + PATIENCE
        data = json.dumps(body if body is not None else {}) if method != "GET" else None
        while not over():
            if time.monotonic() > end:
                raise AssertionError("nobody has answered %s %s" % (method, path))
            server = self.chance.choice(self.cluster.servers)
            try:
                conn = self.connections.get(server)
                if conn is None:
                    conn = self.connections[server] = http.client.HTTPConnection("127.0.0.1", server.port)
                    conn.timeout = wait + 10
                conn.request(method, path, data, {"Authorization": "Bearer " + self.token, "Content-Type": "application/json"})
                answer = conn.getresponse()
                status, text = answer.status, answer.read()
            except (http.client.BadStatusLine, http.client.IncompleteRead, http.client.CannotSendRequest, OSError):
                self.connections.pop(server, None)
                self.repeated += 1
                time.sleep(0.005)
                continue
            if status == 200:
                return json.loads(text)
            if status not in (502, 503, 504, 429):
                raise AssertionError("%s %s: %d %s" % (method, path, status, text))
            self.repeated += 1
            time.sleep(0.01)
        return None


def room_path(room, rest):
    return "%s/rooms/%s/%s" % (V3, quote(room), rest)


class Talker(threading.Thread):
    """Sends numbered messages, and sets a topic and account data of his own to the same numbers."""

    def __init__(self, person, name, room, own, stop):
        super().__init__()
        self.person, self.name_, self.room, self.own, self.stop = person, name, room, own, stop
        self.sent, self.topic, self.data, self.failure = [], 0, 0, None

    def run(self):
        try:
            while not self.stop.is_set():
                self.one(len(self.sent))
        except Exception as e:  # a checker reports it
            self.failure = e

    def one(self, n):
        p = self.person
        body = {"msgtype": "m.text", "body": "%s %d" % (self.name_, n)}
        self.sent.append(p.ask("PUT", room_path(self.room, "send/m.room.message/%s-%d" % (self.name_, n)), body)["event_id"])
        if n % 5 == 0:
            p.ask("PUT", room_path(self.own, "state/m.room.topic/"), {"topic": str(n)})
            self.topic = n
        if n % 5 == 2:
            p.ask("PUT", "%s/user/%s/account_data/chaos.number" % (V3, quote(p.user_id)), {"n": n})
            self.data = n
        # What was acknowledged is known to whoever is asked next.
        if n % 7 == 3:
            got = p.ask("GET", room_path(self.room, "event/" + quote(self.sent[-1])))
            assert got["content"]["body"] == body["body"], got
            topic = p.ask("GET", room_path(self.own, "state/m.room.topic/"))["topic"]
            assert topic == str(self.topic), "the topic is %s and was set to %d" % (topic, self.topic)
            data = p.ask("GET", "%s/user/%s/account_data/chaos.number" % (V3, quote(p.user_id)))["n"] if self.data else 0
            assert data == self.data, "the account data is %d and was set to %d" % (data, self.data)


class Listener(threading.Thread):
    """Syncs from any process, and fills the gaps of limited timelines."""

    def __init__(self, person, room, since, stop):
        super().__init__()
        self.person, self.room, self.since, self.stop = person, room, since, stop
        self.heard, self.failure, self.syncs = [], None, 0

    def run(self):
        try:
            while not self.stop.is_set():
                self.once(200)
        except Exception as e:
            self.failure = e

    def once(self, timeout):
        answer = self.person.ask("GET", V3 + "/sync?timeout=%d&since=%s" % (timeout, quote(self.since)), wait=timeout / 1000)
        self.syncs += 1
        timeline = answer.get("rooms", {}).get("join", {}).get(self.room, {}).get("timeline", {})
        events = timeline.get("events", [])
        if timeline.get("limited"):
            events = self.gap(timeline["prev_batch"]) + events
        self.heard += [(e["content"].get("body"), e["event_id"]) for e in events if e["type"] == "m.room.message"]
        self.since = answer["next_batch"]
        return bool(events)

    def gap(self, before):
        found = []
        while True:
            page = self.person.ask("GET", room_path(self.room, "messages?dir=b&limit=500&from=%s&to=%s" % (
                quote(before), quote(self.since))))
            found += page["chunk"]
            if not page.get("end") or not page["chunk"]:
                return found[::-1]
            before = page["end"]


def history(person, room):
    found, token = [], None
    while True:
        page = person.ask("GET", room_path(room, "messages?dir=f&limit=500" + ("&from=" + quote(token) if token else "")))
        found += [(e["content"].get("body"), e["event_id"]) for e in page["chunk"] if e["type"] == "m.room.message"]
        token = page.get("end")
        if not token or not page["chunk"]:
            return found


def check(talkers, listeners, rooms):
    """What is wrong, as a list of sentences."""
    wrong = []
    for who in talkers + listeners:
        if who.failure is not None:
            wrong.append("%s: %r" % (who.person.user_id, who.failure))
    there = {}
    for room in rooms:
        there[room] = history(talkers[0].person, room)
        ids = [e for _, e in there[room]]
        if len(ids) != len(set(ids)):
            wrong.append("an event of %s is there twice" % room)
    for t in talkers:
        mine = [(b, e) for b, e in there[t.room] if b.rsplit(" ", 1)[0] == t.name_]
        numbers = [int(b.rsplit(" ", 1)[1]) for b, _ in mine]
        if numbers != list(range(len(numbers))):
            wrong.append("%s: the messages are %s …" % (t.name_, numbers[:50]))
        if [e for _, e in mine][:len(t.sent)] != t.sent:
            wrong.append("%s: what was acknowledged is not what is there" % t.name_)
        if len(mine) > len(t.sent) + 1:
            wrong.append("%s: %d messages, of which %d were acknowledged" % (t.name_, len(mine), len(t.sent)))
        n = len(t.sent) - 1
        again = t.person.ask("PUT", room_path(t.room, "send/m.room.message/%s-%d" % (t.name_, n)), {"msgtype": "m.text", "body": "?"})
        if n >= 0 and again["event_id"] != t.sent[n]:
            wrong.append("%s: a transaction id has made a second event" % t.name_)
    for who in listeners:
        if who.heard != there[who.room]:
            missing = [b for b, e in there[who.room] if (b, e) not in set(who.heard)]
            wrong.append("%s heard %d of %d messages; missing %s; or in another order" % (
                who.person.user_id, len(who.heard), len(there[who.room]), missing[:10]))
    return wrong


def play(folder, kind, seed, kills, minutes, processes, say=print):
    """-> (what is wrong, the counts)"""
    chance = random.Random(seed)
    cluster = Cluster(folder, kind, processes, chance)
    stop = threading.Event()
    try:
        host = cluster.servers[0]
        clients = [host.register("p") for _ in range(6)]
        rooms = [clients[0].create_room(preset="public_chat") for _ in range(2)]
        for c in clients[1:]:
            for room in rooms:
                c.join(room)
        own = [c.create_room() for c in clients]
        people = [Person(cluster, c, seed * 100 + i) for i, c in enumerate(clients)]
        ears = [Person(cluster, host.login(clients[i].user_id), seed * 100 + 50 + i) for i in range(2)]
        since = [Client(host, p.token, p.user_id).sync()["next_batch"] for p in ears]
        talkers = [Talker(p, "talker-%d" % i, rooms[i % 2], own[i], stop) for i, p in enumerate(people)]
        listeners = [Listener(p, rooms[i], since[i], stop) for i, p in enumerate(ears)]
        for t in talkers + listeners:
            t.start()
        end = time.monotonic() + minutes * 60
        said = time.monotonic()
        while cluster.counts["kill"] < kills and time.monotonic() < end and not any(t.failure for t in talkers + listeners):
            time.sleep(chance.uniform(0.0, 0.12))
            before = sum(len(t.sent) for t in talkers)
            cluster.disturb()
            # Somebody has been answered in between: a kill of who is not up yet is none.
            wait_for(lambda: sum(len(t.sent) for t in talkers) > before or any(t.failure for t in talkers), "anybody to be answered", 60)
            if time.monotonic() - said > 10:
                said = time.monotonic()
                say("%s, %d messages" % (cluster.counts, sum(len(t.sent) for t in talkers)))
        stop.set()
        for t in talkers + listeners:
            t.join(PATIENCE + 30)
        cluster.wait_up()
        for one in listeners:
            while one.failure is None and one.once(0):
                pass
        wrong = check(talkers, listeners, rooms)
        if cluster.postgres is None and "ok" not in host.ctl("db", "check").stdout:
            wrong.append("the database's own check: " + host.ctl("db", "check").stdout)
        counts = dict(cluster.counts, messages=sum(len(t.sent) for t in talkers), syncs=sum(one.syncs for one in listeners),
                      repeated=sum(p.repeated for p in people + ears))
        return wrong, counts
    finally:
        stop.set()
        cluster.close()


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--database", choices=["sqlite", "postgres"], required=True)
    a.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    a.add_argument("--kills", type=int, default=100)
    a.add_argument("--minutes", type=float, default=30)
    a.add_argument("--processes", type=int, default=0)
    a = a.parse_args()
    processes = a.processes or (1 if a.database == "sqlite" else 4)
    print("seed %d" % a.seed, flush=True)
    folder = tempfile.mkdtemp(prefix="myelin-chaos-")
    wrong, counts = play(folder, a.database, a.seed, a.kills, a.minutes, processes, say=lambda s: print(s, flush=True))
    print(json.dumps(counts))
    for line in wrong:
        print("WRONG: " + line)
    if wrong:
        print("the processes' folders are in " + folder)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
