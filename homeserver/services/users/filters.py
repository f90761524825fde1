"""Filters that clients upload, to name them by a number later.

Source: client-server API, "Filtering".
"""

from typing import Any

import orjson

from homeserver.runtime.caches import Lru
from matrix.errors import BadRequest, NotFound
from matrix.filters import Filter, parse_filter
from matrix.ids import UserId
from storage import filters as rows
from storage.database import Database

MAX_CACHED = 20_000
# Real ones are below 2 kB.
MAX_BYTES = 65_536


class Filters:
    """They never change, so that what was read once is true for ever."""

    def __init__(self, *, db: Database) -> None:
        self._db = db
        self._filters: Lru[tuple[str, str], bytes] = Lru("filters", MAX_CACHED)
        self._parsed: Lru[tuple[str, str], Filter] = Lru("parsed_filters", MAX_CACHED)

    async def add(self, user_id: UserId, content: dict[str, Any]) -> str:
        """The filter's id. Raises: BadRequest."""
        parse_filter(content)
        json = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        if len(json) > MAX_BYTES:
            raise BadRequest("The filter is too large", "M_TOO_LARGE")
        return str(await self._db.run(rows.add_filter, user_id, json.decode()))

    async def get(self, user_id: UserId, filter_id: str) -> bytes:
        """The filter as JSON. Raises: NotFound."""
        known = self._filters.get((user_id, filter_id))
        if known is not None:
            return known
        json = None
        if filter_id.isascii() and filter_id.isdigit() and len(filter_id) <= 18:
            json = await self._db.read(rows.find_filter, user_id, int(filter_id))
        if json is None:
            raise NotFound("No such filter")
        self._filters.set((user_id, filter_id), json.encode())
        return json.encode()

    async def parsed(self, user_id: UserId, filter_id: str) -> Filter:
        """The filter ready for use. Raises: NotFound."""
        known = self._parsed.get((user_id, filter_id))
        if known is None:
            known = parse_filter(orjson.loads(await self.get(user_id, filter_id)))
            self._parsed.set((user_id, filter_id), known)
        return known
