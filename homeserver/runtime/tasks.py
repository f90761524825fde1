"""Background work has one door: what is started here is named, counted, logged if it fails, and ended at stop."""

import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import cache
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics

logger = logging.getLogger(__name__)

# After the time to finish: the time that cancelled tasks get for their `finally` blocks.
_CANCELLED_GRACE_S = 1.0


class Tasks:
    """The server's running coroutines, other than requests."""

    def __init__(self, *, clock: Clock, metrics: Metrics | None = None) -> None:
        metrics = metrics or Metrics()
        self._clock = clock
        self._names: dict[Deferred[None], str] = {}
        self._endless: set[Deferred[None]] = set()
        self._sleeping: set[Deferred[None]] = set()
        self._idle: Deferred[None] | None = None
        self._stopping = self._stopped = False
        # Finding a metric by its labels costs more than counting.
        self._started = cache(metrics.counter("background_started", "Background tasks started", ["task"]).labels)
        self._failed = metrics.counter("background_failed", "Background tasks that raised", ["task"])
        metrics.gauge_of("background_running", "Background tasks that run now", lambda: len(self._names))

    def background(self, name: str, coroutine: Coroutine[Any, Any, object], *, endless: bool = False) -> None:
        """Runs the coroutine. `endless`: it never finishes of itself, so that stop cancels it without waiting.

        The name is a metric's label: the kind of work, never an id.
        """
        if self._stopped:
            coroutine.close()
            return
        self._started(name).inc()
        # Held back until it is listed: it may well finish, or stop us, before the first wait.
        start: Deferred[None] = Deferred()
        task = Deferred.fromCoroutine(self._guarded(name, start, coroutine))
        self._names[task] = name
        if endless:
            self._endless.add(task)
        task.addBoth(self._ended, task)
        start.callback(None)

    def repeat(self, name: str, every_s: float, function: Callable[[], Awaitable[object]]) -> None:
        """Calls the function every so many seconds, first after one interval, never twice at a time.

        A call that fails is logged; the next one comes as usual.
        """
        self.background(name, self._repeated(name, every_s, function))

    async def nap(self, seconds: float) -> None:
        """Comes back after so many seconds, for a task that stop need not wait for. Raises: CancelledError at stop."""
        if self._stopping:
            raise CancelledError
        nap = Deferred.fromCoroutine(self._clock.sleep(seconds))
        self._sleeping.add(nap)
        try:
            await nap
        finally:
            self._sleeping.discard(nap)

    def running(self) -> list[str]:
        """The names of what runs now, for messages."""
        return sorted(self._names.values())

    async def stop(self, timeout_s: float) -> None:
        """Comes back when nothing runs any more: first waits for what has an end, then cancels it."""
        self._stopping = True
        for task in [*self._endless, *self._sleeping]:
            task.cancel()
        try:
            await self._clock.timeout(self._all_ended(), timeout_s)
        except TimeoutError:
            logger.warning("Still running after %g s, cancelled: %s", timeout_s, ", ".join(self.running()))
            await self._cancel_all()
        self._stopped = True

    async def _all_ended(self) -> None:
        while self._names:
            self._idle = Deferred()
            await self._idle

    async def _cancel_all(self) -> None:
        for task in list(self._names):
            task.cancel()
        try:
            await self._clock.timeout(self._all_ended(), _CANCELLED_GRACE_S)
        except TimeoutError:
            logger.error("Left running: %s", ", ".join(self.running()))

    async def _guarded(self, name: str, start: "Deferred[None]", coroutine: Coroutine[Any, Any, object]) -> None:
        try:
            await start
            await coroutine
        except CancelledError:
            if not self._stopping:
                self._failed.labels(name).inc()
                logger.warning("Background task %s was cancelled", name)
        except Exception:
            # The one place that a background error can end up in; the rest of the server goes on.
            self._failed.labels(name).inc()
            logger.exception("Background task %s failed", name)

    async def _repeated(self, name: str, every_s: float, function: Callable[[], Awaitable[object]]) -> None:
        while not self._stopping:
            await self.nap(every_s)
            try:
                await function()
            except CancelledError:
                if self._stopping:
                    raise
                logger.warning("Repeated task %s was cancelled; it will be called again", name)
            except Exception:
                # One failure must not end a periodic job.
                self._failed.labels(name).inc()
                logger.exception("Repeated task %s failed; it will be called again", name)

    def _ended(self, result: Failure | None, task: "Deferred[None]") -> None:
        del self._names[task]
        self._endless.discard(task)
        if isinstance(result, Failure):
            logger.critical("Background work broke off: %s", result.getTraceback())
        if not self._names and self._idle is not None:
            idle, self._idle = self._idle, None
            idle.callback(None)
