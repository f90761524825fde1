"""Third-party networks: what services tell of them, and whom they find there."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.services.appservices import networks
from tests.integration.appservice.asked import Services
from tests.integration.appservice.bridge import refusal
from tests.support.appservice import UNRECOGNIZED, Asked
from tests.support.homeserver import Client, q

V1 = "/_matrix/app/v1/thirdparty"
BOB = {"userid": "@_irc_bob:hearth.test", "protocol": "irc", "fields": {"nick": "bob"}}
ROOM = {"alias": "#_irc_x:hearth.test", "protocol": "irc", "fields": {"channel": "#x"}}


def irc(*network_ids: str) -> dict[str, Any]:
    return {
        "user_fields": ["network", "nickname"],
        "location_fields": ["network", "channel"],
        "icon": "mxc://a/b",
        "field_types": {"nickname": {"regexp": "[^\\s#]+", "placeholder": "nick"}},
        "instances": [{"network_id": each, "desc": each.title(), "fields": {"network": each}} for each in network_ids],
    }


def tells(**by_path: Any) -> Callable[[Asked], Any]:
    """A service that answers by what follows `thirdparty/`."""

    def answer(asked: Asked) -> Any:
        name = asked.path.partition("thirdparty/")[2].replace("/", "_")
        return (200, by_path[name]) if name in by_path else UNRECOGNIZED

    return answer


async def someone(services: Services) -> Client:
    bridge = await services.start()
    return await bridge.hs.register("alice")


async def test_protocols_are_told_with_ids_for_the_directory(services: Services) -> None:
    service = services.add()
    service.answer = tells(protocol_irc=irc("freenode"))
    alice = await someone(services)
    told = await alice.get("/thirdparty/protocols")
    assert told["irc"]["instances"] == [
        {"network_id": "freenode", "desc": "Freenode", "fields": {"network": "freenode"}, "instance_id": "irc|freenode"}
    ]
    assert told["irc"]["user_fields"] == ["network", "nickname"]
    assert await alice.get("/thirdparty/protocol/irc") == told["irc"]
    assert refusal(await alice.ask("GET", "/thirdparty/protocol/gitter")) == (404, "M_NOT_FOUND")


async def test_several_services_of_one_protocol_are_told_as_one(services: Services) -> None:
    one, two = services.add(), services.add("two", space="two")
    one.answer, two.answer = tells(protocol_irc=irc("a", "b")), tells(protocol_irc=irc("c"))
    alice = await someone(services)
    told = await alice.get("/thirdparty/protocol/irc")
    assert [each["instance_id"] for each in told["instances"]] == ["irc|a", "irc|b", "two|c"]


async def test_what_was_told_of_a_protocol_is_not_asked_for_again_and_a_failure_is(services: Services) -> None:
    service = services.add()
    service.answer = lambda asked: (500, {})
    alice = await someone(services)
    assert await alice.get("/thirdparty/protocols") == {}
    service.answer = tells(protocol_irc=irc("a"))
    asked = len(service.asked)
    for _ in range(3):
        assert (await alice.get("/thirdparty/protocols")).keys() == {"irc"}
    assert len(service.asked) == asked + 1


@pytest.mark.parametrize("told", [{}, {"instances": {}}, [], None, "irc"])
async def test_what_is_no_protocol_is_not_told(services: Services, told: Any) -> None:
    service = services.add()
    service.answer = tells(protocol_irc=told)
    alice = await someone(services)
    assert await alice.get("/thirdparty/protocols") == {}


async def test_users_and_places_are_found_by_fields(services: Services) -> None:
    service = services.add()
    service.answer = tells(user_irc=[BOB], location_irc=[ROOM])
    alice = await someone(services)
    assert await alice.get("/thirdparty/user/irc", nickname="bob & co") == [BOB]
    assert await alice.get("/thirdparty/location/irc", channel="#x", network="a") == [ROOM]
    assert [(asked.path, asked.query) for asked in service.asked] == [
        (f"{V1}/user/irc", {"nickname": "bob & co"}),
        (f"{V1}/location/irc", {"channel": "#x", "network": "a"}),
    ]


async def test_tokens_in_the_query_stay_here(services: Services) -> None:
    service = services.add()
    service.answer = tells(user_irc=[BOB])
    alice = await someone(services)
    found = await alice.hs.ask("GET", "/thirdparty/user/irc", access_token=alice.token, nickname="bob")
    assert (found.json, service.asked[0].query) == ([BOB], {"nickname": "bob"})


async def test_what_an_alias_or_a_user_stands_for_is_found(services: Services) -> None:
    service = services.add()
    service.answer = lambda asked: (200, [BOB] if asked.path == f"{V1}/user" else [ROOM])
    alice = await someone(services)
    assert await alice.get("/thirdparty/location", alias=ROOM["alias"]) == [ROOM]
    assert await alice.get("/thirdparty/user", userid=BOB["userid"]) == [BOB]
    assert [asked.query for asked in service.asked] == [{"alias": ROOM["alias"]}, {"userid": BOB["userid"]}]


async def test_what_nobody_knows_is_not_found(services: Services) -> None:
    service = services.add()
    service.answer = lambda asked: (200, [])
    alice = await someone(services)
    for path, query in (
        ("/thirdparty/user/irc", {"nickname": "bob"}),
        ("/thirdparty/location/irc", {}),
        ("/thirdparty/user", {"userid": "@a:b"}),
        ("/thirdparty/location", {"alias": "#a:b"}),
    ):
        assert refusal(await alice.ask("GET", path, **query)) == (404, "M_NOT_FOUND")
    asked = len(service.asked)
    assert refusal(await alice.ask("GET", "/thirdparty/user/gitter")) == (404, "M_NOT_FOUND")
    assert refusal(await alice.ask("GET", "/thirdparty/user", userid="bob")) == (400, "M_INVALID_PARAM")
    assert refusal(await alice.ask("GET", "/thirdparty/location")) == (400, "M_MISSING_PARAM")
    assert refusal(await alice.ask("GET", "/thirdparty/user/irc", nickname="x" * 2_000)) == (400, "M_INVALID_PARAM")
    assert len(service.asked) == asked


async def test_what_is_no_result_is_left_out(services: Services) -> None:
    service = services.add()
    nonsense = [None, 1, {}, {**BOB, "userid": 1}, {**BOB, "fields": []}, ROOM, {"userid": "@a:b", "fields": {}}]
    service.answer = tells(user_irc=[*nonsense, BOB])
    alice = await someone(services)
    assert await alice.get("/thirdparty/user/irc") == [BOB]


async def test_a_slow_service_holds_up_nobody_for_long(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "WAIT_S", 1.0)
    slow, quick = services.add(), services.add("two", space="two")
    slow.answer, quick.answer = lambda asked: None, tells(user_irc=[BOB], protocol_irc=irc("a"))
    alice = await someone(services)
    asking = [Deferred.fromCoroutine(alice.get(f"/thirdparty/{path}")) for path in ("user/irc", "protocol/irc")]
    users, protocol = [await each for each in asking]
    assert users == [BOB]
    assert [each["instance_id"] for each in protocol["instances"]] == ["two|a"]


async def test_a_service_that_is_down_leaves_the_others(services: Services) -> None:
    services.add(url="http://127.0.0.1:1")
    up = services.add("two", space="two")
    up.answer = tells(location_irc=[ROOM])
    alice = await someone(services)
    assert await alice.get("/thirdparty/location/irc") == [ROOM]


async def test_the_directory_of_a_network_has_the_instance_id(services: Services) -> None:
    service = services.add()
    service.answer = tells(protocol_irc=irc("freenode"))
    bridge = await services.start()
    alice = await bridge.hs.register("alice")
    room = (await bridge.ok("POST", "/createRoom", {"preset": "public_chat", "name": "x"}))["room_id"]
    listed = f"/directory/list/appservice/freenode/{q(room)}"
    await bridge.ok("PUT", listed, {"visibility": "public"})
    (instance,) = (await alice.get("/thirdparty/protocol/irc"))["instances"]
    page = await alice.ok("POST", "/publicRooms", {"third_party_instance_id": instance["instance_id"]})
    assert [each["room_id"] for each in page["chunk"]] == [room]
