"""The module ABI from the outside: a module that is built with the installed headers alone, comes, changes and goes on a
running server; modules that are refused; and every module of the tree left out in turn."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

from conftest import check_log
from myelin import BUILD, SOURCE, Server, quote, wait_for

EXAMPLE = os.path.join(SOURCE, "tests", "example-module")
NOTES = "/_matrix/client/unstable/org.example.module/notes"
MEASURE = "/_matrix/client/unstable/org.example.module/measure"


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, **more)
    assert done.returncode == 0, "%s:\n%s%s" % (" ".join(command), done.stdout[-4000:], done.stderr[-4000:])
    return done.stdout


def sanitizers():
    """What this build was configured with: "address,undefined", or None."""
    with open(os.path.join(BUILD, "config.status"), errors="replace") as f:
        found = re.search(r"--enable-sanitizers=([a-z,]+)", f.read())
    return found.group(1) if found else None


# ---- an installation, and what is built against it ----

class Installation:
    """Myelin installed into a folder of its own, as a packager does it."""

    def __init__(self, root):
        self.root = str(root)
        # make's own variables, when make runs the tests, are not for this make.
        env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
        run("make", "-s", "-C", BUILD, "install", "DESTDIR=" + self.root, env=env)
        self.pkgconfig = next(folder for folder, _, files in os.walk(self.root) if "myelin.pc" in files)
        self.env = {**env, "PKG_CONFIG_PATH": self.pkgconfig, "PKG_CONFIG_SYSROOT_DIR": self.root}

    def build(self, folder):
        """Runs the Makefile of a module's folder."""
        how = []
        if sanitizers():
            how = ["CFLAGS=-O1 -g -fsanitize=%s -fno-omit-frame-pointer" % sanitizers(), "DEFS="]
        run("make", "-s", "-C", str(folder), *how, env=self.env)


@pytest.fixture(scope="session")
def installation(tmp_path_factory):
    return Installation(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def modules(installation, tmp_path_factory):
    """A folder with the example module, built there from its sources alone."""
    folder = tmp_path_factory.mktemp("modules")
    for name in ("Makefile", "example_module.c"):
        shutil.copy(os.path.join(EXAMPLE, name), folder)
    installation.build(folder)
    return str(folder)


def path_config(modules, more=""):
    return "[modules]\npath = %s\n%s" % (modules, more)


# Not at the start: loaded later.
WITHOUT = "[example-module]\nenabled = no\n"


def unrecognized(client, method="GET", path=NOTES):
    status, answer = client.call(method, path)
    return status in (404, 405) and answer["errcode"] == "M_UNRECOGNIZED"


# ---- the example module ----

def test_the_example_module_exports_one_symbol(modules):
    out = run("nm", "-D", "--defined-only", os.path.join(modules, "example_module.so"))
    names = [line.split()[-1] for line in out.splitlines()]
    assert [n for n in names if not n.startswith(("__asan", "__ubsan", "__odr_asan"))] == ["example_module_LTX_mx_module"]


def test_the_example_module_serves_what_it_declares(server, modules):
    hs = server(path_config(modules, "[example-module]\nrefused_word = plugh\nnotes = 2\n"))
    alice = hs.register("alice")

    assert alice.ok("GET", NOTES) == {"notes": []}
    alice.ok("POST", NOTES, {"text": "milk"})
    alice.ok("POST", NOTES, {"text": "eggs"})
    assert alice.ok("GET", NOTES) == {"notes": ["milk", "eggs"]}
    status, answer = alice.call("POST", NOTES, {"text": "tea"})
    assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")
    assert hs.register("bob").ok("GET", NOTES) == {"notes": []}
    assert hs.client().call("GET", NOTES)[0] == 401

    room = alice.create_room()
    alice.send(room, "hello")
    status, answer = alice.call("PUT", alice.room(room, "send/m.room.message/refused"), {"msgtype": "m.text", "body": "a plugh b"})
    assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")
    assert "plugh" in answer["error"]

    counted = hs.ctl("metrics").stdout
    assert re.search(r"^myelin_example_module_messages_total\S* 1$", counted, re.M), counted
    assert re.search(r"^myelin_example_module_refused_total\S* 1$", counted, re.M), counted
    assert hs.ctl("example", "count").stdout == "2 notes\n"
    assert hs.ctl("example", "count", "more", check=False).returncode == 2
    assert "example count" in hs.ctl("--help").stdout
    shown = json.loads(hs.ctl("module", "show", "example-module", "--json").stdout)
    assert [(r["method"], r["path"]) for r in shown["routes"]] == [("GET", NOTES), ("POST", NOTES), ("POST", MEASURE)]
    hooks = hs.ctl("module", "hooks").stdout
    assert "example-module" in hooks

    # Its notes are still there after a restart, and its tables are not migrated again.
    hs.restart()
    assert alice.ok("GET", NOTES) == {"notes": ["milk", "eggs"]}


def test_other_servers_are_asked_but_not_our_own_network(server, modules):
    """The client for other servers, as a module has it."""
    asked = server()
    denying = server(path_config(modules))
    allowing = server(path_config(modules, "[fetch]\nallow_addresses = 127.0.0.1\n"))
    for place in (asked.base, asked.base.replace("127.0.0.1", "localhost")):
        done = denying.ctl("example", "look", place + "/health", check=False)
        assert done.returncode != 0 and "[fetch] deny_addresses" in done.stderr
        assert allowing.ctl("example", "look", place + "/health").stdout == "200, 15 bytes\n"
    assert allowing.ctl("example", "look", asked.base + "/nowhere").stdout.startswith("404, ")
    assert "its URL" in allowing.ctl("example", "look", "gopher://127.0.0.1/", check=False).stderr
    counted = allowing.ctl("metrics").stdout
    assert re.search(r"^myelin_fetch_requests_total 4$", counted, re.M), counted
    assert re.search(r"^myelin_fetch_failures_total 1$", counted, re.M), counted

    # Who waits for an answer does not hold up the end.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        waiting = subprocess.Popen([os.path.join(BUILD, "myelinctl"), "--config", allowing.config_file, "example", "look",
                                    "http://127.0.0.1:%d/" % silent.getsockname()[1]],
                                   stderr=subprocess.PIPE, text=True)
        silent.accept()
        assert allowing.stop(seconds=8) == 0
        assert waiting.wait(10) != 0
        waiting.stderr.close()


