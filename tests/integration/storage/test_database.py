"""Functions on threads: one transaction, run again after a lost race or connection, and never after a lost commit."""

import psycopg2
import pytest
from psycopg2 import errors
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from storage.database import ATTEMPTS, CommitUnknown, Database


@pytest.fixture
def database(dsn: str):
    database = Database(dsn, reactor=reactor, threads=2)
    database.start()
    yield database
    database.stop()


def rows(dsn: str, sql: str) -> list[tuple]:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cur = connection.cursor()
    cur.execute(sql)
    found = cur.fetchall() if cur.description else []
    connection.close()
    return found


def add(cur, number: int) -> int:
    cur.execute("INSERT INTO stream VALUES (%s, 'x', NULL, NULL, '{}')", (number,))
    return number


def end_session(cur, dsn: str) -> None:
    """As an administrator would, from another session."""
    cur.execute("SELECT pg_backend_pid()")
    rows(dsn, f"SELECT pg_terminate_backend({cur.fetchone()[0]}, 5000)")


async def test_a_function_is_one_transaction(database: Database, dsn: str) -> None:
    def fails(cur) -> None:
        add(cur, 1)
        add(cur, 1)

    with pytest.raises(errors.UniqueViolation):
        await database.run(fails)
    assert rows(dsn, "SELECT count(*) FROM stream") == [(0,)]
    assert await database.run(add, 1) == 1
    assert rows(dsn, "SELECT count(*) FROM stream") == [(1,)]


async def test_a_function_whose_connection_was_lost_is_run_again(database: Database, dsn: str) -> None:
    runs = []

    def lost_once(cur) -> int:
        add(cur, 1)
        runs.append(1)
        if len(runs) == 1:
            end_session(cur, dsn)
        return add(cur, 2)

    assert await database.run(lost_once) == 2
    assert len(runs) == 2
    assert rows(dsn, "SELECT position FROM stream ORDER BY 1") == [(1,), (2,)]


async def test_after_a_commit_that_nobody_answered_nothing_is_run_again(database: Database, dsn: str) -> None:
    runs = []

    def lost_at_commit(cur) -> None:
        runs.append(1)
        add(cur, 1)
        end_session(cur, dsn)

    with pytest.raises(CommitUnknown):
        await database.run(lost_at_commit)
    assert len(runs) == 1
    assert await database.run(add, 2) == 2


async def test_a_race_is_run_again_and_in_the_end_its_caller_hears(database: Database) -> None:
    runs = []

    def races(cur, lose: int) -> str:
        runs.append(1)
        if len(runs) <= lose:
            raise errors.DeadlockDetected
        return "won"

    assert await database.run(races, ATTEMPTS - 1) == "won"
    runs.clear()
    with pytest.raises(errors.DeadlockDetected):
        await database.run(races, ATTEMPTS)
    assert len(runs) == ATTEMPTS


async def test_two_that_wait_for_each_other_both_come_through(database: Database, dsn: str) -> None:
    await database.run(add, 1)
    await database.run(add, 2)

    def swap(cur, first: int, second: int) -> None:
        for position in (first, second):
            cur.execute("UPDATE stream SET body = body || 'x' WHERE position = %s", (position,))
            cur.execute("SELECT pg_sleep(0.05)")

    await gatherResults([database.run(swap, 1, 2), database.run(swap, 2, 1)])
    assert rows(dsn, "SELECT body FROM stream") == [("{}xx",), ("{}xx",)]


async def test_a_read_is_run_again_too(database: Database, dsn: str) -> None:
    runs = []

    def lost_once(cur) -> int:
        runs.append(1)
        if len(runs) == 1:
            end_session(cur, dsn)
        cur.execute("SELECT 5")
        return cur.fetchone()[0]

    assert await database.read(lost_once) == 5


async def test_a_function_that_fails_leaves_its_thread_alive(database: Database) -> None:
    def fails(cur) -> None:
        raise KeyError("x")

    for _ in range(5):
        with pytest.raises(KeyError):
            await database.run(fails)
    assert await database.run(add, 1) == 1


def session(cur) -> int:
    cur.execute("SELECT pg_backend_pid()")
    return cur.fetchone()[0]


async def test_what_is_asked_one_after_another_is_asked_of_the_session_that_was_asked_last(database: Database) -> None:
    await gatherResults([database.read(session), database.read(session)])
    assert len({await database.read(session) for _ in range(20)}) == 1


async def test_more_at_once_than_there_are_threads_wait_their_turn(database: Database) -> None:
    assert len(await gatherResults([database.read(session) for _ in range(20)])) == 20
