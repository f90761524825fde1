"""The storage of one process, wired: what the services are given parts of."""

import secrets
from collections.abc import Callable

from attrs import frozen

from storage.change import Entry
from storage.commit import Committer
from storage.database import Database, connect
from storage.events import Events
from storage.interning import StateKeys
from storage.migrate import Migration, migrate
from storage.stream import Reader, Stream, entry_body, head_position
from storage.tail import IReactorStorage, Tail


@frozen(kw_only=True)
class Storage:
    """Started by `open_storage`; `read_by` adds readers of the stream, before anything is written."""

    dsn: str
    database: Database
    committer: Committer
    stream: Stream
    tail: Tail
    events: Events
    state_keys: StateKeys

    def read_by(self, reader: Reader) -> None:
        self.stream.read_by(reader)

    def close(self) -> None:
        """Commits what was handed over, then closes all connections. Blocks for that long."""
        self.committer.stop()
        self.tail.stop()
        self.database.stop()


def open_storage(dsn: str, *, reactor: IReactorStorage, threads: int = 4) -> Storage:
    """Connects, and begins with the stream where it is. The schema must be there: see `prepare`. Blocks for that."""
    database = Database(dsn, reactor=reactor, threads=threads)
    events = Events(database=database, reactor=reactor)
    instance = secrets.token_hex(8)
    tail = Tail(dsn, database=database, reactor=reactor, events=events, instance=instance)
    connection = connect(dsn)
    with connection.cursor() as cur:
        position = head_position(cur)
    connection.close()
    stream = Stream(position, catch_up=tail.catch_up)
    stream.read_by(events.read_stream)
    publish: Callable[[list[Entry]], None] = stream.publish
    committer = Committer(dsn, reactor=reactor, published=publish, instance=instance, entry_body=entry_body)
    database.start()
    committer.start()
    tail.start(stream)
    return Storage(
        dsn=dsn,
        database=database,
        committer=committer,
        stream=stream,
        tail=tail,
        events=events,
        state_keys=StateKeys(database=database),
    )


def prepare(dsn: str) -> list[Migration]:
    """Brings the database's schema up to date; gives what was applied. Raises: MigrationFault."""
    connection = connect(dsn)
    connection.autocommit = False
    try:
        return migrate(connection)
    finally:
        connection.close()
