"""Tells other servers what they have to hear: one queue for each destination, read from the stream.

Theory of operation. Every process reads the stream; each destination belongs to one of SHARDS shards, and each shard
to one process (storage/shard_locks.py). An entry of the stream goes to the queues of those of its destinations that
are ours (fan_out.py, outbox.py). A queue exists while its destination has something to hear and answers; one
transaction at a time is under way to it, and what gathers meanwhile goes into the next.

What is durable is positions. All entries up to the position of a shard have been dealt with: acknowledged by each of
its destinations, or the destination is behind, and has a position of its own. That is written every SAVE_S in which
something happened, and a process that takes over a shard reads the stream from there on: it may send twice what others
drop by its id, but loses nothing. A destination falls behind when a transaction fails, or when it is so slow that it
would hold up the shard's position. What it misses from then on costs nothing: no row, no timer, no object but its
position. When it may be asked again (destinations.py; at once when it speaks to us) it catches up (catch_up.py), and
then has a queue as all others.

Source: server-server API, "Transactions".
"""

import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from zlib import crc32

from twisted.internet.defer import CancelledError

from federation.outbound.fan_out import PASSING, Delivery, FanOut
from federation.outbound.outbox import Outbox, positions_of
from homeserver.runtime.linearizer import Linearizer
from homeserver.runtime.tasks import Tasks
from matrix.ids import ServerName
from storage import federation_queue as rows
from storage.change import Entry, Kind
from storage.events import Events, StoredEvent
from storage.federation_queue import Progress
from storage.opened import Storage
from storage.shard_locks import ShardLocks
from storage.stream import read_entries

logger = logging.getLogger(__name__)

SHARDS = 32
# How often a process looks which shards it should have, and which destinations may be asked again.
LOOK_S = 3.0
SAVE_S = 3.0
# A queue whose first event is older than so many saves no longer holds up the others.
SLOW_SAVES = 10
# Another server forgets after a minute who types: it is told again before.
TYPING_S = 40.0
# And after half an hour who is there: as Synapse's.
PRESENCE_S = 25 * 60.0
# Of many who come into rooms at once so many are shown; the others when their presence changes.
MAX_SHOWING = 20
# A shard that lies further behind is not read entry by entry: each of its destinations catches up for itself.
MAX_REPLAY = 20_000
# Written down also where nothing was to tell, so that a restart need not read much.
MAX_UNSAVED = 1_000
# What cannot be put into queues for so many attempts is passed over: better than nothing for anybody, ever.
ATTEMPTS = 3


def shard_of(destination: str) -> int:
    return crc32(destination.encode()) % SHARDS


