"""What a user's push rules say of an event: gathers the facts once for an event, and judges for each user."""

from homeserver.runtime.caches import Lru
from homeserver.services.push.rules import PushRules
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
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

    async def judge(self, user_id: str, room_nid: int, stored: StoredEvent) -> Actions:
        """What is to be done for the user. By the room's state of today, as the event is judged when it is new."""
        facts = self._facts.get(stored.nid)
        if facts is None:
            facts = await self._gather(room_nid, stored)
            self._facts.set(stored.nid, facts)
        evaluator = await self._rules.evaluator_of(user_id)
        return evaluator.evaluate(facts, user_id, await self._display_name(user_id, room_nid))

    async def _gather(self, room_nid: int, stored: StoredEvent) -> PushEvent:
        head = (await self._heads.get_many([room_nid]))[room_nid]
        state = await self._heads.state_events(head, [("m.room.create", ""), ("m.room.power_levels", "")])
        create, levels = state.get(("m.room.create", "")), state.get(("m.room.power_levels", ""))
        joined = await self._members.joined(room_nid)
        if create is None:
            return PushEvent(
                client_event(stored.event), member_count=len(joined), sender_level=None, required_level=lambda _: 50
            )
        power = PowerLevels.of(head.version, create.event, None if levels is None else levels.event)
        return PushEvent(
            client_event(stored.event),
            member_count=len(joined),
            sender_level=power.of_user(stored.event.sender),
            required_level=power.notification,
        )

    async def _display_name(self, user_id: str, room_nid: int) -> str | None:
        head = (await self._heads.get_many([room_nid])).get(room_nid)
        member = None if head is None else await self._heads.state_event(head, "m.room.member", user_id)
        name = None if member is None else member.event.content.get("displayname")
        return name if isinstance(name, str) else None
