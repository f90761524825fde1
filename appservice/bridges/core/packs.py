"""Custom emoji and stickers of the network as image packs in the room of their space.

Under the stable name and the one that clients know. Source: client-server API, "Image packs"; MSC2545.
"""

import logging
import re
from collections.abc import Sequence
from typing import Any

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import Unsupported
from appservice.bridges.core.ids import SpaceId
from appservice.bridges.core.incoming import RemoteEmoji
from appservice.bridges.core.matrix_client import MatrixRefused
from appservice.bridges.core.names import txn_id
from appservice.bridges.core.references import References
from appservice.bridges.core.spaces import Spaces

JsonDict = dict[str, Any]
TYPES = ("im.ponies.room_emotes", "m.room.image_pack")
# An event is at most 64 kB: some 150 bytes an image, and a margin.
_A_PACK = 250
_MAX_PACKS = 20
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")

logger = logging.getLogger(__name__)


class Packs:
    """Raises: NetworkError, HomeserverDown."""

    def __init__(self, *, context: Context, spaces: Spaces, references: References) -> None:
        self._context, self._spaces, self._references = context, spaces, references

    async def publish(self, space: SpaceId) -> int:
        """Shows the emoji and stickers of the space as they are now; how many there are."""
        row = await self._spaces.ensure(space)
        if row is None:
            return 0
        count = 0
        for usage, ask in (("emoticon", self._context.network.emoji), ("sticker", self._context.network.stickers)):
            try:
                found = [each for each in await ask(space) if each.image is not None]
            except Unsupported:
                continue
            count += len(found)
            await self._publish(row.space_id, row.room_id, str(row.shown.get("name", space)), usage, found)
        return count

    async def _publish(self, space: str, room_id: str, name: str, usage: str, emoji: Sequence[RemoteEmoji]) -> None:
        packs = [emoji[at : at + _A_PACK] for at in range(0, len(emoji), _A_PACK)][:_MAX_PACKS]
        row = self._spaces.find(space)
        before = 0 if row is None else int(row.shown.get(f"packs_{usage}", 0))
        title = f"{name} ({self._context.network.title})"
        for number in range(max(len(packs), before)):
            content: JsonDict = {}
            if number < len(packs):
                images = await self._images(packs[number])
                content = {"pack": {"display_name": title, "usage": [usage]}, "images": images}
            await self._put(room_id, f"{self._context.network.name}.{usage}.{number}", content, space)
        await self._spaces.show(space, **{f"packs_{usage}": len(packs)})

    async def _images(self, emoji: Sequence[RemoteEmoji]) -> JsonDict:
        images: JsonDict = {}
        for each in emoji:
            mxc = await self._references.emoji_image(each)
            name = _NOT_IN_NAMES.sub("_", each.name or each.id)[:100]
            if mxc is not None and name:
                images[name if name not in images else f"{name[:90]}_{len(images)}"] = {"url": mxc, "body": each.name}
        return images

    async def _put(self, room_id: str, key: str, content: JsonDict, space: str) -> None:
        row = self._spaces.find(space)
        digest = txn_id(sorted(content.get("images", {}).items(), key=str), content.get("pack"))
        if row is not None and row.shown.get(f"pack {key}") == digest:
            return
        for event_type in TYPES:
            try:
                await self._context.matrix.put_state(self._context.bot, room_id, event_type, content, key)
            except MatrixRefused as error:
                logger.warning("The image pack %s is not shown: %s", key, error)
                return
        await self._spaces.show(space, **{f"pack {key}": digest})
