"""Statements that PostgreSQL parses and plans once for a connection, by text.

For a small transaction planning is most of what a statement costs. psycopg2 knows no prepared statements, but SQL does.
"""

from typing import Any

from psycopg2.extensions import cursor as Cursor


class Prepared:
    """Those of one connection. Whoever rolls back or connects anew begins with another one: see `FORGET`."""

    # After an error nobody knows which of them were reached.
    FORGET = "DEALLOCATE ALL"

    def __init__(self) -> None:
        self._calls: dict[str, str] = {}

    def call(self, cur: Cursor, sql: str, *values: Any) -> bytes:
        """What to send to have `sql` run, which has %s for each of the values, and a cast where its type is not plain.

        The first time it prepares the statement too.
        """
        call = self._calls.get(sql)
        if call is not None:
            return cur.mogrify(call, values)
        name = f"hearth_{len(self._calls)}"
        call = self._calls[sql] = f"EXECUTE {name}({', '.join(['%s'] * len(values))})" if values else f"EXECUTE {name}"
        parameters = tuple(f"${number}" for number in range(1, len(values) + 1))
        return f"PREPARE {name} AS {sql % parameters};".encode() + cur.mogrify(call, values)
