"""Bridges with matrix-appservice-bridge and with matrix-bot-sdk: what a person does in Matrix arrives on the network,
and what happens there in Matrix."""

import base64
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.interop.appservice_programs import Program, Registered, program_kind
from tests.interop.clients import skip_without
from tests.interop.people import Person, Refused, q
from tests.interop.servers import Homeserver, start_hearth, start_synapse

pytestmark = pytest.mark.interop

DOMAIN = "interop.test"
PROGRAMS = ("bridge", "bot")


def picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(out, "PNG")
    return out.getvalue()


PNG = base64.b64encode(picture()).decode()


@pytest.fixture(scope="module")
def registered() -> Iterator[dict[str, Registered]]:
    for name in PROGRAMS:
        skip_without(program_kind(name))
    with tempfile.TemporaryDirectory(prefix="hearth-interop-", ignore_cleanup_errors=True) as directory:
        yield {name: Registered.write(program_kind(name), name, Path(directory) / name, DOMAIN) for name in PROGRAMS}


@pytest.fixture(scope="module")
def homeserver(registered: dict[str, Registered]) -> Iterator[Homeserver]:
    files = ", ".join(f'"{each.file}"' for each in registered.values())
    more = f"app_service_config_files: [{files}]\n"
    start = start_synapse if os.environ.get("INTEROP_SERVER") == "synapse" else start_hearth
    with tempfile.TemporaryDirectory(prefix="hearth-interop-", ignore_cleanup_errors=True) as directory:
        homeserver = start(Path(directory), None, more)
        yield homeserver
        homeserver.stop()


@pytest.fixture(scope="module", params=PROGRAMS)
def program(
    request: pytest.FixtureRequest, homeserver: Homeserver, registered: dict[str, Registered]
) -> Iterator[Program]:
    program = Program.start(registered[request.param], homeserver.url, DOMAIN)
    yield program
    program.stop()


@pytest.fixture(scope="module")
def alice(program: Program, homeserver: Homeserver) -> Person:
    return Person(homeserver, "alice")


@pytest.fixture(scope="module")
def channel(program: Program, alice: Person) -> str:
    """The room of the channel x, which is there since Alice joined it by its alias."""
    return alice.join(program.alias("x"))


@pytest.fixture(scope="module")
def chat(program: Program, alice: Person) -> str:
    """The room in which Alice talks with ann of the network, whom she invited."""
    body = {"invite": [program.user("ann")], "is_direct": True, "preset": "trusted_private_chat"}
    room = str(alice.ask("POST", "/createRoom", body)["room_id"])
    invite = program.do("line", kind="invite", nick="ann")
    assert (invite["sender"], invite["room_id"]) == (alice.user_id, room)
    alice.hears_state(room, "m.room.member", program.user("ann"), membership="join")
    return room


def test_a_channel_becomes_a_room_when_somebody_joins_it(program: Program, alice: Person, channel: str) -> None:
    assert program.alias("x") in program.do("asked")
    assert program.do("room_of", channel="x") == channel
    assert alice.ask("GET", f"/directory/room/{q(program.alias('x'))}")["room_id"] == channel
    alice.hears_state(channel, "m.room.name", name="#x")


def test_what_the_network_does_not_have_is_not_there(program: Program, alice: Person) -> None:
    with pytest.raises(Refused) as no_room:
        alice.join(program.alias("nowhere"))
    with pytest.raises(Refused) as no_user:
        alice.ask("GET", f"/profile/{q(program.user('nobody'))}")
    assert (no_room.value.status, no_user.value.status) == (404, 404)
    assert program.alias("nowhere") in program.do("asked")


def test_words_go_both_ways(program: Program, alice: Person, channel: str) -> None:
    alice.send(channel, "hello network")
    line = program.do("line", kind="message", body="hello network")
    assert (line["sender"], line["room_id"]) == (alice.user_id, channel)
    program.do("say", nick="bob", room_id=channel, text="hello Matrix")
    assert alice.hears(channel, "hello Matrix")["sender"] == program.user("bob")


def test_many_words_keep_their_order(program: Program, alice: Person, channel: str) -> None:
    wanted = [f"word {number}" for number in range(30)]
    for word in wanted:
        alice.send(channel, word)
    program.do("line", kind="message", body=wanted[-1])
    for word in wanted:
        program.do("say", nick="bob", room_id=channel, text=f"{word} back")
    alice.hears(channel, f"{wanted[-1]} back")
    heard = [event["content"].get("body", "") for event in reversed(alice.messages(channel))]
    assert [body for body in heard if body.endswith(" back")] == [f"{word} back" for word in wanted]


def test_whoever_is_invited_comes_with_a_name(program: Program, alice: Person, chat: str) -> None:
    assert program.user("ann") in program.do("asked")
    member = alice.ask("GET", f"/rooms/{q(chat)}/state/m.room.member/{q(program.user('ann'))}")
    assert (member["membership"], member["displayname"]) == ("join", "ann (IRC)")
    alice.send(chat, "just you and me")
    program.do("line", kind="message", body="just you and me", room_id=chat)
    program.do("say", nick="ann", room_id=chat, text="yes")
    alice.hears(chat, "yes")


