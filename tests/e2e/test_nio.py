"""The main job with a real client library, matrix-nio."""

import asyncio

import nio

from myelin import PASSWORD


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 120))


def test_register_talk_and_sync(hs):
    async def story():
        alice = nio.AsyncClient(hs.base)
        answer = await alice.register("nioalice%d" % hs.port, PASSWORD, "phone")
        assert isinstance(answer, nio.RegisterResponse), answer
        bob = nio.AsyncClient(hs.base)
        answer = await bob.register("niobob%d" % hs.port, PASSWORD)
        assert isinstance(answer, nio.RegisterResponse), answer
        try:
            room = await alice.room_create(name="Nio", topic="a real client", invite=[bob.user_id])
            assert isinstance(room, nio.RoomCreateResponse), room
            assert isinstance(await bob.sync(timeout=0), nio.SyncResponse)
            assert room.room_id in bob.invited_rooms
            assert isinstance(await bob.join(room.room_id), nio.JoinResponse)
            heard = asyncio.Event()
            texts = []

            def listen(where, event):
                texts.append((event.sender, event.body))
                heard.set()

            bob.add_event_callback(listen, nio.RoomMessageText)
            following = asyncio.create_task(bob.sync_forever(timeout=10000))
            sent = await alice.room_send(room.room_id, "m.room.message", {"msgtype": "m.text", "body": "hello from nio"})
            assert isinstance(sent, nio.RoomSendResponse), sent
            await asyncio.wait_for(heard.wait(), 30)
            following.cancel()
            assert texts == [(alice.user_id, "hello from nio")]
            assert bob.rooms[room.room_id].name == "Nio"
            assert set(bob.rooms[room.room_id].users) == {alice.user_id, bob.user_id}

            typing = await bob.room_typing(room.room_id, True, 5000)
            assert isinstance(typing, nio.RoomTypingResponse), typing
            marker = await bob.room_read_markers(room.room_id, sent.event_id, sent.event_id)
            assert isinstance(marker, nio.RoomReadMarkersResponse), marker
            await alice.sync(timeout=0, full_state=True)
            history = await alice.room_messages(room.room_id, alice.next_batch, limit=50, direction=nio.MessageDirection.back)
            assert isinstance(history, nio.RoomMessagesResponse), history
            assert any(getattr(e, "body", None) == "hello from nio" for e in history.chunk)
            context = await alice.room_context(room.room_id, sent.event_id)
            assert isinstance(context, nio.RoomContextResponse), context
            assert context.event.event_id == sent.event_id
            redacted = await alice.room_redact(room.room_id, sent.event_id, "typo")
            assert isinstance(redacted, nio.RoomRedactResponse), redacted
            kicked = await alice.room_kick(room.room_id, bob.user_id)
            assert isinstance(kicked, nio.RoomKickResponse), kicked
            devices = await alice.devices()
            assert [d.display_name for d in devices.devices] == ["phone"]
            assert isinstance(await alice.logout(), nio.LogoutResponse)
        finally:
            await alice.close()
            await bob.close()

    run(story())


def test_login_with_a_password_and_a_wrong_one(hs):
    known = hs.register("nio")

    async def story():
        client = nio.AsyncClient(hs.base, known.user_id)
        try:
            assert isinstance(await client.login("wrong"), nio.LoginError)
            assert isinstance(await client.login(PASSWORD, "laptop"), nio.LoginResponse)
            assert isinstance(await client.set_displayname("Nio User"), nio.ProfileSetDisplayNameResponse)
            name = await client.get_displayname()
            assert name.displayname == "Nio User"
            who = await client.whoami()
            assert who.user_id == known.user_id
        finally:
            await client.close()

    run(story())
