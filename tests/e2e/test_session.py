"""Logging in and out, refreshing, devices, and confirming who one is (user-interactive authentication)."""

import shutil
import threading
import time

import pytest

from myelin import PASSWORD, Client, quote

V3 = "/_matrix/client/v3"


def password_login(user, password=PASSWORD, **more):
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password, **more}


def as_error(answer, status, errcode):
    assert answer[0] == status and answer[1]["errcode"] == errcode, answer
    assert isinstance(answer[1]["error"], str) and answer[1]["error"]


def confirm(client, method, path, body=None, password=PASSWORD):
    """Does what needs the user's password, in two steps as clients do."""
    status, asked = client.call(method, path, body or {})
    assert status == 401 and asked["session"], asked
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": client.user_id},
            "password": password, "session": asked["session"]}
    return client.call(method, path, {**(body or {}), "auth": auth})


def test_flows_name_the_loaded_ways(hs):
    flows = hs.client().ok("GET", V3 + "/login")["flows"]
    by_type = {flow["type"]: flow for flow in flows}
    assert "m.login.password" in by_type
    assert by_type["m.login.token"]["get_login_token"] is True


def test_r0_is_v3(hs):
    assert hs.client().ok("GET", "/_matrix/client/r0/login") == hs.client().ok("GET", V3 + "/login")


def test_login_forms(hs):
    alice = hs.register("alice")
    local = alice.user_id[1:].split(":")[0]
    anyone = hs.client()
    for body in (password_login(local), password_login(alice.user_id),
                 {"type": "m.login.password", "user": local, "password": PASSWORD},
                 {"type": "m.login.password", "user": alice.user_id, "password": PASSWORD},
                 password_login(local.upper()), password_login(local, device_id="MINE")):
        answer = anyone.ok("POST", V3 + "/login", body)
        assert answer["user_id"] == alice.user_id and answer["access_token"] and answer["device_id"]
        assert answer["home_server"] == hs.name
        assert "refresh_token" not in answer and "expires_in_ms" not in answer
    assert answer["device_id"] == "MINE"
    who = Client(hs, answer["access_token"]).ok("GET", V3 + "/account/whoami")
    assert who == {"user_id": alice.user_id, "device_id": "MINE", "is_guest": False}


def test_login_refusals_do_not_tell_who_exists(hs):
    alice = hs.register("alice")
    anyone = hs.client()
    wrong = anyone.call("POST", V3 + "/login", password_login(alice.user_id, "wrong"))
    nobody = anyone.call("POST", V3 + "/login", password_login("nobody-of-that-name", "wrong"))
    elsewhere = anyone.call("POST", V3 + "/login", password_login("@alice:elsewhere.example", "wrong"))
    as_error(wrong, 403, "M_FORBIDDEN")
    assert wrong == nobody == elsewhere


