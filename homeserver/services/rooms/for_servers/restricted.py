"""Joins of other servers' users to restricted rooms: we say who may, and sign for it.

Source: server-server API, "Restricted rooms".
"""

from homeserver.services.rooms.for_servers.admission import Admission
from homeserver.services.rooms.for_servers.submitted import signed_by
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.intake import Signer
from homeserver.services.rooms.member_content import AUTHORISED_VIA, MEMBER
from homeserver.services.rooms.restricted_joins import IsLocal, RestrictedJoins, allowed_rooms
from matrix.auth_needs import JOIN_RULES
from matrix.errors import BadRequest, Forbidden, InvalidParam, MatrixError
from matrix.events import Event
from matrix.ids import BadIdentifier, UserId

_WITHOUT = frozenset(("join", "invite"))


class RestrictedForServers:
    def __init__(
        self,
        *,
        heads: Heads,
        admission: Admission,
        restricted_joins: RestrictedJoins,
        is_local: IsLocal,
        signer: Signer,
    ) -> None:
        self._heads = heads
        self._admission = admission
        self._restricted_joins = restricted_joins
        self._is_local = is_local
        self._signer = signer

    async def authorising_user(self, head: Head, user_id: UserId) -> UserId | None:
        """Whose word lets the user in; None if it needs none.

        Raises: Forbidden; BadRequest M_UNABLE_TO_AUTHORISE_JOIN, M_UNABLE_TO_GRANT_JOIN: another server might.
        """
        member = await self._heads.state_event(head, MEMBER, user_id)
        if member is not None and member.event.membership in _WITHOUT:
            return None
        try:
            return await self._restricted_joins.authorising_user(head, user_id)
        except Forbidden as error:
            raise await self._for_server(head, user_id, error) from error

    async def signed(self, head: Head, join: Event) -> Event:
        """The join, by us too if it stands on the word of a user of ours. Raises: as above, InvalidParam."""
        if not head.version.restricted_joins or AUTHORISED_VIA not in join.content:
            return join
        try:
            authoriser = UserId.parse(str(join.content[AUTHORISED_VIA]))
        except BadIdentifier as error:
            raise InvalidParam(f"{AUTHORISED_VIA} is not a user ID") from error
        if not self._is_local(authoriser.domain):
            raise InvalidParam(f"Cannot authorise membership event for {authoriser.domain}")
        await self.authorising_user(head, join.sender)
        return signed_by(self._signer, join)

    async def _for_server(self, head: Head, user_id: UserId, error: Forbidden) -> MatrixError:
        if error.errcode == "M_UNABLE_TO_GRANT_JOIN":
            return BadRequest(error.message, error.errcode)
        if await self._knows_all_conditions(head):
            return error
        return BadRequest(f"Unable to check if {user_id} is in allowed rooms.", "M_UNABLE_TO_AUTHORISE_JOIN")

    async def _knows_all_conditions(self, head: Head) -> bool:
        """Are we in all rooms whose members may join? Of others we cannot say who is in them."""
        rules = await self._heads.state_event(head, *JOIN_RULES)
        for room_id in allowed_rooms(rules.event.content if rules else {}):
            room = await self._heads.find_room(room_id)
            if room is None or not await self._admission.is_resident(room.room_nid):
                return False
        return True
