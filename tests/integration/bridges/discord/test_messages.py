"""Messages both ways: Discord <-> the bridge <-> Hearth."""

import pytest_twisted

from tests.integration.bridges.discord.pictures import PNG
from tests.integration.bridges.discord.town import Town
from tests.support.fake_discord import Upload
from tests.support.homeserver import Client, q

inlined = pytest_twisted.ensureDeferred


async def opened(town: Town) -> tuple[Client, str]:
    alice = await town.alice()
    return alice, await town.open(town.garden, alice)


# From Discord.


@inlined
async def test_what_is_said_on_discord_is_said_in_matrix_once(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, "**hello**")
    event = await town.says(alice, room, "hello")
    assert event["sender"] == town.ghost(town.carol)
    assert event["content"]["formatted_body"] == "<strong>hello</strong>"
    await town.settle(alice, room, town.garden)
    texts = await town.texts(alice, room)
    assert texts.count("**hello**") == 1
    assert len([text for text in texts if text.startswith("mark")]) == 2


@inlined
async def test_an_edit_on_discord_is_an_edit(town: Town) -> None:
    alice, room = await opened(town)
    message = town.discord.post(town.garden, town.carol, "helo")
    first = await town.says(alice, room, "helo")
    town.discord.edit(message, "hello")
    edit = await town.find(alice, room, lambda each: each["content"]["m.new_content"], "the edit")
    assert edit["content"]["m.new_content"]["body"] == "hello"
    assert edit["content"]["m.relates_to"]["event_id"] == first["event_id"]


@inlined
async def test_a_preview_that_discord_adds_is_no_edit(town: Town) -> None:
    alice, room = await opened(town)
    message = town.discord.post(town.garden, town.carol, "https://example.org")
    await town.says(alice, room, "https://example.org")
    town.discord.unfurl(message, {"type": "article", "title": "Example", "url": "https://example.org"})
    await town.settle(alice, room, town.garden)
    assert not [each for each in await town.events(alice, room) if "m.new_content" in each["content"]]


@inlined
async def test_what_is_deleted_on_discord_is_redacted(town: Town) -> None:
    alice, room = await opened(town)
    posts = [town.discord.post(town.garden, town.carol, text) for text in ("one", "two", "three")]
    await town.says(alice, room, "three")
    town.discord.delete(posts[0])
    town.discord.delete_bulk(town.garden, posts[1:])
    await town.settle(alice, room, town.garden)
    assert not {"one", "two", "three"} & set(await town.texts(alice, room))


@inlined
async def test_files_of_discord_are_copied(town: Town) -> None:
    alice, room = await opened(town)
    files = [Upload("rose.png", PNG), Upload("SPOILER_notes.txt", b"secret")]
    town.discord.post(town.garden, town.carol, "look", files=files)
    picture = await town.find(alice, room, lambda each: each["content"]["msgtype"] == "m.image", "the picture")
    assert (picture["content"]["info"]["w"], picture["content"]["filename"]) == (2, "rose.png")
    notes = await town.find(alice, room, lambda each: each["content"]["msgtype"] == "m.file", "the file")
    assert notes["content"]["page.codeberg.everypizza.msc4193.spoiler"] is True
    path = "/_matrix/client/v1/media/download/" + notes["content"]["url"].removeprefix("mxc://")
    assert (await alice.ask("GET", path)).body == b"secret"


