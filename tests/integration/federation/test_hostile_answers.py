"""Servers that answer what we ask with nonsense: with no answer at all, or a good one with one fault in it.

Whoever asked hears of success or of a server that gave no good answer; it is never a fault of ours, and nothing is
logged as one.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from attrs import frozen

from matrix.events import Json
from matrix.ids import RoomId
from tests.integration.federation.handmade_room import HandmadeRoom
from tests.integration.federation.liar import Liar, liar
from tests.integration.federation.writer import Writer
from tests.support.attacker import errors_logged
from tests.support.homeserver import Client, Homeserver, q

__all__ = ["liar"]

V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"
BAD_GATEWAY = (502, 504)
_numbers = itertools.count()


@pytest_twisted.async_yield_fixture(scope="module")
async def bob(host: Homeserver) -> Iterator[Client]:
    yield await host.register("bob")


@frozen
class Question:
    """What a client asks, at whose path the server is asked then, and what that should answer."""

    method: str
    path: Callable[[int], str]
    body: Any
    asked: str
    good: Any
    # Of what is much alike: every so-manieth.
    stride: int = 1


ROOM, USER, ALIAS = "!room:two.test", "@u:two.test", "#alias:two.test"
SIGNED = {"two.test": {"ed25519:0": "c2lnbmVk"}}
ENTRY = {
    "room_id": ROOM,
    "name": "a room",
    "topic": "a topic",
    "canonical_alias": ALIAS,
    "avatar_url": "mxc://two.test/a",
    "num_joined_members": 5,
    "world_readable": True,
    "guest_can_join": False,
    "join_rule": "public",
    "room_type": "m.space",
    "allowed_room_ids": [ROOM],
    "encryption": "m.megolm.v1.aes-sha2",
    "room_version": "10",
}
CHILD = {
    "type": "m.space.child",
    "state_key": ROOM,
    "sender": USER,
    "origin_server_ts": 5,
    "content": {"via": ["two.test"], "order": "a", "suggested": True},
}
DEVICE = {
    "user_id": USER,
    "device_id": "D",
    "algorithms": ["m.megolm.v1.aes-sha2"],
    "keys": {"ed25519:D": "a2V5"},
    "signatures": {USER: {"ed25519:D": "c2lnbmVk"}},
    "unsigned": {"device_display_name": "a device"},
}
CROSS = {"user_id": USER, "usage": ["master"], "keys": {"ed25519:a": "a2V5"}, "signatures": {USER: {"ed25519:D": "x"}}}
ONE_TIME = {"signed_curve25519:A": {"key": "a2V5", "signatures": {USER: {"ed25519:D": "x"}}}}


def template(membership: str) -> Json:
    """What bob is given to sign."""
    event = {
        "type": "m.room.member", "sender": "@bob:one.test", "state_key": "@bob:one.test", "room_id": ROOM,
        "content": {"membership": membership}, "prev_events": ["$a"], "auth_events": ["$a"], "depth": 5,
        "origin_server_ts": 1,
    }  # fmt: skip
    return {"room_version": "10", "event": event}


QUESTIONS = {
    "an alias": Question(
        "GET", lambda n: f"/directory/room/{q(f'#alias{n}:two.test')}", None, "/query/directory",
        {"room_id": ROOM, "servers": ["two.test"]},
    ),
    "a profile": Question(
        "GET", lambda n: f"/profile/{q(f'@u{n}:two.test')}", None, "/query/profile",
        {"displayname": "U", "avatar_url": "mxc://two.test/a", "m.tz": "Europe/London"},
    ),
    "a directory": Question(
        "POST", lambda n: "/publicRooms?server=two.test", {}, "/publicRooms",
        {"chunk": [ENTRY], "next_batch": "n", "prev_batch": "p", "total_room_count_estimate": 5}, 3,
    ),
    "a summary": Question(
        "GET", lambda n: f"/_matrix/client/v1/room_summary/{q(f'!r{n}:two.test')}?via=two.test", None, "/hierarchy/",
        {"room": {**ENTRY, "children_state": [CHILD]}, "children": [ENTRY], "inaccessible_children": [ROOM]}, 7,
    ),
    "device keys": Question(
        "POST", lambda n: "/keys/query", {"device_keys": {USER: []}}, "/user/keys/query",
        {"device_keys": {USER: {"D": DEVICE}}, "master_keys": {USER: CROSS}, "self_signing_keys": {USER: CROSS}}, 7,
    ),
    "one-time keys": Question(
        "POST", lambda n: "/keys/claim", {"one_time_keys": {USER: {"D": "signed_curve25519"}}}, "/user/keys/claim",
        {"one_time_keys": {USER: {"D": ONE_TIME}}},
    ),
    "a knock": Question(
        "POST", lambda n: f"/knock/{q(ROOM)}?via=two.test", {}, "/send_knock/",
        {"knock_room_state": [{"type": "m.room.name", "state_key": "", "sender": USER, "content": {"name": "a"}}]},
    ),
    "the template of a join": Question(
        "POST", lambda n: f"/join/{q(ROOM)}?via=two.test", {}, "/make_join/",
        template("join"), 3,
    ),
    "the template of a knock": Question(
        "POST", lambda n: f"/knock/{q(ROOM)}?via=two.test", {}, "/make_knock/",
        template("knock"), 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", QUESTIONS)
async def test_a_user_hears_that_a_server_gave_no_good_answer(liar: Liar, bob: Client, what: str) -> None:
    question = QUESTIONS[what]
    liar.server.answers("GET", f"{V1}/make_knock/", lambda sent: template("knock"))
    for method in ("GET", "POST", "PUT"):
        liar.answers(method, V1 + question.asked, lambda sent: question.good)
    with errors_logged() as logged:
        while liar.goes_on():
            before = len(liar.server.requests)
            response = await bob.ask(question.method, question.path(next(_numbers)), question.body)
            assert len(liar.server.requests) > before, (what, response)
            assert response.status < 500 or response.status in BAD_GATEWAY, (liar.what, response)
            assert response.status < 400 or (response.errcode and response.json["error"]), (liar.what, response)
            assert not logged, (liar.what, logged)
            liar.next(question.stride)


async def test_who_invites_hears_that_a_server_did_not_sign(liar: Liar, alice: Client) -> None:
    room = await alice.create_room()
    liar.answers("PUT", f"{V2}/invite/", lambda sent: {"event": sent.json["event"]})
    with errors_logged() as logged:
        while liar.goes_on():
            user_id = f"@invited{next(_numbers)}:two.test"
            response = await alice.ask("POST", f"/rooms/{q(room)}/invite", {"user_id": user_id})
            assert response.status in (200, 400, 403, 404, *BAD_GATEWAY), (liar.what, response)
            assert not logged, (liar.what, logged)
            # 250 places: the faults that signatures and hashes show are much alike.
            liar.next(23)


async def test_the_first_events_of_a_room_may_have_any_fault(liar: Liar, bob: Client) -> None:
    with errors_logged() as logged:
        for at in range(4):
            liar.begin()
            for number in itertools.count(at, 23):
                await join_with_a_fault(liar, bob, at, number)
                assert not logged, (liar.what, logged)
                if number + 23 >= liar.total:
                    break


async def test_a_room_that_is_joined_may_be_no_answer_at_all(liar: Liar, bob: Client) -> None:
    with errors_logged() as logged:
        while liar.goes_on():
            room = HandmadeRoom(liar.server)
            liar.answers("PUT", f"{V2}/send_join/", lambda sent, room=room: room.state_answer())
            response = await bob.ask("POST", f"/join/{q(room.room)}?via=two.test", {})
            assert response.status in (200, 400, 403, 404, *BAD_GATEWAY), (liar.what, response)
            assert not logged, (liar.what, logged)
            liar.next(997)


async def join_with_a_fault(liar: Liar, bob: Client, at: int, number: int) -> None:
    room = HandmadeRoom(liar.server)

    def answer(good: Json) -> Json:
        state = [*good["state"][:at], liar.lie(good["state"][at], number), *good["state"][at + 1 :]]
        return {**good, "state": state, "auth_chain": state}

    room.of_answer = answer
    response = await bob.ask("POST", f"/join/{q(room.room)}?via=two.test", {})
    assert response.status in (200, 403, *BAD_GATEWAY), (liar.what, response)


@pytest.mark.parametrize("path", ["get_missing_events", "event", "state_ids", "event_auth"])
async def test_what_lies_before_an_event_may_have_any_fault(
    liar: Liar, host: Homeserver, alice: Client, path: str
) -> None:
    writer = await Writer(liar.server, host, RoomId(await alice.create_room())).join()
    before = await writer.pdu("before")
    known = sorted(await writer.extremities())
    missing = {"events": [before]}
    liar.server.answers("GET", f"{V1}/", (404, {"errcode": "M_NOT_FOUND", "error": "No"}))
    liar.server.answers("POST", f"{V1}/get_missing_events/", lambda sent: missing)
    liar.server.answers("GET", f"{V1}/event/", lambda sent: {"pdus": [before]})
    liar.server.answers("GET", f"{V1}/state_ids/", lambda sent: {"pdu_ids": known, "auth_chain_ids": known})
    good: dict[str, Json] = {
        "get_missing_events": {"events": [before]},
        "event": {"origin": "two.test", "origin_server_ts": 1, "pdus": [before]},
        "state_ids": {"pdu_ids": known, "auth_chain_ids": known},
        "event_auth": {"auth_chain": [before]},
    }
    if path == "get_missing_events":
        liar.answers("POST", f"{V1}/{path}/", lambda sent: good[path])
    else:
        liar.answers("GET", f"{V1}/{path}/", lambda sent: good[path])
    with errors_logged() as logged:
        while liar.goes_on():
            number = next(_numbers)
            missing = {"events": [await writer.pdu(f"gap {number}", prev=[f"${'x' * 38}{number:05}"])]}
            if path == "event_auth":
                pdu = await writer.pdu(f"{number}", prev=known, auth=[f"${'y' * 38}{number:05}"])
            else:
                pdu = await writer.pdu(f"{number}", prev=[*known, *missing["events"]])
            response = await liar.server.transaction("one.test", [pdu])
            assert (response.status, list(response.json["pdus"])) == (200, [await writer.id_of(pdu)]), liar.what
            assert liar.was_asked
            assert not logged, (liar.what, logged)
            liar.next(3)
