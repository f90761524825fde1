"""Joining, inviting, leaving, kicking, banning, knocking, forgetting.

Source: client-server API, "Room membership".
"""

from homeserver.services.rooms.bound_invites import BoundInvite, BoundInvites
from homeserver.services.rooms.member_content import with_reason
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.room_names import RoomNames
from homeserver.services.rooms.third_party_invites import Invitee, ThirdPartyInvites
from homeserver.services.rooms.user_rooms import UserRooms
from homeserver.web.call import Call
from homeserver.web.params import Fields
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.errors import BadRequest, Forbidden
from matrix.ids import RoomId, ServerName, UserId

# Of the servers that a client names; only some are asked.
MAX_VIA = 100
MAX_INVITEE_BYTES = 512
_INVITE_3PID = ("medium", "address", "id_server")


class MembershipApi:
    """`server_name` and `via` are for rooms that we are not in."""

    def __init__(
        self,
        *,
        membership: Membership,
        user_rooms: UserRooms,
        names: RoomNames,
        third_party_invites: ThirdPartyInvites,
        bound_invites: BoundInvites,
    ) -> None:
        self._membership = membership
        self._user_rooms = user_rooms
        self._names = names
        self._third_party_invites = third_party_invites
        self._bound_invites = bound_invites

    @route("POST", *client("/join/{room_id_or_alias}"), access=Access.GUEST)
    async def join_by_name(self, call: Call, room_id_or_alias: str) -> Answer:
        return await self._join(call, room_id_or_alias)

    @route("PUT", *client("/join/{room_id_or_alias}/{transaction_id}"), access=Access.GUEST)
    async def put_join_by_name(self, call: Call, room_id_or_alias: str, transaction_id: str) -> Answer:
        return await self._join(call, room_id_or_alias)

    @route("POST", *client("/rooms/{room_id}/join"), access=Access.GUEST)
    async def join_room(self, call: Call, room_id: RoomId) -> Answer:
        return await self._join(call, room_id)

    @route("POST", *client("/knock/{room_id_or_alias}", unstable="xyz.amorgan.knock"))
    async def knock(self, call: Call, room_id_or_alias: str) -> Answer:
        reason = _reason(call.json(empty_ok=True))
        found = await self._names.find(room_id_or_alias, via_of(call))
        await self._membership.knock(call.user, found.room_id, reason, via=found.servers)
        return {"room_id": found.room_id}

    @route("POST", *client("/rooms/{room_id}/invite"))
    async def invite(self, call: Call, room_id: RoomId) -> Answer:
        body = call.json()
        if any(name in body for name in _INVITE_3PID):
            added = with_reason(_reason(body))
            await self._third_party_invites.invite(call.user, room_id, read_invitee(body), added)
            return {}
        target = body.parsed("user_id", UserId)
        await self._membership.invite(call.user, room_id, target, added=with_reason(_reason(body)))
        return {}

    @route("POST", *client("/rooms/{room_id}/leave"), access=Access.GUEST)
    async def leave(self, call: Call, room_id: RoomId) -> Answer:
        await self._membership.leave(call.user, room_id, reason=_reason(call.json(empty_ok=True)))
        return {}

    @route("POST", *client("/rooms/{room_id}/kick"))
    async def kick(self, call: Call, room_id: RoomId) -> Answer:
        body = call.json()
        await self._membership.kick(call.user, room_id, body.parsed("user_id", UserId), _reason(body))
        return {}

    @route("POST", *client("/rooms/{room_id}/ban"))
    async def ban(self, call: Call, room_id: RoomId) -> Answer:
        body = call.json()
        await self._membership.ban(call.user, room_id, body.parsed("user_id", UserId), _reason(body))
        return {}

    @route("POST", *client("/rooms/{room_id}/unban"))
    async def unban(self, call: Call, room_id: RoomId) -> Answer:
        body = call.json()
        await self._membership.unban(call.user, room_id, body.parsed("user_id", UserId), _reason(body))
        return {}

    @route("POST", *client("/rooms/{room_id}/forget"), access=Access.GUEST)
    async def forget(self, call: Call, room_id: RoomId) -> Answer:
        await self._user_rooms.forget(call.user.user_id, room_id)
        return {}

    @route("GET", *client("/joined_rooms"), access=Access.GUEST)
    async def joined_rooms(self, call: Call) -> Answer:
        return {"joined_rooms": await self._user_rooms.joined(call.user.user_id)}

    async def _join(self, call: Call, room_id_or_alias: str) -> Answer:
        """What else a client puts into the body stands in the event, as with Synapse."""
        body = call.json(empty_ok=True)
        signed = body.optional_object("third_party_signed")
        _reason(body)
        added = {key: value for key, value in body.raw.items() if key != "third_party_signed"}
        found = await self._names.find(room_id_or_alias, via_of(call))
        if signed is not None:
            await self._bound_invites.claim(_bound(call.user.user_id, found.room_id, signed))
        await self._membership.join(call.user, found.room_id, added=added, via=found.servers)
        return {"room_id": found.room_id}


def _bound(user_id: UserId, room_id: RoomId, signed: Fields) -> BoundInvite:
    """Raises: MatrixError."""
    if signed.user_id("mxid") != user_id:
        raise Forbidden("The third-party invite is another user's")
    signed.text("token"), signed.object("signatures")
    return BoundInvite(room_id=room_id, sender=signed.user_id("sender"), target=user_id, signed=dict(signed.raw))


def read_invitee(body: Fields) -> Invitee:
    """Raises: BadRequest."""
    return Invitee(
        medium=body.text("medium", max_bytes=MAX_INVITEE_BYTES),
        address=body.text("address", max_bytes=MAX_INVITEE_BYTES),
        id_server=body.text("id_server", max_bytes=MAX_INVITEE_BYTES),
        id_access_token=body.text("id_access_token", max_bytes=4 * MAX_INVITEE_BYTES),
    )


def via_of(call: Call) -> list[ServerName]:
    """The servers that a client names for a room that we may not be in; `server_name` is what `via` was called."""
    via = call.query.all_parsed("via", ServerName, (), max_items=MAX_VIA)
    return via or call.query.all_parsed("server_name", ServerName, (), max_items=MAX_VIA)


def _reason(body: Fields) -> str | None:
    reason = body.raw.get("reason")
    if reason is not None and not isinstance(reason, str):
        raise BadRequest("reason must be a string")
    return reason
