"""To Slack: what core sends is done there, under the right name, once, and what cannot be done is told."""

from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from appservice.bridges.core.errors import (
    ChannelGone,
    LoginLost,
    MissingPermission,
    NotThere,
    Refused,
    Temporary,
    Unsupported,
)
from appservice.bridges.core.ids import PartId, ThreadId
from appservice.bridges.core.incoming import ChannelKind, Message, Poll, Voted
from appservice.bridges.core.outgoing import (
    Author,
    ChannelSettings,
    Emoji,
    MatrixReferences,
    Mention,
    OutgoingFile,
    Text,
    ThreadRef,
)
from tests.integration.bridges.slack.rig import ALICE, Rig, Workspace
from tests.support.fake_slack import BOT_SCOPES, FakeSlack
from tests.support.fake_slack.pictures import png

BOT = Author(user_id=ALICE, name="Alice")


def a_file(directory: Path, content: bytes = b"content", name: str = "a.txt") -> OutgoingFile:
    path = directory / name
    path.write_bytes(content)
    return OutgoingFile(path=path, name=name, mimetype="text/plain", size_bytes=len(content))


def test_a_message_is_posted_under_the_authors_name_and_face(work: Workspace) -> None:
    rig = work.connect()
    sent = rig.call(rig.network.send(rig.message(work.general, "hello")))
    (message,) = work.slack.messages(work.general)
    assert (message["ts"],) == sent.ids
    assert (message["username"], message["text"]) == ("Alice", "hello")
    assert message["icons"]["image_72"] == "https://hearth.test/alice.png"


def test_a_formatted_message_goes_as_rich_text(work: Workspace) -> None:
    rig = work.connect()
    person: Any = f"T0HEARTH-{work.maria.id}"
    html = '<b>hi</b> <a href="https://matrix.to/#/@slack_x:h.test">Maria</a>'
    references = MatrixReferences(people={"@slack_x:h.test": Mention(person=person, name="Maria")})
    text = Text(body="hi Maria", formatted_body=html, references=references)
    rig.call(rig.network.send(rig.message(work.general, "", text=text)))
    (message,) = work.slack.messages(work.general)
    assert message["text"] == f"*hi* <@{work.maria.id}>"
    assert message["blocks"][0]["elements"][0]["elements"][0] == {
        "type": "text",
        "text": "hi",
        "style": {"bold": True},
    }


def test_a_login_writes_as_itself(work: Workspace) -> None:
    token = work.slack.authorize(work.app, work.joe)
    rig = work.connect([token])
    author = Author(user_id=ALICE, name="Alice", login=rig.login(token))
    rig.call(rig.network.send(rig.message(work.general, "hello", author=author)))
    (message,) = work.slack.messages(work.general)
    assert message["user"] == work.joe.id and "username" not in message


def test_an_echo_is_known_as_ours(work: Workspace) -> None:
    rig = work.connect()
    sent = rig.call(rig.network.send(rig.message(work.general, "hello")))
    (echo,) = rig.until(Message)
    assert echo.is_ours and (echo.id,) == sent.ids
    page = rig.call(rig.network.history(rig.channel_id(work.general), limit=5))
    assert page.messages[0].sent_key == "key1"


def test_threads_and_replies_are_threads(work: Workspace) -> None:
    rig = work.connect()
    ts = work.maria.post(work.general, "root")
    root = rig.ref(work.general, ts, is_ours=False)
    thread = ThreadRef(id=ThreadId(ts), root=root)
    rig.call(rig.network.send(rig.message(work.general, "in the thread", thread=thread, key="a")))
    rig.call(rig.network.send(rig.message(work.general, "an answer", reply_to=root, key="b")))
    assert [message.get("thread_ts") for message in work.slack.messages(work.general)] == [ts, ts, ts]


def test_replies_stay_in_the_channel_if_that_is_wanted(work: Workspace) -> None:
    rig = work.connect(threads="threads")
    root = rig.ref(work.general, work.maria.post(work.general, "root"))
    rig.call(rig.network.send(rig.message(work.general, "an answer", reply_to=root)))
    assert "thread_ts" not in work.slack.messages(work.general)[1]


