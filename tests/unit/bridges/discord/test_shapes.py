"""Discord's JSON as core's values; where files may come from."""

import pytest

from appservice.bridges.discord import shapes
from appservice.bridges.discord.sending import thread_name
from appservice.bridges.discord.webhooks import allowed_name

CDN = "https://cdn.discordapp.com"


@pytest.mark.parametrize(
    "url",
    [
        "https://cdn.discordapp.com/attachments/1/2/a.png?ex=1",
        "https://media.discordapp.net/attachments/1/2/a.png",
        "https://images-ext-1.discordapp.net/external/x/https/example.org/a.png",
    ],
)
def test_discords_hosts_are_trusted(url: str) -> None:
    assert shapes.is_from_discord(url, CDN)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "http://cdn.discordapp.com/a.png",
        "https://cdn.discordapp.com.example.org/a.png",
        "https://cdn.discordapp.com@example.org/a.png",
        "https://cdn.discordapp.com:8443/a.png",
        "https://evildiscordapp.net/a.png",
        "http://127.0.0.1/",
        "file:///etc/passwd",
        "",
    ],
)
def test_no_other_host_is(url: str) -> None:
    assert not shapes.is_from_discord(url, CDN)


def test_an_id_tells_its_moment_and_a_moment_its_id() -> None:
    assert shapes.made_ms("175928847299117063") == 1462015105796
    assert shapes.made_ms(shapes.snowflake_at(1462015105796)) == 1462015105796
    assert shapes.snowflake_at(0) == "0"


def test_custom_emoji_are_known_by_their_id_whatever_they_are_called() -> None:
    one, other = ({"id": "7", "name": name, "animated": False} for name in ("rose", "red_rose"))
    assert shapes.emoji(one, CDN).id == shapes.emoji(other, CDN).id == "7"
    assert shapes.emoji({"id": None, "name": "👍"}, CDN).unicode == "👍"


def test_a_sticker_that_is_a_program_has_no_picture() -> None:
    assert shapes.sticker_file({"id": "1", "name": "wave", "format_type": 3}, CDN) is None
    moving = shapes.sticker_file({"id": "1", "name": "wave", "format_type": 4}, CDN)
    assert moving is not None and moving.source["url"] == "https://media.discordapp.net/stickers/1.gif"


@pytest.mark.parametrize("name", ["Discord", "my DISCORD bot", "clyde", "ClYdE and discord"])
def test_names_that_discord_refuses_are_joined_otherwise(name: str) -> None:
    allowed = allowed_name(name)
    assert "discord" not in allowed.lower() and "clyde" not in allowed.lower()
    assert allowed.replace("\u200b", "") == name


def test_names_are_short_and_not_empty() -> None:
    assert allowed_name("  ") == "Matrix user"
    assert len(allowed_name("a" * 200)) == 80
    assert thread_name("") == "Thread"
    assert len(thread_name("word " * 100)) == 100
