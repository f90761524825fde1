"""Which servers to ask about a room that we are not in, in which order.

Source: server-server API, "Joining Rooms"; client-server API, POST /join/{roomIdOrAlias}, `via`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.remote_membership.out_of_band import OutOfBand
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.ids import RoomId, ServerName, UserId

MAX_CANDIDATES = 10
# Of those that we saw in the room when we were in it.
MAX_FORMER = 5


class Candidates:
    """`is_local` is asked of server names: we are no candidate."""

    def __init__(
        self, *, heads: Heads, members: Members, partial: PartialRooms, out_of_band: OutOfBand, is_local: IsLocal
    ) -> None:
        self._heads = heads
        self._members = members
        self._partial = partial
        self._out_of_band = out_of_band
        self._is_local = is_local

    async def of(self, user_id: UserId, room_id: RoomId, via: Sequence[ServerName]) -> list[ServerName]:
        """Who invited the user; who the client says. Without either: who was there when we were.

        A room's id names no server. The client's word counts: it may want the join by that server, or not at all.
        """
        found = self._usable([*await self._inviters(user_id, room_id), *via])
        return (found or self._usable(await self._former(room_id)))[:MAX_CANDIDATES]

    async def _inviters(self, user_id: UserId, room_id: RoomId) -> list[ServerName]:
        known = await self._out_of_band.find(user_id, room_id)
        if known is None:
            return []
        sender = [known.event.sender.domain] if known.event.sender != user_id else []
        return [*sender, *([] if known.server is None else [known.server])]

    async def _former(self, room_id: RoomId) -> list[ServerName]:
        """Those with the most members first."""
        room = await self._heads.find_room(room_id)
        if room is None:
            return []
        if servers := await self._partial.servers_of(room.room_nid):
            return list(servers[: MAX_FORMER + 1])
        counted = Counter(user_id.domain for user_id in await self._members.joined(room.room_nid))
        return [server for server, _ in counted.most_common(MAX_FORMER + 1)]

    def _usable(self, servers: Iterable[ServerName]) -> list[ServerName]:
        return [server for server in dict.fromkeys(servers) if not self._is_local(server)]
