"""Names, topics, members, powers, spaces, typing, presence."""

import pytest_twisted

from tests.integration.bridges.discord.town import Town
from tests.support.fake_discord import P
from tests.support.homeserver import Client, q

inlined = pytest_twisted.ensureDeferred


async def opened(town: Town) -> tuple[Client, str]:
    alice = await town.alice()
    return alice, await town.open(town.garden, alice)


@inlined
async def test_a_room_has_the_name_and_topic_of_its_channel(town: Town) -> None:
    alice, room = await opened(town)
    assert (await town.state(alice, room, "m.room.name"))["name"] == "garden"
    assert (await town.state(alice, room, "m.room.topic"))["topic"] == "roses"
    town.discord.set_channel(town.garden, name="park", topic="trees")

    async def is_renamed() -> bool:
        name = (await town.state(alice, room, "m.room.name"))["name"]
        topic = (await town.state(alice, room, "m.room.topic"))["topic"]
        return bool((name, topic) == ("park", "trees"))

    await town.eventually(is_renamed, "the new name")


@inlined
async def test_a_name_and_a_topic_given_in_matrix_are_the_channels(town: Town) -> None:
    alice, room = await opened(town)
    await town.give_power(alice, room, 80)
    await alice.set_state(room, "m.room.name", {"name": "park"})
    channel = town.discord.world.channels[town.garden]
    await town.until(lambda: channel["name"] == "park", "the name")
    await alice.set_state(room, "m.room.topic", {"topic": "trees"})
    await town.until(lambda: channel["topic"] == "trees", "the topic")


@inlined
async def test_a_third_name_in_ten_minutes_waits_and_messages_do_not(town: Town) -> None:
    alice, room = await opened(town)
    # Ten minutes take six seconds here: longer again, beyond what the bridge waits for.
    town.discord.server.limits.limits["PATCH /channels/{channel}"] = (1, 20_000.0)
    await town.give_power(alice, room, 80)
    await alice.set_state(room, "m.room.name", {"name": "park"})
    channel = town.discord.world.channels[town.garden]
    await town.until(lambda: channel["name"] == "park", "the first name")
    await alice.set_state(room, "m.room.name", {"name": "wood"})
    await alice.send(room, "hello")
    await town.posted(town.garden, "hello")
    assert channel["name"] == "park"


@inlined
async def test_the_members_who_see_a_channel_are_in_its_room(town: Town) -> None:
    dora = town.discord.person("dora", "Dora")
    alice, room = await opened(town)
    town.discord.join(town.guild, dora)

    async def membership(wanted: str) -> bool:
        state = await town.state(alice, room, "m.room.member", town.ghost(dora))
        return bool(state is not None and state["membership"] == wanted)

    assert (await town.state(alice, room, "m.room.member", town.ghost(town.carol)))["displayname"] == "Carol"
    await town.eventually(lambda: membership("join"), "Dora comes")
    town.discord.leave(town.guild, dora)
    await town.eventually(lambda: membership("leave"), "Dora goes")


@inlined
async def test_a_new_nick_and_face_are_the_ghosts(town: Town) -> None:
    alice, _room = await opened(town)
    town.discord.set_member(town.guild, town.carol, nick="The Queen")

    async def is_called() -> bool:
        profile = await alice.get(f"/profile/{q(town.ghost(town.carol))}")
        return bool(profile["displayname"] == "The Queen")

    await town.eventually(is_called, "the new name")


@inlined
async def test_roles_are_power_levels(town: Town) -> None:
    dora = town.discord.person("dora", "Dora")
    town.discord.join(town.guild, dora)
    alice, room = await opened(town)
    keeper = town.discord.role(town.guild, "keeper", int(P.MANAGE_MESSAGES))
    town.discord.set_member(town.guild, dora, roles=[keeper])

    async def level(wanted: int) -> bool:
        levels = await town.state(alice, room, "m.room.power_levels")
        return bool(levels["users"].get(town.ghost(dora), 0) == wanted)

    await town.eventually(lambda: level(50), "the keeper's level")
    town.discord.set_role(town.guild, keeper, permissions=str(int(P.ADMINISTRATOR)))
    await town.eventually(lambda: level(95), "the administrator's level")
    town.discord.set_member(town.guild, dora, roles=[])
    await town.eventually(lambda: level(0), "nobody's level")
    town.discord.set_member(town.guild, dora, roles=[keeper])
    await town.eventually(lambda: level(95), "the administrator's level")
    town.discord.delete_role(town.guild, keeper)
    await town.eventually(lambda: level(0), "no role")


