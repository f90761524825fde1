"""The two halves of an mxc:// URI.

Source: client-server API, "Matrix Content (mxc://) URIs" and "Security considerations" of the content repository.
"""

import re
import secrets

from attrs import frozen

from matrix.errors import NotFound
from matrix.ids import BadIdentifier, ServerName

_MEDIA_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
# As long as Synapse's.
_ID_BYTES = 18


@frozen(order=True)
class MediaKey:
    """Which media: the server that it comes from, and its id there."""

    origin: ServerName
    media_id: str

    @classmethod
    def parse(cls, origin: str, media_id: str) -> "MediaKey":
        """Raises: NotFound for what can be no media's, as in Synapse."""
        if not _MEDIA_ID.fullmatch(media_id):
            raise NotFound("There is no media with such an id")
        try:
            return cls(ServerName.parse(origin), media_id)
        except BadIdentifier as error:
            raise NotFound("There is no media of such a server") from error

    @classmethod
    def new(cls, origin: ServerName) -> "MediaKey":
        return cls(origin, secrets.token_urlsafe(_ID_BYTES))

    @property
    def uri(self) -> str:
        return f"mxc://{self.origin}/{self.media_id}"
