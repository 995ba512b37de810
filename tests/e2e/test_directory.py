"""Room aliases, the list of public rooms, finding users."""

import itertools
import threading

import pytest

from myelin import quote

V3 = "/_matrix/client/v3"
numbers = itertools.count(1)


def refused(answer, status, errcode):
    assert answer[0] == status and answer[1]["errcode"] == errcode, answer


def new_alias(hs):
    return "#dir%d-%d:localhost" % (hs.port, next(numbers))


def path(alias):
    return V3 + "/directory/room/" + quote(alias)


@pytest.fixture
def alice(hs):
    return hs.register("alice")


@pytest.fixture
def bob(hs):
    return hs.register("bob")


# ---- aliases ----

def test_an_alias_leads_to_its_room(hs, alice):
    room, alias = alice.create_room(), new_alias(hs)
    refused(alice.call("GET", path(alias)), 404, "M_NOT_FOUND")
    assert alice.ok("PUT", path(alias), {"room_id": room}) == {}
    assert hs.client().ok("GET", path(alias)) == {"room_id": room, "servers": ["localhost"]}
    refused(alice.call("PUT", path(alias), {"room_id": alice.create_room()}), 409, "M_UNKNOWN")
    refused(alice.call("PUT", path(alias), {"room_id": room}), 409, "M_UNKNOWN")
    assert alice.ok("GET", alice.room(room, "aliases")) == {"aliases": [alias]}
    assert alice.ok("DELETE", path(alias)) == {}
    refused(alice.call("DELETE", path(alias)), 404, "M_NOT_FOUND")
    assert alice.ok("GET", alice.room(room, "aliases")) == {"aliases": []}


@pytest.mark.parametrize("alias", ["#\u00e4\u20ac caf\u00e9", "#a/b", "#A", "#a", "#%41", "#a?b#c"])
def test_odd_aliases(hs, alice, alias):
    room, alias = alice.create_room(), alias + str(next(numbers)) + ":localhost"
    alice.ok("PUT", path(alias), {"room_id": room})
    assert alice.ok("GET", path(alias))["room_id"] == room
    alice.ok("DELETE", path(alias))


@pytest.mark.parametrize("alias", ["nonsense", "#nocolon", "#x:elsewhere.example", "#" + "x" * 300 + ":localhost", "#a\0b:localhost",
                                   "!room:localhost", "#a:", "@user:localhost"])
def test_aliases_that_cannot_be(alice, alias):
    refused(alice.call("PUT", path(alias), {"room_id": alice.create_room()}), 400, "M_INVALID_PARAM")


def test_an_alias_of_another_server_is_unknown(alice):
    refused(alice.call("GET", path("#x:elsewhere.example")), 404, "M_NOT_FOUND")
    refused(alice.call("GET", path("nonsense")), 400, "M_INVALID_PARAM")


def test_only_members_name_a_room(hs, alice, bob):
    room = alice.create_room(preset="public_chat")
    put = lambda body: bob.call("PUT", path(new_alias(hs)), body)
    refused(put({"room_id": room}), 403, "M_FORBIDDEN")
    refused(put({"room_id": "!unknown:localhost"}), 403, "M_FORBIDDEN")
    refused(put({"room_id": "nonsense"}), 400, "M_INVALID_PARAM")
    refused(put({"room_id": 1}), 400, "M_BAD_JSON")
    refused(put({}), 400, "M_MISSING_PARAM")
    bob.join(room)
    assert put({"room_id": room})[0] == 200
    refused(hs.client().call("PUT", path(new_alias(hs)), {"room_id": room}), 401, "M_MISSING_TOKEN")


def test_who_removes_an_alias(hs, alice, bob):
    carol = hs.register("carol")
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    carol.join(room)
    by_bob, by_alice = new_alias(hs), new_alias(hs)
    bob.ok("PUT", path(by_bob), {"room_id": room})
    alice.ok("PUT", path(by_alice), {"room_id": room})
    refused(carol.call("DELETE", path(by_bob)), 403, "M_FORBIDDEN")
    refused(bob.call("DELETE", path(by_alice)), 403, "M_FORBIDDEN")
    assert alice.ok("DELETE", path(by_bob)) == {}  # has the power to change the main alias
    by_bob = new_alias(hs)
    bob.ok("PUT", path(by_bob), {"room_id": room})
    bob.leave(room)
    assert bob.ok("DELETE", path(by_bob)) == {}  # made it


