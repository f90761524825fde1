"""What docs/bridges.md says, done with real processes: from an app of Slack and a Hearth to a bridged channel."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests.support.fake_slack import FakeSlack
from tests.support.processes import HearthProcess, HttpClient, free_port

WAIT_S = 40.0


class Machine:
    """A Hearth, and commands that are given beside it."""

    def __init__(self, slack: FakeSlack, hearth: HearthProcess, directory: Path) -> None:
        self.slack, self.hearth, self.directory = slack, hearth, directory
        self.bridge: subprocess.Popen[bytes] | None = None
        self.app = slack.add_app("Matrix")
        self.maria = slack.add_person("maria")
        self.general = slack.add_channel("general", self.maria)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "homeserver", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)

    def init(self, *words: str) -> subprocess.CompletedProcess[str]:
        place = ("-c", str(self.directory / "homeserver.yaml"), "--data", str(self.directory))
        return self.run("bridge", "slack", "init", *place, *words)

    def start_bridge(self) -> None:
        file = self.directory / "bridges" / "slack" / "bridge.yaml"
        with (self.directory / "bridge.log").open("ab") as log:
            command = [sys.executable, "-m", "homeserver", "bridge", "slack", "-c", str(file)]
            self.bridge = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.until(lambda: self.slack.do(self.slack.server.sockets.of, self.app), "the bridge is connected")

    def kill_bridge(self) -> None:
        assert self.bridge is not None
        os.kill(self.bridge.pid, signal.SIGKILL)
        self.bridge.wait()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Its first true value. Another process is asked again and again: there is nothing to await."""
        deadline = time.monotonic() + WAIT_S
        while not (value := condition()):
            log = self.directory / "bridge.log"
            assert time.monotonic() < deadline, f"never: {what}\n{log.read_text()[-3000:] if log.exists() else ''}"
            time.sleep(0.1)
        return value


def says(client: HttpClient, room: str) -> list[str]:
    chunk = client.persist("GET", f"/rooms/{quote(room)}/messages?dir=f&limit=200")["chunk"]
    return [event["content"].get("body", "") for event in chunk if event["type"] == "m.room.message"]


def say(client: HttpClient, room: str, text: str) -> None:
    content = {"msgtype": "m.text", "body": text}
    client.persist("PUT", f"/rooms/{quote(room)}/send/m.room.message/{quote(text)}", content)


@pytest.fixture
def machine(slack: FakeSlack, dsn: str, tmp_path: Path) -> Iterator[Machine]:
    hearth = HearthProcess(tmp_path, dsn)
    hearth.start()
    slack.server.sockets.retry_after_s = (0.0, 0.2, 0.5)
    found = Machine(slack, hearth, tmp_path)
    yield found
    if found.bridge is not None and found.bridge.poll() is None:
        found.bridge.terminate()
        found.bridge.wait(WAIT_S)
    hearth.end()


def prepare(machine: Machine) -> None:
    """The steps of the manual before the start, with the mistakes that one may make."""
    slack = machine.slack
    first = machine.init("--set", f"api_url={slack.api_url}")
    assert first.returncode != 0
    assert "BAD  bot_token" in first.stdout and '"socket_mode_enabled": true' in first.stdout
    bot, app = slack.bot_token(machine.app), slack.app_token(machine.app)
    bot.scopes.discard("chat:write.customize")
    second = machine.init("--set", f"bot_token={bot.text}", "--set", f"app_token={app.text}")
    assert second.returncode != 0 and "BAD  chat:write.customize" in second.stdout, second
    bot.scopes.add("chat:write.customize")
    file = machine.directory / "bridges" / "slack" / "bridge.yaml"
    text = file.read_text()
    file.write_text(text.replace(f"port: {yaml.safe_load(text)['appservice']['port']}", f"port: {free_port()}"))
    third = machine.init()
    assert third.returncode == 0, third
    place = ("-c", str(machine.directory / "homeserver.yaml"), "--data", str(machine.directory))
    for line in third.stdout.splitlines():
        if line.strip().startswith("hearth appservice add"):
            done = machine.run("appservice", "add", *place, line.split()[-1])
            assert done.returncode == 0, done


def open_channel(machine: Machine, alice: HttpClient) -> str:
    """The room of the channel, asked of the bot."""
    body = {"preset": "trusted_private_chat", "is_direct": True, "invite": ["@slackbot:hearth.test"]}
    chat = alice.must("POST", "/createRoom", body)["room_id"]
    machine.until(lambda: any("Hello!" in text for text in says(alice, chat)), "the bot says hello")
    say(alice, chat, "bridge #general")
    machine.until(lambda: [text for text in says(alice, chat) if "matrix.to" in text], "an answer")
    room = str(next(iter(machine.until(lambda: alice.must("GET", "/sync")["rooms"].get("invite", {}), "invited"))))
    alice.must("POST", f"/join/{quote(room)}", {})
    return room


def test_a_channel_is_bridged_by_what_the_manual_says_and_outlives_kills(machine: Machine) -> None:
    slack, general, maria = machine.slack, machine.general, machine.maria
    prepare(machine)
    machine.start_bridge()
    alice = machine.hearth.register("alice")
    room = open_channel(machine, alice)
    maria.post(general, "hello from Slack")
    machine.until(lambda: "hello from Slack" in says(alice, room), "it is in Matrix")
    say(alice, room, "hello from Matrix")
    machine.until(lambda: "hello from Matrix" in slack.texts(general), "it is in Slack")

    machine.kill_bridge()
    maria.post(general, "while you were away")
    say(alice, room, "me too")
    machine.start_bridge()
    machine.until(lambda: "while you were away" in says(alice, room), "what was missed, in Matrix")
    machine.until(lambda: "me too" in slack.texts(general), "what was missed, in Slack")
    assert slack.texts(general).count("me too") == says(alice, room).count("while you were away") == 1

    machine.hearth.kill()
    maria.post(general, "while Hearth was down")
    machine.hearth.start()
    machine.until(lambda: "while Hearth was down" in says(alice, room), "what Hearth missed")
    say(alice, room, "Hearth is back")
    machine.until(lambda: "Hearth is back" in slack.texts(general), "and goes on")
    assert says(alice, room).count("while Hearth was down") == slack.texts(general).count("Hearth is back") == 1
