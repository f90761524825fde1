"""What of a room's history another server may see: the rest it gets redacted, so that the graph stays whole.

A server that is in the room now sees what any of its users may see: all, unless the visibility was "invited" or
"joined" then and none of its users was there.

Source: client-server API, "Room History Visibility"; server-server API, "Backfilling and retrieving missing events".
"""

from collections.abc import Mapping, Sequence

from attrs import frozen

from matrix.events import Event
from matrix.ids import ServerName
from matrix.redaction import redact_event
from matrix.visibility import HISTORY_VISIBILITY, visibility_of
from storage import server_visibility as rows
from storage.database import Database
from storage.events import Events, Flags, StoredEvent

_OPEN = frozenset(("world_readable", "shared"))
_ENOUGH = {"joined": frozenset(("join",)), "invited": frozenset(("join", "invite"))}


@frozen
class Shown:
    """An event as the server gets it."""

    event: Event
    is_whole: bool


class ServerVisibility:
    def __init__(self, *, database: Database, events: Events) -> None:
        self._database = database
        self._events = events

    async def show(self, server: ServerName, room_nid: int, events: Sequence[StoredEvent]) -> list[Shown]:
        """The events in their order, for a server that is in the room."""
        in_history = [stored.nid for stored in events if not stored.flags & Flags.OUTLIER]
        # Outliers have no state: what is known of them is that they authorise others, which every member may see.
        places = await self._database.read(rows.places_of, in_history) if in_history else {}
        visibilities = await self._visibilities(room_nid, events, places)
        closed = {nid: places[nid] for nid, those in visibilities.items() if _OPEN.isdisjoint(those)}
        memberships = await self._memberships(room_nid, server, events, closed)
        return [
            Shown(stored.event, True)
            if stored.nid not in closed or _is_allowed(visibilities[stored.nid], memberships[stored.nid])
            else Shown(redact_event(stored.event), False)
            for stored in events
        ]

    async def _visibilities(
        self, room_nid: int, events: Sequence[StoredEvent], places: Mapping[int, rows.Place]
    ) -> dict[int, set[str]]:
        """Of each event the visibility before it, and the one that it makes."""
        if not places:
            return {}
        nids = await self._database.read(rows.visibility_events, room_nid, places)
        settings = await self._events.get(set(nids.values()))
        found = {
            nid: {visibility_of(settings[setting].event.content if setting in settings else None)}
            for nid, setting in nids.items()
        }
        for stored in events:
            if stored.event.is_state and stored.event.key == HISTORY_VISIBILITY and stored.nid in found:
                found[stored.nid].add(visibility_of(stored.event.content))
        return found

    async def _memberships(
        self, room_nid: int, server: ServerName, events: Sequence[StoredEvent], closed: Mapping[int, rows.Place]
    ) -> dict[int, frozenset[str]]:
        """Of each event the memberships of the server's users before it, and the one that it makes."""
        if not closed:
            return {}
        found = await self._database.run(rows.memberships_of, room_nid, server, closed)
        for stored in events:
            event = stored.event
            if stored.nid in found and event.membership is not None and _is_of(event.state_key, server):
                found[stored.nid] |= {event.membership}
        return found


def _is_allowed(visibilities: set[str], memberships: frozenset[str]) -> bool:
    return any(not _ENOUGH[visibility].isdisjoint(memberships) for visibility in visibilities)


def _is_of(user_id: str | None, server: ServerName) -> bool:
    return user_id is not None and user_id.partition(":")[2] == server
