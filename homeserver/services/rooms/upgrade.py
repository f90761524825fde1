"""Replacing a room by a new one of another version.

Source: client-server API, "Room Upgrades".
"""

from collections.abc import Sequence

from attrs import define, evolve

from homeserver.runtime.linearizer import Linearizer
from homeserver.services.rooms.allowance import Allowance
from homeserver.services.rooms.directory import announce
from homeserver.services.rooms.first_events import Plan, first_events
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.intake import Intake, NewEvent
from homeserver.services.rooms.member_content import MEMBER, MemberContents
from homeserver.services.rooms.members import Members
from homeserver.services.rooms.upgrade_plan import (
    CANONICAL_ALIAS,
    CREATE,
    POWER_LEVELS,
    closed_levels,
    copied_state,
    creation_content,
    is_copied,
    move_aliases,
    new_levels,
    tombstone,
)
from homeserver.web.call import Requester
from matrix.errors import BadRequest, Forbidden
from matrix.events import Event, Json, StateKey
from matrix.ids import EventId, RoomId, ServerName, UserId
from matrix.power_levels import PowerLevels
from matrix.room_versions import RoomVersion
from storage import aliases, published_rooms
from storage.appservice_reading import announce_aliases
from storage.change import Change

TOMBSTONE = "m.room.tombstone"
# The bans of a large room come in parts.
BANS_AT_ONCE = 500
MAX_BANS = 20_000


@define(kw_only=True)
class _Upgrade:
    requester: Requester
    old: Head
    state: dict[StateKey, Event]
    bans: list[Event]
    version: RoomVersion
    additional_creators: Sequence[UserId]

    @property
    def user_id(self) -> UserId:
        return self.requester.user_id


