"""Whose devices matter, as users of other servers come into rooms and go."""

from collections.abc import Iterator
from typing import Any

import pytest_twisted

from tests.integration.federation.device_sharing import Inbox, changed_devices, device_keys, publish_keys, query
from tests.integration.federation.visiting import Visitor
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver, q

V1 = "/_matrix/federation/v1"
UPDATE = "m.device_list_update"


@pytest_twisted.async_yield_fixture
async def alice(network: Network) -> Iterator[Client]:
    """Of one.test, a new server for each test: who shares a room counts over all rooms."""
    yield await (await network.start("one.test")).register("alice")


@pytest_twisted.async_yield_fixture
async def visitor(network: Network, alice: Client) -> Iterator[Visitor]:
    """Of two.test, at the door of a public room of alice."""
    server = FakeServer(network, "two.test")
    # From the first join on it is told of devices.
    server.answers("PUT", f"{V1}/send/", {"pdus": {}})
    yield Visitor(server, "one.test", await alice.create_room())


def with_list(visitor: Visitor) -> None:
    listed = [{"device_id": "PHONE", "keys": device_keys(visitor.user_id, "PHONE")}]
    answer = {"user_id": visitor.user_id, "stream_id": 5, "devices": listed}
    visitor.server.answers("GET", f"{V1}/user/devices", answer)


async def introduction(inbox: Inbox, client: Client) -> Any:
    """The update by which a server is told of a user whom it knew nothing of."""
    while True:
        told = await inbox.next(UPDATE)
        if told["user_id"] == client.user_id and "keys" in told and not told["prev_id"]:
            return told


def key_in(update: Any, client: Client) -> str:
    return update["keys"]["keys"][f"ed25519:{client.device_id}"]


async def left_users(client: Client) -> set[str]:
    for _ in range(60):
        lists = (await client.sync(timeout=1000)).get("device_lists", {})
        if lists.get("left"):
            return set(lists["left"])
    return set()


async def test_a_user_who_comes_is_changed(alice: Client, visitor: Visitor) -> None:
    await alice.sync()
    await visitor.join()
    assert visitor.user_id in await changed_devices(alice)


async def test_a_user_who_goes_has_left_and_the_list_is_dropped(alice: Client, visitor: Visitor) -> None:
    with_list(visitor)
    await visitor.join()
    assert (await query(alice, visitor.user_id))["device_keys"][visitor.user_id].keys() == {"PHONE"}
    await alice.sync()
    await visitor.leave()
    assert await left_users(alice) == {visitor.user_id}
    await dropped(alice.hs)


async def dropped(hs: Homeserver) -> None:
    """Comes back when no list is kept any more."""
    for _ in range(600):
        if not hs.rows("SELECT 1 FROM remote_device_lists"):
            return
        await hs.core.clock.sleep(0.1)
    raise AssertionError("a list is still kept")


async def test_a_list_is_dropped_when_our_last_user_goes(alice: Client, visitor: Visitor) -> None:
    with_list(visitor)
    await visitor.join()
    await query(alice, visitor.user_id)
    await alice.leave(visitor.room)
    await dropped(alice.hs)


async def test_a_list_stays_while_another_room_is_shared(alice: Client, visitor: Visitor) -> None:
    with_list(visitor)
    await visitor.join()
    other = Visitor(visitor.server, visitor.host, await alice.create_room())
    await other.join()
    await query(alice, visitor.user_id)
    await visitor.leave()
    # What comes later is read later: when it was told, the leave has been dealt with.
    inbox = Inbox(visitor.server)
    await publish_keys(alice)
    while "keys" not in await inbox.next(UPDATE):
        pass
    assert alice.hs.rows("SELECT user_id FROM remote_device_lists") == [(visitor.user_id,)]


async def test_a_server_that_comes_is_told_of_our_users(alice: Client, visitor: Visitor) -> None:
    keys = await publish_keys(alice)
    inbox = Inbox(visitor.server)
    await visitor.join()
    told = await introduction(inbox, alice)
    assert isinstance(told.pop("stream_id"), int)
    assert told == {"user_id": alice.user_id, "device_id": alice.device_id, "keys": keys, "prev_id": []}


async def test_a_further_user_of_a_server_is_no_news_to_it(alice: Client, visitor: Visitor) -> None:
    await publish_keys(alice, "first")
    inbox = Inbox(visitor.server)
    await visitor.join()
    await publish_keys(alice, "next")
    # What was to be told because of the first has been told then, in whatever parts.
    while key_in(await inbox.next(UPDATE), alice) != "next":
        pass
    await Visitor(visitor.server, visitor.host, visitor.room, localpart="second").join()
    await publish_keys(alice, "another")
    while key_in(told := await inbox.next(UPDATE), alice) != "another":
        assert told["prev_id"]


async def test_our_user_who_comes_into_a_room_is_told_to_the_servers_in_it(alice: Client, visitor: Visitor) -> None:
    inbox = Inbox(visitor.server)
    await visitor.join()
    bob = await alice.hs.register("bob")
    keys = await publish_keys(bob)
    await bob.join(visitor.room)
    assert (await introduction(inbox, bob))["keys"] == keys


async def test_devices_without_keys_are_told_to_new_servers_too(alice: Client, visitor: Visitor) -> None:
    inbox = Inbox(visitor.server)
    await visitor.join()
    while (told := await inbox.next(UPDATE))["user_id"] != alice.user_id:
        pass
    assert (told["device_id"], told["prev_id"]) == (alice.device_id, [])


async def test_who_comes_into_a_room_is_changed_for_themselves_too(alice: Client, visitor: Visitor) -> None:
    """Their other devices are to be encrypted for."""
    bob = await alice.hs.register("bob")
    since = (await bob.sync())["next_batch"]
    await bob.join(visitor.room)
    assert set((await bob.sync())["device_lists"]["changed"]) == {alice.user_id, bob.user_id}
    told = await bob.get("/keys/changes", **{"from": since, "to": bob.since})
    assert set(told["changed"]) == {alice.user_id, bob.user_id}


async def test_two_servers_follow_each_other_from_the_join_to_the_leave(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    await publish_keys(alice)
    await publish_keys(bob)
    room = await alice.create_room()
    await alice.sync()
    await bob.ok("POST", f"/join/{q(room)}?via=one.test", {})
    assert bob.user_id in await changed_devices(alice)
    assert (await query(alice, bob.user_id))["device_keys"][bob.user_id].keys() == {bob.device_id}
    assert (await query(bob, alice.user_id))["device_keys"][alice.user_id].keys() == {alice.device_id}
    await alice.sync()
    tablet = await two.log_in("bob")
    await publish_keys(tablet)
    while (await query(alice, bob.user_id))["device_keys"][bob.user_id].keys() != {bob.device_id, tablet.device_id}:
        assert await changed_devices(alice) == {bob.user_id}
    await bob.leave(room)
    assert await left_users(alice) == {bob.user_id}
    await dropped(one)
