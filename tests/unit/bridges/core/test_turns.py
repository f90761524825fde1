"""Who works at once, and who reads history meanwhile."""

from twisted.internet.defer import CancelledError, Deferred

from appservice.bridges.core.turns import Turns


class Queues:
    """Queues that work, and read pages as long as they are let."""

    def __init__(self, places: int = 1, readers: int = 1) -> None:
        self.turns = Turns(places, readers)
        self.pages: dict[str, Deferred[None]] = {}
        self.log: list[str] = []

    async def _page(self, name: str) -> None:
        self.log.append(f"{name} reads")
        self.pages[name] = Deferred()
        await self.pages[name]

    async def _reader(self, name: str) -> None:
        await self.turns.read(name, lambda: self._page(name))
        self.log.append(f"{name} has read")

    async def _worker(self, name: str) -> None:
        self.log.append(f"{name} works")

    def read(self, name: str) -> "Deferred[None]":
        return Deferred.fromCoroutine(self.turns.work(lambda: self._reader(name)))

    def work(self, name: str) -> "Deferred[None]":
        return Deferred.fromCoroutine(self.turns.work(lambda: self._worker(name)))


def test_who_reads_holds_no_place() -> None:
    queues = Queues()
    queues.read("a")
    queues.read("b")
    queues.work("c")
    assert queues.log == ["a reads", "c works"]
    queues.pages["a"].callback(None)
    assert queues.log[2:] == ["b reads", "a has read"]


def test_a_queue_for_which_somebody_waits_reads_next() -> None:
    queues = Queues()
    for name in "abc":
        queues.read(name)
    queues.turns.hurry("c")
    for name in "acb":
        queues.pages[name].callback(None)
    assert [line for line in queues.log if line.endswith("reads")] == ["a reads", "c reads", "b reads"]


def test_who_is_cancelled_leaves_the_turn_and_the_place_to_others() -> None:
    queues = Queues()
    reading, waiting = queues.read("a"), queues.read("b")
    for each in (waiting, reading):
        each.addErrback(lambda failure: failure.trap(CancelledError))
        each.cancel()
    queues.read("c")
    queues.work("d")
    assert queues.log == ["a reads", "c reads", "d works"]
