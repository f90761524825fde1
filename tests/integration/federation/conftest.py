"""A homeserver, a user of it, and a visitor from a server written by hand.

The homeserver is one for all tests of a file: each has a room of its own.
"""

from collections.abc import Iterator

import pytest
import pytest_twisted

from tests.integration.federation.visiting import Visitor
from tests.support.database import TestServer
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver


@pytest_twisted.async_yield_fixture(scope="module")
async def shared_network(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Of one.test, two.test, and whom a test adds."""
    network = Network(postgres, tmp_path_factory.mktemp("network"))
    await network.start("one.test")
    yield network
    await network.close()


@pytest.fixture(scope="module")
def host(shared_network: Network) -> Homeserver:
    """one.test."""
    return shared_network.homeservers["one.test"]


@pytest_twisted.async_yield_fixture(scope="module")
async def alice(host: Homeserver) -> Iterator[Client]:
    """Of one.test."""
    yield await host.register("alice")


@pytest.fixture(scope="module")
def two(shared_network: Network) -> FakeServer:
    """two.test."""
    return FakeServer(shared_network, "two.test")


@pytest_twisted.async_yield_fixture
async def visitor(two: FakeServer, alice: Client) -> Iterator[Visitor]:
    """Of two.test, at the door of a public room of alice."""
    yield Visitor(two, "one.test", await alice.create_room())
