"""Messages of before, and of while nobody listened."""

import pytest_twisted

from appservice.bridges.core.ids import ChannelId
from tests.integration.bridges.core.scenes import comes_to, opened
from tests.support.bridges import Town
from tests.support.homeserver import Client

inlined = pytest_twisted.ensureDeferred


async def bodies(town: Town, client: Client, room: str) -> list[str]:
    """What stands there now: edits applied, what was redacted left out."""
    events = await town.events(client, room)
    now = {
        event["content"]["m.relates_to"]["event_id"]: event["content"]["m.new_content"]["body"]
        for event in events
        if "m.new_content" in event["content"]
    }
    return [
        now.get(event["event_id"], event["content"]["body"])
        for event in events
        if event["type"] == "m.room.message" and event["content"] and "m.new_content" not in event["content"]
    ]


@inlined
async def test_a_new_room_begins_with_the_newest_messages(town: Town) -> None:
    town.remote.add_channel("C1", "general", ["U1"])
    said = [town.remote.say("C1", "U1", f"old {number}") for number in range(60)]
    town.remote.react(said[-1], "U1", "👍")
    # What is told of them after the room is open would come as if it were new.
    await town.has_heard()
    alice, room = await opened(town)
    await comes_to(lambda: bodies(town, alice, room), [f"old {number}" for number in range(10, 60)])
    events = await town.events(alice, room)
    times = [event["origin_server_ts"] for event in events if event["type"] == "m.room.message"]
    assert times == [message.sent_ms for message in said[10:]]
    assert [event["sender"] for event in events if event["type"] == "m.reaction"] == [town.ghost("U1")]


@inlined
async def test_older_messages_are_put_before_the_first(town: Town) -> None:
    town.remote.add_channel("C1", "general", ["U1"])
    first = town.remote.say("C1", "U1", "old 0")
    town.remote.say("C1", "U1", "old 1", reply_to=first.id)
    for number in range(2, 60):
        town.remote.say("C1", "U1", f"old {number}")
    await town.has_heard()
    admin = await town.user("admin")
    room = await town.open("C1", admin)
    await town.command(admin, room, "!fake backfill 8")
    await town.says(admin, room, "8 older messages were brought in")
    await town.command(admin, room, "!fake backfill")
    await town.says(admin, room, "2 older messages were brought in")
    await town.command(admin, room, "!fake backfill")
    await town.says(admin, room, "There are no older messages")
    said = [text for text in await bodies(town, admin, room) if text.startswith("old ")]
    assert said == [f"old {number}" for number in range(60)]
    town.remote.react(first, "U1", "👍")
    event = await town.says(admin, room, "old 0")

    async def reacted() -> object:
        events = await town.events(admin, room)
        return [each["content"]["m.relates_to"]["event_id"] for each in events if each["type"] == "m.reaction"]

    await comes_to(reacted, [event["event_id"]])


@inlined
async def test_what_was_missed_is_made_up_for(town: Town) -> None:
    alice, room = await opened(town)
    kept, edited, gone = (town.remote.say("C1", "U1", text) for text in ("kept", "edited", "gone"))
    town.remote.say("C1", "U1", "last")
    await town.says(alice, room, "last")
    await town.bridge.kill()
    town.remote.edit(edited, "edited since")
    town.remote.delete(gone)
    town.remote.react(kept, "U1", "👍")
    town.remote.say("C1", "U1", "new")
    town.remote.say("C1", "U1", "in a thread", thread=kept.id)
    town.remote.forget_undelivered()
    await town.restart()
    wanted = ["kept", "edited since", "last", "new", "in a thread"]
    await comes_to(lambda: bodies(town, alice, room), wanted)
    events = await town.events(alice, room)
    assert [event["sender"] for event in events if event["type"] == "m.reaction"] == [town.ghost("U1")]
    thread = next(event for event in events if event["content"].get("body") == "in a thread")
    root = next(event for event in events if event["content"].get("body") == "kept")
    assert thread["content"]["m.relates_to"]["event_id"] == root["event_id"]


@inlined
async def test_what_was_missed_comes_before_what_comes_now(town: Town) -> None:
    alice, room = await opened(town)
    town.remote.say("C1", "U1", "before")
    await town.says(alice, room, "before")
    town.network.disconnect()
    for number in range(5):
        town.remote.say("C1", "U1", f"missed {number}")
    town.remote.forget_undelivered()
    town.network.reconnect()
    town.remote.say("C1", "U1", "now")
    await comes_to(lambda: bodies(town, alice, room), ["before", *(f"missed {n}" for n in range(5)), "now"])


@inlined
async def test_catching_up_twice_doubles_nothing(town: Town) -> None:
    alice, room = await opened(town)
    message = town.remote.say("C1", "U1", "hello")
    town.remote.react(message, "U1", "👍")
    await alice.send(room, "hello too")
    assert town.network.bridge is not None
    town.network.bridge.catch_up()
    town.network.bridge.catch_up([ChannelId("C1")])
    await town.settle("C1", alice, room)
    said = [text for text in await bodies(town, alice, room) if "mark" not in text]
    assert sorted(said) == ["hello", "hello too"]