def test_a_removed_alias_is_no_longer_named_by_its_room(hs, alice, bob):
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    first, second, by_bob = new_alias(hs), new_alias(hs), new_alias(hs)
    for client, alias in ((alice, first), (alice, second), (bob, by_bob)):
        client.ok("PUT", path(alias), {"room_id": room})
    alice.set_state(room, "m.room.canonical_alias", {"alias": first, "alt_aliases": [second, first, by_bob], "x": 1})
    named = lambda: alice.state(room, "m.room.canonical_alias")
    alice.ok("DELETE", path(first))
    assert named() == {"alt_aliases": [second, by_bob], "x": 1}
    bob.ok("DELETE", path(by_bob))  # made it, but has no power over what the room says
    assert named() == {"alt_aliases": [second, by_bob], "x": 1}
    alice.set_state(room, "m.room.canonical_alias", {"alias": second, "alt_aliases": [second]})
    alice.ok("DELETE", path(second))
    assert named() == {}


def test_aliases_are_listed_for_members(alice, bob):
    room = alice.create_room()
    refused(bob.call("GET", bob.room(room, "aliases")), 403, "M_FORBIDDEN")
    refused(bob.call("GET", bob.room("!unknown:localhost", "aliases")), 403, "M_FORBIDDEN")
    alice.set_state(room, "m.room.history_visibility", {"history_visibility": "world_readable"})
    assert bob.ok("GET", bob.room(room, "aliases")) == {"aliases": []}


def test_a_new_room_takes_its_alias_or_is_not_made(hs, alice):
    alias = new_alias(hs)
    name = alias[1:].split(":")[0]
    room = alice.create_room(room_alias_name=name)
    assert alice.ok("GET", path(alias))["room_id"] == room
    assert alice.state(room, "m.room.canonical_alias") == {"alias": alias}
    refused(alice.call("POST", V3 + "/createRoom", {"room_alias_name": name}), 400, "M_ROOM_IN_USE")
    assert alice.ok("GET", V3 + "/joined_rooms")["joined_rooms"] == [room]


def test_an_alias_is_free_again_when_its_room_is_not_made(hs, alice):
    alias = new_alias(hs)
    name = alias[1:].split(":")[0]
    body = {"room_alias_name": name, "power_level_content_override": {"ban": "x"}}
    refused(alice.call("POST", V3 + "/createRoom", body), 400, "M_INVALID_ROOM_STATE")
    alice.create_room(room_alias_name=name)


