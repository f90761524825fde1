"""The queues of the destinations that are ours to tell, and what becomes of those that do not answer.

One transaction at a time is under way to a destination. Destinations that answer and those that are tried again have
places of their own, so that a thousand dead ones delay no living one.
"""

import logging
import random
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError

from federation.outbound.catch_up import Behind, CatchUp, Missed
from federation.outbound.destinations import Destinations
from federation.outbound.edus import Edu, Waiting, assembled
from federation.outbound.errors import RemoteError
from federation.outbound.fan_out import Delivery, Stored
from federation.outbound.queue import MAX_EDUS, MAX_PDUS, Queue
from federation.outbound.sifting import Sifting
from homeserver.runtime.clock import Clock
from homeserver.runtime.tasks import Tasks
from matrix.ids import ServerName
from storage import federation_queue as rows
from storage.database import Database
from storage.events import StoredEvent
from storage.federation_queue import QueuedEdu

logger = logging.getLogger(__name__)

# Transactions under way at once. A server that hangs holds its place for a minute.
MAX_SENDING, MAX_CATCHING_UP = 1_000, 100
# Of many that could start, so many do in one turn of the reactor: some 5 ms.
STARTED_AT_ONCE = 20
# Of a transaction's EDUs so many may come from the database, so that the others have their turn.
MAX_STORED = 80
# A server that answers, but with an error, is left alone for so long, and twice as long each time.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 3_600.0


@define(eq=False)
class _Places:
    """How many may run at once; who comes later waits."""

    most: int
    running: int = 0
    is_filling: bool = False
    waiting: deque[Callable[[], Coroutine[Any, Any, None]]] = field(factory=deque)

    @property
    def has_place(self) -> bool:
        """For somebody who waits."""
        return bool(self.waiting) and self.running < self.most


@define
class Unsaved:
    """What has changed since it was last written."""

    behind: set[ServerName] = field(factory=set)
    caught_up: set[ServerName] = field(factory=set)
    aside: list[tuple[str, int]] = field(factory=list)


