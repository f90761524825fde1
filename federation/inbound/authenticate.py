"""Which server asks: from the signature of a request to `call.origin`.

Source: server-server API, "Request Authentication".
"""

from collections.abc import Callable

from federation.outbound.destinations import Destinations
from federation.outbound.keys import ServerKeys
from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from homeserver.web.call import Call
from homeserver.web.router import Access
from matrix.errors import BadSignature, Forbidden, MatrixError
from matrix.ids import ServerName
from matrix.x_matrix import BadXMatrix, XMatrix, signed_forms

# A server of old sends a header for each of its keys.
MAX_HEADERS = 4
# Servers whose keys we do not have, by address: each makes us look for a server that anybody can have made up.
STRANGERS_PER_S, STRANGERS_AT_ONCE = 5, 200

IsLocal = Callable[[str], bool]
MayTalkTo = Callable[[str], bool]


class Unauthorized(MatrixError):
    def __init__(self, message: str) -> None:
        super().__init__(401, "M_UNAUTHORIZED", message)


class ServerAuthenticator:
    """`await authenticator(call, Access.SERVER)` sets `call.origin`, as the router wants it."""

    def __init__(
        self,
        *,
        keys: ServerKeys,
        destinations: Destinations,
        clock: Clock,
        server_name: ServerName,
        is_local: IsLocal,
        may_talk_to: MayTalkTo,
    ) -> None:
        self._keys = keys
        self._destinations = destinations
        self._clock = clock
        self._server_name = server_name
        self._is_local = is_local
        self._may_talk_to = may_talk_to
        self._strangers = RateLimit(STRANGERS_PER_S, STRANGERS_AT_ONCE, clock)

    async def __call__(self, call: Call, access: Access) -> None:
        assert access is Access.SERVER, "these routes are for servers"
        headers = call.headers.get_all("authorization")
        if not headers:
            raise Unauthorized("Missing Authorization header")
        try:
            signatures = [XMatrix.parse(header) for header in headers[:MAX_HEADERS]]
        except BadXMatrix as error:
            raise Unauthorized(str(error)) from error
        first = signatures[0]
        self._check_names(signatures)
        destination = first.destination or self._server_name
        try:
            await self._keys.verify_request(
                first.origin,
                {each.key_id: each.signature for each in signatures},
                signed_forms(call.method, call.target, first.origin, destination, call.body),
                now_ms=self._clock.now_ms(),
                before_asking=lambda: self._strangers.take(call.client_ip),
            )
        except BadSignature as error:
            raise Unauthorized(f"The request is not signed by {first.origin}: {error}") from error
        self._destinations.heard_from(first.origin)
        call.origin = first.origin

    def _check_names(self, signatures: list[XMatrix]) -> None:
        """Raises: Unauthorized, where the header is meant for another; Forbidden for who is not on the list."""
        origin = signatures[0].origin
        for each in signatures:
            if each.origin != origin:
                raise Unauthorized("The signatures are of several servers")
            if each.destination is not None and not self._is_local(each.destination):
                raise Unauthorized("The request is for another server")
        if self._is_local(origin):
            raise Unauthorized("This server does not ask itself")
        if not self._may_talk_to(origin):
            raise Forbidden(f"Federation denied with {origin}")
