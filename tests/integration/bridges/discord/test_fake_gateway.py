"""The fake Discord's gateway, as discord.py sees it."""

import asyncio

import discord
import pytest

from tests.integration.bridges.discord.listener import listening
from tests.support.fake_discord import FakeDiscord


def test_a_bot_hears_of_its_guild_and_of_messages(fake: FakeDiscord) -> None:
    carol = fake.person("carol", "Carol")
    guild = fake.guild("Wonderland", carol)
    garden = fake.channel(guild, "garden")
    bot = fake.bot("Hearth", guild)

    async def run() -> None:
        async with listening(fake, bot) as client:
            assert [each.name for each in client.guilds] == ["Wonderland"]
            fake.post(garden, carol, "hello")
            message = await client.next("message")
            assert (message.content, message.author.display_name) == ("hello", "Carol")
            assert message.channel.name == "garden"

    asyncio.run(run())


def test_what_was_missed_is_replayed_to_who_resumes(fake: FakeDiscord) -> None:
    carol = fake.person("carol")
    guild = fake.guild("Wonderland", carol)
    garden = fake.channel(guild, "garden")
    bot = fake.bot("Hearth", guild)

    async def run() -> None:
        async with listening(fake, bot) as client:
            fake.drop_sockets()
            fake.post(garden, carol, "while it was away")
            assert (await client.next("message")).content == "while it was away"
            await client.next("resumed")
        assert (fake.server.gateway.identifies, fake.server.gateway.resumes) == (1, 1)

    asyncio.run(run())


@pytest.mark.parametrize("resumable", [True, False])
def test_after_an_invalid_session_it_identifies_or_resumes(fake: FakeDiscord, resumable: bool) -> None:
    guild = fake.guild("Wonderland", fake.person("carol"))
    bot = fake.bot("Hearth", guild)

    async def run() -> None:
        async with listening(fake, bot) as client:
            fake.invalidate_sessions(resumable=resumable)
            await client.next("resumed" if resumable else "connect")
        assert fake.server.gateway.identifies == (1 if resumable else 2)

    asyncio.run(run())


def test_it_reconnects_when_it_is_asked_to(fake: FakeDiscord) -> None:
    guild = fake.guild("Wonderland", fake.person("carol"))
    bot = fake.bot("Hearth", guild)

    async def run() -> None:
        async with listening(fake, bot) as client:
            fake.ask_to_reconnect()
            await client.next("resumed")

    asyncio.run(run())


def test_heartbeats_are_answered(fake: FakeDiscord) -> None:
    fake.server.gateway.heartbeat_s = 0.05
    guild = fake.guild("Wonderland", fake.person("carol"))
    bot = fake.bot("Hearth", guild)

    async def run() -> None:
        async with listening(fake, bot) as client:
            for _ in range(3):
                await client.next("beat")
            assert client.latency < 5

    asyncio.run(run())


def test_a_privileged_intent_that_is_not_granted_is_refused(fake: FakeDiscord) -> None:
    guild = fake.guild("Wonderland", fake.person("carol"))
    bot = fake.bot("Hearth", guild, flags=0)

    async def run() -> None:
        with pytest.raises(discord.PrivilegedIntentsRequired):
            async with listening(fake, bot):
                pass

    asyncio.run(run())


def test_without_the_intent_messages_come_without_their_content(fake: FakeDiscord) -> None:
    carol = fake.person("carol")
    guild = fake.guild("Wonderland", carol)
    garden = fake.channel(guild, "garden")
    bot = fake.bot("Hearth", guild, flags=0)

    async def run() -> None:
        async with listening(fake, bot, discord.Intents.default()) as client:
            fake.post(garden, carol, "secret")
            assert (await client.next("message")).content == ""
            fake.post(garden, carol, f"<@{bot.user_id}> not secret")
            assert "not secret" in (await client.next("message")).content

    asyncio.run(run())


def test_what_was_not_asked_for_does_not_come(fake: FakeDiscord) -> None:
    carol = fake.person("carol")
    guild = fake.guild("Wonderland", carol)
    garden = fake.channel(guild, "garden")
    bot = fake.bot("Hearth", guild)

    async def run() -> None:
        intents = discord.Intents(guilds=True, guild_messages=True)
        async with listening(fake, bot, intents) as client:
            fake.type(garden, carol)
            fake.post(garden, carol, "hello")
            await client.next("message")
            assert client.seen("raw_typing") == 0

    asyncio.run(run())


def test_a_bad_token_is_refused(fake: FakeDiscord) -> None:
    guild = fake.guild("Wonderland", fake.person("carol"))
    bot = fake.bot("Hearth", guild)
    fake.revoke(bot)

    async def run() -> None:
        with pytest.raises(discord.LoginFailure):
            async with listening(fake, bot):
                pass

    asyncio.run(run())


def test_a_revoked_token_ends_the_connection_for_good(fake: FakeDiscord) -> None:
    guild = fake.guild("Wonderland", fake.person("carol"))
    bot = fake.bot("Hearth", guild)

    async def run() -> None:
        with pytest.raises(discord.ConnectionClosed) as closed:
            async with listening(fake, bot) as client:
                fake.revoke(bot)
                await client.ended
        assert closed.value.code == 4004

    asyncio.run(run())


def test_an_unexpected_payload_ends_the_library(fake: FakeDiscord) -> None:
    guild = fake.guild("Wonderland", fake.person("carol"))
    bot = fake.bot("Hearth", guild)

    async def run() -> None:
        with pytest.raises(KeyError):
            async with listening(fake, bot) as client:
                fake.dispatch("MESSAGE_CREATE", {"id": "1", "guild_id": guild})
                await client.ended

    asyncio.run(run())


def test_a_channel_that_the_bot_may_not_see_is_silent(fake: FakeDiscord) -> None:
    carol = fake.person("carol")
    guild = fake.guild("Wonderland", carol)
    hidden = fake.channel(
        guild, "hidden", permission_overwrites=[{"id": guild, "type": 0, "allow": "0", "deny": "1024"}]
    )
    garden = fake.channel(guild, "garden")
    bot = fake.bot("Hearth", guild, permissions=0)

    async def run() -> None:
        async with listening(fake, bot) as client:
            fake.post(hidden, carol, "psst")
            fake.post(garden, carol, "hello")
            assert (await client.next("message")).content == "hello"
            assert [each.name for each in client.guilds[0].channels] == ["garden"]
            with pytest.raises(discord.Forbidden) as refused:
                await client.fetch_channel(int(hidden))
            assert refused.value.code == 50001

    asyncio.run(run())


def test_a_repeated_dispatch_comes_twice(fake: FakeDiscord) -> None:
    carol = fake.person("carol")
    guild = fake.guild("Wonderland", carol)
    garden = fake.channel(guild, "garden")
    bot = fake.bot("Hearth", guild)

    async def run() -> None:
        async with listening(fake, bot) as client:
            fake.post(garden, carol, "hello")
            fake.repeat_last("MESSAGE_CREATE")
            first, second = await client.next("message"), await client.next("message")
            assert first.id == second.id

    asyncio.run(run())
