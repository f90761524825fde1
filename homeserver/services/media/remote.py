"""Media of other servers: fetched from the server that the mxc:// URI names, streamed to the disk, kept as a copy.

Several who ask for the same file at one time share one fetch, which goes on though they leave. A file that could not
be had is not asked for again at once.

Source: server-server API, "Content Repository".
"""

import re
from collections.abc import Awaitable, Mapping
from typing import Protocol

from federation.outbound.client import FederationClient
from federation.outbound.errors import Refused, RemoteError
from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.runtime.shared import Shared
from homeserver.runtime.tasks import Tasks
from homeserver.services.media.disposition import file_name_of
from homeserver.services.media.keys import MediaKey
from homeserver.services.media.multipart import BadMultipart, Multipart, boundary_of
from homeserver.services.media.repository import NotYetUploaded
from homeserver.services.media.uploads import Chunks, Description, Uploads
from homeserver.services.remote_errors import for_client
from homeserver.web.agent import FetchFailed, Streamed
from homeserver.web.response_body import BodyBroken
from matrix.errors import MatrixError, NotFound, TooLarge

# The metadata before the file: today an empty object.
MAX_METADATA_BYTES = 65_536
# What is around the file in an answer.
MAX_FRAME_BYTES = 262_144
# From the first to the last byte: 50 MB over a slow line.
MAX_FETCH_S = 600.0
FAILED_S = 30.0
MAX_FAILED = 10_000
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)


class FetchLink(Protocol):
    """Asks a web server whose address another homeserver has named."""

    def __call__(self, url: str) -> Awaitable[Streamed]: ...


class RemoteMedia:
    """`repository.Remote` over federation."""

    def __init__(
        self,
        *,
        client: FederationClient,
        uploads: Uploads,
        fetch_link: FetchLink,
        clock: Clock,
        tasks: Tasks,
        max_bytes: int,
    ) -> None:
        self._client = client
        self._uploads = uploads
        self._fetch_link = fetch_link
        self._clock = clock
        self._max_bytes = max_bytes
        self._fetching: Shared[MediaKey, None] = Shared("media.fetch", tasks)
        self._failed: Lru[MediaKey, MatrixError] = Lru("failed_media", MAX_FAILED, clock, FAILED_S)

    async def fetch(self, key: MediaKey, timeout_ms: int) -> None:
        """Stores a copy of the media here. `timeout_ms`: how long it may take until it is uploaded there.

        Raises: NotFound, NotYetUploaded, MatrixError of status 502 or what the other server has for the client.
        """
        failed = self._failed.get(key)
        if failed is not None:
            raise failed
        await self._fetching.get(key, lambda: self._fetch(key, timeout_ms))

    async def _fetch(self, key: MediaKey, timeout_ms: int) -> None:
        try:
            await self._clock.timeout(self._ask(key, timeout_ms), MAX_FETCH_S)
        except NotYetUploaded:
            raise
        except TooLarge as error:
            raise self._remember(key, _too_large()) from error
        except RemoteError as error:
            raise self._remember(key, _translated(error)) from error
        except (BadMultipart, FetchFailed, BodyBroken, TimeoutError) as error:
            raise self._remember(key, MatrixError(502, "M_UNKNOWN", "The media could not be fetched")) from error

    def _remember(self, key: MediaKey, error: MatrixError) -> MatrixError:
        if not isinstance(error, NotYetUploaded):
            self._failed.set(key, error)
        return error

    async def _ask(self, key: MediaKey, timeout_ms: int) -> None:
        most = self._max_bytes + MAX_FRAME_BYTES
        try:
            stream = await self._client.download_media(key.origin, key.media_id, timeout_ms=timeout_ms, max_bytes=most)
        except Refused as refused:
            if not refused.is_unsupported:
                raise
            stream = await self._client.download_media_of_old(
                key.origin, key.media_id, timeout_ms=timeout_ms, max_bytes=most
            )
            try:
                return await self._keep(key, aiter(stream), stream.headers)
            finally:
                stream.close()
        try:
            link = await self._keep_part(key, Multipart(stream, boundary_of(stream.headers.get("content-type", ""))))
        finally:
            stream.close()
        if link is not None:
            await self._keep_linked(key, link)

    async def _keep_part(self, key: MediaKey, parts: Multipart) -> str | None:
        """Keeps the file that is in the answer, or gives the address at which it is. Raises: BadMultipart."""
        if await parts.next() is None:
            raise BadMultipart("there is no metadata")
        metadata_bytes = 0
        async for piece in parts.body():
            metadata_bytes += len(piece)
            if metadata_bytes > MAX_METADATA_BYTES:
                raise BadMultipart("the metadata is too long")
        headers = await parts.next()
        if headers is None:
            raise BadMultipart("there is no file")
        if "location" in headers:
            return headers["location"]
        await self._keep(key, parts.body(), {**headers, "content-length": ""})
        return None

    async def _keep_linked(self, key: MediaKey, url: str) -> None:
        linked = await self._fetch_link(url)
        try:
            if linked.status != 200:
                raise FetchFailed(f"status {linked.status} where the media should be")
            await self._keep(key, aiter(linked.body), linked.headers)
        finally:
            linked.body.close()

    async def _keep(self, key: MediaKey, chunks: Chunks, headers: Mapping[str, str]) -> None:
        length = headers.get("content-length", "")
        about = Description(
            content_type=headers.get("content-type"),
            file_name=file_name_of(headers.get("content-disposition")),
            length=int(length) if _LENGTH.fullmatch(length) else None,
        )
        await self._uploads.keep(key, chunks, about)


def _translated(error: RemoteError) -> MatrixError:
    """Source: client-server API, GET /_matrix/client/v1/media/download: 502 M_TOO_LARGE, 504 M_NOT_YET_UPLOADED."""
    if isinstance(error, Refused):
        if error.errcode == "M_NOT_YET_UPLOADED":
            return NotYetUploaded()
        if error.errcode == "M_TOO_LARGE":
            return _too_large()
        if error.status == 404:
            return NotFound("There is no such media")
    return for_client(error)


def _too_large() -> MatrixError:
    return MatrixError(502, "M_TOO_LARGE", "The media is too large")
