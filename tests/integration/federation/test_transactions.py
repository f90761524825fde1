"""Transactions of other servers: each event on its own, each transaction once, those of a server one after another."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from homeserver.services.rooms.remote.pdu_checks import PduChecks
from matrix.events import Json
from matrix.ids import RoomId
from matrix.room_versions import RoomVersion
from tests.integration.federation.listening import until
from tests.integration.federation.writer import Writer
from tests.support.fake_server import FakeServer
from tests.support.homeserver import Client, Homeserver, q

SEND = "/_matrix/federation/v1/send/"


@pytest_twisted.async_yield_fixture
async def writer(two: FakeServer, host: Homeserver, alice: Client) -> Iterator[Writer]:
    """Of two.test, in a room of alice at one.test."""
    yield await Writer(two, host, RoomId(await alice.create_room())).join()


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Awaitable[None]]], None]:
    """What happens before an event is checked: a function of its body."""
    check = PduChecks.check

    def replace(before: Callable[[str], Awaitable[None]]) -> None:
        async def checked(self: PduChecks, pdus: Sequence[Json], version: RoomVersion) -> Any:
            await before(pdus[0]["content"]["body"])
            return await check(self, pdus, version)

        monkeypatch.setattr(PduChecks, "check", checked)

    return replace


async def sent(writer: Writer, *pdus: Any, edus: Any = (), name: str | None = None) -> dict[str, Any]:
    response = await writer.server.transaction("one.test", pdus, edus, transaction_id=name)
    assert response.status == 200, response
    assert response.json.keys() == {"pdus"}
    results: dict[str, Any] = response.json["pdus"]
    return results


async def test_events_are_taken_in_and_named_in_the_answer(writer: Writer, alice: Client) -> None:
    await alice.sync()
    first = await writer.pdu("one")
    second = await writer.pdu("two", prev=[first])
    assert await sent(writer, first, second) == {await writer.id_of(first): {}, await writer.id_of(second): {}}
    assert await alice.texts(writer.room) == ["one", "two"]


async def chain(writer: Writer, count: int) -> list[Json]:
    """Messages of which each follows the one before."""
    pdus: list[Json] = [await writer.pdu("0")]
    while len(pdus) < count:
        pdus.append(await writer.pdu(str(len(pdus)), prev=pdus[-1:]))
    return pdus


async def test_events_that_follow_one_another_do_not_wait_for_each_others_commits(
    writer: Writer, host: Homeserver, alice: Client
) -> None:
    await alice.sync()
    pdus = await chain(writer, 10)
    last = await writer.id_of(pdus[-1])
    nid = (await writer.head()).room_nid
    lock = psycopg2.connect(host.dsn)
    lock.cursor().execute("SELECT position FROM stream_head FOR UPDATE")
    try:
        answer = Deferred.fromCoroutine(sent(writer, *pdus))
        heads = host.server.rooms.heads
        await until(lambda: [event_id for _, event_id, _ in heads.known(nid).extremities] == [last])
        assert not answer.called, "nothing is durable yet"
    finally:
        lock.close()
    assert list((await answer).values()) == [{}] * 10
    assert await alice.texts(writer.room) == [str(number) for number in range(10)]


async def test_what_a_room_refuses_is_passed_over_among_events_that_follow_one_another(
    writer: Writer, host: Homeserver, alice: Client
) -> None:
    await alice.sync()
    first = await writer.pdu("first")
    refused = await writer.pdu(type="m.room.topic", content={"topic": "mine"}, state_key="", prev=[first])
    last = await writer.pdu("last", prev=[refused])
    assert list((await sent(writer, first, refused, last)).values()) == [{}, {}, {}]
    assert await alice.texts(writer.room) == ["first", "last"]
    topic = ("m.room.topic", "")
    assert topic not in (await writer.head()).state


async def test_an_event_that_is_here_beside_the_history_gets_its_place_when_it_comes(
    writer: Writer, host: Homeserver, alice: Client
) -> None:
    await alice.sync()
    pdus = await chain(writer, 3)
    kept = await writer.receiver.add_outliers(writer.room, [await writer.event(pdus[1])])
    for stored in kept.values():
        host.core.storage.events.forget(stored)
    assert list((await sent(writer, *pdus)).values()) == [{}, {}, {}]
    assert await alice.texts(writer.room) == ["0", "1", "2"]
    event_id = await writer.id_of(pdus[1])
    assert host.rows("SELECT count(*), max(flags) FROM events WHERE event_id = %s", event_id) == [(1, 0)]


async def test_a_faulty_event_is_named_with_its_fault_and_harms_no_other(writer: Writer, alice: Client) -> None:
    await alice.sync()
    good = await writer.pdu("good")
    forged = {**await writer.pdu("forged"), "signatures": {}}
    malformed = {**await writer.pdu("malformed"), "depth": "deep"}
    results = await sent(writer, forged, good, malformed, 7, None, [], {"room_id": 8}, {"room_id": writer.room})
    assert results[await writer.id_of(good)] == {}
    assert "error" in results[await writer.id_of(forged)] and "error" in results[await writer.id_of(malformed)]
    assert await alice.texts(writer.room) == ["good"]


async def test_an_event_that_nests_too_deeply_harms_no_other(writer: Writer, alice: Client) -> None:
    await alice.sync()
    good = await writer.pdu("good")
    deep: Any = {}
    for _ in range(200):
        deep = {"deeper": deep}
    deepest = {**await writer.pdu("deep"), "content": {"body": "deep", "more": deep}}
    results = await sent(writer, deepest, good, edus=[{"edu_type": "m.typing", "content": deep}])
    assert results[await writer.id_of(good)] == {}
    assert await alice.texts(writer.room) == ["good"]


async def test_events_of_rooms_that_we_do_not_know_are_passed_over(writer: Writer) -> None:
    assert await sent(writer, {**await writer.pdu(), "room_id": "!nowhere:two.test"}) == {}


async def test_a_transaction_that_is_sent_again_has_the_same_answer_and_no_effect(
    writer: Writer, alice: Client, host: Homeserver
) -> None:
    forged = {**await writer.pdu("forged"), "signatures": {}}
    results = await sent(writer, forged, name="again")
    other = await writer.pdu("another content")
    assert await sent(writer, other, name="again") == results
    stored = host.rows("SELECT answer FROM federation_received WHERE transaction_id = 'again' AND origin = 'two.test'")
    assert len(stored) == 1
    evil = FakeServer(writer.server.network, "evil.test")
    answer = await evil.transaction("one.test", [], transaction_id="again")
    assert answer.json == {"pdus": {}}, "an id is its sender's"


async def test_another_process_gives_the_same_answer(writer: Writer, host: Homeserver, alice: Client) -> None:
    second = await Homeserver.start(host.dsn, host.core.config, wire=host.core.wire, key=host.core.signer.key)
    try:
        forged = {**await writer.pdu("forged"), "signatures": {}}
        results = await sent(writer, forged, name="elsewhere")
        other = {**await writer.pdu("forged too"), "signatures": {}}
        body = {"origin": "two.test", "origin_server_ts": 1, "pdus": [other], "edus": []}
        authorization = writer.server.authorization("one.test", "PUT", f"{SEND}elsewhere", body)
        answer = await second.http.request(
            "PUT", f"{SEND}elsewhere", json=body, headers={"Authorization": authorization}
        )
        assert answer.json == {"pdus": results} and results
    finally:
        await second.stop()


async def test_more_than_50_events_or_100_edus_are_refused(writer: Writer) -> None:
    pdu = await writer.pdu()
    edu = {"edu_type": "org.example", "content": {}}
    assert (await writer.server.transaction("one.test", [pdu] * 51)).errcode == "M_BAD_JSON"
    assert (await writer.server.transaction("one.test", [], [edu] * 101)).errcode == "M_BAD_JSON"
    assert (await writer.server.transaction("one.test", [pdu] * 50, [edu] * 100)).status == 200


async def test_lists_may_be_missing_but_nothing_else_than_lists(writer: Writer) -> None:
    for body, status in (
        ({}, 200),
        ({"pdus": []}, 200),
        ({"pdus": {}}, 400),
        ({"edus": "many"}, 400),
        ([], 400),
        ({"pdus": [], "edus": [5, None, {"edu_type": 5, "content": {}}, {"edu_type": "m.typing"}]}, 200),
    ):
        name = f"{SEND}shape{status}{len(str(body))}"
        assert (await writer.server.ask("one.test", "PUT", name, body)).status == status, body


async def test_without_a_signature_nothing_is_taken(host: Homeserver) -> None:
    answer = await host.http.request("PUT", f"{SEND}unsigned", json={"pdus": []})
    assert (answer.status, answer.errcode) == (401, "M_UNAUTHORIZED")


async def test_a_server_that_the_room_refuses_is_told_so_for_each_event(writer: Writer, alice: Client) -> None:
    pdu = await writer.pdu("let me in")
    acl = {"allow": ["*"], "deny": ["two.test"]}
    await alice.set_state(writer.room, "m.room.server_acl", acl)
    assert await sent(writer, pdu) == {await writer.id_of(pdu): {"error": "Server is banned from room"}}
    messages = await alice.get(f"/rooms/{q(writer.room)}/messages", dir="b")
    assert "let me in" not in str(messages)


async def test_transactions_of_a_server_come_one_after_another_and_rooms_beside_each_other(
    writer: Writer, host: Homeserver, alice: Client, checks: Any
) -> None:
    other = await Writer(writer.server, host, RoomId(await alice.create_room())).join()
    begun: list[str] = []
    held: dict[str, Deferred[None]] = {}

    async def slowly(body: str) -> None:
        begun.append(body)
        held[body] = Deferred()
        await held[body]

    checks(slowly)
    one, two = await writer.pdu("1"), await other.pdu("2")
    first = Deferred.fromCoroutine(sent(writer, one, two))
    await until(lambda: len(begun) == 2)
    second = Deferred.fromCoroutine(sent(writer, await writer.pdu("3", prev=[one])))
    # Time enough for another request of the same server, and so for that one to be begun if it could be.
    await writer.server.ask("one.test", "GET", f"/_matrix/federation/v1/query/profile?user_id={q(alice.user_id)}")
    assert sorted(begun) == ["1", "2"], "rooms beside each other, transactions not"
    held["2"].callback(None)
    held["1"].callback(None)
    await until(lambda: "3" in held)
    held["3"].callback(None)
    assert [len(results) for results in await gatherResults([first, second])] == [2, 1]


async def test_an_event_that_makes_us_stumble_harms_no_other(writer: Writer, checks: Any) -> None:
    async def stumble(body: str) -> None:
        assert body != "bad"

    bad, good = await writer.pdu("bad"), await writer.pdu("good")
    checks(stumble)
    results = await sent(writer, bad, good)
    assert list(results.values()) == [{"error": "Internal server error"}, {}]
