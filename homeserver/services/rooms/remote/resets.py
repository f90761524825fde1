"""A state reset is seen: state resolution has taken a member or power levels back to what they were before.

That is how resolution works, and mostly what a ban or a lost fork wants. But users who are gone from a room that nobody
removed them from, or power levels of last year, are what an administrator must hear of.

Source: specification, "State resolution".
"""

import logging
from collections.abc import Mapping

from homeserver.runtime.metrics import Metrics
from homeserver.services.rooms.heads import Head
from matrix.auth_needs import POWER_LEVELS
from matrix.events import Event, StateKey
from storage.events import Events
from storage.overlays import Changes

logger = logging.getLogger(__name__)

MEMBER = "m.room.member"
# Of one resolution so many keys are looked at, and so many users are named in the log.
MAX_LOOKED_AT, MAX_NAMED = 2_000, 10


class Resets:
    def __init__(self, *, events: Events, metrics: Metrics) -> None:
        self._events = events
        self._count = metrics.counter(
            "state_resets", "Members and power levels that state resolution took back to older ones", ["kind"]
        )

    async def look(self, head: Head, changes: Changes, cause: Event) -> None:
        """`changes`: what an event off the line has made of the room's state, beside its own key."""
        before = {
            key: head.state[key]
            for key in list(changes)[:MAX_LOOKED_AT]
            if key in head.state and (key[0] == MEMBER or key == POWER_LEVELS)
        }
        if not before:
            return
        found = await self._events.get({*before.values(), *(changes[key] for key in before)})
        known = {nid: stored.event for nid, stored in found.items()}
        reset = [key for key, nid in before.items() if _goes_back(known.get(nid), known.get(changes[key]))]
        if POWER_LEVELS in reset:
            self._count.labels("power_levels").inc()
            logger.warning(
                "State reset: the power levels of %s went back from %s to %s, by %s of %s",
                head.room_id,
                known[before[POWER_LEVELS]].event_id,
                _name(known, changes, POWER_LEVELS),
                cause.event_id,
                cause.sender,
            )
        if members := [key[1] for key in reset if key[0] == MEMBER]:
            self._count.labels("members").inc(len(members))
            logger.warning(
                "State reset: %d members of %s are no longer in it, by %s of %s: %s",
                len(members),
                head.room_id,
                cause.event_id,
                cause.sender,
                ", ".join(sorted(members)[:MAX_NAMED]),
            )


def _goes_back(before: Event | None, after: Event | None) -> bool:
    """Is what was there gone, or replaced by what is older? Of members only those who were in the room count."""
    if before is None:
        return False
    if before.type == MEMBER and (before.membership != "join" or (after is not None and after.membership == "join")):
        return False
    return after is None or after.depth <= before.depth


def _name(known: Mapping[int, Event], changes: Changes, key: StateKey) -> str:
    event = known.get(changes[key])
    return "none" if event is None else event.event_id
