"""Which events the content of an event refers to: relations, replies, redactions.

Source: client-server API, "Forming relationships between events", "Rich replies", "Redactions".
"""

from collections.abc import Mapping
from typing import Any

from matrix.events import Json


def references(content: Mapping[str, Any]) -> list[str]:
    """The ids of the events that a content refers to."""
    if "m.relates_to" not in content and "redacts" not in content:
        return []
    relates_to = content.get("m.relates_to")
    relates_to = relates_to if isinstance(relates_to, dict) else {}
    reply = relates_to.get("m.in_reply_to")
    found = (relates_to.get("event_id"), reply.get("event_id") if isinstance(reply, dict) else None)
    return [one for one in (*found, content.get("redacts")) if isinstance(one, str)]


def referring_to(content: Json, ids: Mapping[str, str]) -> Json:
    """The content with other ids for events that it refers to: `ids` has the new ones by the old ones.

    The very content, if it refers to none of them.
    """
    if not ids or not any(one in ids for one in references(content)):
        return content
    changed = dict(content)
    redacts = content.get("redacts")
    if isinstance(redacts, str) and redacts in ids:
        changed["redacts"] = ids[redacts]
    relates_to = content.get("m.relates_to")
    if isinstance(relates_to, dict):
        changed["m.relates_to"] = relates_to = _named(relates_to, ids)
        if isinstance(reply := relates_to.get("m.in_reply_to"), dict):
            relates_to["m.in_reply_to"] = _named(reply, ids)
    return changed


def _named(value: Mapping[str, Any], ids: Mapping[str, str]) -> dict[str, Any]:
    event_id = value.get("event_id")
    return {**value, "event_id": ids[event_id]} if isinstance(event_id, str) and event_id in ids else dict(value)