def test_one_of_many_gets_the_alias(hs, alice):
    name, answers = new_alias(hs)[1:].split(":")[0], []
    threads = [threading.Thread(target=lambda: answers.append(
        alice.call("POST", V3 + "/createRoom", {"room_alias_name": name}))) for _ in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(status for status, _ in answers) == [200] + [400] * 5
    assert len(alice.ok("GET", V3 + "/joined_rooms")["joined_rooms"]) == 1


# ---- the public list ----

def visible(client, room):
    return client.ok("GET", V3 + "/directory/list/room/" + quote(room))["visibility"]


def test_publishing(hs, alice, bob):
    room = alice.create_room(preset="public_chat")
    where = V3 + "/directory/list/room/" + quote(room)
    assert visible(hs.client(), room) == "private"
    assert alice.ok("PUT", where, {"visibility": "public"}) == {}
    assert visible(alice, room) == "public"
    assert alice.ok("PUT", where, {"visibility": "private"}) == {}
    assert visible(alice, room) == "private"
    assert alice.ok("PUT", where, {}) == {}
    assert visible(alice, room) == "public"
    refused(bob.call("PUT", where, {"visibility": "private"}), 403, "M_FORBIDDEN")
    bob.join(room)
    refused(bob.call("PUT", where, {"visibility": "private"}), 403, "M_FORBIDDEN")
    refused(alice.call("PUT", where, {"visibility": "secret"}), 400, "M_INVALID_PARAM")
    refused(alice.call("PUT", where, {"visibility": 1}), 400, "M_BAD_JSON")
    refused(alice.call("GET", V3 + "/directory/list/room/" + quote("!unknown:localhost")), 404, "M_NOT_FOUND")
    refused(alice.call("PUT", V3 + "/directory/list/room/" + quote("!unknown:localhost"), {}), 404, "M_NOT_FOUND")
    refused(alice.call("GET", V3 + "/directory/list/room/nonsense"), 400, "M_INVALID_PARAM")


def search(client, **body):
    return client.ok("POST", V3 + "/publicRooms", body)


def test_a_room_in_the_list(hs, alice):
    word = "word%d" % next(numbers)
    room = alice.create_room(visibility="public", name="The \u00c4pfel " + word, topic="fruit",
                             room_alias_name=new_alias(hs)[1:].split(":")[0], initial_state=[
                                 {"type": "m.room.avatar", "content": {"url": "mxc://localhost/abc"}},
                                 {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}},
                                 {"type": "m.room.guest_access", "content": {"guest_access": "can_join"}}])
    answer = search(alice, filter={"generic_search_term": word})
    assert answer["chunk"] == [{
        "room_id": room, "name": "The \u00c4pfel " + word, "topic": "fruit", "avatar_url": "mxc://localhost/abc",
        "canonical_alias": alice.state(room, "m.room.canonical_alias")["alias"], "join_rule": "public",
        "num_joined_members": 1, "world_readable": True, "guest_can_join": True}]
    assert "next_batch" not in answer and "prev_batch" not in answer and answer["total_room_count_estimate"] == 1
    for term in ("\u00e4PFEL " + word.upper(), "the \u00e4"):
        assert room in [r["room_id"] for r in search(alice, filter={"generic_search_term": term})["chunk"]]
    assert room in [r["room_id"] for r in hs.client().ok("GET", V3 + "/publicRooms?limit=100")["chunk"]]
    alice.ok("PUT", V3 + "/directory/list/room/" + quote(room), {"visibility": "private"})
    assert search(alice, filter={"generic_search_term": word})["chunk"] == []


def test_room_types(alice):
    word = "type%d" % next(numbers)
    plain = alice.create_room(visibility="public", name=word)
    space = alice.create_room(visibility="public", name=word, creation_content={"type": "m.space"})
    get = lambda types: {r["room_id"] for r in search(alice, filter={"generic_search_term": word, "room_types": types})["chunk"]}
    assert get([None]) == {plain} and get(["m.space"]) == {space} and get([None, "m.space"]) == {plain, space}
    assert get(None) == {plain, space} and get([]) == set() and get(["org.example"]) == set()


def test_paging(server):
    hs = server(config="[client-directory]\nlist_age = 0s\n")
    alice, others = hs.register("alice"), [hs.register("bob") for _ in range(3)]
    rooms = [alice.create_room(visibility="public", name="r%d" % i) for i in range(7)]
    for i, other in enumerate(others):
        for room in rooms[i:3]:
            other.join(room)
    expected = [rooms[2], rooms[1], rooms[0]] + rooms[3:]
    seen, since, tokens = [], None, []
    while True:
        query = "?limit=2" + ("&since=" + quote(since) if since else "")
        answer = hs.client().ok("GET", V3 + "/publicRooms" + query)
        seen.append([r["room_id"] for r in answer["chunk"]])
        tokens.append(answer.get("prev_batch"))
        assert answer["total_room_count_estimate"] == 7
        if "next_batch" not in answer:
            break
        since = answer["next_batch"]
    assert [r for page in seen for r in page] == expected and len(seen) == 4
    assert tokens[0] is None
    back = hs.client().ok("GET", V3 + "/publicRooms?limit=2&since=" + quote(tokens[2]))
    assert [r["room_id"] for r in back["chunk"]] == seen[1]
    back = hs.client().ok("GET", V3 + "/publicRooms?limit=2&since=" + quote(back["prev_batch"]))
    assert [r["room_id"] for r in back["chunk"]] == seen[0] and "prev_batch" not in back
    assert [r["room_id"] for r in search(alice, limit=3)["chunk"]] == expected[:3]
    assert search(alice, limit=0)["chunk"] == []


