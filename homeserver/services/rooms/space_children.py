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
        children = [event for event in children if event.content.get("suggested") is True]
    return sorted(children, key=_place)[:MAX_CHILDREN]


def child_states(children: Iterable[Event]) -> list[Json]:
    return [{**stripped_state(event), "origin_server_ts": event.origin_server_ts} for event in children]


def _is_child(event: Event) -> bool:
    via, room_id = event.content.get("via"), event.key[1]
    return isinstance(via, list) and bool(via) and room_id.startswith("!") and "\x00" not in room_id


def _place(event: Event) -> tuple[bool, str, int, str]:
    order = event.content.get("order")
    if isinstance(order, str) and _ORDER.fullmatch(order) is not None:
        return False, order, event.origin_server_ts, event.key[1]
    return True, "", event.origin_server_ts, event.key[1]
