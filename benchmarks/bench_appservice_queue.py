"""A queue of 10,000 events for a service that was down: how fast it drains, and what others notice of it.

Services are processes of their own, over HTTP. PostgreSQL is durable. Two services have missed the same events: the
first is told while nothing else happens, which gives the cost of an event; the second while a user sends messages to
another room, whose service is there all the time, which gives what others notice.

python -m benchmarks.bench_appservice_queue [--profile]
"""

import cProfile
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import orjson
import yaml
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from appservice.queue import Queue
from benchmarks.measured import Cost
from homeserver.services.rooms.intake import NewEvent
from matrix.ids import RoomId, UserId
from storage.embedded import EmbeddedPostgres
from storage.opened import prepare
from tests.support.homeserver import Client, Homeserver, make_config, q
from tests.support.ports import free_port

EVENTS, AT_ONCE, PROBES = 10_000, 50, 200


class Handler(BaseHTTPRequestHandler):
    """Takes transactions; says what it got when it is asked."""

    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece: in two, the kernel would wait 40 ms for the other side between them.
    wbufsize = -1
    disable_nagle_algorithm = True
    bodies: ClassVar[list[str]] = []

    def do_PUT(self) -> None:
        body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies += [one["content"]["body"] for one in body["events"] if one["type"] == "m.room.message"]
        self._say({})

    def do_GET(self) -> None:
        numbers = [int(body) for body in self.bodies]
        self._say({"count": len(numbers), "in_order": numbers == sorted(set(numbers))})

    def _say(self, value: Any) -> None:
        answer = orjson.dumps(value)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


class Service:
    """A service as a process."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.port = name, free_port()
        self.file = directory / f"{name}.yaml"
        namespaces: dict[str, Any] = {"users": [], "aliases": [], "rooms": []}
        told = {
            "id": name,
            "url": f"http://127.0.0.1:{self.port}",
            "as_token": f"as-{name}",
            "hs_token": f"hs-{name}",
            "sender_localpart": f"_{name}_bot",
            "rate_limited": False,
            "namespaces": namespaces,
        }
        self.file.write_text(yaml.safe_dump(told))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.bench_appservice_queue", "--service", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def heard(self) -> dict[str, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/")
        value: dict[str, Any] = orjson.loads(connection.getresponse().read())
        return value

    async def room(self, hs: Homeserver) -> str:
        answer = await hs.ask("POST", "/createRoom", {"preset": "public_chat"}, f"as-{self.name}")
        return str(answer.json["room_id"])


def queue_of(hs: Homeserver, service: Service) -> Queue:
    return hs.server.appservices.senders.queues()[service.name]


async def settled(hs: Homeserver, service: Service) -> None:
    queue = queue_of(hs, service)
    while not queue.is_idle or queue.position < hs.core.storage.stream.position:
        await deferLater(reactor, 0.001)


async def fill(hs: Homeserver, room: str, user_id: str, count: int) -> None:
    for start in range(0, count, AT_ONCE):
        new = [
            NewEvent(
                type="m.room.message",
                sender=UserId(user_id),
                content={"msgtype": "m.text", "body": str(number), "org.example.filler": "the quick brown fox " * 5},
            )
            for number in range(start, start + AT_ONCE)
        ]
        await hs.server.rooms.intake.send(RoomId(room), new)


async def probe(alice: Client, room: str, count: int, numbers: list[int], *, while_: Any = None) -> list[float]:
    """How long it takes to send messages, in ms, sorted."""
    waits: list[float] = []
    while len(waits) < count and (while_ is None or while_()):
        began = time.perf_counter()
        await alice.send(room, str(numbers.pop(0)))
        waits.append((time.perf_counter() - began) * 1e3)
        await deferLater(reactor, 0.005)
    return sorted(waits)


def shown(name: str, waits: list[float]) -> None:
    print(f"{name:44} p50 {waits[len(waits) // 2]:6.1f}  p95 {waits[len(waits) * 95 // 100]:6.1f} ms ({len(waits)})")


async def prepared(hs: Homeserver, there: Service, *behind: Service) -> tuple[Client, str]:
    """A user, and a room of the service that is there; of those that are not, the queues."""
    alice = await hs.register("alice")
    while len(hs.server.appservices.senders.queues()) < 1 + len(behind):
        await deferLater(reactor, 0.01)
    room, other = await behind[0].room(hs), await there.room(hs)
    for service in behind[1:]:
        await hs.ask("POST", f"/join/{q(room)}", {}, f"as-{service.name}")
    for one in (room, other):
        await alice.ok("POST", f"/join/{q(one)}", {})
    began = time.perf_counter()
    await fill(hs, room, alice.user_id, EVENTS)
    print(f"written {EVENTS:,} events in {time.perf_counter() - began:.1f} s")
    await settled(hs, there)
    return alice, other


async def drain(hs: Homeserver, data: Path, service: Service, name: str) -> None:
    service.start()
    queue, cost, began = queue_of(hs, service), Cost(data), time.perf_counter()
    hs.server.appservices.senders.wake(service.name)
    while queue.is_running:
        await deferLater(reactor, 0.01)
    print(cost.line(name, EVENTS), f"  in {time.perf_counter() - began:.2f} s")
    heard = service.heard()
    assert heard == {"count": EVENTS, "in_order": True}, heard


async def measure(alice: Client, other: str, data: Path, services: Sequence[Service]) -> None:
    hs, numbers = alice.hs, list(range(100_000))
    there, *behind = services
    for service in behind:
        while (
            service.name not in (queues := hs.server.appservices.senders.queues()) or not queues[service.name].failures
        ):
            await deferLater(reactor, 0.01)
    shown("others send a message, nothing drains", await probe(alice, other, PROBES, numbers))
    await settled(hs, there)
    first, second = behind
    await drain(hs, data, first, "drained, nothing else happens")
    queue = queue_of(hs, second)
    probing = Deferred.fromCoroutine(probe(alice, other, 100_000, numbers, while_=lambda: queue.is_running))
    await drain(hs, data, second, "drained, those messages included")
    shown("others send a message meanwhile", await probing)
    await settled(hs, there)
    assert there.heard()["in_order"]


async def main() -> None:
    profile = cProfile.Profile(time.thread_time)
    with tempfile.TemporaryDirectory(prefix="hearth-benchmark-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        services = [Service(each, directory) for each in ("there", "behind", "further-behind")]
        postgres = EmbeddedPostgres(directory / "data")
        prepare(postgres.dsn)
        files = ", ".join(str(service.file) for service in services)
        config = make_config(directory, f"app_service_config_files: [{files}]\n")
        services[0].start()
        hs = await Homeserver.start(postgres.dsn, config)
        try:
            alice, other = await prepared(hs, *services)
            # What was written must be read from the database.
            await hs.stop()
            hs = await Homeserver.start(postgres.dsn, config)
            if "--profile" in sys.argv:
                profile.enable()
            await measure(alice.at(hs), other, directory / "data", services)
        finally:
            profile.disable()
            for service in services:
                service.stop()
            await hs.stop()
            postgres.stop()
    if "--profile" in sys.argv:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)


def serve(port: int) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print("listening", flush=True)
    server.serve_forever()


def begin() -> None:
    running: Deferred[None] = Deferred.fromCoroutine(main())
    running.addErrback(lambda failure: failure.printTraceback(sys.stderr))
    running.addBoth(lambda _: reactor.stop())


if __name__ == "__main__":
    if "--service" in sys.argv:
        serve(int(sys.argv[-1]))
    else:
        reactor.callWhenRunning(begin)
        reactor.run()
