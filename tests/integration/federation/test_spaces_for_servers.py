"""GET /hierarchy: a space and its rooms, as far as another server's users may look in or join.

Source: server-server API, "Spaces".
"""

from typing import Any

from tests.integration.federation.visiting import Visitor
from tests.support.homeserver import Client, q

SPACE = {"creation_content": {"type": "m.space"}}


async def add_child(alice: Client, space: str, room: str, **content: Any) -> None:
    await alice.set_state(space, "m.space.child", {"via": ["one.test"], **content}, room)


async def hierarchy(visitor: Visitor, **query: Any) -> Any:
    return await visitor.ok(f"/hierarchy/{q(visitor.room)}", **query)


async def test_a_space_is_told_with_its_children(alice: Client, visitor: Visitor) -> None:
    child, visitor.room = visitor.room, await alice.create_room(name="Space", **SPACE)
    await add_child(alice, visitor.room, child, order="a")
    answer = await hierarchy(visitor)
    room = answer["room"]
    assert (room["room_id"], room["name"], room["room_type"]) == (visitor.room, "Space", "m.space")
    assert (room["num_joined_members"], room["join_rule"], room["room_version"]) == (1, "public", "12")
    (state,) = room["children_state"]
    assert (state["state_key"], state["content"]) == (child, {"via": ["one.test"], "order": "a"})
    assert {"origin_server_ts", "sender", "type"} <= state.keys()
    assert [one["room_id"] for one in answer["children"]] == [child]
    assert answer["inaccessible_children"] == []


async def test_a_child_that_the_server_may_not_see_is_named_only(alice: Client, visitor: Visitor) -> None:
    secret = await alice.create_room(preset="private_chat")
    visitor.room = await alice.create_room(**SPACE)
    await add_child(alice, visitor.room, secret)
    answer = await hierarchy(visitor)
    assert (answer["children"], answer["inaccessible_children"]) == ([], [secret])


async def test_a_child_that_we_do_not_know_is_left_out(alice: Client, visitor: Visitor) -> None:
    visitor.room = await alice.create_room(**SPACE)
    await add_child(alice, visitor.room, "!elsewhere:three.test")
    answer = await hierarchy(visitor)
    assert (answer["children"], answer["inaccessible_children"]) == ([], [])
    assert [state["state_key"] for state in answer["room"]["children_state"]] == ["!elsewhere:three.test"]


async def test_only_suggested_children_are_told_if_so_wanted(alice: Client, visitor: Visitor) -> None:
    suggested, other = visitor.room, await alice.create_room()
    visitor.room = await alice.create_room(**SPACE)
    await add_child(alice, visitor.room, suggested, suggested=True)
    await add_child(alice, visitor.room, other)
    answer = await hierarchy(visitor, suggested_only="true")
    assert [one["room_id"] for one in answer["children"]] == [suggested]


async def test_children_of_children_are_not_told(alice: Client, visitor: Visitor) -> None:
    grandchild, child = visitor.room, await alice.create_room(**SPACE)
    visitor.room = await alice.create_room(**SPACE)
    await add_child(alice, visitor.room, child)
    await add_child(alice, child, grandchild)
    assert [one["room_id"] for one in (await hierarchy(visitor))["children"]] == [child]


async def test_a_room_for_members_of_another_is_told_to_their_servers(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    rules = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": visitor.room}]}
    state = [{"type": "m.room.join_rules", "state_key": "", "content": rules}]
    allowed, visitor.room = visitor.room, await alice.create_room(initial_state=state)
    assert (await hierarchy(visitor))["room"]["allowed_room_ids"] == [allowed]


async def test_who_was_in_a_private_room_is_not_told_of_it_any_more(alice: Client, visitor: Visitor) -> None:
    await visitor.join()
    await alice.set_state(visitor.room, "m.room.join_rules", {"join_rule": "invite"})
    assert (await hierarchy(visitor))["room"]["room_id"] == visitor.room
    await visitor.leave()
    assert (await visitor.get(f"/hierarchy/{q(visitor.room)}")).status == 404


async def test_a_room_that_the_server_may_not_see_is_not_found(alice: Client, visitor: Visitor) -> None:
    for visitor.room in (await alice.create_room(preset="private_chat"), "!nowhere:one.test"):
        response = await visitor.get(f"/hierarchy/{q(visitor.room)}")
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND")
