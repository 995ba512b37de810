"""Fixtures of the end-to-end tests.

hs          a server for the whole run on each database; make your own users and rooms in it
server      makes servers for one test: server(config="…", database=None)
databases   which databases to run on: --database sqlite --database postgres (default: both that are here)
"""

import re

import pytest

from myelin import Server
from postgres import Postgres, find


def pytest_addoption(parser):
    parser.addoption("--database", action="append", choices=["sqlite", "postgres"],
                     help="run on this database (may be given twice; default: all that are installed)")


def databases(config):
    chosen = config.getoption("--database")
    if chosen:
        return chosen
    return ["sqlite", "postgres"] if find("initdb") else ["sqlite"]


def pytest_generate_tests(metafunc):
    if "database" in metafunc.fixturenames:
        metafunc.parametrize("database", databases(metafunc.config), scope="session")


@pytest.fixture(scope="session")
def postgres():
    cluster = Postgres()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def new_database(request, database):
    """Gives a new, empty database's URL; None stands for SQLite in the server's own folder."""
    if database == "sqlite":
        return lambda: None
    return request.getfixturevalue("postgres").database


def check_log(server):
    """A server says no error that its test did not provoke, and no sanitizer speaks."""
    text = server.log_text()
    bad = [line for line in text.splitlines()
           if re.match(r"(<3>)?(\S+ )?error ", line) or "AddressSanitizer" in line or "ThreadSanitizer" in line
           or "LeakSanitizer" in line or "runtime error:" in line]
    assert not bad, "\n".join(bad[:20])


@pytest.fixture(scope="session")
def hs(database, new_database, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("hs-" + database), new_database())
    server.start()
    yield server
    assert server.stop() == 0
    check_log(server)


@pytest.fixture
def server(database, new_database, tmp_path):
    made = []

    def make(config="", start=True, **more):
        folder = tmp_path / ("server%d" % len(made))
        one = Server(folder, new_database(), config=config, **more)
        made.append(one)
        return one.start() if start else one

    make.allow_errors = False
    yield make
    for one in made:
        status = one.stop()
        assert status in (None, 0), one.log_text()[-4000:]
        if not make.allow_errors:
            check_log(one)
