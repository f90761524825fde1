"""Long lists of PDUs in an answer, a slice at a time: no answer is whole in memory, none holds up the reactor."""

from collections.abc import AsyncIterator, Sequence

import orjson
from attrs import frozen

from storage.database import Database
from storage.pdus import find_event_ids, find_pdus

# Of so many at once the database makes some 0.5 MB in a few milliseconds.
SLICE = 500
Member = bytes | Sequence[int]


@frozen
class Body:
    """A JSON object: its members in order, each ready bytes or the numbers of the events that make an array."""

    members: Sequence[tuple[str, Member]]

    @property
    def size(self) -> int:
        """How many events it has."""
        return sum(len(member) for _, member in self.members if not isinstance(member, bytes))


class PduLists:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def written(self, body: Body) -> AsyncIterator[bytes]:
        """The object's bytes, in pieces."""
        begin = b"{"
        for name, member in body.members:
            yield begin + orjson.dumps(name) + b":"
            begin = b","
            if isinstance(member, bytes):
                yield member
            else:
                async for piece in self._array(member):
                    yield piece
        yield b"}"

    async def _array(self, nids: Sequence[int]) -> AsyncIterator[bytes]:
        begin = b"["
        for start in range(0, len(nids), SLICE):
            pdus = await self._database.read(find_pdus, nids[start : start + SLICE])
            if pdus:
                yield begin + b",".join(pdus)
                begin = b","
        yield b"]" if begin == b"," else b"[]"

    async def ids(self, nids: Sequence[int]) -> list[str]:
        return await self._database.read(find_event_ids, nids)
