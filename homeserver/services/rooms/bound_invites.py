"""Invites to an address become invites of the user to whom the address turns out to belong.

Source: server-server API, "Third-party invites"; client-server API, "Third-party invites" and POST
/join/{roomIdOrAlias}, `third_party_signed`.
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
from matrix.third_party_invites import keys_that_signed

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


class Invites(Protocol):
    """In `homeserver.services.rooms.remote_membership`: RemoteInvites."""

    async def send(self, event: Event, /) -> object:
        """Has the invited user's server sign the invite, and puts it into the room."""

    async def accept(self, event: Event, /) -> object:
        """Puts an invite of a user of ours into the room, in another server's user's name."""


# Is the key, in base64, not revoked, as one says who is asked at the URL? Raises MatrixError if nobody says it.
IsKeyValid = Callable[[str, str], Awaitable[bool]]


class BoundInvites:
    """Everything raises NotFound, Forbidden, BadRequest."""

    def __init__(
        self,
        *,
        residence: Residence,
        heads: Heads,
        intake: Intake,
        invites: Invites,
        exchange: Exchange,
        is_key_valid: IsKeyValid,
        is_local: IsLocal,
    ) -> None:
        self._residence = residence
        self._heads = heads
        self._intake = intake
        self._invites = invites
        self._exchange = exchange
        self._is_key_valid = is_key_valid
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

        The rules compare the invite with what the room says of the token, and verify its signatures. That no key was
        revoked is for us alone to see, since the others could not all come to the same.
        """
        head = await self._heads.get(invite.room_id)
        stated = await self._heads.state_event(head, THIRD_PARTY_INVITE, str(invite.signed.get("token")))
        if stated is None:
            raise Forbidden("The room has no such third-party invite")
        await self._check_keys(invite.signed, stated.event.content)
        name = stated.event.content.get("display_name")
        third_party: Json = {"signed": invite.signed, "display_name": name if isinstance(name, str) else ""}
        new = NewEvent(
            type=MEMBER,
            sender=stated.event.sender,
            state_key=invite.target,
            content={"membership": "invite", "third_party_invite": third_party},
        )
        if not self._is_local(invite.target.domain):
            await self._invites.send(await self._intake.draft(invite.room_id, new))
        elif self._is_local(new.sender.domain):
            await self._intake.send(invite.room_id, [new])
        else:
            await self._invites.accept(await self._intake.draft(invite.room_id, new))

    async def _check_keys(self, signed: Json, content: Json) -> None:
        """Raises: Forbidden, if all keys that signed are revoked; MatrixError if it cannot be found out."""
        keys = list(dict.fromkeys(keys_that_signed(signed, content)))
        for key in keys:
            if key.key_validity_url is None or await self._is_key_valid(key.key_validity_url, key.public_key):
                return
        raise Forbidden("No valid key of the third-party invite has signed")
