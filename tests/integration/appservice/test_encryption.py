"""Services that encrypt: messages to devices, device lists, counts of keys (MSC2409, MSC3202, MSC4203)."""

from typing import Any

import pytest

from appservice import trimming
from tests.integration.appservice.bridge import Bridge
from tests.integration.appservice.listening import Town, bridge_of, bridged_room, is_taken_up, told_all
from tests.support.fake_service import Gate, ListeningService, until
from tests.support.homeserver import Client, Homeserver, q

GHOST = "@_irc_ann:hearth.test"
ALGORITHMS = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]
WANTS = {"receive_ephemeral": True, "org.matrix.msc3202": True, "io.element.msc4190": True}


async def start(town: Town, **more: Any) -> tuple[Homeserver, ListeningService, Client, Bridge]:
    """A ghost with a device ANN."""
    service = town.service(**{**WANTS, **more})
    hs = await town.start()
    await is_taken_up(hs, service)
    alice, bridge = await hs.register("alice"), bridge_of(hs, service)
    await bridge.ghost("_irc_ann")
    assert (await bridge.ask("PUT", "/devices/ANN", {}, user_id=GHOST)).status == 201
    await told_all(hs, service)
    return hs, service, alice, bridge


async def send_to_device(sender: Client, user_id: str, device: str, number: int) -> None:
    messages = {user_id: {device: {"n": number}}}
    await sender.ok("PUT", f"/sendToDevice/org.example.ping/{device}{number}", {"messages": messages})


def keys_of(user_id: str, device: str) -> dict[str, Any]:
    keys = {f"curve25519:{device}": "a" * 43, f"ed25519:{device}": "b" * 43}
    signature = {user_id: {f"ed25519:{device}": "c" * 86}}
    return {"user_id": user_id, "device_id": device, "algorithms": ALGORITHMS, "keys": keys, "signatures": signature}


def one_time(count: int) -> dict[str, Any]:
    return {f"signed_curve25519:AAA{number}": {"key": f"k{number}", "signatures": {}} for number in range(count)}


async def test_messages_to_its_users_come_with_whom_they_are_for(town: Town) -> None:
    hs, service, alice, _bridge = await start(town)
    await send_to_device(alice, GHOST, "ANN", 1)
    await send_to_device(alice, GHOST, "*", 2)
    await send_to_device(alice, alice.user_id, "*", 3)
    await told_all(hs, service)
    assert service.messages == [
        {
            "to_user_id": GHOST,
            "to_device_id": "ANN",
            "type": "org.example.ping",
            "sender": alice.user_id,
            "content": {"n": number},
        }
        for number in (1, 2)
    ]


async def test_messages_stay_for_a_sync_of_the_device(town: Town) -> None:
    hs, service, alice, bridge = await start(town)
    await send_to_device(alice, GHOST, "ANN", 1)
    await told_all(hs, service)
    answer = await bridge.ok("GET", "/sync", user_id=GHOST, device_id="ANN")
    assert [one["content"] for one in answer["to_device"]["events"]] == [{"n": 1}]


async def test_no_more_than_a_hundred_messages_go_together_and_in_order(town: Town) -> None:
    hs, service, alice, _bridge = await start(town)
    gate = Gate()
    service.says = gate
    await send_to_device(alice, GHOST, "ANN", -1)
    await until(lambda: gate.count)
    for number in range(150):
        await send_to_device(alice, GHOST, "ANN", number)
    gate.open()
    await told_all(hs, service)
    assert [one["content"]["n"] for one in service.messages] == list(range(-1, 150))
    assert max(len(body.get("to_device", ())) for body in service.taken.values()) == 100


async def test_changed_devices_of_those_in_its_rooms_are_told(town: Town) -> None:
    hs, service, alice, bridge = await start(town)
    stranger = await hs.register("stranger")
    room = await bridged_room(hs, bridge)
    await alice.join(room)
    await told_all(hs, service)
    service.taken.clear()
    for who in (alice, stranger):
        await who.ok("POST", "/keys/upload", {"device_keys": keys_of(who.user_id, who.device_id)})
    await told_all(hs, service)
    assert service.device_lists == [{"changed": [alice.user_id], "left": []}]


async def test_who_comes_and_who_leaves_the_last_room_is_told(town: Town) -> None:
    hs, service, alice, bridge = await start(town)
    rooms = [await bridged_room(hs, bridge) for _ in range(2)]
    await told_all(hs, service)
    service.taken.clear()
    for room in rooms:
        await alice.join(room)
        await told_all(hs, service)
    for room in rooms:
        await alice.leave(room)
        await told_all(hs, service)
    came = {"changed": [alice.user_id], "left": []}
    assert service.device_lists == [came, came, {"changed": [], "left": [alice.user_id]}]