@pytest.mark.parametrize("body", [{"limit": "x"}, {"limit": -1}, {"since": 1}, {"since": "x"}, {"since": "n1"}, {"filter": []},
                                  {"filter": {"generic_search_term": 1}}, {"filter": {"room_types": "m.space"}}])
def test_lists_that_cannot_be(alice, body):
    status, answer = alice.call("POST", V3 + "/publicRooms", body)
    assert status == 400 and answer["errcode"] in ("M_BAD_JSON", "M_INVALID_PARAM")


def test_other_lists(hs, alice):
    assert alice.ok("GET", V3 + "/publicRooms?server=localhost")
    refused(alice.call("GET", V3 + "/publicRooms?server=elsewhere.example"), 400, "M_INVALID_PARAM")
    refused(hs.client().call("POST", V3 + "/publicRooms", {}), 401, "M_MISSING_TOKEN")
    assert search(alice, third_party_instance_id="irc")["chunk"] == []


def test_the_list_may_be_for_users_only(server):
    hs = server(config="[client-directory]\nanonymous = no\n")
    refused(hs.client().call("GET", V3 + "/publicRooms"), 401, "M_MISSING_TOKEN")
    assert hs.register("alice").ok("GET", V3 + "/publicRooms")["chunk"] == []


# ---- users ----

def find(client, term, **more):
    return client.ok("POST", V3 + "/user_directory/search", {"search_term": term, **more})


def ids(answer):
    return [u["user_id"] for u in answer["results"]]


def test_users_are_found_by_id_and_name(hs, alice):
    bob = hs.register("findme")
    local = bob.user_id[1:].split(":")[0]
    assert ids(find(alice, local)) == []  # they share nothing
    room = alice.create_room(invite=[bob.user_id])
    bob.join(room)
    assert ids(find(alice, local)) == [bob.user_id] and ids(find(alice, local.upper())) == [bob.user_id]
    name = "\u0141ukasz %s" % local[::-1]
    bob.ok("PUT", V3 + "/profile/%s/displayname" % quote(bob.user_id), {"displayname": name})
    bob.ok("PUT", V3 + "/profile/%s/avatar_url" % quote(bob.user_id), {"avatar_url": "mxc://localhost/x"})
    answer = find(alice, "\u0142UKASZ " + local[::-1])
    assert answer == {"results": [{"user_id": bob.user_id, "display_name": name, "avatar_url": "mxc://localhost/x"}],
                      "limited": False}
    bob.leave(room)
    assert ids(find(alice, local)) == []


def test_users_of_public_rooms_are_found(hs, alice):
    bob = hs.register("openroom")
    local = bob.user_id[1:].split(":")[0]
    bob.create_room(preset="private_chat")
    assert ids(find(alice, local)) == []
    bob.create_room(preset="public_chat")
    assert ids(find(alice, local)) == [bob.user_id]
    assert ids(find(bob, local)) == []  # one knows oneself


def test_percent_and_underscore_are_letters(hs, alice):
    bob = hs.register("wild")
    bob.create_room(preset="public_chat")
    bob.ok("PUT", V3 + "/profile/%s/displayname" % quote(bob.user_id), {"displayname": "100%_sure!"})
    assert ids(find(alice, "100%_sure!")) == [bob.user_id]
    assert bob.user_id not in ids(find(alice, "1%sure")) and bob.user_id not in ids(find(alice, "100__sure"))


def test_searches_are_limited(hs, alice):
    prefix = "lots%d" % next(numbers)
    for _ in range(4):
        hs.register(prefix).create_room(preset="public_chat")
    answer = find(alice, prefix, limit=3)
    assert len(answer["results"]) == 3 and answer["limited"] is True
    answer = find(alice, prefix, limit=4)
    assert len(answer["results"]) == 4 and answer["limited"] is False


@pytest.mark.parametrize("body", [{}, {"search_term": 1}, {"search_term": "x", "limit": "y"}, {"search_term": "x", "limit": -1}])
def test_searches_that_cannot_be(alice, body):
    assert alice.call("POST", V3 + "/user_directory/search", body)[0] == 400


def test_odd_terms(alice):
    for term in ("", "\0", "%", "!", "\ud7ff", "x" * 5000, "'"):
        find(alice, term)
