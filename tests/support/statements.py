"""Counts what is sent to PostgreSQL: a promise of so many statements for a message is kept by a test.

`statements.of(homeserver)` are those of its database since the last `clear`, as (thread, SQL). They are to be begun
before the homeserver starts. Background work has statements too: take the least of several times.
"""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg2.extensions
import pytest

import storage.database
from storage.database import connect
from storage.prepared import PreparingCursor
from tests.support.homeserver import Homeserver


class Statements:
    def __init__(self) -> None:
        self._sent: list[tuple[str, str, str]] = []

    def connect(self, dsn: str) -> psycopg2.extensions.connection:
        sent = self._sent

        class Counting(PreparingCursor):
            def execute(self, query: Any, vars: Any = None) -> None:
                text = query if isinstance(query, str) else bytes(query).decode()
                sent.append((str(self.connection.info.dbname), threading.current_thread().name, text))
                super().execute(query, vars)

        connection = connect(dsn)
        connection.cursor_factory = Counting
        return connection

    def clear(self) -> None:
        self._sent.clear()

    def of(self, homeserver: Homeserver) -> list[tuple[str, str]]:
        name = psycopg2.extensions.parse_dsn(homeserver.dsn)["dbname"]
        return [(thread, text) for database, thread, text in list(self._sent) if database == name]

    def reads(self, homeserver: Homeserver) -> int:
        return sum(thread.startswith("database") for thread, _ in self.of(homeserver))

    def commits(self, homeserver: Homeserver) -> int:
        return sum(thread == "committer" and text.endswith("COMMIT") for thread, text in self.of(homeserver))


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[Statements]:
    counted = Statements()
    monkeypatch.setattr(storage.database, "connect", counted.connect)
    yield counted
