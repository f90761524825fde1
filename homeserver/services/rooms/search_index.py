"""Keeps the index of words up with the stream: in the background, and before each search."""

from storage import search
from storage.database import Database
from storage.stream import Stream

# Positions taken up in one transaction: a tenth of a second.
BATCH = 2_000
# A search does not wait for more than this. Of a history that is longer than that the newest part is found at once,
# the rest as the background comes to it.
BATCHES_OF_SEARCH = 10
# How often the background looks for news, and how much it does then: it leaves PostgreSQL to others.
EVERY_S, BATCHES_OF_BACKGROUND = 10.0, 5


class SearchIndex:
    def __init__(self, *, database: Database, stream: Stream) -> None:
        self._database = database
        self._stream = stream
        self._upto = -1
        self._has_begun = False

    async def prepare(self) -> None:
        """For a search: takes up what is new. The first search of all begins the index."""
        if not self._has_begun:
            await self._database.run(search.begin)
            self._has_begun = True
            self._upto = -1
        await self._take_up(BATCHES_OF_SEARCH)

    async def catch_up(self) -> None:
        """For the background. Nothing, as long as nobody has searched."""
        await self._take_up(BATCHES_OF_BACKGROUND)

    async def _take_up(self, batches: int) -> None:
        for _ in range(batches):
            position = self._stream.position
            if position == self._upto:
                return
            if not await self._database.run(search.take_up, BATCH):
                self._upto = position
