"""`hearth serve` as a process of its own, with the embedded PostgreSQL: from an empty directory to a clean end."""

import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port

START_S = 60

Start = Callable[[], "Hearth"]


class Hearth:
    """A running `hearth serve`."""

    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-m", "homeserver", "serve", "-c", directory / "homeserver.yaml", "--data", directory],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said = ""

    def wait_until(self, words: str) -> str:
        """What it has said when it comes to these words."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if words in line:
                return self.said
        raise AssertionError(f"it ended without saying {words!r}: {self.said}")

    def get(self, path: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=20) as answer:
            return int(answer.status)

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(START_S)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not in pytest's own directory, which each run of pytest closes to the user that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="hearth-serve-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    port = free_port()
    listeners = f"[{{port: {port}, bind_addresses: [127.0.0.1], type: http, resources: [{{names: [client]}}]}}]"
    (tmp_path / "homeserver.yaml").write_text(f"server_name: test.example.org\nlisteners: {listeners}\n")
    running: list[Hearth] = []

    def begin() -> Hearth:
        running.append(Hearth(tmp_path, port))
        return running[-1]

    yield begin
    for hearth in running:
        hearth.process.kill()
        hearth.process.wait(START_S)
        assert hearth.process.stdout is not None
        hearth.process.stdout.close()


def postgres_of(directory: Path) -> Path:
    return directory / "postgres" / "postmaster.pid"


def test_a_server_starts_from_nothing_survives_a_kill_and_ends_cleanly(start: Start, tmp_path: Path) -> None:
    first = start()
    link = re.search(r"http://localhost:\d+(/_hearth/setup\?token=\S+)", first.wait_until("/_hearth/setup"))
    assert link is not None
    assert first.get("/_matrix/client/versions") == 200
    assert first.get(link[1]) == 200
    first.end(signal.SIGKILL)

    second = start()
    assert link[1] in second.wait_until("/_hearth/setup")
    assert second.get("/_matrix/client/versions") == 200
    assert second.end(signal.SIGTERM) == 0
    assert not postgres_of(tmp_path).exists()


def test_a_second_server_on_the_same_port_says_so_and_ends(start: Start) -> None:
    first = start()
    first.wait_until("ready")
    second = start()
    assert second.process.wait(START_S) == 1
    assert first.get("/_matrix/client/versions") == 200
    assert first.end(signal.SIGINT) == 0
