"""Room state, set and read."""

from typing import Any

from tests.support.homeserver import Client, Homeserver, q


async def refused(client: Client, method: str, path: str, json: Any = None) -> tuple[int, str | None]:
    response = await client.ask(method, path, json)
    return response.status, response.errcode


def path_of(room: str, rest: str = "") -> str:
    return f"/rooms/{q(room)}/state{rest}"


async def test_all_forms_of_the_path_lead_to_the_same_state(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    for number, form in enumerate(("/org.test", "/org.test/")):
        for prefix in ("/_matrix/client/v3", "/_matrix/client/r0"):
            await alice.ok("PUT", prefix + path_of(room, form), {"n": number})
            for read in ("/org.test", "/org.test/"):
                assert await alice.get(prefix + path_of(room, read)) == {"n": number}
    await alice.ok("PUT", path_of(room, "/org.test/a%2Fb"), {"n": "slash"})
    assert await alice.get(path_of(room, "/org.test/a%2Fb")) == {"n": "slash"}


async def test_one_event_can_be_read_whole(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    event_id = await alice.set_state(room, "org.test", {"n": 1}, "key")
    event = await alice.get(path_of(room, "/org.test/key?format=event"))
    assert (event["event_id"], event["room_id"], event["state_key"], event["sender"], event["content"]) == (
        event_id,
        room,
        "key",
        alice.user_id,
        {"n": 1},
    )
    assert await refused(alice, "GET", path_of(room, "/org.test/key?format=other")) == (400, "M_INVALID_PARAM")
    assert await refused(alice, "GET", path_of(room, "/org.test/nothing")) == (404, "M_NOT_FOUND")


async def test_the_same_said_again_is_the_same_event(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(power_level_content_override={"state_default": 0})
    await bob.join(room)
    first = await alice.set_state(room, "org.test", {"n": 1})
    assert await alice.set_state(room, "org.test", {"n": 1}) == first
    assert await bob.set_state(room, "org.test", {"n": 1}) != first
    assert await alice.set_state(room, "org.test", {"n": 2}) != first


async def test_state_is_for_members(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    assert await refused(bob, "GET", path_of(room)) == (403, "M_FORBIDDEN")
    assert await refused(bob, "GET", path_of(room, "/m.room.create")) == (403, "M_FORBIDDEN")
    assert await refused(bob, "GET", path_of("!nothing:hearth.test")) == (403, "M_FORBIDDEN")
    assert await refused(bob, "PUT", path_of(room, "/org.test"), {}) == (403, "M_FORBIDDEN")
    await bob.join(room)
    assert await refused(bob, "PUT", path_of(room, "/org.test"), {}) == (403, "M_FORBIDDEN")
    assert {event["type"] for event in await bob.get(path_of(room))} >= {"m.room.create", "m.room.member"}


async def test_who_has_left_sees_the_state_of_that_time(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    await alice.set_state(room, "m.room.name", {"name": "before"})
    await bob.leave(room)
    await alice.set_state(room, "m.room.name", {"name": "after"})
    assert await bob.get(path_of(room, "/m.room.name")) == {"name": "before"}
    names = [event["content"] for event in await bob.get(path_of(room)) if event["type"] == "m.room.name"]
    assert names == [{"name": "before"}]


async def test_what_anyone_may_read_anyone_reads(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    visibility = {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}
    room = await alice.create_room(preset="private_chat", name="Glass", initial_state=[visibility])
    assert await bob.get(path_of(room, "/m.room.name")) == {"name": "Glass"}
    assert await bob.get(path_of(room)) != []


async def test_the_rules_keep_what_only_they_may_change(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    await bob.join(room)
    assert await refused(alice, "PUT", path_of(room, "/m.room.create"), {}) == (400, "M_UNKNOWN")
    levels = {"users": {bob.user_id: "high"}}
    assert await refused(alice, "PUT", path_of(room, "/m.room.power_levels"), levels) == (403, "M_FORBIDDEN")
    assert await refused(alice, "PUT", path_of(room, f"/org.test/{q(bob.user_id)}"), {}) == (403, "M_FORBIDDEN")
    assert await refused(bob, "PUT", path_of(room, "/m.room.power_levels"), {}) == (403, "M_FORBIDDEN")


async def test_nobody_locks_our_own_server_out(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room()
    path = path_of(room, "/m.room.server_acl")
    assert await refused(alice, "PUT", path, {"allow": ["*"], "deny": ["hearth.test"]}) == (400, "M_UNKNOWN")
    assert await refused(alice, "PUT", path, {}) == (400, "M_UNKNOWN")
    await alice.ok("PUT", path, {"allow": ["*"], "deny": ["evil.test"]})


async def test_a_canonical_alias_must_lead_here(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room, _ = await alice.create_room(room_alias_name="here"), await alice.create_room(room_alias_name="there")
    path = path_of(room, "/m.room.canonical_alias")
    here, there = "#here:hearth.test", "#there:hearth.test"
    await alice.ok("PUT", path, {"alias": here, "alt_aliases": [here]})
    assert await refused(alice, "PUT", path, {"alias": there}) == (400, "M_BAD_ALIAS")
    assert await refused(alice, "PUT", path, {"alias": here, "alt_aliases": [here, there]}) == (400, "M_BAD_ALIAS")
    assert await refused(alice, "PUT", path, {"alias": "#none:hearth.test"}) == (400, "M_BAD_ALIAS")
    assert await refused(alice, "PUT", path, {"alias": "here"}) == (400, "M_INVALID_PARAM")
    assert await refused(alice, "PUT", path, {"alt_aliases": here}) == (400, "M_INVALID_PARAM")
    assert await refused(alice, "PUT", path, {"alt_aliases": [1]}) == (400, "M_INVALID_PARAM")
    await alice.ok("PUT", path, {})


async def test_an_alias_that_is_named_already_is_not_asked_for_again(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await alice.create_room(room_alias_name="here")
    path = path_of(room, "/m.room.canonical_alias")
    hs.rows("DELETE FROM room_aliases")
    await alice.ok("PUT", path, {"alias": "#here:hearth.test", "org.test": 1})


async def test_the_levels_of_creators_cannot_be_set_from_version_12_on(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room(room_version="12", creation_content={"additional_creators": [bob.user_id]})
    path = f"/rooms/{q(room)}/state/m.room.power_levels"
    for creator in (alice, bob):
        assert (await alice.ask("PUT", path, {"users": {creator.user_id: 100}})).status == 400
    await alice.ok("PUT", path, {"users": {"@carol:elsewhere.test": 100}})


async def test_a_room_is_created_once(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    for version in ("11", "12"):
        room = await alice.create_room(room_version=version)
        path = f"/rooms/{q(room)}/state/m.room.create"
        assert (await alice.ask("PUT", path, {"room_version": version, "more": 1})).status == 400
