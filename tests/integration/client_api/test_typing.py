"""Typing notifications."""

from typing import Any

import pytest

from tests.support.homeserver import Client, Homeserver, q


async def pair(hs: Homeserver) -> tuple[Client, Client, str]:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await alice.sync()
    return alice, bob, room


async def put(client: Client, room: str, typing: Any = True, **body: Any) -> Any:
    return await client.ask("PUT", f"/rooms/{q(room)}/typing/{q(client.user_id)}", {"typing": typing, **body})


async def typing_users(client: Client, room: str) -> list[str] | None:
    """Who types, by the next sync; None if it says nothing."""
    joined = (await client.sync()).get("rooms", {}).get("join", {}).get(room, {})
    events = [one for one in joined.get("ephemeral", {}).get("events", []) if one["type"] == "m.typing"]
    return None if not events else list(events[0]["content"]["user_ids"])


async def test_others_see_who_types_until_they_stop(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    assert (await put(bob, room, timeout=30_000)).json == {}
    assert await typing_users(alice, room) == [bob.user_id]
    assert await typing_users(alice, room) is None
    assert (await put(bob, room, False)).status == 200
    assert await typing_users(alice, room) == []


async def test_whoever_has_sent_the_message_types_no_more(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    await put(bob, room)
    assert await typing_users(alice, room) == [bob.user_id]
    await bob.send(room)
    while (users := await typing_users(alice, room)) is None:
        await hs.core.clock.sleep(0)
    assert users == []


async def test_it_ends_after_its_time(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    await put(bob, room, timeout=1)
    seen = []
    while not seen or seen[-1]:
        users = await typing_users(alice, room)
        if users is not None:
            seen.append(users)
        await hs.core.clock.sleep(0)
    assert seen[-1] == []


async def test_several_type_at_once(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    carol = await hs.register("carol")
    await carol.join(room)
    await put(bob, room)
    await put(carol, room)
    assert sorted(await typing_users(alice, room) or []) == [bob.user_id, carol.user_id]


async def test_nobody_types_for_another_or_where_they_are_not(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    eve = await hs.register("eve")
    response = await bob.ask("PUT", f"/rooms/{q(room)}/typing/{q(alice.user_id)}", {"typing": True})
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")
    assert (await put(eve, room)).status == 403


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"typing": "true"}, "M_BAD_JSON"),
        ({"typing": True, "timeout": "1"}, "M_BAD_JSON"),
        ({"typing": True, "timeout": -1}, "M_INVALID_PARAM"),
    ],
)
async def test_what_says_nothing_is_refused(hs: Homeserver, body: Any, errcode: str) -> None:
    _, bob, room = await pair(hs)
    response = await bob.ask("PUT", f"/rooms/{q(room)}/typing/{q(bob.user_id)}", body)
    assert (response.status, response.errcode) == (400, errcode)
