"""One service is told what it has to hear: transaction after transaction, each until it was taken.

A transaction is written down before its first attempt, with its id, and is the same at every attempt, also of another
process after this one was killed. That it was taken is written down with the next one, or, if there is none, by itself.
Between attempts the pause doubles, from two seconds to some eight minutes; whatever the service asks of this server
ends the pause.

Source: application service API, "Pushing events"; Synapse's `_Recoverer`.
"""

import logging
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred

from appservice.errors import AppserviceError
from appservice.queue import Queue
from appservice.queue_metrics import QueueCounts
from appservice.reader import Reader
from appservice.registration import Registration
from appservice.transaction import Composer
from homeserver.runtime.clock import Clock
from storage import appservice_queue as rows
from storage.appservice_queue import Failed, Outgoing
from storage.database import Database

logger = logging.getLogger(__name__)

# As Synapse: 2 s, 4 s, and so on up to 512 s.
MAX_DOUBLINGS = 9
# A service that asks us all the time, but takes nothing, is not tried more often than this.
SHORTEST_PAUSE_S = 1.0
# What cannot be put into a transaction for so many times is passed over: better than nothing for the service, ever.
MAX_STUMBLES = 3

Send = Callable[[Registration, str, bytes], Awaitable[None]]
# Whether the service takes what it is sent: told when that changes.
OnChange = Callable[[str, bool], None]


class Delivery:
    """`send` raises AppserviceError."""

    def __init__(
        self,
        *,
        database: Database,
        reader: Reader,
        composer: Composer,
        send: Send,
        clock: Clock,
        counts: QueueCounts,
        on_change: OnChange,
    ) -> None:
        self._database = database
        self._reader = reader
        self._composer = composer
        self._send = send
        self._clock = clock
        self._counts = counts
        self._on_change = on_change

    async def run(self, queue: Queue) -> None:
        """Until there is nothing more to tell, or the queue is no more ours."""
        while not queue.is_gone and await self._has_next(queue):
            await self._attempt(queue)
        if not queue.is_settled and queue.under_way is None:
            # Whoever goes on shall not send again what was taken.
            await self._settle(queue)

    async def _has_next(self, queue: Queue) -> bool:
        """Is there a transaction under way? Makes one of what there is to tell."""
        while queue.under_way is None and not queue.is_gone:
            if queue.interest is None:
                await self._reader.load(queue)
            elif queue.chosen:
                await self._compose(queue)
            elif queue.seen < self._reader.head:
                await self._reader.read_on(queue)
            elif not queue.is_settled:
                await self._settle(queue)
            else:
                return False
        return not queue.is_gone

    async def _compose(self, queue: Queue) -> None:
        interest, entries = queue.interest, queue.next_entries()
        assert interest is not None
        if queue.stumbles:
            # One by one, to find which it is.
            entries = entries[:1]
        is_newest = len(entries) == len(queue.chosen) and queue.seen == self._reader.head
        try:
            composed = await self._composer.compose(interest, entries, is_newest=is_newest)
        except Exception:
            # A fault of ours or of the database's: what comes after must not wait for it for ever.
            queue.stumbles += 1
            if queue.stumbles <= MAX_STUMBLES:
                raise
            logger.exception("Position %d cannot be told to %s", entries[0].position, queue.registration.id)
            queue.position, queue.stumbles = entries[0].position, 0
            queue.chosen.popleft()
            return
        if queue.interest is not interest:
            return
        upto = queue.drop(composed.count)
        if composed.body is None:
            queue.position = upto
        else:
            await self._begin(queue, upto, composed.body)
            self._counts.events(queue.registration.id, composed.events)
        queue.stumbles = 0

    async def _begin(self, queue: Queue, upto: int, body: bytes) -> None:
        name, after = queue.registration.id, queue.transaction_id
        new = Outgoing(transaction_id=after + 1, upto=upto, made_ms=self._clock.now_ms(), body=body)
        if not await self._database.read(rows.put, name, after, queue.position, new):
            _lose(queue)
            return
        queue.under_way, queue.transaction_id, queue.is_settled = new, new.transaction_id, False
        queue.written = queue.position

    async def _settle(self, queue: Queue) -> None:
        position = queue.position
        name, transaction_id = queue.registration.id, queue.transaction_id
        if not await self._database.read(rows.acknowledge, name, transaction_id, position):
            _lose(queue)
            return
        queue.is_settled, queue.written = True, position

    async def _attempt(self, queue: Queue) -> None:
        registration, under_way = queue.registration, queue.under_way
        assert under_way is not None
        try:
            await self._send(registration, str(under_way.transaction_id), under_way.body)
        except AppserviceError as error:
            await self._have_failed(queue, error)
            return
        self._counts.sent(registration.id)
        queue.position, queue.under_way = under_way.upto, None
        if queue.failures:
            queue.failures = 0
            logger.info("The application service %s takes transactions again", registration.id)
            self._on_change(registration.id, True)

    async def _have_failed(self, queue: Queue, error: AppserviceError) -> None:
        name = queue.registration.id
        queue.tried_s = self._clock.seconds()
        queue.failures += 1
        self._counts.failed(name)
        pause_s = 2.0 ** min(queue.failures, MAX_DOUBLINGS)
        logger.warning("The application service %s did not take a transaction: %s", name, error)
        if queue.failures == 1:
            self._on_change(name, False)
        now_ms = self._clock.now_ms()
        failed = Failed(
            failures=queue.failures, now_ms=now_ms, retry_at_ms=now_ms + int(pause_s * 1000), fault=str(error)
        )
        # Whoever wakes it while this is written down must not be overheard.
        queue.pause = Deferred()
        if not queue.is_gone and not await self._database.read(rows.put_failure, name, queue.transaction_id, failed):
            _lose(queue)
        await self._pause(queue, pause_s)

    async def _pause(self, queue: Queue, pause_s: float) -> None:
        pause, registration = queue.pause, queue.registration
        assert pause is not None
        timer = self._clock.later(pause_s, queue.wake)
        try:
            if not queue.is_gone:
                await pause
        finally:
            queue.pause = None
            if timer.active():
                timer.cancel()
        left_s = queue.tried_s + SHORTEST_PAUSE_S - self._clock.seconds()
        if left_s > 0 and not queue.is_gone and queue.registration is registration:
            await self._clock.sleep(left_s)


def _lose(queue: Queue) -> None:
    """Another process has gone on from where we were: its row is the truth, and is read anew if the queue is ours."""
    logger.info("The queue of %s was moved by another process", queue.registration.id)
    queue.is_gone = queue.is_settled = True
