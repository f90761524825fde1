"""GET /rooms/{roomId}/members and /joined_members."""

from typing import Any

from tests.support.homeserver import Client, Homeserver, q


async def memberships(client: Client, room: str, **query: Any) -> dict[str, str]:
    chunk = (await client.get(f"/rooms/{q(room)}/members", **query))["chunk"]
    return {event["state_key"]: event["content"]["membership"] for event in chunk}


async def furnished(hs: Homeserver) -> tuple[Client, Client, Client, str]:
    """Alice's room: Bob has joined, Carol is invited."""
    alice, bob, carol = [await hs.register(name) for name in ("alice", "bob", "carol")]
    room = await alice.create_room(invite=[carol])
    await bob.join(room)
    return alice, bob, carol, room


async def test_all_members_are_listed_as_events(hs: Homeserver) -> None:
    alice, bob, carol, room = await furnished(hs)
    assert await memberships(bob, room) == {alice.user_id: "join", bob.user_id: "join", carol.user_id: "invite"}
    event = (await bob.get(f"/rooms/{q(room)}/members"))["chunk"][0]
    assert {"event_id", "room_id", "sender", "origin_server_ts", "state_key", "type", "unsigned"} <= set(event)


async def test_members_are_chosen_by_membership(hs: Homeserver) -> None:
    alice, bob, carol, room = await furnished(hs)
    assert await memberships(bob, room, membership="invite") == {carol.user_id: "invite"}
    assert set(await memberships(bob, room, not_membership="invite")) == {alice.user_id, bob.user_id}
    assert set(await memberships(bob, room, membership="invite", not_membership="join")) == {carol.user_id}
    assert len(await memberships(bob, room, membership="join", not_membership="leave")) == 3
    response = await bob.ask("GET", f"/rooms/{q(room)}/members", membership="nonsense")
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_members_at_a_token_are_those_of_that_time(hs: Homeserver) -> None:
    alice, bob, _, room = await furnished(hs)
    await alice.sync()
    before = alice.since
    await bob.leave(room)
    assert (await memberships(alice, room, at=before))[bob.user_id] == "join"
    assert (await memberships(alice, room))[bob.user_id] == "leave"
    part = (await alice.sync())["rooms"]["join"][room]["timeline"]
    assert (await memberships(alice, room, at=part["prev_batch"]))[bob.user_id] == "join"
    assert (await memberships(alice, room, at=alice.since))[bob.user_id] == "leave"
    assert (await alice.ask("GET", f"/rooms/{q(room)}/members", at="nonsense")).errcode == "M_INVALID_PARAM"


async def test_who_has_left_sees_the_members_of_then(hs: Homeserver) -> None:
    alice, bob, carol, room = await furnished(hs)
    await bob.leave(room)
    await carol.join(room)
    assert await memberships(bob, room) == {alice.user_id: "join", bob.user_id: "leave", carol.user_id: "invite"}
    await alice.sync()
    assert (await memberships(bob, room, at=alice.since))[carol.user_id] == "invite"


async def test_at_the_beginning_of_a_room_its_creator_is_there(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    before = (await alice.sync())["rooms"]["join"][room]["timeline"]["prev_batch"]
    await bob.join(room)
    assert await memberships(alice, room, at=before) == {alice.user_id: "join"}


async def test_strangers_and_the_invited_are_refused(hs: Homeserver) -> None:
    _, _, carol, room = await furnished(hs)
    dave = await hs.register("dave")
    for client in (carol, dave):
        for path in ("members", "joined_members"):
            response = await client.ask("GET", f"/rooms/{q(room)}/{path}")
            assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_joined_members_are_given_with_their_profiles(hs: Homeserver) -> None:
    alice, bob, _, room = await furnished(hs)
    content = {"membership": "join", "displayname": "Bob B.", "avatar_url": "mxc://hearth.test/b"}
    await bob.set_state(room, "m.room.member", content, bob.user_id)
    joined = (await alice.get(f"/rooms/{q(room)}/joined_members"))["joined"]
    assert set(joined) == {alice.user_id, bob.user_id}
    assert joined[bob.user_id] == {"display_name": "Bob B.", "avatar_url": "mxc://hearth.test/b"}


async def test_who_has_no_avatar_has_null(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    joined = (await alice.get(f"/rooms/{q(room)}/joined_members"))["joined"]
    assert joined[alice.user_id]["avatar_url"] is None


async def test_who_has_left_does_not_hear_who_is_joined(hs: Homeserver) -> None:
    _, bob, _, room = await furnished(hs)
    await bob.leave(room)
    assert (await bob.ask("GET", f"/rooms/{q(room)}/joined_members")).status == 403
