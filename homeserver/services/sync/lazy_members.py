"""Lazy loading: of the members only those that the timeline speaks of, and each to a device only once.

What was given to which device is remembered in memory only: after a restart a client hears of some members again,
which the specification allows.

Source: client-server API, "Lazy-loading room members".
"""

from homeserver.runtime.caches import Lru
from homeserver.services.rooms.heads import Heads
from homeserver.services.sync.plan import MEMBER, Plan, keep_members, members_spoken_of
from homeserver.services.sync.request import Window
from matrix.events import StateKey

# Devices times rooms that are remembered, and members for each of them.
MAX_REMEMBERED = 20_000
MAX_MEMBERS = 1_000


class LazyMembers:
    def __init__(self, *, heads: Heads) -> None:
        self._heads = heads
        self._given: Lru[tuple[str, str, int], dict[str, int]] = Lru("lazy_members", MAX_REMEMBERED)

    async def add(self, window: Window, plan: Plan) -> None:
        """Leaves of the plan's state only the members that are needed, and adds those that are not in it."""
        needed = members_spoken_of(plan, window.user_id)
        keep_members(plan, needed)
        in_timeline = {stored.event.state_key for stored in plan.timeline if stored.event.type == MEMBER}
        missing = {user for user in needed if (MEMBER, user) not in plan.state and user not in in_timeline}
        if missing and not plan.whole:
            head = (await self._heads.get_many([plan.room_nid])).get(plan.room_nid)
            if head is not None:
                keys: list[StateKey] = [(MEMBER, user) for user in missing]
                plan.state.update((key, head.state[key]) for key in keys if key in head.state)
        if not window.request.filter.room.state.include_redundant_members:
            self._leave_out_given(window, plan)

    def _leave_out_given(self, window: Window, plan: Plan) -> None:
        """A member event that this device was given, by this or an earlier answer, is not repeated."""
        key = (window.user_id, window.request.device_key, plan.room_nid)
        given = {} if plan.whole else self._given.get(key, {})
        repeated = [(MEMBER, user) for user, nid in given.items() if plan.state.get((MEMBER, user)) == nid]
        for state_key in repeated:
            del plan.state[state_key]
        given.update((key[1], nid) for key, nid in plan.state.items() if key[0] == MEMBER)
        given.update(
            (stored.event.state_key or "", stored.nid) for stored in plan.timeline if stored.event.type == MEMBER
        )
        if len(given) <= MAX_MEMBERS:
            self._given.set(key, given)
        else:
            self._given.pop(key)
