"""Invites to an address: another server's user has it, or an identity server tells us that one of ours does.

Source: server-server API, "Third-party invites".
"""

from federation.inbound.routes import V1, ServerApi, origin_of, server_route
from federation.outbound.errors import RemoteError
from homeserver.runtime.ratelimit import RateLimit
from homeserver.runtime.turns import Turns
from homeserver.services.rooms.bound_invites import BoundInvite, BoundInvites
from homeserver.services.rooms.for_servers.third_party import InviteExchange
from homeserver.services.rooms.restricted_joins import IsLocal
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route
from matrix.errors import InvalidParam, MatrixError
from matrix.ids import RoomId, UserId

# Rooms to which one address may have been invited.
MAX_INVITES = 50


class ExchangeApi(ServerApi):
    def __init__(self, *, turns: Turns, invites: InviteExchange) -> None:
        super().__init__(turns=turns)
        self._invites = invites

    @server_route("PUT", f"{V1}/exchange_third_party_invite/{{room_id}}")
    async def exchange(self, call: Call, room_id: RoomId) -> Answer:
        await self._invites.exchange_for(origin_of(call), _invite(call.json(), room_id))
        return {}


class OnBindApi:
    """Identity servers sign nothing here: what counts is the signature in each invite. `limit` is by address."""

    def __init__(self, *, invites: BoundInvites, limit: RateLimit, is_local: IsLocal) -> None:
        self._invites = invites
        self._limit = limit
        self._is_local = is_local

    # Identity servers say POST, and so does Synapse; the specification, PUT.
    @route("PUT", f"{V1}/3pid/onbind", access=Access.PUBLIC)
    @route("POST", f"{V1}/3pid/onbind", access=Access.PUBLIC)
    async def on_bind(self, call: Call) -> Answer:
        """All invites are tried; if one fails, the identity server is told so."""
        self._limit.take(call.client_ip)
        body = call.json()
        body.text("medium"), body.text("address")
        target = body.user_id("mxid")
        if not self._is_local(target.domain):
            raise InvalidParam("The user is not hosted on this homeserver")
        fault: MatrixError | None = None
        for invite in [_bound(each, target) for each in body.objects("invites", max_items=MAX_INVITES)]:
            try:
                await self._invites.bound(invite)
            except MatrixError as error:
                fault = error
            except RemoteError as error:
                fault = MatrixError(502, "M_UNKNOWN", f"The invite could not be exchanged: {error}")
        if fault is not None:
            raise fault
        return {}


def _invite(body: Fields, room_id: RoomId) -> BoundInvite:
    """A partial member event, as another server asks us to send it."""
    content = body.object("content")
    if body.text("type") != "m.room.member" or content.text("membership") != "invite":
        raise InvalidParam("Not an invite")
    if body.parsed("room_id", RoomId) != room_id:
        raise InvalidParam("Room ID in body does not match that in request path")
    target, signed = body.user_id("state_key"), content.object("third_party_invite").object("signed")
    return _of(room_id, body.user_id("sender"), target, signed)


def _bound(body: Fields, target: UserId) -> BoundInvite:
    """One of the invites of which an identity server tells."""
    if body.user_id("mxid") != target:
        raise InvalidParam("An invite is another user's")
    return _of(body.parsed("room_id", RoomId), body.user_id("sender"), target, body.object("signed"))


def _of(room_id: RoomId, sender: UserId, target: UserId, signed: Fields) -> BoundInvite:
    if signed.user_id("mxid") != target:
        raise InvalidParam("What is signed is of another user")
    signed.text("token"), signed.object("signatures")
    return BoundInvite(room_id=room_id, sender=sender, target=target, signed=dict(signed.raw))
