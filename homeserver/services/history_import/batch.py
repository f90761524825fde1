"""What a bridge imports at once."""

from collections.abc import Sequence

from attrs import frozen

from matrix.events import Json
from matrix.ids import EventId, UserId


@frozen(kw_only=True)
class OldEvent:
    """`claimed_id`: the id that the service has chosen for it."""

    claimed_id: EventId | None
    type: str
    sender: UserId
    content: Json
    origin_server_ts: int


@frozen(kw_only=True)
class Batch:
    """Events in their order. `forward`: after all that is in the room; else before its first message, if it has one.

    `notifies`: they are unread, and told of.
    """

    events: Sequence[OldEvent]
    forward: bool
    notifies: bool
    read_by: UserId | None
