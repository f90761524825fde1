"""What passes: typing, receipts and presence, for services that want to hear of it."""

from typing import Any

from tests.integration.appservice.bridge import Bridge
from tests.integration.appservice.listening import Town, bridge_of, bridged_room, is_taken_up, queue_of, told_all
from tests.support.fake_service import REFUSED, TAKEN, Gate, ListeningService, until
from tests.support.homeserver import Client, Homeserver, q

GHOST = "@_irc_ann:hearth.test"


async def start(town: Town, **more: Any) -> tuple[Homeserver, ListeningService, Client, Bridge, str]:
    service = town.service(receive_ephemeral=True, **more)
    hs = await town.start()
    await is_taken_up(hs, service)
    alice, bridge = await hs.register("alice"), bridge_of(hs, service)
    room = await bridged_room(hs, bridge)
    await alice.join(room)
    await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=await bridge.ghost("_irc_ann"))
    await told_all(hs, service)
    return hs, service, alice, bridge, room


async def type_in(who: Client, room: str, *, typing: bool = True) -> None:
    await who.ok("PUT", f"/rooms/{q(room)}/typing/{q(who.user_id)}", {"typing": typing})


async def read(who: Client, room: str, event: str, receipt_type: str = "m.read", **body: Any) -> None:
    await who.ok("POST", f"/rooms/{q(room)}/receipt/{receipt_type}/{q(event)}", body)


async def test_who_types_is_told_with_the_room(town: Town) -> None:
    hs, service, alice, _, room = await start(town)
    await type_in(alice, room)
    await told_all(hs, service)
    await type_in(alice, room, typing=False)
    await told_all(hs, service)
    assert service.of_type("m.typing") == [
        {"type": "m.typing", "room_id": room, "content": {"user_ids": [alice.user_id]}},
        {"type": "m.typing", "room_id": room, "content": {"user_ids": []}},
    ]


async def test_receipts_are_told_with_the_room_and_their_thread(town: Town) -> None:
    hs, service, alice, _, room = await start(town)
    sent = await alice.send(room, "hello")
    await read(alice, room, sent)
    await read(alice, room, sent, thread_id="main")
    await told_all(hs, service)
    receipts = service.of_type("m.receipt")
    assert {one["room_id"] for one in receipts} == {room}
    told = [one["content"][sent]["m.read"][alice.user_id] for one in receipts]
    assert [one.get("thread_id") for one in told] == [None, "main"]
    assert all(one["ts"] > 0 for one in told)


async def test_private_receipts_are_for_the_services_own_users_only(town: Town) -> None:
    hs, service, alice, bridge, room = await start(town)
    sent = await alice.send(room, "hello")
    await read(alice, room, sent, "m.read.private")
    await bridge.ok("POST", f"/rooms/{q(room)}/receipt/m.read.private/{q(sent)}", {}, user_id=GHOST)
    await told_all(hs, service)
    assert [list(one["content"][sent]["m.read.private"]) for one in service.of_type("m.receipt")] == [[GHOST]]


async def test_presence_is_told_of_those_in_its_rooms(town: Town) -> None:
    hs, service, alice, _, _ = await start(town)
    bob = await hs.register("bob")
    for who in (alice, bob):
        body = {"presence": "online", "status_msg": f"I am {who.user_id}"}
        await who.ok("PUT", f"/presence/{q(who.user_id)}/status", body)
    await told_all(hs, service)
    (presence,) = service.of_type("m.presence")
    assert presence["sender"] == alice.user_id
    assert presence["content"]["presence"] == "online" and presence["content"]["currently_active"] is True
    assert presence["content"]["status_msg"] == f"I am {alice.user_id}"
    assert presence["content"]["last_active_ago"] >= 0


async def test_a_service_that_wants_none_gets_none(town: Town) -> None:
    service = town.service()
    hs = await town.start()
    await is_taken_up(hs, service)
    alice, bridge = await hs.register("alice"), bridge_of(hs, service)
    room = await bridged_room(hs, bridge)
    await alice.join(room)
    await type_in(alice, room)
    await read(alice, room, await alice.send(room, "hello"))
    await told_all(hs, service)
    assert all(set(body) == {"events"} for body in service.taken.values())


async def test_other_rooms_are_not_told_of(town: Town) -> None:
    hs, service, alice, _, _ = await start(town)
    room = await alice.create_room()
    tried = len(service.attempts)
    await type_in(alice, room)
    await read(alice, room, await alice.send(room, "hello"))
    await told_all(hs, service)
    assert len(service.attempts) == tried


async def test_what_passes_waits_with_what_was_refused_and_only_the_last_is_told(town: Town) -> None:
    hs, service, alice, _bridge, room = await start(town)
    gate = Gate()
    service.says = gate
    await alice.send(room, "under way")
    await until(lambda: gate.count)
    sent = [await alice.send(room, str(number)) for number in range(3)]
    for event in sent:
        await read(alice, room, event)
        await type_in(alice, room)
        await type_in(alice, room, typing=False)
    gate.open()
    await told_all(hs, service)
    (typing,), (receipt,) = service.of_type("m.typing"), service.of_type("m.receipt")
    assert typing["content"] == {"user_ids": []}
    assert list(receipt["content"]) == sent[-1:]


async def test_the_same_is_told_again_after_a_refusal(town: Town) -> None:
    hs, service, alice, bridge, room = await start(town)
    service.says = lambda asked: REFUSED
    await type_in(alice, room)
    await until(lambda: (queue := queue_of(hs, service)) is not None and queue.pause is not None)
    service.says = lambda asked: TAKEN
    await bridge.ok("GET", "/account/whoami")
    await told_all(hs, service)
    assert service.attempts[-1] == service.attempts[-2]
    assert len(service.of_type("m.typing")) == 1


async def test_no_more_than_a_hundred_pass_together(town: Town) -> None:
    hs, service, alice, _bridge, room = await start(town)
    gate = Gate()
    service.says = gate
    await alice.send(room, "under way")
    await until(lambda: gate.count)
    roots = [await alice.send(room, str(number)) for number in range(120)]
    for root in roots:
        await read(alice, room, root, thread_id=root)
    gate.open()
    await told_all(hs, service)
    assert sum(len(one["content"]) for one in service.of_type("m.receipt")) == 120
    assert max(len(body.get("ephemeral", ())) for body in service.taken.values()) == 100
