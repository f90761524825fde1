"""Thumbnails: made when they are first asked for, kept on disk, the small ones in memory too.

Source: client-server API, "Thumbnails".
"""

from attrs import frozen
from twisted.internet.defer import DeferredSemaphore

from homeserver.runtime.caches import Lru
from homeserver.runtime.clock import Clock
from homeserver.runtime.linearizer import Linearizer
from homeserver.runtime.memory import give_back
from homeserver.services.media import image_kinds
from homeserver.services.media.files import Files, InThread
from homeserver.services.media.repository import Found
from homeserver.services.media.settings import ThumbnailSettings
from homeserver.services.media.thumbnail_choice import Box, choose
from matrix.errors import BadRequest, MatrixError, NotFound, TooLarge
from storage import media_thumbnails as rows
from storage.database import Database
from storage.media import StoredFile
from storage.media_thumbnails import StoredThumbnail, ThumbnailKey

# Decoders use all of a core and, for the largest images, some 150 MB each.
MAX_AT_ONCE = 2
# In memory: at most 16 MB, mostly avatars of 4 kB.
MAX_CACHED, MAX_CACHED_BYTES = 512, 32_768
# Of one file; more are made and given, but not kept.
MAX_OF_FILE = 24
# A thumbnail that is given as a whole; a larger one is streamed.
MAX_WHOLE_BYTES = 1 << 20
# The file of a thumbnail that is the image itself.
ITSELF = ""


@frozen
class Thumbnail:
    """What to give: `data`, or if it is None the file of this name."""

    content_type: str
    tag: str
    length: int
    name: str
    data: bytes | None


class Thumbnails:
    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        files: Files,
        in_thread: InThread,
        settings: ThumbnailSettings,
    ) -> None:
        self._database = database
        self._clock = clock
        self._files = files
        self._in_thread = in_thread
        self._settings = settings
        self._cached: Lru[tuple[int, Box], Thumbnail] = Lru("thumbnails", MAX_CACHED)
        # Images that could not be read: to try again would cost as much again.
        self._failed: Lru[int, MatrixError] = Lru("failed_thumbnails", 2_000)
        self._making = Linearizer(max_waiting=100)
        self._slots = DeferredSemaphore(MAX_AT_ONCE)

    async def get(self, found: Found, wanted: Box) -> Thumbnail:
        """Raises: BadRequest if none can be made, TooLarge."""
        box = choose(wanted, self._settings.sizes, dynamic=self._settings.dynamic)
        thumbnail = self._cached.get((found.file.nid, box))
        if thumbnail is None:
            # Of many who ask at once, one makes it.
            async with self._making.of((found.file.nid, box)):
                thumbnail = self._cached.get((found.file.nid, box)) or await self._get(found.file, box)
            if thumbnail.data is not None and thumbnail.length <= MAX_CACHED_BYTES:
                self._cached.set((found.file.nid, box), thumbnail)
        return thumbnail

    async def _get(self, file: StoredFile, box: Box) -> Thumbnail:
        key = ThumbnailKey(box.width, box.height, box.method, box.animated)
        stored = await self._database.read(rows.find_thumbnail, file.nid, key)
        if stored is not None:
            thumbnail = await self._in_thread(self._read, file, box, stored)
            if thumbnail is not None:
                return thumbnail
            await self._database.run(rows.delete_thumbnail, file.nid, key)
        return await self._make(file, box, key)

    def _read(self, file: StoredFile, box: Box, stored: StoredThumbnail) -> Thumbnail | None:
        """None if its file is lost: thumbnails are not written with the care of uploads."""
        name = stored.name or file.name
        data = None
        try:
            if stored.length <= MAX_WHOLE_BYTES:
                data = self._files.read(name, stored.length)
        except FileNotFoundError:
            return None
        if data is not None and len(data) != stored.length:
            return None
        return Thumbnail(stored.content_type, _tag(file, box), stored.length, name, data)

    async def _make(self, file: StoredFile, box: Box, key: ThumbnailKey) -> Thumbnail:
        failed = self._failed.get(file.nid)
        if failed is not None:
            raise failed
        try:
            made = await self._render(file, box)
        except image_kinds.NotAnImage as error:
            raise self._fail(
                file, BadRequest("Cannot generate thumbnails for the requested content", "M_UNKNOWN")
            ) from error
        except image_kinds.ImageTooLarge as error:
            raise self._fail(file, TooLarge("Content is too large to thumbnail")) from error
        except FileNotFoundError as error:
            raise NotFound("The media is deleted") from error
        await self._keep(file, key, made)
        return made.thumbnail

    def _fail(self, file: StoredFile, error: MatrixError) -> MatrixError:
        self._failed.set(file.nid, error)
        return error

    async def _render(self, file: StoredFile, box: Box) -> "_Made":
        await self._slots.acquire()
        try:
            return await self._in_thread(self._render_and_tidy, file, box)
        finally:
            self._slots.release()

    def _render_and_tidy(self, file: StoredFile, box: Box) -> "_Made":
        try:
            return self._render_now(file, box)
        finally:
            give_back()

    def _render_now(self, file: StoredFile, box: Box) -> "_Made":
        # Here, not above: with its decoders, only where somebody wants a thumbnail.
        from homeserver.services.media import images

        if file.length > image_kinds.MAX_FILE_BYTES:
            raise image_kinds.ImageTooLarge
        data = self._files.read(file.name, file.length)
        rendered = images.render(data, box, self._settings.max_image_pixels)
        if rendered.data is None:
            whole = data if len(data) <= MAX_WHOLE_BYTES else None
            thumbnail = Thumbnail(rendered.content_type, _tag(file, box), len(data), file.name, whole)
            return _Made(thumbnail, ITSELF)
        written = self._files.begin().finish(rendered.data, durable=False)
        thumbnail = Thumbnail(rendered.content_type, _tag(file, box), written.length, written.name, rendered.data)
        return _Made(thumbnail, written.name)

    async def _keep(self, file: StoredFile, key: ThumbnailKey, made: "_Made") -> None:
        thumbnail = made.thumbnail
        is_kept = await self._database.run(
            rows.add_thumbnail,
            file.nid,
            key,
            StoredThumbnail(made.name, thumbnail.content_type, thumbnail.length),
            now_ms=self._clock.now_ms(),
            max_of_file=MAX_OF_FILE,
        )
        if made.name == ITSELF:
            return
        if is_kept:
            await self._in_thread(self._files.settle, made.name)
        else:
            await self._in_thread(self._files.remove, [made.name])


@frozen
class _Made:
    """`name` of the file to be kept, or ITSELF."""

    thumbnail: Thumbnail
    name: str


def _tag(file: StoredFile, box: Box) -> str:
    """An ETag's text: content never changes."""
    kind = f"{box.method}{'-animated' if box.animated else ''}"
    return f"{file.sha256[:16].hex()}-{box.width}x{box.height}-{kind}"
