#!/usr/bin/env python3
"""Clients that are never told the truth about the weather: processes of one server are killed, paused, restarted and cut
off from their database, clocks jump, disks fill up and the database itself falls over, at seeded random moments, while
people talk, log in and out and refresh their tokens through whichever process answers. Afterwards every acknowledged
answer is held against what the server says.

    chaos.py --database sqlite|postgres [--seed N] [--kills N] [--minutes N] [--processes N] [--only DEED,…]

The exit status is 0 when nothing was lost, doubled or out of order. Real servers on 127.0.0.1, started by tests/e2e."""

import argparse
import http.client
import json
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from myelin import BUILD, PASSWORD, Client, Server, quote, wait_for  # noqa: E402
from postgres import Postgres, find  # noqa: E402

V3 = "/_matrix/client/v3"
PATIENCE = 60  # seconds for one request, however often it must be repeated
FAIR, FULL, UNSYNCED = 0, 1, 2  # the disk, as weather.c has it
MINUTE = 60000

# The clocks are off by up to ten minutes, and whose token has lived for an hour is none of this test's business.
CONFIG = """
[account]
access_token_lifetime = 1d
"""


class Weather:
    """What weather.c, preloaded into a process, makes of the clock and the disk."""

    def __init__(self, library, path):
        self.library, self.path = library, path
        with open(path, "wb") as f:
            f.write(bytes(16))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 16)
        self.skew, self.disk = 0, FAIR

    def env(self):
        return {"LD_PRELOAD": self.library, "MYELIN_WEATHER": self.path} if self.library else {}

    def set(self, skew=None, disk=None):
        self.skew = self.skew if skew is None else skew
        self.disk = self.disk if disk is None else disk
        self.map[:] = struct.pack("=qq", self.skew, self.disk)


