"""The real wire: TLS over sockets of this machine, with servers that mean well and servers that do not."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import evolve

from federation.outbound.errors import BadAnswer, Unreachable
from federation.outbound.https import HttpsWire
from federation.outbound.srv import SrvRecord
from federation.outbound.tls import TlsSettings
from federation.outbound.wire import WireRequest, collect
from homeserver.web.addresses import AddressRules
from matrix.ids import ServerName
from tests.integration.federation.tls_servers import Raw, RawServer, fault_of, make_wire
from tests.support.certificates import DAY, NOW, Authority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Answer = Callable[[Raw], None]


class World:
    """An authority, raw servers, wires; all of it closed after the test."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self._directory = directory
        self._servers: list[RawServer] = []
        self._wires: list[HttpsWire] = []

    def serve(self, *names: str, answer: Answer | bytes = OK, files: tuple[Path, Path] | None = None) -> RawServer:
        """A server on 127.0.0.1 with a certificate for these names."""
        function = answer if callable(answer) else lambda raw: raw.write(answer)
        self._servers.append(RawServer(files or self.authority.issue(*names), function))
        return self._servers[-1]

    def wire(self, **options: Any) -> HttpsWire:
        self._wires.append(make_wire(self.authority, **options))
        return self._wires[-1]

    def to(self, server: RawServer, name: str = "two.test", **options: Any) -> HttpsWire:
        """A wire on which `name` is that server."""
        delegation = SrvRecord(0, 0, "127.0.0.1", server.port)
        return self.wire(records={f"_matrix-fed._tcp.{name}": [delegation]}, **options)

    async def close(self) -> None:
        for wire in self._wires:
            await wire.close()
        for server in self._servers:
            await server.stop()


@pytest_twisted.async_yield_fixture
async def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    await made.close()


def request(name: str = "two.test", **fields: Any) -> WireRequest:
    return evolve(WireRequest(ServerName(name), "GET", "/_matrix/x?a=b", timeout_s=5.0, max_bytes=1000), **fields)


async def test_the_host_header_and_the_certificate_are_of_the_name(world: World) -> None:
    server = world.serve("two.test")
    answer = await world.to(server).send(request(headers={"Authorization": "X-Matrix a=b"}))
    assert (answer.status, answer.body) == (200, b"{}")
    lines = server.heads[0].split(b"\r\n")
    assert lines[0] == b"GET /_matrix/x?a=b HTTP/1.1"
    assert b"Host: two.test" in lines and b"Authorization: X-Matrix a=b" in lines


async def test_an_address_needs_a_certificate_for_it(world: World) -> None:
    server = world.serve("127.0.0.1")
    name = f"127.0.0.1:{server.port}"
    assert (await world.wire().send(request(name))).status == 200
    assert f"Host: {name}".encode() in server.heads[0]


async def test_a_delegation_moves_the_certificate_too(world: World) -> None:
    server = world.serve("localhost")
    name = f"localhost:{server.port}"
    assert (await world.wire(delegations={"two.test": name}).send(request())).status == 200
    assert f"Host: {name}".encode() in server.heads[0]


@pytest.mark.parametrize("names", [["other.test"], ["127.0.0.1"], ["*.test.two.test"]])
async def test_a_certificate_for_another_name_will_not_do(world: World, names: list[str]) -> None:
    server = world.serve(*names)
    assert await fault_of(world.to(server).send(request())) == "the certificate is for another name"
    assert server.heads == []


async def test_an_expired_certificate_will_not_do(world: World) -> None:
    server = world.serve(files=world.authority.issue("two.test", until=NOW - DAY))
    assert "expired" in await fault_of(world.to(server).send(request()))
    assert server.heads == []


async def test_a_certificate_of_another_authority_will_not_do(world: World, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "Stranger")
    server = world.serve(files=stranger.issue("two.test"))
    assert "authority that is not" in await fault_of(world.to(server).send(request()))
    assert server.heads == []


async def test_a_name_on_the_whitelist_needs_no_good_certificate(world: World, tmp_path: Path) -> None:
    server = world.serve(files=Authority(tmp_path, "Stranger").issue("whatever"))
    settings = TlsSettings(unverified=("*.TEST",), authorities=(world.authority.path,))
    assert (await world.to(server, tls=settings).send(request())).status == 200
    record = {"_matrix-fed._tcp.example": [SrvRecord(0, 0, "127.0.0.1", server.port)]}
    assert await fault_of(world.wire(records=record, tls=settings).send(request("example")))


async def test_without_verification_any_certificate_will_do(world: World, tmp_path: Path) -> None:
    server = world.serve(files=Authority(tmp_path, "Stranger").issue("whatever"))
    assert (await world.to(server, tls=TlsSettings(verifies=False)).send(request())).status == 200