def test_a_message_is_edited_and_deleted(work: Workspace) -> None:
    rig = work.connect()
    sent = rig.call(rig.network.send(rig.message(work.general, "one")))
    ref = rig.ref(work.general, sent.ids[0])
    rig.call(rig.network.edit(ref, rig.message(work.general, "two", html="<b>two</b>")))
    assert work.slack.texts(work.general) == ["*two*"]
    rig.call(rig.network.edit(ref, rig.message(work.general, "three")))
    (message,) = work.slack.messages(work.general)
    assert (message["text"], message["blocks"]) == ("three", [])
    rig.call(rig.network.delete(BOT, ref))
    rig.call(rig.network.delete(BOT, ref))
    assert work.slack.texts(work.general) == []


def test_a_long_message_goes_in_pieces_that_are_edited_and_deleted_together(work: Workspace) -> None:
    rig = work.connect()
    long = " ".join(f"word{number}" for number in range(1500))
    sent = rig.call(rig.network.send(rig.message(work.general, long)))
    assert len(sent.ids) >= 3
    ref = rig.ref(work.general, sent.ids[0], more=sent.ids[1:])
    shorter = rig.call(rig.network.edit(ref, rig.message(work.general, long[:5000])))
    assert len(shorter.ids) == 2 == len(work.slack.texts(work.general))
    rig.call(rig.network.delete(BOT, rig.ref(work.general, shorter.ids[0], more=shorter.ids[1:])))
    assert work.slack.texts(work.general) == []


def test_reactions_and_pins_are_set_and_taken_back(work: Workspace) -> None:
    work.slack.do(work.slack.core.acts.add_emoji, "party", f"{work.slack.url}/emoji/party.png")
    rig = work.connect()
    ref = rig.ref(work.general, work.maria.post(work.general, "hello"), is_ours=False)
    thumb = rig.call(rig.network.react(BOT, ref, Emoji(unicode="👍")))
    party = rig.call(rig.network.react(BOT, ref, Emoji(name=":party:")))
    rig.call(rig.network.react(BOT, ref, Emoji(unicode="👍")))
    rig.call(rig.network.pin(BOT, ref, True))
    rig.call(rig.network.pin(BOT, ref, True))
    (message,) = work.slack.messages(work.general)
    assert [reaction["name"] for reaction in message["reactions"]] == ["+1", "party"]
    assert work.general.pins == [ref.id]
    for emoji in (thumb, party, party):
        rig.call(rig.network.unreact(BOT, ref, emoji))
    rig.call(rig.network.pin(BOT, ref, False))
    rig.call(rig.network.pin(BOT, ref, False))
    assert (message["reactions"], work.general.pins) == ([], [])
    with pytest.raises(Unsupported):
        rig.call(rig.network.react(BOT, ref, Emoji(name="a word")))


def test_a_file_is_shared_under_the_authors_name_with_its_caption(work: Workspace, tmp_path: Path) -> None:
    rig = work.connect()
    message = rig.message(work.general, "look <here>", kind="file", file=a_file(tmp_path, b"x" * 100_000))
    sent = rig.call(rig.network.send(message))
    (shown,) = work.slack.messages(work.general)
    assert (shown["username"], shown["files"][0]["size"]) == ("Alice", 100_000)
    assert shown["text"].startswith("look &lt;here&gt;\n<http")
    rig.call(rig.network.edit(rig.ref(work.general, sent.ids[0], memo=sent.memo), rig.message(work.general, "other")))
    (shown,) = work.slack.messages(work.general)
    assert shown["text"].startswith("other\n<http") and shown["files"]


class Spooled:
    def __init__(self) -> None:
        self.content = b""

    def write(self, chunk: bytes) -> object:
        self.content += chunk
        return None


def test_files_faces_and_emoji_are_fetched_and_others_are_not(work: Workspace) -> None:
    rig = work.connect()
    work.maria.share(work.general, "a.bin", b"x" * 200_000)
    (message,) = rig.until(Message)
    file, spool = message.parts[0].file, Spooled()
    assert file is not None
    fetched = rig.call(rig.network.fetch(file, spool))
    assert (len(spool.content), fetched.mimetype) == (200_000, "application/octet-stream")
    person = rig.call(rig.network.person(message.sender))
    assert person.avatar is not None
    face = Spooled()
    rig.call(rig.network.fetch(person.avatar, face))
    assert face.content == png(f"{work.maria.id}.png")
    with pytest.raises(NotThere):
        rig.call(rig.network.fetch(evolve(file, source={"url": "http://169.254.169.254/secret"}), Spooled()))
    work.slack.bot_token(work.app).scopes.discard("files:read")
    with pytest.raises(NotThere, match="files:read"):
        rig.call(rig.network.fetch(file, Spooled()))


