"""GET /make_join: the template of a join, and to whom it is refused.

Source: server-server API, "Joining Rooms".
"""

import pytest

from matrix.room_versions import ROOM_VERSIONS
from tests.integration.federation.visiting import Visitor
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client


@pytest.mark.parametrize("version", ROOM_VERSIONS)
async def test_the_template_is_of_a_join_of_the_user(alice: Client, visitor: Visitor, version: str) -> None:
    visitor.room = await alice.create_room(room_version=version)
    answer = (await visitor.make("join")).json
    event = answer["event"]
    assert answer["room_version"] == version
    assert event["content"] == {"membership": "join"}
    assert (event["type"], event["room_id"]) == ("m.room.member", visitor.room)
    assert event["sender"] == event["state_key"] == visitor.user_id
    assert event["origin"] == "one.test"
    assert event["prev_events"]
    assert "signatures" not in event
    assert "hashes" not in event


async def test_a_room_version_that_the_other_does_not_know_is_incompatible(visitor: Visitor) -> None:
    response = await visitor.make("join", ver=["10", "11"])
    assert (response.status, response.errcode) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert response.json["room_version"] == "12"


async def test_who_says_no_versions_knows_the_first(alice: Client, visitor: Visitor) -> None:
    assert (await visitor.make("join", ver=None)).errcode == "M_INCOMPATIBLE_ROOM_VERSION"
    visitor.room = await alice.create_room(room_version="1")
    assert (await visitor.make("join", ver=None)).status == 200


async def test_a_user_of_a_third_server_is_refused(visitor: Visitor) -> None:
    response = await visitor.make("join", user_id="@mallory:three.test")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_room_that_nobody_knows_is_not_found(visitor: Visitor) -> None:
    visitor.room = "!nowhere:one.test"
    response = await visitor.make("join")
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_a_room_that_all_of_ours_have_left_is_not_found(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    await alice.leave(visitor.room)
    response = await Visitor(visitor.server, "one.test", visitor.room, "another").make("join")
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_a_room_for_the_invited_lets_nobody_else_in(alice: Client, visitor: Visitor) -> None:
    visitor.room = await alice.create_room(preset="private_chat")
    response = await visitor.make("join")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_who_is_banned_is_refused(alice: Client, visitor: Visitor) -> None:
    await alice.ok("POST", f"/rooms/{visitor.room}/ban", {"user_id": visitor.user_id})
    response = await visitor.make("join")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_room_that_does_not_federate_is_closed_to_other_servers(alice: Client, visitor: Visitor) -> None:
    visitor.room = await alice.create_room(creation_content={"m.federate": False})
    response = await visitor.make("join")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_join_is_not_made_by_asking_for_its_template(alice: Client, visitor: Visitor) -> None:
    assert (await visitor.make("join")).status == 200
    members = (await alice.get(f"/rooms/{visitor.room}/joined_members"))["joined"]
    assert list(members) == [alice.user_id]


async def test_too_many_joins_of_a_room_are_refused(network: Network) -> None:
    host = await network.start("slow.test", "rc_joins_per_room: {per_second: 0.001, burst_count: 2}")
    room = await (await host.register("alice")).create_room()
    server = FakeServer(network, "two.test")
    await Visitor(server, "slow.test", room, "first").join()
    await Visitor(server, "slow.test", room, "second").join()
    response = await Visitor(server, "slow.test", room, "third").make("join")
    assert (response.status, response.errcode) == (429, "M_LIMIT_EXCEEDED")
