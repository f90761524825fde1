"""Account data: what clients keep on the server for their user, global and for rooms; and tags.

Source: client-server API, "Client Config", "Room Tagging".
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from matrix.errors import InvalidParam, MatrixError, NotFound
from matrix.ids import RoomId, UserId
from storage import account_data as rows
from storage.change import At, Change, Entry, Kind
from storage.commit import Committer
from storage.database import Database

# What the server itself manages: read, but not set. Source: "Client Config", "Server Behaviour".
PROTECTED = frozenset({"m.fully_read", "m.push_rules"})
MAX_TYPE_BYTES = 255
MAX_TAG_BYTES = 255
GLOBAL = ""

# Gives the content of account data that is no row: m.push_rules.
Computed = Callable[[UserId], Awaitable[dict[str, Any]]]


class AccountData:
    """`computed`: global types that other parts know the content of. `room_id` is GLOBAL or a room's."""

    def __init__(self, *, db: Database, commit: Committer, computed: Mapping[str, Computed] | None = None) -> None:
        self._db = db
        self._commit = commit
        self._computed = dict(computed or {})

    async def get(self, user_id: UserId, room_id: str, kind: str) -> bytes:
        """The content as JSON. Raises: NotFound."""
        if room_id == GLOBAL and kind in self._computed:
            return orjson.dumps(await self._computed[kind](user_id))
        content = await self._db.read(rows.find, user_id, room_id, kind)
        if content is None:
            raise NotFound("Account data not found")
        return content.encode()

    async def set(self, user_id: UserId, room_id: str, kind: str, content: dict[str, Any]) -> None:
        """For clients; an empty content deletes (MSC3391). Raises: MatrixError 405 for what the server manages."""
        if not content:
            await self.delete(user_id, room_id, kind)
            return
        _check_type(kind)
        change = Change()
        put(change, user_id, room_id, kind, content)
        await self._commit(change)

    async def delete(self, user_id: UserId, room_id: str, kind: str) -> None:
        """MSC3391: other clients hear of an empty content."""
        _check_type(kind)
        change = Change()
        at = announce(change, user_id, room_id, kind)
        await self._commit(change.put(rows.PUT, (user_id, room_id, kind, "{}", at, True)))

    async def tags(self, user_id: UserId, room_id: RoomId) -> dict[str, Any]:
        """The tags of a room, by name."""
        return rows.tags_of(await self._db.read(rows.find, user_id, room_id, rows.TAG))

    async def put_tag(self, user_id: UserId, room_id: RoomId, tag: str, content: dict[str, Any] | None) -> None:
        """Sets a tag, or takes it off (None)."""
        if len(tag.encode()) > MAX_TAG_BYTES:
            raise InvalidParam(f"A tag has at most {MAX_TAG_BYTES} bytes")
        change = Change()
        entry = announce(change, user_id, room_id, rows.TAG).entry
        await self._commit(change.run(lambda cur: rows.put_tag(cur, user_id, room_id, tag, content, entry.position)))


def put(change: Change, user_id: str, room_id: str, kind: str, content: dict[str, Any]) -> None:
    """Adds account data to a change; for other services too (read markers, direct chats)."""
    at = announce(change, user_id, room_id, kind)
    change.put(rows.PUT, (user_id, room_id, kind, orjson.dumps(content).decode(), at, False))


def announce(change: Change, user_id: str, room_id: str, kind: str) -> At:
    """The stream tells which data of whom changed."""
    return change.announce(Entry(Kind.ACCOUNT_DATA, user_id=user_id, body={"room_id": room_id, "type": kind}))


def _check_type(kind: str) -> None:
    if kind in PROTECTED:
        raise MatrixError(405, "M_BAD_JSON", f"Cannot set {kind} through this API.")
    if len(kind.encode()) > MAX_TYPE_BYTES:
        raise InvalidParam(f"A type has at most {MAX_TYPE_BYTES} bytes")
