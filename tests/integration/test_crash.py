"""Acknowledged means durable: processes are killed in the middle of writes, and nothing is lost, torn or doubled.

Real processes and real HTTP. The moments are drawn from a seed, by what was acknowledged so far.
"""

import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg2
import pytest

from tests.support.consistency import faults
from tests.support.processes import HearthProcess, HttpClient, PostgresProcess, kill_postgres

WRITERS = 8
EACH = 30

Start = Callable[[str | None], HearthProcess]


@pytest.fixture
def own_directory() -> Iterator[Path]:
    # Not in pytest's own directory, which each run of pytest closes to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="hearth-crash-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def start(own_directory: Path) -> Iterator[Start]:
    """`start(dsn)`: a running Hearth over a database; None: over a PostgreSQL of its own."""
    running: list[HearthProcess] = []

    def begin(dsn: str | None) -> HearthProcess:
        running.append(HearthProcess(own_directory / f"hearth{len(running)}", dsn))
        running[-1].start()
        return running[-1]

    yield begin
    for hearth in running:
        hearth.kill()


@pytest.fixture
def own_postgres(own_directory: Path) -> Iterator[PostgresProcess]:
    server = PostgresProcess(own_directory / "postgres")
    yield server
    server.stop()


class Writers:
    """Clients that write into one room at once: messages, and every tenth time state.

    Each repeats what was not acknowledged.
    """

    def __init__(self, clients: list[HttpClient], room: str) -> None:
        self.acknowledged: dict[str, str] = {}  # event id by what was said
        self._clients = clients
        self._room = quote(room)
        self._changed = threading.Condition()

    def write(self, number: int) -> None:
        client = self._clients[number % len(self._clients)]
        client = HttpClient(client.hearth, client.token)
        for count in range(EACH):
            said = f"{number}.{count}"
            if count % 10 == 9:
                path, content = f"/rooms/{self._room}/state/org.example.count/{number}", {"count": said}
            else:
                path, content = f"/rooms/{self._room}/send/m.room.message/{said}", {"msgtype": "m.text", "body": said}
            event_id = client.persist("PUT", path, content)["event_id"]
            with self._changed:
                self.acknowledged[said] = event_id
                self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= count, 60)

    def interrupted(self, interrupt: Callable[[], None], *, times: int, seed: int) -> None:
        """Writes it all, with so many interruptions on the way."""
        chance = random.Random(seed)
        with ThreadPoolExecutor(WRITERS) as pool:
            results = [pool.submit(self.write, number) for number in range(WRITERS)]
            for moment in sorted(chance.sample(range(20, WRITERS * EACH * 9 // 10), times)):
                self.wait_for(moment)
                threading.Event().wait(chance.random() * 0.02)
                interrupt()
            for result in results:
                result.result(60)


def said_in(dsn: str) -> Counter[str]:
    """What the room's messages and counts say, and how often."""
    connection = psycopg2.connect(dsn)
    cur = connection.cursor()
    cur.execute(
        "SELECT coalesce(json::json->'content'->>'body', json::json->'content'->>'count') FROM events"
        " WHERE type IN ('m.room.message', 'org.example.count')"
    )
    said = Counter(body for (body,) in cur)
    connection.close()
    return said


def assert_nothing_lost_or_doubled(dsn: str, writers: Writers) -> None:
    said = said_in(dsn)
    assert writers.acknowledged.keys() == said.keys()
    # A state event has no transaction id: repeated it may be there again, if the first one's answer was lost.
    doubled = {body for body, times in said.items() if times > 1 and not body.endswith("9")}
    assert doubled == set()
    connection = psycopg2.connect(dsn)
    cur = connection.cursor()
    cur.execute("SELECT event_id FROM events")
    assert set(writers.acknowledged.values()) <= {event_id for (event_id,) in cur}
    connection.close()
    assert faults(dsn) == []


def test_nothing_acknowledged_is_lost_when_hearth_is_killed(dsn: str, start: Start) -> None:
    hearth = start(dsn)
    alice = hearth.register("alice")
    room = alice.must("POST", "/createRoom", {"preset": "public_chat"})["room_id"]
    writers = Writers([alice], room)

    def kill_and_start() -> None:
        hearth.kill()
        hearth.start()

    writers.interrupted(kill_and_start, times=3, seed=1)
    assert_nothing_lost_or_doubled(dsn, writers)


def test_nothing_acknowledged_is_lost_when_postgresql_is_killed(own_postgres: PostgresProcess, start: Start) -> None:
    hearth = start(own_postgres.dsn)
    alice = hearth.register("alice")
    room = alice.must("POST", "/createRoom", {"preset": "public_chat"})["room_id"]
    writers = Writers([alice], room)

    def kill_and_start() -> None:
        own_postgres.kill()
        own_postgres.start()

    writers.interrupted(kill_and_start, times=3, seed=2)
    assert_nothing_lost_or_doubled(own_postgres.dsn, writers)


def test_nobody_hears_of_it_when_a_session_of_postgresql_is_killed(own_postgres: PostgresProcess, start: Start) -> None:
    hearth = start(own_postgres.dsn)
    alice = hearth.register("alice")
    room = alice.must("POST", "/createRoom", {"preset": "public_chat"})["room_id"]
    writers = Writers([alice], room)
    writers.interrupted(own_postgres.kill_session, times=2, seed=5)
    assert_nothing_lost_or_doubled(own_postgres.dsn, writers)
    assert hearth.repeated == 0


def test_hearth_starts_its_own_postgresql_again_when_that_was_killed(start: Start) -> None:
    hearth = start(None)
    alice = hearth.register("alice")
    room = quote(alice.must("POST", "/createRoom", {})["room_id"])
    path, content = f"/rooms/{room}/send/m.room.message", {"msgtype": "m.text", "body": "hello"}
    first = alice.must("PUT", f"{path}/1", content)
    kill_postgres(hearth.postgres)
    assert alice.persist("PUT", f"{path}/2", content)["event_id"] != first["event_id"]
    assert alice.persist("PUT", f"{path}/1", content) == first
    hearth.end()
    assert not (hearth.postgres / "postmaster.pid").exists()


def test_two_processes_that_write_to_one_room_make_one_room(dsn: str, start: Start) -> None:
    first, second = start(dsn), start(dsn)
    alice = first.register("alice")
    room = alice.must("POST", "/createRoom", {"preset": "public_chat"})["room_id"]
    writers = Writers([alice, HttpClient(second, alice.token)], room)
    writers.interrupted(lambda: None, times=0, seed=3)
    assert len(writers.acknowledged) == WRITERS * EACH
    assert_nothing_lost_or_doubled(dsn, writers)


def test_one_of_two_processes_is_killed_and_the_other_goes_on(dsn: str, start: Start) -> None:
    first, second = start(dsn), start(dsn)
    alice = first.register("alice")
    room = alice.must("POST", "/createRoom", {"preset": "public_chat"})["room_id"]
    writers = Writers([alice, HttpClient(second, alice.token)], room)

    def kill_and_start() -> None:
        second.kill()
        second.start()

    writers.interrupted(kill_and_start, times=2, seed=4)
    assert_nothing_lost_or_doubled(dsn, writers)
