"""Messages from device to device between servers: they arrive, once, whatever happens on the way."""

from typing import Any

from tests.integration.federation.device_sharing import Inbox, send_to_device
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client

EDU = "m.direct_to_device"


async def arrived(client: Client, count: int = 1) -> list[Any]:
    """The next messages for the client's device."""
    found: list[Any] = []
    for _ in range(60):
        found += (await client.sync(timeout=1000)).get("to_device", {}).get("events", [])
        if len(found) >= count:
            break
    return found


def direct(sender: str, recipient: str, device_id: str, message_id: Any = "m1", **content: Any) -> dict[str, Any]:
    return {
        "edu_type": EDU,
        "content": {
            "sender": sender,
            "type": "m.test",
            "message_id": message_id,
            "messages": {recipient: {device_id: content}},
        },
    }


async def test_a_message_for_a_device_of_another_server_arrives(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    await send_to_device(alice, bob.user_id, bob.device_id, {"text": "hello"})
    assert await arrived(bob) == [{"type": "m.room.encrypted", "sender": alice.user_id, "content": {"text": "hello"}}]


async def test_a_message_for_all_devices_arrives_at_each(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    tablet = await two.log_in("bob")
    await send_to_device(alice, bob.user_id, "*", {"text": "hello"})
    assert len(await arrived(bob)) == len(await arrived(tablet)) == 1


async def test_a_message_waits_for_a_server_that_is_away(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    network.cut("one.test", "two.test")
    await send_to_device(alice, bob.user_id, bob.device_id, {"text": "hello"})
    network.mend("one.test", "two.test")
    # When a server speaks, it is told at once what waits for it.
    await bob.ok("POST", "/keys/query", {"device_keys": {alice.user_id: []}})
    assert [message["content"] for message in await arrived(bob)] == [{"text": "hello"}]


async def test_a_request_that_is_repeated_sends_nothing_twice(network: Network) -> None:
    one, other = await network.start("one.test"), FakeServer(network, "other.test")
    alice, inbox = await one.register("alice"), Inbox(other)
    for name in ("t1", "t1", "t2"):
        await send_to_device(alice, other.user("olga"), "PHONE", {"name": name}, name)
    first, second = await inbox.next(EDU), await inbox.next(EDU)
    assert [told["messages"][other.user("olga")]["PHONE"]["name"] for told in (first, second)] == ["t1", "t2"]
    assert first["message_id"] != second["message_id"] and len(first["message_id"]) <= 32
    assert first["sender"] == alice.user_id and first["type"] == "m.room.encrypted"
    assert inbox.count(EDU) == 0


async def test_messages_for_several_users_of_a_server_go_together(network: Network) -> None:
    one, other = await network.start("one.test"), FakeServer(network, "other.test")
    alice, inbox = await one.register("alice"), Inbox(other)
    messages = {other.user(name): {"PHONE": {"to": name}} for name in ("olga", "oscar")}
    await alice.ok("PUT", "/sendToDevice/m.test/t1", {"messages": messages})
    assert (await inbox.next(EDU))["messages"] == messages
    assert inbox.count(EDU) == 0


async def test_large_messages_are_told_apart(network: Network) -> None:
    one, other = await network.start("one.test"), FakeServer(network, "other.test")
    alice, inbox = await one.register("alice"), Inbox(other)
    devices = {f"DEVICE{number}": {"text": "x" * 30_000} for number in range(5)}
    await alice.ok("PUT", "/sendToDevice/m.test/t1", {"messages": {other.user("olga"): devices}})
    found: dict[str, Any] = {}
    for _ in range(3):
        told = (await inbox.next(EDU))["messages"][other.user("olga")]
        assert len(told) <= 2
        found |= told
    assert found == devices


async def test_a_message_that_comes_twice_arrives_once(network: Network) -> None:
    one, other = await network.start("one.test"), FakeServer(network, "other.test")
    alice = await one.register("alice")
    edu = direct(other.user("olga"), alice.user_id, alice.device_id, text="hello")
    for _ in range(2):
        await other.transaction("one.test", edus=[edu, edu])
    await other.transaction("one.test", edus=[direct(other.user("olga"), alice.user_id, alice.device_id, "m2")])
    assert [message["content"] for message in await arrived(alice, 2)] == [{"text": "hello"}, {}]


async def test_two_servers_may_use_the_same_message_id(network: Network) -> None:
    one = await network.start("one.test")
    alice = await one.register("alice")
    for name in ("first.test", "second.test"):
        server = FakeServer(network, name)
        await server.transaction("one.test", edus=[direct(server.user("eve"), alice.user_id, alice.device_id)])
    assert [message["sender"] for message in await arrived(alice, 2)] == ["@eve:first.test", "@eve:second.test"]


async def test_messages_that_cannot_be_are_dropped(network: Network) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    alice, mallory = await one.register("alice"), evil.user("mallory")
    good = direct(mallory, alice.user_id, alice.device_id, "good", text="good")
    edus = [
        direct("@bob:two.test", alice.user_id, alice.device_id),
        direct(alice.user_id, alice.user_id, alice.device_id),
        direct("mallory", alice.user_id, alice.device_id),
        direct(mallory, "@bob:two.test", "PHONE"),
        direct(mallory, alice.user_id, "UNKNOWN"),
        *(
            direct(mallory, alice.user_id, alice.device_id, message_id)
            for message_id in (None, 7, "", "x" * 300, "\x00")
        ),
        {"edu_type": EDU, "content": {**good["content"], "message_id": "a", "messages": []}},
        {"edu_type": EDU, "content": {**good["content"], "message_id": "b", "messages": {alice.user_id: "no"}}},
        {"edu_type": EDU, "content": {**good["content"], "message_id": "c", "type": 7}},
        direct(mallory, alice.user_id, alice.device_id, "d", text="x" * 70_000),
        good,
    ]
    response = await evil.transaction("one.test", edus=edus)
    assert response.status == 200
    assert [message["content"] for message in await arrived(alice)] == [{"text": "good"}]


async def test_what_another_server_sends_to_a_third_is_not_passed_on(network: Network) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    third = FakeServer(network, "third.test")
    await one.register("alice")
    await evil.transaction("one.test", edus=[direct(evil.user("mallory"), third.user("bob"), "PHONE")])
    assert not one.rows("SELECT 1 FROM federation_edus")
