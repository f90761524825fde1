"""Forums: a room whose threads are the posts. Stickers and places of Matrix."""

import pytest_twisted

from tests.integration.bridges.discord.pictures import PNG
from tests.integration.bridges.discord.town import Town
from tests.support.fake_discord.world import FORUM
from tests.support.homeserver import Client

inlined = pytest_twisted.ensureDeferred


async def opened(town: Town) -> tuple[Client, str, str]:
    forum = town.discord.channel(town.guild, "questions", FORUM)
    await town.until(lambda: forum in town.process.network._directory.channels, "the forum")
    alice = await town.alice()
    return alice, await town.open(forum, alice), forum


@inlined
async def test_a_post_of_a_forum_is_a_thread_under_its_name(town: Town) -> None:
    alice, room, forum = await opened(town)
    post = town.discord.forum_post(forum, town.carol, "Who stole the tarts?", "I want to know.")
    town.discord.post(post["channel_id"], town.carol, "Nobody?")
    name = await town.says(alice, room, "Who stole the tarts?")
    for text in ("I want to know.", "Nobody?"):
        event = await town.says(alice, room, text)
        assert event["content"]["m.relates_to"]["event_id"] == name["event_id"]


@inlined
async def test_a_message_of_matrix_begins_a_post_and_its_thread_goes_on_there(town: Town) -> None:
    alice, room, forum = await opened(town)
    root = await alice.send(room, "Who stole the tarts?")
    threads = town.discord.world.channels
    await town.until(lambda: any(each.get("parent_id") == forum for each in threads.values()), "the post")
    post = next(each for each in list(threads.values()) if each.get("parent_id") == forum)
    assert post["name"] == "Who stole the tarts?"
    relates = {"rel_type": "m.thread", "event_id": root}
    await alice.send(room, "Not I", **{"m.relates_to": relates})
    await town.posted(post["id"], "Not I")
    town.discord.post(post["id"], town.carol, "The knave")
    answer = await town.says(alice, room, "The knave")
    assert answer["content"]["m.relates_to"]["event_id"] == root


@inlined
async def test_a_sticker_of_matrix_is_a_picture(town: Town) -> None:
    alice = await town.alice()
    room = await town.open(town.garden, alice)
    mxc = await town.upload(alice, PNG, "image/png", "wave.png")
    content = {"body": "wave", "url": mxc, "info": {"mimetype": "image/png", "w": 2, "h": 1}}
    await alice.send_event(room, "m.sticker", content)
    message = await town.message(town.garden, lambda each: each["attachments"], "the picture")
    assert (message["content"], town.discord.file(message["attachments"][0])) == ("", PNG)


@inlined
async def test_a_place_of_matrix_is_a_link(town: Town) -> None:
    alice = await town.alice()
    room = await town.open(town.garden, alice)
    await alice.send(room, "The garden", msgtype="m.location", geo_uri="geo:51.75,-1.25")
    await town.posted(town.garden, "51.75")
