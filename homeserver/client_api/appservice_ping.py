"""Application services find out whether they can be reached.

Source: application service API, "Pinging"; POST /appservice/{appserviceId}/ping. MSC2659, before it was in the
specification.
"""

from homeserver.services.appservices.ping import Ping
from homeserver.web.call import Call
from homeserver.web.replies import Answer
from homeserver.web.router import Access, route


class AppservicePingApi:
    def __init__(self, *, ping: Ping) -> None:
        self._ping = ping

    @route(
        "POST",
        "/_matrix/client/v1/appservice/{service_id}/ping",
        "/_matrix/client/unstable/fi.mau.msc2659/appservice/{service_id}/ping",
        access=Access.APPSERVICE,
    )
    async def ping(self, call: Call, service_id: str) -> Answer:
        transaction_id = call.json(empty_ok=True).optional_text("transaction_id", max_bytes=255)
        return {"duration_ms": await self._ping.ping(call.user, service_id, transaction_id)}
