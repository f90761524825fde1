"""Presence.

Source: client-server API, "Presence".
"""

from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.presence import Presence
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import client, route
from matrix.errors import Forbidden
from matrix.ids import UserId

STATES = ("online", "offline", "unavailable")
# Synapse's limit is a line, not an essay; the event must stay small.
MAX_STATUS_BYTES = 2_048


class PresenceApi:
    """`limit`: rc_presence, by user."""

    def __init__(self, *, presence: Presence, limit: RateLimit) -> None:
        self._presence = presence
        self._limit = limit

    @route("GET", *client("/presence/{user_id}/status"))
    async def get_status(self, call: Call, user_id: UserId) -> Answer:
        return await self._presence.get(call.user.user_id, user_id)

    @route("PUT", *client("/presence/{user_id}/status"))
    async def put_status(self, call: Call, user_id: UserId) -> Answer:
        if user_id != call.user.user_id:
            raise Forbidden("Cannot set another user's presence")
        body = call.json()
        self._limit.take(call.user.limit_key)
        state = body.choice("presence", STATES)
        await self._presence.put(user_id, state, body.optional_text("status_msg", max_bytes=MAX_STATUS_BYTES))
        return {}
