"""myelind as a process: what it refuses to start with, its signals, and modules that change while it serves."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from myelin import BUILD, wait_for

MYELIND = os.path.join(BUILD, "myelind")


def run(server, *arguments):
    return subprocess.run([MYELIND, "--config", server.config_file, *arguments], capture_output=True, text=True, timeout=60)


def test_mistakes_are_told_together_and_nothing_starts(server):
    hs = server(start=False, config="[http]\nworkers = many\n\n[client-snyc]\n\n[rooms]\ndefault_versoin = 11\n")
    done = run(hs)
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    assert len(lines) == 3, done.stderr
    assert "[http] workers = many: expected a whole number" in lines[0]
    assert "did you mean [client-sync]?" in lines[1]
    assert "[rooms] has no option default_versoin; did you mean default_version?" in lines[2]
    assert all(hs.config_file + ":" in line for line in lines)


def test_workers_without_connections_are_a_mistake(server):
    hs = server(start=False, config="[http]\nworkers = 40\n")
    done = run(hs, "--check")
    assert done.returncode == 78
    assert "[database] readers = 24: must not be less than [http] workers = 40" in done.stderr
    hs = server(start=False, config="[http]\nworkers = 40\n", set={"database.readers": "40"})
    assert run(hs, *hs.set, "--check").returncode == 0


def test_check_starts_nothing(server):
    hs = server(start=False)
    done = run(hs, "--check")
    assert done.returncode == 0 and "no mistakes" in done.stdout
    assert not os.path.exists(os.path.join(hs.folder, "myelin.db"))


def test_a_second_server_is_refused(server):
    hs = server()
    done = run(hs)
    assert done.returncode == 1
    assert "in use by another process, number %d" % hs.process.pid in done.stderr
    assert hs.client().raw("GET", "/health")[0] == 200


def test_a_port_that_is_taken_is_named(server):
    hs = server(start=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", hs.port))
        taken.listen()
        hs.ctl("key", "generate", os.path.join(hs.folder, "signing.key"))
        done = run(hs)
    assert done.returncode in (1, 78)
    assert "127.0.0.1:%d" % hs.port in done.stderr


def test_ready_is_told_to_the_service_manager(server):
    hs = server(start=False)
    path = os.path.join(hs.folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(30)
        hs.env = {"NOTIFY_SOCKET": path}
        hs.start()
        assert manager.recv(100) == b"READY=1"
        assert hs.client().raw("GET", "/health")[0] == 200
        hs.process.send_signal(signal.SIGHUP)
        assert manager.recv(100) == b"RELOADING=1"
        assert manager.recv(100) == b"READY=1"
        assert hs.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_sighup_takes_up_what_may_change_and_names_the_rest(server):
    hs = server()
    hs.write_config("[log]\nlevels = debug\n\n[http]\nworkers = 3\n")
    hs.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "RUN042" in hs.log_text(), "the reload")
    assert 'option="[http] workers"' in hs.log_text()
    hs.write_config("[http]\nworkers = none\n")
    hs.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "RUN044" in hs.log_text(), "the refusal")
    assert hs.client().raw("GET", "/health")[0] == 200


def test_a_module_goes_and_comes_while_others_are_served(server):
    hs = server()
    alice = hs.register("alice")
    room = alice.create_room()
    typing = alice.room(room, "typing/" + alice.user_id)
    end, failures, count = threading.Event(), [], [0]

    def press():
        user = hs.client(alice.token)
        while not end.is_set():
            status, answer = user.call("GET", "/_matrix/client/v3/account/whoami")
            count[0] += 1
            if status != 200:
                failures.append(answer)
            status, answer = user.call("PUT", typing, {"typing": True, "timeout": 1000})
            if status != 200 and answer["errcode"] != "M_UNRECOGNIZED":
                failures.append(answer)

    threads = [threading.Thread(target=press) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            hs.ctl("module", "unload", "client-typing")
            assert alice.call("PUT", typing, {"typing": False})[1]["errcode"] == "M_UNRECOGNIZED"
            hs.ctl("module", "load", "client-typing")
            assert alice.call("PUT", typing, {"typing": False})[0] == 200
            hs.ctl("module", "reload", "client-typing")
            assert alice.call("PUT", typing, {"typing": False})[0] == 200
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:5]
    assert count[0] > 50


def test_what_is_switched_off_is_not_in_the_process(server):
    hs = server(config="[client-typing]\nenabled = no\n")
    alice = hs.register("alice")
    room = alice.create_room()
    status, answer = alice.call("PUT", alice.room(room, "typing/" + alice.user_id), {"typing": True})
    assert (status, answer["errcode"]) == (404, "M_UNRECOGNIZED")
    with open("/proc/%d/maps" % hs.process.pid) as maps:
        text = maps.read()
    assert "client_sync.so" in text
    if "asan" not in text:
        assert "client_typing.so" not in text


def test_needed_modules_stay(server):
    hs = server()
    done = hs.ctl("module", "unload", "client-profile", check=False)
    assert done.returncode != 0 and "is needed by" in done.stderr + done.stdout
    storage = "storage-sqlite" if hs.database.startswith("sqlite:") else "storage-postgres"
    done = hs.ctl("module", "unload", storage, check=False)
    assert done.returncode != 0 and "holds the open database" in done.stderr + done.stdout


# ---- the end ----

class Unfinished:
    """A request whose body is still on its way: what a stop waits for."""

    def __init__(self, hs):
        self.body = b'{"type": "m.login.password"}'
        self.socket = socket.create_connection(("127.0.0.1", hs.port), 30)
        self.socket.sendall(b"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
                            % (len(self.body), self.body[:5]))
        wait_for(lambda: json.loads(hs.ctl("status", "--json").stdout)["requests_running"] == 1, "the request to begin")

    def finish(self):
        self.socket.sendall(self.body[5:])
        answer = self.socket.recv(4096)
        self.socket.close()
        return answer


def stopping(hs):
    hs.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "RUN046" in hs.log_text(), "the stop to begin")


def refuses(hs):
    try:
        socket.create_connection(("127.0.0.1", hs.port), 5).close()
        return False
    except ConnectionRefusedError:
        return True


def test_a_stop_waits_for_what_runs(server):
    hs = server(config="[server]\ndrain_timeout = 60s\n")
    alice = hs.register("alice")
    since = alice.sync()["next_batch"]
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(hs.client(alice.token).sync(since, timeout=60000)))
    unfinished = Unfinished(hs)
    waiting.start()
    wait_for(lambda: json.loads(hs.ctl("status", "--json").stdout)["requests_waiting"] == 1, "the sync to wait")
    stopping(hs)
    # Who waits is answered at once, nobody new comes in, and what runs goes on.
    waiting.join(20)
    assert answers and answers[0]["next_batch"] == since
    wait_for(lambda: refuses(hs), "the port to close")
    assert hs.process.poll() is None
    assert unfinished.finish().startswith(b"HTTP/1.1 40")
    assert hs.process.wait(20) == 0
    assert "RUN041" not in hs.log_text()


def test_a_second_signal_stops_at_once(server):
    hs = server(config="[server]\ndrain_timeout = 60s\n")
    alice = hs.register("alice")
    room = alice.create_room()
    sent = [alice.send(room, "message %d" % i) for i in range(20)]
    unfinished = Unfinished(hs)
    stopping(hs)
    assert hs.process.poll() is None
    hs.process.send_signal(signal.SIGTERM)
    assert hs.process.wait(5) == 0
    assert "stopping at once" in hs.log_text()
    unfinished.socket.close()
    # What was acknowledged is there.
    hs.start()
    got = [event["event_id"] for event in alice.messages(room, dir="b", limit=100)["chunk"]]
    assert [event_id for event_id in reversed(got) if event_id in sent] == sent


def test_a_stop_ends_at_its_deadline(server):
    hs = server(config="[server]\ndrain_timeout = 1s\n")
    unfinished = Unfinished(hs)
    began = time.monotonic()
    stopping(hs)
    assert hs.process.wait(10) == 0
    assert 0.9 < time.monotonic() - began < 8
    assert "RUN041" in hs.log_text()
    unfinished.socket.close()


# ---- secrets ----

def test_the_password_of_the_database_is_shown_nowhere(server):
    hs = server(start=False)
    url = hs.database
    if url.startswith("postgres:"):
        url += ("&" if "?" in url else "?") + "password=pass-phrase" if "//" in url else " password=pass-phrase"
    else:
        url = "sqlite:" + os.path.join(hs.folder, "pass-phrase.db")
    hs.database = url
    hs.write_config()
    hs.start()
    shown = "".join(hs.ctl(*words).stdout for words in (["config", "show"], ["config", "dump"], ["config", "check"], ["status"],
                                                       ["db", "stat"], ["config", "show", "--json"]))
    assert "# url is a secret and not shown; it is set" in shown
    assert hs.stop() == 0
    assert "pass-phrase" not in shown + hs.log_text()

    # From a file, and as a credential of the service manager.
    for way in ("file", "credential"):
        with open(os.path.join(hs.folder, "database.url"), "w") as f:
            f.write(url + "\n")
        hs.write_config()
        with open(hs.config_file) as f:
            text = f.read()
        with open(hs.config_file, "w") as f:
            f.write(text.replace("url = " + url, "url_file = database.url" if way == "file" else ""))
        hs.env = {} if way == "file" else {"CREDENTIALS_DIRECTORY": hs.folder}
        hs.start()
        assert hs.client().raw("GET", "/health")[0] == 200
        assert hs.stop() == 0

    # One that is malformed is not quoted.
    for bad in ("pass-phrase", "postgres:host=x pass-phrase", "postgres://u:pass-phrase@[h/db"):
        done = run(hs, "--set", "database.url=" + bad)
        assert done.returncode == 78 and "[database] url" in done.stderr, done.stderr
        assert "pass-phrase" not in done.stderr + done.stdout


# ---- upgrades ----

def lock_pid(hs):
    with open(os.path.join(hs.folder, "run", "control.sock.lock")) as f:
        return int(f.read() or 0)


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Successor:
    """The process that has taken over, which is no child of ours: as much of Popen as Server uses."""

    def __init__(self, hs):
        self.pid = lock_pid(hs)
        self.returncode = None

    def poll(self):
        return None if is_alive(self.pid) else 0

    def wait(self, seconds=30):
        wait_for(lambda: not is_alive(self.pid), "process %d to end" % self.pid, seconds)
        return 0

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


def upgrade(hs, how="command"):
    """Waits until the new process serves and the old one has ended."""
    old = hs.process
    if how == "command":
        assert "process " in hs.ctl("upgrade").stdout
    else:
        old.send_signal(signal.SIGUSR2)
        wait_for(lambda: lock_pid(hs) != old.pid and "RUN052" in hs.log_text(), "the new process to serve")
    new = Successor(hs)
    assert new.pid != old.pid
    assert old.wait(30) == 0
    hs.process = new


def test_an_upgrade_has_no_gap(server):
    """Under load: nobody is refused, no answer is an error, and a client that syncs sees every message once."""
    # A client that is slow for a moment finds more than a hundred messages.
    hs = server("[client-sync]\nmax_timeline_limit = 10000\n")
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    since = bob.sync()["next_batch"]
    end, failures, sent, seen, visits = threading.Event(), [], [], [], [0]

    def guarded(fn):
        def run():
            try:
                fn()
            except Exception as e:
                failures.append(repr(e))
        return threading.Thread(target=run)

    def send(n):
        def loop():
            me = hs.client(alice.token)
            i = 0
            while not end.is_set():
                body = "%d-%d" % (n, i)
                me.send(room, body, txn=body)
                sent.append(body)
                i += 1
        return loop

    def visit():
        # Each time on a connection of its own: it must be taken, and answered.
        while not end.is_set():
            with socket.create_connection(("127.0.0.1", hs.port), 20) as s:
                s.sendall(b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = s.recv(200)
                assert answer.startswith(b"HTTP/1.1 200"), answer
                visits[0] += 1

    def sync():
        me, token = hs.client(bob.token), since
        while any(t.is_alive() for t in senders) or len(seen) < len(sent):
            answer = me.sync(token, timeout=2000, filter={"room": {"timeline": {"limit": 10000}}})
            token = answer["next_batch"]
            timeline = answer["rooms"]["join"].get(room, {}).get("timeline", {}) if "join" in answer.get("rooms", {}) else {}
            assert not timeline.get("limited")
            seen.extend(e["content"]["body"] for e in timeline.get("events", []) if e["type"] == "m.room.message")

    senders = [guarded(send(0)), guarded(send(1))]
    threads = senders + [guarded(f) for f in (visit, visit, sync)]
    for thread in threads:
        thread.start()
    try:
        for how in ("command", "signal", "command"):
            before = len(sent), visits[0]
            wait_for(lambda: failures or (len(sent) > before[0] + 20 and visits[0] > before[1] + 20), "some traffic")
            upgrade(hs, how)
        before = len(sent)
        wait_for(lambda: failures or len(sent) > before + 20, "some more traffic")
    finally:
        end.set()
        for thread in threads:
            thread.join(60)
    assert not failures, failures
    assert sorted(seen) == sorted(sent) and len(set(seen)) == len(seen)
    # The control socket and the lock are the new process's.
    assert json.loads(hs.ctl("status", "--json").stdout)["server_name"] == "localhost"
    assert "in use by another process, number %d" % hs.process.pid in run(hs).stderr


def test_an_upgrade_tells_the_service_manager_who_serves(server):
    """Who ends says that another is the main process, and not that the service stops."""
    hs = server(start=False)
    path = os.path.join(hs.folder, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(30)
        hs.env = {"NOTIFY_SOCKET": path}
        hs.start()
        assert manager.recv(100) == b"READY=1"
        upgrade(hs, "signal")
        assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"MAINPID=%d" % hs.process.pid]
        assert hs.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_who_is_alone_says_that_it_is_there_when_another_comes(server, database):
    if database != "sqlite":
        pytest.skip("who shares its database says so all the time")
    hs = server()
    good = hs.extra
    with contextlib.closing(sqlite3.connect(os.path.join(hs.folder, "myelin.db"), timeout=20)) as db:
        # As after a long time alone.
        with db:
            db.execute("UPDATE process SET seen = 1")
        hs.write_config("[http]\nworkers = many\n")
        assert hs.ctl("upgrade", check=False).returncode != 0
        assert db.execute("SELECT MIN(seen) FROM process").fetchone()[0] > 1
    hs.write_config(good)
    upgrade(hs)


def test_an_upgrade_that_fails_changes_nothing(server):
    hs = server()
    alice = hs.register("alice")
    good = hs.extra
    hs.write_config("[http]\nworkers = many\n")
    done = hs.ctl("upgrade", check=False)
    assert done.returncode != 0
    assert "did not come up" in done.stderr + done.stdout
    assert "RUN051" in hs.log_text() and "expected a whole number" in hs.log_text()
    assert alice.ok("GET", "/_matrix/client/v3/account/whoami")["user_id"] == alice.user_id
    hs.write_config(good)
    assert hs.ctl("status").returncode == 0
    upgrade(hs)
    assert alice.ok("GET", "/_matrix/client/v3/account/whoami")["user_id"] == alice.user_id


def test_an_upgrade_keeps_sockets_in_the_file_system(server):
    hs = server(set={"http.listen": "127.0.0.1:0, unix:%s" % "http.sock"}, start=False)
    hs.set = ["--set", "http.listen=127.0.0.1:%d, unix:http.sock" % hs.port]
    hs.start()
    path = os.path.join(hs.folder, "http.sock")

    def ask():
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(path)
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            return s.recv(100)

    assert ask().startswith(b"HTTP/1.1 200")
    upgrade(hs)
    assert ask().startswith(b"HTTP/1.1 200")
    assert hs.stop() == 0
    assert not os.path.exists(path)
