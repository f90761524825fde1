"""PUT /send_join: the join is in the room, and its server is told all that it needs to be there.

Source: server-server API, "Joining Rooms"; "Checks performed on receipt of a PDU".
"""

from typing import Any

import pytest

from matrix.room_versions import ROOM_VERSIONS
from tests.integration.federation.visiting import V1, Visitor, keys_of
from tests.support.fake_server import FakeServer, event_id_of
from tests.support.homeserver import Client


async def members(alice: Client, room: str) -> set[str]:
    return set((await alice.get(f"/rooms/{room}/joined_members"))["joined"])


@pytest.mark.parametrize("version", ROOM_VERSIONS)
async def test_the_user_is_in_the_room(alice: Client, visitor: Visitor, version: str) -> None:
    visitor.room = await alice.create_room(room_version=version)
    await visitor.join()
    assert await members(alice, visitor.room) == {alice.user_id, visitor.user_id}


async def test_the_answer_has_the_state_before_the_join(alice: Client, visitor: Visitor) -> None:
    answer = await visitor.join()
    keys = keys_of(answer["state"])
    assert ("m.room.member", alice.user_id) in keys
    assert ("m.room.member", visitor.user_id) not in keys
    assert {("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.join_rules", "")} <= keys
    assert answer["members_omitted"] is False
    assert "servers_in_room" not in answer


async def test_the_auth_chain_has_what_the_state_and_the_join_rest_on(alice: Client, visitor: Visitor) -> None:
    visitor.room = await alice.create_room(room_version="11")
    answer = await visitor.join()
    known = {event_id_of(pdu, "11") for pdu in [*answer["auth_chain"], *answer["state"]]}
    for pdu in [*answer["auth_chain"], *answer["state"], answer["event"]]:
        assert set(pdu["auth_events"]) <= known
    chain = {event_id_of(pdu, "11") for pdu in answer["auth_chain"]}
    assert set(answer["event"]["auth_events"]) <= chain
    assert event_id_of(answer["event"], "11") not in chain


async def test_the_answer_has_the_event_itself(visitor: Visitor) -> None:
    pdu = visitor.signed(await visitor.template("join"))
    answer = (await visitor.send("join", pdu)).json
    assert answer["event"] == pdu


async def test_the_first_version_answers_with_a_pair(visitor: Visitor) -> None:
    pdu = visitor.signed(await visitor.template("join"))
    response = await visitor.send("join", pdu, v=V1)
    status, answer = response.json
    assert status == 200
    assert {"state", "auth_chain"} <= answer.keys()


async def test_who_sends_the_join_again_gets_the_same_answer(visitor: Visitor) -> None:
    pdu = visitor.signed(await visitor.template("join"))
    first = (await visitor.send("join", pdu)).json
    again = (await visitor.send("join", pdu)).json
    assert keys_of(first["state"]) == keys_of(again["state"])
    assert again["event"] == pdu


async def test_members_are_left_out_if_they_are_not_wanted(alice: Client, visitor: Visitor) -> None:
    await alice.set_state(visitor.room, "m.room.name", {"name": "A room"})
    answer = await visitor.join(omit_members="true")
    assert answer["members_omitted"] is True
    assert not any(pdu["type"] == "m.room.member" for pdu in answer["state"])
    assert answer["servers_in_room"] == ["one.test"]


async def test_without_members_the_chain_repeats_nothing_of_the_state(visitor: Visitor) -> None:
    answer = await visitor.join(omit_members="true")
    state, chain = ({event_id_of(pdu, "12") for pdu in answer[name]} for name in ("state", "auth_chain"))
    assert not state & chain
    assert all(set(pdu["auth_events"]) <= state | chain for pdu in answer["state"])


async def test_a_room_without_a_name_is_named_by_its_heroes(alice: Client, visitor: Visitor) -> None:
    answer = await visitor.join(omit_members="true")
    shown = {pdu["state_key"] for pdu in answer["state"] if pdu["type"] == "m.room.member"}
    assert shown == {alice.user_id}
    assert answer["members_omitted"] is False
    assert "servers_in_room" not in answer


