"""Puts events into changes: their rows, what they make of the room's state, and what redactions do to others.

Shared by all ways in: events of our own users, of other servers, and of fetched history.

Source: room version 3, "Handling redactions".
"""

from collections.abc import Mapping

from matrix.events import Event, StateKey
from matrix.ids import EventId
from matrix.power_levels import PowerLevels
from storage import awaited_redactions, memberships, relations, state
from storage import events as event_rows
from storage.change import At, Change
from storage.events import EventRow, Events, StoredEvent

StateEvents = Mapping[StateKey, StoredEvent]


class EventChanges:
    def __init__(self, *, events: Events) -> None:
        self._events = events

    def put(self, change: Change, row: EventRow) -> None:
        """An event at the head of its room, announced by its entry; a state event becomes the room's state."""
        stored = row.stored
        assert stored.entry is not None
        at = change.announce(stored.entry)
        event_rows.add(change, row, at)
        relations.add(change, stored, at)
        if row.state_key_nid is not None:
            put_state(change, stored.room_nid, row.state_key_nid, stored, at)

    async def apply_redaction(
        self, change: Change, redaction: StoredEvent, target_id: EventId, judged_by: StateEvents
    ) -> None:
        """What a redaction that the room allows does to its target; to one that is not here yet, once it comes."""
        event = redaction.event
        may_any = may_redact_any(event, judged_by)
        target = await self._events.find(target_id)
        if target is None:
            awaited_redactions.add(change, target_id, redaction.nid, may_any=may_any)
            self._events.expected.refer(target_id)
            return
        is_there = target.room_nid == redaction.room_nid and target.event.type != "m.room.create"
        if is_there and (may_any or event.sender.domain == target.event.sender.domain):
            self.redact(change, target, redaction)

    def redact(self, change: Change, target: StoredEvent, redaction: StoredEvent) -> None:
        redaction.redacted = target.nid
        change.put(event_rows.SET_REDACTED, (target.nid, redaction.nid))
        relations.break_off(change, target)


def may_redact_any(event: Event, judged_by: StateEvents) -> bool:
    """Has the sender the power to redact other servers' events too?"""
    levels = judged_by.get(("m.room.power_levels", ""))
    create = judged_by[("m.room.create", "")].event
    may = PowerLevels.of(event.version, create, levels.event if levels else None)
    return may.of_user(event.sender) >= may.redact


def put_state(change: Change, room_nid: int, state_key_nid: int, stored: StoredEvent, at: At) -> None:
    """From the position on the event is the room's state for its key."""
    state.set_state(change, room_nid, state_key_nid, stored.nid, at)
    event = stored.event
    if event.membership is not None:
        change.put(memberships.PUT, (room_nid, event.state_key, event.membership, stored.nid, at, False))
