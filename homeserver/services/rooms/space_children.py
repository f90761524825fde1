"""Which rooms a space lists, and in which order: pure.

Source: client-server API, "Ordering of children within a space", "Discovering rooms within spaces".
"""

import re
from collections.abc import Iterable

from matrix.client_format import stripped_state
from matrix.events import Event, Json

# More are not looked at.
MAX_CHILDREN = 1000
# `m.space.child`, `order`: printable ASCII, at most 50.
_ORDER = re.compile(r"[\x20-\x7e]{1,50}")


def listed_children(events: Iterable[Event], suggested_only: bool) -> list[Event]:
    """The valid m.space.child events in their order; what has no `via` was taken out of the space."""
    children = [event for event in events if _is_child(event)]
    if suggested_only:
        children = [event for event in children if _is_suggested(event.content)]
    places = {event.event_id: _place(event.content, event.origin_server_ts, event.key[1]) for event in children}
    return sorted(children, key=lambda event: places[event.event_id])[:MAX_CHILDREN]


def in_order(states: Iterable[Json], suggested_only: bool) -> list[Json]:
    """The children that another server names, checked already, in their order."""
    children = [child for child in states if not suggested_only or _is_suggested(child["content"])]
    return sorted(children, key=_place_of_state)[:MAX_CHILDREN]


def child_states(children: Iterable[Event]) -> list[Json]:
    return [{**stripped_state(event), "origin_server_ts": event.origin_server_ts} for event in children]


def _is_child(event: Event) -> bool:
    via, room_id = event.content.get("via"), event.key[1]
    return isinstance(via, list) and bool(via) and room_id.startswith("!") and "\x00" not in room_id


def _is_suggested(content: Json) -> bool:
    return content.get("suggested") is True


def _place_of_state(child: Json) -> tuple[bool, str, int, str]:
    ts = child.get("origin_server_ts")
    return _place(child["content"], ts if isinstance(ts, int) else 0, child["state_key"])


def _place(content: Json, origin_server_ts: int, room_id: str) -> tuple[bool, str, int, str]:
    order = content.get("order")
    if isinstance(order, str) and _ORDER.fullmatch(order) is not None:
        return False, order, origin_server_ts, room_id
    return True, "", origin_server_ts, room_id