def weather_library(folder):
    """Compiles weather.c; None where that cannot be, or where what runs here is not to be preloaded (sanitizers)."""
    path = os.path.join(folder, "weather.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "weather.c")
    try:
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True,
                       capture_output=True, timeout=60)
        done = subprocess.run([os.path.join(BUILD, "myelind"), "--version"], env={**os.environ, "LD_PRELOAD": path},
                              capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        return None
    return path if done.returncode == 0 and not done.stderr else None


class Process(Server):
    """One of the server's processes, in its own weather. `answers` counts what it has answered since it was started."""

    def __init__(self, folder, database, library):
        super().__init__(folder, database, config=CONFIG)
        self.weather = Weather(library, os.path.join(self.folder, "weather"))
        self.env = self.weather.env()
        self.answers = 0
        # libtool's script, which finds the library, takes longer than the server's start.
        real = os.path.join(BUILD, ".libs", "myelind")
        if os.path.exists(real):
            self.program = real
            self.env["LD_LIBRARY_PATH"] = os.path.join(BUILD, "core", ".libs")

    def spawn(self):
        self.answers = 0
        super().spawn()

    def last_words(self):
        with open(self.log_file, "rb") as f:
            f.seek(max(0, os.path.getsize(self.log_file) - 3000))
            return f.read().decode(errors="replace")


class Cluster:
    """Equal processes on one database."""

    def __init__(self, folder, kind, processes, chance, only=None):
        self.chance = chance
        self.stopping = threading.Event()
        library = weather_library(folder)
        self.postgres = self.storm = None
        if kind == "postgres":
            self.postgres = Postgres(start=False)
            if library:
                self.storm = Weather(shutil.copy(library, self.postgres.folder), self.postgres.folder + "/weather")
                os.chmod(self.storm.path, 0o644)
                os.chmod(self.storm.library, 0o755)
                self.postgres.env = self.storm.env()
            self.postgres.start()
        database = self.postgres.database() if self.postgres else None
        self.servers = [Process(os.path.join(folder, "process%d" % i), database, library) for i in range(processes)]
        self.servers[0].start()
        for one in self.servers[1:]:
            shutil.copy(self.servers[0].folder + "/signing.key", one.folder + "/signing.key")
            one.start()
        deeds = [("kill", 40), ("early", 2), ("pause", 2), ("restart", 2)]
        if library:
            deeds += [("skew", 2), ("fill", 2)] + ([] if self.postgres else [("unsync", 1)])
        if self.postgres:
            deeds += [("cut", 2), ("topple", 0.4)]
        self.deeds = [d for d in deeds if only is None or d[0] in only]
        self.counts = dict.fromkeys([name for name, _ in deeds] + ["kill", "ended"], 0)

    # ---- who has ended is started again ----

    def look_after(self, one):
        """A process that cannot reach its database while it starts, cannot write to a full disk, or whose clock is too far
        from the others', ends in words; whoever supervises it starts it again, with the clocks set right."""
        if self.postgres and not self.postgres.running():
            self.storm.set(disk=FAIR)
            self.postgres.start()
        if one.process.poll() is None:
            return True
        words = one.last_words()
        if "the clocks are" in words:
            for each in self.servers:
                each.weather.set(skew=0)
        else:
            # Or a client has got its port meanwhile.
            assert "myelind: " in words and any(w in words for w in (
                "PostgreSQL", "database", "SQLite", "cannot store", "No space left on device", "Address already in use")), words
        one.spawn()
        self.counts["ended"] += 1
        return False

    def wait_answered(self, one, seconds=60):
        """Until it has answered since it was started: a kill of who is not up yet is none."""
        end = time.monotonic() + seconds
        while not one.answers and not self.stopping.is_set():
            self.look_after(one)
            if time.monotonic() > end:
                raise AssertionError("waited %d s for an answer of process %d\n%s" % (
                    seconds, self.servers.index(one), one.last_words()))
            time.sleep(0.002)

    # ---- deeds ----

    def kill(self, one):
        one.kill()
        one.spawn()

    def early(self, one):
        """Killed while it starts."""
        one.kill()
        one.spawn()
        time.sleep(self.chance.uniform(0.0, 0.04))
        one.kill()
        one.spawn()

    def pause(self, one):
        os.kill(one.process.pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.01, 0.5))
        os.kill(one.process.pid, signal.SIGCONT)

    def restart(self, one):
        # Who is not up yet does not know the signal, or has been cut off and ends by itself.
        status = one.stop()
        assert status in (0, -signal.SIGTERM) or "myelind: " in one.last_words(), one.last_words()
        one.spawn()

    def skew(self, one):
        """Its clock jumps, or is set right."""
        one.weather.set(skew=self.chance.choice([0, self.chance.randint(-10 * MINUTE, 10 * MINUTE)]))

    def trouble_of_the_disk(self, weather, state, one):
        weather.set(disk=state)
        time.sleep(self.chance.uniform(0.01, 0.4))
        if self.chance.random() < 0.3:
            self.kill(one)
            time.sleep(self.chance.uniform(0.01, 0.1))
        weather.set(disk=FAIR)

    def fill(self, one):
        self.trouble_of_the_disk(self.storm or one.weather, FULL, one)

    def unsync(self, one):
        self.trouble_of_the_disk(one.weather, UNSYNCED, one)

    def cut(self, _):
        """Some of the connections to the database end."""
        database = self.servers[0].database.split("dbname=")[1]
        subprocess.run([find("psql") or "psql", "-h", self.postgres.folder, "-U", "myelin", "-d", database, "-qAtc",
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
                        "pid <> pg_backend_pid() AND random() < 0.4"], capture_output=True, timeout=60)

    def topple(self, _):
        """The database falls over, and is back after a while."""
        self.postgres.stop("immediate")
        time.sleep(self.chance.uniform(0.0, 0.5))
        self.postgres.start()

    def disturb(self):
        deed = self.chance.choices([d[0] for d in self.deeds], [d[1] for d in self.deeds])[0]
        one = self.chance.choice(self.servers)
        self.wait_answered(one)
        if not self.stopping.is_set():
            getattr(self, deed)(one)
            self.counts[deed] += 1
        for each in self.servers:
            self.look_after(each)

    def wait_up(self):
        for one in self.servers:
            one.weather.set(skew=0, disk=FAIR)
        for one in self.servers:
            wait_for(lambda one=one: self.look_after(one) and up(one), "a process to answer", 60)

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
    """One device, balanced to another process with each request; a request is repeated until a process has answered it."""

    def __init__(self, cluster, client, seed):
        self.cluster = cluster
        self.token, self.user_id = client.token, client.user_id
        self.chance = random.Random(seed)
        self.connections = {}
        self.last = None
        self.repeated = self.slow = 0

    def other(self):
        """Whoever has not answered last."""
        return self.chance.choice([s for s in self.cluster.servers if s is not self.last] or self.cluster.servers)

    def once(self, server, method, path, body=None, wait=0, token=None):
        """-> (status, the answer's text) or None: nobody has answered."""
        data = json.dumps(body if body is not None else {}) if method != "GET" else None
        headers = {"Content-Type": "application/json"}
        if token != "":
            headers["Authorization"] = "Bearer " + (token or self.token)
        try:
            conn = self.connections.get(server)
            if conn is None:
                conn = self.connections[server] = http.client.HTTPConnection("127.0.0.1", server.port)
                conn.timeout = wait + 10
            process = server.process
            conn.request(method, path, data, headers)
            answer = conn.getresponse()
            status, text = answer.status, answer.read()
        except (http.client.HTTPException, OSError) as e:
            self.connections.pop(server, None)
            if isinstance(e, TimeoutError):
                self.slow += 1
            return None
        if server.process is process:
            server.answers += 1
        return None if status in (429, 502, 503, 504, 507) else (status, text)

    def ask(self, method, path, body=None, wait=0, also=(), token=None, everyone=None):
        """-> the answer of status 200, or (status, answer) of one of `also`. From `everyone`, if that process is given."""
        end = time.monotonic() + PATIENCE
        while True:
            server = everyone or self.other()
            got = self.once(server, method, path, body, wait, token)
            if got is not None:
                self.last = server
                if got[0] in also:
                    return got[0], json.loads(got[1])
                if got[0] != 200:
                    raise AssertionError("%s %s: %d %s" % (method, path, got[0], got[1]))
                return (200, json.loads(got[1])) if also else json.loads(got[1])
            if time.monotonic() > end:
                raise AssertionError("nobody has answered %s %s" % (method, path))
            self.repeated += 1
            time.sleep(0.005)


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


