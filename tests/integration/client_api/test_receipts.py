"""Receipts: public, private and threaded; the fully-read marker."""

from typing import Any

import pytest

from tests.support.homeserver import Client, Homeserver, q


async def pair(hs: Homeserver) -> tuple[Client, Client, str]:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    return alice, bob, room


async def post(client: Client, room: str, kind: str, event_id: str, **body: Any) -> Any:
    return await client.ask("POST", f"/rooms/{q(room)}/receipt/{kind}/{q(event_id)}", body)


async def receipts(client: Client, room: str, since: str | None = None) -> dict[str, Any]:
    """The receipts of the room in a sync, by event."""
    answer = await client.get("/sync", since=since)
    joined = answer.get("rooms", {}).get("join", {}).get(room, {})
    events = [one for one in joined.get("ephemeral", {}).get("events", []) if one["type"] == "m.receipt"]
    return dict(events[0]["content"]) if events else {}


async def marker(client: Client, room: str) -> str | None:
    response = await client.ask("GET", f"/user/{q(client.user_id)}/rooms/{q(room)}/account_data/m.fully_read")
    return response.json.get("event_id")


async def test_a_public_receipt_is_seen_by_all(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    event_id = await alice.send(room)
    assert (await post(bob, room, "m.read", event_id)).json == {}
    for reader in (alice, bob):
        (mine,) = (await receipts(reader, room))[event_id]["m.read"].items()
        assert mine[0] == bob.user_id
        assert set(mine[1]) == {"ts"}


async def test_a_private_receipt_is_seen_by_its_user_alone(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    event_id = await alice.send(room)
    assert (await post(bob, room, "m.read.private", event_id)).status == 200
    assert bob.user_id in (await receipts(bob, room))[event_id]["m.read.private"]
    assert event_id not in await receipts(alice, room)


async def test_a_receipt_comes_in_the_next_sync_and_moves_forward_only(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    first, second = await alice.send(room, "one"), await alice.send(room, "two")
    since = (await alice.get("/sync"))["next_batch"]
    await post(bob, room, "m.read", second)
    assert list(await receipts(alice, room, since)) == [second]
    since = (await alice.get("/sync"))["next_batch"]
    assert (await post(bob, room, "m.read", first)).status == 200
    assert await receipts(alice, room, since) == {}
    assert list(await receipts(alice, room)) == [second]


async def test_each_thread_has_a_receipt_of_its_own(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    root = await alice.send(room, "root")
    reply = await alice.send(room, "reply", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    other = await alice.send(room, "beside")
    await post(bob, room, "m.read", reply, thread_id=root)
    await post(bob, room, "m.read", other, thread_id="main")
    found = await receipts(alice, room)
    assert found[reply]["m.read"][bob.user_id]["thread_id"] == root
    assert found[other]["m.read"][bob.user_id]["thread_id"] == "main"
    # One without a thread stands beside them.
    await post(bob, room, "m.read", other)
    again = await receipts(alice, room)
    assert again[reply]["m.read"][bob.user_id]["thread_id"] == root


async def test_a_receipt_without_a_thread_goes_before_that_of_a_thread_at_the_same_event(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    root = await alice.send(room, "root")
    reply = await alice.send(room, "reply", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    since = (await alice.get("/sync"))["next_batch"]
    await post(bob, room, "m.read", reply)
    await post(bob, room, "m.read", reply, thread_id=root)
    for position in (None, since):
        assert "thread_id" not in (await receipts(alice, room, position))[reply]["m.read"][bob.user_id]


async def test_an_event_of_another_thread_is_refused(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    root, other = await alice.send(room, "root"), await alice.send(room, "other")
    reply = await alice.send(room, "reply", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
    response = await post(bob, room, "m.read", reply, thread_id=other)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


@pytest.mark.parametrize("thread_id", ["", 1, None, [], "x" * 256])
async def test_a_thread_must_be_named(hs: Homeserver, thread_id: Any) -> None:
    alice, _, room = await pair(hs)
    response = await post(alice, room, "m.read", await alice.send(room), thread_id=thread_id)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")


async def test_the_fully_read_marker_is_account_data_of_the_room(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    event_id = await alice.send(room)
    since = (await bob.get("/sync"))["next_batch"]
    assert (await post(bob, room, "m.fully_read", event_id)).status == 200
    assert await marker(bob, room) == event_id
    joined = (await bob.get("/sync", since=since))["rooms"]["join"][room]
    assert {"type": "m.fully_read", "content": {"event_id": event_id}} in joined["account_data"]["events"]
    assert await marker(alice, room) is None
    assert await receipts(alice, room) == {}
    assert (await post(bob, room, "m.fully_read", event_id, thread_id="main")).errcode == "M_INVALID_PARAM"


async def test_markers_and_receipts_are_set_together(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    read, private, marked = [await alice.send(room) for _ in range(3)]
    body = {"m.fully_read": marked, "m.read": read, "m.read.private": private}
    assert await bob.ok("POST", f"/rooms/{q(room)}/read_markers", body) == {}
    assert await marker(bob, room) == marked
    found = await receipts(bob, room)
    assert bob.user_id in found[read]["m.read"]
    assert bob.user_id in found[private]["m.read.private"]
    assert await bob.ok("POST", f"/rooms/{q(room)}/read_markers", {}) == {}


async def test_only_who_is_in_the_room_reads_it(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    eve = await hs.register("eve")
    event_id = await alice.send(room)
    for response in (
        await post(eve, room, "m.read", event_id),
        await eve.ask("POST", f"/rooms/{q(room)}/read_markers", {"m.fully_read": event_id}),
    ):
        assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_what_is_no_receipt_is_refused(hs: Homeserver) -> None:
    alice, _, room = await pair(hs)
    elsewhere = await alice.create_room()
    event_id = await alice.send(room)
    assert (await post(alice, room, "m.seen", event_id)).errcode == "M_INVALID_PARAM"
    assert (await post(alice, room, "m.read", "nonsense")).errcode == "M_INVALID_PARAM"
    assert (await post(alice, elsewhere, "m.read", event_id)).errcode == "M_INVALID_PARAM"
    response = await alice.ask("POST", f"/rooms/{q(room)}/read_markers", {"m.read": 1})
    assert (response.status, response.errcode) == (400, "M_BAD_JSON")
    assert (await hs.ask("POST", f"/rooms/{q(room)}/receipt/m.read/{q(event_id)}", {})).errcode == "M_MISSING_TOKEN"
