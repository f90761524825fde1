"""Messages both ways: Slack <-> the bridge <-> Hearth."""

import pytest

from tests.integration.bridges.core.scenes import kept_deliveries
from tests.integration.bridges.slack.town import SlackTown
from tests.support.fake_slack.pictures import png
from tests.support.homeserver import q


async def test_what_is_said_in_slack_is_said_in_matrix(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.post(town.general, f"*hello* <@{town.joe.id}>")
    event = await town.says(alice, room, "hello joe")
    assert event["sender"] == town.ghost_of(town.maria)
    joe = town.ghost_of(town.joe)
    assert event["content"]["formatted_body"] == (f'<strong>hello</strong> <a href="https://matrix.to/#/{joe}">joe</a>')
    assert event["content"]["m.mentions"] == {"user_ids": [joe]}


async def test_what_is_said_in_matrix_is_said_under_that_name_in_slack(town: SlackTown) -> None:
    alice = await town.user("alice")
    await alice.ok("PUT", f"/profile/{q(alice.user_id)}/displayname", {"displayname": "Alice"})
    room = await town.open_channel(town.general, alice)
    await alice.send(room, "hello", format="org.matrix.custom.html", formatted_body="<b>hello</b>")
    message = await town.posted(town.general, "*hello*")
    assert (message["username"], message["bot_id"]) == ("Alice", town.app.bot_id)


async def test_edits_and_deletions_both_ways(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    ts = town.maria.post(town.general, "one")
    seen = await town.says(alice, room, "one")
    town.maria.edit(town.general, ts, "two")
    await town.find(alice, room, lambda e: e["content"]["m.new_content"]["body"] == "two", "the edit")
    town.maria.delete(town.general, ts)
    await town.find(alice, room, lambda e: e["type"] == "m.room.redaction" and e["redacts"] == seen["event_id"], "gone")
    event_id = await alice.send(room, "drei")
    await town.posted(town.general, "drei")
    await town.edit(alice, room, event_id, "three")
    await town.posted(town.general, "three")
    await town.redact(alice, room, event_id)
    await town.until(lambda: town.slack.texts(town.general) == [], "nothing left")


async def test_threads_and_replies_both_ways(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    ts = town.maria.post(town.general, "root")
    root = await town.says(alice, room, "root")
    town.joe.post(town.general, "from slack", thread=ts)
    reply = await town.says(alice, room, "from slack")
    assert reply["content"]["m.relates_to"]["rel_type"] == "m.thread"
    assert reply["content"]["m.relates_to"]["event_id"] == root["event_id"]
    relates = {"rel_type": "m.thread", "event_id": root["event_id"]}
    await alice.send(room, "from matrix", **{"m.relates_to": relates})
    assert (await town.posted(town.general, "from matrix"))["thread_ts"] == ts
    answer = {"m.in_reply_to": {"event_id": root["event_id"]}}
    await alice.send(room, "an answer", **{"m.relates_to": answer})
    assert (await town.posted(town.general, "an answer"))["thread_ts"] == ts


async def test_files_and_captions_both_ways(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    picture = png("cat")
    town.maria.share(town.general, "cat.png", picture, "look")
    event = await town.says(alice, room, "look")
    assert (event["content"]["msgtype"], event["content"]["filename"]) == ("m.image", "cat.png")
    server, _, media = event["content"]["url"].removeprefix("mxc://").partition("/")
    path = f"/_matrix/client/v1/media/download/{server}/{media}"
    answer = await alice.ask("GET", path)
    assert answer.body == picture
    mxc = await town.upload(alice, b"x" * 50_000, "text/plain", "notes.txt")
    content = {"msgtype": "m.file", "body": "my notes", "filename": "notes.txt", "url": mxc}
    await alice.send_event(room, "m.room.message", content)
    message = await town.posted(town.general, "my notes")
    file = message["files"][0]
    assert (file["name"], file["size"], message["username"]) == ("notes.txt", 50_000, "alice")
    assert town.slack.core.world.contents[file["id"]] == b"x" * 50_000


async def test_stickers_and_custom_emoji_both_ways(town: SlackTown) -> None:
    town.slack.do(town.slack.core.acts.add_emoji, "party", f"{town.slack.url}/emoji/party.png")
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.post(town.general, "yes :party:")
    event = await town.says(alice, room, "yes :party:")
    html = event["content"]["formatted_body"]
    mxc = html.partition('src="')[2].partition('"')[0]
    assert mxc.startswith("mxc://") and "data-mx-emoticon" in html
    formatted = f'<img data-mx-emoticon src="{mxc}" alt=":party:"> back'
    await alice.send(room, ":party: back", format="org.matrix.custom.html", formatted_body=formatted)
    await town.posted(town.general, ":party: back")
    sticker = await town.upload(alice, png("sticker"), "image/png", "sticker.png")
    await alice.send_event(room, "m.sticker", {"body": "a sticker", "url": sticker, "info": {}})
    await town.posted(town.general, lambda each: each["files"][0]["mimetype"] == "image/png")


async def test_emotes_notices_links_and_forwards(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.post(town.general, "waves", subtype="me_message")
    event = await town.says(alice, room, "waves")
    assert event["content"]["msgtype"] == "m.emote"
    await alice.send_event(room, "m.room.message", {"msgtype": "m.emote", "body": "bows"})
    await town.posted(town.general, "_bows_")
    shared = {
        "is_share": True,
        "author_name": "Joe",
        "text": "his words",
        "from_url": "https://x.slack.com/archives/C/p1",
    }
    town.maria.post(town.general, "see", attachments=[shared])
    event = await town.says(alice, room, "his words")
    assert "<blockquote>" in event["content"]["formatted_body"]


async def test_reactions_both_ways(town: SlackTown) -> None:
    town.slack.do(town.slack.core.acts.add_emoji, "party", f"{town.slack.url}/emoji/party.png")
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    ts = town.maria.post(town.general, "hello")
    event = await town.says(alice, room, "hello")
    town.joe.react(town.general, ts, "+1")
    reaction = await town.find(alice, room, lambda e: e["content"]["m.relates_to"]["key"].startswith("👍"), "a thumb")
    assert reaction["sender"] == town.ghost_of(town.joe)
    town.joe.react(town.general, ts, "party")
    await town.find(alice, room, lambda e: e["content"]["m.relates_to"]["key"].startswith("mxc://"), "a party")
    town.joe.unreact(town.general, ts, "+1")
    await town.find(alice, room, lambda e: e.get("redacts") == reaction["event_id"], "the thumb goes")
    mine = await town.react(alice, room, event["event_id"], "❤️")
    names = lambda: [each["name"] for each in town.general.messages[ts].get("reactions", [])]  # noqa: E731
    await town.until(lambda: "heart" in names(), "a heart")
    await town.redact(alice, room, mine)
    await town.until(lambda: "heart" not in names(), "no heart")


async def test_a_long_message_is_edited_as_a_whole(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    event_id = await alice.send(room, " ".join(f"word{number}" for number in range(1500)))
    await town.posted(town.general, "word1499")
    await town.edit(alice, room, event_id, "short")
    await town.until(lambda: town.slack.texts(town.general) == ["short"], "one message")


async def test_what_the_bridge_wrote_itself_is_not_kept_when_it_comes_back(
    town: SlackTown, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    kept = kept_deliveries(monkeypatch)
    await alice.send(room, "from Matrix")
    await town.posted(town.general, "from Matrix")
    town.maria.post(town.general, "from Slack")
    await town.says(alice, room, "from Slack")
    told = [item.payload["payload"]["event"].get("text") for item in kept]
    assert "from Slack" in told and "from Matrix" not in told
