"""Stands between libpq and PostgreSQL, and cuts the connection at a chosen point of a chosen statement."""

import contextlib
import os
import socket
import tempfile
import threading
from enum import Enum
from pathlib import Path

import psycopg2


class Cut(Enum):
    """When, seen from a statement on its way to the server."""

    BEFORE = "nothing of it arrives"
    HALFWAY = "half of its bytes arrive"
    SENT = "all of it arrives, and the connection ends at once"
    ANSWERED = "it is done, but the answer does not come back"


# What PostgreSQL tells each session when another one has crashed, before it ends them all.
_LAST_WORDS = b"SWARNING\0VWARNING\0C57P02\0Mterminating connection because of crash of another server process\0\0"


class CuttingProxy:
    """`proxy.dsn` reaches the same database as `dsn`. Each connection has a thread; `cuts` counts what it has done."""

    def __init__(self, dsn: str) -> None:
        words = psycopg2.extensions.parse_dsn(dsn)
        self._server = str(Path(words["host"]) / ".s.PGSQL.5432")
        # A unix socket, as the real one: who writes to an end that was closed hears of it at once.
        self._directory = tempfile.TemporaryDirectory(prefix="hearth-cutting-")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(os.path.join(self._directory.name, ".s.PGSQL.5432"))
        self._listener.listen()
        self.dsn = f"host={self._directory.name} user={words['user']} dbname={words['dbname']}"
        self._clients: list[socket.socket] = []
        self.cuts = 0
        self._plan: tuple[bytes, Cut] | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, statement: bytes, when: Cut) -> None:
        """Once, at the next message to the server that contains these bytes."""
        self._plan = (statement, when)

    def crash(self) -> None:
        """Ends all connections that are open, as PostgreSQL does when one of its processes was killed."""
        clients, self._clients = self._clients, []
        for client in clients:
            self.cuts += 1
            with contextlib.suppress(OSError):
                client.sendall(b"N" + (len(_LAST_WORDS) + 4).to_bytes(4) + _LAST_WORDS)
            _close(client)

    def close(self) -> None:
        # Only a shutdown wakes the thread that accepts.
        _close(self._listener)
        self._directory.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            self._clients.append(client)
            threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        message = b""
        try:
            while data := client.recv(1 << 20):
                message += data
                # A simple query: its length stands after the letter.
                if message[:1] == b"Q" and len(message) < 1 + int.from_bytes(message[1:5]):
                    continue
                plan = self._plan
                if plan is not None and plan[0] in message:
                    self._plan = None
                    self.cuts += 1
                    self._end(client, server, message, plan[1])
                    return
                server.sendall(message)
                message = b""
        except OSError:
            pass
        _close(server)

    def _end(self, client: socket.socket, server: socket.socket, message: bytes, when: Cut) -> None:
        if when is Cut.ANSWERED:
            # The pump must not bring the answer back: this direction is closed before the server hears of it.
            client.shutdown(socket.SHUT_WR)
        if when is Cut.HALFWAY:
            server.sendall(message[: len(message) // 2])
        elif when is not Cut.BEFORE:
            server.sendall(message)
        _close(client)
        if when is Cut.ANSWERED:
            # An orderly end: the server finishes what it was told first.
            server.shutdown(socket.SHUT_WR)
        else:
            _close(server)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 20):
            target.sendall(data)
    except OSError:
        pass
    _close(target)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
