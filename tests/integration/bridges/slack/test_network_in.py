"""From Slack: what the bridge reads of what the fake delivers."""

from typing import Any

import pytest

from appservice.bridges.core.errors import NetworkError
from appservice.bridges.core.incoming import (
    ChannelChanged,
    ChannelKind,
    ChannelRemoved,
    Deleted,
    Delivery,
    Edited,
    EmojiChanged,
    MemberChanged,
    Message,
    PersonChanged,
    PinChanged,
    ReactionChanged,
    Receipt,
    SpaceChanged,
)
from tests.integration.bridges.slack.rig import Workspace


def test_a_message_of_a_person(work: Workspace) -> None:
    rig = work.connect()
    ts = work.maria.post(work.general, "hello *world* <@" + work.joe.id + ">")
    (message,) = rig.until(Message)
    assert (message.id, message.sender, message.is_ours) == (ts, f"T0HEARTH-{work.maria.id}", False)
    assert message.parts[0].content["body"] == f"hello world T0HEARTH-{work.joe.id}"
    assert "<strong>world</strong>" in message.parts[0].content["formatted_body"]
    assert message.sent_ms == int(float(ts) * 1000)


def test_a_person_has_a_name_and_a_face(work: Workspace) -> None:
    rig = work.connect()
    person = rig.call(rig.network.person(rig.login(work.slack.authorize(work.app, work.maria)).person))
    assert person.name == "maria" and person.avatar is not None and not person.is_ours


def test_an_edit_has_another_version(work: Workspace) -> None:
    rig = work.connect()
    ts = work.maria.post(work.general, "one")
    work.maria.edit(work.general, ts, "two")
    (edited,) = rig.until(Edited)
    (message,) = rig.until(Message)
    assert edited.message.parts[0].content["body"] == "two"
    assert edited.message.version != message.version


def test_a_thread_and_a_reply_that_is_in_the_channel_too(work: Workspace) -> None:
    rig = work.connect()
    ts = work.maria.post(work.general, "root")
    work.joe.post(work.general, "reply", thread=ts)
    work.joe.post(work.general, "for all", thread=ts, broadcast=True)
    messages = rig.until(Message, 3)
    assert [message.thread for message in messages] == [None, ts, ts]


def test_deleted_messages_and_roots_of_threads(work: Workspace) -> None:
    rig = work.connect()
    one, two = work.maria.post(work.general, "one"), work.maria.post(work.general, "two")
    work.joe.post(work.general, "reply", thread=two)
    work.maria.delete(work.general, one)
    work.maria.delete(work.general, two)
    assert [event.id for event in rig.until(Deleted, 2)] == [one, two]


def test_reactions_with_characters_and_custom_emoji(work: Workspace) -> None:
    work.slack.do(work.slack.core.acts.add_emoji, "party", f"{work.slack.url}/emoji/party.png")
    work.slack.do(work.slack.core.acts.add_emoji, "fest", "alias:party")
    rig = work.connect()
    ts = work.maria.post(work.general, "hello")
    work.joe.react(work.general, ts, "+1")
    work.joe.react(work.general, ts, "fest")
    work.joe.unreact(work.general, ts, "+1")
    first, second, third = rig.until(ReactionChanged, 3)
    assert (first.emoji.unicode, first.is_added, third.is_added) == ("👍️", True, False)
    assert first.emoji.id == third.emoji.id
    assert second.emoji.image is not None and second.emoji.image.source["url"].endswith("/party.png")


def test_pins(work: Workspace) -> None:
    rig = work.connect()
    ts = work.maria.post(work.general, "important")
    work.maria.pin(work.general, ts)
    work.maria.unpin(work.general, ts)
    assert [(event.message, event.is_pinned) for event in rig.until(PinChanged, 2)] == [(ts, True), (ts, False)]


def test_files_with_a_caption_are_one_event_and_further_ones_their_own(work: Workspace) -> None:
    rig = work.connect()
    work.maria.share(work.general, "cat.png", b"png", "look")
    (message,) = rig.until(Message)
    (part,) = message.parts
    assert part.file is not None and part.file.size_bytes == 3
    assert (part.content["body"], part.content["filename"]) == ("look", "cat.png")


def test_names_topics_members_and_ends_of_channels(work: Workspace) -> None:
    rig = work.connect()
    work.maria.rename(work.general, "plaza")
    work.maria.set_topic(work.general, "a &amp; b")
    work.joe.leave(work.general)
    work.joe.join(work.general)
    work.slack.delete_channel(work.general, work.maria)
    changed = rig.until(ChannelChanged, 2)
    assert (changed[0].channel.name, changed[1].channel.topic) == ("plaza", "a & b")
    assert [event.membership for event in rig.until(MemberChanged, 2)] == ["leave", "join"]
    assert rig.until(ChannelRemoved)[0].channel == rig.channel_id(work.general)


