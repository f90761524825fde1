"""The forward extremities of a room once an event has come.

Source: server-server API, "PDUs", "Rejection", "Soft failure".
"""

from collections.abc import Sequence

from homeserver.services.rooms.heads import Extremity, Head
from matrix.ids import EventId
from storage import extremities as edges
from storage.database import Database
from storage.events import Events, StoredEvent

# So many rejected and soft-failed events are looked behind.
MAX_LOOKED_BEHIND = 100


class Edges:
    def __init__(self, *, database: Database, events: Events) -> None:
        self._database = database
        self._events = events

    async def after(self, head: Head, stored: StoredEvent, prev: Sequence[StoredEvent]) -> list[Extremity]:
        """Those that the event does not follow, and the event, unless something that came before follows it."""
        named = await self._followed(stored, prev)
        rest = [extremity for extremity in head.extremities if extremity[1] not in named]
        is_followed = await self._database.read(edges.is_seen_named, head.room_nid, stored.event_id)
        if rest and is_followed:
            return rest
        return [*rest, (stored.nid, stored.event_id, stored.event.depth)]

    async def _followed(self, stored: StoredEvent, prev: Sequence[StoredEvent]) -> set[EventId]:
        """What the event names; where that is no extremity, being rejected or soft-failed, what that one names."""
        named = set(stored.event.prev_events)
        hidden = [one for one in prev if one.flags]
        looked = 0
        while hidden and looked < MAX_LOOKED_BEHIND:
            looked += len(hidden)
            behind = {event_id for one in hidden for event_id in one.event.prev_events} - named
            named |= behind
            hidden = [one for one in (await self._events.by_id(behind)).values() if one.flags]
        return named
