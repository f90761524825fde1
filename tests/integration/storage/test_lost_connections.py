"""The committer's connection is cut at every point of a commit: each change is done once, and its caller told so."""

import psycopg2
import pytest
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from storage.change import AlreadyThere, Change, Entry, Insert, Kind
from storage.commit import Committer, CommitterStopped
from storage.database import Database
from storage.stream import entry_body
from tests.support.cutting_proxy import Cut, CuttingProxy

TXN = Insert(
    "event_transactions",
    {"user_id": "text", "device": "text", "transaction_id": "text", "event_nid": "bigint", "made_ms": "bigint"},
)
BOTH = (b"BEGIN", b"COMMIT")


def head(cur) -> int:
    cur.execute("SELECT position FROM stream_head")
    return cur.fetchone()[0]


class Cutting:
    """A committer behind a proxy."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.proxy = CuttingProxy(dsn)
        self.told: list[Entry] = []
        self.committer = Committer(
            self.proxy.dsn, reactor=reactor, published=self.told.extend, instance="test", entry_body=entry_body
        )
        self.committer.start()

    def rows(self, sql: str) -> list[tuple]:
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        cur = connection.cursor()
        cur.execute(sql)
        rows = cur.fetchall() if cur.description else []
        connection.close()
        return rows

    def close(self) -> None:
        self.committer.stop()
        self.proxy.close()


@pytest.fixture
def cutting(dsn: str):
    cutting = Cutting(dsn)
    yield cutting
    cutting.close()


def change(name: str) -> Change:
    made = Change()
    made.announce(Entry(Kind.PROFILE, user_id=name, body={}))
    return made.put(TXN, (name, "", "", 0, 0))


@pytest.mark.parametrize("when", Cut)
@pytest.mark.parametrize("statement", BOTH)
async def test_a_change_is_done_once_wherever_the_connection_ends(
    cutting: Cutting, statement: bytes, when: Cut
) -> None:
    await cutting.committer(change("@before:x"))
    cutting.proxy.cut(statement, when)
    await gatherResults([cutting.committer(change(f"@{number}:x")) for number in range(5)])
    await cutting.committer(change("@after:x"))
    assert cutting.proxy.cuts == 1
    assert [entry.position for entry in cutting.told] == list(range(1, 8))
    assert cutting.rows("SELECT count(*) FROM event_transactions") == [(7,)]
    assert cutting.rows("SELECT position, user_id FROM stream ORDER BY 1") == [
        (entry.position, entry.user_id) for entry in cutting.told
    ]


@pytest.mark.parametrize("when", Cut)
async def test_a_change_without_entries_is_done_once_too(cutting: Cutting, when: Cut) -> None:
    await cutting.committer(change("@before:x"))
    cutting.proxy.cut(b"COMMIT", when)
    await cutting.committer(Change().put(TXN, ("@quiet:x", "", "", 0, 0)))
    assert cutting.rows("SELECT count(*) FROM event_transactions") == [(2,)]
    assert cutting.rows("SELECT position FROM stream_head") == [(1,)]


@pytest.mark.parametrize("when", Cut)
async def test_a_commit_of_another_process_is_not_taken_for_ours(cutting: Cutting, dsn: str, when: Cut) -> None:
    """Positions move on between our commit and the moment when we ask what became of it."""
    other = Committer(dsn, reactor=reactor, published=lambda entries: None, instance="other", entry_body=entry_body)
    other.start()
    await cutting.committer(change("@before:x"))
    cutting.proxy.cut(b"COMMIT", when)
    await gatherResults([committer(change(f"@{n}:x")) for n in range(10) for committer in (cutting.committer,)]
                        + [other(change(f"@other{n}:x")) for n in range(10)])  # fmt: skip
    other.stop()
    assert cutting.rows("SELECT count(*), max(position) FROM stream") == [(21, 21)]
    ours = cutting.rows("SELECT position, user_id FROM stream WHERE user_id NOT LIKE '@other%' ORDER BY 1")
    assert ours == [(entry.position, entry.user_id) for entry in cutting.told]


async def test_a_lost_connection_while_a_failure_is_undone_loses_nothing(cutting: Cutting) -> None:
    await cutting.committer(change("@same:x"))
    cutting.proxy.cut(b"ROLLBACK", Cut.BEFORE)
    waiting = [cutting.committer(change(name)) for name in ("@a:x", "@same:x", "@b:x")]
    with pytest.raises(AlreadyThere):
        await waiting[1]
    await waiting[0]
    await waiting[2]
    assert cutting.rows("SELECT count(*) FROM event_transactions") == [(3,)]


async def test_a_function_whose_connection_was_lost_is_run_again(cutting: Cutting) -> None:
    runs = []

    def count(cur) -> int:
        runs.append(1)
        if len(runs) == 1:
            cur.execute("SELECT pg_backend_pid()")
            cutting.rows(f"SELECT pg_terminate_backend({cur.fetchone()[0]}, 5000)")
        cur.execute("SELECT count(*) FROM event_transactions")
        return cur.fetchone()[0]

    assert await cutting.committer(change("@a:x").run(count)) == 1
    assert len(runs) == 2


async def test_the_crash_of_another_session_costs_no_change(cutting: Cutting) -> None:
    await cutting.committer(change("@before:x"))
    cutting.proxy.crash()
    assert cutting.proxy.cuts == 1
    await cutting.committer(change("@after:x"))
    assert cutting.rows("SELECT count(*) FROM event_transactions") == [(2,)]
    assert [entry.position for entry in cutting.told] == [1, 2]


@pytest.mark.parametrize("door", ["read", "run"])
async def test_the_crash_of_another_session_costs_no_read(cutting: Cutting, door: str) -> None:
    database = Database(cutting.proxy.dsn, reactor=reactor, threads=1)
    database.start()
    for _ in range(2):
        assert await getattr(database, door)(head) == 0
        cutting.proxy.crash()
    assert await getattr(database, door)(head) == 0
    assert cutting.proxy.cuts == 2
    database.stop()


async def test_after_the_stop_nothing_is_taken_and_nothing_waits_for_ever(cutting: Cutting) -> None:
    waiting = cutting.committer(change("@a:x"))
    cutting.committer.stop()
    await waiting
    with pytest.raises(CommitterStopped):
        await cutting.committer(change("@b:x"))