async def test_a_redacted_event_of_the_state_is_given_redacted(alice: Client, visitor: Visitor) -> None:
    topic = await alice.set_state(visitor.room, "m.room.topic", {"topic": "secret"})
    await alice.ok("PUT", f"/rooms/{visitor.room}/redact/{topic}/r1", {})
    answer = await visitor.join()
    (topic_pdu,) = [pdu for pdu in answer["state"] if pdu["type"] == "m.room.topic"]
    assert topic_pdu["content"] == {}


FAULTS: dict[str, dict[str, Any]] = {
    "another type": {"type": "m.room.message"},
    "no state key": {"state_key": None},
    "another's state key": {"state_key": "@other:two.test"},
    "another membership": {"content": {"membership": "leave"}},
    "no membership": {"content": {}},
    "another room": {"room_id": "!" + "A" * 43},
    "another server's sender": {"sender": "@visitor:three.test", "state_key": "@visitor:three.test"},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_an_event_that_is_no_join_of_the_sender_is_invalid(visitor: Visitor, fault: str) -> None:
    template = await visitor.template("join")
    response = await visitor.send("join", visitor.signed(template, **FAULTS[fault]))
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_an_event_that_is_not_signed_is_invalid(visitor: Visitor) -> None:
    pdu = {**visitor.signed(await visitor.template("join")), "signatures": {}}
    response = await visitor.send("join", pdu)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_an_event_signed_by_another_key_is_invalid(visitor: Visitor) -> None:
    template = await visitor.template("join")
    forger = FakeServer(visitor.server.network, "forger.test")
    signatures = forger.sign_event(template, visitor.version)["signatures"]["forger.test"]
    pdu = {**visitor.signed(template), "signatures": {"two.test": signatures}}
    response = await visitor.send("join", pdu)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_an_event_whose_content_was_changed_after_its_hash_is_invalid(visitor: Visitor) -> None:
    pdu = visitor.signed(await visitor.template("join"))
    pdu = {**pdu, "content": {**pdu["content"], "displayname": "Somebody"}}
    response = await visitor.send("join", pdu)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_the_event_id_of_the_path_must_be_the_events(visitor: Visitor) -> None:
    pdu = visitor.signed(await visitor.template("join"))
    response = await visitor.send("join", pdu, event_id="$" + "A" * 43)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_join_by_the_id_of_another_event_tells_nothing_of_that(
    alice: Client, visitor: Visitor, version: str
) -> None:
    secret = await alice.create_room(preset="private_chat", room_version=version)
    taken = await alice.send(secret)
    visitor.room = await alice.create_room(room_version=version)
    template = await visitor.template("join")
    response = await visitor.send("join", visitor.signed(template, event_id=taken))
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_an_event_of_a_broken_format_is_bad_json(visitor: Visitor) -> None:
    pdu = {**visitor.signed(await visitor.template("join")), "prev_events": "none"}
    response = await visitor.send("join", pdu, event_id="$" + "A" * 43)
    assert (response.status, response.errcode) == (400, "M_BAD_JSON")


async def test_a_join_that_the_room_does_not_allow_is_forbidden(alice: Client, visitor: Visitor) -> None:
    pdu = visitor.signed(await visitor.template("join"))
    await alice.ok("POST", f"/rooms/{visitor.room}/ban", {"user_id": visitor.user_id})
    response = await visitor.send("join", pdu)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert await members(alice, visitor.room) == {alice.user_id}


async def test_a_room_that_nobody_knows_is_not_found(visitor: Visitor) -> None:
    pdu = visitor.signed(await visitor.template("join"))
    response = await visitor.send("join", pdu, room="!" + "B" * 43)
    assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_a_room_of_some_hundred_events_is_streamed_whole(alice: Client, visitor: Visitor) -> None:
    for number in range(520):
        await alice.set_state(visitor.room, "test.many", {"number": number}, str(number))
    answer = await visitor.join()
    assert sum(1 for pdu in answer["state"] if pdu["type"] == "test.many") == 520
