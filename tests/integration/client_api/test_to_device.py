"""/sendToDevice, and what a sync will find."""

from collections.abc import Iterator

import orjson
import pytest
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred, gatherResults

from homeserver.runtime.clock import Clock
from homeserver.runtime.ratelimit import RateLimit
from homeserver.services.e2ee.to_device import ToDevice, Transaction
from matrix.ids import UserId
from storage import to_device
from storage.change import Change, Kind
from tests.integration.client_api.e2ee_server import ALICE, BOB, Device, E2eeServer, e2ee_server


@pytest.fixture
def server(dsn: str) -> Iterator[E2eeServer]:
    with e2ee_server(dsn) as running:
        yield running


async def waiting(server: E2eeServer, device: Device) -> list[object]:
    """The messages waiting for a device."""
    upto = server.storage.stream.position
    found = await server.storage.database.read(to_device.pending, device.user_id, device.device_id, upto)
    return [orjson.loads(text) for _, text in found]


async def test_a_message_waits_for_its_device(server: E2eeServer) -> None:
    alice, bob, other = server.device(ALICE, "A"), server.device(BOB, "B"), server.device(BOB, "B2")
    await alice.ok("PUT", "/sendToDevice/m.test/1", {"messages": {BOB: {"B": {"n": 1}, "unknown": {}}}})
    assert await waiting(server, bob) == [{"type": "m.test", "sender": ALICE, "content": {"n": 1}}]
    assert await waiting(server, other) == []
    entry = server.storage.stream.entries(0, server.storage.stream.position)[-1]
    assert (entry.kind, entry.user_id, entry.body) == (Kind.TO_DEVICE, BOB, {"device_id": "B"})


async def test_a_star_is_all_devices_of_the_user(server: E2eeServer) -> None:
    alice, devices = server.device(ALICE, "A"), [server.device(BOB, name) for name in ("B1", "B2", "B3")]
    await alice.ok("PUT", "/sendToDevice/m.test/1", {"messages": {BOB: {"*": {"n": 1}, "B2": {"n": 2}}}})
    assert [[message["content"]["n"] for message in await waiting(server, device)] for device in devices] == [
        [1],
        [2],
        [1],
    ]


