"""Aliases in the namespaces of services, and their lists of rooms."""

from pathlib import Path
from typing import Any

from tests.integration.appservice.bridge import IRC, Bridge, Start, refusal, write
from tests.support.homeserver import q

EXCLUSIVE = (400, "M_EXCLUSIVE")


async def start(start_homeserver: Start, directory: Path, text: str = IRC, more: str = "") -> Bridge:
    return Bridge(await start_homeserver(write(directory, text) + more))


def alias(name: str) -> str:
    return f"/directory/room/{q(f'#{name}:hearth.test')}"


async def test_reserved_aliases_are_closed_to_others(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    alice = await bridge.hs.register("alice")
    room = await alice.create_room()
    assert refusal(await alice.ask("PUT", alias("_irc_a"), {"room_id": room})) == EXCLUSIVE
    assert refusal(await alice.ask("POST", "/createRoom", {"room_alias_name": "_irc_a"})) == EXCLUSIVE
    await bridge.ok("PUT", alias("_irc_a"), {"room_id": room})
    assert refusal(await alice.ask("DELETE", alias("_irc_a"))) == EXCLUSIVE
    await bridge.ok("DELETE", alias("_irc_a"))


async def test_a_service_makes_aliases_in_its_namespace_alone(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    room = (await bridge.ok("POST", "/createRoom", {"room_alias_name": "_irc_b"}))["room_id"]
    assert (await bridge.ok("GET", alias("_irc_b")))["room_id"] == room
    assert refusal(await bridge.ask("PUT", alias("mine"), {"room_id": room})) == EXCLUSIVE
    assert refusal(await bridge.ask("POST", "/createRoom", {"room_alias_name": "mine"})) == EXCLUSIVE


async def test_an_open_namespace_keeps_nobody_out(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path, IRC.replace("exclusive: true", "exclusive: false"))
    alice = await bridge.hs.register("alice")
    room = await alice.create_room()
    await alice.ok("PUT", alias("_irc_a"), {"room_id": room})


async def listed(bridge: Bridge, **body: Any) -> list[str]:
    return [room["room_id"] for room in (await bridge.ok("POST", "/publicRooms", body))["chunk"]]


async def test_a_service_lists_rooms_by_network(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    alice = await bridge.hs.register("alice")
    own = await alice.create_room(visibility="public")
    room = await alice.create_room()
    path = f"/directory/list/appservice/libera/{q(room)}"
    await bridge.ok("PUT", path, {"visibility": "public"})
    assert await listed(bridge) == [own]
    assert await listed(bridge, third_party_instance_id="irc|libera") == [room]
    assert await listed(bridge, third_party_instance_id="irc|oftc") == []
    assert sorted(await listed(bridge, include_all_networks=True)) == sorted([own, room])
    await bridge.ok("PUT", path, {"visibility": "private"})
    assert await listed(bridge, third_party_instance_id="irc|libera") == []
    await bridge.ok("PUT", path, {"visibility": "public"})
    await bridge.ok("DELETE", path)
    assert await listed(bridge, third_party_instance_id="irc|libera") == []


async def test_only_services_have_lists(start_homeserver: Start, tmp_path: Path) -> None:
    bridge = await start(start_homeserver, tmp_path)
    alice = await bridge.hs.register("alice")
    room = await alice.create_room()
    path = f"/directory/list/appservice/libera/{q(room)}"
    assert refusal(await alice.ask("PUT", path, {})) == (403, "M_FORBIDDEN")
    assert refusal(await bridge.ask("PUT", path.replace(q(room), q("!no:hearth.test")), {})) == (404, "M_NOT_FOUND")
