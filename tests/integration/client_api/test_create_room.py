"""POST /createRoom."""

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from matrix.room_versions import ROOM_VERSIONS
from tests.support.homeserver import Client, Homeserver, q


async def state_of(client: Client, room: str) -> dict[tuple[str, str], Any]:
    events = await client.get(f"/rooms/{q(room)}/state")
    return {(event["type"], event["state_key"]): event["content"] for event in events}


async def create(client: Client, **body: Any) -> str:
    return str((await client.ok("POST", "/createRoom", body))["room_id"])


async def refused(client: Client, **body: Any) -> tuple[int, str | None]:
    response = await client.ask("POST", "/createRoom", body)
    return response.status, response.errcode


async def test_a_room_without_wishes_is_private(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await create(alice)
    state = await state_of(alice, room)
    assert state["m.room.create", ""] == {"room_version": "12"}
    assert state["m.room.join_rules", ""] == {"join_rule": "invite"}
    assert state["m.room.history_visibility", ""] == {"history_visibility": "shared"}
    assert state["m.room.guest_access", ""] == {"guest_access": "can_join"}
    assert state["m.room.member", alice.user_id]["membership"] == "join"
    levels = state["m.room.power_levels", ""]
    assert levels["users"] == {}
    assert levels["events"]["m.room.tombstone"] > levels["state_default"]


async def test_the_events_come_in_the_order_of_the_specification(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await create(
        alice,
        preset="public_chat",
        room_alias_name="pub",
        name="The Pub",
        topic="Beer",
        invite=[bob.user_id],
        initial_state=[{"type": "m.room.avatar", "content": {"url": "mxc://hearth.test/a"}}],
    )
    events = await alice.timeline(room, filter='{"room":{"timeline":{"limit":50}}}')
    assert [event["type"].removeprefix("m.room.") for event in events] == [
        "create",
        "member",
        "power_levels",
        "canonical_alias",
        "join_rules",
        "history_visibility",
        "guest_access",
        "avatar",
        "name",
        "topic",
        "member",
    ]
    state = await state_of(alice, room)
    assert state["m.room.canonical_alias", ""] == {"alias": "#pub:hearth.test"}
    assert state["m.room.guest_access", ""] == {"guest_access": "forbidden"}
    assert state["m.room.topic", ""] == {"topic": "Beer", "m.topic": {"m.text": [{"body": "Beer"}]}}
    assert room in (await bob.sync())["rooms"]["invite"]


async def test_rooms_of_all_versions_can_be_made_and_talked_in(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    for version in ROOM_VERSIONS:
        room = await create(alice, room_version=version, preset="trusted_private_chat", invite=[bob.user_id], name="A")
        await bob.join(room)
        await bob.set_state(room, "m.room.topic", {"topic": f"of version {version}"})
        await alice.send(room, version)
        assert await bob.texts(room) == [version]


async def test_in_a_trusted_chat_the_invited_have_the_creators_power(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    eleven = await create(alice, room_version="11", preset="trusted_private_chat", invite=[bob.user_id])
    levels = (await state_of(alice, eleven))["m.room.power_levels", ""]
    assert levels["users"] == {alice.user_id: 100, bob.user_id: 100}
    carol = "@carol:hearth.test"
    twelve = await create(
        alice,
        preset="trusted_private_chat",
        invite=[bob.user_id, carol],
        creation_content={"additional_creators": [carol]},
    )
    state = await state_of(alice, twelve)
    assert state["m.room.create", ""]["additional_creators"] == [carol, bob.user_id]
    assert state["m.room.power_levels", ""]["users"] == {}


async def test_initial_state_goes_before_the_preset_and_name_before_both(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await create(
        alice,
        name="Name",
        initial_state=[
            {"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}},
            {"type": "m.room.name", "content": {"name": "Other"}},
            {"type": "org.test", "state_key": "key", "content": {"n": 1}},
        ],
        creation_content={"type": "m.space", "m.federate": False, "creator": "@x:y", "room_version": "1"},
        power_level_content_override={"invite": 77},
    )
    state = await state_of(alice, room)
    assert state["m.room.history_visibility", ""] == {"history_visibility": "world_readable"}
    assert state["m.room.name", ""] == {"name": "Name"}
    assert state["org.test", "key"] == {"n": 1}
    assert state["m.room.create", ""] == {"type": "m.space", "m.federate": False, "room_version": "12"}
    assert state["m.room.power_levels", ""]["invite"] == 77


async def test_a_direct_chat_says_so_to_the_invited(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await create(alice, is_direct=True, invite=[bob.user_id])
    (invite,) = [
        event
        for event in (await bob.sync())["rooms"]["invite"][room]["invite_state"]["events"]
        if event.get("state_key") == bob.user_id
    ]
    assert invite["content"] == {"membership": "invite", "is_direct": True, "displayname": "bob"}


async def test_what_cannot_be_made_is_refused_with_the_reason(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    assert await refused(alice, room_version="unheard-of") == (400, "M_UNSUPPORTED_ROOM_VERSION")
    assert await refused(alice, room_version=12) == (400, "M_BAD_JSON")
    assert await refused(alice, invite=["bob"]) == (400, "M_INVALID_PARAM")
    assert await refused(alice, preset="unheard_of") == (400, "M_INVALID_PARAM")
    assert await refused(alice, creation_content=[]) == (400, "M_BAD_JSON")
    assert await refused(alice, creation_content={"additional_creators": ["x"]}) == (400, "M_INVALID_PARAM")
    assert await refused(alice, initial_state=[{"type": "m.room.topic"}]) == (400, "M_MISSING_PARAM")
    assert await refused(alice, room_alias_name="a:b") == (400, "M_INVALID_PARAM")
    assert await refused(alice, room_alias_name="a b") == (400, "M_INVALID_PARAM")
    assert await refused(alice, invite_3pid=[{"medium": "email"}]) == (400, "M_MISSING_PARAM")
    assert await refused(alice, topic="x" * 70_000) == (413, "M_TOO_LARGE")
    levels = {"users": {alice.user_id: 100}}
    assert await refused(alice, power_level_content_override=levels) == (400, "M_INVALID_ROOM_STATE")
    levels = {"users": {bob.user_id: 100}}
    assert await refused(alice, room_version="11", power_level_content_override=levels) == (400, "M_INVALID_ROOM_STATE")
    assert (await alice.get("/joined_rooms"))["joined_rooms"] == []


async def test_an_alias_is_given_once_and_a_refused_room_is_not_made(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    room = await create(alice, room_alias_name="pub")
    assert await refused(alice, room_alias_name="pub") == (400, "M_ROOM_IN_USE")
    assert (await alice.get("/joined_rooms"))["joined_rooms"] == [room]
    asked = [Deferred.fromCoroutine(alice.ask("POST", "/createRoom", {"room_alias_name": "both"})) for _ in range(3)]
    answers = await gatherResults(asked)
    assert sorted(answer.status for answer in answers) == [200, 400, 400]
    assert len((await alice.get("/joined_rooms"))["joined_rooms"]) == 2


async def test_rooms_made_at_the_same_time_are_different_rooms(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    rooms = await gatherResults([Deferred.fromCoroutine(create(alice)) for _ in range(10)])
    assert len(set(rooms)) == 10


async def test_who_takes_no_invites_is_not_invited(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    path = f"/user/{q(bob.user_id)}/account_data/m.invite_permission_config"
    await bob.ok("PUT", path, {"default_action": "block"})
    assert await refused(alice, invite=[bob.user_id]) == (403, "M_INVITE_BLOCKED")


async def test_rooms_are_limited_by_rate(start_homeserver: Any) -> None:
    hs = await start_homeserver("rc_room_creation: {per_second: 0.001, burst_count: 1}")
    alice = await hs.register("alice")
    await create(alice)
    assert await refused(alice) == (429, "M_LIMIT_EXCEEDED")


async def test_rooms_are_encrypted_where_the_server_wants_it(start_homeserver: Any) -> None:
    hs = await start_homeserver("encryption_enabled_by_default_for_room_type: invite")
    alice = await hs.register("alice")
    private, public = await create(alice), await create(alice, preset="public_chat")
    assert (await state_of(alice, private))["m.room.encryption", ""] == {"algorithm": "m.megolm.v1.aes-sha2"}
    assert ("m.room.encryption", "") not in await state_of(alice, public)


async def test_a_room_is_there_though_a_server_that_was_to_be_invited_is_not_reached(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    assert await refused(alice, invite=["@bob:elsewhere.test"]) == (502, "M_UNKNOWN")
    assert len((await alice.get("/joined_rooms"))["joined_rooms"]) == 1
