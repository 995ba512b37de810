"""Registration: closed, open, by token; guests; what is refused."""

import itertools
import threading
import time

import pytest

from myelin import Client, quote, wait_for

V3 = "/_matrix/client/v3"
DUMMY = {"type": "m.login.dummy"}
_names = itertools.count(1)


def name():
    return "reg%d" % next(_names)


def body(username=None, **more):
    b = {"password": "a-fine-password", "auth": DUMMY, **more}
    if username is not None:
        b["username"] = username
    return b


def as_error(answer, status, errcode):
    assert answer[0] == status and answer[1]["errcode"] == errcode, answer


def register(server, content, kind=""):
    return server.client().call("POST", V3 + "/register" + kind, content)


def test_two_steps(hs):
    user = name()
    status, asked = register(hs, {"username": user, "password": "a-fine-password"})
    assert status == 401 and asked["flows"] == [{"stages": ["m.login.dummy"]}]
    assert "errcode" not in asked and asked["completed"] == []
    status, answer = register(hs, body(user, auth={**DUMMY, "session": asked["session"]}))
    assert status == 200 and answer["user_id"] == "@%s:%s" % (user, hs.name)
    who = Client(hs, answer["access_token"]).ok("GET", V3 + "/account/whoami")
    assert (who["user_id"], who["device_id"]) == (answer["user_id"], answer["device_id"])


def test_an_empty_request_shows_the_flows(hs):
    status, asked = register(hs, {})
    assert status == 401 and asked["flows"] == [{"stages": ["m.login.dummy"]}] and asked["session"]


def test_one_step_without_a_session(hs):
    status, answer = register(hs, body(name(), device_id="DEV", initial_device_display_name="Laptop"))
    assert status == 200 and answer["device_id"] == "DEV"
    client = Client(hs, answer["access_token"])
    assert client.ok("GET", V3 + "/devices/DEV")["display_name"] == "Laptop"


def test_without_a_name(hs):
    status, answer = register(hs, body())
    assert status == 200 and answer["user_id"].startswith("@")


def test_names_in_capitals_are_made_small(hs):
    user = name()
    status, answer = register(hs, body("X-" + user.upper()))
    assert (status, answer["user_id"]) == (200, "@x-%s:%s" % (user, hs.name))


@pytest.mark.parametrize("user", ["q3._=-/+", "1234567"])
def test_names_that_are_allowed(hs, user):
    user += name()
    assert register(hs, body(user))[1]["user_id"] == "@%s:%s" % (user, hs.name)


@pytest.mark.parametrize("user", ["a b", "ä", "a:b", "@a", "a!", "a" * 256, "a\u0000b", "💥"])
def test_names_that_are_not(hs, user):
    as_error(register(hs, body(user)), 400, "M_INVALID_USERNAME")
    if "\0" not in user:  # the server refuses such a query as a whole
        as_error(hs.client().call("GET", V3 + "/register/available?username=" + quote(user)), 400, "M_INVALID_USERNAME")


def test_a_taken_name_is_refused_before_any_stage(hs):
    user = name()
    available = V3 + "/register/available?username=" + user
    assert hs.client().ok("GET", available) == {"available": True}
    assert register(hs, body(user))[0] == 200
    as_error(register(hs, {"username": user, "password": "a-fine-password"}), 400, "M_USER_IN_USE")
    as_error(register(hs, body(user)), 400, "M_USER_IN_USE")
    as_error(hs.client().call("GET", available), 400, "M_USER_IN_USE")


