"""Services that are slow, down, broken or hostile: nothing is lost, doubled or out of order, and nobody else waits."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from appservice import delivery
from tests.integration.appservice.listening import (
    Town,
    bridge_of,
    bridged_room,
    is_taken_up,
    queue_of,
    told_all,
)
from tests.support.appservice import Asked
from tests.support.fake_service import REFUSED, TAKEN, Gate, ListeningService, until
from tests.support.homeserver import Client, Homeserver

NUMBERS = [str(number) for number in range(30)]


@pytest.fixture(autouse=True)
def no_shortest_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SHORTEST_PAUSE_S", 0.0)


async def start(town: Town, *services: ListeningService) -> tuple[Homeserver, Client, list[str]]:
    """A process, a user of it, and a room of each service in which the user is."""
    hs = await town.start()
    alice = await hs.register("alice")
    rooms = []
    for service in services:
        await is_taken_up(hs, service)
        rooms.append(await bridged_room(hs, bridge_of(hs, service)))
        await alice.join(rooms[-1])
    await told_all(hs, *services)
    return hs, alice, rooms


def is_failing(hs: Homeserver, service: ListeningService) -> bool:
    queue = queue_of(hs, service)
    return queue is not None and queue.failures > 0 and queue.pause is not None


async def wake(hs: Homeserver, service: ListeningService) -> None:
    await bridge_of(hs, service).ok("GET", "/account/whoami")


async def test_a_service_that_was_down_gets_all_in_order_when_it_asks_for_something(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    service.says = lambda asked: REFUSED
    for body in NUMBERS:
        await alice.send(room, body)
    await until(lambda: is_failing(hs, service))
    service.says = lambda asked: TAKEN
    await wake(hs, service)
    await told_all(hs, service)
    assert service.texts == NUMBERS
    service.check()


async def test_a_failed_transaction_is_repeated_as_it_was_though_more_came(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    service.says = lambda asked: REFUSED
    await alice.send(room, "first")
    await until(lambda: is_failing(hs, service))
    refused = service.attempts[-1]
    for body in NUMBERS:
        await alice.send(room, body)
    service.says = lambda asked: TAKEN
    tried = len(service.attempts)
    await wake(hs, service)
    await told_all(hs, service)
    assert service.attempts[tried] == refused
    assert service.texts == ["first", *NUMBERS]
    service.check()


async def test_the_pause_doubles_up_to_512_seconds(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    pauses: list[float] = []
    later = hs.core.clock.later

    def note(seconds: float, function: Callable[..., object], *args: object) -> Any:
        if getattr(function, "__self__", None) is queue_of(hs, service):
            pauses.append(seconds)
            return later(0, function, *args)
        return later(seconds, function, *args)

    monkeypatch.setattr(hs.core.clock, "later", note)
    service.says = lambda asked: REFUSED if len(pauses) < 12 else TAKEN
    await alice.send(room, "again and again")
    await told_all(hs, service)
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 512, 512, 512, 512]
    service.says = lambda asked: REFUSED if len(pauses) < 13 else TAKEN
    await alice.send(room, "once more")
    await told_all(hs, service)
    assert pauses[12] == 2, "what was taken ends it"
    service.check()


async def test_a_stuck_service_holds_up_nobody_else(town: Town) -> None:
    stuck, other = town.service("stuck"), town.service("other")
    hs, alice, (stuck_room, room) = await start(town, stuck, other)
    gate = Gate()
    stuck.says = gate
    await alice.send(stuck_room, "never heard")
    await until(lambda: gate.count)
    for body in NUMBERS:
        await alice.send(room, body)
        await alice.send(stuck_room, body)
    await told_all(hs, other)
    assert other.texts == NUMBERS
    assert "never heard" not in stuck.texts
    gate.open()
    await told_all(hs, stuck)
    assert stuck.texts == ["never heard", *NUMBERS]


async def test_what_gathers_while_one_is_under_way_goes_together(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    before, gate = len(service.taken), Gate()
    service.says = gate
    await alice.send(room, "first")
    await until(lambda: gate.count)
    for body in NUMBERS:
        await alice.send(room, body)
    gate.open()
    await told_all(hs, service)
    assert len(service.taken) == before + 2
    assert service.texts == ["first", *NUMBERS]


async def test_no_more_than_a_hundred_events_go_together(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    before, gate = len(service.taken), Gate()
    service.says = gate
    await alice.send(room, "first")
    await until(lambda: gate.count)
    bodies = [str(number) for number in range(205)]
    for body in bodies:
        await alice.send(room, body)
    gate.open()
    await told_all(hs, service)
    counts = [len(body["events"]) for body in list(service.taken.values())[before:]]
    assert counts == [1, 100, 100, 5]
    assert service.texts == ["first", *bodies]


async def test_large_events_are_spread_over_transactions(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    gate = Gate()
    service.says = gate
    await alice.send(room, "first")
    await until(lambda: gate.count)
    bodies = [f"{number} " + "x" * 60_000 for number in range(20)]
    for body in bodies:
        await alice.send(room, body)
    gate.open()
    await told_all(hs, service)
    assert service.texts == ["first", *bodies]
    assert max(len(body) for _, body in service.attempts) < 1_000_000


BAD_ANSWERS: dict[str, Any] = {
    "not found": (404, {"errcode": "M_NOT_FOUND"}),
    "forbidden": (403, {"errcode": "M_FORBIDDEN"}),
    "a page": (502, b"<html>Bad gateway"),
    "a redirect": (301, b""),
    "nothing said": (503, b""),
    "too many": (429, {"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1e308}),
    "larger than anything": (200, b"x" * (3 << 20)),
    "a NUL": (500, b"\x00" * 2_000),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_a_bad_answer_is_no_loss(town: Town, name: str) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    service.says = lambda asked: BAD_ANSWERS[name]
    await alice.send(room, "hello")
    await until(lambda: is_failing(hs, service))
    assert service.fake.asked[-1].path.startswith("/")
    service.says = lambda asked: TAKEN
    service.taken.clear()
    await wake(hs, service)
    await told_all(hs, service)
    assert service.texts == ["hello"]


@pytest.mark.parametrize(
    "body", [b"", b"garbage", b"[]", b"null", b'{"errcode": "M_UNKNOWN"}', b"\xff\xfe", b"[" * 9000]
)
async def test_success_is_success_whatever_is_said_with_it(town: Town, body: bytes) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    service.says = lambda asked: (200, body)
    await alice.send(room, "hello")
    await told_all(hs, service)
    assert service.texts == ["hello"]
    assert len(service.attempts) == len(service.taken)


async def test_a_redirect_is_not_followed(town: Town) -> None:
    service, elsewhere = town.service(), town.service("elsewhere", url=None)
    hs, alice, (room,) = await start(town, service)
    target = f"{elsewhere.fake.url}/_matrix/app/v1/transactions/1"
    service.says = lambda asked: (307, {}, ("Location", target))
    await alice.send(room, "secret")
    await until(lambda: is_failing(hs, service))
    assert elsewhere.fake.asked == []


async def test_a_service_that_asks_all_the_time_is_not_tried_all_the_time(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "SHORTEST_PAUSE_S", 1_000.0)
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    service.says = lambda asked: REFUSED
    await alice.send(room, "hello")
    await until(lambda: is_failing(hs, service))
    tried = len(service.attempts)
    for _ in range(20):
        await wake(hs, service)
    assert len(service.attempts) == tried


async def test_hearth_is_started_again_in_the_middle(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    gate = Gate()
    service.says = gate
    await alice.send(room, "under way")
    await until(lambda: gate.count)
    for body in NUMBERS:
        await alice.send(room, body)
    await town.stop(hs)
    interrupted = service.attempts[-1]
    service.says = lambda asked: TAKEN
    service.under_way = 0
    tried = len(service.attempts)
    again = await town.start()
    await told_all(again, service)
    assert service.attempts[tried] == interrupted, "the same id and the same body"
    assert service.texts == ["under way", *NUMBERS]
    service.check()


async def test_hearth_and_the_service_are_started_again_in_the_middle(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    service.says = lambda asked: REFUSED
    for body in NUMBERS[:10]:
        await alice.send(room, body)
    await until(lambda: is_failing(hs, service))
    await town.stop(hs)
    again = await town.start()
    for body in NUMBERS[10:20]:
        await alice.at(again).send(room, body)
    await until(lambda: is_failing(again, service))
    await town.stop(again)
    service.says = lambda asked: TAKEN
    last = await town.start()
    for body in NUMBERS[20:]:
        await alice.at(last).send(room, body)
    await told_all(last, service)
    assert service.texts == NUMBERS
    service.check()


async def test_an_answer_that_is_lost_brings_the_same_again(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    lost = [True]

    def says(asked: Asked) -> Any:
        # It takes it, but the answer does not come through.
        if lost[0]:
            lost[0] = False
            service.taken[asked.segments[-1]] = asked.json
            return REFUSED
        return TAKEN

    service.says = says
    await alice.send(room, "once")
    await until(lambda: is_failing(hs, service))
    await wake(hs, service)
    await told_all(hs, service)
    assert service.attempts[-1] == service.attempts[-2]
    assert service.texts == ["once"]
    service.check()


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stream is forgotten at once: what is behind must be read from the database."""
    from storage import stream

    monkeypatch.setattr(stream.Stream.__init__, "__kwdefaults__", {"max_entries": 3})
    yield


