"""What a message costs in a bridge: CPU of the bridge's process, with its homeserver in another.

    python -m benchmarks.bench_bridge [MESSAGES] [memory|slack|slack-unlimited|discord ...]

A real Hearth and a PostgreSQL of its own; the network is in memory and costs next to nothing, or it is Slack's or
Discord's fake, with the real library in the bridge. Both directions, in ten channels, at 100 messages a second and as
fast as it goes. Slack lets an app post ten times a second at most: towards `slack` what the bridge costs by the second
is in the figure, `slack-unlimited` takes all that comes.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from benchmarks.bridged_networks import Remote, network, remote
from tests.support.ports import free_port
from tests.support.processes import HearthProcess, HttpClient


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(prefix="hearth-bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        hearth = HearthProcess(directory, None)
        hearth.start()
        try:
            for kind in sys.argv[2:] or ["memory"]:
                for direction in ("in", "out"):
                    for rate in (100.0, 0.0):
                        with remote(kind) as there:
                            _show(kind, direction, rate, _measure(directory, hearth, there, direction, rate, count))
        finally:
            hearth.end()


def _show(kind: str, direction: str, rate: float, told: dict[str, float]) -> None:
    pace = f"{rate:g}/s" if rate else "as fast as it goes"
    print(f"{kind:8} {direction:3} {pace:18} {told['cpu_ms']:.2f} ms CPU a message, {told['per_s']:.0f}/s", flush=True)


def _measure(
    directory: Path, hearth: HearthProcess, there: Remote, direction: str, rate: float, count: int
) -> dict[str, float]:
    port = free_port()
    name = f"bench{there.told['kind']}{direction}{int(rate)}"
    _register(directory, hearth, name, port)
    command = [sys.executable, "-m", "benchmarks.bench_bridge", "--process", json.dumps(there.told), str(directory)]
    arguments = [name, str(port), str(hearth.port), direction, str(rate), str(count)]
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdin is not None
    rooms = json.loads(process.stdout.readline())
    if direction == "out":
        _write(hearth.register(name), rooms, rate, count)
    elif there.told["kind"] != "memory":
        for number in _paced(rate, count):
            there.say(number % len(rooms), f"message {number}")
    answer = json.loads(process.stdout.readline())
    process.wait()
    return dict(answer)


def _paced(rate: float, count: int) -> Iterator[int]:
    began = time.monotonic()
    for number in range(count):
        if rate:
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
        yield number


def _register(directory: Path, hearth: HearthProcess, name: str, port: int) -> None:
    file = directory / f"{name}.yaml"
    namespaces = {
        "users": [{"regex": f"@{name}_.*", "exclusive": True}],
        "aliases": [{"regex": f"#{name}_.*", "exclusive": True}],
        "rooms": [],
    }
    spec: dict[str, Any] = {"id": name, "url": f"http://127.0.0.1:{port}", "as_token": f"as {name}", "hs_token": "hs"}
    spec |= {"sender_localpart": f"{name}bot", "rate_limited": False, "namespaces": namespaces}
    file.write_text(json.dumps(spec))
    words = ["appservice", "add", str(file), "-c", str(directory / "homeserver.yaml"), "--data", str(directory)]
    subprocess.run([sys.executable, "-m", "homeserver", *words], check=True, stdout=subprocess.DEVNULL)


def _write(client: HttpClient, rooms: list[str], rate: float, count: int) -> None:
    for room in rooms:
        client.must("POST", f"/join/{quote(room)}", {})
    for number in _paced(rate, count):
        room = rooms[number % len(rooms)]
        content = {"msgtype": "m.text", "body": f"message {number}"}
        client.must("PUT", f"/rooms/{quote(room)}/send/m.room.message/{number}", content)


# --- the bridge's process


def bridge(told: str, directory: str, name: str, ports: tuple[int, int], pace: tuple[str, float, int]) -> None:
    from twisted.internet import asyncioreactor

    asyncioreactor.install()  # type: ignore[no-untyped-call]
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    async def run() -> None:
        await _bridge(json.loads(told), directory, name, ports, pace)
        reactor.stop()  # type: ignore[attr-defined]

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run()).addErrback(_fail))  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]
    # The library's threads and sockets need not be waited for.
    os._exit(0)


def _fail(failure: Any) -> None:
    failure.printTraceback(sys.stderr)
    sys.stderr.flush()
    os._exit(1)


async def _bridge(
    told: dict[str, Any], directory: str, name: str, ports: tuple[int, int], pace: tuple[str, float, int]
) -> None:
    from twisted.internet import reactor

    from homeserver.runtime.clock import Clock
    from homeserver.web.server import HttpServer

    (port, hs_port), (direction, rate, count) = ports, pace
    parts, made = _parts(told, directory, name, hs_port)
    clock = Clock(reactor)
    await parts.load()
    factory = HttpServer(router=parts.router(), reactor=reactor)  # type: ignore[arg-type]
    reactor.listenTCP(port, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
    await parts.start()
    rooms = [await _room(parts, clock, channel) for channel in told["channels"]]
    await parts.inbox.idle()
    process = psutil.Process()
    print(json.dumps(rooms), flush=True)
    before, began = process.cpu_times(), clock.seconds()
    for number in range(count if made is not None and direction == "in" else 0):
        if rate:
            await clock.sleep(max(0.0, began + number / rate - clock.seconds()))
        made.say(told["channels"][number % len(rooms)], f"U{number % len(rooms)}", f"message {number}")
    done = parts.context.metrics.counter("bridge_messages", "Messages bridged", ["direction", "kind"])
    while done.labels(direction, "message")._value.get() < count:
        await clock.sleep(0.2)
    after, took_s = process.cpu_times(), clock.seconds() - began
    cpu_s = after.user + after.system - before.user - before.system
    print(json.dumps({"cpu_ms": 1000 * cpu_s / count, "per_s": count / took_s}), flush=True)


async def _room(parts: Any, clock: Any, channel: str) -> str:
    """The channel's room, as soon as the network is there."""
    from appservice.bridges.core.errors import NetworkError
    from appservice.bridges.core.ids import ChannelId

    while True:
        try:
            return str((await parts.bridging.open(ChannelId(channel), None)).room_id)
        except NetworkError:
            await clock.sleep(0.1)


