"""The room directory."""

from typing import Any

from tests.support.homeserver import Client, Homeserver, q


async def refused(client: Client, method: str, path: str, json: Any = None) -> tuple[int, str | None]:
    response = await client.ask(method, path, json)
    return response.status, response.errcode


def visibility(room: str) -> str:
    return f"/directory/list/room/{q(room)}"


async def names(client: Client, **body: Any) -> list[str]:
    chunk = (await client.ok("POST", "/publicRooms", body))["chunk"]
    return [room.get("name", "") for room in chunk]


async def test_a_published_room_is_described(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(visibility="public", room_alias_name="pub", name="The Pub", topic="Beer")
    await alice.set_state(room, "m.room.avatar", {"url": "mxc://hearth.test/a"})
    assert await alice.get("/publicRooms") == {
        "chunk": [
            {
                "room_id": room,
                "name": "The Pub",
                "topic": "Beer",
                "canonical_alias": "#pub:hearth.test",
                "avatar_url": "mxc://hearth.test/a",
                "num_joined_members": 1,
                "world_readable": False,
                "guest_can_join": False,
                "join_rule": "public",
            }
        ],
        "total_room_count_estimate": 1,
    }


async def test_a_room_is_published_and_withdrawn(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(name="Pub")
    await bob.join(room)
    assert await names(alice) == []
    assert (await hs.ask("GET", visibility(room))).json == {"visibility": "private"}
    assert await refused(bob, "PUT", visibility(room), {"visibility": "public"}) == (403, "M_FORBIDDEN")
    assert await refused(alice, "PUT", visibility(room), {"visibility": "both"}) == (400, "M_INVALID_PARAM")
    assert await refused(alice, "PUT", visibility("!none:hearth.test"), {}) == (404, "M_NOT_FOUND")
    assert await refused(alice, "GET", visibility("!none:hearth.test")) == (404, "M_NOT_FOUND")
    await alice.ok("PUT", visibility(room), {})
    assert await names(bob) == ["Pub"]
    assert (await hs.ask("GET", visibility(room))).json == {"visibility": "public"}
    await alice.ok("PUT", visibility(room), {"visibility": "private"})
    assert await names(bob) == []


async def test_the_list_is_true_after_every_change(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    small = await alice.create_room(visibility="public", name="small")
    large = await alice.create_room(visibility="public", name="large")
    await bob.join(large)
    assert await names(alice) == ["large", "small"]
    await alice.set_state(small, "m.room.name", {"name": "grown"})
    await bob.join(small)
    await bob.leave(large)
    rooms = (await alice.get("/publicRooms"))["chunk"]
    assert [(room["name"], room["num_joined_members"]) for room in rooms] == [("grown", 2), ("large", 1)]


async def test_the_list_comes_in_pages_both_ways(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    made = {await alice.create_room(visibility="public") for _ in range(5)}
    pages, since = [], None
    while True:
        page = await alice.ok("POST", "/publicRooms", {"limit": 2, "since": since})
        pages.append(page)
        since = page.get("next_batch")
        if since is None:
            break
    assert [len(page["chunk"]) for page in pages] == [2, 2, 1]
    assert {room["room_id"] for page in pages for room in page["chunk"]} == made
    assert "prev_batch" not in pages[0]
    back = await alice.get("/publicRooms", limit=2, since=pages[2]["prev_batch"])
    assert back["chunk"] == pages[1]["chunk"]
    assert await refused(alice, "GET", "/publicRooms?since=bogus") == (400, "M_INVALID_PARAM")
    assert await refused(alice, "GET", "/publicRooms?limit=x") == (400, "M_INVALID_PARAM")


async def test_the_list_is_searched_by_words_and_by_type(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    await alice.create_room(visibility="public", name="The Grand Duke")
    await alice.create_room(visibility="public", name="Space", creation_content={"type": "m.space"})
    await alice.create_room(visibility="public", topic="grand things", name="Other")
    assert sorted(await names(alice, filter={"generic_search_term": "GRAND"})) == ["Other", "The Grand Duke"]
    assert await names(alice, filter={"room_types": ["m.space"]}) == ["Space"]
    assert sorted(await names(alice, filter={"room_types": [None]})) == ["Other", "The Grand Duke"]
    assert await names(alice, filter={"room_types": []}) == []
    assert await refused(alice, "POST", "/publicRooms", {"filter": {"room_types": [1]}}) == (400, "M_BAD_JSON")
    assert await refused(alice, "POST", "/publicRooms", {"filter": []}) == (400, "M_BAD_JSON")


async def test_who_is_not_signed_in_sees_the_list_only_where_it_is_open(start_homeserver: Any) -> None:
    closed = await start_homeserver()
    assert (await closed.ask("GET", "/publicRooms")).errcode == "M_MISSING_TOKEN"
    opened = await start_homeserver("allow_public_rooms_without_auth: true")
    assert (await opened.ask("GET", "/publicRooms")).json == {"chunk": [], "total_room_count_estimate": 0}


async def test_publishing_is_refused_where_it_would_not_work(start_homeserver: Any) -> None:
    hs = await start_homeserver("room_list_publication_rules: []")
    alice = await hs.register("alice")
    room = await alice.create_room()
    assert await refused(alice, "PUT", visibility(room), {"visibility": "public"}) == (403, "M_FORBIDDEN")
    assert await refused(alice, "POST", "/createRoom", {"visibility": "public"}) == (403, "M_FORBIDDEN")


async def test_another_process_hears_of_it(start_homeserver: Any) -> None:
    first, second = await start_homeserver(), await start_homeserver()
    alice = await first.register("alice")
    bob = (await first.register("bob")).at(second)
    assert await names(bob) == []
    await alice.create_room(visibility="public", name="Pub")
    await second.has_heard(first)
    assert await names(bob) == ["Pub"]
