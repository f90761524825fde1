"""GET /rooms/{roomId}/threads, by the chapter "Querying threads in a room"."""

from typing import Any

import pytest

from tests.support.homeserver import Client, Homeserver, q


async def threads(client: Client, room: str, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = await client.get(f"/_matrix/client/v1/rooms/{q(room)}/threads", **query)
    return found


async def reply(client: Client, room: str, root: str, body: str = "reply") -> str:
    return await client.send(room, body, **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})


def ids(page: dict[str, Any]) -> list[str]:
    return [event["event_id"] for event in page["chunk"]]


async def pair(hs: Homeserver) -> tuple[Client, Client, str]:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    return alice, bob, room


async def test_threads_are_ordered_by_their_latest_event(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    roots = [await alice.send(room, f"root {number}") for number in range(3)]
    for root in (roots[2], roots[0], roots[1], roots[0]):
        await reply(bob, room, root)
    page = await threads(alice, room)
    assert ids(page) == [roots[0], roots[1], roots[2]]
    assert [event["unsigned"]["m.relations"]["m.thread"]["count"] for event in page["chunk"]] == [2, 1, 1]
    assert "next_batch" not in page


async def test_pages_of_threads_give_each_once(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    roots = [await alice.send(room, f"root {number}") for number in range(5)]
    for root in (*roots, *roots[::-1]):
        await reply(bob, room, root)
    for limit in (1, 2, 5):
        page = await threads(alice, room, limit=limit)
        found = ids(page)
        while "next_batch" in page:
            page = await threads(alice, room, limit=limit, **{"from": page["next_batch"]})
            found += ids(page)
        assert found == roots


async def test_threads_can_be_those_that_the_reader_is_in(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    carol = await hs.register("carol")
    await carol.join(room)
    hers, his = await alice.send(room, "alice's"), await bob.send(room, "bob's")
    for root in (hers, his):
        await reply(carol, room, root)
    await reply(alice, room, his)
    assert ids(await threads(bob, room, include="participated")) == [his]
    assert ids(await threads(alice, room, include="participated")) == [his, hers]
    assert ids(await threads(carol, room, include="all")) == [his, hers]


async def test_a_redacted_reply_takes_its_thread_along(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    first, second = await alice.send(room, "first"), await alice.send(room, "second")
    await reply(bob, room, first)
    await reply(bob, room, second)
    newest, only = await reply(bob, room, first), await reply(bob, room, second)
    await bob.ok("PUT", f"/rooms/{q(room)}/redact/{q(only)}/1", {})
    assert ids(await threads(alice, room)) == [first, second]
    await bob.ok("PUT", f"/rooms/{q(room)}/redact/{q(newest)}/2", {})
    assert ids(await threads(alice, room)) == [second, first]


async def test_the_root_of_an_ignored_user_is_shown_redacted(hs: Homeserver) -> None:
    alice, bob, room = await pair(hs)
    root, silent = await bob.send(room, "noise"), await alice.send(room, "only bob answers")
    await reply(alice, room, root)
    await reply(bob, room, silent)
    path = f"/user/{q(alice.user_id)}/account_data/m.ignored_user_list"
    await alice.ok("PUT", path, {"ignored_users": {bob.user_id: {}}})
    page = await threads(alice, room)
    assert [(event["event_id"], event["content"]) for event in page["chunk"]] == [(root, {})]
    told = await alice.at(hs).get(f"/_matrix/client/v1/rooms/{q(room)}/threads")
    assert told["chunk"][0]["content"] == {}
    assert (await threads(bob, room))["chunk"][1]["content"]["body"] == "noise"


async def test_roots_that_the_reader_may_not_see_are_left_out(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    state = {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
    room = await alice.create_room(initial_state=[state])
    hidden = await alice.send(room, "hidden")
    bob = await hs.register("bob")
    await bob.join(room)
    shown = await alice.send(room, "shown")
    for root in (hidden, shown):
        await reply(alice, room, root)
    assert ids(await threads(bob, room)) == [shown]


async def test_strangers_are_refused(hs: Homeserver) -> None:
    _, _, room = await pair(hs)
    carol = await hs.register("carol")
    response = await carol.ask("GET", f"/_matrix/client/v1/rooms/{q(room)}/threads")
    assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("query", [{"from": "x"}, {"include": "some"}, {"limit": "0"}, {"limit": "-1"}])
async def test_a_bad_parameter_is_refused(hs: Homeserver, query: dict[str, str]) -> None:
    alice, _, room = await pair(hs)
    response = await alice.ask("GET", f"/_matrix/client/v1/rooms/{q(room)}/threads", **query)
    assert (response.status, response.errcode) == (400, "M_INVALID_PARAM")
