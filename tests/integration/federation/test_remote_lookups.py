"""What users of ours ask about other servers: names, profiles, directories, spaces, times."""

from typing import Any

import pytest

from tests.integration.federation.handmade_room import V1
from tests.integration.federation.remote_pair import (
    INVITE_ONLY,
    MAX_SYNCS,
    WAIT_MS,
    Pair,
    has_text,
    join,
    join_rule,
    member,
    pair,
    refused,
    room_part,
    until_member,
)
from tests.support.fake_server import FakeServer
from tests.support.homeserver import q

__all__ = ["pair"]

SPACE = {"creation_content": {"type": "m.space"}}


def tree_path(room: str) -> str:
    return f"/_matrix/client/v1/rooms/{q(room)}/hierarchy"


def summary_path(room: str) -> str:
    return f"/_matrix/client/v1/room_summary/{q(room)}"


async def test_an_alias_is_looked_up_at_its_server(pair: Pair) -> None:
    room = await pair.alice.create_room(room_alias_name="here")
    assert await pair.bob.get("/directory/room/%23here:one.test") == {"room_id": room, "servers": ["one.test"]}
    assert await refused(pair.bob, "GET", "/directory/room/%23none:one.test") == (404, "M_NOT_FOUND")
    assert await refused(pair.bob, "GET", "/directory/room/%23none:gone.test") == (502, "M_UNKNOWN")


@pytest.mark.parametrize(
    "said",
    [
        {"room_id": "nonsense", "servers": []},
        {"room_id": 7, "servers": []},
        {"room_id": "!a:b"},
        {"room_id": "!a:b", "servers": [1]},
        [],
        "x",
    ],
)
async def test_a_directory_that_answers_nonsense_is_no_directory(pair: Pair, said: Any) -> None:
    evil = FakeServer(pair.network, "evil.test")
    evil.answers("GET", f"{V1}/query/directory", lambda sent: said)
    assert await refused(pair.bob, "GET", "/directory/room/%23a:evil.test") == (502, "M_UNKNOWN")


async def test_of_the_servers_of_an_alias_those_with_a_name_are_kept(pair: Pair) -> None:
    evil = FakeServer(pair.network, "evil.test")
    servers = ["one.test", "no name", "", *(f"s{n}.test" for n in range(500))]
    evil.answers("GET", f"{V1}/query/directory", lambda sent: {"room_id": "!a:b", "servers": servers})
    told = (await pair.bob.get("/directory/room/%23b:evil.test"))["servers"]
    assert told[:2] == ["one.test", "s0.test"] and len(told) <= 100


async def test_a_canonical_alias_may_be_of_another_server(pair: Pair) -> None:
    room = await pair.alice.create_room(room_alias_name="theirs")
    await join(pair.bob, room, "one.test")
    levels = await pair.alice.get(f"/rooms/{q(room)}/state/m.room.power_levels/")
    await pair.alice.set_state(room, "m.room.power_levels", {**levels, "events": {"m.room.canonical_alias": 0}})
    await pair.alice.send(room, "you may")
    await has_text(pair.bob, room, "you may")
    await pair.bob.set_state(room, "m.room.canonical_alias", {"alias": "#theirs:one.test"})
    path = f"/rooms/{q(room)}/state/m.room.canonical_alias/"
    for wrong in ("#none:one.test", "#x:gone.test"):
        assert await refused(pair.bob, "PUT", path, {"alias": wrong}) == (400, "M_BAD_ALIAS")


async def test_a_profile_is_looked_up_at_its_server(pair: Pair) -> None:
    user = pair.anna.user_id
    await pair.anna.ok("PUT", f"/profile/{q(user)}/displayname", {"displayname": "Anna"})
    assert await pair.bob.get(f"/profile/{q(user)}") == {"displayname": "Anna"}
    assert await pair.bob.get(f"/profile/{q(user)}/displayname") == {"displayname": "Anna"}
    assert await refused(pair.bob, "GET", "/profile/%40nobody:one.test") == (404, "M_NOT_FOUND")
    assert await refused(pair.bob, "GET", "/profile/%40nobody:gone.test") == (502, "M_UNKNOWN")


async def test_a_profile_is_asked_for_once_in_a_while(pair: Pair) -> None:
    evil = FakeServer(pair.network, "evil.test")
    evil.answers("GET", f"{V1}/query/profile", {"displayname": 7, "avatar_url": [], "m.tz": "Europe/Paris"})
    for _ in range(2):
        assert await pair.bob.get("/profile/%40eve:evil.test") == {"m.tz": "Europe/Paris"}
    assert await refused(pair.bob, "GET", "/profile/%40eve:evil.test/displayname") == (404, "M_NOT_FOUND")
    assert len(evil.requests) == 1