class Life(threading.Thread):
    """One person who logs in with new devices, refreshes their tokens, and logs them out or deletes them."""

    def __init__(self, person, stop):
        super().__init__()
        self.person, self.stop, self.failure = person, stop, None
        self.devices, self.done, self.refreshed = {}, 0, 0
        self.gone = []  # what nobody may take any more: tokens, and how they ended

    def run(self):
        try:
            while not self.stop.is_set():
                self.one(self.done)
                self.done += 1
                time.sleep(0.02)
        except Exception as e:
            self.failure = e

    def works(self, tokens, where=None):
        return self.person.ask("GET", V3 + "/account/whoami", token=tokens["access_token"], also=(401,), everyone=where)[0] == 200

    def expect(self, device, works):
        """Whoever is asked knows what was acknowledged."""
        for server in [self.person.other(), self.person.other()]:
            there = self.works(self.devices[device], server) if works else self.works(self.gone[-1][0], server)
            assert there == works, "%s: the token %s" % (device, "is refused" if works else "is still taken")

    def one(self, n):
        device = "D%d" % n
        self.devices[device] = self.login(device)
        self.expect(device, True)
        for _ in range(n % 3):
            self.refresh(device)
        if len(self.devices) > 4:
            self.end(next(iter(self.devices)), n % 2)
        if n % 7 == 0:
            self.compare()

    def login(self, device):
        return self.person.ask("POST", V3 + "/login", {
            "type": "m.login.password", "identifier": {"type": "m.id.user", "user": self.person.user_id},
            "password": PASSWORD, "device_id": device, "refresh_token": True}, token="")

    def refresh(self, device):
        """However often a refresh is repeated, the tokens of the answer that arrived work, and then no others."""
        old = self.devices[device]
        new = self.person.ask("POST", V3 + "/refresh", {"refresh_token": old["refresh_token"]}, token="")
        assert new["access_token"] != old["access_token"] and new["refresh_token"] != old["refresh_token"], new
        self.devices[device] = new
        self.refreshed += 1
        self.expect(device, True)
        self.gone.append((old, "the refreshed one of %s" % device))
        self.expect(device, False)
        status, answer = self.person.ask("POST", V3 + "/refresh", {"refresh_token": old["refresh_token"]}, token="", also=(401,))
        assert status == 401, "a refresh token was taken after its successor was used: %s" % answer

    def end(self, device, delete):
        tokens = self.devices[device]
        path, body = V3 + "/devices/" + device, {}
        while delete:
            status, answer = self.person.ask("DELETE", path, body, also=(401,))
            if status == 200:
                break
            # Another try may begin anew: its session is lost with a clock that jumped.
            assert "session" in answer, answer
            body = {"auth": {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": self.person.user_id},
                             "password": PASSWORD, "session": answer["session"]}}
        if not delete:
            # Who has been logged out by a request without an answer is a stranger to the next.
            self.person.ask("POST", V3 + "/logout", {}, token=tokens["access_token"], also=(401,))
        del self.devices[device]
        self.gone.append((tokens, "that of %s, which was %s" % (device, "deleted" if delete else "logged out")))
        self.expect(device, False)

    def compare(self):
        there = {d["device_id"] for d in self.person.ask("GET", V3 + "/devices")["devices"] if d["device_id"].startswith("D")}
        assert there == set(self.devices), "the devices are %s, and should be %s" % (sorted(there), sorted(self.devices))

    def check(self):
        self.compare()
        for server in self.person.cluster.servers:
            for device, tokens in self.devices.items():
                assert self.works(tokens, server), "%s is refused" % device
            for tokens, which in self.gone[-30:]:
                assert not self.works(tokens, server), "a token that ended is still taken, " + which


