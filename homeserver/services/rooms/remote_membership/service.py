"""Changes of the memberships of our users in rooms that this server is not in.

Source: server-server API, "Joining Rooms", "Knocking upon a room", "Inviting to a room", "Leaving Rooms".
"""

from collections.abc import Sequence

from attrs import frozen

from homeserver.services.rooms.allowance import Allowance
from homeserver.services.rooms.local_membership import Wish
from homeserver.services.rooms.member_content import MemberContents
from homeserver.services.rooms.remote_membership.candidates import Candidates
from homeserver.services.rooms.remote_membership.invites import RemoteInvites
from homeserver.services.rooms.remote_membership.joins import RemoteJoins
from homeserver.services.rooms.remote_membership.knocks import RemoteKnocks
from homeserver.services.rooms.remote_membership.leaves import RemoteLeaves
from homeserver.services.rooms.remote_membership.out_of_band import OPEN, Known, OutOfBand
from homeserver.services.rooms.remote_membership.room_sizes import RoomSizes
from homeserver.services.rooms.residence import Residence
from matrix.errors import Forbidden, MatrixError, NotFound
from matrix.events import Event
from matrix.ids import EventId, ServerName


@frozen(kw_only=True)
class Ways:
    joins: RemoteJoins
    knocks: RemoteKnocks
    leaves: RemoteLeaves
    invites: RemoteInvites


class RemoteMembership:
    """Where None is given, this server is in the room now, and decides itself."""

    def __init__(
        self,
        *,
        ways: Ways,
        candidates: Candidates,
        out_of_band: OutOfBand,
        residence: Residence,
        contents: MemberContents,
        allowance: Allowance,
        sizes: RoomSizes,
    ) -> None:
        self._ways = ways
        self._candidates = candidates
        self._out_of_band = out_of_band
        self._residence = residence
        self._contents = contents
        self._allowance = allowance
        self._sizes = sizes

    async def join(self, wish: Wish, via: Sequence[ServerName]) -> EventId | None:
        """Raises: MatrixError."""
        content = await self._contents.of(wish.target, "join", wish.added)
        servers = await self._candidates_for(wish, via)
        if wish.requester.is_guest:
            await self._ways.joins.check_guest_access(wish.room_id, servers)
        await self._sizes.check(wish.requester, wish.room_id, servers)
        async with self._out_of_band.turns.of(wish.room_id):
            if await self._residence.is_here(wish.room_id):
                return None
            await self._charge(wish)
            try:
                return await self._ways.joins.join(wish.target, wish.room_id, content, servers, is_here=False)
            except MatrixError as error:
                known = await self._out_of_band.find(wish.target, wish.room_id) if error.status >= 500 else None
                if known is not None and known.event.membership == "ban":
                    # For all that we know it is no wonder.
                    raise Forbidden("The user is banned from the room") from error
                raise

    async def join_by_grant(self, wish: Wish, servers: Sequence[ServerName]) -> EventId:
        """Into a restricted room that we are in, but in which only users of these servers may let anybody in."""
        content = await self._contents.of(wish.target, "join", wish.added)
        await self._charge(wish)
        return await self._ways.joins.join(wish.target, wish.room_id, content, servers, is_here=True)

    async def join_by_others(self, wish: Wish, via: Sequence[ServerName]) -> EventId:
        """Into a room that we are in, but do not know all of yet: who may come in is for others to say."""
        return await self.join_by_grant(wish, await self._candidates_for(wish, via))

    async def knock(self, wish: Wish, via: Sequence[ServerName]) -> EventId | None:
        """Raises: MatrixError."""
        content = await self._contents.of(wish.target, "knock", wish.added)
        servers = await self._candidates_for(wish, via)
        async with self._out_of_band.turns.of((wish.room_id, wish.target)):
            if await self._residence.is_here(wish.room_id):
                return None
            await self._allowance.message(wish.requester)
            return await self._ways.knocks.knock(wish.target, wish.room_id, content, servers)

    async def leave(self, wish: Wish) -> EventId | None:
        """Raises: NotFound, Forbidden."""
        if await self._residence.is_here(wish.room_id) and not await self._has_lost_invite(wish):
            return None
        known = await self._out_of_band.find(wish.target, wish.room_id)
        if known is None:
            raise NotFound("Unknown room")
        content = await self._contents.of(wish.target, "leave", wish.added)
        async with self._out_of_band.turns.of((wish.room_id, wish.target)):
            # By now it may be answered, or withdrawn.
            known = await self._out_of_band.find(wish.target, wish.room_id) or known
            before = known.event.membership
            if before == "join":
                return None
            if before not in OPEN:
                return _left_before(known)
            servers = await self._candidates.of(wish.target, wish.room_id, ())
            return await self._ways.leaves.leave(wish.target, known, content, servers)

    async def invite(self, event: Event) -> None:
        """Of a user of another server, into a room that we are in. Raises: MatrixError."""
        await self._ways.invites.send(event)

    async def _has_lost_invite(self, wish: Wish) -> bool:
        """An invite or knock of before we came that the room, as we know it now, has not."""
        known = await self._out_of_band.find_open(wish.target, wish.room_id)
        return known is not None and not await self._residence.has_in_state(wish.room_id, known.event)

    async def _candidates_for(self, wish: Wish, via: Sequence[ServerName]) -> list[ServerName]:
        servers = await self._candidates.of(wish.target, wish.room_id, via)
        if not servers:
            raise NotFound("No server that is in the room is known")
        return servers

    async def _charge(self, wish: Wish) -> None:
        if wish.is_limited:
            await self._allowance.remote_join(wish.requester, wish.room_id)
            wish.is_limited = False


def _left_before(known: Known) -> EventId:
    if known.event.membership == "ban":
        raise Forbidden("The user is banned from the room")
    return known.event.event_id
