"""What was accepted and is to be bridged: durable, one at a time in each queue, in order, both directions together.

A worker takes the first of its queue, has it handled, deletes it (or its handler does, with the writing of what it
became), and takes the next. Killed in between, the next process handles the same again: every handler must find out
what of its work is done already. While a worker holds all that waits in its queue, what is accepted goes straight to
it. What cannot be done now (the network or the homeserver is down) waits with all that is behind it; what can never be
done is given up, and its writer told. Queues do not wait for each other, up to turns.CONCURRENT of them.
"""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall

from appservice.bridges.core.errors import LoginLost, NetworkError, Refused, Temporary
from appservice.bridges.core.matrix_client import HomeserverDown
from appservice.bridges.core.turns import Turns
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from storage import bridges_inbox as rows
from storage import bridges_marks
from storage.bridges_inbox import OWN, Accepted, Waiting
from storage.bridges_store import Store
from storage.database import CommitUnknown, DatabaseDown

# So many are held at once.
_BATCH = 50
# A call that hangs must not hold its channel for ever; an upload of a large file may take this long.
_CALL_S = 900.0
_MAX_PAUSE_S = 60.0
_DATABASE_PAUSE_S = 2.0
# What fails by a fault of ours is tried so often.
_BUG_ATTEMPTS = 3
# What "may work later" for so long will not.
_MAX_AGE_MS = 3 * 24 * 3600 * 1000

Handle = Callable[[Waiting], Awaitable[None]]
GiveUp = Callable[[Waiting, Exception], Awaitable[None]]
_LATER = (Temporary, HomeserverDown, DatabaseDown, CommitUnknown, TimeoutError, LoginLost)

logger = logging.getLogger(__name__)


@define
class _Queue:
    """One that runs. `is_whole`: what is `held` is all that waits; else `has_more` says that something came since it
    was last read."""

    held: deque[Waiting] = field(factory=deque)
    is_whole: bool = False
    has_more: bool = False