def history(person, room):
    found, token = [], None
    while True:
        page = person.ask("GET", room_path(room, "messages?dir=f&limit=500" + ("&from=" + quote(token) if token else "")))
        found += [(e["content"].get("body"), e["event_id"]) for e in page["chunk"] if e["type"] == "m.room.message"]
        token = page.get("end")
        if not token or not page["chunk"]:
            return found


def check(talkers, listeners, rooms, life):
    """What is wrong, as a list of sentences."""
    wrong = []
    for who in talkers + listeners + [life]:
        if who.failure is not None:
            wrong.append("%s: %r" % (who.person.user_id, who.failure))
    try:
        life.check()
    except AssertionError as e:
        wrong.append("%s: %s" % (life.person.user_id, e))
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
            heard = set(who.heard)
            missing = [(i, b) for i, (b, e) in enumerate(there[who.room]) if (b, e) not in heard]
            wrong.append("%s heard %d of %d messages; missing %s; or in another order" % (
                who.person.user_id, len(who.heard), len(there[who.room]), missing[:10]))
    return wrong


def play(folder, kind, seed, kills, minutes, processes, say=print, only=None):
    """-> (what is wrong, the counts)"""
    chance = random.Random(seed)
    cluster = Cluster(folder, kind, processes, chance, only)
    stop = cluster.stopping
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
        life = Life(Person(cluster, host.register("life"), seed * 100 + 60), stop)
        everybody = talkers + listeners + [life]
        for t in everybody:
            t.start()
        begun = said = time.monotonic()
        while cluster.counts["kill"] < kills and time.monotonic() < begun + minutes * 60:
            if any(t.failure for t in everybody):
                break
            time.sleep(chance.uniform(0.0, 0.06))
            cluster.disturb()
            if time.monotonic() - said > 10:
                said = time.monotonic()
                say("%s, %d messages, %d devices" % (cluster.counts, sum(len(t.sent) for t in talkers), life.done))
        took = time.monotonic() - begun
        stop.set()
        cluster.wait_up()
        for t in everybody:
            t.join(PATIENCE + 30)
        for one in listeners:
            while one.failure is None and one.once(0):
                pass
        wrong = check(talkers, listeners, rooms, life)
        if cluster.postgres is None and "ok" not in host.ctl("db", "check").stdout:
            wrong.append("the database's own check: " + host.ctl("db", "check").stdout)
        ends = [t.person for t in everybody]
        counts = dict(cluster.counts, messages=sum(len(t.sent) for t in talkers), syncs=sum(one.syncs for one in listeners),
                      devices=life.done, refreshes=life.refreshed, repeated=sum(p.repeated for p in ends),
                      slow=sum(p.slow for p in ends), seconds=round(took))
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
    a.add_argument("--only", help="these deeds: kill, early, pause, restart, skew, fill, unsync, cut, topple")
    a = a.parse_args()
    processes = a.processes or (1 if a.database == "sqlite" else 4)
    print("seed %d" % a.seed, flush=True)
    folder = tempfile.mkdtemp(prefix="myelin-chaos-")
    wrong, counts = play(folder, a.database, a.seed, a.kills, a.minutes, processes, say=lambda s: print(s, flush=True),
                         only=a.only.split(",") if a.only else None)
    print(json.dumps(counts))
    for line in wrong:
        print("WRONG: " + line)
    if wrong:
        print("the processes' folders are in " + folder)
        sys.exit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
