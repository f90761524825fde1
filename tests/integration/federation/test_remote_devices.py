"""Device lists between servers: what others are told of ours, and what we make of what they tell."""

import itertools
from typing import Any

from homeserver.services.e2ee.remote_lists import RemoteLists
from tests.integration.federation.device_sharing import (
    Inbox,
    changed_devices,
    device_keys,
    publish_keys,
    query,
    share_room,
)
from tests.support.fake_server import FakeServer
from tests.support.federation import Network
from tests.support.homeserver import Client, Homeserver
from tests.unit.e2ee.made_keys import identity

V1 = "/_matrix/federation/v1"
UPDATE = "m.device_list_update"


class Mallory:
    """A user of a server written by hand, in a room with a user of a homeserver; has a device list of its own."""

    def __init__(self, server: FakeServer, *others: str) -> None:
        self.server = server
        self.user_id = server.user("mallory")
        self.list: dict[str, Any] = {
            "user_id": self.user_id,
            "stream_id": 5,
            "devices": [{"device_id": "PHONE", "keys": device_keys(self.user_id, "PHONE")}],
        }
        server.answers("GET", f"{V1}/user/devices", lambda _: self.list)

    async def tell(self, stream_id: Any, prev_id: Any, device_id: Any = "PHONE", **more: Any) -> None:
        content = {"user_id": self.user_id, "device_id": device_id, "stream_id": stream_id, "prev_id": prev_id, **more}
        edu = {"edu_type": UPDATE, "content": content}
        assert (await self.server.transaction("one.test", edus=[edu])).status == 200

    def keys(self, device_id: str, public: str = "other") -> dict[str, Any]:
        return device_keys(self.user_id, device_id, public)

    @property
    def fetches(self) -> int:
        return sum(1 for sent in self.server.requests if "/user/devices/" in sent.path)


async def meet(network: Network) -> tuple[Client, Mallory]:
    """Alice of one.test, who has asked for Mallory's keys."""
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    alice, mallory = await one.register("alice"), Mallory(evil)
    await share_room(1, [one], [alice.user_id, mallory.user_id])
    await query(alice, mallory.user_id)
    await alice.sync()
    return alice, mallory


def lists_of(hs: Homeserver) -> RemoteLists:
    """What calls itself every few seconds, to be called by a test."""
    core = hs.core
    return RemoteLists(
        database=core.storage.database,
        commit=core.storage.committer,
        client=hs.server.federation.client,
        clock=core.clock,
        tasks=core.tasks,
        server_name=core.server_name,
    )


async def devices_of(alice: Client, mallory: Mallory) -> dict[str, Any]:
    answer = await query(alice, mallory.user_id)
    assert answer["failures"] == {}
    found: dict[str, Any] = answer["device_keys"][mallory.user_id]
    return found


# -- what we are told


async def test_an_update_that_follows_is_taken_over(network: Network) -> None:
    alice, mallory = await meet(network)
    await mallory.tell(6, [5], "TABLET", keys=mallory.keys("TABLET"), device_display_name="Pad")
    assert await changed_devices(alice) == {mallory.user_id}
    devices = await devices_of(alice, mallory)
    assert devices.keys() == {"PHONE", "TABLET"}
    assert devices["TABLET"] == {**mallory.keys("TABLET"), "unsigned": {"device_display_name": "Pad"}}
    assert mallory.fetches == 1


async def test_updates_are_a_chain(network: Network) -> None:
    alice, mallory = await meet(network)
    await mallory.tell(6, [5], "TABLET", keys=mallory.keys("TABLET"))
    await mallory.tell(7, [6], "PHONE", deleted=True)
    await mallory.tell(9, [7], "WATCH", keys=mallory.keys("WATCH"))
    assert (await devices_of(alice, mallory)).keys() == {"TABLET", "WATCH"}
    assert mallory.fetches == 1