async def test_a_changed_profile_comes_with_the_room(pair: Pair) -> None:
    room = await pair.alice.create_room()
    await join(pair.carol, room, "one.test")
    await pair.carol.ok("PUT", f"/profile/{q(pair.carol.user_id)}/displayname", {"displayname": "Caroline"})
    # Rooms are told after the answer.
    for _ in range(MAX_SYNCS):
        if (await member(pair.alice, room, pair.carol.user_id))["displayname"] == "Caroline":
            return
        await pair.alice.sync(timeout=WAIT_MS)
    raise AssertionError("the room was never told")


async def test_the_directory_of_another_server_is_shown(pair: Pair) -> None:
    room = await pair.alice.create_room(visibility="public", name="the agora", topic="all that")
    (listed,) = (await pair.bob.get("/publicRooms", server="one.test"))["chunk"]
    assert (listed["room_id"], listed["name"], listed["num_joined_members"]) == (room, "the agora", 1)
    wanted = {"filter": {"generic_search_term": "agora"}, "limit": 1}
    found = await pair.bob.ok("POST", "/publicRooms?server=one.test", wanted)
    assert [entry["room_id"] for entry in found["chunk"]] == [room]
    none = await pair.bob.ok("POST", "/publicRooms?server=one.test", {"filter": {"generic_search_term": "no such"}})
    assert none["chunk"] == []
    assert await refused(pair.bob, "GET", "/publicRooms?server=gone.test") == (502, "M_UNKNOWN")
    assert await refused(pair.alice, "GET", "/publicRooms?server=two.test") == (403, "M_FORBIDDEN")
    assert (await pair.two.ask("GET", "/publicRooms?server=one.test")).status == 401


async def test_of_a_directory_only_entries_are_passed_on(pair: Pair) -> None:
    evil = FakeServer(pair.network, "evil.test")
    good = {"room_id": "!a:evil.test", "num_joined_members": "many", "name": 7, "topic": "t", "world_readable": 1}
    chunk = [good, {"name": "no id"}, 7, {"room_id": "nonsense"}, {"room_id": None}]
    evil.answers("POST", f"{V1}/publicRooms", {"chunk": chunk, "next_batch": 7, "total_room_count_estimate": "x"})
    assert await pair.bob.get("/publicRooms", server="evil.test") == {
        "chunk": [
            {
                "room_id": "!a:evil.test",
                "num_joined_members": 0,
                "topic": "t",
                "world_readable": False,
                "guest_can_join": False,
            }
        ]
    }


async def test_the_tree_of_a_space_goes_on_at_other_servers(pair: Pair) -> None:
    inner = await pair.alice.create_room(name="inner", **SPACE)
    deep = await pair.alice.create_room(name="deep")
    closed = await pair.alice.create_room(name="closed", **INVITE_ONLY)
    for child in (deep, closed):
        await pair.alice.set_state(inner, "m.space.child", {"via": ["one.test"]}, child)
    root = await pair.bob.create_room(name="root", **SPACE)
    await pair.bob.set_state(root, "m.space.child", {"via": ["gone.test", "one.test"]}, inner)
    await pair.bob.set_state(root, "m.space.child", {"via": ["one.test"]}, "!unknown:one.test")
    rooms = (await pair.carol.get(tree_path(root)))["rooms"]
    assert [room["name"] for room in rooms] == ["root", "inner", "deep"]
    assert rooms[1]["num_joined_members"] == 1
    assert [child["state_key"] for child in rooms[1]["children_state"]] == [deep, closed]
    assert [room["name"] for room in (await pair.carol.get(tree_path(root), max_depth=1))["rooms"]] == ["root", "inner"]


async def test_members_of_the_allowed_room_see_a_restricted_one_of_another_server(pair: Pair) -> None:
    root = await pair.bob.create_room(name="root", **SPACE)
    await join(pair.alice, root, "two.test")
    allow = [{"type": "m.room_membership", "room_id": root}]
    room = await pair.alice.create_room(name="for members", **join_rule("restricted", allow=allow))
    await pair.bob.set_state(root, "m.space.child", {"via": ["one.test"]}, room)
    assert [one["name"] for one in (await pair.bob.get(tree_path(root)))["rooms"]] == ["root", "for members"]
    assert [one["name"] for one in (await pair.carol.get(tree_path(root)))["rooms"]] == ["root"]


