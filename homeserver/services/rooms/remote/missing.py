"""The events between what we have and an event that has come: asked for, checked, and put in order.

Source: server-server API, POST /_matrix/federation/v1/get_missing_events/{roomId}.
"""

from collections.abc import Iterable, Mapping, Sequence

from federation.outbound.errors import RemoteError
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.remote.gathering import Budget, Gathering
from homeserver.services.rooms.remote.pdu_checks import PduChecks
from homeserver.services.rooms.remote.peers import Peers
from matrix.events import Event
from matrix.ids import EventId, ServerName

# A gap of more events than this is one: what lies in it is fetched when somebody reads it.
MAX_ROUNDS, LIMIT = 3, 20


class MissingEvents:
    def __init__(self, *, heads: Heads, peers: Peers, gathering: Gathering, checks: PduChecks) -> None:
        self._heads = heads
        self._peers = peers
        self._gathering = gathering
        self._checks = checks

    async def before(self, event: Event, budget: Budget) -> list[Event]:
        """What the event rests on and is not here, oldest first, as far as it is to be had at little cost."""
        found: dict[EventId, Event] = {}
        lacking = await self._gathering.missing(event.prev_events)
        latest = [event.event_id]
        for _ in range(MAX_ROUNDS):
            if not lacking:
                break
            events, is_all = await self._ask(latest, budget)
            new = reached(lacking, {one.event_id: one for one in events if one.event_id not in found})
            if not new:
                break
            found |= new
            if is_all:
                break
            named = {prev for one in new.values() for prev in one.prev_events} | set(lacking)
            lacking = await self._gathering.missing(named - found.keys())
            latest = [one.event_id for one in new.values() if not set(one.prev_events) <= found.keys()]
        return in_prev_order(found.values())

    async def _ask(self, latest: list[EventId], budget: Budget) -> tuple[list[Event], bool]:
        """What the server tells, and whether that is all that it has to tell."""
        head = await self._heads.get(budget.room_id)
        asked = self._peers.missing_events(
            budget.origin,
            budget.room_id,
            earliest=[event_id for _, event_id, _ in head.extremities][:LIMIT],
            latest=latest[:LIMIT],
            limit=LIMIT,
        )
        try:
            pdus = await self._gathering.ask(budget, asked)
        except RemoteError:
            return [], True
        self._gathering.expense.add(budget.origin, budget.room_nid, events=len(pdus))
        events = await self._checks.events_of(pdus, budget.version)
        return [one for one in events if one.room_id == budget.room_id], len(pdus) < LIMIT


def reached(start: Iterable[EventId], events: dict[EventId, Event]) -> dict[EventId, Event]:
    """Those of the events to which prev_events lead: a server has nothing else to tell here."""
    found: dict[EventId, Event] = {}
    stack = [event_id for event_id in start if event_id in events]
    while stack:
        event = events[stack.pop()]
        if event.event_id not in found:
            found[event.event_id] = event
            stack += (prev for prev in event.prev_events if prev in events)
    return found


def put_beside(
    found: Mapping[EventId, Event], events: Sequence[Event], server: ServerName
) -> tuple[list[Event], list[Event]]:
    """History that the server has put beside what was found later: imported by a bridge of its, say.

    Memberships that hold there alone, each after those that it follows, and the messages that follow what was found or
    one of them, in the order of `events`. Only of the server's own users: it has signed them.
    """
    own = [one for one in events if one.event_id not in found and one.sender.domain == server]
    hidden: dict[EventId, Event] = {}
    for event in in_prev_order(one for one in own if one.type == "m.room.member"):
        if all(prev in found or prev in hidden for prev in event.prev_events):
            hidden[event.event_id] = event
    shown = [
        one
        for one in own
        if not one.is_state and one.prev_events and all(prev in found or prev in hidden for prev in one.prev_events)
    ]
    followed = {prev for one in shown for prev in one.prev_events}
    followed |= {prev for one in hidden.values() for prev in one.prev_events}
    return [one for one in hidden.values() if one.event_id in followed], shown


def in_prev_order(events: Iterable[Event]) -> list[Event]:
    """Each after those of its prev_events that are among them. What a ring of them rests on is left out."""
    by_id = {event.event_id: event for event in events}
    left = {event_id: sum(1 for prev in set(one.prev_events) if prev in by_id) for event_id, one in by_id.items()}
    named_by: dict[EventId, list[EventId]] = {}
    for event_id, event in by_id.items():
        for prev in set(event.prev_events):
            if prev in by_id:
                named_by.setdefault(prev, []).append(event_id)
    ready = [event_id for event_id, count in left.items() if not count]
    ordered: list[Event] = []
    while ready:
        ready.sort(key=lambda one: (-by_id[one].depth, one))
        event_id = ready.pop()
        ordered.append(by_id[event_id])
        for child in named_by.get(event_id, ()):
            left[child] -= 1
            if not left[child]:
                ready.append(child)
    return ordered
