"""Several equal processes on one database: what a client does through one of them, the others know."""

import shutil
import subprocess
import threading
import time

import pytest

from myelin import PASSWORD, Client, wait_for


@pytest.fixture
def pair(server, database):
    """Two processes of one server name. Neither looks by itself before it is told."""
    if database != "postgres":
        pytest.skip("one process has the file")
    poll = "[database]\npoll = 10m\n"
    one = server(poll)
    return one, beside(server, one, poll)


def beside(server, one, config="", key=True, start=True, **more):
    two = server(config, start=False, **more)
    two.database = one.database
    two.write_config()
    if key:
        shutil.copy(one.folder + "/signing.key", two.folder + "/signing.key")
    return two.start() if start else two


def through(server, client):
    """The same session, balanced to another process."""
    return Client(server, client.token, client.user_id)


def parked(server, client, since):
    """A sync that waits; its answers come into the list."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(client.sync(since, timeout=30000)))
    thread.start()
    wait_for(lambda: "myelin_stream_parked 1\n" in metrics(server), "the sync to wait")
    return thread, answers


def metrics(server):
    return server.ctl("metrics").stdout


def timeline(answer, room):
    joined = answer.get("rooms", {}).get("join", {}).get(room, {})
    return [e["content"]["body"] for e in joined.get("timeline", {}).get("events", []) if e["type"] == "m.room.message"]


def test_a_waiting_sync_hears_of_a_message_through_another_process(pair):
    one, two = pair
    alice = one.register("alice")
    room = alice.create_room()
    there = through(two, alice)
    thread, answers = parked(two, there, there.sync()["next_batch"])
    began = time.monotonic()
    alice.send(room, "hello")
    thread.join(20)
    assert timeline(answers[0], room) == ["hello"]
    assert time.monotonic() - began < 15, "it was told, and did not wait for the sync to end"


def test_only_whom_it_concerns_is_woken(pair):
    one, two = pair
    alice, bob = one.register("alice"), one.register("bob")
    hers, his = alice.create_room(), bob.create_room()
    there, he = through(two, alice), through(two, bob)
    thread, answers = parked(two, there, there.sync()["next_batch"])
    before = wakes(two)
    for i in range(20):
        bob.send(his, "message %d" % i)
    since = he.sync()["next_batch"]
    bob.send(his, "the last")
    # He waits for it, she is left alone.
    wait_for(lambda: "the last" in str(he.sync(since, timeout=5000)["rooms"]), "bob's message")
    assert wakes(two) - before < 10
    alice.send(hers, "hello")
    thread.join(20)
    assert timeline(answers[0], hers) == ["hello"]


def wakes(server):
    line = [l for l in metrics(server).splitlines() if l.startswith("myelin_stream_wakes_total")]
    return int(line[0].split()[-1])


def test_what_a_client_has_done_is_known_to_every_process(pair):
    one, two = pair
    alice, bob = one.register("alice"), one.register("bob")
    sides = [(alice, through(two, alice)), (bob, through(two, bob))]
    room = alice.create_room(preset="public_chat")
    sides[1][1].join(room)
    for i in range(60):
        here, there = alice, sides[0][1]
        if i % 2 == 1:
            here, there = there, here
        since = there.sync()["next_batch"]
        sent = here.send(room, "message %d" % i, txn="m%d" % i)
        assert there.ok("GET", there.room(room, "event/" + sent))["content"]["body"] == "message %d" % i
        assert timeline(there.sync(since), room) == ["message %d" % i]
        # Her name of the last round may become events of the room in between.
        assert sent in [e["event_id"] for e in sides[1][i % 2].messages(room, dir="b", limit=5)["chunk"]]
        here.set_state(room, "m.room.topic", {"topic": "topic %d" % i})
        assert there.state(room, "m.room.topic")["topic"] == "topic %d" % i
        there.ok("PUT", "/_matrix/client/v3/profile/%s/displayname" % alice.user_id, {"displayname": "Alice %d" % i})
        assert here.ok("GET", "/_matrix/client/v3/profile/%s" % alice.user_id)["displayname"] == "Alice %d" % i
    phone = two.login(alice.user_id)
    laptop = through(one, phone)
    laptop.ok("GET", "/_matrix/client/v3/account/whoami")
    phone.ok("POST", "/_matrix/client/v3/logout")
    assert laptop.call("GET", "/_matrix/client/v3/account/whoami")[0] == 401


def test_typing_is_seen_through_every_process(pair):
    one, two = pair
    alice, bob = one.register("alice"), one.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    he = through(two, bob)
    since = he.sync()["next_batch"]

    def typing(body):
        nonlocal since
        alice.ok("PUT", "/_matrix/client/v3/rooms/%s/typing/%s" % (room, alice.user_id), body)
        seen = []

        def heard():
            nonlocal since
            answer = he.sync(since, timeout=5000)
            since = answer["next_batch"]
            joined = answer.get("rooms", {}).get("join", {}).get(room, {})
            seen.extend(e["content"]["user_ids"] for e in joined.get("ephemeral", {}).get("events", []))
            return seen
        wait_for(heard, "the other process to hear of it")
        return seen[-1]

    assert typing({"typing": True, "timeout": 60000}) == [alice.user_id]
    assert typing({"typing": False}) == []
    assert typing({"typing": True, "timeout": 60000}) == [alice.user_id]
    # Who sends has stopped, wherever it was sent.
    through(two, alice).send(room, "hello")
    wait_for(lambda: "'user_ids': []" in str(alice.sync(since)), "the first process to hear of it")


def test_an_authentication_goes_on_through_another_process(pair):
    one, two = pair
    alice = one.register("alice")
    gone = one.login(alice.user_id)
    path = "/_matrix/client/v3/devices/" + gone.device_id
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.user_id}}
    sides = through(two, alice), alice

    def ask(side, session, password):
        return side.call("DELETE", path, {"auth": {**auth, "session": session, "password": password}})

    status, asked = alice.call("DELETE", path, {})
    assert status == 401
    status, answer = ask(sides[0], asked["session"], "wrong")
    assert status == 401 and answer["session"] == asked["session"] and answer["errcode"] == "M_FORBIDDEN"
    assert ask(sides[1], asked["session"], PASSWORD)[0] == 200
    assert gone.call("GET", "/_matrix/client/v3/account/whoami")[0] == 401
    # It is over, for both.
    gone = one.login(alice.user_id)
    path = "/_matrix/client/v3/devices/" + gone.device_id
    for side in sides:
        assert ask(side, asked["session"], "wrong")[1]["session"] != asked["session"]


def at_once(*calls):
    """What each answers, all having begun together."""
    gate, answers = threading.Barrier(len(calls)), [None] * len(calls)

    def run(i, call):
        gate.wait()
        answers[i] = call()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


def test_a_refresh_token_is_one_through_all_processes(pair):
    one, two = pair
    alice = one.register("alice")
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.user_id},
            "password": PASSWORD, "refresh_token": True}
    answer = one.client().ok("POST", "/_matrix/client/v3/login", body)
    for i in range(20):
        def refresh(server, token=answer["refresh_token"]):
            return Client(server).call("POST", "/_matrix/client/v3/refresh", {"refresh_token": token})

        both = at_once(lambda: refresh(one), lambda: refresh(two))
        # An answer may be lost: until a new token is used the old one makes tokens of the same session.
        assert [status for status, _ in both] == [200, 200], both
        answer = both[i % 2][1]
        for side in one, two:
            Client(side, answer["access_token"]).ok("GET", "/_matrix/client/v3/account/whoami")
    # Once its successor was used, it is used up, for both.
    used = answer["refresh_token"]
    answer = one.client().ok("POST", "/_matrix/client/v3/refresh", {"refresh_token": used})
    Client(two, answer["access_token"]).ok("GET", "/_matrix/client/v3/account/whoami")
    for side in two, one:
        assert side.client().call("POST", "/_matrix/client/v3/refresh", {"refresh_token": used})[0] == 401
        assert Client(side, answer["access_token"]).call("GET", "/_matrix/client/v3/account/whoami")[0] == 200


def test_a_transaction_id_makes_one_event_through_all_processes(pair):
    one, two = pair
    alice = one.register("alice")
    there, room = through(two, alice), alice.create_room()
    for i in range(20):
        sent = at_once(*[lambda side=side: side.send(room, "message %d" % i, txn="t%d" % i)
                         for side in (alice, there, alice, there)])
        assert len(set(sent)) == 1, sent
    shown = [e["content"]["body"] for e in there.messages(room, dir="b", limit=100)["chunk"]
             if e["type"] == "m.room.message"]
    assert shown == ["message %d" % i for i in reversed(range(20))]


def test_a_login_token_is_used_once_through_all_processes(pair):
    one, two = pair
    alice = one.register("alice")
    for i in range(10):
        status, asked = alice.call("POST", "/_matrix/client/v1/login/get_token", {})
        auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.user_id},
                "password": PASSWORD, "session": asked["session"]}
        token = through(two, alice).ok("POST", "/_matrix/client/v1/login/get_token", {"auth": auth})["login_token"]
        both = at_once(*[lambda side=side: side.client().call(
            "POST", "/_matrix/client/v3/login", {"type": "m.login.token", "token": token})[0] for side in (one, two)])
        assert sorted(both) == [200, 403]


def refused(server, body):
    return server.client().call("POST", "/_matrix/client/v3/login", body)[0] == 429


def let_through(pair, body, burst):
    """How often the second lets a login through when the first has granted a whole burst."""
    for i in range(burst):
        assert not refused(pair[0], body), i
    assert refused(pair[0], body)
    for i in range(burst):
        if refused(pair[1], body):
            return i
        # It is told soon; a machine may be busy.
        time.sleep(0.3)
    return burst


def limited(server, database, **options):
    if database != "postgres":
        pytest.skip("one process has the file")
    one = server(set={k.replace("__", "."): v for k, v in options.items()})
    return one, beside(server, one, set={k.replace("__", "."): v for k, v in options.items()})


def test_a_rate_limit_is_one_for_all_processes(server, database):
    pair = limited(server, database, http__login_burst="20", http__login_every="1h", http__rate_limits="yes",
                   http__register_burst="100")
    alice = pair[0].register("alice")
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.user_id}, "password": PASSWORD}
    assert let_through(pair, body, 20) < 15


def test_wrong_passwords_are_counted_by_all_processes(server, database):
    pair = limited(server, database, **{"auth-password__failed_burst": "20", "auth-password__failed_every": "1h"})
    alice = pair[0].register("alice")
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.user_id}, "password": "wrong"}
    assert let_through(pair, body, 20) < 15
    # For the right one, too.
    for side in pair:
        assert side.client().call("POST", "/_matrix/client/v3/login", {**body, "password": PASSWORD})[0] == 429


def test_who_comes_and_goes(pair, server):
    one, two = pair
    alice = one.register("alice")
    room = alice.create_room()
    assert two.stop() == 0
    alice.send(room, "while it was away")
    three = beside(server, one, "[database]\npoll = 10m\n")
    there = through(three, alice)
    assert there.messages(room, dir="b", limit=1)["chunk"][0]["content"]["body"] == "while it was away"
    for i in range(20):
        sent = alice.send(room, "message %d" % i)
        assert there.messages(room, dir="b", limit=1)["chunk"][0]["event_id"] == sent
    three.kill()
    alice.send(room, "alone again")
    assert alice.messages(room, dir="b", limit=1)["chunk"][0]["content"]["body"] == "alone again"


def joined_count(client, room):
    answer = client.sync()["rooms"]["join"][room]
    return answer["summary"]["m.joined_member_count"]


def test_what_is_mended_through_one_process_is_mended_for_all(pair):
    one, two = pair
    alice, bob = one.register("alice"), one.register("bob")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", one.database.split(":", 1)[1], "-c",
                    "UPDATE room SET joined = 5"], check=True)
    there = through(two, alice)
    assert joined_count(there, room) == 5, "it has read what is damaged"
    assert "1 wrong, 1 mended" in one.ctl("room", "repair", room).stdout
    wait_for(lambda: joined_count(there, room) == 2, "the other process to read it again")
    there.send(room, "and goes on")
    assert "nothing is wrong" in two.ctl("room", "verify", room).stdout


@pytest.mark.parametrize("fault", ["name", "key", "module"])
def test_who_does_not_fit_is_kept_out(server, database, fault):
    if database != "postgres":
        pytest.skip("one process has the file")
    one = server()
    two = {"name": lambda: beside(server, one, name="elsewhere", start=False),
           "key": lambda: beside(server, one, key=False, start=False),
           "module": lambda: beside(server, one, set={"client-typing.enabled": "no"}, start=False)}[fault]()
    two.spawn()
    assert two.process.wait(30) == 78
    two.process = None
    words = {"name": "[server] name is localhost", "key": "signing_key is another one",
             "module": "the module client-typing is loaded"}[fault]
    assert words in two.log_text()
    server.allow_errors = True
    alice = one.register("alice")
    alice.send(alice.create_room(), "all is well")


def test_many_talk_through_two_processes_in_one_room(server, database):
    pair = limited(server, database, http__rate_limits="no")
    alice = pair[0].register("alice")
    room = alice.create_room()

    def talk(side, writer):
        there = through(side, alice)
        return [there.call("PUT", there.room(room, "send/m.room.message/%d-%d" % (writer, i)),
                           {"msgtype": "m.text", "body": "%d %d" % (writer, i)}) for i in range(15)]

    answers = at_once(*[lambda w=w: talk(pair[w % 2], w) for w in range(16)])
    assert all(answers), "each has come to its end"
    assert [a for all_of_one in answers for a in all_of_one if a[0] != 200] == []
    sent = [a[1]["event_id"] for all_of_one in answers for a in all_of_one]
    for side in pair:
        found, since = [], None
        while len(found) < 1000:
            page = through(side, alice).messages(room, dir="b", limit=100, **({"from": since} if since else {}))
            found += [e["event_id"] for e in page["chunk"] if e["type"] == "m.room.message"]
            since = page.get("end")
            if since is None:
                break
        assert sorted(found) == sorted(sent)
