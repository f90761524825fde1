"""Where callers find a TURN server.

Source: client-server API, "Voice over IP"; "TURN REST API", which coturn implements, for the credentials.
"""

import base64
import hashlib
import hmac

from homeserver.runtime.clock import Clock
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, client, route
from synapse_like_config.sections.appservices import Calls


class VoipApi:
    def __init__(self, *, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock

    @route("GET", *client("/voip/turnServer"), access=Access.GUEST)
    async def get_turn_server(self, call: Call) -> Answer:
        calls = self._calls
        if not calls.turn_uris or (call.user.is_guest and not calls.turn_allow_guests):
            return {}
        lifetime_s = calls.turn_user_lifetime // 1000
        if calls.turn_shared_secret is not None:
            username = f"{self._clock.now_ms() // 1000 + lifetime_s}:{call.user.user_id}"
            digest = hmac.new(calls.turn_shared_secret.encode(), username.encode(), hashlib.sha1).digest()
            password: str | None = base64.b64encode(digest).decode()
        else:
            username, password = calls.turn_username or "", calls.turn_password
        if not username or password is None:
            return {}
        return {"username": username, "password": password, "ttl": lifetime_s, "uris": list(calls.turn_uris)}