def test_what_was_sent_before_a_crash_is_found_and_finished(work: Workspace) -> None:
    rig = work.connect()
    long = rig.message(work.general, " ".join(f"word{number}" for number in range(1200)))
    work.slack.fail("chat.postMessage", cut="after")
    with pytest.raises(Temporary):
        rig.call(rig.network.send(long))
    assert len(work.slack.texts(work.general)) == 1
    found = rig.call(rig.network.find_sent(long, 0))
    assert found is not None and len(found.ids) == len(work.slack.texts(work.general)) >= 2
    assert rig.call(rig.network.find_sent(evolve(long, key="another"), 0)) is None


def test_what_a_login_sent_from_a_browser_is_found_too(work: Workspace) -> None:
    token = work.slack.browser(work.app, work.joe)
    rig = work.connect([token])
    author = Author(user_id=ALICE, name="Alice", login=rig.login(token))
    message = rig.message(work.general, "hello", author=author)
    sent = rig.call(rig.network.send(message))
    found = rig.call(rig.network.find_sent(message, 0))
    assert found is not None and found.ids == sent.ids


def test_a_direct_chat_is_opened(work: Workspace) -> None:
    token = work.slack.authorize(work.app, work.joe)
    rig = work.connect([token])
    author = Author(user_id=ALICE, name="Alice", login=rig.login(token))
    person: Any = f"T0HEARTH-{work.maria.id}"
    channel = rig.call(rig.network.open_direct(author, [person]))
    assert (channel.kind, channel.name) == (ChannelKind.DIRECT, "maria")
    assert rig.call(rig.network.open_direct(author, [person])).id == channel.id


def test_names_topics_and_members_are_changed(work: Workspace) -> None:
    token = work.slack.authorize(work.app, work.maria)
    rig = work.connect([token])
    author = Author(user_id=ALICE, name="Alice", login=rig.login(token))
    channel = rig.channel_id(work.general)
    rig.call(rig.network.set_channel(author, channel, ChannelSettings(name="The Plaza!", topic="a & b")))
    assert (work.general.name, work.general.topic["value"]) == ("the-plaza", "a &amp; b")
    with pytest.raises(Refused, match="whoever made the channel"):
        rig.call(rig.network.set_channel(BOT, channel, ChannelSettings(name="other")))
    ana = work.slack.add_person("ana")
    person: Any = f"T0HEARTH-{ana.id}"
    rig.call(rig.network.set_member(BOT, channel, person, "invite"))
    assert ana.id in work.general.members
    rig.call(rig.network.set_member(author, channel, person, "kick"))
    assert ana.id not in work.general.members


def test_channels_are_found_joined_and_searched(work: Workspace) -> None:
    other = work.slack.add_channel("other", work.maria)
    secret = work.slack.add_channel("secret", work.maria, kind="group")
    rig = work.connect()
    found = rig.call(rig.network.find_channel("#other", BOT))
    assert found is not None and found.id == rig.channel_id(other)
    rig.call(rig.network.join(found.id))
    assert work.app.bot_user_id in other.members
    assert rig.call(rig.network.find_channel("#nothing", BOT)) is None
    with pytest.raises(Refused, match="/invite @hearth_bridge"):
        rig.call(rig.network.join(rig.channel_id(secret)))
    assert [each.name for each in rig.call(rig.network.search_channels("oth", 10))] == ["other"]
    assert [each.name for each in rig.call(rig.network.search_people("mar", 10))] == ["maria"]
    person = rig.call(rig.network.find_person("@joe", BOT))
    assert person is not None and person.name == "joe"


