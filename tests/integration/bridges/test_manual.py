"""Who follows docs/bridges.md word for word has a channel that is bridged both ways: only the networks are fakes."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.bridges.manual import Administrator, Person, chapter, given
from tests.integration.bridges.slack.conftest import slack
from tests.support.fake_discord import FakeDiscord
from tests.support.fake_slack import FakeSlack

__all__ = ["slack"]


@pytest.fixture
def discord() -> Iterator[FakeDiscord]:
    fake = FakeDiscord()
    fake.start()
    yield fake
    fake.stop()


def walk(administrator: Administrator, speak: Callable[[str], object], texts: Callable[[], list[str]]) -> list[str]:
    """From nothing to messages both ways, and on through kills of either side; what the commands have answered."""
    title = administrator.name.title()
    answers = administrator.follows()
    assert "Traceback" not in "".join(answers), answers
    alice = Person(administrator)
    (bot,) = set(re.findall(rf"`(@{administrator.name}bot:[^`]+)`", chapter(title)))
    chat = alice.chat(administrator.tokens_in(bot))
    (command,) = given(title, "bridge")
    alice.says(chat, " ".join(command))
    alice.hears(chat, "You are invited")
    room = alice.joins_where_invited()
    speak("from there")
    alice.hears(room, "from there")
    alice.says(room, "from here")
    administrator.until(lambda: "from here" in texts(), "what Matrix says")
    alice.says(chat, "status")
    alice.hears(chat, f"Connected to {title}")

    administrator.kills_the_bridge()
    speak("from there meanwhile")
    alice.says(room, "from here meanwhile")
    administrator.starts(given(title, "hearth")[-1])
    alice.hears(room, "from there meanwhile")
    administrator.until(lambda: "from here meanwhile" in texts(), "what Matrix said meanwhile")
    administrator.hearth.kill()
    speak("without Hearth")
    administrator.hearth.start()
    alice.hears(room, "without Hearth")
    alice.says(room, "the end")
    administrator.until(lambda: "the end" in texts(), "the end")
    from_there, from_here = (
        ["from there", "from there meanwhile", "without Hearth"],
        ["from here", "from here meanwhile"],
    )
    assert [text for text in alice.heard(room) if text in from_there] == from_there
    assert [text for text in texts() if text in from_here] == from_here
    assert administrator.stops() == 0
    return answers


def test_slack(slack: FakeSlack, dsn: str, tmp_path: Path) -> None:
    app, maria = slack.add_app("Matrix"), slack.add_person("maria")
    general = slack.add_channel("general", maria)
    tokens = {
        "xoxb-...": slack.bot_token(app).text,
        "xapp-...": slack.app_token(app).text,
        "your.server": "hearth.test",
        "you:": "alice:",
    }
    with Administrator("slack", tmp_path, dsn, tokens, {"api_url": slack.api_url}).at_work() as administrator:
        first, second, *added = walk(
            administrator, lambda text: maria.post(general, text), lambda: slack.texts(general)
        )
    assert "BAD  bot_token" in first and '"socket_mode_enabled": true' in first
    assert " ok  scopes" in second and " ok  app_token" in second and "BAD" not in second
    assert "begin a chat with @slackbot:hearth.test" in second and "Nobody runs" not in second
    assert [each.split()[1] for each in added] == ["hearth-slack:", "hearth-slack-puppets:"]
    assert slack.messages(general)[-1]["username"] == "alice"


def test_discord(discord: FakeDiscord, dsn: str, tmp_path: Path) -> None:
    carol = discord.person("carol", "Carol")
    guild = discord.guild("Wonderland", carol)
    garden = discord.channel(guild, "garden")
    bot = discord.bot("Hearth", guild)
    tokens = {"YOUR_TOKEN": bot.token, "your.server": "hearth.test", "you:": "alice:"}
    places = {"api": discord.api, "gateway": discord.gateway_url, "cdn": discord.cdn}
    with Administrator("discord", tmp_path, dsn, tokens, places).at_work() as administrator:
        first, second, *added = walk(
            administrator,
            lambda text: discord.post(garden, carol, text),
            lambda: [str(each["content"]) for each in discord.messages(garden)],
        )
    assert "BAD  token" in first and "https://discord.com/oauth2/authorize" in first
    assert " ok  server Wonderland" in second and "BAD" not in second
    assert "begin a chat with @discordbot:hearth.test" in second and "Nobody runs" not in second
    assert [each.split()[1] for each in added] == ["hearth-discord:", "hearth-discord-puppets:"]
    assert discord.messages(garden)[-1]["author"]["username"] == "alice"
