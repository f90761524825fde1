"""What the homeserver asks of the bridge: the application service API.

A transaction is acknowledged when it is durable. Its id, and the events' in the map, make a repeated one harmless.

Source: application service API.
"""

import hmac
import logging
from typing import Any

from appservice.bridges.core.bridge import RunningBridge
from appservice.bridges.core.bridging import Bridging
from appservice.bridges.core.context import Context
from appservice.bridges.core.errors import NetworkError, Temporary
from appservice.bridges.core.ids import ChannelId, PersonId
from appservice.bridges.core.matrix_client import HomeserverDown, MatrixRefused
from appservice.bridges.core.people import People
from homeserver.runtime.metrics import Metrics
from homeserver.web.body import LARGE_JSON_BYTES
from homeserver.web.call import Call
from homeserver.web.replies import Answer, Reply
from homeserver.web.router import Access, route
from matrix.errors import BadRequest, Forbidden, MatrixError, NotFound

JsonDict = dict[str, Any]
_V1 = "/_matrix/app/v1"

logger = logging.getLogger(__name__)


class AppserviceApi:
    """Transactions, ping and queries. The legacy paths too, for homeservers that know no others."""

    def __init__(self, *, context: Context, bridge: RunningBridge, people: People, bridging: Bridging) -> None:
        self._context, self._bridge, self._people, self._bridging = context, bridge, people, bridging

    async def authenticate(self, call: Call, access: Access) -> None:
        """Raises: Forbidden."""
        token = call.access_token()
        wanted = self._context.settings.appservice.hs_token
        if token is None:
            raise MatrixError(401, "M_UNAUTHORIZED", "The homeserver's token is missing")
        if not hmac.compare_digest(token.encode(), wanted.encode()):
            raise Forbidden("This is not the homeserver's token")

    @route(
        "PUT", _V1 + "/transactions/{txn_id}", "/transactions/{txn_id}", access=Access.APPSERVICE,
        max_body_bytes=LARGE_JSON_BYTES,
    )  # fmt: skip
    async def transaction(self, call: Call, txn_id: str) -> Answer:
        body = call.raw_json()
        if not isinstance(body, dict) or not isinstance(body.get("events", []), list):
            raise BadRequest("events must be a list")
        events = [event for event in body.get("events", []) if isinstance(event, dict)]
        ephemeral = body.get("ephemeral", body.get("de.sorunome.msc2409.ephemeral"))
        passing = [each for each in ephemeral if isinstance(each, dict)] if isinstance(ephemeral, list) else []
        await self._bridge.take_transaction(txn_id, events, passing)
        return {}

    @route("POST", _V1 + "/ping", access=Access.APPSERVICE)
    async def ping(self, call: Call) -> Answer:
        return {}

    @route("GET", _V1 + "/users/{user_id}", "/users/{user_id}", access=Access.APPSERVICE)
    async def user(self, call: Call, user_id: str) -> Answer:
        person = self._context.users.read(user_id)
        if person is None:
            raise NotFound()
        try:
            found = await self._context.network.person(PersonId(person))
            if found.is_ours:
                raise NotFound()
            await self._people.ghost_of(PersonId(person), [found])
        except (NetworkError, MatrixRefused, HomeserverDown) as error:
            raise _answer(error) from error
        return {}

    @route("GET", _V1 + "/rooms/{alias}", "/rooms/{alias}", access=Access.APPSERVICE)
    async def room(self, call: Call, alias: str) -> Answer:
        channel = self._context.aliases.read(alias)
        if channel is None:
            raise NotFound()
        try:
            # What is not public is opened by those who are in it.
            if (await self._context.network.channel(ChannelId(channel))).is_public is not True:
                raise NotFound()
            await self._bridging.open(ChannelId(channel), None)
        except (NetworkError, MatrixRefused, HomeserverDown) as error:
            raise _answer(error) from error
        return {}


def _answer(error: Exception) -> MatrixError:
    if isinstance(error, Temporary | HomeserverDown):
        return MatrixError(503, "M_UNKNOWN", "Not now")
    logger.info("A query was refused: %s", error)
    return NotFound()


class MetricsApi:
    """For Prometheus, on the homeserver's own side of the bridge."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    @route("GET", "/metrics", access=Access.PUBLIC)
    async def metrics(self, call: Call) -> Answer:
        body, content_type = self._metrics.exposition()
        return Reply(200, body, content_type)

    @route("GET", "/health", access=Access.PUBLIC)
    async def health(self, call: Call) -> Answer:
        return Reply(200, "OK", "text/plain")
