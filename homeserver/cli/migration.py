"""`hearth migrate`: the database brought to this version's schema, without starting a server."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from storage.database import reconnect
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from synapse_like_config import Config


def migrated(config: Config) -> str:
    """What was done, for the operator. Raises: MigrationFault, DatabaseDown."""
    with _database(config) as dsn, closing(reconnect(dsn, _at_once())) as connection:
        applied = migrate(connection)
    if not applied:
        return "The database is up to date."
    return "Applied:\n" + "\n".join(f"  {migration.number:04} {migration.name}" for migration in applied)


@contextmanager
def _database(config: Config) -> Iterator[str]:
    """The DSN of the configured database, or of our own, which runs for so long."""
    if config.database.dsn is not None:
        yield config.database.dsn
        return
    postgres = EmbeddedPostgres(config.data_directory / "postgres")
    try:
        yield postgres.dsn
    finally:
        postgres.stop()


def _at_once() -> threading.Event:
    """Told to stop already, `reconnect` tries once: here a person waits, and can try again."""
    stopping = threading.Event()
    stopping.set()
    return stopping
