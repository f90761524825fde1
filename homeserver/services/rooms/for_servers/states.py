"""The state of a room at an event, and what authorised it, for a server that is in the room.

Source: server-server API, "Retrieving events", GET /event_auth.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from attrs import frozen

from homeserver.services.rooms.for_servers.admission import Admission
from matrix.errors import NotFound
from matrix.events import StateKey
from matrix.ids import EventId, RoomId, ServerName
from storage import state
from storage.database import Database
from storage.events import Events, Flags, StoredEvent

# The state before an event, resolved. In `homeserver.services.rooms.remote`: StateBefore.of_event.
StateOf = Callable[[StoredEvent], Awaitable[Mapping[StateKey, int]]]
# All that authorises some events, as numbers. In `storage.auth_chains`: auth_chain.
AuthChain = Callable[..., Collection[int]]


@frozen
class PastState:
    """Numbers of events. `auth_chain` has what authorises the state, and what authorises that, recursively."""

    state: list[int]
    auth_chain: list[int]


class States:
    def __init__(
        self, *, admission: Admission, events: Events, database: Database, state_of: StateOf, auth_chain: AuthChain
    ) -> None:
        self._admission = admission
        self._events = events
        self._database = database
        self._state_of = state_of
        self._auth_chain = auth_chain

    async def at(self, origin: ServerName, room_id: RoomId, event_id: EventId) -> PastState:
        """Before the event. Raises: NotFound, Forbidden."""
        await self._admission.whole(await self._admission.to_member(origin, room_id))
        stored = await self._event(origin, room_id, event_id)
        nids = await self.numbers_before(stored)
        return PastState(nids, await self.chain_of(nids))

    async def auth_of(self, origin: ServerName, room_id: RoomId, event_id: EventId) -> list[int]:
        """What authorises the event, recursively. Raises: NotFound, Forbidden."""
        stored = await self._event(origin, room_id, event_id)
        return [nid for nid in await self.chain_of([stored.nid]) if nid != stored.nid]

    async def numbers_before(self, stored: StoredEvent) -> list[int]:
        """As `before`, without the names, which of a large room are most of the work."""
        nids = await self._database.run(state.before_event, stored.nid)
        if not nids and stored.event.type != "m.room.create":
            raise NotFound(f"State not known at event {stored.event_id}")
        return list(nids.values())

    async def before(self, stored: StoredEvent) -> Mapping[StateKey, int]:
        """The state before an event. Raises: NotFound, of one whose place in the room is not known."""
        return await self._state_of(stored)

    async def chain_of(self, nids: Iterable[int]) -> list[int]:
        return list(await self._database.run(self._auth_chain, list(nids)))

    async def _event(self, origin: ServerName, room_id: RoomId, event_id: EventId) -> StoredEvent:
        room = await self._admission.to_member(origin, room_id)
        stored = await self._events.find(event_id)
        if stored is None or stored.room_nid != room.room_nid or stored.flags & Flags.REJECTED:
            raise NotFound(f"Could not find event {event_id}")
        return stored
