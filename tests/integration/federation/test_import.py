"""A room of another server that a user of ours joins: its state, its first sync, its history."""

from collections.abc import Iterator

import pytest
import pytest_twisted

from tests.integration.federation.remote_pair import until_member
from tests.support.consistency import faults
from tests.support.federation import Network
from tests.support.homeserver import Client, q


@pytest_twisted.async_yield_fixture(scope="module")
async def bob(shared_network: Network) -> Iterator[Client]:
    """Of three.test."""
    three = await shared_network.start("three.test")
    yield await three.register("bob")


@pytest_twisted.async_yield_fixture
async def room(alice: Client, bob: Client) -> Iterator[str]:
    """Alice's, with something said in it."""
    await bob.sync()
    room = await alice.create_room(name="Garden")
    for number in range(5):
        await alice.send(room, f"before {number}")
    yield room
    assert faults(alice.hs.dsn) == []
    assert faults(bob.hs.dsn) == []


async def join(client: Client, room: str) -> None:
    await client.ok("POST", f"/join/{q(room)}", {}, server_name="one.test")


async def state_of(client: Client, room: str) -> dict[tuple[str, str], str]:
    events = await client.get(f"/rooms/{q(room)}/state")
    return {(event["type"], event["state_key"]): event["event_id"] for event in events}


async def test_the_state_is_that_of_the_other_server(alice: Client, bob: Client, room: str) -> None:
    await join(bob, room)
    assert await state_of(bob, room) == await state_of(alice, room)
    joined = (await bob.sync())["rooms"]["join"][room]
    assert joined["timeline"]["limited"]
    told = {event["type"] for event in joined["state"]["events"]}
    assert {"m.room.create", "m.room.name", "m.room.power_levels"} <= told


@pytest.mark.parametrize("version", ["1", "6", "9", "11"])
async def test_rooms_of_all_versions_are_taken_over(alice: Client, bob: Client, version: str) -> None:
    room = await alice.create_room(room_version=version)
    await join(bob, room)
    assert await state_of(bob, room) == await state_of(alice, room)
    await bob.send(room, "I am here")
    assert faults(bob.hs.dsn) == []


async def test_history_is_fetched_when_it_is_read(alice: Client, bob: Client, room: str) -> None:
    await join(bob, room)
    page = await bob.get(f"/rooms/{q(room)}/messages", dir="b", limit=100)
    bodies = [event["content"].get("body") for event in page["chunk"] if event["type"] == "m.room.message"]
    assert bodies == [f"before {number}" for number in reversed(range(5))]
    assert page["chunk"][-1]["type"] == "m.room.create"
    assert "end" not in page
    again = await bob.get(f"/rooms/{q(room)}/messages", dir="f", limit=100)
    assert again["chunk"][0]["type"] == "m.room.create"


async def test_history_that_was_not_for_the_joiner_stays_hidden(alice: Client, bob: Client, room: str) -> None:
    await alice.set_state(room, "m.room.history_visibility", {"history_visibility": "joined"})
    await alice.send(room, "secret")
    await join(bob, room)
    page = await bob.get(f"/rooms/{q(room)}/messages", dir="b", limit=100)
    bodies = [event["content"].get("body") for event in page["chunk"] if event["type"] == "m.room.message"]
    assert "secret" not in bodies
    assert "before 4" in bodies


async def test_who_comes_back_finds_a_gap_and_the_state_of_today(alice: Client, bob: Client, room: str) -> None:
    await join(bob, room)
    await bob.send(room, "hello")
    await bob.leave(room)
    await bob.sync()
    await until_member(alice, room, bob.user_id, "leave")
    for number in range(3):
        await alice.send(room, f"while away {number}")
    await alice.set_state(room, "m.room.name", {"name": "Orchard"})
    await join(bob, room)
    joined = (await bob.sync())["rooms"]["join"][room]
    assert joined["timeline"]["limited"]
    assert "hello" not in str(joined["timeline"])
    assert await state_of(bob, room) == await state_of(alice, room)
    page = await bob.get(f"/rooms/{q(room)}/messages", dir="b", limit=100)
    bodies = [event["content"].get("body") for event in page["chunk"] if event["type"] == "m.room.message"]
    assert bodies[:4] == ["while away 2", "while away 1", "while away 0", "hello"]


async def test_a_second_user_joins_by_our_own_word(alice: Client, bob: Client, room: str) -> None:
    await join(bob, room)
    carol = await bob.hs.register("carol")
    await carol.join(room)
    await carol.send(room, "me too")
    assert await state_of(carol, room) == await state_of(bob, room)
