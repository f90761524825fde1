"""Who is kicked or banned on one side, and is let in again."""

from typing import Any

import pytest_twisted

from tests.integration.bridges.discord.town import Town
from tests.support.fake_discord import P
from tests.support.homeserver import Client, q

inlined = pytest_twisted.ensureDeferred
Json = dict[str, Any]


async def opened(town: Town) -> tuple[Client, str, Json]:
    """Dora is in the garden too."""
    dora = town.discord.person("dora", "Dora")
    town.discord.join(town.guild, dora)
    alice = await town.alice()
    room = await town.open(town.garden, alice)
    await shown(town, alice, room, dora, "join")

    async def has_power() -> bool:
        levels = await town.state(alice, room, "m.room.power_levels")
        return bool(levels["users"].get(town.ghost(town.carol)) == 95)

    # Members come before powers: without hers it is not Carol who puts anybody out, but the bot.
    await town.eventually(has_power, "Carol's power")
    return alice, room, dora


async def shown(town: Town, alice: Client, room: str, dora: Json, membership: str) -> Json:
    """Comes back with Dora's member event, when it says so."""
    found: Json = {}

    async def is_shown() -> bool:
        path = f"/rooms/{q(room)}/state/m.room.member/{q(town.ghost(dora))}?format=event"
        answer = await alice.get(path)
        found.update(answer)
        return bool(answer["content"]["membership"] == membership)

    await town.eventually(is_shown, membership)
    return found


@inlined
async def test_a_ban_on_discord_is_a_ban_with_who_and_why(town: Town) -> None:
    alice, room, dora = await opened(town)
    town.discord.ban(town.guild, dora, town.carol, "painted the roses")
    event = await shown(town, alice, room, dora, "ban")
    assert (event["sender"], event["content"]["reason"]) == (town.ghost(town.carol), "painted the roses")
    town.discord.unban(town.guild, dora, town.carol)
    event = await shown(town, alice, room, dora, "leave")
    assert event["sender"] == town.ghost(town.carol)
    town.discord.join(town.guild, dora)
    await shown(town, alice, room, dora, "join")


@inlined
async def test_a_kick_on_discord_is_a_kick_and_leaving_is_not(town: Town) -> None:
    alice, room, dora = await opened(town)
    town.discord.kick(town.guild, dora, town.carol, "late")
    event = await shown(town, alice, room, dora, "leave")
    assert (event["sender"], event["content"]["reason"]) == (town.ghost(town.carol), "late")
    town.discord.join(town.guild, dora)
    await shown(town, alice, room, dora, "join")
    # What the log says of the kick is an hour old by now.
    town.discord.world.guilds[town.guild].audit_log[0]["id"] = "1"
    town.discord.leave(town.guild, dora)
    assert (await shown(town, alice, room, dora, "leave"))["sender"] == town.ghost(dora)


@inlined
async def test_without_the_audit_log_a_ban_is_the_bots_and_says_why(town: Town) -> None:
    bot_role = town.discord.bot_role(town.guild, town.bot)
    rights = int(town.discord.world.guilds[town.guild].roles[bot_role]["permissions"]) & ~int(P.VIEW_AUDIT_LOG)
    town.discord.set_role(town.guild, bot_role, permissions=str(rights))
    alice, room, dora = await opened(town)
    town.discord.ban(town.guild, dora, town.carol, "painted the roses")
    event = await shown(town, alice, room, dora, "ban")
    assert event["sender"] == town.parts.context.bot.user_id
    assert event["content"]["reason"] == "painted the roses"
    # It is not asked for what it may not tell again and again.
    assert len([one for one in town.discord.asked if one.route.endswith("/audit-logs")]) == 1


@inlined
async def test_a_ban_in_matrix_is_a_ban_on_discord_and_is_taken_back(town: Town) -> None:
    alice, room, dora = await opened(town)
    court = town.discord.channel(town.guild, "court")
    await town.until(lambda: court in town.process.network._directory.channels, "the channel")
    other = await town.open(court, alice)
    await town.give_power(alice, room, 60)
    whom = {"user_id": town.ghost(dora)}
    await alice.ok("POST", f"/rooms/{q(room)}/ban", {**whom, "reason": "late"})
    banned = town.discord.world.banned
    await town.until(lambda: (town.guild, dora["id"]) in banned, "the ban")
    # In the server's other channels too, by the bot; here it stays hers.
    await shown(town, alice, other, dora, "ban")
    assert (await shown(town, alice, room, dora, "ban"))["sender"] == alice.user_id
    await alice.ok("POST", f"/rooms/{q(room)}/unban", whom)
    await town.until(lambda: (town.guild, dora["id"]) not in banned, "the end of the ban")
    await shown(town, alice, other, dora, "leave")