def test_a_poll_is_answered_by_buttons_and_shows_all_votes(work: Workspace) -> None:
    rig = work.connect()
    poll = Poll(question="Lunch?", answers=(("a", "Pizza"), ("b", "Soup")))
    sent = rig.call(rig.network.send(rig.message(work.general, "Lunch?", kind="poll", poll=poll)))
    work.joe.click(work.general, sent.ids[0], "hearth_poll:a")
    work.joe.click(work.general, sent.ids[0], "hearth_poll:b")
    votes = rig.until(Voted, 2)
    assert votes[-1].answers == ("b",)
    ref = rig.ref(work.general, sent.ids[0])
    rig.call(rig.network.vote(BOT, ref, ["b"]))
    shown = work.slack.messages(work.general)[0]["blocks"][1]["text"]["text"]
    assert shown == "1. Pizza  (0)\n2. Soup  (2)"
    rig.call(rig.network.end_poll(BOT, ref, Text(body="over")))
    assert [block["type"] for block in work.slack.messages(work.general)[0]["blocks"]] == [
        "section",
        "section",
        "context",
    ]


def test_a_button_of_another_app_is_pressed_by_a_login_from_a_browser(work: Workspace) -> None:
    token = work.slack.browser(work.app, work.joe)
    rig = work.connect([token])
    other = work.slack.add_app("Poll App")
    button = {"type": "button", "action_id": "yes", "value": "1", "text": {"type": "plain_text", "text": "Yes"}}
    message: dict[str, Any] = {"bot_id": other.bot_id, "user": other.bot_user_id, "text": "Lunch?"}
    message["blocks"] = [{"type": "actions", "block_id": "b", "elements": [button]}]
    work.slack.do(work.slack.core.acts.post, work.general, message)
    (shown,) = rig.until(Message)
    ref = rig.ref(work.general, shown.id, memo=shown.memo, is_ours=False)
    source = {**shown.parts[0].actions[0].source, "id": "b/yes"}
    rig.call(rig.network.press(Author(user_id=ALICE, name="A", login=rig.login(token)), ref, source, []))
    assert other.interactions[0]["actions"][0]["value"] == "1"
    assert other.interactions[0]["user"]["id"] == work.joe.id
    with pytest.raises(Unsupported, match=r"hearthworks\.slack\.com/archives/"):
        rig.call(rig.network.press(BOT, ref, source, []))


def test_typing_presence_and_read_marks_of_a_login(work: Workspace) -> None:
    token = work.slack.browser(work.app, work.joe)
    watching = work.slack.browser(work.app, work.maria)
    rig = work.connect([token, watching])
    rig.wait(lambda: len(work.slack.server.rtm.listeners) == 2)
    author = Author(user_id=ALICE, name="A", login=rig.login(token))
    rig.call(rig.network.typing(author, rig.channel_id(work.general), True))
    assert rig.wait(lambda: rig.bridge.typed) == [(rig.channel_id(work.general), f"T0HEARTH-{work.joe.id}")]
    ts = work.maria.post(work.general, "read me")
    rig.call(rig.network.mark_read(rig.login(token), rig.ref(work.general, ts)))
    assert work.general.last_read[work.joe.id] == ts
    rig.call(rig.network.set_presence(rig.login(token), "online", None))
    assert work.slack.core.world.presence[work.joe.id] == "active"


def test_logins_are_tried_before_they_are_taken(work: Workspace) -> None:
    rig = work.connect()
    token = work.slack.authorize(work.app, work.joe)
    login = rig.call(rig.network.log_in(ALICE, "token", {"token": token.text}, {}))
    assert login == evolve(rig.login(token), name="joe (Hearth Works)")
    for bad, why in (("xoxb-1", "begins with xoxp-"), ("xoxp-wrong", "does not take"), ("xoxc-1", "cookie")):
        with pytest.raises(Refused, match=why):
            rig.call(rig.network.log_in(ALICE, "token", {"token": bad}, {}))
    token.scopes.discard("chat:write")
    with pytest.raises(Refused, match="chat:write"):
        rig.call(rig.network.log_in(ALICE, "token", {"token": token.text}, {}))


def test_logging_out_revokes_the_token(work: Workspace) -> None:
    token = work.slack.authorize(work.app, work.joe)
    rig = work.connect([token])
    rig.call(rig.network.remove_login(rig.login(token)))
    assert token.revoked


# What goes wrong


def test_a_bad_token_is_told_and_tried_again(work: Workspace) -> None:
    rig = work.connect(connects=False, bot_token="xoxb-wrong")
    state = rig.wait(lambda: rig.bridge.states)[0]
    assert not state.is_connected and "invalid_auth" in state.text
    with pytest.raises(LoginLost):
        rig.call(rig.network.send(rig.message(work.general, "x")))


