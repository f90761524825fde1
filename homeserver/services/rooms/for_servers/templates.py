"""The first half of a handshake: the event that another server's user has to sign to join, leave or knock.

Source: server-server API, "Joining Rooms", "Knocking upon a room", "Leaving Rooms".
"""

from collections.abc import Callable, Collection

from homeserver.services.rooms.for_servers.admission import Admission
from homeserver.services.rooms.for_servers.restricted import RestrictedForServers
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.intake import Intake, NewEvent
from homeserver.services.rooms.member_content import AUTHORISED_VIA, MEMBER
from matrix.errors import BadRequest, Forbidden
from matrix.events import Json
from matrix.ids import RoomId, ServerName, UserId
from matrix.room_versions import ROOM_VERSIONS

# Raises LimitExceeded, where too many join a room.
CheckJoins = Callable[[RoomId], None]


class Templates:
    """Everything raises NotFound for a room in which none of our users is, and Forbidden."""

    def __init__(
        self,
        *,
        admission: Admission,
        heads: Heads,
        intake: Intake,
        restricted: RestrictedForServers,
        check_joins: CheckJoins,
        server_name: ServerName,
    ) -> None:
        self._admission = admission
        self._heads = heads
        self._intake = intake
        self._restricted = restricted
        self._check_joins = check_joins
        self._server_name = server_name

    async def of_join(self, origin: ServerName, room_id: RoomId, user_id: UserId, versions: Collection[str]) -> Json:
        """Raises: BadRequest, M_INCOMPATIBLE_ROOM_VERSION or of a restricted room."""
        await self._admit(origin, room_id, user_id, versions)
        self._check_joins(room_id)
        inviter = await self._restricted.authorising_user(await self._heads.get(room_id), user_id)
        return await self._template(room_id, user_id, "join", {} if inviter is None else {AUTHORISED_VIA: inviter})

    async def of_leave(self, origin: ServerName, room_id: RoomId, user_id: UserId) -> Json:
        await self._admit(origin, room_id, user_id)
        return await self._template(room_id, user_id, "leave", {})

    async def of_knock(self, origin: ServerName, room_id: RoomId, user_id: UserId, versions: Collection[str]) -> Json:
        """Raises: BadRequest M_INCOMPATIBLE_ROOM_VERSION."""
        version = await self._admit(origin, room_id, user_id, versions)
        if not ROOM_VERSIONS[version].knocking:
            raise Forbidden("This room version does not support knocking")
        return await self._template(room_id, user_id, "knock", {})

    async def _admit(
        self, origin: ServerName, room_id: RoomId, user_id: UserId, versions: Collection[str] | None = None
    ) -> str:
        """The room's version, which must be one of the `versions` that the other server knows."""
        if user_id.domain != origin:
            raise Forbidden("User not from origin")
        room = await self._admission.to_resident(origin, room_id)
        if versions is not None and room.version not in versions:
            raise BadRequest(
                "Your homeserver does not support the features required to join this room",
                "M_INCOMPATIBLE_ROOM_VERSION",
                room_version=room.version,
            )
        return room.version

    async def _template(self, room_id: RoomId, user_id: UserId, membership: str, added: Json) -> Json:
        """Judged by the room's rules as if it were sent now."""
        new = NewEvent(type=MEMBER, sender=user_id, state_key=user_id, content={"membership": membership, **added})
        event = await self._intake.template(room_id, new)
        version = (await self._heads.room(room_id)).version
        return {"room_version": version, "event": {**event, "origin": self._server_name}}
