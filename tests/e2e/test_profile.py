"""Profiles: fields, limits, and how rooms learn of them."""

import pytest

from myelin import quote, wait_for

V3 = "/_matrix/client/v3"


def refused(answer, status, errcode):
    assert answer[0] == status and answer[1]["errcode"] == errcode, answer


def path(user, key=None):
    user = user if isinstance(user, str) else user.user_id
    return V3 + "/profile/" + quote(user) + ("/" + quote(key) if key is not None else "")


def put(client, key, value, user=None):
    return client.call("PUT", path(user or client, key), {key: value})


def without_profile(client):
    client.ok("DELETE", path(client, "displayname"))
    return client


@pytest.fixture
def alice(hs):
    return without_profile(hs.register("alice"))


@pytest.fixture
def bob(hs):
    return without_profile(hs.register("bob"))


def test_a_new_user_is_called_by_its_localpart(hs, bob):
    alice = hs.register("alice")
    name = alice.user_id[1:].split(":")[0]
    assert alice.ok("GET", path(alice)) == {"displayname": name}
    room = alice.create_room(preset="public_chat")
    assert alice.state(room, "m.room.member", alice.user_id) == {"membership": "join", "displayname": name}
    bob.join(room)
    found = bob.ok("POST", V3 + "/user_directory/search", {"search_term": name})["results"]
    assert found == [{"user_id": alice.user_id, "display_name": name}]


def test_new_users_may_stay_without_a_name(server):
    hs = server(config="[client-profile]\ndefault_displayname = no\n")
    alice, bob = hs.register("alice"), hs.register("bob")
    assert alice.ok("GET", path(alice)) == {}
    bob.join(alice.create_room(preset="public_chat"))
    found = bob.ok("POST", V3 + "/user_directory/search", {"search_term": alice.user_id})["results"]
    assert found == [{"user_id": alice.user_id}]


def test_fields_are_set_shown_and_removed(hs, alice):
    assert alice.ok("GET", path(alice)) == {}
    refused(alice.call("GET", path(alice, "displayname")), 404, "M_NOT_FOUND")
    assert put(alice, "displayname", "Alice \u00e4\"\n") == (200, {})
    assert put(alice, "avatar_url", "mxc://localhost/abc-_1") == (200, {})
    assert put(alice, "m.tz", "Europe/Berlin") == (200, {})
    assert put(alice, "org.example.thing", {"a": [1, None, True]}) == (200, {})
    assert put(alice, "org.example.null", None) == (200, {})
    everything = {"displayname": "Alice \u00e4\"\n", "avatar_url": "mxc://localhost/abc-_1", "m.tz": "Europe/Berlin",
                  "org.example.thing": {"a": [1, None, True]}, "org.example.null": None}
    assert hs.client().ok("GET", path(alice)) == everything
    for key, value in everything.items():
        assert hs.client().ok("GET", path(alice, key)) == {key: value}
    assert alice.call("DELETE", path(alice, "displayname")) == (200, {})
    assert alice.call("DELETE", path(alice, "displayname")) == (200, {})
    refused(alice.call("GET", path(alice, "displayname")), 404, "M_NOT_FOUND")
    assert "displayname" not in alice.ok("GET", path(alice))


@pytest.mark.parametrize("url", ["https://example.org/a.png?b=c#d", "data:image/png;base64,AAAA", "x-y.z+1:%20\u00e4", "a.png"])
def test_a_picture_may_be_any_uri(alice, url):
    assert put(alice, "avatar_url", url) == (200, {})
    assert alice.ok("GET", path(alice, "avatar_url")) == {"avatar_url": url}


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_name_is_none(alice, value):
    put(alice, "displayname", "A")
    put(alice, "avatar_url", "mxc://localhost/a")
    assert put(alice, "displayname", value)[0] == 200 and put(alice, "avatar_url", value)[0] == 200
    assert alice.ok("GET", path(alice)) == {}


