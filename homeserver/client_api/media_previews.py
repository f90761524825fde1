"""Previews of links, where the operator has switched them on.

Source: client-server API, GET /media/preview_url.
"""

from homeserver.client_api.media import media_paths
from homeserver.services.media.previews import Previews
from homeserver.web.call import Call
from homeserver.web.replies import Answer, RawJson
from homeserver.web.router import route

_MAX_URL_BYTES = 8192


class PreviewApi:
    def __init__(self, *, previews: Previews) -> None:
        self._previews = previews

    @route("GET", "/_matrix/client/v1/media/preview_url", *media_paths("/preview_url"))
    async def get_preview(self, call: Call) -> Answer:
        url = call.query.text("url", max_bytes=_MAX_URL_BYTES)
        # At which time the page is to be shown is not ours to know: we have its newest version.
        call.query.optional_integer("ts")
        return RawJson([await self._previews.get(call.user.user_id, url)])
