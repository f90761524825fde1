"""Small requests to a homeserver: connections are used again, and whatever it answers, the bridge hears of it."""

from collections.abc import Callable, Iterator

import pytest
from attrs import define, field
from twisted.internet import reactor
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol

from appservice.bridges.core import connections
from appservice.bridges.core.connections import Connections, WireBroken

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Answers = Callable[[int, bytes], bytes | None]


@define(eq=False)
class Server:
    """Answers a request, by its number and what came of it, with bytes; with None it closes the connection."""

    answers: Answers
    asked: list[bytes] = field(factory=list)
    made: int = 0
    port: IListeningPort = field(init=False)

    def __attrs_post_init__(self) -> None:
        server = self

        class Line(Protocol):
            def connectionMade(self) -> None:
                server.made += 1

            def dataReceived(self, data: bytes) -> None:
                server.asked.append(data)
                answer = server.answers(len(server.asked), data)
                assert self.transport is not None
                if answer is not None:
                    self.transport.write(answer)
                if answer is None or answer.endswith(b"\n\nbye"):
                    self.transport.loseConnection()

        self.port = reactor.listenTCP(0, Factory.forProtocol(Line), interface="127.0.0.1")  # type: ignore[attr-defined]

    def connections(self, timeout_s: float = 10.0) -> Connections:
        number = self.port.getHost().port  # type: ignore[attr-defined]
        return Connections(address=f"http://127.0.0.1:{number}/base/", reactor=reactor, timeout_s=timeout_s)  # type: ignore[arg-type]


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], Server]]:
    servers: list[Server] = []

    def start(answers: Answers) -> Server:
        servers.append(Server(answers))
        return servers[-1]

    yield start
    for server in servers:
        server.port.stopListening()


Serve = Callable[[Answers], Server]


async def test_a_connection_is_used_again(serve: Serve) -> None:
    server = serve(lambda number, data: OK)
    to = server.connections()
    for _ in range(3):
        answer = await to.ask("PUT", "/_matrix/x?a=b", {"Authorization": "Bearer t"}, b'{"a":1}')
        assert (answer.status, answer.body) == (200, b"{}")
    assert server.made == 1
    head, _, body = server.asked[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /base/_matrix/x?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nContent-Length: 7" in head and body == b'{"a":1}'
    to.close()


async def test_what_is_asked_at_once_has_connections_of_its_own(serve: Serve) -> None:
    server = serve(lambda number, data: OK if number > 1 else b"")
    to = server.connections(timeout_s=0.3)
    with pytest.raises(WireBroken):
        await to.ask("GET", "/slow", {}, None)
    assert (await to.ask("GET", "/", {}, None)).status == 200
    assert server.made == 2
    to.close()


async def test_a_connection_that_was_closed_meanwhile_is_no_fault(serve: Serve) -> None:
    # The second request on the first connection is answered by its end.
    server = serve(lambda number, data: None if number == 2 else OK)
    to = server.connections()
    for _ in range(2):
        assert (await to.ask("POST", "/", {}, b"{}")).status == 200
    assert (server.made, len(server.asked)) == (2, 3)
    to.close()


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nup to the end\n\nbye", b"up to the end\n\nbye"),
    ],
    ids=["chunked", "continue", "none", "until it closes"],
)
async def test_answers_of_all_kinds(serve: Serve, answer: bytes, body: bytes) -> None:
    to = serve(lambda number, data: answer).connections()
    assert (await to.ask("GET", "/", {}, None)).body == body
    to.close()


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH\r\n", None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nha\n\nbye"],
    ids=["no HTTP", "nothing", "half"],
)
async def test_what_is_no_answer_is_told(serve: Serve, answer: bytes | None) -> None:
    to = serve(lambda number, data: answer).connections()
    with pytest.raises(WireBroken):
        await to.ask("GET", "/", {}, None)
        await to.ask("GET", "/", {}, None)
    to.close()


async def test_an_answer_that_is_too_large_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_ANSWER_BYTES", 10)
    to = serve(lambda number, data: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50).connections()
    with pytest.raises(WireBroken, match="larger"):
        await to.ask("GET", "/", {}, None)
    head = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * connections.MAX_HEAD_BYTES
    to = serve(lambda number, data: head).connections()
    with pytest.raises(WireBroken):
        await to.ask("GET", "/", {}, None)


async def test_nobody_is_there(serve: Serve) -> None:
    server = serve(lambda number, data: OK)
    to = server.connections()
    await server.port.stopListening()
    with pytest.raises(WireBroken, match="refused"):
        await to.ask("GET", "/", {}, None)


async def test_no_header_brings_another(serve: Serve) -> None:
    server = serve(lambda number, data: OK)
    with pytest.raises(WireBroken):
        await server.connections().ask("GET", "/", {"Authorization": "Bearer t\r\nX: y"}, None)
    assert not server.asked
