"""Avatars of relayed users for the network, whose servers fetch them without a token: under signed addresses."""

import hmac
from urllib.parse import quote

from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import FileTooLarge
from appservice.bridges.core.matrix_client import HomeserverDown, MatrixRefused
from appservice.bridges.core.media import SMALL_BYTES
from appservice.bridges.core.spools import Spools
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, route
from matrix.errors import NotFound

# Networks keep what they have fetched; those that do not are told to, for a day.
_CACHING = {"Cache-Control": "public, max-age=86400, immutable", "X-Content-Type-Options": "nosniff"}


class Faces:
    """Makes the addresses, and answers them."""

    def __init__(self, *, context: Context, spools: Spools) -> None:
        self._context = context
        self._spools = spools

    def url(self, mxc: str | None) -> str | None:
        """None, where there is no face, or no address for it."""
        base = self._context.settings.public.address
        if base is None or mxc is None or not mxc.startswith("mxc://"):
            return None
        server, _, media_id = mxc.removeprefix("mxc://").partition("/")
        words = [quote(word, safe="") for word in (server, media_id, self._signature(server, media_id))]
        return f"{base.rstrip('/')}/{self._context.network.name}/face/{'/'.join(words)}"

    def _signature(self, server: str, media_id: str) -> str:
        secret = self._context.settings.public.secret or self._context.settings.appservice.hs_token
        return hmac.new(secret.encode(), f"{server}/{media_id}".encode(), "sha256").hexdigest()[:32]

    def api(self) -> object:
        return _FaceApi(self, self._context, self._spools)

    def is_signed(self, server: str, media_id: str, signature: str) -> bool:
        return hmac.compare_digest(self._signature(server, media_id).encode(), signature.encode())


class _FaceApi:
    def __init__(self, faces: Faces, context: Context, spools: Spools) -> None:
        self._faces, self._context, self._spools = faces, context, spools

    @route("GET", "/{network}/face/{server}/{media_id}/{signature}", access=Access.PUBLIC)
    async def face(self, call: Call, network: str, server: str, media_id: str, signature: str) -> Answer:
        if network != self._context.network.name or not self._faces.is_signed(server, media_id, signature):
            raise NotFound()
        with self._spools.spool(SMALL_BYTES) as spool:
            try:
                mimetype, _ = await self._context.matrix.download(
                    self._context.bot, f"mxc://{server}/{media_id}", spool
                )
            except (MatrixRefused, HomeserverDown, FileTooLarge) as error:
                raise NotFound() from error
            if not mimetype.startswith("image/") or "svg" in mimetype:
                raise NotFound()
            return Reply(200, spool.opened().read(), mimetype, headers=_CACHING)
