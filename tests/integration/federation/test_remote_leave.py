"""Users of ours leave rooms of other servers, and what is left of them."""

from tests.integration.federation.handmade_room import V1, HandmadeRoom
from tests.integration.federation.remote_pair import (
    INVITE_ONLY,
    Pair,
    has_text,
    join,
    member,
    pair,
    refused,
    room_part,
    sync_until,
    until_member,
)
from tests.support.fake_server import FakeServer
from tests.support.homeserver import q

__all__ = ["pair"]


async def test_leaving_is_told_to_the_others(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await join(pair.bob, room, "one.test")
    await pair.bob.sync()
    await pair.bob.ok("POST", f"/rooms/{q(room)}/leave", {"reason": "tired"})
    await until_member(pair.alice, room, pair.bob.user_id, "leave")
    assert (await member(pair.alice, room, pair.bob.user_id))["reason"] == "tired"
    await room_part(pair.bob, "leave", room)


async def test_who_is_kicked_by_another_server_is_out(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await join(pair.bob, room, "one.test")
    await pair.bob.sync()
    await pair.alice.ok("POST", f"/rooms/{q(room)}/kick", {"user_id": pair.bob.user_id})
    await room_part(pair.bob, "leave", room)
    assert room not in (await pair.bob.get("/joined_rooms"))["joined_rooms"]


async def test_the_past_can_be_read_by_who_was_there(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await join(pair.bob, room, "one.test")
    await pair.alice.send(room, "for bob")
    await has_text(pair.bob, room, "for bob")
    await pair.bob.leave(room)
    await pair.alice.send(room, "not for bob")
    page = await pair.bob.get(f"/rooms/{q(room)}/messages", dir="b", limit=50)
    texts = [event["content"].get("body") for event in page["chunk"]]
    assert "for bob" in texts and "not for bob" not in texts
    assert (await pair.bob.get(f"/rooms/{q(room)}/members"))["chunk"]
    assert await refused(pair.carol, "GET", f"/rooms/{q(room)}/state") == (403, "M_FORBIDDEN")


async def test_nobody_leaves_a_room_that_they_have_nothing_to_do_with(pair: Pair) -> None:
    room = await pair.alice.create_room()
    assert await refused(pair.carol, "POST", f"/rooms/{q(room)}/leave", {}) == (404, "M_NOT_FOUND")


async def test_an_invite_that_the_room_forgot_can_be_rejected(pair: Pair) -> None:
    """Whoever else of ours came into the room brought a state in which the invite is not."""
    evil = FakeServer(pair.network, "evil.test")
    room = HandmadeRoom(evil)
    response = await room.send_invite("two.test", room.invite(pair.bob.user_id))
    assert response.status == 200, response
    assert "two.test" in response.json["event"]["signatures"]
    await room_part(pair.bob, "invite", room.room)
    await join(pair.carol, room.room, "evil.test")
    assert room.room in (await pair.bob.get("/sync"))["rooms"]["invite"]
    await pair.bob.leave(room.room)
    await room_part(pair.bob, "leave", room.room)
    assert room.room not in (await pair.bob.get("/sync")).get("rooms", {}).get("invite", {})


async def test_a_leave_that_the_other_server_refuses_holds_for_us(pair: Pair) -> None:
    room = await pair.alice.create_room(**INVITE_ONLY)
    await pair.alice.invite(room, pair.bob)
    await room_part(pair.bob, "invite", room)
    evil = FakeServer(pair.network, "evil.test")
    # The inviter's server is cut off, and answers nothing.
    pair.network.cut("one.test", "two.test")
    evil.answers("GET", f"{V1}/make_leave/", lambda sent: (403, {"errcode": "M_FORBIDDEN", "error": "stay"}))
    try:
        await pair.bob.leave(room)
    finally:
        pair.network.mend("one.test", "two.test")
    await room_part(pair.bob, "leave", room)


async def test_only_who_invited_takes_an_invite_back(pair: Pair) -> None:
    evil = FakeServer(pair.network, "evil.test")
    room = await pair.alice.create_room(**INVITE_ONLY, room_version="10")
    await pair.alice.invite(room, pair.bob)
    await room_part(pair.bob, "invite", room)
    leave = evil.pdu(
        "10",
        type="m.room.member",
        sender=evil.user("eve"),
        state_key=pair.bob.user_id,
        content={"membership": "leave"},
        room_id=room,
        depth=99,
    )
    assert (await evil.transaction("two.test", pdus=[leave])).status == 200
    marker = await pair.bob.create_room()
    answer = await sync_until(pair.bob, lambda answer: marker in answer.get("rooms", {}).get("join", {}))
    assert room not in answer["rooms"].get("leave", {})
    assert room in (await pair.bob.get("/sync"))["rooms"]["invite"]


async def test_a_deactivated_user_leaves_what_they_were_invited_to(pair: Pair) -> None:
    dave = await pair.two.register("dave")
    room, other = await pair.alice.create_room(**INVITE_ONLY), await pair.alice.create_room()
    await pair.alice.invite(room, dave)
    await join(dave, other, "one.test")
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "dave"}}
    password = {"password": "correct horse battery staple"}
    await dave.ok("POST", "/account/deactivate", {"auth": {**auth, **password}})
    for one in (room, other):
        await until_member(pair.alice, one, dave.user_id, "leave")
