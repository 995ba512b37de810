"""A user's own account: password, deactivation, OpenID, and what the server says it can."""

import time

import pytest

from myelin import PASSWORD, Client, quote, wait_for
from test_session import as_error, confirm, password_login

V3 = "/_matrix/client/v3"
NEW = "another-fine-password"


def test_versions(hs):
    answer = hs.client().ok("GET", "/_matrix/client/versions")
    assert answer["versions"][:2] == ["r0.6.1", "v1.1"]
    assert isinstance(answer["unstable_features"], dict)
    assert all(isinstance(on, bool) for on in answer["unstable_features"].values())
    as_error(Client(hs, "nope").call("GET", "/_matrix/client/versions"), 401, "M_UNKNOWN_TOKEN")


# What each version brought that clients choose by it.
BROUGHT = {"v1.2": ("GET", "/_matrix/client/v1/rooms/!r:x/hierarchy"), "v1.3": ("GET", "/_matrix/client/v1/rooms/!r:x/relations/$e"),
           "v1.4": ("GET", "/_matrix/client/v1/rooms/!r:x/threads"), "v1.5": None,
           "v1.6": ("GET", "/_matrix/client/v1/rooms/!r:x/timestamp_to_event"), "v1.7": ("POST", "/_matrix/media/v1/create"),
           "v1.8": None, "v1.9": None, "v1.10": None, "v1.11": ("GET", "/_matrix/client/v1/media/download/x/y"), "v1.12": None}


def test_versions_promise_what_is_there(hs):
    """A version is named as long as it and all before it are served: no client is sent to what is not there."""
    named = hs.client().ok("GET", "/_matrix/client/versions")["versions"]
    expected = ["r0.6.1", "v1.1"]
    for version, route in BROUGHT.items():
        if route and hs.client().call(*route)[1]["errcode"] == "M_UNRECOGNIZED":
            break
        expected.append(version)
    assert named == expected


def test_private_receipts_are_found_below_their_version(server):
    features = lambda hs: hs.client().ok("GET", "/_matrix/client/versions")["unstable_features"]
    assert features(server())["org.matrix.msc2285.stable"] is True
    assert "org.matrix.msc2285.stable" not in features(server(config="[client-receipts]\nenabled = no\n"))


def test_capabilities(hs):
    as_error(hs.client().call("GET", V3 + "/capabilities"), 401, "M_MISSING_TOKEN")
    have = hs.register("alice").ok("GET", V3 + "/capabilities")["capabilities"]
    assert have["m.change_password"] == {"enabled": True}
    assert have["m.3pid_changes"] == {"enabled": False}
    versions = have["m.room_versions"]
    assert versions["available"][versions["default"]] == "stable" and "10" in versions["available"]


def test_well_known(server):
    hs = server()
    as_error(hs.client().call("GET", "/.well-known/matrix/client"), 404, "M_NOT_FOUND")
    as_error(hs.client().call("GET", "/.well-known/matrix/support"), 404, "M_NOT_FOUND")
    hs = server("\n[server]\npublic_url = https://matrix.example.org\n\n[client-discovery]\n"
                "support_email = admin@example.org\nsupport_page = https://example.org/help\n")
    assert hs.client().ok("GET", "/.well-known/matrix/client")["m.homeserver"] == {"base_url": "https://matrix.example.org"}
    support = hs.client().ok("GET", "/.well-known/matrix/support")
    assert support == {"contacts": [{"email_address": "admin@example.org", "role": "m.role.admin"}],
                       "support_page": "https://example.org/help"}
    alice = hs.register("alice")
    answer = hs.client().ok("POST", V3 + "/login", password_login(alice.user_id))
    assert answer["well_known"]["m.homeserver"]["base_url"] == "https://matrix.example.org"


