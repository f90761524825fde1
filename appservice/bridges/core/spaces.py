"""Teams and guilds, and the categories in them, as Matrix spaces."""

import logging

from appservice.bridges.core.context import Context
from appservice.bridges.core.ids import SpaceId
from appservice.bridges.core.incoming import Space
from appservice.bridges.core.matrix_client import MatrixRefused
from appservice.bridges.core.media import Media
from homeserver.runtime.linearizer import Linearizer
from storage import bridges as rows
from storage.bridges import SpaceRow

# A category in a guild in a team: no network goes deeper.
_MAX_DEPTH = 4

logger = logging.getLogger(__name__)


class Spaces:
    """`load` first."""

    def __init__(self, *, context: Context, media: Media) -> None:
        self._context = context
        self._media = media
        self._by_id: dict[str, SpaceRow] = {}
        self._making = Linearizer()

    async def load(self) -> None:
        for row in await self._context.store.read(rows.spaces):
            self._by_id[row.space_id] = row

    def all(self) -> list[SpaceRow]:
        return list(self._by_id.values())

    def find(self, space: str | None) -> SpaceRow | None:
        return None if space is None else self._by_id.get(space)

    def of_room(self, room_id: str) -> SpaceRow | None:
        return next((row for row in self._by_id.values() if row.room_id == room_id), None)

    async def ensure(self, space: SpaceId) -> SpaceRow | None:
        """The space, with those above it; None, if the network knows no such. Raises: NetworkError, HomeserverDown."""
        if space in self._by_id:
            return self._by_id[space]
        found = {each.id: each for each in await self._context.network.spaces()}
        return await self._ensure(space, found, _MAX_DEPTH)

    async def _ensure(self, space: SpaceId, found: dict[SpaceId, Space], depth: int) -> SpaceRow | None:
        if space in self._by_id or space not in found or depth == 0:
            return self._by_id.get(space)
        parent = found[space].parent
        above = None if parent is None else await self._ensure(parent, found, depth - 1)
        async with self._making.of(space):
            if space not in self._by_id:
                await self._make(found[space], above)
            return self._by_id[space]

    async def _make(self, space: Space, above: SpaceRow | None) -> None:
        matrix, bot = self._context.matrix, self._context.bot
        alias = f"space.{space.id}"
        body = {
            "preset": "private_chat" if not self._context.settings.portals.public else "public_chat",
            "visibility": "private",
            "creation_content": {"type": "m.space"},
            "room_alias_name": self._context.aliases.localpart(alias),
            "name": space.name,
            "topic": space.topic or f"{self._context.network.title}: {space.name}",
            "power_level_content_override": {"events_default": 50, "state_default": 50, "invite": 50},
        }
        try:
            room_id = await matrix.create_room(bot, body)
        except MatrixRefused as error:
            # Made by an attempt that was cut off.
            room_id = await matrix.resolve(bot, self._context.aliases.fill(alias)) or ""
            if error.errcode != "M_ROOM_IN_USE" or not room_id:
                raise
        if above is not None:
            await self._nest(above.room_id, room_id)
        row = SpaceRow(space_id=space.id, room_id=room_id, shown={"name": space.name, "topic": space.topic or ""})
        await self._put(row)
        await self.update(space)

    async def update(self, space: Space) -> None:
        """Shows the space as it is now, if there is a room for it."""
        row = self._by_id.get(space.id)
        if row is None:
            return
        matrix, bot, shown = self._context.matrix, self._context.bot, dict(row.shown)
        if space.name != shown.get("name"):
            await matrix.put_state(bot, row.room_id, "m.room.name", {"name": space.name})
            shown["name"] = space.name
        if space.topic is not None and space.topic != shown.get("topic"):
            await matrix.put_state(bot, row.room_id, "m.room.topic", {"topic": space.topic})
            shown["topic"] = space.topic
        if space.avatar is not None and space.avatar.id != shown.get("avatar"):
            mxc = await self._media.avatar(space.avatar)
            await matrix.put_state(bot, row.room_id, "m.room.avatar", {"url": mxc or ""})
            shown["avatar"] = space.avatar.id
        await self._put(SpaceRow(space_id=row.space_id, room_id=row.room_id, shown=shown))

    async def show(self, space: str, **shown: object) -> None:
        """Keeps what else the room shows."""
        row = self._by_id[space]
        await self._put(SpaceRow(space_id=space, room_id=row.room_id, shown={**row.shown, **shown}))

    async def add(self, space: SpaceId, room_id: str) -> None:
        """Puts a portal into its space."""
        row = await self.ensure(space)
        if row is not None:
            await self._nest(row.room_id, room_id)

    async def take_out(self, space: str, room_id: str) -> None:
        row = self._by_id.get(space)
        if row is not None:
            await self._context.matrix.put_state(self._context.bot, row.room_id, "m.space.child", {}, room_id)

    async def remove(self, space: str) -> None:
        """The team has gone: the room stays, and is no longer the bridge's."""
        await self._context.store.run(rows.delete_space, space)
        self._by_id.pop(space, None)

    async def _nest(self, above: str, room_id: str) -> None:
        matrix, bot, via = self._context.matrix, self._context.bot, [self._context.matrix.server_name]
        await matrix.put_state(bot, above, "m.space.child", {"via": via}, room_id)
        try:
            await matrix.put_state(bot, room_id, "m.space.parent", {"via": via, "canonical": True}, above)
        except MatrixRefused as error:
            # A room that somebody bridged, in which the bot may not do that.
            logger.info("%s does not name its space: %s", room_id, error)

    async def _put(self, row: SpaceRow) -> None:
        await self._context.store.run(rows.put_space, row)
        self._by_id[row.space_id] = row
