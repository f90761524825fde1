"""The bridge killed at any moment, answers lost, the homeserver or the network away: nothing is lost, nothing doubled,
and what one channel says stays in order."""

import contextlib

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from appservice.bridges.core.errors import Refused, Temporary
from tests.integration.bridges.core.scenes import comes_to, opened
from tests.support.bridges import Town
from tests.support.fake_service import until
from tests.support.homeserver import Client

inlined = pytest_twisted.ensureDeferred

IN = [f"in {number}" for number in range(3)]
OUT = [f"out {number}" for number in range(3)]


# So long a machine under load needs at most for the steps before the kill.
_STEPS_S = 15.0


class Killer:
    """Kills the bridge at one step of its work: a request of either side, before or after it is done."""

    def __init__(self, town: Town, at: int) -> None:
        self._town = town
        self._left = at
        self.killed: Deferred[None] = Deferred()
        self.steps: list[str] = []
        town.bridge.wire.before = self._of_wire
        town.bridge.wire.after = self._of_wire
        town.remote.before = town.remote.after = self._step

    async def _of_wire(self, method: str, path: str) -> None:
        await self._step(f"{method} {path.partition('?')[0]}")

    async def _step(self, what: str) -> None:
        self.steps.append(what)
        self._left -= 1
        if self._left == 0:
            self.killed.callback(None)
        if self._left <= 0:
            await Deferred()  # never to come back

    async def restart(self) -> None:
        """The kill, as soon as it has come to that, and a new process. Where it needed fewer steps: at rest."""
        with contextlib.suppress(TimeoutError):
            await self._town.bridge.clock.timeout(self.killed, _STEPS_S)
        await self._town.bridge.kill()
        self._town.remote.before = self._town.remote.after = _nothing
        await self._town.restart()


async def _nothing(what: str) -> None:
    return None


async def _said(town: Town, client: Client, room: str) -> list[str]:
    said = await town.messages(client, room)
    return [text.partition(": ")[2] for text in said if text.startswith("@fake__u1") and ": in " in text]


def _heard(town: Town) -> list[str]:
    return [text.partition(": ")[2] for text in town.remote.texts("C1") if ": out " in text]


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 7, 9, 11, 13, 15, 17, 20])
@inlined
async def test_killed_at_any_step_nothing_is_lost_or_doubled(town: Town, at: int) -> None:
    town.remote.is_doubling = at % 2 == 0
    town.remote.tells_keys = at % 3 == 0
    alice, room = await opened(town)
    killer = Killer(town, at)
    for text in IN:
        town.remote.say("C1", "U1", text)
    for text in OUT:
        await alice.send(room, text)
    await killer.restart()
    await comes_to(lambda: _said(town, alice, room), IN)
    await until(lambda: len(_heard(town)) >= len(OUT))
    await town.settle("C1", alice, room)
    assert await _said(town, alice, room) == IN, killer.steps
    assert _heard(town) == OUT, killer.steps


@pytest.mark.parametrize("at", [1, 3, 5, 8, 12, 17])
@inlined
async def test_killed_while_a_room_is_made_there_is_one_room(town: Town, at: int) -> None:
    town.remote.add_channel("C1", "general", ["U1"])
    alice = await town.user("alice")
    town.remote.add_space("T1", "Team")
    town.remote.channels["C1"].space = "T1"  # type: ignore[assignment,index]
    killer = Killer(town, at)
    town.bridge.tasks.background("open", town.bridge.parts.bridging.open("C1", None))  # type: ignore[arg-type]
    await killer.restart()
    room = await town.open("C1", alice)
    rooms = town.hs.rows("SELECT count(*) FROM rooms")
    assert rooms == [(2,)], "the channel's and its space's"
    town.remote.say("C1", "U1", "hello")
    await town.says(alice, room, "hello")


@inlined
async def test_a_lost_answer_of_the_network_doubles_nothing(town: Town) -> None:
    alice, room = await opened(town)
    lost = ["send", "send"]

    async def lose(op: str) -> None:
        if op in lost:
            lost.remove(op)
            raise Temporary("the connection broke", 0.01)

    town.remote.after = lose
    await alice.send(room, "out 0")
    await alice.send(room, "out 1")
    await town.settle("C1", alice, room)
    assert _heard(town) == ["out 0", "out 1"]


@inlined
async def test_what_is_said_while_the_bridge_is_down_comes_afterwards(town: Town) -> None:
    alice, room = await opened(town)
    await town.bridge.kill()
    for text in IN:
        town.remote.say("C1", "U1", text)
    for text in OUT:
        await alice.send(room, text)
    await town.restart()
    await town.settle("C1", alice, room)
    assert await _said(town, alice, room) == IN
    assert _heard(town) == OUT


