"""Guests leave a room that no longer takes them.

Source: client-server API, "Guest Access", "Server behaviour".
"""

from collections.abc import Iterable

from homeserver.runtime.tasks import Tasks
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.membership import Membership
from homeserver.web.call import Requester
from matrix.events import Event, StateKey
from matrix.ids import RoomId
from storage.change import Entry, Kind
from storage.database import Database
from storage.memberships import joined_guests

GUEST_ACCESS: StateKey = ("m.room.guest_access", "")


class Guests:
    """`read_stream` reads the stream."""

    def __init__(self, *, heads: Heads, membership: Membership, database: Database, tasks: Tasks) -> None:
        self._heads = heads
        self._membership = membership
        self._database = database
        self._tasks = tasks

    def read_stream(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            # Where nothing was said before no guest is in the room.
            if entry.kind is Kind.EVENT and not entry.body.flags and entry.body.replaces is not None:
                event: Event = entry.body.event
                if (event.type, event.state_key) == GUEST_ACCESS and not _admits(event):
                    self._tasks.background("rooms.guest_access", self._check(event.room_id))

    async def _check(self, room_id: RoomId) -> None:
        head = await self._heads.get(room_id)
        event = await self._heads.state_event(head, *GUEST_ACCESS)
        if event is not None and _admits(event.event):
            return
        for guest in await self._database.read(joined_guests, head.room_nid):
            await self._membership.leave(Requester(guest, is_guest=True), room_id, limited=False)


def _admits(event: Event) -> bool:
    return bool(event.content.get("guest_access") == "can_join")