class Sender:
    """`read_stream` reads the stream, after those who hold who is in which room."""

    def __init__(
        self,
        *,
        storage: Storage,
        locks: ShardLocks,
        fan_out: FanOut,
        outbox: Outbox,
        tasks: Tasks,
        is_local: Callable[[ServerName], bool],
    ) -> None:
        self._storage = storage
        self._events: Events = storage.events
        self._locks = locks
        self._fan_out = fan_out
        self._outbox = outbox
        self._tasks = tasks
        self._is_local = is_local
        self._linearizer = Linearizer()
        self._pending: deque[Entry] = deque()
        self._held: set[int] = set()
        self._new: set[int] = set()
        self._taking: set[int] = set()
        self._has_looked = False
        self._is_working = False
        self._showing = 0
        self._began = self._saved = storage.stream.position
        self._marks: deque[int] = deque(maxlen=SLOW_SAVES)
        outbox.seen = storage.stream.position

    def start(self) -> None:
        self._tasks.repeat("federation.look", LOOK_S, self.look)
        self._tasks.repeat("federation.save", SAVE_S, self.tick)
        self._tasks.repeat("federation.typing", TYPING_S, self.tell_typing)
        self._tasks.repeat("federation.presence", PRESENCE_S, self.tell_presence)

    async def stop(self) -> None:
        """Writes how far we came; another process may go on at once."""
        await self.save()
        self.close()

    def close(self) -> None:
        self._locks.stop()

    @property
    def is_taking_over(self) -> bool:
        """Are there shards that will be ours in a moment?"""
        return bool(self._new or self._taking) or (self._has_looked and not self._held)

    def read_stream(self, entries: list[Entry]) -> None:
        self._pending.extend(entries)
        self._work_on()

    async def look(self) -> None:
        """Takes over shards that nobody has, gives up those that others should have, tries who may be asked again."""
        async with self._linearizer.of("look"):
            self._has_looked = True
            held = await self._locks.look()
            if held.surplus & self._held:
                await self.save()
            ours = held.shards - held.surplus
            if lost := self._held - ours:
                self._held -= lost
                self._outbox.drop(lambda name: shard_of(name) in lost)
            if held.surplus:
                await self._locks.release(held.surplus)
            self._new = set(ours - self._held - self._taking)
            self._work_on()
            self._outbox.wake_due()

    async def tick(self) -> None:
        """Every SAVE_S."""
        if self._outbox.is_changed or self._outbox.seen - self._saved > MAX_UNSAVED:
            await self.save()
        if len(self._marks) == SLOW_SAVES:
            self._outbox.leave_behind(self._marks[0])
        self._marks.append(self._outbox.seen)

    async def save(self) -> None:
        """Writes how far all have come."""
        async with self._linearizer.of("save"):
            outbox, unsaved = self._outbox, self._outbox.unsaved
            outbox.is_changed, outbox.unsaved = False, type(unsaved)()
            positions = positions_of(outbox.behind, unsaved.behind)
            progress = Progress(
                position=outbox.lowest(),
                shards=self._held,
                behind={name: (shard_of(name), position) for name, position in positions.items()},
                caught_up=unsaved.caught_up - outbox.behind.keys(),
                aside=unsaved.aside,
            )
            try:
                await self._storage.database.run(rows.save, progress)
                self._saved = progress.position
            except BaseException:
                outbox.is_changed = True
                outbox.unsaved.behind |= unsaved.behind
                outbox.unsaved.caught_up |= unsaved.caught_up
                outbox.unsaved.aside += unsaved.aside
                raise

    async def tell_typing(self) -> None:
        """Says again who types."""
        for delivery in await self._fan_out.still_typing():
            self._put(delivery, self._held)

    async def tell_presence(self) -> None:
        """Says again who is there."""
        for delivery in await self._fan_out.who_is_there():
            self._put(delivery, self._held)

    def _work_on(self) -> None:
        if not self._is_working and (self._pending or self._new):
            self._is_working = True
            self._tasks.background("federation.fan_out", self._work())

    async def _work(self) -> None:
        """One entry after another: the order of queues is that of the stream."""
        try:
            while self._new or self._pending:
                if self._new:
                    self._taking, self._new = self._new, set()
                    await self._take_over(self._taking)
                    self._taking = set()
                if self._pending:
                    entry = self._pending.popleft()
                    await self._deliver(entry)
                    self._outbox.seen = entry.position
        finally:
            self._taking = set()
            self._is_working = False

    async def _deliver(self, entry: Entry) -> None:
        for attempt in range(ATTEMPTS):
            try:
                deliveries = await self._fan_out.of(entry)
            except CancelledError:
                raise
            except Exception:
                # All that comes after would wait for it.
                logger.exception("Position %d cannot be told to other servers (%d)", entry.position, attempt + 1)
            else:
                for delivery in deliveries:
                    self._put(delivery, self._held)
                break
        if self._fan_out.is_coming(entry) and self._showing < MAX_SHOWING:
            self._tasks.background("federation.presence", self._show(entry.body))

    async def _show(self, join: StoredEvent) -> None:
        """Presence need not be in order, nor arrive: it holds up no event."""
        self._showing += 1
        try:
            for delivery in await self._fan_out.presence_at(join):
                self._put(delivery, self._held)
        finally:
            self._showing -= 1

    def _put(self, delivery: Delivery, shards: Collection[int]) -> None:
        # Nothing may come between the look-up of the servers and this: what is given is the cache itself.
        # Those that are behind first, and quickly: there may be thousands.
        alive = delivery.to if delivery.is_aside else frozenset(delivery.to).difference(self._outbox.behind)
        to = [name for name in alive if not self._is_local(name)]
        if not to:
            return
        if not self._has_looked:
            # The first that this process has to tell.
            self._has_looked = True
            self._tasks.background("federation.look", self.look())
        if len(shards) < SHARDS:
            to = [name for name in to if shard_of(name) in shards]
        self._outbox.put(delivery, to)

    async def _take_over(self, shards: Collection[int]) -> None:
        """What was not dealt with when their last holder ended is ours to deal with."""
        row = await self._storage.database.run(rows.load, shards)
        for name, position in row.behind.items():
            self._outbox.add_behind(name, position)
        low, seen = min(row.positions.values()), self._outbox.seen
        if seen - low > MAX_REPLAY:
            for name in await self._storage.database.read(rows.all_servers):
                if shard_of(name) in shards and not self._is_local(name) and name not in self._outbox.behind:
                    self._outbox.add_behind(name, row.positions[shard_of(name)])
        else:
            async for entry in self._entries(low, seen):
                # What passed before this process was there is over by now.
                if entry.kind not in PASSING or entry.position > self._began:
                    for delivery in await self._fan_out.of(entry):
                        self._put(delivery, {shard for shard in shards if row.positions[shard] < entry.position})
        self._held |= set(shards)
        self._outbox.is_changed = True
        self._outbox.wake_due()

    async def _entries(self, after: int, upto: int) -> AsyncIterator[Entry]:
        """The entries in (after, upto], from memory or from the database."""
        stream = self._storage.stream
        while after < upto:
            if after >= stream.floor:
                entries = stream.entries(after, upto)
            else:
                entries = await self._storage.database.run(read_entries, after)
            for entry in entries:
                if entry.position <= upto:
                    if entry.kind is Kind.EVENT:
                        entry.body = self._events.remember(entry.body)
                    yield entry
            after = entries[-1].position if entries else upto
