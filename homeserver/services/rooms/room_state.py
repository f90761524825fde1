"""The state of a room for a client: now, or at the time when the user left.

Source: client-server API, GET /rooms/{roomId}/state, GET /rooms/{roomId}/state/{eventType}/{stateKey}.
"""

from collections.abc import Iterable

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.serialise import Around, event_bytes
from matrix.errors import Forbidden, NotFound
from matrix.events import StateKey
from matrix.ids import RoomId, UserId
from matrix.visibility import HISTORY_VISIBILITY, visibility_of
from storage import state
from storage.database import Database
from storage.events import Events, StoredEvent

# So many events are written before others have their turn.
SLICE = 1000


@frozen
class _View:
    """What the user sees: the head's state, or that after a position."""

    head: Head
    position: int | None


class RoomState:
    """Everything raises Forbidden for who neither is nor was in the room, and may not look in; NotFound."""

    def __init__(
        self,
        *,
        heads: Heads,
        members: Members,
        partial: PartialRooms,
        events: Events,
        database: Database,
        clock: Clock,
    ) -> None:
        self._heads = heads
        self._members = members
        self._partial = partial
        self._events = events
        self._database = database
        self._clock = clock

    async def all(self, user_id: UserId, room_id: RoomId) -> list[bytes]:
        """The whole state as a JSON array, in pieces."""
        view = await self._whole(await self._view(user_id, room_id), user_id, room_id)
        if view.position is None:
            nids: Iterable[int] = list(view.head.state.values())
        else:
            nids = (await self._database.read(state.after, view.head.room_nid, view.position)).values()
        return await self._written((await self._events.get(nids)).values())

    async def one(self, user_id: UserId, room_id: RoomId, event_type: str, state_key: str) -> StoredEvent:
        view = await self._view(user_id, room_id)
        key: StateKey = (event_type, state_key)
        if event_type == "m.room.member" and key not in view.head.state:
            view = await self._whole(view, user_id, room_id)
        if view.position is None:
            stored = await self._heads.state_event(view.head, *key)
        else:
            found = await self._database.read(state.at_position, view.head.room_nid, view.position, [key])
            stored = (await self._events.get(found.values())).get(found.get(key, 0))
        if stored is None:
            raise NotFound("Event not found.")
        return stored

    async def check_may_look_in(self, user_id: UserId, room_id: RoomId) -> Head:
        """For what is told to members, and of rooms that anyone may read to everybody. Raises: Forbidden."""
        room = await self._heads.find_room(room_id)
        if room is None:
            raise _not_there()
        head = await self._heads.get(room_id)
        if not await self._members.is_joined(user_id, room.room_nid) and not await self._is_world_readable(head):
            raise _not_there()
        return head

    async def _view(self, user_id: UserId, room_id: RoomId) -> _View:
        room = await self._heads.find_room(room_id)
        if room is None:
            raise _not_there()
        head = await self._heads.get(room_id)
        own = (await self._members.rooms_of(user_id)).get(room.room_nid)
        if own is not None and own.membership == "join":
            return _View(head, None)
        if await self._is_world_readable(head):
            return _View(head, None)
        if own is None or own.membership not in ("leave", "ban") or own.forgotten:
            raise _not_there()
        if not await self._was_joined(room.room_nid, user_id):
            raise _not_there()
        return _View(head, own.position)

    async def _whole(self, view: _View, user_id: UserId, room_id: RoomId) -> _View:
        """Once all members are known. Who has left is shown what was known."""
        if view.position is not None or not self._partial.is_partial(view.head.room_nid):
            return view
        await self._partial.whole(view.head.room_nid)
        return await self._view(user_id, room_id)

    async def _was_joined(self, room_nid: int, user_id: UserId) -> bool:
        """Who only declined an invite has never been there."""
        intervals = await self._database.read(state.history, room_nid, [("m.room.member", user_id)])
        events = await self._events.get(nid for _, _, _, nid in intervals)
        return any(stored.event.membership == "join" for stored in events.values())

    async def _is_world_readable(self, head: Head) -> bool:
        stored = await self._heads.state_event(head, *HISTORY_VISIBILITY)
        return visibility_of(None if stored is None else stored.event.content) == "world_readable"

    async def _written(self, events: Iterable[StoredEvent]) -> list[bytes]:
        around = Around(now_ms=self._clock.now_ms(), with_room_id=True)
        written: list[bytes] = []
        for index, stored in enumerate(events, 1):
            written.append(event_bytes(stored, around))
            if index % SLICE == 0:
                await self._clock.sleep(0)
        return [b"[", b",".join(written), b"]"]


def _not_there() -> Forbidden:
    # A room that we do not know is no different to who asks.
    return Forbidden("You aren't a member of the room and weren't previously a member of the room.")
