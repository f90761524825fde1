"""The real wire: HTTPS to where a server's name leads, verified, over connections that are kept.

Addresses are checked where a connection is made, after all resolving: a name that resolves differently each time (DNS
rebinding) leads nowhere else.

Source: server-server API, "TLS", "Resolving server names".
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError
from twisted.internet.protocol import Factory

from federation.outbound.connection import Answering, ClientConnection
from federation.outbound.errors import Unreachable
from federation.outbound.pool import Pool
from federation.outbound.resolve import Resolver, Route
from federation.outbound.srv import Target
from federation.outbound.tls import ClientTls
from federation.outbound.wire import WireAnswer, WireRequest, WireStream, collect
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.web.addresses import AddressRefused, AddressRules
from homeserver.web.agent import GuardedReactor
from matrix.ids import ServerName

T = TypeVar("T")

CONNECT_S = 10.0
CLOSE_S = 1.0
# A body that comes slower than this after its time-out is not waited for: bytes a second.
SLOWEST = 2_000


class HttpsWire:
    def __init__(
        self,
        *,
        reactor: Any,
        clock: Clock,
        resolver: Resolver,
        tls: ClientTls,
        rules: AddressRules,
        metrics: Metrics,
        on_close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._reactor = GuardedReactor(reactor, rules)
        self._clock = clock
        self._resolver = resolver
        self._tls = tls
        self._pool = Pool(clock)
        self._on_close = on_close
        self._opened = metrics.counter("federation_connections", "Connections opened to other servers")
        metrics.gauge_of("federation_idle_connections", "Connections kept to other servers", lambda: len(self._pool))

    async def send(self, request: WireRequest) -> WireAnswer:
        """Raises: Unreachable, BadAnswer."""
        return await self._within(request, self._whole(request))

    async def stream(self, request: WireRequest) -> WireStream:
        """Raises: Unreachable, BadAnswer."""
        answering = await self._within(request, self._head(request))
        return _Paced(answering, request, self._clock)

    async def close(self) -> None:
        self._pool.close()
        if self._on_close is not None:
            # The other side may not say goodbye.
            with contextlib.suppress(TimeoutError):
                await self._clock.timeout(self._on_close(), CLOSE_S)

    async def resolve(self, server_name: ServerName) -> Route:
        """Where the server is. Raises: Unreachable."""
        return await self._resolver.resolve(server_name)

    async def connect(self, destination: str, route: Route) -> ClientConnection:
        """A new connection by the route. Raises: Unreachable, with the reason of the last target tried."""
        fault = Unreachable(destination, "it is nowhere")
        for target in route.targets:
            try:
                return await self._connect(target, route)
            except AddressRefused as error:
                fault = Unreachable(destination, str(error))
            except DNSLookupError:
                fault = Unreachable(destination, f"{target.host} has no address")
            except (ConnectError, ConnectingCancelledError, OSError, ValueError) as error:
                fault = Unreachable(destination, f"{target.host} port {target.port}: {_words(error)}")
        raise fault

    async def _within(self, request: WireRequest, work: Awaitable[T]) -> T:
        try:
            return await self._clock.timeout(work, request.timeout_s)
        except TimeoutError as error:
            raise Unreachable(request.destination, f"no answer in {request.timeout_s:g} s") from error

    async def _whole(self, request: WireRequest) -> WireAnswer:
        answering = await self._head(request)
        try:
            return WireAnswer(answering.status, answering.headers, await collect(answering))
        finally:
            answering.close()

    async def _head(self, request: WireRequest) -> Answering:
        route = await self._resolver.resolve(request.destination)
        connection = self._pool.take(route)
        if connection is None:
            connection = await self.connect(request.destination, route)
        elif request.method != "POST":
            try:
                return await connection.ask(request, route.host)
            except Unreachable:
                # It was closed on the other side just when we took it.
                connection = await self.connect(request.destination, route)
        return await connection.ask(request, route.host)

    async def _connect(self, target: Target, route: Route) -> ClientConnection:
        endpoint = HostnameEndpoint(self._reactor, target.host, target.port, timeout=CONNECT_S)
        creator = self._tls.creator(route.tls_name)
        factory = Factory.forProtocol(
            lambda: ClientConnection(lambda connection: self._freed(route, connection), lambda: creator.fault)
        )
        factory.noisy = False
        self._opened.inc()
        connecting: Deferred[Any] = wrapClientTLS(creator, endpoint).connect(factory)
        # The factory's protocol is what TLS wraps; the handshake goes on when the first bytes are written.
        connected = await connecting
        assert isinstance(connected, ClientConnection)
        return connected

    def _freed(self, route: Route, connection: ClientConnection) -> None:
        """A connection's request is over, or the connection is."""
        if connection.is_open and connection.is_reusable:
            self._pool.put(route, connection)
        else:
            self._pool.remove(connection)


class _Paced:
    """A stream that must keep a pace: neither may it pause for long, nor trickle."""

    def __init__(self, answering: Answering, request: WireRequest, clock: Clock) -> None:
        self.status = answering.status
        self.headers: Mapping[str, str] = answering.headers
        self._answering = answering
        self._request = request
        self._clock = clock
        self._started_s = clock.seconds()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        waited_s = 0.0
        while True:
            before_s = self._clock.seconds()
            try:
                chunk = await self._clock.timeout(self._answering.__anext__(), self._request.timeout_s)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                self.close()
                raise Unreachable(self._request.destination, "its answer stopped in the middle") from error
            # Only the time that we wait for the other side counts, not the time that our reader takes.
            waited_s += self._clock.seconds() - before_s
            if waited_s > self._request.timeout_s + self._answering.received_bytes / SLOWEST:
                self.close()
                raise Unreachable(self._request.destination, "its answer is too slow")
            yield chunk

    def close(self) -> None:
        self._answering.close()


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
