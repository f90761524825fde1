"""An event of another server that has all that it takes to be decided, and what becomes of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum

from attrs import field, frozen

from matrix.errors import AuthRuleFailed
from matrix.events import Event, StateKey
from matrix.ids import EventId
from storage.change import At, Change
from storage.events import Flags, StoredEvent

# Puts further rows into the change of an event that is accepted.
Beside = Callable[[Change, StoredEvent, At], object]


@frozen(kw_only=True)
class Arrival:
    """`auth`: the events that it names as its auth events, all of them. `create`: the room's create event.

    `refused`: why the room's policy server does not recommend it, if so.
    `told`: of previous events that are not here the whole state after each, as another server says.
    """

    event: Event
    auth: Sequence[StoredEvent] = field(repr=False)
    create: StoredEvent | None = field(repr=False)
    told: Mapping[EventId, Mapping[StateKey, int]] = field(factory=dict, repr=False)
    beside: Beside | None = None
    refused: str | None = None


class Outcome(Enum):
    ACCEPTED = 0
    REJECTED = Flags.REJECTED
    SOFT_FAILED = Flags.SOFT_FAILED


@frozen
class Verdict:
    outcome: Outcome
    reason: str = ""

    @property
    def flags(self) -> int:
        return int(self.outcome.value)


ACCEPTED = Verdict(Outcome.ACCEPTED)


def rejected(error: AuthRuleFailed) -> Verdict:
    return Verdict(Outcome.REJECTED, str(error))


def soft_failed(error: AuthRuleFailed) -> Verdict:
    return Verdict(Outcome.SOFT_FAILED, str(error))


def of_one_room(prev: Iterable[StoredEvent], room_nid: int) -> Verdict:
    """Not accepted, if what the event follows is of another room: no state could be before it."""
    if all(stored.room_nid == room_nid for stored in prev):
        return ACCEPTED
    return Verdict(Outcome.REJECTED, "it follows an event of another room")


def verdict_of(stored: StoredEvent) -> Verdict:
    """What became of an event before."""
    if stored.flags & Flags.REJECTED:
        return Verdict(Outcome.REJECTED, "it was rejected before")
    return Verdict(Outcome.SOFT_FAILED) if stored.flags & Flags.SOFT_FAILED else ACCEPTED
