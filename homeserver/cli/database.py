"""The database before there is a server: is it there, and has it this version's schema?"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from storage.database import RECONNECT_S, DatabaseDown, reconnect
from storage.embedded import EmbeddedPostgres
from storage.opened import prepare
from synapse_like_config import Config


def await_database(config: Config, say: Callable[[str], None]) -> None:
    """Waits for the operator's PostgreSQL, which may be starting too. Blocks. Raises: DatabaseDown."""
    dsn = config.database.dsn
    if dsn is None:
        return
    try:
        _try_once(dsn)
    except DatabaseDown as down:
        say(f"The database does not answer, waiting up to {RECONNECT_S:g} s for it: {down}")
        reconnect(dsn, threading.Event()).close()


def migrated(config: Config) -> str:
    """What was done, for the operator. Raises: MigrationFault, DatabaseDown."""
    with reachable(config) as dsn:
        applied = prepare(dsn)
    if not applied:
        return "The database is up to date."
    return "Applied:\n" + "\n".join(f"  {migration.number:04} {migration.name}" for migration in applied)


@contextmanager
def reachable(config: Config) -> Iterator[str]:
    """The DSN of the configured database, or of our own, which runs for so long."""
    if config.database.dsn is not None:
        _try_once(config.database.dsn)
        yield config.database.dsn
        return
    postgres = EmbeddedPostgres(config.postgres_path)
    try:
        yield postgres.dsn
    finally:
        postgres.stop()


def _try_once(dsn: str) -> None:
    """Raises: DatabaseDown."""
    stopping = threading.Event()
    # Told to stop already, `reconnect` does not try again.
    stopping.set()
    reconnect(dsn, stopping).close()
