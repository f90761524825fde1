"""TLS for tests: servers on 127.0.0.1 that answer whatever a test says."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import DefaultOpenSSLContextFactory

from federation.outbound.errors import Unreachable
from federation.outbound.https import HttpsWire
from federation.outbound.resolve import Resolver
from federation.outbound.srv import Srv, SrvRecord
from federation.outbound.tls import ClientTls, TlsSettings
from federation.outbound.well_known import WellKnown
from homeserver.runtime.clock import Clock
from homeserver.runtime.metrics import Metrics
from homeserver.web.addresses import AddressRules
from homeserver.web.agent import Bounds, Fetched, FetchFailed
from tests.support.certificates import Authority


class Raw(Protocol):
    """A connection of a raw server. `head` is the request so far; `answer` is called when its headers are complete."""

    transport: Any

    def __init__(self, answer: "Callable[[Raw], None]") -> None:
        self.head = b""
        self.is_lost = False
        self._answer = answer

    def dataReceived(self, data: bytes) -> None:
        self.head += data
        if b"\r\n\r\n" in self.head:
            self._answer(self)
            self.head = b""

    def connectionLost(self, reason: Any = None) -> None:
        self.is_lost = True

    def write(self, data: bytes) -> None:
        if not self.is_lost:
            self.transport.write(data)


class RawServer:
    """Speaks TLS by a certificate, and whatever `answer` writes. `connections` are all there ever were."""

    def __init__(self, files: tuple[Path, Path], answer: Callable[[Raw], None]) -> None:
        self.connections: list[Raw] = []
        self.heads: list[bytes] = []

        def answered(raw: Raw) -> None:
            self.heads.append(raw.head)
            answer(raw)

        def build() -> Raw:
            self.connections.append(Raw(answered))
            return self.connections[-1]

        context = DefaultOpenSSLContextFactory(str(files[1]), str(files[0]))
        context.getContext().use_certificate_chain_file(str(files[0]))
        factory = Factory.forProtocol(build)
        self._port: Any = reactor.listenSSL(0, factory, context, interface="127.0.0.1")

    @property
    def port(self) -> int:
        return int(self._port.getHost().port)

    async def stop(self) -> None:
        for connection in self.connections:
            if not connection.is_lost:
                connection.transport.abortConnection()
        if self._port.connected:
            await self._port.stopListening()


def make_wire(
    authority: Authority | None,
    *,
    delegations: dict[str, str] | None = None,
    records: dict[str, list[SrvRecord]] | None = None,
    rules: AddressRules | None = None,
    tls: TlsSettings | None = None,
) -> HttpsWire:
    """The real wire, which may connect to this machine. `delegations` stand in for .well-known, `records` for DNS."""
    clock = Clock(reactor)

    async def get(url: str, *, bounds: Bounds) -> Fetched:
        host = url.split("/")[2]
        if host not in (delegations or {}):
            raise FetchFailed("none")
        return Fetched(200, {}, b'{"m.server": "%s"}' % (delegations or {})[host].encode(), url)

    async def ask(name: str) -> list[SrvRecord]:
        return (records or {}).get(name, [])

    settings = tls or TlsSettings(authorities=(authority.path,) if authority else ())
    return HttpsWire(
        reactor=reactor,
        clock=clock,
        resolver=Resolver(well_known=WellKnown(get=get, clock=clock), srv=Srv(ask=ask, clock=clock)),
        tls=ClientTls(settings),
        rules=rules or AddressRules.parse(allowed=["127.0.0.0/8", "::1"]),
        metrics=Metrics(),
    )


async def fault_of(asking: Awaitable[Any]) -> str:
    """Why a server could not be reached."""
    try:
        await asking
    except Unreachable as error:
        return error.reason
    raise AssertionError("it was reached")
