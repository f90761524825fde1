"""Downloads without an access token: of what was uploaded before the server asked for one.

Source: client-server API, "Content repository"; the deprecated endpoints.
"""

from homeserver.client_api.media import media_paths
from homeserver.client_api.media_replies import MediaReplies, asked
from homeserver.services.media.keys import MediaKey
from homeserver.services.media.repository import Repository
from homeserver.services.media.thumbnail_choice import read_box
from homeserver.services.media.thumbnails import Thumbnails
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route


class LegacyMediaApi:
    def __init__(self, *, repository: Repository, thumbnails: Thumbnails, replies: MediaReplies) -> None:
        self._repository = repository
        self._thumbnails = thumbnails
        self._replies = replies

    @route("GET", *media_paths("/download/{server_name}/{media_id}"), access=Access.PUBLIC)
    async def download(self, call: Call, server_name: str, media_id: str) -> Answer:
        return await self.download_as(call, server_name, media_id, "")

    @route("GET", *media_paths("/download/{server_name}/{media_id}/{file_name}"), access=Access.PUBLIC)
    async def download_as(self, call: Call, server_name: str, media_id: str, file_name: str) -> Answer:
        found = await self._repository.find(MediaKey.parse(server_name, media_id), asked(call, is_public=True))
        return await self._replies.file(call, found, file_name, is_public=True)

    @route("GET", *media_paths("/thumbnail/{server_name}/{media_id}"), access=Access.PUBLIC)
    async def get_thumbnail(self, call: Call, server_name: str, media_id: str) -> Answer:
        box = read_box(call.query)
        found = await self._repository.find(MediaKey.parse(server_name, media_id), asked(call, is_public=True))
        return await self._replies.thumbnail(call, await self._thumbnails.get(found, box), is_public=True)
