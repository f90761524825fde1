"""Media: uploads, and downloads with an access token.

Source: client-server API, "Content repository".
"""

from homeserver.client_api.media_replies import MediaReplies, asked
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.media.keys import MediaKey
from homeserver.services.media.repository import Repository
from homeserver.services.media.thumbnail_choice import read_box
from homeserver.services.media.thumbnails import Thumbnails
from homeserver.services.media.uploads import Description, Uploads
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, Body, route
from matrix.errors import InvalidParam

_V1 = "/_matrix/client/v1/media"
# The service has the operator's limit; this is the largest that can be configured.
_MAX_BYTES = 1 << 40
_MAX_FILE_NAME_BYTES = 1024


def media_paths(path: str) -> tuple[str, ...]:
    """The paths of an endpoint outside of /client, with those of old clients."""
    return tuple(f"/_matrix/media/{version}{path}" for version in ("v3", "r0", "v1"))


class UploadApi:
    """`create_limit`: how often a user may announce uploads."""

    def __init__(self, *, uploads: Uploads, create_limit: RateLimit) -> None:
        self._uploads = uploads
        self._create_limit = create_limit

    @route("POST", *media_paths("/upload"), body=Body.STREAM, max_body_bytes=_MAX_BYTES)
    async def upload(self, call: Call) -> Answer:
        key = await self._uploads.upload(call.user.user_id, call.stream, _described(call))
        return {"content_uri": key.uri}

    @route("PUT", *media_paths("/upload/{server_name}/{media_id}"), body=Body.STREAM, max_body_bytes=_MAX_BYTES)
    async def upload_announced(self, call: Call, server_name: str, media_id: str) -> Answer:
        key = MediaKey.parse(server_name, media_id)
        await self._uploads.upload_announced(call.user.user_id, key, call.stream, _described(call))
        return {}

    @route("POST", "/_matrix/media/v1/create", "/_matrix/media/v3/create")
    async def create(self, call: Call) -> Answer:
        self._create_limit.take(call.user.limit_key)
        announced = await self._uploads.announce(call.user.user_id)
        return {"content_uri": announced.key.uri, "unused_expires_at": announced.expires_ms}


class MediaApi:
    def __init__(
        self, *, repository: Repository, thumbnails: Thumbnails, replies: MediaReplies, max_upload_bytes: int
    ) -> None:
        self._repository = repository
        self._thumbnails = thumbnails
        self._replies = replies
        self._max_upload_bytes = max_upload_bytes

    @route("GET", f"{_V1}/config", *media_paths("/config"))
    async def get_config(self, call: Call) -> Answer:
        return {"m.upload.size": self._max_upload_bytes}

    @route("GET", _V1 + "/download/{server_name}/{media_id}", access=Access.GUEST)
    async def download(self, call: Call, server_name: str, media_id: str) -> Answer:
        return await self.download_as(call, server_name, media_id, "")

    @route("GET", _V1 + "/download/{server_name}/{media_id}/{file_name}", access=Access.GUEST)
    async def download_as(self, call: Call, server_name: str, media_id: str, file_name: str) -> Answer:
        found = await self._repository.find(MediaKey.parse(server_name, media_id), asked(call, is_public=False))
        return await self._replies.file(call, found, file_name, is_public=False)

    @route("GET", _V1 + "/thumbnail/{server_name}/{media_id}", access=Access.GUEST)
    async def get_thumbnail(self, call: Call, server_name: str, media_id: str) -> Answer:
        box = read_box(call.query)
        found = await self._repository.find(MediaKey.parse(server_name, media_id), asked(call, is_public=False))
        return await self._replies.thumbnail(call, await self._thumbnails.get(found, box), is_public=False)


def _described(call: Call) -> Description:
    """What the request says of the file. Raises: InvalidParam."""
    length = call.headers.get("content-length")
    if length is not None and not (length.isascii() and length.isdigit()):
        raise InvalidParam("Content-Length is not a number")
    return Description(
        content_type=call.headers.get("content-type"),
        file_name=call.query.optional_text("filename", max_bytes=_MAX_FILE_NAME_BYTES),
        length=None if length is None else int(length),
    )