def test_pictures_are_uploaded_and_shown(program: Program, alice: Person, chat: str) -> None:
    sent = program.do("say_picture", nick="ann", room_id=chat, png=PNG)
    event = alice.hears_event(chat, lambda event: event["content"].get("msgtype") == "m.image", "a picture")
    assert event["content"]["url"] == sent["url"]
    server, media = sent["url"].removeprefix("mxc://").split("/")
    got = alice.exchange("GET", f"/_matrix/client/v1/media/download/{server}/{media}", None, "")
    assert got == picture()


def test_names_and_faces_are_those_of_the_network(program: Program, alice: Person, chat: str) -> None:
    url = program.do("rename", nick="ann", name="Ann of IRC", png=PNG)["url"]
    profile = alice.ask("GET", f"/profile/{q(program.user('ann'))}")
    assert (profile["displayname"], profile["avatar_url"]) == ("Ann of IRC", url)
    alice.hears_state(chat, "m.room.member", program.user("ann"), displayname="Ann of IRC", avatar_url=url)
    program.do("rename", nick="ann", name="ann (IRC)", png=PNG)


def test_topics_are_set_by_the_service(program: Program, alice: Person, channel: str) -> None:
    program.do("topic", channel="x", topic="about x")
    alice.hears_state(channel, "m.room.topic", topic="about x")


def test_typing_and_reading_go_both_ways(program: Program, alice: Person, chat: str) -> None:
    typing = f"/rooms/{q(chat)}/typing/{q(alice.user_id)}"
    alice.ask("PUT", typing, {"typing": True, "timeout": 20_000})
    program.do("line", kind="typing", room_id=chat, users=alice.user_id)
    alice.ask("PUT", typing, {"typing": False})
    event_id = program.do("say", nick="ann", room_id=chat, text="read this")
    alice.ask("POST", f"/rooms/{q(chat)}/receipt/m.read/{q(event_id)}", {})
    program.do("line", kind="receipt", room_id=chat, event_id=event_id)
    program.do("type", nick="ann", room_id=chat)
    alice.sync_until("typing", lambda answer: program.user("ann") in str(_ephemeral(answer, chat, "m.typing")))
    mine = alice.send(chat, "and you this")
    program.do("read", nick="ann", room_id=chat, event_id=mine)
    alice.sync_until("reading", lambda answer: mine in str(_ephemeral(answer, chat, "m.receipt")))


def _ephemeral(answer: dict[str, object], room: str, event_type: str) -> list[object]:
    rooms: dict[str, dict[str, dict[str, dict[str, list[dict[str, object]]]]]] = answer.get("rooms", {})  # type: ignore[assignment]
    events = rooms.get("join", {}).get(room, {}).get("ephemeral", {}).get("events", [])
    return [event for event in events if event["type"] == event_type]


def test_the_network_is_told_of_and_looked_up(program: Program, alice: Person) -> None:
    told = alice.ask("GET", "/thirdparty/protocols")["irc"]
    ids = [instance["instance_id"] for instance in told["instances"]]
    # Synapse remembers for an hour that the other program was not there when it was asked.
    assert _is_synapse() or f"{program.registered.name}|testnet" in ids
    bob = {"userid": program.user("bob"), "protocol": "irc", "fields": {"nick": "bob"}}
    assert bob in alice.ask("GET", "/thirdparty/user/irc", nick="bob")
    place = {"alias": program.alias("x"), "protocol": "irc", "fields": {"channel": "x"}}
    assert place in alice.ask("GET", "/thirdparty/location/irc", channel="x")
    if not _is_synapse():
        assert bob in alice.ask("GET", "/thirdparty/user", userid=program.user("bob"))
        assert place in alice.ask("GET", "/thirdparty/location", alias=program.alias("x"))


def test_the_rooms_of_the_network_have_a_directory(program: Program, alice: Person, channel: str) -> None:
    if program.registered.name == "bot":
        program.do("list", channel="x")
    instance = {"third_party_instance_id": f"{program.registered.name}|testnet"}
    page = alice.ask("POST", "/publicRooms", instance)
    assert [each["room_id"] for each in page["chunk"]] == [channel]


def test_the_service_finds_out_that_it_can_be_reached(program: Program) -> None:
    assert program.do("ping")["duration_ms"] >= 0
    if program.registered.name == "bridge":
        assert program.do("ping_by_event")["delay_ms"] >= 0


def test_what_was_said_while_the_service_was_away_arrives_when_it_is_back(
    program: Program, alice: Person, channel: str
) -> None:
    program.stop()
    for number in range(3):
        alice.send(channel, f"missed {number}")
    program.start_again()
    for number in range(3):
        program.do("line", kind="message", body=f"missed {number}", room_id=channel)
    program.do("say", nick="bob", room_id=channel, text="back again")
    alice.hears(channel, "back again")


def test_whoever_leaves_the_network_leaves_the_room(program: Program, alice: Person, chat: str) -> None:
    program.do("leave", nick="ann", room_id=chat)
    alice.hears_state(chat, "m.room.member", program.user("ann"), membership="leave")


def _is_synapse() -> bool:
    return os.environ.get("INTEROP_SERVER") == "synapse"
