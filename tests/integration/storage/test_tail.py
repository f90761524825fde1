"""Two processes over one database: each hears of the other's commits, in one order, as its own objects."""

from collections.abc import Callable

import psycopg2
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from matrix.events import from_pdu
from matrix.ids import EventId
from matrix.room_versions import ROOM_VERSIONS
from storage import events as event_rows
from storage.change import Change, Entry, Kind
from storage.commit import CHANNEL
from storage.events import EventRow, StoredEvent
from storage.opened import Storage, open_storage
from storage.rooms import ADD_ROOM
from storage.tail import trim_listeners

WAIT_S = 60


class Process:
    """A storage of its own, and what its stream has told."""

    def __init__(self, dsn: str) -> None:
        self.storage: Storage = open_storage(dsn, reactor=reactor, threads=2)
        self.told: list[Entry] = []
        self._waiting: list[tuple[int, Deferred]] = []
        self.storage.read_by(self._read)

    def _read(self, entries: list[Entry]) -> None:
        self.told += entries
        for position, deferred in self._waiting:
            if self.storage.stream.position >= position and not deferred.called:
                deferred.callback(None)

    async def heard_of(self, position: int) -> None:
        if self.storage.stream.position < position:
            deferred: Deferred = Deferred().addTimeout(WAIT_S, reactor)
            self._waiting.append((position, deferred))
            await deferred

    def commit(self, change: Change) -> Deferred:
        return self.storage.committer(change)


@pytest.fixture
def process(dsn: str):
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(dsn))
        return started[-1]

    yield start
    for one in started:
        one.storage.close()


Start = Callable[[], Process]


def rows(dsn: str, sql: str) -> None:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    connection.cursor().execute(sql)
    connection.close()


def profile(name: str) -> Change:
    made = Change()
    made.announce(Entry(Kind.PROFILE, user_id=name, body={"name": name}))
    return made


def event(nid: int, *, kind: str = "m.room.message", state_key: str | None = None) -> tuple[Change, Entry]:
    pdu = {
        "type": kind, "sender": "@a:x", "room_id": "!r", "content": {"membership": "join"}, "origin_server_ts": 1,
        "depth": 1, "prev_events": [], "auth_events": [],
    }  # fmt: skip
    if state_key is not None:
        pdu["state_key"] = state_key
    made, entry = Change(), Entry(Kind.EVENT, 1, state_key)
    stored = StoredEvent(nid, 1, from_pdu(pdu, ROOM_VERSIONS["11"], EventId(f"${nid}")), entry)
    entry.body = stored
    event_rows.add(made, EventRow(stored, None, [], []), made.announce(entry))
    return made, entry


def summary(entries: list[Entry]) -> list[tuple]:
    return [(entry.position, entry.kind, entry.user_id, entry.room_nid) for entry in entries]


async def test_a_commit_of_another_process_is_told(process: Start) -> None:
    first, second = process(), process()
    await first.commit(profile("@a:x"))
    await second.heard_of(1)
    assert summary(second.told) == summary(first.told) == [(1, Kind.PROFILE, "@a:x", None)]
    assert second.told[0].body == {"name": "@a:x"}


async def test_processes_that_write_at_once_tell_one_order_and_their_own_objects(process: Start) -> None:
    first, second = process(), process()
    changes = {
        one: [profile(f"@{number}-{name}:x") for number in range(150)] for one, name in ((first, "a"), (second, "b"))
    }
    await gatherResults(
        [
            one.commit(change)
            for pair in zip(*changes.values(), strict=True)
            for one, change in zip(changes, pair, strict=True)
        ]
    )
    for one in (first, second):
        await one.heard_of(300)
    assert [entry.position for entry in first.told] == list(range(1, 301))
    assert summary(first.told) == summary(second.told)
    for one, made in changes.items():
        ours = {id(entry) for change in made for entry in change.entries}
        assert sum(id(entry) in ours for entry in one.told) == 150


async def test_an_event_of_another_process_is_the_one_object_of_this_one(process: Start) -> None:
    first, second = process(), process()
    made, _ = event(5)
    await first.commit(made.put(ADD_ROOM, (1, "!r", "11", "@a:x", None)))
    await second.heard_of(1)
    stored = second.told[0].body
    assert (stored.nid, stored.position, stored.event.event_id) == (5, 1, "$5")
    assert (await second.storage.events.get([5]))[5] is stored


