"""heisenbridge on Hearth: a person in Matrix and somebody on an IRC server talk with each other."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.irc import Chatter, IrcServer, ircd
from tests.interop.people import Event, Person
from tests.interop.servers import Homeserver, start_hearth
from tests.support.ports import free_port

pytestmark = pytest.mark.interop

PYTHON = Path(__file__).parents[2] / ".venv" / "heisenbridge" / "bin" / "python"
BOT = "@heisenbridge:interop.test"
CHANNEL = "#hearth"


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    program = ircd()
    if program is None or not (PYTHON.parent.parent / "installed").exists():
        pytest.skip("heisenbridge or ngircd is not installed: run scripts/interop-setup")
    with tempfile.TemporaryDirectory(prefix="hearth-interop-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def irc(directory: Path) -> Iterator[IrcServer]:
    program = ircd()
    assert program is not None
    server = IrcServer(program, directory)
    yield server
    server.stop()


class Heisenbridge:
    """The bridge as its manual says it: it writes its registration, and is started with it."""

    def __init__(self, directory: Path) -> None:
        self.registration = directory / "heisenbridge.yaml"
        self._command = [str(PYTHON), "-m", "heisenbridge", "-c", str(self.registration)]
        self._log = directory / "heisenbridge.log"
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run([*self._command, "--generate", "--listen-port", str(free_port())], check=True)

    def start(self, url: str) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*self._command, "-v", url], stdout=log, stderr=subprocess.STDOUT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def bridge(directory: Path) -> Iterator[Heisenbridge]:
    bridge = Heisenbridge(directory)
    yield bridge
    bridge.stop()


@pytest.fixture(scope="module")
def homeserver(directory: Path, bridge: Heisenbridge) -> Iterator[Homeserver]:
    homeserver = start_hearth(directory, None, f'app_service_config_files: ["{bridge.registration}"]\n')
    bridge.start(homeserver.url)
    yield homeserver
    homeserver.stop()


def invite_to(person: Person, name: str) -> str:
    """The room of this name to which the bridge invites, joined."""

    def find(answer: dict[str, object]) -> str | None:
        rooms = answer.get("rooms", {})
        assert isinstance(rooms, dict)
        for room, invite in rooms.get("invite", {}).items():
            states: list[Event] = invite["invite_state"]["events"]
            if any(one["type"] == "m.room.name" and name in one["content"].get("name", "") for one in states):
                return str(room)
        return None

    return person.join(str(person.sync_until(f"an invite to {name}", find)))


def says(person: Person, room: str, words: str) -> Event:
    """The next message of the bridge with these words."""
    return person.hears_event(room, lambda event: words in str(event["content"].get("body")), words)


class Talk:
    """Alice in Matrix and Bob on IRC, both in one channel."""

    def __init__(self, homeserver: Homeserver, irc: IrcServer) -> None:
        self.bob: Chatter = irc.connect("bob")
        self.bob.join(CHANNEL)
        self.alice = Person(homeserver, "alice")
        chat = {"preset": "trusted_private_chat", "is_direct": True, "invite": [BOT]}
        control = str(self.alice.ask("POST", "/createRoom", chat)["room_id"])
        says(self.alice, control, "Howdy")
        for command, answer in (
            ("ADDNETWORK here", "Network added"),
            (f"ADDSERVER here 127.0.0.1 {irc.port}", "Server added"),
            ("OPEN here", "You have been invited"),
        ):
            self.alice.send(control, command)
            says(self.alice, control, answer)
        network = invite_to(self.alice, "here")
        self.alice.send(network, "NICK alice")
        self.alice.send(network, "CONNECT")
        says(self.alice, network, "Welcome to the Internet Relay Network")
        self.alice.send(network, f"JOIN {CHANNEL}")
        self.room = invite_to(self.alice, CHANNEL)
        self.bob.hears(f"JOIN :{CHANNEL}")


@pytest.fixture(scope="module")
def talk(homeserver: Homeserver, irc: IrcServer) -> Iterator[Talk]:
    talk = Talk(homeserver, irc)
    yield talk
    talk.bob.leave()


def test_what_is_said_on_irc_comes_from_a_ghost(talk: Talk) -> None:
    talk.bob.message(CHANNEL, "hello from IRC")
    heard = talk.alice.hears(talk.room, "hello from IRC")
    assert heard["sender"] == "@irc_here_bob:interop.test"


def test_what_is_said_in_matrix_is_said_on_irc(talk: Talk) -> None:
    talk.alice.send(talk.room, "hello from Matrix")
    assert talk.bob.hears("hello from Matrix").startswith(":alice!")


def test_who_comes_and_goes_on_irc_comes_and_goes_in_matrix(talk: Talk, irc: IrcServer) -> None:
    ghost = "@irc_here_carol:interop.test"
    carol = irc.connect("carol")
    carol.join(CHANNEL)
    carol.message(CHANNEL, "am I here?")
    talk.alice.hears(talk.room, "am I here?")
    assert ghost in talk.alice.members(talk.room)
    carol.say(f"PART {CHANNEL}")
    talk.alice.until("Carol is gone", lambda: ghost not in talk.alice.members(talk.room))
    carol.leave()


def test_an_action_is_one_on_both_sides(talk: Talk) -> None:
    talk.bob.message(CHANNEL, "\x01ACTION waves\x01")
    assert talk.alice.hears(talk.room, "waves")["content"]["msgtype"] == "m.emote"
    talk.alice.send(talk.room, "waves back", msgtype="m.emote")
    assert "ACTION waves back" in talk.bob.hears("waves back")


def test_the_talk_goes_on_when_the_bridge_is_started_again(
    talk: Talk, bridge: Heisenbridge, homeserver: Homeserver
) -> None:
    bridge.stop()
    bridge.start(homeserver.url)
    # What it has to know it has kept with Hearth, as account data.
    talk.bob.hears(f"JOIN :{CHANNEL}")
    talk.bob.message(CHANNEL, "welcome back")
    talk.alice.hears(talk.room, "welcome back")
    talk.alice.send(talk.room, "here I am")
    assert talk.bob.hears("here I am").startswith(":alice!")
