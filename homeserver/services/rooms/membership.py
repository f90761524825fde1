"""Joining, inviting, leaving, kicking, banning, knocking: every change of a membership that a user of ours makes.

What the room allows is for the authorization rules; here is decided what they do not know: guests, limits, who takes
no invites, whose word lets a user into a restricted room, and when nothing has to be said because it is so already.

Source: client-server API, "Room membership", "Guest Access", "Restricted rooms".
"""

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from homeserver.services.rooms.allowance import Allowance
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.intake import Intake, NewEvent
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.member_content import AUTHORISED_VIA, MEMBER, MemberContents, with_reason
from homeserver.services.rooms.restricted_joins import IsLocal, RestrictedJoins
from homeserver.web.call import Requester
from matrix.errors import BadRequest, Forbidden
from matrix.events import Json
from matrix.ids import EventId, RoomId, UserId

MEMBERSHIPS = frozenset(("join", "invite", "leave", "ban", "knock"))
_ON_OTHERS = ("invite", "kick", "ban", "unban")
_NOT_IN_ROOM = frozenset((None, "leave", "ban"))


@define(kw_only=True)
class _Wish:
    """`action` is the membership, or "kick" or "unban". `there`: the event that says it already."""

    requester: Requester
    room_id: RoomId
    target: UserId
    action: str
    is_limited: bool
    content: Json = field(factory=dict)
    before: str | None = None
    there: EventId | None = None


