"""The inbox alone: what is accepted is handled in order, once, by the shortest way."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from appservice.bridges.core import inbox as inbox_module
from appservice.bridges.core.inbox import Inbox
from appservice.bridges.core.turns import Turns
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from storage import bridges_inbox as rows
from storage.bridges_inbox import MATRIX, NETWORK, Accepted, Waiting
from storage.bridges_store import Store
from storage.database import Database

inlined = pytest_twisted.ensureDeferred


class Place:
    """A database, and inboxes over it: one process after the other. `statements` are those asked for since `clear`."""

    def __init__(self, dsn: str) -> None:
        self.database = Database(dsn, reactor=reactor, threads=2)  # type: ignore[arg-type]
        self.database.start()
        self.store = Store(self.database, "fake")
        self.handled: list[int] = []
        self.asked: list[str] = []
        # What a handler waits for.
        self.gate: Deferred[None] | None = None
        self._count()

    def _count(self) -> None:
        for door in ("run", "read"):
            original = getattr(self.store, door)

            def counted(function: Any, *args: Any, original: Any = original, **kwargs: Any) -> Any:
                self.asked.append(function.__name__)
                return original(function, *args, **kwargs)

            setattr(self.store, door, counted)

    def inbox(self) -> Inbox:
        clock, metrics = Clock(reactor), Metrics()  # type: ignore[arg-type]
        return Inbox(
            store=self.store,
            clock=clock,
            tasks=Tasks(clock=clock, metrics=metrics),
            metrics=metrics,
            turns=Turns(),
            handle=self._handle,
            give_up=self._give_up,
        )

    async def _handle(self, item: Waiting) -> None:
        if self.gate is not None:
            await self.gate
        self.handled.append(item.payload["number"])

    async def _give_up(self, item: Waiting, error: Exception) -> None:
        raise AssertionError(error)

    def open(self) -> None:
        gate, self.gate = self.gate, None
        assert gate is not None
        gate.callback(None)

    async def left(self) -> int:
        count, _ = await self.store.read(rows.depth)
        return count


def items(numbers: Sequence[int], source: int = MATRIX) -> list[Accepted]:
    key = "key {}".format if source == NETWORK else lambda _: None
    return [Accepted(queue="C1", source=source, payload={"number": each}, key=key(each)) for each in numbers]


@pytest_twisted.async_yield_fixture
async def place(dsn: str) -> AsyncIterator[Place]:
    found = Place(dsn)
    yield found
    found.database.stop()


@inlined
async def test_a_message_is_accepted_and_deleted_by_one_statement_each(place: Place) -> None:
    inbox = place.inbox()
    await inbox.start()
    place.asked.clear()
    for number in range(3):
        await inbox.accept(items([number]), once=f"transaction {number}")
        await inbox.idle()
    assert place.handled == [0, 1, 2]
    assert place.asked == ["accept", "delete"] * 3


@inlined
async def test_what_its_handler_has_deleted_is_not_deleted_again(place: Place) -> None:
    inbox = place.inbox()
    await inbox.start()

    async def handle(item: Waiting) -> None:
        item.is_gone = True

    inbox._handle = handle
    place.asked.clear()
    await inbox.accept(items([1]), once="transaction 1")
    await inbox.idle()
    assert place.asked == ["accept"]


@inlined
async def test_order_is_kept_however_much_comes_while_the_first_is_handled(place: Place) -> None:
    inbox = place.inbox()
    await inbox.start()
    place.gate = Deferred()
    for begin, end in ((0, 1), (1, 3), (3, 80), (80, 90), (90, 200)):
        await inbox.accept(items(range(begin, end), NETWORK))
    place.open()
    await inbox.idle()
    assert place.handled == list(range(200))
    assert await place.left() == 0


@inlined
async def test_what_comes_while_the_queue_is_being_read_is_neither_lost_nor_handled_twice(place: Place) -> None:
    before = place.inbox()
    before.stop()
    await before.accept(items(range(3), NETWORK))
    inbox = place.inbox()
    starting = inbox.start()
    # Neither is waited for: the database answers both in any order.
    accepting = inbox.accept(items(range(3, 6), NETWORK))
    for each in (Deferred.fromCoroutine(starting), Deferred.fromCoroutine(accepting)):
        await each
    await inbox.idle()
    assert place.handled == list(range(6))
    assert await place.left() == 0


@inlined
async def test_what_was_handled_before_its_acceptance_was_answered_is_handled_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: Deferred[None] = Deferred()
    read = place.store.read

    async def answer_late(function: Any, *args: Any, **kwargs: Any) -> Any:
        value = await read(function, *args, **kwargs)
        if function is rows.accept:
            await answered
        return value

    monkeypatch.setattr(place.store, "read", answer_late)
    inbox = place.inbox()
    accepting = Deferred.fromCoroutine(inbox.accept(items(range(3), NETWORK)))
    while await place.left() < 3:
        pass
    await inbox.start()
    await inbox.idle()
    answered.callback(None)
    await accepting
    await inbox.idle()
    assert place.handled == [0, 1, 2]
    assert await place.left() == 0


@inlined
async def test_what_waited_before_the_start_goes_before_what_came_since(place: Place) -> None:
    before = place.inbox()
    before.stop()
    await before.accept(items([1, 2], NETWORK))
    inbox = place.inbox()
    await inbox.accept(items([3], NETWORK))
    await inbox.start()
    await inbox.idle()
    assert place.handled == [1, 2, 3]


@inlined
async def test_a_delivery_is_taken_once_also_within_one_call(place: Place) -> None:
    inbox = place.inbox()
    await inbox.start()
    await inbox.accept([*items([1, 2, 1], NETWORK), *items([3])])
    await inbox.accept(items([2, 4], NETWORK))
    await inbox.idle()
    assert place.handled == [1, 2, 3, 4]


@inlined
async def test_of_a_transaction_all_is_taken_or_nothing(place: Place) -> None:
    inbox = place.inbox()
    await inbox.start()
    await inbox.accept(items([1, 2]), once="transaction 1")
    await inbox.accept(items([1, 2]), once="transaction 1")
    await inbox.idle()
    assert place.handled == [1, 2]


@inlined
async def test_what_was_written_before_the_answer_was_lost_is_found_when_it_comes_again(place: Place) -> None:
    inbox = place.inbox()
    await inbox.start()
    await place.store.read(rows.accept, items([1], NETWORK), 0)
    await inbox.accept(items([1], NETWORK))
    await inbox.idle()
    assert place.handled == [1]


@inlined
async def test_a_queue_goes_on_after_a_fault_of_ours(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "_DATABASE_PAUSE_S", 0.0)
    inbox = place.inbox()
    await inbox.start()
    delete, failures = rows.delete, [0]

    def fail(*args: Any) -> None:
        failures[0] += 1
        if failures[0] <= 4:
            raise RuntimeError("a fault")
        delete(*args)

    async def give_up(item: Waiting, error: Exception) -> None:
        return None

    monkeypatch.setattr(rows, "delete", fail)
    inbox._give_up = give_up
    await inbox.accept(items([1, 2], NETWORK))
    await inbox.idle()
    assert place.handled[-1] == 2
    assert await place.left() == 0


@inlined
async def test_letters_that_the_database_does_not_hold_are_gone_from_what_is_handled(place: Place) -> None:
    inbox, texts = place.inbox(), []

    async def handle(item: Waiting) -> None:
        texts.append(item.payload["text"])

    inbox._handle = handle
    await inbox.start()
    await inbox.accept([Accepted(queue="C1", source=MATRIX, payload={"text": "a\0b"})])
    await inbox.idle()
    assert texts == ["ab"]
