"""CPU of media over a real port and database, in milliseconds an operation: `python -m benchmarks.bench_media`.

10 MB up and down, the thumbnail of an image of one megapixel for the first time and again. Of the server and of
PostgreSQL together; best and median of several, since others share the machine.
"""

import io
import multiprocessing
import os
import random
import resource
import socket
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import epollreactor

epollreactor.install()

from PIL import Image  # noqa: E402
from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred  # noqa: E402

from homeserver.web.server import HttpServer  # noqa: E402
from storage.embedded import EmbeddedPostgres  # noqa: E402
from storage.opened import prepare  # noqa: E402
from tests.support.homeserver import Homeserver, make_config  # noqa: E402

SIZE = 10_000_000
TIMES = 8
UPLOAD, V1 = "/_matrix/media/v3/upload", "/_matrix/client/v1/media"


def own_ms() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return (own.ru_utime + own.ru_stime) * 1000


def postgres_ms() -> float:
    """Of all the processes that PostgreSQL is made of."""
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_ours(entry):
            total += int((entry / "schedstat").read_text().split()[0])
    return total / 1e6


def _is_ours(entry: Path) -> bool:
    try:
        return str((entry / "cwd").readlink()).startswith(tempfile.gettempdir() + "/bench_media")
    except OSError:
        return False


def request(method: str, path: str, token: str, body: bytes = b"", content_type: str = "image/png") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def exchange(port: int, requests: list[bytes]) -> list[bytes]:
    """Answers, one after another on one connection."""
    answers = []
    with socket.create_connection(("127.0.0.1", port)) as one:
        for each in requests:
            one.sendall(each)
            answers.append(_answer(one))
    return answers


def _answer(one: socket.socket) -> bytes:
    data = bytearray()
    while b"\r\n\r\n" not in data:
        data += one.recv(65536)
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    received = len(body)
    buffer = bytearray(1 << 20)
    while received < length:
        received += one.recv_into(buffer)
    return body


class Asker:
    """A process of its own that asks, so that its CPU is not counted."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        context.Process(target=_ask_forever, args=(other,), daemon=True).start()

    def cost(self, port: int, requests: list[bytes]) -> float:
        """CPU in ms of the server meanwhile."""
        self._pipe.send((port, requests))
        self._pipe.recv()
        # Looking at the processes of PostgreSQL costs as much as a small request: it is left out of our own time.
        before = postgres_ms()
        own = own_ms()
        self._pipe.send("go")
        self._pipe.recv()
        return own_ms() - own + postgres_ms() - before


def _ask_forever(pipe: Any) -> None:
    while True:
        port, requests = pipe.recv()
        pipe.send("ready")
        pipe.recv()
        exchange(port, requests)
        pipe.send("done")


def report(name: str, measure: Callable[[], float]) -> None:
    values = [measure() for _ in range(TIMES)]
    sys.stdout.write(f"{name:34} best {min(values):7.2f} ms   median {statistics.median(values):7.2f} ms\n")


def image(kind: str) -> bytes:
    """One megapixel that looks like a photograph to an encoder."""
    noise = random.Random(1).randbytes(100 * 100 * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (100, 100), noise).resize((1000, 1000), Image.Resampling.BICUBIC).save(out, kind)
    return out.getvalue()


def measure(asker: Asker, port: int, token: str) -> None:
    random_bytes = random.Random(2).randbytes(SIZE - 16)

    def upload(body: bytes) -> str:
        (answer,) = exchange(port, [request("POST", UPLOAD, token, body)])
        return answer.split(b"mxc://")[1].split(b'"')[0].decode()

    def get(path: str) -> bytes:
        return request("GET", f"{V1}/{path}", token)

    report("nothing", lambda: asker.cost(port, []))
    report("upload 10 MB", lambda: asker.cost(port, [request("POST", UPLOAD, token, os.urandom(16) + random_bytes)]))
    key = upload(os.urandom(16) + random_bytes)
    report("download 10 MB", lambda: asker.cost(port, [get(f"download/{key}")]))
    report("download 10 MB, five at once", lambda: asker.cost(port, [get(f"download/{key}")] * 5) / 5)
    for kind in ("JPEG", "PNG", "WEBP"):
        made = image(kind)

        def first(body: bytes = made) -> float:
            fresh = upload(body + os.urandom(16))
            return asker.cost(port, [get(f"thumbnail/{fresh}?width=320&height=240")])

        report(f"thumbnail of 1 MP {kind}, first", first)
    again = get(f"thumbnail/{upload(image('JPEG'))}?width=320&height=240")
    report("thumbnail again", lambda: asker.cost(port, [again] * 500) / 500)


async def serve(directory: Path) -> tuple[Homeserver, int, str, EmbeddedPostgres]:
    postgres = EmbeddedPostgres(directory / "postgres")
    prepare(postgres.dsn)
    hs = await Homeserver.start(postgres.dsn, make_config(directory))
    server: Any = HttpServer(router=hs.server.router, reactor=reactor)  # type: ignore[arg-type]
    port = reactor.listenTCP(0, server, interface="127.0.0.1")  # type: ignore[attr-defined]
    return hs, port.getHost().port, (await hs.register("alice")).token, postgres


def main() -> None:
    asker = Asker()
    with tempfile.TemporaryDirectory(prefix="bench_media") as directory:

        def started(result: Any) -> None:
            if not isinstance(result, tuple):
                sys.stderr.write(f"{result}\n")
                reactor.stop()  # type: ignore[attr-defined]
                return
            hs, port, token, postgres = result

            def run() -> None:
                try:
                    measure(asker, port, token)
                finally:
                    reactor.callFromThread(stop)  # type: ignore[attr-defined]

            def stop() -> None:
                hs.server.close()
                postgres.stop()
                reactor.stop()  # type: ignore[attr-defined]

            threading.Thread(target=run).start()

        reactor.callWhenRunning(  # type: ignore[attr-defined]
            lambda: Deferred.fromCoroutine(serve(Path(directory))).addBoth(started)
        )
        reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
