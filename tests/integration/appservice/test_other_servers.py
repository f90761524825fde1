"""Services and users of other servers: invites to rooms that this server is not in, and who is nobody's ghost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.appservice.bridge import Bridge, write
from tests.integration.appservice.listening import bridge_of, bridged_room, is_taken_up, told_all
from tests.support.fake_service import ListeningService, listening_service, until
from tests.support.federation import Network
from tests.support.homeserver import Homeserver, q

GHOST = "@_irc_ann:one.test"
# It would fit users of other servers too.
NAMESPACES = {"users": [{"exclusive": False, "regex": "@_?irc_.*"}]}


@pytest.fixture
def service() -> Iterator[ListeningService]:
    with listening_service() as service:
        yield service


async def with_service(network: Network, service: ListeningService, directory: Path, work: Any) -> None:
    """`work(one, bridge, service)` with a service of one.test, and a ghost."""
    one = await network.start("one.test", write(directory, service.registration(namespaces=NAMESPACES)))
    await is_taken_up(one, service)
    bridge = bridge_of(one, service)
    await bridge.ghost("_irc_ann")
    await work(one, bridge, service)
    await one.server.appservices.stop()
    service.check()


async def test_an_invite_to_a_room_of_another_server_shows_the_room(
    network: Network, service: ListeningService, tmp_path: Path
) -> None:
    async def work(one: Homeserver, bridge: Bridge, service: ListeningService) -> None:
        two = await network.start("two.test")
        bob = await two.register("bob")
        room = await bob.create_room(preset="private_chat", name="Den")
        await bob.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": GHOST})
        await until(lambda: service.of_type("m.room.member"))
        (invite,) = service.of_type("m.room.member")
        assert (invite["room_id"], invite["state_key"], invite["sender"]) == (room, GHOST, bob.user_id)
        assert invite["content"]["membership"] == "invite"
        names = [one["content"] for one in invite["unsigned"]["invite_room_state"] if one["type"] == "m.room.name"]
        assert names == [{"name": "Den"}]
        await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=GHOST, via="two.test")
        await bob.send(room, "hello ghost")
        await until(lambda: service.texts == ["hello ghost"])

    await with_service(network, service, tmp_path, work)


async def test_an_invite_that_is_declined_is_told_too(
    network: Network, service: ListeningService, tmp_path: Path
) -> None:
    async def work(one: Homeserver, bridge: Bridge, service: ListeningService) -> None:
        two = await network.start("two.test")
        bob = await two.register("bob")
        room = await bob.create_room(preset="private_chat")
        await bob.ok("POST", f"/rooms/{q(room)}/invite", {"user_id": GHOST})
        await until(lambda: service.of_type("m.room.member"))
        await bridge.ok("POST", f"/rooms/{q(room)}/leave", {}, user_id=GHOST)
        await until(lambda: len(service.of_type("m.room.member")) == 2)
        assert service.of_type("m.room.member")[1]["content"]["membership"] == "leave"

    await with_service(network, service, tmp_path, work)


async def test_users_of_other_servers_are_no_ghosts_but_are_heard_in_bridged_rooms(
    network: Network, service: ListeningService, tmp_path: Path
) -> None:
    async def work(one: Homeserver, bridge: Bridge, service: ListeningService) -> None:
        two = await network.start("two.test")
        stranger = await two.register("irc_ann")
        alice = await one.register("alice")
        unbridged, bridged = await alice.create_room(), await bridged_room(one, bridge)
        for room in (unbridged, bridged):
            await stranger.ok("POST", f"/join/{q(room)}?via=one.test", {})
            await stranger.send(room, f"in {room}")
        await until(lambda: service.texts)
        await told_all(one, service)
        assert service.texts == [f"in {bridged}"]

    await with_service(network, service, tmp_path, work)
