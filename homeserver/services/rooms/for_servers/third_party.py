"""Another server's user has the address that was invited in a room of ours.

Source: server-server API, PUT /exchange_third_party_invite/{roomId}.
"""

from homeserver.services.rooms.bound_invites import BoundInvite, BoundInvites
from homeserver.services.rooms.for_servers.admission import Admission
from matrix.errors import Forbidden
from matrix.ids import ServerName


class InviteExchange:
    def __init__(self, *, admission: Admission, invites: BoundInvites) -> None:
        self._admission = admission
        self._invites = invites

    async def exchange_for(self, origin: ServerName, invite: BoundInvite) -> None:
        """The user is invited. Raises: NotFound, Forbidden, BadRequest."""
        await self._admission.to_resident(origin, invite.room_id)
        if invite.target.domain != origin:
            raise Forbidden("The invited user is not of the server that asks")
        await self._invites.invite(invite)
