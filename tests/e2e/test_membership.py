"""Joining, leaving, inviting, knocking, banning: who may, and what happens then."""

import threading

import pytest

from myelin import quote

V3 = "/_matrix/client/v3"


def refused(answer, status, errcode):
    assert answer[0] == status and answer[1]["errcode"] == errcode, answer


def membership(client, room, user):
    event = client.ok("GET", client.room(room, "state/m.room.member/%s?format=event" % quote(user.user_id)))
    return event["content"]["membership"]


def act(client, room, what, user=None, **body):
    if user is not None:
        body["user_id"] = user if isinstance(user, str) else user.user_id
    return client.call("POST", client.room(room, what), body)


@pytest.fixture
def people(hs):
    return hs.register("alice"), hs.register("bob"), hs.register("carol")


def test_a_public_room_is_joined_by_id_and_by_alias(people):
    alice, bob, carol = people
    name = "pub-" + alice.user_id[1:].split(":")[0]
    room = alice.create_room(preset="public_chat", room_alias_name=name)
    assert bob.ok("POST", V3 + "/join/" + quote("#%s:localhost" % name)) == {"room_id": room}
    assert carol.ok("POST", carol.room(room, "join")) == {"room_id": room}
    assert room in bob.ok("GET", V3 + "/joined_rooms")["joined_rooms"]
    assert membership(alice, room, bob) == membership(alice, room, carol) == "join"


def test_joining_again_makes_no_event(people):
    alice, bob, _ = people
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    get = lambda: alice.ok("GET", alice.room(room, "state/m.room.member/%s?format=event" % quote(bob.user_id)))["event_id"]
    first = get()
    bob.join(room)
    assert get() == first


def test_many_join_at_once(hs):
    alice = hs.register("alice")
    room = alice.create_room(preset="public_chat")
    users = [hs.register("many") for _ in range(10)]
    threads = [threading.Thread(target=u.join, args=(room,)) for u in users]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(alice.ok("GET", alice.room(room, "joined_members"))["joined"]) == 11


