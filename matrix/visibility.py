"""May this user see this event? History visibility, judged by the state at the event.

The caller knows that the user is in the room, was in it, or asks for a room that anyone may read; here it is only asked
which events of it. Soft-failed and rejected events, ignored users and redactions are other questions.

Source: client-server API, "Room History Visibility".
"""

from collections.abc import Mapping
from typing import Any

from matrix.events import Event, StateKey

HISTORY_VISIBILITY: StateKey = ("m.room.history_visibility", "")
_KNOWN = frozenset(("world_readable", "shared", "invited", "joined"))


def visibility_of(content: Mapping[str, Any] | None) -> str:
    """The setting of an m.room.history_visibility event; "shared" if there is none or it is not understood."""
    value = None if content is None else content.get("history_visibility")
    return value if isinstance(value, str) and value in _KNOWN else "shared"


def can_see(event: Event, user_id: str, *, visibility: str, membership: str | None, joined_after: bool) -> bool:
    """May the user see the event?

    `visibility` (see `visibility_of`) and the user's `membership` are those of the state before the event; what the
    event itself makes of them is read from it. `joined_after`: did the user join at any point after the event, be it
    that they have left since?

    By these rules who declines an invite does not see their own leave event unless the room was theirs to read:
    /sync has to show it in spite of that, as it shows the invite.
    """
    visibilities, memberships = {visibility}, {membership}
    # Before or after the event: who saw the room until now sees that it closes, and who sees it from now on that it
    # opened.
    if event.is_state and event.key == HISTORY_VISIBILITY:
        visibilities.add(visibility_of(event.content))
    elif event.type == "m.room.member" and event.state_key == user_id:
        memberships.add(event.membership)
    return any(_allows(seen_by, member, joined_after) for seen_by in visibilities for member in memberships)


def _allows(visibility: str, membership: str | None, joined_after: bool) -> bool:
    if visibility == "world_readable" or membership == "join":
        return True
    if visibility == "shared":
        return joined_after
    return visibility == "invited" and membership == "invite"
