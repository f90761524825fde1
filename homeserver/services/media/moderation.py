"""What administrators do with media. What equals quarantined media is quarantined, also if it is uploaded later."""

from collections.abc import Sequence

from homeserver.runtime.clock import Clock
from homeserver.services.media.files import Files, InThread
from homeserver.services.media.keys import MediaKey
from homeserver.services.media.repository import Announcer
from matrix.errors import NotFound
from matrix.ids import UserId
from storage import media as rows
from storage import media_trimming
from storage.database import Database
from storage.media import Media


class MediaModeration:
    def __init__(
        self, *, database: Database, clock: Clock, files: Files, in_thread: InThread, announcer: Announcer
    ) -> None:
        self._database = database
        self._clock = clock
        self._files = files
        self._in_thread = in_thread
        self._announcer = announcer

    async def quarantine(self, key: MediaKey, by: UserId) -> int:
        """How many media, with those equal to it, are now in quarantine. Protected media is not."""
        count = await self._database.run(rows.quarantine, key.origin, key.media_id, by, self._clock.now_ms())
        await self._announcer.changed()
        return count

    async def quarantine_of_user(self, user_id: UserId, by: UserId) -> int:
        """How many media of the user are now in quarantine."""
        count = await self._database.run(rows.quarantine_of_user, user_id, by, self._clock.now_ms())
        await self._announcer.changed()
        return count

    async def release(self, key: MediaKey) -> None:
        await self._database.run(rows.unquarantine, key.origin, key.media_id)
        await self._announcer.changed()

    async def protect(self, key: MediaKey, protected: bool) -> None:
        """Protected media (a sticker, say) is never quarantined. Raises: NotFound."""
        if not await self._database.run(rows.set_protected, key.origin, key.media_id, protected):
            raise NotFound("There is no such media")
        await self._announcer.changed()

    async def get(self, key: MediaKey) -> Media:
        """Raises: NotFound."""
        media = await self._database.read(rows.find_media, key.origin, key.media_id)
        if media is None:
            raise NotFound("There is no such media")
        return media

    async def of_user(self, user_id: UserId, limit: int) -> Sequence[Media]:
        """The newest first."""
        return await self._database.read(rows.media_of_user, user_id, limit)

    async def delete(self, keys: Sequence[MediaKey]) -> None:
        """Deletes media, and the files that no other media has."""
        names = await self._database.run(media_trimming.delete_media, [(key.origin, key.media_id) for key in keys])
        # Caches first: nobody shall be sent to a file that is gone.
        await self._announcer.changed()
        await self._in_thread(self._files.remove, names)
