"""The fake Discord's REST API, as discord.py sees it."""

import asyncio
import io
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import aiohttp
import discord
import pytest
from attrs import frozen

from tests.integration.bridges.discord.listener import Listener, listening
from tests.support.fake_discord import Bot, FakeDiscord, P, Upload

Json = dict[str, Any]


@frozen
class Place:
    """A guild with a channel, and a bot that is connected."""

    fake: FakeDiscord
    guild: str
    garden: str
    carol: Json
    bot: Bot
    client: Listener

    @property
    def channel(self) -> discord.TextChannel:
        found = self.client.get_channel(int(self.garden))
        assert isinstance(found, discord.TextChannel)
        return found


Scene = Callable[[Place], Coroutine[Any, Any, None]]


def play(fake: FakeDiscord, scene: Scene, **bot: Any) -> None:
    carol = fake.person("carol", "Carol")
    guild = fake.guild("Wonderland", carol)
    garden = fake.channel(guild, "garden", topic="roses")
    it = fake.bot("Hearth", guild, **bot)

    async def run() -> None:
        async with listening(fake, it) as client:
            await scene(Place(fake, guild, garden, carol, it, client))

    asyncio.run(run())


def test_messages_are_sent_edited_and_deleted(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        sent = await at.channel.send("hello", nonce="n1")
        assert (await at.client.next("message")).nonce == "n1"
        await sent.edit(content="hello again")
        assert (await at.client.next("raw_message_edit")).message.content == "hello again"
        await sent.delete()
        assert (await at.client.next("raw_message_delete")).message_id == sent.id

    play(fake, scene)


def test_a_nonce_is_posted_once(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        first, second = await at.channel.send("hello", nonce="n1"), await at.channel.send("hello", nonce="n1")
        assert first.id == second.id

    play(fake, scene)


def test_files_go_up_and_come_down(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        sent = await at.channel.send(
            "two", files=[discord.File(io.BytesIO(each), "a.txt") for each in (b"one", b"two")]
        )
        assert [await each.read() for each in sent.attachments] == [b"one", b"two"]
        with pytest.raises(discord.HTTPException) as refused:
            at.fake.world.guilds[at.guild].file_limit = 3
            await at.channel.send(file=discord.File(io.BytesIO(b"four"), "a.txt"))
        assert refused.value.status == 413

    play(fake, scene)


def test_history_is_read_in_every_direction(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        posts = [at.fake.post(at.garden, at.carol, str(number)) for number in range(7)]
        middle = discord.Object(int(posts[3]["id"]))
        assert [each.content async for each in at.channel.history(limit=2)] == ["6", "5"]
        assert [each.content async for each in at.channel.history(before=middle)] == ["2", "1", "0"]
        assert [each.content async for each in at.channel.history(after=middle)] == ["4", "5", "6"]
        assert [each.content async for each in at.channel.history(around=middle, limit=3)] == ["4", "3", "2"]

    play(fake, scene)


def test_replies_mentions_and_forwards(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        post = at.fake.post(at.garden, at.carol, "hello")
        reply = await (await at.client.next("message")).reply(f"<@{at.carol['id']}> hi @everyone")
        assert isinstance(reply.reference and reply.reference.resolved, discord.Message)
        assert [each.name for each in reply.mentions] == ["carol"]
        assert reply.mention_everyone
        await at.client.next("message")
        at.fake.forward(post, at.garden, at.carol)
        forwarded = await at.client.next("message")
        assert [each.content for each in forwarded.message_snapshots] == ["hello"]

    play(fake, scene)


def test_reactions_of_both_kinds(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        emoji = at.fake.emoji(at.guild, "rose", b"png")
        post = at.fake.post(at.garden, at.carol, "hello")
        message = await at.client.next("message")
        await message.add_reaction("👍")
        await message.add_reaction(f"rose:{emoji['id']}")
        at.fake.react(post, at.carol, "👍")
        [first, second, third] = [await at.client.next("raw_reaction_add") for _ in range(3)]
        assert (str(first.emoji), second.emoji.name, third.user_id) == ("👍", "rose", int(at.carol["id"]))
        seen = await at.channel.fetch_message(message.id)
        assert [(each.count, each.me) for each in seen.reactions] == [(2, True), (1, True)]
        assert [user.name async for user in seen.reactions[0].users()] == ["Hearth", "carol"]
        with pytest.raises(discord.HTTPException):
            await message.add_reaction("rose:1")

    play(fake, scene)


def test_webhooks_speak_under_any_name(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        hook = await at.channel.create_webhook(name="bridge")
        sent = await hook.send("hello", username="Alice", avatar_url="https://example.org/a.png", wait=True)
        heard = await at.client.next("message")
        assert (heard.id, heard.author.name, heard.webhook_id) == (sent.id, "Alice", hook.id)
        await sent.edit(content="hello again")
        await hook.delete_message(sent.id)
        await at.client.next("raw_message_delete")
        with pytest.raises(discord.HTTPException):
            await hook.send("hello", username="Discord")
        with pytest.raises(discord.NotFound):
            await hook.delete_message(sent.id)

    play(fake, scene)


def test_threads_have_messages_of_webhooks_too(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        root = await at.channel.send("root")
        thread = await root.create_thread(name="branch")
        assert thread.id == root.id
        hook = await at.channel.create_webhook(name="bridge")
        sent = await hook.send("leaf", wait=True, thread=thread)
        await sent.edit(content="other leaf")
        assert [each.content async for each in thread.history()] == ["other leaf"]

    play(fake, scene)


def test_pins_are_listed_and_told(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        message = await at.channel.send("important")
        await message.pin()
        await at.client.next("guild_channel_pins_update")
        assert [each.id async for each in at.channel.pins()] == [message.id]
        await message.unpin()
        assert [each async for each in at.channel.pins()] == []

    play(fake, scene)


def test_missing_permissions_are_named(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        message = await at.channel.send("hello")
        for refused in (message.pin(), at.channel.create_webhook(name="bridge"), at.channel.edit(name="other")):
            with pytest.raises(discord.Forbidden) as error:
                await refused
            assert error.value.code == 50013

    play(fake, scene, permissions=P.VIEW_CHANNEL | P.SEND_MESSAGES)


def test_polls_are_voted_on_and_end(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        poll = discord.Poll("Tea?", timedelta(hours=1)).add_answer(text="yes").add_answer(text="no")
        sent = await at.channel.send(poll=poll)
        message = at.fake.world.messages[at.garden][str(sent.id)]
        at.fake.vote(message, at.carol, 1)
        assert (await at.client.next("raw_poll_vote_add")).answer_id == 1
        seen = await at.channel.fetch_message(sent.id)
        assert seen.poll is not None
        assert [each.vote_count for each in seen.poll.answers] == [1, 0]
        await seen.end_poll()

    play(fake, scene)


def test_buttons_are_pressed_and_answered(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        view = discord.ui.View()
        view.add_item(discord.ui.Button(label="Press", custom_id="press"))
        sent = await at.channel.send("a button", view=view)
        message = at.fake.world.messages[at.garden][str(sent.id)]
        at.fake.press(message, at.carol, "press")
        interaction = await at.client.next("interaction")
        assert interaction.user.name == "carol"
        await interaction.response.edit_message(content="pressed")
        assert message["content"] == "pressed"

    play(fake, scene)


def test_direct_messages_and_who_refuses_them(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        user = await at.client.fetch_user(int(at.carol["id"]))
        sent = await user.send("psst")
        assert isinstance(sent.channel, discord.DMChannel)
        at.fake.world.closed_to_messages.add(at.carol["id"])
        with pytest.raises(discord.Forbidden) as refused:
            await user.send("psst")
        assert refused.value.code == 50007

    play(fake, scene)


def test_guilds_members_roles_emoji_and_stickers(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        guild = await at.client.fetch_guild(int(at.guild))
        assert {each.name async for each in guild.fetch_members()} == {"carol", "Hearth"}
        assert {each.name for each in await guild.fetch_roles()} == {"@everyone", "Hearth"}
        at.fake.emoji(at.guild, "rose", b"png")
        at.fake.sticker(at.guild, "wave", b"png")
        assert [each.name for each in await guild.fetch_emojis()] == ["rose"]
        assert [each.name for each in await guild.fetch_stickers()] == ["wave"]

    play(fake, scene)


def test_a_bucket_that_is_empty_makes_the_library_wait(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        for number in range(12):
            await at.channel.send(str(number))
        assert at.fake.count("POST /channels/{channel}/messages") == 12

    play(fake, scene)


def test_who_asks_too_often_is_told_how_long_to_wait(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        url = f"{at.fake.api}/channels/{at.garden}/messages"
        headers = {"Authorization": f"Bot {at.bot.token}"}
        at.fake.server.limits.limits["POST /channels/{channel}/messages"] = (1, 6000.0)
        async with aiohttp.ClientSession() as session:
            async with session.post(url, json={"content": "one"}, headers=headers) as first:
                assert first.headers["X-RateLimit-Remaining"] == "0"
            async with session.post(url, json={"content": "two"}, headers=headers) as second:
                body = await second.json()
        assert (second.status, body["global"]) == (429, False)
        assert 50 < body["retry_after"] <= 60

    play(fake, scene)


def test_too_many_invalid_requests_ban_the_address(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        at.fake.server.limits.invalid.limit = at.fake.server.limits.invalid.left = 2
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                await session.get(f"{at.fake.api}/users/@me")
            async with session.get(f"{at.fake.api}/users/@me") as banned:
                assert (banned.status, "Via" in banned.headers) == (429, False)

    play(fake, scene)


def test_a_failure_of_the_server_is_tried_again(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        at.fake.fail_next("POST /channels/{channel}/messages", 502)
        await at.channel.send("hello")
        assert len(at.fake.messages(at.garden)) == 1

    play(fake, scene)


def test_a_channel_that_is_deleted_is_unknown(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        channel = at.channel
        at.fake.delete_channel(at.garden)
        await at.client.next("guild_channel_delete")
        with pytest.raises(discord.NotFound) as unknown:
            await channel.send("hello")
        assert unknown.value.code == 10003

    play(fake, scene)


def test_an_attachment_without_its_signature_is_gone(fake: FakeDiscord) -> None:
    async def scene(at: Place) -> None:
        post = at.fake.post(at.garden, at.carol, "", files=[Upload("a.txt", b"one")])
        async with aiohttp.ClientSession() as session:
            url = post["attachments"][0]["url"]
            async with session.get(url) as good, session.get(url.partition("?")[0]) as bad:
                assert (good.status, bad.status) == (200, 404)

    play(fake, scene)
