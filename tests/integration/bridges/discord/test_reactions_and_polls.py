"""Reactions, custom emoji, pins and polls both ways."""

from typing import Any

import pytest_twisted

from tests.integration.bridges.discord.pictures import PNG
from tests.integration.bridges.discord.town import Town
from tests.support.homeserver import Client

Json = dict[str, Any]
inlined = pytest_twisted.ensureDeferred
POLL = "org.matrix.msc3381.poll"


async def opened(town: Town) -> tuple[Client, str]:
    alice = await town.alice()
    return alice, await town.open(town.garden, alice)


def reactions(town: Town, message: Json) -> dict[str, list[str]]:
    """Who reacted with what on Discord."""
    return {key: users for (at, key), users in town.discord.world.reactions.items() if at == message["id"]}


# Reactions.


@inlined
async def test_a_reaction_on_discord_comes_and_goes(town: Town) -> None:
    alice, room = await opened(town)
    message = town.discord.post(town.garden, town.carol, "hello")
    event = await town.says(alice, room, "hello")
    town.discord.react(message, town.carol, "👍")
    reaction = await town.find(alice, room, lambda each: each["type"] == "m.reaction" and each["content"], "it")
    relates = reaction["content"]["m.relates_to"]
    assert (relates["event_id"], relates["key"]) == (event["event_id"], "👍")
    assert reaction["sender"] == town.ghost(town.carol)
    town.discord.react(message, town.carol, "👍", is_added=False)
    await town.find(alice, room, lambda each: each["redacts"] == reaction["event_id"], "its redaction")


@inlined
async def test_reactions_that_are_cleared_go(town: Town) -> None:
    alice, room = await opened(town)
    message = town.discord.post(town.garden, town.carol, "hello")
    for emoji in ("👍", "🌹"):
        town.discord.react(message, town.carol, emoji)
    await town.find(alice, room, lambda each: each["content"]["m.relates_to"]["key"] == "🌹", "the rose")

    async def left() -> list[str]:
        events = [each for each in await town.events(alice, room) if each["type"] == "m.reaction" and each["content"]]
        return [each["content"]["m.relates_to"]["key"] for each in events]

    async def is_one_left() -> bool:
        return await left() == ["🌹"]

    async def is_clear() -> bool:
        return not await left()

    town.discord.clear_reactions(message, "👍")
    await town.eventually(is_one_left, "the rose alone")
    town.discord.clear_reactions(message)
    await town.eventually(is_clear, "no reactions")


@inlined
async def test_a_reaction_of_matrix_is_the_bots_until_nobody_has_it(town: Town) -> None:
    alice, room = await opened(town)
    bob = await town.user("bob")
    await bob.join(room)
    message = town.discord.post(town.garden, town.carol, "hello")
    event = await town.says(alice, room, "hello")
    first = await town.react(alice, room, event["event_id"], "👍")
    second = await town.react(bob, room, event["event_id"], "👍")
    await town.until(lambda: reactions(town, message) == {"👍": [town.bot.user_id]}, "the bot's")
    await town.redact(alice, room, first)
    await town.settle(alice, room, town.garden)
    assert reactions(town, message) == {"👍": [town.bot.user_id]}
    await town.redact(bob, room, second)
    await town.until(lambda: not reactions(town, message), "taken back")


@inlined
async def test_a_heart_is_a_heart_however_it_is_written(town: Town) -> None:
    alice, room = await opened(town)
    message = town.discord.post(town.garden, town.carol, "hello")
    event = await town.says(alice, room, "hello")
    await town.react(alice, room, event["event_id"], "❤")
    await town.until(lambda: len(reactions(town, message)) == 1, "a heart")


@inlined
async def test_a_custom_emoji_of_discord_comes_as_an_image_and_goes_back(town: Town) -> None:
    alice, room = await opened(town)
    rose = town.discord.emoji(town.guild, "rose", PNG)
    message = town.discord.post(town.garden, town.carol, f"a <:rose:{rose['id']}>")
    town.discord.react(message, town.carol, f"rose:{rose['id']}")
    event = await town.says(alice, room, "a :rose:")
    assert "data-mx-emoticon" in event["content"]["formatted_body"]
    reaction = await town.find(alice, room, lambda each: each["content"]["shortcode"] == ":rose:", "the reaction")
    mxc = reaction["content"]["m.relates_to"]["key"]
    assert mxc.startswith("mxc://")
    await town.react(alice, room, event["event_id"], mxc)
    key = f"rose:{rose['id']}"
    await town.until(lambda: reactions(town, message)[key] == [town.carol["id"], town.bot.user_id], "both")
    html = f'<img data-mx-emoticon src="{mxc}" alt=":rose:"> too'
    await alice.send(room, ":rose: too", format="org.matrix.custom.html", formatted_body=html)
    await town.posted(town.garden, f"<:rose:{rose['id']}> too")


