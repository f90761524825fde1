"""What a user's push rules say of an event: gathers the facts once for an event, and judges for each user."""

from collections.abc import Iterable, Sequence

from homeserver.runtime.caches import Lru
from homeserver.services.push.rules import PushRules
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.members import Members
from matrix.auth_needs import CREATE, POWER_LEVELS
from matrix.client_format import client_event
from matrix.power_levels import PowerLevels
from matrix.push_conditions import PushEvent
from matrix.push_eval import Actions
from storage.events import Events, StoredEvent

# Events are judged soon after they came, by all members of their room.
MAX_EVENTS = 2_000


class Judging:
    def __init__(self, *, heads: Heads, members: Members, events: Events, rules: PushRules) -> None:
        self._heads = heads
        self._members = members
        self._events = events
        self._rules = rules
        self._facts: Lru[int, PushEvent] = Lru("push_events", MAX_EVENTS)

    async def judge(self, user_id: str, room_nid: int, events: Sequence[StoredEvent]) -> list[Actions]:
        """What is to be done for the user, for each event; by the room's state of today."""
        evaluator = await self._rules.evaluator_of(user_id)
        head = self._heads.known(room_nid) or (await self._heads.get_many([room_nid]))[room_nid]
        # Held here: what others judge meanwhile may push it out of the cache.
        facts = {stored.nid: known for stored in events if (known := self._facts.get(stored.nid)) is not None}
        if missing := [stored for stored in events if stored.nid not in facts]:
            facts |= await self._gather(head, missing)
        name = _display_name(await self._heads.state_event(head, "m.room.member", user_id))
        return [evaluator.evaluate(facts[stored.nid], user_id, name) for stored in events]

    async def judge_invite(self, user_id: str, stored: StoredEvent) -> Actions:
        """For an invite to a room that this server may know nothing of."""
        facts = PushEvent(client_event(stored.event), member_count=0, sender_level=0, required_level=_unknown_level)
        return (await self._rules.evaluator_of(user_id)).evaluate(facts, user_id, None)

    async def _gather(self, head: Head, events: Iterable[StoredEvent]) -> dict[int, PushEvent]:
        state = await self._heads.state_events(head, [CREATE, POWER_LEVELS])
        create, levels = state.get(CREATE), state.get(POWER_LEVELS)
        power = PowerLevels.of(head.version, create.event if create else None, levels.event if levels else None)
        joined = await self._members.joined_count(head.room_nid)
        found = {
            stored.nid: PushEvent(
                client_event(stored.event),
                member_count=joined,
                sender_level=power.of_user(stored.event.sender),
                required_level=power.notification,
            )
            for stored in events
        }
        for nid, facts in found.items():
            self._facts.set(nid, facts)
        return found


def _display_name(member: StoredEvent | None) -> str | None:
    name = None if member is None else member.event.content.get("displayname")
    return name if isinstance(name, str) else None


def _unknown_level(notification: str) -> int:
    """The default, for a room whose power levels are not known."""
    return 50
