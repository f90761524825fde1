"""Which application service a token is of.

Source: application service API, "Identity assertion".
"""

from collections.abc import Callable

from appservice.registration import Registration
from appservice.registry import Registry
from homeserver.services.users.sessions import UnknownToken
from homeserver.web.call import Call
from matrix.errors import MatrixError

# Told of each request of a service, by its id: whoever asks can be reached.
OnRequest = Callable[[str], None]


class MissingToken(MatrixError):
    def __init__(self) -> None:
        super().__init__(401, "M_MISSING_TOKEN", "Missing access token")


class AppserviceTokens:
    def __init__(self, *, registry: Registry, on_request: OnRequest) -> None:
        self._registry = registry
        self._on_request = on_request

    def find(self, call: Call, token: str) -> Registration | None:
        """The service whose as_token it is, if it may come from where the request does."""
        service = self._registry.by_token(token)
        if service is None or not service.admits(call.client_ip):
            return None
        self._on_request(service.id)
        return service

    def is_exempt(self, call: Call) -> bool:
        """Does the request come from a service that rate limits are not for?"""
        token = call.access_token()
        service = None if token is None else self.find(call, token)
        return service is not None and not service.is_rate_limited

    def get(self, call: Call) -> Registration:
        """The service that makes the request. Raises: MissingToken, UnknownToken."""
        token = call.access_token()
        if token is None:
            raise MissingToken()
        service = self.find(call, token)
        if service is None:
            raise UnknownToken("Unrecognised application service token", soft_logout=False)
        return service