class Membership:
    """Everything raises NotFound for a room that we do not know, Forbidden, LimitExceeded, BadRequest.

    What is so already is not said again: the event that said it is the answer.
    """

    def __init__(
        self,
        *,
        intake: Intake,
        heads: Heads,
        allowance: Allowance,
        contents: MemberContents,
        invite_permission: InvitePermission,
        restricted_joins: RestrictedJoins,
        is_local: IsLocal,
    ) -> None:
        self._intake = intake
        self._heads = heads
        self._allowance = allowance
        self._contents = contents
        self._invite_permission = invite_permission
        self._restricted_joins = restricted_joins
        self._is_local = is_local

    async def join(
        self, requester: Requester, room_id: RoomId, *, added: Json | None = None, limited: bool = True
    ) -> EventId:
        """`added` stands in the event beside the membership and the profile; `limited` by rate limits."""
        return await self._change(requester, room_id, requester.user_id, "join", added, limited=limited)

    async def invite(
        self, requester: Requester, room_id: RoomId, target: UserId, *, added: Json | None = None
    ) -> EventId:
        return await self._change(requester, room_id, target, "invite", added)

    async def leave(
        self, requester: Requester, room_id: RoomId, *, reason: str | None = None, limited: bool = True
    ) -> EventId:
        """Also rejects an invite, and takes back a knock."""
        return await self._change(requester, room_id, requester.user_id, "leave", with_reason(reason), limited=limited)

    async def kick(self, requester: Requester, room_id: RoomId, target: UserId, reason: str | None = None) -> EventId:
        """Also takes back an invite, and rejects a knock."""
        return await self._change(requester, room_id, target, "kick", with_reason(reason))

    async def ban(self, requester: Requester, room_id: RoomId, target: UserId, reason: str | None = None) -> EventId:
        return await self._change(requester, room_id, target, "ban", with_reason(reason))

    async def unban(self, requester: Requester, room_id: RoomId, target: UserId, reason: str | None = None) -> EventId:
        return await self._change(requester, room_id, target, "unban", with_reason(reason))

    async def knock(self, requester: Requester, room_id: RoomId, reason: str | None = None) -> EventId:
        return await self._change(requester, room_id, requester.user_id, "knock", with_reason(reason))

    async def set_state(self, requester: Requester, room_id: RoomId, target: UserId, content: Json) -> EventId:
        """A member event as a client wrote it."""
        membership = content.get("membership")
        if not isinstance(membership, str) or membership not in MEMBERSHIPS:
            raise BadRequest("Invalid membership")
        return await self._change(requester, room_id, target, membership, content)

    async def _change(
        self,
        requester: Requester,
        room_id: RoomId,
        target: UserId,
        action: str,
        added: Json | None,
        *,
        limited: bool = True,
    ) -> EventId:
        if action == "invite":
            await self._check_may_be_invited(requester, target)
        membership = "leave" if action in ("kick", "unban") else action
        wish = _Wish(requester=requester, room_id=room_id, target=target, action=action, is_limited=limited)

        async def decide(head: Head) -> Sequence[NewEvent]:
            # Looked up now that it is the room's turn: of two changes of a profile the later one must come last.
            wish.content = await self._contents.of(target, membership, added or {})
            return await self._decide(head, wish)

        async def admit() -> None:
            await self._charge(wish)

        # What can be found wrong is found before the room is held up, and the profile is in memory then.
        await self._contents.of(target, membership, added or {})
        sent = await self._intake.send(room_id, decide, admit=admit)
        if sent:
            return sent[0].event_id
        assert wish.there is not None
        return wish.there

    async def _decide(self, head: Head, wish: _Wish) -> Sequence[NewEvent]:
        """The event; none if the state is so already."""
        old = await self._heads.state_event(head, MEMBER, wish.target)
        before = None if old is None else old.event.membership
        if wish.action in _ON_OTHERS or wish.target != wish.requester.user_id:
            await self._check_is_joined(head, wish.requester.user_id)
        _check_transition(wish.action, before)
        if (
            old is not None
            and _says_the_same(old.event.content, wish.content)
            and old.event.sender == wish.requester.user_id
        ):
            wish.there = old.event_id
            return []
        wish.before = before
        await self._charge(wish, only_check=True)
        content = await self._joining(head, wish) if wish.action == "join" else wish.content
        return [NewEvent(type=MEMBER, sender=wish.requester.user_id, state_key=wish.target, content=content)]

    async def _check_is_joined(self, head: Head, user_id: UserId) -> None:
        """As the rules have it, but first: nobody else may learn from a refusal what the target is to the room."""
        mine = await self._heads.state_event(head, MEMBER, user_id)
        if mine is None or mine.event.membership != "join":
            raise Forbidden(f"{user_id} is not in the room")

    async def _joining(self, head: Head, wish: _Wish) -> Json:
        """The content of a join, which for a restricted room names who lets the user in."""
        if wish.target != wish.requester.user_id:
            raise Forbidden("Nobody can join for another user")
        if wish.before == "join":
            return wish.content
        if wish.requester.is_guest and not await self._admits_guests(head):
            raise Forbidden("Guest access not allowed", "M_GUEST_ACCESS_FORBIDDEN")
        if wish.before == "invite":
            return wish.content
        inviter = await self._restricted_joins.authorising_user(head, wish.target)
        return wish.content if inviter is None else {**wish.content, AUTHORISED_VIA: inviter}

    async def _charge(self, wish: _Wish, *, only_check: bool = False) -> None:
        """Leaving is free. Checked before the room decides, charged when it has allowed it."""
        if not wish.is_limited:
            return
        if wish.action == "join" and wish.before != "join":
            await self._allowance.join(wish.requester, wish.room_id, only_check=only_check)
        elif wish.action == "invite":
            await self._allowance.invites(wish.requester, wish.room_id, [wish.target], only_check=only_check)
        elif not only_check and (wish.target != wish.requester.user_id or wish.action != "leave"):
            await self._allowance.message(wish.requester)
        # Decided again, since another process moved the head, it is not charged again.
        wish.is_limited = only_check

    async def _check_may_be_invited(self, requester: Requester, target: UserId) -> None:
        if not self._is_local(target.domain):
            raise Forbidden(f"The server of {target} cannot be reached")
        await self._invite_permission.check(requester, [target])

    async def _admits_guests(self, head: Head) -> bool:
        event = await self._heads.state_event(head, "m.room.guest_access")
        return event is not None and event.event.content.get("guest_access") == "can_join"


def _check_transition(action: str, before: str | None) -> None:
    """What the rules would refuse in words that help nobody, and what they would let pass. Errcodes are Synapse's."""
    if action == "unban" and before != "ban":
        raise Forbidden(f"Cannot unban user who was not banned (membership={before})", "M_BAD_STATE")
    if action == "kick" and before in _NOT_IN_ROOM:
        raise Forbidden("The target user is not in the room")


def _says_the_same(old: Json, new: Json) -> bool:
    """The same content, but for what we add to joins ourselves."""
    return _without_authorisation(old) == _without_authorisation(new)


def _without_authorisation(content: Json) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != AUTHORISED_VIA}
