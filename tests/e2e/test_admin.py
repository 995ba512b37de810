"""The administrator's API, in Synapse's dialect, and myelinctl user."""

import hashlib
import hmac
import itertools
import json

import pytest

from myelin import PASSWORD, SECRET, Client, quote
from test_session import as_error, password_login

V1, V2, V3 = "/_synapse/admin/v1", "/_synapse/admin/v2", "/_matrix/client/v3"
_names = itertools.count(1)


def name():
    return "adm%d" % next(_names)


@pytest.fixture
def admin(hs):
    return hs.register("admin", admin=True)


def mac_of(nonce, user, password, admin, user_type=None, secret=SECRET):
    parts = [nonce, user, password, "admin" if admin else "notadmin"] + ([user_type] if user_type else [])
    return hmac.new(secret.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()


def signed(hs, user, password=PASSWORD, admin=False, user_type=None, secret=SECRET, **more):
    nonce = hs.client().ok("GET", V1 + "/register")["nonce"]
    body = {"nonce": nonce, "username": user, "password": password, "admin": admin,
            "mac": mac_of(nonce, user, password, admin, user_type, secret), **more}
    if user_type:
        body["user_type"] = user_type
    return body


def register(hs, body):
    return hs.client().call("POST", V1 + "/register", body)


def test_shared_secret(hs):
    user = name()
    body = signed(hs, user)
    status, answer = register(hs, body)
    assert status == 200 and answer["user_id"] == "@%s:%s" % (user, hs.name) and answer["device_id"]
    assert answer["home_server"] == hs.name
    who = Client(hs, answer["access_token"]).ok("GET", V3 + "/account/whoami")
    assert who["device_id"] == answer["device_id"]
    hs.login(answer["user_id"])
    assert register(hs, signed(hs, "X" + user.upper()))[1]["user_id"] == "@x%s:%s" % (user, hs.name)
    # A nonce is good once; a name as well.
    as_error(register(hs, body), 400, "M_UNKNOWN")
    as_error(register(hs, signed(hs, user)), 400, "M_USER_IN_USE")


def test_shared_secret_with_everything(hs, admin):
    user = name()
    status, answer = register(hs, signed(hs, user, admin=True, user_type="bot", displayname="A Bot"))
    assert status == 200
    shown = admin.ok("GET", V2 + "/users/" + quote(answer["user_id"]))
    assert shown["admin"] is True and shown["displayname"] in ("A Bot", None)


def test_wrong_secrets(hs):
    user = name()
    as_error(register(hs, signed(hs, user, secret="wrong")), 403, "M_FORBIDDEN")
    body = signed(hs, user)
    as_error(register(hs, {**body, "admin": True}), 403, "M_FORBIDDEN")
    as_error(register(hs, {**body, "username": "other"}), 403, "M_FORBIDDEN")
    as_error(register(hs, {**body, "mac": body["mac"][:-1]}), 403, "M_FORBIDDEN")
    as_error(register(hs, {**body, "mac": "z" * 40}), 403, "M_FORBIDDEN")
    nonce = body["nonce"]
    other = nonce[:-1] + ("0" if nonce[-1] != "0" else "1")
    as_error(register(hs, {**body, "nonce": other, "mac": mac_of(other, user, PASSWORD, False)}), 400, "M_UNKNOWN")
    assert register(hs, body)[0] == 200


@pytest.mark.parametrize("key, value, errcode", [
    ("nonce", None, "M_MISSING_PARAM"), ("username", None, "M_MISSING_PARAM"), ("password", None, "M_MISSING_PARAM"),
    ("mac", None, "M_MISSING_PARAM"), ("nonce", 5, "M_BAD_JSON"), ("username", [], "M_BAD_JSON"),
    ("admin", "yes", "M_BAD_JSON"), ("displayname", 5, "M_BAD_JSON"), ("user_type", 5, "M_BAD_JSON"),
    ("inhibit_login", 1, "M_BAD_JSON"), ("nonce", "n" * 5000, "M_UNKNOWN"), ("nonce", "", "M_UNKNOWN"),
])
def test_bad_shared_secret_requests(hs, key, value, errcode):
    body = signed(hs, name())
    if value is None:
        del body[key]
    else:
        body[key] = value
    as_error(register(hs, body), 400, errcode)


@pytest.mark.parametrize("user", ["", "a!", "a b", "ä", "a" * 300])
def test_bad_names(hs, user):
    as_error(register(hs, signed(hs, user)), 400, "M_INVALID_USERNAME")


def test_no_secret_no_registration(server):
    hs = server(set={"admin.registration_shared_secret": ""})
    as_error(hs.client().call("GET", V1 + "/register"), 400, "M_UNKNOWN")
    as_error(register(hs, {"nonce": "x", "username": "x", "password": "x", "mac": "x"}), 400, "M_UNKNOWN")


def test_only_administrators(hs):
    alice = hs.register("alice")
    target = quote(alice.user_id)
    for method, path in (("GET", V2 + "/users"), ("GET", V2 + "/users/" + target), ("PUT", V2 + "/users/" + target),
                         ("POST", V1 + "/users/%s/login" % target), ("POST", V1 + "/deactivate/" + target),
                         ("POST", V1 + "/reset_password/" + target), ("GET", V1 + "/whois/" + target),
                         ("PUT", "/_matrix/client/v1/admin/lock/" + target),
                         ("GET", "/_matrix/client/v1/admin/suspend/" + target)):
        as_error(alice.call(method, path, {} if method != "GET" else None), 403, "M_FORBIDDEN")
        as_error(hs.client().call(method, path, {} if method != "GET" else None), 401, "M_MISSING_TOKEN")


def test_list(server):
    hs = server()
    admin = hs.register("boss", admin=True)
    users = [hs.register("listed") for _ in range(5)]
    answer = admin.ok("GET", V2 + "/users")
    assert answer["total"] == 6 and "next_token" not in answer
    first = [u for u in answer["users"] if u["name"] == admin.user_id][0]
    assert first["admin"] is True and first["deactivated"] is False and first["is_guest"] is False
    assert first["creation_ts"] > 1600000000000
    seen, start = [], "0"
    while start is not None:
        page = admin.ok("GET", V2 + "/users?limit=2&from=" + start)
        assert page["total"] == 6 and len(page["users"]) <= 2
        seen += [u["name"] for u in page["users"]]
        start = page.get("next_token")
    assert len(seen) == len(set(seen)) == 6
    assert admin.ok("GET", V2 + "/users?name=listed")["total"] == 5
    assert admin.ok("GET", V2 + "/users?admins=true")["total"] == 1
    admin.ok("POST", V1 + "/deactivate/" + quote(users[0].user_id))
    assert admin.ok("GET", V2 + "/users")["total"] == 5
    assert admin.ok("GET", V2 + "/users?deactivated=true")["total"] == 6
    for query in ("limit=0", "limit=x", "from=-1", "deactivated=maybe", "limit=100000"):
        as_error(admin.call("GET", V2 + "/users?" + query), 400, "M_INVALID_PARAM")


def test_make_and_change(hs, admin):
    user = "@%s:%s" % (name(), hs.name)
    path = V2 + "/users/" + quote(user)
    as_error(admin.call("GET", path), 404, "M_NOT_FOUND")
    status, made = admin.call("PUT", path, {"password": "first-password"})
    assert status == 201 and made["name"] == user and made["admin"] is False and made["threepids"] == []
    alice = hs.login(user, "first-password")
    status, changed = admin.call("PUT", path, {"admin": True})
    assert status == 200 and changed["admin"] is True
    alice.ok("GET", V2 + "/users?limit=1")
    admin.ok("PUT", path, {"password": "second-password", "admin": False})
    as_error(alice.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    alice = hs.login(user, "second-password")
    as_error(alice.call("GET", V2 + "/users"), 403, "M_FORBIDDEN")
    admin.ok("PUT", path, {"password": "third-password", "logout_devices": False})
    alice.ok("GET", V3 + "/account/whoami")
    assert admin.ok("PUT", path, {"deactivated": True})["deactivated"] is True
    as_error(alice.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    as_error(admin.call("PUT", path, {"deactivated": False}), 400, "M_INVALID_PARAM")
    as_error(admin.call("PUT", path, {"password": "fourth-password"}), 400, "M_UNKNOWN")
    assert admin.ok("PUT", path, {"deactivated": False, "password": "fourth-password"})["deactivated"] is False
    hs.login(user, "fourth-password")


def test_an_account_without_a_password(hs, admin):
    user = "@%s:%s" % (name(), hs.name)
    assert admin.call("PUT", V2 + "/users/" + quote(user), {})[0] == 201
    as_error(hs.client().call("POST", V3 + "/login", password_login(user, "")), 403, "M_FORBIDDEN")
    token = admin.ok("POST", V1 + "/users/%s/login" % quote(user))["access_token"]
    assert Client(hs, token).ok("GET", V3 + "/account/whoami")["user_id"] == user


@pytest.mark.parametrize("body, errcode", [
    ({"password": 5}, "M_BAD_JSON"), ({"password": ""}, "M_INVALID_PARAM"), ({"admin": "yes"}, "M_BAD_JSON"),
    ({"deactivated": 1}, "M_BAD_JSON"), ({"displayname": {}}, "M_BAD_JSON"), ({"locked": None}, "M_BAD_JSON"),
    ({"password": "x" * 5000}, "M_INVALID_PARAM"),
])
def test_bad_changes(hs, admin, body, errcode):
    alice = hs.register("alice")
    as_error(admin.call("PUT", V2 + "/users/" + quote(alice.user_id), body), 400, errcode)


@pytest.mark.parametrize("user", ["nonsense", "@a:elsewhere.example", "@:", "@" + "x" * 300 + ":localhost"])
def test_bad_targets(hs, admin, user):
    for method, path in (("GET", V2 + "/users/%s"), ("PUT", V2 + "/users/%s"), ("GET", V1 + "/whois/%s"),
                         ("POST", V1 + "/deactivate/%s"), ("POST", V1 + "/users/%s/login")):
        as_error(admin.call(method, path % quote(user), {} if method != "GET" else None), 400, "M_INVALID_PARAM")


def test_administrators_do_not_end_themselves(hs, admin):
    path = V2 + "/users/" + quote(admin.user_id)
    for body in ({"admin": False}, {"deactivated": True}, {"locked": True}):
        as_error(admin.call("PUT", path, body), 403, "M_FORBIDDEN")
    as_error(admin.call("POST", V1 + "/users/%s/login" % quote(admin.user_id), {}), 400, "M_UNKNOWN")


def test_log_in_as(hs, admin):
    alice = hs.register("alice")
    path = V1 + "/users/%s/login" % quote(alice.user_id)
    puppet = Client(hs, admin.ok("POST", path)["access_token"])
    who = puppet.ok("GET", V3 + "/account/whoami")
    assert who["user_id"] == alice.user_id and "device_id" not in who
    assert len(alice.ok("GET", V3 + "/devices")["devices"]) == 1
    puppet.ok("POST", V3 + "/logout")
    as_error(puppet.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    alice.ok("GET", V3 + "/account/whoami")
    as_error(admin.call("POST", path, {"valid_until_ms": 1}), 400, "M_INVALID_PARAM")
    as_error(admin.call("POST", path, {"valid_until_ms": "x"}), 400, "M_BAD_JSON")


def test_reset_password(hs, admin):
    alice = hs.register("alice")
    path = V1 + "/reset_password/" + quote(alice.user_id)
    admin.ok("POST", path, {"new_password": "reset-password", "logout_devices": False})
    alice.ok("GET", V3 + "/account/whoami")
    admin.ok("POST", path, {"new_password": "again-password"})
    as_error(alice.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    hs.login(alice.user_id, "again-password")
    as_error(admin.call("POST", path, {}), 400, "M_MISSING_PARAM")
    as_error(admin.call("POST", path, {"new_password": 5}), 400, "M_BAD_JSON")


def test_deactivated_users_leave(hs, admin):
    from myelin import wait_for

    alice, bob = hs.register("alice"), hs.register("bob")
    room = bob.create_room(preset="public_chat")
    alice.join(room)
    assert admin.ok("POST", V1 + "/deactivate/" + quote(alice.user_id), {"erase": False}) == {
        "id_server_unbind_result": "success"}
    admin.ok("POST", V1 + "/deactivate/" + quote(alice.user_id), {})
    as_error(alice.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    wait_for(lambda: bob.state(room, "m.room.member", alice.user_id)["membership"] == "leave", "alice to leave")


def test_lock_and_suspend(hs, admin):
    alice = hs.register("alice")
    lock, suspend = ("/_matrix/client/v1/admin/%s/%s" % (w, quote(alice.user_id)) for w in ("lock", "suspend"))
    assert admin.ok("GET", lock) == {"locked": False}
    assert admin.ok("PUT", lock, {"locked": True}) == {"locked": True}
    status, answer = alice.call("GET", V3 + "/account/whoami")
    assert (status, answer["errcode"], answer["soft_logout"]) == (401, "M_USER_LOCKED", True)
    as_error(hs.client().call("POST", V3 + "/login", password_login(alice.user_id)), 401, "M_USER_LOCKED")
    admin.ok("PUT", lock, {"locked": False})
    alice.ok("GET", V3 + "/account/whoami")
    assert admin.ok("PUT", suspend, {"suspended": True}) == {"suspended": True}
    alice.ok("GET", V3 + "/account/whoami")
    as_error(alice.call("PUT", V3 + "/devices/" + alice.device_id, {"display_name": "x"}), 403, "M_USER_SUSPENDED")
    alice.ok("POST", V3 + "/logout")
    as_error(admin.call("PUT", suspend, {}), 400, "M_MISSING_PARAM")
    as_error(admin.call("PUT", lock, {"locked": 1}), 400, "M_BAD_JSON")
    assert admin.ok("GET", V3 + "/capabilities")["capabilities"]["m.account_moderation"] == {"lock": True, "suspend": True}


def test_whois(hs, admin):
    alice, bob = hs.register("alice"), hs.register("bob")
    alice.ok("GET", V3 + "/account/whoami")
    shown = admin.ok("GET", V1 + "/whois/" + quote(alice.user_id))
    assert shown["user_id"] == alice.user_id
    connection = shown["devices"][alice.device_id]["sessions"][0]["connections"][0]
    assert connection["ip"] == "127.0.0.1" and connection["last_seen"] > 0
    path = V3 + "/admin/whois/" + quote(alice.user_id)
    assert alice.ok("GET", path)["devices"].keys() == shown["devices"].keys()
    as_error(bob.call("GET", path), 403, "M_FORBIDDEN")


def test_server_version(hs):
    assert hs.client().ok("GET", V1 + "/server_version")["server_version"].startswith("Myelin ")


# ---- myelinctl user, with and without a running server ----

@pytest.mark.parametrize("running", [True, False])
def test_myelinctl_user(server, running):
    hs = server()
    if not running:
        assert hs.stop() == 0
    hs.ctl("user", "create", "carol", "--password-stdin", "--admin", stdin="carols-password\n")
    assert hs.ctl("user", "create", "carol", "--password-stdin", stdin="x\n", check=False).returncode != 0
    hs.ctl("user", "create", "dave", "--password-stdin", stdin="daves-password\n")
    hs.ctl("user", "password", "dave", "--password-stdin", stdin="daves-new-password\n")
    assert "@carol:%s" % hs.name in hs.ctl("user", "list").stdout
    hs.ctl("user", "create", "erin", "--password-stdin", stdin="erins-password\n")
    hs.ctl("user", "deactivate", "erin")
    if not running:
        hs.start()
    carol = hs.login("carol", "carols-password")
    assert carol.ok("GET", V2 + "/users/" + quote("@carol:" + hs.name))["admin"] is True
    hs.login("dave", "daves-new-password")
    status, answer = hs.client().call("POST", V3 + "/login", password_login("erin", "erins-password"))
    assert status == 403
