"""Notices of the server: who may send them, and the room that each user has for them."""

from collections.abc import Iterator
from typing import Any

import pytest_twisted
from attrs import define

from matrix.ids import UserId
from tests.support.homeserver import PASSWORD, Client, Homeserver, q

NOTICES = "{server_notices: {system_mxid_localpart: notices, system_mxid_display_name: Hearth, room_name: News"
PATH = "/_synapse/admin/v1/send_server_notice"


@define(eq=False)
class World:
    hs: Homeserver
    admin: Client
    alice: Client

    async def notify(self, path: str = PATH, **more: Any) -> str:
        body = {"user_id": self.alice.user_id, "content": {"msgtype": "m.text", "body": "mind the gap"}, **more}
        answer = await self.admin.ok("POST" if path == PATH else "PUT", path, body)
        return str(answer["event_id"])

    async def room(self) -> str:
        """The room that Alice is invited to."""
        [room_id] = (await self.alice.sync())["rooms"]["invite"]
        return str(room_id)


async def _world(hs: Homeserver) -> World:
    await hs.server.register_user("admin", PASSWORD, admin=True)
    return World(hs, await hs.log_in("admin"), await hs.register("alice"))


@pytest_twisted.async_yield_fixture
async def world(start_homeserver: Any) -> Iterator[World]:
    yield await _world(await start_homeserver(NOTICES + "}}"))


async def test_a_notice_invites_its_user_to_a_room_with_the_tag_of_notices(world: World) -> None:
    event_id = await world.notify()
    sync = await world.alice.sync()
    [(room, invited)] = sync["rooms"]["invite"].items()
    names = [event["content"] for event in invited["invite_state"]["events"] if event["type"] == "m.room.name"]
    assert names == [{"name": "News"}]
    tags = await world.alice.get(f"/user/{q(world.alice.user_id)}/rooms/{q(room)}/tags")
    assert "m.server_notice" in tags["tags"]
    await world.alice.join(room)
    event = await world.alice.get(f"/rooms/{q(room)}/event/{q(event_id)}")
    assert (event["sender"], event["content"]["body"]) == ("@notices:hearth.test", "mind the gap")


async def test_the_sender_has_the_profile_of_the_configuration(world: World) -> None:
    await world.notify()
    room = await world.room()
    await world.alice.join(room)
    member = await world.alice.get(f"/rooms/{q(room)}/state/m.room.member/@notices:hearth.test")
    assert member["displayname"] == "Hearth"


async def test_only_admins_may_send_notices(world: World) -> None:
    response = await world.alice.ask("POST", PATH)
    assert (response.status, response.json["errcode"]) == (403, "M_FORBIDDEN")


