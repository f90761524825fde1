"""The first half of every change of membership by way of another server: its template, made an event of ours.

Source: server-server API, "Joining Rooms", "Knocking upon a room", "Leaving Rooms".
"""

from federation.outbound.client import FederationClient
from homeserver.runtime.clock import Clock
from homeserver.services.rooms.intake import Signer
from homeserver.services.rooms.remote_membership.template import Wanted, complete, read_template
from matrix.events import Event, Json
from matrix.ids import ServerName
from matrix.room_versions import ROOM_VERSIONS

# Room versions in which a user can knock; those before are not offered.
_ALL = list(ROOM_VERSIONS)
_KNOCKABLE = [version.id for version in ROOM_VERSIONS.values() if version.knocking]


class Handshake:
    def __init__(self, *, client: FederationClient, signer: Signer, clock: Clock) -> None:
        self._client = client
        self._signer = signer
        self._clock = clock

    async def prepare(self, server: ServerName, wanted: Wanted, content: Json) -> Event:
        """The event, signed by us, that the server is then sent.

        Raises: RemoteError, BadEvent; BadRequest M_INCOMPATIBLE_ROOM_VERSION.
        """
        template = read_template(server, await self._ask(server, wanted), wanted)
        signer = self._signer
        return complete(template, wanted, content, signer.server_name, signer.key, self._clock.now_ms())

    async def _ask(self, server: ServerName, wanted: Wanted) -> Json:
        room_id, user_id = wanted.room_id, wanted.user_id
        match wanted.membership:
            case "join":
                return await self._client.make_join(server, room_id, user_id, _ALL)
            case "knock":
                return await self._client.make_knock(server, room_id, user_id, _KNOCKABLE)
            case _:
                return await self._client.make_leave(server, room_id, user_id)
