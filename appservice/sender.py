"""Tells application services what happens: one queue for each, in the order of the stream, none lost, none doubled.

Theory of operation. A service is a reader of the stream with a durable position. Every process reads the stream; each
service belongs to one of SHARDS shards, and each shard to one process (storage/shard_locks.py), which has the service's
queue (queue.py). While there is nothing to tell, a queue costs a look at each entry, whether it may concern the service
(interest.py). If one may, the queue's own task reads on from its position (reader.py), makes transactions
(transaction.py) and sends them (delivery.py), until it has reached the end of the stream. So a service that is down, or
slow, costs nothing but its position, and holds up nobody; when it is there again, it is read from the database what it
missed. A new service begins where the stream is when it is added.

A service that does not take its transactions is tried again at once when it asks this server for anything (`wake`). It
may ask another process than the one that sends: that one hears of it by the stream.

Source: application service API, "Pushing events".
"""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any
from zlib import crc32

from twisted.internet.defer import CancelledError

from appservice.delivery import Delivery, OnChange
from appservice.queue import Queue
from appservice.queue_metrics import QueueGauges
from appservice.registration import Registration
from appservice.registry import Registry
from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.runtime.tasks import Tasks
from storage import appservice_queue as rows
from storage.appservice_queue import QueueStatus
from storage.appservice_reading import seen
from storage.change import Change, Entry, Kind
from storage.opened import Storage
from storage.shard_locks import Held, ShardLocks

logger = logging.getLogger(__name__)

SHARDS = 16
LOOK_S = 3.0
# Positions of queues that had nothing to tell: what a restart reads again.
FLUSH_S = 60.0
# A service is announced to be awake no more often than this.
WAKE_AGAIN_S = 1.0
_NEWS = "appservice_queue"


def shard_of(service_id: str) -> int:
    return crc32(service_id.encode()) % SHARDS


