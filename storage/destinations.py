"""Servers that do not answer, and how long they are left alone."""

from collections.abc import Sequence

from attrs import frozen
from psycopg2.extensions import cursor as Cursor

from storage.statements import Delete, Insert

PUT = Insert(
    "destinations",
    {"server_name": "text", "failing_since_ms": "bigint", "retry_at_ms": "bigint", "interval_ms": "bigint"},
    key=("server_name",),
    on_conflict="update",
)
DELETE = Delete("destinations", {"server_name": "text"})


@frozen
class Failing:
    """A server that does not answer. `interval_ms` is how long the present pause is, and grows with the next one."""

    since_ms: int
    retry_at_ms: int
    interval_ms: int


def newest(cur: Cursor, limit: int) -> dict[str, Failing]:
    """The servers that do not answer, those tried last first in line."""
    cur.execute(
        "SELECT server_name, failing_since_ms, retry_at_ms, interval_ms FROM destinations"
        " ORDER BY retry_at_ms DESC LIMIT %s",
        (limit,),
    )
    return {name: Failing(*row) for name, *row in cur}


def write(cur: Cursor, failing: Sequence[tuple[str, Failing]], answering: Sequence[str]) -> None:
    """Takes down what has changed. The names must each stand in one of both only."""
    if failing:
        PUT.execute(cur, [(name, each.since_ms, each.retry_at_ms, each.interval_ms) for name, each in failing])
    if answering:
        DELETE.execute(cur, [(name,) for name in answering])


def trim(cur: Cursor, before_ms: int) -> int:
    """Forgets servers that nobody has tried since; gives how many."""
    cur.execute(
        "DELETE FROM destinations WHERE server_name IN"
        " (SELECT server_name FROM destinations WHERE retry_at_ms < %s LIMIT 5000)",
        (before_ms,),
    )
    return cur.rowcount