async def test_after_a_gap_the_list_is_fetched(network: Network) -> None:
    alice, mallory = await meet(network)
    mallory.list = {**mallory.list, "stream_id": 8, "devices": [{"device_id": "NEW", "keys": mallory.keys("NEW")}]}
    await mallory.tell(8, [7], "PHONE", deleted=True)
    assert await changed_devices(alice) == {mallory.user_id}
    assert (await devices_of(alice, mallory)).keys() == {"NEW"}
    assert mallory.fetches == 2


async def test_after_a_gap_the_chain_goes_on(network: Network) -> None:
    alice, mallory = await meet(network)
    # As Synapse does: the list's version is ahead of the last update.
    mallory.list = {**mallory.list, "stream_id": 20}
    await mallory.tell(8, [7], "TABLET", keys=mallory.keys("TABLET"))
    await changed_devices(alice)
    await mallory.tell(21, [8], "WATCH", keys=mallory.keys("WATCH"))
    assert (await devices_of(alice, mallory)).keys() == {"PHONE", "WATCH"}
    assert mallory.fetches == 2


async def test_what_the_list_has_already_is_not_taken_over(network: Network) -> None:
    alice, mallory = await meet(network)
    await mallory.tell(6, [5], "TABLET", keys=mallory.keys("TABLET"))
    await mallory.tell(6, [5], "TABLET", keys=mallory.keys("TABLET", "third"))
    assert (await devices_of(alice, mallory))["TABLET"] == {**mallory.keys("TABLET"), "unsigned": {}}
    assert mallory.fetches == 1


async def test_a_list_is_fetched_again_if_it_changes_meanwhile(network: Network) -> None:
    alice, mallory = await meet(network)
    old, new = mallory.list, {**mallory.list, "stream_id": 30, "devices": []}

    async def told_while_asked(_: Any) -> Any:
        if mallory.fetches == 2:
            await mallory.tell(29, [28], deleted=True)
            return old
        return new

    mallory.server.answers("GET", f"{V1}/user/devices", told_while_asked)
    await mallory.tell(8, [7])
    assert await changed_devices(alice) == {mallory.user_id}
    assert await devices_of(alice, mallory) == {}
    assert mallory.fetches == 3


async def test_a_stale_list_is_not_given_out(network: Network) -> None:
    alice, mallory = await meet(network)
    mallory.server.answers("GET", f"{V1}/user/devices", lambda _: (403, {"errcode": "M_FORBIDDEN", "error": "no"}))
    await mallory.tell(8, [7], deleted=True)
    answer = await query(alice, mallory.user_id)
    assert list(answer["failures"]) == ["evil.test"]
    assert answer["device_keys"] == {}


async def test_a_list_that_could_not_be_fetched_is_fetched_later(network: Network) -> None:
    alice, mallory = await meet(network)
    mallory.server.answers("GET", f"{V1}/user/devices", lambda _: (403, {"errcode": "M_FORBIDDEN", "error": "no"}))
    await mallory.tell(8, [7], deleted=True)
    await query(alice, mallory.user_id)
    mallory.server.answers("GET", f"{V1}/user/devices", lambda _: mallory.list)
    alice.hs.rows("UPDATE remote_device_lists SET retry_ms = 0")
    await lists_of(alice.hs).retry()
    assert await changed_devices(alice) == {mallory.user_id}


async def test_of_a_user_whose_list_is_not_kept_only_the_change_is_told(network: Network) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    alice, mallory = await one.register("alice"), Mallory(evil)
    await share_room(1, [one], [alice.user_id, mallory.user_id])
    await alice.sync()
    await mallory.tell(6, [5])
    assert await changed_devices(alice) == {mallory.user_id}
    assert mallory.fetches == 0


async def test_the_introduction_of_a_user_without_keys_is_no_change(network: Network) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    alice, mallory = await one.register("alice"), Mallory(evil)
    await share_room(1, [one], [alice.user_id, mallory.user_id])
    await alice.sync()
    await mallory.tell(6, [])
    assert not one.rows("SELECT 1 FROM stream WHERE kind = 'device_list' AND user_id = %s", mallory.user_id)


