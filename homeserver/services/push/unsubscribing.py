"""The link in a mail that ends the mails: whoever has it may end just these.

Source: Synapse's unsubscribe links; RFC 8058, "Signaling One-Click Functionality".
"""

import hashlib
import hmac
from urllib.parse import urlencode

from homeserver.services.push.pushers import Pushers
from matrix.errors import Forbidden
from matrix.ids import UserId
from storage.pushers import Pusher

PATH = "/_synapse/client/unsubscribe"


class Unsubscribing:
    """`secret` makes the links of all processes, and must be the same after a restart."""

    def __init__(self, *, secret: bytes, base_url: str, pushers: Pushers) -> None:
        self._secret = secret
        self._base_url = base_url.rstrip("/")
        self._pushers = pushers

    def link(self, pusher: Pusher) -> str:
        token = self._token(pusher.user_id, pusher.app_id, pusher.pushkey)
        values = {"user_id": pusher.user_id, "app_id": pusher.app_id, "pushkey": pusher.pushkey, "access_token": token}
        return f"{self._base_url}{PATH}?{urlencode(values)}"

    def check(self, user_id: str, app_id: str, pushkey: str, token: str) -> None:
        """Raises: Forbidden."""
        if not hmac.compare_digest(self._token(user_id, app_id, pushkey).encode(), token.encode()):
            raise Forbidden("This link is not good")

    async def end(self, user_id: UserId, app_id: str, pushkey: str) -> None:
        await self._pushers.remove(user_id, app_id, pushkey)

    def _token(self, user_id: str, app_id: str, pushkey: str) -> str:
        # Another message than any other use of the secret; none of the parts can hold a NUL.
        message = "\x00".join(("unsubscribe", user_id, app_id, pushkey))
        return hmac.new(self._secret, message.encode(), hashlib.sha256).hexdigest()