class Outbox:
    """`seen` is the position up to which all entries have been put in; whoever puts them moves it."""

    def __init__(
        self,
        *,
        database: Database,
        catch_up: CatchUp,
        transmission: Sifting,
        destinations: Destinations,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._database = database
        self._catch_up = catch_up
        self._transmission = transmission
        self._destinations = destinations
        self._clock = clock
        self._tasks = tasks
        self.seen = 0
        self.is_changed = False
        self.unsaved = Unsaved()
        self.queues: dict[ServerName, Queue] = {}
        self.behind: dict[ServerName, Behind] = {}
        self._is_stopping = False
        self._busy: set[ServerName] = set()
        self._sending = _Places(MAX_SENDING)
        self._catching_up = _Places(MAX_CATCHING_UP)
        destinations.on_up(self.wake)

    def put(self, delivery: Delivery, to: Iterable[ServerName]) -> None:
        """Queues it for those of its destinations that are `to` be told by us."""
        what = delivery.what
        for name in to:
            behind = self.behind.get(name)
            if behind is not None:
                if delivery.is_aside and isinstance(what, StoredEvent):
                    self._set_aside(behind, name, [(what.position, what.nid)])
                continue
            queue = self.queues.get(name)
            if queue is None:
                queue = self.queues[name] = Queue(name)
            if isinstance(what, StoredEvent):
                queue.events.append(what)
                if delivery.is_aside:
                    queue.aside.add((what.position, what.nid))
            elif isinstance(what, Stored):
                queue.add_stored(what.position)
            else:
                queue.add_edu(what)
            self.is_changed = True
            if name not in self._busy:
                self._start(self._sending, name, partial(self._run, queue))

    def queues_now(self) -> Mapping[ServerName, Queue]:
        """The queues, by destination."""
        return self.queues

    def behind_now(self) -> Mapping[ServerName, Behind]:
        """The destinations that do not answer, or not fast enough."""
        return self.behind

    def lowest(self) -> int:
        """All up to it has been acknowledged by everyone who is not behind."""
        waiting = (position for queue in self.queues.values() if (position := queue.oldest()) is not None)
        return min((position - 1 for position in waiting), default=self.seen)

    def add_behind(self, name: ServerName, position: int) -> Behind:
        """It was told everything up to the position, and is tried when it may be."""
        behind = self.behind[name] = Behind(position)
        self.unsaved.behind.add(name)
        self.unsaved.caught_up.discard(name)
        self.is_changed = True
        return behind

    def _set_aside(self, behind: Behind, name: ServerName, events: Collection[tuple[int, int]]) -> None:
        behind.aside.update(events)
        self.unsaved.aside += [(name, position) for position, _ in events]
        self.is_changed = True

    def leave_behind(self, position: int) -> None:
        """Those queues that have not moved beyond the position: they would hold up all others."""
        for queue in list(self.queues.values()):
            oldest = queue.oldest()
            if oldest is not None and oldest <= position:
                self._fall_behind(queue)
                self._try(queue.destination)

    def drop(self, is_lost: Callable[[ServerName], bool]) -> None:
        """Other processes look after these destinations now."""
        self.queues = {name: queue for name, queue in self.queues.items() if not is_lost(name)}
        self.behind = {name: behind for name, behind in self.behind.items() if not is_lost(name)}
        self.unsaved.behind -= {name for name in self.unsaved.behind if is_lost(name)}
        self.unsaved.caught_up -= {name for name in self.unsaved.caught_up if is_lost(name)}

    def wake(self, destination: ServerName) -> None:
        """It answers again, or has spoken to us."""
        behind = self.behind.get(destination)
        if behind is not None:
            behind.not_before_s = 0.0
            self._try(destination)

    def wake_due(self) -> None:
        """Tries those that are behind and may be asked again. Called every few seconds."""
        for name in list(self.behind):
            self._try(name)

    def _try(self, name: ServerName) -> None:
        behind = self.behind.get(name)
        if behind is None or name in self._busy or behind.not_before_s > self._clock.seconds():
            return
        if self._destinations.retry_at_ms(name) is None:
            self._start(self._catching_up, name, partial(self._run_behind, name, behind))

    def _start(self, places: _Places, name: ServerName, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._is_stopping:
            return
        self._busy.add(name)
        places.waiting.append(run)
        self._fill(places)

    def _fill(self, places: _Places) -> None:
        """A few at a time, so that others have their turn; a loop, because those that fail at once come back here."""
        if places.is_filling:
            return
        places.is_filling = True
        for _ in range(STARTED_AT_ONCE):
            if not places.has_place:
                break
            places.running += 1
            self._tasks.background("federation.send", self._in_place(places, places.waiting.popleft()))
        if places.has_place:
            self._clock.later(0, self._fill_on, places)
        else:
            places.is_filling = False

    def _fill_on(self, places: _Places) -> None:
        places.is_filling = False
        self._fill(places)

    async def _in_place(self, places: _Places, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await run()
        finally:
            places.running -= 1
            self._fill(places)

    async def _run(self, queue: Queue) -> None:
        """Sends until the queue is empty, or its destination falls behind."""
        name = queue.destination
        try:
            while self.queues.get(name) is queue and not queue.is_empty:
                await self._send_next(queue)
            if self.queues.get(name) is queue:
                del self.queues[name]
        except CancelledError:
            self._is_stopping = True
            raise
        except Exception as error:  # noqa: BLE001  whatever it is: the destination has not got it, and others must go on
            self._failed(name, error)
            if self.queues.get(name) is queue:
                self._fall_behind(queue)
            self._pause(name, error)
        finally:
            self._ended(name)

    def _ended(self, name: ServerName) -> None:
        """What was put in meanwhile, or was behind already, is next."""
        self.is_changed = True
        self._busy.discard(name)
        queue = self.queues.get(name)
        if queue is not None and not queue.is_empty:
            self._start(self._sending, name, partial(self._run, queue))
        else:
            self._try(name)

    async def _send_next(self, queue: Queue) -> None:
        name, stored, all_stored = queue.destination, [], True
        if queue.stored_since is not None:
            count = queue.stored_count
            stored = await self._database.read(rows.find_edus, name, MAX_STORED)
            all_stored = len(stored) < MAX_STORED and count == queue.stored_count
        batch = queue.take(MAX_EDUS - len(stored), all_stored=all_stored)
        await self._transmit(name, batch.events, stored, batch.edus)
        queue.sending = None
        self.is_changed = True

    async def _transmit(
        self,
        name: ServerName,
        events: Sequence[StoredEvent],
        stored: Sequence[QueuedEdu],
        edus: Iterable[Waiting],
        failures: int = 0,
    ) -> None:
        waiting = [*(Edu(edu.edu_type, edu.content, edu.key) for edu in stored), *edus]
        if not events and not waiting:
            return
        await self._transmission(name, events, assembled(waiting), failures)
        if stored:
            await self._database.run(rows.delete_edus, name, stored)

    def _fall_behind(self, queue: Queue) -> None:
        name, oldest = queue.destination, queue.oldest()
        del self.queues[name]
        behind = self.add_behind(name, self.seen if oldest is None else oldest - 1)
        self._set_aside(behind, name, [one for one in queue.aside if one[0] > behind.position])

    async def _run_behind(self, name: ServerName, behind: Behind) -> None:
        try:
            while self.behind.get(name) is behind and not await self._caught_up(name, behind):
                pass
        except CancelledError:
            self._is_stopping = True
            raise
        except Exception as error:  # noqa: BLE001  as above
            self._failed(name, error)
            self._pause(name, error)
        finally:
            self._ended(name)

    async def _caught_up(self, name: ServerName, behind: Behind) -> bool:
        """Tells the destination what it has missed. Is there nothing more?"""
        upto = self.seen
        missed = await self._catch_up.missed(name, behind, upto)
        while True:
            stored = await self._database.read(rows.find_edus, name, MAX_STORED)
            if not stored and not missed:
                break
            missed = await self._send_missed(name, behind, missed, stored)
            behind.failures = 0
        self._reached(name, behind, upto)
        # In one step with the look: whatever comes from here on is queued.
        if upto != self.seen or self.behind.get(name) is not behind:
            return False
        del self.behind[name]
        self.unsaved.behind.discard(name)
        self.unsaved.caught_up.add(name)
        return True

    async def _send_missed(
        self, name: ServerName, behind: Behind, missed: Missed, stored: Sequence[QueuedEdu]
    ) -> Missed:
        """One transaction of it; gives the rest."""
        most = MAX_EDUS - len(stored)
        events = await self._catch_up.load(missed.events[:MAX_PDUS])
        await self._transmit(name, events, stored, missed.edus[:most], behind.failures)
        rest = Missed(missed.events[MAX_PDUS:], missed.edus[most:])
        if not rest.edus and rest.events:
            self._reached(name, behind, missed.events[MAX_PDUS - 1][0])
        return rest

    def _reached(self, name: ServerName, behind: Behind, position: int) -> None:
        behind.position = position
        behind.aside = {one for one in behind.aside if one[0] > position}
        self.is_changed = True
        if self.behind.get(name) is behind:
            self.unsaved.behind.add(name)

    def _pause(self, name: ServerName, error: Exception) -> None:
        """A server that cannot be reached is left alone by all; one that refuses transactions, by us."""
        behind = self.behind.get(name)
        if behind is None:
            return
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**behind.failures)
        behind.failures = min(behind.failures + 1, 20)
        if self._destinations.failing(name) is None:
            behind.not_before_s = self._clock.seconds() + pause_s * random.uniform(0.8, 1.0)

    def _failed(self, name: ServerName, error: Exception) -> None:
        if isinstance(error, RemoteError):
            logger.info("A transaction failed: %s", error)
        else:
            logger.error("A transaction to %s failed", name, exc_info=error)


def positions_of(behind: Mapping[ServerName, Behind], names: Collection[ServerName]) -> dict[ServerName, int]:
    return {name: behind[name].position for name in names if name in behind}
