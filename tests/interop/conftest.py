"""One homeserver for all interop tests, and real clients on it.

By default Hearth, started as its user starts it. INTEROP_SERVER=synapse SYNAPSE_PYTHON=.../bin/python takes a Synapse
instead: what fails there is a fault of the test.
"""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.interop.clients import PASSWORD, Kind, RealClient, js_kind, nio_kind, skip_without
from tests.interop.servers import Homeserver, start_hearth, start_synapse

NewClient = Callable[[Kind], RealClient]
NewUser = Callable[[Kind], RealClient]


@pytest.fixture(scope="session")
def homeserver() -> Iterator[Homeserver]:
    start = start_synapse if os.environ.get("INTEROP_SERVER") == "synapse" else start_hearth
    # Not in pytest's own directory: each run of pytest closes that to other users, and as root the database is one.
    with tempfile.TemporaryDirectory(prefix="hearth-interop-", ignore_cleanup_errors=True) as directory:
        homeserver = start(Path(directory))
        yield homeserver
        homeserver.stop()


@pytest.fixture(scope="module")
def new_client(homeserver: Homeserver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewClient]:
    """Starts a client, signed in nowhere."""
    running: list[RealClient] = []

    def start(kind: Kind) -> RealClient:
        skip_without(kind)
        running.append(RealClient(kind, homeserver.url, tmp_path_factory.mktemp(kind.name)))
        return running[-1]

    yield start
    for client in running:
        client.stop()


_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def new_user(new_client: NewClient) -> NewUser:
    """A client with an account that it made, signed in and not yet syncing."""

    def register(kind: Kind) -> RealClient:
        client = new_client(kind)
        name = f"{kind.name}{next(_numbers)}"
        client.do("register", user=name, password=PASSWORD)
        client.sign_in(name)
        return client

    return register


@pytest.fixture(scope="session")
def js() -> Kind:
    return js_kind()


@pytest.fixture(scope="session")
def nio() -> Kind:
    return nio_kind()