@pytest.mark.usefixtures("short_memory")
async def test_what_was_missed_is_judged_by_who_was_there_then(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    bridge = bridge_of(hs, service)
    ghost = await bridge.ghost("_irc_ann")
    other = await alice.create_room()
    await told_all(hs, service)
    service.says = lambda asked: REFUSED
    await alice.send(room, "it fails from here on")
    await alice.send(other, "before the ghost came")
    await bridge.ok("POST", f"/join/{other}", {}, user_id=ghost)
    await alice.send(other, "while the ghost was there")
    await bridge.ok("POST", f"/rooms/{other}/leave", {}, user_id=ghost)
    await alice.send(other, "when the ghost was gone")
    await bridge.ok("POST", f"/rooms/{room}/leave", {})
    await alice.send(room, "when the bot was gone")
    await until(lambda: is_failing(hs, service))
    service.says = lambda asked: TAKEN
    await wake(hs, service)
    await told_all(hs, service)
    assert service.texts == ["it fails from here on", "while the ghost was there"]
    service.check()


@pytest.mark.usefixtures("short_memory")
async def test_a_process_that_takes_over_knows_who_was_there_then(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    bridge = bridge_of(hs, service)
    service.says = lambda asked: REFUSED
    await alice.send(room, "it fails from here on")
    await until(lambda: is_failing(hs, service))
    await alice.send(room, "the bot is there")
    await bridge.ok("POST", f"/rooms/{room}/leave", {})
    await alice.send(room, "the bot is gone")
    await town.stop(hs)
    service.says = lambda asked: TAKEN
    again = await town.start()
    await told_all(again, service)
    assert service.texts == ["it fails from here on", "the bot is there"]
    service.check()


async def test_a_stop_waits_for_what_is_under_way_and_it_is_not_told_again(town: Town) -> None:
    service = town.service()
    hs, alice, (room,) = await start(town, service)
    gate = Gate()
    service.says = gate
    await alice.send(room, "under way")
    await until(lambda: gate.count)
    await alice.send(room, "next")
    hs.server.appservices.finish()
    gate.open()
    await until(lambda: queue_of(hs, service) is None)
    await town.stop(hs)
    tried = len(service.attempts)
    again = await town.start()
    await told_all(again, service)
    assert service.texts == ["under way", "next"]
    assert len(service.attempts) == tried + 1
