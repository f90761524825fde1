"""After an outage of whatever length: nothing is lost, nothing doubled, and nobody waits for others' history."""

import pytest_twisted
from attrs import evolve
from twisted.internet.defer import Deferred

from appservice.bridges.core import history
from appservice.bridges.core.errors import MissingPermission
from appservice.bridges.core.ids import ChannelId
from appservice.bridges.core.turns import CONCURRENT
from tests.integration.bridges.core.scenes import comes_to, opened
from tests.integration.bridges.core.test_history import bodies
from tests.support.bridges import Town
from tests.support.fake_service import until
from tests.support.homeserver import Client

inlined = pytest_twisted.ensureDeferred


def missed(town: Town, count: int, first: int = 0) -> list[str]:
    """Said while nobody listens."""
    said = [f"missed {number}" for number in range(first, first + count)]
    for text in said:
        town.remote.say("C1", "U1", text)
    town.remote.forget_undelivered()
    return said


async def with_messages_of_old(town: Town, count: int) -> tuple[Client, str]:
    alice, room = await opened(town)
    for number in range(count):
        town.remote.say("C1", "U1", f"old {number}")
    await town.says(alice, room, f"old {count - 1}")
    await town.bridge.parts.inbox.idle()
    return alice, room


@inlined
async def test_what_was_missed_is_made_up_for_over_many_pages_and_kills(town: Town, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(history, "_PAGE", 7)
    town.settings = evolve(town.settings, backfill=evolve(town.settings.backfill, look_back=5))
    alice, room = await with_messages_of_old(town, 2)
    await town.bridge.kill()
    wanted = ["old 0", "old 1", *missed(town, 45)]
    asked, killed = [0], Deferred[None]()

    async def kill_at_the_fourth(op: str) -> None:
        asked[0] += op == "history"
        if op == "history" and asked[0] == 4:
            killed.callback(None)
        if asked[0] >= 4:
            await Deferred()  # never to come back

    town.remote.before = kill_at_the_fourth
    await town.restart()
    await killed
    town.remote.say("C1", "U1", "while it reads")
    await town.bridge.kill()
    asked[0] = -1_000
    town.remote.calls.clear()
    await town.restart()
    await comes_to(lambda: bodies(town, alice, room), [*wanted, "while it reads"])
    begun = [what[3] for op, what in town.remote.calls if op == "history" and what[3] is not None]
    there = [message.id for message in town.remote.messages("C1")]
    assert there.index(begun[0]) == 1 + 7, "what was shown before the kill is not read again"


@inlined
async def test_what_could_not_be_read_is_not_forgotten_over_what_comes_after(town: Town) -> None:
    alice, room = await with_messages_of_old(town, 1)
    town.network.disconnect()
    wanted = missed(town, 3)

    async def refuse(op: str) -> None:
        if op == "history":
            raise MissingPermission("history", "the app lacks the scope history")

    town.remote.before = refuse
    town.network.reconnect()
    await town.says(alice, room, "What was missed here could not be read: the app lacks the scope history")
    # So many that the newest ones, which are looked at in any case, do not reach back.
    later = [f"later {number}" for number in range(40)]
    for text in later:
        town.remote.say("C1", "U1", text)
    await town.says(alice, room, later[-1])
    town.remote.before = _nothing
    assert town.network.bridge is not None
    town.network.bridge.catch_up()
    await town.says(alice, room, wanted[-1])
    said = [text for text in await bodies(town, alice, room) if "could not" not in text]
    assert said == ["old 0", *later, *wanted]


@inlined
async def test_a_room_in_which_nothing_was_said_yet_misses_nothing(town: Town) -> None:
    alice, room = await opened(town)
    await town.bridge.kill()
    wanted = missed(town, 60)
    await town.restart()
    await comes_to(lambda: bodies(town, alice, room), wanted)


@inlined
async def test_what_became_of_known_messages_is_seen_behind_much_that_is_new(town: Town) -> None:
    alice, room = await opened(town)
    edited, gone = town.remote.say("C1", "U1", "edited"), town.remote.say("C1", "U1", "gone")
    town.remote.say("C1", "U1", "last")
    await town.says(alice, room, "last")
    await town.bridge.kill()
    town.remote.edit(edited, "edited since")
    town.remote.delete(gone)
    wanted = missed(town, 40)
    await town.restart()
    await comes_to(lambda: bodies(town, alice, room), ["edited since", "last", *wanted])


@inlined
async def test_who_wants_no_more_than_so_many_is_told_of_the_rest(town: Town) -> None:
    town.settings = evolve(town.settings, backfill=evolve(town.settings.backfill, look_back=5, catch_up=10))
    alice, room = await with_messages_of_old(town, 1)
    await town.bridge.kill()
    wanted = missed(town, 20)[:10]
    await town.restart()
    await town.says(alice, room, "More was missed here than 10 messages")
    said = [text for text in await bodies(town, alice, room) if "More was" not in text]
    assert said == ["old 0", *wanted]


@inlined
async def test_channels_that_read_their_history_hold_up_no_other(town: Town) -> None:
    alice, room = await opened(town)
    others = [ChannelId(f"D{number}") for number in range(CONCURRENT + 2)]
    for each in others:
        town.remote.add_channel(each, each.lower(), ["U1"])
        await town.open(each)

    async def slowly(op: str) -> None:
        if op == "history":
            await Deferred()  # for as long as the network likes

    town.remote.before = slowly
    assert town.network.bridge is not None
    town.network.bridge.catch_up(others)
    await until(lambda: len(town.bridge.parts.inbox._running) >= len(others))
    town.remote.say("C1", "U1", "hello meanwhile")
    await town.says(alice, room, "hello meanwhile")
    await town.bridge.kill()
    town.remote.before = _nothing
    await town.restart()


async def _nothing(op: str) -> None:
    return None
