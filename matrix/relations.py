"""What an event says it relates to.

Source: client-server API, "Forming relationships between events", "Rich replies", "Threading", "Event annotations and
reactions".
"""

from collections.abc import Mapping
from typing import Any

from attrs import frozen

from matrix.ids import BadIdentifier, EventId

THREAD, REPLACE, ANNOTATION, REFERENCE = "m.thread", "m.replace", "m.annotation", "m.reference"


@frozen
class Relation:
    """`m.relates_to`, as far as it is well-formed.

    `rel_type` and `event_id` are both there or both None: a rich reply alone has neither. `key` is that of an
    annotation.
    """

    rel_type: str | None
    event_id: EventId | None
    key: str | None = None
    in_reply_to: EventId | None = None
    is_falling_back: bool = False


def relation(content: Mapping[str, Any]) -> Relation | None:
    """What the content relates to; None if to nothing, or malformed. Never raises."""
    relates_to = content.get("m.relates_to")
    if not isinstance(relates_to, dict):
        return None
    rel_type, event_id = relates_to.get("rel_type"), _event_id(relates_to.get("event_id"))
    if not isinstance(rel_type, str) or event_id is None:
        rel_type = event_id = None
    reply = relates_to.get("m.in_reply_to")
    in_reply_to = _event_id(reply.get("event_id")) if isinstance(reply, dict) else None
    if rel_type is None and in_reply_to is None:
        return None
    key = relates_to.get("key")
    return Relation(
        rel_type=rel_type,
        event_id=event_id,
        key=key if rel_type == ANNOTATION and isinstance(key, str) else None,
        in_reply_to=in_reply_to,
        is_falling_back=rel_type == THREAD and relates_to.get("is_falling_back") is True,
    )


def thread_root(content: Mapping[str, Any]) -> EventId | None:
    """The root of the thread that the event is in by its own word.

    An event that relates to one of a thread in another way belongs to the thread too; that its content does not say.
    """
    found = relation(content)
    return found.event_id if found is not None and found.rel_type == THREAD else None


def replaces(content: Mapping[str, Any]) -> EventId | None:
    """The event that this one is an edit of."""
    found = relation(content)
    return found.event_id if found is not None and found.rel_type == REPLACE else None


def _event_id(value: Any) -> EventId | None:
    try:
        return EventId.parse(value) if isinstance(value, str) else None
    except BadIdentifier:
        return None