async def test_a_blocked_address_is_not_connected_to(world: World) -> None:
    server = world.serve("two.test", "localhost", "127.0.0.1")
    for name in ("two.test", f"localhost:{server.port}", f"127.0.0.1:{server.port}"):
        reason = await fault_of(world.to(server, rules=AddressRules.parse()).send(request(name)))
        assert "not allowed" in reason
    assert server.connections == []


async def test_the_next_target_is_tried_where_the_first_is_closed(world: World) -> None:
    closed, server = world.serve("two.test"), world.serve("two.test")
    records = [SrvRecord(1, 0, "127.0.0.1", closed.port), SrvRecord(2, 0, "127.0.0.1", server.port)]
    await closed.stop()
    wire = world.wire(records={"_matrix._tcp.two.test": records})
    assert (await wire.send(request())).status == 200


async def test_a_connection_is_used_again(world: World) -> None:
    server = world.serve("two.test")
    wire = world.to(server)
    for _ in range(3):
        await wire.send(request(method="PUT", body=b"{}"))
    assert len(server.connections) == 1


async def test_a_connection_that_was_closed_meanwhile_is_no_fault(world: World) -> None:
    def close_after_first(raw: Raw) -> None:
        if len(server.heads) == 2:
            raw.transport.abortConnection()
        else:
            raw.write(OK)

    server = world.serve("two.test", answer=close_after_first)
    wire = world.to(server)
    await wire.send(request())
    assert (await wire.send(request())).status == 200
    assert len(server.connections) == 2


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"{}"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_bodies_end_in_several_ways(world: World, answer: bytes, body: bytes) -> None:
    assert (await world.to(world.serve("two.test", answer=answer)).send(request())).body == body


async def test_a_body_may_end_with_the_connection(world: World) -> None:
    def answer(raw: Raw) -> None:
        raw.write(b"HTTP/1.1 200 OK\r\n\r\n{}")
        raw.transport.loseConnection()

    assert (await world.to(world.serve("two.test", answer=answer)).send(request())).body == b"{}"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + b"x" * 1001, id="too large"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + 2 * (b"1f5\r\n" + b"x" * 501 + b"\r\n"),
            id="too large in chunks",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 200 + b"\r\n", id="many headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 300_000, id="a long header"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 20, id="never to the point"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="upgrade"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", id="two lengths"),
    ],
)  # fmt: skip
async def test_a_hostile_answer_is_a_bad_answer(world: World, answer: bytes) -> None:
    server = world.serve("two.test", answer=answer)
    with pytest.raises(BadAnswer):
        await world.to(server).send(request())


async def test_half_an_answer_is_no_answer(world: World) -> None:
    def answer(raw: Raw) -> None:
        raw.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}")
        raw.transport.loseConnection()

    with pytest.raises(Unreachable):
        await world.to(world.serve("two.test", answer=answer)).send(request())


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}"])
async def test_who_does_not_answer_in_time_is_not_waited_for(world: World, answer: bytes) -> None:
    server = world.serve("two.test", answer=answer)
    reason = await fault_of(world.to(server).send(request(timeout_s=0.2)))
    assert reason == "no answer in 0.2 s"


async def test_what_nobody_asked_for_closes_the_connection(world: World) -> None:
    """Else it would be taken for the answer to the next request."""
    server = world.serve("two.test", answer=OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    wire = world.to(server)
    for _ in range(2):
        with contextlib.suppress(BadAnswer):
            assert (await wire.send(request())).body == b"{}"
    assert len(server.connections) == 2


async def test_a_stream_comes_in_pieces(world: World) -> None:
    body = b"x" * 3_000_000
    server = world.serve("two.test", answer=b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\nX-A: b\r\n\r\n" + body)
    wire = world.to(server)
    stream = await wire.stream(request(max_bytes=3_000_000))
    assert (stream.status, stream.headers["x-a"]) == (200, "b")
    assert await collect(stream) == body
    await wire.send(request(max_bytes=3_000_000))
    assert len(server.connections) == 1


async def test_a_stream_that_stops_is_given_up(world: World) -> None:
    server = world.serve("two.test", answer=b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{}")
    stream = await world.to(server).stream(request(timeout_s=0.2))
    with pytest.raises(Unreachable, match="stopped in the middle"):
        await collect(stream)


async def test_a_stream_beyond_its_limit_is_given_up(world: World) -> None:
    server = world.serve("two.test", answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000)
    stream = await world.to(server).stream(request())
    with pytest.raises(BadAnswer):
        await collect(stream)
