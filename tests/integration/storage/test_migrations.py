"""Migrations: forward only, each once, and the schema on paper is the one that they make."""

import difflib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from storage import migrate as module
from storage.migrate import Migration, MigrationFault, all_migrations
from storage.opened import prepare
from tests.support import schema
from tests.support.database import TestServer

Replaced = Callable[[list[Migration]], None]


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Replaced:
    """Other files in the place of storage/migrations."""
    return lambda files: monkeypatch.setattr(module, "all_migrations", lambda: files)


@pytest.fixture
def empty(postgres: TestServer):
    dsn = postgres.fresh(migrated=False)
    yield dsn
    postgres.drop(dsn)


def execute(dsn: str, sql: str) -> list[tuple]:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cur = connection.cursor()
    cur.execute(sql)
    rows = cur.fetchall() if cur.description else []
    connection.close()
    return rows


def test_the_schema_on_paper_is_what_the_migrations_make(dsn: str, postgres: TestServer) -> None:
    made = schema.dump(dsn, postgres.postgres.programs)
    written = schema.FILE.read_text() if schema.FILE.exists() else ""
    difference = "\n".join(difflib.unified_diff(written.splitlines(), made.splitlines(), "schema.sql", "made", n=1))
    assert not difference, f"storage/schema.sql is out of date. Run: scripts/dump-schema\n{difference}"


def test_each_number_is_taken_once() -> None:
    numbers = Counter(migration.number for migration in all_migrations())
    assert [number for number, times in numbers.items() if times > 1] == []


def test_what_was_applied_is_not_applied_again(dsn: str) -> None:
    assert prepare(dsn) == []


def test_a_file_that_was_changed_after_it_was_applied_is_refused(empty: str, replaced: Replaced) -> None:
    replaced([Migration(1, "one", "CREATE TABLE one (a int)")])
    prepare(empty)
    replaced([Migration(1, "one", "CREATE TABLE one (a bigint)")])
    with pytest.raises(MigrationFault, match=r"0001_one\.sql was changed .* a change needs a new number"):
        prepare(empty)


def test_a_database_of_a_newer_hearth_is_refused_and_left_alone(empty: str, replaced: Replaced) -> None:
    replaced([Migration(1, "one", "CREATE TABLE one (a int)"), Migration(2, "future", "CREATE TABLE two (a int)")])
    prepare(empty)
    replaced([Migration(1, "one", "CREATE TABLE one (a int)"), Migration(3, "late", "DROP TABLE one")])
    with pytest.raises(MigrationFault, match=r"made by a newer Hearth \(it has future\)"):
        prepare(empty)
    assert execute(empty, "SELECT number FROM migrations ORDER BY 1") == [(1,), (2,)]
    assert execute(empty, "SELECT count(*) FROM one") == [(0,)]


def test_of_migrations_that_fail_nothing_stays(empty: str, replaced: Replaced) -> None:
    replaced([Migration(1, "one", "CREATE TABLE one (a int)"), Migration(2, "bad", "CREATE TABLE one (a int)")])
    with pytest.raises(psycopg2.errors.DuplicateTable):
        prepare(empty)
    assert execute(empty, "SELECT to_regclass('one')") == [(None,)]


def test_processes_that_start_at_once_migrate_once(empty: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = [number for part in pool.map(prepare, [empty] * 4) for number in part]
    assert [migration.number for migration in applied] == [migration.number for migration in all_migrations()]
