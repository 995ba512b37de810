"""Registration: closed, open, by token; guests; what is refused."""

import itertools
import threading

import pytest

from myelin import Client, quote

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