@inlined
async def test_an_answer_on_discord_is_an_answer(town: Town) -> None:
    alice, room = await opened(town)
    first = town.discord.post(town.garden, town.carol, "question")
    town.discord.reply(first, town.carol, "answer")
    asked, answer = await town.says(alice, room, "question"), await town.says(alice, room, "answer")
    assert answer["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == asked["event_id"]


@inlined
async def test_a_thread_of_discord_is_a_thread(town: Town) -> None:
    alice, room = await opened(town)
    root = town.discord.post(town.garden, town.carol, "root")
    thread = town.discord.thread(town.garden, town.carol, "branch", root)
    town.discord.post(thread, town.carol, "leaf")
    start, leaf = await town.says(alice, room, "root"), await town.says(alice, room, "leaf")
    assert leaf["content"]["m.relates_to"]["rel_type"] == "m.thread"
    assert leaf["content"]["m.relates_to"]["event_id"] == start["event_id"]


@inlined
async def test_a_thread_without_a_message_hangs_under_its_name(town: Town) -> None:
    alice, room = await opened(town)
    thread = town.discord.thread(town.garden, town.carol, "branch")
    town.discord.post(thread, town.carol, "leaf")
    leaf, start = await town.says(alice, room, "leaf"), await town.says(alice, room, "Thread: branch")
    assert leaf["content"]["m.relates_to"]["event_id"] == start["event_id"]


@inlined
async def test_stickers_are_stickers(town: Town) -> None:
    alice, room = await opened(town)
    wave = town.discord.sticker(town.guild, "wave", PNG)
    town.discord.post(town.garden, town.carol, sticker_ids=[wave["id"]])
    sticker = await town.find(alice, room, lambda each: each["type"] == "m.sticker", "the sticker")
    assert sticker["content"]["body"] == "wave"
    assert sticker["content"]["url"].startswith("mxc://")


@inlined
async def test_embeds_of_applications_are_shown(town: Town) -> None:
    alice, room = await opened(town)
    embed = {
        "title": "Weather",
        "url": "https://weather.example",
        "description": "**Sun**",
        "fields": [{"name": "Wind", "value": "none"}],
    }
    town.discord.post(town.garden, town.carol, embeds=[embed])
    event = await town.says(alice, room, "Weather")
    html = event["content"]["formatted_body"]
    assert '<a href="https://weather.example">Weather</a>' in html
    assert "<strong>Sun</strong>" in html
    assert "Wind" in html


@inlined
async def test_a_forwarded_message_is_quoted_with_its_files(town: Town) -> None:
    alice, room = await opened(town)
    court = town.discord.channel(town.guild, "court")
    message = town.discord.post(court, town.carol, "news", files=[Upload("rose.png", PNG)])
    town.discord.forward(message, town.garden, town.carol)
    event = await town.says(alice, room, "Forwarded")
    assert "<blockquote>news</blockquote>" in event["content"]["formatted_body"]
    await town.find(alice, room, lambda each: each["content"]["msgtype"] == "m.image", "the picture")


@inlined
async def test_buttons_and_menus_are_shown(town: Town) -> None:
    alice, room = await opened(town)
    options = [{"label": "red", "value": "r"}, {"label": "white", "value": "w"}]
    rows = [
        {"type": 1, "components": [{"type": 2, "style": 5, "label": "Page", "url": "https://example.org"}]},
        {"type": 1, "components": [{"type": 2, "style": 1, "label": "Plant", "custom_id": "plant"}]},
        {"type": 1, "components": [{"type": 3, "placeholder": "Which", "custom_id": "which", "options": options}]},
    ]
    message = town.discord.post(town.garden, town.carol, "Roses?", components=rows)
    event = await town.says(alice, room, "Roses?")
    for text in ("https://example.org", "[1] Plant", "[2] red", "[3] white"):
        assert text in event["content"]["body"]
    relates = {"m.in_reply_to": {"event_id": event["event_id"]}}
    await alice.send(room, "2", **{"m.relates_to": relates})
    # No bot may press what another one shows: where it can be done is said.
    answer = await town.says(alice, room, "answer it there")
    assert message["id"] in answer["content"]["body"]


@inlined
async def test_a_mention_of_a_ghost_on_discord_names_it(town: Town) -> None:
    alice, room = await opened(town)
    town.discord.post(town.garden, town.carol, f"I am <@{town.carol['id']}> of <#{town.garden}>")
    event = await town.says(alice, room, "I am")
    assert event["content"]["body"] == "I am @Carol of #garden"
    assert event["content"]["m.mentions"]["user_ids"] == [town.ghost(town.carol)]


@inlined
async def test_webhooks_of_others_have_ghosts_of_their_own(town: Town) -> None:
    alice, room = await opened(town)
    hook = {"id": "77", "application_id": None}
    author = {"id": "77", "username": "Rabbit", "avatar": None, "discriminator": "0000", "bot": True}
    town.discord.do(lambda: town.discord.server.posts.create(town.garden, author, {"content": "late"}, webhook=hook))
    event = await town.says(alice, room, "late")
    assert event["sender"] == town.ghost("77:Rabbit")


# From Matrix.


@inlined
async def test_what_is_said_in_matrix_is_said_under_that_name_on_discord(town: Town) -> None:
    alice, room = await opened(town)
    await alice.send(room, "hello", format="org.matrix.custom.html", formatted_body="<b>hello</b>")
    message = await town.posted(town.garden, "**hello**")
    assert message["author"]["username"] == "Alice"
    assert "webhook_id" in message


@inlined
async def test_an_emote_is_in_italics(town: Town) -> None:
    alice, room = await opened(town)
    await alice.send(room, "waves", msgtype="m.emote")
    assert (await town.posted(town.garden, "waves"))["content"] == "*waves*"


@inlined
async def test_an_edit_and_a_redaction_in_matrix_change_the_message(town: Town) -> None:
    alice, room = await opened(town)
    event_id = await alice.send(room, "helo")
    message = await town.posted(town.garden, "helo")
    await town.edit(alice, room, event_id, "hello")
    await town.until(lambda: message["content"] == "hello", "the edit")
    await town.redact(alice, room, event_id)
    await town.until(lambda: message not in town.discord.messages(town.garden), "the deletion")


@inlined
async def test_files_of_matrix_go_up(town: Town) -> None:
    alice, room = await opened(town)
    mxc = await town.upload(alice, PNG, "image/png", "rose.png")
    await alice.send(room, "rose.png", msgtype="m.image", url=mxc, info={"mimetype": "image/png"})
    message = await town.message(town.garden, lambda each: each["attachments"], "the picture")
    assert town.discord.file(message["attachments"][0]) == PNG
    assert (message["content"], message["attachments"][0]["filename"]) == ("", "rose.png")


@inlined
async def test_an_answer_in_matrix_says_what_it_answers(town: Town) -> None:
    alice, room = await opened(town)
    asked = town.discord.post(town.garden, town.carol, "question")
    event = await town.says(alice, room, "question")
    relates = {"m.in_reply_to": {"event_id": event["event_id"]}}
    answer = await alice.send(room, "answer", **{"m.relates_to": relates})
    message = await town.posted(town.garden, "answer")
    link = f"https://discord.com/channels/{town.guild}/{town.garden}/{asked['id']}"
    assert message["content"] == f"-# ↪ [**Carol**]({link}): question\nanswer"
    await town.edit(alice, room, answer, "better answer")
    await town.until(lambda: message["content"].endswith("question\nbetter answer"), "the edit keeps the line")


@inlined
async def test_a_thread_of_matrix_is_a_thread(town: Town) -> None:
    alice, room = await opened(town)
    root = town.discord.post(town.garden, town.carol, "root")
    event = await town.says(alice, room, "root")
    relates = {"rel_type": "m.thread", "event_id": event["event_id"]}
    for text in ("leaf", "other leaf"):
        await alice.send(room, text, **{"m.relates_to": relates})
    await town.until(lambda: root["id"] in town.discord.world.channels, "the thread")
    await town.posted(root["id"], "other leaf")
    assert [each["content"] for each in town.discord.messages(root["id"])] == ["leaf", "other leaf"]
    # And back: what is said there on Discord comes into the same thread.
    town.discord.post(root["id"], town.carol, "her leaf")
    leaf = await town.says(alice, room, "her leaf")
    assert leaf["content"]["m.relates_to"]["event_id"] == event["event_id"]


@inlined
async def test_an_edit_in_a_thread_is_found_there(town: Town) -> None:
    alice, room = await opened(town)
    root = await alice.send(room, "root")
    message = await town.posted(town.garden, "root")
    relates = {"rel_type": "m.thread", "event_id": root}
    leaf = await alice.send(room, "leaf", **{"m.relates_to": relates})
    await town.until(lambda: message["id"] in town.discord.world.channels, "the thread")
    posted = await town.posted(message["id"], "leaf")
    await town.edit(alice, room, leaf, "green leaf")
    await town.until(lambda: posted["content"] == "green leaf", "the edit")


@inlined
async def test_a_long_text_becomes_several_messages_that_go_together(town: Town) -> None:
    alice, room = await opened(town)
    event_id = await alice.send(room, "a" * 1500 + "\n\n" + "b" * 1500)
    await town.posted(town.garden, "bbb")
    assert [len(each["content"]) for each in town.discord.messages(town.garden)] == [1500, 1500]
    await town.edit(alice, room, event_id, "short")
    await town.until(lambda: [m["content"] for m in town.discord.messages(town.garden)] == ["short"], "one is left")


@inlined
async def test_a_huge_text_comes_as_a_file(town: Town) -> None:
    alice, room = await opened(town)
    await alice.send(room, "word " * 6000)
    message = await town.message(town.garden, lambda each: each["attachments"], "the file")
    assert town.discord.file(message["attachments"][0]).decode().count("word") == 6000


@inlined
async def test_a_pill_pings_and_a_text_does_not(town: Town) -> None:
    alice, room = await opened(town)
    ghost = town.ghost(town.carol)
    html = f'<a href="https://matrix.to/#/{q(ghost)}">Carol</a>: hi'
    mentions = {"user_ids": [ghost]}
    await alice.send(
        room, "Carol: hi", format="org.matrix.custom.html", formatted_body=html, **{"m.mentions": mentions}
    )
    message = await town.posted(town.garden, ": hi")
    assert message["content"] == f"<@{town.carol['id']}>: hi"
    assert [each["id"] for each in message["mentions"]] == [town.carol["id"]]
    await alice.send(room, f"<@{town.carol['id']}> @everyone")
    assert (await town.posted(town.garden, "@everyone"))["mentions"] == []


@inlined
async def test_a_moderator_of_matrix_deletes_what_was_said_on_discord(town: Town) -> None:
    alice, room = await opened(town)
    message = town.discord.post(town.garden, town.carol, "rude")
    event = await town.says(alice, room, "rude")
    bot = town.process.bridge.parts.context
    await bot.matrix.redact(bot.bot, room, event["event_id"], "t1")
    await town.settle(alice, room, town.garden)
    # The bot's own redactions are echoes; a person's are not.
    assert message in town.discord.messages(town.garden)
    await town.give_power(alice, room, 60)
    other = town.discord.post(town.garden, town.carol, "ruder")
    ruder = await town.says(alice, room, "ruder")
    await town.redact(alice, room, ruder["event_id"])
    await town.until(lambda: other not in town.discord.messages(town.garden), "the deletion")
