"""Users of ours join rooms of other servers."""

import pytest
from attrs import evolve
from twisted.internet.defer import gatherResults

from federation.outbound.wire import WireAnswer
from homeserver.runtime.clock import as_deferred
from tests.integration.federation.remote_pair import (
    INVITE_ONLY,
    Pair,
    asked,
    has_text,
    join,
    join_rule,
    member,
    pair,
    refused,
    refused_join,
    room_part,
    until_member,
)
from tests.support.federation import Deliver, Sent
from tests.support.homeserver import Client, q

__all__ = ["pair"]


@pytest.mark.parametrize("version", ["1", "2", "3", "6", "9", "10", "11", "12"])
async def test_a_room_of_every_version_is_joined_and_spoken_in_both_ways(pair: Pair, version: str) -> None:
    room = await pair.alice.create_room(room_version=version, name="the lounge")
    await pair.alice.send(room, "before")
    assert await join(pair.bob, room, "one.test") == room
    part = await room_part(pair.bob, "join", room)
    told = {event["type"] for event in [*part["state"]["events"], *part["timeline"]["events"]]}
    assert {"m.room.create", "m.room.name", "m.room.power_levels", "m.room.member"} <= told
    assert (await member(pair.bob, room, pair.alice.user_id))["membership"] == "join"
    await pair.alice.send(room, f"to two {version}")
    await has_text(pair.bob, room, f"to two {version}")
    await pair.bob.send(room, f"to one {version}")
    await has_text(pair.alice, room, f"to one {version}")


async def test_a_room_is_joined_by_an_alias_of_another_server(pair: Pair) -> None:
    room = await pair.alice.create_room(room_alias_name="lounge")
    assert await pair.bob.get("/directory/room/%23lounge:one.test") == {"room_id": room, "servers": ["one.test"]}
    assert await join(pair.bob, "#lounge:one.test") == room
    assert room in (await pair.bob.get("/joined_rooms"))["joined_rooms"]