def test_joins_that_cannot_be(people):
    alice, bob, _ = people
    room = alice.create_room()
    refused(bob.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")
    refused(bob.call("POST", V3 + "/join/" + quote("!unknown:localhost")), 404, "M_NOT_FOUND")
    refused(bob.call("POST", V3 + "/join/" + quote("#unknown:localhost")), 404, "M_NOT_FOUND")
    refused(bob.call("POST", V3 + "/join/" + quote("#unknown:elsewhere.example")), 404, "M_NOT_FOUND")
    refused(bob.call("POST", V3 + "/join/nonsense"), 400, "M_INVALID_PARAM")
    refused(bob.call("POST", V3 + "/join/" + quote("#nonsense")), 400, "M_INVALID_PARAM")
    refused(bob.call("POST", V3 + "/join/" + quote(room), {"reason": 1}), 400, "M_BAD_JSON")
    refused(bob.call("POST", V3 + "/join/" + quote(room), "[]"), 400, "M_BAD_JSON")


def test_a_join_takes_what_its_body_says(people):
    alice, bob, carol = people
    room = alice.create_room(preset="public_chat", room_alias_name="custom%d" % alice.server.port)
    alias = alice.state(room, "m.room.canonical_alias")["alias"]
    body = {"foo": {"bar": [1]}, "membership": "ban", "third_party_signed": {}, "join_authorised_via_users_server": alice.user_id,
            "reason": "why not", "displayname": "Custom"}
    expected = {"membership": "join", "foo": {"bar": [1]}, "reason": "why not", "displayname": "Custom"}
    bob.ok("POST", V3 + "/join/" + quote(alias), body)
    assert alice.state(room, "m.room.member", bob.user_id) == expected
    for wrong in ({"displayname": 1}, {"avatar_url": []}, {"foo": 1.5}):
        refused(carol.call("POST", V3 + "/join/" + quote(room), wrong), 400, "M_BAD_JSON")
    carol.ok("POST", carol.room(room, "join"), body)
    assert alice.state(room, "m.room.member", carol.user_id) == expected


def test_invite_join_leave(people):
    alice, bob, _ = people
    room = alice.create_room()
    assert act(alice, room, "invite", bob, reason="come in") == (200, {})
    event = alice.ok("GET", alice.room(room, "state/m.room.member/%s?format=event" % quote(bob.user_id)))
    assert event["content"]["membership"] == "invite" and event["content"]["reason"] == "come in"
    assert act(alice, room, "invite", bob) == (200, {})
    again = alice.ok("GET", alice.room(room, "state/m.room.member/%s?format=event" % quote(bob.user_id)))
    assert again["event_id"] == event["event_id"]
    assert bob.ok("POST", V3 + "/join/" + quote(room), {"reason": "gladly"}) == {"room_id": room}
    refused(act(alice, room, "invite", bob), 403, "M_FORBIDDEN")
    assert act(bob, room, "leave", reason="bye") == (200, {})
    assert alice.state(room, "m.room.member", bob.user_id)["reason"] == "bye"
    assert act(bob, room, "leave") == (200, {})
    refused(bob.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")


def test_an_invite_can_be_rejected_and_withdrawn(people):
    alice, bob, _ = people
    room = alice.create_room(invite=[bob.user_id])
    bob.leave(room)
    assert membership(alice, room, bob) == "leave"
    alice.invite(room, bob.user_id)
    assert act(alice, room, "kick", bob) == (200, {})
    refused(bob.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")


def test_invites_that_cannot_be(people):
    alice, bob, carol = people
    room = alice.create_room(preset="public_chat")
    refused(act(bob, room, "invite", carol), 403, "M_FORBIDDEN")
    bob.join(room)
    refused(act(bob, room, "invite", carol), 403, "M_FORBIDDEN")  # moderators only
    refused(act(alice, room, "invite"), 400, "M_MISSING_PARAM")
    refused(act(alice, room, "invite", user_id=1), 400, "M_BAD_JSON")
    refused(act(alice, room, "invite", "nonsense"), 400, "M_INVALID_PARAM")
    refused(act(alice, room, "invite", "@a:b:c:d"), 400, "M_INVALID_PARAM")
    refused(act(alice, room, "invite", "@bob:elsewhere.example"), 400, "M_UNKNOWN")
    refused(act(alice, room, "invite", carol, reason={}), 400, "M_BAD_JSON")
    refused(act(alice, room, "invite", medium="email", address="a@b.c", id_server="x"), 403, "M_THREEPID_DENIED")
    refused(act(alice, "!unknown:localhost", "invite", carol), 403, "M_FORBIDDEN")
    act(alice, room, "ban", carol)
    refused(act(alice, room, "invite", carol), 403, "M_FORBIDDEN")


def test_kick(people):
    alice, bob, carol = people
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    refused(act(bob, room, "kick", alice), 403, "M_FORBIDDEN")
    refused(act(carol, room, "kick", bob), 403, "M_FORBIDDEN")
    refused(act(alice, room, "kick", carol), 403, "M_FORBIDDEN")
    assert act(alice, room, "kick", bob, reason="rude") == (200, {})
    member = alice.ok("GET", alice.room(room, "state/m.room.member/%s?format=event" % quote(bob.user_id)))
    assert member["content"] == {"membership": "leave", "reason": "rude"} and member["sender"] == alice.user_id
    bob.join(room)


def test_a_kick_does_not_lift_a_ban(people):
    alice, bob, _ = people
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    assert act(alice, room, "ban", bob) == (200, {})
    refused(act(alice, room, "kick", bob), 403, "M_FORBIDDEN")
    assert membership(alice, room, bob) == "ban"


def test_ban_and_unban(people):
    alice, bob, carol = people
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    refused(act(bob, room, "ban", alice), 403, "M_FORBIDDEN")
    refused(act(alice, room, "unban", bob), 403, "M_FORBIDDEN")
    assert act(alice, room, "ban", bob, reason="spam") == (200, {})
    assert act(alice, room, "ban", bob) == (200, {})
    assert alice.state(room, "m.room.member", bob.user_id) == {"membership": "ban", "reason": "spam"}
    refused(bob.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")
    refused(bob.call("PUT", bob.room(room, "send/m.room.message/1"), {}), 403, "M_FORBIDDEN")
    refused(act(bob, room, "leave"), 403, "M_FORBIDDEN")
    refused(act(carol, room, "unban", bob), 403, "M_FORBIDDEN")
    assert act(alice, room, "unban", bob) == (200, {})
    assert membership(alice, room, bob) == "leave"
    bob.join(room)
    # Who has never been there can be banned too.
    assert act(alice, room, "ban", carol) == (200, {})
    refused(carol.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")


def test_forget(people):
    alice, bob, _ = people
    room = alice.create_room(preset="public_chat")
    bob.join(room)
    refused(act(bob, room, "forget"), 400, "M_UNKNOWN")
    bob.leave(room)
    assert bob.ok("GET", bob.room(room, "messages?dir=b"))["chunk"]
    assert act(bob, room, "forget") == (200, {})
    assert act(bob, room, "forget") == (200, {})
    refused(bob.call("GET", bob.room(room, "messages?dir=b")), 403, "M_FORBIDDEN")
    refused(act(bob, "!unknown:localhost", "forget"), 404, "M_NOT_FOUND")
    bob.join(room)
    assert bob.ok("GET", bob.room(room, "messages?dir=b"))["chunk"]


def test_knock(people):
    alice, bob, carol = people
    name = "door-" + alice.user_id[1:].split(":")[0]
    room = alice.create_room(room_alias_name=name,
                             initial_state=[{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}])
    assert bob.ok("POST", V3 + "/knock/" + quote("#%s:localhost" % name), {"reason": "let me in"}) == {"room_id": room}
    assert alice.state(room, "m.room.member", bob.user_id)["reason"] == "let me in"
    assert membership(alice, room, bob) == "knock"
    assert bob.ok("POST", V3 + "/knock/" + quote(room)) == {"room_id": room}
    refused(bob.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")
    alice.invite(room, bob.user_id)
    bob.join(room)
    refused(bob.call("POST", V3 + "/knock/" + quote(room)), 403, "M_FORBIDDEN")
    carol.ok("POST", V3 + "/knock/" + quote(room))
    assert act(alice, room, "kick", carol) == (200, {})
    private = alice.create_room()
    refused(carol.call("POST", V3 + "/knock/" + quote(private)), 403, "M_FORBIDDEN")
    refused(carol.call("POST", V3 + "/knock/" + quote("!unknown:localhost")), 404, "M_NOT_FOUND")
    refused(carol.call("POST", V3 + "/knock/nonsense"), 400, "M_INVALID_PARAM")


def restricted(alice, allowed, rule="restricted", **more):
    return alice.create_room(initial_state=[{"type": "m.room.join_rules", "content": {
        "join_rule": rule, "allow": [{"type": "m.room_membership", "room_id": room} for room in allowed]}}], **more)


@pytest.mark.parametrize("rule", ["restricted", "knock_restricted"])
@pytest.mark.parametrize("version", ["10", "12"])
def test_restricted_rooms_let_members_of_others_in(people, rule, version):
    alice, bob, carol = people
    space = alice.create_room(preset="public_chat")
    room = restricted(alice, ["!unknown:localhost", space], rule, room_version=version)
    refused(bob.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")
    bob.join(space)
    bob.join(room)
    assert alice.state(room, "m.room.member", bob.user_id)["join_authorised_via_users_server"] == alice.user_id
    # It is checked at the join, and not again.
    bob.leave(space)
    bob.send(room, "still here")
    # An invite needs no condition.
    alice.invite(room, carol.user_id)
    carol.join(room)
    assert "join_authorised_via_users_server" not in alice.state(room, "m.room.member", carol.user_id)


def test_a_restricted_join_needs_somebody_who_may_invite(people):
    alice, bob, carol = people
    space = alice.create_room(preset="public_chat")
    room = restricted(alice, [space], room_version="11", power_level_content_override={
        "invite": 50, "users": {alice.user_id: 100}})
    carol.join(space)
    bob.join(space)
    bob.join(room)
    alice.leave(room)
    refused(carol.call("POST", V3 + "/join/" + quote(room)), 403, "M_FORBIDDEN")


def test_nobody_claims_an_authorisation(people):
    alice, bob, _ = people
    space = alice.create_room(preset="public_chat")
    room = restricted(alice, [space])
    refused(bob.call("PUT", bob.room(room, "state/m.room.member/" + quote(bob.user_id)),
                     {"membership": "join", "join_authorised_via_users_server": alice.user_id}), 403, "M_FORBIDDEN")


def test_membership_by_state(people):
    alice, bob, carol = people
    room = alice.create_room(preset="public_chat")
    put = lambda who, target, content: who.call(
        "PUT", who.room(room, "state/m.room.member/" + quote(target.user_id)), content)
    assert put(bob, bob, {"membership": "join", "displayname": "Bobby"})[0] == 200
    assert alice.state(room, "m.room.member", bob.user_id) == {"membership": "join", "displayname": "Bobby"}
    assert put(bob, bob, {"membership": "join", "displayname": "Robert"})[0] == 200
    assert put(alice, carol, {"membership": "invite"})[0] == 200
    assert put(alice, carol, {"membership": "leave"})[0] == 200
    assert put(alice, bob, {"membership": "ban"})[0] == 200
    refused(put(bob, bob, {"membership": "join"}), 403, "M_FORBIDDEN")
    assert put(alice, bob, {"membership": "leave"})[0] == 200
    refused(put(alice, bob, {"membership": "join"}), 403, "M_FORBIDDEN")
    refused(put(alice, bob, {}), 400, "M_MISSING_PARAM")
    refused(put(alice, bob, {"membership": 1}), 400, "M_BAD_JSON")
    refused(put(alice, bob, {"membership": "elsewhere"}), 400, "M_BAD_JSON")
    refused(alice.call("PUT", alice.room(room, "state/m.room.member/nonsense"), {"membership": "invite"}), 400, "M_INVALID_PARAM")
    refused(alice.call("PUT", alice.room(room, "state/m.room.member/@x:elsewhere.example"), {"membership": "invite"}),
            400, "M_UNKNOWN")


def test_the_body_may_be_empty(people):
    alice, bob, _ = people
    room = alice.create_room(preset="public_chat")
    assert bob.raw("POST", bob.room(room, "join"))[0] == 200
    assert bob.raw("POST", bob.room(room, "leave"), "")[0] == 200


@pytest.mark.parametrize("what", ["invite", "kick", "ban", "unban"])
def test_who_is_not_in_the_room_decides_nothing(people, what):
    alice, bob, carol = people
    room = alice.create_room()
    refused(act(bob, room, what, carol), 403, "M_FORBIDDEN")
    refused(act(bob, "!unknown:localhost", what, carol), 403, "M_FORBIDDEN")
    refused(act(bob, "nonsense", what, carol), 400, "M_INVALID_PARAM")


def test_guests_join_where_they_may(server):
    hs = server()
    hs.stop()
    hs.write_config("[client-register]\nguests = yes\n")
    hs.start()
    alice = hs.register("alice")
    answer = hs.client().ok("POST", V3 + "/register?kind=guest", {})
    guest = hs.client(answer["access_token"])
    guest.user_id = answer["user_id"]
    closed = alice.create_room(preset="public_chat")
    refused(guest.call("POST", V3 + "/join/" + quote(closed)), 403, "M_GUEST_ACCESS_FORBIDDEN")
    refused(guest.call("PUT", guest.room(closed, "state/m.room.member/" + quote(guest.user_id)), {"membership": "join"}),
            403, "M_GUEST_ACCESS_FORBIDDEN")
    opened = alice.create_room(preset="public_chat", initial_state=[
        {"type": "m.room.guest_access", "content": {"guest_access": "can_join"}}])
    guest.join(opened)
    guest.send(opened, "hello")
    refused(guest.call("POST", V3 + "/createRoom", {}), 403, "M_GUEST_ACCESS_FORBIDDEN")
    refused(guest.call("PUT", V3 + "/profile/%s/avatar_url" % quote(guest.user_id), {"avatar_url": "mxc://localhost/x"}),
            403, "M_GUEST_ACCESS_FORBIDDEN")
    assert guest.ok("PUT", V3 + "/profile/%s/displayname" % quote(guest.user_id), {"displayname": "G"}) == {}
