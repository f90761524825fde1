"""The servers of a large room, in a process of their own, over TLS.

    with serving(directory, members=10_000, events=30_000) as (room, authority): ...

They are one process at several addresses of this machine; what it takes of time and memory is not its neighbour's.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twisted.internet import reactor, ssl
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from benchmarks.large_room import SavedRoom
from matrix.ids import ServerName
from tests.support.certificates import Authority
from tests.support.ports import free_port

SERVERS = 20


@contextmanager
def serving(
    directory: Path, *, members: int, events: int, whole: bool = False
) -> Iterator[tuple[SavedRoom, Authority]]:
    """Makes a room, in a process of its own too, and serves it. `whole`: its servers leave no members out."""
    hosts, port = [f"127.0.0.{number}" for number in range(10, 10 + SERVERS)], free_port()
    authority = Authority(directory)
    certificate, key = authority.issue(*hosts)
    names = [f"{host}:{port}" for host in hosts]
    making = [sys.executable, "-m", "benchmarks.large_room", str(directory), str(members), str(events), *names]
    subprocess.run(making, check=True)
    what = "whole" if whole else "partial"
    command = [sys.executable, "-m", "benchmarks.large_room_server", str(directory), str(port)]
    server = subprocess.Popen([*command, str(certificate), str(key), what])
    try:
        yield SavedRoom(directory), authority
    finally:
        server.terminate()
        server.wait()


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


def main() -> None:
    """python -m benchmarks.large_room_server DIRECTORY PORT CERTIFICATE KEY whole|partial"""
    directory, port, certificate, key, whole = sys.argv[1:]
    room = SavedRoom(Path(directory), whole=whole == "whole")
    context = ssl.DefaultOpenSSLContextFactory(key, certificate)
    reactor.listenSSL(int(port), Site(_Room(room, int(port))), context, interface="0.0.0.0")
    reactor.run()


if __name__ == "__main__":
    main()
