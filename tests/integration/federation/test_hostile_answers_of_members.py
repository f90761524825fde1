"""Servers with users in our rooms, or who invited ours, and that answer what we ask of them with nonsense.

Nobody hears of a fault of ours, nothing is logged as one, and nothing is kept that must not be.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from matrix import unpadded_base64
from matrix.events import Json
from matrix.ids import RoomId
from matrix.signing import SigningKey
from tests.integration.federation.device_sharing import device_keys, query
from tests.integration.federation.handmade_room import HandmadeRoom
from tests.integration.federation.liar import Liar, liar
from tests.integration.federation.listening import outbox_of, until
from tests.integration.federation.visiting import Visitor
from tests.integration.federation.writer import Writer
from tests.support.attacker import errors_logged
from tests.support.consistency import faults
from tests.support.fake_server import FakeServer, event_id_of
from tests.support.homeserver import Client, Homeserver, q

__all__ = ["liar"]

V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"
BAD_GATEWAY = (502, 504)
_numbers = itertools.count()


@pytest.fixture
def logged(host: Homeserver) -> Iterator[list[str]]:
    """What is logged as an error meanwhile. Afterwards the database is as it must be."""
    with errors_logged() as found:
        yield found
    assert faults(host.dsn) == []


@pytest_twisted.async_yield_fixture(scope="module")
async def bob(host: Homeserver) -> Iterator[Client]:
    yield await host.register("bob")


async def gap_in(writer: Writer, hidden: Json) -> None:
    """Something follows what we are not told; what the state is at the gap, two.test says truly."""
    events = await writer.host.core.storage.events.get((await writer.head()).state.values())
    ids = [stored.event_id for stored in events.values()]
    after = await writer.pdu("after", prev=[hidden])
    writer.server.answers("GET", f"{V1}/state_ids/", {"pdu_ids": ids, "auth_chain_ids": ids})
    writer.server.answers("GET", f"{V1}/event/", {"pdus": [hidden]})
    writer.server.answers("POST", f"{V1}/get_missing_events/", {"events": [after]})
    await writer.say("newest", prev=[after])


async def texts(client: Client, writer: Writer) -> list[Any]:
    page = await client.get(f"/rooms/{q(writer.room)}/messages", dir="b", limit=100)
    return [one["content"].get("body") for one in page["chunk"] if one["type"] == "m.room.message"]


async def test_history_may_have_any_fault(liar: Liar, host: Homeserver, alice: Client, logged: list[str]) -> None:
    while liar.goes_on():
        writer = await Writer(liar.server, host, RoomId(await alice.create_room())).join()
        hidden = await writer.pdu("hidden")
        await gap_in(writer, hidden)
        answer = {"origin": "two.test", "origin_server_ts": 1, "pdus": [hidden]}
        liar.answers("GET", f"{V1}/backfill/", lambda sent, answer=answer: answer)
        assert await texts(alice, writer) in (
            ["newest", "after", "hidden"],
            ["newest", "after", None],
            ["newest", "after"],
        )
        assert liar.was_asked and not logged, (liar.what, logged)
        liar.next(67)


async def test_history_that_is_not_the_rooms_or_not_signed_is_not_taken(
    two: FakeServer, host: Homeserver, alice: Client, logged: list[str]
) -> None:
    other = await Writer(two, host, RoomId(await alice.create_room())).join()
    foreign = await other.pdu("of another room")
    forger = FakeServer(two.network, "forger.test")

    def lies(writer: Writer, hidden: Json) -> Iterator[list[Any]]:
        forged = {key: value for key, value in hidden.items() if key != "signatures"}
        yield [foreign]
        yield [forged]
        yield [{**forged, "signatures": {"two.test": {two.key.key_id: "A" * 86}}}]
        yield [forger.sign_event(forged, "12")]
        yield [{**hidden, "content": {"body": "another text"}}]
        yield [{**hidden, "depth": -1}]
        yield [hidden] * 1000
        yield [{}] * 5000
        yield [[hidden], "hidden", None, 17]

    for number in range(9):
        writer = await Writer(two, host, RoomId(await alice.create_room())).join()
        hidden = await writer.pdu("hidden")
        await gap_in(writer, hidden)
        lie = next(itertools.islice(lies(writer, hidden), number, None))
        two.answers("GET", f"{V1}/backfill/", {"origin": "two.test", "origin_server_ts": 1, "pdus": lie})
        seen = await texts(alice, writer)
        # What was changed is what /event has told already, as its id says; the thousand are one.
        assert seen == ["newest", "after", *(["hidden"] if number in (4, 6) else [])], (number, seen)
        assert not logged, (number, logged)
        found = host.rows("SELECT 1 FROM events WHERE event_id = %s", event_id_of(foreign, "12"))
        assert found == [], "an event of another room came in by history"


async def test_the_event_nearest_to_a_time_may_have_any_fault(
    liar: Liar, host: Homeserver, alice: Client, logged: list[str]
) -> None:
    writer = await Writer(liar.server, host, RoomId(await alice.create_room())).join()
    hidden = await writer.pdu("hidden")
    await gap_in(writer, hidden)
    liar.server.answers("GET", f"{V1}/backfill/", (404, {"errcode": "M_NOT_FOUND", "error": "No"}))
    good = {"event_id": event_id_of(hidden, "12"), "origin_server_ts": hidden["origin_server_ts"]}
    liar.answers("GET", f"{V1}/timestamp_to_event/", lambda sent: good)
    path = f"/_matrix/client/v1/rooms/{q(writer.room)}/timestamp_to_event?dir=f&ts={hidden['origin_server_ts']}"
    while liar.goes_on():
        liar.was_asked = False
        response = await alice.ask("GET", path)
        assert response.status in (200, 404), (liar.what, response)
        assert liar.was_asked and not logged, (liar.what, logged)
        liar.next()


async def test_lists_of_devices_may_have_any_fault(
    liar: Liar, alice: Client, visitor: Visitor, logged: list[str]
) -> None:
    def answer(user_id: str) -> Json:
        cross = {"user_id": user_id, "usage": ["master"], "keys": {"ed25519:a": "a2V5"}}
        device = {"device_id": "D", "keys": device_keys(user_id, "D"), "device_display_name": "a device"}
        return {
            "user_id": user_id,
            "stream_id": 5,
            "devices": [device],
            "master_key": cross,
            "self_signing_key": {**cross, "usage": ["self_signing"]},
        }

    while liar.goes_on():
        visitor.localpart = f"listed{next(_numbers)}"
        await visitor.join()
        user_id = visitor.user_id
        liar.answers("GET", f"{V1}/user/devices/", lambda sent, user_id=user_id: answer(user_id))
        told = await query(alice, user_id)
        assert set(told["device_keys"].get(user_id, {})) <= {"D"}, (liar.what, told)
        assert liar.was_asked and not logged, (liar.what, logged)
        liar.next(11)


async def test_the_answer_to_a_transaction_may_have_any_fault(
    liar: Liar, host: Homeserver, alice: Client, logged: list[str]
) -> None:
    """Whoever has answered has it; who has not said that it has gets it again."""
    writer = await Writer(liar.server, host, RoomId(await alice.create_room())).join()
    liar.answers("PUT", f"{V1}/send/", lambda sent: {"pdus": {"$a": {}, "$b": {"error": "no"}}})
    outbox, name, sent = outbox_of(host), liar.server.name, []

    def was_tried() -> bool:
        outbox.wake(name)
        return liar.was_asked

    while liar.goes_on():
        liar.was_asked = False
        sent.append(await alice.send(writer.room, f"text {next(_numbers)}"))
        await until(was_tried)
        assert not logged, (liar.what, logged)
        liar.next()
    liar.server.answers("PUT", f"{V1}/send/", {"pdus": {}})
    await until(lambda: was_tried() and not outbox.behind and not outbox.queues)
    told = [event_id_of(pdu, "12") for one in liar.server.requests if "/send/" in one.path for pdu in one.json["pdus"]]
    assert set(sent) <= set(told) and not logged


@pytest.mark.parametrize("path", ["make_leave", "send_leave"])
async def test_who_rejects_an_invite_is_rid_of_it_whatever_the_other_server_says(
    liar: Liar, bob: Client, logged: list[str], path: str
) -> None:
    while liar.goes_on():
        room = HandmadeRoom(liar.server)
        assert (await room.send_invite("one.test", room.invite(bob.user_id))).status == 200
        good = {"room_version": "10", "event": room.template("leave", bob.user_id)} if path == "make_leave" else {}
        liar.server.answers("PUT", f"{V2}/send_leave/", {})
        liar.answers(
            "GET" if path == "make_leave" else "PUT", f"{V1 if good else V2}/{path}/", lambda sent, good=good: good
        )
        await bob.leave(room.room)
        assert liar.was_asked and not logged, (liar.what, logged)
        liar.next(19)
        if not good and liar.number == liar.total - 1:
            break
    invited = (await bob.sync(since=None)).get("rooms", {}).get("invite", {})
    assert invited == {}


async def test_a_whole_state_may_have_any_fault(liar: Liar, host: Homeserver, alice: Client, logged: list[str]) -> None:
    """It is asked for where many events of the state before an event are not known."""
    writer = await Writer(liar.server, host, RoomId(await alice.create_room())).join()
    known = sorted(await writer.extremities())
    missing: list[Json] = []
    unknown = [f"${'z' * 38}{number:05}" for number in range(200)]
    liar.server.answers("POST", f"{V1}/get_missing_events/", lambda sent: {"events": missing})
    liar.server.answers("GET", f"{V1}/event/", lambda sent: {"pdus": missing})
    liar.server.answers(
        "GET", f"{V1}/state_ids/", lambda sent: {"pdu_ids": [*known, *unknown], "auth_chain_ids": known}
    )
    liar.answers("GET", f"{V1}/state/", lambda sent: {"pdus": missing, "auth_chain": missing})
    while liar.goes_on():
        missing = [await writer.pdu("gap", prev=[f"${'x' * 38}{next(_numbers):05}"])]
        pdu = await writer.pdu("after", prev=[*known, *missing])
        liar.was_asked = False
        response = await liar.server.transaction("one.test", [pdu])
        assert (response.status, list(response.json["pdus"])) == (200, [await writer.id_of(pdu)]), liar.what
        assert liar.was_asked and not logged, (liar.what, logged)
        liar.next(41)


async def test_the_keys_of_a_server_may_have_any_fault(liar: Liar, logged: list[str]) -> None:
    """Who asks with a good signature is who it says it is, or not known to be."""
    while liar.goes_on():
        server = FakeServer(liar.server.network, f"keys{next(_numbers)}.test")
        liar.server = server
        liar.answers("GET", "/_matrix/key/v2/server", lambda sent, server=server: server.published())
        response = await server.ask("one.test", "GET", f"{V1}/query/profile?user_id=%40bob%3Aone.test")
        assert response.status in (200, 401, 404), (liar.what, response)
        assert liar.was_asked and not logged, (liar.what, logged)
        liar.next(3)


async def test_the_word_of_a_policy_server_may_have_any_fault(
    liar: Liar, host: Homeserver, alice: Client, logged: list[str]
) -> None:
    writer = await Writer(liar.server, host, RoomId(await alice.create_room(room_version="11"))).join()
    key = unpadded_base64.encode(bytes(SigningKey.from_seed("policy_server", b"p" * 32).verify_key))
    await alice.set_state(writer.room, "m.room.policy", {"via": "two.test", "public_keys": {"ed25519": key}})
    liar.answers("POST", "/_matrix/policy/", lambda sent: {"two.test": {"ed25519:policy_server": "A" * 86}})
    while liar.goes_on():
        path = f"/rooms/{q(writer.room)}/send/m.room.message/t{next(_numbers)}"
        response = await alice.ask("PUT", path, {"body": "hello", "msgtype": "m.text"})
        assert response.status in (400, 403, 404, *BAD_GATEWAY), (liar.what, response)
        assert liar.was_asked and not logged, (liar.what, logged)
        liar.next()


async def test_a_space_may_have_any_fault(liar: Liar, bob: Client, logged: list[str]) -> None:
    """Whose part elsewhere is shown beside the rest of it."""
    entry = {"room_id": "!c:two.test", "num_joined_members": 5, "world_readable": True, "guest_can_join": False}
    child = {
        "type": "m.space.child",
        "state_key": "!d:two.test",
        "sender": "@u:two.test",
        "origin_server_ts": 5,
        "content": {"via": ["two.test"]},
    }
    space = await bob.create_room(creation_content={"type": "m.space"})
    while liar.goes_on():
        there = f"!part{next(_numbers)}:two.test"
        await bob.set_state(space, "m.space.child", {"via": ["two.test"]}, there)
        shown = {**entry, "room_id": there, "room_type": "m.space", "children_state": [child]}
        good = {"room": shown, "children": [entry], "inaccessible_children": ["!e:two.test"]}
        liar.answers("GET", f"{V1}/hierarchy/", lambda sent, good=good: good)
        path = f"/_matrix/client/v1/rooms/{q(space)}/hierarchy"
        response = await bob.ask("GET", path)
        assert response.status == 200 and response.json["rooms"][0]["room_id"] == space, (liar.what, response)
        assert liar.was_asked and not logged, (liar.what, logged)
        await bob.set_state(space, "m.space.child", {}, there)
        liar.next(9)