def test_public_and_private_channels_are_renamed_and_archived_and_deleted(work: Workspace) -> None:
    rig = work.connect()
    secret = work.slack.add_channel("secret", work.maria, kind="group")
    work.maria.invite(secret, work.app)
    rig.until(ChannelChanged)
    for before, channel, name in ((1, work.general, "plaza"), (4, secret, "hideout")):
        work.maria.rename(channel, name)
        for archived in (True, False):
            work.slack.do(work.slack.core.acts.archive, channel, work.maria.id, archived)
        told = [event.channel for event in rig.until(ChannelChanged, before + 3)[before:]]
        assert {each.id for each in told} == {rig.channel_id(channel)}
        assert [told[0].name, told[1].is_archived, told[2].is_archived] == [name, True, False]
    work.slack.delete_channel(secret, work.maria)
    assert rig.until(ChannelRemoved)[0].channel == rig.channel_id(secret)


def test_a_workspace_that_is_renamed_is_a_space_of_that_name(work: Workspace) -> None:
    rig = work.connect()
    work.slack.do(work.slack.core.acts.rename_team, "Looking-Glass")
    assert rig.until(SpaceChanged)[-1].space.name == "Looking-Glass"


def test_the_bot_is_invited_and_sent_away(work: Workspace) -> None:
    rig = work.connect()
    secret = work.slack.add_channel("secret", work.maria, kind="group")
    work.maria.invite(secret, work.app)
    (seen,) = rig.until(ChannelChanged)
    assert seen.channel.id == rig.channel_id(secret)
    work.slack.do(work.slack.core.acts.leave, secret, work.app.bot_user_id)
    assert rig.until(ChannelRemoved)[0].channel == rig.channel_id(secret)


def test_what_a_channel_is(work: Workspace) -> None:
    rig = work.connect()
    ts = work.maria.post(work.general, "important")
    work.maria.pin(work.general, ts)
    work.maria.set_topic(work.general, "all of it")
    channel = rig.call(rig.network.channel(rig.channel_id(work.general)))
    assert (channel.kind, channel.name, channel.topic, channel.is_public) == (
        ChannelKind.CHANNEL,
        "general",
        "all of it",
        True,
    )
    assert set(channel.members or ()) == {f"T0HEARTH-{work.maria.id}", f"T0HEARTH-{work.joe.id}"}
    assert channel.pins == (ts,)
    assert channel.power is not None and channel.power.people == {f"T0HEARTH-{work.maria.id}": 50}


def test_people_and_emoji_change(work: Workspace) -> None:
    rig = work.connect()
    work.maria.change_profile(display_name="Maria 🌻")
    work.slack.do(work.slack.core.acts.add_emoji, "party", "https://x.test/p.png")
    (changed,) = rig.until(PersonChanged)
    assert changed.person.name == "Maria 🌻"
    rig.until(EmojiChanged)
    assert [each.name for each in rig.call(rig.network.emoji(rig.call(rig.network.spaces())[0].id))] == ["party"]


def test_an_app_under_several_names_is_several_people(work: Workspace) -> None:
    rig = work.connect()
    other = work.slack.add_app("Other")
    work.maria.invite(work.general, other)
    for name in ("Build", "Deploy", "Build"):
        message = {"bot_id": other.bot_id, "username": name, "text": "x", "subtype": "bot_message"}
        work.slack.do(work.slack.core.acts.post, work.general, message)
    first, second, third = rig.until(Message, 3)
    assert first.sender == third.sender != second.sender
    assert (first.people[0].name, second.people[0].name) == ("Build", "Deploy")


def test_a_doubled_event_is_kept_once(work: Workspace) -> None:
    rig = work.connect()
    work.slack.core.faults.doubled = 5
    work.maria.post(work.general, "once")
    work.maria.post(work.general, "twice")
    rig.until(Message, 2)
    work.slack.wait(lambda: len(work.slack.server.sockets.acknowledged) >= 4)
    assert len(rig.events()) == 2


def test_what_could_not_be_kept_is_not_acknowledged_and_comes_again(work: Workspace) -> None:
    sockets = work.slack.server.sockets
    sockets.acknowledge_s, sockets.retry_after_s = 0.3, (0.1, 0.1)
    rig = work.connect()
    rig.bridge.refuses = 1
    work.maria.post(work.general, "hello")
    assert len(rig.until(Message)) == 1
    work.slack.wait(lambda: len(sockets.acknowledged) == 1)


def test_a_login_from_a_browser_brings_typing_presence_and_what_was_read(work: Workspace) -> None:
    token = work.slack.browser(work.app, work.joe)
    rig = work.connect([token])
    direct = work.maria.open_direct(work.joe)
    rig.wait(lambda: work.slack.server.rtm.listeners)
    ts = work.maria.post(direct, "only for you")
    (message,) = rig.until(Message)
    assert message.channel == rig.channel_id(direct)
    work.maria.type_in(direct)
    assert rig.wait(lambda: rig.bridge.typed) == [(rig.channel_id(direct), f"T0HEARTH-{work.maria.id}")]
    work.joe.mark(direct, ts)
    (receipt,) = rig.until(Receipt)
    assert (receipt.message, receipt.person) == (ts, f"T0HEARTH-{work.joe.id}")


