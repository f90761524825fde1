"""The parts of sync for rooms that the user is in, or was in until within the window.

Theory of operation. First it is found out which rooms are to be told, and each is planned (plan.py); nothing of that
needs the database when the window is in memory. Then all events that all plans speak of are loaded at once, and the
plans are written out, with a pause for others every few milliseconds.

A client whose user was in a room at `since` is told what came since (since.py), every other the whole room (whole.py).

Source: client-server API, "Syncing".
"""

from collections.abc import Mapping

from attrs import evolve

from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.sync.as_of import AsOf
from homeserver.services.sync.moved import MovedRooms, RoomMoved
from homeserver.services.sync.plan import Plan, newest_state
from homeserver.services.sync.request import Window
from homeserver.services.sync.since import RoomsSince
from homeserver.services.sync.whole import WholeRooms
from storage.memberships import Membership

Memberships = Mapping[int, Membership]


class JoinedRooms:
    """`plans` and `left` say what of the user's rooms is to be told."""

    def __init__(
        self, *, moved: MovedRooms, as_of: AsOf, since: RoomsSince, whole: WholeRooms, partial: PartialRooms
    ) -> None:
        self._partial = partial
        self._moved = moved
        self._as_of = as_of
        self._since = since
        self._whole = whole

    async def plans(self, window: Window, rooms: Memberships, also: set[int]) -> list[Plan]:
        """For the rooms that the user is joined to. `also`: rooms to be told though nothing moved in them."""
        if hidden := self._hidden(window, rooms):
            rooms = {nid: row for nid, row in rooms.items() if nid not in hidden}
        if window.is_initial:
            return await self._whole.plans(window, rooms, {})
        if window.request.full_state:
            return await self._whole.plans(window, rooms, await self._moved.find(window, rooms.keys(), 0))
        new, away = await self._come(window, rooms)
        known = {nid: row for nid, row in rooms.items() if nid not in new} if new else rooms
        moved = await self._moved.find(window, known.keys(), window.request.filter.timeline_limit)
        for room_nid in also & known.keys():
            moved.setdefault(room_nid, RoomMoved())
        plans = [
            await self._since.plan(window, nid, known[nid], what, was_away=nid in away) for nid, what in moved.items()
        ]
        if new:
            plans += await self._whole.plans(window, new, await self._moved.find(window, new.keys(), 0))
        return plans

    async def _come(self, window: Window, rooms: Memberships) -> tuple[dict[int, Membership], set[int]]:
        """The rooms that are new to the client, and those in which the user was not for a part of the window."""
        new: dict[int, Membership] = {}
        away = set()
        for room_nid, row in rooms.items():
            if row.position > window.since:
                past = await self._as_of.own_past(row, window.since)
                if not past.was_joined:
                    new[room_nid] = row
                elif past.has_been_away:
                    away.add(room_nid)
        if not window.request.filter.lazy_load_members:
            # A client that wants all members has not been shown the room before.
            new |= {nid: rooms[nid] for nid in self._partial.completed_since(rooms, window.since)}
        return new, away

    def _hidden(self, window: Window, rooms: Memberships) -> set[int]:
        """Rooms whose members are not all known are not for clients that want them all."""
        if window.request.filter.lazy_load_members:
            return set()
        return self._partial.hidden(rooms.keys(), window.upto)

    async def left(self, window: Window, rooms: Memberships) -> list[Plan]:
        """For the rooms that the user is no longer in: what happened until then."""
        return [plan for room_nid, row in rooms.items() for plan in await self._left(window, room_nid, row)]

    async def _left(self, window: Window, room_nid: int, row: Membership) -> list[Plan]:
        past = await self._as_of.own_past(row, window.since)
        gone = past.since_gone()
        if not gone and not past.was_joined:
            return []
        # Who is gone by state resolution has no event to say since when, or none at all.
        at = gone[0].position if gone else 0
        until = evolve(window, upto=at if at > window.since else row.position, digest=None)
        if past.was_joined:
            limit = window.request.filter.timeline_limit
            moved = (await self._moved.find(until, [room_nid], limit)).get(room_nid, RoomMoved())
            plan = await self._since.plan(until, room_nid, row, moved, was_away=past.has_been_away)
            gone = gone[1:]
        elif past.has_joined:
            [plan] = await self._whole.plans(until, {room_nid: row}, {})
            gone = gone[1:]
        else:
            # Never in the room, as far as this client knows: an invite that was declined, a ban.
            plan, gone = await self._since.nothing(room_nid, row), gone[-1:]
        # What was said between these was not for the user.
        wants_timeline = window.request.filter.timeline_limit > 0
        plan.timeline += gone if wants_timeline else []
        if window.request.use_state_after or not wants_timeline:
            plan.state |= newest_state(gone)
        return [plan]
