"""The forward extremities of a room once an event has come.

Source: server-server API, "PDUs", "Rejection", "Soft failure".
"""

from collections.abc import Sequence

from homeserver.services.rooms.heads import Extremity, Head
from matrix.events import Event
from matrix.ids import EventId
from storage import extremities as edges
from storage.database import Database
from storage.events import Events, StoredEvent

# So many rejected and soft-failed events are looked behind, and so many of which only the content is known.
MAX_LOOKED_BEHIND = 100
# So many seen events after one that came late are asked whether they rest on it by way of such ones.
MAX_LOOKED_AT = 200


class Edges:
    def __init__(self, *, database: Database, events: Events) -> None:
        self._database = database
        self._events = events

    async def after(self, head: Head, stored: StoredEvent, prev: Sequence[StoredEvent]) -> list[Extremity]:
        """Those that the event does not follow, and the event, unless something that came before follows it."""
        named = await self._followed(stored, prev)
        rest = [extremity for extremity in head.extremities if extremity[1] not in named]
        if rest and await self._is_followed(head.room_nid, stored.event):
            return rest
        return [*rest, (stored.nid, stored.event_id, stored.event.depth)]

    async def _is_followed(self, room_nid: int, event: Event) -> bool:
        """Does what came before rest on it? By itself, or by way of such as nobody here sees."""
        if await self._database.read(edges.is_seen_named, room_nid, event.event_id):
            return True
        between = await self._database.read(edges.unseen_named, room_nid, MAX_LOOKED_BEHIND, event.depth, MAX_LOOKED_AT)
        waiting = list((await self._events.get(between)).values()) if between else []
        seen: set[EventId] = set()
        while waiting and len(seen) < MAX_LOOKED_BEHIND:
            named = {prev for one in waiting for prev in one.event.prev_events} - seen
            if event.event_id in named:
                return True
            seen |= named
            waiting = [one for one in (await self._events.by_id(named)).values() if one.flags]
        return False

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