async def test_the_old_name_of_via_is_understood(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await pair.bob.ok("POST", f"/join/{q(room)}", {}, server_name="one.test")


async def test_the_next_user_joins_without_another_server(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await join(pair.bob, room, "one.test")
    before = asked(pair, "/make_join/")
    await join(pair.carol, room)
    assert asked(pair, "/make_join/") == before
    assert (await member(pair.carol, room, pair.carol.user_id))["membership"] == "join"


async def test_two_who_join_at_once_need_one_handshake(pair: Pair) -> None:
    # Without a name, so that the first is told of all members at once: while some are missing the next must ask.
    room = await pair.alice.create_room()
    before = asked(pair, "/send_join/")
    await gatherResults([as_deferred(join(client, room, "one.test")) for client in (pair.bob, pair.carol)])
    assert asked(pair, "/send_join/") == before + 1
    for client in (pair.bob, pair.carol):
        assert (await member(client, room, client.user_id))["membership"] == "join"


async def test_what_the_client_adds_stands_in_the_event(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await pair.bob.ok("POST", f"/join/{q(room)}", {"reason": "curious"}, via="one.test")
    assert await member(pair.bob, room, pair.bob.user_id) == {
        "membership": "join",
        "displayname": "bob",
        "reason": "curious",
    }


async def test_the_room_says_who_may_not_come_in(pair: Pair) -> None:
    closed = await pair.alice.create_room(**INVITE_ONLY)
    assert await refused_join(pair.bob, closed, "one.test") == (403, "M_FORBIDDEN")
    banned_from = await pair.alice.create_room()
    await pair.alice.ok("POST", f"/rooms/{q(banned_from)}/ban", {"user_id": pair.bob.user_id})
    assert await refused_join(pair.bob, banned_from, "one.test") == (403, "M_FORBIDDEN")


async def test_without_a_server_that_knows_the_room_it_is_not_found(pair: Pair) -> None:
    room = await pair.alice.create_room()
    assert await refused_join(pair.bob, room) == (404, "M_NOT_FOUND")
    assert await refused_join(pair.bob, "!unknown:one.test", "one.test") == (404, "M_NOT_FOUND")
    assert await refused_join(pair.bob, "#unknown:one.test") == (404, "M_NOT_FOUND")
    assert await refused_join(pair.bob, room, "two.test") == (404, "M_NOT_FOUND")


async def test_a_server_that_is_gone_is_passed_over(pair: Pair) -> None:
    room = await pair.alice.create_room()
    assert await refused_join(pair.bob, room, "gone.test") == (502, "M_UNKNOWN")
    assert await refused_join(pair.bob, "#lounge:gone.test") == (502, "M_UNKNOWN")
    await join(pair.bob, room, "gone.test", "one.test")


async def guest_of_two(pair: Pair) -> Client:
    return Client(pair.two, (await pair.two.ask("POST", "/register?kind=guest", {})).json)


async def test_guests_join_rooms_of_other_servers_that_take_guests_and_leave_when_they_do_not(pair: Pair) -> None:
    guest, room = await guest_of_two(pair), await pair.alice.create_room()
    response = await guest.ask("POST", f"/join/{q(room)}", {}, via="one.test")
    assert (response.status, response.errcode) == (403, "M_GUEST_ACCESS_FORBIDDEN")
    assert not [sent for sent in pair.network.sent("/make_join/") if q(guest.user_id) in sent.path]
    other = await pair.alice.create_room()
    await pair.alice.set_state(other, "m.room.guest_access", {"guest_access": "can_join"})
    await join(guest, other, "one.test")
    await guest.send(other, "hello")
    await has_text(pair.alice, other, "hello")
    await pair.alice.set_state(other, "m.room.guest_access", {"guest_access": "forbidden"})
    await until_member(pair.alice, other, guest.user_id, "leave")


async def test_a_server_that_says_wrongly_that_a_room_takes_guests_is_not_believed(pair: Pair) -> None:
    guest, room = await guest_of_two(pair), await pair.alice.create_room()

    async def lie(sent: Sent, deliver: Deliver) -> WireAnswer:
        answer = await deliver()
        if "/hierarchy/" in sent.path:
            answer = evolve(answer, body=answer.body.replace(b'"guest_can_join":false', b'"guest_can_join":true'))
        return answer

    pair.network.on_request = lie
    response = await guest.ask("POST", f"/join/{q(room)}", {}, via="one.test")
    pair.network.on_request = None
    assert (response.status, response.errcode) == (403, "M_GUEST_ACCESS_FORBIDDEN")
    assert [sent for sent in pair.network.sent("/make_join/") if q(guest.user_id) in sent.path]
    await until_member(pair.alice, room, guest.user_id, "leave")


async def test_a_room_that_all_of_ours_have_left_is_joined_anew_by_what_it_is_now(pair: Pair) -> None:
    room = await pair.alice.create_room(name="old")
    await join(pair.bob, room, "one.test")
    await pair.bob.leave(room)
    await pair.alice.set_state(room, "m.room.name", {"name": "new"})
    # The past is still there for who was.
    assert (await pair.bob.get(f"/rooms/{q(room)}/state/m.room.name/"))["name"] == "old"
    # Known from the time when we were there: no server needs to be named.
    await join(pair.bob, room)
    assert (await pair.bob.get(f"/rooms/{q(room)}/state/m.room.name/"))["name"] == "new"
    await pair.alice.send(room, "welcome back")
    await has_text(pair.bob, room, "welcome back")


async def test_a_join_goes_by_the_servers_that_the_client_names_and_no_others(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await join(pair.bob, room, "one.test")
    await pair.bob.leave(room)
    assert await refused_join(pair.bob, room, "gone.test") == (502, "M_UNKNOWN")


async def test_who_was_locked_out_meanwhile_does_not_come_back_by_what_we_knew(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await join(pair.bob, room, "one.test")
    await pair.bob.leave(room)
    await until_member(pair.alice, room, pair.bob.user_id, "leave")
    await pair.alice.set_state(room, "m.room.join_rules", {"join_rule": "invite"})
    assert await refused_join(pair.bob, room) == (403, "M_FORBIDDEN")
    assert await refused_join(pair.carol, room) == (403, "M_FORBIDDEN")


async def test_a_room_that_only_we_were_in_needs_nobody_else(pair: Pair) -> None:
    room = await pair.bob.create_room()
    await pair.bob.leave(room)
    await join(pair.bob, room)


async def test_members_of_the_allowed_room_join_a_restricted_one(pair: Pair) -> None:
    space = await pair.alice.create_room()
    allow = [{"type": "m.room_membership", "room_id": space}]
    room = await pair.alice.create_room(**join_rule("restricted", allow=allow))
    assert await refused_join(pair.bob, room, "one.test") == (403, "M_FORBIDDEN")
    await join(pair.bob, space, "one.test")
    await join(pair.bob, room, "one.test")
    content = await member(pair.bob, room, pair.bob.user_id)
    assert content["join_authorised_via_users_server"] == pair.alice.user_id
    assert await member(pair.alice, room, pair.bob.user_id) == content


async def test_where_nobody_of_ours_may_let_in_another_server_does(pair: Pair) -> None:
    space = await pair.alice.create_room()
    allow = [{"type": "m.room_membership", "room_id": space}]
    levels = {"power_level_content_override": {"invite": 50}}
    room = await pair.alice.create_room(**join_rule("restricted", allow=allow), **levels)
    for client in (pair.bob, pair.carol):
        await join(client, space, "one.test")
    await join(pair.bob, room, "one.test")
    # two.test is in the room now, but bob may not invite.
    await join(pair.carol, room)
    content = await member(pair.carol, room, pair.carol.user_id)
    assert content["join_authorised_via_users_server"] == pair.alice.user_id
    await pair.alice.send(room, "all here")
    await has_text(pair.carol, room, "all here")


async def test_a_left_room_is_no_place_to_act_in(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await join(pair.bob, room, "one.test")
    await pair.bob.leave(room)
    path = f"/rooms/{q(room)}/invite"
    assert await refused(pair.bob, "POST", path, {"user_id": pair.carol.user_id}) == (403, "M_FORBIDDEN")
    assert await refused(pair.bob, "POST", f"/rooms/{q(room)}/upgrade", {"new_version": "12"}) == (403, "M_FORBIDDEN")
    message = await pair.bob.ask("PUT", f"/rooms/{q(room)}/send/m.room.message/left1", {"body": "x"})
    assert (message.status, message.errcode) == (403, "M_FORBIDDEN")
    # Left already: nothing is to be done.
    await pair.bob.leave(room)
    await pair.bob.ok("POST", f"/rooms/{q(room)}/forget", {})
