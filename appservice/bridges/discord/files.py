"""Files of Discord, from its own hosts only. Addresses of attachments expire: then Discord is asked for new ones."""

import re
from typing import Any

from appservice.bridges.core.errors import NotThere
from appservice.bridges.core.incoming import RemoteFile
from appservice.bridges.core.network import Fetched, Spool
from appservice.bridges.discord.rest import Rest
from appservice.bridges.discord.shapes import is_from_discord

_MIMETYPE = re.compile(r"[a-z]+/[A-Za-z0-9.+-]+")


class Files:
    def __init__(self, *, rest: Rest, cdn: str) -> None:
        self._rest, self._cdn = rest, cdn

    async def fetch(self, file: RemoteFile, spool: Spool) -> Fetched:
        """Raises: NetworkError, what the spool raises."""
        url = str(file.source.get("url") or "")
        if not is_from_discord(url, self._cdn):
            raise NotThere("the file is not Discord's")
        try:
            mimetype = await self._rest.download(url, spool.write)
        except NotThere:
            if "message" not in file.source:
                raise
            mimetype = await self._rest.download(await self._renewed(url), spool.write)
        named = mimetype if mimetype and _MIMETYPE.fullmatch(mimetype) else None
        return Fetched(mimetype=file.mimetype or named, name=file.name or None)

    async def _renewed(self, url: str) -> str:
        answer: dict[str, Any] = await self._rest.ask("POST", "/attachments/refresh-urls", {"attachment_urls": [url]})
        renewed = next((str(each["refreshed"]) for each in answer.get("refreshed_urls", [])), "")
        if not is_from_discord(renewed, self._cdn):
            raise NotThere("the file is not there any more")
        return renewed
