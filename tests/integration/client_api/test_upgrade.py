"""POST /rooms/{roomId}/upgrade."""

from typing import Any

from tests.support.homeserver import Client, Homeserver, q


async def upgrade(client: Client, room: str, version: str, **body: Any) -> str:
    answer = await client.ok("POST", f"/rooms/{q(room)}/upgrade", {"new_version": version, **body})
    return str(answer["replacement_room"])


async def refused(client: Client, room: str, json: Any) -> tuple[int, str | None]:
    response = await client.ask("POST", f"/rooms/{q(room)}/upgrade", json)
    return response.status, response.errcode


async def state_of(client: Client, room: str) -> dict[tuple[str, str], Any]:
    events = await client.get(f"/rooms/{q(room)}/state")
    return {(event["type"], event["state_key"]): event["content"] for event in events}


async def test_the_old_room_leads_to_the_new_and_back(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    for old_version, new_version in (("9", "10"), ("11", "12"), ("12", "12"), ("12", "11")):
        old = await alice.create_room(room_version=old_version)
        new = await upgrade(alice, old, new_version)
        tombstone = await alice.get(f"/rooms/{q(old)}/state/m.room.tombstone?format=event")
        assert tombstone["content"]["replacement_room"] == new
        create = (await state_of(alice, new))["m.room.create", ""]
        assert create["room_version"] == new_version
        assert create["predecessor"]["room_id"] == old
        if new_version != "12":
            assert create["predecessor"]["event_id"] == tombstone["event_id"]
        await alice.send(new, "here now")
        await alice.set_state(new, "m.room.name", {"name": "I still may"})


async def test_what_makes_the_room_goes_along(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    old = await alice.create_room(
        room_version="10",
        name="Pub",
        topic="Beer",
        creation_content={"type": "m.space", "m.federate": False},
        initial_state=[
            {"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}},
            {"type": "m.room.server_acl", "content": {"allow": ["*"]}},
            {"type": "m.space.child", "state_key": "!a:hearth.test", "content": {"via": ["hearth.test"]}},
            {"type": "m.space.child", "state_key": "!b:hearth.test", "content": {}},
            {"type": "org.test", "content": {"mine": True}},
        ],
        power_level_content_override={"users": {alice.user_id: 100, bob.user_id: 75}, "kick": 40},
    )
    state = await state_of(alice, await upgrade(alice, old, "12", additional_creators=[bob.user_id]))
    assert state["m.room.create", ""]["type"] == "m.space"
    assert state["m.room.create", ""]["m.federate"] is False
    assert state["m.room.create", ""]["additional_creators"] == [bob.user_id]
    assert state["m.room.name", ""] == {"name": "Pub"}
    assert state["m.room.topic", ""]["topic"] == "Beer"
    assert state["m.room.join_rules", ""] == {"join_rule": "public"}
    assert state["m.room.history_visibility", ""] == {"history_visibility": "joined"}
    assert state["m.room.server_acl", ""] == {"allow": ["*"]}
    assert state["m.space.child", "!a:hearth.test"] == {"via": ["hearth.test"]}
    assert ("m.space.child", "!b:hearth.test") not in state
    assert ("org.test", "") not in state
    levels = state["m.room.power_levels", ""]
    assert (levels["users"], levels["kick"], levels["events"]["m.room.tombstone"]) == ({}, 40, 150)


async def test_the_banned_stay_banned(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    old = await alice.create_room()
    await alice.ok("POST", f"/rooms/{q(old)}/ban", {"user_id": bob.user_id, "reason": "noise"})
    new = await upgrade(alice, old, "12")
    assert (await state_of(alice, new))["m.room.member", bob.user_id] == {"membership": "ban", "reason": "noise"}
    assert (await bob.ask("POST", f"/join/{q(new)}", {})).status == 403


async def test_a_moderator_who_upgrades_gains_no_power(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    levels = {"users": {alice.user_id: 100, bob.user_id: 60}, "events": {"m.room.tombstone": 60, "m.room.name": 90}}
    old = await alice.create_room(room_version="10", name="Pub", power_level_content_override=levels)
    await bob.join(old)
    new = await upgrade(bob, old, "11")
    state = await state_of(bob, new)
    assert state["m.room.name", ""] == {"name": "Pub"}
    assert state["m.room.power_levels", ""]["users"] == levels["users"]


async def test_aliases_and_publication_move(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    old = await alice.create_room(room_alias_name="pub", visibility="public")
    alias = "#pub:hearth.test"
    await alice.set_state(old, "m.room.canonical_alias", {"alias": alias, "alt_aliases": [alias]})
    new = await upgrade(alice, old, "12")
    assert (await alice.get(f"/directory/room/{q(alias)}"))["room_id"] == new
    assert (await state_of(alice, new))["m.room.canonical_alias", ""] == {"alias": alias, "alt_aliases": [alias]}
    assert (await state_of(alice, old))["m.room.canonical_alias", ""] == {}
    assert [room["room_id"] for room in (await alice.get("/publicRooms"))["chunk"]] == [new]


async def test_nobody_goes_on_talking_in_the_old_room(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    old = await alice.create_room()
    await bob.join(old)
    await upgrade(alice, old, "12")
    levels = (await state_of(bob, old))["m.room.power_levels", ""]
    assert (levels["events_default"], levels["invite"]) == (50, 50)
    response = await bob.ask("PUT", f"/rooms/{q(old)}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello?"})
    assert response.status == 403


async def test_levels_written_as_text_become_numbers(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    old = await alice.create_room(
        room_version="6",
        power_level_content_override={"users": {alice.user_id: "100"}, "ban": "60", "events": {"org.test": "7"}},
    )
    levels = (await state_of(alice, await upgrade(alice, old, "11")))["m.room.power_levels", ""]
    assert (levels["users"], levels["ban"], levels["events"]) == ({alice.user_id: 100}, 60, {"org.test": 7})


async def test_what_the_new_version_cannot_hold_leaves_the_old_room_alone(hs: Homeserver) -> None:
    alice = await hs.register("alice")
    topic = {"type": "m.room.topic", "content": {"topic": "x", "org.test": 1.5}}
    old = await alice.create_room(room_version="5", initial_state=[topic])
    assert await refused(alice, old, {"new_version": "6"}) == (400, "M_BAD_JSON")
    assert ("m.room.tombstone", "") not in await state_of(alice, old)


async def test_who_may_not_upgrade_does_not(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    room = await alice.create_room()
    assert await refused(bob, room, {"new_version": "12"}) == (403, "M_FORBIDDEN")
    await bob.join(room)
    assert await refused(bob, room, {"new_version": "12"}) == (403, "M_FORBIDDEN")
    assert await refused(alice, room, {"new_version": "unheard-of"}) == (400, "M_UNSUPPORTED_ROOM_VERSION")
    assert await refused(alice, room, {}) == (400, "M_MISSING_PARAM")
    assert await refused(alice, room, {"new_version": "12", "additional_creators": ["bob"]}) == (
        400,
        "M_INVALID_PARAM",
    )
    assert await refused(alice, "!nothing:hearth.test", {"new_version": "12"}) == (404, "M_NOT_FOUND")


async def test_the_push_rules_of_a_room_go_along_with_who_upgrades_it_and_who_joins(hs: Homeserver) -> None:
    alice, bob = await hs.register("alice"), await hs.register("bob")
    old = await alice.create_room()
    await bob.join(old)
    for client in (alice, bob):
        await client.ok("PUT", f"/pushrules/global/room/{q(old)}", {"actions": ["dont_notify"]})
    by_hand = await alice.create_room(creation_content={"predecessor": {"room_id": old, "event_id": "$tombstone"}})
    new = (await alice.ok("POST", f"/rooms/{q(old)}/upgrade", {"new_version": "11"}))["replacement_room"]
    await bob.join(new)
    for client, rooms in ((alice, {old, by_hand, new}), (bob, {old, new})):
        rules = (await client.get("/pushrules/"))["global"]["room"]
        assert {rule["rule_id"] for rule in rules} == rooms
        assert all(rule["actions"] == ["dont_notify"] for rule in rules)
