"""Joining a room of 10,000 members and 30,000 state and auth events, from a server written by hand.

python -m benchmarks.bench_large_join inside [--whole] [--profile] [--members N --events N]
    Hearth in this process, the other server in another, over TLS: seconds until the join is answered and until the room
    is known whole, CPU, memory, and the longest that nobody else had a turn of the reactor.
"""

import argparse
import gc
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from benchmarks.large_room import SavedRoom
from benchmarks.large_room_server import serving
from benchmarks.measured import Cost
from homeserver.cli.serving import prepare_process, settle
from tests.integration.federation.tls_servers import make_wire
from tests.support.database import TestServer
from tests.support.homeserver import Homeserver, make_config, q

TICK_S = 0.001
LOOKED_AT_S = 0.002


@define
class Beat:
    """The longest time between two turns of the reactor: by the clock, and of it the work of its own thread.

    On a busy machine the first has in it what other processes took.
    """

    waits: list[float] = field(factory=list)
    works: list[float] = field(factory=list)
    last: float = field(factory=time.perf_counter)
    worked: float = field(factory=time.thread_time)

    def tick(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        self.waits.append(now - self.last - TICK_S)
        self.works.append(worked - self.worked)
        self.last, self.worked = now, worked
        reactor.callLater(TICK_S, self.tick)

    def line(self) -> str:
        return f"longest turns: {_longest(self.works)} ms of work; {_longest(self.waits)} ms by the clock"

    def clear(self) -> None:
        self.waits.clear()
        self.works.clear()


def _longest(seconds: list[float]) -> str:
    return ", ".join(f"{one * 1e3:.0f}" for one in sorted(seconds, reverse=True)[:6])


class Watch(threading.Thread):
    """Where the reactor's thread is in the longest turns, again and again."""

    def __init__(self, beat: Beat) -> None:
        super().__init__(daemon=True)
        self._beat = beat
        self.is_done = False
        # By the beginning of the turn.
        self._seen: dict[float, list[tuple[float, str]]] = {}

    def run(self) -> None:
        main = threading.main_thread().ident or 0
        clock = time.pthread_getcpuclockid(main)
        while not self.is_done:
            time.sleep(0.001)
            turn, worked = self._beat.last, time.clock_gettime(clock) - self._beat.worked
            if worked > LOOKED_AT_S and (frame := sys._current_frames().get(main)) is not None:
                stack = traceback.extract_stack(frame)[-6:]
                where = " < ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in stack[::-1])
                self._seen.setdefault(turn, []).append((worked, where))

    def lines(self) -> str:
        turns = sorted(self._seen.values(), key=lambda seen: -seen[-1][0])
        return "\n\n".join("\n".join(f"{worked * 1e3:5.1f} ms {where}" for worked, where in seen) for seen in turns[:8])


class Collections:
    """How long the collector of garbage has held everybody up, by generation."""

    def __init__(self) -> None:
        self._took: dict[int, list[float]] = {}
        self._began = 0.0
        gc.callbacks.append(self._look)

    def _look(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._took.setdefault(info["generation"], []).append(time.perf_counter() - self._began)

    def line(self) -> str:
        return "collections of garbage: " + ", ".join(
            f"{len(took)} of generation {generation}, longest {max(took) * 1e3:.0f} ms, all {sum(took):.2f} s"
            for generation, took in sorted(self._took.items())
        )


def memory_mb(name: str, pid: int | str = "self") -> float:
    """`VmRSS`, or `VmHWM`, the most since the last `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


def forget_peak(pid: int | str = "self") -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def measure(host: Homeserver, data: Path, room: SavedRoom, *, profile: bool) -> None:
    room_id = str(room.room_id)
    alice = await host.register("alice")
    beat = Beat()
    beat.tick()
    await sleep(0.5)
    settle()
    beat.clear()
    watch, collections = Watch(beat), Collections()
    forget_peak()
    before = memory_mb("VmRSS")
    cost = Cost(data)
    await sleep(0.1)
    beat.clear()
    if profile:
        watch.start()
    began, worked = time.perf_counter(), time.thread_time()
    await alice.ok("POST", f"/join/{q(room_id)}?via={room.servers[0]}", {})
    answered = time.perf_counter() - began
    print(f"join answered after {answered:.2f} s; {beat.line()}", flush=True)
    await is_whole(host, room_id)
    print(f"known whole after   {time.perf_counter() - began:.2f} s; {beat.line()}")
    watch.is_done = True
    print(f"CPU of the reactor's thread {time.thread_time() - worked:.2f} s; of all:")
    print(cost.line("join and completion", 1))
    print(f"memory: {before:.0f} MB before, most {memory_mb('VmHWM'):.0f} MB, now {memory_mb('VmRSS'):.0f} MB")
    print(collections.line())
    members = await alice.get(f"/rooms/{q(room_id)}/joined_members")
    print(f"{len(members['joined']):,} members")
    if profile:
        print(watch.lines())


async def is_whole(host: Homeserver, room_id: str) -> None:
    row = await host.server.rooms.heads.room(room_id)  # type: ignore[arg-type]
    await host.server.rooms.partial.whole(row.room_nid)


def sleep(seconds: float) -> "Deferred[None]":
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done


async def inside(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="hearth-large-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        (directory / "room").mkdir()
        serve = serving(directory / "room", members=arguments.members, events=arguments.events, whole=arguments.whole)
        with serve as (room, authority):
            server = TestServer(directory / "postgres")
            prepare_process()
            config = make_config(directory, "trusted_key_servers: []\n")
            host = await Homeserver.start(server.fresh(), config, wire=make_wire(authority))
            try:
                await measure(host, directory / "postgres", room, profile=arguments.profile)
            finally:
                await host.stop()
                server.postgres.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["inside"])
    parser.add_argument("--whole", action="store_true", help="the other server leaves no members out")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=30_000)
    arguments = parser.parse_args()

    async def run() -> None:
        try:
            await inside(arguments)
        finally:
            reactor.callLater(0, reactor.stop)

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run()).addErrback(lambda failure: failure.printTraceback()))
    reactor.run()


if __name__ == "__main__":
    main()
