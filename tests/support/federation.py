"""Several homeservers in one process, joined by a network in memory: real signatures, real JSON, no port.

    async def test_two_servers_talk(network: Network) -> None:
        one, two = await network.start("one.test"), await network.start("two.test")
        network.cut("one.test", "two.test")
        ...
        network.mend("one.test", "two.test")

`network.on_request` stands between: it may drop, delay, double or change what goes over the wire. A `FakeServer` is a
server that a test writes by hand; see fake_server.py.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import orjson
import pytest_twisted
from attrs import define, field, frozen
from twisted.internet import reactor

from federation.outbound.errors import BadAnswer, Unreachable
from federation.outbound.wire import WireAnswer, WireRequest
from matrix.ids import ServerName
from matrix.signing import SigningKey
from tests.support.database import TestServer
from tests.support.homeserver import Homeserver, make_config
from tests.support.http import MemoryClient

Deliver = Callable[[], Awaitable[WireAnswer]]
OnRequest = Callable[["Sent", Deliver], Awaitable[WireAnswer]]


@frozen
class Sent:
    """A request on the wire."""

    origin: str
    request: WireRequest

    @property
    def destination(self) -> str:
        return str(self.request.destination)

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def path(self) -> str:
        """Without the query."""
        return self.request.target.partition("?")[0]

    @property
    def json(self) -> Any:
        """The body."""
        return None if self.request.body is None else orjson.loads(self.request.body)


class Peer(Protocol):
    """Who can be reached by a name."""

    async def answer(self, sent: Sent) -> WireAnswer: ...


class _Hearth:
    """A Homeserver at the other end of a wire: its federation's resources, as a listener would serve them."""

    def __init__(self, homeserver: Homeserver) -> None:
        router = homeserver.server.router_of(frozenset({"federation"}))
        self._http = MemoryClient(router, reactor=reactor)

    async def answer(self, sent: Sent) -> WireAnswer:
        request = sent.request
        response = await self._http.request(
            request.method, request.target, body=request.body, headers=dict(request.headers)
        )
        return WireAnswer(response.status, response.headers, response.body)


class Network:
    """Who can reach whom. `requests` is all that was sent, also in vain."""

    def __init__(self, postgres: TestServer, directory: Path) -> None:
        self.requests: list[Sent] = []
        self.on_request: OnRequest | None = None
        self.peers: dict[str, Peer] = {}
        self.homeservers: dict[str, Homeserver] = {}
        self._postgres = postgres
        self._directory = directory
        self._cut: set[frozenset[str]] = set()

    async def start(self, name: str, more: str = "") -> Homeserver:
        """A homeserver of that name with a database of its own; `more` is YAML on top of the tests' configuration.

        A name that was stopped starts again on its database.
        """
        dsn = self.homeservers[name].dsn if name in self.homeservers else self._postgres.fresh()
        directory = self._directory / name.replace(":", "_")
        directory.mkdir(exist_ok=True)
        identity = f"server_name: '{name}'\npublic_baseurl: https://{name}/\ntrusted_key_servers: []\n"
        config = make_config(directory, identity + more)
        key = SigningKey.from_seed("k" + name.partition(".")[0].replace("-", "_"), sha256(name.encode()).digest())
        homeserver = await Homeserver.start(dsn, config, wire=NetworkWire(self, name), key=key)
        self.homeservers[name] = homeserver
        self.peers[name] = _Hearth(homeserver)
        return homeserver

    async def stop(self, name: str) -> None:
        """The server goes down; nobody reaches it."""
        del self.peers[name]
        await self.homeservers[name].stop()

    async def close(self) -> None:
        for name, homeserver in self.homeservers.items():
            if name in self.peers:
                await self.stop(name)
            self._postgres.give_back(homeserver.dsn)

    def cut(self, one: str, other: str) -> None:
        """These two do not reach each other any more."""
        self._cut.add(frozenset((one, other)))

    def mend(self, one: str, other: str) -> None:
        self._cut.discard(frozenset((one, other)))

    def is_cut(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self._cut

    def sent(self, path: str = "", *, origin: str | None = None, destination: str | None = None) -> list[Sent]:
        """What was sent so far to paths that contain `path`."""
        return [
            each
            for each in self.requests
            if path in each.request.target and origin in (None, each.origin) and destination in (None, each.destination)
        ]

    async def carry(self, sent: Sent) -> WireAnswer:
        """Raises: Unreachable."""
        self.requests.append(sent)
        if self.on_request is not None:
            return await self.on_request(sent, lambda: self._deliver(sent))
        return await self._deliver(sent)

    async def _deliver(self, sent: Sent) -> WireAnswer:
        peer = self.peers.get(sent.destination)
        if peer is None or self.is_cut(sent.origin, sent.destination):
            raise Unreachable(sent.destination, "no route to it")
        answer = await peer.answer(sent)
        if len(answer.body) > sent.request.max_bytes:
            raise BadAnswer(sent.destination, "its answer is too large")
        return answer


@frozen
class NetworkWire:
    """A server's end of the network."""

    network: Network
    origin: str

    async def send(self, request: WireRequest) -> WireAnswer:
        return await self.network.carry(Sent(self.origin, request))

    async def stream(self, request: WireRequest) -> "MemoryStream":
        answer = await self.send(request)
        return MemoryStream(answer.status, answer.headers, answer.body)

    async def close(self) -> None:
        """Nothing is open."""


@define
class MemoryStream:
    """A body that comes in pieces of 1,000 bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    is_closed: bool = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for at in range(0, len(self.body), 1000):
            yield self.body[at : at + 1000]

    def close(self) -> None:
        self.is_closed = True


@pytest_twisted.async_yield_fixture
async def network(postgres: TestServer, tmp_path: Path) -> Iterator[Network]:
    """An empty network; its servers are stopped after the test."""
    net = Network(postgres, tmp_path)
    yield net
    await net.close()


def name_of(server: "Homeserver | str") -> ServerName:
    """The server's name, of either."""
    return ServerName(server) if isinstance(server, str) else server.core.server_name


__all__ = ["MemoryStream", "Network", "NetworkWire", "Peer", "Sent", "name_of", "network"]