@inlined
async def test_where_nobody_may_write_on_discord_nobody_may_in_matrix(town: Town) -> None:
    overwrite = {"id": town.guild, "type": 0, "allow": "0", "deny": str(int(P.SEND_MESSAGES))}
    news = town.discord.channel(town.guild, "news", permission_overwrites=[overwrite])
    await town.until(lambda: news in town.process.network._directory.channels, "the channel")
    alice = await town.alice()
    room = await town.open(news, alice)
    levels = await town.state(alice, room, "m.room.power_levels")
    assert levels["events_default"] == 50


@inlined
async def test_a_level_given_in_matrix_gives_the_role_that_stands_for_it(town: Town) -> None:
    dora = town.discord.person("dora", "Dora")
    town.discord.join(town.guild, dora)
    keeper = town.discord.role(town.guild, "keeper")
    bot_role = town.discord.bot_role(town.guild, town.bot)
    town.discord.set_role(town.guild, bot_role, position=9)
    await town.process.stop()
    await town.restart(levels={"keeper": 50})
    alice, room = await opened(town)
    await town.give_power(alice, room, 100)
    levels = await town.state(alice, room, "m.room.power_levels")
    levels["users"][town.ghost(dora)] = 50
    await alice.set_state(room, "m.room.power_levels", levels)
    member = town.discord.world.guilds[town.guild].members[dora["id"]]
    await town.until(lambda: member["roles"] == [keeper], "the role")


@inlined
async def test_who_is_kicked_in_matrix_is_kicked_on_discord(town: Town) -> None:
    dora = town.discord.person("dora", "Dora")
    town.discord.join(town.guild, dora)
    alice, room = await opened(town)
    await town.give_power(alice, room, 60)
    await alice.ok("POST", f"/rooms/{q(room)}/kick", {"user_id": town.ghost(dora)})
    members = town.discord.world.guilds[town.guild].members
    await town.until(lambda: dora["id"] not in members, "the kick")


@inlined
async def test_a_server_is_a_space_with_its_channels(town: Town) -> None:
    alice, room = await opened(town)
    space = await town.space_of(alice, room)
    assert (await town.bot_state(space, "m.room.name"))["name"] == "Wonderland"
    assert await town.bot_state(space, "m.space.child", room)
    town.discord.set_guild(town.guild, name="Looking-Glass")

    async def is_renamed() -> bool:
        return bool((await town.bot_state(space, "m.room.name"))["name"] == "Looking-Glass")

    await town.eventually(is_renamed, "the new name of the space")


@inlined
async def test_a_channel_that_is_deleted_is_told_and_the_others_go_on(town: Town) -> None:
    alice, room = await opened(town)
    court = town.discord.channel(town.guild, "court")
    await town.until(lambda: court in town.process.network._directory.channels, "the channel")
    other = await town.open(court, alice)
    town.discord.delete_channel(town.garden)
    await town.says(alice, room, "no longer bridged")
    town.discord.post(court, town.carol, "hello")
    await town.says(alice, other, "hello")


@inlined
async def test_who_types_is_shown_on_both_sides(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, "hello")
    await town.says(alice, room, "hello")
    await alice.sync()
    town.discord.type(town.garden, town.carol)

    async def is_typing() -> bool:
        joined = (await alice.sync()).get("rooms", {}).get("join", {}).get(room, {})
        events = joined.get("ephemeral", {}).get("events", [])
        return any(town.ghost(town.carol) in each["content"].get("user_ids", []) for each in events)

    await town.eventually(is_typing, "Carol types")
    path = f"/rooms/{q(room)}/typing/{q(alice.user_id)}"
    await alice.ok("PUT", path, {"typing": True, "timeout": 10_000})
    await town.until(lambda: (town.garden, town.bot.user_id) in town.discord.world.typed, "Alice types")


@inlined
async def test_who_is_online_is_shown_if_the_settings_want_that(town: Town) -> None:
    await town.process.stop()
    await town.restart(presence=True)
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, "hello")
    await town.says(alice, room, "hello")
    town.discord.presence(town.guild, town.carol, "online")

    async def is_online() -> bool:
        found = await alice.get(f"/presence/{q(town.ghost(town.carol))}/status")
        return bool(found["presence"] == "online")

    await town.eventually(is_online, "Carol is online")


@inlined
async def test_channels_are_found_by_name_id_and_address(town: Town) -> None:
    network = town.process.network
    address = f"https://discord.com/channels/{town.guild}/{town.garden}"
    for text in ("#garden", "garden", "Wonderland/#garden", town.garden, f"<#{town.garden}>", address):
        found = await network.find_channel(text, None)  # type: ignore[arg-type]
        assert found is not None and found.id == town.garden, text
    assert await network.find_channel("nowhere", None) is None  # type: ignore[arg-type]


@inlined
async def test_people_are_found_by_name(town: Town) -> None:
    network = town.process.network
    assert [each.name for each in await network.search_people("car", 5)] == ["Carol"]
    found = await network.find_person("@carol", None)  # type: ignore[arg-type]
    assert found is not None and found.id == town.carol["id"]
