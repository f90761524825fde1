"""Hearth and PostgreSQL as real processes, to be killed; and clients that repeat what was not acknowledged.

hearth = HearthProcess(tmp_path, dsn)
hearth.start()
alice = hearth.register("alice")
room = alice.must("POST", "/createRoom", {})["room_id"]
hearth.kill()
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import psutil
import psycopg2
import yaml

from storage.embedded import EmbeddedPostgres
from tests.support.ports import free_port

V3 = "/_matrix/client/v3"
START_S = 60
_FREE = {"per_second": 100000, "burst_count": 100000}


class HearthProcess:
    """`hearth serve` over a database; the same port and directory each time that it is started.

    Without a `dsn` over a PostgreSQL of its own, in `postgres`.
    """

    def __init__(self, directory: Path, dsn: str | None) -> None:
        self.port = free_port()
        self.up = threading.Event()
        self.repeated = 0  # requests that had to be
        self.postgres = directory / "postgres"
        self._directory = directory
        self._process: subprocess.Popen[str] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        config = {
            "server_name": "hearth.test",
            "listeners": [
                {
                    "port": self.port,
                    "bind_addresses": ["127.0.0.1"],
                    "type": "http",
                    "resources": [{"names": ["client"]}],
                }
            ],
            "database": {} if dsn is None else _database(dsn),
            "enable_registration": True,
            "enable_registration_without_verification": True,
            "rc_message": _FREE,
            "rc_registration": _FREE,
            "rc_login": {"address": _FREE, "account": _FREE, "failed_attempts": _FREE},
            "rc_joins": {"local": _FREE, "remote": _FREE},
            "rc_joins_per_room": _FREE,
            "rc_room_creation": _FREE,
        }
        (directory / "homeserver.yaml").write_text(yaml.safe_dump(config))

    def start(self) -> None:
        """Returns when it listens."""
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "homeserver",
            "serve",
            "-c",
            self._directory / "homeserver.yaml",
        ]
        with (self._directory / "errors.log").open("a") as errors:
            self._process = subprocess.Popen(
                [*command, "--data", self._directory], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            said += line
            if "listening on" in line:
                self.up.set()
                return
        raise AssertionError(f"Hearth did not start: {said}{(self._directory / 'errors.log').read_text()[-2000:]}")

    def kill(self) -> None:
        """As the kernel would, short of memory."""
        self.up.clear()
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_S)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def end(self) -> None:
        """As an operator would."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(START_S)
        self.kill()

    def register(self, name: str) -> "HttpClient":
        client = HttpClient(self)
        body = {"username": name, "password": "correct horse battery", "auth": {"type": "m.login.dummy"}}
        client.token = client.must("POST", "/register", body)["access_token"]
        return client


class HttpClient:
    """A client with a connection of its own. Blocks; one for each thread."""

    def __init__(self, hearth: HearthProcess, token: str | None = None) -> None:
        self.hearth = hearth
        self.token = token
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, json: Any = None) -> tuple[int, Any]:
        """Raises: OSError, HTTPException, where there was no answer."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.hearth.port, timeout=60)
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        try:
            self._connection.request(method, V3 + path, None if json is None else orjson.dumps(json), headers)
            answer = self._connection.getresponse()
            return answer.status, orjson.loads(answer.read())
        except BaseException:
            self._connection.close()
            self._connection = None
            raise

    def must(self, method: str, path: str, json: Any = None) -> Any:
        status, answer = self.ask(method, path, json)
        assert status == 200, (method, path, status, answer)
        return answer

    def persist(self, method: str, path: str, json: Any = None) -> Any:
        """The answer to a request that is repeated, as it is, until it is acknowledged."""
        deadline = time.monotonic() + START_S
        while True:
            assert self.hearth.up.wait(START_S) and time.monotonic() < deadline, "Hearth did not come back"
            try:
                status, answer = self.ask(method, path, json)
            except (OSError, http.client.HTTPException):
                status = 503
            if status == 200:
                return answer
            assert status >= 500, (method, path, status, answer)
            self.hearth.repeated += 1


class PostgresProcess:
    """A PostgreSQL of the test's own. `kill` kills all its processes at once, `start` starts it again.

    `kill_session` kills one of them, and PostgreSQL by itself ends all the others and starts anew.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # No test crashes the machine, only processes: the kernel keeps what they wrote.
        self._postgres = EmbeddedPostgres(directory, settings="fsync = off\nmax_wal_size = 256MB\n")
        self.dsn = self._postgres.dsn

    def start(self) -> None:
        self._postgres.ensure_running()

    def kill(self) -> None:
        kill_postgres(self._directory)

    def kill_session(self) -> None:
        """The one that wrote last."""
        connection = psycopg2.connect(self.dsn)
        cur = connection.cursor()
        cur.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            " ORDER BY query LIKE '%COMMIT%' DESC, state_change DESC LIMIT 1"
        )
        ((session,),) = cur.fetchall()
        os.kill(session, signal.SIGKILL)
        with contextlib.suppress(psycopg2.Error):
            connection.close()

    def stop(self) -> None:
        self._postgres.stop()


def kill_postgres(directory: Path) -> None:
    """All processes of the server in a directory, at once."""
    master = int((directory / "postmaster.pid").read_text().split()[0])
    os.kill(master, signal.SIGSTOP)  # it must not start others meanwhile
    processes = [psutil.Process(pid) for pid in [*_children(master), master]]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, START_S)


def _database(dsn: str) -> dict[str, Any]:
    words = psycopg2.extensions.parse_dsn(dsn)
    args = {"database" if key == "dbname" else key: value for key, value in words.items()}
    return {"name": "psycopg2", "args": args, "allow_unsafe_locale": True}


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(entry.name))
        except OSError:  # it has ended meanwhile
            continue
    return found