async def test_who_is_in_a_room_is_told_when_the_first_user_of_the_service_comes_and_the_last_goes(town: Town) -> None:
    hs, service, alice, bridge = await start(town)
    bob = await hs.register("bob")
    rooms = [await alice.create_room(preset="public_chat") for _ in range(2)]
    await bob.join(rooms[0])
    await told_all(hs, service)
    service.taken.clear()
    bot = (await bridge.ok("GET", "/account/whoami"))["user_id"]
    for user_id in (GHOST, bot):
        for room in rooms:
            await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=user_id)
            await told_all(hs, service)
    both = {alice.user_id, bob.user_id}
    told = service.device_lists
    assert [(set(one["changed"]), one["left"]) for one in told] == [(both, []), ({alice.user_id}, [])]
    service.taken.clear()
    for user_id in (GHOST, bot):
        for room in rooms:
            await bridge.ok("POST", f"/rooms/{q(room)}/leave", {}, user_id=user_id)
            await told_all(hs, service)
    # Bob is in the first of them alone, alice in both.
    left = [{"changed": [], "left": [one.user_id]} for one in (bob, alice)]
    assert service.device_lists == left
    service.check()


async def test_who_is_in_a_room_is_told_after_a_time_away_too(town: Town) -> None:
    hs, service, alice, bridge = await start(town)
    room = await alice.create_room(preset="public_chat")
    await told_all(hs, service)
    service.taken.clear()
    await hs.server.appservices.senders.stop()
    await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=GHOST)
    await town.stop(hs)
    await told_all(await town.start(), service)
    assert service.device_lists == [{"changed": [alice.user_id], "left": []}]
    assert [event["type"] for event in service.events] == ["m.room.member"]


async def test_counts_of_keys_come_with_what_concerns_the_user(town: Town) -> None:
    hs, service, alice, bridge = await start(town)
    room = await bridged_room(hs, bridge)
    await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=GHOST)
    body = {"device_keys": keys_of(GHOST, "ANN"), "one_time_keys": one_time(5)}
    fallback = {"signed_curve25519:F": {"key": "f", "fallback": True, "signatures": {}}}
    await bridge.ok("POST", "/keys/upload", {**body, "fallback_keys": fallback}, user_id=GHOST, device_id="ANN")
    await told_all(hs, service)
    await alice.join(room)
    await told_all(hs, service)
    last = list(service.taken.values())[-1]
    assert last["device_one_time_keys_count"] == {GHOST: {"ANN": {"signed_curve25519": 5}}}
    assert last["device_unused_fallback_key_types"] == {GHOST: {"ANN": ["signed_curve25519"]}}
    assert last["events"][-1]["type"] == "m.room.member"


async def test_a_key_that_is_used_is_told_at_once(town: Town) -> None:
    hs, service, alice, bridge = await start(town)
    keys = one_time(1)
    await bridge.ok("POST", "/keys/upload", {"one_time_keys": keys}, user_id=GHOST, device_id="ANN")
    await told_all(hs, service)
    service.taken.clear()
    claim = {"one_time_keys": {GHOST: {"ANN": "signed_curve25519"}}}
    await alice.ok("POST", "/keys/claim", claim)
    await told_all(hs, service)
    (body,) = service.taken.values()
    assert body["device_one_time_keys_count"] == {GHOST: {"ANN": {}}}
    assert body["events"] == []


async def test_a_service_that_does_not_encrypt_hears_nothing_of_keys(town: Town) -> None:
    service = town.service(receive_ephemeral=True)
    hs = await town.start()
    await is_taken_up(hs, service)
    alice, bridge = await hs.register("alice"), bridge_of(hs, service)
    room = await bridged_room(hs, bridge)
    await alice.join(room)
    await alice.ok("POST", "/keys/upload", {"device_keys": keys_of(alice.user_id, alice.device_id)})
    await told_all(hs, service)
    names = {name for body in service.taken.values() for name in body}
    assert names == {
        "events",
        "ephemeral",
        "de.sorunome.msc2409.ephemeral",
        "to_device",
        "de.sorunome.msc2409.to_device",
    }


async def test_a_message_that_a_sync_has_taken_meanwhile_is_not_told(town: Town) -> None:
    hs, service, alice, bridge = await start(town)
    await hs.server.appservices.senders.stop()
    await send_to_device(alice, GHOST, "ANN", 1)
    since = (await bridge.ok("GET", "/sync", user_id=GHOST, device_id="ANN"))["next_batch"]
    await bridge.ok("GET", "/sync", user_id=GHOST, device_id="ANN", since=since)
    await town.stop(hs)
    again = await town.start()
    await told_all(again, service)
    assert service.messages == []


async def test_messages_that_were_told_long_ago_are_deleted(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    hs, service, alice, _bridge = await start(town)
    await alice.ok("PUT", "/devices/" + alice.device_id, {"display_name": "phone"})
    await send_to_device(alice, GHOST, "ANN", 1)
    await send_to_device(alice, alice.user_id, "*", 2)
    await told_all(hs, service)
    monkeypatch.setattr(trimming, "KEEP", 0)
    queues = hs.server.appservices.senders.queues()
    database, head = hs.core.storage.database, hs.core.storage.stream.position
    await trimming.trim(database, hs.core.server_name, queues.values(), head)
    assert hs.rows("SELECT user_id FROM to_device") == [(alice.user_id,)]