async def test_of_a_user_who_shares_no_room_nothing_is_told(network: Network) -> None:
    one, evil = await network.start("one.test"), FakeServer(network, "evil.test")
    mallory = Mallory(evil)
    await mallory.tell(6, [5])
    assert mallory.fetches == 0
    assert not one.rows("SELECT 1 FROM stream WHERE kind = 'device_list'")


async def test_nobody_speaks_for_another_servers_user(network: Network) -> None:
    alice, mallory = await meet(network)
    other = FakeServer(network, "other.test")
    content = {"user_id": mallory.user_id, "device_id": "PHONE", "stream_id": 6, "prev_id": [5], "deleted": True}
    await other.transaction("one.test", edus=[{"edu_type": UPDATE, "content": content}])
    content = {"user_id": mallory.user_id, "master_key": {}}
    await other.transaction("one.test", edus=[{"edu_type": "m.signing_key_update", "content": content}])
    assert (await devices_of(alice, mallory)).keys() == {"PHONE"}


async def test_updates_that_cannot_be_change_nothing(network: Network) -> None:
    alice, mallory = await meet(network)
    for stream_id, prev_id, device_id in (
        ("6", [5], "TABLET"), (True, [5], "TABLET"), (2**53, [5], "TABLET"), (-1, [5], "TABLET"), (6.5, [5], "TABLET"),
        (6, 5, "TABLET"), (6, ["5"], "TABLET"), (6, [5] * 2000, "TABLET"), (6, [5], 7), (6, [5], ""),
        (6, [5], "NUL\x00"), (6, [5], "x" * 300),
    ):  # fmt: skip
        await mallory.tell(stream_id, prev_id, device_id, keys=mallory.keys("TABLET"))
    assert (await devices_of(alice, mallory)).keys() == {"PHONE"}
    assert mallory.fetches == 1


async def test_a_device_whose_keys_are_none_shows_none(network: Network) -> None:
    alice, mallory = await meet(network)
    await mallory.tell(6, [5], "PHONE", keys={"user_id": alice.user_id})
    assert await devices_of(alice, mallory) == {}


async def test_signing_keys_are_taken_over(network: Network) -> None:
    alice, mallory = await meet(network)
    made = identity(mallory.user_id).uploaded()
    content = {"user_id": mallory.user_id, **made}
    for edu_type in ("m.signing_key_update", "org.matrix.signing_key_update"):
        await mallory.server.transaction("one.test", edus=[{"edu_type": edu_type, "content": content}])
    assert await changed_devices(alice) == {mallory.user_id}
    answer = await query(alice, mallory.user_id)
    assert answer["master_keys"] == {mallory.user_id: made["master_key"]}
    assert answer["self_signing_keys"] == {mallory.user_id: made["self_signing_key"]}
    assert len(alice.hs.rows("SELECT 1 FROM stream WHERE kind = 'device_list' AND user_id = %s", mallory.user_id)) == 1


async def test_a_self_signing_key_that_the_master_key_has_not_signed_is_dropped(network: Network) -> None:
    alice, mallory = await meet(network)
    made, other = identity(mallory.user_id).uploaded(), identity(mallory.user_id, "other").uploaded()
    mallory.list = {**mallory.list, "master_key": made["master_key"], "self_signing_key": other["self_signing_key"]}
    await mallory.tell(8, [7])
    await changed_devices(alice)
    answer = await query(alice, mallory.user_id)
    assert answer["master_keys"] == {mallory.user_id: made["master_key"]}
    assert answer["self_signing_keys"] == {}


# -- what others are told


async def listen(network: Network) -> tuple[Homeserver, Client, Inbox]:
    """Alice of one.test, in a room with a user of a server that writes down what it is told."""
    one, other = await network.start("one.test"), FakeServer(network, "other.test")
    alice = await one.register("alice", initial_device_display_name="Alice's phone")
    await share_room(1, [one], [alice.user_id, other.user("olga")])
    return one, alice, Inbox(other)


async def update(inbox: Inbox) -> Any:
    """The next update of a device that has keys, or is gone."""
    while True:
        told = await inbox.next(UPDATE)
        if "keys" in told or "deleted" in told:
            return told