@inlined
async def test_while_the_homeserver_is_away_messages_wait(town: Town) -> None:
    alice, room = await opened(town)
    town.bridge.wire.is_cut = True
    for text in IN:
        town.remote.say("C1", "U1", text)
    await until(lambda: town.remote.is_delivered)
    town.bridge.wire.is_cut = False
    await comes_to(lambda: _said(town, alice, room), IN)


@inlined
async def test_while_the_network_says_wait_messages_wait_in_order(town: Town) -> None:
    alice, room = await opened(town)
    refusals = [0.01] * 3

    async def limit(op: str) -> None:
        if op == "send" and refusals:
            raise Temporary("slow down", refusals.pop())

    town.remote.before = limit
    for text in OUT:
        await alice.send(room, text)
    await until(lambda: _heard(town) == OUT)


@inlined
async def test_what_is_refused_is_told_and_holds_nobody_up(town: Town) -> None:
    alice, room = await opened(town)

    async def refuse(op: str) -> None:
        if op == "send" and not town.remote.messages("C1"):
            town.remote.before = _nothing
            raise Refused("no shouting")

    town.remote.before = refuse
    event_id = await alice.send(room, "OUT")
    await alice.send(room, "out 1")
    notice = await town.says(alice, room, "did not reach Fakechat: no shouting")
    assert notice["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": event_id}}
    await until(lambda: _heard(town) == ["out 1"])


@inlined
async def test_a_fault_of_ours_is_told_and_holds_nobody_up(town: Town) -> None:
    alice, room = await opened(town)

    async def fail(op: str) -> None:
        if op == "send" and not _heard(town):
            raise ZeroDivisionError

    town.remote.before = fail
    await alice.send(room, "out 0")
    await town.says(alice, room, "a fault of the bridge")
    town.remote.before = _nothing
    await alice.send(room, "out 1")
    await until(lambda: _heard(town) == ["out 1"])


@inlined
async def test_one_channel_that_waits_does_not_hold_up_another(town: Town) -> None:
    alice, room = await opened(town)
    town.remote.add_channel("C2", "random", ["U1"])
    other = await town.open("C2", alice)

    async def hang(op: str) -> None:
        if op == "send" and not town.remote.messages("C2"):
            raise Temporary("slow down", 5)

    town.remote.before = hang
    await alice.send(room, "out 0")
    town.remote.before = _nothing
    await alice.send(other, "out 1")
    await until(lambda: town.remote.texts("C2") == ["alice: out 1"])


@inlined
async def test_a_clean_stop_loses_nothing(town: Town) -> None:
    alice, room = await opened(town)
    for text in IN:
        town.remote.say("C1", "U1", text)
    for text in OUT:
        await alice.send(room, text)
    await town.bridge.stop()
    await town.restart()
    await town.settle("C1", alice, room)
    assert await _said(town, alice, room) == IN
    assert _heard(town) == OUT


@pytest.mark.parametrize("at", [1, 2, 4, 6, 8, 9, 11])
@inlined
async def test_killed_amid_edits_and_reactions_each_is_there_once(town: Town, at: int) -> None:
    alice, room = await opened(town)
    message = town.remote.say("C1", "U1", "helo")
    theirs = (await town.says(alice, room, "helo"))["event_id"]
    mine = await alice.send(room, "helo too")
    await until(lambda: len(town.remote.messages("C1")) == 2)
    await town.bridge.parts.inbox.idle()
    killer = Killer(town, at)
    edited = town.remote.edit(message, "hello")
    town.remote.react(edited, "U1", "👍")
    new = {"msgtype": "m.text", "body": "hello too"}
    await alice.send(
        room, "* hello too", **{"m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": mine}}
    )
    relation = {"rel_type": "m.annotation", "event_id": theirs, "key": "🎉"}
    await alice.send_event(room, "m.reaction", {"m.relates_to": relation})
    await killer.restart()
    await town.settle("C1", alice, room)
    events = await town.events(alice, room)
    edits = [event["content"]["m.new_content"]["body"] for event in events if "m.new_content" in event["content"]]
    assert sorted(edits) == ["hello", "hello too"], killer.steps
    reactions = [event["sender"] for event in events if event["type"] == "m.reaction" and event["content"]]
    assert sorted(reactions) == [alice.user_id, town.ghost("U1")], killer.steps
    there = town.remote.messages("C1")
    assert there[1].parts[0].content["body"] == "hello too"
    assert sorted((each.person, each.emoji.id) for each in there[0].reactions or ()) == [("BOT", "🎉"), ("U1", "👍")]
