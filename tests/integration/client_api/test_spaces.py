"""The tree of a space, and summaries of rooms."""

from typing import Any

from tests.support.homeserver import Client, Homeserver, q

SPACE = {"creation_content": {"type": "m.space"}}


def tree_path(room: str) -> str:
    return f"/_matrix/client/v1/rooms/{q(room)}/hierarchy"


def summary_path(room: str) -> str:
    return f"/_matrix/client/v1/room_summary/{q(room)}"


async def put_in(client: Client, space: str, room: str, **content: Any) -> None:
    await client.set_state(space, "m.space.child", {"via": ["hearth.test"], **content}, room)


async def names(client: Client, space: str, **query: Any) -> list[str]:
    return [room["name"] for room in (await client.get(tree_path(space), **query))["rooms"]]


async def test_the_tree_goes_depth_first_in_the_order_of_the_children(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    root, inner = await alice.create_room(name="root", **SPACE), await alice.create_room(name="inner", **SPACE)
    first, second, deep = [await alice.create_room(name=name) for name in ("first", "second", "deep")]
    await put_in(alice, root, second)
    await put_in(alice, root, first, order="a")
    await put_in(alice, root, inner, order="b", suggested=True)
    await put_in(alice, inner, deep, suggested=True)
    await put_in(alice, inner, root)
    assert await names(bob, root) == ["root", "first", "inner", "deep", "second"]
    assert await names(bob, root, max_depth=0) == ["root"]
    assert await names(bob, root, max_depth=1) == ["root", "first", "inner", "second"]
    assert await names(bob, root, suggested_only="true") == ["root", "inner", "deep"]
    (room, *_) = (await bob.get(tree_path(root)))["rooms"]
    assert room["room_type"] == "m.space"
    assert [child["state_key"] for child in room["children_state"]] == [first, inner, second]
    assert set(room["children_state"][0]) == {"type", "state_key", "content", "sender", "origin_server_ts"}


async def test_the_tree_comes_in_pages(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    root = await alice.create_room(name="root", **SPACE)
    for number in range(4):
        await put_in(alice, root, await alice.create_room(name=str(number)), order=str(number))
    first = await alice.get(tree_path(root), limit=3)
    assert [room["name"] for room in first["rooms"]] == ["root", "0", "1"]
    second = await alice.get(tree_path(root), limit=3, **{"from": first["next_batch"]})
    assert [room["name"] for room in second["rooms"]] == ["2", "3"]
    assert "next_batch" not in second
    changed = await alice.ask("GET", tree_path(root), max_depth=1, **{"from": first["next_batch"]})
    assert (changed.status, changed.errcode) == (400, "M_INVALID_PARAM")
    bogus = await alice.ask("GET", tree_path(root), **{"from": "bogus"})
    assert (bogus.status, bogus.errcode) == (400, "M_INVALID_PARAM")


async def test_only_what_the_user_may_know_is_shown(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    root = await alice.create_room(name="root", **SPACE)
    restricted = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": root}]}
    children = {
        "hidden": {},
        "invited": {"invite": [bob]},
        "knock": {"initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]},
        "restricted": {"initial_state": [{"type": "m.room.join_rules", "content": restricted}]},
        "glass": {
            "initial_state": [
                {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
            ]
        },
    }
    for name, body in children.items():
        await put_in(alice, root, await alice.create_room(name=name, preset="private_chat", **body), order=name)
    assert await names(alice, root) == ["root", *sorted(children)]
    assert await names(bob, root) == ["root", "glass", "invited", "knock"]
    await bob.join(root)
    assert await names(bob, root) == ["root", "glass", "invited", "knock", "restricted"]
    rooms = (await bob.get(tree_path(root)))["rooms"]
    assert rooms[-1]["allowed_room_ids"] == [root]


async def test_a_space_that_the_user_may_not_see_is_refused(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    root = await alice.create_room(preset="private_chat", **SPACE)
    for room in (root, "!nothing:hearth.test"):
        response = await bob.ask("GET", tree_path(room))
        assert (response.status, response.errcode) == (403, "M_FORBIDDEN")


async def test_a_room_is_summarised_by_id_and_by_alias(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    room = await alice.create_room(name="Pub", room_alias_name="pub", initial_state=[encryption])
    expected = {
        "room_id": room,
        "name": "Pub",
        "canonical_alias": "#pub:hearth.test",
        "num_joined_members": 1,
        "world_readable": False,
        "guest_can_join": False,
        "join_rule": "public",
        "room_version": "12",
        "encryption": "m.megolm.v1.aes-sha2",
    }
    assert (await hs.ask("GET", summary_path(room))).json == expected
    assert await alice.get(summary_path("#pub:hearth.test")) == {**expected, "membership": "join"}
    unstable = "/_matrix/client/unstable/im.nheko.summary"
    assert await bob.get(f"{unstable}/summary/{q(room)}") == {**expected, "membership": "leave"}
    assert await bob.get(f"{unstable}/rooms/{q(room)}/summary") == {**expected, "membership": "leave"}


async def test_what_the_user_may_not_see_is_not_found(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(preset="private_chat")
    for path in (summary_path(room), summary_path("!nothing:hearth.test"), summary_path("#nothing:hearth.test")):
        response = await bob.ask("GET", path)
        assert (response.status, response.errcode) == (404, "M_NOT_FOUND")
    await alice.invite(room, bob)
    assert (await bob.get(summary_path(room)))["membership"] == "invite"
