"""`hearth bridge NAME` and its `init`, as an administrator does it: beside a server that runs, over its database."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.integration.cli.test_serve import tmp_path
from tests.support.fake_bridge import sent
from tests.support.ports import free_port
from tests.support.processes import HearthProcess, HttpClient

__all__ = ["tmp_path"]
PATIENCE_S = 60


def hearth(*words: str, **more: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.support.fake_bridge", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)


def until(condition: Callable[[], object], what: str) -> None:
    """Processes that are not ours to await can only be asked again."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class BridgeProcess:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-m",
            "tests.support.fake_bridge",
            "bridge",
            "slack",
            "-c",
            self.directory / "bridge.yaml",
        ]
        log = (self.directory / "log").open("a")
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if "listening on" in line:
                return process
        raise AssertionError((self.directory / "log").read_text())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.process = self._start()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HearthProcess]:
    process = HearthProcess(tmp_path, None)
    process.start()
    yield process
    process.end()


def begun(tmp_path: Path, server: HearthProcess) -> Path:
    """The directory of a bridge that the homeserver knows."""
    words = ["bridge", "slack", "init", "-c", str(tmp_path / "homeserver.yaml"), "--data", str(tmp_path)]
    done = hearth(*words, "--set", "token=good")
    assert done.returncode == 0, done
    directory = tmp_path / "bridges" / "slack"
    text = (directory / "bridge.yaml").read_text()
    (directory / "bridge.yaml").write_text(text.replace("port: 29300", f"port: {free_port()}"))
    assert hearth(*words).returncode == 0, "the registration follows the file"
    for name in ("registration.yaml", "double-puppets.yaml"):
        added = hearth("appservice", "add", str(directory / name), *words[3:])
        assert added.returncode == 0, added
    return directory


def test_init_says_what_is_wrong_and_what_is_next(tmp_path: Path) -> None:
    words = ["bridge", "slack", "init", "--data", str(tmp_path), "--public", "https://bridge.example.org"]
    first = hearth(*words)
    directory = tmp_path / "bridges" / "slack"
    assert first.returncode == 1
    assert "1. Copy the token." in first.stdout
    assert "BAD  token: a good token is `good`" in first.stdout
    assert (directory / "bridge.yaml").stat().st_mode & 0o777 == 0o600
    second = hearth(*words, "--set", "token=good")
    assert second.returncode == 0
    assert f"hearth appservice add {directory / 'registration.yaml'}" in second.stdout
    told = yaml.safe_load((directory / "bridge.yaml").read_text())
    assert told["slack"]["token"] == "good"
    registration = yaml.safe_load((directory / "registration.yaml").read_text())
    assert registration["as_token"] == told["appservice"]["as_token"]


def test_init_takes_over_what_it_is_told_later_and_says_where_it_looks_for_the_homeserver(tmp_path: Path) -> None:
    words = ["bridge", "slack", "init", "--data", str(tmp_path)]
    hearth(*words, "--homeserver", "http://localhost:1")
    file = tmp_path / "bridges" / "slack" / "bridge.yaml"
    again = hearth(*words, "--set", "token=good")
    assert "has the homeserver at http://localhost:1; its configuration says http://localhost:8008" in again.stdout
    third = hearth(*words, "--homeserver", "http://localhost:8008", "--public", "https://bridge.example.org")
    assert "has the homeserver at" not in third.stdout
    told = yaml.safe_load(file.read_text())
    assert told["homeserver"]["address"] == "http://localhost:8008"
    assert told["public"]["address"] == "https://bridge.example.org"


def test_all_faults_of_the_file_are_told_at_once(tmp_path: Path) -> None:
    hearth("bridge", "slack", "init", "--data", str(tmp_path))
    file = tmp_path / "bridges" / "slack" / "bridge.yaml"
    text = file.read_text().replace("users: slack_{}", "users: nobody").replace("port: 29300", "port: none")
    file.write_text(text.replace("#  speed: 3", "  speed: fast"))
    done = hearth(
        "bridge", "slack", "--data", str(tmp_path), env={**os.environ, "HEARTH_BRIDGE_MEDIA__MAX_SIZE": "big"}
    )
    assert done.returncode == 2
    for fault in ("appservice.users:", "appservice.port:", "slack.speed:", "media.max_size (HEARTH_BRIDGE_"):
        assert fault in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_bridge_beside_a_server_is_killed_and_stopped_and_loses_nothing(
    tmp_path: Path, server: HearthProcess
) -> None:
    directory, bridge, alice, room = bridged(tmp_path, server)
    _send(alice, room, "one")
    until(lambda: "you said one" in _texts(alice, room), "an answer")
    bridge.kill()
    _send(alice, room, "two")
    bridge.restart()
    until(lambda: sent(directory) == ["one", "two"], "what was said meanwhile")
    bridge.process.send_signal(signal.SIGTERM)
    assert bridge.process.wait(PATIENCE_S) == 0
    _send(alice, room, "three")
    bridge.restart()
    until(lambda: sent(directory) == ["one", "two", "three"], "what was said meanwhile")
    _send(alice, room, "fail")
    until(lambda: any("did not reach Slack: you said so" in text for text in _texts(alice, room)), "why")
    bridge.process.send_signal(signal.SIGTERM)
    assert bridge.process.wait(PATIENCE_S) == 0
    assert "Traceback" not in (directory / "log").read_text()


def test_hearth_is_killed_while_messages_go_both_ways_and_each_is_there_once(
    tmp_path: Path, server: HearthProcess
) -> None:
    directory, bridge, alice, room = bridged(tmp_path, server)
    said = [f"word{number}" for number in range(24)]

    def speak() -> None:
        for text in said:
            path = f"/rooms/{quote(room)}/send/m.room.message/{text}"
            alice.persist("PUT", path, {"msgtype": "m.text", "body": text})

    speaker = threading.Thread(target=speak)
    speaker.start()
    until(lambda: len(sent(directory)) >= 8, "some of it")
    server.kill()
    server.start()
    speaker.join(PATIENCE_S)
    reader = HttpClient(server, alice.token)
    until(lambda: f"you said {said[-1]}" in _texts(reader, room), "the last answer")
    assert sent(directory) == said
    answers = [text for text in reversed(_texts(reader, room)) if text.startswith("you said")]
    assert answers == [f"you said {text}" for text in said]
    bridge.kill()


def bridged(tmp_path: Path, server: HearthProcess) -> tuple[Path, BridgeProcess, HttpClient, str]:
    """The bridge's directory, its process, and somebody in the room of its channel."""
    directory = begun(tmp_path, server)
    bridge = BridgeProcess(directory)
    alice = server.register("alice")
    return directory, bridge, alice, _joined(alice)


def _joined(client: HttpClient) -> str:
    found: list[str] = []

    def try_to() -> bool:
        status, answer = client.ask("POST", f"/join/{quote('#slack__c1:hearth.test')}", {})
        found.extend([answer["room_id"]] if status == 200 else [])
        return bool(found)

    until(try_to, "the channel's room")
    return found[0]


def _send(client: HttpClient, room: str, text: str) -> None:
    client.must("PUT", f"/rooms/{quote(room)}/send/m.room.message/{text}", {"msgtype": "m.text", "body": text})


def _texts(client: HttpClient, room: str) -> list[str]:
    answer = client.must("GET", f"/rooms/{quote(room)}/messages?dir=b&limit=100")
    return [event["content"].get("body", "") for event in answer["chunk"]]
