"""/.well-known/matrix/server of hosts that mean no good, over TLS on this machine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor

from federation.outbound.tls import ClientTls, TlsSettings, WellKnownPolicy
from federation.outbound.well_known import WellKnown
from homeserver.runtime.clock import Clock
from homeserver.web.addresses import AddressRules
from homeserver.web.agent import Bounds, Fetched, OutgoingHttp
from tests.integration.federation.tls_servers import Raw, RawServer
from tests.support.certificates import Authority

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"m.server": "d.test"}'
HERE = AddressRules.parse(allowed=["127.0.0.0/8", "::1"])


class World:
    """A host on this machine, asked by the name localhost."""

    def __init__(self, directory: Path) -> None:
        self._authority = Authority(directory)
        self._servers: list[RawServer] = []
        self._https: list[OutgoingHttp] = []

    def serve(self, answer: bytes | Callable[[Raw], None], name: str = "localhost") -> RawServer:
        function = answer if callable(answer) else lambda raw: raw.write(answer)
        self._servers.append(RawServer(self._authority.issue(name), function))
        return self._servers[-1]

    async def ask(self, server: RawServer, rules: AddressRules = HERE) -> str | None:
        tls = ClientTls(TlsSettings(authorities=(self._authority.path,)))
        http = OutgoingHttp(reactor=reactor, rules=rules, policy=WellKnownPolicy(tls))
        self._https.append(http)

        async def get(url: str, *, bounds: Bounds) -> Fetched:
            return await http.get(url.replace("hs.test", f"localhost:{server.port}"), bounds=bounds)

        return await WellKnown(get=get, clock=Clock(reactor)).delegated("hs.test")

    async def close(self) -> None:
        for http in self._https:
            await http.close()
        for server in self._servers:
            await server.stop()


@pytest_twisted.async_yield_fixture
async def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    await made.close()


def redirect(url: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_the_delegation_of_a_host(world: World) -> None:
    server = world.serve(GOOD)
    assert await world.ask(server) == "d.test"
    assert b"GET /.well-known/matrix/server HTTP/1.1" in server.heads[0]


async def test_a_redirect_is_followed(world: World) -> None:
    other = world.serve(GOOD)
    server = world.serve(redirect(f"https://localhost:{other.port}/elsewhere"))
    assert await world.ask(server) == "d.test"
    assert b"GET /elsewhere" in other.heads[0]


async def test_a_circle_of_redirects_ends(world: World) -> None:
    server = world.serve(redirect("/.well-known/matrix/server"))
    assert await world.ask(server) is None
    assert len(server.heads) == 6


@pytest.mark.parametrize("url", ["http://localhost/x", "file:///etc/passwd", "https://[", "https://u:p@localhost/", ""])
async def test_a_redirect_to_elsewhere_than_https_is_not_followed(world: World, url: str) -> None:
    assert await world.ask(world.serve(redirect(url))) is None


async def test_a_host_with_a_certificate_of_another_is_not_believed(world: World) -> None:
    server = world.serve(GOOD, "other.test")
    assert await world.ask(server) is None
    assert server.heads == []


async def test_a_blocked_address_is_not_asked(world: World) -> None:
    server = world.serve(GOOD)
    assert await world.ask(server, AddressRules.parse()) is None
    assert server.connections == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b" " * 60_000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 60_000,
        b"SSH-2.0\r\n",
    ],
)
async def test_what_is_too_large_or_no_http_is_no_delegation(world: World, answer: bytes) -> None:
    assert await world.ask(world.serve(answer)) is None
