"""Server access control lists keep servers out, at every door.

Source: server-server API, "Server Access Control Lists (ACLs)".
"""

from typing import Any

import pytest

from tests.integration.federation.visiting import V1, V2, Visitor
from tests.support.fake_server import event_id_of
from tests.support.homeserver import Client, q

BANNED = {"allow": ["*"], "deny": ["two.test"], "allow_ip_literals": False}


async def ban(alice: Client, room: str, content: Any = None) -> None:
    await alice.set_state(room, "m.room.server_acl", BANNED if content is None else content)


def reading(room: str, event_id: str) -> list[str]:
    room, event_id = q(room), q(event_id)
    return [
        f"/state/{room}?event_id={event_id}",
        f"/state_ids/{room}?event_id={event_id}",
        f"/backfill/{room}?limit=1&v={event_id}",
        f"/event_auth/{room}/{event_id}",
        f"/event/{event_id}",
        f"/timestamp_to_event/{room}?ts=1&dir=f",
    ]


@pytest.mark.parametrize("what", ["join", "leave", "knock"])
async def test_who_is_banned_gets_no_template(alice: Client, visitor: Visitor, what: str) -> None:
    await ban(alice, visitor.room)
    response = await visitor.make(what)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert "banned" in response.json["error"]


async def test_who_is_banned_cannot_send_a_join(alice: Client, visitor: Visitor) -> None:
    pdu = visitor.signed(await visitor.template("join"))
    await ban(alice, visitor.room)
    response = await visitor.send("join", pdu)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_who_is_banned_cannot_send_a_leave(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    pdu = visitor.signed(await visitor.template("leave"))
    await ban(alice, visitor.room)
    response = await visitor.send("leave", pdu)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_who_is_banned_cannot_send_a_knock(alice: Client, visitor: Visitor) -> None:
    await alice.set_state(visitor.room, "m.room.join_rules", {"join_rule": "knock"})
    pdu = visitor.signed(await visitor.template("knock"))
    await ban(alice, visitor.room)
    response = await visitor.send("knock", pdu, v=V1)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("v", [V1, V2])
async def test_who_is_banned_invites_nobody(alice: Client, visitor: Visitor, v: str) -> None:
    # The first version of inviting is for the first versions of rooms.
    visitor.room = await alice.create_room(room_version="1" if v == V1 else "12")
    await visitor.join()
    event = visitor.signed(
        {
            **({"event_id": "$invite:two.test"} if v == V1 else {}),
            "type": "m.room.member",
            "sender": visitor.user_id,
            "state_key": "@alice:one.test",
            "room_id": visitor.room,
            "content": {"membership": "invite"},
            "depth": 9,
            "origin_server_ts": 1,
            "prev_events": [],
            "auth_events": [],
        }
    )
    await ban(alice, visitor.room)
    path = f"{v}/invite/{q(visitor.room)}/{q(event_id_of(event, visitor.version))}"
    body = event if v == V1 else {"event": event, "room_version": visitor.version, "invite_room_state": []}
    response = await visitor.server.ask("one.test", "PUT", path, body)
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_who_is_banned_reads_nothing(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    event_id = await alice.send(visitor.room)
    for path in reading(visitor.room, event_id):
        assert (await visitor.get(path)).status == 200, path
    await ban(alice, visitor.room)
    for path in reading(visitor.room, event_id):
        response = await visitor.get(path)
        assert (response.status, response.errcode) == (403, "M_FORBIDDEN"), path
    body = {"latest_events": [event_id], "earliest_events": []}
    assert (await visitor.post(f"/get_missing_events/{q(visitor.room)}", body)).status == 403


async def test_a_list_that_changes_is_followed(alice: Client, visitor: Visitor) -> None:
    for content, status in [(BANNED, 403), ({"allow": ["*"]}, 200), ({"allow": ["one.test"]}, 403)]:
        await ban(alice, visitor.room, content)
        assert (await visitor.make("join")).status == status


async def test_the_list_of_one_room_says_nothing_of_another(alice: Client, visitor: Visitor) -> None:
    await ban(alice, await alice.create_room())
    assert (await visitor.make("join")).status == 200
