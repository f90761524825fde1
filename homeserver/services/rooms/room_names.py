"""From an alias of any server to the room, and the servers that are in it.

Source: client-server API, GET /directory/room/{roomAlias}, POST /join/{roomIdOrAlias}; server-server API, GET
/query/directory.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from federation.outbound.errors import RemoteError
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.services.remote_errors import not_found_or, unusable
from homeserver.services.rooms.aliases import Aliases, Resolved
from homeserver.services.rooms.canonical_alias import new_aliases
from homeserver.services.rooms.restricted_joins import IsLocal
from matrix.errors import BadRequest, InvalidParam, MatrixError
from matrix.events import Json
from matrix.ids import BadIdentifier, RoomAlias, RoomId, ServerName

# Of those that an alias leads to; Synapse's answers name them all.
MAX_SERVERS = 100
# A canonical alias is checked, and a room joined, soon after it was looked up.
KEEP_S, KEPT = 30.0, 1_000
# Of other servers' aliases that one canonical alias event names newly.
MAX_REMOTE_ALIASES = 20


class AliasesElsewhere(Protocol):
    """The directory of another server. Raises: RemoteError."""

    async def directory(self, server: ServerName, alias: RoomAlias) -> Json: ...


class RoomNames:
    def __init__(self, *, aliases: Aliases, elsewhere: AliasesElsewhere, is_local: IsLocal, clock: Clock) -> None:
        self._aliases = aliases
        self._elsewhere = elsewhere
        self._is_local = is_local
        self._found: Lru[RoomAlias, Resolved] = Lru("remote_aliases", KEPT, clock, KEEP_S)

    async def resolve(self, alias: RoomAlias) -> Resolved:
        """Raises: NotFound; 502 if the alias's server cannot be asked."""
        if self._is_local(alias.domain):
            return await self._aliases.resolve(alias)
        found = self._found.get(alias)
        if found is None:
            found = await self._ask(alias)
            self._found.set(alias, found)
        return found

    async def find(self, room_id_or_alias: str, via: Sequence[ServerName] = ()) -> Resolved:
        """The room of a room id or an alias, and which servers to ask for it. Raises: as `resolve`; BadIdentifier."""
        if not room_id_or_alias.startswith("#"):
            return Resolved(RoomId.parse(room_id_or_alias), via)
        found = await self.resolve(RoomAlias.parse(room_id_or_alias))
        return Resolved(found.room_id, [*via, *found.servers])

    async def look_up(self, content: Json, old: Json) -> None:
        """Asks beforehand for the aliases that `check_canonical` will want. What fails, fails there."""
        remote = [alias for alias in new_aliases(content, old) if not self._is_local(alias.domain)]
        if len(remote) > MAX_REMOTE_ALIASES:
            raise InvalidParam(f"More than {MAX_REMOTE_ALIASES} new aliases of other servers")
        for alias in remote:
            with suppress(MatrixError):
                await self.resolve(alias)

    async def check_canonical(self, room_id: RoomId, content: Json, old: Json) -> None:
        """What is new in a canonical alias event must lead to the room. Raises: BadRequest, M_BAD_ALIAS or other."""
        for alias in new_aliases(content, old):
            if await self._room_of(alias) != room_id:
                raise _bad_alias(alias)

    async def _room_of(self, alias: RoomAlias) -> RoomId | None:
        """Of an alias of ours as it is: no bridge is asked to make a room for an event in another."""
        if self._is_local(alias.domain):
            return await self._aliases.room_of(alias)
        try:
            return (await self.resolve(alias)).room_id
        except MatrixError as error:
            raise _bad_alias(alias) from error

    async def _ask(self, alias: RoomAlias) -> Resolved:
        try:
            answer = await self._elsewhere.directory(alias.domain, alias)
        except RemoteError as error:
            raise not_found_or(error, f"Room alias {alias} not found.") from error
        try:
            room_id = RoomId.parse(answer["room_id"])
        except BadIdentifier as error:
            raise unusable(f"{alias.domain} gave no room id") from error
        return Resolved(room_id, list(dict.fromkeys([*_servers(answer["servers"]), alias.domain]))[:MAX_SERVERS])


def _servers(names: Sequence[str]) -> list[ServerName]:
    found = []
    for name in names[:MAX_SERVERS]:
        try:
            found.append(ServerName.parse(name))
        except BadIdentifier:
            continue
    return found


def _bad_alias(alias: RoomAlias) -> BadRequest:
    return BadRequest(f"Room alias {alias} does not point to the room", "M_BAD_ALIAS")
