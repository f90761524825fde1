"""Joining a large room over TLS: Hearth and Synapse, each a process of its own, from the same server written by hand.

python -m benchmarks.bench_large_join_beside [--members N --events N] [--servers synapse hearth] [--patience S]
    [--whole]

Synapse is that of $SYNAPSE_PYTHON, over SQLite; Hearth has its own PostgreSQL beside it. What is told: seconds until
the join is answered and until all members are known, CPU and memory of the server's process, and how long another
client waited for an answer meanwhile. Each minute it says how far a server has come, and after `--patience` seconds
that it has not come to an end.
"""

import argparse
import json
import os
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.bench_large_join import forget_peak, memory_mb
from benchmarks.large_room import SavedRoom
from benchmarks.large_room_server import serving
from tests.interop.servers import Homeserver, start_hearth, start_synapse

STAGE_S = 60
# Of the other client.
LONGEST_WAIT_S = 900
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def ask(url: str, path: str, token: str | None = None, body: Any = None, *, patience_s: float) -> Any:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/_matrix/client/v3{path}", data, headers)
    with urllib.request.urlopen(request, timeout=patience_s) as answer:
        return json.load(answer)


class Other(threading.Thread):
    """Another client, who asks for little, again and again."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self.waits: list[float] = []
        self.is_done = False

    def run(self) -> None:
        while not self.is_done:
            began = time.perf_counter()
            try:
                with urllib.request.urlopen(f"{self._url}/_matrix/client/versions", timeout=LONGEST_WAIT_S) as answer:
                    answer.read()
            except OSError:
                # The server goes down.
                return
            self.waits.append(time.perf_counter() - began)
            time.sleep(0.02)

    def line(self) -> str:
        waits = sorted(self.waits)
        p50, p99, most = (waits[at] * 1e3 for at in (len(waits) // 2, -len(waits) // 100, -1))
        return f"p50 {p50:.0f}, p99 {p99:.0f}, most {most:.0f} ms"


class Stages(threading.Thread):
    """Says each minute what a server has cost so far."""

    def __init__(self, name: str, pid: int) -> None:
        super().__init__(daemon=True)
        self._name, self._pid = name, pid
        self._began, self._cpu_before = time.perf_counter(), cpu_s(pid)
        self.answered: tuple[float, float] | None = None
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(STAGE_S):
            print(f"{self._name:8} after {self.line()}", flush=True)

    def now(self) -> tuple[float, float]:
        """Seconds since the beginning, and those of CPU."""
        return time.perf_counter() - self._began, cpu_s(self._pid) - self._cpu_before

    def line(self) -> str:
        seconds, cpu = self.now()
        stage = "the join is not answered" if self.answered is None else "answered, not all members are known"
        return f"{seconds:6.0f} s ({cpu:.1f} s CPU, {memory_mb('VmRSS', self._pid):.0f} MB): {stage}"


def measure(name: str, homeserver: Homeserver, room: SavedRoom, patience_s: float) -> None:
    url, pid = homeserver.url, homeserver._process.pid
    account = {"username": "alice", "password": "a long password", "auth": {"type": "m.login.dummy"}}
    token = ask(url, "/register", body=account, patience_s=patience_s)["access_token"]
    time.sleep(2)
    forget_peak(pid)
    before = memory_mb("VmRSS", pid)
    other, stages = Other(url), Stages(name, pid)
    other.start()
    stages.start()
    room_id = quote(room.room_id, safe="")
    try:
        ask(url, f"/join/{room_id}?server_name={room.servers[0]}", token, {}, patience_s=patience_s)
        stages.answered = stages.now()
        members = ask(url, f"/rooms/{room_id}/joined_members", token, patience_s=patience_s)["joined"]
        known = stages.now()
        print(
            f"{name:8} join answered after {stages.answered[0]:6.1f} s ({stages.answered[1]:.1f} s CPU),"
            f" {len(members):,} members known after {known[0]:6.1f} s ({known[1]:.1f} s CPU)"
        )
    except OSError as error:
        print(f"{name:8} given up ({error}) after {stages.line()}")
    other.is_done = True
    stages.done.set()
    most = memory_mb("VmHWM", pid)
    print(f"         memory {before:.0f} MB, most {most:.0f} MB; another client waits {other.line()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=30_000)
    starters = {"hearth": start_hearth, "synapse": start_synapse}
    parser.add_argument("--servers", nargs="+", choices=starters, default=list(starters), help="in this order")
    parser.add_argument("--patience", type=float, default=3600, help="seconds for an answer")
    parser.add_argument("--whole", action="store_true", help="the other server leaves no members out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hearth-large-", ignore_cleanup_errors=True) as path:
        directory = Path(path)
        room = serving(directory, members=arguments.members, events=arguments.events, whole=arguments.whole)
        with room as (saved, authority):
            for name in arguments.servers:
                (directory / name).mkdir()
                homeserver = starters[name](directory / name, authority)
                try:
                    measure(name, homeserver, saved, arguments.patience)
                finally:
                    homeserver.stop()


if __name__ == "__main__":
    main()
