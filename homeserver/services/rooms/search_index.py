"""Keeps the index of words up with the stream: in the background, and before each search."""

from storage import search
from storage.database import Database
from storage.stream import Stream

# Positions taken up in one transaction: some tens of milliseconds.
BATCH = 2_000
# A search does not wait for more than this; what is older than that gap is found, what is newer not yet.
MAX_BATCHES = 20
# How often the background looks for news.
EVERY_S = 10.0


class SearchIndex:
    def __init__(self, *, database: Database, stream: Stream) -> None:
        self._database = database
        self._stream = stream
        self._upto = -1

    async def catch_up(self) -> None:
        """Takes up what is new, or most of it if that is very much."""
        for _ in range(MAX_BATCHES):
            position = self._stream.position
            if position == self._upto:
                return
            if await self._database.run(search.take_up, BATCH) <= 0:
                self._upto = position
