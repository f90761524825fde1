"""Queues of more than one transaction: the next is made while one is under way, and what is not in memory is read."""

from typing import Any

import pytest

from appservice import delivery
from appservice.transaction import Composer
from homeserver.services.rooms.intake import NewEvent
from matrix.ids import RoomId, UserId
from tests.integration.appservice.listening import Town, bridge_of, bridged_room, is_taken_up, queue_of, told_all
from tests.support.fake_service import REFUSED, TAKEN, Gate, ListeningService, until
from tests.support.homeserver import Client, Homeserver, q

BODIES = [str(number) for number in range(250)]
# Differs from telling to telling.
_TIMES = {"age"}


@pytest.fixture(autouse=True)
def no_shortest_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SHORTEST_PAUSE_S", 0.0)


async def start(town: Town, *services: ListeningService) -> tuple[Homeserver, Client, str]:
    """A process, a user of it, and a room of the first service in which the user and the services are."""
    hs = await town.start()
    alice = await hs.register("alice")
    for service in services:
        await is_taken_up(hs, service)
    room = await bridged_room(hs, bridge_of(hs, services[0]))
    for service in services[1:]:
        await bridge_of(hs, service).ok("POST", f"/join/{q(room)}", {})
    await alice.join(room)
    await told_all(hs, *services)
    return hs, alice, room


async def write(alice: Client, room: str) -> None:
    """A queue of three transactions, at once."""
    new = [
        NewEvent(type="m.room.message", sender=UserId(alice.user_id), content={"msgtype": "m.text", "body": body})
        for body in BODIES
    ]
    await alice.hs.server.rooms.intake.send(RoomId(room), new)


async def under_way(town: Town) -> tuple[ListeningService, Homeserver, Gate]:
    """The first of three transactions is under way, and the second is made."""
    service = town.service()
    hs, alice, room = await start(town, service)
    gate = Gate()
    service.says = gate
    await write(alice, room)
    await until(lambda: gate.count and (queue := queue_of(hs, service)) and queue.made is not None)
    return service, hs, gate


async def test_the_next_transaction_is_made_while_one_is_under_way(town: Town) -> None:
    service, hs, gate = await under_way(town)
    assert gate.count == 1, "only one is under way"
    gate.open()
    await told_all(hs, service)
    assert service.texts == BODIES
    service.check()


async def test_what_was_made_is_put_back_if_the_one_before_it_was_not_taken(town: Town) -> None:
    service, hs, gate = await under_way(town)
    refused = service.attempts[-1]
    service.says = lambda asked: TAKEN
    gate.answer = REFUSED
    gate.open()
    await until(lambda: (queue := queue_of(hs, service)) and queue.failures)
    queue = queue_of(hs, service)
    assert queue is not None and queue.made is None, "a service in trouble costs no memory"
    await bridge_of(hs, service).ok("GET", "/account/whoami")
    await told_all(hs, service)
    assert service.attempts.count(refused) == 2
    assert service.texts == BODIES
    service.check()


async def test_what_was_made_for_another_registration_is_not_sent(town: Town) -> None:
    service, hs, gate = await under_way(town)
    first = list(BODIES[:100])
    nobody: dict[str, Any] = {"users": [], "aliases": [], "rooms": []}
    queue = queue_of(hs, service)
    assert queue is not None
    town.register(service, namespaces=nobody, sender_localpart="_somebody_else")
    hs.server.reload()
    await until(lambda: queue.made is None)
    gate.open()
    await told_all(hs, service)
    assert service.texts == first


async def test_what_cannot_be_made_meanwhile_is_made_afterwards(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    service = town.service()
    hs, alice, room = await start(town, service)
    queue = queue_of(hs, service)
    assert queue is not None
    compose, faults = Composer.compose, list[str]()

    async def fail_once(self: Composer, *args: Any, **kwargs: Any) -> Any:
        if queue.under_way is not None and not faults:
            faults.append("the database was away")
            raise RuntimeError(faults[0])
        return await compose(self, *args, **kwargs)

    monkeypatch.setattr(Composer, "compose", fail_once)
    gate = Gate()
    service.says = gate
    await write(alice, room)
    await until(lambda: gate.count and faults)
    gate.open()
    await told_all(hs, service)
    assert service.texts == BODIES
    service.check()


async def test_what_is_read_from_the_database_is_told_as_what_is_in_memory(town: Town) -> None:
    there, away = town.service("there"), town.service("away")
    hs, alice, room = await start(town, there, away)
    seen = len(there.events)
    away.says = lambda asked: REFUSED
    gone = await _say_all_kinds(alice, room)
    await told_all(hs, there)
    await town.stop(hs)
    away.says = lambda asked: TAKEN
    hs = await town.start()
    await told_all(hs, there, away)
    # What was taken back meanwhile, nobody hears.
    told, late = ([_without_times(each) for each in one.events if each["event_id"] != gone] for one in (there, away))
    assert late[-len(told[seen:]) :] == told[seen:]
    assert [each["content"] for each in away.events if each["event_id"] == gone] == [{}]
    away.check()


async def _say_all_kinds(alice: Client, room: str) -> str:
    """Gives the id of a message that was taken back."""
    said = await alice.send(room, "ein Käse \u2028 \U0001f9c0")
    gone = await alice.send(room, "to be taken back")
    await alice.ok("PUT", f"/rooms/{q(room)}/redact/{q(gone)}/r1", {"reason": "wrong room"})
    reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": said, "key": "+1"}}
    await alice.ok("PUT", f"/rooms/{q(room)}/send/m.reaction/t1", reaction)
    await alice.ok("PUT", f"/rooms/{q(room)}/send/org.example.empty/t2", {})
    for name in ("Anna", "Alice"):
        await alice.ok("PUT", f"/profile/{q(alice.user_id)}/displayname", {"displayname": name})
    return gone


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_times(one) for name, one in value.items() if name not in _TIMES}
    return [_without_times(one) for one in value] if isinstance(value, list) else value
