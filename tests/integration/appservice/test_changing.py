"""Registrations that are added, changed and removed while the server runs, and several processes."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appservice import delivery
from appservice.sender import SHARDS, shard_of
from appservice.status import lines
from storage import appservices as rows
from storage.change import Change
from tests.integration.appservice.listening import Town, bridge_of, bridged_room, is_taken_up, queue_of, told_all
from tests.support.fake_service import REFUSED, TAKEN, Gate, ListeningService, until, until_next_turn
from tests.support.homeserver import Homeserver, q

# One that the first process keeps when a second takes its share.
STAYS = next(name for name in ("irc", "xmpp", "sms", "fax") if shard_of(name) < SHARDS // 2)


@pytest.fixture(autouse=True)
def no_shortest_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SHORTEST_PAUSE_S", 0.0)


async def add(hs: Homeserver, service: ListeningService, **more: Any) -> None:
    """As `hearth appservice add` does."""
    change = Change().put(rows.PUT, (service.id, service.registration(**more), 0))
    rows.announce(change)
    await hs.core.storage.committer(change)


async def remove(hs: Homeserver, service: ListeningService) -> None:
    change = Change().put(rows.REMOVE, (service.id,))
    rows.announce(change)
    await hs.core.storage.committer(change)


def is_failing(hs: Homeserver, service: ListeningService) -> bool:
    queue = queue_of(hs, service)
    return queue is not None and queue.pause is not None


def values(hs: Homeserver, name: str) -> dict[str, float]:
    """A metric, by service."""
    text = hs.core.metrics.exposition()[0].decode()
    families = text_string_to_metric_families(text)
    return {one.labels["service"]: one.value for family in families for one in family.samples if one.name == name}


async def test_a_service_that_is_added_hears_from_then_on(town: Town) -> None:
    service = town.service()
    town.files.clear()
    hs = await town.start()
    alice = await hs.register("alice")
    room = await alice.create_room()
    await alice.send(room, "before")
    await add(hs, service)
    await is_taken_up(hs, service)
    bridge = bridge_of(hs, service)
    await bridge.ok("POST", f"/join/{q(room)}", {}, user_id=await bridge.ghost("_irc_ann"))
    await alice.send(room, "after")
    await told_all(hs, service)
    assert service.texts == ["after"]


async def test_a_service_that_is_removed_hears_no_more_and_begins_anew(town: Town) -> None:
    service = town.service()
    town.files.clear()
    hs = await town.start()
    await add(hs, service)
    await is_taken_up(hs, service)
    alice, room = await hs.register("alice"), await bridged_room(hs, bridge_of(hs, service))
    await alice.join(room)
    await told_all(hs, service)
    first = set(service.taken)
    await remove(hs, service)
    await until(lambda: queue_of(hs, service) is None)
    await until(lambda: hs.rows("SELECT id FROM appservice_queues") == [])
    await alice.send(room, "while it was gone")
    await add(hs, service)
    await is_taken_up(hs, service)
    await alice.send(room, "here again")
    await told_all(hs, service)
    assert service.texts == ["here again"]
    assert len(service.taken) > len(first), "no transaction id was used twice"


async def test_a_service_removed_while_it_fails_is_left_alone(town: Town) -> None:
    service = town.service()
    town.files.clear()
    hs = await town.start()
    await add(hs, service)
    await is_taken_up(hs, service)
    service.says = lambda asked: REFUSED
    await bridged_room(hs, bridge_of(hs, service))
    await until(lambda: is_failing(hs, service))
    await remove(hs, service)
    await until(lambda: queue_of(hs, service) is None)
    assert values(hs, "hearth_appservice_queue_failures") == {}
    tried = len(service.attempts)
    alice = await hs.register("alice")
    await alice.send(await alice.create_room(), "hello")
    assert len(service.attempts) == tried


async def test_a_new_address_is_tried_at_once_and_gets_what_the_old_one_did_not(town: Town) -> None:
    service = town.service()
    town.files.clear()
    hs = await town.start()
    await add(hs, service, url="http://127.0.0.1:9")
    await until(lambda: queue_of(hs, service) is not None)
    await bridged_room(hs, bridge_of(hs, service))
    await until(lambda: is_failing(hs, service))
    await add(hs, service)
    await told_all(hs, service)
    assert service.events[0]["type"] == "m.room.create"
    service.check()


async def test_other_namespaces_count_for_what_is_not_told_yet(town: Town) -> None:
    service = town.service()
    town.files.clear()
    hs = await town.start()
    await add(hs, service)
    await is_taken_up(hs, service)
    alice, gate = await hs.register("alice"), Gate()
    service.says = gate
    room, other = await bridged_room(hs, bridge_of(hs, service)), await alice.create_room()
    await until(lambda: gate.count)
    await alice.send(other, "by alice")
    await add(hs, service, namespaces={"users": [{"exclusive": False, "regex": "@alice:.*"}]})
    await until(lambda: queue_of(hs, service).interest is None)  # type: ignore[union-attr]
    await alice.send(other, "by alice, later")
    gate.open()
    await told_all(hs, service)
    assert service.texts == ["by alice", "by alice, later"]
    assert {event["room_id"] for event in service.events} == {room, other}


async def test_one_of_two_processes_sends(town: Town) -> None:
    services = [town.service(name) for name in ("one", "two", "three", "four")]
    first, second = await town.start(), await town.start()
    await until(lambda: len({s.id for hs in (first, second) for s in services if queue_of(hs, s)}) == len(services))
    alice = await first.register("alice")
    for hs in (second, first):
        for service in services:
            room = await bridged_room(hs, bridge_of(hs, service))
            await alice.at(hs).join(room)
            await alice.at(hs).send(room, service.id)
    await until(lambda: all(service.texts == [service.id] * 2 for service in services))
    for service in services:
        service.check()
        assert (queue_of(first, service) is None) != (queue_of(second, service) is None)


async def test_the_other_process_goes_on_where_one_has_ended(town: Town) -> None:
    service = town.service(STAYS)
    first = await town.start()
    await is_taken_up(first, service)
    second = await town.start()
    alice, room = await first.register("alice"), await bridged_room(first, bridge_of(first, service))
    await alice.join(room)
    await told_all(first, service)
    gate = Gate()
    service.says = gate
    await alice.send(room, "under way")
    await until(lambda: gate.count)
    interrupted = service.attempts[-1]
    await alice.send(room, "next")
    await town.stop(first)
    service.under_way, service.says = 0, lambda asked: TAKEN
    await second.server.appservices.senders.look()
    await told_all(second, service)
    assert interrupted in service.attempts[:-1]
    assert service.texts == ["under way", "next"]
    service.check()


async def test_a_request_to_the_other_process_ends_the_pause(town: Town) -> None:
    service = town.service(STAYS)
    first = await town.start()
    await is_taken_up(first, service)
    second = await town.start()
    bridge = bridge_of(first, service)
    service.says = lambda asked: REFUSED
    await bridged_room(first, bridge)
    await until(lambda: is_failing(first, service))
    queue = queue_of(first, service)
    assert queue is not None
    queue.failures = 8  # the next pause is some minutes
    await bridge.ok("GET", "/account/whoami")
    await until(lambda: is_failing(first, service) and queue.failures == 9)
    service.says = lambda asked: TAKEN
    while not service.taken:
        # Until it has heard that the service fails, a request to it is one as any.
        await bridge_of(second, service).ok("GET", "/account/whoami")
        await until_next_turn()
    await told_all(first, service)
    service.check()


async def test_an_operator_sees_what_waits(town: Town) -> None:
    service, other = town.service(), town.service("other")
    hs = await town.start()
    await is_taken_up(hs, service)
    await is_taken_up(hs, other)
    service.says = lambda asked: REFUSED
    await bridged_room(hs, bridge_of(hs, service))
    await until(lambda: is_failing(hs, service))
    assert values(hs, "hearth_appservice_queue_failures") == {"irc": 1, "other": 0}
    assert values(hs, "hearth_appservice_queue_positions")["irc"] > 0
    assert values(hs, "hearth_appservice_queue_age_seconds")["irc"] >= 0
    assert values(hs, "hearth_appservice_transactions_failed_total") == {"irc": 1}
    said = lines(await hs.server.appservices.senders.status(), hs.core.clock.now_ms())
    assert said[0].startswith("irc: a transaction under way for 0 s")
    assert "1 attempts: the service answered 500; next in" in said[1]
    assert said[2] == "other: up to date"
