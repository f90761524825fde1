"""The ids by which a bridge knows the events that it has imported, and the ids that they have.

A bridge computes the id of an event from the message that it stands for, and uses that from then on: it imports a
message twice without harm, and refers to it without having kept anything. But from room version 3 on the id of an event
is its hash, and nobody can choose it. So both are kept, and where a service names an event by the id that it chose, the
other one is meant. Clients and other servers see only ids that events have.
"""

from collections.abc import Collection, Mapping
from typing import Any

from homeserver.services.rooms.heads import Heads
from homeserver.web.call import Requester
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


def references(content: Mapping[str, Any]) -> list[str]:
    """The ids of the events that a content refers to."""
    relates_to = content.get("m.relates_to")
    relates_to = relates_to if isinstance(relates_to, dict) else {}
    reply = relates_to.get("m.in_reply_to")
    found = (relates_to.get("event_id"), reply.get("event_id") if isinstance(reply, dict) else None)
    return [one for one in (*found, content.get("redacts")) if isinstance(one, str)]


def referring_to(content: Json, ids: Mapping[str, str]) -> Json:
    """The content with other ids for events that it refers to: `ids` has the new ones by the old ones."""
    if not ids:
        return content
    changed = dict(content)
    if content.get("redacts") in ids:
        changed["redacts"] = ids[content["redacts"]]
    relates_to = content.get("m.relates_to")
    if isinstance(relates_to, dict):
        changed["m.relates_to"] = relates_to = _named(relates_to, ids)
        if isinstance(reply := relates_to.get("m.in_reply_to"), dict):
            relates_to["m.in_reply_to"] = _named(reply, ids)
    return changed


def _named(value: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    event_id = value.get("event_id")
    return {**value, "event_id": ids[event_id]} if isinstance(event_id, str) and event_id in ids else dict(value)