async def test_a_room_of_another_server_is_summarised(pair: Pair) -> None:
    room = await pair.alice.create_room(name="the lounge", topic="sitting")
    told = await pair.bob.get(summary_path(room), via="one.test")
    assert (told["name"], told["membership"], told["join_rule"]) == ("the lounge", "leave", "public")
    assert await refused(pair.bob, "GET", summary_path(room)) == (404, "M_NOT_FOUND")
    closed = await pair.alice.create_room(**INVITE_ONLY)
    assert await refused(pair.bob, "GET", summary_path(closed) + "?via=one.test") == (404, "M_NOT_FOUND")
    await pair.alice.invite(closed, pair.bob)
    await room_part(pair.bob, "invite", closed)
    left = await pair.alice.create_room(name="was here")
    await join(pair.bob, left, "one.test")
    await pair.bob.leave(left)
    await until_member(pair.alice, left, pair.bob.user_id, "leave")
    await pair.alice.set_state(left, "m.room.name", {"name": "is now"})
    assert (await pair.bob.get(summary_path(left), via="one.test"))["name"] == "is now"


async def test_an_endless_tree_has_an_end(pair: Pair) -> None:
    evil = FakeServer(pair.network, "evil.test")

    def describe(sent: Any) -> Any:
        number = int(sent.path.rpartition("/")[2].removeprefix("%21").partition("%3A")[0])
        children = [f"!{number * 3 + n}:evil.test" for n in range(1, 4)]
        states = [
            {"type": "m.space.child", "state_key": child, "sender": "@e:evil.test", "content": {"via": ["evil.test"]}}
            for child in children
        ]
        room = {"room_id": f"!{number}:evil.test", "join_rule": "public", "room_type": "m.space"}
        return {"room": {**room, "children_state": states}, "children": []}

    evil.answers("GET", f"{V1}/hierarchy/", describe)
    root = await pair.bob.create_room(name="root", **SPACE)
    await pair.bob.set_state(root, "m.space.child", {"via": ["evil.test"]}, "!0:evil.test")
    assert len((await pair.bob.get(tree_path(root)))["rooms"]) == 50
    assert len(evil.requests) < 2_500


async def test_what_a_user_made_of_a_room_follows_them_into_its_successor(pair: Pair) -> None:
    old = await pair.alice.create_room(room_version="11")
    await join(pair.bob, old, "one.test")
    user = q(pair.bob.user_id)
    await pair.bob.ok("PUT", f"/user/{user}/rooms/{q(old)}/tags/m.favourite", {"order": 0.5})
    direct = {pair.alice.user_id: [old]}
    await pair.bob.ok("PUT", f"/user/{user}/account_data/m.direct", direct)
    await pair.bob.ok("PUT", f"/pushrules/global/room/{q(old)}", {"actions": []})
    condition = {"kind": "event_match", "key": "room_id", "pattern": old}
    await pair.bob.ok("PUT", f"/pushrules/global/override/{q(old)}", {"actions": [], "conditions": [condition]})
    new = (await pair.alice.ok("POST", f"/rooms/{q(old)}/upgrade", {"new_version": "12"}))["replacement_room"]
    await join(pair.bob, new, "one.test")
    tags = await pair.bob.get(f"/user/{user}/rooms/{q(new)}/tags")
    assert tags == {"tags": {"m.favourite": {"order": 0.5}}}
    assert await pair.bob.get(f"/user/{user}/account_data/m.direct") == {pair.alice.user_id: [old, new]}
    rules = (await pair.bob.get("/pushrules/"))["global"]
    assert [rule["rule_id"] for rule in rules["room"]] == [new, old]
    (copied,) = [rule for rule in rules["override"] if rule["rule_id"] == new]
    assert copied["conditions"] == [{**condition, "pattern": new}]
    # Once only: what is taken away in the new room stays away.
    await pair.bob.ok("DELETE", f"/user/{user}/rooms/{q(new)}/tags/m.favourite")
    await pair.bob.set_state(new, "m.room.member", {"membership": "join", "displayname": "B"}, pair.bob.user_id)
    assert await pair.bob.get(f"/user/{user}/rooms/{q(new)}/tags") == {"tags": {}}


async def test_a_time_of_before_we_came_is_found_at_another_server(pair: Pair) -> None:
    room = await pair.alice.create_room()
    sent = [await pair.alice.send(room, f"m{n}") for n in range(8)]
    await join(pair.carol, room, "one.test")
    first = await pair.alice.get(f"/rooms/{q(room)}/event/{q(sent[2])}")
    path = f"/_matrix/client/v1/rooms/{q(room)}/timestamp_to_event"
    for direction in ("b", "f"):
        wanted = await pair.alice.get(path, ts=first["origin_server_ts"], dir=direction)
        assert await pair.carol.get(path, ts=first["origin_server_ts"], dir=direction) == wanted
        around = await pair.carol.get(f"/rooms/{q(room)}/context/{q(wanted['event_id'])}", limit=4)
        assert around["event"]["event_id"] == wanted["event_id"]
    asked_before = len(pair.network.sent("/timestamp_to_event/"))
    await pair.carol.get(path, ts=first["origin_server_ts"], dir="f")
    assert len(pair.network.sent("/timestamp_to_event/")) == asked_before
