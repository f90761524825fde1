"""Files from one side to the other: streamed through a spool, never whole in memory if they are large."""

import io
import logging
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from attrs import frozen
from PIL import Image

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import FileTooLarge, Refused
from appservice.bridges.core.incoming import RemoteFile
from appservice.bridges.core.matrix_client import Actor, MatrixRefused
from appservice.bridges.core.outgoing import OutgoingFile
from appservice.bridges.core.spools import SpooledFile, Spools
from homeserver.runtime.shared import Shared
from storage import bridges_messages as rows

JsonDict = dict[str, Any]
_UNKNOWN = "application/octet-stream"
_MSGTYPES = {"image": "m.image", "video": "m.video", "audio": "m.audio"}
# Faces and emoji: larger ones nobody has.
SMALL_BYTES = 10 << 20

logger = logging.getLogger(__name__)


@frozen
class Copied:
    """A file in Matrix. `info` is its ImageInfo, FileInfo or the like."""

    mxc: str
    info: JsonDict
    name: str

    @property
    def msgtype(self) -> str:
        return _MSGTYPES.get(str(self.info.get("mimetype", "")).partition("/")[0], "m.file")


class Media:
    """Copies files both ways."""

    def __init__(self, *, context: Context, spools: Spools) -> None:
        self._context = context
        self._spools = spools
        self._sharing: Shared[str, Copied] = Shared("bridge.copy", context.tasks)
        self._bytes = context.metrics.counter("bridge_file_bytes", "Bytes of files copied", ["to"])

    async def copy(self, file: RemoteFile, actor: Actor, max_bytes: int | None = None) -> Copied:
        """A file of the network as one of Matrix. Raises: NetworkError, MatrixRefused, HomeserverDown."""
        limit = self._spools.max_bytes if max_bytes is None else max_bytes
        if file.size_bytes is not None and file.size_bytes > limit:
            raise FileTooLarge(limit)
        with self._spools.spool(max_bytes) as spool:
            fetched = await self._context.network.fetch(file, spool)
            name = file.name or fetched.name or "file"
            mimetype = file.mimetype or fetched.mimetype or mimetypes.guess_type(name)[0] or _UNKNOWN
            info = _info(file, mimetype, spool)
            try:
                mxc = await self._context.matrix.upload(actor, spool.opened(), mimetype, name)
            except MatrixRefused as error:
                if error.status == 413:
                    raise FileTooLarge(spool.size_bytes) from error
                raise
            self._bytes.labels("matrix").inc(spool.size_bytes)
        return Copied(mxc, info, name)

    async def copy_once(self, file: RemoteFile) -> Copied:
        """An avatar, emoji or sticker: each id is copied once, by the bot. Raises: as copy."""
        return await self._sharing.get(file.id, lambda: self._copy_once(file))

    async def _copy_once(self, file: RemoteFile) -> Copied:
        known = await self._context.store.read(rows.find_copy, file.id)
        if known is not None:
            return Copied(known[0], known[1], file.name)
        copied = await self.copy(file, self._context.bot, SMALL_BYTES)
        await self._context.store.run(rows.put_copy, file.id, copied.mxc, copied.info)
        return copied

    async def avatar(self, file: RemoteFile | None) -> str | None:
        """The mxc of a face; None where there is none to be had: nothing waits for a face."""
        if file is None:
            return None
        try:
            return (await self.copy_once(file)).mxc
        except (Refused, MatrixRefused) as error:
            logger.info("No avatar from %s: %s", file.id, error)
            return None

    @asynccontextmanager
    async def outgoing(self, content: JsonDict, max_bytes: int) -> AsyncIterator[OutgoingFile]:
        """The file of an event, on the disk. Raises: Refused, HomeserverDown."""
        mxc = content.get("url")
        if not isinstance(mxc, str):
            raise Refused("the file is encrypted, or there is none")
        info = content["info"] if isinstance(content.get("info"), dict) else {}
        size = info.get("size")
        if isinstance(size, int) and size > max_bytes:
            raise FileTooLarge(max_bytes)
        with self._spools.spool(max_bytes) as spool:
            try:
                mimetype, _ = await self._context.matrix.download(self._context.bot, mxc, spool)
            except MatrixRefused as error:
                raise Refused(f"the file cannot be had: {error.message}") from error
            self._bytes.labels("network").inc(spool.size_bytes)
            yield _outgoing(content, info, mimetype, spool)


def _outgoing(content: JsonDict, info: JsonDict, mimetype: str, spool: SpooledFile) -> OutgoingFile:
    told = info.get("mimetype")
    mimetype = told if isinstance(told, str) and "/" in told else mimetype
    name = content.get("filename") or content.get("body")
    if not isinstance(name, str) or not name:
        name = "file"
    name = name.replace("/", "_").replace("\0", "")[:200]
    if "." not in name:
        name += mimetypes.guess_extension(mimetype) or ""
    return OutgoingFile(
        path=spool.path(),
        name=name,
        mimetype=mimetype,
        size_bytes=spool.size_bytes,
        width=_number(info.get("w")),
        height=_number(info.get("h")),
        duration_ms=_number(info.get("duration")),
        is_voice="org.matrix.msc3245.voice" in content,
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _info(file: RemoteFile, mimetype: str, spool: SpooledFile) -> JsonDict:
    info: JsonDict = {"mimetype": mimetype, "size": spool.size_bytes}
    width, height = file.width, file.height
    if width is None and mimetype.startswith("image/"):
        width, height = _size(spool)
    for key, value in (("w", width), ("h", height), ("duration", file.duration_ms)):
        if value is not None:
            info[key] = value
    return info


def _size(spool: SpooledFile) -> tuple[int, int] | tuple[None, None]:
    """Of an image, from its header."""
    try:
        with Image.open(io.BytesIO(spool.head(1 << 16))) as image:
            return image.size
    except Exception:  # noqa: BLE001  Pillow has no common error, and a picture without a size is a picture
        return None, None
