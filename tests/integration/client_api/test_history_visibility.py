"""Who sees what of a room's history, by the chapters "Room History Visibility" and "Room Previews"."""

from typing import Any

import pytest

from tests.support.homeserver import Client, Homeserver, q

VISIBILITY = "m.room.history_visibility"


async def room_of(alice: Client, visibility: str, **body: Any) -> str:
    state = {"type": VISIBILITY, "state_key": "", "content": {"history_visibility": visibility}}
    return await alice.create_room(initial_state=[state], **body)


async def bodies(client: Client, room: str) -> list[str]:
    page = await client.get(f"/rooms/{q(room)}/messages", dir="f", limit=100)
    return [event["content"].get("body") for event in page["chunk"] if event["type"] == "m.room.message"]


@pytest.mark.parametrize(
    ("visibility", "seen"),
    [
        ("world_readable", ["early", "invited", "joined"]),
        ("shared", ["early", "invited", "joined"]),
        ("invited", ["invited", "joined"]),
        ("joined", ["joined"]),
        ("nonsense", ["early", "invited", "joined"]),
    ],
)
async def test_a_newcomer_sees_what_the_setting_allows(hs: Homeserver, visibility: str, seen: list[str]) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_of(alice, visibility)
    early = await alice.send(room, "early")
    await alice.invite(room, bob)
    await alice.send(room, "invited")
    await bob.join(room)
    await alice.send(room, "joined")
    assert await bodies(bob, room) == seen
    assert (await bob.ask("GET", f"/rooms/{q(room)}/event/{q(early)}")).status == (200 if "early" in seen else 404)
    last = (await bob.get(f"/rooms/{q(room)}/messages", dir="f", limit=100))["chunk"][-1]
    around = await bob.get(f"/rooms/{q(room)}/context/{q(last['event_id'])}", limit=40)
    told = [event["content"]["body"] for event in around["events_before"] if event["type"] == "m.room.message"]
    assert told == seen[:-1][::-1]


async def test_the_setting_of_the_time_counts_not_that_of_today(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_of(alice, "joined")
    await alice.send(room, "closed")
    await alice.set_state(room, VISIBILITY, {"history_visibility": "shared"})
    await alice.send(room, "open")
    await bob.join(room)
    assert await bodies(bob, room) == ["open"]


async def test_what_happened_between_two_stays_is_not_seen(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_of(alice, "joined")
    await bob.join(room)
    await alice.send(room, "first stay")
    await bob.leave(room)
    await alice.send(room, "away")
    await bob.join(room)
    await alice.send(room, "second stay")
    assert await bodies(bob, room) == ["first stay", "second stay"]


async def test_anyone_may_look_into_a_world_readable_room(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    response = await hs.ask("POST", "/register", {}, kind="guest")
    guest = Client(hs, response.json)
    room = await room_of(alice, "world_readable")
    event_id = await alice.send(room, "for all")
    for client in (bob, guest):
        assert await bodies(client, room) == ["for all"]
        assert (await client.get(f"/rooms/{q(room)}/event/{q(event_id)}"))["content"]["body"] == "for all"
        assert (await client.get(f"/rooms/{q(room)}/context/{q(event_id)}"))["event"]["event_id"] == event_id
        assert [one["state_key"] for one in (await client.get(f"/rooms/{q(room)}/members"))["chunk"]] == [alice.user_id]


async def test_a_looker_on_sees_only_the_world_readable_part(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_of(alice, "shared")
    await alice.send(room, "among us")
    await alice.set_state(room, VISIBILITY, {"history_visibility": "world_readable"})
    await alice.send(room, "for all")
    assert await bodies(bob, room) == ["for all"]
    await alice.set_state(room, VISIBILITY, {"history_visibility": "shared"})
    assert (await bob.ask("GET", f"/rooms/{q(room)}/messages", dir="b")).status == 403


async def test_who_is_banned_keeps_what_was_seen(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_of(alice, "shared")
    await bob.join(room)
    await alice.send(room, "seen")
    await alice.ok("POST", f"/rooms/{q(room)}/ban", {"user_id": bob.user_id})
    await alice.send(room, "unseen")
    assert await bodies(bob, room) == ["seen"]


async def test_who_declined_an_invite_sees_nothing(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await room_of(alice, "invited", invite=[bob])
    await alice.send(room, "for the invited")
    assert (await bob.ask("GET", f"/rooms/{q(room)}/messages", dir="b")).status == 403
    await bob.leave(room)
    assert (await bob.ask("GET", f"/rooms/{q(room)}/messages", dir="b")).status == 403
