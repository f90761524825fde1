"""Rooms told whole: to a client that knows nothing of them, or wants to hear all of it again.

Source: client-server API, "Syncing"; GET /sync, `full_state`.
"""

from collections.abc import Mapping, Sequence

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.visibility import Seen, Visibility
from homeserver.services.sync.as_of import AsOf
from homeserver.services.sync.lazy_members import LazyMembers
from homeserver.services.sync.moved import RoomMoved
from homeserver.services.sync.plan import Plan, choose_timeline, unbroken, undo
from homeserver.services.sync.request import Window
from homeserver.services.sync.slices import Slices
from homeserver.services.sync.void import without_void
from storage.events import Events, StoredEvent
from storage.memberships import Membership
from storage.recent import RecentEvents

Memberships = Mapping[int, Membership]


class WholeRooms:
    def __init__(
        self,
        *,
        heads: Heads,
        visibility: Visibility,
        as_of: AsOf,
        lazy_members: LazyMembers,
        events: Events,
        recent: RecentEvents,
        clock: Clock,
    ) -> None:
        self._heads = heads
        self._visibility = visibility
        self._as_of = as_of
        self._lazy_members = lazy_members
        self._events = events
        self._recent = recent
        self._clock = clock

    async def plans(self, window: Window, rooms: Memberships, moved: Mapping[int, RoomMoved]) -> list[Plan]:
        """As the rooms are at the window's end. `moved` has what is beside their events."""
        heads = await self._heads.get_many(rooms)
        recent = await self._newest(window, list(heads))
        newest = {room_nid: events for room_nid, (events, _) in recent.items()}
        seen = await self._visibility.look_in_rooms(window.user_id, newest)
        plans = []
        slices = Slices(self._clock)
        for room_nid, head in heads.items():
            plan = Plan(room_nid, head.room_id, rooms[room_nid], moved.get(room_nid, RoomMoved()), whole=True)
            await self._fill(window, plan, head, *recent[room_nid], seen[room_nid])
            plans.append(plan)
            await slices.give_way()
        return plans

    async def _fill(
        self, window: Window, plan: Plan, head: Head, events: Sequence[StoredEvent], has_more: bool, seen: Seen
    ) -> None:
        unbroken_events = unbroken(events, seen.events)
        plan.state = await self._as_of.state(head, window.upto)
        if not window.request.use_state_after:
            unbroken_events = await without_void(self._events, unbroken_events, plan.state)
        has_gap = has_more or len(unbroken_events) < len(events)
        # A client that has been in the room before must not take these events for what follows those it knows.
        is_new = not window.is_initial and not window.request.full_state
        choose_timeline(plan, unbroken_events, window, has_gap=has_gap or is_new)
        plan.memberships = seen.memberships
        if not window.request.use_state_after:
            undo(plan.state, plan.timeline)
        if window.request.filter.lazy_load_members:
            await self._lazy_members.add(window, plan)
        elif not window.is_initial:
            # Who is given all members of all rooms at once counts them as well, and loading them all would cost a lot.
            await self._lazy_members.summarise(window, plan)

    async def _newest(self, window: Window, room_nids: list[int]) -> dict[int, tuple[list[StoredEvent], bool]]:
        """The newest events of each room that pass the filter, and whether there are more before them.

        A filter that lets little through is given up on after a few looks: the timeline is then short and limited.
        """
        wanted = window.request.filter.room.timeline
        limit = window.request.filter.timeline_limit * (1 if wanted.is_empty else 4)
        since = window.since if window.request.full_state and not window.is_initial else 0
        found = await self._recent.newest(room_nids, since, window.upto, limit + 1)
        return {room_nid: (events[-limit:] if limit else [], len(events) > limit) for room_nid, events in found.items()}