def test_profiles_of_others_are_theirs(hs, alice, bob):
    refused(put(bob, "displayname", "x", alice), 403, "M_FORBIDDEN")
    refused(bob.call("DELETE", path(alice, "displayname")), 403, "M_FORBIDDEN")
    refused(hs.client().call("PUT", path(alice, "displayname"), {"displayname": "x"}), 401, "M_MISSING_TOKEN")
    admin = hs.register("admin", admin=True)
    assert put(admin, "displayname", "by admin", alice)[0] == 200
    assert alice.ok("GET", path(alice, "displayname")) == {"displayname": "by admin"}


def test_users_that_are_not(alice):
    refused(alice.call("GET", path("@nobody:localhost")), 404, "M_NOT_FOUND")
    refused(alice.call("GET", path("@bob:elsewhere.example")), 404, "M_NOT_FOUND")
    refused(alice.call("GET", path("nonsense")), 400, "M_INVALID_PARAM")
    refused(alice.call("GET", path("@nobody:localhost", "displayname")), 404, "M_NOT_FOUND")


@pytest.mark.parametrize("key,value,errcode", [
    ("displayname", 1, "M_BAD_JSON"), ("displayname", ["a"], "M_BAD_JSON"), ("displayname", "x" * 2000, "M_INVALID_PARAM"),
    ("avatar_url", 1, "M_BAD_JSON"), ("avatar_url", "http://a b", "M_INVALID_PARAM"),
    ("avatar_url", "http://a\0b", "M_INVALID_PARAM"), ("avatar_url", "<x>", "M_INVALID_PARAM"),
    ("avatar_url", "mxc://", "M_INVALID_PARAM"), ("avatar_url", "mxc://localhost", "M_INVALID_PARAM"),
    ("avatar_url", "mxc://localhost/../x", "M_INVALID_PARAM"), ("avatar_url", "mxc://localhost/" + "x" * 2000, "M_INVALID_PARAM"),
    ("m.tz", 3, "M_BAD_JSON"), ("Upper", "x", "M_INVALID_PARAM"), ("1digit", "x", "M_INVALID_PARAM"),
    ("sp ace", "x", "M_INVALID_PARAM"), (".dot", "x", "M_INVALID_PARAM"), ("a\u00e4", "x", "M_INVALID_PARAM"),
    ("a\0", "x", "M_INVALID_PARAM"), ("a" * 256, "x", "M_KEY_TOO_LARGE"), ("org.example.big", "x" * 70000, None)])
def test_values_that_cannot_be(alice, key, value, errcode):
    status, answer = put(alice, key, value)
    if errcode is None:
        assert (status, answer["errcode"]) in ((400, "M_PROFILE_TOO_LARGE"), (413, "M_TOO_LARGE"))
    else:
        refused((status, answer), 400, errcode)
    assert alice.ok("GET", path(alice)) == {}


@pytest.mark.parametrize("body,errcode", [("{}", "M_MISSING_PARAM"), ('{"other":"x"}', "M_MISSING_PARAM"), ("[]", "M_BAD_JSON"),
                                          ("{", "M_NOT_JSON"), ('{"displayname":"\\ud800"}', "M_NOT_JSON")])
def test_bodies_that_cannot_be(alice, body, errcode):
    refused(alice.call("PUT", path(alice, "displayname"), body), 400, errcode)


def test_a_profile_has_64_kib(alice):
    for i in range(6):
        assert put(alice, "org.example.f%d" % i, "x" * 10000)[0] == 200
    refused(put(alice, "org.example.f6", "x" * 10000), 400, "M_PROFILE_TOO_LARGE")
    assert put(alice, "org.example.f5", "x" * 10001)[0] == 200  # what it replaces does not count
    alice.ok("DELETE", path(alice, "org.example.f0"))
    assert put(alice, "org.example.f6", "x" * 10000)[0] == 200


def member(client, room, user):
    return client.state(room, "m.room.member", user.user_id)


