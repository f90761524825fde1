"""Room aliases.

Source: client-server API, "Room aliases".
"""

from homeserver.services.rooms.aliases import Aliases
from homeserver.services.rooms.canonical_alias import CanonicalAlias
from homeserver.services.rooms.room_names import RoomNames
from homeserver.services.rooms.room_state import RoomState
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from matrix.ids import RoomAlias, RoomId

_ALIAS = client("/directory/room/{alias}")


class AliasesApi:
    def __init__(self, *, aliases: Aliases, names: RoomNames, canonical: CanonicalAlias, room_state: RoomState) -> None:
        self._aliases = aliases
        self._names = names
        self._canonical = canonical
        self._room_state = room_state

    @route("GET", *_ALIAS, access=Access.PUBLIC)
    async def get_alias(self, call: Call, alias: RoomAlias) -> Answer:
        resolved = await self._names.resolve(alias)
        return {"room_id": resolved.room_id, "servers": list(resolved.servers)}

    @route("PUT", *_ALIAS)
    async def put_alias(self, call: Call, alias: RoomAlias) -> Answer:
        await self._aliases.make(call.user, alias, call.json().parsed("room_id", RoomId))
        return {}

    @route("DELETE", *_ALIAS)
    async def delete_alias(self, call: Call, alias: RoomAlias) -> Answer:
        room_id = await self._aliases.delete(call.user, alias)
        await self._canonical.forget(call.user, room_id, alias)
        return {}

    @route("GET", *client("/rooms/{room_id}/aliases", unstable="org.matrix.msc2432"))
    async def get_room_aliases(self, call: Call, room_id: RoomId) -> Answer:
        head = await self._room_state.check_may_look_in(call.user.user_id, room_id)
        return {"aliases": await self._aliases.of_room(head.room_nid)}