def test_a_bad_app_token_is_told(work: Workspace) -> None:
    rig = work.connect(connects=False, app_token="xapp-wrong")
    state = rig.wait(lambda: [state for state in rig.bridge.states if "invalid_auth" in state.text])[0]
    assert not state.is_connected


def test_a_revoked_login_is_told_and_named(work: Workspace) -> None:
    token = work.slack.authorize(work.app, work.joe)
    rig = work.connect([token])
    work.slack.revoke(token)
    lost = rig.wait(lambda: [state for state in rig.bridge.states if state.login and not state.is_connected])[0]
    assert lost.login == rig.login(token).id and "revoked" in lost.text
    author = Author(user_id=ALICE, name="A", login=rig.login(token))
    with pytest.raises(LoginLost) as raised:
        rig.call(rig.network.send(rig.message(work.general, "x", author=author)))
    assert raised.value.login == rig.login(token).id


def test_a_missing_scope_is_named(slack: FakeSlack, tmp_path: Path) -> None:
    app = slack.add_app("Poor", BOT_SCOPES - {"reactions:write", "pins:read"})
    maria = slack.add_person("maria")
    general = slack.add_channel("general", maria, app)
    rig = Rig(slack, app, tmp_path)
    rig.start()
    (told,) = rig.wait(lambda: rig.bridge.told)
    assert "`reactions:write`" in told and "`pins:read`" in told
    ref = rig.ref(general, maria.post(general, "x"))
    with pytest.raises(MissingPermission) as raised:
        rig.call(rig.network.react(BOT, ref, Emoji(unicode="👍")))
    assert raised.value.needed == "reactions:write"
    assert rig.call(rig.network.channel(rig.channel_id(general))).pins is None
    rig.stop()


def test_a_deleted_channel_is_gone(work: Workspace) -> None:
    rig = work.connect()
    work.slack.delete_channel(work.general, work.maria)
    for coroutine in (
        rig.network.send(rig.message(work.general, "x")),
        rig.network.channel(rig.channel_id(work.general)),
        rig.network.history(rig.channel_id(work.general), limit=5),
    ):
        with pytest.raises(ChannelGone):
            rig.call(coroutine)  # type: ignore[arg-type]


def test_what_others_wrote_is_not_deleted(work: Workspace) -> None:
    rig = work.connect()
    ref = rig.ref(work.general, work.maria.post(work.general, "mine"), is_ours=False, part=PartId(""))
    with pytest.raises(Refused, match="nobody but the author"):
        rig.call(rig.network.delete(BOT, ref))


def test_limits_are_waited_for_and_failures_are_passing(work: Workspace) -> None:
    rig = work.connect()
    work.slack.core.limits.post_burst = 1
    for number in range(3):
        rig.call(rig.network.send(rig.message(work.general, f"m{number}", key=f"k{number}")))
    assert work.slack.texts(work.general) == ["m0", "m1", "m2"]
    work.slack.fail("chat.postMessage", status=500)
    with pytest.raises(Temporary):
        rig.call(rig.network.send(rig.message(work.general, "x")))
    work.slack.fail("chat.postMessage", status=429, retry_after=600, times=1)
    work.slack.core.limits.post_burst = 50
    with pytest.raises(Temporary) as raised:
        rig.call(rig.network.send(rig.message(work.general, "x")))
    assert raised.value.retry_after_s is not None and raised.value.retry_after_s > 500


def test_the_check_says_what_is_missing(work: Workspace) -> None:
    from appservice.bridges.slack import PACKAGE
    from appservice.bridges.slack.settings import SlackSettings

    rig = work.connect()
    bot, app = work.slack.bot_token(work.app), work.slack.app_token(work.app)
    settings = SlackSettings(bot_token=bot.text, app_token=app.text, api_url=work.slack.api_url)
    assert all(finding.is_good for finding in rig.call(PACKAGE.check(settings, rig.tools)))
    bot.scopes -= {"chat:write.customize"}
    app.scopes.clear()
    bad = [finding for finding in rig.call(PACKAGE.check(settings, rig.tools)) if not finding.is_good]
    assert [finding.topic for finding in bad] == ["chat:write.customize", "app_token"]
    work.slack.revoke(bot)
    bad = [finding for finding in rig.call(PACKAGE.check(settings, rig.tools)) if not finding.is_good]
    assert "token_revoked" in bad[0].text
    assert "chat:write.customize" in PACKAGE.instructions("https://bridge.test")