class Upgrade:
    def __init__(
        self,
        *,
        intake: Intake,
        heads: Heads,
        members: Members,
        allowance: Allowance,
        contents: MemberContents,
        server_name: ServerName,
    ) -> None:
        self._intake = intake
        self._heads = heads
        self._members = members
        self._allowance = allowance
        self._contents = contents
        self._server_name = server_name
        self._running = Linearizer(max_waiting=0)

    async def upgrade(
        self, requester: Requester, room_id: RoomId, version: RoomVersion, additional_creators: Sequence[UserId]
    ) -> RoomId:
        """Gives the new room. Raises: NotFound, Forbidden, BadRequest, LimitExceeded."""
        head = await self._heads.get(room_id)
        async with self._running.of(room_id):
            up = await self._load(requester, head, version, additional_creators)
            _check_may_upgrade(up)
            await self._allowance.creation(requester)
            return await self._upgrade(up)

    async def _load(
        self, requester: Requester, head: Head, version: RoomVersion, additional_creators: Sequence[UserId]
    ) -> _Upgrade:
        own = (MEMBER, requester.user_id)
        keys = [key for key in head.state if is_copied(key) or key in (CREATE, POWER_LEVELS, CANONICAL_ALIAS, own)]
        state = await self._heads.state_events(head, keys)
        return _Upgrade(
            requester=requester,
            old=head,
            state={key: stored.event for key, stored in state.items()},
            bans=await self._bans(head),
            version=version,
            additional_creators=[user for user in additional_creators if user != requester.user_id],
        )

    async def _bans(self, head: Head) -> list[Event]:
        members = await self._members.members_of(head.room_nid)
        banned = [(MEMBER, str(user_id)) for user_id, membership in members.items() if membership == "ban"]
        return [stored.event for stored in (await self._heads.state_events(head, banned[:MAX_BANS])).values()]

    async def _upgrade(self, up: _Upgrade) -> RoomId:
        """From room version 12 on the new room's id is known only when it is there; before, the tombstone goes first,
        since the new room names it."""
        levels_event = up.state.get(POWER_LEVELS)
        levels = new_levels(
            up.old.version,
            None if levels_event is None else levels_event.content,
            up.version,
            [up.user_id, *up.additional_creators],
        )
        moved = move_aliases(_content(up, CANONICAL_ALIAS), self._server_name)
        state = {POWER_LEVELS: levels.first, **copied_state(up.state)}
        if moved.new is not None:
            state[CANONICAL_ALIAS] = moved.new
        plan = Plan(
            version=up.version,
            creator=up.user_id,
            creator_content=await self._contents.of(up.user_id, "join", {}),
            preset="private_chat",
            creation_content=creation_content(up.state[CREATE], up.version, up.additional_creators, None),
            initial_state=state,
        )
        last = [] if levels.last is None else [_state(up.user_id, POWER_LEVELS, levels.last)]
        after = self._closing(up, moved.old)
        if up.version.room_id_is_create_hash:
            new_room = await self._create(up, plan, last, None)
            await self._close(up, [_state(up.user_id, (TOMBSTONE, ""), tombstone(new_room)), *after])
            return new_room
        new_room = self._intake.new_room_id()
        await self._intake.rehearse(up.version, self._events_of(up, plan, last))
        sent = await self._close(up, [_state(up.user_id, (TOMBSTONE, ""), tombstone(new_room)), *after])
        content = creation_content(up.state[CREATE], up.version, (), sent)
        return await self._create(up, evolve(plan, creation_content=content), last, new_room)

    @staticmethod
    def _events_of(up: _Upgrade, plan: Plan, last: Sequence[NewEvent]) -> list[NewEvent]:
        bans = [_state(up.user_id, event.key, event.content) for event in up.bans[:BANS_AT_ONCE]]
        return [*first_events(plan), *bans, *(last if len(up.bans) <= BANS_AT_ONCE else ())]

    async def _create(self, up: _Upgrade, plan: Plan, last: Sequence[NewEvent], room_id: RoomId | None) -> RoomId:
        def beside(change: Change, room_nid: int) -> None:
            change.put(aliases.MOVE_ALL, (up.old.room_nid, room_nid))
            announce_aliases(change, room_nid, moved_from=up.old.room_nid)
            change.put(published_rooms.MOVE_ALL, (up.old.room_nid, room_nid))
            announce(change)

        new_room, _ = await self._intake.create(
            up.version, self._events_of(up, plan, last), room_id=room_id, beside=beside
        )
        for start in range(BANS_AT_ONCE, len(up.bans), BANS_AT_ONCE):
            part = up.bans[start : start + BANS_AT_ONCE]
            bans = [_state(up.user_id, event.key, event.content) for event in part]
            await self._intake.send(new_room, [*bans, *(last if start + BANS_AT_ONCE >= len(up.bans) else ())])
        return new_room

    @staticmethod
    def _closing(up: _Upgrade, alias_content: Json | None) -> list[NewEvent]:
        closing = []
        if alias_content is not None:
            closing.append(_state(up.user_id, CANONICAL_ALIAS, alias_content))
        closed = closed_levels(up.old.version, up.state.get(POWER_LEVELS), up.state[CREATE])
        if closed is not None:
            closing.append(_state(up.user_id, POWER_LEVELS, closed))
        return closing

    async def _close(self, up: _Upgrade, closing: Sequence[NewEvent]) -> EventId:
        """The tombstone, and with it what else the user may do to close the old room."""
        try:
            sent = await self._intake.send(up.old.room_id, closing)
        except Forbidden:
            sent = await self._intake.send(up.old.room_id, closing[:1])
        return sent[0].event_id


def _check_may_upgrade(up: _Upgrade) -> None:
    member = up.state.get((MEMBER, up.user_id))
    # First: of a room that we are not in not even the create event is known.
    is_joined = member is not None and member.membership == "join"
    if not is_joined or not _may_close(up):
        raise Forbidden("You are not allowed to upgrade this room")
    if len(up.state) > 5_000:
        raise BadRequest("The room has too much state to be upgraded", "M_UNKNOWN")


def _may_close(up: _Upgrade) -> bool:
    levels = PowerLevels.of(up.old.version, up.state[CREATE], up.state.get(POWER_LEVELS))
    return levels.of_user(up.user_id) >= levels.for_event(TOMBSTONE, is_state=True)


def _content(up: _Upgrade, key: StateKey) -> Json | None:
    event = up.state.get(key)
    return None if event is None else event.content


def _state(sender: UserId, key: StateKey, content: Json) -> NewEvent:
    return NewEvent(type=key[0], sender=sender, state_key=key[1], content=content)
