"""Users of ours knock at rooms of other servers."""

import pytest
from twisted.internet.defer import Deferred

from federation.outbound.wire import WireAnswer
from tests.integration.federation.remote_pair import (
    Pair,
    has_text,
    join,
    join_rule,
    member,
    pair,
    refused,
    room_part,
    until_member,
)
from tests.support.federation import Deliver, Sent
from tests.support.homeserver import Client, q

__all__ = ["pair"]


async def knock(client: Client, room: str, via: str = "one.test", **body: str) -> str:
    return str((await client.ok("POST", f"/knock/{q(room)}", body, via=via))["room_id"])


async def test_a_knock_is_heard_and_answered_with_an_invite(pair: Pair) -> None:
    room = await pair.alice.create_room(**join_rule("knock"), name="den")
    await pair.bob.sync()
    assert await knock(pair.bob, room, reason="please") == room
    assert (await member(pair.alice, room, pair.bob.user_id))["reason"] == "please"
    part = await room_part(pair.bob, "knock", room)
    shown = {event["type"]: event for event in part["knock_state"]["events"]}
    assert shown["m.room.name"]["content"] == {"name": "den"}
    assert shown["m.room.member"]["content"] == {"membership": "knock", "displayname": "bob", "reason": "please"}
    assert room in (await pair.bob.get("/sync"))["rooms"]["knock"]
    await pair.alice.invite(room, pair.bob)
    await room_part(pair.bob, "invite", room)
    assert room not in (await pair.bob.get("/sync"))["rooms"].get("knock", {})
    await join(pair.bob, room)
    assert (await member(pair.alice, room, pair.bob.user_id))["membership"] == "join"


async def test_a_knock_by_an_alias_reaches_the_room(pair: Pair) -> None:
    room = await pair.alice.create_room(**join_rule("knock"), room_alias_name="knockable")
    assert (await pair.bob.ok("POST", "/knock/%23knockable:one.test", {}))["room_id"] == room


async def test_a_knock_is_taken_back(pair: Pair) -> None:
    room = await pair.alice.create_room(**join_rule("knock"))
    await knock(pair.bob, room)
    await room_part(pair.bob, "knock", room)
    await pair.bob.leave(room)
    await room_part(pair.bob, "leave", room)
    assert (await member(pair.alice, room, pair.bob.user_id))["membership"] == "leave"
    await knock(pair.bob, room)


@pytest.mark.parametrize("version", ["7", "10", "11", "12"])
async def test_who_comes_or_goes_with_another_servers_help_says_of_which_server(pair: Pair, version: str) -> None:
    """In the events themselves, which other events need not: PUT /send_join, /send_leave, /send_knock."""
    room = await pair.alice.create_room(**join_rule("knock"), room_version=version)
    await knock(pair.bob, room)
    await pair.bob.leave(room)
    await pair.alice.set_state(room, "m.room.join_rules", {"join_rule": "public"})
    await join(pair.bob, room, "one.test")
    for what in ("send_knock", "send_leave", "send_join"):
        [sent] = [each for each in pair.network.sent(f"/{what}/") if q(room) in each.path]
        assert sent.json["origin"] == "two.test", what
    assert "origin" not in await pair.bob.get(f"/rooms/{q(room)}/event/{sent.path.rpartition('/')[2]}")


async def test_a_knock_that_is_rejected_is_gone(pair: Pair) -> None:
    room = await pair.alice.create_room(**join_rule("knock"))
    await knock(pair.bob, room)
    await room_part(pair.bob, "knock", room)
    await pair.alice.ok("POST", f"/rooms/{q(room)}/kick", {"user_id": pair.bob.user_id})
    await room_part(pair.bob, "leave", room)
    assert room not in (await pair.bob.get("/sync"))["rooms"].get("knock", {})


async def test_a_rejection_that_comes_after_the_next_knock_is_of_the_last_one(pair: Pair) -> None:
    room = await pair.alice.create_room(**join_rule("knock"))
    await knock(pair.bob, room)
    rejected = Deferred[None]()

    async def late(sent: Sent, deliver: Deliver) -> WireAnswer:
        if "/send/" in sent.path and sent.origin == "one.test":
            await rejected
        return await deliver()

    pair.network.on_request = late
    try:
        await pair.alice.ok("POST", f"/rooms/{q(room)}/kick", {"user_id": pair.bob.user_id})
        await knock(pair.bob, room, reason="once more")
    finally:
        pair.network.on_request = None
        rejected.callback(None)
    # What comes after it in the queue has come too.
    marker = await pair.alice.create_room()
    await join(pair.carol, marker, "one.test")
    await pair.alice.send(marker, "the end of the queue")
    await has_text(pair.carol, marker, "the end of the queue")
    assert room in (await pair.bob.get("/sync"))["rooms"]["knock"]


async def test_who_is_banned_while_knocking_hears_of_it(pair: Pair) -> None:
    room = await pair.alice.create_room(**join_rule("knock"))
    await knock(pair.carol, room)
    await room_part(pair.carol, "knock", room)
    await pair.alice.ok("POST", f"/rooms/{q(room)}/ban", {"user_id": pair.carol.user_id})
    await room_part(pair.carol, "leave", room)
    body = {"membership": "ban"}
    assert (await member(pair.alice, room, pair.carol.user_id)) == body
    response = await pair.carol.ask("POST", f"/knock/{q(room)}?via=one.test", {})
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_nobody_knocks_where_it_is_not_allowed(pair: Pair) -> None:
    room = await pair.alice.create_room()
    path = f"/knock/{q(room)}?via=one.test"
    assert await refused(pair.bob, "POST", path, {}) == (403, "M_FORBIDDEN")
    old = await pair.alice.create_room(room_version="6")
    path = f"/knock/{q(old)}?via=one.test"
    assert await refused(pair.bob, "POST", path, {}) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
    assert await refused(pair.bob, "POST", f"/knock/{q(room)}", {}) == (404, "M_NOT_FOUND")
    assert await refused(pair.bob, "POST", f"/knock/{q(room)}?via=gone.test", {}) == (502, "M_UNKNOWN")


async def test_a_knock_at_a_room_that_we_are_in_needs_nobody_else(pair: Pair) -> None:
    room = await pair.alice.create_room(**join_rule("knock"))
    await knock(pair.bob, room)
    await pair.alice.invite(room, pair.bob)
    await join(pair.bob, room)
    await pair.carol.ok("POST", f"/knock/{q(room)}", {})
    await until_member(pair.alice, room, pair.carol.user_id, "knock")
