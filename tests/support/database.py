"""A real PostgreSQL for tests: one embedded server for the run, one database for a test.

A database is copied from a template, and emptied for the next test: that costs a tenth of a copy. One whose schema a
test has changed is thrown away.
"""

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate

_numbers = itertools.count()

# What a test may leave behind besides rows: everything with a name, and settings of the database.
_SHAPE = """
SELECT md5(string_agg(part, E'\\n' ORDER BY part)) FROM (
    SELECT format('%s %s', c.relname, c.relkind) AS part FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s.%s %s %s %s', a.attrelid::regclass, a.attname, a.atttypid, a.attnotnull, a.attisdropped)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s', t.tgrelid::regclass, t.tgname, t.tgenabled) FROM pg_trigger t
        WHERE NOT t.tgisinternal
    UNION ALL SELECT md5(p.prosrc) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', s.setdatabase, s.setconfig) FROM pg_db_role_setting s
) AS parts
"""
_DISCONNECT = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
_EMPTY = """
DO $$
DECLARE name regclass; is_used boolean;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', name) INTO is_used;
        IF is_used THEN EXECUTE format('DELETE FROM %s', name); END IF;
    END LOOP;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""
_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"


class TestServer:
    """Databases by the dozen. `fresh()` gives the DSN of a migrated, empty one."""

    __test__ = False

    def __init__(self, directory: Path) -> None:
        # No test crashes the machine, only processes: the kernel keeps what they wrote.
        self.postgres = EmbeddedPostgres(
            directory, settings="fsync = off\nfull_page_writes = off\nmax_connections = 400\n"
        )
        self._emptied: list[str] = []
        connection = psycopg2.connect(self.postgres.dsn)
        migrate(connection)
        connection.autocommit = True
        cur = connection.cursor()
        cur.execute(_SHAPE)
        self._shape = cur.fetchone()
        self._first_rows = _rows(cur)
        connection.close()

    def fresh(self, *, migrated: bool = True) -> str:
        if migrated and self._emptied:
            return self._emptied.pop()
        name = f"test_{os.getpid()}_{next(_numbers)}"
        template = "hearth" if migrated else "template0"
        # Seven times as fast as the default where nothing waits for the disk.
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.postgres.dsn_of(name)

    def drop(self, dsn: str) -> None:
        name = psycopg2.extensions.parse_dsn(dsn)["dbname"]
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def give_back(self, dsn: str) -> None:
        """The next test may have the database, without what this one has left in it."""
        assert dsn not in self._emptied, "given back twice"
        if self._is_emptied(dsn):
            self._emptied.append(dsn)
        else:
            self.drop(dsn)

    def _is_emptied(self, dsn: str) -> bool:
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        try:
            cur = connection.cursor()
            cur.execute(_DISCONNECT)
            cur.execute(_SHAPE)
            if cur.fetchone() != self._shape:
                return False
            cur.execute(_EMPTY)
            for table, rows in self._first_rows.items():
                cur.execute(f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %s)", (rows,))
        except psycopg2.Error:
            return False
        else:
            return True
        finally:
            connection.close()

    def _execute(self, sql: str) -> None:
        connection = psycopg2.connect(self.postgres.dsn_of("postgres"))
        connection.autocommit = True
        connection.cursor().execute(sql)
        connection.close()


def _rows(cur: psycopg2.extensions.cursor) -> dict[str, str]:
    """What stands in the tables from the beginning, as JSON by table."""
    cur.execute(_TABLES)
    rows = {}
    for (table,) in cur.fetchall():
        cur.execute(f"SELECT json_agg(t)::text FROM {table} t")
        (found,) = cur.fetchone() or (None,)
        if found is not None:
            rows[table] = found
    return rows


@pytest.fixture(scope="session")
def postgres() -> Iterator[TestServer]:
    # Not in pytest's own directory: each run of pytest closes that to other users, and as root the server of another
    # run is one. It would then shut down.
    with tempfile.TemporaryDirectory(prefix="hearth-postgres-", ignore_cleanup_errors=True) as directory:
        server = TestServer(Path(directory) / "data")
        yield server
        server.postgres.stop()


@pytest.fixture
def dsn(postgres: TestServer) -> Iterator[str]:
    """An empty database with the schema of today."""
    name = postgres.fresh()
    yield name
    postgres.give_back(name)
