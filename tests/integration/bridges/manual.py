"""docs/bridges.md, as an administrator follows it: its commands are taken out of it, and done by real processes."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.homeserver import q
from tests.support.ports import free_port
from tests.support.processes import HearthProcess, HttpClient

MANUAL = Path(__file__).parents[3] / "docs" / "bridges.md"
ROOT = Path(__file__).parents[3]
WAIT_S = 60.0


def chapter(title: str) -> str:
    """What stands under a heading of the second level."""
    return MANUAL.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def given(title: str, command: str) -> list[list[str]]:
    """What the chapter tells to type, in its order: the words of its lines that begin with this command."""
    lines = re.findall(r"^    (\S.*)$", chapter(title), re.MULTILINE)
    return [line.split() for line in lines if line.split()[0] == command]


class Administrator:
    """A machine with a Hearth that runs, and an empty head. `tokens`: what stands for words of the manual."""

    def __init__(
        self, name: str, directory: Path, dsn: str, tokens: Mapping[str, str], places: Mapping[str, str]
    ) -> None:
        self.name, self.directory, self.tokens = name, directory, tokens
        self.hearth = HearthProcess(directory / "data", dsn)
        # Only that the network is a fake one, and that several tests run on one machine, is told aside of the manual.
        apart = {f"HEARTH_BRIDGE_{name.upper()}__{key.upper()}": value for key, value in places.items()}
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        self._environment = {
            **os.environ,
            **apart,
            "HEARTH_BRIDGE_APPSERVICE__PORT": str(free_port()),
            "PYTHONPATH": path,
        }
        self._bridge: subprocess.Popen[bytes] | None = None

    def _command(self, words: list[str]) -> list[str]:
        assert words[0] == "hearth"
        return [sys.executable, "-m", "homeserver", *(self.tokens_in(word) for word in words[1:])]

    def tokens_in(self, word: str) -> str:
        """The word, with what it stands for."""
        for written, meant in self.tokens.items():
            word = word.replace(written, meant)
        return word

    def types(self, words: list[str]) -> str:
        """What is answered."""
        done = subprocess.run(
            self._command(words),
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )
        return done.stdout + done.stderr

    def follows(self) -> list[str]:
        """All that the chapter tells to type, to the start of the bridge, which goes on; the answers."""
        *before, start = given(self.name.title(), "hearth")
        answers = [self.types(words) for words in before]
        self.starts(start)
        return answers

    def starts(self, words: list[str]) -> None:
        with (self.directory / "bridge.log").open("ab") as log:
            self._bridge = subprocess.Popen(
                self._command(words), cwd=self.directory, env=self._environment, stdout=log, stderr=log
            )

    def kills_the_bridge(self) -> None:
        """As the kernel would, short of memory."""
        assert self._bridge is not None
        self._bridge.kill()
        self._bridge.wait(WAIT_S)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Its first true value. Another process is asked again and again: there is nothing to await."""
        deadline = time.monotonic() + WAIT_S
        while not (value := condition()):
            log = self.directory / "bridge.log"
            assert time.monotonic() < deadline, f"never: {what}\n{log.read_text()[-3000:] if log.exists() else ''}"
            time.sleep(0.1)
        return value

    def stops(self) -> int:
        """What the bridge ends with."""
        assert self._bridge is not None
        self._bridge.terminate()
        return self._bridge.wait(WAIT_S)

    @contextmanager
    def at_work(self) -> Iterator["Administrator"]:
        self.hearth.start()
        try:
            yield self
        finally:
            if self._bridge is not None and self._bridge.poll() is None:
                self._bridge.kill()
                self._bridge.wait(WAIT_S)
            self.hearth.end()


class Person:
    """Alice in Matrix."""

    def __init__(self, administrator: Administrator) -> None:
        self._until = administrator.until
        self._client: HttpClient = administrator.hearth.register("alice")

    def chat(self, bot: str) -> str:
        """A direct chat, in which the bot has said something."""
        body = {"preset": "trusted_private_chat", "is_direct": True, "invite": [bot]}
        room = str(self._client.must("POST", "/createRoom", body)["room_id"])
        self.hears(room, "Hello!")
        return room

    def says(self, room: str, text: str) -> None:
        content = {"msgtype": "m.text", "body": text}
        self._client.persist("PUT", f"/rooms/{q(room)}/send/m.room.message/{q(text)}", content)

    def heard(self, room: str) -> list[str]:
        chunk = self._client.persist("GET", f"/rooms/{q(room)}/messages?dir=f&limit=200")["chunk"]
        return [str(event["content"].get("body")) for event in chunk if event["type"] == "m.room.message"]

    def hears(self, room: str, text: str) -> None:
        self._until(lambda: any(text in each for each in self.heard(room)), text)

    def joins_where_invited(self) -> str:
        invites = self._until(lambda: self._client.must("GET", "/sync")["rooms"].get("invite"), "an invite")
        room = str(next(iter(invites)))
        self._client.must("POST", f"/join/{q(room)}", {})
        return room
