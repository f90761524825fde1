"""Room aliases: names for rooms, given and taken back, and the rooms that they lead to.

Source: client-server API, "Room aliases"; `m.room.canonical_alias`.
"""

from collections.abc import Callable, Sequence

from attrs import frozen

from homeserver.services.rooms.alias_reservations import AliasReservations
from homeserver.services.rooms.canonical_alias import CANONICAL
from homeserver.services.rooms.heads import Head, Heads
from homeserver.services.rooms.members import Members
from homeserver.web.call import Requester
from matrix.auth_needs import CREATE, POWER_LEVELS
from matrix.errors import Forbidden, InvalidParam, MatrixError, NotFound
from matrix.ids import RoomAlias, RoomId, ServerName
from matrix.power_levels import PowerLevels
from storage import aliases as rows
from storage.aliases import AliasRow
from storage.appservice_reading import announce_aliases
from storage.change import AlreadyThere, Change
from storage.commit import Committer
from storage.database import Database
from storage.room_servers import find_servers


@frozen
class Resolved:
    """Where an alias leads, and which servers are there."""

    room_id: RoomId
    servers: Sequence[ServerName]


@frozen(kw_only=True)
class AliasRules:
    """`may_make(user_id, room_id, alias)`: the configuration's alias_creation_rules."""

    may_make: Callable[[str, str, str], bool]
    members_only: bool = True


class Aliases:
    def __init__(
        self,
        *,
        database: Database,
        committer: Committer,
        heads: Heads,
        members: Members,
        server_name: ServerName,
        rules: AliasRules,
        reservations: AliasReservations,
    ) -> None:
        self._database = database
        self._committer = committer
        self._heads = heads
        self._members = members
        self._server_name = server_name
        self._rules = rules
        self._reservations = reservations

    async def find(self, alias: RoomAlias) -> AliasRow | None:
        """An alias of this server. A bridge may make it only now that it is asked for."""
        row = await self._find(alias)
        if row is None and self._is_ours(alias) and await self._reservations.ask(alias):
            row = await self._find(alias)
        return row

    async def is_taken(self, alias: RoomAlias) -> bool:
        """Without asking a bridge, which may be the one that wants it now."""
        return await self._find(alias) is not None

    async def room_of(self, alias: RoomAlias) -> RoomId | None:
        """Without asking a bridge."""
        row = await self._find(alias)
        return None if row is None else row.room_id

    async def resolve(self, alias: RoomAlias) -> Resolved:
        """Raises: NotFound."""
        row = await self.find(alias)
        if row is None:
            raise NotFound(f"Room alias {alias} not found.")
        servers = await self._database.read(find_servers, [row.room_nid])
        others = servers[row.room_nid].servers - {self._server_name}
        return Resolved(row.room_id, [self._server_name, *sorted(others)])

    async def of_room(self, room_nid: int) -> list[RoomAlias]:
        return await self._database.read(rows.aliases_of, room_nid)

    def check_may_make(self, requester: Requester, alias: RoomAlias, room_id: RoomId | None = None) -> None:
        """`room_id` is None for a room that is being made. Raises: InvalidParam, Forbidden, BadRequest."""
        if not self._is_ours(alias):
            raise InvalidParam("The alias is not of this server")
        if any(letter.isspace() for letter in alias):
            raise InvalidParam("Invalid characters in room alias")
        self._reservations.check(requester, alias)
        if requester.appservice_id is None and not self._rules.may_make(requester.user_id, room_id or "", alias):
            raise Forbidden("Not allowed to create alias")

    async def make(self, requester: Requester, alias: RoomAlias, room_id: RoomId) -> None:
        """Raises: NotFound, Forbidden, InvalidParam; 409 for an alias that is taken."""
        self.check_may_make(requester, alias, room_id)
        room = await self._heads.room(room_id)
        may_from_outside = requester.is_admin or requester.appservice_id is not None or not self._rules.members_only
        if not may_from_outside and not await self._members.is_joined(requester.user_id, room.room_nid):
            raise Forbidden("You must be in the room to create an alias for it")
        try:
            change = Change().put(rows.ADD, (alias, room.room_nid, requester.user_id))
            announce_aliases(change, room.room_nid, added=alias)
            await self._committer(change)
        except AlreadyThere:
            raise MatrixError(409, "M_UNKNOWN", f"Room alias {alias} already exists.") from None

    async def delete(self, requester: Requester, alias: RoomAlias) -> RoomId:
        """Gives the room that it led to. Raises: NotFound, Forbidden, BadRequest."""
        row = await self._find(alias)
        if row is None:
            raise NotFound(f"Room alias {alias} not found.")
        self._reservations.check(requester, alias)
        if not await self._may_delete(requester, row):
            raise Forbidden("You don't have permission to delete the alias.")
        change = Change().put(rows.DELETE, (alias, row.room_nid))
        announce_aliases(change, row.room_nid, removed=alias)
        await self._committer(change)
        return row.room_id

    async def _find(self, alias: RoomAlias) -> AliasRow | None:
        return (await self._database.read(rows.find_aliases, [alias])).get(alias)

    async def _may_delete(self, requester: Requester, row: AliasRow) -> bool:
        """Who made it, an admin, or who may set the room's canonical alias. As Synapse."""
        if requester.user_id == row.creator or requester.is_admin or requester.appservice_id is not None:
            return True
        return await may_name(self._heads, await self._heads.get(row.room_id), requester.user_id)

    def _is_ours(self, alias: RoomAlias) -> bool:
        return alias.domain == self._server_name


async def may_name(heads: Heads, head: Head, user_id: str) -> bool:
    """May the user set the room's canonical alias? Then they may also speak for it in the directory. As Synapse."""
    state = await heads.state_events(head, [CREATE, POWER_LEVELS, ("m.room.member", user_id)])
    member, levels = state.get(("m.room.member", user_id)), state.get(POWER_LEVELS)
    if member is None or member.event.membership != "join":
        return False
    in_force = PowerLevels.of(head.version, state[CREATE].event, levels.event if levels else None)
    return in_force.of_user(user_id) >= in_force.for_event(CANONICAL, is_state=True)
