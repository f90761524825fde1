"""The ids by which a bridge knows the events that it has imported, and the ids that they have.

A bridge computes the id of an event from the message that it stands for, and uses that from then on: it imports a
message twice without harm, and refers to it without having kept anything. But from room version 3 on the id of an event
is its hash, and nobody can choose it. So both are kept, and where a service names an event by the id that it chose, the
other one is meant. Clients and other servers see only ids that events have.
"""

from collections.abc import Collection

from homeserver.services.rooms.heads import Heads
from homeserver.web.call import Requester
from matrix.event_references import references, referring_to
from matrix.events import Json
from matrix.ids import EventId, RoomId
from storage import imported_events
from storage.database import Database


class ImportedIds:
    def __init__(self, *, database: Database, heads: Heads) -> None:
        self._database = database
        self._heads = heads

    async def real(self, requester: Requester, room_id: RoomId, event_id: EventId) -> EventId:
        """The id of the event that the requester names."""
        return (await self._real(requester, room_id, [event_id])).get(event_id, event_id)

    async def in_content(self, requester: Requester, room_id: RoomId, content: Json) -> Json:
        """The content with the ids that the events have to which it refers."""
        return referring_to(content, await self._real(requester, room_id, references(content)))

    async def _real(self, requester: Requester, room_id: RoomId, event_ids: Collection[str]) -> dict[str, EventId]:
        # Of ids that are hashes none has a colon: most references of a bridge cost nothing here.
        chosen = [one for one in event_ids if ":" in one and "\x00" not in one]
        if requester.appservice_id is None or not chosen:
            return {}
        room = await self._heads.find_room(room_id)
        if room is None:
            return {}
        found = await self._database.read(imported_events.find, room.room_nid, chosen)
        return {claimed: imported.event_id for claimed, imported in found.items()}
