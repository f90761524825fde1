"""Keys that a service hands out itself for its users: MSC3983, MSC3984."""

from typing import Any

from homeserver.services.e2ee import told_keys
from matrix.ids import ServerName, UserId
from tests.integration.appservice.asked import Services
from tests.integration.appservice.bridge import Bridge
from tests.support.appservice import UNRECOGNIZED, Asked
from tests.support.bridges import eventually
from tests.support.federation import Network
from tests.support.homeserver import Client, q
from tests.unit.e2ee.made_keys import identity

GHOST = "@_irc_ann:hearth.test"
CLAIM, QUERY = "org.matrix.msc3983", "org.matrix.msc3984"


def device(user_id: str = GHOST, device_id: str = "D", **more: Any) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.megolm.v1.aes-sha2"],
        "keys": {f"ed25519:{device_id}": "a" * 43, f"curve25519:{device_id}": "b" * 43},
        "signatures": {user_id: {f"ed25519:{device_id}": "c" * 86}},
        **more,
    }


def one_time(key_id: str = "AAA") -> dict[str, Any]:
    return {f"signed_curve25519:{key_id}": {"key": "d" * 43, "signatures": {GHOST: {"ed25519:D": "e" * 86}}}}


async def begin(services: Services) -> tuple[Bridge, Client]:
    bridge = await services.start()
    await bridge.ghost()
    return bridge, await bridge.hs.register("alice")


async def query(client: Client, user_id: str = GHOST, *device_ids: str) -> dict[str, Any]:
    answer: dict[str, Any] = await client.ok("POST", "/keys/query", {"device_keys": {user_id: list(device_ids)}})
    return answer


async def claim(client: Client, user_id: str = GHOST, device_id: str = "D") -> Any:
    wanted = {"one_time_keys": {user_id: {device_id: "signed_curve25519"}}}
    return (await client.ok("POST", "/keys/claim", wanted))["one_time_keys"].get(user_id, {}).get(device_id)


async def upload(bridge: Bridge, **keys: Any) -> None:
    await bridge.ask("PUT", "/devices/D", {}, user_id=GHOST)
    await bridge.ok("POST", "/keys/upload", keys, user_id=GHOST, device_id="D")


def only(part: str, answer: Any) -> Any:
    """A service that knows one kind of question."""
    return lambda asked: (200, answer) if part in asked.path else UNRECOGNIZED


async def test_a_query_is_answered_by_the_service_of_an_exclusive_user(services: Services) -> None:
    service = services.add()
    _, alice = await begin(services)
    service.answer = only(QUERY, {"device_keys": {GHOST: {"D": device()}}})
    answer = await query(alice)
    assert answer["device_keys"][GHOST]["D"]["keys"] == device()["keys"]
    assert [(asked.path, asked.json) for asked in service.asked] == [
        ("/_matrix/app/unstable/org.matrix.msc3984/keys/query", {GHOST: []})
    ]
    assert (await query(alice, GHOST, "E"))["device_keys"][GHOST] == {}


async def test_what_a_service_tells_stands_beside_what_was_uploaded_and_before_it(services: Services) -> None:
    service = services.add()
    bridge, alice = await begin(services)
    await upload(bridge, device_keys=device())
    told = device(keys={"ed25519:D": "z" * 43})
    service.answer = only(QUERY, {"device_keys": {GHOST: {"D": told, "E": device(device_id="E")}}})
    devices = (await query(alice))["device_keys"][GHOST]
    assert sorted(devices) == ["D", "E"]
    assert devices["D"]["keys"] == told["keys"]


async def test_a_service_that_knows_no_keys_leaves_what_was_uploaded(services: Services) -> None:
    service = services.add()
    bridge, alice = await begin(services)
    await upload(bridge, device_keys=device(), one_time_keys=one_time())
    assert (await query(alice))["device_keys"][GHOST]["D"]["keys"] == device()["keys"]
    assert await claim(alice) == one_time()
    assert await claim(alice) is None
    await query(alice)
    # Each kind of question once: it is remembered that the service does not know them.
    assert len(service.asked) == 2


async def test_others_than_exclusive_users_are_not_asked_for(services: Services) -> None:
    service = services.add(exclusive=False)
    _, alice = await begin(services)
    await query(alice)
    await query(alice, alice.user_id)
    await claim(alice, alice.user_id, "X")
    assert service.asked == []


async def test_cross_signing_keys_of_a_service_are_told(services: Services) -> None:
    service = services.add()
    _, alice = await begin(services)
    keys = identity(GHOST).uploaded()
    told = {"master_keys": {GHOST: keys["master_key"]}, "self_signing_keys": {GHOST: keys["self_signing_key"]}}
    service.answer = only(QUERY, told)
    answer = await query(alice)
    assert {name: answer[name] for name in told} == told


async def test_a_key_is_claimed_of_the_service_before_a_fallback_key_is_used(services: Services) -> None:
    service = services.add()
    bridge, alice = await begin(services)
    fallback = {"signed_curve25519:FFF": {"key": "f" * 43, "fallback": True, "signatures": {}}}
    await upload(bridge, device_keys=device(), one_time_keys=one_time("UP"), fallback_keys=fallback)
    service.answer = only(CLAIM, {GHOST: {"D": one_time("TOLD")}})
    assert await claim(alice) == one_time("UP")
    assert service.asked == []
    assert await claim(alice) == one_time("TOLD")
    assert service.asked[0].json == {GHOST: {"D": ["signed_curve25519"]}}
    service.answer = only(CLAIM, {GHOST: {}})
    assert await claim(alice) == fallback


