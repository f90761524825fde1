"""For benchmarks of storage: a durable PostgreSQL of their own, rooms in it, and what both processes cost.

`start()` gives a storage over an empty database with the settings of a real server: fsync is on.
"""

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from attrs import define, field
from twisted.internet import reactor

from homeserver.runtime.clock import Clock
from homeserver.services.rooms.heads import Heads
from homeserver.services.rooms.intake import Intake, NewEvent, Signer
from matrix.events import Json
from matrix.ids import RoomId, ServerName, UserId
from matrix.room_versions import ROOM_VERSIONS
from matrix.signing import SigningKey
from storage.embedded import EmbeddedPostgres
from storage.opened import Storage, open_storage, prepare

ALICE = UserId("@alice:example.org")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@define
class Hearth:
    """What writes events, without HTTP."""

    directory: Path
    storage: Storage
    heads: Heads
    intake: Intake

    @property
    def dsn(self) -> str:
        return self.storage.dsn

    async def room(self, version: str = "12") -> RoomId:
        """A new public room of Alice's."""
        new = [
            NewEvent(type=kind, sender=ALICE, state_key=key, content=content)
            for kind, key, content in (
                ("m.room.create", "", {"room_version": version}),
                ("m.room.member", ALICE, {"membership": "join", "displayname": "Alice"}),
                ("m.room.power_levels", "", {"users": {}, "state_default": 50}),
                ("m.room.join_rules", "", {"join_rule": "public"}),
                ("m.room.history_visibility", "", {"history_visibility": "shared"}),
            )
        ]
        room_id, _ = await self.intake.create(ROOM_VERSIONS[version], new)
        return room_id

    def rows(self, sql: str) -> list[tuple[int, ...]]:
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        cur = connection.cursor()
        cur.execute(sql)
        rows = cur.fetchall() if cur.description else []
        connection.close()
        return rows


def message(number: int) -> NewEvent:
    """A text message such as people write."""
    body = f"Message {number}: the quick brown fox jumps over the lazy dog, as it does every day at noon."
    content: Json = {"msgtype": "m.text", "body": body, "m.mentions": {}}
    return NewEvent(type="m.room.message", sender=ALICE, content=content)


@contextmanager
def start() -> Iterator[Hearth]:
    with tempfile.TemporaryDirectory(prefix="hearth-benchmark-", ignore_cleanup_errors=True) as name:
        directory = Path(name) / "data"
        postgres = EmbeddedPostgres(directory)
        prepare(postgres.dsn)
        storage = open_storage(postgres.dsn, reactor=reactor)
        heads = Heads(database=storage.database, events=storage.events)
        storage.read_by(heads.read_stream)
        intake = Intake(
            heads=heads,
            events=storage.events,
            database=storage.database,
            committer=storage.committer,
            state_keys=storage.state_keys,
            signer=Signer(server_name=ServerName("example.org"), key=SigningKey.from_seed("a", b"b" * 32)),
            clock=Clock(reactor),
        )
        yield Hearth(directory, storage, heads, intake)
        storage.close()
        postgres.stop()


def postgres_cpu_s(directory: Path) -> float:
    """CPU of PostgreSQL's processes so far."""
    master = int((directory / "postmaster.pid").read_text().split()[0])
    ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == master or int(entry.name) == master:
            ticks += int(fields[11]) + int(fields[12])
        if int(entry.name) == master:
            ticks += int(fields[13]) + int(fields[14])  # of its children that have ended
    return ticks * _TICK_S


@define
class Cost:
    """Seconds, between two moments."""

    directory: Path
    _wall: float = field(init=False, factory=time.perf_counter)
    _own: float = field(init=False, factory=lambda: _own_cpu_s())
    _postgres: float = field(init=False)

    @_postgres.default
    def _now(self) -> float:
        return postgres_cpu_s(self.directory)

    def line(self, name: str, count: int) -> str:
        wall = time.perf_counter() - self._wall
        own, postgres = _own_cpu_s() - self._own, postgres_cpu_s(self.directory) - self._postgres
        per = 1e3 / count
        return (
            f"{name:34} {count / wall:9,.0f} /s   CPU ms each: Hearth {own * per:6.3f}"
            f"  PostgreSQL {postgres * per:6.3f}  together {(own + postgres) * per:6.3f}"
        )


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
