"""`hearth appservice add | list | remove | status`: bridges, while the server runs or not.

What is added lies in the database; every process that runs hears of it at once, by the stream.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

import click
from attrs import frozen

from appservice.registration import BadRegistration, Registration
from appservice.registry import clashes
from appservice.sources import joined, read_files, read_text
from appservice.status import lines
from homeserver.cli.database import await_database, reachable
from homeserver.cli.faults import MISCONFIGURED, Fault
from homeserver.cli.reactor import Reactor, run
from homeserver.runtime.clock import Clock
from homeserver.runtime.logs import start_logging
from storage import appservice_queue as queues
from storage import appservices as rows
from storage.change import Change
from storage.opened import Storage, open_storage, prepare
from storage.tail import IReactorStorage
from synapse_like_config import Config

NONE = "There are no application services."


@frozen
class Known:
    """The registrations of this server: those of the configuration's files, and those that were added."""

    storage: Storage
    of_files: Sequence[Registration]
    added: Sequence[Registration]

    @property
    def all(self) -> Sequence[Registration]:
        return joined(self.of_files, self.added)


def add(config: Config, reactor: Reactor, file: Path) -> str:
    """What was done, for the operator. Raises: Fault, with all that is wrong in the file."""
    try:
        text = read_text(file)
        registration = Registration.read(text, config.server.server_name)
    except BadRegistration as error:
        raise _fault(f"{file} is no registration:", error.faults) from None
    return _with_known(config, reactor, lambda known: added(known, registration, text, Clock(reactor).now_ms()))


def remove(config: Config, reactor: Reactor, id: str) -> str:
    """What was done, for the operator. Raises: Fault, if there is nothing to remove."""
    return _with_known(config, reactor, lambda known: removed(known, id))


def listing(config: Config, reactor: Reactor) -> str:
    """All application services, for the operator."""
    return _with_known(config, reactor, listed)


def status(config: Config, reactor: Reactor) -> str:
    """How far each application service was told, for the operator."""
    return _with_known(config, reactor, lambda known: queues_of(known, Clock(reactor).now_ms()))


async def added(known: Known, registration: Registration, text: str, now_ms: int) -> str:
    """Puts the registration beside the others, or in the place of one with its id. Raises: Fault."""
    if registration.id in {each.id for each in known.of_files}:
        raise Fault(f"The application service {registration.id!r} is in a file that the configuration names.")
    others = [each for each in known.all if each.id != registration.id]
    if faults := clashes([*others, registration]):
        raise _fault("The registration cannot be added:", faults)
    change = Change().put(rows.PUT, (registration.id, text, now_ms))
    rows.announce(change)
    await known.storage.committer(change)
    is_new = registration.id not in {each.id for each in known.added}
    return "\n".join([f"{'Added' if is_new else 'Changed'} {_described(registration)}", *_remarks(registration)])


async def removed(known: Known, id: str) -> str:
    """Raises: Fault."""
    if id in {each.id for each in known.of_files}:
        raise Fault(
            f"The application service {id!r} is in a file that the configuration names: take it out of"
            " app_service_config_files, then send the server SIGHUP or start it again."
        )
    if id not in {each.id for each in await known.storage.database.read(rows.added)}:
        names = ", ".join(each.id for each in known.added)
        raise Fault(f"There is no application service {id!r}." + (f" There are: {names}." if names else ""))
    change = Change().put(rows.REMOVE, (id,)).put(queues.FORGET, (id,))
    rows.announce(change)
    await known.storage.committer(change)
    return f"Removed {id!r}. Its users and rooms stay as they are."


async def listed(known: Known) -> str:
    files = {each.id for each in known.of_files}
    said = [f"{_described(each)}{' (configuration)' if each.id in files else ''}" for each in known.all]
    return "\n".join(said) or NONE


async def queues_of(known: Known, now_ms: int) -> str:
    told = await known.storage.database.read(queues.statuses)
    silent = [each.id for each in known.all if each.id not in {one.id for one in told}]
    return "\n".join([*lines(told, now_ms), *(f"{id}: is told nothing" for id in silent)]) or NONE


async def know(config: Config, storage: Storage) -> Known:
    """Reads the registrations. Raises: Fault, for faults of the configuration's files."""
    server_name, first = config.server.server_name, of_files(config)
    found = []
    for row in await storage.database.read(rows.added):
        try:
            found.append(Registration.read(row.registration, server_name))
        except BadRegistration as error:
            click.echo(f"{row.id}: is not used, since it has faults: {error}", err=True)
    return Known(storage, first, found)


def of_files(config: Config) -> Sequence[Registration]:
    """The registrations in files that the configuration names. Raises: Fault, with all that is wrong in them."""
    try:
        return read_files(config.appservices.app_service_config_files, config.server.server_name)
    except BadRegistration as error:
        raise _fault("The configuration has faults:", error.faults) from None


def _with_known(config: Config, reactor: Reactor, work: Callable[[Known], Awaitable[str]]) -> str:
    async def open_and_work(dsn: str) -> str:
        with closing(open_storage(dsn, reactor=cast(IReactorStorage, reactor), threads=1)) as storage:
            return await work(await know(config, storage))

    start_logging(level="ERROR")
    await_database(config, click.echo)
    with reachable(config) as dsn:
        prepare(dsn)
        return run(reactor, open_and_work(dsn))


def _fault(first: str, faults: Iterable[str]) -> Fault:
    return Fault("\n".join([first, *(f"  {fault}" for fault in faults)]), MISCONFIGURED)


def _described(service: Registration) -> str:
    return f"{service.id}: {service.url or 'no url'}, speaks as {service.sender} and {_namespaces(service)}"


def _namespaces(service: Registration) -> str:
    spaces = [f"{each.pattern.pattern}{'' if each.exclusive else ' (shared)'}" for each in service.users]
    return ", ".join(spaces) or "nobody else"


def _remarks(service: Registration) -> list[str]:
    """What a new service's administrator may have overlooked."""
    if any(each.exclusive and each.matches(f"@a:{service.sender.domain}") for each in service.users):
        return ["Beware: an exclusive namespace of it covers names of people, who can no longer register."]
    return []
