"""Hearth as the policy server of a room in which users of a Synapse talk with its own."""

import json
import urllib.request
from collections.abc import Iterator

import pytest

from tests.interop.beside_synapse import both, needs_synapse
from tests.interop.people import Person, Refused
from tests.interop.servers import Homeserver

POLICY = "policy_server: {enabled: true, blocked_words: [scam], blocked_message: no scams, exempt_power_level: null}\n"
pytestmark = needs_synapse


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> Iterator[tuple[Homeserver, Homeserver]]:
    with both(request, POLICY) as (_, hearth, synapse):
        yield hearth, synapse


@pytest.fixture
def ours(servers: tuple[Homeserver, Homeserver]) -> Person:
    return Person(servers[0], "ours")


@pytest.fixture
def theirs(servers: tuple[Homeserver, Homeserver]) -> Person:
    return Person(servers[1], "theirs")


def guarded_room(maker: Person, other: Person, hearth: Homeserver) -> str:
    """A room of both, guarded by Hearth."""
    room = maker.create_room(version="11")
    other.join(room, via=maker)
    maker.until("two members", lambda: other.user_id in maker.members(room))
    with urllib.request.urlopen(f"{hearth.url}/.well-known/matrix/policy_server") as answer:
        keys = json.loads(answer.read())
    maker.set_state(room, "m.room.policy", {"via": hearth.server_name, **keys})
    other.hears_state(room, "m.room.policy", via=hearth.server_name)
    return room


def refused(person: Person, room: str, body: str) -> Refused:
    with pytest.raises(Refused) as raised:
        person.send(room, body)
    return raised.value


@pytest.mark.parametrize("made_by_us", [True, False])
def test_what_is_signed_is_heard_on_both_sides(ours: Person, theirs: Person, made_by_us: bool) -> None:
    maker, other = (ours, theirs) if made_by_us else (theirs, ours)
    room = guarded_room(maker, other, ours.homeserver)
    for number in range(3):
        ours.send(room, f"from us {number}")
        theirs.hears(room, f"from us {number}")
        theirs.send(room, f"from them {number}")
        ours.hears(room, f"from them {number}")
    theirs.until("the same state", lambda: theirs.state(room) == ours.state(room))


def test_synapse_does_not_send_what_hearth_refuses(ours: Person, theirs: Person) -> None:
    room = guarded_room(theirs, ours, ours.homeserver)
    error = refused(theirs, room, "a scam")
    assert (error.status, error.errcode) == (400, "M_FORBIDDEN")
    assert "no scams" in str(error)
    theirs.send(room, "sorry")
    ours.hears(room, "sorry")
    assert "a scam" not in [event["content"].get("body") for event in ours.messages(room)]


def test_hearth_does_not_send_it_either(ours: Person, theirs: Person) -> None:
    room = guarded_room(ours, theirs, ours.homeserver)
    assert refused(ours, room, "a scam").errcode == "M_FORBIDDEN"
    ours.send(room, "sorry")
    theirs.hears(room, "sorry")


def test_a_room_can_do_without_its_policy_server_again(ours: Person, theirs: Person) -> None:
    room = guarded_room(theirs, ours, ours.homeserver)
    theirs.set_state(room, "m.room.policy", {})
    ours.until("no policy", lambda: not ours.ask("GET", f"/rooms/{room}/state/m.room.policy"))
    theirs.send(room, "a scam")
    ours.hears(room, "a scam")
