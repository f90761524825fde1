"""Messages of the server itself to its users, each in a room of the user's own that the server makes and names.

The sender is an account that nobody can log in to. Its room is reused: a user who has left is invited again. What the
configuration says of the room is put right with each notice.

Source: client-server API, "Server Notices"; Synapse, "Server Notices" (admin API, room and power levels).
"""

from attrs import frozen

from homeserver.runtime.linearizer import Linearizer
from homeserver.services.rooms.first_events import Plan, first_events
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.intake import Intake, NewEvent
from homeserver.services.rooms.member_content import MEMBER, MemberContents
from homeserver.services.rooms.membership import Membership
from homeserver.services.rooms.notice_rooms import NoticeRooms
from homeserver.services.users.account_data import AccountData
from homeserver.web.call import Requester
from matrix.errors import BadRequest
from matrix.events import Json, StateKey
from matrix.ids import EventId, RoomId, UserId
from matrix.room_versions import RoomVersion
from storage.event_transactions import TransactionKey

TAG = "m.server_notice"
_IS_IN = ("join", "invite")


@frozen(kw_only=True)
class NoticeSettings:
    """Who sends, and how the rooms look. `auto_join`: users are joined, not asked."""

    sender: UserId
    room_name: str = ""
    room_topic: str | None = None
    room_avatar_url: str | None = None
    auto_join: bool = False
    room_version: RoomVersion

    @property
    def room_state(self) -> dict[StateKey, Json]:
        said: dict[StateKey, Json] = {}
        if self.room_name:
            said[("m.room.name", "")] = {"name": self.room_name}
        if self.room_topic:
            said[("m.room.topic", "")] = {"topic": self.room_topic, "m.topic": {"m.text": [{"body": self.room_topic}]}}
        if self.room_avatar_url:
            said[("m.room.avatar", "")] = {"url": self.room_avatar_url}
        return said


@frozen(kw_only=True)
class Notice:
    """What is sent; `state_key` of a state event."""

    type: str
    content: Json
    state_key: str | None = None


@frozen(kw_only=True)
class RoomParts:
    """What makes rooms and changes them."""

    rooms: NoticeRooms
    intake: Intake
    heads: Heads
    contents: MemberContents
    membership: Membership


class ServerNotices:
    def __init__(self, *, settings: NoticeSettings, parts: RoomParts, account_data: AccountData) -> None:
        self._settings = settings
        self._rooms = parts.rooms
        self._intake = parts.intake
        self._heads = parts.heads
        self._contents = parts.contents
        self._membership = parts.membership
        self._account_data = account_data
        self._turns = Linearizer()

    async def send(self, user_id: UserId, notice: Notice, transaction: TransactionKey | None = None) -> EventId:
        """Sends a user of ours a notice; with a `transaction` that was used before, gives the event sent then.

        Raises: BadRequest, Forbidden, TooLarge.
        """
        if notice.type == MEMBER:
            raise BadRequest("A notice is no membership", "M_UNKNOWN")
        async with self._turns.of(user_id):
            if transaction is not None and (sent := await self._intake.sent_before(transaction)) is not None:
                return sent.event_id
            room_id = await self._rooms.find(user_id)
            if room_id is None:
                room_id = await self._create()
            else:
                await self._put_right(room_id)
            await self._tag(user_id, room_id)
            await self._ask_in(user_id, room_id)
            event = self._event(notice.type, notice.content, notice.state_key)
            return (await self._intake.send(room_id, [event], transaction=transaction))[0].event_id

    async def _create(self) -> RoomId:
        """Nobody but the sender has the power to speak: as Synapse."""
        settings = self._settings
        plan = Plan(
            version=settings.room_version,
            creator=settings.sender,
            creator_content=await self._contents.of(settings.sender, "join", {}),
            preset="private_chat",
            power_levels_override={"users_default": -10},
            initial_state=settings.room_state,
        )
        room_id, _ = await self._intake.create(plan.version, first_events(plan))
        return room_id

    async def _put_right(self, room_id: RoomId) -> None:
        """The room looks as the configuration says now."""
        head = await self._heads.get(room_id)
        wanted = self._settings.room_state
        there = await self._heads.state_events(head, wanted)
        changed = [
            self._event(key[0], content, key[1])
            for key, content in wanted.items()
            if key not in there or there[key].event.content != content
        ]
        if changed:
            await self._intake.send(room_id, changed)

    async def _tag(self, user_id: UserId, room_id: RoomId) -> None:
        """By the tag clients know the room, so it comes before the invite; who has taken it off gets it back."""
        if TAG not in await self._account_data.tags(user_id, room_id):
            await self._account_data.put_tag(user_id, room_id, TAG, {})

    async def _ask_in(self, user_id: UserId, room_id: RoomId) -> None:
        """No limit and no wish of the user's not to be invited holds it up."""
        head = await self._heads.get(room_id)
        own = await self._heads.state_event(head, MEMBER, user_id)
        if own is None or own.event.membership not in _IS_IN:
            content = await self._contents.of(user_id, "invite", {})
            await self._intake.send(room_id, [self._event(MEMBER, content, user_id)])
        elif own.event.membership == "join":
            return
        if self._settings.auto_join:
            await self._membership.join(Requester(user_id), room_id, limited=False)

    def _event(self, event_type: str, content: Json, state_key: str | None) -> NewEvent:
        return NewEvent(type=event_type, sender=self._settings.sender, content=content, state_key=state_key)
