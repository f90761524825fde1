"""Brings a database to the schema of this version: numbered SQL files, each once, under an advisory lock.

Forward only. A file that was applied must not change afterwards: its checksum is kept and compared.
"""

import hashlib
import re
from importlib import resources

from attrs import frozen
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

# Any constant that nobody else uses as an advisory lock in this database.
_LOCK = 0x4865617274680001


class MigrationFault(Exception):
    """The database and this version of Hearth do not fit; the message says what to do."""


@frozen
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def all_migrations() -> list[Migration]:
    """The files of storage/migrations, in order."""
    found = []
    for file in resources.files("storage").joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            found.append(Migration(int(match[1]), match[2], file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def migrate(connection: Connection) -> list[Migration]:
    """Applies what is missing, and gives what it applied. All of it or nothing.

    Raises: MigrationFault, when the database is newer than we are or a file was changed after it was applied.
    """
    with connection, connection.cursor() as cur:
        cur.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        applied = _applied(cur)
        missing = _missing(all_migrations(), applied)
        for migration in missing:
            cur.execute(migration.sql)
            cur.execute(
                "INSERT INTO migrations (number, name, checksum) VALUES (%s, %s, %s)",
                (migration.number, migration.name, migration.checksum),
            )
    return missing


def _applied(cur: Cursor) -> dict[int, tuple[str, str]]:
    cur.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
        " applied timestamptz NOT NULL DEFAULT now())"
    )
    cur.execute("SELECT number, name, checksum FROM migrations")
    return {number: (name, checksum) for number, name, checksum in cur}


def _missing(ours: list[Migration], applied: dict[int, tuple[str, str]]) -> list[Migration]:
    known = {migration.number for migration in ours}
    if newer := [name for number, (name, _) in sorted(applied.items()) if number not in known]:
        raise MigrationFault(
            f"The database was made by a newer Hearth (it has {', '.join(newer)}). Start that version, or restore a"
            " backup made before the upgrade."
        )
    for migration in ours:
        if migration.number in applied and applied[migration.number][1] != migration.checksum:
            raise MigrationFault(
                f"Migration {migration.number:04}_{migration.name}.sql was changed after this database applied it."
                " Put the original file back; a change needs a new number."
            )
    return [migration for migration in ours if migration.number not in applied]