def test_one_of_many_gets_a_name(hs):
    user, answers = name(), []
    threads = [threading.Thread(target=lambda: answers.append(register(hs, body(user)))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(status for status, _ in answers) == [200] + 7 * [400]
    assert {a["errcode"] for status, a in answers if status == 400} == {"M_USER_IN_USE"}


def test_inhibit_login(hs):
    user = name()
    status, answer = register(hs, body(user, inhibit_login=True))
    assert status == 200 and answer == {"user_id": "@%s:%s" % (user, hs.name), "home_server": hs.name}
    hs.login(answer["user_id"], "a-fine-password")


def test_refresh_token(hs):
    status, answer = register(hs, body(name(), refresh_token=True))
    assert status == 200 and answer["refresh_token"] and answer["expires_in_ms"] > 0


@pytest.mark.parametrize("content, status, errcode", [
    (body(5), 400, "M_BAD_JSON"),
    ({"username": "nopass", "auth": DUMMY}, 400, "M_MISSING_PARAM"),
    (body("x", password=5), 400, "M_BAD_JSON"),
    (body("x", password=""), 400, "M_WEAK_PASSWORD"),
    (body("x", password="short"), 400, "M_WEAK_PASSWORD"),
    (body("x", password="y" * 5000), 400, "M_INVALID_PARAM"),
    (body("x", password="nul\u0000nul\u0000"), 400, "M_INVALID_PARAM"),
    (body("x", inhibit_login="no"), 400, "M_BAD_JSON"),
    (body("x", refresh_token=1), 400, "M_BAD_JSON"),
    (body("x", device_id=[]), 400, "M_BAD_JSON"),
    (body("x", device_id="d" * 300), 400, "M_INVALID_PARAM"),
    (body("x", initial_device_display_name="d" * 300), 413, "M_TOO_LARGE"),
    (body("x", auth=5), 400, "M_BAD_JSON"),
])
def test_bad_requests(hs, content, status, errcode):
    as_error(register(hs, content), status, errcode)
    assert hs.client().ok("GET", V3 + "/register/available?username=x") == {"available": True}


def test_kinds(hs):
    as_error(register(hs, {}, "?kind=guest"), 403, "M_GUEST_ACCESS_FORBIDDEN")
    as_error(register(hs, {}, "?kind=dog"), 400, "M_INVALID_PARAM")
    as_error(hs.client().call("GET", V3 + "/register/available"), 400, "M_MISSING_PARAM")


def test_closed_unless_opened(server):
    hs = server(set={"client-register.enabled": "no"})
    as_error(register(hs, body(name())), 403, "M_FORBIDDEN")
    as_error(register(hs, {}), 403, "M_FORBIDDEN")
    as_error(hs.client().call("GET", V3 + "/register/available?username=x"), 403, "M_FORBIDDEN")
    hs.register("byadmin")


def test_guests(server):
    hs = server(set={"client-register.guests": "yes"})
    status, answer = register(hs, {"username": "ignored", "device_id": "IGNORED"}, "?kind=guest")
    assert status == 200 and answer["device_id"] != "IGNORED" and "ignored" not in answer["user_id"]
    guest = Client(hs, answer["access_token"])
    assert guest.ok("GET", V3 + "/account/whoami")["is_guest"] is True
    as_error(guest.call("POST", V3 + "/account/password", {"new_password": "a-fine-password"}),
             403, "M_GUEST_ACCESS_FORBIDDEN")


def test_tokens(server):
    hs = server(set={"client-register.stages": "token", "auth-token.registration_tokens": "invited, second"})
    valid = "/_matrix/client/v1/register/m.login.registration_token/validity"
    anyone = hs.client()
    assert anyone.ok("GET", valid + "?token=invited") == {"valid": True}
    assert anyone.ok("GET", valid + "?token=invite") == {"valid": False}
    assert anyone.ok("GET", valid + "?token=") == {"valid": False}
    as_error(anyone.call("GET", valid), 400, "M_MISSING_PARAM")
    user = name()
    status, asked = register(hs, body(user, auth=None))
    assert status == 401 and asked["flows"] == [{"stages": ["m.login.registration_token"]}]
    auth = {"type": "m.login.registration_token", "token": "wrong", "session": asked["session"]}
    status, wrong = register(hs, body(user, auth=auth))
    assert (status, wrong["errcode"], wrong["session"]) == (401, "M_UNAUTHORIZED", asked["session"])
    assert wrong["completed"] == []
    status, dummy = register(hs, body(user))
    assert status == 401 and dummy["errcode"] == "M_INVALID_PARAM"
    auth["token"] = "second"
    assert register(hs, body(user, auth=auth))[0] == 200


def test_two_stages_in_two_requests(server):
    hs = server(set={"client-register.stages": "token, dummy", "auth-token.registration_tokens": "invited"})
    user = name()
    auth = {"type": "m.login.registration_token", "token": "invited"}
    status, asked = register(hs, body(user, auth=auth))
    assert status == 401 and asked["completed"] == ["m.login.registration_token"] and "errcode" not in asked
    status, again = register(hs, body(user, auth={"session": asked["session"]}))
    assert status == 401 and again["session"] == asked["session"]
    assert register(hs, body(user, auth={**DUMMY, "session": asked["session"]}))[0] == 200
    # The session is over.
    status, other = register(hs, body(name(), auth={"session": asked["session"]}))
    assert status == 401 and other["completed"] == [] and other["session"] != asked["session"]


# ---- registration tokens that are counted ----

ADMIN = "/_synapse/admin/v1/registration_tokens"
STAGE = "m.login.registration_token"


def with_token(hs, token, user=None, **more):
    return register(hs, body(user or name(), auth={"type": STAGE, "token": token}, **more))


def valid(hs, token):
    return hs.client().ok("GET", "/_matrix/client/v1/register/%s/validity?token=%s" % (STAGE, token))["valid"]


def test_admins_manage_registration_tokens(server):
    hs = server(set={"client-register.stages": "token"})
    admin = hs.register("admin", admin=True)
    made = admin.ok("POST", ADMIN + "/new", {"token": "a.b_c~d-1", "uses_allowed": 1})
    assert made == {"token": "a.b_c~d-1", "uses_allowed": 1, "pending": 0, "completed": 0, "expiry_time": None}
    random = admin.ok("POST", ADMIN + "/new", {})
    assert len(random["token"]) == 16 and random["uses_allowed"] is None and random["expiry_time"] is None
    assert len(admin.ok("POST", ADMIN + "/new", {"length": 64})["token"]) == 64
    assert admin.ok("GET", ADMIN + "/" + made["token"]) == made
    assert valid(hs, made["token"]) and not valid(hs, "other")
    assert with_token(hs, made["token"])[0] == 200
    used = {**made, "completed": 1}
    assert admin.ok("GET", ADMIN + "/" + made["token"]) == used
    assert not valid(hs, made["token"]) and with_token(hs, made["token"])[1]["errcode"] == "M_UNAUTHORIZED"
    tokens = lambda query="": [t["token"] for t in admin.ok("GET", ADMIN + query)["registration_tokens"]]
    assert len(tokens()) == 3 and tokens("?valid=false") == [made["token"]] and len(tokens("?valid=true")) == 2
    more = admin.ok("PUT", ADMIN + "/" + made["token"], {"uses_allowed": 2})
    assert more == {**used, "uses_allowed": 2} and valid(hs, made["token"])
    assert admin.ok("PUT", ADMIN + "/" + made["token"], {"uses_allowed": None})["uses_allowed"] is None
    # A token that has expired: as if it were not there.
    soon = int(time.time() * 1000) + 300
    assert admin.ok("PUT", ADMIN + "/" + made["token"], {"expiry_time": soon})["expiry_time"] == soon
    wait_for(lambda: not valid(hs, made["token"]), "the token to expire")
    assert with_token(hs, made["token"])[0] == 401
    assert admin.ok("DELETE", ADMIN + "/" + random["token"]) == {}
    assert random["token"] not in tokens() and not valid(hs, random["token"])
    for method in ("GET", "PUT", "DELETE"):
        as_error(admin.call(method, ADMIN + "/" + random["token"], {} if method == "PUT" else None), 404, "M_NOT_FOUND")
    hs.restart()
    assert len(tokens()) == 2


@pytest.mark.parametrize("wrong", [
    {"token": "with space"}, {"token": ""}, {"token": "x" * 65}, {"token": 1}, {"token": None}, {"length": 0}, {"length": 65},
    {"length": "8"}, {"uses_allowed": -1}, {"uses_allowed": 1.5}, {"uses_allowed": "1"}, {"expiry_time": 1}, {"expiry_time": "x"}])
def test_registration_tokens_that_cannot_be(hs, wrong):
    as_error(hs.register("admin", admin=True).call("POST", ADMIN + "/new", wrong), 400, "M_INVALID_PARAM")


def test_registration_tokens_are_for_admins(hs):
    user = hs.register("user")
    for method, path in (("GET", ADMIN), ("POST", ADMIN + "/new"), ("GET", ADMIN + "/x"), ("PUT", ADMIN + "/x"), ("DELETE", ADMIN + "/x")):
        as_error(user.call(method, path), 403, "M_FORBIDDEN")
        as_error(hs.client().call(method, path), 401, "M_MISSING_TOKEN")
    admin = hs.register("admin", admin=True)
    token = admin.ok("POST", ADMIN + "/new", {})["token"]
    as_error(admin.call("POST", ADMIN + "/new", {"token": token}), 400, "M_INVALID_PARAM")


def test_a_use_is_pending_until_the_account_is_made(server):
    hs = server(set={"client-register.stages": "token, dummy"})
    admin = hs.register("admin", admin=True)
    token = admin.ok("POST", ADMIN + "/new", {"uses_allowed": 2})["token"]
    count = lambda: {k: admin.ok("GET", ADMIN + "/" + token)[k] for k in ("pending", "completed")}
    user = name()
    status, begun = with_token(hs, token, user)
    assert status == 401 and begun["completed"] == [STAGE] and count() == {"pending": 1, "completed": 0}
    # The same session shows it again: it is one use.
    again = {"type": STAGE, "token": token, "session": begun["session"]}
    assert register(hs, body(user, auth=again))[0] == 401 and count() == {"pending": 1, "completed": 0}
    assert with_token(hs, token)[0] == 401 and count() == {"pending": 2, "completed": 0}
    assert not valid(hs, token) and with_token(hs, token)[1]["errcode"] == "M_UNAUTHORIZED"
    assert register(hs, body(user, auth={**DUMMY, "session": begun["session"]}))[0] == 200
    assert count() == {"pending": 1, "completed": 1}


@pytest.mark.threads
def test_a_token_for_three_lets_three_in(server):
    hs = server(set={"client-register.stages": "token"})
    admin = hs.register("admin", admin=True)
    token = admin.ok("POST", ADMIN + "/new", {"uses_allowed": 3})["token"]
    got, users = [], [name() for _ in range(10)]
    threads = [threading.Thread(target=lambda u=u: got.append(with_token(hs, token, u)[0])) for u in users]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert sorted(got) == [200] * 3 + [401] * 7
    assert admin.ok("GET", ADMIN + "/" + token)["completed"] == 3


def test_myelinctl_manages_registration_tokens(server):
    hs = server(set={"client-register.stages": "token", "auth-token.max_registration_tokens": "2"})
    ctl = lambda *words, **more: hs.ctl("registration-token", *words, **more)
    token = ctl("create", "--uses", "1", "--days", "2").stdout.strip()
    assert len(token) == 16 and valid(hs, token)
    assert ctl("create", "--token", "mine").stdout == "mine\n"
    assert with_token(hs, token)[0] == 200
    lines = {line.split()[0]: line for line in ctl("list").stdout.splitlines()}
    assert "used 1 of 1" in lines[token] and "not valid" in lines[token]
    assert "used 0, pending 0, expires never" in lines["mine"]
    for words in (["create"], ["create", "--uses", "0"], ["create", "--days"], ["create", "--token", "a b"], ["create", "--what", "1"],
                  ["list", "x"], ["delete"], ["delete", "unknown"]):
        refused = ctl(*words, check=False)
        assert refused.returncode != 0 and refused.stderr, words
    assert "mine" in ctl("delete", "mine").stdout and not valid(hs, "mine")
