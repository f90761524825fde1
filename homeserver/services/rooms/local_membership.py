"""Changes of a membership that are decided here, on the head of a room that this server is in.

What the room allows is for the authorization rules; here is decided what they do not know: guests, limits, whose word
lets a user into a restricted room, and when nothing has to be said because it is so already.

Source: client-server API, "Room membership", "Guest Access", "Restricted rooms".
"""

from collections.abc import Sequence
from typing import Any

from attrs import define, field

from homeserver.services.appservices.users import Appear
from homeserver.services.rooms.allowance import Allowance
from homeserver.services.rooms.guest_access import no_guests
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.intake import Intake, NewEvent
from homeserver.services.rooms.member_content import AUTHORISED_VIA, MEMBER, MemberContents
from homeserver.services.rooms.restricted_joins import RestrictedJoins
from homeserver.web.call import Requester
from matrix.errors import Forbidden
from matrix.events import Event, Json
from matrix.ids import EventId, RoomId, UserId

_ON_OTHERS = ("invite", "kick", "ban", "unban")
_NOT_IN_ROOM = frozenset((None, "leave", "ban"))


@define(kw_only=True)
class Wish:
    """`action` is the membership, or "kick" or "unban"; `added` stands in the event beside membership and profile.

    `origin_server_ts` is for application services.
    `content`, `before` and `there` are found out: what the event will say, what the target was, and the event that
    says it already.
    """

    requester: Requester
    room_id: RoomId
    target: UserId
    action: str
    added: Json = field(factory=dict)
    is_limited: bool = True
    origin_server_ts: int | None = None
    content: Json = field(factory=dict)
    before: str | None = None
    there: EventId | None = None

    @property
    def membership(self) -> str:
        return "leave" if self.action in ("kick", "unban") else self.action


class LocalMembership:
    """Everything raises NotFound for a room that we do not know, Forbidden, LimitExceeded, BadRequest."""

    def __init__(
        self,
        *,
        intake: Intake,
        heads: Heads,
        allowance: Allowance,
        contents: MemberContents,
        restricted_joins: RestrictedJoins,
        appear: Appear,
    ) -> None:
        self._intake = intake
        self._heads = heads
        self._allowance = allowance
        self._contents = contents
        self._restricted_joins = restricted_joins
        self._appear = appear

    async def change(self, wish: Wish) -> EventId:
        """The event that says it: a new one, or the one that said it before."""

        async def decide(head: Head) -> Sequence[NewEvent]:
            # Looked up now that it is the room's turn: of two changes of a profile the later one must come last.
            wish.content = await self._contents.of(wish.target, wish.membership, wish.added)
            return await self._decide(head, wish)

        async def admit() -> None:
            await self._charge(wish)

        if wish.action == "invite":
            # A bridge may make the user only now, with the name that the invite is to show.
            await self._appear([wish.target], wish.requester)
        # What can be found wrong is found before the room is held up, and the profile is in memory then.
        await self._contents.of(wish.target, wish.membership, wish.added)
        sent = await self._intake.send(wish.room_id, decide, admit=admit)
        if sent:
            return sent[0].event_id
        assert wish.there is not None
        return wish.there

    async def admits_guests(self, room_id: RoomId) -> bool:
        return await self._admits_guests(await self._heads.get(room_id))

    async def draft(self, wish: Wish) -> Event | None:
        """The event, allowed and signed, but not in the room: others sign it first. None if it is so already."""
        head = await self._heads.get(wish.room_id)
        wish.content = await self._contents.of(wish.target, wish.membership, wish.added)
        new = await self._decide(head, wish)
        if not new:
            return None
        event = await self._intake.draft(wish.room_id, new[0])
        await self._charge(wish)
        return event

    async def _decide(self, head: Head, wish: Wish) -> Sequence[NewEvent]:
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
        return [
            NewEvent(
                type=MEMBER,
                sender=wish.requester.user_id,
                state_key=wish.target,
                content=content,
                origin_server_ts=wish.origin_server_ts,
            )
        ]

    async def _check_is_joined(self, head: Head, user_id: UserId) -> None:
        """As the rules have it, but first: nobody else may learn from a refusal what the target is to the room."""
        mine = await self._heads.state_event(head, MEMBER, user_id)
        if mine is None or mine.event.membership != "join":
            raise Forbidden(f"{user_id} is not in the room")

    async def _joining(self, head: Head, wish: Wish) -> Json:
        """The content of a join, which for a restricted room names who lets the user in."""
        if wish.target != wish.requester.user_id:
            raise Forbidden("Nobody can join for another user")
        if wish.before == "join":
            return wish.content
        if wish.requester.is_guest and not await self._admits_guests(head):
            raise no_guests()
        if wish.before == "invite":
            return wish.content
        inviter = await self._restricted_joins.authorising_user(head, wish.target)
        return wish.content if inviter is None else {**wish.content, AUTHORISED_VIA: inviter}

    async def _charge(self, wish: Wish, *, only_check: bool = False) -> None:
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
