"""Kill -9 of Hearth, and a service that breaks off in the middle: nothing lost, doubled or out of order.

Real processes and real HTTP.
"""

import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import psycopg2
import pytest
import yaml

from tests.support.ports import free_port
from tests.support.processes import HearthProcess, HttpClient

MESSAGES = 60
PATIENCE_S = 60
REGISTRATION = {
    "id": "irc",
    "as_token": "as-irc",
    "hs_token": "hs-irc",
    "sender_localpart": "_irc_bot",
    "rate_limited": False,
    "namespaces": {"users": [], "aliases": [], "rooms": []},
}


class ThreadedService:
    """Takes transactions on threads of its own; now and then it breaks off, having taken one or not."""

    def __init__(self, seed: int) -> None:
        self.port = free_port()
        self.taken: dict[str, Any] = {}
        self.bodies: dict[str, bytes] = {}
        self.faults: list[str] = []
        self._chance = random.Random(seed)
        self._changed = threading.Condition()
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if service.takes(self.path.rpartition("/")[2], body):
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(b"{}")
                self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def takes(self, txn_id: str, body: bytes) -> bool:
        with self._changed:
            if self.bodies.setdefault(txn_id, body) != body:
                self.faults.append(f"another body for {txn_id}")
            luck = self._chance.random()
            if luck > 0.15:
                self.taken.setdefault(txn_id, orjson.loads(body))
                self._changed.notify_all()
            return luck > 0.3

    @property
    def texts(self) -> list[str]:
        events = [event for body in self.taken.values() for event in body["events"]]
        return [event["content"]["body"] for event in events if event["type"] == "m.room.message"]

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.texts) >= count, PATIENCE_S), len(self.texts)


@pytest.fixture
def service() -> Iterator[ThreadedService]:
    service = ThreadedService(seed=5)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def start(dsn: str, service: ThreadedService) -> Iterator[Callable[[], HearthProcess]]:
    """Another process of the one homeserver, running."""
    running: list[HearthProcess] = []
    with tempfile.TemporaryDirectory(prefix="hearth-crash-", ignore_cleanup_errors=True) as name:
        registration = Path(name) / "irc.yaml"
        url = f"http://127.0.0.1:{service.port}"
        registration.write_text(yaml.safe_dump({**REGISTRATION, "url": url}))

        def begin() -> HearthProcess:
            directory = Path(name) / str(len(running))
            running.append(HearthProcess(directory, dsn))
            config = directory / "homeserver.yaml"
            more = {"app_service_config_files": [str(registration)]}
            config.write_text(config.read_text() + yaml.safe_dump(more))
            running[-1].start()
            return running[-1]

        yield begin
        for hearth in running:
            hearth.kill()


def nudge(hearth: HearthProcess) -> None:
    """The service asks for something, so that it is not waited for longer."""
    HttpClient(hearth, "as-irc").persist("GET", "/account/whoami")


def as_stored(dsn: str) -> list[str]:
    connection = psycopg2.connect(dsn)
    cur = connection.cursor()
    cur.execute("SELECT json::json->'content'->>'body' FROM events WHERE type = 'm.room.message' ORDER BY position")
    said = [body for (body,) in cur]
    connection.close()
    return said


def write(alice: HttpClient, room: str) -> None:
    for number in range(MESSAGES):
        path = f"/rooms/{quote(room)}/send/m.room.message/{number}"
        alice.persist("PUT", path, {"msgtype": "m.text", "body": str(number)})


def joined_room(hearth: HearthProcess) -> tuple[HttpClient, str]:
    """A user in a room of the service's."""
    alice, bot = hearth.register("alice"), HttpClient(hearth, "as-irc")
    room = bot.must("POST", "/createRoom", {"preset": "public_chat"})["room_id"]
    alice.must("POST", f"/join/{quote(room)}", {})
    return alice, room


def check(dsn: str, service: ThreadedService) -> None:
    assert not service.faults
    assert service.texts == as_stored(dsn) == [str(number) for number in range(MESSAGES)]


def test_hearth_is_killed_while_it_tells_a_service_that_breaks_off(
    dsn: str, service: ThreadedService, start: Callable[[], HearthProcess]
) -> None:
    hearth = start()
    alice, room = joined_room(hearth)
    writer = threading.Thread(target=write, args=(alice, room))
    writer.start()
    for moment in (MESSAGES // 5, MESSAGES // 2):
        while len(service.texts) < moment:
            nudge(hearth)
        hearth.kill()
        hearth.start()
    writer.join(PATIENCE_S)
    while len(service.texts) < MESSAGES:
        nudge(hearth)
    check(dsn, service)


def test_the_service_is_away_and_comes_back_while_hearth_is_killed(
    dsn: str, service: ThreadedService, start: Callable[[], HearthProcess]
) -> None:
    hearth = start()
    alice, room = joined_room(hearth)
    service.stop()
    write(alice, room)
    hearth.kill()
    service.start()
    hearth.start()
    while len(service.texts) < MESSAGES:
        nudge(hearth)
    check(dsn, service)


def test_one_of_two_processes_is_killed_and_the_other_tells_the_service(
    dsn: str, service: ThreadedService, start: Callable[[], HearthProcess]
) -> None:
    first = start()
    alice, room = joined_room(first)
    second = start()
    writer = threading.Thread(target=write, args=(HttpClient(second, alice.token), room))
    writer.start()
    while len(service.texts) < MESSAGES // 4:
        nudge(first)
    first.kill()
    writer.join(PATIENCE_S)
    while len(service.texts) < MESSAGES:
        nudge(second)
    check(dsn, service)
