"""Events as one reader gets them: the shared bytes, with everything around them that is the reader's own.

Source: client-server API, "Room event format", `unsigned`.
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Protocol, Self

from attrs import evolve, frozen

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.sent_ids import transaction_ids
from homeserver.services.rooms.serialise import Around, event_bytes, load_around
from homeserver.services.rooms.visibility import Seen
from homeserver.web.call import Requester
from matrix.events import Json
from matrix.ids import UserId
from storage.database import Database
from storage.events import Events, StoredEvent


@frozen
class Reader:
    """Who reads. `device_key` is the device as transaction ids know it."""

    user_id: UserId
    device_key: str

    @classmethod
    def of(cls, requester: Requester) -> Self:
        return cls(requester.user_id, requester.device_id or f"token {requester.token_id}")


class Bundles(Protocol):
    """Bundled aggregations, by event number, of those of the events that have any."""

    def __call__(self, user_id: UserId, events: Sequence[StoredEvent]) -> Awaitable[Mapping[int, Json]]: ...


class ClientEvents:
    def __init__(self, *, events: Events, database: Database, clock: Clock, bundles: Bundles) -> None:
        self._events = events
        self._database = database
        self._clock = clock
        self._bundles = bundles

    async def write(self, reader: Reader, seen: Seen) -> list[bytes]:
        """Each event as JSON, with its room's id, in their order."""
        around = evolve(
            await self._around(seen.events),
            transaction_ids=await transaction_ids(
                self._database, reader.user_id, reader.device_key, seen.events, self._clock.now_ms()
            ),
            memberships=seen.memberships,
            membership=seen.membership,
            bundles=await self._bundles(reader.user_id, [one for one in seen.events if one.has_children is not False]),
        )
        return [event_bytes(stored, around) for stored in seen.events]

    async def write_state(self, events: Sequence[StoredEvent]) -> list[bytes]:
        """Events of a room's state: without what is only for a timeline."""
        around = await self._around(events)
        return [event_bytes(stored, around) for stored in events]

    async def _around(self, events: Iterable[StoredEvent]) -> Around:
        beside = await load_around(self._events, events)
        return Around(now_ms=self._clock.now_ms(), with_room_id=True, replaced=beside, redactions=beside)
