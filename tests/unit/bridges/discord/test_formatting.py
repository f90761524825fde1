"""Discord's Markdown <-> Matrix HTML: a table each way, and what nobody would write by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.bridges.core.ids import ChannelId, EmojiId, MessageId, PersonId
from appservice.bridges.core.incoming import MatrixPerson, MatrixRoom, RemoteReferences
from appservice.bridges.core.outgoing import MatrixReferences, Mention, Text
from appservice.bridges.discord.formatting import Known, Names, named_in, parse, render, split, write
from matrix.ids import UserId
from tests.support.cost import timed

HERE = Path(__file__).parent
FROM: list[dict[str, Any]] = json.loads((HERE / "from_discord.json").read_text())
TO: list[dict[str, Any]] = json.loads((HERE / "to_discord.json").read_text())

REFERENCES = RemoteReferences(
    people={PersonId("1"): MatrixPerson(user_id=UserId("@discord_1:hearth.test"), name="Carol")},
    channels={
        ChannelId("2"): MatrixRoom(room_id="!r", name="garden", link="https://matrix.to/#/#garden:hearth.test"),
    },
    emoji={EmojiId("7"): "mxc://hearth.test/rose"},
    messages={(ChannelId("2"), MessageId("4")): "https://matrix.to/#/!r/$e"},
)
NAMES = Names(
    users={"9": "Nine"},
    roles={"5": "gardeners", "6": "knights"},
    colours={"5": "#00ff00"},
    channels={"2": "garden", "3": "court"},
)
KNOWN = Known(
    emoji={"7": "<:rose:7>"},
    message_link=lambda channel, message: f"https://discord.com/channels/1/{channel}/{message}",
)


def meanings(case: dict[str, Any]) -> MatrixReferences:
    return MatrixReferences(
        people={
            "@discord_1:hearth.test": Mention(person=PersonId("1"), name="Carol"),
            "@bob:hearth.test": Mention(person=None, name="Bob"),
        },
        channels={"#garden:hearth.test": ChannelId("2")},
        messages={"https://matrix.to/#/!r/$e": (ChannelId("2"), MessageId("4"))},
        emoji={"mxc://hearth.test/rose": EmojiId("7")},
        is_for_room=case.get("room", False),
    )


@pytest.mark.parametrize("case", FROM, ids=[each["what"] for each in FROM])
def test_from_discord(case: dict[str, Any]) -> None:
    rendered = render(parse(case["discord"]), REFERENCES, NAMES)
    assert (rendered.body, rendered.html) == (case["body"], case["html"])
    assert list(rendered.user_ids) == case.get("user_ids", [])
    assert rendered.is_for_room == case.get("room", False)


@pytest.mark.parametrize("case", TO, ids=[each["what"] for each in TO])
def test_to_discord(case: dict[str, Any]) -> None:
    text = Text(body=case.get("body", ""), formatted_body=case.get("html"), references=meanings(case))
    written = write(text, KNOWN)
    assert written.text == case["discord"]
    assert list(written.user_ids) == case.get("pings", [])
    assert written.pings_everyone == case.get("everyone", False)


def test_what_a_text_names_is_found_once_and_not_in_code() -> None:
    named = named_in(
        parse("<@1> **<@1>** `<@2>` <#3> > <:rose:7> [<@&4>](https://e.org) https://discord.com/channels/1/2/3")
    )
    assert (named.users, named.channels, named.roles) == (("1",), ("3",), ("4",))
    assert [each.id for each in named.emoji] == ["7"]
    assert named.messages == (("2", "3"),)


HOSTILE = [
    "**__~~||" * 500,
    "*a **" * 800,
    "[" * 4000,
    "[a](" * 1000,
    "`" * 4000,
    "> " * 2000,
    ">>> " * 1000,
    "- " * 2000,
    "  - a\n" * 600 + " " * 30 + "- b",
    "<@" * 2000,
    "||a" * 1300,
    "_a _" * 1000,
    "```a\n" * 800,
    "https://" * 500,
    "\\" * 4000,
    "\n".join(" " * (2 * each) + "- a" for each in range(60)),
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_of_discord_cost_little(text: str) -> None:
    cost_s, _ = timed(lambda: render(parse(text), REFERENCES, NAMES))
    assert cost_s < 1


def test_deep_html_is_flattened() -> None:
    written = write(Text(body="", formatted_body="<b><i><blockquote>" * 3000 + "deep" + "</blockquote></i></b>" * 3000))
    assert "deep" in written.text


def test_huge_html_costs_little() -> None:
    cost_s, _ = timed(lambda: write(Text(body="", formatted_body="<p>a*</p><ul><li>b" * 6000)))
    assert cost_s < 2


@given(st.text(alphabet="ab *_~|`>#-[]()<@&:1\n\\", max_size=60))
def test_any_text_of_discord_can_be_read(text: str) -> None:
    render(parse(text), REFERENCES, NAMES)


@given(st.text(alphabet="ab *_~|`>#-[]()<@&:1\n\\.", min_size=1, max_size=40))
def test_plain_text_comes_back_as_it_was(text: str) -> None:
    """What is written for Discord reads there as what was meant."""
    there = write(Text(body=text)).text
    assert render(parse(there), RemoteReferences(), Names()).html is None or "://" in text


# Splitting.


def test_a_short_text_is_one_piece() -> None:
    assert split("hello") == ["hello"]
    assert split("  ") == []


def test_pieces_are_short_enough_and_lose_no_word() -> None:
    text = " ".join(str(number) for number in range(3000))
    pieces = split(text)
    assert all(0 < len(piece) <= 2000 for piece in pieces)
    assert " ".join(pieces) == text


def test_paragraphs_are_kept_together() -> None:
    assert split("a" * 1500 + "\n\n" + "b" * 1500) == ["a" * 1500, "b" * 1500]


def test_a_code_block_goes_on_in_the_next_piece() -> None:
    pieces = split("```py\n" + "x = 1\n" * 600 + "```")
    assert len(pieces) == 2
    assert all(piece.startswith("```py\n") and piece.endswith("\n```") for piece in pieces)
    assert all(len(piece) <= 2000 for piece in pieces)


def test_a_mention_is_not_cut() -> None:
    pieces = split("a" * 1990 + "<@123456789012345678>" + "b" * 100)
    assert pieces[1].startswith("<@123456789012345678>")


def test_one_long_word_is_cut() -> None:
    pieces = split("a" * 5000)
    assert "".join(pieces) == "a" * 5000
