"""As docs/bridges.md tells it: an administrator from nothing to a bridged channel, by the command line alone."""

import itertools
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.servers import Homeserver, start_hearth
from tests.support.fake_discord import FakeDiscord
from tests.support.homeserver import q
from tests.support.processes import free_port

Json = dict[str, Any]
WAIT_S = 60.0
HEARTH = [sys.executable, "-m", "homeserver"]
_numbers = itertools.count()


@pytest.fixture
def directory() -> Iterator[Path]:
    # Not in pytest's own directory: as root the database is another user's, who may not look into that.
    with tempfile.TemporaryDirectory(prefix="hearth-discord-", ignore_cleanup_errors=True) as path:
        yield Path(path)


@pytest.fixture
def hearth(directory: Path) -> Iterator[Homeserver]:
    server = start_hearth(directory)
    yield server
    server.stop()


class Alice:
    """A user, by plain HTTP."""

    def __init__(self, server: Homeserver) -> None:
        self._url = f"{server.url}/_matrix/client/v3"
        self._token = ""
        body = {"username": "alice", "password": "correct horse battery", "auth": {"type": "m.login.dummy"}}
        self._token = self.ask("POST", "/register", body)["access_token"]

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = urllib.request.Request(self._url + path, method=method, data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))

    def say(self, room: str, text: str) -> None:
        path = f"/rooms/{q(room)}/send/m.room.message/t{next(_numbers)}"
        self.ask("PUT", path, {"msgtype": "m.text", "body": text})

    def texts(self, room: str) -> list[str]:
        chunk = self.ask("GET", f"/rooms/{q(room)}/messages?dir=b&limit=100")["chunk"]
        return [str(event["content"].get("body")) for event in reversed(chunk)]

    def hears(self, room: str, text: str) -> None:
        wait(lambda: any(text in each for each in self.texts(room)), text)

    def invites(self) -> list[str]:
        return list(self.ask("GET", "/sync").get("rooms", {}).get("invite", {}))


def wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        # Another process is not ours to await: it can only be asked again.
        time.sleep(0.1)


def hearth_says(*words: str) -> str:
    done = subprocess.run([*HEARTH, *words], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout + done.stderr


def test_from_nothing_to_a_channel_that_is_bridged_both_ways(
    hearth: Homeserver, directory: Path, fake: FakeDiscord
) -> None:
    carol = fake.person("carol", "Carol")
    guild = fake.guild("Wonderland", carol)
    garden = fake.channel(guild, "garden")
    bot = fake.bot("Hearth", guild)
    where = ["-c", str(directory / "homeserver.yaml"), "--data", str(directory / "data")]
    bridge = directory / "bridge"
    address = ["--set", f"api={fake.api}", "--set", f"gateway={fake.gateway_url}", "--set", f"cdn={fake.cdn}"]
    init = ["bridge", "discord", "init", *where, "--directory", str(bridge)]

    first = hearth_says(*init, *address)
    assert "https://discord.com/oauth2/authorize" in first and "BAD  token" in first
    second = hearth_says(*init, "--set", f"token={bot.token}")
    assert " ok  server Wonderland" in second and "hearth appservice add" in second
    file = bridge / "bridge.yaml"
    port = free_port()
    for each in (file, bridge / "registration.yaml"):
        each.write_text(each.read_text().replace("29301", str(port)))
    for name in ("registration.yaml", "double-puppets.yaml"):
        hearth_says("appservice", "add", str(bridge / name), *where)
    with (directory / "bridge.log").open("wb") as log:
        process = subprocess.Popen([*HEARTH, "bridge", "discord", "-c", str(file)], stdout=log, stderr=log)
    try:
        _two_ways(Alice(hearth), fake, garden, carol)
    finally:
        process.terminate()
        assert process.wait(WAIT_S) == 0, (directory / "bridge.log").read_text()


def _two_ways(alice: Alice, fake: FakeDiscord, garden: str, carol: Json) -> None:
    body = {"preset": "trusted_private_chat", "is_direct": True, "invite": ["@discordbot:interop.test"]}
    control = str(alice.ask("POST", "/createRoom", body)["room_id"])
    alice.hears(control, "Say `help`")
    alice.say(control, "bridge Wonderland/#garden")
    alice.hears(control, "You are invited")
    wait(alice.invites, "an invite")
    room = alice.invites()[0]
    alice.ask("POST", f"/join/{q(room)}", {})
    fake.post(garden, carol, "hello from there")
    alice.hears(room, "hello from there")
    alice.say(room, "hello from here")
    wait(lambda: any(each["content"] == "hello from here" for each in fake.messages(garden)), "hello from here")
    assert fake.messages(garden)[-1]["author"]["username"] == "alice"
