"""Media of ours for other servers: a part with metadata, and a part that is the file.

Source: server-server API, "Content Repository".
"""

import secrets
from typing import BinaryIO, cast

from homeserver.services.media.disposition import disposition
from homeserver.services.media.files import Files, InThread
from homeserver.services.media.keys import MediaKey
from homeserver.services.media.repository import Asked, Found, Repository
from homeserver.services.media.thumbnail_choice import read_box
from homeserver.services.media.thumbnails import Thumbnails
from homeserver.web.call import Call
from homeserver.web.file_part import FilePart
from homeserver.web.replies import Answer, Reply, StreamReply
from homeserver.web.router import Access, route
from matrix.errors import NotFound
from matrix.ids import ServerName

_V1 = "/_matrix/federation/v1/media"
DEFAULT_WAIT_MS, MAX_WAIT_MS = 20_000, 60_000
# What a signature gave access to is no proxy's to keep.
_HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}


class FederationMediaApi:
    def __init__(
        self,
        *,
        repository: Repository,
        thumbnails: Thumbnails,
        files: Files,
        in_thread: InThread,
        server_name: ServerName,
    ) -> None:
        self._repository = repository
        self._thumbnails = thumbnails
        self._files = files
        self._in_thread = in_thread
        self._server_name = server_name

    @route("GET", _V1 + "/download/{media_id}", access=Access.SERVER)
    async def download(self, call: Call, media_id: str) -> Answer:
        found = await self._find(call, media_id)
        before, after = _frame(found.media.content_type, disposition(found.media.content_type, found.media.file_name))
        return await self._stream(found.file.name, found.file.length, before, after)

    @route("GET", _V1 + "/thumbnail/{media_id}", access=Access.SERVER)
    async def get_thumbnail(self, call: Call, media_id: str) -> Answer:
        box = read_box(call.query)
        thumbnail = await self._thumbnails.get(await self._find(call, media_id), box)
        extension = thumbnail.content_type.removeprefix("image/")
        before, after = _frame(thumbnail.content_type, f'inline; filename="thumbnail.{extension}"')
        if thumbnail.data is not None:
            return Reply(200, before + thumbnail.data + after, _type_of(after), headers=_HEADERS)
        return await self._stream(thumbnail.name, thumbnail.length, before, after)

    async def _find(self, call: Call, media_id: str) -> Found:
        """Raises: NotFound, NotYetUploaded."""
        wait_ms = call.query.integer("timeout_ms", DEFAULT_WAIT_MS, minimum=0, clamp=MAX_WAIT_MS)
        key = MediaKey.parse(self._server_name, media_id)
        return await self._repository.find(key, Asked(allow_remote=False, wait_ms=wait_ms))

    async def _stream(self, name: str, length: int, before: bytes, after: bytes) -> Answer:
        try:
            file = await self._in_thread(self._files.open, name)
        except FileNotFoundError as error:
            raise NotFound("The media is deleted") from error
        part = FilePart(file, 0, length, before=before, after=after)
        return StreamReply(cast(BinaryIO, part), part.length, _type_of(after), headers=_HEADERS)


def _frame(content_type: str, content_disposition: str) -> tuple[bytes, bytes]:
    """What stands before and after the file. The boundary is drawn anew each time: no file can hold it."""
    boundary = secrets.token_hex(16)
    before = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n"
        f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Disposition: {content_disposition}\r\n\r\n"
    )
    return before.encode(), f"\r\n--{boundary}--\r\n".encode()


def _type_of(after: bytes) -> str:
    return f"multipart/mixed; boundary={after.decode().strip().strip('-')}"
