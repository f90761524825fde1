"""Messages through core alone, in both directions: texts, edits, deletions, replies, threads, files."""

import pytest_twisted

from tests.support.bridges import Town
from tests.support.fake_service import until
from tests.support.homeserver import Client

inlined = pytest_twisted.ensureDeferred


async def opened(town: Town) -> tuple[Client, str]:
    town.remote.add_channel("C1", "general", ["U1"])
    alice = await town.user("alice")
    return alice, await town.open("C1", alice)


@inlined
async def test_a_message_of_the_network_is_a_ghosts(town: Town) -> None:
    alice, room = await opened(town)
    town.remote.say("C1", "U1", "hello")
    event = await town.says(alice, room, "hello")
    assert event["sender"] == "@fake__u1:hearth.test"
    assert event["content"]["msgtype"] == "m.text"


@inlined
async def test_a_message_of_matrix_is_relayed_under_its_writers_name(town: Town) -> None:
    alice, room = await opened(town)
    await alice.send(room, "hello there")
    await until(lambda: town.remote.texts("C1") == ["alice: hello there"])


@inlined
async def test_nothing_comes_back(town: Town) -> None:
    alice, room = await opened(town)
    town.remote.say("C1", "U1", "from there")
    await alice.send(room, "from here")
    await town.settle("C1", alice, room)
    said = [text for text in await town.messages(alice, room) if "mark" not in text]
    assert sorted(said) == ["@alice:hearth.test: from here", "@fake__u1:hearth.test: from there"]
    there = [text for text in town.remote.texts("C1") if "mark" not in text]
    assert sorted(there) == ["U1: from there", "alice: from here"]
