"""Small numbers for strings that stand everywhere: (type, state_key) pairs; and numbers taken in blocks ahead."""

from collections import deque
from collections.abc import Iterable
from typing import cast

from psycopg2.extensions import cursor as Cursor

from matrix.events import StateKey
from storage.database import Database
from storage.prepared import Often

EVENT_BLOCK, ROOM_BLOCK, HISTORY_BLOCK = 256, 16, 256  # the INCREMENT BY of the sequences
# Beyond this many the oldest half is forgotten; a forgotten pair costs one look-up.
MAX_STATE_KEYS = 500_000


def _intern(cur: Cursor, keys: list[StateKey]) -> dict[StateKey, int]:
    types, state_keys = [key[0] for key in keys], [key[1] for key in keys]
    # Sorted, so that two transactions that add the same keys cannot deadlock.
    cur.execute(
        Often(
            "INSERT INTO state_keys (type, state_key) SELECT * FROM unnest(%s::text[], %s::text[]) AS v (a, b)"
            " ORDER BY 1, 2 ON CONFLICT DO NOTHING"
        ),
        (types, state_keys),
    )
    return find_state_keys(cur, keys)


def find_state_keys(cur: Cursor, keys: list[StateKey]) -> dict[StateKey, int]:
    """The numbers of those pairs that have one."""
    cur.execute(
        Often(
            "SELECT k.type, k.state_key, k.state_key_nid FROM state_keys k"
            " JOIN unnest(%s::text[], %s::text[]) AS v (type, state_key) USING (type, state_key)"
        ),
        ([key[0] for key in keys], [key[1] for key in keys]),
    )
    return {(type_, state_key): nid for type_, state_key, nid in cur}


# Keys that are looked up by one query: of more, writing it down would hold up the process.
AT_ONCE = 1_000


class StateKeys:
    """(type, state_key) -> number. A pair is given a number before the change that uses it, and keeps it."""

    def __init__(self, *, database: Database, max_keys: int = MAX_STATE_KEYS) -> None:
        self._database = database
        self._max = max_keys
        self._nids: dict[StateKey, int] = {}

    async def nids(self, keys: Iterable[StateKey]) -> dict[StateKey, int]:
        known = {key: self._nids.get(key) for key in keys}
        missing = [key for key, nid in known.items() if nid is None]
        if not missing:
            return cast(dict[StateKey, int], known)
        for start in range(0, len(missing), AT_ONCE):
            part = missing[start : start + AT_ONCE]
            found = await self._database.read(find_state_keys, part)
            if absent := [key for key in part if key not in found]:
                found |= await self._database.run(_intern, absent)
            self._remember(found)
            known.update(found)
        return cast(dict[StateKey, int], known)

    def _remember(self, found: dict[StateKey, int]) -> None:
        if len(self._nids) + len(found) > self._max:
            for key in list(self._nids)[: self._max // 2]:
                del self._nids[key]
        self._nids.update(found)


def _next_block(cur: Cursor, sequence: str) -> int:
    cur.execute(Often("SELECT nextval(%s)"), (sequence,))
    row = cur.fetchone()
    assert row is not None
    return int(row[0])


class Nids:
    """Numbers for new events or rooms, from blocks of a sequence. What a stopped process had left is never used."""

    def __init__(self, sequence: str, block: int, *, database: Database) -> None:
        self._sequence = sequence
        self._block = block
        self._database = database
        self._free: deque[int] = deque()

    async def take(self, count: int, *, above: int = 0) -> list[int]:
        """Ascending numbers, all larger than `above`."""
        while True:
            while self._free and self._free[0] <= above:
                self._free.popleft()
            if len(self._free) >= count:
                return [self._free.popleft() for _ in range(count)]
            first = await self._database.read(_next_block, self._sequence)
            is_late = bool(self._free) and first < self._free[-1]
            self._free.extend(range(first, first + self._block))
            if is_late:
                self._free = deque(sorted(self._free))
