"""Can a service be reached? It asks so itself, to find out why it hears nothing.

Source: application service API, "Pinging".
"""

from collections.abc import Callable
from typing import Any

from appservice.client import AppserviceClient
from appservice.errors import AppserviceError, Refused, TimedOut
from appservice.registry import Registry
from homeserver.web.call import Requester
from matrix.errors import BadRequest, Forbidden, MatrixError

# Told of each service that answered, by id: what waits for it can be sent.
OnAnswer = Callable[[str], None]


class BadStatus(MatrixError):
    """The service answered, with something else than success."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(502, "M_BAD_STATUS", f"Ping returned status {refused.status}", body=refused.body)
        self._refused = refused

    def body(self) -> dict[str, Any]:
        return {**super().body(), "status": self._refused.status}


class Ping:
    def __init__(self, *, registry: Registry, client: AppserviceClient, on_answer: OnAnswer) -> None:
        self._registry = registry
        self._client = client
        self._on_answer = on_answer

    async def ping(self, requester: Requester, service_id: str, transaction_id: str | None) -> int:
        """How many milliseconds the service took. Raises: Forbidden, BadRequest; 502 or 504, which say why."""
        service = None if requester.appservice_id is None else self._registry.by_id(requester.appservice_id)
        if service is None or service.id != service_id:
            raise Forbidden("Provided access token is not the appservice's as_token")
        if service.url is None:
            raise BadRequest("The application service does not have a URL set", "M_URL_NOT_SET")
        try:
            duration_ms = await self._client.ping(service, transaction_id)
        except AppserviceError as error:
            raise _told(error) from error
        self._on_answer(service.id)
        return duration_ms


def _told(error: AppserviceError) -> MatrixError:
    if isinstance(error, Refused):
        return BadStatus(error)
    if isinstance(error, TimedOut):
        return MatrixError(504, "M_CONNECTION_TIMEOUT", "Connection to application service timed out")
    return MatrixError(502, "M_CONNECTION_FAILED", f"Connection to application service failed: {error}")
