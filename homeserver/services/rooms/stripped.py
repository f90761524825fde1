"""What of a room's state is shown to who is invited to it, or knocks: to our users, and to other servers.

Source: client-server API, "Stripped state"; server-server API, PUT /invite and /send_knock.
"""

import itertools
from typing import Any

from attrs import frozen

from homeserver.services.rooms.heads import Head, Heads
from matrix.events import Json, StateKey
from matrix.ids import BadIdentifier, UserId

# What helps to decide on an invite. The topic is Synapse's addition.
STRIPPED: tuple[StateKey, ...] = (
    ("m.room.create", ""),
    ("m.room.join_rules", ""),
    ("m.room.canonical_alias", ""),
    ("m.room.avatar", ""),
    ("m.room.name", ""),
    ("m.room.encryption", ""),
    ("m.room.topic", ""),
)
# Of what another server shows of a room so much is kept for an invite: Synapse's own list has eight events.
MAX_EVENTS, MAX_TEXT = 50, 255


@frozen
class ShownState:
    """What is shown, as the operator says: these keys, and of these types all that there is."""

    keys: tuple[StateKey, ...] = STRIPPED
    types: frozenset[str] = frozenset()

    def of(self, head: Head) -> list[StateKey]:
        """The keys in a room, at most MAX_EVENTS beside those that are named."""
        more = (key for key in head.state if key[0] in self.types and key not in self.keys) if self.types else ()
        return [*self.keys, *itertools.islice(more, MAX_EVENTS)]


async def room_state_pdus(heads: Heads, head: Head, shown: ShownState, member: str | None = None) -> list[Json]:
    """The PDUs of what is shown, and of the member who invites, for another server."""
    members: list[StateKey] = [] if member is None else [("m.room.member", member)]
    found = await heads.state_events(head, [*shown.of(head), *members])
    return [stored.event.pdu for stored in found.values()]


def stripped(shown: Any) -> list[Json]:
    """What another server shows of a room, as our clients get it: PDUs or stripped state, what is neither left out."""
    found = [_strip(event) for event in (shown[:MAX_EVENTS] if isinstance(shown, list) else ())]
    return [event for event in found if event is not None]


def _strip(event: Any) -> Json | None:
    if not isinstance(event, dict):
        return None
    kept = {name: event.get(name) for name in ("content", "sender", "state_key", "type")}
    texts = (kept["sender"], kept["state_key"], kept["type"])
    if not isinstance(kept["content"], dict) or not all(_is_short(text) for text in texts):
        return None
    try:
        UserId.parse(event["sender"])
    except BadIdentifier:
        return None
    return kept


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT
