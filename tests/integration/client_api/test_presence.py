"""Presence: asked for, set, and told by /sync."""

from typing import Any

import pytest

from tests.integration.client_api.test_sync import two_in_a_room
from tests.support.homeserver import Client, Homeserver, q


def told(answer: dict[str, Any]) -> dict[str, str]:
    events = answer.get("presence", {}).get("events", [])
    return {event["sender"]: event["content"]["presence"] for event in events}


async def state_of(reader: Client, user: Client) -> str:
    return str((await reader.get(f"/presence/{user.user_id}/status"))["presence"])


async def test_who_was_never_seen_is_offline(hs: Homeserver) -> None:
    alice, bob, _ = await two_in_a_room(hs)
    assert await state_of(alice, bob) == await state_of(alice, alice) == "offline"


async def test_only_who_shares_a_room_may_ask(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    assert (await alice.ask("GET", f"/presence/{bob.user_id}/status")).status == 403


async def test_a_sync_tells_the_users_own_coming_and_the_next_does_not_wake_of_it(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    assert told(await alice.sync()) == {alice.user_id: "online"}
    assert "presence" not in await alice.sync()


async def test_others_hear_as_what_a_sync_wants_to_be_seen(hs: Homeserver) -> None:
    alice, bob, _ = await two_in_a_room(hs)
    await alice.sync()
    await bob.sync(set_presence="offline")
    await alice.sync(set_presence="unavailable")
    assert told(await bob.sync(set_presence="offline")) == {alice.user_id: "unavailable"}


async def test_a_device_in_use_keeps_its_user_online_though_another_is_idle(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    phone = await hs.log_in("alice")
    await alice.sync()
    await phone.sync(set_presence="unavailable")
    assert await state_of(alice, alice) == "online"
    await alice.sync(set_presence="unavailable")
    assert await state_of(alice, alice) == "unavailable"


async def test_who_joins_hears_of_those_who_are_there(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    await alice.sync()
    await bob.sync()
    room = await alice.create_room()
    await bob.join(room)
    assert told(await bob.sync()) == {alice.user_id: "online"}


async def test_who_is_there_hears_of_who_joins(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.sync()
    await alice.sync()
    await bob.join(room)
    assert told(await alice.sync()) == {bob.user_id: "online"}


async def put(client: Client, presence: Any, **body: Any) -> Any:
    return await client.ask("PUT", f"/presence/{q(client.user_id)}/status", {"presence": presence, **body})


async def test_what_a_user_says_is_what_others_read(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await bob.sync()
    assert (await put(alice, "unavailable", status_msg="At lunch")).json == {}
    status = await bob.get(f"/presence/{q(alice.user_id)}/status")
    assert (status["presence"], status["status_msg"]) == ("unavailable", "At lunch")
    events = (await bob.sync())["presence"]["events"]
    (event,) = [event for event in events if event["sender"] == alice.user_id]
    assert (event["type"], event["content"]["status_msg"]) == ("m.presence", "At lunch")
    assert (await put(alice, "online")).status == 200
    status = await bob.get(f"/presence/{q(alice.user_id)}/status")
    assert (status["presence"], status["currently_active"], "status_msg" in status) == ("online", True, False)


async def test_nobody_speaks_for_another(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    response = await bob.ask("PUT", f"/presence/{q(alice.user_id)}/status", {"presence": "online"})
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({}, "M_MISSING_PARAM"),
        ({"presence": "asleep"}, "M_INVALID_PARAM"),
        ({"presence": 1}, "M_BAD_JSON"),
        ({"presence": "online", "status_msg": []}, "M_BAD_JSON"),
        ({"presence": "online", "status_msg": "x" * 3000}, "M_INVALID_PARAM"),
    ],
)
async def test_what_is_no_presence_is_refused(hs: Homeserver, body: Any, errcode: str) -> None:
    alice = await hs.register("alice")
    response = await alice.ask("PUT", f"/presence/{q(alice.user_id)}/status", body)
    assert (response.status, response.errcode) == (400, errcode)


async def test_where_presence_is_off_nobody_is_seen(start_homeserver: Any) -> None:
    hs = await start_homeserver("presence: {enabled: false}")
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    assert (await put(alice, "online")).status == 200
    assert "presence" not in await bob.sync()
