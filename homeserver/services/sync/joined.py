"""The parts of sync for rooms that the user is in, or was in until within the window.

Theory of operation. First it is found out which rooms are to be told, and each is planned (plan.py); nothing of that
needs the database when the window is in memory. Then all events that all plans speak of are loaded at once, and the
plans are written out, with a pause for others every few milliseconds.

Source: client-server API, "Syncing", "Lazy-loading room members".
"""

from collections.abc import Mapping

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.visibility import Visibility
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.moved import MovedRooms, RoomMoved
from homeserver.services.sync.plan import Plan, changed_outside, choose_timeline, newest_state, undo
from homeserver.services.sync.request import Window
from storage import state
from storage.database import Database
from storage.events import Events, StoredEvent
from storage.memberships import Membership
from storage.timelines import newest_in_rooms

Memberships = Mapping[int, Membership]


class JoinedRooms:
    """`plans` says what of the user's rooms is to be told."""

    def __init__(
        self,
        *,
        heads: Heads,
        moved: MovedRooms,
        visibility: Visibility,
        lazy_members: LazyMembers,
        events: Events,
        database: Database,
    ) -> None:
        self._heads = heads
        self._moved = moved
        self._visibility = visibility
        self._lazy_members = lazy_members
        self._events = events
        self._database = database

    async def plans(self, window: Window, rooms: Memberships, also: set[int]) -> list[Plan]:
        """For the rooms that the user is joined to. `also`: rooms to be told though nothing moved in them."""
        if window.is_initial or window.request.full_state:
            moved = await self._moved.find(window, rooms.keys(), 0) if not window.is_initial else {}
            return await self._whole(window, rooms, moved)
        fresh = {nid: row for nid, row in rooms.items() if row.position > window.since}
        fresh = {nid: row for nid, row in fresh.items() if not await self._was_joined(row, window.since)}
        known = {nid: row for nid, row in rooms.items() if nid not in fresh}
        moved = await self._moved.find(window, known.keys(), window.request.filter.timeline_limit)
        for room_nid in also & known.keys():
            moved.setdefault(room_nid, RoomMoved())
        plans = [await self._delta(window, nid, known[nid], what) for nid, what in moved.items()]
        if fresh:
            plans += await self._whole(window, fresh, await self._moved.find(window, fresh.keys(), 0))
        return plans

    async def left(self, window: Window, rooms: Memberships) -> list[Plan]:
        """For the rooms that the user is no longer in: what happened until then."""
        plans = []
        for room_nid, row in rooms.items():
            until = Window(
                request=window.request,
                since=window.since,
                upto=min(row.position, window.upto),
                now_ms=window.now_ms,
                ignored=window.ignored,
            )
            if window.is_initial or not await self._was_joined(row, window.since):
                plans.append(await self._whole_until(until, room_nid, row))
                continue
            limit = window.request.filter.timeline_limit
            moved = (await self._moved.find(until, [room_nid], limit)).get(room_nid, RoomMoved())
            plans.append(await self._delta(until, room_nid, row, moved))
        return plans

    async def _was_joined(self, row: Membership, position: int) -> bool:
        """Was the user, whose member event is now this one, joined after the event at `position`?"""
        nid: int | None = row.event_nid
        while nid is not None:
            stored = (await self._events.get([nid])).get(nid)
            if stored is None:
                return False
            if 0 < stored.position <= position:
                return stored.event.membership == "join"
            nid = stored.replaces
        return False

    async def _delta(self, window: Window, room_nid: int, row: Membership, moved: RoomMoved) -> Plan:
        """For a client that knows the room's state at `since`."""
        room = (await self._heads.rooms([room_nid]))[room_nid]
        plan = Plan(room_nid, room.room_id, row, moved)
        choose_timeline(plan, moved.events, window, has_gap=moved.has_gap)
        if moved.has_gap:
            await self._state_over_gap(window, plan)
        elif window.request.use_state_after:
            plan.state = newest_state(moved.events)
        else:
            plan.state = changed_outside(moved.events, plan.timeline)
        if window.request.filter.lazy_load_members:
            await self._lazy_members.add(window, plan)
        return plan

    async def _state_over_gap(self, window: Window, plan: Plan) -> None:
        args = (plan.room_nid, window.since, window.upto)
        plan.state = await self._database.run(state.changes_between_named, *args)
        if not window.request.use_state_after:
            undo(plan.state, plan.timeline)

    async def _whole(self, window: Window, rooms: Memberships, moved: Mapping[int, RoomMoved]) -> list[Plan]:
        """For a client that knows nothing of these rooms, or wants to hear all of it again."""
        heads = await self._heads.get_many(rooms)
        recent = await self._recent(window, list(heads))
        plans = []
        for room_nid, head in heads.items():
            plan = Plan(room_nid, head.room_id, rooms[room_nid], moved.get(room_nid, RoomMoved()), whole=True)
            events, has_more = recent[room_nid]
            visible = await self._visibility.filter(window.user_id, room_nid, events)
            choose_timeline(plan, visible, window, has_gap=has_more and len(visible) == len(events))
            await self._set_whole_state(window, plan, head.state)
            plans.append(plan)
        return plans

    async def _set_whole_state(self, window: Window, plan: Plan, state_now: Mapping[tuple[str, str], int]) -> None:
        plan.state = dict(state_now)
        if not window.request.use_state_after:
            undo(plan.state, plan.timeline)
        if window.request.filter.lazy_load_members:
            await self._lazy_members.add(window, plan)

    async def _recent(self, window: Window, room_nids: list[int]) -> dict[int, tuple[list[StoredEvent], bool]]:
        """The newest events of each room that pass the filter, and whether there are more before them.

        A filter that lets little through is given up on after a few looks: the timeline is then short and limited.
        """
        wanted = window.request.filter.room.timeline
        limit = window.request.filter.timeline_limit * (1 if wanted.is_empty else 4)
        since = window.since if window.request.full_state and not window.is_initial else 0
        found = await self._database.read(newest_in_rooms, room_nids, since, window.upto, limit + 1)
        stored = await self._events.get(nid for nids in found.values() for nid in nids[-limit:])
        return {
            room_nid: ([stored[nid] for nid in nids[-limit:] if nid in stored] if limit else [], len(nids) > limit)
            for room_nid, nids in found.items()
        }

    async def _whole_until(self, window: Window, room_nid: int, row: Membership) -> Plan:
        """A room that was joined and left again within the window, or never joined: an invite that was declined."""
        room = (await self._heads.rooms([room_nid]))[room_nid]
        plan = Plan(room_nid, room.room_id, row, RoomMoved(), whole=True)
        own = await self._events.get([row.event_nid])
        if not await self._was_ever_joined(own.get(row.event_nid)):
            plan.timeline = list(own.values())
            plan.limited = False
            return plan
        events, has_more = (await self._recent(window, [room_nid]))[room_nid]
        visible = await self._visibility.filter(window.user_id, room_nid, events)
        choose_timeline(plan, visible, window, has_gap=has_more and len(visible) == len(events))
        await self._set_whole_state(window, plan, await self._database.read(state.after_named, room_nid, window.upto))
        return plan

    async def _was_ever_joined(self, stored: StoredEvent | None) -> bool:
        while stored is not None and stored.replaces is not None:
            stored = (await self._events.get([stored.replaces])).get(stored.replaces)
            if stored is not None and stored.event.membership == "join":
                return True
        return False
