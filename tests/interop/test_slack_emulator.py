"""The bridge's Slack side against `emulate` (npm), which nobody here wrote: what it has of Slack's Web API.

It has no Socket Mode, no typing, no emoji.list, no rate limits and no scopes in headers: those are the fake's alone
(tests/support/fake_slack).
"""

import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from appservice.bridges.core.errors import ChannelGone, Refused
from appservice.bridges.core.incoming import ChannelKind
from appservice.bridges.core.outgoing import Author, ChannelSettings, Emoji, OutgoingFile
from tests.integration.bridges.slack.rig import ALICE, Rig
from tests.support.ports import free_port

HERE = Path(__file__).parent / "emulate"
NODE = HERE / "node_modules" / "node" / "bin" / "node"
EMULATE = HERE / "node_modules" / "emulate" / "dist" / "index.js"
START_S = 60
TEAM, GENERAL, ADMIN = "T000000001", "C000000001", "U000000001"
BOT = Author(user_id=ALICE, name="Alice")

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not EMULATE.exists(), reason="run scripts/interop-setup for npm emulate"),
]


class Emulator:
    """As much of FakeSlack as a Rig asks for."""

    def __init__(self, port: int) -> None:
        self.api_url = f"http://127.0.0.1:{port}/api/"

    def bot_token(self, app: object) -> Any:
        return type("Token", (), {"text": "xoxb-hearth"})

    def app_token(self, app: object) -> Any:
        return type("Token", (), {"text": ""})


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    port, directory = free_port(), tmp_path_factory.mktemp("emulate")
    command = [str(NODE), str(EMULATE), "start", "-s", "slack", "-p", str(port)]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory, env={**os.environ, "NO_COLOR": "1"})
    deadline = time.monotonic() + START_S
    while not _answers(port):
        assert process.poll() is None and time.monotonic() < deadline, (directory / "log").read_text()
        time.sleep(0.1)
    yield Emulator(port)
    process.terminate()
    process.wait(10)


def _answers(port: int) -> bool:
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/users.list", data=b"")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def rig(emulator: Any, tmp_path: Path) -> Iterator[Rig]:
    found = Rig(emulator, None, tmp_path, signing_secret="secret", presence=False)  # type: ignore[arg-type]
    found.start()
    yield found
    found.stop()


def channel_of(rig: Rig) -> Any:
    return f"{TEAM}-{GENERAL}"


def a_message(rig: Rig, body: str, **more: Any) -> Any:
    class Here:
        id = GENERAL

    message = rig.message(Here, body, **more)  # type: ignore[arg-type]
    return evolve(message, channel=channel_of(rig))


def ref_of(rig: Rig, ts: str) -> Any:
    class Here:
        id = GENERAL

    return evolve(rig.ref(Here, ts), channel=channel_of(rig))  # type: ignore[arg-type]


def texts(rig: Rig) -> list[str]:
    page = rig.call(rig.network.history(channel_of(rig), limit=50))
    return [message.parts[0].content["body"] for message in page.messages]


def test_messages_are_posted_edited_found_and_deleted(rig: Rig) -> None:
    message = a_message(rig, "hello <&>", key="k1")
    sent = rig.call(rig.network.send(message))
    assert "hello <&>" in texts(rig)
    found = rig.call(rig.network.find_sent(message, 0))
    assert found is not None and found.ids == sent.ids
    ref = ref_of(rig, sent.ids[0])
    rig.call(rig.network.edit(ref, a_message(rig, "", html="<b>two</b>")))
    assert "two" in texts(rig) and "hello <&>" not in texts(rig)
    rig.call(rig.network.delete(BOT, ref))
    rig.call(rig.network.delete(BOT, ref))
    assert "two" not in texts(rig)


def test_reactions_and_pins(rig: Rig) -> None:
    ref = ref_of(rig, rig.call(rig.network.send(a_message(rig, "mark me", key="k2"))).ids[0])
    emoji = rig.call(rig.network.react(BOT, ref, Emoji(unicode="👍")))
    rig.call(rig.network.react(BOT, ref, Emoji(unicode="👍")))
    rig.call(rig.network.unreact(BOT, ref, emoji))
    rig.call(rig.network.pin(BOT, ref, True))
    assert rig.call(rig.network.channel(channel_of(rig))).pins == (ref.id,)
    rig.call(rig.network.pin(BOT, ref, False))
    rig.call(rig.network.pin(BOT, ref, False))
    assert rig.call(rig.network.channel(channel_of(rig))).pins == ()


def test_what_a_channel_is_and_its_topic(rig: Rig) -> None:
    rig.call(rig.network.set_channel(BOT, channel_of(rig), ChannelSettings(topic="all of it")))
    channel = rig.call(rig.network.channel(channel_of(rig)))
    assert (channel.kind, channel.name, channel.topic) == (ChannelKind.CHANNEL, "general", "all of it")
    found = rig.call(rig.network.find_channel("#general", BOT))
    assert found is not None and found.id == channel_of(rig)


def test_people_are_found(rig: Rig) -> None:
    person = rig.call(rig.network.find_person("admin", BOT))
    assert person is not None and person.id == f"{TEAM}-{ADMIN}"


def test_a_file_goes_up(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    file = OutgoingFile(path=path, name="a.txt", mimetype="text/plain", size_bytes=7)
    rig.call(rig.network.send(a_message(rig, "look", kind="file", file=file, key="k3")))
    assert any("look" in text for text in texts(rig))


def test_what_is_not_there_is_said(rig: Rig) -> None:
    with pytest.raises((ChannelGone, Refused)):
        rig.call(rig.network.channel(f"{TEAM}-C999999999"))  # type: ignore[arg-type]
