"""Joining, inviting, leaving, kicking, banning, knocking: every change of a membership that a user of ours makes.

In a room that this server is in it is decided here (local_membership.py). Into all other rooms, and out of invites to
them, another server leads (remote_membership/); and who is of another server is invited by way of it.

Source: client-server API, "Room membership"; server-server API, "Joining Rooms", "Inviting to a room".
"""

from collections.abc import Awaitable, Callable, Sequence

from homeserver.services.rooms.following import Following
from homeserver.services.rooms.guest_access import no_guests
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.local_membership import LocalMembership, Wish
from homeserver.services.rooms.member_content import with_reason
from homeserver.services.rooms.remote_membership.service import RemoteMembership
from homeserver.services.rooms.residence import Residence
from homeserver.services.rooms.restricted_joins import CannotGrant, IsLocal
from homeserver.web.call import Requester
from matrix.errors import BadRequest
from matrix.events import Json
from matrix.ids import EventId, RoomId, ServerName, UserId

# May the user leave the room, if they wish to? Raises: Forbidden.
CheckMayLeave = Callable[[UserId, RoomId], Awaitable[None]]
MEMBERSHIPS = frozenset(("join", "invite", "leave", "ban", "knock"))


class Membership:
    """Everything raises NotFound for a room that neither we nor a server we can ask know, Forbidden, LimitExceeded,
    BadRequest; 502 if other servers gave no answer. What is so already is not said again: the event that said it is
    the answer.
    """

    def __init__(
        self,
        *,
        local: LocalMembership,
        remote: RemoteMembership,
        residence: Residence,
        following: Following,
        invite_permission: InvitePermission,
        is_local: IsLocal,
        check_may_leave: CheckMayLeave,
    ) -> None:
        self._local = local
        self._remote = remote
        self._residence = residence
        self._following = following
        self._invite_permission = invite_permission
        self._is_local = is_local
        self._check_may_leave = check_may_leave

    async def join(
        self,
        requester: Requester,
        room_id: RoomId,
        *,
        added: Json | None = None,
        limited: bool = True,
        via: Sequence[ServerName] = (),
    ) -> EventId:
        """`added` stands in the event beside the membership and the profile; `limited` by rate limits."""
        wish = _wish(requester, room_id, requester.user_id, "join", added, limited=limited)
        joined = await self._join(wish, via)
        if wish.there is None and wish.before != "join":
            await self._following.joined(requester.user_id, room_id)
        return joined

    async def invite(
        self, requester: Requester, room_id: RoomId, target: UserId, *, added: Json | None = None
    ) -> EventId:
        return await self._invite(_wish(requester, room_id, target, "invite", added))

    async def leave(
        self, requester: Requester, room_id: RoomId, *, reason: str | None = None, limited: bool = True
    ) -> EventId:
        """Also rejects an invite, and takes back a knock."""
        added = with_reason(reason)
        return await self._leave(_wish(requester, room_id, requester.user_id, "leave", added, limited=limited))

    async def kick(self, requester: Requester, room_id: RoomId, target: UserId, reason: str | None = None) -> EventId:
        """Also takes back an invite, and rejects a knock."""
        return await self._local.change(_wish(requester, room_id, target, "kick", with_reason(reason)))

    async def ban(self, requester: Requester, room_id: RoomId, target: UserId, reason: str | None = None) -> EventId:
        return await self._local.change(_wish(requester, room_id, target, "ban", with_reason(reason)))

    async def unban(self, requester: Requester, room_id: RoomId, target: UserId, reason: str | None = None) -> EventId:
        return await self._local.change(_wish(requester, room_id, target, "unban", with_reason(reason)))

    async def knock(
        self, requester: Requester, room_id: RoomId, reason: str | None = None, *, via: Sequence[ServerName] = ()
    ) -> EventId:
        wish = _wish(requester, room_id, requester.user_id, "knock", with_reason(reason))
        if not await self._residence.is_here(room_id):
            knocked = await self._remote.knock(wish, via)
            if knocked is not None:
                return knocked
        return await self._local.change(wish)

    async def set_state(
        self, requester: Requester, room_id: RoomId, target: UserId, content: Json, *, at_ms: int | None = None
    ) -> EventId:
        """A member event as a client wrote it, of that time if one is given."""
        membership = content.get("membership")
        if not isinstance(membership, str) or membership not in MEMBERSHIPS:
            raise BadRequest("Invalid membership")
        wish = _wish(requester, room_id, target, membership, content)
        wish.origin_server_ts = at_ms
        if membership == "invite":
            return await self._invite(wish)
        if membership == "leave" and target == requester.user_id:
            return await self._leave(wish)
        return await self._local.change(wish)

    async def _join(self, wish: Wish, via: Sequence[ServerName]) -> EventId:
        if not await self._residence.is_here(wish.room_id):
            joined = await self._remote.join(wish, via)
            if joined is not None:
                await self._look_at_guest(wish)
                return joined
        if await self._residence.must_ask(wish.target, wish.room_id):
            return await self._remote.join_by_others(wish, via)
        try:
            return await self._local.change(wish)
        except CannotGrant as error:
            if not error.servers:
                raise
            return await self._remote.join_by_grant(wish, error.servers)

    async def _look_at_guest(self, wish: Wish) -> None:
        """What another server said of the room must be so in the room. Raises: Forbidden."""
        if wish.requester.is_guest and not await self._local.admits_guests(wish.room_id):
            await self.leave(wish.requester, wish.room_id, limited=False)
            raise no_guests()

    async def _invite(self, wish: Wish) -> EventId:
        if self._is_local(wish.target.domain):
            await self._invite_permission.check(wish.requester, [wish.target])
            return await self._local.change(wish)
        await self._invite_permission.check(wish.requester, [])
        event = await self._local.draft(wish)
        if event is None:
            assert wish.there is not None
            return wish.there
        await self._remote.invite(event)
        return event.event_id

    async def _leave(self, wish: Wish) -> EventId:
        if wish.is_limited:
            # Whose account ends leaves all rooms, whatever they may wish.
            await self._check_may_leave(wish.target, wish.room_id)
        left = await self._remote.leave(wish)
        return await self._local.change(wish) if left is None else left


def _wish(
    requester: Requester, room_id: RoomId, target: UserId, action: str, added: Json | None, *, limited: bool = True
) -> Wish:
    return Wish(
        requester=requester, room_id=room_id, target=target, action=action, added=added or {}, is_limited=limited
    )
