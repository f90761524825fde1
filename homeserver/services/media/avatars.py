"""Which media may be avatars: not too large, and of a type that the operator wants.

Source: Synapse, `max_avatar_size` and `allowed_avatar_mimetypes`.
"""

from collections.abc import Collection

from homeserver.services.media.keys import MediaKey
from matrix.errors import Forbidden, NotFound
from storage import media as rows
from storage.database import Database


class AvatarRules:
    """`max_bytes` and `types`: None for any."""

    def __init__(self, *, database: Database, max_bytes: int | None, types: Collection[str] | None) -> None:
        self._database = database
        self._max_bytes = max_bytes
        self._types = types

    async def check(self, url: str) -> None:
        """An mxc:// URL. Media that is not here, of which nobody can say what it is, will not do.

        Raises: Forbidden.
        """
        if self._max_bytes is None and self._types is None:
            return
        origin, _, media_id = url.removeprefix("mxc://").partition("/")
        try:
            key = MediaKey.parse(origin, media_id)
        except NotFound as error:
            raise _forbidden() from error
        media = await self._database.read(rows.find_media, key.origin, key.media_id)
        if media is None or media.file is None:
            raise _forbidden()
        content_type = media.content_type.partition(";")[0].strip().lower()
        too_large = self._max_bytes is not None and media.file.length > self._max_bytes
        if too_large or (self._types is not None and content_type not in self._types):
            raise _forbidden()


def _forbidden() -> Forbidden:
    return Forbidden("This avatar is not allowed")