async def test_a_device_with_new_keys_is_told(network: Network) -> None:
    _, alice, inbox = await listen(network)
    keys = await publish_keys(alice)
    told = await update(inbox)
    assert isinstance(told.pop("stream_id"), int)
    told.pop("prev_id")
    assert told == {"user_id": alice.user_id, "device_id": alice.device_id, "keys": keys}


async def test_each_update_points_to_the_one_before_it(network: Network) -> None:
    _, alice, inbox = await listen(network)
    await publish_keys(alice)
    told = [await update(inbox)]
    another = await publish_keys(alice, "another")
    # An update has the keys of when it is made: there may be two with the same.
    while len(told) == 1 or told[-1]["keys"] != another:
        told.append(await update(inbox))
    assert all(later["prev_id"] == [earlier["stream_id"]] for earlier, later in itertools.pairwise(told))
    assert all(later["stream_id"] > earlier["stream_id"] for earlier, later in itertools.pairwise(told))
    other = FakeServer(network, "third.test")
    listed = (await other.ask("one.test", "GET", f"{V1}/user/devices/{alice.user_id}")).json
    while told[-1]["stream_id"] < listed["stream_id"]:
        told.append(await update(inbox))
    assert listed["stream_id"] == told[-1]["stream_id"]


async def test_a_device_that_is_gone_is_told(network: Network) -> None:
    _, alice, inbox = await listen(network)
    await publish_keys(alice)
    await update(inbox)
    await alice.ok("POST", "/logout", {})
    while not (told := await update(inbox)).get("deleted"):
        continue
    assert told["device_id"] == alice.device_id and "keys" not in told


async def test_new_signing_keys_are_told(network: Network) -> None:
    _, alice, inbox = await listen(network)
    made = identity(alice.user_id).uploaded()
    await alice.ok("POST", "/keys/device_signing/upload", made)
    for edu_type in ("m.signing_key_update", "org.matrix.signing_key_update"):
        assert await inbox.next(edu_type) == {
            "user_id": alice.user_id,
            "master_key": made["master_key"],
            "self_signing_key": made["self_signing_key"],
        }


async def test_names_of_devices_are_told_only_where_the_operator_allows_it(network: Network) -> None:
    one = await network.start("one.test", "allow_device_name_lookup_over_federation: true\n")
    other = FakeServer(network, "other.test")
    alice = await one.register("alice", initial_device_display_name="Alice's phone")
    await share_room(1, [one], [alice.user_id, other.user("olga")])
    await publish_keys(alice)
    assert (await update(Inbox(other)))["device_display_name"] == "Alice's phone"


async def test_what_changed_while_no_process_ran_is_told_afterwards(network: Network) -> None:
    one, alice, inbox = await listen(network)
    await publish_keys(alice)
    first = await update(inbox)
    # As if the process had died between the change and the queue.
    one.rows("UPDATE stream_readers SET position = 0")
    one.rows("DELETE FROM device_list_updates")
    await network.stop("one.test")
    await network.start("one.test")
    assert (await update(inbox))["device_id"] == first["device_id"]


async def test_two_servers_follow_each_other(network: Network) -> None:
    one, two = await network.start("one.test"), await network.start("two.test")
    alice, bob = await one.register("alice"), await two.register("bob")
    await share_room(1, [one, two], [alice.user_id, bob.user_id])
    await query(alice, bob.user_id)
    await alice.sync()
    for name in ("one", "another"):
        keys = await publish_keys(bob, name)
        # The device itself may be told before its keys are; each is a change of its own.
        await until_queried(alice, bob, keys)


async def until_queried(client: Client, other: Client, keys: Any) -> None:
    """Asks for the other's keys whenever they are told to have changed, until they are these."""
    device: Any = None
    while device != {**keys, "unsigned": {}}:
        assert await changed_devices(client) == {other.user_id}, f"no change led from {device} to {keys}"
        device = (await query(client, other.user_id))["device_keys"][other.user_id].get(other.device_id)
