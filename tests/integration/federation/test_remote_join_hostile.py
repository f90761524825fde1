"""Servers that lead our users into a room, and lie."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import frozen
from twisted.internet.task import Clock as ReactorClock

from federation.outbound.errors import Unreachable
from homeserver.runtime.clock import Clock
from homeserver.services.rooms.remote_membership.attempts import Attempts
from matrix.errors import MatrixError
from matrix.events import Json
from matrix.ids import ServerName
from tests.integration.federation.handmade_room import V1, V2, HandmadeRoom
from tests.integration.federation.remote_pair import join, member, refused_join
from tests.support.database import TestServer
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver


@frozen
class Scene:
    network: Network
    hs: Homeserver
    evil: FakeServer
    bob: Client


@pytest_twisted.async_yield_fixture(scope="module")
async def scene(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    network = Network(postgres, tmp_path_factory.mktemp("hostile"))
    hs = await network.start("one.test")
    yield Scene(network, hs, FakeServer(network, "evil.test"), await hs.register("bob"))
    await network.close()


def with_event(**changes: Any) -> Callable[[Json], Json]:
    return lambda answer: {**answer, "event": {**answer["event"], **changes}}


def without(name: str) -> Callable[[Json], Json]:
    return lambda answer: {**answer, "event": {key: value for key, value in answer["event"].items() if key != name}}


async def test_a_room_made_by_hand_is_joined(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil)
    await join(scene.bob, room.room, "evil.test")
    assert (await member(scene.bob, room.room, room.creator))["membership"] == "join"


TEMPLATES: dict[str, Callable[[Json], Any]] = {
    "another room": with_event(room_id="!other:evil.test"),
    "another sender": with_event(sender="@eve:evil.test"),
    "another target": with_event(state_key="@eve:evil.test"),
    "another type": with_event(type="m.room.power_levels"),
    "another membership": with_event(content={"membership": "ban"}),
    "no membership": with_event(content={}),
    "no content": without("content"),
    "no depth": without("depth"),
    "a depth that is none": with_event(depth=-1),
    "a depth beyond": with_event(depth=2**60),
    "no prev_events": without("prev_events"),
    "prev_events that are none": with_event(prev_events=[["$x", {}]]),
    "a thousand prev_events": with_event(prev_events=[f"$e{n}" for n in range(1000)]),
    "too many auth_events": with_event(auth_events=[f"$e{n}" for n in range(11)]),
    "auth_events that are none": with_event(auth_events=[1]),
    "a version that cannot have the id": lambda answer: {**answer, "room_version": "12"},
    "a list": lambda answer: [answer],
    "no event": lambda answer: {"room_version": "10"},
    "an event that is none": lambda answer: {"event": 7},
    "an authorising user that is none": with_event(
        content={"membership": "join", "join_authorised_via_users_server": "nobody"}
    ),
    "nothing": lambda answer: (500, {}),
}


@pytest.mark.parametrize("what", TEMPLATES)
async def test_a_template_for_something_else_is_not_signed(scene: Scene, what: str) -> None:
    room = HandmadeRoom(scene.evil, of_template=TEMPLATES[what])
    before = len(scene.network.sent("/send_join/"))
    assert await refused_join(scene.bob, room.room, "evil.test") == (502, "M_UNKNOWN")
    assert len(scene.network.sent("/send_join/")) == before


async def test_a_version_that_we_do_not_know_is_told_to_the_client(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil, of_template=lambda answer: {**answer, "room_version": "org.test.99"})
    response = await scene.bob.ask("POST", f"/join/{room.room}?via=evil.test", {})
    assert (response.status, response.json["errcode"]) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert response.json["room_version"] == "org.test.99"
    refusal = {"errcode": "M_INCOMPATIBLE_ROOM_VERSION", "error": "no", "room_version": "77"}
    room.of_template = lambda answer: (400, refusal)
    response = await scene.bob.ask("POST", f"/join/{room.room}?via=evil.test", {})
    assert (response.status, response.json) == (400, refusal)


async def test_of_the_template_only_its_place_is_taken(scene: Scene) -> None:
    content = {"membership": "join", "displayname": "Evil", "org.evil": 1}
    room = HandmadeRoom(
        scene.evil, of_template=with_event(content=content, redacts="$x", unsigned={"a": 1}, origin="x")
    )
    await join(scene.bob, room.room, "evil.test")
    assert await member(scene.bob, room.room, scene.bob.user_id) == {"membership": "join", "displayname": "bob"}


def of_state(change: Callable[[list[Json]], list[Any]]) -> Callable[[Json], Json]:
    return lambda answer: {**answer, "state": change(answer["state"]), "auth_chain": change(answer["auth_chain"])}


def forged(pdus: list[Json]) -> list[Json]:
    """The create event has the signature of somebody else."""
    first = {**pdus[0], "signatures": {"evil.test": {"ed25519:fake": "AAAA"}}}
    return [first, *pdus[1:]]


ANSWERS: dict[str, Callable[[Json], Any]] = {
    "no state": lambda answer: {"auth_chain": answer["auth_chain"]},
    "an empty state": of_state(lambda pdus: []),
    "a state without create event": of_state(lambda pdus: pdus[1:]),
    "a create event that is not signed": of_state(forged),
    "no join rules": of_state(lambda pdus: pdus[:3]),
    "nonsense": of_state(lambda pdus: [1, None, "x", [], {}, {"type": "m.room.create"}]),
    "ten thousand events that are none": of_state(lambda pdus: [{"type": "m.room.create"}] * 10_000),
    "half a million": of_state(lambda pdus: [{}] * 500_000),
    "one event again and again": of_state(lambda pdus: pdus[1:2] * 500),
    "another event in place of the join": lambda answer: {**answer, "event": answer["state"][1]},
    "an event that is none": lambda answer: {**answer, "event": {"type": "m.room.member"}},
    "text": lambda answer: "welcome",
    "an error": lambda answer: (500, {"errcode": "M_UNKNOWN"}),
}


@pytest.mark.parametrize("what", ANSWERS)
async def test_an_answer_that_makes_no_room_is_not_taken_for_one(scene: Scene, what: str) -> None:
    room = HandmadeRoom(scene.evil, of_answer=ANSWERS[what])
    assert await refused_join(scene.bob, room.room, "evil.test") == (502, "M_UNKNOWN")
    assert room.room not in (await scene.bob.get("/joined_rooms"))["joined_rooms"]
    # The next time it tells the truth.
    room.of_answer = lambda answer: answer
    await join(scene.bob, room.room, "evil.test")
    assert (await member(scene.bob, room.room, scene.bob.user_id))["membership"] == "join"


async def test_events_of_other_rooms_and_doubtful_ones_are_left_out_of_the_state(scene: Scene) -> None:
    other = HandmadeRoom(scene.evil, localpart="other")
    topic = other.add("m.room.topic", {"topic": "of another room"})
    room = HandmadeRoom(scene.evil)
    unsigned = {**room.add("m.room.name", {"name": "forged"}), "content": {"name": "changed"}}
    room.events.pop()
    room.of_answer = lambda answer: {**answer, "state": [*answer["state"], topic, {**unsigned, "signatures": {}}]}
    await join(scene.bob, room.room, "evil.test")
    for event_type in ("m.room.topic", "m.room.name"):
        response = await scene.bob.ask("GET", f"/rooms/{room.room}/state/{event_type}/")
        assert response.status == 404, event_type


async def test_the_old_form_of_send_join_is_understood(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil, of_answer=lambda answer: (404, {"errcode": "M_UNRECOGNIZED"}))
    path = f"{V1}/send_join/"
    scene.evil.answers("PUT", path, lambda sent: [200, room.state_answer()])
    await join(scene.bob, room.room, "evil.test")


async def test_a_server_that_fails_is_passed_over(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil)
    bad = FakeServer(scene.network, "bad.test")
    bad.answers("GET", f"{V1}/make_join/", lambda sent: (504, {"errcode": "M_UNKNOWN"}))
    await join(scene.bob, room.room, "bad.test", "evil.test")
    assert bad.requests


async def test_after_a_while_no_further_server_is_asked() -> None:
    clock = ReactorClock()
    asked: list[ServerName] = []

    async def ask(server: ServerName) -> None:
        asked.append(server)
        clock.advance(40)
        raise Unreachable(server, "slow")

    with pytest.raises(MatrixError) as raised:
        servers = [ServerName(f"s{n}.test") for n in range(10)]
        await Attempts(clock=Clock(clock)).first("join the room", servers, ask)
    assert (raised.value.status, len(asked)) == (502, 2)


async def test_so_many_servers_are_asked_and_no_more(scene: Scene) -> None:
    servers = [f"s{n}.test" for n in range(40)]
    before = len(scene.network.sent("/make_join/"))
    assert await refused_join(scene.bob, "!nowhere:evil.test", *servers) == (502, "M_UNKNOWN")
    assert len({sent.destination for sent in scene.network.sent("/make_join/")[before:]}) == 10


async def test_a_restricted_join_needs_the_signature_of_who_lets_in(scene: Scene) -> None:
    content = {"membership": "join", "join_authorised_via_users_server": "@eve:evil.test"}
    room = HandmadeRoom(scene.evil, join_rule="restricted", of_template=with_event(content=content))
    auth = [room.id_of(one) for one in (*room.events[:1], room.events[2], room.events[3], room.events[1])]
    room.of_template = with_event(content=content, auth_events=auth)
    assert await refused_join(scene.bob, room.room, "evil.test") == (502, "M_UNKNOWN")
    joins: list[Json] = []

    def send(sent: Any) -> Any:
        joins.append(sent.json)
        return {**room.state_answer(), "event": scene.evil.sign_event(sent.json, room.version)}

    scene.evil.answers("PUT", f"{V2}/send_join/", send)
    await join(scene.bob, room.room, "evil.test")
    assert joins[0]["content"] == {**content, "displayname": "bob"}


async def test_what_the_other_server_may_not_say_to_a_client_is_not_passed_on(scene: Scene) -> None:
    room = HandmadeRoom(scene.evil)
    refusals: list[tuple[int, Json, tuple[int, str]]] = [
        (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "x"}, (502, "M_UNKNOWN")),
        (403, {"errcode": "M_USER_DEACTIVATED", "error": "x"}, (502, "M_UNKNOWN")),
        (400, {"errcode": "M_MISSING_PARAM", "error": "x"}, (502, "M_UNKNOWN")),
        (403, {"errcode": "M_FORBIDDEN", "error": "x" * 9000}, (403, "M_FORBIDDEN")),
        (404, {"errcode": "M_NOT_FOUND", "error": "x"}, (404, "M_NOT_FOUND")),
        (400, {"errcode": "M_UNABLE_TO_GRANT_JOIN", "error": "x"}, (502, "M_UNKNOWN")),
        (302, {}, (502, "M_UNKNOWN")),
    ]
    for status, body, told in refusals:
        room.of_template = lambda _, said=(status, body): said
        assert await refused_join(scene.bob, room.room, "evil.test") == told, body
