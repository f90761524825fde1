"""Where registrations come from: files that the configuration names, and what was added while the server ran.

Files are read at start, where a fault keeps the server from starting, and when the operator asks for it (SIGHUP),
where it is logged and the old ones stay. What is added by `hearth appservice add` lies in the database, and every
process hears of a change by the stream.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

from appservice.registration import MAX_CHARACTERS, BadRegistration, Registration
from appservice.registry import Registry, clashes
from homeserver.runtime.linearizer import Linearizer
from homeserver.runtime.tasks import Tasks
from matrix.ids import ServerName
from storage import appservices as rows
from storage.appservices import AddedAppservice
from storage.change import Entry
from storage.database import Database

logger = logging.getLogger(__name__)

OPTION = "app_service_config_files"


class Sources:
    """Keeps a registry true. `read_stream` reads the stream, from `load` on. `on_load` is awaited after each change."""

    def __init__(
        self,
        *,
        registry: Registry,
        database: Database,
        tasks: Tasks,
        server_name: ServerName,
        files: Sequence[Path],
        on_load: Callable[[], Awaitable[None]],
    ) -> None:
        self._registry = registry
        self._database = database
        self._tasks = tasks
        self._server_name = server_name
        self._files = files
        self._on_load = on_load
        self._of_files: Sequence[Registration] = ()
        self._turns = Linearizer()

    async def load(self) -> None:
        """Raises: BadRegistration, for faults of the files."""
        self._of_files = read_files(self._files, self._server_name)
        await self._load_added()

    def read_files_again(self) -> None:
        """Takes up what has changed in the files; where one has a fault, it is logged and the old ones stay."""
        try:
            self._of_files = read_files(self._files, self._server_name)
        except BadRegistration as error:
            for fault in error.faults:
                logger.error("Application services stay as they were: %s", fault)
            return
        self._tasks.background("appservices", self._load_added())

    def read_stream(self, entries: list[Entry]) -> None:
        if rows.tells_change(entries):
            self._tasks.background("appservices", self._load_added())

    async def _load_added(self) -> None:
        # One after another: what was read first must not be taken up last.
        async with self._turns.of("load"):
            found = await self._database.read(rows.added)
            self._registry.replace(joined(self._of_files, self._read_added(found)))
        await self._on_load()

    def _read_added(self, found: Iterable[AddedAppservice]) -> Iterable[Registration]:
        for each in found:
            try:
                yield Registration.read(each.registration, self._server_name)
            except BadRegistration as error:
                # It was good when it was added: this version is stricter, or the server has another name.
                logger.error("The application service %r is left out: %s", each.id, error)


def joined(first: Sequence[Registration], others: Iterable[Registration]) -> list[Registration]:
    """All of the first, and those of the others that have neither id nor token of one before."""
    taken = list(first)
    for each in others:
        if faults := clashes([*taken, each]):
            logger.error("The application service %r is left out: %s", each.id, faults[0])
        else:
            taken.append(each)
    return taken


def read_files(files: Iterable[Path], server_name: ServerName) -> list[Registration]:
    """The registrations of these files. Raises: BadRegistration, with the faults of all files, each with its name."""
    registrations: list[Registration] = []
    faults: list[str] = []
    for file in files:
        try:
            registrations.append(read_file(file, server_name))
        except BadRegistration as error:
            faults += [f"{OPTION}: {file}: {fault}" for fault in error.faults]
    faults += [f"{OPTION}: {fault}" for fault in clashes(registrations)]
    if faults:
        raise BadRegistration(faults)
    return registrations


def read_file(file: Path, server_name: ServerName) -> Registration:
    """Raises: BadRegistration, also for a file that cannot be read."""
    return Registration.read(read_text(file), server_name)


def read_text(file: Path) -> str:
    """Raises: BadRegistration, for a file that cannot be read."""
    try:
        with file.open(encoding="utf-8") as opened:
            # One more than may be: then it is refused for its length.
            return opened.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRegistration([getattr(error, "strerror", None) or str(error)]) from error
