"""The state of a room at some event of its history, and of that the members whom a client needs to show events.

Source: client-server API, "Lazy-loading room members".
"""

from collections.abc import Collection, Iterable, Sequence

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.reading import View
from matrix.events import StateKey
from storage import history, state
from storage.database import Database
from storage.events import Events, StoredEvent

MEMBER = "m.room.member"


class PastState:
    def __init__(self, *, heads: Heads, events: Events, database: Database) -> None:
        self._heads = heads
        self._events = events
        self._database = database

    async def after(self, stored: StoredEvent, members: Collection[str] | None = None) -> list[StoredEvent]:
        """The state once the event was there; of the memberships only those of `members`, if given."""
        nids = await self._database.run(history.state_before, stored.nid, members)
        if stored.event.is_state:
            nids[stored.event.key] = stored.nid
        return list((await self._events.get(nids.values())).values())

    async def at(self, room_nid: int, position: int) -> list[StoredEvent]:
        """The whole state of the room after a position."""
        nids = await self._database.read(state.after_named, room_nid, position)
        return list((await self._events.get(nids.values())).values())

    async def senders(self, view: View, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """The member events of all who sent the events, as they were at the newest of these."""
        if not events:
            return []
        users = {stored.event.sender for stored in events}
        return await self.members(view, max(stored.position for stored in events), users)

    async def members(self, view: View, position: int, users: Collection[str]) -> list[StoredEvent]:
        """The member events of the users after a position."""
        keys: list[StateKey] = [(MEMBER, user) for user in users]
        head = await self._heads.get(view.room_id)
        found = await self._heads.state_events(head, keys)
        # What is the state now, and was there at the position, was the state then.
        since = [stored for stored in found.values() if 0 < stored.position <= position]
        missing = [key for key in keys if key not in found or not 0 < found[key].position <= position]
        return since + await self._earlier(view.room_nid, position, missing)

    async def _earlier(self, room_nid: int, position: int, keys: list[StateKey]) -> list[StoredEvent]:
        if not keys:
            return []
        nids: Iterable[int] = (await self._database.read(state.at_position, room_nid, position, keys)).values()
        return list((await self._events.get(nids)).values())
