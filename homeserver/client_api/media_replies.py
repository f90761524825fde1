"""Answers that are files: what stands in their headers, and what a client that has them already is told.

Source: client-server API, "Content repository" and "Security considerations".
"""

from typing import BinaryIO, cast

from homeserver.services.media.byte_ranges import Unsatisfiable, read_range
from homeserver.services.media.disposition import disposition, served_type
from homeserver.services.media.files import Files, InThread
from homeserver.services.media.repository import Asked, Found
from homeserver.services.media.thumbnails import Thumbnail
from homeserver.web.call import Call
from homeserver.web.file_part import FilePart
from homeserver.web.replies import Answer, Reply, StreamReply
from matrix.errors import NotFound

DEFAULT_WAIT_MS, MAX_WAIT_MS = 20_000, 60_000
_SAFE = {
    "Content-Security-Policy": (
        "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline';"
        " media-src 'self'; object-src 'self';"
    ),
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow, noarchive, noimageindex",
    "Referrer-Policy": "no-referrer",
}
# A day, as in Synapse: content never changes, but media may be quarantined. What needs a token is no proxy's to keep.
_PRIVATE = {**_SAFE, "Cache-Control": "private, max-age=86400, immutable"}
_PUBLIC = {**_SAFE, "Cache-Control": "public, max-age=86400, s-maxage=86400, immutable"}


def asked(call: Call, *, is_public: bool) -> Asked:
    """How the query asks for media. Raises: InvalidParam."""
    query = call.query
    return Asked(
        is_public=is_public,
        client_ip=call.client_ip,
        # The authenticated endpoints have no such parameter. Without it, servers could ask each other in a circle.
        allow_remote=query.boolean("allow_remote", True) if is_public else True,
        wait_ms=query.integer("timeout_ms", DEFAULT_WAIT_MS, minimum=0, clamp=MAX_WAIT_MS),
    )


class MediaReplies:
    """Files as answers."""

    def __init__(self, *, files: Files, in_thread: InThread) -> None:
        self._files = files
        self._in_thread = in_thread

    async def file(self, call: Call, found: Found, file_name: str | None, *, is_public: bool) -> Answer:
        """The media itself, under the given name or its own."""
        media, tag = found.media, f'"{found.file.sha256[:16].hex()}"'
        headers = {
            **_common(tag, is_public=is_public),
            "Content-Disposition": disposition(media.content_type, file_name or media.file_name),
        }
        if _has(call, tag):
            return Reply(304, headers=headers)
        length, content_type = found.file.length, served_type(media.content_type)
        asked_for, condition = call.headers.get("range"), call.headers.get("if-range")
        headers["Accept-Ranges"] = "bytes"
        try:
            wanted = read_range(asked_for, condition, tag, length) if call.method == "GET" else None
        except Unsatisfiable:
            return Reply(416, headers={**headers, "Content-Range": f"bytes */{length}"})
        if wanted is None:
            return StreamReply(await self._open(found.file.name), length, content_type, headers=headers)
        part = FilePart(await self._open(found.file.name), wanted.start, wanted.length)
        headers["Content-Range"] = wanted.content_range(length)
        return StreamReply(cast(BinaryIO, part), wanted.length, content_type, 206, headers=headers)

    async def thumbnail(self, call: Call, thumbnail: Thumbnail, *, is_public: bool) -> Answer:
        """Thumbnails are of types that may be shown inline, all of them."""
        tag = f'"{thumbnail.tag}"'
        extension = thumbnail.content_type.removeprefix("image/")
        headers = {
            **_common(tag, is_public=is_public),
            "Content-Disposition": f'inline; filename="thumbnail.{extension}"',
        }
        if _has(call, tag):
            return Reply(304, headers=headers)
        if thumbnail.data is not None:
            return Reply(200, thumbnail.data, thumbnail.content_type, headers=headers)
        file = await self._open(thumbnail.name)
        return StreamReply(file, thumbnail.length, thumbnail.content_type, headers=headers)

    async def _open(self, name: str) -> BinaryIO:
        try:
            return await self._in_thread(self._files.open, name)
        except FileNotFoundError as error:
            raise NotFound("The media is deleted") from error


def _common(tag: str, *, is_public: bool) -> dict[str, str]:
    return {**(_PUBLIC if is_public else _PRIVATE), "ETag": tag}


def _has(call: Call, tag: str) -> bool:
    """Source: RFC 9110, 13.1.2."""
    known = call.headers.get("if-none-match")
    return known is not None and (known.strip() == "*" or tag in known)
