"""CPU of the web layer, in microseconds a request: `python -m benchmarks.bench_web`.

In memory: parser, router, coroutine and answer, without sockets. Over sockets: the same on the epoll reactor with
20 connections, the server's CPU only. Upload and download: 10 MB over one connection, in milliseconds.
"""

import io
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import reactor  # noqa: E402
from twisted.internet.testing import StringTransport  # noqa: E402

from homeserver.web.call import Call, Requester  # noqa: E402
from homeserver.web.replies import Answer, StreamReply  # noqa: E402
from homeserver.web.router import Access, Body, Router, client, route  # noqa: E402
from homeserver.web.server import HttpServer  # noqa: E402
from matrix.ids import RoomId, UserId  # noqa: E402

ALICE = Requester(UserId("@alice:hearth.test"))
SIZE = 10_000_000
HEAD = (
    "Host: hearth.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) Element/1.11\r\nAccept: application/json\r\n"
    "Accept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nOrigin: https://app.hearth.test\r\n"
    "Authorization: Bearer syt_YWxpY2U_QmVuY2htYXJrVG9rZW4_0123ab\r\nConnection: keep-alive\r\n"
)


class Api:
    @route("GET", *client("/account/whoami"))
    async def whoami(self, call: Call) -> Answer:
        return {"user_id": call.user.user_id, "device_id": "ABCDEFGH"}

    @route("PUT", *client("/rooms/{room_id}/send/{event_type}/{txn_id}"))
    async def send(self, call: Call, room_id: RoomId, event_type: str, txn_id: str) -> Answer:
        return {"event_id": call.json().text("body")}

    @route("POST", "/upload", body=Body.STREAM, max_body_bytes=2 * SIZE)
    async def upload(self, call: Call) -> Answer:
        return {"bytes": sum([len(chunk) async for chunk in call.stream])}

    @route("GET", "/download")
    async def download(self, call: Call) -> Answer:
        return StreamReply(io.BytesIO(b"x" * SIZE), SIZE)


async def authenticate(call: Call, access: Access) -> None:
    if call.access_token():
        call.requester = ALICE


def request(method: str, path: str, body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\n{HEAD}{length}\r\n".encode() + body


WHOAMI = request("GET", "/_matrix/client/v3/account/whoami")
SEND = request(
    "PUT",
    "/_matrix/client/v3/rooms/!abcdefgh:hearth.test/send/m.room.message/m1690000000.1",
    b'{"msgtype":"m.text","body":"hello, how are you?"}',
)


class Sink(StringTransport):
    def write(self, data: bytes) -> None:
        pass


def in_memory(server: HttpServer, payload: bytes, count: int = 30_000) -> float:
    connection = server.buildProtocol(None)
    connection.makeConnection(Sink())
    start = time.process_time()
    for _ in range(count):
        connection.dataReceived(payload)
    return (time.process_time() - start) / count * 1e6


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def load(port: int, payload: bytes, rounds: int, connections: int) -> None:
    """In a process of its own: one request at a time on each connection."""
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for _ in range(rounds):
        for one in sockets:
            one.sendall(payload)
        for one in sockets:
            one.recv(65536)


def drain(port: int, payload: bytes, expected: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(payload)
        received = 0
        while received < expected:
            received += len(one.recv(1 << 20))


def in_child(work: Callable[..., None], *args: Any) -> float:
    """The server's CPU, in seconds, while a child process works."""
    before = cpu_s()
    child = os.fork()
    if child == 0:
        work(*args)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    return cpu_s() - before


def measure(server: HttpServer, port: int) -> None:
    out = sys.stdout.write
    out(f"in memory   whoami {in_memory(server, WHOAMI):6.1f} us   send {in_memory(server, SEND):6.1f} us\n")
    for name, payload in (("whoami", WHOAMI), ("send", SEND)):
        out(f"sockets     {name} {in_child(load, port, payload, 1000, 20) / 20_000 * 1e6:6.1f} us\n")
    out(f"upload      10 MB {in_child(drain, port, request('POST', '/upload', b'x' * SIZE), 100) * 1e3:6.1f} ms\n")
    out(f"download    10 MB {in_child(drain, port, request('GET', '/download'), SIZE) * 1e3:6.1f} ms\n")


def main() -> None:
    router = Router(authenticate=authenticate)
    router.add(Api())
    server = HttpServer(router=router, reactor=reactor)  # type: ignore[arg-type]
    port = reactor.listenTCP(0, server, interface="127.0.0.1")  # type: ignore[attr-defined]

    def run() -> None:
        measure(server, port.getHost().port)
        reactor.callFromThread(reactor.stop)  # type: ignore[attr-defined]

    reactor.callWhenRunning(lambda: threading.Thread(target=run).start())  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
