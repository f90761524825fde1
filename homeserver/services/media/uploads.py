"""Uploads: streamed to disk, durable before they are acknowledged, within each user's quotas.

Source: client-server API, "Content repository"; asynchronous uploads are those of /create.
"""

from collections.abc import AsyncIterator, Sequence

from attrs import frozen

from homeserver.runtime.clock import Clock
from homeserver.services.media.disposition import media_type
from homeserver.services.media.files import Files, InThread
from homeserver.services.media.keys import MediaKey
from homeserver.services.media.repository import Announcer
from homeserver.services.media.settings import MediaSettings
from matrix.errors import Forbidden, LimitExceeded, MatrixError, NotFound, TooLarge
from matrix.ids import ServerName, UserId
from storage import media as rows
from storage.database import Database, Query
from storage.media import NewFile, NewMedia, OverQuota, Quota, Unexpected

# So much goes to a thread at once: the hop costs a tenth of a millisecond, the work on it half of one.
GATHERED_BYTES = 1 << 19

Chunks = AsyncIterator[bytes]
Put = Query[[NewMedia, NewFile, Sequence[Quota]], str]


@frozen(kw_only=True)
class Description:
    """What an uploader, or another server, says of a file. `length`: if it is known beforehand."""

    content_type: str | None = None
    file_name: str | None = None
    length: int | None = None


@frozen
class Announced:
    key: MediaKey
    expires_ms: int


class Gathered:
    """A buffer that is filled and emptied again and again.

    To gather the chunks themselves would cost more than to copy them: allocating a megabyte anew, the kernel first
    clears its pages, which takes as long as writing them to the disk.
    """

    def __init__(self, size: int) -> None:
        self._buffer = memoryview(bytearray(max(1, size)))
        self._filled = 0

    def take(self, chunk: memoryview | bytes) -> memoryview | None:
        """Takes up the chunk; gives what did not fit."""
        fitting = min(len(chunk), len(self._buffer) - self._filled)
        self._buffer[self._filled : self._filled + fitting] = chunk[:fitting]
        self._filled += fitting
        return memoryview(chunk)[fitting:] if fitting < len(chunk) else None

    def hand_over(self) -> memoryview:
        """All that was taken up: to be read before the next chunk is."""
        filled, self._filled = self._filled, 0
        return self._buffer[:filled]


