"""Who is or was in a room, as events or as profiles.

Source: client-server API, GET /rooms/{roomId}/members, GET /rooms/{roomId}/joined_members.
"""

from collections.abc import Iterable

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.past_state import MEMBER
from homeserver.services.rooms.reading import Reading, View
from homeserver.services.rooms.serialise import Around, event_bytes
from matrix.auth_needs import CREATE
from matrix.errors import Forbidden
from matrix.events import Json
from matrix.ids import RoomId, UserId
from storage import state
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.history import Token
from storage.stream import Stream

# So many events are written before others have their turn.
SLICE = 1_000


@frozen(kw_only=True)
class MemberQuery:
    """With both, a membership passes that is the one or is not the other: so says the specification."""

    at: Token | None = None
    membership: str | None = None
    not_membership: str | None = None

    def wants(self, membership: str | None) -> bool:
        if self.membership is not None and membership == self.membership:
            return True
        if self.not_membership is not None:
            return membership != self.not_membership
        return self.membership is None


class MemberList:
    def __init__(
        self,
        *,
        reading: Reading,
        heads: Heads,
        members: Members,
        events: Events,
        database: Database,
        stream: Stream,
        clock: Clock,
    ) -> None:
        self._reading = reading
        self._heads = heads
        self._members = members
        self._events = events
        self._database = database
        self._stream = stream
        self._clock = clock

    async def events(self, user_id: UserId, room_id: RoomId, query: MemberQuery) -> list[bytes]:
        """The member events as a JSON array in pieces: now, when the user left, or at a token. Raises: Forbidden."""
        view = await self._reading.view(user_id, room_id)
        if view.until is None:
            await self._reading.whole(view.room_nid)
        stored = (await self._events.get(await self._nids(view, query.at))).values()
        return await self._written(one for one in stored if query.wants(one.event.membership))

    async def joined(self, user_id: UserId, room_id: RoomId) -> Json:
        """Profiles by user id. Raises: Forbidden to who is not in the room."""
        room = await self._heads.find_room(room_id)
        if room is None or not await self._members.is_joined(user_id, room.room_nid):
            raise Forbidden(f"User {user_id} not in room {room_id}")
        await self._reading.whole(room.room_nid)
        head = await self._heads.get(room_id)
        users = await self._members.joined(room.room_nid)
        events = await self._heads.state_events(head, [(MEMBER, user) for user in users])
        return {str(stored.event.state_key): _profile(stored) for stored in events.values()}

    async def _nids(self, view: View, at: Token | None) -> list[int]:
        position = None if at is None else max(at.position, await self._first_position(view))
        if position is None or (view.until is not None and position > view.until):
            position = view.until
        if position is None or (view.until is None and position >= self._stream.newest_in_room(view.room_nid)):
            state_now = (await self._heads.get(view.room_id)).state
        else:
            state_now = await self._database.read(state.after_named, view.room_nid, position)
        return [nid for key, nid in state_now.items() if key[0] == MEMBER]

    async def _first_position(self, view: View) -> int:
        """When the creator came. Before that nobody was there who could ask, though `prev_batch` may lead there."""
        create = await self._heads.state_event(await self._heads.get(view.room_id), *CREATE)
        return 0 if create is None else create.position + 1

    async def _written(self, events: Iterable[StoredEvent]) -> list[bytes]:
        around = Around(now_ms=self._clock.now_ms(), with_room_id=True)
        written: list[bytes] = []
        for index, stored in enumerate(events, 1):
            written.append(event_bytes(stored, around))
            if index % SLICE == 0:
                await self._clock.sleep(0)
        return [b"[", b",".join(written), b"]"]


def _profile(stored: StoredEvent) -> Json:
    content = stored.event.content
    names = (("display_name", "displayname"), ("avatar_url", "avatar_url"))
    # As Synapse: what is not there is null.
    return {ours: content[name] if isinstance(content.get(name), str) else None for ours, name in names}
