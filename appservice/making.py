"""What a service is told next: reads on for its queue, and makes transactions of what concerns it.

One transaction may be made while the one before it is under way, so that a queue that is long does not wait for the
database and for the service by turns. Only a full one: of what happens now, as much as possible goes together. It is in
memory alone, and written down when its turn comes; a service that fails costs nothing but its position.
"""

import logging
from collections.abc import Sequence

from appservice.queue import MAX_EVENTS, Made, Queue
from appservice.reader import Reader
from appservice.transaction import Composed, Composer
from storage.appservice_reading import Seen

logger = logging.getLogger(__name__)

# What cannot be put into a transaction for so many times is passed over: better than nothing for the service, ever.
MAX_STUMBLES = 3


class Making:
    def __init__(self, *, reader: Reader, composer: Composer) -> None:
        self._reader = reader
        self._composer = composer

    async def make(self, queue: Queue) -> None:
        """Makes the next transaction, if there is anything to tell: `queue.made`."""
        while queue.made is None and not queue.is_gone:
            if queue.interest is None:
                await self._reader.load(queue)
            elif queue.chosen:
                await self._compose(queue, queue.next_entries())
            elif queue.seen < self._reader.head:
                await self._reader.read_on(queue)
            else:
                return

    async def make_ahead(self, queue: Queue) -> None:
        """The same while one is under way, if it will be a full one."""
        try:
            while queue.made is None and queue.interest is not None and not (queue.is_gone or queue.stumbles):
                entries = queue.next_entries()
                if len(entries) < len(queue.chosen):
                    await self._compose(queue, entries)
                elif self._reader.head - queue.seen >= MAX_EVENTS:
                    await self._reader.read_on(queue)
                else:
                    return
        except Exception:
            # The transaction that is under way must be brought to its end; then the queue is read anew.
            logger.exception("The next transaction for %s cannot be made; will try again", queue.registration.id)
            queue.interest = queue.made = None

    async def _compose(self, queue: Queue, entries: Sequence[Seen]) -> None:
        interest = queue.interest
        if queue.stumbles:
            # One by one, to find which it is.
            entries = entries[:1]
        composed = await self._try(queue, entries)
        if composed is None or queue.interest is not interest:
            return
        queue.stumbles = 0
        told = entries[: composed.count]
        queue.made = Made(told=told, upto=queue.drop(len(told)), events=composed.events, body=composed.body)

    async def _try(self, queue: Queue, entries: Sequence[Seen]) -> Composed | None:
        """None: the first of the entries is passed over."""
        interest = queue.interest
        assert interest is not None
        is_newest = len(entries) == len(queue.chosen) and queue.seen == self._reader.head
        try:
            return await self._composer.compose(interest, entries, is_newest=is_newest)
        except Exception:
            # A fault of ours or of the database's: what comes after must not wait for it for ever.
            queue.stumbles += 1
            if queue.stumbles <= MAX_STUMBLES:
                raise
            logger.exception("Position %d cannot be told to %s", entries[0].position, queue.registration.id)
            queue.position, queue.stumbles = entries[0].position, 0
            queue.chosen.popleft()
            return None