def test_a_login_by_token_brings_direct_chats(work: Workspace) -> None:
    rig = work.connect([work.slack.authorize(work.app, work.joe)])
    direct = work.maria.open_direct(work.joe)
    work.maria.post(direct, "only for you")
    (message,) = rig.until(Message)
    channel = rig.call(rig.network.channel(message.channel))
    assert (channel.kind, channel.name) == (ChannelKind.DIRECT, "maria")


def test_presence_is_asked_for(work: Workspace) -> None:
    rig = work.connect()
    work.maria.is_now("active")
    work.maria.post(work.general, "here I am")
    rig.until(Message)
    rig.call(rig.network._connections._look_at_presence())
    assert rig.bridge.presences == [(f"T0HEARTH-{work.maria.id}", "online")]


def test_buttons_and_menus_are_shown(work: Workspace) -> None:
    rig = work.connect()
    other = work.slack.add_app("Poll App")
    button = {"type": "button", "action_id": "yes", "value": "1", "text": {"type": "plain_text", "text": "Yes"}}
    message = {"bot_id": other.bot_id, "user": other.bot_user_id, "text": "Lunch?"}
    message["blocks"] = [{"type": "actions", "block_id": "b", "elements": [button]}]
    work.slack.do(work.slack.core.acts.post, work.general, message)
    (shown,) = rig.until(Message)
    assert [action.label for action in shown.parts[0].actions] == ["Yes"]


def test_what_was_missed_is_read_from_the_history_oldest_first(work: Workspace) -> None:
    rig = work.connect()
    stamps = [work.maria.post(work.general, f"m{number}") for number in range(6)]
    work.joe.react(work.general, stamps[5], "+1")
    channel = rig.channel_id(work.general)
    page = rig.call(rig.network.history(channel, limit=3, after=stamps[1]))
    assert [message.id for message in page.messages] == stamps[2:5]
    page = rig.call(rig.network.history(channel, limit=3, after=stamps[1], page=page.next))
    assert [message.id for message in page.messages] == stamps[5:] and page.next is None
    assert page.messages[0].reactions is not None and page.messages[0].reactions[0].emoji.unicode == "👍️"


def test_history_is_read_patiently(work: Workspace) -> None:
    work.slack.core.restricted_history = True
    stamps = [work.maria.post(work.general, f"m{number}") for number in range(20)]
    rig = work.connect()
    channel = rig.channel_id(work.general)
    newest = rig.call(rig.network.history(channel, limit=50))
    older = rig.call(rig.network.history(channel, limit=50, page=newest.next))
    assert [message.id for message in (*older.messages, *newest.messages)] == [
        ts for ts in stamps if ts in {m.id for m in (*older.messages, *newest.messages)}
    ]
    assert len(newest.messages) == 15 and len(older.messages) >= 5
    assert work.slack.core.limits.refused >= 1


def test_threads_that_went_on_are_found(work: Workspace) -> None:
    rig = work.connect()
    quiet, busy = work.maria.post(work.general, "quiet"), work.maria.post(work.general, "busy")
    reply = work.joe.post(work.general, "reply", thread=busy)
    channel = rig.channel_id(work.general)
    assert rig.call(rig.network.threads(channel, int(float(busy) * 1000))) == [(busy, busy, "busy")]
    page = rig.call(rig.network.history(channel, limit=10, after=busy, thread=busy))
    assert [message.id for message in page.messages] == [reply]
    assert quiet


def test_pages_of_people_who_come_and_go_are_passed_over(work: Workspace) -> None:
    ts = work.maria.post(work.general, "long ago")
    for _ in range(10):
        work.joe.leave(work.general)
        work.joe.join(work.general)
    rig = work.connect()
    page = rig.call(rig.network.history(rig.channel_id(work.general), limit=3))
    assert [message.id for message in page.messages] == [ts]


HOSTILE: list[Any] = [None, 7, "", "x", [], [7], {}, {"id": 7}, {"ts": []}, {"message": 7}, "1e400", "nan", True]
FIELDS = ["user", "channel", "item", "message", "ts", "thread_ts", "text", "blocks", "files", "attachments", "reaction"]


@pytest.mark.parametrize("kind", ["message", "reaction_added", "pin_added", "member_joined_channel", "user_change"])
def test_events_of_any_form_are_no_error(work: Workspace, kind: str) -> None:
    rig = work.connect()
    good = {"user": work.maria.id, "channel": work.general.id, "ts": "1.1", "text": "x", "item": {"type": "message"}}
    for subtype in (None, "message_changed", "message_deleted", "channel_topic"):
        for field in FIELDS:
            for value in HOSTILE:
                event = {"type": kind, **good, field: value} | ({"subtype": subtype} if subtype else {})
                payload = {"kind": "event", "team": "T0HEARTH", "event": event}
                try:
                    rig.call(rig.network.read(Delivery(queue=None, payload=payload)))
                except NetworkError:
                    # Somebody or something that Slack does not know.
                    continue
