"""Direct messages, linked accounts, double puppets."""

import re
from typing import Any

import pytest_twisted

from tests.integration.bridges.discord.town import Town
from tests.support.homeserver import Client

Json = dict[str, Any]
inlined = pytest_twisted.ensureDeferred


async def chat_with(town: Town, client: Client, person: Json) -> str:
    """A direct chat that the Matrix user begins by inviting the ghost."""
    await town.open(town.garden, client)
    body = {"preset": "trusted_private_chat", "is_direct": True, "invite": [town.ghost(person)]}
    room = str((await client.ok("POST", "/createRoom", body))["room_id"])
    await town.eventually(lambda: is_joined(town, client, room, town.ghost(person)), "the ghost comes")
    return room


async def is_joined(town: Town, client: Client, room: str, user_id: str) -> bool:
    member = await town.state(client, room, "m.room.member", user_id)
    return bool(member is not None and member["membership"] == "join")


async def link(town: Town, client: Client, person: Json) -> str:
    """Links the accounts, as people do it; gives the management room."""
    channel = town.discord.direct(person, town.bot)
    town.discord.post(channel, person, "link")
    answer = await town.posted(channel, "Your code is")
    found = re.search("`([A-Z0-9]{8})`", answer["content"])
    assert found is not None
    room = await town.management_room(client)
    assert "link" in await town.command(client, room, "login link")
    answered = await town.command(client, room, found[1])
    assert "You have signed in" in answered
    return room


@inlined
async def test_a_chat_that_is_begun_in_matrix_goes_both_ways(town: Town) -> None:
    alice = await town.alice()
    room = await chat_with(town, alice, town.carol)
    await alice.send(room, "psst")
    channel = town.discord.direct(town.carol, town.bot)
    message = await town.posted(channel, "psst")
    assert message["content"] == "**Alice**: psst"
    town.discord.post(channel, town.carol, "yes?")
    event = await town.says(alice, room, "yes?")
    assert event["sender"] == town.ghost(town.carol)


@inlined
async def test_edits_reactions_and_deletions_in_a_chat(town: Town) -> None:
    alice = await town.alice()
    room = await chat_with(town, alice, town.carol)
    event_id = await alice.send(room, "helo")
    channel = town.discord.direct(town.carol, town.bot)
    message = await town.posted(channel, "helo")
    await town.edit(alice, room, event_id, "hello")
    await town.until(lambda: message["content"] == "**Alice**: hello", "the edit")
    town.discord.react(message, town.carol, "👍")
    await town.find(alice, room, lambda each: each["content"]["m.relates_to"]["key"] == "👍", "her reaction")
    await town.redact(alice, room, event_id)
    await town.until(lambda: not town.discord.messages(channel), "the deletion")


@inlined
async def test_two_who_speak_with_the_same_person_hear_nothing_of_each_other(town: Town) -> None:
    alice, bob = await town.alice(), await town.user("bob")
    first = await chat_with(town, alice, town.carol)
    second = await chat_with(town, bob, town.carol)
    channel = town.discord.direct(town.carol, town.bot)
    await alice.send(first, "from alice")
    to_alice = await town.posted(channel, "from alice")
    await bob.send(second, "from bob")
    await town.posted(channel, "from bob")
    town.discord.post(channel, town.carol, "to bob")
    town.discord.reply(to_alice, town.carol, "to alice")
    town.discord.post(channel, town.carol, "to alice too")
    await town.says(bob, second, "to bob")
    await town.says(alice, first, "to alice too")
    assert not [text for text in await town.texts(alice, first) if "bob" in text]
    assert not [text for text in await town.texts(bob, second) if "alice" in text]


@inlined
async def test_who_writes_to_nobody_is_told_how(town: Town) -> None:
    channel = town.discord.direct(town.carol, town.bot)
    town.discord.post(channel, town.carol, "hello?")
    await town.posted(channel, "Nobody is talking to you")


@inlined
async def test_a_chat_that_is_begun_on_discord_reaches_who_has_linked_an_account(town: Town) -> None:
    dora = town.discord.person("dora", "Dora")
    town.discord.join(town.guild, dora)
    alice = await town.alice()
    await link(town, alice, dora)
    channel = town.discord.direct(town.carol, town.bot)
    town.discord.post(channel, town.carol, "@alice:hearth.test do you hear me?")
    invited: list[str] = []

    async def is_there() -> bool:
        joined = (await alice.get("/sync"))["rooms"].get("join", {})
        for room, found in joined.items():
            for event in found["timeline"]["events"]:
                if "do you hear me?" in event["content"].get("body", ""):
                    invited.append(room)
        return bool(invited)

    await town.eventually(is_there, "the message in a room of Alice's")
    await alice.send(invited[0], "I do")
    # She has linked an account: the name is still hers, as everybody's in direct chats.
    await town.posted(channel, "I do")


@inlined
async def test_a_wrong_code_links_nothing(town: Town) -> None:
    alice = await town.alice()
    room = await town.management_room(alice)
    await town.command(alice, room, "login link")
    assert "wrong" in await town.command(alice, room, "ABCDEFGH")


@inlined
async def test_who_has_linked_an_account_is_themselves_on_both_sides(town: Town) -> None:
    dora = town.discord.person("dora", "Dora the Duchess", avatar=b"png")
    town.discord.join(town.guild, dora)
    alice, bob = await town.alice(), await town.user("bob")
    await link(town, alice, dora)
    room = await town.open(town.garden, alice, bob)
    town.discord.post(town.garden, dora, "it is I")
    event = await town.says(bob, room, "it is I")
    assert event["sender"] == alice.user_id
    await alice.send(room, "I again")
    message = await town.posted(town.garden, "I again")
    assert message["author"]["username"] == "Dora the Duchess"
    assert f"/avatars/{dora['id']}/" in message["author"]["avatar"]
    await town.settle(bob, room, town.garden)
    assert (await town.texts(bob, room)).count("it is I") == 1


@inlined
async def test_a_mention_of_who_has_linked_an_account_is_of_the_matrix_user(town: Town) -> None:
    dora = town.discord.person("dora", "Dora")
    town.discord.join(town.guild, dora)
    alice = await town.alice()
    await link(town, alice, dora)
    room = await town.open(town.garden, alice)
    town.discord.post(town.garden, town.carol, f"where is <@{dora['id']}>?")
    event = await town.says(alice, room, "where is")
    assert event["content"]["m.mentions"]["user_ids"] == [alice.user_id]


@inlined
async def test_who_takes_no_messages_from_bots_is_named_in_the_room(town: Town) -> None:
    alice = await town.alice()
    room = await chat_with(town, alice, town.carol)
    town.discord.world.closed_to_messages.add(town.carol["id"])
    await alice.send(room, "psst")
    await town.says(alice, room, "takes no direct messages")
