"""A bridge with the Python library mautrix: what a person does arrives at it and the other way round, in plain and in
encrypted rooms, whoever of the two is started again meanwhile."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.appservice_programs import Program, Registered
from tests.interop.clients import Kind, RealClient, skip_without
from tests.interop.conftest import NewUser
from tests.interop.people import Person, q
from tests.interop.servers import Homeserver, start_hearth

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
PYTHON = HERE.parent.parent / ".venv" / "mautrix" / "bin" / "python"
DOMAIN = "interop.test"


def mautrix_kind() -> Kind:
    installed = (PYTHON.parent.parent / "installed").exists()
    missing = None if installed else "mautrix is not installed: run scripts/interop-setup"
    return Kind("mau", (str(PYTHON), str(HERE / "mautrix" / "bridge.py")), missing)


@pytest.fixture(scope="module")
def registered() -> Iterator[Registered]:
    skip_without(mautrix_kind())
    with tempfile.TemporaryDirectory(prefix="hearth-interop-", ignore_cleanup_errors=True) as directory:
        yield Registered.write(mautrix_kind(), "mau", Path(directory) / "mau", DOMAIN)


@pytest.fixture(scope="module")
def homeserver(registered: Registered) -> Iterator[Homeserver]:
    more = f'app_service_config_files: ["{registered.file}"]\n'
    with tempfile.TemporaryDirectory(prefix="hearth-interop-", ignore_cleanup_errors=True) as directory:
        homeserver = start_hearth(Path(directory), None, more)
        yield homeserver
        homeserver.stop()


@pytest.fixture(scope="module")
def bridge(registered: Registered, homeserver: Homeserver) -> Iterator[Program]:
    program = Program.start(registered, homeserver.url, DOMAIN)
    yield program
    program.stop()


@pytest.fixture(scope="module")
def alice(bridge: Program, homeserver: Homeserver) -> Person:
    return Person(homeserver, "alice")


@pytest.fixture(scope="module")
def portal(bridge: Program, alice: Person) -> str:
    """A room that the bridge made, with Alice and a ghost."""
    room: str = bridge.do("create_room", invitees=[alice.user_id], name="Portal")
    alice.join(room)
    bridge.do("join", nick="ann", room_id=room)
    return room


def test_what_a_bridge_of_the_go_library_checks_at_its_start_is_right(bridge: Program) -> None:
    found = bridge.do("checks_of_mautrix_go")
    assert {"v1.4", "v1.7", "v1.11"} <= set(found["versions"])
    assert found["user_id"] == bridge.user("service")
    assert found["ping_ms"] >= 0


def test_ghosts_are_registered_and_may_be_so_again(bridge: Program) -> None:
    assert bridge.do("register", nick="ben") == bridge.do("register", nick="ben") == bridge.user("ben")


def test_a_ghost_that_somebody_asks_for_appears(bridge: Program, alice: Person) -> None:
    assert alice.ask("GET", f"/profile/{q(bridge.user('bob'))}") == {"displayname": "mau_bob"}


def test_a_room_of_the_bridge_has_its_people(bridge: Program, alice: Person, portal: str) -> None:
    joined = alice.ask("GET", f"/rooms/{q(portal)}/joined_members")["joined"]
    assert set(joined) == {alice.user_id, bridge.user("service"), bridge.user("ann")}
    bridge.do("line", kind="m.room.member", room_id=portal, state_key=alice.user_id, membership="join")


def test_words_go_both_ways(bridge: Program, alice: Person, portal: str) -> None:
    sent = alice.send(portal, "hello network")
    line = bridge.do("line", kind="m.room.message", body="hello network")
    assert (line["sender"], line["room_id"], line["event_id"]) == (alice.user_id, portal, sent)
    bridge.do("say", nick="ann", room_id=portal, text="hello Matrix")
    assert alice.hears(portal, "hello Matrix")["sender"] == bridge.user("ann")
    bridge.do("line", kind="m.room.message", body="hello Matrix")


def test_words_have_the_time_that_the_network_says(bridge: Program, alice: Person, portal: str) -> None:
    then = 1_234_567_890_123
    bridge.do("say", nick="ann", room_id=portal, text="long ago", ts=then)
    assert alice.hears(portal, "long ago")["origin_server_ts"] == then
    assert bridge.do("line", kind="m.room.message", body="long ago")["timestamp"] == then


def test_a_redaction_arrives(bridge: Program, alice: Person, portal: str) -> None:
    sent = alice.send(portal, "oops")
    alice.ask("PUT", f"/rooms/{q(portal)}/redact/{q(sent)}/1", {"reason": "a slip"})
    assert bridge.do("line", kind="m.room.redaction", sender=alice.user_id)["room_id"] == portal


def test_typing_receipts_and_presence_arrive(bridge: Program, alice: Person, portal: str) -> None:
    alice.ask("PUT", f"/rooms/{q(portal)}/typing/{q(alice.user_id)}", {"typing": True, "timeout": 20_000})
    bridge.do("line", kind="m.typing", room_id=portal, users=alice.user_id)
    said = bridge.do("say", nick="ann", room_id=portal, text="read this")
    alice.ask("POST", f"/rooms/{q(portal)}/receipt/m.read/{q(said)}", {})
    bridge.do("line", kind="m.receipt", room_id=portal, events=said)
    alice.ask("PUT", f"/presence/{q(alice.user_id)}/status", {"presence": "unavailable"})
    bridge.do("line", kind="m.presence", sender=alice.user_id, presence="unavailable")


def test_ghosts_type_and_read(bridge: Program, alice: Person, portal: str) -> None:
    sent = alice.send(portal, "for ann to read")
    bridge.do("type", nick="ann", room_id=portal)
    bridge.do("read", nick="ann", room_id=portal, event_id=sent)
    bridge.do("come_online", nick="ann")
    ann = bridge.user("ann")
    alice.sync_until("ann types and reads", lambda _: _told(alice, ann, sent))


def _told(alice: Person, ann: str, event_id: str) -> bool:
    texts = [str(answer.get("rooms", {})) for answer in alice.answers]
    types = any("m.typing" in text and ann in text for text in texts)
    return types and any("m.receipt" in text and event_id in text and ann in text for text in texts)


def counted(bridge: Program, bodies: list[str]) -> list[int]:
    return [bridge.do("count", kind="m.room.message", body=body) for body in bodies]


def test_nothing_is_lost_or_doubled_when_the_bridge_is_killed(bridge: Program, alice: Person, portal: str) -> None:
    bodies = [f"while the bridge is away {number}" for number in range(30)]
    for number, body in enumerate(bodies):
        if number == 10:
            bridge.stop()
        if number == 20:
            bridge.start_again()
        alice.send(portal, body)
    bridge.do("line", kind="m.room.message", body=bodies[-1])
    assert counted(bridge, bodies) == [1] * len(bodies)


def test_nothing_is_lost_or_doubled_when_hearth_is_started_again(
    bridge: Program, alice: Person, portal: str, homeserver: Homeserver
) -> None:
    bodies = [f"around the restart {number}" for number in range(20)]
    for body in bodies[:10]:
        alice.send(portal, body)
    homeserver.stop()
    homeserver.start_again()
    for body in bodies[10:]:
        alice.send(portal, body)
    bridge.do("line", kind="m.room.message", body=bodies[-1])
    assert counted(bridge, bodies) == [1] * len(bodies)


def test_what_was_said_while_both_were_away_arrives_once(
    bridge: Program, alice: Person, portal: str, homeserver: Homeserver
) -> None:
    bridge.stop()
    alice.send(portal, "the bridge was away, then both")
    homeserver.stop()
    homeserver.start_again()
    bridge.start_again()
    bridge.do("line", kind="m.room.message", body="the bridge was away, then both")
    assert counted(bridge, ["the bridge was away, then both"]) == [1]


def test_an_encrypted_room_is_read_and_written(bridge: Program, js: Kind, new_user: NewUser) -> None:
    bridge.do("encrypt")
    carol: RealClient = new_user(js)
    carol.do("start")
    bot = bridge.user("service")
    room: str = carol.do("create_room", invite=[bot], encrypted=True)["room_id"]
    bridge.do("line", kind="m.room.member", room_id=room, state_key=bot, membership="invite")
    bridge.do("join", nick="service", room_id=room)
    carol.do("await_member", room_id=room, user_id=bot)
    for number in range(3):
        body = f"for your eyes only {number}"
        carol.do("send", room_id=room, content={"msgtype": "m.text", "body": body})
        line = bridge.do("line", kind="m.room.message", body=body)
        assert (line["sender"], line["encrypted"]) == (carol.user_id, True)
    event_id = bridge.do("say_encrypted", room_id=room, text="for yours")
    event = carol.do("await_event", room_id=room, event_id=event_id)
    assert (event["content"]["body"], event["encrypted"]) == ("for yours", True)
    bridge.stop()
    carol.do("send", room_id=room, content={"msgtype": "m.text", "body": "while the bridge was away"})
    bridge.start_again()
    line = bridge.do("line", kind="m.room.message", body="while the bridge was away")
    assert (line["sender"], line["encrypted"]) == (carol.user_id, True)
