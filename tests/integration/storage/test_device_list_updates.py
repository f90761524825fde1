"""Who has to be told to a server that comes into a room; and that this costs nothing for the room's other members."""

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import cursor as Cursor

from storage import memberships
from storage.device_list_updates import Newcomer, users_new_to

OURS, ROOM, OTHER = "here", 1, 2
NEW = Newcomer("new", ROOM, 10)


@pytest.fixture
def cur(dsn: str) -> Iterator[Cursor]:
    connection = psycopg2.connect(dsn)
    yield connection.cursor()
    connection.close()


def put(cur: Cursor, *rows: tuple[str, int], room: int = ROOM, membership: str = "join") -> None:
    """(user, position)"""
    memberships.PUT.execute(cur, [(room, user, membership, 1, at, False) for user, at in rows])


class Explaining:
    """Runs a statement, and keeps how."""

    def __init__(self, cur: Cursor) -> None:
        self._cur = cur
        self.plan: dict[str, Any] = {}

    def execute(self, sql: str, values: object) -> None:
        self._cur.execute("EXPLAIN (ANALYZE, FORMAT JSON) " + sql, values)
        self.plan = self._cur.fetchone()[0][0]["Plan"]

    def __iter__(self) -> Iterator[tuple[str]]:
        return iter(())


def looked_at(plan: dict[str, Any], table: str) -> float:
    """Rows of the table, those too that were of no use."""
    own = 0.0
    if plan.get("Relation Name") == table:
        rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Join Filter", 0)
        own = rows * plan["Actual Loops"]
    return own + sum(looked_at(part, table) for part in plan.get("Plans", ()))


def test_those_of_us_in_the_room_are_told_but_not_whom_it_knows_from_another(cur: Cursor) -> None:
    put(cur, ("@a:here", 1), ("@b:here", 2), ("@other:there", 3))
    put(cur, ("@gone:here", 4), membership="leave")
    put(cur, ("@b:here", 5), ("@x:new", 6), room=OTHER)
    put(cur, ("@y:new", 10))
    assert users_new_to(cur, OURS, NEW, 10) == ["@a:here"]


def test_nobody_is_told_if_it_was_there_before_or_has_gone(cur: Cursor) -> None:
    put(cur, ("@a:here", 1), ("@x:new", 9), ("@y:new", 10))
    assert users_new_to(cur, OURS, NEW, 10) == []
    put(cur, ("@z:gone", 11))
    put(cur, ("@z:gone", 12), membership="leave")
    assert users_new_to(cur, OURS, Newcomer("gone", ROOM, 11), 10) == []


def test_it_is_not_more_than_the_limit(cur: Cursor) -> None:
    put(cur, *((f"@a{number}:here", number) for number in range(5)), ("@y:new", 10))
    assert len(users_new_to(cur, OURS, NEW, 3)) == 3


def test_the_other_members_are_not_looked_at(cur: Cursor) -> None:
    put(cur, *((f"@m{number}:s{number % 20}", 1) for number in range(3_000)))
    put(cur, *((f"@a{number}:here", 1) for number in range(3)), ("@y:new", 10))
    for room in range(2, 7):
        put(cur, *((f"@u{number}:here", 1) for number in range(200)), room=room)
    cur.execute("ANALYZE memberships, room_servers")
    explaining = Explaining(cur)
    users_new_to(explaining, OURS, NEW, 500)
    assert looked_at(explaining.plan, "memberships") < 50, explaining.plan
