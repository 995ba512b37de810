"""myelinctl: the same answers whether a server runs or not, passwords that nobody sees, mistakes in words, exit statuses."""

import json
import os
import pty
import re
import select
import sqlite3
import stat
import subprocess
import time

import pytest

from myelin import BUILD, PASSWORD, Server, quote

CTL = os.path.join(BUILD, "myelinctl")


def ctl(*arguments, stdin=None, cwd=None):
    return subprocess.run([CTL, *arguments], input=stdin, capture_output=True, text=True, timeout=60, cwd=cwd)


# ---- without a configuration ----

def test_a_key_is_made_once_and_readable_by_nobody_else(tmp_path):
    key = tmp_path / "signing.key"
    done = ctl("key", "generate", str(key))
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"ed25519 a_\w{4} [A-Za-z0-9+/]{43}\n", key.read_text())
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.read_text().split()[2] not in done.stdout
    before = key.read_text()
    done = ctl("key", "generate", str(key))
    assert (done.returncode, key.read_text()) == (1, before)
    assert "never overwritten" in done.stderr
    assert ctl("key", "generate", str(tmp_path / "no" / "where")).returncode == 1


def test_a_rotated_key_leaves_its_public_half(tmp_path):
    key = tmp_path / "signing.key"
    public = re.search(r"(ed25519:\S+) (\S+)", ctl("key", "generate", str(key)).stdout)
    old = key.read_text()
    done = ctl("key", "rotate", str(key))
    assert done.returncode == 0, done.stderr
    assert key.read_text() != old and stat.S_IMODE(key.stat().st_mode) == 0o600
    name, value, when = (tmp_path / "signing.key.retired").read_text().split()
    assert (name, value) == public.groups()
    assert abs(int(when) / 1000 - time.time()) < 60
    assert old.split()[2] not in (tmp_path / "signing.key.retired").read_text()
    assert sorted(os.listdir(tmp_path)) == ["signing.key", "signing.key.retired"]
    key.write_text("nonsense\n")
    assert ctl("key", "rotate", str(key)).returncode == 1
    assert key.read_text() == "nonsense\n"


@pytest.mark.parametrize("words", [(), ("key",), ("user",), ("module", "show"), ("config", "explain"), ("db", "check"), ("top",)])
def test_every_command_has_help(words):
    done = ctl(*words, "--help")
    assert done.returncode == 0 and "usage: myelinctl" in done.stdout and "Exit status" in done.stdout


@pytest.mark.parametrize("words", [(), ("key", "generate"), ("user", "create"), ("db", "check", "now"), ("--config",),
                                   ("module", "list", "--nonsense"), ("--config", "/nonexistent", "dance")])
def test_wrong_usage_is_status_2(words):
    done = ctl(*words)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_a_missing_configuration_is_status_78():
    for words in (["user", "list"], ["config", "check"], ["status"], ["db", "stat"]):
        done = ctl("--config", "/nonexistent/myelin.conf", *words)
        assert done.returncode == 78, words
        assert "/nonexistent/myelin.conf" in done.stderr and "--config" in done.stderr


def test_options_are_explained_without_a_configuration():
    assert "[http] listen" in ctl("config", "explain", "listen").stdout
    assert "[http] listen" in ctl("config", "explain", "http.listen").stdout
    assert "[http] listen" in ctl("config", "explain", "[http]", "listen").stdout
    whole = ctl("config", "explain", "database").stdout
    assert "[database] url" in whole and "[http]" not in whole
    done = ctl("config", "explain", "http.lisen")
    assert done.returncode == 1 and "http.listen" in done.stderr


def test_the_reference_is_a_configuration(tmp_path):
    reference = ctl("config", "reference").stdout
    assert "\n#listen =" in reference and "[client-sync]" in reference
    hs = Server(tmp_path)
    hs.ctl("key", "generate", str(tmp_path / "signing.key"))
    # What is required is the only thing that it leaves open.
    text = reference.replace("\nname =\n", "\nname = example.org\n")
    text = re.sub(r"\n\[storage-postgres\](.*?)\n\[", "\n[", text, flags=re.S)
    (tmp_path / "myelin.conf").write_text(text)
    done = hs.ctl("config", "check", check=False)
    assert done.returncode == 0, done.stderr


# ---- with and without a server ----

