"""Guests join a room of another server if that one says that the room takes them.

The authorization rules know no guests: it is for their own server to keep them out. What the other server says before
is looked at again in the room itself, once we are in it (membership.py).

Source: client-server API, "Guest Access"; server-server API, GET /hierarchy/{roomId}, `guest_can_join`.
"""

from collections.abc import Sequence

from federation.outbound.errors import RemoteError
from homeserver.services.rooms.remote_rooms import RoomsElsewhere, room_entry
from matrix.errors import Forbidden
from matrix.ids import RoomId, ServerName

# So many servers are asked, one after another.
MAX_ASKED = 3


def no_guests() -> Forbidden:
    return Forbidden("Guest access not allowed", "M_GUEST_ACCESS_FORBIDDEN")


async def check_guest_access(elsewhere: RoomsElsewhere, room_id: RoomId, servers: Sequence[ServerName]) -> None:
    """Raises: Forbidden, unless a server says that guests may join."""
    for server in servers[:MAX_ASKED]:
        try:
            told = await elsewhere.hierarchy(server, room_id)
        except RemoteError:
            continue
        entry = room_entry(told["room"])
        if entry is not None and entry["room_id"] == room_id:
            if entry["guest_can_join"]:
                return
            break
    raise no_guests()
