"""pgbouncer between Myelin and PostgreSQL: a session for each connection is as good as none in between; a session lent
for a transaction or a statement is refused at start, in words."""

import pytest

from myelin import wait_for
from postgres import Pgbouncer, find
from test_processes import beside, parked, through, timeline


@pytest.fixture
def bouncer(request, database):
    if database != "postgres" or not find("pgbouncer"):
        pytest.skip("there is no pgbouncer")
    made = []

    def make(*arguments, **more):
        one = Pgbouncer(request.getfixturevalue("postgres"), *arguments, **more)
        made.append(one)
        wait_for(one.ready, "pgbouncer's socket")
        return one
    yield make
    for one in made:
        one.stop()


def behind(server, pooler, start=True, **more):
    one = server(start=False, **more)
    one.database = pooler.url(one.database)
    one.write_config()
    return one.start() if start else one


def test_with_sessions_all_is_as_without(bouncer, server):
    pooler = bouncer("session")
    one = behind(server, pooler, config="[database]\npoll = 10m\n")
    two = beside(server, one, "[database]\npoll = 10m\n")
    alice = one.register("alice")
    room = alice.create_room()
    there = through(two, alice)
    thread, answers = parked(two, there, there.sync()["next_batch"])
    alice.send(room, "heard through the pooler")
    thread.join(20)
    assert timeline(answers[0], room) == ["heard through the pooler"]
    for i in range(30):
        sent = (alice if i % 2 else there).send(room, "message %d" % i, txn="m%d" % i)
        assert (there if i % 2 else alice).messages(room, dir="b", limit=1)["chunk"][0]["event_id"] == sent


@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("turns", [False, True], ids=["last-first", "in-turns"])
@pytest.mark.parametrize("warm", [0, 2])
def test_without_sessions_it_does_not_start(bouncer, server, mode, turns, warm):
    pooler = bouncer(mode, turns=turns)
    one = behind(server, pooler, start=False)
    pooler.warm(one.database, warm)
    one.spawn()
    assert one.process.wait(30) == 78
    one.process = None
    server.allow_errors = True
    assert "set pool_mode = session" in one.log_text(), one.log_text()


def test_a_pooler_that_has_too_few_sessions_says_so(bouncer, server):
    pooler = bouncer("session", pool_size=1)
    one = behind(server, pooler, start=False, config="[storage-postgres]\nconnect_wait = 1s\n")
    one.spawn()
    assert one.process.wait(30) == 1
    one.process = None
    server.allow_errors = True
    assert "a pooler needs [database] readers + 4 sessions" in one.log_text(), one.log_text()