@pytest.mark.parametrize("body, status, errcode", [
    ({}, 400, "M_MISSING_PARAM"),
    ({"type": 5}, 400, "M_BAD_JSON"),
    ({"type": "m.login.nonsense"}, 400, "M_UNKNOWN"),
    ({"type": "m.login.password"}, 400, "M_MISSING_PARAM"),
    ({"type": "m.login.password", "user": "x"}, 400, "M_MISSING_PARAM"),
    ({"type": "m.login.password", "password": "x"}, 400, "M_MISSING_PARAM"),
    ({"type": "m.login.password", "identifier": "x", "password": "x"}, 400, "M_BAD_JSON"),
    ({"type": "m.login.password", "identifier": {}, "password": "x"}, 400, "M_MISSING_PARAM"),
    ({"type": "m.login.password", "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "a@b.c"},
      "password": "x"}, 403, "M_FORBIDDEN"),
    ({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": 5}, "password": "x"}, 400, "M_BAD_JSON"),
    (password_login("x", password=["x"]), 400, "M_BAD_JSON"),
    (password_login("x", device_id=5), 400, "M_BAD_JSON"),
    (password_login("x", refresh_token="yes"), 400, "M_BAD_JSON"),
    (password_login("x" * 5000), 403, "M_FORBIDDEN"),
    (password_login("x", password="y" * 5000), 403, "M_FORBIDDEN"),
    (password_login("\u0000"), 403, "M_FORBIDDEN"),
    ({"type": "m.login.token"}, 400, "M_MISSING_PARAM"),
    ({"type": "m.login.token", "token": "nope"}, 403, "M_FORBIDDEN"),
    ({"type": "m.login.token", "token": "n" * 5000}, 403, "M_FORBIDDEN"),
])
def test_bad_logins(hs, body, status, errcode):
    as_error(hs.client().call("POST", V3 + "/login", body), status, errcode)


def test_bad_bodies(hs):
    as_error(hs.client().call("POST", V3 + "/login", b"{"), 400, "M_NOT_JSON")
    as_error(hs.client().call("POST", V3 + "/login", b"[]"), 400, "M_BAD_JSON")
    as_error(hs.client().call("PUT", V3 + "/login", {}), 405, "M_UNRECOGNIZED")


def test_odd_devices(hs):
    alice = hs.register("alice")
    anyone = hs.client()
    as_error(anyone.call("POST", V3 + "/login", password_login(alice.user_id, device_id="d" * 300)), 400, "M_INVALID_PARAM")
    as_error(anyone.call("POST", V3 + "/login", password_login(alice.user_id, device_id="a\u0000b")), 400, "M_INVALID_PARAM")
    as_error(anyone.call("POST", V3 + "/login", password_login(alice.user_id, initial_device_display_name="n" * 300)),
             413, "M_TOO_LARGE")
    odd = anyone.ok("POST", V3 + "/login", password_login(alice.user_id, device_id="a/b c%ü"))
    assert alice.ok("GET", V3 + "/devices/" + quote("a/b c%ü"))["device_id"] == odd["device_id"] == "a/b c%ü"


def test_bad_tokens(hs):
    as_error(Client(hs).call("GET", V3 + "/account/whoami"), 401, "M_MISSING_TOKEN")
    for token in ("nope", "x" * 2000, "mxa_" + "a" * 40):
        as_error(Client(hs, token).call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    status, answer = Client(hs, "nope").call("GET", V3 + "/account/whoami")
    assert answer["soft_logout"] is False


def test_token_in_the_query(hs):
    alice = hs.register("alice")
    assert Client(hs).ok("GET", V3 + "/account/whoami?access_token=" + alice.token)["user_id"] == alice.user_id


def test_same_device_again_loses_its_token(hs):
    alice = hs.register("alice")
    again = hs.login(alice.user_id, device_id=alice.device_id)
    assert again.device_id == alice.device_id
    as_error(alice.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    assert len(again.ok("GET", V3 + "/devices")["devices"]) == 1


def test_logout_ends_one_device(hs):
    alice = hs.register("alice")
    phone = hs.login(alice.user_id)
    phone.ok("POST", V3 + "/logout")
    as_error(phone.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    as_error(phone.call("POST", V3 + "/logout"), 401, "M_UNKNOWN_TOKEN")
    alice.ok("GET", V3 + "/account/whoami")
    assert [d["device_id"] for d in alice.ok("GET", V3 + "/devices")["devices"]] == [alice.device_id]


def test_logout_all(hs):
    alice = hs.register("alice")
    phone = hs.login(alice.user_id)
    alice.ok("POST", V3 + "/logout/all")
    for client in (alice, phone):
        as_error(client.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    assert len(hs.login(alice.user_id).ok("GET", V3 + "/devices")["devices"]) == 1


def test_a_waiting_sync_ends_when_its_device_is_logged_out(hs):
    alice = hs.register("alice")
    phone = hs.login(alice.user_id)
    since = phone.sync()["next_batch"]
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(
        phone.call("GET", V3 + "/sync?timeout=30000&since=" + since)))
    waiter.start()
    time.sleep(0.3)
    begun = time.monotonic()
    Client(hs, phone.token).ok("POST", V3 + "/logout")
    waiter.join(10)
    assert answers and time.monotonic() - begun < 5
    as_error(answers[0], 401, "M_UNKNOWN_TOKEN")


def test_a_sync_that_begins_while_its_device_is_logged_out_ends_too(hs):
    alice = hs.register("alice")
    phones = [hs.login(alice.user_id) for _ in range(40)]
    since = phones[0].sync()["next_batch"]
    answers = []
    waiters = [threading.Thread(target=lambda phone=phone: answers.append(
        phone.call("GET", V3 + "/sync?timeout=30000&since=" + since))) for phone in phones]
    begun = time.monotonic()
    for n, (phone, waiter) in enumerate(zip(phones, waiters)):
        waiter.start()
        time.sleep(n % 8 / 4000)
        Client(hs, phone.token).ok("POST", V3 + "/logout")
    for waiter in waiters:
        waiter.join(40)
    assert time.monotonic() - begun < 20
    for answer in answers:
        as_error(answer, 401, "M_UNKNOWN_TOKEN")


def test_processes_that_share_a_database_hear_of_each_others_logouts(server, database):
    if database != "postgres":
        pytest.skip("one process has the file")
    one = server()
    two = server(start=False)
    two.database = one.database
    two.write_config()
    shutil.copy(one.folder + "/signing.key", two.folder + "/signing.key")
    two.start()
    alice = one.register("alice")
    phone = one.login(alice.user_id)
    there = Client(two, phone.token)
    since = there.sync()["next_batch"]
    there.ok("GET", V3 + "/account/whoami")
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(there.call("GET", V3 + "/sync?timeout=20000&since=" + since)))
    waiter.start()
    time.sleep(0.3)
    phone.ok("POST", V3 + "/logout")
    # It catches up at its next write, whose ever that is.
    two.login(alice.user_id)
    as_error(Client(two, phone.token).call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    waiter.join(10)
    as_error(answers[0], 401, "M_UNKNOWN_TOKEN")


def test_refresh(hs):
    alice = hs.register("alice")
    anyone = hs.client()
    one = anyone.ok("POST", V3 + "/login", password_login(alice.user_id, refresh_token=True))
    assert one["expires_in_ms"] > 0
    two = anyone.ok("POST", V3 + "/refresh", {"refresh_token": one["refresh_token"]})
    assert two["expires_in_ms"] > 0 and two["access_token"] != one["access_token"]
    # The old pair works until the new one is used.
    Client(hs, one["access_token"]).ok("GET", V3 + "/account/whoami")
    again = anyone.ok("POST", V3 + "/refresh", {"refresh_token": one["refresh_token"]})
    who = Client(hs, again["access_token"]).ok("GET", V3 + "/account/whoami")
    assert who["device_id"] == one["device_id"]
    as_error(anyone.call("POST", V3 + "/refresh", {"refresh_token": one["refresh_token"]}), 401, "M_UNKNOWN_TOKEN")
    status, answer = Client(hs, one["access_token"]).call("GET", V3 + "/account/whoami")
    assert (status, answer["errcode"], answer["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", True)
    three = anyone.ok("POST", V3 + "/refresh", {"refresh_token": again["refresh_token"]})
    Client(hs, three["access_token"]).ok("POST", V3 + "/logout")
    as_error(anyone.call("POST", V3 + "/refresh", {"refresh_token": three["refresh_token"]}), 401, "M_UNKNOWN_TOKEN")


@pytest.mark.parametrize("body, status, errcode", [
    ({}, 400, "M_MISSING_PARAM"), ({"refresh_token": 1}, 400, "M_BAD_JSON"),
    ({"refresh_token": "nope"}, 401, "M_UNKNOWN_TOKEN"), ({"refresh_token": "n" * 5000}, 401, "M_UNKNOWN_TOKEN"),
])
def test_bad_refreshes(hs, body, status, errcode):
    as_error(hs.client().call("POST", V3 + "/refresh", body), status, errcode)


def test_tokens_expire(server):
    hs = server(set={"account.access_token_lifetime": "500ms"})
    alice = hs.register("alice")
    one = hs.client().ok("POST", V3 + "/login", password_login(alice.user_id, refresh_token=True))
    phone = Client(hs, one["access_token"])
    phone.ok("GET", V3 + "/account/whoami")
    time.sleep(0.6)
    status, answer = phone.call("GET", V3 + "/account/whoami")
    assert (status, answer["errcode"], answer["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", True)
    two = hs.client().ok("POST", V3 + "/refresh", {"refresh_token": one["refresh_token"]})
    Client(hs, two["access_token"]).ok("GET", V3 + "/account/whoami")


def test_tokens_survive_a_restart(server):
    hs = server()
    alice = hs.register("alice")
    hs.restart()
    assert alice.ok("GET", V3 + "/account/whoami")["device_id"] == alice.device_id


def test_devices(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    phone = hs.login(alice.user_id, device_id="PHONE", initial_device_display_name="My phone")
    devices = {d["device_id"]: d for d in alice.ok("GET", V3 + "/devices")["devices"]}
    assert set(devices) == {alice.device_id, "PHONE"}
    assert devices["PHONE"]["display_name"] == "My phone"
    assert devices[alice.device_id]["last_seen_ip"] == "127.0.0.1"
    assert abs(devices[alice.device_id]["last_seen_ts"] / 1000 - time.time()) < 600
    alice.ok("PUT", V3 + "/devices/PHONE", {"display_name": "Phone ☎"})
    assert phone.ok("GET", V3 + "/devices/PHONE")["display_name"] == "Phone ☎"
    alice.ok("PUT", V3 + "/devices/PHONE", {})
    assert phone.ok("GET", V3 + "/devices/PHONE")["display_name"] == "Phone ☎"
    for client, device in ((bob, "PHONE"), (alice, "NONE")):
        as_error(client.call("GET", V3 + "/devices/" + device), 404, "M_NOT_FOUND")
        as_error(client.call("PUT", V3 + "/devices/" + device, {"display_name": "x"}), 404, "M_NOT_FOUND")
        as_error(client.call("PUT", V3 + "/devices/" + device, {}), 404, "M_NOT_FOUND")
    as_error(alice.call("PUT", V3 + "/devices/PHONE", {"display_name": 5}), 400, "M_BAD_JSON")
    as_error(alice.call("PUT", V3 + "/devices/PHONE", {"display_name": "x" * 1000}), 413, "M_TOO_LARGE")


def test_deleting_a_device_needs_the_password(hs):
    alice = hs.register("alice")
    phone = hs.login(alice.user_id, device_id="PHONE")
    status, asked = alice.call("DELETE", V3 + "/devices/PHONE", {})
    assert status == 401
    assert "errcode" not in asked and "error" not in asked
    assert {"stages": ["m.login.password"]} in asked["flows"] and asked["params"] == {} and asked["completed"] == []
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": alice.user_id},
            "password": "wrong", "session": asked["session"]}
    status, wrong = alice.call("DELETE", V3 + "/devices/PHONE", {"auth": auth})
    assert (status, wrong["errcode"], wrong["session"]) == (401, "M_FORBIDDEN", asked["session"])
    assert wrong["flows"] == asked["flows"] and wrong["error"]
    phone.ok("GET", V3 + "/account/whoami")
    auth["password"] = PASSWORD
    alice.ok("DELETE", V3 + "/devices/PHONE", {"auth": auth})
    as_error(phone.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    # The session is over: it deletes nothing more. What was deleted stays so.
    assert alice.call("DELETE", V3 + "/devices/PHONE", {"auth": {"session": asked["session"]}})[0] == 401
    assert confirm(alice, "DELETE", V3 + "/devices/PHONE") == (200, {})


def test_deleting_without_a_body_shows_the_flows(hs):
    alice = hs.register("alice")
    status, _, text = alice.raw("DELETE", V3 + "/devices/PHONE")
    assert status == 401 and b"flows" in text


def test_a_session_is_for_one_user_and_one_thing(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    phone, tablet = hs.login(alice.user_id, device_id="P"), hs.login(alice.user_id, device_id="T")
    status, asked = alice.call("DELETE", V3 + "/devices/P", {})
    # Somebody else's password proves nothing.
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": bob.user_id},
            "password": PASSWORD, "session": asked["session"]}
    as_error(alice.call("DELETE", V3 + "/devices/P", {"auth": auth}), 403, "M_FORBIDDEN")
    # Another path, another user: another session.
    for client, path in ((alice, V3 + "/devices/T"), (bob, V3 + "/devices/P")):
        status, answer = client.call("DELETE", path, {"auth": {"session": asked["session"]}})
        assert status == 401 and answer["session"] != asked["session"]
    phone.ok("GET", V3 + "/account/whoami")
    tablet.ok("GET", V3 + "/account/whoami")


def test_a_session_is_worked_with_by_one_request_at_a_time(server):
    hs = server(set={"auth-password.memory": "64M", "auth-password.operations": "3"})
    alice = hs.register("alice")
    hs.login(alice.user_id, device_id="P")
    status, asked = alice.call("DELETE", V3 + "/devices/P", {})
    auth = {"type": "m.login.password", "user": alice.user_id, "password": "wrong", "session": asked["session"]}
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(alice.call("DELETE", V3 + "/devices/P", {"auth": auth})))
               for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert {status for status, _ in answers} <= {401, 429} and 401 in {status for status, _ in answers}
    auth["password"] = PASSWORD
    alice.ok("DELETE", V3 + "/devices/P", {"auth": auth})


def test_one_request_is_enough(hs):
    """matrix-nio and others send the password at once, without a session."""
    alice = hs.register("alice")
    hs.login(alice.user_id, device_id="P")
    for auth in ({"type": "m.login.password", "user": alice.user_id, "password": PASSWORD},
                 {"type": "m.login.password", "password": PASSWORD, "session": "unknown"}):
        alice.ok("POST", V3 + "/delete_devices", {"devices": ["P"], "auth": auth})


@pytest.mark.parametrize("auth, errcode", [
    ({"type": "m.login.dummy"}, "M_INVALID_PARAM"),
    ({"type": "m.login.token", "token": "x"}, "M_INVALID_PARAM"),
    ({"type": "m.login.password"}, "M_MISSING_PARAM"),
    ({"type": "m.login.password", "password": 5}, "M_BAD_JSON"),
    ({"type": "m.login.password", "password": "x" * 3000}, "M_FORBIDDEN"),
    ({"type": "t" * 3000}, "M_INVALID_PARAM"),
    ({"type": "m.login.password\u0000"}, "M_INVALID_PARAM"),
])
def test_bad_attempts_get_the_flows_again(hs, auth, errcode):
    alice = hs.register("alice")
    status, answer = alice.call("POST", V3 + "/delete_devices", {"devices": [], "auth": auth})
    assert (status, answer["errcode"]) == (401, errcode) and answer["flows"] and answer["session"]


@pytest.mark.parametrize("auth", [5, "x", [], {"session": 5}, {"type": {}}])
def test_bad_auth_dicts(hs, auth):
    alice = hs.register("alice")
    as_error(alice.call("POST", V3 + "/delete_devices", {"devices": [], "auth": auth}), 400, "M_BAD_JSON")


def test_delete_devices(hs):
    alice = hs.register("alice")
    others = [hs.login(alice.user_id, device_id=name) for name in "ABC"]
    assert confirm(alice, "POST", V3 + "/delete_devices", {"devices": ["A", "B", "NONE"]}) == (200, {})
    as_error(others[0].call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    others[2].ok("GET", V3 + "/account/whoami")
    as_error(alice.call("POST", V3 + "/delete_devices", {}), 400, "M_MISSING_PARAM")
    as_error(alice.call("POST", V3 + "/delete_devices", {"devices": "A"}), 400, "M_BAD_JSON")
    as_error(alice.call("POST", V3 + "/delete_devices", {"devices": [1]}), 400, "M_BAD_JSON")
    as_error(alice.call("POST", V3 + "/delete_devices", {"devices": ["x"] * 1001}), 400, "M_INVALID_PARAM")


def test_login_token(hs):
    alice = hs.register("alice")
    status, made = confirm(alice, "POST", "/_matrix/client/v1/login/get_token")
    assert status == 200 and 0 < made["expires_in_ms"] <= 120000
    body = {"type": "m.login.token", "token": made["login_token"], "device_id": "QR"}
    other = hs.client().ok("POST", V3 + "/login", body)
    assert (other["user_id"], other["device_id"]) == (alice.user_id, "QR")
    as_error(hs.client().call("POST", V3 + "/login", body), 403, "M_FORBIDDEN")
    assert alice.call("POST", "/_matrix/client/v1/login/get_token", {})[0] == 401
    assert alice.ok("GET", V3 + "/capabilities")["capabilities"]["m.get_login_token"] == {"enabled": True}


def test_guessing_one_account_is_slow(server):
    hs = server(set={"auth-password.failed_burst": "3", "auth-password.failed_every": "1h"})
    alice, bob = hs.register("alice"), hs.register("bob")
    for _ in range(3):
        as_error(hs.client().call("POST", V3 + "/login", password_login(alice.user_id, "wrong")), 403, "M_FORBIDDEN")
    status, answer = hs.client().call("POST", V3 + "/login", password_login(alice.user_id))
    assert (status, answer["errcode"]) == (429, "M_LIMIT_EXCEEDED") and answer["retry_after_ms"] > 0
    hs.login(bob.user_id)
    alice.ok("GET", V3 + "/account/whoami")
