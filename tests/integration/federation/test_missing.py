"""What lies between what we have and what comes: asked for, placed in order; where it ends, the state is asked for."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import define, field

from federation.outbound.errors import RemoteError
from matrix.events import Json
from matrix.ids import RoomId
from tests.integration.federation.writer import Writer
from tests.support.consistency import faults
from tests.support.fake_server import FakeServer
from tests.support.federation import Sent
from tests.support.homeserver import Client, Homeserver, q

V1 = "/_matrix/federation/v1"


@define
class Memory:
    """What two.test knows and we do not: it answers with it."""

    writer: Writer
    pdus: dict[str, Json] = field(factory=dict)

    async def remember(self, *pdus: Json) -> None:
        for pdu in pdus:
            self.pdus[await self.writer.id_of(pdu)] = pdu

    def answer(self) -> None:
        """get_missing_events, event; state is asked of `states`."""
        server = self.writer.server
        server.answers("POST", f"{V1}/get_missing_events/{q(self.writer.room)}", self._missing)
        server.answers("GET", f"{V1}/event/", self._event)
        server.answers("GET", f"{V1}/backfill/{q(self.writer.room)}", lambda sent: {"pdus": []})

    def _missing(self, sent: Sent) -> Any:
        found: list[Json] = []
        stack = list(sent.json["latest_events"])
        earliest = set(sent.json["earliest_events"])
        while stack and len(found) < sent.json["limit"]:
            for prev in self.pdus.get(stack.pop(0), {}).get("prev_events", []):
                if prev in self.pdus and prev not in earliest and self.pdus[prev] not in found:
                    found.append(self.pdus[prev])
                    stack.append(prev)
        return {"events": found[: sent.json["limit"]]}

    def _event(self, sent: Sent) -> Any:
        event_id = "$" + sent.path.rpartition("%24")[2]
        return {"pdus": [self.pdus[event_id]]} if event_id in self.pdus else (404, {"errcode": "M_NOT_FOUND"})

    async def states(self) -> None:
        """The state of today at every event."""
        writer = self.writer
        head = await writer.head()
        events = await writer.host.core.storage.events.get(head.state.values())
        ids = [stored.event_id for stored in events.values()]
        said = {"pdu_ids": ids, "auth_chain_ids": ids}
        writer.server.answers("GET", f"{V1}/state_ids/{q(writer.room)}", said)


@pytest_twisted.async_yield_fixture
async def writer(two: FakeServer, host: Homeserver, alice: Client) -> Iterator[Writer]:
    room = RoomId(await alice.create_room())
    await alice.sync()
    yield await Writer(two, host, room).join()
    assert faults(host.dsn) == []


async def chain(writer: Writer, length: int, **fields: Any) -> list[Json]:
    pdus = [await writer.pdu("0", **fields)]
    for number in range(1, length):
        pdus.append(await writer.pdu(str(number), prev=[pdus[-1]]))
    return pdus


async def test_a_gap_is_closed_in_order(writer: Writer, alice: Client) -> None:
    pdus = await chain(writer, 8)
    memory = Memory(writer)
    await memory.remember(*pdus)
    memory.answer()
    await writer.send(pdus[-1])
    assert await alice.texts(writer.room) == [str(number) for number in range(8)]
    assert await writer.extremities() == {await writer.id_of(pdus[-1])}


async def test_a_gap_of_many_events_is_closed_in_rounds(writer: Writer, alice: Client) -> None:
    pdus = await chain(writer, 50)
    memory = Memory(writer)
    await memory.remember(*pdus)
    memory.answer()
    await writer.send(pdus[-1])
    assert writer.host.rows(
        "SELECT count(*) FROM events e JOIN rooms USING (room_nid) WHERE room_id = %s AND type = 'm.room.message'",
        writer.room,
    ) == [(50,)]


async def test_a_gap_that_is_not_closed_takes_the_state_that_the_sender_tells(writer: Writer, alice: Client) -> None:
    pdus = await chain(writer, 5)
    memory = Memory(writer)
    await memory.remember(*pdus)
    memory.answer()
    await memory.states()
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": [pdus[3]]})
    await writer.send(pdus[-1])
    joined = (await alice.sync())["rooms"]["join"][writer.room]
    assert [event["content"].get("body") for event in joined["timeline"]["events"]] == ["3", "4"]
    assert joined["timeline"]["limited"]
    # The gap is known, and filled when it is read.
    back = {"pdus": list(reversed(pdus[:3]))}
    writer.server.answers("GET", f"{V1}/backfill/{q(writer.room)}", back)
    path = f"/rooms/{q(writer.room)}/messages"
    page = await alice.get(path, dir="b", limit=100)
    bodies = [event["content"].get("body") for event in page["chunk"] if event["type"] == "m.room.message"]
    assert bodies == ["4", "3", "2", "1", "0"]
    page = await alice.get(path, dir="b", limit=3, **{"from": joined["timeline"]["prev_batch"]})
    assert [event["content"].get("body") for event in page["chunk"]] == ["2", "1", "0"]


async def test_what_came_late_hides_nothing_that_was_before_it(writer: Writer, alice: Client) -> None:
    late = await writer.pdu("late")
    for number in range(4):
        await alice.send(writer.room, str(number))
    await writer.send(late)
    for number in range(4, 7):
        await alice.send(writer.room, str(number))
    four = json.dumps({"room": {"timeline": {"limit": 4}}})
    timeline = (await alice.sync(filter=four))["rooms"]["join"][writer.room]["timeline"]
    assert [event["content"]["body"] for event in timeline["events"]] == ["late", "4", "5", "6"]
    back = {"dir": "b", "limit": 4, "from": timeline["prev_batch"]}
    page = await alice.get(f"/rooms/{q(writer.room)}/messages", **back)
    assert [event["content"]["body"] for event in page["chunk"]] == ["3", "2", "1", "0"]


async def test_a_server_that_does_not_tell_what_its_event_follows_is_not_heard(writer: Writer) -> None:
    pdus = await chain(writer, 2)
    memory = Memory(writer)
    await memory.remember(*pdus)
    memory.answer()
    await memory.states()
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": []})
    with pytest.raises(RemoteError):
        await writer.send(pdus[1])
    assert writer.host.rows("SELECT 1 FROM events WHERE event_id = %s", await writer.id_of(pdus[1])) == []
    # The next server that knows it may tell.
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": [pdus[0]]})
    await writer.send(pdus[1])
    assert await writer.extremities() == {await writer.id_of(pdus[1])}


async def test_the_state_is_asked_for_before_the_auth_events(writer: Writer, alice: Client) -> None:
    """It brings them along, as long as single events are to be had."""
    other = Writer(writer.server, writer.host, writer.room, "other")
    join = await other.pdu(type="m.room.member", state_key=other.user_id, content={"membership": "join"})
    first = await other.pdu("first", prev=[join], state={("m.room.member", other.user_id): join})
    second = await other.pdu("second", prev=[first], state={("m.room.member", other.user_id): join})
    memory = Memory(writer)
    await memory.remember(join, first, second)
    memory.answer()
    await memory.states()
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": [first]})
    writer.server.answers("GET", f"{V1}/event_auth/", lambda sent: (404, {"errcode": "M_NOT_FOUND"}))
    await other.send(second)
    assert await alice.texts(writer.room) == ["first", "second"]


async def test_what_has_no_state_to_stand_on_is_not_kept(writer: Writer) -> None:
    pdus = await chain(writer, 3)
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": []})
    writer.server.answers("GET", f"{V1}/state_ids/", lambda sent: (404, {"errcode": "M_NOT_FOUND"}))
    with pytest.raises(RemoteError):
        await writer.send(pdus[-1])
    assert writer.host.rows("SELECT 1 FROM events WHERE event_id = %s", await writer.id_of(pdus[-1])) == []


async def test_an_endless_graph_ends(writer: Writer, alice: Client) -> None:
    """Whatever is asked for has ever more before it."""
    asked: list[str] = []

    async def more(sent: Sent) -> Json:
        asked.append(sent.path)
        before = [await writer.pdu(f"endless {len(asked)}", prev=[f"${'a' * 40}{len(asked):03}"]) for _ in range(20)]
        return {"events": before}

    writer.server.answers("POST", f"{V1}/get_missing_events/", more)
    writer.server.answers("GET", f"{V1}/state_ids/", lambda sent: (404, {"errcode": "M_NOT_FOUND"}))
    writer.server.answers("GET", f"{V1}/event/", lambda sent: (404, {"errcode": "M_NOT_FOUND"}))
    with pytest.raises(RemoteError):
        await writer.say("end", prev=["$" + "b" * 43])
    assert len(asked) <= 3


async def test_events_that_do_not_lead_to_the_gap_are_not_taken(writer: Writer) -> None:
    pdus = await chain(writer, 2)
    stray = await writer.pdu("stray")
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": [stray, pdus[0]]})
    await writer.send(pdus[1])
    assert writer.host.rows("SELECT 1 FROM events WHERE event_id = %s", await writer.id_of(stray)) == []


async def test_missing_auth_events_are_fetched(writer: Writer, alice: Client) -> None:
    other = Writer(writer.server, writer.host, writer.room, "other")
    join = await other.pdu(type="m.room.member", state_key=other.user_id, content={"membership": "join"})
    message = await other.pdu("hi", state={("m.room.member", other.user_id): join})
    head = await writer.head()
    known = await writer.host.core.storage.events.get(head.state.values())
    chain_of = [stored.event.pdu for stored in known.values()]
    writer.server.answers("GET", f"{V1}/event_auth/", {"auth_chain": [*chain_of, join]})
    await other.send(message)
    kept = "SELECT flags <> 0, position IS NULL FROM events WHERE event_id = ANY(%s)"
    ids = [await writer.id_of(join), await writer.id_of(message)]
    assert writer.host.rows(kept, ids) == [(True, True), (True, True)]
    assert await alice.texts(writer.room) == []


async def test_an_event_whose_auth_events_are_not_to_be_had_is_judged_when_they_are(
    writer: Writer, alice: Client
) -> None:
    other = Writer(writer.server, writer.host, writer.room, "other")
    join = await other.pdu(type="m.room.member", state_key=other.user_id, content={"membership": "join"})
    message = await other.pdu("hi", prev=sorted(await writer.extremities()))
    message = await other.pdu("hi", prev=[join], state={("m.room.member", other.user_id): join})
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": []})
    writer.server.answers("GET", f"{V1}/event_auth/", {"auth_chain": []})
    with pytest.raises(RemoteError):
        await other.send(message)
    await other.send(join)
    await other.send(message)
    assert await alice.texts(writer.room) == ["hi"]


async def test_a_slow_server_holds_up_nobody_else(writer: Writer, alice: Client) -> None:
    from twisted.internet.defer import Deferred

    pdus = await chain(writer, 2)
    slow: Deferred[Json] = Deferred()
    writer.server.answers("POST", f"{V1}/get_missing_events/", lambda sent: slow)
    waiting = Deferred.fromCoroutine(writer.send(pdus[1]))
    three = await Writer(FakeServer(writer.server.network, "three.test"), writer.host, writer.room).join()
    await three.say("meanwhile")
    assert "meanwhile" in await alice.texts(writer.room)
    assert not waiting.called
    slow.callback({"events": [pdus[0]]})
    await waiting
    assert await alice.texts(writer.room) == ["0", "1"]


async def test_a_late_event_is_no_extremity(writer: Writer, alice: Client) -> None:
    pdus = await chain(writer, 3)
    memory = Memory(writer)
    await memory.remember(*pdus)
    memory.answer()
    await memory.states()
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": [pdus[1]]})
    await writer.send(pdus[2])
    before = await writer.extremities()
    await writer.send(pdus[0])
    assert await writer.extremities() == {await writer.id_of(pdus[2])} <= before
    assert (
        writer.host.rows(
            "SELECT 1 FROM missing_prev_events JOIN rooms USING (room_nid) WHERE room_id = %s", writer.room
        )
        == []
    )


async def test_a_late_event_is_no_extremity_though_only_hidden_ones_name_it(writer: Writer, alice: Client) -> None:
    three = await Writer(FakeServer(writer.server.network, "three.test"), writer.host, writer.room).join()
    late = await writer.pdu("late")
    hidden = await three.pdu("from who is banned", prev=[late])
    await alice.ok("POST", f"/rooms/{q(writer.room)}/ban", {"user_id": three.user_id})
    last = await writer.pdu("last", prev=[hidden, *await writer.extremities()])
    memory = Memory(writer)
    await memory.remember(late)
    memory.answer()
    await memory.states()
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": [hidden]})
    last_id = await writer.send(last)
    assert writer.row(await writer.id_of(hidden))[1] != 0
    await writer.send(late)
    assert await writer.extremities() == {last_id}


async def test_a_redaction_that_comes_first_redacts_what_comes_after(writer: Writer, alice: Client) -> None:
    message = await writer.pdu("to be redacted")
    event_id = await writer.id_of(message)
    redaction = await writer.pdu(type="m.room.redaction", content={"redacts": event_id})
    await writer.send(redaction)
    await writer.send(message)
    [event] = [one for one in await alice.timeline(writer.room) if one["event_id"] == event_id]
    assert event["content"] == {}


async def test_twenty_unknown_prev_events_are_bounded_work(writer: Writer) -> None:
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": []})
    writer.server.answers("GET", f"{V1}/state_ids/", lambda sent: (404, {"errcode": "M_NOT_FOUND"}))
    before = len(writer.server.requests)
    with pytest.raises(RemoteError):
        await writer.say(prev=[f"$unknown{'x' * 33}{number:02}" for number in range(20)])
    assert len(writer.server.requests) - before < 10
