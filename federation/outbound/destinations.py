"""Which servers are left alone for a while because they do not answer.

Each failure doubles the pause, up to an hour, with some jitter so that a thousand dead servers are not tried at one
moment. The first pauses are of seconds: most servers that do not answer are being restarted. It ends at once when the
server answers, or speaks to us (`heard_from`). It is durable: after a restart nobody is knocked at anew. All of it is
in memory; a second's worth of changes is written with one statement.

Processes learn from each other only that a server is back (by the stream, kind CACHE); that it is gone each sees for
itself.
"""

import random
from collections.abc import Callable
from typing import Protocol

from attrs import frozen

from federation.outbound.errors import Unreachable
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.runtime.tasks import Tasks
from matrix.ids import ServerName
from storage import destinations as rows
from storage.change import Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database
from storage.destinations import Failing

# Server names are what anybody can make up: beyond so many failing ones the oldest are forgotten. About 20 MB.
MAX_FAILING = 50_000
WRITE_AFTER_S = 1.0
_JITTER = 0.2
# As Synapse repeats a transaction: after 4 s, 16 s, a minute; only then the server counts as gone.
_QUICK_MS, _QUICK_FACTOR, _MOST_QUICK = 4_000, 4, 10
# What jitter may have taken off a pause, and more.
_CLEARLY = 1.5


def quick_pauses(count: int, longest_ms: int) -> tuple[int, ...]:
    """The pauses before a server counts as gone, as far as each is longer than the one before."""
    pauses = (min(longest_ms, _QUICK_MS * _QUICK_FACTOR**number) for number in range(min(count, _MOST_QUICK)))
    return tuple(dict.fromkeys(pauses))


@frozen(kw_only=True)
class BackOff:
    """The pauses after the first failures; then the first long one, by what it grows, and how long it is at most."""

    quick_ms: tuple[int, ...] = quick_pauses(2, 60_000)
    first_ms: int = 60_000
    factor: float = 2.0
    longest_ms: int = 3_600_000

    def after(self, interval_ms: int) -> int:
        """The pause that follows one of `interval_ms`; 0 for none so far."""
        for pause_ms in self.quick_ms:
            if interval_ms * _CLEARLY < pause_ms < self.first_ms:
                return pause_ms
        # Jitter makes pauses shorter, but not by half.
        if interval_ms < self.first_ms / 2:
            return self.first_ms
        return int(min(self.longest_ms, max(self.first_ms, interval_ms * self.factor)))


class OnUp(Protocol):
    def __call__(self, destination: ServerName) -> None: ...


class Destinations:
    """`read_stream` reads the stream; `load` comes before anything else."""

    def __init__(
        self,
        *,
        database: Database,
        commit: Committer,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
        back_off: BackOff | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._commit = commit
        self._clock = clock
        self._tasks = tasks
        self._back_off = back_off or BackOff()
        self._chance = chance
        self._failing: Lru[str, Failing] = Lru("failing_destinations", MAX_FAILING)
        self._unwritten: dict[str, Failing | None] = {}
        self._on_up: list[OnUp] = []
        metrics.gauge_of("federation_failing_destinations", "Servers that do not answer", lambda: len(self._failing))

    async def load(self) -> None:
        for name, failing in reversed((await self._database.read(rows.newest, MAX_FAILING)).items()):
            self._failing.set(name, failing)

    def on_up(self, function: OnUp) -> None:
        """`function(destination)` is called, in every process, when a server that did not answer is back."""
        self._on_up.append(function)

    def retry_at_ms(self, destination: str) -> int | None:
        """When the server may be asked again; None if it may be now."""
        failing = self._failing.get(destination)
        return None if failing is None or failing.retry_at_ms <= self._clock.now_ms() else failing.retry_at_ms

    def failing(self, destination: str) -> Failing | None:
        """What is known of a server that does not answer; None of one that does, or was never asked."""
        return self._failing.get(destination)

    def check(self, destination: ServerName) -> None:
        """Raises: Unreachable, while the server is left alone."""
        retry_at_ms = self.retry_at_ms(destination)
        if retry_at_ms is not None:
            seconds = (retry_at_ms - self._clock.now_ms()) // 1000
            raise Unreachable(destination, f"it did not answer, and is not asked again for {seconds} s")

    def failed(self, destination: ServerName, asked_at_ms: int) -> None:
        """A request of that time found nobody. Of several that were under way together one counts."""
        before, now_ms = self._failing.get(destination), self._clock.now_ms()
        if before is not None and asked_at_ms < before.retry_at_ms - before.interval_ms:
            return
        interval_ms = self._back_off.after(0 if before is None else before.interval_ms)
        interval_ms = int(interval_ms * (1 - _JITTER * self._chance()))
        since_ms = asked_at_ms if before is None else before.since_ms
        self._set(destination, Failing(since_ms, now_ms + interval_ms, interval_ms))

    def asked_to_wait(self, destination: ServerName, wait_ms: int) -> None:
        """The server wants no requests for so long (429). At most as long as any pause is."""
        before, now_ms = self._failing.get(destination), self._clock.now_ms()
        wait_ms = min(wait_ms, self._back_off.longest_ms)
        if before is None or before.retry_at_ms < now_ms + wait_ms:
            self._set(destination, Failing(now_ms, now_ms + wait_ms, wait_ms))

    def answered(self, destination: ServerName) -> None:
        """The server has answered."""
        if self._failing.get(destination) is not None:
            self._up(destination)

    def heard_from(self, origin: ServerName) -> None:
        """The server has spoken to us, and proved to be who it says."""
        self.answered(origin)

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.CACHE and "destination_up" in (entry.body or {}):
                self._heard_that_up(*entry.body["destination_up"])

    def _heard_that_up(self, name: str, at_ms: int) -> None:
        failing = self._failing.get(name)
        # What has happened since is newer than the news.
        if failing is not None and failing.retry_at_ms - failing.interval_ms < at_ms:
            self._failing.invalidate(name)
        for function in self._on_up:
            function(ServerName(name))

    def _up(self, destination: ServerName) -> None:
        self._failing.invalidate(destination)
        self._note(destination, None)
        self._tasks.background("federation.up", self._tell(destination))

    async def _tell(self, destination: ServerName) -> None:
        change = Change()
        change.announce(Entry(Kind.CACHE, body={"destination_up": [str(destination), self._clock.now_ms()]}))
        await self._commit(change)

    def _set(self, destination: ServerName, failing: Failing) -> None:
        self._failing.set(destination, failing)
        self._note(destination, failing)

    def _note(self, destination: str, failing: Failing | None) -> None:
        if not self._unwritten:
            self._tasks.background("federation.destinations", self._write_soon(), endless=True)
        self._unwritten[str(destination)] = failing

    async def _write_soon(self) -> None:
        await self._clock.sleep(WRITE_AFTER_S)
        await self.write()

    async def write(self) -> None:
        """Writes what was not yet."""
        unwritten, self._unwritten = self._unwritten, {}
        failing = [(name, each) for name, each in unwritten.items() if each is not None]
        if unwritten:
            await self._database.run(rows.write, failing, [name for name, each in unwritten.items() if each is None])
