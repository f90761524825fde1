"""Files on their way out: read without waiting where they are in memory, sent straight to the socket while it takes."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.tcp import Server
from twisted.python.failure import Failure

from homeserver.web import outflow
from homeserver.web.call import Call
from homeserver.web.replies import Answer, StreamReply
from homeserver.web.router import Access, Router, route
from homeserver.web.server import HttpServer
from tests.support.http import MemoryClient, response_of

SIZE = 5_000_001


class Api:
    def __init__(self, path: Path) -> None:
        self.path = path

    @route("GET", "/file", access=Access.PUBLIC)
    async def file(self, call: Call) -> Answer:
        return StreamReply(self.path.open("rb"), SIZE)


@pytest.fixture
def router(tmp_path: Path) -> Router:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    router = Router()
    router.add(Api(path))
    return router


def expected(tmp_path: Path) -> str:
    return hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()


@pytest.mark.parametrize("can_tell", [True, False])
def test_a_file_is_sent_as_it_is(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_tell: bool
) -> None:
    if not can_tell:
        monkeypatch.setattr(outflow, "_NOT_WAITING", None)
    response = response_of(MemoryClient(router).request("GET", "/file"))
    assert hashlib.sha256(response.body).hexdigest() == expected(tmp_path)


def test_what_is_not_in_memory_is_read_on_a_thread(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, every second piece."""
    reads, preadv = [0], os.preadv

    def half_cold(descriptor: int, buffers: Any, at: int, flags: int) -> int:
        reads[0] += 1
        if reads[0] % 2:
            raise BlockingIOError
        return preadv(descriptor, buffers, at, flags)

    monkeypatch.setattr(os, "preadv", half_cold)
    response = response_of(MemoryClient(router).request("GET", "/file"))
    assert hashlib.sha256(response.body).hexdigest() == expected(tmp_path)
    assert reads[0] > 10


class SlowReader(Protocol):
    """Takes nothing for a while, so that the socket fills up."""

    transport: Any

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._data = bytearray()

    def connectionMade(self) -> None:
        self.transport.pauseProducing()
        self.transport.write(b"GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        reactor.callLater(0.05, self.transport.resumeProducing)  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        self._data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(bytes(self._data))


async def test_a_socket_that_is_full_loses_nothing(router: Router, tmp_path: Path) -> None:
    server = HttpServer(router=router, reactor=reactor, on_thread=maybeDeferred)  # type: ignore[arg-type]
    port = reactor.listenTCP(0, server, interface="127.0.0.1")  # type: ignore[attr-defined]
    client = SlowReader()
    factory = ClientFactory.forProtocol(lambda: client)  # type: ignore[arg-type]
    reactor.connectTCP("127.0.0.1", port.getHost().port, factory)  # type: ignore[attr-defined]
    head, _, body = (await client.done).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert hashlib.sha256(body).hexdigest() == expected(tmp_path)
    await port.stopListening()
    await server.drain(0)


class AsksTwice(Protocol):
    """Asks for something large, and once that is there for something small."""

    transport: Any

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._data = bytearray()

    def connectionMade(self) -> None:
        self.transport.write(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        is_small = len(self._data) > SIZE
        self._data += data
        if is_small:
            self.done.callback(data)
            self.transport.loseConnection()
        elif len(self._data) > SIZE:
            self.transport.write(b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n")


async def test_after_a_large_answer_a_small_one_goes_straight_to_the_socket_again(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffered: list[bytes] = []
    write = Server.write

    def buffer(self: Server, data: bytes) -> None:
        buffered.append(data)
        write(self, data)

    monkeypatch.setattr(Server, "write", buffer)
    server = HttpServer(router=router, reactor=reactor, on_thread=maybeDeferred)  # type: ignore[arg-type]
    port = reactor.listenTCP(0, server, interface="127.0.0.1")  # type: ignore[attr-defined]
    client = AsksTwice()
    factory = ClientFactory.forProtocol(lambda: client)  # type: ignore[arg-type]
    reactor.connectTCP("127.0.0.1", port.getHost().port, factory)  # type: ignore[attr-defined]
    assert b"M_UNRECOGNIZED" in await client.done
    assert not any(b"M_UNRECOGNIZED" in data for data in buffered)
    await port.stopListening()
    await server.drain(0)
