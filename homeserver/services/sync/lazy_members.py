"""Lazy loading: of the members only those that the timeline or the room's name speaks of, and each to a device once.

What was given to which device is remembered in memory only, with the end of the answer that gave it, as long as it
is known that the device has heard that one (heard.py). After a restart a client hears of some members again, which the
specification allows. Who was given is kept up to date: a change in a gap is told, whoever it is of.

Source: client-server API, "Lazy-loading room members"; GET /sync, `m.heroes`, `state_after`.
"""

from collections.abc import Collection, Mapping

from homeserver.runtime.caches import Lru
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.summary import Summaries
from homeserver.services.sync.as_of import AsOf
from homeserver.services.sync.heard import Heard
from homeserver.services.sync.plan import MEMBER, Plan
from homeserver.services.sync.request import Window
from matrix.events import StateKey

# Devices times rooms that are remembered, and members for each of them.
MAX_REMEMBERED = 20_000
MAX_MEMBERS = 1_000

# The number of the member event, and the end of the window of the answer that gave it.
Given = dict[str, tuple[int, int]]


class LazyMembers:
    def __init__(self, *, heads: Heads, as_of: AsOf, summaries: Summaries) -> None:
        self._heads = heads
        self._summaries = summaries
        self._as_of = as_of
        self._heard = Heard()
        self._given: Lru[tuple[str, str, int], Given] = Lru("lazy_members", MAX_REMEMBERED)

    def asked(self, user_id: str, device_key: str, since: int) -> None:
        """A device comes with this position, and so shows which answer it has."""
        self._heard.asked((user_id, device_key), since)

    def knows(self, window: Window, room_nid: int, come: int, users: Collection[str]) -> bool:
        """Has the device, whose user came into the room at `come`, heard of these members as they are now?"""
        head = self._heads.known(room_nid)
        device = (window.user_id, window.request.device_key)
        remembered = self._given.get((*device, room_nid), {})
        if head is None or window.request.filter.room.state.include_redundant_members:
            return False
        for user in users:
            nid, upto = remembered.get(user, (0, 0))
            if not nid or upto < come or head.state.get((MEMBER, user)) != nid:
                return False
            if not self._heard.has(device, upto, window.since):
                return False
        return True

    async def add(self, window: Window, plan: Plan) -> None:
        """Leaves of the plan's state only the members that are needed, and adds those that are not in it.

        Adds the summary too.
        """
        await self.summarise(window, plan)
        key = (window.user_id, window.request.device_key, plan.room_nid)
        remembered = {} if plan.whole else self._given.get(key, {})
        # What was given before the user came (back) into the room is forgotten, as the rest of the room.
        come = plan.membership.position
        ends = {upto for _, upto in remembered.values() if upto >= come}
        heard = {upto for upto in ends if self._heard.has(key[:2], upto, window.since)}
        given = {user: nid for user, (nid, upto) in remembered.items() if upto in heard}
        needed = _members_spoken_of(window, plan)
        kept_up = needed | given.keys() | {window.user_id}
        plan.state = {key: nid for key, nid in plan.state.items() if key[0] != MEMBER or key[1] in kept_up}
        is_redundant_wanted = window.request.filter.room.state.include_redundant_members
        if not plan.whole:
            await self._add_missing(window, plan, needed, {} if is_redundant_wanted else given)
        if not is_redundant_wanted:
            for user, nid in given.items():
                if plan.state.get((MEMBER, user)) == nid:
                    del plan.state[(MEMBER, user)]
        kept = {user: remembered[user] for user in given}
        if (told := _told(window, plan, needed)) or len(kept) < len(remembered):
            kept |= {user: (nid, window.upto) for user, nid in told.items()}
            self._remember(key, kept, window.upto)

    async def summarise(self, window: Window, plan: Plan) -> None:
        """Adds the summary, if it has changed or the client has none."""
        is_other = plan.moved.has_gap or plan.moved.is_resolved
        has_changed = plan.whole or is_other or any(one.event.type == MEMBER for one in plan.moved.events)
        if has_changed and plan.membership.membership == "join":
            head = (await self._heads.get_many([plan.room_nid]))[plan.room_nid]
            plan.summary = await self._summaries.of(head, window.user_id)

    async def _add_missing(self, window: Window, plan: Plan, needed: set[str], given: Mapping[str, int]) -> None:
        """Members who are needed and have not changed within the window, or changed in the timeline only."""
        missing = {user for user in needed if (MEMBER, user) not in plan.state}
        if not window.request.use_state_after:
            for stored in reversed(plan.timeline):
                if stored.event.type == MEMBER and stored.event.state_key in missing and stored.replaces:
                    plan.state[stored.event.key] = stored.replaces
            missing -= {stored.event.state_key for stored in plan.timeline if stored.event.type == MEMBER}
        if not missing:
            return
        head = (await self._heads.get_many([plan.room_nid])).get(plan.room_nid)
        if head is None:
            return
        # What was given may have changed while the device asked another process. The head is never behind.
        keys: list[StateKey] = [(MEMBER, user) for user in missing]
        keys = [key for key in keys if key[1] not in given or head.state.get(key) != given[key[1]]]
        if keys:
            plan.state.update(await self._as_of.state_of(head, window.upto, keys))

    def _remember(self, key: tuple[str, str, int], given: Given, upto: int) -> None:
        if len(given) <= MAX_MEMBERS:
            self._given.set(key, given)
            self._heard.will_answer(key[:2], upto)
        else:
            self._given.pop(key)


def _told(window: Window, plan: Plan, needed: Collection[str]) -> dict[str, int]:
    """The members that the answer gives; of the changes only those that any process would tell."""
    told = {key[1]: nid for key, nid in plan.state.items() if key[0] == MEMBER and key[1] in needed}
    if not window.request.use_state_after:
        told.update(
            (stored.event.state_key or "", stored.nid) for stored in plan.timeline if stored.event.type == MEMBER
        )
    return told


def _members_spoken_of(window: Window, plan: Plan) -> set[str]:
    """Whose membership the client needs: the senders', the heroes', and on the first sight its own.

    Whose own member event comes in the timeline before anything else of theirs needs no other. A client that reads the
    state after the timeline has members from there only.
    """
    users: set[str] = set(plan.summary.get("m.heroes", ()))
    if plan.whole:
        users.add(window.user_id)
    introduced: set[str] = set()
    for stored in plan.timeline:
        event = stored.event
        if event.type == MEMBER and event.state_key is not None:
            (users if window.request.use_state_after else introduced).add(event.state_key)
        if event.sender not in introduced:
            users.add(event.sender)
    return users