@inlined
async def test_the_emoji_of_a_server_are_an_image_pack(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.emoji(town.guild, "rose", PNG)
    space = await town.space_of(alice, room)

    async def has_pack() -> bool:
        pack = await town.bot_state(space, "im.ponies.room_emotes", "discord.emoticon.0")
        return pack is not None and "rose" in pack["images"]

    await town.eventually(has_pack, "the pack")


# Pins.


@inlined
async def test_pins_of_discord_are_pinned(town: Town) -> None:
    alice, room = await opened(town)
    message = town.discord.post(town.garden, town.carol, "important")
    event = await town.says(alice, room, "important")
    town.discord.pin(message, town.carol)

    async def pinned(wanted: list[str]) -> bool:
        state = await town.state(alice, room, "m.room.pinned_events") or {}
        return bool(state.get("pinned", []) == wanted)

    await town.eventually(lambda: pinned([event["event_id"]]), "the pin")
    town.discord.pin(message, town.carol, is_pinned=False)
    await town.eventually(lambda: pinned([]), "no pin")


@inlined
async def test_pins_of_matrix_are_pinned(town: Town) -> None:
    alice, room = await opened(town)
    message = town.discord.post(town.garden, town.carol, "important")
    event = await town.says(alice, room, "important")
    await town.give_power(alice, room, 60)
    await alice.set_state(room, "m.room.pinned_events", {"pinned": [event["event_id"]]})
    await town.until(lambda: message["pinned"], "the pin")
    await alice.set_state(room, "m.room.pinned_events", {"pinned": []})
    await town.until(lambda: not message["pinned"], "no pin")


# Polls.


def discord_poll(*answers: str) -> Json:
    return {"question": {"text": "Tea?"}, "answers": [{"poll_media": {"text": each}} for each in answers]}


@inlined
async def test_a_poll_of_discord_is_a_poll_with_its_votes(town: Town) -> None:
    alice, room = await opened(town)
    message = town.discord.post(town.garden, town.carol, poll=discord_poll("yes", "no"))
    poll = await town.find(alice, room, lambda each: each["type"] == f"{POLL}.start", "the poll")
    answers = poll["content"][f"{POLL}.start"]["answers"]
    assert [each["org.matrix.msc1767.text"] for each in answers] == ["yes", "no"]
    town.discord.vote(message, town.carol, 2)
    vote = await town.find(alice, room, lambda each: each["type"] == f"{POLL}.response", "the vote")
    assert vote["sender"] == town.ghost(town.carol)
    assert vote["content"][f"{POLL}.response"]["answers"] == [answers[1]["id"]]
    town.discord.vote(message, town.carol, 2, is_chosen=False)

    def is_empty(each: Json) -> bool:
        return each["type"] == f"{POLL}.response" and each["content"][f"{POLL}.response"]["answers"] == []

    assert (await town.find(alice, room, is_empty, "the vote taken back"))["sender"] == town.ghost(town.carol)
    town.discord.vote(message, town.carol, 2)
    town.discord.end_poll(message)
    end = await town.find(alice, room, lambda each: each["type"] == f"{POLL}.end", "the end")
    assert "no (1 of 1 votes)" in end["content"]["body"]


@inlined
async def test_votes_of_matrix_stand_under_a_poll_of_discord(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, poll=discord_poll("yes", "no"))
    poll = await town.find(alice, room, lambda each: each["type"] == f"{POLL}.start", "the poll")
    for answer in ("1", "2"):
        relates = {"rel_type": "m.reference", "event_id": poll["event_id"]}
        await alice.send_event(
            room, f"{POLL}.response", {"m.relates_to": relates, f"{POLL}.response": {"answers": [answer]}}
        )
    line = await town.posted(town.garden, "Votes from Matrix: no 1")
    assert line["author"]["id"] == town.bot.user_id
    assert len(town.discord.messages(town.garden)) == 2


@inlined
async def test_a_poll_of_matrix_has_buttons_that_count_for_both(town: Town) -> None:
    alice, room = await opened(town)
    answers = [{"id": each, "org.matrix.msc1767.text": each} for each in ("yes", "no")]
    start = {"question": {"org.matrix.msc1767.text": "Tea?"}, "answers": answers, "max_selections": 1}
    poll = await alice.send_event(room, f"{POLL}.start", {f"{POLL}.start": start})
    message = await town.posted(town.garden, "**Tea?**")
    assert [each["label"] for each in message["components"][0]["components"]] == ["yes", "no"]
    pressed = town.discord.press(message, town.carol, message["components"][0]["components"][0]["custom_id"])
    await town.until(lambda: "yes: 1" in message["content"], "her vote")
    assert pressed["answer"] == {"type": 6}
    vote = await town.find(alice, room, lambda each: each["type"] == f"{POLL}.response", "her vote in Matrix")
    assert (vote["sender"], vote["content"][f"{POLL}.response"]["answers"]) == (town.ghost(town.carol), ["yes"])
    relates = {"rel_type": "m.reference", "event_id": poll}
    await alice.send_event(room, f"{POLL}.response", {"m.relates_to": relates, f"{POLL}.response": {"answers": ["no"]}})
    await town.until(lambda: "no: 1" in message["content"], "alice's vote")
    assert "yes: 1" in message["content"]
    await alice.send_event(room, f"{POLL}.end", {"m.relates_to": relates, f"{POLL}.end": {}, "body": "over"})
    await town.until(lambda: "The poll has ended" in message["content"], "the end")
    assert all(each["disabled"] for each in message["components"][0]["components"])
