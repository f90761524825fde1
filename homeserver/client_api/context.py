"""GET /rooms/{roomId}/context/{eventId}.

Source: client-server API, "Event Context".
"""

from collections.abc import Sequence

import orjson

from homeserver.client_api.history_query import EventFilters
from homeserver.services.rooms.client_events import ClientEvents, Reader
from homeserver.services.rooms.imported_ids import ImportedIds
from homeserver.services.rooms.past_state import PastState
from homeserver.services.rooms.timeline import DEFAULT_LIMIT, MAX_LIMIT, Surroundings, Timeline
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import Access, client, route
from matrix.filters import EventFilter
from matrix.ids import EventId, RoomId
from storage.events import StoredEvent


class ContextApi:
    def __init__(
        self, *, timeline: Timeline, past_state: PastState, client_events: ClientEvents, imported: ImportedIds
    ) -> None:
        self._imported = imported
        self._timeline = timeline
        self._past_state = past_state
        self._client_events = client_events
        self._filters = EventFilters()

    @route("GET", *client("/rooms/{room_id}/context/{event_id}"), access=Access.GUEST)
    async def get_context(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        limit = call.query.integer("limit", DEFAULT_LIMIT, minimum=0, clamp=MAX_LIMIT)
        wanted = self._filters.of(call)
        # As Synapse: of an odd number the one more comes after the event.
        limits = (limit // 2, limit - limit // 2)
        event_id = await self._imported.real(call.user, room_id, event_id)
        found = await self._timeline.around(call.user.user_id, room_id, event_id, limits, wanted)
        reader = Reader.of(call.user)
        write = self._client_events.write
        state = await self._client_events.write_state(await self._state(found, wanted))
        return RawJson(
            [
                b'{"start":',
                orjson.dumps(str(found.start)),
                b',"end":',
                orjson.dumps(str(found.end)),
                b',"event":',
                *await write(reader, found.event),
                b',"events_before":[',
                b",".join(await write(reader, found.before)),
                b'],"events_after":[',
                b",".join(await write(reader, found.after)),
                b'],"state":[',
                b",".join(state),
                b"]}",
            ]
        )

    async def _state(self, found: Surroundings, wanted: EventFilter) -> list[StoredEvent]:
        """The state at the last event; with lazy loading only those members who sent one of the events."""
        senders = {stored.event.sender for stored in found.all} if wanted.lazy_load_members else None
        return _passing(await self._past_state.after(found.last, senders), wanted)


def _passing(state: Sequence[StoredEvent], wanted: EventFilter) -> list[StoredEvent]:
    return [
        one for one in state if wanted.allows(one.event.type, one.event.sender, one.event.room_id, one.event.content)
    ]