class Senders:
    """`read_stream` reads the stream, after those who hold who is in which room.

    `delivery_of(on_change)` makes the delivery. `gauges` are told of queues that come and go.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        storage: Storage,
        locks: ShardLocks,
        delivery_of: Callable[[OnChange], Delivery],
        gauges: QueueGauges,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._registry = registry
        self._storage = storage
        self._locks = locks
        self._delivery = delivery_of(self._tell_change)
        self._gauges = gauges
        self._clock = clock
        self._tasks = tasks
        self._linearizer = Linearizer()
        self._queues: dict[str, Queue] = {}
        self._shards: frozenset[int] = frozenset()
        # Services that do not take what another process sends them, and when that was last told to wake up.
        self._failing: dict[str, float] = {}
        self._is_stopped = False

    def queues(self) -> Mapping[str, Queue]:
        """Those of this process, by the service's id."""
        return self._queues

    def start(self) -> None:
        self._registry.on_change(self._have_changed)
        self._tasks.repeat("appservice.look", LOOK_S, self.look)
        self._tasks.repeat("appservice.flush", FLUSH_S, self.flush)
        self._tasks.background("appservice.look", self._begin())

    def finish(self) -> None:
        """What is under way may end; nothing else is begun."""
        self._is_stopped = True
        for queue in list(self._queues.values()):
            queue.is_gone = True
            queue.wake()

    async def stop(self) -> None:
        """Another process may go on at once."""
        await self.flush()
        self.close()

    def close(self) -> None:
        self.finish()
        self._locks.stop()

    async def status(self) -> list[QueueStatus]:
        """Of all services, as all processes have written it down."""
        return await self._storage.database.read(rows.statuses)

    def wake(self, service_id: str) -> None:
        """The service has asked for something, or answered: it is there. Called for each of its requests."""
        queue = self._queues.get(service_id)
        if queue is not None:
            queue.wake()
        elif (told_s := self._failing.get(service_id)) is not None:
            now_s = self._clock.seconds()
            if now_s - told_s >= WAKE_AGAIN_S:
                self._failing[service_id] = now_s
                self._tasks.background("appservice.wake", self._announce(service_id, "awake"))

    def read_stream(self, entries: list[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.CACHE and isinstance(entry.body, dict) and _NEWS in entry.body:
                self._hear(*entry.body[_NEWS])
        idle = [queue for queue in self._queues.values() if queue.is_idle and not queue.is_gone]
        if not idle:
            return
        told, upto = seen(entries), entries[-1].position
        for queue in idle:
            assert queue.interest is not None
            if any(map(queue.interest.may_concern, told)):
                self._run(queue)
            else:
                queue.seen = queue.position = upto

    async def look(self) -> None:
        """Takes up services of shards that nobody has, leaves to other processes what is theirs. Every few seconds."""
        async with self._linearizer.of("look"):
            if self._is_stopped or not (self._queues or self._wanted()):
                return
            try:
                held = await self._locks.look()
            except Exception:
                # Whatever it was, the locks may be lost: nothing is sent until we know better.
                self._let_go(self._queues)
                self._shards = frozenset()
                raise
            await self._share(held)
            for queue in list(self._queues.values()):
                if not queue.is_idle:
                    self._run(queue)

    async def flush(self) -> None:
        """Writes down how far queues have come that had nothing to tell."""
        moved = {}
        for name, queue in self._queues.items():
            if queue.is_idle and queue.position > queue.written:
                moved[name] = queue.written = queue.position
        if moved:
            await self._storage.database.run(rows.move, moved)

    async def _begin(self) -> None:
        if not self._wanted():
            return
        found = await self._storage.database.read(rows.statuses)
        self._failing.update((row.id, float("-inf")) for row in found if row.failures)
        await self.look()

    def _wanted(self) -> dict[str, Registration]:
        """The services that are told anything."""
        return {each.id: each for each in self._registry.all if each.url is not None}

    async def _share(self, held: Held) -> None:
        self._shards = held.shards - held.surplus
        leaving = [name for name in self._queues if shard_of(name) not in self._shards]
        # What is under way is waited for: it shall not be told twice at once.
        busy = {shard_of(name) for name in leaving if self._queues[name].is_running}
        self._let_go(leaving)
        if free := held.surplus - busy:
            await self._locks.release(free)
        wanted = self._wanted()
        await self._take_up(
            [name for name in wanted if name not in self._queues and shard_of(name) in self._shards - busy]
        )

    async def _take_up(self, names: Collection[str]) -> None:
        if not names:
            return
        found = await self._storage.database.run(rows.take_up, names, self._clock.now_ms())
        wanted = self._wanted()
        for name, row in found.items():
            if name in wanted and not self._is_stopped:
                queue = self._queues[name] = Queue.of(wanted[name], row)
                self._gauges.add(queue)
                self._run(queue)

    def _let_go(self, names: Collection[str]) -> None:
        """Those of which nothing is under way are gone at once, the others when it has ended."""
        for name in list(names):
            queue = self._queues[name]
            queue.is_gone = True
            queue.wake()
            if not queue.is_running:
                self._forget(queue)

    def _forget(self, queue: Queue) -> None:
        name = queue.registration.id
        if self._queues.get(name) is queue:
            del self._queues[name]
            self._gauges.remove(name)

    def _have_changed(self) -> None:
        """Registrations came, went, or are others than before."""
        wanted = self._wanted()
        removed = {name: queue for name, queue in self._queues.items() if name not in wanted}
        for queue in removed.values():
            queue.is_gone = True
            queue.wake()
            # Not waited for: what it is being told, it may be told.
            self._forget(queue)
        if removed:
            self._tasks.background("appservice.forget", self._delete(removed))
        for name, queue in list(self._queues.items()):
            if queue.registration != wanted[name]:
                queue.change(wanted[name])
                self._run(queue)
        self._tasks.background("appservice.look", self.look())

    async def _delete(self, names: Collection[str]) -> None:
        await self._storage.database.read(rows.delete, names)

    def _run(self, queue: Queue) -> None:
        if not queue.is_running and not queue.is_gone:
            queue.is_running = True
            self._tasks.background("appservice.send", self._work(queue))

    async def _work(self, queue: Queue) -> None:
        try:
            await self._delivery.run(queue)
        except CancelledError:
            raise
        except Exception:
            # Of the database, mostly. The queue is read anew from where it is durable, at the next look.
            logger.exception("The application service %s cannot be told; will try again", queue.registration.id)
            queue.interest = None
        finally:
            queue.is_running = False
            if queue.is_gone:
                self._forget(queue)

    def _tell_change(self, service_id: str, takes: bool) -> None:
        """For the other processes, which hear it when the service asks them."""
        self._tasks.background("appservice.tell", self._announce(service_id, "takes" if takes else "fails"))

    async def _announce(self, service_id: str, what: str) -> None:
        change = Change()
        change.announce(Entry(Kind.CACHE, body={_NEWS: [service_id, what]}))
        await self._storage.committer(change)

    def _hear(self, service_id: Any, what: Any) -> None:
        if what == "fails":
            self._failing.setdefault(service_id, float("-inf"))
        elif what == "takes":
            self._failing.pop(service_id, None)
        elif (queue := self._queues.get(service_id)) is not None:
            queue.wake()
