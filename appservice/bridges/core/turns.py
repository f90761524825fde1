"""How many channels are worked on at once, and how many of them read history.

A network gives history slowly: a channel that waits for it leaves its place to another one meanwhile, so that what
comes to other channels does not wait with it. Readers have a few turns, a page each, so that a channel with much to
read does not keep the others from reading; one to which something has come goes first.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore

T = TypeVar("T")
CONCURRENT = 32
# Who reads holds a page, or (Slack) all that was missed.
READERS = 8


class Turns:
    """Places for the queues, and turns at reading."""

    def __init__(self, places: int = CONCURRENT, readers: int = READERS) -> None:
        self._places = DeferredSemaphore(places)
        self._free = readers
        self._waiting: list[tuple[str, Deferred[None]]] = []

    async def work(self, make: Callable[[], Awaitable[T]]) -> T:
        """What it gives, when there is a place."""
        await self._places.acquire()
        try:
            return await make()
        finally:
            self._places.release()

    async def read(self, queue: str, make: Callable[[], Awaitable[T]]) -> T:
        """What it gives, when it is this queue's turn; the place that `work` has given is another's meanwhile."""
        self._places.release()
        try:
            await self._turn(queue)
            try:
                return await make()
            finally:
                self._pass_on()
        finally:
            await self._places.acquire()

    def hurry(self, queue: str) -> None:
        """Somebody waits for this queue: it is the next that reads."""
        self._waiting.sort(key=lambda each: each[0] != queue)

    async def _turn(self, queue: str) -> None:
        if self._free:
            self._free -= 1
            return
        mine: Deferred[None] = Deferred()
        self._waiting.append((queue, mine))
        try:
            await mine
        except CancelledError:
            self._waiting = [each for each in self._waiting if each[1] is not mine]
            raise

    def _pass_on(self) -> None:
        if self._waiting:
            _, following = self._waiting.pop(0)
            following.callback(None)
        else:
            self._free += 1