def test_a_body_is_read_by_its_handler_as_it_comes(server, modules):
    hs = server(path_config(modules, "[example-module]\nmeasured = 48M\n"))
    alice = hs.register("alice")

    def memory():
        with open("/proc/%d/status" % hs.process.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1))

    line = b"x" * 1023 + b"\n"
    assert alice.ok("POST", MEASURE, line.decode()) == {"bytes": 1024, "lines": 1}
    before = memory()
    status, _, text = alice.raw("POST", MEASURE, line * (48 << 10))
    assert (status, json.loads(text)) == (200, {"bytes": 48 << 20, "lines": 48 << 10})
    if not sanitizers():
        assert memory() - before < 8 << 10
    status, _, text = alice.raw("POST", MEASURE, iter([line] * 3000))
    assert (status, json.loads(text)) == (200, {"bytes": 3000 << 10, "lines": 3000})

    # Who may not send, or too much, is told so at once, although the body is still to come.
    for token, length, expected in ((None, 1 << 20, 401), ("wrong", 1 << 20, 401), (alice.token, (48 << 20) + 1, 413)):
        with socket.create_connection(("127.0.0.1", hs.port), 20) as s:
            who = "Authorization: Bearer %s\r\n" % token if token else ""
            s.sendall(("POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (MEASURE, who, length)).encode())
            assert s.recv(100).startswith(b"HTTP/1.1 %d " % expected)


def test_a_reload_takes_up_its_options(server, modules):
    config = path_config(modules, "[example-module]\nrefused_word = %s\n")
    hs = server(config % "plugh")
    alice = hs.register("alice")
    room = alice.create_room()

    alice.send(room, "xyzzy")
    hs.write_config(config % "xyzzy")
    hs.ctl("reload")
    assert alice.call("PUT", alice.room(room, "send/m.room.message/t"), {"msgtype": "m.text", "body": "xyzzy"})[0] == 403
    alice.send(room, "plugh")
    # A mistake changes nothing.
    hs.write_config(config % "two words" + "notes = many\n")
    done = hs.ctl("reload", check=False)
    assert done.returncode == 78 and "notes" in done.stderr and "many" in done.stderr, done.stderr
    alice.send(room, "plugh")


# ---- coming and going under load ----

class Load:
    """Threads that keep asking until they are told to stop, and what they did not like."""

    def __init__(self, hs):
        self.hs = hs
        self.stop = threading.Event()
        self.bad = []
        self.done = {}
        self.threads = []

    def add(self, name, fn):
        def work():
            count = 0
            try:
                while not self.stop.is_set():
                    fn()
                    count += 1
            except Exception as e:  # noqa: BLE001: whatever it is, the test shows it
                self.bad.append("%s: %r" % (name, e))
            self.done[name] = self.done.get(name, 0) + count

        self.threads.append(threading.Thread(target=work))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


@pytest.mark.threads
def test_a_module_comes_changes_and_goes_under_load(server, modules):
    hs = server(path_config(modules, WITHOUT))
    users = [hs.register("user") for _ in range(4)]
    room = users[0].create_room(preset="public_chat")
    for u in users[1:]:
        u.join(room)

    def notes(client):
        def ask():
            status, answer = client.call("GET", NOTES)
            assert status == 200 or (status, answer["errcode"]) == (404, "M_UNRECOGNIZED"), (status, answer)
            status, answer = client.call("POST", NOTES, {"text": "note"})
            assert status in (200, 403) or (status, answer["errcode"]) == (404, "M_UNRECOGNIZED"), (status, answer)
        return ask

    def speak(client):
        return lambda: client.send(room, "hello")

    def listen(client):
        token = [client.sync()["next_batch"]]

        def ask():
            token[0] = client.sync(token[0], timeout=200)["next_batch"]
        return ask

    load = Load(hs)
    load.add("notes", notes(users[0]))
    load.add("notes too", notes(users[1]))
    load.add("speak", speak(users[2]))
    load.add("listen", listen(users[3]))
    rounds = 4 if sanitizers() else 8
    with load:
        for _ in range(rounds):
            assert unrecognized(users[0])
            hs.ctl("module", "load", "example-module")
            assert users[0].call("GET", NOTES)[0] == 200
            hs.ctl("module", "reload", "example-module")
            hs.ctl("example", "count")
            assert users[0].call("GET", NOTES)[0] == 200
            hs.ctl("module", "reload", "example-module")
            hs.ctl("module", "unload", "example-module")
            assert not load.bad, load.bad
    assert not load.bad, load.bad
    assert all(load.done[name] > rounds for name in load.done), load.done

    # Nothing of it is left.
    assert unrecognized(users[0])
    assert hs.ctl("example", "count", check=False).returncode == 2
    assert "example_module" not in hs.ctl("metrics").stdout
    assert "example-module" not in hs.ctl("module", "hooks").stdout
    users[0].send(room, "xyzzy")
    wait_for(lambda: hs.log_text().count("RUN003") >= 3 * rounds, "the module to have left each time")


@pytest.mark.threads
def test_modules_of_the_tree_are_reloaded_while_they_serve(server):
    hs = server()
    users = [hs.register("user") for _ in range(3)]
    room = users[0].create_room(preset="public_chat")
    for u in users[1:]:
        u.join(room)
    token = [users[1].sync()["next_batch"]]
    seen = []
    sent = []

    def listen():
        answer = users[1].sync(token[0], timeout=300, filter={"room": {"timeline": {"limit": 1000}}})
        token[0] = answer["next_batch"]
        timeline = answer.get("rooms", {}).get("join", {}).get(room, {}).get("timeline", {})
        assert not timeline.get("limited")
        seen.extend(e["event_id"] for e in timeline.get("events", []) if e["type"] == "m.room.message")

    load = Load(hs)
    load.add("speak", lambda: sent.append(users[0].send(room, "hello")))
    load.add("listen", listen)
    load.add("history", lambda: users[2].messages(room, dir="b", limit=5))
    load.add("profile", lambda: users[2].ok("GET", "/_matrix/client/v3/profile/" + quote(users[0].user_id)))
    with load:
        for _ in range(3):
            for name in ("client-sync", "client-rooms", "client-history", "client-profile", "client-session", "auth-password"):
                done = hs.ctl("module", "reload", name)
                assert "reloaded" in done.stdout
                assert not load.bad, load.bad
    assert not load.bad, load.bad
    while len(seen) < len(sent):
        before = len(seen)
        listen()
        assert len(seen) > before, "messages were missed"
    assert seen == sent


# ---- refusals ----

PLAIN = """
#include <myelin/module.h>
%(before)s
MX_MODULE(%(ident)s) = {
	MX_MODULE_HEAD("%(name)s", "1.0", "A module that is refused"),
	%(inside)s
};
"""

OPTIONS = """
struct options { int64_t number; };
static const struct mx_option options[] = {
	MX_OPT(struct options, number, .max = 9, %s),
};
"""
USE_OPTIONS = ".options = MX_TABLE(options), .options_size = sizeof(struct options),"
FAILS = """
static mx_error *
fail(struct mx_module_self *self)
{
	(void)self;
	return mx_error_new(MX_E_UNAVAILABLE, "the moon is not full");
}
"""
ROUTE = """
static enum mx_outcome
answer(struct mx_request *rq)
{
	return mx_reply_empty(rq);
}
static const struct mx_route routes[] = {
	{ "GET", "/_matrix/client/versions", answer, MX_AUTH_NONE, MX_RATE_NONE, 0, 0 },
};
"""
MIGRATIONS = """
static const struct mx_migration migrations[] = {
	{ 1, "nonsense", "CREATE NONSENSE;\\n" },
};
"""

with open(os.path.join(SOURCE, "include", "myelin", "module.h")) as header:
    # The version of the interface, as the header has it.
    ABI = tuple(int(n) for n in re.findall(r"^#define MX_ABI_M[AI][JN]OR (\d+)", header.read(), re.M))


# name: (before, inside, section of the configuration, what the message says)
REFUSED = {
    "other-major": ("", ".abi_major = MX_ABI_MAJOR + 1,", "",
                    ["other-major", "interface %d.%d" % (ABI[0] + 1, ABI[1]), "has %d.%d" % ABI, "needs a newer Myelin"]),
    "newer-minor": ("", ".abi_minor = MX_ABI_MINOR + 1,", "",
                    ["newer-minor", "interface %d.%d" % (ABI[0], ABI[1] + 1), "has %d.%d" % ABI, "newer Myelin"]),
    "other-magic": ("", ".magic = 1,", "", ["other-magic", "MX_MODULE_HEAD"]),
    "lone": ("", '.requires = "client-moonlight",', "", ["lone", "client-moonlight"]),
    "lone-service": ("", '.requires = "directory>=99",', "", ["lone-service", "directory", "99"]),
    "bad-value": (OPTIONS % '.help = "A number."', USE_OPTIONS, "[bad-value]\nnumber = many\n",
                  ["number", "many", "whole number from 0 to 9", "myelin.conf:"]),
    "bad-row": (OPTIONS % '.def = "ten", .help = "A number."', USE_OPTIONS, "", ["bad-row", "number", "default"]),
    "required": (OPTIONS % '.flags = MX_OPT_REQUIRED, .help = "A number."', USE_OPTIONS, "", ["number", "missing"]),
    "fails-configure": (FAILS, ".configure = fail,", "", ["fails-configure", "the moon is not full"]),
    "fails-start": (FAILS, ".start = fail,", "", ["fails-start", "the moon is not full"]),
    "claims-route": (ROUTE, ".routes = MX_TABLE(routes),", "",
                     ["claims-route", "client-discovery", "/_matrix/client/versions"]),
    "fails-migration": (MIGRATIONS, ".migrations = MX_TABLE(migrations),", "", ["fails-migration", "nonsense"]),
}


@pytest.fixture(scope="session")
def refused(installation, tmp_path_factory):
    """A folder with a module for every refusal."""
    out = tmp_path_factory.mktemp("refused")
    for name, (before, inside, _, _) in REFUSED.items():
        ident = name.replace("-", "_")
        folder = tmp_path_factory.mktemp(ident)
        with open(os.path.join(EXAMPLE, "Makefile")) as f:
            makefile = f.read().replace("example_module", ident)
        with open(folder / "Makefile", "w") as f:
            f.write(makefile)
        with open(folder / (ident + ".c"), "w") as f:
            f.write(PLAIN % {"name": name, "ident": ident, "before": before, "inside": inside})
        installation.build(folder)
        shutil.copy(folder / (ident + ".so"), out)
    with open(out / "no_module.so", "w") as f:
        f.write("this is no object\n")
    return str(out)


def test_a_module_that_cannot_be_loaded_is_refused_and_the_server_goes_on(server, refused):
    server.allow_errors = True
    sections = "".join(section for _, _, section, _ in REFUSED.values())
    hs = server(path_config(refused, "load = %s\n" % ", ".join(tree_modules())))
    alice = hs.register("alice")
    room = alice.create_room()
    hs.write_config(hs.extra + sections)
    loaded = hs.ctl("module", "list", "--json").stdout

    for name, (_, _, _, words) in [*REFUSED.items(), ("no-module", (0, 0, 0, ["no-module", "cannot be opened"])),
                                   ("nowhere", (0, 0, 0, ["there is no module nowhere"]))]:
        done = hs.ctl("module", "load", name, check=False)
        assert done.returncode in (1, 78), (name, done.returncode, done.stderr)
        missing = [w for w in words if w not in done.stderr]
        assert not missing, "%s: %r is not in: %s" % (name, missing, done.stderr)
        alice.send(room, name)
    without = [{k: v for k, v in m.items() if k != "running"} for m in json.loads(hs.ctl("module", "list", "--json").stdout)]
    before = [{k: v for k, v in m.items() if k != "running"} for m in json.loads(loaded)]
    assert without == before
    assert hs.client().call("GET", "/_matrix/client/versions")[0] == 200


@pytest.mark.parametrize("name", ["other-major", "lone", "bad-value", "fails-configure"])
def test_a_server_does_not_start_with_a_module_that_is_refused(refused, tmp_path, name):
    _, _, section, words = REFUSED[name]
    hs = Server(tmp_path, config=path_config(refused, "load = %s, %s\n%s" % (", ".join(tree_modules()), name, section)))
    hs.spawn()
    assert hs.process.wait(30) == 78
    hs.stop()
    assert not [w for w in words if w not in hs.log_text()], hs.log_text()
    done = hs.ctl("config", "check", check=False)
    assert done.returncode == 78
    assert not [w for w in words if w not in done.stderr], done.stderr


def test_a_server_does_without_an_optional_module(refused, tmp_path):
    hs = Server(tmp_path, config=path_config(refused, "load = %s, other-major\noptional = other-major\n" % ", ".join(tree_modules())))
    hs.start()
    assert hs.stop() == 0
    assert "other-major" in hs.log_text()


# ---- every module of the tree, left out ----

def describe_tree():
    out = run(os.path.join(BUILD, "myelinctl"), "--config", "/nonexistent", "module", "list", "--installed", "--json")
    return {m["name"]: m for m in json.loads(out)}


def tree_modules():
    return [name for name in describe_tree() if not name.startswith("storage-")]


def who_goes(tree, name):
    """The module and everything that cannot be without it."""
    gone = {name}
    while True:
        services = {s["name"] for m in gone for s in tree[m]["services"]}
        more = {m for m in tree for need in tree[m]["requires"]
                if not need["optional"] and (need["name"] in gone or need["name"] in services)}
        if more <= gone:
            return gone
        gone |= more


def fill(path):
    return re.sub(r"\{[^}]*\}", "x", path)


def serves(module, method, path):
    """Whether some route of the module answers this method and path."""
    for r in module["routes"]:
        pattern = re.escape(r["path"]).replace(r"\{", "{").replace(r"\}", "}").replace(r"\*", "*")
        pattern = re.sub(r"\{[^}]*\*\}", ".*", pattern)
        pattern = re.sub(r"\{[^}]*\}", "[^/]+", pattern)
        if r["method"] == method and re.fullmatch(pattern, path):
            return True
    return False


def test_every_module_of_the_tree_can_be_left_out(tmp_path):
    tree = {name: m for name, m in describe_tree().items() if not name.startswith("storage-")}
    assert len(tree) >= 15
    for name in sorted(tree):
        gone = who_goes(tree, name)
        kept = sorted(set(tree) - gone)
        hs = Server(tmp_path / name, config="[modules]\nload = %s\n" % ", ".join(kept)).start()
        anyone = hs.client()
        try:
            loaded = {m["name"] for m in json.loads(hs.ctl("module", "list", "--json").stdout)}
            assert loaded - {"storage-sqlite"} == set(kept), name
            for m in sorted(tree):
                for route in tree[m]["routes"]:
                    method, path = route["method"], fill(route["path"])
                    if m in gone and any(serves(tree[k], method, path) for k in kept):
                        continue
                    status, headers, text = anyone.raw(method, path, "{}" if method in ("POST", "PUT") else None,
                                                       {"Content-Type": "application/json"}, timeout=10)
                    answer = json.loads(text) if headers["Content-Type"] == "application/json" else {}
                    absent = answer.get("errcode") == "M_UNRECOGNIZED" and status in (404, 405)
                    assert absent == (m in gone), "without %s: %s %s of %s: %d %s" % (name, method, path, m, status, answer)
        finally:
            status = hs.stop()
        assert status == 0
        check_log(hs)
