"""Two versions side by side on one database, and an upgrade that changes a large table, while clients are served."""

import json
import os
import shutil
import subprocess
import threading

import pytest

from myelin import SOURCE, Client, wait_for
from test_daemon import upgrade
from test_modules import Installation, sanitizers
from test_processes import beside

ENTRIES = "/_matrix/client/unstable/org.example.ledger/entries"
ROWS = 100000


@pytest.fixture(scope="session")
def ledger(tmp_path_factory):
    """version -> the module's file, built with the installed headers."""
    installation = Installation(tmp_path_factory.mktemp("installed"))
    folder = tmp_path_factory.mktemp("ledger")

    def build(version):
        out = folder / str(version) / "ledger.so"
        out.parent.mkdir()
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "myelin"], env=installation.env, check=True,
                               capture_output=True, text=True).stdout.split()
        more = ["-fsanitize=" + sanitizers()] if sanitizers() else []
        subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-DVERSION=%d" % version, "-O1", "-g", "-fPIC", "-shared",
                        "-fvisibility=hidden", "-o", str(out), os.path.join(SOURCE, "tests", "e2e", "ledger.c"), *more, *flags],
                       check=True)
        return str(out)

    return {version: build(version) for version in (1, 2)}


def place(ledger, folder, version):
    """A folder with the module in this version. What is mapped is never written over."""
    os.makedirs(str(folder), exist_ok=True)
    shutil.copy(ledger[version], str(folder) + "/new")
    os.rename(str(folder) + "/new", str(folder) + "/ledger.so")
    return "[modules]\npath = %s\n" % folder


class Load:
    """Clients that write entries all the time; none may be refused."""

    def __init__(self, *clients):
        self.end, self.failures, self.done = threading.Event(), [], [0] * len(clients)
        self.threads = [threading.Thread(target=self.run, args=(i, c)) for i, c in enumerate(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, i, client):
        while not self.end.is_set():
            try:
                client.ok("POST", ENTRIES, {})
                self.done[i] += 1
            except Exception as e:
                self.failures.append(repr(e))
                return

    def more(self, i=0):
        before = self.done[i]
        wait_for(lambda: self.failures or self.done[i] > before + 10, "some more traffic")
        assert not self.failures, self.failures

    def stop(self):
        self.end.set()
        for thread in self.threads:
            thread.join(60)
        assert not self.failures, self.failures


def applied(hs):
    return "number=5" in hs.log_text() and "SQL021" in hs.log_text()


def plan(hs):
    return json.loads(hs.ctl("db", "migrate", "--plan", "--json").stdout)


def test_two_versions_run_side_by_side(server, database, ledger, tmp_path):
    if database != "postgres":
        pytest.skip("one process has the file")
    old = server(place(ledger, tmp_path / "old", 1))
    old.ctl("ledger", "fill", str(ROWS))
    alice = old.register("alice")
    new = beside(server, old, place(ledger, tmp_path / "new", 2), start=False)
    shutil.copy(old.folder + "/signing.key", new.folder + "/signing.key")
    phases = [(row["phase"], row["number"]) for row in plan(new) if row["owner"] == "ledger"]
    assert phases == [("expand", 2), ("backfill", 3), ("index", 4), ("contract", 5)]
    assert next(row for row in plan(new) if row["phase"] == "backfill")["rows"] == ROWS
    load = Load(old.client(alice.token), old.client(alice.token))
    both = None
    try:
        load.more()
        new.start()
        both = Load(Client(new, alice.token, alice.user_id))
        wait_for(lambda: any(r["phase"] == "backfill" and r["done"] >= ROWS for r in plan(new)), "the rows to be filled", 120)
        load.more()
        both.more()
        assert not applied(new), "the old version still runs"
        load.stop()
        assert old.stop() == 0
        wait_for(lambda: applied(new), "the contraction", 120)
        both.more()
    finally:
        load.end.set()
        if both:
            both.stop()
    assert new.ctl("ledger", "unfilled").stdout == "0\n"
    assert int(new.ctl("ledger", "count").stdout) == ROWS + sum(load.done) + sum(both.done)
    assert plan(new) == []
    # What is contracted is not for the old version.
    old.spawn()
    assert old.process.wait(30) == 78
    assert "newer" in old.log_text()
    old.process = None


def test_an_upgrade_with_a_migration_has_no_gap(server, ledger, tmp_path):
    hs = server(place(ledger, tmp_path / "modules", 1))
    hs.ctl("ledger", "fill", str(ROWS))
    alice = hs.register("alice")
    load = Load(hs.client(alice.token), hs.client(alice.token))
    try:
        load.more()
        place(ledger, tmp_path / "modules", 2)
        upgrade(hs)
        load.more()
        wait_for(lambda: applied(hs), "the contraction", 120)
        load.more(1)
    finally:
        load.stop()
    assert hs.ctl("ledger", "unfilled").stdout == "0\n"
    assert int(hs.ctl("ledger", "count").stdout) == ROWS + sum(load.done)


def test_a_stopped_server_is_migrated_by_hand(server, ledger, tmp_path):
    hs = server(place(ledger, tmp_path / "modules", 1))
    hs.ctl("ledger", "fill", "5000")
    assert hs.stop() == 0
    place(ledger, tmp_path / "modules", 2)
    rows = [row for row in plan(hs) if row["owner"] == "ledger"]
    assert [row["phase"] for row in rows] == ["expand", "backfill", "index", "contract"]
    assert rows[1]["rows"] == 5000 and rows[1]["ms"] is not None
    assert json.loads(hs.ctl("db", "migrate", "--json").stdout)["ledger"] == 5
    assert hs.ctl("db", "migrate", "--plan").stdout == "There is nothing to do.\n"
    hs.start()
    assert hs.ctl("ledger", "unfilled").stdout == "0\n"
    assert hs.ctl("db", "migrate", "--plain", check=False).returncode == 2
