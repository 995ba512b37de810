"""Pages that do in a browser what a client cannot: stages of user-interactive authentication, logging in."""

import json
import re

import pytest

from myelin import PASSWORD, quote

V3 = "/_matrix/client/v3"
STAGES = ["m.login.dummy", "m.login.registration_token", "m.login.password"]


def page(hs, path):
    status, headers, text = hs.client().raw("GET", path)
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    return headers, text.decode()


def assert_closed(headers, text):
    """Nothing from elsewhere, and only what the policy names may run."""
    nonce = re.search("script-src 'nonce-([A-Za-z0-9]+)'", headers["Content-Security-Policy"]).group(1)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert re.findall("<script[^>]*>", text) == ["<script nonce=%s>" % nonce]
    assert "http:" not in text and "https:" not in text and "//" not in text.replace("<!DOCTYPE", "")
    return nonce


def fallback(stage, session=""):
    return V3 + "/auth/%s/fallback/web%s" % (quote(stage), "?session=" + session if session else "")


@pytest.mark.parametrize("stage", STAGES)
def test_pages_of_stages(hs, stage):
    headers, text = page(hs, fallback(stage, "anything"))
    nonce = assert_closed(headers, text)
    assert "window.onAuthDone" in text and "'authDone'" in text and "anything" not in text
    assert assert_closed(*page(hs, fallback(stage))) != nonce
    assert page(hs, fallback(stage).replace("/v3/", "/r0/"))[1]


def test_the_page_that_logs_in(hs):
    headers, text = page(hs, "/_matrix/static/client/login/?device_id=X")
    assert_closed(headers, text)
    assert "window.matrixLogin.onLogin" in text and "m.login.password" in text


def test_stages_without_a_page(hs):
    for method in ("GET", "POST"):
        status, answer = hs.client().call(method, fallback("m.login.recaptcha"))
        assert (status, answer["errcode"]) == (404, "M_NOT_FOUND")


def begin(hs, user, password="a-fine-password"):
    body = {"username": user, "password": password}
    status, asked = hs.client().call("POST", V3 + "/register", body)
    assert status == 401
    return body, asked["session"]


def test_a_browser_passes_the_stages_of_a_registration(server):
    hs = server(set={"client-register.stages": "token, dummy", "auth-token.registration_tokens": "invited"})
    anyone = hs.client()
    body, session = begin(hs, "byhand")
    post = lambda stage, **fields: anyone.call("POST", fallback(stage), {"session": session, **fields})
    assert post("m.login.registration_token", token="wrong")[1]["errcode"] == "M_UNAUTHORIZED"
    assert post("m.login.registration_token")[1]["errcode"] == "M_MISSING_PARAM"
    assert post("m.login.registration_token", token="invited") == (200, {})
    assert post("m.login.password", password="x")[1]["errcode"] == "M_NOT_FOUND", "a stage that is not asked for"
    body["auth"] = {"session": session}
    status, asked = anyone.call("POST", V3 + "/register", body)
    assert status == 401 and asked["completed"] == ["m.login.registration_token"]
    assert post("m.login.dummy") == (200, {})
    assert anyone.call("POST", V3 + "/register", body)[0] == 200
    assert post("m.login.dummy")[1]["errcode"] == "M_NOT_FOUND", "the session is over"


def test_a_browser_confirms_for_who_is_logged_in(hs):
    alice, eve = hs.register("alice"), hs.register("eve", password="eves-own-password")
    other = hs.login(alice.user_id)
    path = V3 + "/devices/" + quote(other.device_id)
    status, asked = alice.call("DELETE", path, "{}")
    assert status == 401
    auth = {"session": asked["session"]}
    post = lambda **fields: hs.client().call("POST", fallback("m.login.password"), {**auth, **fields})
    assert post(password="wrong")[1]["errcode"] == "M_FORBIDDEN"
    # The user is the session's, whoever the body names.
    named = {"identifier": {"type": "m.id.user", "user": eve.user_id}}
    assert post(password="eves-own-password", **named)[1]["errcode"] == "M_FORBIDDEN"
    assert alice.call("DELETE", path, json.dumps({"auth": auth}))[0] == 401
    assert post(password=PASSWORD) == (200, {})
    assert eve.call("DELETE", path, json.dumps({"auth": auth}))[0] in (401, 404), "it is nobody else's"
    assert alice.call("DELETE", path, json.dumps({"auth": auth}))[0] == 200


@pytest.mark.parametrize("body,errcode", [("{}", "M_MISSING_PARAM"), ('{"session": 1}', "M_BAD_JSON"), ("x", "M_NOT_JSON"),
                                          ('{"session": "none"}', "M_NOT_FOUND"), ('{"session": ""}', "M_NOT_FOUND")])
def test_answers_of_pages_that_are_none(hs, body, errcode):
    assert hs.client().call("POST", fallback("m.login.dummy"), body)[1]["errcode"] == errcode


def test_guessing_by_page_ends_like_guessing_by_client(hs):
    alice = hs.register("alice")
    other = hs.login(alice.user_id)
    asked = alice.call("DELETE", V3 + "/devices/" + quote(other.device_id), "{}")[1]
    body = {"session": asked["session"], "password": "guess"}
    answers = [hs.client().call("POST", fallback("m.login.password"), body) for _ in range(25)]
    assert all(status >= 400 for status, _ in answers)
    assert hs.client().call("POST", fallback("m.login.password"), {**body, "password": PASSWORD})[0] >= 400