def test_rooms_learn_of_a_new_name(alice, bob):
    rooms = [alice.create_room(preset="public_chat") for _ in range(3)]
    left, invited = alice.create_room(preset="public_chat"), alice.create_room(invite=[bob.user_id])
    for room in rooms + [left]:
        bob.join(room)
    bob.leave(left)
    put(bob, "displayname", "Bobby")
    put(bob, "avatar_url", "mxc://localhost/b")
    for room in rooms:
        wait_for(lambda: member(alice, room, bob) == {
            "membership": "join", "displayname": "Bobby", "avatar_url": "mxc://localhost/b"}, "the room to learn")
    assert "displayname" not in member(alice, left, bob)
    assert "displayname" not in member(alice, invited, bob)
    bob.ok("DELETE", path(bob, "displayname"))
    for room in rooms:
        wait_for(lambda: "displayname" not in member(alice, room, bob), "the room to learn")


def test_other_fields_make_no_events(alice):
    room = alice.create_room()
    token = alice.sync()["next_batch"]
    put(alice, "org.example.x", 1)
    put(alice, "m.tz", "UTC")
    put(alice, "displayname", "A")
    wait_for(lambda: member(alice, room, alice).get("displayname") == "A", "the room to learn")
    events = alice.messages(room, dir="f", **{"from": token})["chunk"]
    assert [e["type"] for e in events] == ["m.room.member"]
    put(alice, "displayname", "A")  # the same again
    put(alice, "displayname", "B")
    wait_for(lambda: member(alice, room, alice).get("displayname") == "B", "the room to learn")
    assert len(alice.messages(room, dir="f", **{"from": token})["chunk"]) == 2


def test_many_rooms_learn_in_batches(server):
    hs = server(config="[client-profile]\nspread_batch = 2\n")
    alice = hs.register("alice")
    rooms = [alice.create_room() for _ in range(7)]
    for name in ("one", "two", "three"):
        put(alice, "displayname", name)
    for room in rooms:
        wait_for(lambda: member(alice, room, alice).get("displayname") == "three", "the room to learn")


def test_members_come_with_their_profile(alice, bob):
    put(alice, "displayname", "Alice")
    put(bob, "displayname", "Bob")
    room = alice.create_room(preset="public_chat", invite=[bob.user_id])
    assert member(alice, room, alice) == {"membership": "join", "displayname": "Alice"}
    assert member(alice, room, bob) == {"membership": "invite", "displayname": "Bob"}
    bob.join(room)
    assert member(alice, room, bob) == {"membership": "join", "displayname": "Bob"}
    joined = alice.ok("GET", alice.room(room, "joined_members"))["joined"]
    assert joined == {alice.user_id: {"display_name": "Alice", "avatar_url": ""},
                      bob.user_id: {"display_name": "Bob", "avatar_url": ""}}


def test_rooms_learn_even_when_the_server_dies(server):
    hs = server(config="[client-profile]\nspread_batch = 1\n")
    alice = hs.register("alice")
    rooms = [alice.create_room() for _ in range(20)]
    put(alice, "displayname", "after the crash")
    hs.kill()
    hs.start()
    alice = hs.login(alice.user_id)
    for room in rooms:
        wait_for(lambda: member(alice, room, alice).get("displayname") == "after the crash", "the room to learn", 90)


def test_profiles_may_be_for_users_only(server):
    hs = server(config="[client-profile]\nrequire_login = yes\n")
    alice, bob = hs.register("alice"), hs.register("bob")
    put(alice, "displayname", "A")
    refused(hs.client().call("GET", path(alice)), 401, "M_MISSING_TOKEN")
    assert bob.ok("GET", path(alice)) == {"displayname": "A"}


def test_profiles_may_be_for_who_shares_a_room(server):
    hs = server(config="[client-profile]\nshared_rooms_only = yes\n")
    alice, bob = hs.register("alice"), hs.register("bob")
    refused(bob.call("GET", path(alice)), 403, "M_FORBIDDEN")
    alice.ok("GET", path(alice))
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    bob.ok("GET", path(alice))


def test_capabilities(alice):
    capabilities = alice.ok("GET", V3 + "/capabilities")["capabilities"]
    assert capabilities["m.set_displayname"] == {"enabled": True}
    assert capabilities["m.set_avatar_url"] == {"enabled": True}
    assert capabilities["m.profile_fields"] == {"enabled": True}
