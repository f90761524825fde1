"""Rooms of which the client knows what was before: told as what came since.

Who was away from the room for a part of the window may not see all that came: the timeline then begins after what is
hidden, and says that it is limited.

Source: client-server API, "Syncing"; GET /sync, `state`, `state_after`.
"""

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.visibility import Visibility
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.moved import RoomMoved
from homeserver.services.sync.plan import Plan, changed_outside, choose_timeline, newest_state, unbroken, undo
from homeserver.services.sync.request import Window
from homeserver.services.sync.void import without_void
from storage import state
from storage.database import Database
from storage.events import Events
from storage.memberships import Membership


class RoomsSince:
    def __init__(
        self, *, heads: Heads, visibility: Visibility, lazy_members: LazyMembers, events: Events, database: Database
    ) -> None:
        self._heads = heads
        self._visibility = visibility
        self._lazy_members = lazy_members
        self._events = events
        self._database = database

    async def plan(self, window: Window, room_nid: int, row: Membership, moved: RoomMoved, *, was_away: bool) -> Plan:
        room = (await self._heads.rooms([room_nid]))[room_nid]
        plan = Plan(room_nid, room.room_id, row, moved)
        events, has_gap = moved.events, moved.has_gap
        if was_away:
            seen = await self._visibility.look(window.user_id, room_nid, events)
            plan.memberships = seen.memberships
            events = unbroken(events, seen.events)
            has_gap = has_gap or len(events) < len(moved.events)
        if moved.is_resolved and not window.request.use_state_after:
            keys = list(newest_state(events))
            now = await self._database.read(state.at_position, room_nid, window.upto, keys)
            complete, events = events, await without_void(self._events, events, now)
            has_gap = has_gap or len(events) < len(complete)
        choose_timeline(plan, events, window, has_gap=has_gap)
        if moved.has_gap or moved.is_resolved:
            await self._state_over_gap(window, plan)
        elif window.request.use_state_after:
            plan.state = newest_state(moved.events)
        else:
            plan.state = changed_outside(moved.events, plan.timeline)
        if window.request.filter.lazy_load_members:
            await self._lazy_members.add(window, plan)
        else:
            await self._lazy_members.summarise(window, plan)
        return plan

    async def nothing(self, room_nid: int, row: Membership) -> Plan:
        """For a room of which nothing is told but the user's own membership."""
        room = (await self._heads.rooms([room_nid]))[room_nid]
        return Plan(room_nid, room.room_id, row, RoomMoved())

    async def _state_over_gap(self, window: Window, plan: Plan) -> None:
        args = (plan.room_nid, window.since, window.upto)
        plan.state = await self._database.run(state.changes_between_named, *args)
        if window.request.use_state_after:
            return
        undo(plan.state, plan.timeline)
        # What the timeline replaced, or state resolution brought back, may be what the client knows.
        known = await self._database.read(state.at_position, plan.room_nid, window.since, list(plan.state))
        plan.state = {key: nid for key, nid in plan.state.items() if known.get(key, state.ABSENT) != nid}
