"""GET /query/directory, /query/profile, /openid/userinfo and the room directory, for other servers.

Source: server-server API, "Querying for information", "OpenID", "Published Room Directory".
"""

from typing import Any

import pytest

from tests.integration.federation.visiting import V1, Visitor
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver, q


async def test_an_alias_leads_to_its_room_and_the_servers_there(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    await alice.ok("PUT", f"/directory/room/{q('#inn:one.test')}", {"room_id": visitor.room})
    answer = await visitor.ok("/query/directory", room_alias="#inn:one.test")
    assert answer == {"room_id": visitor.room, "servers": ["one.test", "two.test"]}


async def test_an_alias_that_nobody_gave_is_not_found(visitor: Visitor) -> None:
    response = await visitor.get("/query/directory", room_alias="#nowhere:one.test")
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("query", "errcode"),
    [
        ({"room_alias": "#inn:three.test"}, "M_INVALID_PARAM"),
        ({"room_alias": "inn"}, "M_INVALID_PARAM"),
        ({}, "M_MISSING_PARAM"),
    ],
)
async def test_only_our_own_aliases_are_looked_up(visitor: Visitor, query: dict[str, str], errcode: str) -> None:
    response = await visitor.get("/query/directory", **query)
    assert (response.status, response.errcode) == (400, errcode)


async def test_a_profile_is_told_whole_or_by_field(host: Homeserver, visitor: Visitor) -> None:
    user = await host.register("known")
    await user.ok("PUT", f"/profile/{user.user_id}/displayname", {"displayname": "Known"})
    await user.ok("PUT", f"/profile/{user.user_id}/m.tz", {"m.tz": "Europe/Vienna"})
    whole = await visitor.ok("/query/profile", user_id=user.user_id)
    assert (whole["displayname"], whole["m.tz"]) == ("Known", "Europe/Vienna")
    assert await visitor.ok("/query/profile", user_id=user.user_id, field="displayname") == {"displayname": "Known"}
    assert await visitor.ok("/query/profile", user_id=user.user_id, field="m.tz") == {"m.tz": "Europe/Vienna"}


async def test_of_a_name_or_picture_that_is_not_set_nothing_is_told(host: Homeserver, visitor: Visitor) -> None:
    user = await host.register("faceless")
    answer = await visitor.ok("/query/profile", user_id=user.user_id, field="avatar_url")
    assert answer.get("avatar_url") is None


@pytest.mark.parametrize(
    ("query", "status", "errcode"),
    [
        ({"user_id": "@nobody:one.test"}, 404, "M_NOT_FOUND"),
        ({"user_id": "@alice:one.test", "field": "org.example.shoe"}, 404, "M_NOT_FOUND"),
        ({"user_id": "@bob:three.test"}, 400, "M_INVALID_PARAM"),
        ({"user_id": "alice"}, 400, "M_INVALID_PARAM"),
        ({}, 400, "M_MISSING_PARAM"),
    ],
)
async def test_a_profile_that_is_not_to_be_had(
    visitor: Visitor, query: dict[str, str], status: int, errcode: str
) -> None:
    response = await visitor.get("/query/profile", **query)
    assert (response.status, response.errcode) == (status, errcode)


async def test_another_kind_of_query_is_not_found(visitor: Visitor) -> None:
    response = await visitor.get("/query/weather")
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_the_operator_may_keep_profiles_to_the_server(shared_network: Network, two: FakeServer) -> None:
    host = await shared_network.start("discreet.test", "allow_profile_lookup_over_federation: false")
    user = await host.register("alice")
    response = await two.ask("discreet.test", "GET", f"{V1}/query/profile?user_id={q(user.user_id)}")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_token_of_openid_says_whose_it_is(host: Homeserver, alice: Client) -> None:
    token = (await alice.ok("POST", f"/user/{alice.user_id}/openid/request_token", {}))["access_token"]
    response = await host.ask("GET", f"{V1}/openid/userinfo", access_token=token)
    assert (response.status, response.json) == (200, {"sub": alice.user_id})


@pytest.mark.parametrize(
    ("query", "errcode"), [({}, "M_MISSING_TOKEN"), ({"access_token": "made up"}, "M_UNKNOWN_TOKEN")]
)
async def test_a_token_that_nobody_has_says_nothing(host: Homeserver, query: dict[str, str], errcode: str) -> None:
    response = await host.ask("GET", f"{V1}/openid/userinfo", **query)
    assert (response.status, response.errcode) == (401, errcode)


async def test_the_room_directory_is_closed_unless_the_operator_opens_it(visitor: Visitor) -> None:
    for response in (await visitor.get("/publicRooms"), await visitor.post("/publicRooms", {})):
        assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def listing(network: Network, two: FakeServer) -> Visitor:
    """A server with an open directory of three rooms, one of them for its own users only."""
    if "open.test" not in network.homeservers:
        host = await network.start("open.test", "allow_public_rooms_over_federation: true")
        owner = await host.register("owner")
        await owner.create_room(visibility="public", name="Apples")
        await owner.create_room(visibility="public", name="Pears", creation_content={"type": "m.space"})
        await owner.create_room(visibility="public", name="Ours", creation_content={"m.federate": False})
    return Visitor(two, "open.test", "")


async def test_an_open_directory_shows_rooms_that_federate(shared_network: Network, two: FakeServer) -> None:
    asking = await listing(shared_network, two)
    answer = await asking.ok("/publicRooms")
    assert {room["name"] for room in answer["chunk"]} == {"Apples", "Pears"}
    assert answer["total_room_count_estimate"] == 2


async def test_an_open_directory_comes_in_pages(shared_network: Network, two: FakeServer) -> None:
    asking = await listing(shared_network, two)
    first = await asking.ok("/publicRooms", limit=1)
    second = await asking.ok("/publicRooms", limit=1, since=first["next_batch"])
    assert {first["chunk"][0]["name"], second["chunk"][0]["name"]} == {"Apples", "Pears"}
    assert "next_batch" not in second


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({"generic_search_term": "apple"}, {"Apples"}),
        ({"room_types": ["m.space"]}, {"Pears"}),
        ({"room_types": [None]}, {"Apples"}),
        ({}, {"Apples", "Pears"}),
    ],
)
async def test_an_open_directory_is_searched(
    shared_network: Network, two: FakeServer, wanted: dict[str, Any], names: set[str]
) -> None:
    asking = await listing(shared_network, two)
    answer = (await asking.post("/publicRooms", {"filter": wanted})).json
    assert {room["name"] for room in answer["chunk"]} == names


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"limit": "many"}, "M_BAD_JSON"),
        ({"since": "nonsense"}, "M_INVALID_PARAM"),
        ({"filter": []}, "M_BAD_JSON"),
        ({"filter": {"room_types": [1]}}, "M_BAD_JSON"),
        ({"include_all_networks": True, "third_party_instance_id": "a|b"}, "M_INVALID_PARAM"),
        ({"third_party_instance_id": "ab"}, "M_INVALID_PARAM"),
    ],
)
async def test_a_broken_search_is_refused(
    shared_network: Network, two: FakeServer, body: dict[str, Any], errcode: str
) -> None:
    response = await (await listing(shared_network, two)).post("/publicRooms", body)
    assert (response.status, response.errcode) == (400, errcode)