def _parts(told: dict[str, Any], directory: str, name: str, hs_port: int) -> tuple[Any, Any]:
    from twisted.internet import reactor

    from appservice.bridges.core.assembly import Assembled, World
    from appservice.bridges.core.crossing import LoopFromThreads
    from appservice.bridges.core.settings import AppserviceOptions, BackfillOptions, BridgeSettings, HomeserverOptions
    from appservice.bridges.core.wire import TreqWire
    from homeserver.runtime.clock import Clock
    from homeserver.runtime.metrics import Metrics
    from homeserver.runtime.tasks import Tasks
    from matrix.ids import ServerName
    from storage.database import Database
    from storage.embedded import EmbeddedPostgres
    from synapse_like_config.units import BaseUrl

    address = BaseUrl(f"http://127.0.0.1:{hs_port}")
    appservice = AppserviceOptions(
        id=name, as_token=f"as {name}", hs_token="hs", bot=f"{name}bot", users=name + "_{}", aliases=name + "_{}"
    )
    settings = BridgeSettings(
        homeserver=HomeserverOptions(server_name=ServerName("hearth.test"), address=address),
        appservice=appservice,
        backfill=BackfillOptions(initial=0, look_back=0),
    )
    clock, metrics = Clock(reactor), Metrics()
    threads = LoopFromThreads(asyncio.get_event_loop())
    database = Database(EmbeddedPostgres(Path(directory) / "postgres").dsn, reactor=threads)
    database.start()
    world = World(
        reactor=reactor,  # type: ignore[arg-type]
        database=database,
        wire=TreqWire(address=address, reactor=reactor),  # type: ignore[arg-type]
        clock=clock,
        tasks=Tasks(clock=clock, metrics=metrics),
        metrics=metrics,
    )
    place = Path(directory) / name
    place.mkdir()
    tools = {"reactor": reactor, "clock": clock, "tasks": world.tasks, "metrics": metrics}
    connected, made = network(told, place, tools)
    return Assembled(settings, connected, world), made


if __name__ == "__main__":
    if sys.argv[1:2] == ["--process"]:
        told, directory, name, port, hs_port, direction, rate, count = sys.argv[2:]
        asyncio.set_event_loop(asyncio.new_event_loop())
        bridge(told, directory, name, (int(port), int(hs_port)), (direction, float(rate), int(count)))
    else:
        main()