async def test_the_invite_cannot_be_rejected_but_the_room_can_be_left(world: World) -> None:
    await world.notify()
    room = await world.room()
    response = await world.alice.ask("POST", f"/rooms/{q(room)}/leave", {})
    assert (response.status, response.json["errcode"]) == (403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM")
    path = f"/rooms/{q(room)}/state/m.room.member/{q(world.alice.user_id)}"
    response = await world.alice.ask("PUT", path, {"membership": "leave"})
    assert response.json["errcode"] == "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM"
    await world.alice.join(room)
    await world.alice.leave(room)


async def test_other_invites_can_be_rejected(world: World) -> None:
    room = await world.admin.create_room(invite=[world.alice])
    await world.alice.leave(room)


async def test_who_has_left_and_forgotten_the_room_is_invited_to_it_again(world: World) -> None:
    await world.notify()
    room = await world.room()
    await world.alice.join(room)
    await world.alice.leave(room)
    await world.alice.ok("POST", f"/rooms/{q(room)}/forget", {})
    await world.notify()
    assert await world.room() == room


async def test_a_user_keeps_the_room_after_a_restart(world: World, start_homeserver: Any) -> None:
    await world.notify()
    room = await world.room()
    other = await start_homeserver(NOTICES.replace("News", "Changes") + ", room_topic: All}}")
    again = World(other, world.admin.at(other), world.alice.at(other))
    await again.notify()
    await again.alice.join(room)
    assert (await again.alice.get(f"/rooms/{q(room)}/state/m.room.name"))["name"] == "Changes"
    assert (await again.alice.get(f"/rooms/{q(room)}/state/m.room.topic"))["topic"] == "All"
    assert len(world.hs.rows("SELECT 1 FROM rooms")) == 1


async def test_a_notice_with_a_transaction_id_is_sent_once(world: World, start_homeserver: Any) -> None:
    first = await world.notify(PATH + "/t1")
    other = await start_homeserver(NOTICES + "}}")
    again = World(other, world.admin.at(other), world.alice.at(other))
    assert [await world.notify(PATH + "/t1"), await again.notify(PATH + "/t1")] == [first, first]
    assert await world.notify(PATH + "/t2") != first


async def test_the_room_is_for_reading_only(world: World) -> None:
    await world.notify()
    room = await world.room()
    await world.alice.join(room)
    response = await world.alice.ask("PUT", f"/rooms/{q(room)}/send/m.room.message/t", {"body": "why"})
    assert response.status == 403


async def test_a_notice_may_be_state(world: World) -> None:
    event_id = await world.notify()
    await world.notify(type="m.room.pinned_events", state_key="", content={"pinned": [event_id]})
    room = await world.room()
    await world.alice.join(room)
    assert (await world.alice.get(f"/rooms/{q(room)}/state/m.room.pinned_events"))["pinned"] == [event_id]


async def test_who_takes_no_invites_gets_notices_all_the_same(world: World) -> None:
    path = f"/user/{q(world.alice.user_id)}/account_data/m.invite_permission_config"
    await world.alice.ok("PUT", path, {"default_action": "block"})
    await world.notify()
    assert world.hs.rows("SELECT membership FROM memberships WHERE user_id = %s", world.alice.user_id) == [("invite",)]


async def test_a_user_who_is_not_there_gets_no_notice(world: World) -> None:
    for user_id, status in (("@nobody:hearth.test", 404), ("@alice:elsewhere.test", 400), ("nobody", 400)):
        response = await world.admin.ask("POST", PATH, {"user_id": user_id, "content": {}})
        assert response.status == status


async def test_a_notice_is_no_membership(world: World) -> None:
    body = {"user_id": world.alice.user_id, "type": "m.room.member", "state_key": "@a:b", "content": {}}
    assert (await world.admin.ask("POST", PATH, body)).status == 400


async def test_the_senders_name_is_taken(world: World) -> None:
    await world.notify()
    response = await world.hs.ask("POST", "/register", {"username": "notices", "auth": {"type": "m.login.dummy"}})
    assert response.json["errcode"] == "M_USER_IN_USE"


async def test_an_account_that_ends_leaves_the_invite_too(world: World) -> None:
    await world.notify()
    deactivation = world.hs.server.users.deactivation
    await deactivation.deactivate(UserId(world.alice.user_id))
    await deactivation.resume()
    assert world.hs.rows("SELECT membership FROM memberships WHERE user_id = %s", world.alice.user_id) == [("leave",)]


async def test_with_auto_join_the_user_is_in_the_room_at_once(start_homeserver: Any) -> None:
    world = await _world(await start_homeserver(NOTICES + ", auto_join: true}}"))
    await world.notify()
    [room] = (await world.alice.sync())["rooms"]["join"]
    assert await world.notify() in [event["event_id"] for event in await world.alice.timeline(room)]


async def test_without_the_section_there_are_no_notices(hs: Homeserver) -> None:
    world = await _world(hs)
    body = {"user_id": world.alice.user_id, "content": {}}
    response = await world.admin.ask("POST", PATH, body)
    assert (response.status, response.json["error"]) == (400, "Server notices are not enabled on this server")
