"""Statements that PostgreSQL parses and plans once for a connection, by text.

For a small statement that is most of what it costs: of the reads of a user's first sync two thirds. psycopg2 knows no
prepared statements, but SQL does. A query that runs often is declared as such, where it stands, and that is all:

    cur.execute(Often("SELECT json FROM filters WHERE filter_id = %s"), (filter_id,))
"""

from typing import Any

import psycopg2
from psycopg2.extensions import connection as PlainConnection
from psycopg2.extensions import cursor as Cursor


class Often(str):
    """A statement that every connection of `connect` prepares when it first runs it; any other just runs it.

    Its text is always the same, with %s for values. Each has a type that the statement shows, by a cast if need be.
    Not for statements whose best plan depends on the values.
    """

    __slots__ = ()


class Prepared:
    """Those of one connection. Whoever rolls back several at once begins with another one: see `FORGET`."""

    # After an error nobody knows which of them were reached.
    FORGET = "DEALLOCATE ALL"

    def __init__(self) -> None:
        self._calls: dict[str, str] = {}
        self._count = 0

    def call(self, cur: Cursor, sql: str, *values: Any) -> bytes:
        """What to send to have `sql` run, which has %s for each of the values, and a cast where its type is not plain.

        The first time it prepares the statement too.
        """
        values = tuple(map(_short, values))
        call = self._calls.get(sql)
        if call is not None:
            return cur.mogrify(call, values)
        name = f"hearth_{self._count}"
        call = f"EXECUTE {name}({', '.join(['%s'] * len(values))})" if values else f"EXECUTE {name}"
        parameters = tuple(f"${number}" for number in range(1, len(values) + 1))
        sent = f"PREPARE {name} AS {sql % parameters};".encode() + cur.mogrify(call, values)
        # Only now: of values that cannot be sent nothing is.
        self._calls[sql] = call
        self._count += 1
        return sent

    def knows(self, sql: str) -> bool:
        return sql in self._calls

    def doubt(self, sql: str) -> None:
        """Whether it is prepared is not known: the next time it is so under another name."""
        self._calls.pop(sql, None)


class PreparingConnection(PlainConnection):
    """Remembers what is prepared; its cursors see to it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cursor_factory = PreparingCursor
        self.prepared = Prepared()


class PreparingCursor(Cursor):
    def execute(self, query: Any, values: Any = None) -> None:
        connection = self.connection
        if type(query) is not Often or not isinstance(connection, PreparingConnection):
            return super().execute(query, values)
        prepared = connection.prepared
        is_known = prepared.knows(query)
        try:
            super().execute(prepared.call(self, query, *(values or ())))
        except psycopg2.Error:
            if not is_known:
                prepared.doubt(query)
            raise


def _short(value: Any) -> Any:
    """A list of integers as one text, which is read faster than as many numbers."""
    if type(value) is list and value and type(value[0]) is int:
        return "{" + ",".join(map(str, value)) + "}"
    return value