def test_change_password(hs):
    alice = hs.register("alice")
    phone = hs.login(alice.user_id)
    assert confirm(alice, "POST", V3 + "/account/password", {"new_password": NEW}) == (200, {})
    alice.ok("GET", V3 + "/account/whoami")
    as_error(phone.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    as_error(hs.client().call("POST", V3 + "/login", password_login(alice.user_id)), 403, "M_FORBIDDEN")
    phone = hs.login(alice.user_id, NEW)
    status, _ = confirm(alice, "POST", V3 + "/account/password", {"new_password": PASSWORD, "logout_devices": False}, NEW)
    assert status == 200
    phone.ok("GET", V3 + "/account/whoami")


@pytest.mark.parametrize("body, status, errcode", [
    ({"new_password": 5}, 400, "M_BAD_JSON"),
    ({"new_password": "short"}, 400, "M_WEAK_PASSWORD"),
    ({"new_password": ""}, 400, "M_WEAK_PASSWORD"),
    ({"new_password": "x" * 5000}, 400, "M_INVALID_PARAM"),
    ({"new_password": NEW, "logout_devices": "no"}, 400, "M_BAD_JSON"),
    ({"auth": {"type": "m.login.password", "password": PASSWORD}}, 400, "M_MISSING_PARAM"),
])
def test_bad_password_changes(hs, body, status, errcode):
    alice = hs.register("alice")
    as_error(alice.call("POST", V3 + "/account/password", body), status, errcode)
    hs.login(alice.user_id)


def test_a_wrong_password_changes_nothing(hs):
    alice = hs.register("alice")
    status, answer = confirm(alice, "POST", V3 + "/account/password", {"new_password": NEW}, "wrong")
    assert (status, answer["errcode"]) == (401, "M_FORBIDDEN")
    as_error(hs.client().call("POST", V3 + "/account/password", {"new_password": NEW}), 401, "M_MISSING_TOKEN")
    hs.login(alice.user_id)


def test_who_comes_after_an_erasure_is_given_redacted_events(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    room = bob.create_room(preset="public_chat")
    alice.join(room)
    event = alice.send(room, "for those who are here")
    status, answer = confirm(alice, "POST", V3 + "/account/deactivate", {"erase": True})
    assert status == 200, answer
    path = bob.room(room, "event/" + quote(event))
    wait_for(lambda: bob.state(room, "m.room.member", alice.user_id)["membership"] == "leave", "alice to leave")
    newcomers = []

    def redacted():
        # The erasure follows upon leaving the rooms; who has come before it may see what was there.
        newcomers.append(hs.register("carol"))
        newcomers[-1].join(room)
        return newcomers[-1].ok("GET", path)["content"] == {}

    wait_for(redacted, "the erasure")
    chunk = newcomers[-1].messages(room, dir="b", limit=50)["chunk"]
    assert [e["content"] for e in chunk if e["event_id"] == event] == [{}]
    assert bob.ok("GET", path)["content"]["body"] == "for those who are here"


def test_deactivate(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    phone = hs.login(alice.user_id)
    room = bob.create_room(preset="public_chat")
    invited = bob.create_room(invite=[alice.user_id])
    alice.join(room)
    status, answer = confirm(alice, "POST", V3 + "/account/deactivate", {"erase": True})
    assert (status, answer["id_server_unbind_result"]) == (200, "no-support")
    for client in (alice, phone):
        as_error(client.call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    status, answer = hs.client().call("POST", V3 + "/login", password_login(alice.user_id))
    assert status == 403 and answer["errcode"] in ("M_FORBIDDEN", "M_USER_DEACTIVATED")
    for r in (room, invited):
        wait_for(lambda: bob.state(r, "m.room.member", alice.user_id)["membership"] == "leave", "alice to leave")
    # The name is never given again.
    local = alice.user_id[1:].split(":")[0]
    as_error(hs.client().call("GET", V3 + "/register/available?username=" + local), 400, "M_USER_IN_USE")


def test_bad_deactivations(hs):
    alice = hs.register("alice")
    as_error(alice.call("POST", V3 + "/account/deactivate", {"erase": "yes"}), 400, "M_BAD_JSON")
    as_error(alice.call("POST", V3 + "/account/deactivate", {"id_server": 1}), 400, "M_BAD_JSON")
    assert alice.call("POST", V3 + "/account/deactivate", {})[0] == 401
    as_error(hs.client().call("POST", V3 + "/account/deactivate", {}), 401, "M_MISSING_TOKEN")
    alice.ok("GET", V3 + "/account/whoami")


def addresses(client):
    return [(t["medium"], t["address"]) for t in client.ok("GET", V3 + "/account/3pid")["threepids"]]


def set_addresses(admin, user_id, *pairs):
    return admin.call("PUT", "/_synapse/admin/v2/users/" + quote(user_id),
                      {"threepids": [{"medium": m, "address": a} for m, a in pairs]})


def test_administrators_give_addresses(hs):
    admin, alice, bob = hs.register("admin", admin=True), hs.register("alice"), hs.register("bob")
    assert alice.ok("GET", V3 + "/account/3pid") == {"threepids": []}
    mail = "Mixed.Case.%s@Example.ORG" % alice.user_id[1:].split(":")[0]
    number = "49%011d" % hs.port
    status, answer = set_addresses(admin, alice.user_id, ("msisdn", number), ("email", mail))
    assert status == 200
    found = answer["threepids"]
    assert found == alice.ok("GET", V3 + "/account/3pid")["threepids"]
    assert [(t["medium"], t["address"]) for t in found] == [("email", mail.lower()), ("msisdn", number)]
    assert all(0 < t["added_at"] <= time.time() * 1000 and t["validated_at"] == t["added_at"] for t in found)
    owner = "/_synapse/admin/v1/threepid/email/users/"
    assert admin.ok("GET", owner + quote(mail.upper())) == {"user_id": alice.user_id}
    as_error(admin.call("GET", owner + "nobody%40example.org"), 404, "M_NOT_FOUND")
    as_error(alice.call("GET", owner + quote(mail)), 403, "M_FORBIDDEN")
    as_error(set_addresses(admin, bob.user_id, ("email", mail)), 400, "M_THREEPID_IN_USE")
    # Refused before anything is done: there is no new account, and no new password.
    path, taken = "/_synapse/admin/v2/users/", [{"medium": "email", "address": mail}]
    new = "@new-%s" % alice.user_id[1:]
    as_error(admin.call("PUT", path + quote(new), {"password": NEW, "threepids": taken}), 400, "M_THREEPID_IN_USE")
    as_error(admin.call("GET", path + quote(new)), 404, "M_NOT_FOUND")
    as_error(admin.call("PUT", path + quote(bob.user_id), {"password": NEW, "threepids": taken}), 400, "M_THREEPID_IN_USE")
    assert hs.login(bob.user_id).user_id == bob.user_id
    assert addresses(bob) == []
    # What stays keeps its times; what is not named goes.
    time.sleep(0.002)
    assert set_addresses(admin, alice.user_id, ("email", mail))[1]["threepids"] == found[:1]
    # Who has a password logs in by it.
    login = lambda address, password=PASSWORD: hs.client().call("POST", V3 + "/login", {
        "type": "m.login.password", "password": password,
        "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": address}})
    assert login(mail)[1]["user_id"] == alice.user_id
    for wrong in (login(mail, "wrong"), login("nobody@example.org"), login(bob.user_id), login("bob")):
        as_error(wrong, 403, "M_FORBIDDEN")
    assert alice.ok("POST", V3 + "/account/3pid/delete", {"medium": "email", "address": mail}) == {"id_server_unbind_result": "no-support"}
    assert addresses(alice) == []
    as_error(login(mail), 403, "M_FORBIDDEN")
    set_addresses(admin, alice.user_id, ("email", mail))
    admin.ok("POST", "/_synapse/admin/v1/deactivate/" + quote(alice.user_id), {})
    as_error(admin.call("GET", owner + quote(mail)), 404, "M_NOT_FOUND")
    assert set_addresses(admin, bob.user_id, ("email", mail))[0] == 200


@pytest.mark.parametrize("pair", [("email", "x"), ("email", "@x"), ("email", "a@b@c"), ("email", "a b@c"), ("email", "x" * 500 + "@y"),
                                  ("msisdn", "+49123"), ("msisdn", ""), ("msisdn", "1" * 16), ("fax", "1")])
def test_addresses_that_are_none(hs, pair):
    admin, alice = hs.register("admin", admin=True), hs.register("alice")
    as_error(set_addresses(admin, alice.user_id, pair), 400, "M_INVALID_PARAM")
    as_error(alice.call("POST", V3 + "/account/3pid/delete", {"medium": pair[0], "address": pair[1]}), 400, "M_INVALID_PARAM")


def test_without_mail_and_identity_servers(hs):
    alice = hs.register("alice")
    secret = {"client_secret": "s3cret", "sid": "1"}
    creds = {**secret, "id_server": "id.example.org", "id_access_token": "t"}
    call = lambda path, body: alice.call("POST", V3 + "/account/3pid" + path, body)
    as_error(call("", {"three_pid_creds": creds}), 400, "M_SERVER_NOT_TRUSTED")
    as_error(call("/bind", creds), 400, "M_SERVER_NOT_TRUSTED")
    as_error(call("/add", secret), 403, "M_THREEPID_AUTH_FAILED")
    assert call("/unbind", {"medium": "email", "address": "a@b"}) == (200, {"id_server_unbind_result": "no-support"})
    for path in ("", "/bind", "/add", "/unbind", "/delete"):
        as_error(call(path, {}), 400, "M_MISSING_PARAM")
        as_error(hs.client().call("POST", V3 + "/account/3pid" + path, {}), 401, "M_MISSING_TOKEN")
    mail = {"client_secret": "s", "email": "a@example.org", "send_attempt": 1}
    phone = {"client_secret": "s", "country": "GB", "phone_number": "07700900001", "send_attempt": 1}
    for of in ("account/3pid", "account/password", "register"):
        for medium, body in (("email", mail), ("msisdn", phone)):
            path = V3 + "/%s/%s/requestToken" % (of, medium)
            as_error(hs.client().call("POST", path, body), 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED")
            as_error(hs.client().call("POST", path, {**body, "send_attempt": "1"}), 400, "M_BAD_JSON")
            as_error(hs.client().call("POST", path, {}), 400, "M_MISSING_PARAM")


def test_administration_without_the_module_of_addresses(server):
    hs = server(config="[client-account]\nenabled = no\n")
    admin = hs.register("admin", admin=True)
    assert admin.ok("GET", "/_synapse/admin/v2/users/" + quote(admin.user_id))["threepids"] == []
    as_error(set_addresses(admin, admin.user_id, ("email", "a@b")), 400, "M_INVALID_PARAM")
    as_error(admin.call("GET", V3 + "/account/3pid"), 404, "M_UNRECOGNIZED")
    as_error(hs.client().call("POST", V3 + "/login", {"type": "m.login.password", "password": "x", "identifier": {
        "type": "m.id.thirdparty", "medium": "email", "address": "a@b"}}), 403, "M_FORBIDDEN")


def test_openid(hs):
    alice, bob = hs.register("alice"), hs.register("bob")
    made = alice.ok("POST", V3 + "/user/%s/openid/request_token" % quote(alice.user_id), {})
    assert made["token_type"] == "Bearer" and made["matrix_server_name"] == hs.name and made["expires_in"] > 0
    info = "/_matrix/federation/v1/openid/userinfo"
    assert hs.client().ok("GET", info + "?access_token=" + made["access_token"]) == {"sub": alice.user_id}
    as_error(hs.client().call("GET", info + "?access_token=nope"), 401, "M_UNKNOWN_TOKEN")
    as_error(hs.client().call("GET", info), 401, "M_MISSING_TOKEN")
    # It is no access token, and nobody gets one for somebody else.
    as_error(Client(hs, made["access_token"]).call("GET", V3 + "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    as_error(bob.call("POST", V3 + "/user/%s/openid/request_token" % quote(alice.user_id), {}), 403, "M_FORBIDDEN")


def test_logging_in_costs_its_hash_and_delays_nobody(server):
    """Hashes run in their own pool: others are answered while many log in."""
    import threading

    hs = server(set={"auth-password.memory": "19M", "auth-password.operations": "2"})
    alice = hs.register("alice")
    stop = threading.Event()

    def log_in():
        while not stop.is_set():
            hs.client().ok("POST", V3 + "/login", password_login(alice.user_id))

    threads = [threading.Thread(target=log_in) for _ in range(4)]
    for t in threads:
        t.start()
    time.sleep(0.3)
    slowest = 0
    for _ in range(50):
        begun = time.monotonic()
        alice.ok("GET", V3 + "/account/whoami")
        slowest = max(slowest, time.monotonic() - begun)
    stop.set()
    for t in threads:
        t.join()
    assert slowest < 1.0
