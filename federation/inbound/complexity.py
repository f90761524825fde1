"""Other servers ask how large a room is before they join it.

Source: Synapse, GET /_matrix/federation/unstable/rooms/{roomId}/complexity.
"""

from federation.inbound.routes import ServerApi, origin_of, server_route
from homeserver.runtime.turns import Turns
from homeserver.services.rooms.for_servers.admission import Admission
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.remote_membership.room_sizes import complexity_of
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from matrix.errors import NotFound
from matrix.ids import RoomId
from matrix.visibility import HISTORY_VISIBILITY, visibility_of

_JOIN_RULES = ("m.room.join_rules", "")


class ComplexityApi(ServerApi):
    def __init__(self, *, turns: Turns, admission: Admission, heads: Heads) -> None:
        super().__init__(turns=turns)
        self._admission = admission
        self._heads = heads

    @server_route("GET", "/_matrix/federation/unstable/rooms/{room_id}/complexity")
    async def get_complexity(self, call: Call, room_id: RoomId) -> Answer:
        """As Synapse, of rooms that anyone may join or read: of others their members alone know anything."""
        await self._admission.to_resident(origin_of(call), room_id)
        head = await self._heads.get(room_id)
        state = await self._heads.state_events(head, [_JOIN_RULES, HISTORY_VISIBILITY])
        contents = {key: stored.event.content for key, stored in state.items()}
        is_open = contents.get(_JOIN_RULES, {}).get("join_rule") == "public"
        if not is_open and visibility_of(contents.get(HISTORY_VISIBILITY)) != "world_readable":
            raise NotFound("Room not found")
        return {"v1": complexity_of(len(head.state))}
