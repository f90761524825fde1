"""One service is told what it has to hear: transaction after transaction, each until it was taken.

A transaction is written down before its first attempt, with its id, and is the same at every attempt, also of another
process after this one was killed. That it was taken is written down with the next one, or, if there is none, by itself.
While it is under way, the next one is made (making.py).
Between attempts the pause doubles, from two seconds to some eight minutes; whatever the service asks of this server
ends the pause.

Source: application service API, "Pushing events"; Synapse's `_Recoverer`.
"""

import logging
from collections.abc import Awaitable, Callable

from twisted.internet.defer import Deferred

from appservice.errors import AppserviceError
from appservice.making import Making
from appservice.queue import Made, Queue
from appservice.queue_metrics import QueueCounts
from appservice.registration import Registration
from homeserver.runtime.clock import Clock
from storage import appservice_queue as rows
from storage.appservice_queue import Failed, Outgoing
from storage.database import Database

logger = logging.getLogger(__name__)

# As Synapse: 2 s, 4 s, and so on up to 512 s.
MAX_DOUBLINGS = 9
# A service that asks us all the time, but takes nothing, is not tried more often than this.
SHORTEST_PAUSE_S = 1.0

Send = Callable[[Registration, str, bytes], Awaitable[None]]
# Whether the service takes what it is sent: told when that changes.
OnChange = Callable[[str, bool], None]


class Delivery:
    """`send` raises AppserviceError."""

    def __init__(
        self,
        *,
        database: Database,
        making: Making,
        send: Send,
        clock: Clock,
        counts: QueueCounts,
        on_change: OnChange,
    ) -> None:
        self._database = database
        self._making = making
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
        """Is there a transaction under way? Begins one, if there is anything to tell."""
        while queue.under_way is None and not queue.is_gone:
            await self._making.make(queue)
            if (made := queue.take()) is not None:
                await self._begin(queue, made)
            elif not queue.is_settled:
                await self._settle(queue)
            else:
                return False
        return not queue.is_gone

    async def _begin(self, queue: Queue, made: Made) -> None:
        if made.body is None:
            queue.position = made.upto
            return
        name, after = queue.registration.id, queue.transaction_id
        new = Outgoing(transaction_id=after + 1, upto=made.upto, made_ms=self._clock.now_ms(), body=made.body)
        if not await self._database.read(rows.put, name, after, queue.position, new):
            _lose(queue)
            return
        queue.under_way, queue.transaction_id, queue.is_settled = new, new.transaction_id, False
        queue.written = queue.position
        self._counts.events(name, made.events)

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
        error = await self._send_and_make(queue, registration, under_way)
        if error is not None:
            queue.put_back()
            await self._have_failed(queue, error)
            return
        self._counts.sent(registration.id)
        queue.position, queue.under_way = under_way.upto, None
        if queue.failures:
            queue.failures = 0
            logger.info("The application service %s takes transactions again", registration.id)
            self._on_change(registration.id, True)

    async def _send_and_make(
        self, queue: Queue, registration: Registration, under_way: Outgoing
    ) -> AppserviceError | None:
        """Why the transaction was not taken. Meanwhile the next one is made, if the service is not in trouble."""
        made = None if queue.failures else Deferred.fromCoroutine(self._making.make_ahead(queue))
        try:
            await self._send(registration, str(under_way.transaction_id), under_way.body)
        except AppserviceError as error:
            return error
        finally:
            if made is not None:
                await made
        return None

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
