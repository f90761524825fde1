"""A transaction's events are looked for once, before any is taken in: what happens after that look counts too."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from homeserver.services.rooms.remote.pdu_checks import PduChecks
from matrix.events import Json
from matrix.ids import RoomId
from matrix.room_versions import RoomVersion
from tests.integration.federation.listening import until
from tests.integration.federation.writer import Writer
from tests.support.fake_server import FakeServer
from tests.support.homeserver import Client, Homeserver, q


class Held:
    """An event that waits after the look, until `go`."""

    def __init__(self) -> None:
        self.bodies: set[str] = set()
        self.waiting: list[Deferred[None]] = []

    async def pause(self, pdu: Json) -> None:
        body = pdu["content"].get("body")
        if body in self.bodies:
            self.bodies.remove(body)
            self.waiting.append(Deferred())
            await self.waiting[-1]

    def go(self) -> None:
        self.waiting.pop().callback(None)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    check, found = PduChecks.check, Held()

    async def checked(self: PduChecks, pdus: Sequence[Json], version: RoomVersion) -> Any:
        await found.pause(pdus[0])
        return await check(self, pdus, version)

    monkeypatch.setattr(PduChecks, "check", checked)
    return found


@pytest_twisted.async_yield_fixture
async def writer(two: FakeServer, host: Homeserver, alice: Client) -> AsyncIterator[Writer]:
    """Of two.test, in a room of alice at one.test."""
    yield await Writer(two, host, RoomId(await alice.create_room())).join()


async def sent(writer: Writer, *pdus: Json) -> dict[str, Any]:
    response = await writer.server.transaction("one.test", pdus)
    assert response.status == 200, response
    results: dict[str, Any] = response.json["pdus"]
    return results


async def while_held(writer: Writer, held: Held, pdu: Json, meanwhile: Callable[[], Any]) -> dict[str, Any]:
    """Sends the event; what `meanwhile` does comes between the look and the event."""
    held.bodies.add(pdu["content"]["body"])
    answer = Deferred.fromCoroutine(sent(writer, pdu))
    await until(lambda: held.waiting)
    await meanwhile()
    held.go()
    results: dict[str, Any] = await answer
    return results


async def seen(alice: Client, writer: Writer, event_id: str) -> Json:
    found: Json = await alice.get(f"/rooms/{q(writer.room)}/event/{q(event_id)}")
    return found


async def redaction(writer: Writer, event_id: str) -> Json:
    return await writer.pdu(type="m.room.redaction", content={"redacts": event_id}, redacts=event_id)


async def test_an_event_is_redacted_by_what_came_before_it(writer: Writer, alice: Client) -> None:
    target = await writer.pdu("regretted")
    event_id = await writer.id_of(target)
    assert await sent(writer, await redaction(writer, event_id), target)
    assert (await seen(alice, writer, event_id))["content"] == {}


async def test_an_event_is_redacted_by_what_comes_while_it_is_looked_at(
    writer: Writer, alice: Client, held: Held
) -> None:
    target = await writer.pdu("regretted at once")
    event_id = await writer.id_of(target)
    early = await redaction(writer, event_id)
    await while_held(writer, held, target, lambda: writer.send(early))
    assert (await seen(alice, writer, event_id))["content"] == {}


async def edit(writer: Writer, event_id: str) -> Json:
    content = {
        "body": "* new",
        "m.new_content": {"body": "new"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
    }
    return await writer.pdu(content=content)


async def test_an_event_has_the_edits_that_came_before_it(writer: Writer, alice: Client) -> None:
    target = await writer.pdu("old")
    event_id = await writer.id_of(target)
    assert await sent(writer, await edit(writer, event_id), target)
    assert "m.replace" in (await seen(alice, writer, event_id))["unsigned"]["m.relations"]


async def test_an_event_has_the_edits_that_come_while_it_is_looked_at(
    writer: Writer, alice: Client, held: Held
) -> None:
    target = await writer.pdu("old")
    event_id = await writer.id_of(target)
    early = await edit(writer, event_id)
    await while_held(writer, held, target, lambda: writer.send(early))
    assert "m.replace" in (await seen(alice, writer, event_id))["unsigned"]["m.relations"]


async def test_an_event_that_another_process_takes_in_meanwhile_is_there_once(
    writer: Writer, host: Homeserver, alice: Client, held: Held
) -> None:
    pdu = await writer.pdu("by both")
    event_id = await writer.id_of(pdu)
    second = await Homeserver.start(host.dsn, host.core.config, wire=host.core.wire, key=host.core.signer.key)
    try:
        take = second.server.rooms.remote.receiver.receive
        results = await while_held(writer, held, pdu, lambda: take(writer.server.name, writer.room, pdu))
    finally:
        await second.stop()
    assert results == {event_id: {}}
    assert host.rows("SELECT count(*) FROM events WHERE event_id = %s", event_id) == [(1,)]
    assert await writer.extremities() == {event_id}


async def test_an_outlier_that_another_process_adds_meanwhile_is_told_its_place(
    writer: Writer, host: Homeserver, alice: Client, held: Held
) -> None:
    pdu = await writer.pdu("first without a place")
    event_id = await writer.id_of(pdu)
    second = await Homeserver.start(host.dsn, host.core.config, wire=host.core.wire, key=host.core.signer.key)
    try:
        event = await writer.event(pdu)
        add = second.server.rooms.remote.receiver.add_outliers
        results = await while_held(writer, held, pdu, lambda: add(writer.room, [event]))
    finally:
        await second.stop()
    assert results == {event_id: {}}
    position, flags = writer.row(event_id)
    assert position and not flags