async def test_messages_come_in_their_order_and_go_when_acknowledged(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    for n in range(4):
        await alice.ok("PUT", f"/sendToDevice/m.test/{n}", {"messages": {BOB: {"B": {"n": n}}}})
    upto = server.storage.stream.position
    database = server.storage.database
    first = await database.read(to_device.pending, BOB, "B", upto, 2)
    assert [orjson.loads(text)["content"]["n"] for _, text in first] == [0, 1]
    assert await database.read(to_device.delete_upto, BOB, "B", first[-1][0]) == 2
    assert [message["content"]["n"] for message in await waiting(server, bob)] == [2, 3]
    await server.storage.committer(Change().put(to_device.DELETE_UPTO, (BOB, "B", upto)))
    assert await waiting(server, bob) == []


async def test_a_repeated_request_sends_once(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    sending = [
        Deferred.fromCoroutine(alice.ok("PUT", "/sendToDevice/m.test/1", {"messages": {BOB: {"B": {}}}}))
        for _ in range(5)
    ]
    assert await gatherResults(sending) == [{}] * 5
    assert len(await waiting(server, bob)) == 1


async def test_a_request_that_another_process_does_first_sends_nothing(server: E2eeServer) -> None:
    bob = server.device(BOB, "B")

    async def commit_too_late(change: Change) -> None:
        server.sql("INSERT INTO to_device_transactions VALUES (%s, 'A', '1', 0)", ALICE)
        await server.storage.committer(change)

    late = ToDevice(
        database=server.storage.database, commit=commit_too_late, clock=Clock(reactor), is_local=lambda name: True
    )
    await late.send(UserId(ALICE), Transaction(ALICE, "A", "1"), "m.test", {BOB: {"B": {}}})
    assert await waiting(server, bob) == []


async def test_room_key_requests_beyond_the_limit_are_dropped_silently(server: E2eeServer) -> None:
    bob = server.device(BOB, "B")
    limited = ToDevice(
        database=server.storage.database,
        commit=server.storage.committer,
        clock=Clock(reactor),
        is_local=lambda name: True,
        key_requests=RateLimit(0, 2, Clock(task.Clock())),
    )
    for n in range(4):
        for event_type in ("m.room_key_request", "m.other"):
            transaction = Transaction(ALICE, "A", f"{event_type} {n}")
            await limited.send(UserId(ALICE), transaction, event_type, {BOB: {"B": {}}})
    types = [message["type"] for message in await waiting(server, bob)]
    assert (types.count("m.room_key_request"), types.count("m.other")) == (2, 4)


async def test_messages_of_another_server_reach_only_our_users(server: E2eeServer) -> None:
    bob = server.device(BOB, "B")
    receiver = ToDevice(
        database=server.storage.database,
        commit=server.storage.committer,
        clock=Clock(reactor),
        is_local=lambda name: name == "a",
    )
    for _ in range(2):
        await receiver.receive(
            Transaction("b", "", "message id"),
            UserId("@dora:b"),
            "m.test",
            {BOB: {"*": {"n": 1}}, "@erin:b": {"*": {}}},
        )
    assert await waiting(server, bob) == [{"type": "m.test", "sender": "@dora:b", "content": {"n": 1}}]


async def test_the_same_transaction_id_of_another_device_is_another_transaction(server: E2eeServer) -> None:
    bob = server.device(BOB, "B")
    for name in ("A", "A2"):
        await server.device(ALICE, name).ok("PUT", "/sendToDevice/m.test/1", {"messages": {BOB: {"B": {}}}})
    assert len(await waiting(server, bob)) == 2


async def test_a_message_that_is_too_large_is_refused_with_all_others(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    body = {"messages": {BOB: {"B": {"n": 1}}, ALICE: {"A": {"x": "y" * 65536}}}}
    response = await alice.ask("PUT", "/sendToDevice/m.test/1", body)
    assert (response.status, response.errcode) == (413, "M_TOO_LARGE")
    assert await waiting(server, bob) == []


async def test_a_malformed_request_is_refused(server: E2eeServer) -> None:
    alice = server.device(ALICE, "A")
    for body, errcode in (
        ({}, "M_MISSING_PARAM"),
        ({"messages": []}, "M_BAD_JSON"),
        ({"messages": {BOB: []}}, "M_BAD_JSON"),
        ({"messages": {BOB: {"B": 1}}}, "M_BAD_JSON"),
    ):
        response = await alice.ask("PUT", "/sendToDevice/m.test/1", body)
        assert (response.status, response.errcode) == (400, errcode)
    response = await alice.ask("PUT", f"/sendToDevice/m.test/{'x' * 300}", {"messages": {}})
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_a_recipient_that_cannot_be_is_passed_over(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    messages = {"bob": {"B": {}}, "@dora:elsewhere.example": {"D": {}}, BOB: {"B": {"x": "\x00"}, "\x00": {}}}
    await alice.ok("PUT", "/sendToDevice/m.test/1", {"messages": messages})
    assert len(await waiting(server, bob)) == 1


async def test_messages_for_deleted_devices_and_old_transactions_are_trimmed(server: E2eeServer) -> None:
    alice, bob = server.device(ALICE, "A"), server.device(BOB, "B")
    await alice.ok("PUT", "/sendToDevice/m.test/1", {"messages": {BOB: {"B": {}}}})
    later = task.Clock()
    trimmer = ToDevice(
        database=server.storage.database,
        commit=server.storage.committer,
        clock=Clock(later),
        is_local=lambda name: True,
    )
    later.advance(reactor.seconds())
    await trimmer.trim()
    assert len(await waiting(server, bob)) == 1
    assert server.sql("SELECT count(*) FROM to_device_transactions") == [(1,)]
    server.sql("DELETE FROM devices WHERE device_id = 'B'")
    later.advance(25 * 3600)
    await trimmer.trim()
    assert await waiting(server, bob) == []
    assert server.sql("SELECT count(*) FROM to_device_transactions") == [(0,)]
