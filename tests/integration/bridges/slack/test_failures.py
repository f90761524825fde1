"""Nothing is lost or doubled, whatever is killed; and what goes wrong is told, and the bridge goes on."""

import pytest

from tests.integration.bridges.slack.town import TEAM, SlackTown
from tests.support.homeserver import Client


async def once(town: SlackTown, client: Client, room: str, *texts: str) -> None:
    """Each of these is in the room and in the channel exactly once, and in this order."""
    await town.settle_slack(client, room, town.general)
    for shown in (
        [body.partition(": ")[2] for body in await town.messages(client, room)],
        town.slack.texts(town.general),
    ):
        assert [text for text in shown if text in texts] == list(texts), shown


async def test_what_slack_says_while_the_bridge_is_down_comes_when_it_is_back(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.post(town.general, "before")
    await town.says(alice, room, "before")
    await town.bridge.kill()
    town.slack.server.sockets.retry_after_s = (0.0,)
    edited, gone = town.maria.post(town.general, "oen"), town.maria.post(town.general, "gone")
    town.maria.edit(town.general, edited, "one")
    town.maria.delete(town.general, gone)
    town.joe.post(town.general, "two")
    await town.until(lambda: len(town.slack.server.sockets.lost) >= 5, "Slack gave up")
    await town.restart()
    await once(town, alice, room, "before", "one", "two")


async def test_edits_deletions_and_reactions_while_the_bridge_is_down(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    changed = town.maria.post(town.general, "changed")
    await town.says(alice, room, "changed")
    # In a later millisecond: of equal times it is not known which was first, and so what lies before the newest few.
    gone = town.maria.post(town.general, "gone")
    deleted = await town.says(alice, room, "gone")
    await town.bridge.kill()
    town.slack.server.sockets.retry_after_s = (0.0,)
    town.maria.edit(town.general, changed, "other")
    town.maria.delete(town.general, gone)
    town.joe.react(town.general, changed, "+1")
    await town.restart()
    await town.find(alice, room, lambda e: e["content"]["m.new_content"]["body"] == "other", "the edit")
    await town.find(alice, room, lambda e: e["content"]["m.relates_to"]["key"].startswith("👍"), "the thumb")
    await town.find(alice, room, lambda e: e.get("redacts") == deleted["event_id"], "the deletion")


async def test_threads_that_went_on_while_the_bridge_was_down(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    ts = town.maria.post(town.general, "root")
    await town.says(alice, room, "root")
    await town.bridge.kill()
    town.slack.server.sockets.retry_after_s = (0.0,)
    town.joe.post(town.general, "in the thread", thread=ts)
    await town.restart()
    reply = await town.says(alice, room, "in the thread")
    assert reply["content"]["m.relates_to"]["rel_type"] == "m.thread"


async def test_what_matrix_says_while_the_bridge_is_down_comes_when_it_is_back(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    await town.bridge.kill()
    for text in ("one", "two", "three"):
        await alice.send(room, text)
    await town.restart()
    await once(town, alice, room, "one", "two", "three")


async def test_killed_after_slack_took_a_message_and_before_it_said_so(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.slack.fail("chat.postMessage", cut="after")
    await alice.send(room, "one")
    await town.posted(town.general, "one")
    await town.bridge.kill()
    await alice.send(room, "two")
    await town.restart()
    await once(town, alice, room, "one", "two")


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal", "chat.postMessage"])
async def test_killed_at_any_step_of_an_upload_the_file_is_there_once(town: SlackTown, method: str) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    mxc = await town.upload(alice, b"x" * 500, "text/plain", "notes.txt")
    town.slack.fail(method, cut="after")
    await alice.send_event(
        room, "m.room.message", {"msgtype": "m.file", "body": "my notes", "filename": "notes.txt", "url": mxc}
    )
    await town.until(lambda: not town.slack.core.faults.is_left(method), "the cut")
    await town.bridge.kill()
    await town.restart()
    await town.posted(town.general, "my notes")
    await town.settle_slack(alice, room, town.general)
    posted = [each for each in town.slack.messages(town.general) if "my notes" in each["text"]]
    assert [file["name"] for each in posted for file in each["files"]] == ["notes.txt"]


async def test_a_cut_answer_is_not_sent_twice(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.slack.fail("chat.postMessage", cut="after", times=2)
    await alice.send(room, "one")
    await alice.send(room, "two")
    await once(town, alice, room, "one", "two")


async def test_slack_fails_and_holds_up_and_all_of_it_comes_in_order(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.slack.fail("chat.postMessage", status=500)
    town.slack.fail("chat.postMessage", status=429, retry_after=1, times=2)
    for text in ("one", "two", "three"):
        await alice.send(room, text)
    await once(town, alice, room, "one", "two", "three")


async def test_cut_and_refreshed_connections_lose_and_double_nothing(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.post(town.general, "one")
    town.slack.cut_sockets()
    town.maria.post(town.general, "two")
    town.slack.core.faults.doubled = 3
    await town.says(alice, room, "two")
    town.slack.ask_to_reconnect(town.app)
    town.maria.post(town.general, "three")
    await once(town, alice, room, "one", "two", "three")


async def test_slack_is_gone_for_a_while(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.slack.run(town.slack.server.stop())
    await alice.send(room, "one")
    town.maria.post(town.general, "two")
    town.slack.run(town.slack.server.start(town.slack.port))
    await town.says(alice, room, "two")
    await town.posted(town.general, "one")


async def test_a_revoked_login_is_told_and_relayed_from_then_on(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    token = town.slack.authorize(town.app, town.joe)
    managed = await town.log_in(alice, token)
    town.slack.revoke(token)
    await town.says(alice, managed, "revoked")
    await alice.send(room, "still here")
    message = await town.posted(town.general, "still here")
    assert message["username"] == "alice"


async def test_a_deleted_channel_is_told_in_its_room(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.slack.delete_channel(town.general, town.maria)
    await town.says(alice, room, "deleted in Slack")
    other = town.slack.add_channel("other", town.maria, town.app)
    another = await town.open_channel(other, alice)
    town.maria.post(other, "the bridge goes on")
    await town.says(alice, another, "the bridge goes on")


async def test_a_missing_scope_is_told_and_the_rest_works(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.slack.bot_token(town.app).scopes.discard("reactions:write")
    ts = town.maria.post(town.general, "hello")
    event = await town.says(alice, room, "hello")
    await town.react(alice, room, event["event_id"], "👍")
    await town.says(alice, room, "reactions:write")
    await alice.send(room, "still here")
    await town.posted(town.general, "still here")
    assert ts


async def test_a_file_too_large_is_told_and_the_rest_works(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.slack.core.max_file_bytes = 1000
    mxc = await town.upload(alice, b"x" * 2000, "text/plain", "big.txt")
    await alice.send_event(room, "m.room.message", {"msgtype": "m.file", "body": "big.txt", "url": mxc})
    await town.says(alice, room, "larger than the workspace allows")
    town.slack.core.max_file_bytes = 10**9
    await alice.send(room, "still here")
    await town.posted(town.general, "still here")


async def test_the_bot_is_sent_away_and_invited_again(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.slack.do(town.slack.core.acts.leave, town.general, town.app.bot_user_id)
    await town.says(alice, room, "not in the channel any more")
    town.maria.invite(town.general, town.app)
    town.maria.post(town.general, "back again")
    again = await town.portal_of(town.general)
    if again != room:
        await alice.join(again)
    await town.says(alice, again, "back again")
    assert TEAM


async def test_what_both_sides_say_while_the_bridge_is_down_comes_when_it_is_back(town: SlackTown) -> None:
    alice = await town.user("alice")
    room = await town.open_channel(town.general, alice)
    town.maria.post(town.general, "before")
    await town.says(alice, room, "before")
    await town.bridge.kill()
    town.slack.server.sockets.retry_after_s = (0.0,)
    town.maria.post(town.general, "from slack")
    await town.until(lambda: town.slack.server.sockets.lost, "Slack gave up")
    await alice.send(room, "from matrix")
    await town.restart()
    await town.posted(town.general, "from matrix")
    await town.says(alice, room, "from slack")
    bodies = [body.partition(": ")[2] for body in await town.messages(alice, room)]
    assert bodies.count("from slack") == 1 == town.slack.texts(town.general).count("from matrix")
