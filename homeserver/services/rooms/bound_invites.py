"""Invites to an address become invites of the user to whom the address turns out to belong.

Source: server-server API, "Third-party invites"; client-server API, POST /join/{roomIdOrAlias}, `third_party_signed`.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from attrs import field, frozen

from federation.outbound.errors import RemoteError
from homeserver.services.remote_errors import for_client
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.intake import Intake, NewEvent
from homeserver.services.rooms.member_content import MEMBER
from homeserver.services.rooms.residence import Residence
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.errors import BadRequest, Forbidden
from matrix.events import Event, Json
from matrix.ids import RoomId, ServerName, UserId

THIRD_PARTY_INVITE = "m.room.third_party_invite"


@frozen(kw_only=True)
class BoundInvite:
    """`signed` is the identity server's word that the user has the address."""

    room_id: RoomId
    sender: UserId
    target: UserId
    signed: Json = field(repr=False)


class Exchange(Protocol):
    """Asks another server to invite. In `federation.outbound`: FederationClient.exchange_third_party_invite."""

    async def __call__(self, destination: ServerName, room_id: RoomId, event: Json, /) -> Any:
        """Raises: RemoteError."""
        ...


# Has the invited user's server sign the invite, and puts it into the room. In
# `homeserver.services.rooms.remote_membership`: RemoteInvites.send.
SendInvite = Callable[[Event], Awaitable[object]]

# Puts an invite of a user of ours into the room, in another server's user's name. There: RemoteInvites.accept.
AcceptInvite = Callable[[Event], Awaitable[object]]


class BoundInvites:
    """Everything raises NotFound, Forbidden, BadRequest."""

    def __init__(
        self,
        *,
        residence: Residence,
        heads: Heads,
        intake: Intake,
        send_invite: SendInvite,
        accept_invite: AcceptInvite,
        exchange: Exchange,
        is_local: IsLocal,
    ) -> None:
        self._residence = residence
        self._heads = heads
        self._intake = intake
        self._send_invite = send_invite
        self._accept_invite = accept_invite
        self._exchange = exchange
        self._is_local = is_local

    async def claim(self, invite: BoundInvite) -> None:
        """A user of ours shows it, and wants to join: the user is invited when this comes back."""
        try:
            await self.bound(invite)
        except RemoteError as error:
            raise for_client(error) from error

    async def bound(self, invite: BoundInvite) -> None:
        """A user of ours has the address. The room's own servers invite. Raises: RemoteError too."""
        if await self._residence.is_here(invite.room_id):
            await self.invite(invite)
            return
        if self._is_local(invite.sender.domain):
            raise BadRequest("The room of the invite is not known")
        event = {"type": MEMBER, "room_id": invite.room_id, "sender": invite.sender, "state_key": invite.target}
        content = {"membership": "invite", "third_party_invite": {"display_name": "", "signed": invite.signed}}
        await self._exchange(invite.sender.domain, invite.room_id, {**event, "content": content})

    async def invite(self, invite: BoundInvite) -> None:
        """Into a room that we are in.

        The rules compare the invite with what the room says of the token, and verify its signatures.
        """
        head = await self._heads.get(invite.room_id)
        stated = await self._heads.state_event(head, THIRD_PARTY_INVITE, str(invite.signed.get("token")))
        if stated is None:
            raise Forbidden("The room has no such third-party invite")
        name = stated.event.content.get("display_name")
        third_party: Json = {"signed": invite.signed, "display_name": name if isinstance(name, str) else ""}
        new = NewEvent(
            type=MEMBER,
            sender=stated.event.sender,
            state_key=invite.target,
            content={"membership": "invite", "third_party_invite": third_party},
        )
        if not self._is_local(invite.target.domain):
            await self._send_invite(await self._intake.draft(invite.room_id, new))
        elif self._is_local(new.sender.domain):
            await self._intake.send(invite.room_id, [new])
        else:
            await self._accept_invite(await self._intake.draft(invite.room_id, new))