class Uploads:
    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        files: Files,
        in_thread: InThread,
        announcer: Announcer,
        settings: MediaSettings,
        server_name: ServerName,
    ) -> None:
        self._database = database
        self._clock = clock
        self._files = files
        self._in_thread = in_thread
        self._announcer = announcer
        self._settings = settings
        self._server_name = server_name

    async def upload(
        self, user_id: UserId, chunks: Chunks, about: Description, *, of_preview: bool = False
    ) -> MediaKey:
        """New media of a user. Raises: TooLarge, Forbidden."""
        await self._check_quota(user_id, about)
        file = await self.receive(chunks, about.length, self._settings.max_upload_bytes)
        key = MediaKey.new(self._server_name)
        media = self._new(key, None if of_preview else user_id, about, of_preview=of_preview)
        await self._store(rows.add_media, media, file)
        return key

    async def announce(self, user_id: UserId) -> Announced:
        """Media that is to be uploaded later. Raises: LimitExceeded."""
        key, now_ms = MediaKey.new(self._server_name), self._clock.now_ms()
        expires_ms = now_ms + self._settings.announced_for_ms
        media = self._new(key, user_id, Description())
        free_ms = await self._database.run(rows.announce_media, media, expires_ms, self._settings.max_announced)
        if free_ms is not None:
            raise LimitExceeded(max(1, free_ms - now_ms), "Too many uploads are announced and not yet made")
        return Announced(key, expires_ms)

    async def upload_announced(self, user_id: UserId, key: MediaKey, chunks: Chunks, about: Description) -> None:
        """Raises: NotFound, Forbidden, TooLarge, and MatrixError of status 409 if it is uploaded already."""
        await self._check_announced(user_id, key)
        await self._check_quota(user_id, about)
        file = await self.receive(chunks, about.length, self._settings.max_upload_bytes)
        # It may have been filled, or expired, while we received.
        await self._store(rows.fill_media, self._new(key, user_id, about), file)
        await self._announcer.uploaded(key)

    async def keep(self, key: MediaKey, chunks: Chunks, about: Description) -> None:
        """A copy of another server's media. Raises: TooLarge, or what the chunks raise."""
        file = await self.receive(chunks, about.length, self._settings.max_upload_bytes)
        await self._store(rows.add_copy, self._new(key, None, about), file)

    async def receive(self, chunks: Chunks, length: int | None, max_bytes: int) -> NewFile:
        """The bytes as a file on the disk, durable, which belongs to nothing yet. Raises: TooLarge, or what the
        chunks raise."""
        if length is not None and length > max_bytes:
            raise _too_large(max_bytes)
        incoming = self._files.begin()
        received, gathered = 0, Gathered(min(max_bytes if length is None else length, GATHERED_BYTES))
        try:
            async for chunk in chunks:
                received += len(chunk)
                if received > max_bytes:
                    raise _too_large(max_bytes)
                rest = gathered.take(chunk)
                while rest is not None:
                    await self._in_thread(incoming.write, gathered.hand_over())
                    rest = gathered.take(rest)
            return await self._in_thread(incoming.finish, gathered.hand_over())
        except BaseException:
            await self._in_thread(incoming.discard)
            raise

    async def _store(self, put: Put, media: NewMedia, file: NewFile) -> None:
        """Brings the file into the database. If that fails the sweep finds out whether it is to stay."""
        try:
            name = await self._database.run(put, media, file, self._quotas())
        except (Unexpected, OverQuota) as error:
            await self._in_thread(self._files.remove, [file.name])
            raise _already_uploaded() if isinstance(error, Unexpected) else _over_quota() from error
        if name == file.name:
            await self._in_thread(self._files.settle, name)
        else:
            await self._in_thread(self._files.remove, [file.name])

    def _quotas(self) -> list[Quota]:
        now_ms = self._clock.now_ms()
        return [Quota(now_ms - quota.period_ms, quota.max_bytes) for quota in self._settings.quotas]

    async def _check_quota(self, user_id: UserId, about: Description) -> None:
        """Before anything is read; it is counted again when it has arrived."""
        if not self._settings.quotas:
            return
        try:
            await self._database.run(rows.check_quotas, user_id, about.length or 0, self._quotas())
        except OverQuota as error:
            raise _over_quota() from error

    async def _check_announced(self, user_id: UserId, key: MediaKey) -> None:
        media = None
        if key.origin == self._server_name:
            media = await self._database.read(rows.find_media, key.origin, key.media_id)
        if media is None:
            raise NotFound("There is no such media")
        if media.uploader != user_id:
            raise Forbidden("Only who announced the media may upload it")
        if media.file is not None:
            raise _already_uploaded()
        if media.expires_ms is None or media.expires_ms <= self._clock.now_ms():
            raise NotFound("The media was not uploaded in time")

    def _new(self, key: MediaKey, uploader: UserId | None, about: Description, *, of_preview: bool = False) -> NewMedia:
        return NewMedia(
            origin=key.origin,
            media_id=key.media_id,
            uploader=uploader,
            content_type=media_type(about.content_type),
            file_name=about.file_name or None,
            now_ms=self._clock.now_ms(),
            authenticated=self._settings.authenticated,
            of_preview=of_preview,
        )


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"Files may have at most {max_bytes} bytes")


def _already_uploaded() -> MatrixError:
    return MatrixError(409, "M_CANNOT_OVERWRITE_MEDIA", "Media ID already has content")


def _over_quota() -> Forbidden:
    return Forbidden("You have uploaded as much as you may for some time")
