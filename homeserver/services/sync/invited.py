"""The parts of sync for rooms that the user is invited to, or knocks at: stripped state of the time of the invite.

Of a room that this server is not in it is what another server has shown.

Source: client-server API, "Stripped state"; GET /sync, `invite_state`, `knock_state`.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping

import orjson

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.stripped import ShownState
from homeserver.services.sync.answer import Answer, events_object
from homeserver.services.sync.request import Window
from matrix.client_format import stripped_state
from matrix.events import Json, StateKey
from matrix.ids import UserId
from storage import out_of_band, state
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.memberships import Membership

Memberships = Mapping[int, Membership]


# Those of the inviters whose invites the user does not want to see.
HiddenFrom = Callable[[UserId, Collection[UserId]], Awaitable[Collection[str]]]


class InvitedRooms:
    def __init__(
        self, *, heads: Heads, events: Events, database: Database, hidden_from: HiddenFrom, shown: ShownState
    ) -> None:
        self._shown = shown
        self._heads = heads
        self._events = events
        self._database = database
        self._hidden_from = hidden_from

    async def add(self, window: Window, invites: Memberships, knocks: Memberships, answer: Answer) -> None:
        """Those that are newer than the window's begin; in an initial sync all."""
        for rooms, name, into in ((invites, b"invite_state", answer.invite), (knocks, b"knock_state", answer.knock)):
            fresh = {nid: row for nid, row in rooms.items() if row.position > window.since}
            for room_id, events in (await self._stripped(window, fresh)).items():
                into[room_id] = b'{"' + name + b'":' + events_object(events) + b"}"

    async def _stripped(self, window: Window, rooms: Memberships) -> dict[str, list[bytes]]:
        shown: dict[str, list[bytes]] = {}
        known = await self._heads.rooms(rooms)
        own = await self._events.get(row.event_nid for row in rooms.values())
        lacking = [row.event_nid for row in rooms.values() if row.event_nid not in own]
        outside = await self._database.read(out_of_band.find, lacking) if lacking else {}
        senders = {one.event.sender for one in own.values()} | {one.event.event.sender for one in outside.values()}
        hidden = {*window.ignored, *(await self._hidden_from(window.user_id, senders) if senders else ())}
        for room_nid, row in rooms.items():
            elsewhere = outside.get(row.event_nid)
            member = own.get(row.event_nid) if elsewhere is None else elsewhere.event
            if member is None or member.event.sender in hidden:
                continue
            if elsewhere is None:
                state = [stripped_state(one.event) for one in await self._state_at(room_nid, row.position, member)]
            else:
                state = _with_own(elsewhere.room_state, member)
            shown[known[room_nid].room_id] = [orjson.dumps(one) for one in state]
        return shown

    async def _state_at(self, room_nid: int, position: int, member: StoredEvent) -> list[StoredEvent]:
        """The events that are shown, at the position, who invited, and the user's own member event."""
        head = (await self._heads.get_many([room_nid])).get(room_nid)
        keys = self._shown.keys if head is None else self._shown.of(head)
        sender: StateKey = ("m.room.member", member.event.sender)
        then = await self._database.read(state.at_position, room_nid, position, (*keys, sender))
        found = await self._events.get(then.values())
        return [one for nid, one in found.items() if nid != member.nid] + [member]


def _with_own(room_state: list[Json], member: StoredEvent) -> list[Json]:
    """What another server shows of a room that we are not in, and the user's own member event as we have it."""
    own = stripped_state(member.event)
    others = [one for one in room_state if (one["type"], one["state_key"]) != member.event.key]
    return [*others, own]
