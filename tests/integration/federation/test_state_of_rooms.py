"""GET /state, /state_ids and /event_auth: what was so at an event, and why.

Source: server-server API, "Retrieving events".
"""

from typing import Any

import pytest

from tests.integration.federation.visiting import Visitor
from tests.support.fake_server import event_id_of
from tests.support.homeserver import Client, q


async def state(visitor: Visitor, event_id: str) -> Any:
    return await visitor.ok(f"/state/{q(visitor.room)}", event_id=event_id)


async def state_ids(visitor: Visitor, event_id: str) -> Any:
    return await visitor.ok(f"/state_ids/{q(visitor.room)}", event_id=event_id)


def name_in(pdus: list[Any]) -> str | None:
    return next((pdu["content"]["name"] for pdu in pdus if pdu["type"] == "m.room.name"), None)


async def test_the_state_is_that_before_the_event(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    first = await alice.set_state(visitor.room, "m.room.name", {"name": "first"})
    second = await alice.set_state(visitor.room, "m.room.name", {"name": "second"})
    message = await alice.send(visitor.room)
    names = [name_in((await state(visitor, event_id))["pdus"]) for event_id in (first, second, message)]
    assert names == [None, "first", "second"]


async def test_before_the_create_event_there_is_none(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    create = "$" + visitor.room[1:]
    assert await state(visitor, create) == {"auth_chain": [], "pdus": []}


@pytest.mark.parametrize("version", ["1", "3", "11", "12"])
async def test_the_ids_are_those_of_the_events(alice: Client, visitor: Visitor, version: str) -> None:
    visitor.room = await alice.create_room(room_version=version)
    await visitor.join()
    event_id = await alice.send(visitor.room)
    whole, by_id = await state(visitor, event_id), await state_ids(visitor, event_id)
    for name, ids_name in (("pdus", "pdu_ids"), ("auth_chain", "auth_chain_ids")):
        assert sorted(event_id_of(pdu, version) for pdu in whole[name]) == sorted(by_id[ids_name])
    assert len(by_id["pdu_ids"]) == len(set(by_id["pdu_ids"]))


async def test_the_auth_chain_is_whole(alice: Client, visitor: Visitor) -> None:
    visitor.room = await alice.create_room(room_version="11")
    await visitor.join()
    whole = await state(visitor, await alice.send(visitor.room))
    chain = {event_id_of(pdu, "11") for pdu in whole["auth_chain"]}
    for pdu in [*whole["pdus"], *whole["auth_chain"]]:
        assert set(pdu["auth_events"]) <= chain


async def test_the_auth_chain_of_an_event_is_all_that_it_rests_on(alice: Client, visitor: Visitor) -> None:
    visitor.room = await alice.create_room(room_version="11")
    await visitor.join()
    event_id = await alice.send(visitor.room)
    chain = (await visitor.ok(f"/event_auth/{q(visitor.room)}/{q(event_id)}"))["auth_chain"]
    assert {pdu["type"] for pdu in chain} == {"m.room.create", "m.room.member", "m.room.power_levels"}
    assert event_id not in {event_id_of(pdu, "11") for pdu in chain}


async def test_an_event_that_nobody_knows_is_not_found(visitor: Visitor) -> None:
    await visitor.join()
    unknown, room = "$" + "A" * 43, q(visitor.room)
    paths = [f"/state/{room}?event_id={q(unknown)}", f"/state_ids/{room}?event_id={q(unknown)}"]
    for path in [*paths, f"/event_auth/{room}/{q(unknown)}"]:
        response = await visitor.get(path)
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_an_event_of_another_room_is_not_found(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    secret, room = q(await alice.send(await alice.create_room(preset="private_chat"))), q(visitor.room)
    paths = [f"/state/{room}?event_id={secret}", f"/state_ids/{room}?event_id={secret}", f"/event_auth/{room}/{secret}"]
    for path in paths:
        response = await visitor.get(path)
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND")


async def test_the_question_must_name_an_event(visitor: Visitor) -> None:
    await visitor.join()
    for path in ("state", "state_ids"):
        response = await visitor.get(f"/{path}/{q(visitor.room)}")
        assert (response.status, response.errcode) == (400, "M_MISSING_PARAM")


async def test_a_redacted_event_is_given_redacted(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    topic = await alice.set_state(visitor.room, "m.room.topic", {"topic": "a mistake"})
    await alice.ok("PUT", f"/rooms/{q(visitor.room)}/redact/{q(topic)}/r1", {})
    whole = await state(visitor, await alice.send(visitor.room))
    (pdu,) = [pdu for pdu in whole["pdus"] if pdu["type"] == "m.room.topic"]
    assert pdu["content"] == {}
    assert event_id_of(pdu, "12") == topic