class Inbox:
    """`handle` bridges one; `give_up` tells people that it could not be."""

    def __init__(
        self, *, store: Store, clock: Clock, tasks: Tasks, metrics: Metrics, turns: Turns, handle: Handle,
        give_up: GiveUp,
    ) -> None:  # fmt: skip
        self._store, self._clock, self._tasks = store, clock, tasks
        self._handle, self._give_up = handle, give_up
        self._turns = turns
        self._running: dict[str, _Queue] = {}
        # How often a queue was read. What was accepted meanwhile may have been in it, and be handled already.
        self._reads = 0
        # What waited before this process began is known.
        self._has_started = False
        self._pauses: dict[str, tuple[IDelayedCall, Deferred[None]]] = {}
        self._idle: list[Deferred[None]] = []
        self._is_stopping = False
        self._handled = metrics.counter("bridge_handled", "Events bridged, by their source and outcome", ["outcome"])
        self._delay = metrics.histogram("bridge_delay_seconds", "From being accepted to being bridged", [])
        metrics.gauge_of("bridge_queues", "Queues in which something waits", lambda: len(self._running))
        metrics.gauge_of(
            "bridge_paused_queues", "Queues that wait for somebody to work again", lambda: len(self._pauses)
        )

    async def accept(self, items: Sequence[Accepted], *, once: str | None = None) -> None:
        """Durable when it returns. `once`: a key for all of them together, as each may have one."""
        is_repeatable = once is not None or all(item.key is not None for item in items)
        # What has a key may be written twice.
        door = self._store.read if is_repeatable else self._store.run
        reads = self._reads
        new: dict[str, list[Waiting]] = {item.queue: [] for item in items}
        for each in await door(rows.accept, items, self._clock.now_ms(), once=once):
            new[each.queue].append(each)
        for queue, came in new.items():
            self._wake(queue, came if self._reads == reads else [])
        for queue in {item.queue for item in items if item.source != OWN}:
            self._turns.hurry(queue)

    async def catch_up(self, channels: Sequence[str]) -> None:
        """Something may have been missed in these: durable when it returns, and made up for when it is their turn."""
        if channels:
            await self._store.run(bridges_marks.note_missed, channels)
            await self.accept([Accepted(queue=each, source=OWN, payload={"task": "catch_up"}) for each in channels])

    async def start(self) -> None:
        """Goes on with what waits."""
        for queue in await self._store.read(rows.queues):
            self._wake(queue, [])
        self._has_started = True

    def stop(self) -> None:
        """Nothing more is begun; what runs may end."""
        self._is_stopping = True
        self.hurry()

    def _wake(self, name: str, came: Sequence[Waiting]) -> None:
        """These came to the queue; none: nobody knows."""
        if self._is_stopping:
            return
        running = self._running.get(name)
        # Nothing else waits in a queue that does not run.
        queue = running or _Queue(is_whole=self._has_started)
        if queue.is_whole and came and len(queue.held) + len(came) <= _BATCH:
            queue.held += came
        else:
            queue.is_whole, queue.has_more = False, True
        if running is None:
            self._running[name] = queue
            self._tasks.background("bridge.queue", self._run(name, queue))

    def is_busy(self, queue: str) -> bool:
        """Something waits in it, or is being handled."""
        return queue in self._running

    def hurry(self, queue: str | None = None) -> None:
        """What waits for somebody to work again tries now: they do, or it is time to stop."""
        for name in list(self._pauses) if queue is None else [queue] if queue in self._pauses else []:
            timer, waiting = self._pauses.pop(name)
            if timer.active():
                timer.cancel()
            waiting.callback(None)

    async def idle(self) -> None:
        """Comes back when no queue runs."""
        while self._running:
            waiting: Deferred[None] = Deferred()
            self._idle.append(waiting)
            await waiting

    async def _run(self, name: str, queue: _Queue) -> None:
        try:
            while not self._is_stopping and (queue.held or not queue.is_whole):
                try:
                    await self._work_off(name, queue)
                    continue
                except CancelledError:
                    raise
                except (DatabaseDown, CommitUnknown) as error:
                    logger.warning("%s waits for the database: %s", name, error)
                except Exception:
                    logger.exception("%s is read anew", name)
                queue.held.clear()
                queue.is_whole = False
                await self._pause(name, _DATABASE_PAUSE_S)
        finally:
            del self._running[name]
            if not self._running:
                waiting, self._idle = self._idle, []
                for one in waiting:
                    one.callback(None)

    async def _work_off(self, name: str, queue: _Queue) -> None:
        """The first of the queue."""
        if not queue.held:
            queue.has_more = False
            queue.held += await self._store.read(rows.waiting, name, _BATCH)
            self._reads += 1
            queue.is_whole = len(queue.held) < _BATCH and not queue.has_more
        while queue.held and not self._is_stopping:
            await self._finish(queue.held.popleft())

    async def _finish(self, item: Waiting) -> None:
        """Until it is done, or given up, or the process stops."""
        failures = 0
        while not self._is_stopping:
            try:
                await self._turns.work(lambda: self._once(item))
            except _LATER as error:
                if self._clock.now_ms() - item.accepted_ms > _MAX_AGE_MS:
                    await self._let_go(item, error)
                    return
                failures += 1
                pause_s = _pause_after(error, failures)
                logger.warning("%s waits %.1f s: %s: %s", item.queue, pause_s, type(error).__name__, error)
                await self._pause(item.queue, pause_s)
            except CancelledError:
                # The process stops: what was begun is found by the next one.
                raise
            except NetworkError as error:
                await self._let_go(item, error)
                return
            except Exception as error:
                # A fault of ours must not stop the channel: it is told, and the next has its turn.
                failures += 1
                logger.exception("An event of %s failed", item.queue)
                await self._store.read(rows.count_attempt, item.seq)
                if item.attempts + failures >= _BUG_ATTEMPTS:
                    await self._let_go(item, error)
                    return
                await self._pause(item.queue, 0.2 * failures)
            else:
                return

    async def _once(self, item: Waiting) -> None:
        # History is read in the network's own pace, however slow.
        if item.source == OWN:
            await self._handle(item)
        else:
            await self._clock.timeout(self._handle(item), _CALL_S)
        if not item.is_gone:
            await self._store.read(rows.delete, item.seq)
        self._handled.labels("done").inc()
        self._delay.observe(max(0, self._clock.now_ms() - item.accepted_ms) / 1000)

    async def _let_go(self, item: Waiting, error: Exception) -> None:
        self._handled.labels("refused" if isinstance(error, Refused) else "failed").inc()
        try:
            await self._clock.timeout(self._give_up(item, error), 60.0)
        except Exception:
            # Nobody can be told; the channel goes on.
            logger.exception("Nobody could be told that an event of %s was given up", item.queue)
        await self._store.read(rows.delete, item.seq)

    async def _pause(self, queue: str, seconds: float) -> None:
        waiting: Deferred[None] = Deferred()
        timer = self._clock.later(seconds, self.hurry, queue)
        self._pauses[queue] = (timer, waiting)
        await waiting


def _pause_after(error: Exception, failures: int) -> float:
    """Seconds until the next attempt."""
    if isinstance(error, Temporary) and error.retry_after_s is not None:
        return error.retry_after_s
    if isinstance(error, LoginLost) and error.login is not None and failures == 1:
        # It is known as lost now: the next attempt is by relay.
        return 0.0
    return min(2.0 ** min(failures, 10) / 2, _MAX_PAUSE_S)