@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_users_are_managed_with_and_without_a_server(server, running):
    hs = server(start=running)
    if not running:
        hs.ctl("key", "generate", os.path.join(hs.folder, "signing.key"))
    assert "made" in hs.ctl("user", "create", "alice", "--password-stdin", "--admin", stdin=PASSWORD + "\n").stdout
    hs.ctl("user", "create", "--password-stdin", "bob", stdin=PASSWORD)
    users = {u["user_id"]: u for u in json.loads(hs.ctl("user", "list", "--json").stdout)}
    assert users["@alice:localhost"]["admin"] and not users["@bob:localhost"]["admin"]
    assert "@bob:localhost" in hs.ctl("user", "list").stdout

    taken = hs.ctl("user", "create", "bob", "--password-stdin", stdin=PASSWORD, check=False)
    assert taken.returncode == 1 and taken.stderr
    for name in ("Bob", "b b", "@x:elsewhere.example"):
        assert hs.ctl("user", "create", name, "--password-stdin", stdin=PASSWORD, check=False).returncode in (1, 2)
    assert hs.ctl("user", "create", "carol", "--password-stdin", stdin="", check=False).returncode == 1
    assert hs.ctl("user", "password", "carol", "--password-stdin", stdin=PASSWORD, check=False).returncode == 1
    assert hs.ctl("user", "deactivate", "carol", check=False).returncode == 1
    hs.ctl("user", "password", "@alice:localhost", "--password-stdin", stdin="another-password\nthe next line")
    hs.ctl("user", "deactivate", "bob")

    if not running:
        hs.start()
    hs.login("@alice:localhost", password="another-password")
    for user, password in (("@alice:localhost", PASSWORD), ("@bob:localhost", PASSWORD)):
        status, _ = hs.client().call("POST", "/_matrix/client/v3/login", {
            "type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password})
        assert status == 403, user
    assert PASSWORD not in hs.log_text() and "another-password" not in hs.log_text()


def test_a_user_made_without_a_server_has_all_that_others_have(server):
    hs = server(start=False)
    hs.ctl("key", "generate", os.path.join(hs.folder, "signing.key"))
    hs.ctl("user", "create", "alice", "--password-stdin", stdin=PASSWORD)
    hs.start()
    alice = hs.login("@alice:localhost")
    room = alice.create_room(name="mine")
    alice.send(room, "hello")
    assert alice.sync()["rooms"]["join"][room]["timeline"]["events"]
    alice.ok("GET", "/_matrix/client/v3/profile/%40alice%3Alocalhost")


@pytest.mark.parametrize("running", [True, False], ids=["running", "stopped"])
def test_the_database_is_looked_at_with_and_without_a_server(server, running):
    hs = server(start=running)
    if not running:
        hs.ctl("key", "generate", os.path.join(hs.folder, "signing.key"))
    assert json.loads(hs.ctl("db", "stat", "--json").stdout)["bytes"] > 0
    assert hs.ctl("db", "check").returncode == 0
    moved = hs.ctl("db", "migrate").stdout
    assert moved if running else re.search(r"^room +[1-9]", moved, re.M), moved


def test_a_password_is_never_taken_from_the_command_line(server):
    hs = server()
    for how in (["--password", "secret"], ["--password=secret"]):
        done = hs.ctl("user", "create", "alice", *how, check=False)
        assert done.returncode == 2 and "--password-stdin" in done.stderr
    assert "[]" in hs.ctl("user", "list", "--json").stdout


def type_on_terminal(arguments, lines):
    """Runs myelinctl on a terminal of its own, types the lines when it asks, and returns all that was shown."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(CTL, [CTL, *arguments])
    shown = b""
    waiting = list(lines)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        ready, _, _ = select.select([fd], [], [], 1)
        if not ready:
            continue
        try:
            data = os.read(fd, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
        if waiting and shown.rstrip(b" ").endswith(b":"):
            # It has switched the echo off before or just after it asked; what is flushed then would be lost.
            time.sleep(0.2)
            os.write(fd, waiting.pop(0).encode() + b"\n")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(fd)
    return status, shown.decode()


def test_a_password_is_asked_for_twice_and_not_shown(server):
    hs = server()
    arguments = ["--config", hs.config_file, "user", "create", "alice"]
    status, shown = type_on_terminal(arguments, [PASSWORD, "something else"])
    assert status == 1 and "not the same" in shown and PASSWORD not in shown
    status, shown = type_on_terminal(arguments, [PASSWORD, PASSWORD])
    assert status == 0 and "made" in shown and PASSWORD not in shown
    hs.login("@alice:localhost")


# ---- the server ----

def test_status_metrics_and_top_show_what_the_server_does(server):
    hs = server()
    hs.register("alice").create_room()
    assert "localhost" in hs.ctl("status").stdout
    assert json.loads(hs.ctl("status", "--json").stdout)["server_name"] == "localhost"
    metrics = hs.ctl("metrics").stdout
    assert re.search(r"^myelin_sql_writes_total [1-9]", metrics, re.M)
    top = hs.ctl("top").stdout
    assert "\033" not in top and "sql_writes_total" in top
    status, shown = type_on_terminal(["--config", hs.config_file, "config", "show"], [])
    assert status == 0 and "[server]" in shown


def test_stop_ends_the_server_and_log_levels_change(server):
    hs = server()
    hs.ctl("log", "level", "debug")
    assert hs.ctl("log", "level", "loud", check=False).returncode != 0
    hs.ctl("stop")
    assert hs.process.wait(30) == 0
    done = hs.ctl("status", check=False)
    assert done.returncode == 1 and "no server runs" in done.stderr


def test_mistakes_in_the_configuration_are_told_all_at_once(server):
    hs = server(start=False, config="[http]\nworkers = none\nlisten2 = x\n[nonsense]\na = b\n")
    hs.ctl("key", "generate", os.path.join(hs.folder, "signing.key"))
    done = hs.ctl("config", "check", check=False)
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    assert len(lines) >= 3 and all(line.startswith("myelinctl: ") for line in lines), done.stderr
    assert all(re.search(r"myelin\.conf:\d+: ", line) for line in lines), done.stderr
    assert hs.ctl("user", "list", check=False).returncode == 78
    hs.write_config("")
    assert "no mistakes" in hs.ctl("config", "check").stdout
    os.unlink(os.path.join(hs.folder, "signing.key"))
    assert hs.ctl("config", "check", check=False).returncode == 78
    dump = hs.ctl("config", "dump").stdout
    assert "e2e-shared-secret" not in dump and "[http]" in dump


# ---- rooms ----

@pytest.mark.parametrize("running", [True, False])
def test_a_room_is_verified_with_and_without_a_server(server, running):
    hs = server()
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat", name="a")
    bob.join(room)
    event = alice.send(room, "hello")
    if not running:
        hs.stop()
    done = hs.ctl("room", "verify", room, "--signatures")
    assert "nothing is wrong" in done.stdout
    answer = json.loads(hs.ctl("room", "verify", room, "--json").stdout)
    assert answer["found"] == 0 and answer["members"] == 2 and answer["events"] > 7
    assert json.loads(hs.ctl("room", "repair", room, "--json").stdout)["mended"] == 0
    assert "accepted" in hs.ctl("room", "explain", event).stdout
    assert hs.ctl("room", "verify", "!nowhere:localhost", check=False).returncode == 1
    assert hs.ctl("room", "verify", check=False).returncode == 2


def test_what_is_wrong_with_a_room_is_told_and_mended(server):
    hs = server()
    alice, bob = hs.register("alice"), hs.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    hs.stop()
    files = [name for name in os.listdir(hs.folder) if name.endswith(".db")]
    if not files:
        pytest.skip("the damage is done to a file of SQLite")
    with sqlite3.connect(os.path.join(hs.folder, files[0])) as db:
        db.execute("UPDATE room SET joined = 5")
        db.execute("DELETE FROM membership WHERE membership = 2 AND event = (SELECT MAX(event) FROM membership)")
    db.close()
    done = hs.ctl("room", "verify", room, check=False)
    assert done.returncode == 1 and "members: the row is missing" in done.stdout and "counts" in done.stdout
    assert "2 wrong, 2 mended" in hs.ctl("room", "repair", room).stdout
    assert "nothing is wrong" in hs.ctl("room", "verify", room).stdout
    hs.start()
    assert len(alice.ok("GET", alice.room(room, "joined_members"))["joined"]) == 2


def test_what_was_redacted_is_shown_while_it_is_kept(server):
    hs = server(config="[rooms]\nkeep_redacted = 1h\n")
    alice = hs.register("alice")
    room = alice.create_room()
    event, other = alice.send(room, "what nobody should read"), alice.send(room, "harmless")
    alice.ok("PUT", alice.room(room, "redact/%s/1" % quote(event)), {})
    assert "what nobody should read" not in str(alice.ok("GET", alice.room(room, "event/" + quote(event))))
    assert json.loads(hs.ctl("room", "show-redacted", event).stdout)["content"]["body"] == "what nobody should read"
    assert hs.ctl("room", "show-redacted", other, check=False).returncode == 1
    hs.stop()
    assert json.loads(hs.ctl("room", "show-redacted", event, "--json").stdout)["content"]["msgtype"] == "m.text"