async def test_a_membership_names_the_member_wherever_it_was_sent(process: Start) -> None:
    first, second = process(), process()
    made, _ = event(5, kind="m.room.member", state_key="@bob:x")
    await first.commit(made.put(ADD_ROOM, (1, "!r", "11", "@a:x", None)))
    await second.heard_of(1)
    assert [entry.user_id for entry in second.told] == ["@bob:x"]
    assert second.storage.stream.user_entries("@bob:x", 0, 1) == second.told


async def test_a_lost_connection_is_replaced_and_nothing_is_missed(process: Start, dsn: str) -> None:
    first, second = process(), process()
    await first.commit(profile("@a:x"))
    await second.heard_of(1)
    for round_ in range(3):
        rows(dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                  " AND query LIKE 'LISTEN%'")  # fmt: skip
        await first.commit(profile(f"@{round_}:x"))
        await second.heard_of(2 + round_)
    assert [entry.position for entry in second.told] == [1, 2, 3, 4]


async def test_a_process_that_starts_begins_where_the_stream_is(process: Start) -> None:
    first = process()
    await first.commit(profile("@a:x"))
    late = process()
    assert late.storage.stream.position == late.storage.stream.floor == 1
    await first.commit(profile("@b:x"))
    await late.heard_of(2)
    assert [entry.user_id for entry in late.told] == ["@b:x"]


async def test_what_was_deleted_before_it_was_read_leaves_no_hole(process: Start, dsn: str) -> None:
    first, second = process(), process()
    # A position whose row is gone, and in one statement: `second` may read at any moment.
    rows(dsn, "UPDATE stream_head SET position = position + 1")
    await first.commit(profile("@b:x"))
    await second.heard_of(2)
    assert [(entry.position, entry.kind) for entry in second.told] == [(1, Kind.GONE), (2, Kind.PROFILE)]


class Listener:
    """Hears all notices, and registers nowhere."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg2.connect(dsn)
        self._connection.autocommit = True
        self._connection.cursor().execute(f"LISTEN {CHANNEL}")

    def heard(self) -> list[str]:
        """What has been told so far: PostgreSQL says it before it answers anything else."""
        self._connection.cursor().execute("SELECT")
        payloads = [notice.payload.partition(" ")[0] for notice in self._connection.notifies]
        self._connection.notifies.clear()
        return payloads

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def listener(dsn: str):
    listener = Listener(dsn)
    yield listener
    listener.close()


async def test_who_is_alone_tells_nobody(process: Start, listener: Listener) -> None:
    first = process()
    await first.commit(profile("@a:x"))
    assert listener.heard() == []


async def test_others_are_told_from_their_first_moment_on(process: Start, listener: Listener) -> None:
    first = process()
    await first.commit(profile("@a:x"))
    second = process()
    await first.commit(profile("@b:x"))
    await second.commit(profile("@c:x"))
    assert listener.heard() == ["2", "3"]


async def test_who_listens_anew_is_told_again(process: Start, dsn: str, listener: Listener) -> None:
    first, second = process(), process()
    # As after a crash of PostgreSQL, or where another server took its place: nobody is known to listen.
    rows(dsn, "DELETE FROM listeners")
    await first.commit(profile("@a:x"))
    assert listener.heard() == []
    second.storage.tail.stop()
    second.storage.tail.start(second.storage.stream)
    await second.heard_of(1)
    await first.commit(profile("@b:x"))
    assert listener.heard() == ["2"]


async def test_those_that_have_gone_are_forgotten_by_who_comes(process: Start, dsn: str, listener: Listener) -> None:
    # No session has this number.
    rows(dsn, "INSERT INTO listeners (pid, instance) VALUES (-1, 'gone')")
    first = process()
    await first.commit(profile("@a:x"))
    assert listener.heard() == []


async def test_those_that_have_gone_are_forgotten_by_who_stays(process: Start, dsn: str, listener: Listener) -> None:
    first, second = process(), process()
    rows(dsn, "INSERT INTO listeners (pid, instance) VALUES (-1, 'gone')")
    assert await first.storage.database.run(trim_listeners) == 1
    await first.commit(profile("@a:x"))
    await second.heard_of(1)
    assert listener.heard() == ["1"]
