"""What few bridges have, and what is at the edge of what Slack has."""

from tests.integration.bridges.slack.town import SlackTown
from tests.support.fake_slack.pictures import png
from tests.support.homeserver import q

POLL = "org.matrix.msc3381.poll"


async def test_a_new_room_begins_with_the_newest_messages_their_threads_and_reactions(town: SlackTown) -> None:
    root = town.maria.post(town.general, "root")
    town.joe.react(town.general, root, "+1")
    town.joe.post(town.general, "last")
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    assert [event["sender"] for event in await town.events(alice, room) if event["type"] == "m.reaction"] == [
        town.ghost_of(town.joe)
    ]
    said = [body.partition(": ")[2] for body in await town.messages(alice, room)]
    assert said == ["root", "last"]
    event = await town.says(alice, room, "root")
    assert event["origin_server_ts"] // 1000 == int(float(root))


async def test_older_messages_are_put_before_the_first(town: SlackTown) -> None:
    old = [f"old {number}" for number in range(55)]
    for text in old:
        town.maria.post(town.general, text)
    await town.until(lambda: not town.slack.server.sockets.unacknowledged, "Slack has told of them")
    admin = await town.user("admin")
    room = await town.open_channel(town.general, admin)
    assert len(await town.messages(admin, room)) == 50
    await admin.send(room, "!slack backfill")
    await town.says(admin, room, "5 older messages were brought in")
    said = [body.partition(": ")[2] for body in await town.messages(admin, room)]
    assert [text for text in said if text in old] == old


async def test_the_caption_of_a_picture_is_edited_both_ways(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    ts = town.maria.share(town.general, "cat.png", png("cat"), "lok")
    await town.says(alice, room, "lok")
    town.maria.edit(town.general, str(ts), "look")
    edit = await town.find(alice, room, lambda e: e["content"]["m.new_content"]["body"] == "look", "the edit")
    assert edit["content"]["m.new_content"]["msgtype"] == "m.image"
    mxc = await town.upload(alice, png("dog"), "image/png", "dog.png")
    content = {"msgtype": "m.image", "body": "a dgo", "filename": "dog.png", "url": mxc}
    event_id = await alice.send_event(room, "m.room.message", content)
    message = await town.posted(town.general, "a dgo")
    new = {**content, "body": "a dog"}
    relates = {"rel_type": "m.replace", "event_id": event_id}
    await alice.send_event(room, "m.room.message", {**new, "m.new_content": new, "m.relates_to": relates})
    assert (await town.posted(town.general, "a dog"))["ts"] == message["ts"]


async def test_what_an_address_unfolds_to_is_quoted(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    fields = [{"title": "Stars", "value": "5"}]
    unfurled = {"title": "A page", "title_link": "https://example.org/", "text": "of *roses*", "fields": fields}
    town.maria.post(town.general, "see https://example.org/", attachments=[unfurled])
    html = (await town.says(alice, room, "A page"))["content"]["formatted_body"]
    for part in ("<blockquote>", 'href="https://example.org/"', "Stars", "5"):
        assert part in html, html


async def test_a_poll_of_matrix_is_ended_on_slack(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    text = "org.matrix.msc1767.text"
    start = {"question": {text: "Lunch?"}, "answers": [{"id": "a", text: "Pizza"}, {"id": "b", text: "Soup"}]}
    poll = await alice.send_event(room, f"{POLL}.start", {f"{POLL}.start": start, text: "Lunch?"})
    message = await town.posted(town.general, "Lunch?")
    assert any(block["type"] == "actions" for block in message["blocks"])
    relates = {"rel_type": "m.reference", "event_id": poll}
    await alice.send_event(room, f"{POLL}.end", {"m.relates_to": relates, f"{POLL}.end": {}, text: "over"})

    def is_over(each: dict[str, object]) -> bool:
        return each["ts"] == message["ts"] and "actions" not in str(each["blocks"])

    await town.posted(town.general, is_over)


async def test_a_button_is_pressed_only_by_who_has_signed_in_from_the_browser(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    other = town.slack.add_app("Poll App")
    button = {"type": "button", "action_id": "yes", "value": "1", "text": {"type": "plain_text", "text": "Yes"}}
    message = {"bot_id": other.bot_id, "user": other.bot_user_id, "text": "Lunch?"}
    message["blocks"] = [{"type": "actions", "block_id": "b", "elements": [button]}]
    town.slack.do(town.slack.core.acts.post, town.general, message)
    event = await town.says(alice, room, "[1] Yes")
    await town.react(alice, room, event["event_id"], "1️⃣")
    told = await town.says(alice, room, "did not reach Slack")
    assert "login browser" in told["content"]["body"], told["content"]["body"]


async def test_a_level_given_in_matrix_is_taken_back_and_its_giver_told_why(town: SlackTown) -> None:
    admin = await town.user("admin")
    room = await town.open_channel(town.general, admin)
    context = town.bridge.parts.context
    levels = await context.matrix.state(context.bot, room, "m.room.power_levels") or {}
    before = levels["users"].get(town.ghost_of(town.joe), 0)
    levels["users"] |= {admin.user_id: 100}
    await context.matrix.put_state(context.bot, room, "m.room.power_levels", levels)
    levels["users"] |= {town.ghost_of(town.joe): 75}
    await admin.set_state(room, "m.room.power_levels", levels)
    await town.says(admin, room, "Slack's roles belong to the workspace")
    await town.until_state(
        admin, room, "m.room.power_levels", lambda now: now["users"].get(town.ghost_of(town.joe), 0) == before
    )


async def test_a_public_channel_is_joined_by_its_alias_and_lies_in_the_workspaces_space(town: SlackTown) -> None:
    alice = await town.user("alice")
    (location,) = await alice.get("/thirdparty/location/slack", channel="general")
    room = (await alice.ok("POST", f"/join/{q(location['alias'])}", {}))["room_id"]
    assert room == await town.portal_of(town.general)
    town.maria.post(town.general, "welcome")
    await town.says(alice, room, "welcome")
