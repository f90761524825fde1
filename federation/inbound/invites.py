"""Other servers invite our users.

Source: server-server API, "Inviting to a room", "Third-party invites".
"""

from typing import Any

from federation.inbound.routes import V1, V2, ServerApi, origin_of, server_route
from homeserver.runtime.turns import Turns
from homeserver.services.rooms.for_servers.invites import InvitesFromServers
from homeserver.services.rooms.for_servers.submitted import Submission
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from matrix.canonical_json import MAX_BODY_DEPTH
from matrix.errors import BadRequest
from matrix.ids import EventId, RoomId
from matrix.room_versions import ROOM_VERSIONS, RoomVersion

# The invite, and some events of the room.
MAX_BODY_BYTES = 2 * 1024 * 1024
_PLACE = "/invite/{room_id}/{event_id}"


class InvitesForServersApi(ServerApi):
    def __init__(self, *, turns: Turns, invites: InvitesFromServers) -> None:
        super().__init__(turns=turns)
        self._invites = invites

    @server_route("PUT", f"{V1}{_PLACE}", max_body_bytes=MAX_BODY_BYTES)
    async def invite_v1(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        """Of room version 1 or 2, which say the same of an invite."""
        body = call.json(max_depth=MAX_BODY_DEPTH)
        unsigned = body.raw.get("unsigned")
        shown = unsigned.get("invite_room_state") if isinstance(unsigned, dict) else None
        wanted = Submission(origin=origin_of(call), room_id=room_id, event_id=event_id, pdu=dict(body.raw))
        return [200, {"event": (await self._invites.sign(wanted, ROOM_VERSIONS["1"], shown)).pdu}]

    @server_route("PUT", f"{V2}{_PLACE}", max_body_bytes=MAX_BODY_BYTES)
    async def invite(self, call: Call, room_id: RoomId, event_id: EventId) -> Answer:
        body = call.json(max_depth=MAX_BODY_DEPTH)
        version, pdu = _version(body), dict(body.object("event").raw)
        shown: Any = body.items("invite_room_state", [])
        wanted = Submission(origin=origin_of(call), room_id=room_id, event_id=event_id, pdu=pdu)
        return {"event": (await self._invites.sign(wanted, version, shown)).pdu}


def _version(body: Fields) -> RoomVersion:
    version_id = body.text("room_version")
    version = ROOM_VERSIONS.get(version_id)
    if version is None:
        raise BadRequest(
            "Homeserver does not support this room version",
            "M_INCOMPATIBLE_ROOM_VERSION",
            room_version=version_id[:255],
        )
    return version
