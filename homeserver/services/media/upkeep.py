"""What goes by itself: uploads that were not made, thumbnails that nobody asks for, media beyond its time."""

from collections.abc import Awaitable, Callable, Sequence

from homeserver.runtime.clock import Clock
from homeserver.services.media.files import Files, InThread
from homeserver.services.media.keys import MediaKey
from homeserver.services.media.moderation import MediaModeration
from homeserver.services.media.settings import DAY_MS, RetentionSettings
from matrix.ids import ServerName
from storage import media_trimming as rows
from storage import url_previews
from storage.database import Database

BATCH = 500
# A thumbnail is made again when it is asked for.
THUMBNAILS_KEPT_MS = 90 * DAY_MS
# Clients show a preview for some time after they got it.
PREVIEW_IMAGES_KEPT_MS = 3 * DAY_MS
# An upload takes no longer between two writes.
UNSETTLED_MS = DAY_MS
# A batch that was full is followed by another at once, but others must have their turn.
MAX_BATCHES = 200

Job = Callable[[], Awaitable[int]]


class MediaUpkeep:
    """Each function does one batch and gives how many it dealt with: less than BATCH, and there is no more to do."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        files: Files,
        in_thread: InThread,
        moderation: MediaModeration,
        server_name: ServerName,
        settings: RetentionSettings,
    ) -> None:
        self._database = database
        self._clock = clock
        self._files = files
        self._in_thread = in_thread
        self._moderation = moderation
        self._server_name = server_name
        self._settings = settings

    def jobs(self) -> dict[str, Job]:
        """What comes round, by name. Two processes that do it at once do no harm."""
        return {
            "media.trim_announced": self.trim_announced,
            "media.trim_thumbnails": self.trim_thumbnails,
            "media.trim_previews": self.trim_previews,
            "media.trim_preview_images": self.trim_preview_images,
            "media.trim_local": self.trim_local,
            "media.trim_remote": self.trim_remote,
            "media.sweep": self.sweep,
        }

    async def trim_announced(self) -> int:
        return await self._database.run(rows.delete_expired, self._clock.now_ms(), BATCH)

    async def trim_thumbnails(self) -> int:
        before_ms = self._clock.now_ms() - THUMBNAILS_KEPT_MS
        names = await self._database.run(rows.delete_unused_thumbnails, before_ms, BATCH)
        await self._in_thread(self._files.remove, [name for name in names if name])
        return len(names)

    async def trim_previews(self) -> int:
        return await self._database.run(url_previews.delete_expired, self._clock.now_ms(), BATCH)

    async def trim_preview_images(self) -> int:
        images = await self._database.read(rows.preview_images, self._clock.now_ms() - PREVIEW_IMAGES_KEPT_MS, BATCH)
        await self._delete(images)
        return len(images)

    async def trim_local(self) -> int:
        return await self._trim(self._settings.local_ms, local=True)

    async def trim_remote(self) -> int:
        return await self._trim(self._settings.remote_ms, local=False)

    async def _trim(self, kept_ms: int | None, *, local: bool) -> int:
        if kept_ms is None:
            return 0
        unused = await self._database.read(
            rows.unused_media,
            self._server_name,
            local=local,
            before_ms=self._clock.now_ms() - kept_ms,
            limit=BATCH,
        )
        await self._delete(unused)
        return len(unused)

    async def _delete(self, media: Sequence[tuple[str, str]]) -> None:
        if media:
            await self._moderation.delete([MediaKey(ServerName(origin), media_id) for origin, media_id in media])

    async def sweep(self) -> int:
        """Decides on files whose writers died: those that a row names stay."""
        before_s = (self._clock.now_ms() - UNSETTLED_MS) / 1000
        names = await self._in_thread(self._files.unsettled, before_s, BATCH)
        known = await self._database.read(rows.known_files, names) if names else set()
        for name in known:
            await self._in_thread(self._files.settle, name)
        await self._in_thread(self._files.remove, [name for name in names if name not in known])
        return len(names)


async def until_done(job: Job) -> None:
    """Batch after batch."""
    for _ in range(MAX_BATCHES):
        if await job() < BATCH:
            return
