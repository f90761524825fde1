"""Reads the stream for what other servers must hear of our users' devices, and misses nothing, restarts included.

Theory of operation. How far it was read is a row of the database, which moves in the transaction that queues what
follows from what was read. Every process has such a reader; whose transaction finds that another was faster lets that
one go ahead from then on, and looks only after a while whether it still does. Most of the stream is of no concern, or
nothing follows from it: that it was read is not worth a commit.
"""

import logging
from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred

from homeserver.runtime.clock import Clock
from homeserver.services.e2ee.device_edus import DeviceEdus, Plan, concerns
from homeserver.services.e2ee.seams import Commit, IsLocal
from matrix.ids import ServerName
from storage import device_list_updates as rows
from storage.change import Entry
from storage.database import Database
from storage.device_list_updates import Overtaken
from storage.stream import Stream, TooFarBehind, read_entries

logger = logging.getLogger(__name__)

NAME = "device_lists"
# Another process goes ahead: look after it so much later.
BEHIND_S = 5.0
RETRY_S = 5.0
# Dealt with in one transaction.
MAX_ENTRIES = 200
# Positions that may be read again after a restart.
MAX_UNSAVED = 20_000


class DeviceNews:
    """`read_stream` reads the stream; `run` is an endless task."""

    def __init__(
        self,
        *,
        database: Database,
        commit: Commit,
        stream: Stream,
        edus: DeviceEdus,
        clock: Clock,
        is_local: IsLocal,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._commit = commit
        self._stream = stream
        self._edus = edus
        self._clock = clock
        self._is_local = is_local
        self._server_name = server_name
        self._read = self._saved = 0
        self._is_ahead = True
        # Set while there is nothing to do.
        self._waiting: Deferred[None] | None = None

    def read_stream(self, entries: list[Entry]) -> None:
        if self._waiting is None:
            return
        is_small = entries[-1].position - self._saved < MAX_UNSAVED
        if is_small and not any(concerns(entry, self._is_local) for entry in entries):
            self._read = entries[-1].position
            return
        waiting, self._waiting = self._waiting, None
        waiting.callback(None)

    async def run(self) -> None:
        self._read = self._saved = await self._database.run(rows.begin_reading, NAME, self._stream.position)
        while True:
            try:
                if self._read >= self._stream.position:
                    await self._wait()
                if not self._is_ahead:
                    await self._let_pass()
                await self._step()
            except CancelledError:
                raise
            except Overtaken:
                self._is_ahead = False
            except TooFarBehind:
                logger.error("Other servers were not told of all changes of devices: they were too long ago")
                self._read = self._stream.position
            except Exception:
                # Nobody else tells other servers: whatever it was, we go on.
                logger.exception("Other servers could not be told of changes of devices; will try again")
                await self._clock.sleep(RETRY_S)

    async def _wait(self) -> None:
        self._waiting = Deferred()
        try:
            await self._waiting
        finally:
            self._waiting = None

    async def _let_pass(self) -> None:
        """Waits, and then goes on from where the other process is by then: perhaps there is nothing left to do."""
        upto = self._stream.position
        await self._clock.sleep(BEHIND_S)
        self._saved = await self._database.run(rows.begin_reading, NAME, upto)
        self._read = self._saved
        if not any(concerns(entry, self._is_local) for entry in await self._entries(upto)):
            self._read = max(self._read, upto)

    async def _step(self) -> None:
        """Deals with the next entries. Raises: Overtaken."""
        entries = await self._entries(self._stream.position)
        if not entries:
            return
        concerning: list[Entry] = []
        last = entries[-1].position
        for entry in entries:
            if concerns(entry, self._is_local):
                if len(concerning) == MAX_ENTRIES:
                    last = entry.position - 1
                    break
                concerning.append(entry)
        plan = await self._edus.plan(concerning)
        if not plan.is_empty or last - self._saved >= MAX_UNSAVED:
            await self._save(plan, last)
        self._read = last

    async def _save(self, plan: Plan, position: int) -> None:
        before, server = self._saved, self._server_name
        plan.change.run(lambda cur: rows.has_read_and_dropped(cur, NAME, position, before, server, plan.dropped))
        await self._commit(plan.change)
        self._saved = position
        self._is_ahead = True

    async def _entries(self, upto: int) -> Sequence[Entry]:
        """What comes after what was read, not necessarily all. Raises: TooFarBehind."""
        if self._read >= upto:
            return ()
        if self._read >= self._stream.floor:
            return self._stream.entries(self._read, upto)
        return await self._database.run(read_entries, self._read)
