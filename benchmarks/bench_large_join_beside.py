"""Joining a large room over TLS: Hearth and Synapse, each a process of its own, from the same server written by hand.

python -m benchmarks.bench_large_join_beside [--members N --events N] [--only hearth|synapse] [--whole]

Synapse is that of $SYNAPSE_PYTHON, over SQLite; Hearth has its own PostgreSQL beside it. What is told: seconds until
the join is answered and until all members are known, CPU and memory of the server's process, and how long another
client waited for an answer meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet import reactor, ssl
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from benchmarks.bench_large_join import forget_peak, memory_mb
from benchmarks.large_room import SavedRoom, write_room
from matrix.ids import ServerName
from tests.interop.servers import Homeserver, start_hearth, start_synapse
from tests.support.certificates import Authority
from tests.support.ports import free_port

SERVERS = 20
PATIENCE_S = 900
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class _Room(Resource):
    """All servers of the room: which of them is asked, the address says."""

    isLeaf = True

    def __init__(self, room: SavedRoom, port: int) -> None:
        super().__init__()
        self._room = room
        self._port = port

    def render(self, request: Request) -> bytes:
        server = ServerName(f"{request.getHost().host}:{self._port}")
        status, body = self._room.answer(server, request.uri.decode())
        request.setResponseCode(status)
        request.setHeader("Content-Type", "application/json")
        return body


def serve(directory: str, port: str, certificate: str, key: str, whole: str) -> None:
    room = SavedRoom(Path(directory), whole=whole == "whole")
    context = ssl.DefaultOpenSSLContextFactory(key, certificate)
    reactor.listenSSL(int(port), Site(_Room(room, int(port))), context, interface="0.0.0.0")
    reactor.run()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def ask(url: str, path: str, token: str | None = None, body: Any = None) -> Any:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/_matrix/client/v3{path}", data, headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
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
                with urllib.request.urlopen(f"{self._url}/_matrix/client/versions", timeout=PATIENCE_S) as answer:
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


def measure(name: str, homeserver: Homeserver, room: SavedRoom) -> None:
    url, pid = homeserver.url, homeserver._process.pid
    account = {"username": "alice", "password": "a long password", "auth": {"type": "m.login.dummy"}}
    token = ask(url, "/register", body=account)["access_token"]
    time.sleep(2)
    other = Other(url)
    other.start()
    forget_peak(pid)
    before, cpu, began = memory_mb("VmRSS", pid), cpu_s(pid), time.perf_counter()
    ask(url, f"/join/{quote(room.room_id, safe='')}?server_name={room.servers[0]}", token, {})
    answered, cpu_answered = time.perf_counter() - began, cpu_s(pid) - cpu
    members = ask(url, f"/rooms/{quote(room.room_id, safe='')}/joined_members", token)["joined"]
    known = time.perf_counter() - began
    other.is_done = True
    print(
        f"{name:8} join answered after {answered:6.1f} s ({cpu_answered:.1f} s CPU), {len(members):,} members known"
        f" after {known:6.1f} s ({cpu_s(pid) - cpu:.1f} s CPU)\n         memory {before:.0f} MB, most"
        f" {memory_mb('VmHWM', pid):.0f} MB; another client waits {other.line()}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--only", choices=["hearth", "synapse"])
    parser.add_argument("--whole", action="store_true", help="the other server leaves no members out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hearth-large-", ignore_cleanup_errors=True) as path:
        directory, port = Path(path), free_port()
        hosts = [f"127.0.0.{number}" for number in range(10, 10 + SERVERS)]
        authority = Authority(directory)
        certificate, key = authority.issue(*hosts)
        write_room(directory, [f"{host}:{port}" for host in hosts], members=arguments.members, events=arguments.events)
        whole = "whole" if arguments.whole else "partial"
        command = [sys.executable, "-m", "benchmarks.bench_large_join_beside", "serve"]
        server = subprocess.Popen([*command, str(directory), str(port), str(certificate), str(key), whole])
        try:
            for name, start in (("hearth", start_hearth), ("synapse", start_synapse)):
                if arguments.only in (None, name):
                    (directory / name).mkdir()
                    homeserver = start(directory / name, authority)
                    try:
                        measure(name, homeserver, SavedRoom(directory))
                    finally:
                        homeserver.stop()
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(*sys.argv[2:7])
    else:
        main()
