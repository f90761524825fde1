"""History from before what we have: asked for when it is read, judged, put where it belongs, told to nobody by sync."""

from collections.abc import Iterator
from typing import Any

import pytest_twisted

from matrix.events import Json
from matrix.ids import RoomId
from tests.integration.federation.writer import Writer
from tests.support.consistency import faults
from tests.support.fake_server import FakeServer
from tests.support.homeserver import Client, Homeserver, q

V1 = "/_matrix/federation/v1"


@pytest_twisted.async_yield_fixture
async def writer(two: FakeServer, host: Homeserver, alice: Client) -> Iterator[Writer]:
    room = RoomId(await alice.create_room())
    await alice.sync()
    yield await Writer(two, host, room).join()
    assert faults(host.dsn) == []


async def gap_after(writer: Writer, hidden: list[Json]) -> None:
    """Two events come of which the first follows what we are not told; the state at the gap is that of today."""
    head = await writer.head()
    events = await writer.host.core.storage.events.get(head.state.values())
    ids = [stored.event_id for stored in events.values()]
    server, last = writer.server, hidden[-1]
    first = await writer.pdu("after the gap", prev=[last])
    server.answers("GET", f"{V1}/state_ids/", {"pdu_ids": ids, "auth_chain_ids": ids})
    server.answers("GET", f"{V1}/event/", {"pdus": [last]})
    server.answers("POST", f"{V1}/get_missing_events/", {"events": [first]})
    server.answers("GET", f"{V1}/backfill/", {"pdus": list(reversed(hidden))})
    await writer.say("newest", prev=[first])


async def bodies(client: Client, writer: Writer, **query: Any) -> list[Any]:
    page = await client.get(f"/rooms/{q(writer.room)}/messages", dir="b", limit=100, **query)
    return [one["content"].get("body") for one in page["chunk"] if one["type"] == "m.room.message"]


async def test_history_stands_where_it_belongs(writer: Writer, alice: Client) -> None:
    hidden = [await writer.pdu("one")]
    hidden.append(await writer.pdu("two", prev=[hidden[0]]))
    await gap_after(writer, hidden)
    assert await bodies(alice, writer) == ["newest", "after the gap", "two", "one"]
    for pdu in hidden:
        position, flags = writer.row(await writer.id_of(pdu))
        assert position is not None and position < 0 and flags == 0


async def test_a_room_that_lacked_nothing_may_come_to_lack_something(writer: Writer, alice: Client) -> None:
    assert await bodies(alice, writer) == []
    await gap_after(writer, [await writer.pdu("one")])
    assert await bodies(alice, writer) == ["newest", "after the gap", "one"]


async def test_sync_does_not_tell_history(writer: Writer, alice: Client) -> None:
    await gap_after(writer, [await writer.pdu("one")])
    await alice.sync()
    assert "one" in await bodies(alice, writer)
    assert await alice.timeline(writer.room) == []


async def test_history_that_is_not_allowed_is_not_shown(writer: Writer, alice: Client) -> None:
    forbidden = await writer.pdu(type="m.room.topic", state_key="", content={"topic": "mine"})
    hidden = [await writer.pdu("one"), forbidden]
    hidden.append(await writer.pdu("two", prev=[forbidden]))
    await gap_after(writer, hidden)
    page = await alice.get(f"/rooms/{q(writer.room)}/messages", dir="b", limit=100)
    assert "mine" not in str(page)
    assert "two" in str(page)


async def test_a_redaction_in_history_redacts(writer: Writer, alice: Client) -> None:
    message = await writer.pdu("to be redacted")
    redaction = await writer.pdu(
        type="m.room.redaction", content={"redacts": await writer.id_of(message)}, prev=[message]
    )
    await gap_after(writer, [message, redaction])
    assert "to be redacted" not in await bodies(alice, writer)


async def test_events_that_nothing_names_are_not_taken(writer: Writer, alice: Client) -> None:
    hidden = [await writer.pdu("one")]
    await gap_after(writer, hidden)
    stray = await writer.pdu("stray")
    writer.server.answers("GET", f"{V1}/backfill/", {"pdus": [*hidden, stray]})
    assert "stray" not in await bodies(alice, writer)


async def test_history_that_nobody_gives_is_not_asked_for_at_every_page(writer: Writer, alice: Client) -> None:
    await gap_after(writer, [await writer.pdu("one")])
    writer.server.answers("GET", f"{V1}/backfill/", lambda sent: (404, {"errcode": "M_NOT_FOUND"}))
    page = await alice.get(f"/rooms/{q(writer.room)}/messages", dir="b", limit=100)
    assert "end" in page
    asked = len([one for one in writer.server.requests if "/backfill/" in one.path])
    await bodies(alice, writer)
    assert len([one for one in writer.server.requests if "/backfill/" in one.path]) == asked


async def test_a_room_that_lacks_nothing_asks_nobody(writer: Writer, alice: Client) -> None:
    before = len(writer.server.requests)
    await bodies(alice, writer)
    assert [one for one in writer.server.requests[before:] if "/backfill/" in one.path] == []
