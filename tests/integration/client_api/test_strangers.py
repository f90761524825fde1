"""Whose room it is not, and who has not the power: 403 M_FORBIDDEN from every route, and nothing has changed."""

from collections.abc import Iterator

import orjson
import pytest
import pytest_twisted

from homeserver.web.router import Access
from tests.support.attacker import Attacker, attacking
from tests.support.endpoints import Endpoint, endpoints_of
from tests.support.furnished import Furnished
from tests.support.homeserver import Client, Homeserver, q

FORBIDDEN = (403, "M_FORBIDDEN")
NOT_FOUND = (404, "M_NOT_FOUND")
# What is not about being in a room: one's own notes on it, and what the directory says of it to anybody.
FREE = ("/account_data/", "/tags", "/room_keys/", "/directory/list/")
# To forget a room that one is not in is to have done it, as with Synapse; and anybody may report one.
FREE_ENDS = ("/forget", "{room_id}/report")


@pytest_twisted.async_yield_fixture
async def world(hs: Homeserver) -> Iterator[Furnished]:
    yield await Furnished.make(hs)


@pytest.fixture
def attacker(hs: Homeserver, world: Furnished) -> Iterator[Attacker]:
    with attacking(hs) as attacker:
        yield attacker


def of_rooms(hs: Homeserver) -> list[Endpoint]:
    """All routes that name a room."""
    return [
        endpoint
        for endpoint in endpoints_of(hs.server.router)
        if {"room_id", "room_id_or_alias"} & set(endpoint.names)
        and endpoint.route.access in (Access.USER, Access.GUEST)
        and not any(word in endpoint.path for word in FREE)
        and not endpoint.path.endswith(FREE_ENDS)
    ]


async def test_who_is_not_in_a_private_room_can_do_nothing_with_it(world: Furnished, attacker: Attacker) -> None:
    await ask_all(world, attacker, world.stranger, allowed=(FORBIDDEN, NOT_FOUND))


async def test_who_has_been_banned_can_do_nothing_with_a_room(world: Furnished, attacker: Attacker) -> None:
    room = q(world.values["room_id"])
    await world.admin.ok("POST", f"/rooms/{room}/ban", {"user_id": world.member.user_id})
    await ask_all(world, attacker, world.member, allowed=(FORBIDDEN, NOT_FOUND), method="PUT POST DELETE")


@pytest.mark.parametrize("room", ["!nowhere:hearth.test", "!nowhere:elsewhere.invalid", "!" + "A" * 43])
async def test_a_room_that_nobody_knows(world: Furnished, attacker: Attacker, room: str) -> None:
    world.values |= {"room_id": room, "room_id_or_alias": room}
    await ask_all(world, attacker, world.stranger, allowed=(FORBIDDEN, NOT_FOUND))


async def ask_all(
    world: Furnished, attacker: Attacker, client: Client, *, allowed: tuple[tuple[int, str], ...], method: str = ""
) -> None:
    for endpoint in of_rooms(world.hs):
        if not method or endpoint.method in method:
            world.values["user_id"] = client.user_id
            body = orjson.dumps(world.good_body(endpoint)) if endpoint.body is not None else None
            response = await attacker.ask(
                endpoint, world.good_url(endpoint), what="asks", body=body, token=client.token
            )
            attacker.expect(f"{endpoint} by {client.user_id}", response, *allowed)
    assert not attacker.faults, "\n".join(attacker.faults)


async def test_a_plain_member_has_no_power(world: Furnished, attacker: Attacker) -> None:
    room, me = f"/rooms/{q(world.values['room_id'])}", world.member.user_id
    other, event = {"user_id": world.admin.user_id}, q(world.values["event_id"])
    for method, path, body in [
        ("POST", f"{room}/kick", other),
        ("POST", f"{room}/ban", other),
        ("POST", f"{room}/unban", {"user_id": world.stranger.user_id}),
        ("POST", f"{room}/upgrade", {"new_version": "12"}),
        ("PUT", f"{room}/redact/{event}/t1", {}),
        ("PUT", f"{room}/state/m.room.name/", {"name": "mine"}),
        ("PUT", f"{room}/state/m.room.power_levels/", {"users": {me: 100}}),
        ("PUT", f"{room}/state/m.room.join_rules/", {"join_rule": "public"}),
        ("PUT", f"{room}/state/m.room.server_acl/", {"allow": ["*"]}),
        ("PUT", f"{room}/state/m.some.type/{q(world.admin.user_id)}", {"a": 1}),
        ("PUT", f"{room}/state/m.room.member/{q(world.admin.user_id)}", {"membership": "leave"}),
        ("PUT", f"{room}/state/m.room.member/{q(world.stranger.user_id)}", {"membership": "join"}),
        ("PUT", f"/directory/list{room.replace('rooms', 'room')}", {"visibility": "public"}),
        ("PUT", f"{room}/typing/{q(world.admin.user_id)}", {"typing": True}),
    ]:
        what = f"{method} {path} {body}"
        response = await attacker.send(method, path, what=what, body=orjson.dumps(body), token=world.member.token)
        attacker.expect(what, response, FORBIDDEN, (403, "M_BAD_STATE"))
    assert not attacker.faults, "\n".join(attacker.faults)