async def test_nonsense_is_no_key(services: Services) -> None:
    service = services.add()
    _, alice = await begin(services)
    for nonsense in ({GHOST: []}, {GHOST: {"D": "x"}}, {GHOST: {"D": {"other:A": {}}}}, {"@alice:hearth.test": {}}):
        service.answer = only(CLAIM, nonsense)
        assert await claim(alice) is None
    for nonsense in ({GHOST: []}, {"device_keys": [GHOST]}, {"device_keys": {GHOST: {"D": device(device_id="E")}}}):
        service.answer = only(QUERY, nonsense)
        assert (await query(alice))["device_keys"][GHOST] == {}


async def test_a_service_that_fails_is_left_alone_for_a_while(services: Services) -> None:
    service = services.add()
    _, alice = await begin(services)
    service.answer = lambda asked: (500, {})
    for _ in range(3):
        await query(alice)
        await claim(alice)
    assert len(service.asked) == 1


async def test_other_servers_get_what_a_service_tells(services: Services, network: Network) -> None:
    service = services.add()
    one, two = await network.start("one.test", services.options()), await network.start("two.test")
    services.started.append(one)
    ghost = "@_irc_ann:one.test"
    await Bridge(one, token="as-irc").ghost()

    def answer(asked: Asked) -> Any:
        if QUERY in asked.path:
            return (200, {"device_keys": {ghost: {"D": device(ghost)}}})
        return (200, {ghost: {"D": one_time()}})

    service.answer = answer
    bob = await two.register("bob")
    assert (await query(bob, ghost))["device_keys"][ghost]["D"]["keys"] == device()["keys"]
    assert await claim(bob, ghost) == one_time()
    listed = await two.server.federation.client.user_devices(ServerName("one.test"), UserId(ghost))
    assert [each["device_id"] for each in listed["devices"]] == ["D"]


async def sees(client: Client, user_id: str, devices: dict[str, Any]) -> bool:
    """Does a query show these keys, by device?"""
    found = (await query(client, user_id))["device_keys"].get(user_id, {})
    return {name: one["keys"] for name, one in found.items()} == devices


async def test_other_servers_and_clients_hear_when_a_service_tells_other_keys(
    services: Services, network: Network
) -> None:
    service = services.add()
    one, two = await network.start("one.test", services.options()), await network.start("two.test")
    services.started.append(one)
    ghost, shown = "@_irc_ann:one.test", {"D": device("@_irc_ann:one.test")}
    service.answer = lambda asked: (200, {"device_keys": {ghost: shown}}) if QUERY in asked.path else UNRECOGNIZED
    bridge, alice, bob = Bridge(one, token="as-irc"), await one.register("alice"), await two.register("bob")
    await bridge.ghost()
    room = await alice.create_room(preset="public_chat")
    await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=ghost)
    await bob.ok("POST", f"/join/{q(room)}?via=one.test", {})
    await query(bob, ghost)
    await alice.sync()

    async def alice_hears() -> None:
        for _ in range(20):
            if ghost in (await alice.sync(timeout=5_000)).get("device_lists", {}).get("changed", ()):
                return
        raise AssertionError("she did not hear of it")

    async def bob_sees(devices: Any) -> None:
        await eventually(lambda: sees(bob, ghost, devices), "what is told now")

    # Alice asks, and so it comes out.
    shown["D"] = device(ghost, keys={"ed25519:D": "z" * 43, "curve25519:D": "y" * 43})
    await query(alice, ghost)
    await alice_hears()
    await bob_sees({"D": shown["D"]["keys"]})
    shown["E"] = device(ghost, "E")
    del shown["D"]
    await query(alice, ghost)
    await alice_hears()
    await bob_sees({"E": shown["E"]["keys"]})
    # What is told again is no news.
    told = one.rows("SELECT count(*) FROM stream WHERE kind = 'device_list' AND user_id = %s", ghost)
    await query(alice, ghost)
    assert told == one.rows("SELECT count(*) FROM stream WHERE kind = 'device_list' AND user_id = %s", ghost)


async def test_a_service_that_tells_something_else_every_time_wears_nobody_out(services: Services) -> None:
    service = services.add()
    bridge, alice = await begin(services)
    number = iter(range(1_000))
    service.answer = lambda asked: (
        (200, {"device_keys": {GHOST: {"D": device(keys={"ed25519:D": f"{next(number):043}"})}}})
        if QUERY in asked.path
        else UNRECOGNIZED
    )
    for _ in range(told_keys.MAX_CHANGES + 5):
        await query(alice)
    told = bridge.hs.rows("SELECT count(*) FROM stream WHERE kind = 'device_list' AND user_id = %s", GHOST)
    assert told == [(told_keys.MAX_CHANGES,)]


async def test_other_servers_hear_of_devices_that_a_service_makes_and_of_their_keys(
    services: Services, network: Network
) -> None:
    services.add()
    one, two = await network.start("one.test", services.options()), await network.start("two.test")
    services.started.append(one)
    ghost = "@_irc_ann:one.test"
    bridge, bob = Bridge(one, token="as-irc"), await two.register("bob")
    await bridge.ghost()
    room = (await bridge.ok("POST", "/createRoom", {"preset": "public_chat"}, user_id=ghost))["room_id"]
    await bob.ok("POST", f"/join/{q(room)}?via=one.test", {})
    await query(bob, ghost)

    assert (await bridge.ask("PUT", "/devices/D", {}, user_id=ghost)).status == 201
    await bridge.ok("POST", "/keys/upload", {"device_keys": device(ghost)}, user_id=ghost, device_id="D")
    await eventually(lambda: sees(bob, ghost, {"D": device(ghost)["keys"]}), "the device")
    await bridge.ok("DELETE", "/devices/D", {}, user_id=ghost)
    await eventually(lambda: sees(bob, ghost, {}), "no device")
