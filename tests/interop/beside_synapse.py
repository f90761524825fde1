"""Hearth beside a Synapse, and a person at each. Each test runs both ways.

`host` makes the rooms, `guest` is of the other server.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.interop.people import Person
from tests.interop.servers import SYNAPSE_PYTHON, Homeserver, start_hearth, start_synapse
from tests.support.certificates import Authority

needs_synapse = pytest.mark.skipif(
    "SYNAPSE_PYTHON" not in os.environ and not SYNAPSE_PYTHON.exists(),
    reason="no Synapse: run scripts/interop-setup",
)


@contextmanager
def both(request: pytest.FixtureRequest, more: str = "") -> Iterator[tuple[Authority, Homeserver, Homeserver]]:
    """Hearth, with more configuration if need be, and a Synapse: both trust the authority. Their logs if one fails."""
    failed = request.session.testsfailed
    with tempfile.TemporaryDirectory(prefix="hearth-interop-", ignore_cleanup_errors=True) as directory:
        path = Path(directory)
        path.chmod(0o755)
        authority = Authority(path)
        for name in ("hearth", "synapse"):
            (path / name).mkdir()
        with ExitStack() as running:
            hearth = start_hearth(path / "hearth", authority, more)
            running.callback(hearth.stop)
            synapse = start_synapse(path / "synapse", authority)
            running.callback(synapse.stop)
            yield authority, hearth, synapse
        if request.session.testsfailed > failed:
            with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                for name in ("hearth", "synapse"):
                    print(f"--- the log of {name}", (path / name / "homeserver.log").read_text()[-8000:], sep="\n")


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> Iterator[tuple[Homeserver, Homeserver]]:
    with both(request) as (_, hearth, synapse):
        yield hearth, synapse


@pytest.fixture(params=["hearth visits synapse", "synapse visits hearth"])
def pair(request: pytest.FixtureRequest, servers: tuple[Homeserver, Homeserver]) -> tuple[Homeserver, Homeserver]:
    """The server of the room's maker, and that of the guest."""
    hearth, synapse = servers
    return (synapse, hearth) if request.param == "hearth visits synapse" else (hearth, synapse)


@pytest.fixture
def host(pair: tuple[Homeserver, Homeserver]) -> Person:
    return Person(pair[0], "host")


@pytest.fixture
def guest(pair: tuple[Homeserver, Homeserver]) -> Person:
    return Person(pair[1], "guest")
