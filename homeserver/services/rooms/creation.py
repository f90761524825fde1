"""Making rooms: from what a client asks for to one change with all first events, the alias and the directory entry.

Source: client-server API, POST /createRoom.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Literal, Protocol

from attrs import evolve, field, frozen
from twisted.internet.defer import DeferredSemaphore, gatherResults

from homeserver.services.appservices.users import Appear
from homeserver.services.rooms.aliases import Aliases
from homeserver.services.rooms.allowance import Allowance
from homeserver.services.rooms.directory import Directory
from homeserver.services.rooms.first_events import Plan, Preset, first_events
from homeserver.services.rooms.intake import Intake
from homeserver.services.rooms.invite_permission import InvitePermission
from homeserver.services.rooms.member_content import MemberContents
from homeserver.services.rooms.restricted_joins import IsLocal
from homeserver.web.call import Requester
from matrix.errors import BadRequest, Forbidden, MatrixError
from matrix.events import Json, StateKey
from matrix.ids import RoomAlias, RoomId, UserId
from matrix.room_versions import RoomVersion
from storage import aliases as alias_rows
from storage.appservice_reading import announce_aliases
from storage.change import AlreadyThere, Change

# Two rooms that one user makes in the same millisecond have the same id in room version 12: then the next is taken.
ATTEMPTS = 5
# Of the users of other servers, whose servers are asked.
INVITED_AT_ONCE = 10


@frozen(kw_only=True)
class NewRoom:
    """What a client asks for, parsed."""

    version: RoomVersion
    preset: Preset
    is_public: bool = False  # in the directory
    alias: RoomAlias | None = None
    name: str | None = None
    topic: str | None = None
    invite: Sequence[UserId] = ()
    is_direct: bool = False
    creation_content: Json = field(factory=dict)
    initial_state: Mapping[StateKey, Json] = field(factory=dict)
    power_levels_override: Json = field(factory=dict)


@frozen(kw_only=True)
class CreationRules:
    """`encrypted`: encryption_enabled_by_default_for_room_type; `power_levels`: overrides by preset."""

    encrypted: Literal["off", "invite", "all"] = "off"
    power_levels: Mapping[str, Json | None] = field(factory=dict)

    def is_encrypted(self, preset: Preset) -> bool:
        return self.encrypted == "all" or (self.encrypted == "invite" and preset != "public_chat")


class InviteElsewhere(Protocol):
    """Invites a user of another server to a room that is there. Raises: MatrixError."""

    def __call__(
        self, requester: Requester, room_id: RoomId, target: UserId, *, added: Json | None = None
    ) -> Awaitable[object]: ...


@frozen(kw_only=True)
class Invitations:
    """What decides on invites to a new room."""

    permission: InvitePermission
    appear: Appear
    contents: MemberContents
    is_local: IsLocal
    elsewhere: InviteElsewhere


class Creation:
    def __init__(
        self,
        *,
        intake: Intake,
        allowance: Allowance,
        aliases: Aliases,
        directory: Directory,
        invitations: Invitations,
        rules: CreationRules,
    ) -> None:
        self._intake = intake
        self._allowance = allowance
        self._aliases = aliases
        self._directory = directory
        self._invitations = invitations
        self._rules = rules
        self._last_ms = 0

    async def create(self, requester: Requester, new: NewRoom, *, limited: bool = True) -> RoomId:
        """Raises: BadRequest (M_ROOM_IN_USE, M_INVALID_ROOM_STATE, ...), Forbidden, LimitExceeded, TooLarge."""
        if limited:
            await self._allowance.creation(requester)
        if new.alias is not None:
            self._aliases.check_may_make(requester, new.alias)
            if await self._aliases.is_taken(new.alias):
                raise _alias_taken()
        if new.is_public:
            self._directory.check_may_publish_new(requester, [] if new.alias is None else [new.alias])
        ours = [user_id for user_id in new.invite if self._invitations.is_local(user_id.domain)]
        await self._check_invites(requester, ours)
        plan = await self._plan(requester.user_id, new, ours)
        room_id = await self._create(requester, new, plan)
        await self._invite_others(requester, room_id, new)
        return room_id

    async def _create(self, requester: Requester, new: NewRoom, plan: Plan) -> RoomId:
        for _ in range(ATTEMPTS):
            try:
                return await self._make(requester, new, plan, self._unused_ms())
            except AlreadyThere:
                if new.alias is not None and await self._aliases.is_taken(new.alias):
                    raise _alias_taken() from None
        raise MatrixError(503, "M_UNKNOWN", "The server is too busy, try again")

    async def _make(self, requester: Requester, new: NewRoom, plan: Plan, created_ms: int) -> RoomId:
        def beside(change: Change, room_nid: int) -> None:
            if new.alias is not None:
                change.put(alias_rows.ADD, (new.alias, room_nid, requester.user_id))
                announce_aliases(change, room_nid, added=new.alias)
            if new.is_public:
                self._directory.publish_new(change, room_nid)

        events = first_events(evolve(plan, created_ms=created_ms))
        try:
            room_id, _ = await self._intake.create(plan.version, events, beside=beside)
        except Forbidden as error:
            # Nobody forbids it: what was asked for contradicts itself.
            raise BadRequest(error.message, "M_INVALID_ROOM_STATE") from error
        return room_id

    async def _check_invites(self, requester: Requester, invited: Sequence[UserId]) -> None:
        if not invited:
            return
        await self._invitations.permission.check(requester, invited)
        await self._allowance.invites(requester, None, invited)
        await self._invitations.appear(invited, requester)

    async def _invite_others(self, requester: Requester, room_id: RoomId, new: NewRoom) -> None:
        """As Synapse: whoever's server refuses or is not reached is not invited, and the client hears of the first."""
        failures: list[MatrixError] = []

        async def invite(user_id: UserId) -> None:
            try:
                await self._invitations.elsewhere(requester, room_id, user_id, added=_added(new))
            except MatrixError as error:
                failures.append(error)

        turns = DeferredSemaphore(INVITED_AT_ONCE)
        others = [user_id for user_id in new.invite if not self._invitations.is_local(user_id.domain)]
        await gatherResults([turns.run(invite, user_id) for user_id in others])
        if failures:
            raise failures[0]

    async def _plan(self, creator: UserId, new: NewRoom, invited: Sequence[UserId]) -> Plan:
        contents = self._invitations.contents
        override = {**(self._rules.power_levels.get(new.preset) or {}), **new.power_levels_override}
        return Plan(
            version=new.version,
            creator=creator,
            creator_content=await contents.of(creator, "join", {}),
            preset=new.preset,
            creation_content=new.creation_content,
            power_levels_override=override,
            alias=new.alias,
            initial_state=new.initial_state,
            name=new.name,
            topic=new.topic,
            invites=await contents.of_many(invited, "invite", _added(new)),
            trusted=new.invite if new.preset == "trusted_private_chat" else (),
            is_encrypted=self._rules.is_encrypted(new.preset),
        )

    def _unused_ms(self) -> int:
        """A time of this process's that no other room of its has for its creation."""
        self._last_ms = max(self._intake.now_ms(), self._last_ms + 1)
        return self._last_ms


def _added(new: NewRoom) -> Json:
    return {"is_direct": True} if new.is_direct else {}


def _alias_taken() -> BadRequest:
    return BadRequest("Room alias already taken", "M_ROOM_IN_USE")
